/* verify.c - a model proves itself on this machine: ef_model_verify() of dfnet.h. */
#include "lib/api/session.h"
#include "lib/detect/detect.h"

#include <math.h>

/* FORMAT.md, section 6: what float32 may differ from the file's float64 logits. */
#define TOLERANCE 1e-4

static void compare(const ef_model *m, const float *logits, double *difference,
                    double *tolerance)
{
    double largest = 1.0;
    *difference = 0;
    for (int i = 0; i < dfn_arch_frames(&m->arch) * m->arch.outputs; i++) {
        const double want = m->meta.ref_logits[i], d = fabs(logits[i] - want);
        /* Not `d > *difference`: a NaN must win. */
        if (!(d <= *difference))
            *difference = d;
        largest = fmax(largest, fabs(want));
    }
    *tolerance = TOLERANCE * largest;
}

/* Runs a classifier's reference input. */
static ef_status verify_classifier(const ef_model *model, ef_options *opt, double *found,
                                   double *allowed, ef_error *err)
{
    ef_session *s = NULL;
    opt->height = model->meta.ref_height;
    opt->width = model->meta.ref_width;
    opt->batch = dfn_arch_frames(&model->arch);
    ef_status st = dfn_session_create(model, opt, &s, err);
    if (!st) {
        dfn_reference_input(model->meta.ref_seed, opt->batch, opt->height, opt->width,
                            dfn_plan_input(&s->plan));
        st = dfn_session_forward(s, opt->batch, err);
    }
    if (!st)
        compare(model, dfn_plan_logits(&s->plan), found, allowed);
    ef_session_free(s);
    return st;
}

ef_status ef_model_verify(const ef_model *model, const ef_options *opt,
                          double *difference, double *tolerance, ef_error *err)
{
    ef_options full;
    double found, allowed;
    if (!model)
        return dfn_fail(err, EF_E_ARG, "model", "is NULL");
    ef_status st = dfn_options_resolve(opt, &full, err);
    if (!st && model->meta.detector)
        st = dfn_detector_verify(model, &full, &found, &allowed, err);
    else if (!st)
        st = verify_classifier(model, &full, &found, &allowed, err);
    if (st)
        return st;
    if (difference)
        *difference = found;
    if (tolerance)
        *tolerance = allowed;
    return found <= allowed
               ? EF_OK
               : dfn_fail(
                     err, EF_E_NUMERIC, "reference input",
                     "outputs differ by %.3g, %.3g is allowed: this machine or build "
                     "computes wrongly",
                     found, allowed);
}
