/* pointwise_avx2.c - 1x1 convolution for AVX2 and FMA: tiles of 6 pixels x 16 channels,
 * of 4 x 24 where that divides better, and of 12 x 8.
 *
 * 16 registers: 12 sums, 2 or 3 of weights, 1 float broadcast. 12 multiply-adds hide a
 * latency of 4 or 5 cycles on two units. */
#include "kernels/simd/vec_avx2.h"

/* One line for each width. */
/* clang-format off */
#define DFN_PW_TILES \
    T(1, 1) T(2, 1) T(4, 1) T(6, 1) T(12, 1) \
    T(1, 2) T(2, 2) T(3, 2) T(4, 2) T(5, 2) T(6, 2) \
    T(1, 3) T(2, 3) T(3, 3) T(4, 3)
/* clang-format on */

/* The rows of these tiles, by columns, greatest first. */
static const unsigned char dfn_pw_heights[4][12] = {
    {0}, {12, 6, 4, 2, 1, 0}, {6, 5, 4, 3, 2, 1, 0}, {4, 3, 2, 1, 0}};

/* Pairs, and three so that no single one is left over. */
static inline int dfn_pw_cols(int left)
{
    const int vecs = (left + 7) / 8;
    return vecs == 1 || vecs == 3 ? vecs : 2;
}

#define DFN_PW_LATE 12
#define DFN_PW_OWN_TILE "kernels/x86/pw_tile.h"
#include "kernels/simd/pointwise.h"

dfn_kernel_fn dfn_f32_pointwise_6x16__avx2;

void dfn_f32_pointwise_6x16__avx2(const void *args, size_t first, size_t last)
{
    dfn_pointwise(args, first, last);
}
