/* kcheck.c - see kcheck.h. */
#define _GNU_SOURCE
#include "tests/kernel/kcheck.h"

#include <math.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define CANARY 0x7fc0dea1u /* a NaN */
#define ANYWHERE 64        /* floats that a tensor has around it in the middle */

struct guarded guarded_new(size_t n, uint64_t *state)
{
    enum { START, END, MIDDLE };
    const int place = test_random_int(state, START, MIDDLE);
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const size_t needed = (n + (place == MIDDLE ? 2 * ANYWHERE : 0)) * sizeof(float);
    const size_t inner = (needed + page - 1) / page * page;
    struct guarded g = {.n = n, .map_size = inner + 2 * page};
    g.map = mmap(NULL, g.map_size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(g.map, MAP_FAILED);
    char *first = (char *)g.map + page;
    if (inner)
        ck_assert_int_eq(mprotect(first, inner, PROT_READ | PROT_WRITE), 0);
    g.inner = (uint32_t *)(void *)first;
    g.words = inner / sizeof *g.inner;
    for (size_t i = 0; i < g.words; i++)
        g.inner[i] = CANARY;
    /* In the middle on an odd float, so that not even a pair is aligned. */
    g.v = (float *)(void *)first +
          (place == END      ? g.words - n
           : place == MIDDLE ? (size_t)test_random_int(state, 0, ANYWHERE / 2) * 2 + 1
                             : 0);
    return g;
}

struct guarded guarded_bytes(size_t n, uint64_t *state)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const size_t inner = (n + page - 1) / page * page;
    struct guarded g = {.n = n, .map_size = inner + 2 * page};
    g.map = mmap(NULL, g.map_size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(g.map, MAP_FAILED);
    char *first = (char *)g.map + page;
    ck_assert_int_eq(mprotect(first, inner, PROT_READ | PROT_WRITE), 0);
    memset(first, 0xff, inner);
    g.v = (float *)(void *)(test_random_int(state, 0, 1) ? first + inner - n : first);
    return g;
}

void guarded_check(const struct guarded *g, const char *what)
{
    const size_t first = (size_t)(g->v - (const float *)(const void *)g->inner);
    for (size_t i = 0; i < g->words; i++)
        if ((i < first || i >= first + g->n) && g->inner[i] != CANARY)
            ck_abort_msg("%s: wrote float %td of a tensor of %zu", what,
                         (ptrdiff_t)i - (ptrdiff_t)first, g->n);
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
