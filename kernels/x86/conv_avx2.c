/* conv_avx2.c - dense convolution for AVX2 and FMA: tiles of 6 pixels x 16 channels.
 *
 *            w0       w1        two registers of weights for each tap and input channel
 *   x0  *  [sum00]  [sum01]
 *   x1  *  [sum10]  [sum11]     12 sums; each x is one float, broadcast
 *   ...                         16 registers: 12 + 2 + 1
 *   x5  *  [sum50]  [sum51]     12 multiply-adds hide the latency of 4 on two units */
#define DFN_TILE_PIXELS 6
#define DFN_TILE_COLUMNS 16
#define DFN_TILE_LATE
#include "kernels/simd/vec_avx2.h"

#include "kernels/simd/winograd.h"

dfn_kernel_fn dfn_f32_conv_6x16__avx2;
dfn_kernel_fn dfn_f32_conv3_6x16__avx2;

static bool dfn_tile_late(const struct dfn_finish *f)
{
    return f->act == DFN_ACT_SWISH && f->columns == DFN_TILE_COLUMNS && !f->residual;
}

static void dfn_tile_late_end(const float *held, float *out, size_t cout)
{
    for (int r = 0; r < DFN_TILE_PIXELS; r++, out += cout, held += DFN_TILE_COLUMNS) {
        dfn_vec v[2];
        vec_swish_two_at(v, held);
        vec_store(out, v[0]);
        vec_store(out + DFN_VL, v[1]);
    }
}

/* Where the tile before waits, each float of the window is followed by swish of one
 * vector of its sums: see kernels/x86/pw_tile.h. */
DFN_INLINE void dfn_tile(const struct dfn_window *v, size_t step, float *acc,
                         const int pixels, const int panels)
{
    __m256 sum[DFN_TILE_PIXELS][2];
    const float *in = v->in, *w = v->weight, *held = v->held;
    float *out = v->held_out;
    int waiting = held && pixels == DFN_TILE_PIXELS ? DFN_TILE_STEPS : 0;
    size_t next = DFN_VL; /* from vector to vector: this, or what is left of a pixel */
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
            if (pixels == DFN_TILE_PIXELS && waiting > 0) {
                vec_store(out, vec_swish_at(held));
                held += DFN_VL;
                out += next;
                next = v->cout - next;
                waiting--;
            }
        }
    if (v->bias) {
        const __m256 b0 = _mm256_loadu_ps(v->bias), b1 = _mm256_loadu_ps(v->bias + 8);
#pragma GCC unroll 6
        for (int r = 0; r < pixels; r++) {
            sum[r][0] = _mm256_add_ps(sum[r][0], b0);
            sum[r][1] = _mm256_add_ps(sum[r][1], b1);
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
