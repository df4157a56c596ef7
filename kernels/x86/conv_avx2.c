/* conv_avx2.c - dense convolution for AVX2 and FMA: tiles of 6 pixels x 16 channels.
 *
 *            w0       w1        two registers of weights for each tap and input channel
 *   x0  *  [sum00]  [sum01]
 *   x1  *  [sum10]  [sum11]     12 sums; each x is one float, broadcast
 *   ...                         16 registers: 12 + 2 + 1
 *   x5  *  [sum50]  [sum51]     12 multiply-adds hide the latency of 4 on two units */
#define DFN_TILE_PIXELS 6
#define DFN_TILE_COLUMNS 16
#include "kernels/simd/vec_avx2.h"

#include "kernels/simd/winograd.h"

dfn_kernel_fn dfn_f32_conv_6x16__avx2;
dfn_kernel_fn dfn_f32_conv3_6x16__avx2;

DFN_INLINE void dfn_tile(const struct dfn_window *v, size_t step, float *acc,
                         const int pixels, const int panels)
{
    __m256 sum[DFN_TILE_PIXELS][2];
    const float *in = v->in, *w = v->weight;
    (void)panels;

#pragma GCC unroll 6
    for (int r = 0; r < pixels; r++)
        sum[r][0] = sum[r][1] = _mm256_setzero_ps();
    for (int ky = 0; ky < v->rows; ky++, in += v->in_next, w += v->weight_next)
        for (size_t i = 0; i < v->depth; i++) {
            const __m256 w0 = _mm256_loadu_ps(w + i * DFN_TILE_COLUMNS);
            const __m256 w1 = _mm256_loadu_ps(w + i * DFN_TILE_COLUMNS + 8);
#pragma GCC unroll 6
            for (int r = 0; r < pixels; r++) {
                const __m256 x = _mm256_broadcast_ss(in + (size_t)r * step + i);
                sum[r][0] = _mm256_fmadd_ps(x, w0, sum[r][0]);
                sum[r][1] = _mm256_fmadd_ps(x, w1, sum[r][1]);
            }
        }
#pragma GCC unroll 6
    for (int r = 0; r < pixels; r++) {
        _mm256_storeu_ps(acc + r * DFN_TILE_COLUMNS, sum[r][0]);
        _mm256_storeu_ps(acc + r * DFN_TILE_COLUMNS + 8, sum[r][1]);
    }
}

void dfn_f32_conv_6x16__avx2(const void *args, size_t first, size_t last)
{
    dfn_conv_blocked(args, first, last);
}

void dfn_f32_conv3_6x16__avx2(const void *args, size_t first, size_t last)
{
    dfn_conv3(args, first, last);
}
