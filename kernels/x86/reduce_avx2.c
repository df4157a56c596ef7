/* reduce_avx2.c - global mean and fully connected layers for AVX2, see
 * kernels/simd/reduce.h. */
#include "kernels/simd/vec_avx2.h"

#include "kernels/simd/reduce.h"

dfn_kernel_fn dfn_f32_pool__avx2;
dfn_kernel_fn dfn_f32_fc__avx2;

void dfn_f32_pool__avx2(const void *args, size_t first, size_t last)
{
    dfn_pool(args, first, last);
}

void dfn_f32_fc__avx2(const void *args, size_t first, size_t last)
{
    dfn_fc(args, first, last);
}
