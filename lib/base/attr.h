/* attr.h - what the compiler can be told. The only place with compiler #ifdefs.
 * Included by everything, kernels too; includes nothing of ours. */
#ifndef DFN_BASE_ATTR_H
#define DFN_BASE_ATTR_H

#if defined(__GNUC__)
#define DFN_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define DFN_COLD __attribute__((cold))
#define DFN_INLINE static inline __attribute__((always_inline))
#else
#define DFN_PRINTF(fmt, args)
#define DFN_COLD
#define DFN_INLINE static inline
#endif

/* In a loop that waits for another thread: lets the core's other half work, and saves
 * power. */
#if defined(__x86_64__) || defined(__i386__)
#define DFN_PAUSE() __builtin_ia32_pause()
#elif defined(__aarch64__)
#define DFN_PAUSE() __asm__ volatile("yield")
#else
#define DFN_PAUSE() ((void)0)
#endif

/* How a thread rounds, what it does with numbers too small for a normal float, and which
 * exceptions trap. Kernels run with DFN_FLOAT_FAST, so that results do not depend on what
 * the host has set, and weights or activations of 1e-40 take no longer than others: to
 * nearest, nothing traps, denormal numbers count as 0 and results become 0. Elsewhere the
 * host's setting stays. */
#if defined(__x86_64__)
#define DFN_FLOAT_FAST 0x9fc0u /* MXCSR: flush to zero, denormals are zero              */
typedef unsigned dfn_float_mode;
DFN_INLINE dfn_float_mode dfn_float_get(void)
{
    return __builtin_ia32_stmxcsr();
}
DFN_INLINE void dfn_float_set(dfn_float_mode mode)
{
    __builtin_ia32_ldmxcsr(mode);
}
#elif defined(__aarch64__)
#define DFN_FLOAT_FAST ((unsigned long)1 << 24) /* FPCR.FZ                              */
typedef unsigned long dfn_float_mode;
DFN_INLINE dfn_float_mode dfn_float_get(void)
{
    unsigned long mode;
    __asm__ volatile("mrs %0, fpcr" : "=r"(mode)::"memory");
    return mode;
}
DFN_INLINE void dfn_float_set(dfn_float_mode mode)
{
    __asm__ volatile("msr fpcr, %0" ::"r"(mode) : "memory");
}
#else
#define DFN_FLOAT_FAST 0
typedef int dfn_float_mode;
DFN_INLINE dfn_float_mode dfn_float_get(void)
{
    return 0;
}
DFN_INLINE void dfn_float_set(dfn_float_mode mode)
{
    (void)mode;
}
#endif

/* Every buffer that a kernel sees begins on this boundary: one cache line, one AVX-512
 * register. */
#define DFN_ALIGN 64

#endif
