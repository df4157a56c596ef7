/* detect_avx512.c - max-pooling, PReLU and softmax for AVX-512, see
 * kernels/simd/detect.h. */
#include "kernels/simd/vec_avx512.h"

#include "kernels/simd/detect.h"

dfn_kernel_fn dfn_f32_maxpool__avx512;
dfn_kernel_fn dfn_f32_prelu__avx512;
dfn_kernel_fn dfn_f32_softmax__avx512;

void dfn_f32_maxpool__avx512(const void *args, size_t first, size_t last)
{
    dfn_maxpool(args, first, last);
}

void dfn_f32_prelu__avx512(const void *args, size_t first, size_t last)
{
    dfn_prelu(args, first, last);
}

void dfn_f32_softmax__avx512(const void *args, size_t first, size_t last)
{
    dfn_softmax(args, first, last);
}
