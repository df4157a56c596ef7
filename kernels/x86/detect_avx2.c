/* detect_avx2.c - max-pooling, PReLU and softmax for AVX2, see kernels/simd/detect.h. */
#include "kernels/simd/vec_avx2.h"

#include "kernels/simd/detect.h"

dfn_kernel_fn dfn_f32_maxpool__avx2;
dfn_kernel_fn dfn_f32_prelu__avx2;
dfn_kernel_fn dfn_f32_softmax__avx2;

void dfn_f32_maxpool__avx2(const void *args, size_t first, size_t last)
{
    dfn_maxpool(args, first, last);
}

void dfn_f32_prelu__avx2(const void *args, size_t first, size_t last)
{
    dfn_prelu(args, first, last);
}

void dfn_f32_softmax__avx2(const void *args, size_t first, size_t last)
{
    dfn_softmax(args, first, last);
}
