/* results.h - the results file of classify --resume: rows as rows.c prints them, each
 * with a tail that says which file of which run it is about. blackbox.c appends to it
 * and goes on with it, merge.c reads several.
 *
 * CSV: a head line; then a line for each row, ending in
 *     ,NUMBER,OF,ROW,ROWS,STATUS,RUN
 * JSON lines: no head; an object a line, ending in
 *     ,"number":NUMBER,"of":OF,"status":"STATUS","run":"RUN"}
 *
 *   NUMBER  the file's place in the list, from 1      OF    files in the list
 *   ROW     the row's place among the file's rows     ROWS  how many it has
 *   STATUS  scored, met (the condition of --fail-if) or failed
 *   RUN     MODELS-OPTIONS-LIST, 16 hexadecimal digits each: fingerprints of what must be
 *           the same for rows to belong together
 *
 * The rows of one file are a group. Groups follow the list's order (of shard I/N: every
 * N-th from I), so what is in the file says what is missing. Only the end can be torn. */
#ifndef DFNET_EXAMPLES_DFNET_RESULTS_H
#define DFNET_EXAMPLES_DFNET_RESULTS_H

#include "examples/dfnet/options.h"

#include <sys/types.h>

enum row_status { ROW_SCORED, ROW_MET, ROW_FAILED };

struct run_id {
    uint64_t models, options, list;
};

/* Reads a results file group by group. */
struct results_reader {
    FILE *f;
    enum output_format format;
    char *head;         /* with its newline; NULL: none, or not whole */
    char *scrap;        /* the text of a file that has no whole line, or NULL */
    char *group;        /* the last group's lines, owned              */
    size_t length, cap; /* of group                                   */
    char *line;         /* getline()'s                                */
    size_t line_cap;
    long lines; /* read so far                                */
    off_t good; /* where the last whole group ends            */
    unsigned long number, of;
    enum row_status status;
    struct run_id run;
    char problem[160]; /* after -1 */
};

/* OUT_CSV or OUT_JSON by the beginning of the file, else by the name's ending; OUT_TABLE:
 * neither says. */
enum output_format results_format(const char *path);

/* f is open for reading, at its beginning, and stays the caller's. 0, or -1: no results
 * file. An empty file, and one with half a head, has no head. */
int results_begin(struct results_reader *r, FILE *f, enum output_format format);
/* 1: a group; 0: the end, or a torn group; -1: a problem. */
int results_next(struct results_reader *r);
/* 1 if all that a run left of its first line, or "", may be scrap. */
int results_scrap_fits(enum output_format format, const char *scrap, const char *head);
/* 1 if something stands behind r->good. */
int results_torn(const struct results_reader *r);
void results_end(struct results_reader *r);

/* Why rows of `have` are not rows of `want`, NULL: they are. */
const char *results_differ(const struct run_id *have, const struct run_id *want);

/* Appends lines [length] of one file, each with its tail, to *out [*used of *cap]. 1, or
 * 0: no memory. */
struct group_facts {
    enum output_format format;
    unsigned long number, of;
    enum row_status status;
    struct run_id run;
};
int results_group(const struct group_facts *g, const char *lines, size_t length,
                  char **out, size_t *used, size_t *cap);

/* The head line (CSV; "" for JSON) that belongs to what rows.c printed as its head. 1, or
 * 0: no memory. */
int results_head(enum output_format format, const char *head, size_t length, char **out);

#endif
