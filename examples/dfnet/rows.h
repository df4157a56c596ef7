/* rows.h - what classify prints: a table for people, JSON lines (schema 1, described in
 * examples/README.md) or CSV. Data goes to standard output; the table's errors to
 * standard error. */
#ifndef DFNET_EXAMPLES_DFNET_ROWS_H
#define DFNET_EXAMPLES_DFNET_ROWS_H

#include "examples/dfnet/clip.h"
#include "examples/dfnet/scorer.h"

struct rows {
    enum output_format format;
    int color, terminal;
    const struct scorer *scorer;
};

void rows_begin(struct rows *r, const struct options *o, const struct scorer *s);
void rows_score(const struct rows *r, const char *path, const struct picture_score *score,
                const char *heatmap);
void rows_clip(const struct rows *r, const char *path, const struct clip *clip,
               const char *heatmap);
void rows_error(const struct rows *r, const char *path, const ef_error *err);

/* For clip_rows.c: a line of the table; three members of an object, or without a
 * score the verdict only; with a comma before,
 * one that says which models gave no score, if any, and what the pipeline is, if one. */
void rows_table_line(const struct rows *r, ef_verdict verdict, double fake, double logit,
                     const char *face, const char *path);
void rows_json_scores(double fake, double logit, ef_verdict verdict);
/* CSV's cells of a face or of scores, commas before them; empty without a score. */
void rows_csv_face(size_t number, ef_box box, float found);
void rows_csv_scores(double fake, double logit, ef_verdict verdict);
void rows_json_lacking(const struct scorer *s, uint64_t lacking);
void rows_json_pipeline(const struct scorer *s);

/* err->where without the picture's name, which the library puts first. */
const char *rows_where(const char *path, const ef_error *err);

#endif
