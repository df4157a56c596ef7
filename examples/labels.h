/* labels.h - the most likely labels of a whole picture, for any classifier. Used by
 * face_classifier for --top. */
#ifndef DFNET_EXAMPLES_LABELS_H
#define DFNET_EXAMPLES_LABELS_H

#include "dfnet/dfnet.h"

/* Zeroed before labels_open(); one thread at a time. */
struct labels {
    const ef_model *model; /* borrowed                              */
    const ef_options *opt; /* borrowed                              */
    ef_session *session;
    float *input;  /* [3][height][width], the model's own size      */
    float *values; /* [outputs]                                     */
    size_t outputs;
};

/* EF_E_NOMEM and what ef_session_create() returns; labels_close() in any case. */
ef_status labels_open(struct labels *l, const ef_model *model, const ef_options *opt,
                      ef_error *err);
/* The k likeliest into top [k]; *n: how many there are. */
ef_status labels_of(struct labels *l, const ef_image *img, ef_top *top, size_t k,
                    size_t *n, ef_error *err);
void labels_close(struct labels *l);

#endif
