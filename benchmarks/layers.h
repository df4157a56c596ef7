/* layers.h - where the time of a network goes, step by step, beside what the step's
 * multiply-adds would take at the machine's peak. Called by bench_model. */
#ifndef DFN_BENCHMARKS_LAYERS_H
#define DFN_BENCHMARKS_LAYERS_H

#include "dfnet/dfnet.h"

struct layers {
    ef_step_time *last; /* [n], of the last run                                         */
    uint64_t *best;     /* [n], ns: of all runs                                         */
    size_t n;
};

/* Turns the session's profile on. 0: no memory. Freed by layers_free(). */
int layers_begin(struct layers *l, ef_session *session);
/* After each run that counts. */
void layers_add(struct layers *l, const ef_session *session);
/* The table on stdout. batch: inputs of a run; peak: FLOP/s of all threads together. */
void layers_print(const struct layers *l, int batch, double peak);
void layers_free(struct layers *l);

#endif
