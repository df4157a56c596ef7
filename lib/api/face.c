/* face.c - the functions of dfnet.h about landmarks and boxes of faces. */
#include "lib/api/session.h"
#include "lib/base/mem.h"
#include "lib/face/preprocess.h"

#include <math.h>

ef_status ef_model_preprocess_aligned(const ef_model *model, const ef_options *opt,
                                      const ef_image *img, const ef_point *landmarks,
                                      float *out, ef_error *err)
{
    ef_options full;
    if (!model || !img || !landmarks || !out)
        return dfn_fail(err, EF_E_ARG,
                        !model       ? "model"
                        : !img       ? "img"
                        : !landmarks ? "landmarks"
                                     : "out",
                        "is NULL");
    ef_status st = dfn_options_resolve(opt, &full, err);
    if (st)
        return st;
    if (model->meta.detector)
        return dfn_fail(err, EF_E_ARG, "model", "is a detector");
    const size_t pixels = (size_t)model->meta.height * (size_t)model->meta.width;
    struct dfn_prepare prepare = {.work.without = ~full.cpu_mask};
    float *nhwc = dfn_alloc(&full.allocator, pixels * 3 * sizeof *nhwc);
    if (!nhwc)
        return dfn_fail(err, EF_E_NOMEM, "preprocess", "no memory for %zu pixels",
                        pixels);
    st = dfn_preprocess_aligned(model, img, landmarks, nhwc, &prepare, &full.allocator,
                                err);
    for (size_t p = 0; !st && p < pixels; p++)
        for (size_t ch = 0; ch < 3; ch++)
            out[ch * pixels + p] = nhwc[p * 3 + ch];
    dfn_prepare_free(&prepare, &full.allocator);
    dfn_free(&full.allocator, nhwc);
    return st;
}

ef_status ef_boxes_common_side(ef_box *boxes, size_t n, ef_error *err)
{
    float side = 0;
    if (!boxes && n)
        return dfn_fail(err, EF_E_ARG, "boxes", "is NULL");
    for (size_t i = 0; i < n; i++) {
        const ef_box *b = &boxes[i];
        if (!(b->w > 0 && b->h > 0 && isfinite(b->w) && isfinite(b->h) &&
              isfinite(b->x) && isfinite(b->y)))
            return dfn_fail(err, EF_E_ARG, "boxes", "number %zu, %g,%g,%g,%g, is none", i,
                            (double)b->x, (double)b->y, (double)b->w, (double)b->h);
        side = fmaxf(side, fmaxf(b->w, b->h));
    }
    for (size_t i = 0; i < n; i++) {
        ef_box *b = &boxes[i];
        const double x = (double)b->x + b->w / 2.0, y = (double)b->y + b->h / 2.0;
        *b = (ef_box){(float)(x - side / 2.0), (float)(y - side / 2.0), side, side};
    }
    return EF_OK;
}
