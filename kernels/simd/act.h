/* act.h - the activation functions over a vector. Included by the templates of this
 * folder, after a vec_*.h. Their scalar originals are in kernels/ref/act.h. */
#ifndef DFN_KERNELS_SIMD_ACT_H
#define DFN_KERNELS_SIMD_ACT_H

#include "kernels/kernels.h"

#include <stdbool.h>

/* e^87 = 6e37 is the last power whose reciprocal is no denormal number. */
#define DFN_EXP_LIMIT 87.0f

/* e^-x for x in [-87, 87]; NaN stays NaN.
 *
 * n is the integer nearest to -x / ln 2 and r = x + n ln 2, so that |r| <= ln 2 / 2 and
 * e^-x = 2^n e^-r. e^-r is a polynomial of degree 5, fitted for the least greatest
 * relative error (1.1e-7, Lawson's iteration) with its first two coefficients held at 1.
 * ln 2 in one float is off by 1.9e-9, which n <= 126 makes 2.4e-7: with the rest this
 * stays within 8 units in the last place, which tests/kernel checks. */
DFN_INLINE dfn_vec vec_exp_minus(dfn_vec x)
{
    const dfn_vec n = vec_round(vec_mul(x, vec_set1(-1.44269504f)));
    const dfn_vec r = vec_fma(n, vec_set1(0.693147181f), x);
    dfn_vec p = vec_set1(-8.312501e-3f);
    p = vec_fma(p, r, vec_set1(4.189034e-2f));
    p = vec_fma(p, r, vec_set1(-1.6667116e-1f));
    p = vec_fma(p, r, vec_set1(4.999923e-1f));
    p = vec_fma(p, r, vec_set1(-1.0f));
    p = vec_fma(p, r, vec_set1(1.0f));
    return vec_ldexp(p, n);
}

/* a / (1 + e^-x), clamped: x within the limit; 0 where x < -87. There 1 / (1 + e^-x) is
 * less than 1.7e-38, and x = -1e30 or -infinity would make something of it. */
DFN_INLINE dfn_vec vec_logistic(dfn_vec a, dfn_vec x, dfn_vec clamped)
{
    const dfn_vec d = vec_add(vec_set1(1.0f), vec_exp_minus(clamped));
    return vec_keep(vec_div(a, d), x, vec_set1(-DFN_EXP_LIMIT));
}

DFN_INLINE dfn_vec vec_sigmoid(dfn_vec x)
{
    const dfn_vec low = vec_at_least(vec_set1(-DFN_EXP_LIMIT), x);
    return vec_logistic(vec_set1(1.0f), x, vec_at_most(vec_set1(DFN_EXP_LIMIT), low));
}

#ifndef DFN_VEC_SWISH
/* The clamp may lose a NaN; x divided brings it back. */
DFN_INLINE dfn_vec vec_swish(dfn_vec x)
{
    return vec_logistic(x, x, vec_clamp(x, DFN_EXP_LIMIT));
}
#endif

DFN_INLINE dfn_vec vec_relu6(dfn_vec x)
{
    return vec_at_most(vec_set1(6.0f), vec_at_least(vec_set1(0.0f), x));
}

/* act is a constant wherever speed counts: one loop for each. */
DFN_INLINE dfn_vec vec_act(enum dfn_act act, dfn_vec x)
{
    switch (act) {
    case DFN_ACT_SWISH:
        return vec_swish(x);
    case DFN_ACT_RELU6:
        return vec_relu6(x);
    case DFN_ACT_SIGMOID:
        return vec_sigmoid(x);
    case DFN_ACT_NONE:
        break;
    }
    return x;
}

DFN_INLINE void dfn_epilogue_of(float *v, const float *bias, const float *residual, int c,
                                const enum dfn_act act)
{
    for (int i = 0; i < c; i += DFN_VL) {
        const int n = c - i < DFN_VL ? c - i : DFN_VL;
        dfn_vec x = vec_add(vec_load_upto(v + i, n), vec_load_upto(bias + i, n));
        x = vec_act(act, x);
        if (residual)
            x = vec_add(x, vec_load_upto(residual + i, n));
        vec_store_upto(v + i, x, n);
    }
}

/* v[i] = act(v[i] + bias[i]) + residual[i] over one pixel's c channels; residual may be
 * NULL. */
static inline void dfn_epilogue(float *v, const float *bias, const float *residual, int c,
                                enum dfn_act act)
{
    switch (act) {
    case DFN_ACT_SWISH:
        dfn_epilogue_of(v, bias, residual, c, DFN_ACT_SWISH);
        break;
    case DFN_ACT_RELU6:
        dfn_epilogue_of(v, bias, residual, c, DFN_ACT_RELU6);
        break;
    case DFN_ACT_SIGMOID:
        dfn_epilogue_of(v, bias, residual, c, DFN_ACT_SIGMOID);
        break;
    case DFN_ACT_NONE:
        dfn_epilogue_of(v, bias, residual, c, DFN_ACT_NONE);
        break;
    }
}

#endif
