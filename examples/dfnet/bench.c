/* bench.c - dfnet bench: how long one run of a network takes. Timing and JSON are those
 * of benchmarks/bench.h. */
#include "benchmarks/bench.h"
#include "examples/dfnet/commands.h"
#include "examples/dfnet/network.h"

#include <stdlib.h>

static void print_json(const struct network *n, const struct options *o,
                       const struct bench_times *t)
{
    char name[128], extra[128];
    snprintf(name, sizeof name, "%s/%dx%d/batch:%d/threads:%d", n->info.variant,
             n->height, n->width, n->batch, o->lib.threads);
    snprintf(extra, sizeof extra, ", \"items_per_second\": %.3f, \"session_bytes\": %zu",
             (double)n->batch / t->median * 1e9, ef_session_memory(n->session));
    bench_json_begin("dfnet", ex_blas() ? "openblas" : "none", ex_blas() ? 1 : 0);
    bench_json_row(name, t, o->lib.threads, extra);
    bench_json_end();
}

static void print_text(const struct network *n, const struct options *o,
                       const struct bench_times *t)
{
    ex_print_text(stdout, n->info.name);
    printf(", %dx%d, batch %d, threads %d\n", n->height, n->width, n->batch,
           o->lib.threads);
    printf("min %.3f ms, median %.3f ms, max %.3f ms of %d runs; %.2f inputs a second\n",
           t->min / 1e6, t->median / 1e6, t->max / 1e6, t->n,
           (double)n->batch / t->median * 1e9);
    printf("session memory %.1f MiB\n", (double)ef_session_memory(n->session) / 1048576);
}

int run_bench(const struct options *o)
{
    struct network n;
    struct bench_times t = {0};
    int code = network_open(&n, o);
    if (!code && !bench_run(network_run, &n, 3, o->repeat, &t))
        code = network_failed(&n);
    if (!code && o->format == OUT_JSON)
        print_json(&n, o, &t);
    else if (!code)
        print_text(&n, o, &t);
    free(t.ns);
    network_close(&n);
    return code;
}
