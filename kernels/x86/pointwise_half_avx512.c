/* pointwise_half_avx512.c - the last 24 columns of a 1x1 convolution whose columns end in
 * half a vector of AVX-512 (24, 40 or 56 output channels): tiles of 8 pixels x 24
 * channels, in vectors of 8 floats and all 32 registers. Zen 4 starts two multiply-adds
 * of 8 floats in a cycle, so that nothing is wasted on lanes that do not exist. */
#define DFN_VREGS 32
#include "kernels/simd/vec_avx2.h"

#define DFN_PW_TILES                                                                     \
    DFN_PW_TILE(1, 3)                                                                    \
    DFN_PW_TILE(2, 3) DFN_PW_TILE(3, 3) DFN_PW_TILE(4, 3) DFN_PW_TILE(5, 3)              \
        DFN_PW_TILE(6, 3) DFN_PW_TILE(7, 3) DFN_PW_TILE(8, 3)
#define DFN_PW_COLUMNS_ONLY

static inline int dfn_pw_rows(int cols)
{
    (void)cols;
    return 8;
}

#include "kernels/simd/pointwise.h"

#include "kernels/x86/pointwise_half.h"

void dfn_pointwise_24__avx512(const struct dfn_pointwise_args *a, size_t first,
                              size_t last, size_t o)
{
    dfn_pw_columns(a, first, last, o, 3);
}
