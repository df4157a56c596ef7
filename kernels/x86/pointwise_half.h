/* pointwise_half.h - between the two files of the 1x1 convolution for AVX-512. */
#ifndef DFN_KERNELS_X86_POINTWISE_HALF_H
#define DFN_KERNELS_X86_POINTWISE_HALF_H

#include "kernels/kernels.h"

/* The columns o..o+23 of the pixels first..last-1. o is a multiple of 8. */
void dfn_pointwise_24__avx512(const struct dfn_pointwise_args *a, size_t first,
                              size_t last, size_t o);

#endif
