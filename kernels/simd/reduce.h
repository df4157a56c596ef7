/* reduce.h - global mean and fully connected layers, for any vector. Included by one file
 * for each instruction set, after its vec_*.h. */
#ifndef DFN_KERNELS_SIMD_REDUCE_H
#define DFN_KERNELS_SIMD_REDUCE_H

#include "kernels/simd/act.h"

/* Columns of a panel of DFN_LAYOUT_PANEL16. */
#define DFN_FC_PANEL 16
#define DFN_FC_VECS (DFN_FC_PANEL / DFN_VL)
/* Sums that run side by side, so that an addition need not wait for the one before. */
#define DFN_FC_SUMS 4
/* Pixels whose channels are added in float before the sum goes on in double: 300 x 300
 * terms in one float would lose three digits. */
#define DFN_POOL_RUN 32

/* The sums of n <= DFN_VL channels: in [pixels][c] at the first of them. */
DFN_INLINE void dfn_pool_vector(const float *in, double *sum, size_t pixels, size_t c,
                                int n)
{
    for (size_t p = 0; p < pixels;) {
        const size_t end = pixels - p < DFN_POOL_RUN ? pixels : p + DFN_POOL_RUN;
        float lanes[DFN_VL];
        dfn_vec v = vec_set1(0.0f);
        for (; p < end; p++)
            v = vec_add(v, vec_load_upto(in + p * c, n));
        vec_store(lanes, v);
        for (int i = 0; i < n; i++)
            sum[i] += (double)lanes[i];
    }
}

/* The items first..last-1 of a global mean. */
static void dfn_pool(const struct dfn_pool_args *a, size_t first, size_t last)
{
    const size_t c = (size_t)a->c, pixels = (size_t)a->pixels;

    for (size_t item = first; item < last;) {
        const size_t channel = item % c;
        size_t n = c - channel < DFN_VL ? c - channel : DFN_VL;
        if (n > last - item)
            n = last - item;
        double sum[DFN_VL] = {0};
        dfn_pool_vector(a->in + item / c * pixels * c + channel, sum, pixels, c, (int)n);
        for (size_t i = 0; i < n; i++)
            a->out[item + i] = (float)(sum[i] / a->count);
        item += n;
    }
}

/* out[0..15] = act(bias + in x one panel of weights); bias may be cut at n columns. */
DFN_INLINE void dfn_fc_panel(const float *in, const float *weight, const float *bias,
                             float *out, size_t cin, int n, const enum dfn_act act)
{
    dfn_vec sum[DFN_FC_SUMS][DFN_FC_VECS];
#pragma GCC unroll 4
    for (int k = 0; k < DFN_FC_SUMS; k++)
#pragma GCC unroll 4
        for (int j = 0; j < DFN_FC_VECS; j++)
            sum[k][j] = vec_set1(0.0f);
    size_t i = 0;
    for (; i + DFN_FC_SUMS <= cin; i += DFN_FC_SUMS)
#pragma GCC unroll 4
        for (int k = 0; k < DFN_FC_SUMS; k++) {
            const dfn_vec x = vec_set1(in[i + (size_t)k]);
            const float *w = weight + (i + (size_t)k) * DFN_FC_PANEL;
#pragma GCC unroll 4
            for (int j = 0; j < DFN_FC_VECS; j++)
                sum[k][j] = vec_fma(x, vec_load(w + j * DFN_VL), sum[k][j]);
        }
    for (; i < cin; i++)
#pragma GCC unroll 4
        for (int j = 0; j < DFN_FC_VECS; j++)
            sum[0][j] =
                vec_fma(vec_set1(in[i]), vec_load(weight + i * DFN_FC_PANEL + j * DFN_VL),
                        sum[0][j]);
#pragma GCC unroll 4
    for (int j = 0; j < DFN_FC_VECS; j++) {
        const int left = n - j * DFN_VL;
        const int lanes = left < 0 ? 0 : left < DFN_VL ? left : DFN_VL;
        const dfn_vec all =
            vec_add(vec_add(sum[0][j], sum[1][j]), vec_add(sum[2][j], sum[3][j]));
        const dfn_vec b = vec_load_upto(bias + j * DFN_VL, lanes);
        vec_store(out + j * DFN_VL, vec_act(act, vec_add(all, b)));
    }
}

static void dfn_fc_any(const float *in, const float *weight, const float *bias,
                       float *out, size_t cin, int n, enum dfn_act act)
{
    switch (act) {
    case DFN_ACT_SWISH:
        dfn_fc_panel(in, weight, bias, out, cin, n, DFN_ACT_SWISH);
        break;
    case DFN_ACT_RELU6:
        dfn_fc_panel(in, weight, bias, out, cin, n, DFN_ACT_RELU6);
        break;
    case DFN_ACT_SIGMOID:
        dfn_fc_panel(in, weight, bias, out, cin, n, DFN_ACT_SIGMOID);
        break;
    case DFN_ACT_NONE:
        dfn_fc_panel(in, weight, bias, out, cin, n, DFN_ACT_NONE);
        break;
    }
}

/* The items first..last-1 of a fully connected layer: whole panels are computed, and of
 * them the items asked for kept. */
static void dfn_fc(const struct dfn_fc_args *a, size_t first, size_t last)
{
    const size_t cin = (size_t)a->cin, cout = (size_t)a->cout;

    for (size_t item = first; item < last;) {
        const size_t o = item % cout, panel = o / DFN_FC_PANEL * DFN_FC_PANEL;
        const size_t left = cout - panel;
        const size_t columns = left < DFN_FC_PANEL ? left : DFN_FC_PANEL;
        float out[DFN_FC_PANEL];
        dfn_fc_any(a->in + item / cout * cin, a->weight + panel * cin, a->bias + panel,
                   out, cin, (int)columns, a->act);
        for (size_t i = o - panel; i < columns && item < last; i++)
            a->out[item++] = out[i];
    }
}

#endif
