/* rows.h - what classify prints: a table for people, JSON lines (schema 1, described in
 * examples/README.md) or CSV. Data goes to standard output; the table's errors to
 * standard error. */
#ifndef DFNET_EXAMPLES_DFNET_ROWS_H
#define DFNET_EXAMPLES_DFNET_ROWS_H

#include "examples/dfnet/scorer.h"

struct rows {
    enum output_format format;
    int color, terminal;
    const struct scorer *scorer;
};

void rows_begin(struct rows *r, const struct options *o, const struct scorer *s);
void rows_score(const struct rows *r, const char *path, const struct picture_score *score,
                const char *heatmap);
void rows_error(const struct rows *r, const char *path, const ef_error *err);

/* err->where without the picture's name, which the library puts first. */
const char *rows_where(const char *path, const ef_error *err);

#endif
