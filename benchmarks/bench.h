/* bench.h - timing and google-benchmark JSON, shared by the benchmarks here.
 *
 * Method (benchmarks/README.md): warm-up runs are dropped; every repetition is kept; the
 * minimum and the median are reported, with their number and the machine. */
#ifndef DFN_BENCHMARKS_BENCH_H
#define DFN_BENCHMARKS_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bench_times {
    double *ns;  /* [n], sorted, from malloc                                */
    double *cpu; /* [n], ns of all threads of the process, beside ns, freed with it */
    int n;
    double min, median, max;
};

/* Calls fn(arg) warmup times, then until `repeats` calls or, if repeats is 0, until 1.5 s
 * have passed and there are at least 10 and at most 1000. False: no memory, or fn failed
 * (not 0). */
bool bench_run(int (*fn)(void *), void *arg, int warmup, int repeats,
               struct bench_times *out);

/* The same until `seconds` have passed and there are at least 3. */
bool bench_run_for(int (*fn)(void *), void *arg, int warmup, double seconds,
                   struct bench_times *out);

/* Opens {"context":{...},"benchmarks":[ on stdout, adds a row to it, closes it. extra:
 * more members, each with a comma before it, or "". Readable by google-benchmark's
 * compare.py: rows are iterations with real_time, and cpu_time of all the process's
 * threads, in microseconds. */
void bench_json_begin(const char *program, const char *blas, int blas_threads);
void bench_json_row(const char *name, const struct bench_times *t, int threads,
                    const char *extra);
void bench_json_end(void);

/* Bytes of a field of /proc/self/status: "VmRSS", resident now, "VmHWM", at most so far;
 * 0 where the system has no such file. */
size_t bench_memory(const char *field);

/* CPU level to allow: "ref", "avx2", "avx512" (with AVX2), "neon", or a mask of EF_CPU_
 * bits. False: neither. */
bool bench_parse_cpu(const char *text, uint32_t *mask);

double bench_now_ns(void);

#endif
