/* balance.h - how evenly a network's work is shared between threads, on a machine that
 * needs only one processor: the library is given a pool that runs the parts one after the
 * other, and each is timed alone. Called by bench_model. */
#ifndef DFN_BENCHMARKS_BALANCE_H
#define DFN_BENCHMARKS_BALANCE_H

#include "dfnet/dfnet.h"

#define BALANCE_THREADS 64
/* Calls of a run that are kept apart; L2 has some 500. */
#define BALANCE_CALLS 2048

struct balance {
    double best[BALANCE_CALLS][BALANCE_THREADS]; /* ns of each part, over all runs      */
    int parts[BALANCE_CALLS];
    int calls;     /* of the run that goes on                                           */
    double inside; /* ns of its parts                                                   */
    double beside; /* ns of what one thread does meanwhile, over all runs               */
};

/* Puts a pool of opt->threads parts into opt. NULL: no memory. Freed by free(). */
struct balance *balance_new(ef_options *opt);

/* One more run, run(arg). Not 0 if that or the room for calls failed. */
int balance_add(struct balance *b, int (*run)(void *), void *arg);

/* One line on stdout. */
void balance_print(const struct balance *b, int threads, int runs);

#endif
