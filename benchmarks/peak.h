/* peak.h - what one core of this machine can do at most, measured: float32 multiply-adds
 * in registers, and reading memory. Called by bench_peak, bench_model and bench_kernel,
 * so that a time can be compared with a floor of the same minute. */
#ifndef DFN_BENCHMARKS_PEAK_H
#define DFN_BENCHMARKS_PEAK_H

#include <stddef.h>
#include <stdint.h>

/* CPU levels are EF_CPU_ bits of dfnet.h; 0 is portable C. */

/* FLOP/s of multiply-adds (two operations each) with the instructions of one level, the
 * best of `tries` stretches of about 1 ms. 0: this build or this machine lacks it. */
double peak_fma(uint32_t level, int tries);

/* The best of all levels in mask and of portable C. */
double peak_fma_best(uint32_t mask, int tries);

/* Bytes a second that sums over `bytes` of memory read, again and again, so that they
 * come from the smallest cache that holds them; the best of `tries`. 0: no memory. */
double peak_read(size_t bytes, int tries);

#endif
