/* session.c - the "sessions" part of dfnet.h: argument checks around a plan and a
 * pool. */
#include "lib/api/session.h"

#include "lib/base/mem.h"
#include "lib/face/look.h"

#include <errno.h>
#include <string.h>

/* Room for second looks; session memory is planned, so these sizes can be counted. */
static ef_status create_looks(ef_session *s, ef_error *err)
{
    const struct dfn_plan *p = &s->plan;
    struct dfn_looks *l = &s->looks;
    if (!s->model->meta.look)
        return EF_OK;
    const struct dfn_value *map = &p->values[p->maps];
    const size_t n = (size_t)p->batch;
    const size_t logits =
        dfn_align_up(n * (size_t)s->model->arch.outputs * sizeof(float));
    const size_t work =
        dfn_align_up(((size_t)map->h + 1) * (size_t)map->w * sizeof(double));
    const size_t parts = dfn_align_up(n * sizeof *l->parts);
    const size_t input = (size_t)p->height * (size_t)p->width * 3 * sizeof(float);
    char *at = dfn_alloc(&s->opt.allocator, work + parts + 2 * logits + input);
    if (!at)
        return dfn_fail(err, EF_E_NOMEM, "session", "no memory for a second look");
    l->block = at;
    l->bytes = dfn_alloc_cost(work + parts + 2 * logits + input);
    l->work = (double *)(void *)at;
    l->parts = (struct dfn_rect *)(void *)(at += work);
    l->first = (float *)(void *)(at += parts);
    l->both = (float *)(void *)(at += logits);
    l->input = (float *)(void *)(at + logits);
    return EF_OK;
}

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
    if (!st)
        st = create_looks(s, err);
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
    dfn_free(&a, s->looks.block);
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

/* Crops each input to the part that its maps attend to, in place. */
static void crop_inputs(ef_session *s, int n)
{
    const struct dfn_plan *p = &s->plan;
    const struct dfn_value *map = &p->values[p->maps];
    const size_t cells = (size_t)map->h * (size_t)map->w * (size_t)map->c;
    const size_t size = (size_t)p->height * (size_t)p->width * 3;
    for (int i = 0; i < n; i++) {
        float *input = dfn_plan_input(p) + (size_t)i * size;
        struct dfn_rect *part = &s->looks.parts[i];
        dfn_look_box(&s->model->meta, dfn_plan_maps(p) + (size_t)i * cells, map->h,
                     map->w, map->c, p->height, p->width, s->looks.work, part);
        dfn_look_crop(input, p->height, p->width, part, s->looks.input);
        memcpy(input, s->looks.input, size * sizeof *input);
    }
}

ef_status dfn_session_score(ef_session *s, int n, const float **logits, ef_error *err)
{
    const size_t outputs = (size_t)s->model->arch.outputs;
    const float *second = dfn_plan_logits(&s->plan);
    struct dfn_looks *l = &s->looks;
    ef_status st = dfn_session_forward(s, n, err);
    *logits = second;
    if (st || !l->block)
        return st;
    const int saved = errno;
    memcpy(l->first, second, (size_t)n * outputs * sizeof *second);
    crop_inputs(s, n);
    st = dfn_session_forward(s, n, err);
    for (size_t i = 0; i < (size_t)n && !st; i++)
        dfn_look_combine(&s->model->meta, l->first + i * outputs, second + i * outputs,
                         (int)outputs, l->both + i * outputs);
    errno = saved;
    *logits = l->both;
    return st;
}

/* [n][3][pixels] to [n][pixels][3]. */
static void to_nhwc(const float *in, float *out, int n, size_t pixels)
{
    for (int i = 0; i < n; i++, in += 3 * pixels)
        for (size_t p = 0; p < pixels; p++)
            for (size_t c = 0; c < 3; c++)
                *out++ = in[c * pixels + p];
}

static ef_status check_run(const ef_session *s, const float *input, int n,
                           const float *logits, ef_error *err)
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
    return EF_OK;
}

ef_status ef_session_run(ef_session *s, const float *input, int n, float *logits,
                         ef_error *err)
{
    ef_status st = check_run(s, input, n, logits, err);
    if (st)
        return st;
    to_nhwc(input, dfn_plan_input(&s->plan), n,
            (size_t)s->plan.height * (size_t)s->plan.width);
    st = dfn_session_forward(s, n, err);
    if (!st)
        memcpy(logits, dfn_plan_logits(&s->plan),
               (size_t)n * (size_t)s->model->arch.outputs * sizeof *logits);
    return st;
}

ef_status ef_session_look(ef_session *s, const float *input, int n, float *logits,
                          ef_box *parts, ef_error *err)
{
    const float *both;
    ef_status st = check_run(s, input, n, logits, err);
    if (st)
        return st;
    const struct dfn_looks *l = &s->looks;
    if (!l->block)
        return dfn_fail(err, EF_E_UNSUPPORTED, "session",
                        "this model's file asks for no second look");
    to_nhwc(input, dfn_plan_input(&s->plan), n,
            (size_t)s->plan.height * (size_t)s->plan.width);
    st = dfn_session_score(s, n, &both, err);
    const size_t outputs = (size_t)s->model->arch.outputs, row = outputs * sizeof *logits;
    for (size_t i = 0; i < (size_t)n && !st; i++) {
        const struct dfn_rect *r = &l->parts[i];
        memcpy(logits, l->first + i * outputs, row);
        memcpy(logits + outputs, dfn_plan_logits(&s->plan) + i * outputs, row);
        memcpy(logits + 2 * outputs, both + i * outputs, row);
        logits += 3 * outputs;
        if (parts)
            parts[i] = (ef_box){(float)r->x, (float)r->y, (float)r->w, (float)r->h};
    }
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
    return s ? dfn_alloc_cost(sizeof *s) + s->plan.bytes + s->looks.bytes +
                   dfn_pool_bytes(s->pool)
             : 0;
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
