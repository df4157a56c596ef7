/* kcheck.c - see kcheck.h. */
#define _GNU_SOURCE
#include "tests/kernel/kcheck.h"

#include <math.h>
#include <sys/mman.h>
#include <unistd.h>

struct guarded guarded_new(size_t n, bool at_end)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const size_t bytes = n * sizeof(float), inner = (bytes + page - 1) / page * page;
    struct guarded g = {.n = n, .map_size = inner + 2 * page};
    g.map = mmap(NULL, g.map_size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(g.map, MAP_FAILED);
    char *first = (char *)g.map + page;
    if (inner)
        ck_assert_int_eq(mprotect(first, inner, PROT_READ | PROT_WRITE), 0);
    g.v = (float *)(void *)(at_end ? first + inner - bytes : first);
    for (size_t i = 0; i < n; i++)
        g.v[i] = NAN;
    return g;
}

void guarded_free(struct guarded *g)
{
    ck_assert_int_eq(munmap(g->map, g->map_size), 0);
}

void guarded_random(struct guarded *g, uint64_t *state)
{
    for (size_t i = 0; i < g->n; i++)
        g->v[i] = test_random_float(state);
}

void check_close(double got, double want, double bound, const char *what)
{
    /* Check writes a line to a file for every assertion, also for those that hold. */
    if ((isnan(want) && isnan(got)) || got == want || fabs(got - want) <= bound)
        return;
    ck_abort_msg("%s: got %.9g, expected %.9g, off by %.3g, allowed %.3g", what, got,
                 want, fabs(got - want), bound);
}
