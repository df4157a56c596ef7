/* dwconv_neon.c - depthwise convolution for AArch64: the tile of kernels/simd/dwconv.h,
 * 2 rows x 4 pixels of output for 4 channels, with the addresses of its inner form
 * written out. What is wanted of a row of input lies at 0, in_all, 2 in_all .. floats
 * from its start, what of a row of weights or output at 0, all, 2 all ..; so one register
 * for each row and one for each distance serve all loads and stores without any
 * arithmetic:
 *
 *     ldr q, [row, distance]     k3 s1: 9 rows, 5 + 3 distances; k5 s2: 14, 10 + 4
 *
 * 8 sums, the weights of two kernel rows (at most 10) and an input fit 32 registers. */
#include "kernels/simd/vec_neon.h"

#define DFN_DW_OWN_FULL
#include "kernels/simd/dwconv.h"

dfn_kernel_fn dfn_f32_dwconv_2x4__neon;

#define MOST_ROWS 7 /* of the window of a tile, k5 s2 */
#define MOST_COLS 11

/* Where the rows of a tile are, moving on over channels, and its distances. */
struct rows {
    const float *in[MOST_ROWS], *weight[5], *bias;
    float *out[DFN_DW_Y], *sums[DFN_DW_Y];
    size_t in_at[MOST_COLS]; /* of the pixels of a row, in floats */
    size_t at[5];            /* of weights or outputs             */
};

/* Activation and sum of the tile's pixels, like dfn_dw_end(). */
DFN_INLINE void full_end(const struct rows *at, bool summed,
                         dfn_vec sum[DFN_DW_Y][DFN_DW_X], const enum dfn_act act)
{
#pragma GCC unroll 2
    for (int y = 0; y < DFN_DW_Y; y++) {
        dfn_vec total = vec_set1(0.0f);
#pragma GCC unroll 4
        for (int x = 0; x < DFN_DW_X; x++) {
            const dfn_vec v = vec_act(act, sum[y][x]);
            total = vec_add(total, v);
            vec_store(at->out[y] + at->at[x], v);
        }
        if (summed)
            vec_store(at->sums[y], vec_add(vec_load(at->sums[y]), total));
    }
}

/* Four channels of the tile. A sum gets its terms in the order of dfn_dw_vector(). */
DFN_INLINE void full_vector(const struct rows *at, bool summed, const int k, const int s,
                            const enum dfn_act act)
{
    dfn_vec sum[DFN_DW_Y][DFN_DW_X];
    const dfn_vec bias = vec_load(at->bias);
#pragma GCC unroll 2
    for (int y = 0; y < DFN_DW_Y; y++)
#pragma GCC unroll 4
        for (int x = 0; x < DFN_DW_X; x++)
            sum[y][x] = bias;
#pragma GCC unroll 7
    for (int i = 0; i < (DFN_DW_Y - 1) * s + k; i++)
#pragma GCC unroll 11
        for (int j = 0; j < (DFN_DW_X - 1) * s + k; j++) {
            const dfn_vec v = vec_load(at->in[i] + at->in_at[j]);
#pragma GCC unroll 2
            for (int y = 0; y < DFN_DW_Y; y++)
#pragma GCC unroll 4
                for (int x = 0; x < DFN_DW_X; x++) {
                    const int ky = i - y * s, kx = j - x * s;
                    if (ky >= 0 && ky < k && kx >= 0 && kx < k)
                        sum[y][x] =
                            vec_fma(v, vec_load(at->weight[ky] + at->at[kx]), sum[y][x]);
                }
        }
    full_end(at, summed, sum, act);
}

DFN_INLINE void distances(size_t *at, int n, size_t step)
{
    at[0] = 0;
    for (int j = 1; j < n; j++) {
        at[j] = (size_t)j * step;
        /* Not known to be a product, or gcc multiplies anew in every loop. */
        __asm__("" : "+r"(at[j]));
    }
}

DFN_INLINE void full_channels(const struct dfn_dw_tile *t, const int k, const int s,
                              const enum dfn_act act)
{
    const int high = (DFN_DW_Y - 1) * s + k, wide = (DFN_DW_X - 1) * s + k;
    const bool summed = t->sums != NULL;
    struct rows at = {.bias = t->bias};
    distances(at.in_at, wide, t->in_all);
    distances(at.at, k > DFN_DW_X ? k : DFN_DW_X, t->all);
    for (int i = 0; i < high; i++)
        at.in[i] = t->in + (size_t)i * t->in_row;
    for (int i = 0; i < k; i++)
        at.weight[i] = t->weight + (size_t)(i * k) * t->all;
    for (int y = 0; y < DFN_DW_Y; y++) {
        at.out[y] = t->out + (size_t)y * t->out_row;
        at.sums[y] = summed ? t->sums + (size_t)y * t->all : NULL;
    }
    for (size_t ch = 0; ch < t->n; ch += DFN_VL) {
        full_vector(&at, summed, k, s, act);
        for (int i = 0; i < high; i++)
            at.in[i] += DFN_VL;
        for (int i = 0; i < k; i++)
            at.weight[i] += DFN_VL;
        for (int y = 0; y < DFN_DW_Y; y++) {
            at.out[y] += DFN_VL;
            at.sums[y] = summed ? at.sums[y] + DFN_VL : NULL;
        }
        at.bias += DFN_VL;
    }
}

DFN_INLINE void dfn_dw_full(const struct dfn_dw_tile *t, const int k, const int s)
{
    switch (t->act) {
    case DFN_ACT_SWISH:
        full_channels(t, k, s, DFN_ACT_SWISH);
        break;
    case DFN_ACT_RELU6:
        full_channels(t, k, s, DFN_ACT_RELU6);
        break;
    default:
        full_channels(t, k, s, t->act);
    }
}

void dfn_f32_dwconv_2x4__neon(const void *args, size_t first, size_t last)
{
    dfn_dwconv(args, first, last);
}
