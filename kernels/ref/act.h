/* act.h - the activation functions, scalar, as the oracle has them. Included by the
 * reference kernels only; static, so that no other object can pick up this copy. */
#ifndef DFN_KERNELS_REF_ACT_H
#define DFN_KERNELS_REF_ACT_H

#include "kernels/kernels.h"

#include <math.h>

/* 1 / (1 + e^-x). e^-x overflows to infinity for x < -88.7, which gives 0. */
static inline float dfn_sigmoid_ref(float x)
{
    return 1.0f / (1.0f + expf(-x));
}

/* x * sigmoid(x) (SiLU; Ramachandran, Zoph, Le, arXiv 1710.05941). Below -88 the true
 * value is smaller than 1e-36; without the branch -infinity would give NaN. */
static inline float dfn_swish_ref(float x)
{
    return x < -88.0f ? -0.0f : x / (1.0f + expf(-x));
}

/* min(max(x, 0), 6), NaN stays NaN. */
static inline float dfn_relu6_ref(float x)
{
    return x < 0.0f ? 0.0f : x > 6.0f ? 6.0f : x;
}

static inline float dfn_act_ref(enum dfn_act act, float x)
{
    switch (act) {
    case DFN_ACT_SWISH:
        return dfn_swish_ref(x);
    case DFN_ACT_RELU6:
        return dfn_relu6_ref(x);
    case DFN_ACT_SIGMOID:
        return dfn_sigmoid_ref(x);
    case DFN_ACT_NONE:
        break;
    }
    return x;
}

/* The pixels first..last-1 times their image's gate, in place; see kernels.h. */
static inline void dfn_gate_ref(const struct dfn_pointwise_args *a, size_t first,
                                size_t last)
{
    const size_t c = (size_t)a->cin;
    for (size_t m = first; a->gated && m < last; m++) {
        const float *gate = a->gate + m / (size_t)a->pixels * c;
        for (size_t i = 0; i < c; i++)
            a->gated[m * c + i] *= gate[i];
    }
}

/* v[i] = act(v[i] + bias[i]) + residual[i] over one pixel's c channels; bias and residual
 * may be NULL. The switch is outside the loops, so that the plain ones vectorise. */
static inline void dfn_epilogue_ref(float *v, const float *bias, const float *residual,
                                    int c, enum dfn_act act)
{
    if (bias)
        for (int i = 0; i < c; i++)
            v[i] += bias[i];
    if (act != DFN_ACT_NONE)
        for (int i = 0; i < c; i++)
            v[i] = dfn_act_ref(act, v[i]);
    if (residual)
        for (int i = 0; i < c; i++)
            v[i] += residual[i];
}

/* v[i] times slope[i] where it is below 0, over one pixel's c channels; chosen without a
 * branch, because signs are as good as random. */
static inline void dfn_leaky_ref(float *v, const float *slope, int c)
{
    for (int i = 0; i < c; i++) {
        const float factor[2] = {1.0f, slope[i]};
        v[i] *= factor[v[i] < 0.0f];
    }
}

#endif
