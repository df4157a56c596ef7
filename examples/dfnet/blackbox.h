/* blackbox.h - classify --resume: every file of the list once, whatever happens between.
 * classify.c calls it with what scores one file. */
#ifndef DFNET_EXAMPLES_DFNET_BLACKBOX_H
#define DFNET_EXAMPLES_DFNET_BLACKBOX_H

#include "examples/dfnet/results.h"
#include "examples/dfnet/scorer.h"
#include "examples/dfnet/workers.h"

/* What scores, in a worker. Rows go to standard output. */
struct blackbox_calls {
    /* What needs threads is started here. 0, or the exit code after a sentence. */
    int (*begin)(void *user);
    /* File number `number` of the list, from 1. bad: why it is none, NULL: it may be one.
     * Fills in status, stop, no_memory. */
    void (*file)(void *user, const char *path, const char *bad, long number,
                 struct work_answer *a);
    void *user;
};

/* The options as a run with --resume needs them: format by the file's name, one thread a
 * worker. 0, or the exit code after a sentence. */
int blackbox_options(const struct options *given, struct options *o);

/* s has been loaded, not started. Returns the exit code. */
int blackbox_run(struct options *o, const struct scorer *s,
                 const struct blackbox_calls *calls);

#endif
