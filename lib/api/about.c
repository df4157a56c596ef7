/* about.c - what this library is and where it runs. */
#include "dfnet/dfnet.h"
#include "kernels/cpu.h"

/* The public bits are the internal ones; a third name for them would only drift. */
_Static_assert(EF_CPU_AVX2 == DFN_CPU_AVX2 && EF_CPU_AVX512 == DFN_CPU_AVX512 &&
                   EF_CPU_NEON == DFN_CPU_NEON,
               "public and internal CPU bits differ");

uint32_t ef_version(void)
{
    return EF_VERSION_MAJOR << 16 | EF_VERSION_MINOR << 8 | EF_VERSION_PATCH;
}

uint32_t ef_cpu_features(void)
{
    return dfn_cpu_detect();
}
