/* worklist.h - all that classify was told of, as a list in memory: what --resume goes
 * through, in this order. About 50 bytes a file beside its name. blackbox.c reads it. */
#ifndef DFNET_EXAMPLES_DFNET_WORKLIST_H
#define DFNET_EXAMPLES_DFNET_WORKLIST_H

#include "examples/dfnet/options.h"

struct worklist {
    char *text; /* names and reasons, each with its zero at the end */
    size_t used, text_cap;
    struct work_entry {
        size_t name,
            bad; /* offsets in text; bad: why it is no picture, 0: it may be one */
    } * entries; /* [count] */
    size_t count, cap;
    uint64_t hash; /* of the names behind the folder that all have in common, in order */
    int no_memory, standard; /* the list could not be kept; standard input is in it */
};

/* 0, or the exit code after a sentence. worklist_free() is due in either case. */
int worklist_read(struct worklist *w, const struct options *o);
void worklist_free(struct worklist *w);

/* Name of entry i, and the reason why it cannot be read, NULL: none is known. */
const char *worklist_name(const struct worklist *w, size_t i);
const char *worklist_bad(const struct worklist *w, size_t i);

#endif
