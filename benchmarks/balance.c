/* balance.c - see balance.h. The sum of each call's slowest part is how long so many
 * threads would take if handing out and waiting, and data that another thread wrote, cost
 * nothing. */
#include "benchmarks/balance.h"

#include "benchmarks/bench.h"

#include <stdio.h>
#include <stdlib.h>

static void run_parts(void *user, ef_task_fn *task, void *context, int n)
{
    struct balance *b = user;
    const int call = b->calls++;
    for (int i = 0; i < n; i++) {
        const double began = bench_now_ns();
        task(context, i);
        const double ns = bench_now_ns() - began;
        b->inside += ns;
        if (call >= BALANCE_CALLS)
            continue;
        b->parts[call] = n;
        if (b->best[call][i] <= 0 || ns < b->best[call][i])
            b->best[call][i] = ns;
    }
}

struct balance *balance_new(ef_options *opt)
{
    struct balance *b = calloc(1, sizeof *b);
    opt->pool = (ef_pool){opt->threads, run_parts, b};
    return b;
}

int balance_add(struct balance *b, int (*run)(void *), void *arg)
{
    b->calls = 0;
    b->inside = 0;
    const double began = bench_now_ns();
    if (run(arg) || b->calls > BALANCE_CALLS)
        return 1;
    const double beside = bench_now_ns() - began - b->inside;
    if (b->beside <= 0 || beside < b->beside)
        b->beside = beside;
    return 0;
}

void balance_print(const struct balance *b, int threads, int runs)
{
    double sum = 0, path = 0;
    for (int call = 0; call < b->calls; call++) {
        double most = 0;
        for (int i = 0; i < b->parts[call]; i++) {
            const double ns = b->best[call][i];
            sum += ns;
            most = ns > most ? ns : most;
        }
        path += most;
    }
    printf("%d threads, %d calls: slowest parts %.3f ms together, all %.3f ms, balance "
           "%.1f %%; one thread alone besides %.3f ms (minima of %d runs)\n",
           threads, b->calls, path / 1e6, sum / 1e6, 100 * sum / threads / path,
           b->beside / 1e6, runs);
}
