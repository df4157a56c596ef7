/* conv_avx512.c - dense convolution for AVX-512: tiles of 12 pixels x 16 channels.
 *
 *             w         one register of weights for each tap and input channel
 *   x0   *  [sum0]    each x is one float, broadcast by the multiply-add itself
 *   ...                 12 sums
 *   x11  *  [sum11] */
#define DFN_TILE_PIXELS 12
#define DFN_TILE_COLUMNS 16
#include "kernels/simd/vec_avx512.h"

#include "kernels/simd/winograd.h"

dfn_kernel_fn dfn_f32_conv_12x16__avx512;
dfn_kernel_fn dfn_f32_conv3_12x16__avx512;

DFN_INLINE void dfn_tile(const struct dfn_window *v, size_t step,
                         float acc[DFN_TILE_PIXELS][DFN_TILE_COLUMNS], const int pixels)
{
    __m512 sum[DFN_TILE_PIXELS];
    const float *in = v->in, *w = v->weight;

#pragma GCC unroll 12
    for (int r = 0; r < pixels; r++)
        sum[r] = _mm512_setzero_ps();
    for (int ky = 0; ky < v->rows; ky++, in += v->in_next, w += v->weight_next)
        for (size_t i = 0; i < v->depth; i++) {
            const __m512 wi = _mm512_loadu_ps(w + i * DFN_TILE_COLUMNS);
#pragma GCC unroll 12
            for (int r = 0; r < pixels; r++)
                sum[r] =
                    _mm512_fmadd_ps(_mm512_set1_ps(in[(size_t)r * step + i]), wi, sum[r]);
        }
#pragma GCC unroll 12
    for (int r = 0; r < pixels; r++)
        _mm512_storeu_ps(acc[r], sum[r]);
}

void dfn_f32_conv_12x16__avx512(const void *args, size_t first, size_t last)
{
    dfn_conv_blocked(args, first, last);
}

void dfn_f32_conv3_12x16__avx512(const void *args, size_t first, size_t last)
{
    dfn_conv3(args, first, last);
}
