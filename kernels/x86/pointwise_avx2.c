/* pointwise_avx2.c - 1x1 convolution for AVX2 and FMA: tiles of 6 pixels x 16 channels,
 * of 4 x 24 where that divides better, and of 12 x 8.
 *
 * 16 registers: 12 sums, 2 or 3 of weights, 1 float broadcast. 12 multiply-adds hide a
 * latency of 4 or 5 cycles on two units. */
#include "kernels/simd/vec_avx2.h"

#define DFN_PW_TILES                                                                     \
    DFN_PW_TILE(1, 1)                                                                    \
    DFN_PW_TILE(2, 1)                                                                    \
    DFN_PW_TILE(3, 1) DFN_PW_TILE(4, 1) DFN_PW_TILE(5, 1) DFN_PW_TILE(6, 1)              \
        DFN_PW_TILE(7, 1) DFN_PW_TILE(8, 1) DFN_PW_TILE(9, 1) DFN_PW_TILE(10, 1)         \
            DFN_PW_TILE(11, 1) DFN_PW_TILE(12, 1) DFN_PW_TILE(1, 2) DFN_PW_TILE(2, 2)    \
                DFN_PW_TILE(3, 2) DFN_PW_TILE(4, 2) DFN_PW_TILE(5, 2) DFN_PW_TILE(6, 2)  \
                    DFN_PW_TILE(1, 3) DFN_PW_TILE(2, 3) DFN_PW_TILE(3, 3)                \
                        DFN_PW_TILE(4, 3)

/* Pairs, and three so that no single one is left over. */
static inline int dfn_pw_cols(int left)
{
    const int vecs = (left + 7) / 8;
    return vecs == 1 || vecs == 3 ? vecs : 2;
}

static inline int dfn_pw_rows(int cols)
{
    return cols == 1 ? 12 : cols == 2 ? 6 : 4;
}

#include "kernels/simd/pointwise.h"

dfn_kernel_fn dfn_f32_pointwise_6x16__avx2;

void dfn_f32_pointwise_6x16__avx2(const void *args, size_t first, size_t last)
{
    dfn_pointwise(args, first, last);
}
