/* conv_blocked_ref.c - dense convolution in portable C, tiles of 4 pixels x 8 channels:
 * what the stem, FusedMBConv and the face detector run where there is nothing faster. */
#define DFN_TILE_PIXELS 4
#define DFN_TILE_COLUMNS 8
#include "kernels/ref/act.h"

#include "kernels/conv_blocked.h"

dfn_kernel_fn dfn_f32_conv_4x8__ref;
dfn_kernel_fn dfn_f32_conv3__ref;

/* See pointwise_ref.c. */
typedef float quad __attribute__((vector_size(16), aligned(4), may_alias));

DFN_INLINE void dfn_tile(const struct dfn_window *v, size_t step, float *acc,
                         const int pixels, const int panels)
{
    quad sum[DFN_TILE_PIXELS][2] = {{{0}}};
    const float *in = v->in, *w = v->weight;
    (void)panels;

    for (int ky = 0; ky < v->rows; ky++, in += v->in_next, w += v->weight_next)
        for (size_t i = 0; i < v->depth; i++) {
            const quad *wi = (const quad *)(w + i * DFN_TILE_COLUMNS);
#pragma GCC unroll 4
            for (int r = 0; r < pixels; r++) {
                const float x = in[(size_t)r * step + i];
                sum[r][0] += x * wi[0];
                sum[r][1] += x * wi[1];
            }
        }
#pragma GCC unroll 4
    for (int r = 0; r < pixels; r++) {
        *(quad *)(acc + r * DFN_TILE_COLUMNS) = sum[r][0];
        *(quad *)(acc + r * DFN_TILE_COLUMNS + 4) = sum[r][1];
    }
}

DFN_INLINE void dfn_tile_finish(const struct dfn_finish *f, float *acc, int pixels,
                                const bool wide)
{
    (void)wide;
    const float *residual = f->residual;
    for (int r = 0; r < pixels; r++, acc += f->width) {
        dfn_epilogue_ref(acc, f->bias, NULL, f->columns, f->act);
        if (f->slope)
            dfn_leaky_ref(acc, f->slope, f->columns);
        float *out = f->out + (size_t)r * f->cout;
        for (int j = 0; j < f->columns; j++)
            out[j] = residual ? acc[j] + residual[j] : acc[j];
        residual = residual ? residual + f->cout : NULL;
    }
}

void dfn_f32_conv_4x8__ref(const void *args, size_t first, size_t last)
{
    dfn_conv_blocked(args, first, last);
}

void dfn_f32_conv3__ref(const void *args, size_t first, size_t last)
{
    dfn_conv_blocked(args, first, last);
}
