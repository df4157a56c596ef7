/* video_score.c - which faces of a track a model scores, and their scores. For video.c.
 *
 * Networks of single faces take records as they come, in batches. A network of sequences
 * takes a window: as many records of one track, in frames that follow each other. */
#include "lib/api/video.h"

#include "lib/base/clock.h"
#include "lib/base/mem.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#define MOST_PERIOD 64
#define FIRST_WINDOWS 64
_Static_assert(DFN_MAX_FRAMES <= MOST_PERIOD, "a sequence must fit into its period");

/* ---- turns ------------------------------------------------------------------------- */

static bool in(uint64_t bits, uint32_t i)
{
    return bits >> i & 1;
}

/* Sequences of one model must not overlap: a face has one score of it. */
static bool apart(const ef_turns *t, uint32_t frames)
{
    for (uint32_t i = 0; i < t->period; i++)
        for (uint32_t ahead = 1; in(t->take, i) && ahead < frames; ahead++)
            if (in(t->take, (i + ahead) % t->period))
                return false;
    return true;
}

static ef_status check_turns(const ef_turns *t, size_t model, uint32_t frames,
                             ef_error *err)
{
    if (t->period > MOST_PERIOD)
        return dfn_fail(err, EF_E_ARG, "turns", "of model %zu: period %u is more than %d",
                        model, (unsigned)t->period, MOST_PERIOD);
    if (!t->take || (t->period < 64 && t->take >> t->period))
        return dfn_fail(err, EF_E_ARG, "turns",
                        "of model %zu: take must have some of its first %u bits, and no "
                        "others",
                        model, (unsigned)t->period);
    if (t->mirror & ~t->take)
        return dfn_fail(err, EF_E_ARG, "turns",
                        "of model %zu: mirror has a bit that take has not", model);
    return apart(t, frames)
               ? EF_OK
               : dfn_fail(err, EF_E_ARG, "turns",
                          "of model %zu: its sequences of %u frames would overlap", model,
                          (unsigned)frames);
}

/* Every face; or a sequence, and as many faces without. */
static ef_turns own_turns(uint32_t frames)
{
    const uint32_t period = frames > 1 ? 2 * frames : 1;
    return (ef_turns){period < MOST_PERIOD ? period : MOST_PERIOD, 1, 0};
}

ef_status dfn_video_take_turns(ef_video *v, const ef_turns *given, ef_error *err)
{
    for (size_t i = 0; i < v->nmodels; i++) {
        v->frames[i] = dfn_arch_frames(&v->models[i]->arch);
        v->turns[i] =
            given && given[i].period ? given[i] : own_turns((uint32_t)v->frames[i]);
        const ef_status st = check_turns(&v->turns[i], i, (uint32_t)v->frames[i], err);
        if (st)
            return st;
    }
    return EF_OK;
}

/* ---- sequences --------------------------------------------------------------------- */

static bool make_room(ef_video *v)
{
    if (v->nwindows < v->windows_cap)
        return true;
    const size_t cap = v->windows_cap ? 2 * v->windows_cap : FIRST_WINDOWS;
    struct dfn_window *windows =
        dfn_realloc(&v->opt.allocator, v->windows, cap * sizeof *windows);
    if (!windows)
        return false;
    v->windows = windows;
    v->windows_cap = cap;
    return true;
}

static void add_window(ef_video *v, size_t last, size_t model, bool mirror)
{
    size_t record = last;
    v->windows[v->nwindows++] = (struct dfn_window){last, (uint32_t)model, mirror};
    for (int i = 0; i < v->frames[model]; i++) {
        dfn_video_slot(v, v->records[record].frame)->unscored++;
        record = v->records[record].previous;
    }
}

bool dfn_video_add_windows(ef_video *v, size_t record)
{
    for (size_t k = 0; k < v->nmodels; k++) {
        const ef_turns *t = &v->turns[k];
        const uint32_t run = v->records[record].run, before = (uint32_t)v->frames[k] - 1;
        if (!before || run < before)
            continue;
        const uint32_t turn = (run - before) % t->period;
        if (!in(t->take, turn))
            continue;
        if (!make_room(v))
            return false;
        add_window(v, record, k, in(t->mirror, turn));
    }
    return true;
}

/* ---- scores ------------------------------------------------------------------------ */

/* The log-odds of a score with its model's temperature applied. Under a softmax over more
 * than two outputs the temperature acts on each of them, not on the log-odds, so these
 * come from the probability, where a float still tells it from 0 and 1. */
static double log_odds(const ef_model *m, const ef_result *r)
{
    const double p = (double)r->fake;
    if (m->meta.softmax && m->arch.outputs > 2 && p > 1e-6 && p < 1 - 1e-6)
        return log(p / (1 - p));
    return (double)r->logit / (double)m->meta.temperature;
}

/* Pictures that one model scores in one go, and what comes of it. */
struct batch {
    size_t n;
    size_t records[DFN_MAX_FRAMES];
    const ef_image *images[DFN_MAX_FRAMES];
    ef_detection faces[DFN_MAX_FRAMES];
    double odds[DFN_MAX_FRAMES];
};
_Static_assert(DFN_VIDEO_BATCH <= DFN_MAX_FRAMES, "a batch holds either");

/* Without the lock. */
static ef_status run_batch(const ef_video *v, const struct dfn_video_member *m,
                           size_t model, bool mirror, struct batch *b, ef_error *err)
{
    ef_result results[DFN_MAX_FRAMES];
    if (!b->n)
        return EF_OK;
    for (size_t i = 0; i < b->n; i++)
        ef_result_init(&results[i], sizeof results[i]);
    const ef_status st =
        dfn_classify_each(m->classifiers[model], b->images, m->detector ? b->faces : NULL,
                          mirror, b->n, results, err);
    for (size_t i = 0; i < b->n && !st; i++)
        b->odds[i] = log_odds(v->models[model], &results[i]);
    return st;
}

/* Under the lock. */
static void keep_scores(ef_video *v, size_t model, const struct batch *b)
{
    for (size_t i = 0; i < b->n; i++) {
        const struct dfn_record *r = &v->records[b->records[i]];
        v->scores[b->records[i] * v->nmodels + model] =
            (ef_score){b->odds[i], (uint32_t)model, r->track, r->frame};
    }
}

static void take_record(const ef_video *v, size_t record, struct batch *b)
{
    const struct dfn_record *r = &v->records[record];
    b->records[b->n] = record;
    b->images[b->n] = &dfn_video_slot(v, r->frame)->img;
    b->faces[b->n++] = r->face;
}

/* Those of the n records from `first` on whose turn it is, as they are or mirrored. */
static void take_turn(const ef_video *v, size_t model, bool mirror, size_t first,
                      size_t n, struct batch *b)
{
    const ef_turns *t = &v->turns[model];
    b->n = 0;
    for (size_t i = first; i < first + n; i++) {
        const uint32_t turn = v->records[i].place % t->period;
        if (in(t->take, turn) && in(t->mirror, turn) == mirror)
            take_record(v, i, b);
    }
}

/* What the lock is let go for. */
static ef_status run_timed(ef_video *v, const struct dfn_video_member *m, size_t model,
                           bool mirror, struct batch *b)
{
    ef_error err = {EF_OK, 0, "", ""};
    dfn_crew_unlock(v->crew);
    const int saved = errno; /* log() may touch it */
    const uint64_t begin = dfn_thread_ns();
    const ef_status st = run_batch(v, m, model, mirror, b, &err);
    const uint64_t end = dfn_thread_ns();
    errno = saved;
    dfn_crew_lock(v->crew);
    v->score_ns += end - begin;
    if (st)
        dfn_video_fail(v, st, &err);
    else
        keep_scores(v, model, b);
    return st;
}

void dfn_video_score_faces(ef_video *v, const struct dfn_video_member *m, size_t first,
                           size_t n)
{
    struct batch b;
    ef_status st = EF_OK;
    for (size_t k = 0; k < v->nmodels && !st; k++)
        for (int mirror = 0; mirror < 2 && v->frames[k] == 1 && !st; mirror++) {
            take_turn(v, k, mirror, first, n, &b);
            if (b.n)
                st = run_timed(v, m, k, mirror, &b);
        }
    for (size_t i = first; i < first + n; i++)
        dfn_video_slot(v, v->records[i].frame)->unscored--;
}

void dfn_video_score_window(ef_video *v, const struct dfn_video_member *m,
                            struct dfn_window window)
{
    struct batch b = {.n = 0};
    const size_t frames = (size_t)v->frames[window.model];
    size_t record = window.last;
    size_t order[DFN_MAX_FRAMES];
    for (size_t i = frames; i-- > 0; record = v->records[record].previous)
        order[i] = record;
    for (size_t i = 0; i < frames; i++)
        take_record(v, order[i], &b);
    /* The middle one's box for all. */
    const ef_detection middle = b.faces[frames / 2];
    for (size_t i = 0; i < frames; i++)
        b.faces[i] = middle;
    run_timed(v, m, window.model, window.mirror, &b);
    for (size_t i = 0; i < frames; i++)
        dfn_video_slot(v, v->records[order[i]].frame)->unscored--;
}
