/* act_k.h - swish and ReLU6 on x86, for the end of a tile of sums. Included after a
 * vec_avx2.h or vec_avx512.h.
 *
 * Zen 4 starts two operations of 16 floats in a cycle: one multiplication or fused
 * multiply-add, one addition, minimum, rounding or shift, or in the place of either one or
 * two of whole numbers. A division takes the multiplier for two cycles. It looks ahead
 * about a hundred operations, eight swishes; so what counts here is the number of
 * multiplications, then the number and latency of all operations.
 *
 * e^-x: n is the multiple of 1 / S nearest to -x / ln 2 (S = 32 at 16 lanes, 8 at 8), got
 * by adding a number whose last bit is 1 / S: the sum's low bits are S n. r = x + n ln 2,
 * |r| <= ln 2 / 2 S, and e^-x = 2^n e^-r. 2^n comes from a table of the S fractions j,
 * one permutation of registers; its whole part is added to the exponent: S n shifted
 * there, of which the table's entries lack the j. e^-r is a polynomial, fitted for the
 * least relative error and written as a product of factors, which takes additions in
 * place of multiplications: at 16 lanes ((c - r)^2 + b) / 2, at 8 lanes a third (p - r)
 * ((r - q)^2 + c). The table's entries include the 1 / 2 or what makes the product 1.
 *
 * gcc 12 keeps constants that are used often in registers, and a tile of sums leaves few:
 * the sums then go to the stack. vec_constants() makes it forget where these are, so that
 * each use is a memory operand if it is called anew for each vector, and a register if it
 * is called once for many. A memory operand is a load, one in a cycle at 16 lanes: so
 * registers are better where there are enough. */
#ifndef DFN_KERNELS_X86_ACT_K_H
#define DFN_KERNELS_X86_ACT_K_H

#include <stdbool.h>
#include <stdint.h>

enum dfn_k {
    DFN_K_MOST,  /* 80: e^-80 is nothing beside 1, and no denormal number               */
    DFN_K_LEAST, /* -88.728: 1 + e^88.728 overflows, and x through infinity is 0        */
    DFN_K_LOG2E, /* -1 / ln 2                                                           */
    DFN_K_MAGIC, /* 1.5 2^23 / S                                                        */
    DFN_K_LN2,
    DFN_K_ONE,
    DFN_K_SIX,
    DFN_K_A, /* of the polynomial, as follows                                           */
    DFN_K_B,
    DFN_K_C,
    DFN_KS
};

#if DFN_VL == 16

/* One float each: an AVX-512 operand repeats it. */
static const struct {
    uint32_t powers[32]; /* 2^(j / 32) / 2 as bits, less j << 18                        */
    float k[DFN_KS];
} dfn_act_k __attribute__((aligned(64))) = {
    {0x3f000000, 0x3efecd87, 0x3efdaac3, 0x3efc980f, 0x3efb95c2, 0x3efaa43a, 0x3ef9c3d3,
     0x3ef8f4f0, 0x3ef837f0, 0x3ef78d3a, 0x3ef6f532, 0x3ef67043, 0x3ef5fed7, 0x3ef5a15b,
     0x3ef5583f, 0x3ef523f6, 0x3ef504f3, 0x3ef4fbaf, 0x3ef508a4, 0x3ef52c4d, 0x3ef5672a,
     0x3ef5b9be, 0x3ef6248c, 0x3ef6a81e, 0x3ef744fd, 0x3ef7fbb8, 0x3ef8ccdf, 0x3ef9b907,
     0x3efac0c7, 0x3efbe4ba, 0x3efd257d, 0x3efe83b3},
    {80.0f, -88.728f, -1.44269504f, 1.5f * (1 << 18), 0.693147181f, 1.0f, 6.0f,
     1.00001466f, 0.999970675f, 0.0f}};

#else

/* Eight floats each: AVX2 has no operand that repeats one. */
#define K(x)                                                                             \
    {                                                                                    \
        x, x, x, x, x, x, x, x                                                           \
    }
static const struct {
    uint32_t powers[8]; /* 2^(j / 8) / (p (q^2 + c)) as bits, less j << 20              */
    float k[DFN_KS][8];
} dfn_act_k __attribute__((aligned(64))) = {
    {0x3e2aa690, 0x3e2a1889, 0x3e2af05f, 0x3e2d4e76, 0x3e315621, 0x3e3396f2, 0x3e2f7fe0,
     0x3e2c7cc1},
    {K(80.0f), K(-88.728f), K(-1.44269504f), K(1.5f * (1 << 20)), K(0.693147181f),
     K(1.0f), K(6.0f), K(1.5964595f), K(0.7021457f), K(3.265661f)}};
#undef K

#endif

/* The constants as registers or memory operands. */
struct dfn_ks {
    dfn_vec k[DFN_KS];
#if DFN_VL == 16
    __m512i powers[2];
#else
    __m256i powers[1];
#endif
};

DFN_INLINE struct dfn_ks vec_constants(const bool hide)
{
    struct dfn_ks ks;
    const float *k = (const float *)(const void *)&dfn_act_k;
    if (hide)
        __asm__ volatile("" : "+r"(k));
#if DFN_VL == 16
    ks.powers[0] = _mm512_load_si512(k);
    ks.powers[1] = _mm512_load_si512(k + 16);
#pragma GCC unroll 16
    for (int i = 0; i < DFN_KS; i++)
        ks.k[i] = _mm512_set1_ps(k[32 + i]);
#else
    ks.powers[0] = _mm256_load_si256((const __m256i *)(const void *)k);
#pragma GCC unroll 16
    for (int i = 0; i < DFN_KS; i++)
        ks.k[i] = _mm256_load_ps(k + 8 + 8 * i);
#endif
    return ks;
}

/* The smaller of limit > 0 and x, as whole numbers: any of the four pipes does that, while
 * floats take one of two. Of a NaN, limit or the NaN. */
DFN_INLINE dfn_vec vec_least_k(dfn_vec limit, dfn_vec x)
{
#if DFN_VL == 16
    return _mm512_castsi512_ps(
        _mm512_min_epi32(_mm512_castps_si512(limit), _mm512_castps_si512(x)));
#else
    return _mm256_castsi256_ps(
        _mm256_min_epi32(_mm256_castps_si256(limit), _mm256_castps_si256(x)));
#endif
}

/* 2^n for s = n + the magic number, through what makes the polynomial e^-r. */
DFN_INLINE dfn_vec vec_power_k(const struct dfn_ks *c, dfn_vec s)
{
#if DFN_VL == 16
    const __m512i bits = _mm512_castps_si512(s);
    const __m512i power = _mm512_permutex2var_epi32(c->powers[0], bits, c->powers[1]);
    return _mm512_castsi512_ps(_mm512_add_epi32(power, _mm512_slli_epi32(bits, 18)));
#else
    const __m256i bits = _mm256_castps_si256(s);
    const __m256i power = _mm256_permutevar8x32_epi32(c->powers[0], bits);
    return _mm256_castsi256_ps(_mm256_add_epi32(power, _mm256_slli_epi32(bits, 20)));
#endif
}

/* x / (1 + e^-x), e^-x for x cut to [-88.728, 80]. A NaN passes. */
DFN_INLINE dfn_vec vec_swish_k(const struct dfn_ks *c, dfn_vec x)
{
    const dfn_vec *k = c->k;
    const dfn_vec low = vec_at_least(k[DFN_K_LEAST], x);
    const dfn_vec in = vec_least_k(k[DFN_K_MOST], low);
    const dfn_vec s = vec_fma(in, k[DFN_K_LOG2E], k[DFN_K_MAGIC]);
    const dfn_vec power = vec_power_k(c, s);
#if DFN_VL == 16
    const dfn_vec r = vec_fma(_mm512_sub_ps(s, k[DFN_K_MAGIC]), k[DFN_K_LN2], in);
    const dfn_vec v = _mm512_sub_ps(k[DFN_K_A], r), u = vec_fma(v, v, k[DFN_K_B]);
    return vec_div(low, vec_fma(u, power, k[DFN_K_ONE]));
#else
    const dfn_vec r = vec_fma(_mm256_sub_ps(s, k[DFN_K_MAGIC]), k[DFN_K_LN2], in);
    const dfn_vec v = _mm256_sub_ps(r, k[DFN_K_B]), u = vec_fma(v, v, k[DFN_K_C]);
    const dfn_vec w = vec_mul(_mm256_sub_ps(k[DFN_K_A], r), power);
    return vec_div(low, vec_fma(u, w, k[DFN_K_ONE]));
#endif
}

DFN_INLINE dfn_vec vec_relu6_k(const struct dfn_ks *c, dfn_vec x)
{
    return vec_at_most(c->k[DFN_K_SIX], vec_at_least(vec_set1(0.0f), x));
}

/* What act.h takes in place of its own. */
#define DFN_VEC_SWISH
DFN_INLINE dfn_vec vec_swish(dfn_vec x)
{
    const struct dfn_ks k = vec_constants(false);
    return vec_swish_k(&k, x);
}

#endif
