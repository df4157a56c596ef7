/* rows.c - see rows.h. */
#define _POSIX_C_SOURCE 200809L
#include "examples/dfnet/rows.h"

#include "examples/dfnet/escape.h"
#include "examples/dfnet/progress.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int want_color(enum color_when when)
{
    const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
    if (when != COLOR_AUTO)
        return when == COLOR_ALWAYS;
    /* https://no-color.org: any value but the empty one. */
    return isatty(STDOUT_FILENO) && !(no && *no) && term && strcmp(term, "dumb") != 0;
}

void rows_begin(struct rows *r, const struct options *o, const struct scorer *s)
{
    *r = (struct rows){o->format, want_color(o->color), isatty(STDOUT_FILENO), s};
    if (r->format == OUT_CSV)
        puts("path,face,x,y,width,height,found,fake,logit,verdict,picture_fake,"
             "picture_logit,picture_verdict,heatmap,top,error,where");
    else if (r->format == OUT_TABLE && s->faces)
        printf("%-10s %8s %8s  %-24s %s\n", "verdict", "fake", "logit", "face",
               "picture");
    fflush(stdout);
}

const char *rows_where(const char *path, const ef_error *err)
{
    const size_t n = strlen(path);
    const char *where = err->where;
    if (!strncmp(where, path, n))
        where += where[n] == ':' ? n + 1 : n;
    return where + strspn(where, " ");
}

static const char *label_of(const struct rows *r, const ef_top *top)
{
    const char *label = ef_model_label(r->scorer->models[0], top->output);
    return label ? label : "";
}

/* ---- table ------------------------------------------------------------------------- */

static void print_verdict(const struct rows *r, ef_verdict verdict)
{
    /* SGR colours: green, yellow, red (ECMA-48, 8.3.117). */
    static const int colors[] = {0, 32, 33, 31};
    if (r->color && colors[verdict])
        printf("\033[%dm%-10s\033[0m", colors[verdict], ef_verdict_name(verdict));
    else
        printf("%-10s", ef_verdict_name(verdict));
}

void rows_table_line(const struct rows *r, ef_verdict verdict, double fake, double logit,
                     const char *face, const char *path)
{
    print_verdict(r, verdict);
    if (verdict == EF_VERDICT_NONE)
        printf(" %8s   %8s  %-24s ", "-", "-", face);
    else
        printf(" %6.1f %% %8.3f  %-24s ", 100 * fake, logit, face);
    ex_print_text(stdout, path);
    putchar('\n');
}

static void table_row(const struct rows *r, const char *path,
                      const struct picture_score *p)
{
    for (int i = 0; i < p->nfaces; i++) {
        const struct scored_face *f = &p->faces[i];
        char face[96] = "whole picture";
        if (!p->whole)
            snprintf(face, sizeof face, "%.6g,%.6g %.6gx%.6g", (double)f->box.x,
                     (double)f->box.y, (double)f->box.w, (double)f->box.h);
        rows_table_line(r, f->verdict, f->fake, f->logit, face, path);
    }
    if (p->nfaces > 1) {
        char all[48];
        snprintf(all, sizeof all, "all %d faces", p->nfaces);
        rows_table_line(r, p->verdict, p->fake, p->logit, all, path);
    }
    if (!p->nfaces && r->scorer->faces) {
        rows_table_line(r, EF_VERDICT_NONE, 0, 0, "no face", path);
    } else if (!p->nfaces) {
        ex_print_text(stdout, path);
        putchar('\n');
    }
    for (size_t i = 0; i < p->ntop; i++) {
        const char *label = label_of(r, &p->top[i]);
        printf("%11s%6.2f %%  ", "", 100 * (double)p->top[i].value);
        ex_print_text(stdout, *label ? label : "(no label)");
        printf(" [%d]\n", p->top[i].output);
    }
}

/* ---- JSON -------------------------------------------------------------------------- */

void rows_json_scores(double fake, double logit, ef_verdict verdict)
{
    if (verdict != EF_VERDICT_NONE)
        printf("\"fake\":%.9g,\"logit\":%.9g,", fake, logit);
    printf("\"verdict\":\"%s\"", ef_verdict_name(verdict));
}

void rows_json_lacking(const struct scorer *s, uint64_t lacking)
{
    char why[SCORER_WHY];
    int any = 0;
    for (size_t i = 0; i < s->nall; i++)
        if (lacking >> i & 1) {
            printf("%s{\"model\":", any++ ? "," : ",\"lacking\":[");
            ex_print_json(stdout, scorer_why(s, i, why));
            fputs(",\"why\":", stdout);
            ex_print_json(stdout, why);
            putchar('}');
        }
    if (any)
        putchar(']');
}

void rows_json_pipeline(const struct scorer *s)
{
    if (!s->pipeline)
        return;
    fputs(",\"pipeline\":{\"name\":", stdout);
    ex_print_json(stdout, s->plan.name);
    fputs(",\"lacks\":", stdout);
    ex_print_json(stdout, s->plan.lacks);
    putchar('}');
}

static void json_face(const struct rows *r, const struct picture_score *p, int i)
{
    const struct scored_face *f = &p->faces[i];
    printf("%s{\"box\":{\"x\":%.9g,\"y\":%.9g,\"w\":%.9g,\"h\":%.9g},", i ? "," : "",
           (double)f->box.x, (double)f->box.y, (double)f->box.w, (double)f->box.h);
    rows_json_scores(f->fake, f->logit, f->verdict);
    printf(",\"found\":%.9g", (double)f->found);
    if (r->scorer->nmodels > 1) {
        printf(",\"models\":[");
        for (size_t m = 0; m < r->scorer->nmodels; m++) {
            const ef_result *one = &p->results[m * MAX_FACES + (size_t)i];
            printf("%s{\"hash\":\"%s\",", m ? "," : "", r->scorer->infos[m].hash);
            rows_json_scores((double)one->fake, (double)one->logit, one->verdict);
            putchar('}');
        }
        putchar(']');
    }
    putchar('}');
}

static void json_row(const struct rows *r, const char *path,
                     const struct picture_score *p, const char *heatmap)
{
    printf("{\"schema\":1,\"path\":");
    ex_print_json(stdout, path);
    printf(",\"faces\":[");
    for (int i = 0; i < p->nfaces; i++)
        json_face(r, p, i);
    fputs("],", stdout);
    rows_json_scores(p->fake, p->logit, p->verdict);
    for (size_t i = 0; i < p->ntop; i++) {
        printf("%s{\"index\":%d,\"value\":%.9g,\"label\":", i ? "," : ",\"top\":[",
               p->top[i].output, (double)p->top[i].value);
        ex_print_json(stdout, label_of(r, &p->top[i]));
        putchar('}');
    }
    if (p->ntop)
        putchar(']');
    if (p->nfaces)
        rows_json_lacking(r->scorer, p->lacking);
    rows_json_pipeline(r->scorer);
    if (heatmap) {
        printf(",\"heatmap\":");
        ex_print_json(stdout, heatmap);
    }
    puts("}");
}

/* ---- CSV --------------------------------------------------------------------------- */

static void csv_top(const struct rows *r, const struct picture_score *p)
{
    char text[4096] = "";
    size_t used = 0;
    for (size_t i = 0; i < p->ntop && used < sizeof text; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%s [%d] %.6g",
                                 i ? "; " : "", label_of(r, &p->top[i]), p->top[i].output,
                                 (double)p->top[i].value);
    escape_csv(stdout, text);
}

void rows_csv_face(size_t number, ef_box box, float found)
{
    printf(",%zu,%.9g,%.9g,%.9g,%.9g,%.9g", number, (double)box.x, (double)box.y,
           (double)box.w, (double)box.h, (double)found);
}

void rows_csv_scores(double fake, double logit, ef_verdict verdict)
{
    if (verdict != EF_VERDICT_NONE)
        printf(",%.9g,%.9g", fake, logit);
    else
        fputs(",,", stdout);
    printf(",%s", ef_verdict_name(verdict));
}

static void csv_row(const struct rows *r, const char *path, const struct picture_score *p,
                    const char *heatmap)
{
    for (int i = 0; i < p->nfaces || !i; i++) {
        const struct scored_face *f = &p->faces[i];
        escape_csv(stdout, path);
        if (p->nfaces) {
            rows_csv_face((size_t)i + 1, f->box, f->found);
            rows_csv_scores(f->fake, f->logit, f->verdict);
        } else {
            fputs(",,,,,,,,,", stdout);
        }
        rows_csv_scores(p->fake, p->logit, p->verdict);
        putchar(',');
        escape_csv(stdout, heatmap && !i ? heatmap : "");
        putchar(',');
        csv_top(r, p);
        puts(",,");
    }
}

/* ---- any --------------------------------------------------------------------------- */

void rows_score(const struct rows *r, const char *path, const struct picture_score *score,
                const char *heatmap)
{
    if (r->terminal)
        progress_clear();
    if (r->format == OUT_JSON)
        json_row(r, path, score, heatmap);
    else if (r->format == OUT_CSV)
        csv_row(r, path, score, heatmap);
    else
        table_row(r, path, score);
    fflush(stdout);
}

void rows_error(const struct rows *r, const char *path, const ef_error *err)
{
    const char *where = rows_where(path, err);
    progress_clear();
    if (r->format == OUT_JSON) {
        printf("{\"schema\":1,\"path\":");
        ex_print_json(stdout, path);
        printf(",\"error\":");
        ex_print_json(stdout, err->what);
        printf(",\"where\":");
        ex_print_json(stdout, where);
        puts("}");
    } else if (r->format == OUT_CSV) {
        escape_csv(stdout, path);
        printf(",,,,,,,,,,,,,,,");
        escape_csv(stdout, err->what);
        putchar(',');
        escape_csv(stdout, where);
        putchar('\n');
    } else {
        char place[512];
        snprintf(place, sizeof place, "%s%s%s", path, *where ? ": " : "", where);
        say_error(place, err->what);
    }
    fflush(stdout);
}
