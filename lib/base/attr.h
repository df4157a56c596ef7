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

/* Every buffer that a kernel sees begins on this boundary: one cache line, one AVX-512
 * register. */
#define DFN_ALIGN 64

#endif
