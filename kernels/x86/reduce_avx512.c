/* reduce_avx512.c - global mean and fully connected layers for AVX-512, see
 * kernels/simd/reduce.h. */
#include "kernels/simd/vec_avx512.h"

#include "kernels/simd/reduce.h"

dfn_kernel_fn dfn_f32_pool__avx512;
dfn_kernel_fn dfn_f32_fc__avx512;

void dfn_f32_pool__avx512(const void *args, size_t first, size_t last)
{
    dfn_pool(args, first, last);
}

void dfn_f32_fc__avx512(const void *args, size_t first, size_t last)
{
    dfn_fc(args, first, last);
}
