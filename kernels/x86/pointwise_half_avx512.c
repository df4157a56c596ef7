/* pointwise_half_avx512.c - the last 24 columns of a 1x1 convolution whose columns end in
 * half a vector of AVX-512 (24, 40 or 56 output channels): tiles of 8 pixels x 24
 * channels, in vectors of 8 floats and all 32 registers. Zen 4 starts two multiply-adds
 * of 8 floats in a cycle, so that nothing is wasted on lanes that do not exist. */
#define DFN_VREGS 32
#include "kernels/simd/vec_avx2.h"

/* One line for each width. */
/* clang-format off */
#define DFN_PW_TILES \
    T(1, 3) T(2, 3) T(3, 3) T(4, 3) T(6, 3) T(7, 3) T(8, 3)
/* clang-format on */

/* The rows of these tiles, by columns, greatest first. */
static const unsigned char dfn_pw_heights[4][12] = {
    {0}, {0}, {0}, {8, 7, 6, 4, 3, 2, 1, 0}};

#define DFN_PW_COLUMNS_ONLY

#define DFN_PW_OWN_TILE "kernels/x86/pw_tile.h"
#include "kernels/simd/pointwise.h"

#include "kernels/x86/pointwise_half.h"

void dfn_pointwise_24__avx512(const struct dfn_pointwise_args *a, size_t first,
                              size_t last, size_t o)
{
    dfn_pw_columns(a, first, last, o, 3);
}
