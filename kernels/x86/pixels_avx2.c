/* pixels_avx2.c - resizing and areas for AVX2, see kernels/simd/pixels.h. */
#include "kernels/simd/vec_avx2.h"

#include "kernels/simd/pixels.h"

dfn_kernel_fn dfn_u8_rowsum__avx2;
dfn_kernel_fn dfn_u32_area__avx2;
dfn_kernel_fn dfn_u8_taps_fixed__avx2;
dfn_kernel_fn dfn_u8_taps_float__avx2;
dfn_kernel_fn dfn_u8_rows_fixed__avx2;
dfn_kernel_fn dfn_f32_rows_float__avx2;
dfn_kernel_fn dfn_f32_rows_linear__avx2;

void dfn_u8_rowsum__avx2(const void *args, size_t first, size_t last)
{
    dfn_rowsum(args, first, last);
}

void dfn_u32_area__avx2(const void *args, size_t first, size_t last)
{
    dfn_area(args, first, last);
}

void dfn_u8_taps_fixed__avx2(const void *args, size_t first, size_t last)
{
    dfn_taps_fixed(args, first, last);
}

void dfn_u8_taps_float__avx2(const void *args, size_t first, size_t last)
{
    dfn_taps_float(args, first, last);
}

void dfn_u8_rows_fixed__avx2(const void *args, size_t first, size_t last)
{
    dfn_rows_fixed(args, first, last);
}

void dfn_f32_rows_float__avx2(const void *args, size_t first, size_t last)
{
    dfn_rows_float(args, first, last);
}

void dfn_f32_rows_linear__avx2(const void *args, size_t first, size_t last)
{
    dfn_rows_linear(args, first, last);
}
