/* verify.c - dfnet verify: does this machine compute what the model file says it must? */
#include "examples/dfnet/commands.h"

#include <string.h>

static void row(const struct options *o, const char *path, ef_status st,
                double difference, double tolerance, const ef_error *err)
{
    if (o->format == OUT_JSON) {
        printf("{\"schema\":1,\"path\":");
        ex_print_json(stdout, path);
        printf(",\"ok\":%s", st ? "false" : "true");
        if (!st || st == EF_E_NUMERIC)
            printf(",\"difference\":%.9g,\"tolerance\":%.9g", difference, tolerance);
        if (st) {
            printf(",\"error\":");
            ex_print_json(stdout, err->what);
            printf(",\"where\":");
            ex_print_json(stdout, err->where);
        }
        puts("}");
    } else if (st) {
        say_error(strncmp(err->where, path, strlen(path)) ? path : err->where, err->what);
    } else {
        ex_print_text(stdout, path);
        printf(": ok, logits differ by %.3g, allowed are %.3g\n", difference, tolerance);
    }
    fflush(stdout);
}

int run_verify(const struct options *o)
{
    int failed = 0, no_memory = 0;
    if (!o->nargs) {
        fputs("dfnet: verify wants model files; see dfnet verify --help\n", stderr);
        return EX_USAGE;
    }
    for (int i = 0; i < o->nargs && !ex_cancel(NULL); i++) {
        ef_model *model = NULL;
        ef_error err = {EF_OK, 0, "", ""};
        double difference = 0, tolerance = 0;
        ef_status st = ef_model_load_file(o->args[i], &o->lib, &model, &err);
        if (!st)
            st = ef_model_verify(model, &o->lib, &difference, &tolerance, &err);
        ef_model_free(model);
        if (st == EF_E_CANCELLED)
            break;
        failed += st != EF_OK;
        no_memory |= st == EF_E_NOMEM;
        row(o, o->args[i], st, difference, tolerance, &err);
    }
    if (ex_cancel(NULL))
        return EX_INTERRUPTED;
    if (no_memory)
        return EX_NO_MEMORY;
    return !failed ? EX_DONE : failed < o->nargs ? EX_SOME_FAILED : EX_ALL_FAILED;
}
