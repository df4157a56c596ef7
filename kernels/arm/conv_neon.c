/* conv_neon.c - dense convolution for AArch64: tiles of 6 pixels x 16 channels.
 *
 *              w0 .. w3        four registers of weights for each tap and input channel,
 *                              loaded one after the other
 *   x0[lane] * [sum] .. [sum]
 *   ...                        24 sums; x: four floats of a pixel's window, one load
 *   x5[lane] * [sum] .. [sum]  32 registers: 24 + 6 + 2 */
#define DFN_TILE_PIXELS 6
#define DFN_TILE_COLUMNS 16
#include "kernels/simd/vec_neon.h"

#include "kernels/simd/winograd.h"

dfn_kernel_fn dfn_f32_conv_6x16__neon;
dfn_kernel_fn dfn_f32_conv3_6x16__neon;

#define VECS (DFN_TILE_COLUMNS / DFN_VL)

/* One piece of a window, `depth` floats of each pixel. */
DFN_INLINE void tile_piece(const float *in, const float *w, size_t depth, size_t step,
                           dfn_vec sum[DFN_TILE_PIXELS][VECS], const int pixels)
{
    size_t i = 0;
    for (; i + DFN_VL <= depth; i += DFN_VL) {
        dfn_vec x[DFN_TILE_PIXELS];
#pragma GCC unroll 6
        for (int r = 0; r < pixels; r++)
            x[r] = vec_load(in + (size_t)r * step + i);
#pragma GCC unroll 4
        for (int lane = 0; lane < DFN_VL; lane++, w += DFN_TILE_COLUMNS)
#pragma GCC unroll 4
            for (int j = 0; j < VECS; j++) {
                const dfn_vec wj = vec_load(w + j * DFN_VL);
#pragma GCC unroll 6
                for (int r = 0; r < pixels; r++)
                    sum[r][j] = vec_fma_lane(wj, x[r], lane, sum[r][j]);
            }
    }
    for (; i < depth; i++, w += DFN_TILE_COLUMNS)
#pragma GCC unroll 6
        for (int r = 0; r < pixels; r++) {
            const dfn_vec x = vec_set1(in[(size_t)r * step + i]);
#pragma GCC unroll 4
            for (int j = 0; j < VECS; j++)
                sum[r][j] = vec_fma(x, vec_load(w + j * DFN_VL), sum[r][j]);
        }
}

DFN_INLINE void dfn_tile(const struct dfn_window *v, size_t step, float *acc,
                         const int pixels, const int panels)
{
    dfn_vec sum[DFN_TILE_PIXELS][VECS];
    const float *in = v->in, *w = v->weight;
    (void)panels;

#pragma GCC unroll 6
    for (int r = 0; r < pixels; r++)
#pragma GCC unroll 4
        for (int j = 0; j < VECS; j++)
            sum[r][j] = vec_set1(0.0f);
    for (int ky = 0; ky < v->rows; ky++, in += v->in_next, w += v->weight_next)
        tile_piece(in, w, v->depth, step, sum, pixels);
#pragma GCC unroll 6
    for (int r = 0; r < pixels; r++)
#pragma GCC unroll 4
        for (int j = 0; j < VECS; j++)
            vec_store(acc + r * DFN_TILE_COLUMNS + j * DFN_VL, sum[r][j]);
}

void dfn_f32_conv_6x16__neon(const void *args, size_t first, size_t last)
{
    dfn_conv_blocked(args, first, last);
}

void dfn_f32_conv3_6x16__neon(const void *args, size_t first, size_t last)
{
    dfn_conv3(args, first, last);
}
