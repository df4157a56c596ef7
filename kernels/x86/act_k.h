/* act_k.h - swish and ReLU6 on x86, for the end of a tile of sums. Included after a
 * vec_avx2.h or vec_avx512.h.
 *
 * Zen 4 starts two operations of 16 floats in a cycle: one multiplication or fused
 * multiply-add, one addition, minimum, rounding or shift, or in the place of either any
 * of whole numbers. A division takes the multiplier for two cycles. It looks ahead
 * about a hundred operations, eight swishes; so what counts here is the number of
 * multiplications, then the number and latency of all operations.
 *
 * e^-x: n is the multiple of 1 / S nearest to -x / ln 2 (S = 32 at 16 lanes, 8 at 8), got
 * by adding a number whose last bit is 1 / S: the sum's low bits are S n. r = x + n ln 2,
 * |r| <= ln 2 / 2 S, and e^-x = 2^n e^-r. 2^n comes from a table of the S fractions j,
 * one permutation of registers; its whole part is added to the exponent: S n shifted
 * there, of which the table's entries lack the j. e^-r is a polynomial, fitted for the
 * least relative error and written as a product of factors, which takes additions in
 * place of multiplications: at 16 lanes v^2 + b, at 8 lanes (v - a)(v^2 + b), v = r - c.
 * The best c are near 46/32 ln 2 and ln 2; with these very numbers, v is got in the place
 * of r by taking 46/32 or 1 from n, which costs nothing, and the polynomials are off by
 * 1.3e-7 and 0.5e-7 instead of 0.5e-7 and 0.2e-7. The table's entries include what makes
 * them e^-r, and 5e-8 more, half of what is lost at x = -73 because ln 2 is no float.
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
    DFN_K_TAKEN, /* the same and c / ln 2                                               */
    DFN_K_LN2,
    DFN_K_ONE,
    DFN_K_SIX,
    DFN_K_A, /* of the polynomial                                                       */
    DFN_K_B,
    DFN_KS
};

#if DFN_VL == 16

/* One float each: an AVX-512 operand repeats it. */
static const struct {
    uint32_t powers[32]; /* 0.50181685 2^(j / 32) as bits, less j << 18                 */
    float k[DFN_KS];
} dfn_act_k __attribute__((aligned(64))) = {
    {0x3f007712, 0x3eff4734, 0x3efe271b, 0x3efd171f, 0x3efc179a, 0x3efb28ea, 0x3efa4b6c,
     0x3ef97f80, 0x3ef8c589, 0x3ef81dec, 0x3ef78910, 0x3ef7075e, 0x3ef69940, 0x3ef63f26,
     0x3ef5f97f, 0x3ef5c8bd, 0x3ef5ad57, 0x3ef5a7c3, 0x3ef5b87c, 0x3ef5dfff, 0x3ef61ecb,
     0x3ef67564, 0x3ef6e44f, 0x3ef76c13, 0x3ef80d3d, 0x3ef8c85a, 0x3ef99dfc, 0x3efa8eb9,
     0x3efb9b27, 0x3efcc3e1, 0x3efe0988, 0x3eff6cbc},
    {80.0f, -88.728f, -1.44269504f, 1.5f * (1 << 18), 1.5f * (1 << 18) + 1.4375f,
     0.693147181f, 1.0f, 6.0f, 0.0f, 0.9999477f}};

#else

/* Eight floats each: AVX2 has no operand that repeats one. */
#define K(x)                                                                             \
    {                                                                                    \
        x, x, x, x, x, x, x, x                                                           \
    }
static const struct {
    uint32_t powers[8]; /* -0.16815670 2^(j / 8) as bits, less j << 20                  */
    float k[DFN_KS][8];
} dfn_act_k __attribute__((aligned(64))) = {
    {0xbe2c3145, 0xbe2bc6f7, 0xbe2cc5c2, 0xbe2f4e55, 0xbe338454, 0xbe34c74e, 0xbe30cbc8,
     0xbe2de6b4},
    {K(80.0f), K(-88.728f), K(-1.44269504f), K(1.5f * (1 << 20)),
     K(1.5f * (1 << 20) + 1.0f), K(0.693147181f), K(1.0f), K(6.0f), K(0.8943138f),
     K(3.2656765f)}};
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

/* The smaller of limit > 0 and x, as whole numbers: any of the four pipes does that,
 * while floats take one of two. Of a NaN, limit or the NaN. */
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
    const dfn_vec v = vec_fma(_mm512_sub_ps(s, k[DFN_K_TAKEN]), k[DFN_K_LN2], in);
    const dfn_vec w = power;
#else
    const dfn_vec v = vec_fma(_mm256_sub_ps(s, k[DFN_K_TAKEN]), k[DFN_K_LN2], in);
    const dfn_vec w = vec_mul(_mm256_sub_ps(v, k[DFN_K_A]), power);
#endif
    return vec_div(low, vec_fma(vec_fma(v, v, k[DFN_K_B]), w, k[DFN_K_ONE]));
}

DFN_INLINE dfn_vec vec_relu6_k(const struct dfn_ks *c, dfn_vec x)
{
    return vec_at_most(c->k[DFN_K_SIX], vec_at_least(vec_set1(0.0f), x));
}

#if DFN_VL == 8
/* Swish of *x, the same bits. In the middle of a tile's loop four registers are
 * free, and gcc 12 wants one more: it puts something on the stack. All constants are one
 * operand, or it keeps the address of each. */
DFN_INLINE dfn_vec vec_swish_at(const float *x)
{
    dfn_vec low, v, s, w;
#define K(name) [name] "i"((1 + DFN_K_##name) * sizeof(dfn_vec))
    __asm__("vmovaps %c[LEAST]+%[k], %[low]\n\t"
            "vmaxps %[x], %[low], %[low]\n\t"
            "vpminsd %c[MOST]+%[k], %[low], %[v]\n\t"
            "vmovaps %c[MAGIC]+%[k], %[s]\n\t"
            "vfmadd231ps %c[LOG2E]+%[k], %[v], %[s]\n\t"
            "vsubps %c[TAKEN]+%[k], %[s], %[w]\n\t"
            "vfmadd231ps %c[LN2]+%[k], %[w], %[v]\n\t"
            "vpermd %[k], %[s], %[w]\n\t"
            "vpslld $20, %[s], %[s]\n\t"
            "vpaddd %[s], %[w], %[w]\n\t"
            "vsubps %c[A]+%[k], %[v], %[s]\n\t"
            "vmulps %[w], %[s], %[w]\n\t"
            "vfmadd213ps %c[B]+%[k], %[v], %[v]\n\t"
            "vfmadd213ps %c[ONE]+%[k], %[w], %[v]\n\t"
            "vdivps %[v], %[low], %[low]"
            : [low] "=&x"(low), [v] "=&x"(v), [s] "=&x"(s), [w] "=&x"(w)
            : [x] "m"(*(const dfn_vec *)(const void *)x), [k] "m"(dfn_act_k), K(LEAST),
              K(MOST), K(LOG2E), K(MAGIC), K(TAKEN), K(LN2), K(ONE), K(A), K(B));
#undef K
    return low;
}

/* The same of two vectors, x and those behind, in seven registers and fewer loads. */
DFN_INLINE void vec_swish_two_at(dfn_vec y[2], const float *x)
{
    dfn_vec v0, v1, s0, s1, w0, w1, c;
#define K(name) [name] "i"((1 + DFN_K_##name) * sizeof(dfn_vec))
    __asm__("vmovaps %c[LEAST]+%[k], %[c]\n\t"
            "vmaxps %[x0], %[c], %[v0]\n\t"
            "vmaxps %[x1], %[c], %[v1]\n\t"
            "vmovaps %c[MOST]+%[k], %[c]\n\t"
            "vpminsd %[c], %[v0], %[v0]\n\t"
            "vpminsd %[c], %[v1], %[v1]\n\t"
            "vmovaps %c[MAGIC]+%[k], %[s0]\n\t"
            "vmovaps %[s0], %[s1]\n\t"
            "vmovaps %c[LOG2E]+%[k], %[c]\n\t"
            "vfmadd231ps %[c], %[v0], %[s0]\n\t"
            "vfmadd231ps %[c], %[v1], %[s1]\n\t"
            "vmovaps %c[TAKEN]+%[k], %[c]\n\t"
            "vsubps %[c], %[s0], %[w0]\n\t"
            "vsubps %[c], %[s1], %[w1]\n\t"
            "vmovaps %c[LN2]+%[k], %[c]\n\t"
            "vfmadd231ps %[c], %[w0], %[v0]\n\t"
            "vfmadd231ps %[c], %[w1], %[v1]\n\t"
            "vmovdqa %[k], %[c]\n\t"
            "vpermd %[c], %[s0], %[w0]\n\t"
            "vpermd %[c], %[s1], %[w1]\n\t"
            "vpslld $20, %[s0], %[s0]\n\t"
            "vpslld $20, %[s1], %[s1]\n\t"
            "vpaddd %[s0], %[w0], %[w0]\n\t"
            "vpaddd %[s1], %[w1], %[w1]\n\t"
            "vmovaps %c[A]+%[k], %[c]\n\t"
            "vsubps %[c], %[v0], %[s0]\n\t"
            "vsubps %[c], %[v1], %[s1]\n\t"
            "vmulps %[w0], %[s0], %[w0]\n\t"
            "vmulps %[w1], %[s1], %[w1]\n\t"
            "vmovaps %c[B]+%[k], %[c]\n\t"
            "vfmadd213ps %[c], %[v0], %[v0]\n\t"
            "vfmadd213ps %[c], %[v1], %[v1]\n\t"
            "vmovaps %c[ONE]+%[k], %[c]\n\t"
            "vfmadd213ps %[c], %[w0], %[v0]\n\t"
            "vfmadd213ps %[c], %[w1], %[v1]\n\t"
            "vmovaps %c[LEAST]+%[k], %[c]\n\t"
            "vmaxps %[x0], %[c], %[s0]\n\t"
            "vmaxps %[x1], %[c], %[s1]\n\t"
            "vdivps %[v0], %[s0], %[s0]\n\t"
            "vdivps %[v1], %[s1], %[s1]"
            : [v0] "=&x"(v0), [v1] "=&x"(v1), [s0] "=&x"(s0), [s1] "=&x"(s1),
              [w0] "=&x"(w0), [w1] "=&x"(w1), [c] "=&x"(c)
            : [x0] "m"(*(const dfn_vec *)(const void *)x),
              [x1] "m"(*(const dfn_vec *)(const void *)(x + DFN_VL)), [k] "m"(dfn_act_k),
              K(LEAST), K(MOST), K(LOG2E), K(MAGIC), K(TAKEN), K(LN2), K(ONE), K(A),
              K(B));
#undef K
    y[0] = s0;
    y[1] = s1;
}
#endif

/* What act.h takes in place of its own. */
#define DFN_VEC_SWISH
DFN_INLINE dfn_vec vec_swish(dfn_vec x)
{
    const struct dfn_ks k = vec_constants(false);
    return vec_swish_k(&k, x);
}

#endif
