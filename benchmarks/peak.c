/* peak.c - see peak.h. Loops of a form that compilers turn into nothing but the
 * instructions in question: accumulators enough to hide their latency (4 cycles, two a
 * cycle), no loads, no dependence between them. */
#include "benchmarks/peak.h"
#include "dfnet/dfnet.h"

#include <stdlib.h>
#include <time.h>

#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#define ROUNDS 20000 /* of a stretch */
#define CHAINS 12    /* accumulators; 12 and two operands fit 16 registers */

static volatile float sink;
static volatile uint64_t int_sink;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Each runs `rounds` times a row of multiply-adds and returns how many floats the row
 * has.
 * The numbers are such that nothing overflows or becomes denormal. */
typedef int fma_fn(int rounds);

/* Four lanes in portable C: whatever the compiler makes of the base architecture. */
static int fma_portable(int rounds)
{
    float a[4 * CHAINS] = {0};
    for (int r = 0; r < rounds; r++)
        for (int i = 0; i < 4 * CHAINS; i++)
            a[i] = a[i] * 0.999f + 0.5f;
    for (int i = 0; i < 4 * CHAINS; i++)
        sink = a[i];
    return 4 * CHAINS;
}

#if defined(__x86_64__) || defined(__i386__)
__attribute__((target("avx2,fma"))) static int fma_avx2(int rounds)
{
    const __m256 m = _mm256_set1_ps(0.999f), c = _mm256_set1_ps(0.5f);
    __m256 a[CHAINS];
    for (int i = 0; i < CHAINS; i++)
        a[i] = c;
    for (int r = 0; r < rounds; r++)
        for (int i = 0; i < CHAINS; i++)
            a[i] = _mm256_fmadd_ps(a[i], m, c);
    for (int i = 0; i < CHAINS; i++)
        sink = _mm256_cvtss_f32(a[i]);
    return 8 * CHAINS;
}

__attribute__((target("avx512f"))) static int fma_avx512(int rounds)
{
    const __m512 m = _mm512_set1_ps(0.999f), c = _mm512_set1_ps(0.5f);
    __m512 a[CHAINS];
    for (int i = 0; i < CHAINS; i++)
        a[i] = c;
    for (int r = 0; r < rounds; r++)
        for (int i = 0; i < CHAINS; i++)
            a[i] = _mm512_fmadd_ps(a[i], m, c);
    for (int i = 0; i < CHAINS; i++)
        sink = _mm512_cvtss_f32(a[i]);
    return 16 * CHAINS;
}
#elif defined(__aarch64__)
/* Written out, because gcc 12 keeps an array of accumulators in memory here. What is
 * added to is the accumulator, because the instruction overwrites it. */
static int fma_neon(int rounds)
{
    const float32x4_t m = vdupq_n_f32(0.999f), c = vdupq_n_f32(0.5f);
    float32x4_t a0 = c, a1 = c, a2 = c, a3 = c, a4 = c, a5 = c, a6 = c, a7 = c, a8 = c,
                a9 = c, a10 = c, a11 = c;
    for (int r = 0; r < rounds; r++) {
        a0 = vfmaq_f32(a0, m, c);
        a1 = vfmaq_f32(a1, m, c);
        a2 = vfmaq_f32(a2, m, c);
        a3 = vfmaq_f32(a3, m, c);
        a4 = vfmaq_f32(a4, m, c);
        a5 = vfmaq_f32(a5, m, c);
        a6 = vfmaq_f32(a6, m, c);
        a7 = vfmaq_f32(a7, m, c);
        a8 = vfmaq_f32(a8, m, c);
        a9 = vfmaq_f32(a9, m, c);
        a10 = vfmaq_f32(a10, m, c);
        a11 = vfmaq_f32(a11, m, c);
    }
    sink = vgetq_lane_f32(a0, 0);
    sink = vgetq_lane_f32(a1, 0);
    sink = vgetq_lane_f32(a2, 0);
    sink = vgetq_lane_f32(a3, 0);
    sink = vgetq_lane_f32(a4, 0);
    sink = vgetq_lane_f32(a5, 0);
    sink = vgetq_lane_f32(a6, 0);
    sink = vgetq_lane_f32(a7, 0);
    sink = vgetq_lane_f32(a8, 0);
    sink = vgetq_lane_f32(a9, 0);
    sink = vgetq_lane_f32(a10, 0);
    sink = vgetq_lane_f32(a11, 0);
    return 4 * CHAINS;
}
#endif

static fma_fn *level_function(uint32_t level)
{
    if (!level)
        return fma_portable;
    if (!(ef_cpu_features() & level))
        return NULL;
#if defined(__x86_64__) || defined(__i386__)
    return level == EF_CPU_AVX512 ? fma_avx512 : level == EF_CPU_AVX2 ? fma_avx2 : NULL;
#elif defined(__aarch64__)
    return level == EF_CPU_NEON ? fma_neon : NULL;
#else
    return NULL;
#endif
}

double peak_fma(uint32_t level, int tries)
{
    fma_fn *const fn = level_function(level);
    double best = 0;
    for (int i = 0; fn && i < tries; i++) {
        const double start = now();
        double floats = 0;
        for (int j = 0; j < 10; j++)
            floats += fn(ROUNDS);
        const double rate = 2.0 * ROUNDS * floats / (now() - start);
        if (rate > best)
            best = rate;
    }
    return best;
}

double peak_fma_best(uint32_t mask, int tries)
{
    double best = peak_fma(0, tries);
    for (uint32_t level = EF_CPU_AVX2; level <= EF_CPU_NEON; level <<= 1) {
        const double rate = mask & level ? peak_fma(level, tries) : 0;
        if (rate > best)
            best = rate;
    }
    return best;
}

/* What a register holds; compilers split 64 bytes where the level has less. */
#if defined(__x86_64__) || defined(__i386__)
#define WIDTH 64
#else
#define WIDTH 16
#endif
typedef uint64_t line __attribute__((vector_size(WIDTH)));
#define LINES 4 /* accumulators */

/* The same loop compiled for each level. n: a multiple of LINES. */
static inline __attribute__((always_inline)) void sum_lines(const line *p, size_t n)
{
    line a0 = p[0], a1 = p[1], a2 = p[2], a3 = p[3];
    for (size_t k = LINES; k < n; k += LINES) {
        a0 += p[k];
        a1 += p[k + 1];
        a2 += p[k + 2];
        a3 += p[k + 3];
    }
    a0 += a1 + (a2 + a3);
    uint64_t all = 0;
    for (int i = 0; i < WIDTH / 8; i++)
        all ^= a0[i];
    int_sink = all;
}

static void read_portable(const line *p, size_t n)
{
    sum_lines(p, n);
}

#if defined(__x86_64__) || defined(__i386__)
__attribute__((target("avx2"))) static void read_avx2(const line *p, size_t n)
{
    sum_lines(p, n);
}

__attribute__((target("avx512f"))) static void read_avx512(const line *p, size_t n)
{
    sum_lines(p, n);
}
#endif

double peak_read(size_t bytes, int tries)
{
    void (*fn)(const line *, size_t) = read_portable;
#if defined(__x86_64__) || defined(__i386__)
    const uint32_t cpu = ef_cpu_features();
    fn = cpu & EF_CPU_AVX512 ? read_avx512 : cpu & EF_CPU_AVX2 ? read_avx2 : fn;
#endif
    const size_t step = LINES * sizeof(line), n = bytes / step * LINES;
    line *p = n ? aligned_alloc(sizeof(line), n * sizeof(line)) : NULL;
    if (!p)
        return 0;
    for (size_t i = 0; i < n; i++)
        p[i] = (line){i};
    /* About 16 MiB a try, so that the clock's own time does not count. */
    const size_t passes = ((size_t)16 << 20) / (n * sizeof(line)) + 1;
    double best = 0;
    fn(p, n);
    for (int i = 0; i < tries; i++) {
        const double start = now();
        for (size_t j = 0; j < passes; j++)
            fn(p, n);
        const double rate = (double)(passes * n * sizeof(line)) / (now() - start);
        if (rate > best)
            best = rate;
    }
    free(p);
    return best;
}
