/* output.c - see output.h. */
#include "examples/output.h"

#include <string.h>

void out_begin(int json)
{
    if (!json)
        printf("%-10s %8s %8s  %-22s %s\n", "verdict", "fake", "logit", "face",
               "picture");
}

static void json_begin(const char *path)
{
    printf("{\"schema\":1,\"path\":");
    ex_print_json(stdout, path);
}

void out_error(int json, const char *path, const ef_error *err)
{
    if (json) {
        json_begin(path);
        printf(",\"error\":");
        ex_print_json(stdout, err->what);
        printf(",\"where\":");
        ex_print_json(stdout, err->where);
        puts("}");
        fflush(stdout);
        return;
    }
    fputs("face_classifier: ", stderr);
    ex_print_text(stderr, path);
    /* The library names the file first, and the part of it that is wrong behind it. */
    const size_t n = strlen(path);
    const char *where = err->where;
    if (!strncmp(where, path, n))
        where += where[n] == ':' ? n + 2 : n;
    if (*where)
        fprintf(stderr, ": %s", where);
    fprintf(stderr, ": %s\n", err->what);
}

static void json_row(const struct out_row *r)
{
    json_begin(r->path);
    printf(",\"faces\":[");
    for (int i = 0; i < r->nfaces; i++) {
        const ef_result *f = &r->faces[i];
        printf("%s{\"box\":{\"x\":%.9g,\"y\":%.9g,\"w\":%.9g,\"h\":%.9g},\"fake\":%.9g,"
               "\"logit\":%.9g,\"verdict\":\"%s\"}",
               i ? "," : "", (double)f->box.x, (double)f->box.y, (double)f->box.w,
               (double)f->box.h, (double)f->fake, (double)f->logit,
               ef_verdict_name(f->verdict));
    }
    putchar(']');
    for (size_t i = 0; i < r->ntop; i++) {
        const char *label = ef_model_label(r->model, r->top[i].output);
        printf("%s{\"index\":%d,\"value\":%.9g,\"label\":", i ? "," : ",\"top\":[",
               r->top[i].output, (double)r->top[i].value);
        ex_print_json(stdout, label ? label : "");
        putchar('}');
    }
    puts(r->ntop ? "]}" : "}");
}

static void text_row(const struct out_row *r)
{
    for (int i = 0; i < r->nfaces; i++) {
        const ef_result *f = &r->faces[i];
        char box[64] = "whole picture";
        if (!r->whole)
            snprintf(box, sizeof box, "%.6g,%.6g %.6gx%.6g", (double)f->box.x,
                     (double)f->box.y, (double)f->box.w, (double)f->box.h);
        printf("%-10s %6.1f %% %8.3f  %-22s ", ef_verdict_name(f->verdict),
               100.0 * (double)f->fake, (double)f->logit, box);
        ex_print_text(stdout, r->path);
        putchar('\n');
    }
    if (!r->nfaces) {
        if (r->scored)
            printf("%-10s %8s %8s  %-22s ", ef_verdict_name(EF_VERDICT_NONE), "-  ", "-",
                   "no face");
        ex_print_text(stdout, r->path);
        putchar('\n');
    }
    for (size_t i = 0; i < r->ntop; i++) {
        const char *label = ef_model_label(r->model, r->top[i].output);
        printf("%11s%6.2f %%  ", "", 100.0 * (double)r->top[i].value);
        ex_print_text(stdout, label ? label : "(no label)");
        printf(" [%d]\n", r->top[i].output);
    }
}

void out_row(int json, const struct out_row *row)
{
    if (json)
        json_row(row);
    else
        text_row(row);
    fflush(stdout);
}
