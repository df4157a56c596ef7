/* classifier.c - pictures to verdicts: the "real or fake" part of dfnet.h.
 *
 *   for each chunk of at most `batch` faces
 *     for each model: crop, resize, normalise into its session's input (mirrored, too, if
 *                     the model asks), run, read the log-odds
 *     combine the models' scores, apply the thresholds */
#include "lib/api/classifier.h"
#include "lib/base/mem.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#define MAX_MODELS 64

struct score {
    double probability, logit; /* weighted sums over the members */
};

/* Where a call's faces are: boxes [n], or found [n], or neither: the whole picture. All
 * lie in one picture, or each in images[i]. */
struct places {
    const ef_box *boxes;
    const ef_detection *found;
    const ef_image *one, *const *images;
};

static double sigmoid(double x)
{
    return x >= 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x));
}

void ef_classifier_options_init(ef_classifier_options *opt, size_t struct_size)
{
    const ef_classifier_options defaults = {
        .struct_size = struct_size, .real_below = -1, .fake_from = -1};
    if (!opt || struct_size < sizeof opt->struct_size)
        return;
    memset(opt, 0, struct_size);
    memcpy(opt, &defaults, struct_size < sizeof defaults ? struct_size : sizeof defaults);
}

void ef_result_init(ef_result *result, size_t struct_size)
{
    if (!result || struct_size < sizeof result->struct_size)
        return;
    memset(result, 0, struct_size);
    result->struct_size = struct_size;
}

const char *ef_verdict_name(ef_verdict verdict)
{
    static const char *const names[] = {"none", "real", "uncertain", "fake"};
    return (unsigned)verdict < 4 ? names[verdict] : "none";
}

/* ---- creation ---------------------------------------------------------------------- */

static ef_status check_models(const ef_classifier_options *w, ef_error *err)
{
    if (w->model_count < 1 || w->model_count > MAX_MODELS || !w->models)
        return dfn_fail(err, EF_E_ARG, "models", "there are %zu, must be 1 to %d",
                        w->models ? w->model_count : 0, MAX_MODELS);
    for (size_t i = 0; i < w->model_count; i++) {
        if (!w->models[i])
            return dfn_fail(err, EF_E_ARG, "models", "number %zu is NULL", i);
        if (w->models[i]->meta.detector)
            return dfn_fail(err, EF_E_ARG, "models",
                            "number %zu is a face detector; it belongs into `detector`",
                            i);
        if (w->models[i]->meta.fake < 0)
            return dfn_fail(err, EF_E_ARG, "models",
                            "number %zu has no output that means fake", i);
        if (w->weights && !(w->weights[i] > 0 && isfinite(w->weights[i])))
            return dfn_fail(err, EF_E_ARG, "weights", "number %zu is %g, must be > 0", i,
                            (double)w->weights[i]);
    }
    return EF_OK;
}

static ef_status check(const ef_classifier_options *w, ef_error *err)
{
    if (w->struct_size < sizeof *w || w->struct_size > 4096)
        return dfn_fail(err, EF_E_ARG, "classifier options struct_size",
                        "is %zu; call ef_classifier_options_init() first",
                        w->struct_size);
    if (!dfn_tail_is_zero(w, sizeof *w, w->struct_size))
        return dfn_fail(err, EF_E_VERSION, "classifier options",
                        "set a field that this version of the library does not have");
    if (w->detector && !w->detector->meta.detector)
        return dfn_fail(err, EF_E_ARG, "detector", "is no model of a face detector");
    if (w->aggregate != EF_AGG_MEAN_PROB && w->aggregate != EF_AGG_MEAN_LOGIT)
        return dfn_fail(err, EF_E_ARG, "aggregate", "is %d, must be 0 or 1",
                        (int)w->aggregate);
    const bool own = w->real_below < 0 && w->fake_from < 0;
    if (!own &&
        !(w->real_below >= 0 && w->real_below <= w->fake_from && w->fake_from <= 1))
        return dfn_fail(err, EF_E_ARG, "thresholds",
                        "%g, %g must rise within [0, 1], or both be negative",
                        (double)w->real_below, (double)w->fake_from);
    return check_models(w, err);
}

/* Pictures that the models take together: one number for all that take sequences. */
static ef_status find_frames(ef_classifier *c, const ef_classifier_options *w,
                             ef_error *err)
{
    c->frames = 1;
    for (size_t i = 0; i < w->model_count; i++) {
        const int frames = dfn_arch_frames(&w->models[i]->arch);
        if (c->frames > 1 && frames > 1 && frames != c->frames)
            return dfn_fail(err, EF_E_ARG, "models",
                            "number %zu takes sequences of %d frames, another one of %d",
                            i, frames, c->frames);
        c->frames = frames > c->frames ? frames : c->frames;
    }
    c->batch = (c->batch + c->frames - 1) / c->frames * c->frames;
    return EF_OK;
}

static ef_status add_members(ef_classifier *c, const ef_classifier_options *w,
                             ef_error *err)
{
    double sum = 0;
    c->members = dfn_calloc(&c->opt.allocator, w->model_count * sizeof *c->members);
    if (!c->members)
        return dfn_fail(err, EF_E_NOMEM, "classifier", "no memory for %zu models",
                        w->model_count);
    for (size_t i = 0; i < w->model_count; i++)
        sum += w->weights ? (double)w->weights[i] : 1.0;
    for (size_t i = 0; i < w->model_count; i++) {
        const ef_model *m = w->models[i];
        ef_options opt = c->opt;
        opt.height = opt.width = 0;
        opt.batch = c->batch * (m->meta.flip ? 2 : 1);
        const ef_status st = dfn_session_create(m, &opt, &c->members[i].session, err);
        if (st)
            return st;
        c->members[i].weight = (float)((w->weights ? (double)w->weights[i] : 1.0) / sum);
        c->nmembers++;
    }
    return EF_OK;
}

ef_status ef_classifier_create(const ef_classifier_options *what, const ef_options *opt,
                               ef_classifier **out, ef_error *err)
{
    ef_options full;
    if (!what || !out)
        return dfn_fail(err, EF_E_ARG, what ? "out" : "what", "is NULL");
    ef_status st = check(what, err);
    if (!st)
        st = dfn_options_resolve(opt, &full, err);
    if (st)
        return st;
    ef_classifier *c = dfn_calloc(&full.allocator, sizeof *c);
    if (!c)
        return dfn_fail(err, EF_E_NOMEM, "classifier", "no memory for %zu bytes",
                        sizeof *c);
    c->opt = full;
    c->prepare.work.without = ~full.cpu_mask;
    c->batch = full.batch;
    c->aggregate = what->aggregate;
    const bool own = what->real_below < 0;
    c->real_below = own ? what->models[0]->meta.real_below : what->real_below;
    c->fake_from = own ? what->models[0]->meta.fake_from : what->fake_from;
    st = find_frames(c, what, err);
    if (!st)
        st = add_members(c, what, err);
    if (!st && what->detector)
        st = ef_detector_create(what->detector, NULL, &full, &c->detector, err);
    if (st) {
        ef_classifier_free(c);
        return st;
    }
    *out = c;
    return EF_OK;
}

ef_status ef_classifier_create_simple(const ef_model *model, const ef_options *opt,
                                      ef_classifier **out, ef_error *err)
{
    ef_classifier_options what;
    if (!model)
        return dfn_fail(err, EF_E_ARG, "model", "is NULL");
    ef_classifier_options_init(&what, sizeof what);
    what.models = &model;
    what.model_count = 1;
    return ef_classifier_create(&what, opt, out, err);
}

void ef_classifier_free(ef_classifier *c)
{
    if (!c)
        return;
    const ef_allocator a = c->opt.allocator;
    for (int i = 0; i < c->nmembers; i++)
        ef_session_free(c->members[i].session);
    ef_detector_free(c->detector);
    dfn_free(&a, c->members);
    dfn_prepare_free(&c->prepare, &a);
    dfn_scratch_free(&c->scores, &a);
    dfn_free(&a, c);
}

static size_t scratch_bytes(const struct dfn_scratch *s)
{
    return s->data ? dfn_alloc_cost(s->size) : 0;
}

size_t ef_classifier_memory(const ef_classifier *c)
{
    if (!c)
        return 0;
    size_t bytes = dfn_alloc_cost(sizeof *c) +
                   dfn_alloc_cost((size_t)c->nmembers * sizeof *c->members) +
                   scratch_bytes(&c->prepare.pixels) + scratch_bytes(&c->prepare.work) +
                   scratch_bytes(&c->prepare.aligned) +
                   scratch_bytes(&c->prepare.mirrored) + scratch_bytes(&c->scores) +
                   ef_detector_memory(c->detector);
    for (int i = 0; i < c->nmembers; i++)
        bytes += ef_session_memory(c->members[i].session);
    return bytes;
}

/* ---- scoring ----------------------------------------------------------------------- */

/* Logits of a face's views, the picture and perhaps its mirror image. */
struct views {
    const float *z; /* [outputs] of the picture                                         */
    int n;
    size_t apart; /* floats from one view's to the next's                               */
};

/* Mean over a face's views of logit i. */
static double mean_logit(const struct views *of, int i)
{
    double sum = 0;
    for (int v = 0; v < of->n; v++)
        sum += of->z[(size_t)v * of->apart + (size_t)i];
    return sum / of->n;
}

/* Log-odds of "fake" for logits / temperature: that logit itself under a sigmoid; under a
 * softmax its distance from the logarithm of the sum of the others' exponentials, which
 * with more than two outputs is not proportional to 1 / temperature. */
static double log_odds(const ef_model *m, const struct views *of, double temperature)
{
    const int fake = m->meta.fake, n = m->arch.outputs;
    const double of_fake = mean_logit(of, fake) / temperature;
    if (!m->meta.softmax)
        return of_fake;
    double most = -HUGE_VAL, sum = 0;
    for (int i = 0; i < n; i++) {
        const double other = mean_logit(of, i) / temperature;
        if (i != fake && !(other <= most))
            most = other;
    }
    for (int i = 0; i < n; i++)
        if (i != fake)
            sum += exp(mean_logit(of, i) / temperature - most);
    return of_fake - (most + log(sum));
}

/* Box of face number i; NULL: the whole picture. */
static const ef_box *box_at(const struct places *p, size_t i)
{
    return p->boxes ? &p->boxes[i] : p->found ? &p->found[i].box : NULL;
}

static const ef_image *image_at(const struct places *p, size_t i)
{
    return p->images ? p->images[i] : p->one;
}

/* Face number i as model m wants to see it, to out [height][width][3]. */
static ef_status prepare_face(ef_classifier *c, const ef_model *m, const struct places *p,
                              size_t i, float *out, ef_error *err)
{
    const ef_image *img = image_at(p, i);
    if (p->found && m->meta.align.height)
        return dfn_preprocess_aligned(m, img, p->found[i].landmarks, out, &c->prepare,
                                      &c->opt.allocator, err);
    return dfn_preprocess(m, img, box_at(p, i), out, &c->prepare, &c->opt.allocator, err);
}

/* Where a run of sequences of `frames` has view v of face i: the mirror images of a
 * sequence are a sequence of their own behind it. */
static size_t view_at(int i, int v, int views, int frames)
{
    return (size_t)((i / frames * views + v) * frames + i % frames);
}

/* Adds one member's scores of the n faces from number `first` on. */
static ef_status add_scores(ef_classifier *c, const struct dfn_member *member,
                            const struct places *places, size_t first, int n,
                            struct score *scores, ef_error *err)
{
    const ef_model *m = member->session->model;
    const int h = m->meta.height, w = m->meta.width, views = m->meta.flip ? 2 : 1;
    const int frames = dfn_arch_frames(&m->arch);
    const size_t size = (size_t)h * (size_t)w * 3;
    const float *logits;
    float *input = dfn_plan_input(&member->session->plan);
    ef_status st;

    for (int i = 0; i < n; i++) {
        float *at = input + view_at(i, 0, views, frames) * size;
        st = prepare_face(c, m, places, first + (size_t)i, at, err);
        if (st)
            return st;
        if (views == 2)
            dfn_mirror(at, input + view_at(i, 1, views, frames) * size, h, w);
    }
    st = dfn_session_score(member->session, n * views, &logits, err);
    if (st)
        return st;
    const size_t outputs = (size_t)m->arch.outputs;
    for (int i = 0; i < n; i++) {
        const struct views of = {logits + view_at(i, 0, views, frames) * outputs, views,
                                 (size_t)frames * outputs};
        const double logit = log_odds(m, &of, 1);
        const double scaled = log_odds(m, &of, (double)m->meta.temperature);
        if (!isfinite(logit) || !isfinite(scaled))
            return dfn_fail(err, EF_E_NUMERIC, "classifier",
                            "the network's result is not a finite number");
        scores[i].logit += (double)member->weight * logit;
        scores[i].probability +=
            (double)member->weight *
            (c->aggregate == EF_AGG_MEAN_PROB ? sigmoid(scaled) : scaled);
    }
    return EF_OK;
}

static void write_result(const ef_classifier *c, const struct score *s, const ef_box *box,
                         ef_result *out)
{
    const int saved = errno; /* exp() may touch it */
    const double p =
        c->aggregate == EF_AGG_MEAN_PROB ? s->probability : sigmoid(s->probability);
    errno = saved;
    out->fake = (float)p;
    out->logit = (float)s->logit;
    out->verdict = out->fake < c->real_below   ? EF_VERDICT_REAL
                   : out->fake >= c->fake_from ? EF_VERDICT_FAKE
                                               : EF_VERDICT_UNCERTAIN;
    out->box = *box;
    out->face_score = 1.0f;
}

/* All members over all chunks. scores: [n], zeroed here. */
static ef_status score_all(ef_classifier *c, const struct places *places, size_t n,
                           struct score *scores, ef_error *err)
{
    memset(scores, 0, n * sizeof *scores);
    for (size_t at = 0; at < n; at += (size_t)c->batch) {
        const size_t left = n - at;
        const int count = left < (size_t)c->batch ? (int)left : c->batch;
        for (int i = 0; i < c->nmembers; i++) {
            const ef_status st =
                add_scores(c, &c->members[i], places, at, count, scores + at, err);
            if (st)
                return st;
        }
    }
    return EF_OK;
}

/* The results of a call lie struct_size bytes apart: the caller's struct may be
 * longer. */
static ef_result *result_at(ef_result *out, size_t i)
{
    return (ef_result *)(void *)((char *)out + i * out->struct_size);
}

static ef_status check_results(ef_result *out, size_t n, ef_error *err)
{
    if (!out)
        return dfn_fail(err, EF_E_ARG, "out", "is NULL");
    const size_t size = out->struct_size;
    if (size < sizeof *out || size > 4096 || size % sizeof(size_t))
        return dfn_fail(err, EF_E_ARG, "result", "call ef_result_init() first");
    for (size_t i = 1; i < n; i++)
        if (result_at(out, i)->struct_size != size)
            return dfn_fail(err, EF_E_ARG, "result",
                            "number %zu was not initialised by ef_result_init()", i);
    return EF_OK;
}

/* The pictures are sound, and out is. */
static ef_status classify_sound(ef_classifier *c, const struct places *places, size_t n,
                                ef_result *out, ef_error *err)
{
    size_t bytes;
    struct score *scores = NULL;
    if (n % (size_t)c->frames)
        return dfn_fail(err, EF_E_ARG, "n",
                        "is %zu, must be a multiple of the %d frames of a sequence", n,
                        c->frames);
    if (dfn_mul_size(n, sizeof *scores, &bytes))
        scores = dfn_scratch_need(&c->scores, &c->opt.allocator, bytes);
    if (!scores)
        return dfn_fail(err, EF_E_NOMEM, "classifier", "no memory for %zu scores", n);
    const int saved = errno; /* exp() and log() may touch it */
    const ef_status st = score_all(c, places, n, scores, err);
    errno = saved;
    if (st)
        return st;
    for (size_t i = 0; i < n; i++) {
        const ef_image *img = image_at(places, i);
        const ef_box whole = {0, 0, (float)img->width, (float)img->height};
        const ef_box *box = box_at(places, i);
        ef_result *r = result_at(out, i);
        write_result(c, &scores[i], box ? box : &whole, r);
        if (places->found)
            r->face_score = places->found[i].score;
    }
    return EF_OK;
}

static ef_status classify(ef_classifier *c, const struct places *places, size_t n,
                          ef_result *out, ef_error *err)
{
    if (c->frames > 1)
        return dfn_fail(err, EF_E_UNSUPPORTED, "classifier",
                        "has a network of sequences, which takes %d frames in a row: "
                        "ef_classify_sequence()",
                        c->frames);
    ef_status st = check_results(out, n, err);
    if (!st)
        st = dfn_image_check(places->one, err);
    return st ? st : classify_sound(c, places, n, out, err);
}

ef_status dfn_classify_each(ef_classifier *c, const ef_image *const *images,
                            const ef_detection *faces, bool mirror, size_t n,
                            ef_result *out, ef_error *err)
{
    const struct places places = {NULL, faces, NULL, images};
    c->prepare.mirror = mirror;
    const ef_status st = classify_sound(c, &places, n, out, err);
    c->prepare.mirror = false;
    return st;
}

ef_status dfn_find_face(ef_classifier *c, const ef_image *img, ef_detection *face,
                        ef_error *err)
{
    size_t n;
    if (!c->detector)
        return dfn_fail(err, EF_E_UNSUPPORTED, "face.mode",
                        "no detector is loaded; give a box, or say that the picture is a "
                        "face");
    const ef_status st = ef_detect_faces(c->detector, img, face, 1, &n, err);
    if (!st && !n)
        return dfn_fail(err, EF_E_NO_FACE, "img", "no face was found in the picture");
    return st;
}

static ef_status classify_found(ef_classifier *c, const ef_image *img, ef_result *out,
                                ef_error *err)
{
    ef_detection face;
    ef_status st = check_results(out, 1, err);
    if (!st)
        st = dfn_find_face(c, img, &face, err);
    const struct places place = {NULL, &face, img, NULL};
    return st ? st : classify(c, &place, 1, out, err);
}

ef_status ef_classify_face(ef_classifier *c, const ef_image *img, const ef_face *face,
                           ef_result *out, ef_error *err)
{
    if (!c || !img)
        return dfn_fail(err, EF_E_ARG, c ? "img" : "classifier", "is NULL");
    const ef_face_mode mode = face ? face->mode : EF_FACE_WHOLE;
    const struct places place = {mode == EF_FACE_BOX ? &face->box : NULL, NULL, img,
                                 NULL};
    switch (mode) {
    case EF_FACE_WHOLE:
    case EF_FACE_BOX:
        return classify(c, &place, 1, out, err);
    case EF_FACE_DETECT:
        return classify_found(c, img, out, err);
    }
    return dfn_fail(err, EF_E_ARG, "face.mode", "is %d, must be 0 to 2", (int)mode);
}

static ef_status check_places(const ef_classifier *c, const ef_image *img,
                              const char *name, const void *array, size_t item, size_t n,
                              ef_error *err)
{
    if (!c || !img || !array)
        return dfn_fail(err, EF_E_ARG,
                        !c     ? "classifier"
                        : !img ? "img"
                               : name,
                        "is NULL");
    /* No array is larger than half of all addresses. */
    if (!n || n > SIZE_MAX / 2 / item)
        return dfn_fail(err, EF_E_ARG, "n", "is %zu; there is no such array", n);
    return EF_OK;
}

ef_status ef_classify_faces(ef_classifier *c, const ef_image *img, const ef_box *boxes,
                            size_t n, ef_result *out, ef_error *err)
{
    const struct places places = {boxes, NULL, img, NULL};
    const ef_status st = check_places(c, img, "boxes", boxes, sizeof *boxes, n, err);
    return st ? st : classify(c, &places, n, out, err);
}

ef_status ef_classify_sequence(ef_classifier *c, const ef_image *const *frames,
                               const ef_detection *faces, size_t n, ef_result *out,
                               ef_error *err)
{
    ef_status st = check_places(c, frames ? frames[0] : NULL, "frames", frames,
                                sizeof *frames, n, err);
    if (!st)
        st = check_results(out, n, err);
    for (size_t i = 0; i < n && !st; i++)
        st = frames[i] ? dfn_image_check(frames[i], err)
                       : dfn_fail(err, EF_E_ARG, "frames", "number %zu is NULL", i);
    return st ? st : dfn_classify_each(c, frames, faces, false, n, out, err);
}

ef_status ef_classify_detections(ef_classifier *c, const ef_image *img,
                                 const ef_detection *faces, size_t n, ef_result *out,
                                 ef_error *err)
{
    const struct places places = {NULL, faces, img, NULL};
    const ef_status st = check_places(c, img, "faces", faces, sizeof *faces, n, err);
    return st ? st : classify(c, &places, n, out, err);
}

/* ---- pictures without a verdict ---------------------------------------------------- */

ef_status ef_model_preprocess(const ef_model *model, const ef_options *opt,
                              const ef_image *img, const ef_box *face, float *out,
                              ef_error *err)
{
    ef_options full;
    if (!model || !img || !out)
        return dfn_fail(err, EF_E_ARG,
                        !model ? "model"
                        : !img ? "img"
                               : "out",
                        "is NULL");
    if (model->meta.detector)
        return dfn_fail(err, EF_E_ARG, "model",
                        "is a face detector, which has no input of one size");
    ef_status st = dfn_options_resolve(opt, &full, err);
    if (st)
        return st;
    const size_t pixels = (size_t)model->meta.height * (size_t)model->meta.width;
    struct dfn_prepare prepare = {.work.without = ~full.cpu_mask};
    float *nhwc = dfn_alloc(&full.allocator, pixels * 3 * sizeof *nhwc);
    if (!nhwc)
        return dfn_fail(err, EF_E_NOMEM, "preprocess", "no memory for %zu pixels",
                        pixels);
    st = dfn_preprocess(model, img, face, nhwc, &prepare, &full.allocator, err);
    for (size_t p = 0; !st && p < pixels; p++)
        for (size_t ch = 0; ch < 3; ch++)
            out[ch * pixels + p] = nhwc[p * 3 + ch];
    dfn_prepare_free(&prepare, &full.allocator);
    dfn_free(&full.allocator, nhwc);
    return st;
}
