/* detector.c - the "finding faces" part of dfnet.h: argument checks around lib/detect. */
#include "lib/detect/detect.h"

#include <math.h>
#include <string.h>

void ef_detector_options_init(ef_detector_options *opt, size_t struct_size)
{
    const ef_detector_options defaults = {.struct_size = struct_size, .scale = 1};
    if (!opt || struct_size < sizeof opt->struct_size)
        return;
    memset(opt, 0, struct_size);
    memcpy(opt, &defaults, struct_size < sizeof defaults ? struct_size : sizeof defaults);
}

static ef_status check(const ef_detector_options *w, ef_error *err)
{
    const double *t = w->thresholds;
    if (w->struct_size < sizeof *w || w->struct_size > 4096)
        return dfn_fail(err, EF_E_ARG, "detector options struct_size",
                        "is %zu; call ef_detector_options_init() first", w->struct_size);
    /* Each comparison is false for NaN. */
    if (!(w->min_face == 0 ||
          (w->min_face >= DFN_DETECTOR_MIN_FACE && w->min_face <= DFN_DETECTOR_MAX_FACE)))
        return dfn_fail(err, EF_E_ARG, "min_face", "is %g, must be %d to %d, or 0",
                        w->min_face, DFN_DETECTOR_MIN_FACE, DFN_DETECTOR_MAX_FACE);
    if (!(w->factor == 0 ||
          (w->factor >= DFN_DETECTOR_MIN_FACTOR && w->factor <= DFN_DETECTOR_MAX_FACTOR)))
        return dfn_fail(err, EF_E_ARG, "factor", "is %g, must be %g to %g, or 0",
                        w->factor, DFN_DETECTOR_MIN_FACTOR, DFN_DETECTOR_MAX_FACTOR);
    if (!(w->scale > 0 && w->scale <= 1))
        return dfn_fail(err, EF_E_ARG, "scale", "is %g, must be above 0, at most 1",
                        w->scale);
    if (w->max_faces < 0)
        return dfn_fail(err, EF_E_ARG, "max_faces", "is %d, must not be negative",
                        w->max_faces);
    const bool own = t[0] == 0 && t[1] == 0 && t[2] == 0;
    for (int i = 0; i < DFN_DETECTOR_NETS && !own; i++)
        if (!(t[i] > 0 && t[i] < 1))
            return dfn_fail(err, EF_E_ARG, "thresholds",
                            "number %d is %g, must be between 0 and 1, or all three 0", i,
                            t[i]);
    return EF_OK;
}

/* The caller's options where given, else the model's. */
static struct dfn_detect_options complete(const ef_detector_options *w,
                                          const struct dfn_detector_facts *facts)
{
    const bool own = w->thresholds[0] == 0;
    struct dfn_detect_options o = {.min_face =
                                       w->min_face > 0 ? w->min_face : facts->min_face,
                                   .factor = w->factor > 0 ? w->factor : facts->factor,
                                   .scale = w->scale,
                                   .max_faces = w->max_faces};
    memcpy(o.thresholds, own ? facts->thresholds : w->thresholds, sizeof o.thresholds);
    return o;
}

ef_status ef_detector_create(const ef_model *model, const ef_detector_options *what,
                             const ef_options *opt, ef_detector **out, ef_error *err)
{
    ef_options full;
    ef_detector_options defaults;
    if (!model || !out)
        return dfn_fail(err, EF_E_ARG, model ? "out" : "model", "is NULL");
    if (!model->meta.detector)
        return dfn_fail(err, EF_E_ARG, "model", "is a classifier, not a face detector");
    ef_detector_options_init(&defaults, sizeof defaults);
    if (!what)
        what = &defaults;
    ef_status st = check(what, err);
    if (!st)
        st = dfn_options_resolve(opt, &full, err);
    if (st)
        return st;
    const struct dfn_detect_options o = complete(what, &model->meta.mtcnn);
    return dfn_detector_create(model, &o, &full, out, err);
}

void ef_detector_free(ef_detector *detector)
{
    dfn_detector_free(detector);
}

ef_status ef_detect_faces(ef_detector *d, const ef_image *img, ef_detection *out,
                          size_t cap, size_t *n, ef_error *err)
{
    if (!d || !img || !n || (!out && cap))
        return dfn_fail(err, EF_E_ARG,
                        !d     ? "detector"
                        : !img ? "img"
                        : !n   ? "n"
                               : "out",
                        "is NULL");
    ef_status st = dfn_image_check(img, err);
    if (!st)
        st = dfn_detector_run(d, img, err);
    if (st)
        return st;
    *n = d->nfaces;
    const size_t count = d->nfaces < cap ? d->nfaces : cap;
    if (count)
        memcpy(out, d->faces, count * sizeof *out);
    return EF_OK;
}

size_t ef_detector_memory(const ef_detector *detector)
{
    return detector ? dfn_detector_bytes(detector) : 0;
}
