/* scorer.c - see scorer.h. */
#include "examples/dfnet/scorer.h"

#include "examples/dfnet/commands.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int complain(const char *place, const ef_error *err)
{
    char where[512];
    snprintf(where, sizeof where, "%s%s%s", place, *err->where ? ": " : "", err->where);
    say_error(where, err->what);
    return err->status == EF_E_NOMEM ? EX_NO_MEMORY : EX_MODEL;
}

/* ---- opening ----------------------------------------------------------------------- */

static int open_pipeline(struct scorer *s)
{
    const struct options *o = s->o;
    ef_error err;
    if (!o->pipeline)
        return 0;
    ef_pipeline_info_init(&s->plan, sizeof s->plan);
    ef_status st = ef_pipeline_parse_file(o->pipeline, &o->lib, &s->pipeline, &err);
    if (!st)
        st = ef_pipeline_get_info(s->pipeline, &s->plan, &err);
    if (st)
        return complain(o->pipeline, &err);
    if (o->nmodels && o->nmodels != s->plan.model_count) {
        char what[96];
        snprintf(what, sizeof what,
                 "has %zu models; --model must be given as often, or not at all",
                 s->plan.model_count);
        say_error(o->pipeline, what);
        return EX_USAGE;
    }
    if (!o->quiet && *s->plan.lacks)
        say_error(s->plan.name, s->plan.lacks);
    return 0;
}

/* Model number i of the pipeline, its crop and flip set. */
static int load_planned(struct scorer *s, size_t i)
{
    const struct options *o = s->o;
    ef_pipeline_model m;
    ef_error err;
    ef_pipeline_model_init(&m, sizeof m);
    ef_model_info_init(&s->infos[i], sizeof s->infos[i]);
    ef_status st = ef_pipeline_get_model(s->pipeline, i, &m, &err);
    if (!st)
        st = ef_pipeline_load_model(s->pipeline, i, o->nmodels ? o->models[i].path : NULL,
                                    &o->lib, &s->models[i], &err);
    if (!st)
        st = ef_model_get_info(s->models[i], &s->infos[i], &err);
    if (st && ex_cancel(NULL))
        return EX_INTERRUPTED;
    s->weights[i] = m.weight;
    s->names[i] = m.name;
    return st ? complain(s->plan.name, &err) : 0;
}

/* Model number i to the end of those before it of its kind: pictures, then sequences. */
static void put_in_order(struct scorer *s, size_t i)
{
    const size_t to = s->infos[i].frames > 1 ? i : s->nmodels++;
    ef_model *model = s->models[i];
    const ef_model_info info = s->infos[i];
    const double weight = s->weights[i];
    const char *name = s->names[i];
    for (size_t at = i; at > to; at--) {
        s->models[at] = s->models[at - 1];
        s->infos[at] = s->infos[at - 1];
        s->weights[at] = s->weights[at - 1];
        s->numbers[at] = s->numbers[at - 1];
        s->names[at] = s->names[at - 1];
    }
    s->models[to] = model;
    s->infos[to] = info;
    s->weights[to] = weight;
    s->numbers[to] = (uint32_t)i;
    s->names[to] = name;
}

static int open_models(struct scorer *s)
{
    const struct options *o = s->o;
    const size_t n = s->pipeline ? s->plan.model_count : o->nmodels ? o->nmodels : 1;
    for (size_t i = 0; i < n; i++) {
        const ef_model_info *info = &s->infos[i];
        s->weights[i] = o->nmodels ? o->models[i].weight : 1;
        const int code = s->pipeline ? load_planned(s, i)
                                     : load_model(o->nmodels ? o->models[i].path : NULL,
                                                  &o->lib, &s->models[i], &s->infos[i]);
        if (code)
            return code;
        if (info->fake < 0 && (n > 1 || s->pipeline || info->frames > 1)) {
            say_error(info->name, info->frames > 1
                                      ? "takes sequences of video frames, and has no "
                                        "output that means fake: there is nothing to say"
                                      : "has no output that means fake, so it cannot be "
                                        "a member of an ensemble or a pipeline");
            return EX_MODEL;
        }
        s->nall = i + 1;
        s->rule_weights[i] = s->weights[i];
        if (!i)
            s->first = *info;
        put_in_order(s, i);
    }
    for (size_t i = 0; i < n; i++)
        if (!s->names[i] || !*s->names[i])
            s->names[i] = s->infos[i].name;
    s->faces = s->infos[0].fake >= 0;
    return 0;
}

static int open_classifiers(struct scorer *s)
{
    for (size_t i = 0; i < s->nmodels; i++) {
        ef_error err;
        if (s->infos[i].fake >= 0 &&
            ef_classifier_create_simple(s->models[i], &s->o->lib, &s->classifiers[i],
                                        &err))
            return complain(s->infos[i].name, &err);
    }
    return 0;
}

static int open_rule(struct scorer *s)
{
    ef_combined unused;
    ef_error err;
    if (s->pipeline) {
        s->rule = *ef_pipeline_rule(s->pipeline); /* which the parser has checked */
        return 0;
    }
    ef_rule_init(&s->rule, s->o->rule, sizeof s->rule);
    s->rule.model_count = s->nall;
    s->rule.real_below = (double)s->first.real_below;
    s->rule.fake_from = (double)s->first.fake_from;
    /* Rules that pool all scores take no weights; equal ones say nothing. */
    for (size_t i = 1; i < s->nall; i++)
        if (s->rule_weights[i] != s->rule_weights[0])
            s->rule.weights = s->rule_weights;
    ef_combined_init(&unused, sizeof unused);
    if (!ef_combine(&s->rule, NULL, 0, NULL, &unused, &err))
        return 0;
    say_error("--rule", err.what);
    return EX_USAGE;
}

/* Without a detector every picture fails with the reason, so that --json has it. */
static int load_detector(struct scorer *s)
{
    const struct options *o = s->o;
    s->whole =
        o->whole || (s->pipeline && !o->nboxes && s->plan.detector == EF_PIPELINE_WHOLE);
    if (o->nboxes || s->whole || !s->faces)
        return 0;
    const ef_status st =
        ef_detector_model_load_default(&o->lib, &s->detector_model, &s->no_detector);
    return st == EF_E_NOMEM || st == EF_E_ARG ? complain("face detector", &s->no_detector)
                                              : 0;
}

static int open_detector(struct scorer *s)
{
    const struct options *o = s->o;
    ef_detector_options how;
    if (!s->detector_model)
        return 0;
    ef_detector_options_init(&how, sizeof how);
    if (s->pipeline && s->plan.detector == EF_PIPELINE_MTCNN) {
        how.min_face = s->plan.min_face;
        how.factor = s->plan.factor;
        how.scale = s->plan.scale;
        memcpy(how.thresholds, s->plan.thresholds, sizeof how.thresholds);
    }
    const ef_status st = ef_detector_create(s->detector_model, &how, &o->lib,
                                            &s->detector, &s->no_detector);
    /* What the pipeline says of the detector cannot be, whatever the picture. */
    if (st == EF_E_NOMEM || st == EF_E_ARG)
        return complain("face detector", &s->no_detector);
    s->stands_in = !st && s->pipeline && s->plan.detector == EF_PIPELINE_GIVEN;
    if (s->stands_in && !o->quiet)
        say_error(s->plan.name, "finds no faces itself, and no --box was given; the face "
                                "detector MTCNN stands in");
    return 0;
}

static int open_labels(struct scorer *s)
{
    const ef_model_info *info = &s->infos[0];
    ef_error err;
    s->top = s->o->top ? s->o->top : info->fake < 0 ? 5 : 0;
    if (!s->top || !s->nmodels)
        return 0;
    s->input = malloc((size_t)info->height * (size_t)info->width * 3 * sizeof(float));
    s->values = malloc((size_t)info->outputs * sizeof(float));
    if (!s->input || !s->values) {
        say_error("--top", "out of memory");
        return EX_NO_MEMORY;
    }
    if (ef_session_create(s->models[0], &s->o->lib, &s->labels, &err))
        return complain(info->name, &err);
    return 0;
}

int scorer_load(struct scorer *s, const struct options *o)
{
    memset(s, 0, sizeof *s);
    s->o = o;
    int code = open_pipeline(s);
    if (!code)
        code = open_models(s);
    if (!code)
        code = open_rule(s);
    if (!code)
        code = load_detector(s);
    return code;
}

int scorer_start(struct scorer *s)
{
    int code = open_classifiers(s);
    if (!code)
        code = open_detector(s);
    if (!code)
        code = open_labels(s);
    if (code)
        return code;
    const size_t n = s->nall * MAX_FACES;
    s->results = malloc(n * sizeof *s->results);
    s->scores = malloc(n * sizeof *s->scores);
    s->work = malloc(n * sizeof *s->work);
    if (s->results && s->scores && s->work)
        return 0;
    say_error("scores", "out of memory");
    return EX_NO_MEMORY;
}

int scorer_open(struct scorer *s, const struct options *o)
{
    const int code = scorer_load(s, o);
    return code ? code : scorer_start(s);
}

void scorer_close(struct scorer *s)
{
    ef_session_free(s->labels);
    ef_detector_free(s->detector);
    ef_model_free(s->detector_model);
    for (size_t i = 0; i < MAX_MODELS; i++) {
        ef_classifier_free(s->classifiers[i]);
        ef_model_free(s->models[i]);
    }
    ef_pipeline_free(s->pipeline);
    free(s->results);
    free(s->scores);
    free(s->work);
    free(s->input);
    free(s->values);
    memset(s, 0, sizeof *s);
}

/* ---- scoring ----------------------------------------------------------------------- */

ef_status scorer_fail(ef_error *err, ef_status status, const char *where,
                      const char *what)
{
    memset(err, 0, sizeof *err);
    err->status = status;
    snprintf(err->where, sizeof err->where, "%s", where);
    snprintf(err->what, sizeof err->what, "%s", what);
    return status;
}

/* Keeps those of the n faces, largest first, that count by the pipeline; how many. */
static size_t faces_that_count(const struct scorer *s, ef_detection *faces, size_t n)
{
    const ef_pipeline_info *p = &s->plan;
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        const ef_box *b = &faces[i].box, *largest = &faces[0].box;
        if ((double)faces[i].score < p->score || (p->max_faces && kept >= p->max_faces) ||
            (p->max_scores && kept >= p->max_scores))
            continue;
        if (!kept || (double)b->w * (double)b->h >=
                         p->least_area * (double)largest->w * (double)largest->h)
            faces[kept++] = faces[i];
    }
    return kept;
}

static ef_status detect_faces(struct scorer *s, const ef_image *img,
                              struct picture_score *out, ef_error *err)
{
    size_t n = 0;
    if (!s->detector) {
        const char *why = s->no_detector.what;
        char what[sizeof err->what];
        snprintf(
            what, sizeof what,
            "no face detector (%.140s); say where the face is with --box, or --whole "
            "if the picture is one",
            why);
        return scorer_fail(err, EF_E_UNSUPPORTED, "face", what);
    }
    const ef_status st = ef_detect_faces(s->detector, img, s->found, MAX_FACES, &n, err);
    if (st)
        return st;
    n = n < MAX_FACES ? n : MAX_FACES;
    if (s->pipeline)
        n = faces_that_count(s, s->found, n);
    out->detected = 1;
    out->nfaces = (int)n;
    for (int i = 0; i < out->nfaces; i++) {
        out->faces[i].box = s->found[i].box;
        out->faces[i].found = s->found[i].score;
        memcpy(out->landmarks[i], s->found[i].landmarks, sizeof out->landmarks[i]);
    }
    return EF_OK;
}

/* The faces to score: given boxes, the whole picture, or what the detector finds. */
static ef_status find_faces(struct scorer *s, const ef_image *img,
                            struct picture_score *out, ef_error *err)
{
    const struct options *o = s->o;
    out->detected = 0;
    out->whole = s->whole;
    if (s->whole) {
        out->nfaces = 1;
        out->faces[0].box = (ef_box){0, 0, (float)img->width, (float)img->height};
        out->faces[0].found = 1;
        return EF_OK;
    }
    for (int i = 0; i < o->nboxes; i++) {
        out->faces[i].box = o->boxes[i];
        out->faces[i].found = 1;
    }
    out->nfaces = o->nboxes;
    return o->nboxes ? EF_OK : detect_faces(s, img, out, err);
}

/* The log-odds of a score with its model's temperature applied. Under a softmax over more
 * than two outputs the temperature acts on each of them, not on the log-odds, so these
 * come from the probability, where a float still tells it from 0 and 1. */
static double log_odds(const ef_model_info *info, const ef_result *r)
{
    const double p = (double)r->fake;
    if (info->softmax && info->outputs > 2 && p > 1e-6 && p < 1 - 1e-6)
        return log(p / (1 - p));
    return (double)r->logit / (double)info->temperature;
}

/* Every model's score of every face, in s->results and s->scores. */
static ef_status run_models(struct scorer *s, const ef_image *img,
                            struct picture_score *out, ef_error *err)
{
    const size_t n = (size_t)out->nfaces;
    ef_box boxes[MAX_FACES];
    ef_status st = EF_OK;
    for (size_t i = 0; i < n; i++)
        boxes[i] = out->faces[i].box;
    for (size_t m = 0; m < s->nmodels && !st; m++) {
        ef_result *r = s->results + m * MAX_FACES;
        for (size_t i = 0; i < n; i++)
            ef_result_init(&r[i], sizeof r[i]);
        if (out->whole)
            st = ef_classify_face(s->classifiers[m], img, NULL, r, err);
        else if (out->detected)
            st = ef_classify_detections(s->classifiers[m], img, s->found, n, r, err);
        else
            st = ef_classify_faces(s->classifiers[m], img, boxes, n, r, err);
        /* Face after face, so that one face's scores lie together. */
        for (size_t i = 0; i < n; i++)
            s->scores[i * s->nmodels + m] =
                (ef_score){log_odds(&s->infos[m], &r[i]), s->numbers[m], (uint32_t)i, 0};
    }
    return st;
}

static ef_status combine(struct scorer *s, size_t from, size_t n, double *fake,
                         double *logit, ef_verdict *verdict, ef_error *err)
{
    ef_combined c;
    ef_combined_init(&c, sizeof c);
    const ef_status st = ef_combine(&s->rule, s->scores + from, n, s->work, &c, err);
    *fake = c.fake;
    *logit = c.logit;
    *verdict = c.verdict;
    return st;
}

static ef_status combine_all(struct scorer *s, struct picture_score *out, ef_error *err)
{
    const size_t n = (size_t)out->nfaces;
    ef_status st = EF_OK;
    for (size_t i = 0; i < n && !st; i++) {
        struct scored_face *f = &out->faces[i];
        /* One model's score of one face is its own combination, and more exact; but a
         * pipeline's rule may change it. */
        if (s->nmodels == 1 && !s->pipeline) {
            f->fake = (double)s->results[i].fake;
            f->logit = (double)s->results[i].logit;
            f->verdict = s->results[i].verdict;
        } else {
            st = combine(s, i * s->nmodels, s->nmodels, &f->fake, &f->logit, &f->verdict,
                         err);
        }
    }
    if (!st && n == 1) {
        out->fake = out->faces[0].fake;
        out->logit = out->faces[0].logit;
        out->verdict = out->faces[0].verdict;
    } else if (!st) {
        st = combine(s, 0, n * s->nmodels, &out->fake, &out->logit, &out->verdict, err);
    }
    return st;
}

static uint64_t sequences(const struct scorer *s)
{
    uint64_t bits = 0;
    for (size_t i = s->nmodels; i < s->nall; i++)
        bits |= (uint64_t)1 << s->numbers[i];
    return bits;
}

void scorer_lacking(const struct scorer *s, uint64_t lacking, char *words, size_t cap)
{
    size_t used = 0;
    *words = 0;
    for (size_t i = 0; i < s->nall && used < cap; i++)
        if (lacking >> i & 1) {
            char why[SCORER_WHY];
            const char *name = scorer_why(s, i, why);
            used += (size_t)snprintf(words + used, cap - used, "%s%s (%s)",
                                     used ? ", " : "", name, why);
        }
}

const char *scorer_why(const struct scorer *s, size_t number, char why[SCORER_WHY])
{
    size_t at = 0;
    while (s->numbers[at] != number)
        at++;
    if (s->infos[at].frames > 1)
        snprintf(why, SCORER_WHY, "takes %d video frames of a face in a row",
                 s->infos[at].frames);
    else
        snprintf(why, SCORER_WHY, "its turn did not come");
    return s->names[at];
}

/* A picture is no sequence: so it is said, once, and fails if nothing else scores it. */
static ef_status without_sequences(struct scorer *s, ef_error *err)
{
    char what[128];
    if (s->nmodels == s->nall)
        return EF_OK;
    snprintf(what, sizeof what,
             "takes sequences of %d video frames, so it does not score pictures%s",
             s->infos[s->nmodels].frames, s->nmodels ? "; the others do" : "");
    if (!s->nmodels)
        return scorer_fail(err, EF_E_UNSUPPORTED, s->names[0], what);
    if (!s->said && !s->o->quiet)
        say_error(s->names[s->nmodels], what);
    s->said = 1;
    return EF_OK;
}

static ef_status run_labels(struct scorer *s, const ef_image *img,
                            struct picture_score *out, ef_error *err)
{
    const ef_model *model = s->models[0];
    ef_status st = ef_model_preprocess(model, &s->o->lib, img, NULL, s->input, err);
    if (!st)
        st = ef_session_run(s->labels, s->input, 1, s->values, err);
    if (!st)
        st = ef_model_probabilities(model, s->values, s->values, err);
    if (!st)
        out->ntop =
            ef_top_k(s->values, (size_t)s->infos[0].outputs, out->top, (size_t)s->top);
    return st;
}

ef_status scorer_score(struct scorer *s, const ef_image *img, struct picture_score *out,
                       ef_error *err)
{
    ef_status st = EF_OK;
    out->nfaces = 0;
    out->ntop = 0;
    out->whole = 0;
    out->fake = out->logit = 0;
    out->verdict = EF_VERDICT_NONE;
    out->results = s->results;
    out->lacking = sequences(s);
    if (s->faces) {
        st = without_sequences(s, err);
        if (!st)
            st = find_faces(s, img, out, err);
        if (!st && out->nfaces)
            st = run_models(s, img, out, err);
        if (!st && out->nfaces)
            st = combine_all(s, out, err);
    }
    return st || !s->labels ? st : run_labels(s, img, out, err);
}

ef_status scorer_heatmap(struct scorer *s, const ef_image *img,
                         const struct picture_score *score, int i, ef_heatmap *map,
                         ef_error *err)
{
    const ef_face face = {score->whole ? EF_FACE_WHOLE : EF_FACE_BOX,
                          score->faces[i].box};
    ef_detection found = {score->faces[i].box, score->faces[i].found, {{0, 0}}};
    memcpy(found.landmarks, score->landmarks[i], sizeof found.landmarks);
    if (!s->nmodels)
        return scorer_fail(err, EF_E_UNSUPPORTED, "heat map",
                           "a network of sequences has none");
    return score->detected
               ? ef_classify_detection_heatmap(s->classifiers[0], img, &found, 0, NULL,
                                               map, err)
               : ef_classify_heatmap(s->classifiers[0], img, &face, 0, NULL, map, err);
}
