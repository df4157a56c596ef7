/* detect_neon.c - max-pooling, PReLU and softmax for NEON, see kernels/simd/detect.h. */
#include "kernels/simd/vec_neon.h"

#include "kernels/simd/detect.h"

dfn_kernel_fn dfn_f32_maxpool__neon;
dfn_kernel_fn dfn_f32_prelu__neon;
dfn_kernel_fn dfn_f32_softmax__neon;

void dfn_f32_maxpool__neon(const void *args, size_t first, size_t last)
{
    dfn_maxpool(args, first, last);
}

void dfn_f32_prelu__neon(const void *args, size_t first, size_t last)
{
    dfn_prelu(args, first, last);
}

void dfn_f32_softmax__neon(const void *args, size_t first, size_t last)
{
    dfn_softmax(args, first, last);
}
