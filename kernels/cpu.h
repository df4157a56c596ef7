/* cpu.h - what the processor can do, as EF_CPU_ bits of dfnet.h. */
#ifndef DFN_KERNELS_CPU_H
#define DFN_KERNELS_CPU_H

#include <stdint.h>

#define DFN_CPU_AVX2 0x1u   /* AVX2 and FMA and F16C; the system saves ymm registers    */
#define DFN_CPU_AVX512 0x2u /* F, BW, DQ, VL; the system saves zmm registers            */
#define DFN_CPU_NEON 0x4u   /* AArch64                                                  */

/* Detects; needs no state, may be called from any thread. */
uint32_t dfn_cpu_detect(void);

#endif
