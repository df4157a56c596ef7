/* pointwise_half_avx512.c - the last 24 columns of a 1x1 convolution whose columns end in
 * half a vector of AVX-512 (24, 40 or 56 output channels): tiles of 14 pixels x 24
 * channels, in a vector of 16 floats and one of 8. A multiply-add of 8 floats costs Zen 4
 * half of one of 16; Zen 5 and Intel's as much, so that three of 8 would cost them half
 * of their speed. */
#include "kernels/simd/vec_avx512.h"

#define DFN_PW_HALF 1

/* One line for each width. */
/* clang-format off */
#define DFN_PW_TILES \
    T(1, 2) T(2, 2) T(4, 2) T(7, 2) T(10, 2) T(14, 2)
/* clang-format on */

/* The rows of these tiles, by columns, greatest first. */
static const unsigned char dfn_pw_heights[4][12] = {
    {0}, {0}, {14, 10, 7, 4, 2, 1, 0}, {0}};

#define DFN_PW_COLUMNS_ONLY

#define DFN_PW_OWN_TILE "kernels/x86/pw_tile.h"
#include "kernels/simd/pointwise.h"

#include "kernels/x86/pointwise_half.h"

void dfn_pointwise_24__avx512(const struct dfn_pointwise_args *a, size_t first,
                              size_t last, size_t o)
{
    dfn_pw_columns(a, first, last, o, 2, NULL);
}
