/* inputs.h - the pictures that classify was told of: arguments, folders, "-",
 * --files-from. */
#ifndef DFNET_EXAMPLES_DFNET_INPUTS_H
#define DFNET_EXAMPLES_DFNET_INPUTS_H

#include "examples/dfnet/options.h"

struct input_calls {
    ex_file_fn *each; /* a picture                         */
    int (*bad)(void *user, const char *path,
               const char *what); /* a name that gives none */
    void *user;
};

/* Calls `each` for every picture in order, reading the list while it goes; not 0 from a
 * call ends it. 0, or -1 if the list cannot be read, after a sentence on standard error.
 */
int inputs_walk(const struct options *o, const struct input_calls *calls);

/* Reads a list's next name, up to `end` or the end of f, into name [cap]: 1 a name,
 * perhaps empty; 0 the end of the list; -1 what stands there is too long, or has a zero
 * byte in it, and name has its beginning. */
int inputs_next(FILE *f, int end, char *name, size_t cap);

/* How many calls inputs_walk() will make, as things stand; 0: not known, since the list
 * can be read only once. */
long inputs_count(const struct options *o);

/* 1 if there can be more than one picture. */
int inputs_many(const struct options *o);

/* 1 if the command line names something to read, and standard input at most once; else 0
 * after a sentence. */
int inputs_check(const struct options *o);

#endif
