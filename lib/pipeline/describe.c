/* describe.c - ef_pipeline_describe(): a pipeline in lines for people. */
#include "lib/pipeline/pipeline.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Where lines go; stopped: the writer wants no more. */
struct sink {
    ef_write_fn *write;
    void *user;
    bool stopped;
};

static DFN_PRINTF(2, 3) void line(struct sink *s, const char *format, ...)
{
    char text[DFN_PIPELINE_LINE + 256];
    va_list args;
    if (s->stopped)
        return;
    va_start(args, format);
    const int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    const size_t len = n < (int)sizeof text ? (size_t)n : sizeof text - 1;
    s->stopped = s->write(s->user, text, len) != 0;
}

static void describe_detector(struct sink *s, const ef_pipeline_info *i)
{
    line(s, "detector  %s", dfn_pipeline_detectors[i->detector]);
    if (i->detector == EF_PIPELINE_MTCNN)
        line(s, " at scale %g, thresholds %g,%g,%g, faces from %g pixels, factor %g",
             i->scale, i->thresholds[0], i->thresholds[1], i->thresholds[2], i->min_face,
             i->factor);
    if (i->score > 0)
        line(s, ", score from %g", i->score);
    if (i->least_area > 0)
        line(s, ", area from %g of the largest", i->least_area);
    if (i->max_faces)
        line(s, ", at most %lu", (unsigned long)i->max_faces);
    if (i->detect_every)
        line(s, ", in every frame number n * %lu", (unsigned long)i->detect_every);
    if (i->least_found)
        line(s, ", persons found in %lu", (unsigned long)i->least_found);
    line(s, "\n");
}

static void describe_frames(struct sink *s, const ef_pipeline_info *i)
{
    line(s, "frames    %s", dfn_pipeline_frames[i->frames]);
    if (i->count)
        line(s, ", count %lu", (unsigned long)i->count);
    if (i->every)
        line(s, ", every %lu from %lu", (unsigned long)i->every, (unsigned long)i->first);
    if (i->rate > 0)
        line(s, ", %g a second", i->rate);
    if (i->per_face)
        line(s, ", %lu of a face", (unsigned long)i->per_face);
    if (i->max_scores)
        line(s, ", at most %lu scores", (unsigned long)i->max_scores);
    line(s, "\n");
}

/* The end of a model's line. */
static void describe_turns(struct sink *s, const ef_turns *t)
{
    if (t->period)
        line(s, ", of each %lu faces of a track number ", (unsigned long)t->period);
    const char *comma = "";
    for (uint32_t i = 0; i < t->period; i++) {
        if (t->take >> i & 1) {
            line(s, "%s%lu%s", comma, (unsigned long)i, t->mirror >> i & 1 ? "m" : "");
            comma = ",";
        }
    }
    line(s, "\n");
}

static void describe_models(struct sink *s, const ef_pipeline *p)
{
    for (size_t i = 0; i < p->nmodels; i++) {
        const ef_pipeline_model *m = &p->models[i];
        line(s, "model %-3zu %s, weight %g", i, m->file, m->weight);
        if (m->temperature < 1 || m->temperature > 1)
            line(s, ", temperature %g", m->temperature);
        if (m->crop)
            line(s, ", crop %s", m->crop);
        line(s, "%s%s", m->shrink ? ", shrunk" : "",
             m->flip == 1   ? ", with its mirror image"
             : m->flip == 0 ? ", without its mirror image"
                            : "");
        describe_turns(s, &m->turns);
    }
    for (size_t i = 0; i < p->ncrops; i++) {
        const struct dfn_pipeline_crop *c = &p->crops[i];
        line(s, "crop %s\n", c->name);
        for (int k = 0; k < c->npairs; k++)
            line(s, "          %s = %s\n", c->pairs[k].key + strlen("dfnet."),
                 c->pairs[k].value);
    }
}

static void describe_rule(struct sink *s, const ef_rule *r)
{
    line(s, "rule      %s, faces %s, models %s", dfn_pipeline_kinds[r->kind],
         dfn_pipeline_faces[r->faces], dfn_pipeline_models[r->models]);
    if (r->kind == EF_RULE_CONFIDENT)
        line(s, ", high %g (n / %g, more than %g), low %g (share %g)", r->high,
             r->high_divisor, r->high_least, r->low, r->low_share);
    if (r->kind == EF_RULE_SHARPEN)
        line(s, ", gamma %g, margin %g, weight floor %g", r->gamma, r->margin,
             r->weight_floor);
    if (r->kind == EF_RULE_GROUP)
        line(s, ", runs of %lu, high %g, low %g, share %g", (unsigned long)r->run,
             r->high, r->low, r->share);
    if (r->faces == EF_FACES_AGREE)
        line(s, ", faces sure %g, high %g, low %g", r->face_sure, r->face_high,
             r->face_low);
    if (r->models == EF_MODELS_AGREE)
        line(s, ", models high %g, low %g, share %g", r->model_high, r->model_low,
             r->model_share);
    if (r->shrinks)
        line(s, ", shrunk from %g by %g", r->shrink_from, r->shrink_by);
    line(s, "\nverdict   temperature %g, clip %g, real below %g, fake from %g\n",
         r->temperature, r->clip, r->real_below, r->fake_from);
}

ef_status ef_pipeline_describe(const ef_pipeline *pipeline, ef_write_fn *write,
                               void *user, ef_error *err)
{
    if (!pipeline || !write)
        return dfn_fail(err, EF_E_ARG, pipeline ? "write" : "pipeline", "is NULL");
    struct sink s = {write, user, false};
    const ef_pipeline_info *i = &pipeline->info;
    line(&s, "name      %s\nsource    %s\nlacks     %s\n", i->name, i->source, i->lacks);
    describe_detector(&s, i);
    describe_frames(&s, i);
    describe_models(&s, pipeline);
    describe_rule(&s, &pipeline->rule);
    return s.stopped ? dfn_fail(err, EF_E_CANCELLED, "write", "wants no more") : EF_OK;
}
