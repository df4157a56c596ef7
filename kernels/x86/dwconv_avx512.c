/* dwconv_avx512.c - depthwise convolution for AVX-512, see kernels/simd/dwconv.h. */
#include "kernels/simd/vec_avx512.h"

#include "kernels/simd/dwconv.h"

dfn_kernel_fn dfn_f32_dwconv_2x4__avx512;

void dfn_f32_dwconv_2x4__avx512(const void *args, size_t first, size_t last)
{
    dfn_dwconv(args, first, last);
}
