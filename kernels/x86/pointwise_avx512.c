/* pointwise_avx512.c - 1x1 convolution for AVX-512: tiles of 14 pixels x 32 channels, of
 * 8 x 48 where that divides better, and of 14 x 16. Zen 4 starts one multiply-add of 16
 * floats in a cycle and has its result after four, so 24 or 28 sums are more than enough;
 * what they buy is 11 loads for 24 multiply-adds, or 16 for 28. */
#include "kernels/simd/vec_avx512.h"

#include "kernels/x86/pointwise_half.h"

#include <stdbool.h>

/* One line for each width. */
/* clang-format off */
#define DFN_PW_TILES \
    T(1, 1) T(2, 1) T(4, 1) T(7, 1) T(10, 1) T(14, 1) \
    T(1, 2) T(2, 2) T(3, 2) T(4, 2) T(5, 2) T(6, 2) T(7, 2) T(8, 2) T(10, 2) T(12, 2) \
    T(14, 2) \
    T(1, 3) T(2, 3) T(3, 3) T(4, 3) T(6, 3) T(7, 3) T(8, 3)
/* clang-format on */

/* The rows of these tiles, by columns, greatest first. */
static const unsigned char dfn_pw_heights[4][12] = {
    {0},
    {14, 10, 7, 4, 2, 1, 0},
    {14, 12, 10, 8, 7, 6, 5, 4, 3, 2, 1, 0},
    {8, 7, 6, 4, 3, 2, 1, 0}};

/* Threes, and twos so that no single one is left over. The last 24 columns of a number
 * that ends in half a vector are somebody else's. */
static inline int dfn_pw_cols(int left)
{
    const int vecs = left % 16 == 8 && left > 24 ? (left - 24) / 16 : (left + 15) / 16;
    return vecs == 1 ? 1 : vecs == 2 || vecs == 4 ? 2 : 3;
}

/* 24 columns are left: true if they have been done. */
static inline bool dfn_pw_rest(const struct dfn_pointwise_args *a, size_t first,
                               size_t last, int o)
{
    if (a->cout - o != 24)
        return false;
    dfn_pointwise_24__avx512(a, first, last, (size_t)o);
    return true;
}
#define DFN_PW_REST dfn_pw_rest

#define DFN_PW_OWN_TILE "kernels/x86/pw_tile.h"
#include "kernels/simd/pointwise.h"

dfn_kernel_fn dfn_f32_pointwise_14x32__avx512;

void dfn_f32_pointwise_14x32__avx512(const void *args, size_t first, size_t last)
{
    dfn_pointwise(args, first, last);
}
