/* conv_avx512.c - dense convolution for AVX-512: tiles of 14 pixels x 32 channels where
 * there are as many, of 12 pixels x 16 channels for the rest.
 *
 *             w                        w0       w1      weights for each tap and channel
 *   x0   *  [sum0]         x0   *   [sum00]  [sum01]    x: one float, broadcast: by the
 *   ...                    ...                          multiply-add itself where it is
 *   x11  *  [sum11]        x13  *  [sum130] [sum131]    used once
 *
 * Of two vectors a pixel takes half of a load for each multiply-add, not a whole one,
 * which keeps processors waiting that start two of each in a cycle (Zen 5). */
#define DFN_TILE_PIXELS 12
#define DFN_TILE_COLUMNS 16
#define DFN_TILE_WIDE 14
#define DFN_TILE_PANELS 2
#include "kernels/simd/vec_avx512.h"

#include "kernels/simd/winograd.h"
#include "kernels/x86/pixels_at.h"

dfn_kernel_fn dfn_f32_conv_12x16__avx512;
dfn_kernel_fn dfn_f32_conv3_12x16__avx512;

DFN_INLINE void tile_of_one(const struct dfn_window *v, size_t step, float *acc,
                            const int pixels)
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
        _mm512_storeu_ps(acc + r * DFN_TILE_COLUMNS, sum[r]);
}

DFN_INLINE void tile_of_two(const struct dfn_window *v, size_t step, float *acc,
                            const int pixels)
{
    __m512 sum[DFN_TILE_WIDE][2];
    const float *in = v->in, *w = v->weight;

#pragma GCC unroll 14
    for (int r = 0; r < pixels; r++)
        sum[r][0] = sum[r][1] = _mm512_setzero_ps();
    for (int ky = 0; ky < v->rows; ky++, in += v->in_next, w += v->weight_next) {
        struct dfn_pixels_at at = dfn_pixels_from(in, step);
        const float *tap = w;
        for (size_t n = v->depth; n > 0; n--, tap += DFN_TILE_COLUMNS) {
            dfn_pixels_hide(&at, pixels);
            const __m512 w0 = _mm512_loadu_ps(tap), w1 = _mm512_loadu_ps(tap + v->panel);
#pragma GCC unroll 14
            for (int r = 0; r < pixels; r++) {
                const __m512 x = _mm512_set1_ps(*dfn_pixel(&at, r));
                sum[r][0] = _mm512_fmadd_ps(x, w0, sum[r][0]);
                sum[r][1] = _mm512_fmadd_ps(x, w1, sum[r][1]);
            }
            dfn_pixels_next(&at);
        }
    }
#pragma GCC unroll 14
    for (int r = 0; r < pixels; r++) {
        _mm512_storeu_ps(acc + 2 * r * DFN_TILE_COLUMNS, sum[r][0]);
        _mm512_storeu_ps(acc + (2 * r + 1) * DFN_TILE_COLUMNS, sum[r][1]);
    }
}

DFN_INLINE void dfn_tile(const struct dfn_window *v, size_t step, float *acc,
                         const int pixels, const int panels)
{
    if (panels == 1)
        tile_of_one(v, step, acc, pixels);
    else
        tile_of_two(v, step, acc, pixels);
}

void dfn_f32_conv_12x16__avx512(const void *args, size_t first, size_t last)
{
    dfn_conv_blocked(args, first, last);
}

void dfn_f32_conv3_12x16__avx512(const void *args, size_t first, size_t last)
{
    dfn_conv3(args, first, last);
}
