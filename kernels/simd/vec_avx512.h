/* vec_avx512.h - sixteen floats in an AVX-512 register. What the functions promise stands
 * in kernels/simd/README.md; vec_avx2.h and vec_neon.h have the same ones. Included by
 * the kernels of x86/ that are compiled for AVX-512, before a template of this folder. */
#ifndef DFN_KERNELS_SIMD_VEC_AVX512_H
#define DFN_KERNELS_SIMD_VEC_AVX512_H

#include "lib/base/attr.h"

#include <immintrin.h>

#define DFN_VL 16
#define DFN_VREGS 32
#define DFN_VEC_MASKS 1 /* vec_*_upto() take no branch */
typedef __m512 dfn_vec;

DFN_INLINE __mmask16 vec_mask(int n)
{
    return (__mmask16)((1u << n) - 1u);
}

DFN_INLINE dfn_vec vec_load(const float *p)
{
    return _mm512_loadu_ps(p);
}

DFN_INLINE dfn_vec vec_load_n(const float *p, int n)
{
    return _mm512_maskz_loadu_ps(vec_mask(n), p);
}

DFN_INLINE void vec_store(float *p, dfn_vec v)
{
    _mm512_storeu_ps(p, v);
}

DFN_INLINE void vec_store_n(float *p, dfn_vec v, int n)
{
    _mm512_mask_storeu_ps(p, vec_mask(n), v);
}

/* n lanes, all of them too: a mask costs nothing. */
DFN_INLINE dfn_vec vec_load_upto(const float *p, int n)
{
    return vec_load_n(p, n);
}

DFN_INLINE void vec_store_upto(float *p, dfn_vec v, int n)
{
    vec_store_n(p, v, n);
}

DFN_INLINE dfn_vec vec_set1(float x)
{
    return _mm512_set1_ps(x);
}

DFN_INLINE dfn_vec vec_add(dfn_vec a, dfn_vec b)
{
    return _mm512_add_ps(a, b);
}

DFN_INLINE dfn_vec vec_mul(dfn_vec a, dfn_vec b)
{
    return _mm512_mul_ps(a, b);
}

DFN_INLINE dfn_vec vec_fma(dfn_vec a, dfn_vec b, dfn_vec c)
{
    return _mm512_fmadd_ps(a, b, c);
}

/* Of the lower eight lanes; nobody may use the others. It costs what a multiply-add of
 * eight floats does, on Zen 4 half as much. */
DFN_INLINE dfn_vec vec_fma_half(dfn_vec a, dfn_vec b, dfn_vec c)
{
    return _mm512_castps256_ps512(_mm256_fmadd_ps(
        _mm512_castps512_ps256(a), _mm512_castps512_ps256(b), _mm512_castps512_ps256(c)));
}

DFN_INLINE dfn_vec vec_at_least(dfn_vec limit, dfn_vec x)
{
    return _mm512_max_ps(limit, x);
}

DFN_INLINE dfn_vec vec_at_most(dfn_vec limit, dfn_vec x)
{
    return _mm512_min_ps(limit, x);
}

/* The smaller of |x| and limit, with the sign of x. */
DFN_INLINE dfn_vec vec_clamp(dfn_vec x, float limit)
{
    return _mm512_range_ps(x, vec_set1(limit), 2);
}

DFN_INLINE dfn_vec vec_round(dfn_vec x)
{
    return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

DFN_INLINE dfn_vec vec_ldexp(dfn_vec x, dfn_vec n)
{
    return _mm512_scalef_ps(x, n);
}

/* A division runs beside multiply-adds, on a unit of its own: on Zen 4 it is faster than
 * an approximate reciprocal with a step of Newton's (10.5 cycles a swish to 12.6), and
 * its bits are the same on every processor. */
DFN_INLINE dfn_vec vec_div(dfn_vec a, dfn_vec d)
{
    return _mm512_div_ps(a, d);
}

/* a where x >= limit or x is NaN, else 0. */
DFN_INLINE dfn_vec vec_keep(dfn_vec a, dfn_vec x, dfn_vec limit)
{
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, limit, _CMP_NLT_UQ), a);
}

/* x where x >= 0 or x is NaN, else x times slope. */
DFN_INLINE dfn_vec vec_leaky(dfn_vec x, dfn_vec slope)
{
    const __mmask16 below = _mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_LT_OQ);
    return _mm512_mask_mul_ps(x, below, x, slope);
}

/* Neighbours in each other's place: lanes 1 0 3 2 5 4 ... */
DFN_INLINE dfn_vec vec_swap(dfn_vec x)
{
    return _mm512_permute_ps(x, 0xb1);
}

#include "kernels/x86/act_k.h"

#endif
