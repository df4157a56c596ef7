/* pointwise_ref.c - 1x1 convolution twice: the sum as the contract writes it, which is
 * the oracle of every other one, and a blocked product in portable C, which is what
 * builds without OpenBLAS run and what is used while OpenBLAS has several threads.
 *
 * The blocked one keeps a tile of 4 pixels x 8 channels in registers and walks at most
 * DEPTH input channels at a time, so that its weights (8 KiB) stay in the first cache:
 *
 *     in [m][cin]        weight [panel][cin][8]        out [m][cout]
 *     4 rows x DEPTH   x   DEPTH x 8               =     4 x 8, added block by block
 *
 * Adding block by block is also more exact than one long sum. The order of additions to
 * an output depends on cin only, hence the same bits for any range of items. */
#include "kernels/kernels.h"
#include "kernels/ref/act.h"

#include <stdbool.h>

dfn_kernel_fn dfn_f32_pointwise_naive__ref;
dfn_kernel_fn dfn_f32_pointwise_4x8__ref;

void dfn_f32_pointwise_naive__ref(const void *args, size_t first, size_t last)
{
    const struct dfn_pointwise_args *a = args;
    const size_t cin = (size_t)a->cin, cout = (size_t)a->cout;
    const size_t all = dfn_pointwise_all(a);

    dfn_gate_ref(a, first, last);
    for (size_t m = first; m < last; m++) {
        float *out = a->out + m * all;
        for (size_t o = 0; o < cout; o++) {
            float sum = 0.0f;
            for (size_t i = 0; i < cin; i++)
                sum += a->in[m * cin + i] * a->weight[o * cin + i];
            out[o] = sum;
        }
        dfn_epilogue_ref(out, a->bias, a->residual ? a->residual + m * all : NULL,
                         a->cout, a->act);
    }
}

#define ROWS 4
#define COLS 8
#define DEPTH 256
/* Pixels that share a visit to the weights: 64 x DEPTH floats stay in the second
 * cache. */
#define STRIP 64

/* Four floats; gcc and clang turn its arithmetic into whatever the target has, and a
 * plain loop over acc[r][j] is not reliably kept in registers by either. */
typedef float quad __attribute__((vector_size(16), aligned(4), may_alias));

/* acc[r][j] = sum over i < depth of in[r][i] * w[i][j]; rows is a constant at every call,
 * so that acc lives in registers. */
DFN_INLINE void tile(const float *in, size_t cin, const float *w, size_t depth,
                     float acc[ROWS][COLS], const int rows)
{
    quad sum[ROWS][2] = {{{0}}};

    for (size_t i = 0; i < depth; i++) {
        const quad *wi = (const quad *)(w + i * COLS);
#pragma GCC unroll 4
        for (int r = 0; r < rows; r++) {
            const float v = in[(size_t)r * cin + i];
            sum[r][0] += v * wi[0];
            sum[r][1] += v * wi[1];
        }
    }
#pragma GCC unroll 4
    for (int r = 0; r < rows; r++) {
        *(quad *)acc[r] = sum[r][0];
        *(quad *)(acc[r] + 4) = sum[r][1];
    }
}

/* Adds a tile to out, or stores it if this is the first block of the sum. cols is 8, or
 * less in the last panel, whose missing columns do not exist in out. */
static void store(float acc[ROWS][COLS], float *out, size_t all, int rows, int cols,
                  bool add)
{
    for (int r = 0; r < rows; r++)
        for (int j = 0; j < cols; j++) {
            float *to = out + (size_t)r * all + j;
            *to = add ? *to + acc[r][j] : acc[r][j];
        }
}

/* One block of the sum for the pixels first..last-1 and all output channels. */
static void block(const struct dfn_pointwise_args *a, size_t first, size_t last,
                  size_t i0, size_t depth)
{
    const size_t cin = (size_t)a->cin, cout = (size_t)a->cout;
    const size_t all = dfn_pointwise_all(a);
    float acc[ROWS][COLS];

    for (size_t o = 0; o < cout; o += COLS) {
        const int cols = cout - o < COLS ? (int)(cout - o) : COLS;
        const float *w = a->weight + o * cin + i0 * COLS;
        size_t m = first;
        for (; m + ROWS <= last; m += ROWS) {
            tile(a->in + m * cin + i0, cin, w, depth, acc, ROWS);
            store(acc, a->out + m * all + o, all, ROWS, cols, i0 > 0);
        }
        for (; m < last; m++) {
            tile(a->in + m * cin + i0, cin, w, depth, acc, 1);
            store(acc, a->out + m * all + o, all, 1, cols, i0 > 0);
        }
    }
}

void dfn_f32_pointwise_4x8__ref(const void *args, size_t first, size_t last)
{
    const struct dfn_pointwise_args *a = args;
    const size_t cin = (size_t)a->cin, all = dfn_pointwise_all(a);

    for (size_t m = first; m < last; m += STRIP) {
        const size_t end = last - m < STRIP ? last : m + STRIP;
        dfn_gate_ref(a, m, end);
        for (size_t i = 0; i < cin; i += DEPTH)
            block(a, m, end, i, cin - i < DEPTH ? cin - i : DEPTH);
        for (size_t p = m; p < end; p++)
            dfn_epilogue_ref(a->out + p * all, a->bias,
                             a->residual ? a->residual + p * all : NULL, a->cout, a->act);
    }
}
