/* network.h - one network on made-up input, as explain and bench run it. */
#ifndef DFNET_EXAMPLES_DFNET_NETWORK_H
#define DFNET_EXAMPLES_DFNET_NETWORK_H

#include "examples/dfnet/options.h"

struct network {
    ef_model *model;
    ef_model_info info;
    ef_session *session;
    float *input, *logits; /* [batch][3][height][width], [batch][outputs] */
    int height, width, batch;
    ef_error err; /* of the last run that failed */
};

/* The model o->args[0] or the default one, with a session and input in [-1,1). 0, or the
 * exit code after a sentence. network_close() is due in either case. */
int network_open(struct network *n, const struct options *o);
void network_close(struct network *n);

/* One run; its argument is a struct network. 0, or not. */
int network_run(void *network);

/* An ef_write_fn to standard output. */
int network_print(void *unused, const char *text, size_t length);

/* Says why the last run failed; returns the exit code. */
int network_failed(const struct network *n);

#endif
