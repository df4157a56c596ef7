/* bench.c - see bench.h. */
#define _GNU_SOURCE
#include "benchmarks/bench.h"
#include "dfnet/dfnet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#ifdef NDEBUG
#define BUILD_TYPE "release"
#else
#define BUILD_TYPE "debug"
#endif

#define MAX_CALLS 1000
#define MIN_CALLS 10
#define ENOUGH_NS 1.5e9

static bool first_row;

static double clock_ns(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

double bench_now_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

struct call {
    double ns, cpu;
};

static int compare(const void *a, const void *b)
{
    const struct call *x = a, *y = b;
    return (x->ns > y->ns) - (x->ns < y->ns);
}

/* Until there are `least` and `ns` have passed, or `most`. */
static bool repeat(int (*fn)(void *), void *arg, int warmup, int least, int most,
                   double ns, struct bench_times *out)
{
    double total = 0;
    struct call *calls = malloc((size_t)most * sizeof *calls);
    *out = (struct bench_times){.ns = malloc((size_t)most * 2 * sizeof(double))};
    bool ok = calls && out->ns;
    for (int i = 0; i < warmup && ok; i++)
        ok = !fn(arg);
    while (ok && out->n < most && (out->n < least || total < ns)) {
        const double cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID), start = bench_now_ns();
        ok = !fn(arg);
        struct call *c = &calls[out->n++];
        c->ns = bench_now_ns() - start;
        c->cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu;
        total += c->ns;
    }
    if (!ok) {
        free(calls);
        return false;
    }
    qsort(calls, (size_t)out->n, sizeof *calls, compare);
    out->cpu = out->ns + most;
    for (int i = 0; i < out->n; i++) {
        out->ns[i] = calls[i].ns;
        out->cpu[i] = calls[i].cpu;
    }
    free(calls);
    out->min = out->ns[0];
    out->median = out->ns[out->n / 2];
    out->max = out->ns[out->n - 1];
    return true;
}

bool bench_run(int (*fn)(void *), void *arg, int warmup, int repeats,
               struct bench_times *out)
{
    return repeats ? repeat(fn, arg, warmup, repeats, repeats, 0, out)
                   : repeat(fn, arg, warmup, MIN_CALLS, MAX_CALLS, ENOUGH_NS, out);
}

bool bench_run_for(int (*fn)(void *), void *arg, int warmup, double seconds,
                   struct bench_times *out)
{
    return repeat(fn, arg, warmup, 3, MAX_CALLS, seconds * 1e9, out);
}

/* First "model name" of /proc/cpuinfo, without what JSON would need escaped. */
static void print_cpu(void)
{
    char line[256];
    FILE *f = fopen("/proc/cpuinfo", "r");
    while (f && fgets(line, sizeof line, f)) {
        char name[128];
        if (sscanf(line, "model name : %127[^\"\\\n]", name) == 1) {
            fputs(name, stdout);
            break;
        }
    }
    if (f)
        fclose(f);
}

void bench_json_begin(const char *program, const char *blas, int blas_threads)
{
    char date[64], host[64] = "";
    const time_t now = time(NULL);
    struct tm tm;
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S%z", localtime_r(&now, &tm));
    gethostname(host, sizeof host - 1);
    printf("{\n  \"context\": {\n    \"date\": \"%s\",\n    \"host_name\": \"%s\",\n"
           "    \"executable\": \"%s\",\n    \"num_cpus\": %ld,\n"
           "    \"library_build_type\": \"%s\",\n    \"blas\": \"%s\",\n"
           "    \"blas_threads\": %d,\n    \"cpu\": \"",
           date, host, program, sysconf(_SC_NPROCESSORS_ONLN), BUILD_TYPE, blas,
           blas_threads);
    print_cpu();
    printf("\",\n    \"caches\": []\n  },\n  \"benchmarks\": [");
    first_row = true;
}

void bench_json_row(const char *name, const struct bench_times *t, int threads,
                    const char *extra)
{
    for (int i = 0; i < t->n; i++) {
        printf("%s\n    {\"name\": \"%s\", \"run_name\": \"%s\", \"run_type\": "
               "\"iteration\", "
               "\"repetitions\": %d, \"repetition_index\": %d, \"threads\": %d, "
               "\"iterations\": 1, \"real_time\": %.3f, \"cpu_time\": %.3f, "
               "\"time_unit\": \"us\"%s}",
               first_row ? "" : ",", name, name, t->n, i, threads, t->ns[i] / 1e3,
               t->cpu[i] / 1e3, extra);
        first_row = false;
    }
}

void bench_json_end(void)
{
    puts("\n  ]\n}");
}

size_t bench_memory(const char *field)
{
    char line[256];
    size_t kib = 0;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f))
        if (!strncmp(line, field, strlen(field)) && line[strlen(field)] == ':')
            kib = strtoul(line + strlen(field) + 1, NULL, 10);
    if (f)
        fclose(f);
    return kib * 1024;
}

bool bench_parse_cpu(const char *text, uint32_t *mask)
{
    static const struct {
        const char *name;
        uint32_t mask;
    } levels[] = {{"ref", 0},
                  {"avx2", EF_CPU_AVX2},
                  {"avx512", EF_CPU_AVX2 | EF_CPU_AVX512},
                  {"neon", EF_CPU_NEON}};
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++)
        if (!strcmp(text, levels[i].name)) {
            *mask = levels[i].mask;
            return true;
        }
    char *end;
    const unsigned long long value = strtoull(text, &end, 0);
    *mask = (uint32_t)value;
    return *text >= '0' && *text <= '9' && !*end && value <= UINT32_MAX;
}
