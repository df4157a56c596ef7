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

/* Each runs `rounds` times CHAINS multiply-adds and returns how many floats one has. The
 * factor is below 1, so that nothing overflows or becomes denormal. */
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
    return 4;
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
    return 8;
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
    return 16;
}
#elif defined(__aarch64__)
static int fma_neon(int rounds)
{
    const float32x4_t m = vdupq_n_f32(0.999f), c = vdupq_n_f32(0.5f);
    float32x4_t a[2 * CHAINS];
    for (int i = 0; i < 2 * CHAINS; i++)
        a[i] = c;
    for (int r = 0; r < rounds; r++)
        for (int i = 0; i < 2 * CHAINS; i++)
            a[i] = vfmaq_f32(c, a[i], m);
    for (int i = 0; i < 2 * CHAINS; i++)
        sink = vgetq_lane_f32(a[i], 0);
    return 8;
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
        double lanes = 0;
        for (int j = 0; j < 10; j++)
            lanes += fn(ROUNDS);
        const double rate = 2.0 * CHAINS * ROUNDS * lanes / (now() - start);
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

/* One vector of 64 bytes; compilers split it into what the level has. */
typedef uint64_t line __attribute__((vector_size(64)));
#define LINES 8 /* accumulators */

/* The same loop compiled for each level. n: a multiple of LINES. */
static inline __attribute__((always_inline)) void sum_lines(const line *p, size_t n)
{
    line a[LINES];
    for (int i = 0; i < LINES; i++)
        a[i] = p[i];
    for (size_t k = LINES; k < n; k += LINES)
        for (int i = 0; i < LINES; i++)
            a[i] += p[k + (size_t)i];
    for (int i = 1; i < LINES; i++)
        a[0] += a[i];
    int_sink = a[0][0] ^ a[0][3] ^ a[0][7];
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
