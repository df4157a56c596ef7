/* results.c - see results.h. A tail is read by scanning it loosely, writing it anew and
 * comparing: what differs in one byte is no tail. */
#define _GNU_SOURCE /* memrchr, getline */
#include "examples/dfnet/results.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define TAIL_MAX 256
#define CSV_TAIL_FIELDS 6
#define CSV_HEAD_TAIL ",number,of,row,rows,status,run\n"

static const char *const status_names[] = {"scored", "met", "failed"};

struct tail {
    unsigned long number, of, row, rows;
    enum row_status status;
    struct run_id run;
};

/* ---- tails ------------------------------------------------------------------------- */

/* With its newline; its length. JSON has one row a file and does not count them. */
static size_t print_tail(char *out, size_t cap, enum output_format format,
                         const struct tail *t)
{
    char run[64];
    snprintf(run, sizeof run, "%016" PRIx64 "-%016" PRIx64 "-%016" PRIx64, t->run.models,
             t->run.options, t->run.list);
    const int n =
        format == OUT_CSV
            ? snprintf(out, cap, ",%lu,%lu,%lu,%lu,%s,%s\n", t->number, t->of, t->row,
                       t->rows, status_names[t->status], run)
            : snprintf(out, cap,
                       ",\"number\":%lu,\"of\":%lu,\"status\":\"%s\",\"run\":\"%s\"}\n",
                       t->number, t->of, status_names[t->status], run);
    return n > 0 && (size_t)n < cap ? (size_t)n : 0;
}

/* Where the tail of line [length] begins, or NULL. */
static const char *find_tail(enum output_format format, const char *line, size_t length)
{
    static const char begin[] = ",\"number\":";
    const char *at = line + length;
    for (int fields = 0; (at = memrchr(line, ',', (size_t)(at - line))) != NULL;) {
        fields++;
        if (format == OUT_CSV ? fields == CSV_TAIL_FIELDS
                              : !strncmp(at, begin, sizeof begin - 1))
            return at;
    }
    return NULL;
}

/* line [length] ends in a newline and has no zero byte. 1, or 0: it has no tail. */
static int parse_tail(enum output_format format, const char *line, size_t length,
                      struct tail *t)
{
    const char *at = find_tail(format, line, length);
    char status[8] = "", again[TAIL_MAX];
    memset(t, 0, sizeof *t);
    if (!at)
        return 0;
    int got;
    if (format == OUT_CSV) {
        got =
            sscanf(at, ",%lu,%lu,%lu,%lu,%7[a-z],%16" SCNx64 "-%16" SCNx64 "-%16" SCNx64,
                   &t->number, &t->of, &t->row, &t->rows, status, &t->run.models,
                   &t->run.options, &t->run.list);
    } else {
        t->row = t->rows = 1;
        got = 2 +
              sscanf(
                  at,
                  ",\"number\":%lu,\"of\":%lu,\"status\":\"%7[a-z]\",\"run\":\"%16" SCNx64
                  "-%16" SCNx64 "-%16" SCNx64,
                  &t->number, &t->of, status, &t->run.models, &t->run.options,
                  &t->run.list);
    }
    const int known = word_index("scored met failed", status);
    if (got != 8 || known < 0)
        return 0;
    t->status = (enum row_status)known;
    print_tail(again, sizeof again, format, t);
    return !strcmp(again, at) && t->number >= 1 && t->number <= t->of && t->row >= 1 &&
           t->row <= t->rows;
}

const char *results_differ(const struct run_id *have, const struct run_id *want)
{
    return have->models != want->models     ? "another model, or another version of dfnet"
           : have->options != want->options ? "other options"
           : have->list != want->list       ? "another list of files"
                                            : NULL;
}

/* ---- writing ----------------------------------------------------------------------- */

static int append(char **out, size_t *used, size_t *cap, const char *s, size_t n)
{
    if (*cap - *used <= n) {
        const size_t more = 2 * (*used + n + 1);
        char *bigger = realloc(*out, more);
        if (!bigger)
            return 0;
        *out = bigger;
        *cap = more;
    }
    memcpy(*out + *used, s, n);
    *used += n;
    (*out)[*used] = 0;
    return 1;
}

static unsigned long count_lines(const char *s, size_t length)
{
    unsigned long n = 0;
    for (const char *end = s + length;
         s < end && (s = memchr(s, '\n', (size_t)(end - s)));)
        n++, s++;
    return n;
}

int results_group(const struct group_facts *g, const char *lines, size_t length,
                  char **out, size_t *used, size_t *cap)
{
    struct tail t = {g->number, g->of, 0, count_lines(lines, length), g->status, g->run};
    char text[TAIL_MAX];
    for (const char *at = lines, *end = lines + length; at < end;) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        if (!newline)
            break;
        size_t n = (size_t)(newline - at);
        /* A JSON line's closing brace goes behind the tail. */
        if (g->format == OUT_JSON && n)
            n--;
        t.row++;
        const size_t more = print_tail(text, sizeof text, g->format, &t);
        if (!append(out, used, cap, at, n) || !append(out, used, cap, text, more))
            return 0;
        at = newline + 1;
    }
    return 1;
}

int results_head(enum output_format format, const char *head, size_t length, char **out)
{
    size_t used = 0, cap = 0;
    *out = NULL;
    if (format == OUT_JSON)
        return append(out, &used, &cap, "", 0);
    const char *newline = memchr(head, '\n', length);
    const size_t n = newline ? (size_t)(newline - head) : length;
    return append(out, &used, &cap, head, n) &&
           append(out, &used, &cap, CSV_HEAD_TAIL, sizeof CSV_HEAD_TAIL - 1);
}

/* ---- reading ----------------------------------------------------------------------- */

enum output_format results_format(const char *path)
{
    static const char *const json[] = {".json", ".jsonl", ".ndjson"};
    FILE *f = fopen(path, "rb");
    const int first = f ? fgetc(f) : EOF;
    if (f)
        fclose(f);
    if (first != EOF)
        return first == '{' ? OUT_JSON : OUT_CSV;
    const char *dot = strrchr(path, '.');
    for (size_t i = 0; dot && i < sizeof json / sizeof *json; i++)
        if (!strcasecmp(dot, json[i]))
            return OUT_JSON;
    return dot && !strcasecmp(dot, ".csv") ? OUT_CSV : OUT_TABLE;
}

static int problem(struct results_reader *r, const char *what)
{
    snprintf(r->problem, sizeof r->problem, "line %ld %s", r->lines, what);
    return -1;
}

/* 1: a line, in r->line, its length in *n; 0: the end, or a torn line. What a power cut
 * left as zeros is torn, too. */
static int next_line(struct results_reader *r, size_t *n)
{
    const ssize_t got = getline(&r->line, &r->line_cap, r->f);
    if (got <= 0 || r->line[got - 1] != '\n' || memchr(r->line, 0, (size_t)got))
        return 0;
    r->lines++;
    *n = (size_t)got;
    return 1;
}

int results_begin(struct results_reader *r, FILE *f, enum output_format format)
{
    static const char tail[] = CSV_HEAD_TAIL, begin[] = "path,";
    const size_t t = sizeof tail - 1;
    memset(r, 0, sizeof *r);
    r->f = f;
    r->format = format;
    const ssize_t got = getline(&r->line, &r->line_cap, f);
    if (got <= 0)
        return ferror(f) ? -1 : 0;
    if (memchr(r->line, 0, (size_t)got))
        return -1;
    if (r->line[got - 1] != '\n') {
        r->scrap = strdup(r->line);
        return r->scrap ? 0 : -1;
    }
    if (format == OUT_JSON)
        return fseeko(f, 0, SEEK_SET) ? -1 : 0;
    if ((size_t)got < t + 5 || strncmp(r->line, begin, 5) ||
        strcmp(r->line + (size_t)got - t, tail))
        return -1;
    r->head = strdup(r->line);
    r->lines = 1;
    r->good = (off_t)got;
    return r->head ? 0 : -1;
}

int results_next(struct results_reader *r)
{
    struct tail first = {0}, t = {0};
    r->length = 0;
    if (r->scrap || (r->format == OUT_CSV && !r->head))
        return 0;
    do {
        size_t n;
        if (!next_line(r, &n))
            return ferror(r->f) ? problem(r, "cannot be read") : 0;
        if (!parse_tail(r->format, r->line, n, &t))
            return problem(r, "is not as dfnet classify --resume writes it");
        if (!r->length)
            first = t;
        /* All rows of a file say the same but for their place. */
        const unsigned long row = first.row++;
        if (t.row != row || first.row - 1 > first.rows || t.number != first.number ||
            t.of != first.of || t.rows != first.rows || t.status != first.status ||
            results_differ(&t.run, &first.run) || (!r->length && t.row != 1))
            return problem(r, "does not follow the line before it");
        if (!append(&r->group, &r->length, &r->cap, r->line, n))
            return problem(r, "does not fit into memory");
    } while (t.row < t.rows);
    r->number = t.number;
    r->of = t.of;
    r->status = t.status;
    r->run = t.run;
    r->good += (off_t)r->length;
    return 1;
}

int results_scrap_fits(enum output_format format, const char *scrap, const char *head)
{
    static const char object[] = "{\"schema\":1,\"path\":\"";
    const char *whole = format == OUT_JSON ? object : head;
    const size_t have = strlen(scrap), most = strlen(whole);
    return !strncmp(scrap, whole, have < most ? have : most);
}

int results_torn(const struct results_reader *r)
{
    return fseeko(r->f, 0, SEEK_END) == 0 && ftello(r->f) != r->good;
}

void results_end(struct results_reader *r)
{
    free(r->head);
    free(r->scrap);
    free(r->group);
    free(r->line);
    memset(r, 0, sizeof *r);
}
