/* vec_neon.h - four floats in a NEON register of AArch64. What the functions promise
 * stands in kernels/simd/README.md; vec_avx2.h and vec_avx512.h have the same ones.
 * Included by the kernels of arm/, before a template of this folder. */
#ifndef DFN_KERNELS_SIMD_VEC_NEON_H
#define DFN_KERNELS_SIMD_VEC_NEON_H

#include "lib/base/attr.h"

#include <arm_neon.h>
#include <stdint.h>

#define DFN_VL 4
#define DFN_VREGS 32
#define DFN_VEC_MASKS 0 /* vec_*_upto() take a branch                                   */
#define DFN_VEC_LANES 1 /* vec_fma_lane()                                               */
typedef float32x4_t dfn_vec;

DFN_INLINE dfn_vec vec_load(const float *p)
{
    return vld1q_f32(p);
}

DFN_INLINE dfn_vec vec_load_n(const float *p, int n)
{
    float lanes[4] = {0, 0, 0, 0};
    for (int i = 0; i < n; i++)
        lanes[i] = p[i];
    return vld1q_f32(lanes);
}

DFN_INLINE void vec_store(float *p, dfn_vec v)
{
    vst1q_f32(p, v);
}

DFN_INLINE void vec_store_n(float *p, dfn_vec v, int n)
{
    float lanes[4];
    vst1q_f32(lanes, v);
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
    return vdupq_n_f32(x);
}

DFN_INLINE dfn_vec vec_add(dfn_vec a, dfn_vec b)
{
    return vaddq_f32(a, b);
}

DFN_INLINE dfn_vec vec_mul(dfn_vec a, dfn_vec b)
{
    return vmulq_f32(a, b);
}

DFN_INLINE dfn_vec vec_fma(dfn_vec a, dfn_vec b, dfn_vec c)
{
    return vfmaq_f32(c, a, b);
}

/* a x[lane] + c: one load of four floats serves four multiply-adds' broadcasts. lane is a
 * constant; the switch makes it one without optimisation, too. */
DFN_INLINE dfn_vec vec_fma_lane(dfn_vec a, dfn_vec x, const int lane, dfn_vec c)
{
    switch (lane) {
    case 0:
        return vfmaq_laneq_f32(c, a, x, 0);
    case 1:
        return vfmaq_laneq_f32(c, a, x, 1);
    case 2:
        return vfmaq_laneq_f32(c, a, x, 2);
    default:
        return vfmaq_laneq_f32(c, a, x, 3);
    }
}

/* vmaxq and vminq give NaN if either operand is one. */
DFN_INLINE dfn_vec vec_at_least(dfn_vec limit, dfn_vec x)
{
    return vmaxq_f32(limit, x);
}

DFN_INLINE dfn_vec vec_at_most(dfn_vec limit, dfn_vec x)
{
    return vminq_f32(limit, x);
}

/* x between -limit and limit. */
DFN_INLINE dfn_vec vec_clamp(dfn_vec x, float limit)
{
    return vminq_f32(vmaxq_f32(x, vec_set1(-limit)), vec_set1(limit));
}

DFN_INLINE dfn_vec vec_round(dfn_vec x)
{
    return vrndnq_f32(x);
}

/* 2^n is the float whose exponent field is n + 127. */
DFN_INLINE dfn_vec vec_ldexp(dfn_vec x, dfn_vec n)
{
    const int32x4_t e = vshlq_n_s32(vcvtnq_s32_f32(n), 23);
    return vreinterpretq_f32_s32(vaddq_s32(vreinterpretq_s32_f32(x), e));
}

/* Division is slow on most ARM cores: a reciprocal of 8 bits from the table, which each
 * step of Newton's doubles. d is finite, at least 1. */
DFN_INLINE dfn_vec vec_div(dfn_vec a, dfn_vec d)
{
    dfn_vec r = vrecpeq_f32(d);
    r = vmulq_f32(r, vrecpsq_f32(d, r));
    r = vmulq_f32(r, vrecpsq_f32(d, r));
    return vmulq_f32(a, r);
}

/* a where x >= limit or x is NaN, else 0. */
DFN_INLINE dfn_vec vec_keep(dfn_vec a, dfn_vec x, dfn_vec limit)
{
    return vreinterpretq_f32_u32(
        vbicq_u32(vreinterpretq_u32_f32(a), vcltq_f32(x, limit)));
}

/* x where x >= 0 or x is NaN, else x times slope. */
DFN_INLINE dfn_vec vec_leaky(dfn_vec x, dfn_vec slope)
{
    return vbslq_f32(vcltzq_f32(x), vmulq_f32(x, slope), x);
}

/* Neighbours in each other's place: lanes 1 0 3 2. */
DFN_INLINE dfn_vec vec_swap(dfn_vec x)
{
    return vrev64q_f32(x);
}

/* Whole numbers: as many lanes as a vector has, and four for the colours of a pixel. The
 * compiler knows their + - * >>. */
typedef int32_t dfn_ints __attribute__((vector_size(4 * DFN_VL)));
typedef int32_t dfn_quad __attribute__((vector_size(16)));
typedef float dfn_quadf __attribute__((vector_size(16)));

/* DFN_VL bytes, without sign. */
DFN_INLINE dfn_ints vec_widen(const uint8_t *p)
{
    uint32_t four;
    __builtin_memcpy(&four, p, sizeof four);
    const uint16x8_t words = vmovl_u8(vcreate_u8(four));
    return (dfn_ints)vmovl_u16(vget_low_u16(words));
}

/* The same to bytes, cut to 0..255. */
DFN_INLINE void vec_narrow(uint8_t *p, dfn_ints v)
{
    const int16x4_t words = vqmovn_s32((int32x4_t)v);
    const uint8x8_t bytes = vqmovun_s16(vcombine_s16(words, words));
    const uint32_t four = vget_lane_u32(vreinterpret_u32_u8(bytes), 0);
    __builtin_memcpy(p, &four, sizeof four);
}

/* The nearest, half to even. */
DFN_INLINE dfn_ints vec_to_ints(dfn_vec x)
{
    return (dfn_ints)vcvtnq_s32_f32(x);
}

/* A quad is a vector here. */
DFN_INLINE dfn_quad quad_widen(const uint8_t *p)
{
    return vec_widen(p);
}

DFN_INLINE void quad_narrow(uint8_t *p, dfn_quad v)
{
    vec_narrow(p, v);
}

DFN_INLINE dfn_quadf quad_to_float(dfn_quad v)
{
    return (dfn_quadf)vcvtq_f32_s32((int32x4_t)v);
}

#endif
