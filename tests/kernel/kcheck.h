/* kcheck.h - tensors between guard pages, for kernel tests. Where one lies is drawn:
 *
 *   | PROT_NONE | ... data | PROT_NONE |     at the end: reading one float past it dies
 *   | PROT_NONE | data ... | PROT_NONE |     at the start: reading one before it dies
 *   | PROT_NONE | . data . | PROT_NONE |     anywhere: on 4 bytes, but on no more
 *
 * "." are canaries: NaN, so that reading them shows, and compared by guarded_check(), so
 * that writing them does. */
#ifndef DFN_TESTS_KCHECK_H
#define DFN_TESTS_KCHECK_H

#include "tests/support/support.h"

struct guarded {
    float *v; /* n floats */
    size_t n;
    uint32_t *inner; /* [words], between the guard pages */
    size_t words;
    void *map;
    size_t map_size;
};

/* Filled with NaN, so that what is not written, or read without being there, shows.
 * state: draws the place. */
struct guarded guarded_new(size_t n, uint64_t *state);
/* Fails if something before or behind the floats was written. */
void guarded_check(const struct guarded *g, const char *what);
/* n bytes in v, all of whose bits are set, at the start or at the end; nothing to check,
 * the guard pages do. Free it like the others. */
struct guarded guarded_bytes(size_t n, uint64_t *state);
void guarded_free(struct guarded *g);

/* Uniform in [-1, 1). */
void guarded_random(struct guarded *g, uint64_t *state);

/* Fails unless |got - want| <= bound; NaN equals NaN. */
void check_close(double got, double want, double bound, const char *what);

#endif
