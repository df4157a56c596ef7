/* cpu.c - asks the processor. The compiler's builtins also ask whether the operating
 * system saves the wide registers (xgetbv), which cpuid alone does not say. */
#include "kernels/cpu.h"

uint32_t dfn_cpu_detect(void)
{
    uint32_t cpu = 0;
#if defined(__x86_64__) || defined(__i386__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        cpu |= DFN_CPU_AVX2;
    if (cpu && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        cpu |= DFN_CPU_AVX512;
#elif defined(__aarch64__)
    cpu |= DFN_CPU_NEON; /* part of the base architecture */
#endif
    return cpu;
}
