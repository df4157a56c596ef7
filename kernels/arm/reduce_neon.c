/* reduce_neon.c - global mean and fully connected layers for AArch64, see
 * kernels/simd/reduce.h. */
#include "kernels/simd/vec_neon.h"

#include "kernels/simd/reduce.h"

dfn_kernel_fn dfn_f32_pool__neon;
dfn_kernel_fn dfn_f32_fc__neon;

void dfn_f32_pool__neon(const void *args, size_t first, size_t last)
{
    dfn_pool(args, first, last);
}

void dfn_f32_fc__neon(const void *args, size_t first, size_t last)
{
    dfn_fc(args, first, last);
}
