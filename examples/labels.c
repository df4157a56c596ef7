/* labels.c - see labels.h: picture to tensor, tensor to logits, logits to probabilities,
 * and the greatest of these; the library's parts one by one. */
#include "examples/labels.h"

#include <stdlib.h>

ef_status labels_open(struct labels *l, const ef_model *model, const ef_options *opt,
                      ef_error *err)
{
    ef_model_info info;
    ef_model_info_init(&info, sizeof info);
    const ef_status st = ef_model_get_info(model, &info, err);
    if (st)
        return st;
    l->model = model;
    l->opt = opt;
    l->outputs = (size_t)info.outputs;
    l->input = malloc((size_t)info.height * (size_t)info.width * 3 * sizeof *l->input);
    l->values = malloc(l->outputs * sizeof *l->values);
    if (!l->input || !l->values) {
        *err = (ef_error){EF_E_NOMEM, 0, "--top", "there is no memory for it"};
        return EF_E_NOMEM;
    }
    return ef_session_create(model, opt, &l->session, err);
}

ef_status labels_of(struct labels *l, const ef_image *img, ef_top *top, size_t k,
                    size_t *n, ef_error *err)
{
    ef_status st = ef_model_preprocess(l->model, l->opt, img, NULL, l->input, err);
    if (!st)
        st = ef_session_run(l->session, l->input, 1, l->values, err);
    if (!st)
        st = ef_model_probabilities(l->model, l->values, l->values, err);
    if (!st)
        *n = ef_top_k(l->values, l->outputs, top, k);
    return st;
}

void labels_close(struct labels *l)
{
    ef_session_free(l->session);
    free(l->input);
    free(l->values);
}
