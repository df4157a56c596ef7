/* dwconv_avx2.c - depthwise convolution for AVX2, see kernels/simd/dwconv.h. */
#include "kernels/simd/vec_avx2.h"

#define DFN_DW_OWN_TILE "kernels/x86/dw_tile.h"
#include "kernels/simd/dwconv.h"

dfn_kernel_fn dfn_f32_dwconv_2x4__avx2;

void dfn_f32_dwconv_2x4__avx2(const void *args, size_t first, size_t last)
{
    dfn_dwconv(args, first, last);
}
