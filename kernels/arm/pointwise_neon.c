/* pointwise_neon.c - 1x1 convolution for AArch64: tiles of 6 pixels x 16 channels, and of
 * 8 x 8 for the rest of the channels.
 *
 *                w0 .. w3       four registers of weights for each input channel,
 *                               loaded one after the other
 *   x0[lane] *  [sum] .. [sum]
 *   ...                         24 sums; x: four input channels of a pixel, one load
 *   x5[lane] *  [sum] .. [sum]
 *
 * 32 registers: 24 sums, 6 of activations, 2 of weights. Four input channels take 22
 * loads for 96 multiply-adds (8 x 8: 16 for 64). At a latency of 4 cycles 16 sums keep
 * four units busy. */
#include "kernels/simd/vec_neon.h"

#define DFN_PW_WIDE 4
#define DFN_PW_DIRECT 16

/* One line for each width. */
/* clang-format off */
#define DFN_PW_TILES \
    T(1, 1) T(2, 1) T(4, 1) T(8, 1) \
    T(1, 2) T(2, 2) T(3, 2) T(4, 2) T(5, 2) T(6, 2) T(7, 2) T(8, 2) \
    T(1, 4) T(2, 4) T(3, 4) T(4, 4) T(5, 4) T(6, 4)
/* clang-format on */

/* The rows of these tiles, by columns, greatest first. */
static const unsigned char dfn_pw_heights[5][12] = {
    {0}, {8, 4, 2, 1, 0}, {8, 7, 6, 5, 4, 3, 2, 1, 0}, {0}, {6, 5, 4, 3, 2, 1, 0}};

/* Fours, each a panel of weights, then a pair; a single one is a pair's second half. */
static inline int dfn_pw_cols(int left)
{
    const int vecs = (left + DFN_VL - 1) / DFN_VL;
    return vecs >= 4 ? 4 : vecs >= 2 ? 2 : 1;
}

#include "kernels/simd/pointwise.h"

dfn_kernel_fn dfn_f32_pointwise_6x16__neon;

void dfn_f32_pointwise_6x16__neon(const void *args, size_t first, size_t last)
{
    dfn_pointwise(args, first, last);
}
