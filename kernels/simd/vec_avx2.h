/* vec_avx2.h - eight floats in an AVX register, with FMA. What the functions promise
 * stands in kernels/simd/README.md; vec_avx512.h and vec_neon.h have the same ones.
 * Included by the kernels of x86/ that are compiled for AVX2, before a template of this
 * folder. */
#ifndef DFN_KERNELS_SIMD_VEC_AVX2_H
#define DFN_KERNELS_SIMD_VEC_AVX2_H

#include "lib/base/attr.h"

#include <immintrin.h>
#include <stdint.h>

#define DFN_VL 8
#ifndef DFN_VREGS
#define DFN_VREGS 16 /* 32 where the compiler may use AVX-512's */
#endif
#define DFN_VEC_MASKS 0 /* vec_*_upto() take no branch */
typedef __m256 dfn_vec;

/* Lanes below n. */
DFN_INLINE __m256i vec_mask(int n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n),
                              _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

DFN_INLINE dfn_vec vec_load(const float *p)
{
    return _mm256_loadu_ps(p);
}

DFN_INLINE dfn_vec vec_load_n(const float *p, int n)
{
    return _mm256_maskload_ps(p, vec_mask(n));
}

DFN_INLINE void vec_store(float *p, dfn_vec v)
{
    _mm256_storeu_ps(p, v);
}

/* Not maskstore, which takes dozens of cycles on AMD. */
DFN_INLINE void vec_store_n(float *p, dfn_vec v, int n)
{
    float lanes[8];
    _mm256_storeu_ps(lanes, v);
    for (int i = 0; i < n; i++)
        p[i] = lanes[i];
}

/* n lanes, mostly all of them. */
DFN_INLINE dfn_vec vec_load_upto(const float *p, int n)
{
    return n == DFN_VL ? vec_load(p) : vec_load_n(p, n);
}

DFN_INLINE void vec_store_upto(float *p, dfn_vec v, int n)
{
    if (n == DFN_VL)
        vec_store(p, v);
    else
        vec_store_n(p, v, n);
}

DFN_INLINE dfn_vec vec_set1(float x)
{
    return _mm256_set1_ps(x);
}

DFN_INLINE dfn_vec vec_add(dfn_vec a, dfn_vec b)
{
    return _mm256_add_ps(a, b);
}

DFN_INLINE dfn_vec vec_mul(dfn_vec a, dfn_vec b)
{
    return _mm256_mul_ps(a, b);
}

DFN_INLINE dfn_vec vec_fma(dfn_vec a, dfn_vec b, dfn_vec c)
{
    return _mm256_fmadd_ps(a, b, c);
}

DFN_INLINE dfn_vec vec_at_least(dfn_vec limit, dfn_vec x)
{
    return _mm256_max_ps(limit, x);
}

DFN_INLINE dfn_vec vec_at_most(dfn_vec limit, dfn_vec x)
{
    return _mm256_min_ps(limit, x);
}

/* x between -limit and limit. */
DFN_INLINE dfn_vec vec_clamp(dfn_vec x, float limit)
{
    return _mm256_min_ps(_mm256_max_ps(x, vec_set1(-limit)), vec_set1(limit));
}

DFN_INLINE dfn_vec vec_round(dfn_vec x)
{
    return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

/* 2^n is the float whose exponent field is n + 127. */
DFN_INLINE dfn_vec vec_ldexp(dfn_vec x, dfn_vec n)
{
    const __m256i e = _mm256_slli_epi32(_mm256_cvtps_epi32(n), 23);
    return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(x), e));
}

/* See vec_avx512.h. */
DFN_INLINE dfn_vec vec_div(dfn_vec a, dfn_vec d)
{
    return _mm256_div_ps(a, d);
}

/* a where x >= limit or x is NaN, else 0. */
DFN_INLINE dfn_vec vec_keep(dfn_vec a, dfn_vec x, dfn_vec limit)
{
    return _mm256_and_ps(a, _mm256_cmp_ps(x, limit, _CMP_NLT_UQ));
}

/* x where x >= 0 or x is NaN, else x times slope. */
DFN_INLINE dfn_vec vec_leaky(dfn_vec x, dfn_vec slope)
{
    return _mm256_blendv_ps(x, _mm256_mul_ps(x, slope), x);
}

/* Neighbours in each other's place: lanes 1 0 3 2 5 4 ... */
DFN_INLINE dfn_vec vec_swap(dfn_vec x)
{
    return _mm256_permute_ps(x, 0xb1);
}

/* Whole numbers: as many lanes as a vector has, and four for the colours of a pixel. The
 * compiler knows their + - * >>. */
typedef int32_t dfn_ints __attribute__((vector_size(4 * DFN_VL)));
typedef int32_t dfn_quad __attribute__((vector_size(16)));
typedef float dfn_quadf __attribute__((vector_size(16)));

/* DFN_VL bytes, without sign. */
DFN_INLINE dfn_ints vec_widen(const uint8_t *p)
{
    return (dfn_ints)_mm256_cvtepu8_epi32(
        _mm_loadl_epi64((const __m128i *)(const void *)p));
}

/* The same to bytes, cut to 0..255. */
DFN_INLINE void vec_narrow(uint8_t *p, dfn_ints v)
{
    const __m256i x = (__m256i)v;
    const __m128i words =
        _mm_packs_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
    _mm_storel_epi64((__m128i *)(void *)p, _mm_packus_epi16(words, words));
}

/* The nearest, half to even. */
DFN_INLINE dfn_ints vec_to_ints(dfn_vec x)
{
    return (dfn_ints)_mm256_cvtps_epi32(x);
}

DFN_INLINE dfn_quad quad_widen(const uint8_t *p)
{
    return (dfn_quad)_mm_cvtepu8_epi32(_mm_loadu_si32(p));
}

DFN_INLINE void quad_narrow(uint8_t *p, dfn_quad v)
{
    const __m128i words = _mm_packs_epi32((__m128i)v, (__m128i)v);
    _mm_storeu_si32(p, _mm_packus_epi16(words, words));
}

DFN_INLINE dfn_quadf quad_to_float(dfn_quad v)
{
    return (dfn_quadf)_mm_cvtepi32_ps((__m128i)v);
}

#include "kernels/x86/act_k.h"

#endif
