/* workers.h - processes that score one file after the other. They are forked when the
 * models are loaded, so that these lie in memory once; one that dies takes only the file
 * at hand with it. blackbox.c gives them files and gets lines of text.
 *
 * What a worker prints to standard output goes to an unnamed temporary file and, after
 * each file of the list, back to the parent: rows.c needs to know nothing of it. */
#ifndef DFNET_EXAMPLES_DFNET_WORKERS_H
#define DFNET_EXAMPLES_DFNET_WORKERS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define NO_FILE UINT32_MAX

/* What a worker says of one file, then `length` bytes that it printed. */
struct work_answer {
    uint32_t file;   /* NO_FILE: the worker has begun, and printed a head          */
    uint32_t status; /* enum row_status                                            */
    int32_t stop;    /* exit code that ends the run, or 0; the worker is gone then */
    uint32_t no_memory;
    uint64_t length;
};

/* What runs in the worker; both print to standard output and fill in a->status, stop,
 * no_memory. */
struct work_calls {
    void (*begin)(void *user, int worker, struct work_answer *a);
    /* ended: how a worker before this one ended over the file, as waitpid() has it; 0: it
     * did not. */
    void (*file)(void *user, uint32_t file, int ended, struct work_answer *a);
    void *user;
};

struct worker {
    pid_t pid; /* 0: none */
    int fd;
    uint32_t file; /* at hand, or NO_FILE */
    int begun;     /* its head has come   */
    char *in;      /* bytes that came     */
    size_t used, cap;
};

/* Starts worker number i of n. 0, or -1 with errno. The child never returns. `secret` is
 * a descriptor that it must not keep. */
int worker_start(struct worker *all, int n, int i, int secret,
                 const struct work_calls *c);

/* 0, or -1: it is gone. */
int worker_give(struct worker *w, uint32_t file, int ended);

/* Waits until one of the n has something to say, or a signal comes. For each that has,
 * calls answer(user, i, a, text) as often as there are answers, or gone(user, i, status)
 * once it has ended. 0, or -1: out of memory. */
struct work_heard {
    void (*answer)(void *user, int i, const struct work_answer *a, const char *text);
    void (*gone)(void *user, int i, int ended);
    void *user;
};
int workers_hear(struct worker *all, int n, const struct work_heard *h);

/* Ends them all, at once if hurry; and frees what they hold. */
void workers_end(struct worker *all, int n, int hurry);

/* CPUs that this process may use. */
int workers_cpus(void);

#endif
