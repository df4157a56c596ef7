/* output.h - what face_classifier prints: a table for people or a JSON object a line
 * (schema 1). Data goes to stdout, errors of the table to stderr. */
#ifndef DFNET_EXAMPLES_OUTPUT_H
#define DFNET_EXAMPLES_OUTPUT_H

#include "examples/common.h"

/* What one picture gave. */
struct out_row {
    const char *path;
    const ef_result *faces; /* [nfaces] */
    int nfaces;
    int scored;        /* the model is about faces; none was found if nfaces is 0 */
    int whole;         /* the face was the whole picture                          */
    const ef_top *top; /* [ntop] */
    size_t ntop;
    const ef_model *model; /* its labels */
};

/* The table's head; nothing for JSON. */
void out_begin(int json);
void out_row(int json, const struct out_row *row);
void out_error(int json, const char *path, const ef_error *err);

#endif
