/* network.c - see network.h. */
#include "examples/dfnet/network.h"

#include "examples/dfnet/commands.h"

#include <stdlib.h>
#include <string.h>

int network_failed(const struct network *n)
{
    if (ex_cancel(NULL))
        return EX_INTERRUPTED;
    say_error(*n->err.where ? n->err.where : "memory",
              *n->err.what ? n->err.what : "there is not enough");
    return n->err.status == EF_E_NOMEM || !n->err.status ? EX_NO_MEMORY : EX_MODEL;
}

int network_open(struct network *n, const struct options *o)
{
    int outputs = 0;
    memset(n, 0, sizeof *n);
    if (o->nargs > 1) {
        fputs("dfnet: one model file at a time\n", stderr);
        return EX_USAGE;
    }
    const int code =
        load_model(o->nargs ? o->args[0] : NULL, &o->lib, &n->model, &n->info);
    if (code)
        return code;
    if (ef_session_create(n->model, &o->lib, &n->session, &n->err))
        return network_failed(n);
    ef_session_shape(n->session, &n->height, &n->width, &n->batch, &outputs, NULL);
    const size_t count = (size_t)n->batch * 3 * (size_t)n->height * (size_t)n->width;
    n->input = malloc(count * sizeof(float));
    n->logits = malloc((size_t)n->batch * (size_t)outputs * sizeof(float));
    if (!n->input || !n->logits)
        return network_failed(n);
    /* Numerical Recipes' generator; a network's time does not depend on its input. */
    uint32_t seed = 1;
    for (size_t i = 0; i < count; i++)
        n->input[i] =
            (float)((seed = seed * 1664525u + 1013904223u) >> 8) / 8388608.0f - 1.0f;
    return 0;
}

void network_close(struct network *n)
{
    free(n->input);
    free(n->logits);
    ef_session_free(n->session);
    ef_model_free(n->model);
    memset(n, 0, sizeof *n);
}

int network_run(void *network)
{
    struct network *n = network;
    return ef_session_run(n->session, n->input, n->batch, n->logits, &n->err);
}

int network_print(void *unused, const char *text, size_t length)
{
    (void)unused;
    return fwrite(text, 1, length, stdout) != length;
}
