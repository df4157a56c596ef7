/* bench_peak.c - the peaks of this machine as a line of JSON: multiply-adds at each CPU
 * level, and reading from each level of memory, by as many threads at once. Called by
 * benchmarks/peers and by people. */
#include "benchmarks/peak.h"
#include "examples/common.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define TRIES 50
#define MAX_THREADS 64

struct probe {
    uint32_t level;
    size_t bytes; /* 0: multiply-adds at `level` */
    double rate;
    pthread_barrier_t *start;
};

static void *measure(void *arg)
{
    struct probe *p = arg;
    pthread_barrier_wait(p->start);
    p->rate = p->bytes ? peak_read(p->bytes, TRIES) : peak_fma(p->level, TRIES);
    return NULL;
}

/* Sum over the threads, each at its own best moment. */
static double together(int threads, uint32_t level, size_t bytes)
{
    pthread_t ids[MAX_THREADS];
    struct probe probes[MAX_THREADS];
    pthread_barrier_t start;
    double sum = 0;
    pthread_barrier_init(&start, NULL, (unsigned)threads);
    for (int i = 0; i < threads; i++) {
        probes[i] = (struct probe){level, bytes, 0, &start};
        /* The first is this thread; without the others nobody would pass the barrier. */
        if (i && pthread_create(&ids[i], NULL, measure, &probes[i]))
            exit(EX_ALL_FAILED);
    }
    measure(&probes[0]);
    for (int i = 1; i < threads; i++)
        pthread_join(ids[i], NULL);
    for (int i = 0; i < threads; i++)
        sum += probes[i].rate;
    pthread_barrier_destroy(&start);
    return sum;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        uint32_t level;
    } levels[] = {{"portable", 0},
                  {"avx2", EF_CPU_AVX2},
                  {"avx512", EF_CPU_AVX512},
                  {"neon", EF_CPU_NEON}};
    static const size_t kib[] = {16, 256, 1024, 4096, 16384, 65536};
    int threads = 1;
    if (argc > 2 || (argc == 2 && !ex_parse_int(argv[1], 1, MAX_THREADS, &threads)))
        return fputs("bench_peak [THREADS]    GFLOP/s and GB/s of so many threads (1)\n",
                     stderr),
               EX_USAGE;
    printf("{\"threads\": %d, \"gflops\": {", threads);
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++)
        if (!levels[i].level || ef_cpu_features() & levels[i].level)
            printf("%s\"%s\": %.1f", i ? ", " : "", levels[i].name,
                   together(threads, levels[i].level, 0) / 1e9);
    printf("}, \"read_gbytes_per_second\": {");
    for (size_t i = 0; i < sizeof kib / sizeof *kib; i++)
        printf("%s\"%zu KiB\": %.1f", i ? ", " : "", kib[i],
               together(threads, 0, kib[i] * 1024) / 1e9);
    puts("}}");
    return EX_DONE;
}
