/* kcheck.h - tensors between guard pages, for kernel tests.
 *
 *   | PROT_NONE | ... data | PROT_NONE |     at the end: reading one float past it dies
 *   | PROT_NONE | data ... | PROT_NONE |     at the start: reading one before it dies */
#ifndef DFN_TESTS_KCHECK_H
#define DFN_TESTS_KCHECK_H

#include "tests/support/support.h"

struct guarded {
    float *v; /* n floats */
    size_t n;
    void *map;
    size_t map_size;
};

/* Filled with NaN, so that what is not written, or read without being there, shows. */
struct guarded guarded_new(size_t n, bool at_end);
void guarded_free(struct guarded *g);

/* Uniform in [-1, 1). */
void guarded_random(struct guarded *g, uint64_t *state);

/* Fails unless |got - want| <= bound; NaN equals NaN. */
void check_close(double got, double want, double bound, const char *what);

#endif
