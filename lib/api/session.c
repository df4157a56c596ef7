/* session.c - the "sessions" part of dfnet.h: argument checks around a plan and a
 * pool. */
#include "lib/api/session.h"

#include "lib/base/mem.h"

#include <errno.h>
#include <string.h>

ef_status dfn_session_create(const ef_model *model, const ef_options *opt,
                             ef_session **out, ef_error *err)
{
    if (model->meta.detector)
        return dfn_fail(
            err, EF_E_ARG, "model",
            "is a face detector, which runs in an ef_detector, not a session");
    if (!model->store)
        return dfn_fail(err, EF_E_ARG, "model",
                        "was only validated, it holds no weights");
    ef_session *s = dfn_calloc(&opt->allocator, sizeof *s);
    if (!s)
        return dfn_fail(err, EF_E_NOMEM, "session", "no memory for %zu bytes", sizeof *s);
    s->opt = *opt;
    s->model = model;
    dfn_model_ref(model);

    ef_status st = dfn_plan_build(model, opt, &s->plan, err);
    if (!st)
        st = dfn_pool_create(opt, &s->pool, err);
    if (st) {
        ef_session_free(s);
        return st;
    }
    dfn_log(opt, 2, "session: %dx%d, batch %d, %d threads, %zu bytes; %s", s->plan.height,
            s->plan.width, s->plan.batch, dfn_pool_threads(s->pool), ef_session_memory(s),
            s->plan.why);
    *out = s;
    return EF_OK;
}

ef_status ef_session_create(const ef_model *model, const ef_options *opt,
                            ef_session **out, ef_error *err)
{
    ef_options full;
    if (!model || !out)
        return dfn_fail(err, EF_E_ARG, model ? "out" : "model", "is NULL");
    const ef_status st = dfn_options_resolve(opt, &full, err);
    return st ? st : dfn_session_create(model, &full, out, err);
}

void ef_session_free(ef_session *s)
{
    if (!s)
        return;
    const ef_allocator a = s->opt.allocator;
    dfn_pool_free(s->pool);
    dfn_plan_free(&s->plan, &a);
    dfn_model_unref(s->model);
    dfn_free(&a, s);
}

ef_status dfn_session_forward(ef_session *s, int n, ef_error *err)
{
    const struct dfn_run run = {n, s->profile, s->tap, s->tap_user, &s->opt};
    /* expf() reports overflow through errno, which is the caller's. */
    const int saved = errno;
    dfn_log(&s->opt, 3, "run of %d", n);
    const ef_status st = dfn_plan_run(&s->plan, s->pool, &run, err);
    errno = saved;
    const ef_status threads = dfn_pool_check(s->pool, st ? NULL : err);
    return st ? st : threads;
}

/* [n][3][pixels] to [n][pixels][3]. */
static void to_nhwc(const float *in, float *out, int n, size_t pixels)
{
    for (int i = 0; i < n; i++, in += 3 * pixels)
        for (size_t p = 0; p < pixels; p++)
            for (size_t c = 0; c < 3; c++)
                *out++ = in[c * pixels + p];
}

ef_status ef_session_run(ef_session *s, const float *input, int n, float *logits,
                         ef_error *err)
{
    if (!s || !input || !logits)
        return dfn_fail(err, EF_E_ARG,
                        !s       ? "session"
                        : !input ? "input"
                                 : "logits",
                        "is NULL");
    if (n < 1 || n > s->plan.batch)
        return dfn_fail(err, EF_E_ARG, "n", "is %d, this session takes 1 to %d", n,
                        s->plan.batch);
    if (n % s->plan.frames)
        return dfn_fail(err, EF_E_ARG, "n",
                        "is %d, this network takes sequences of %d frames", n,
                        s->plan.frames);
    to_nhwc(input, dfn_plan_input(&s->plan), n,
            (size_t)s->plan.height * (size_t)s->plan.width);
    const ef_status st = dfn_session_forward(s, n, err);
    if (!st)
        memcpy(logits, dfn_plan_logits(&s->plan),
               (size_t)n * (size_t)s->model->arch.outputs * sizeof *logits);
    return st;
}

ef_status ef_session_shape(const ef_session *s, int *height, int *width, int *batch,
                           int *outputs, ef_error *err)
{
    if (!s)
        return dfn_fail(err, EF_E_ARG, "session", "is NULL");
    if (height)
        *height = s->plan.height;
    if (width)
        *width = s->plan.width;
    if (batch)
        *batch = s->plan.batch;
    if (outputs)
        *outputs = s->model->arch.outputs;
    return EF_OK;
}

size_t ef_session_memory(const ef_session *s)
{
    return s ? dfn_alloc_cost(sizeof *s) + s->plan.bytes + dfn_pool_bytes(s->pool) : 0;
}

ef_status ef_session_explain(const ef_session *s, ef_write_fn *write, void *user,
                             ef_error *err)
{
    if (!s || !write)
        return dfn_fail(err, EF_E_ARG, s ? "write" : "session", "is NULL");
    return dfn_plan_explain(&s->plan, dfn_pool_threads(s->pool), write, user, err);
}

ef_status ef_session_profile(ef_session *s, int on, ef_error *err)
{
    if (!s)
        return dfn_fail(err, EF_E_ARG, "session", "is NULL");
    s->profile = on != 0;
    for (int i = 0; i < s->plan.nsteps; i++)
        s->plan.steps[i].ns = 0;
    return EF_OK;
}

size_t ef_session_times(const ef_session *s, ef_step_time *out, size_t cap)
{
    if (!s)
        return 0;
    const size_t n = (size_t)s->plan.nsteps;
    for (size_t i = 0; out && i < n && i < cap; i++) {
        const struct dfn_step *step = &s->plan.steps[i];
        out[i] = (ef_step_time){step->name, step->kernel->name, step->macs, step->ns};
    }
    return n;
}

ef_status ef_session_tap(ef_session *s, ef_tap_fn *tap, void *user, ef_error *err)
{
    if (!s)
        return dfn_fail(err, EF_E_ARG, "session", "is NULL");
    /* A tap wants to see every tensor, also those that a run otherwise keeps in pieces.
     * Without one, all of them do no harm. */
    ef_error ignored;
    const ef_status st = dfn_plan_rebuild(&s->plan, &s->opt, tap != NULL, &ignored);
    if (st && tap) {
        if (err)
            *err = ignored;
        return st;
    }
    s->tap = tap;
    s->tap_user = user;
    return EF_OK;
}
