/* pixels_neon.c - resizing and areas for NEON, see kernels/simd/pixels.h. */
#include "kernels/simd/vec_neon.h"

#include "kernels/simd/pixels.h"

dfn_kernel_fn dfn_u8_rowsum__neon;
dfn_kernel_fn dfn_u32_area__neon;
dfn_kernel_fn dfn_u8_taps_fixed__neon;
dfn_kernel_fn dfn_u8_taps_float__neon;
dfn_kernel_fn dfn_u8_rows_fixed__neon;
dfn_kernel_fn dfn_f32_rows_float__neon;
dfn_kernel_fn dfn_f32_rows_linear__neon;

void dfn_u8_rowsum__neon(const void *args, size_t first, size_t last)
{
    dfn_rowsum(args, first, last);
}

void dfn_u32_area__neon(const void *args, size_t first, size_t last)
{
    dfn_area(args, first, last);
}

void dfn_u8_taps_fixed__neon(const void *args, size_t first, size_t last)
{
    dfn_taps_fixed(args, first, last);
}

void dfn_u8_taps_float__neon(const void *args, size_t first, size_t last)
{
    dfn_taps_float(args, first, last);
}

void dfn_u8_rows_fixed__neon(const void *args, size_t first, size_t last)
{
    dfn_rows_fixed(args, first, last);
}

void dfn_f32_rows_float__neon(const void *args, size_t first, size_t last)
{
    dfn_rows_float(args, first, last);
}

void dfn_f32_rows_linear__neon(const void *args, size_t first, size_t last)
{
    dfn_rows_linear(args, first, last);
}
