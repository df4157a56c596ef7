/* video.c - frames to scored faces: the "videos" part of dfnet.h, but for the result. */
#include "lib/api/video.h"

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/base/pool.h"
#include "lib/pipeline/pipeline.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#define MAX_MODELS 64
#define MOST_SCORES 1048576
#define MOST_HOLD 32
#define FIRST_RECORDS 256

/* ---- options ----------------------------------------------------------------------- */

void ef_video_options_init(ef_video_options *what, size_t struct_size)
{
    const ef_video_options defaults = {.struct_size = struct_size,
                                       .scale = 1,
                                       .max_faces = 16,
                                       .detect_every = 1,
                                       .min_overlap = 0.3,
                                       .fill = 4,
                                       .lost = 16,
                                       .least_found = 1,
                                       .max_scores = 65536};
    if (!what || struct_size < sizeof what->struct_size)
        return;
    memset(what, 0, struct_size);
    memcpy(what, &defaults,
           struct_size < sizeof defaults ? struct_size : sizeof defaults);
}

static ef_status check_size(const ef_video_options *w, ef_error *err)
{
    if (w->struct_size < sizeof *w || w->struct_size > 4096)
        return dfn_fail(err, EF_E_ARG, "video options struct_size",
                        "is %zu; call ef_video_options_init() first", w->struct_size);
    if (!dfn_tail_is_zero(w, sizeof *w, w->struct_size))
        return dfn_fail(err, EF_E_VERSION, "video options",
                        "set a field that this version of the library does not have");
    return EF_OK;
}

ef_status ef_video_options_plan(ef_video_options *what, const ef_pipeline *pipeline,
                                ef_error *err)
{
    ef_pipeline_info info;
    if (!what || !pipeline)
        return dfn_fail(err, EF_E_ARG, what ? "pipeline" : "what", "is NULL");
    ef_status st = check_size(what, err);
    ef_pipeline_info_init(&info, sizeof info);
    if (!st)
        st = ef_pipeline_get_info(pipeline, &info, err);
    if (st)
        return st;
    if (info.detector == EF_PIPELINE_MTCNN) {
        what->min_face = info.min_face;
        what->factor = info.factor;
        what->scale = info.scale;
        memcpy(what->thresholds, info.thresholds, sizeof what->thresholds);
    }
    what->score = info.score;
    what->least_area = info.least_area;
    what->max_faces = info.max_faces && info.max_faces < DFN_LOOK_FACES
                          ? (int)info.max_faces
                          : DFN_LOOK_FACES;
    what->per_face = info.per_face;
    if (info.detect_every)
        what->detect_every = (int)info.detect_every;
    while (what->fill > 0 && (what->fill + 1) * what->detect_every > MOST_HOLD)
        what->fill--;
    if (info.least_found)
        what->least_found = info.least_found;
    if (info.max_scores)
        what->max_scores = info.max_scores < MOST_SCORES ? info.max_scores : MOST_SCORES;
    what->rule = ef_pipeline_rule(pipeline);
    what->turns = pipeline->turns;
    return EF_OK;
}

static ef_status check_share(const char *name, double v, ef_error *err)
{
    return v >= 0 && v <= 1 ? EF_OK
                            : dfn_fail(err, EF_E_ARG, name, "is %g, must be 0 to 1", v);
}

static ef_status check_int(const char *name, int64_t v, int64_t low, int64_t high,
                           ef_error *err)
{
    return v >= low && v <= high
               ? EF_OK
               : dfn_fail(err, EF_E_ARG, name, "is %lld, must be %lld to %lld",
                          (long long)v, (long long)low, (long long)high);
}

static ef_status check(const ef_video_options *w, ef_error *err)
{
    ef_status st = check_size(w, err);
    if (!st && (!w->models || w->model_count < 1 || w->model_count > MAX_MODELS))
        st = dfn_fail(err, EF_E_ARG, "models", "there are %zu, must be 1 to %d",
                      w->models ? w->model_count : 0, MAX_MODELS);
    for (size_t i = 0; !st && i < w->model_count; i++)
        if (!w->models[i])
            st = dfn_fail(err, EF_E_ARG, "models", "number %zu is NULL", i);
    if (!st)
        st = check_share("score", w->score, err);
    if (!st)
        st = check_share("least_area", w->least_area, err);
    if (!st)
        st = check_int("max_faces", w->max_faces, 1, DFN_LOOK_FACES, err);
    if (!st)
        st = check_int("detect_every", w->detect_every, 1, 16, err);
    if (!st && !(w->min_overlap > 0 && w->min_overlap < 1))
        st = dfn_fail(err, EF_E_ARG, "min_overlap", "is %g, must be between 0 and 1",
                      w->min_overlap);
    if (!st)
        st = check_int("fill", w->fill, 0, 16, err);
    if (!st && (w->fill + 1) * w->detect_every > MOST_HOLD)
        st = dfn_fail(err, EF_E_ARG, "fill", "(%d + 1) * detect_every %d is more than %d",
                      w->fill, w->detect_every, MOST_HOLD);
    if (!st)
        st = check_int("lost", w->lost, 0, 65535, err);
    if (!st)
        st = check_int("max_scores", w->max_scores, 1, MOST_SCORES, err);
    return st;
}

/* ---- creation ---------------------------------------------------------------------- */

/* Members allocate and ask for a cancel one at a time. */
static void *locked_alloc(void *user, size_t size)
{
    ef_video *v = user;
    dfn_crew_lock_inner(v->crew);
    void *block = v->allocator.alloc(v->allocator.user, size);
    dfn_crew_unlock_inner(v->crew);
    return block;
}

static void locked_free(void *user, void *block)
{
    ef_video *v = user;
    dfn_crew_lock_inner(v->crew);
    v->allocator.free(v->allocator.user, block);
    dfn_crew_unlock_inner(v->crew);
}

static int locked_cancel(void *user)
{
    ef_video *v = user;
    dfn_crew_lock_inner(v->crew);
    const int stop = v->cancel(v->cancel_user);
    dfn_crew_unlock_inner(v->crew);
    return stop;
}

static ef_status no_memory(const char *what, ef_error *err)
{
    return dfn_fail(err, EF_E_NOMEM, "video", "no memory for %s", what);
}

/* *to = a copy of n items of from, or NULL if that is. */
static bool copy_array(const ef_allocator *a, const void *from, size_t bytes, void *to)
{
    void *copy = NULL;
    if (from) {
        copy = dfn_alloc(a, bytes);
        if (!copy)
            return false;
        memcpy(copy, from, bytes);
    }
    memcpy(to, &copy, sizeof copy);
    return true;
}

static ef_status take_rule(ef_video *v, const ef_rule *given, ef_error *err)
{
    const ef_allocator *a = &v->opt.allocator;
    ef_combined unused;
    if (given) {
        if (given->struct_size < sizeof *given)
            return dfn_fail(err, EF_E_ARG, "rule", "call ef_rule_init() first");
        v->rule = *given;
        const size_t n = given->model_count;
        if (n && n != v->what.model_count)
            return dfn_fail(err, EF_E_ARG, "rule", "is for %zu models, there are %zu", n,
                            v->what.model_count);
        v->rule.struct_size = sizeof v->rule;
        v->rule.weights = v->rule.temperatures = NULL;
        v->rule.shrinks = NULL;
        if (n &&
            (!copy_array(a, given->weights, n * sizeof(double), &v->weights) ||
             !copy_array(a, given->temperatures, n * sizeof(double), &v->temperatures) ||
             !copy_array(a, given->shrinks, n, &v->shrinks)))
            return no_memory("the rule", err);
        v->rule.weights = v->weights;
        v->rule.temperatures = v->temperatures;
        v->rule.shrinks = v->shrinks;
    } else {
        ef_rule_init(&v->rule, EF_RULE_MEAN_PROB, sizeof v->rule);
        v->rule.real_below = (double)v->models[0]->meta.real_below;
        v->rule.fake_from = (double)v->models[0]->meta.fake_from;
    }
    ef_combined_init(&unused, sizeof unused);
    return ef_combine(&v->rule, NULL, 0, NULL, &unused, err);
}

static ef_status add_member(ef_video *v, struct dfn_video_member *m,
                            const ef_video_options *w, ef_error *err)
{
    ef_options one = v->opt;
    ef_detector_options how;
    one.threads = 1;
    one.log = NULL;
    m->classifiers = dfn_calloc(&v->opt.allocator, v->nmodels * sizeof *m->classifiers);
    if (!m->classifiers)
        return no_memory("classifiers", err);
    for (size_t i = 0; i < v->nmodels; i++) {
        /* Of sequences, one in one go. */
        one.batch = v->frames[i] > 1 ? v->frames[i] : v->opt.batch;
        const ef_status st =
            ef_classifier_create_simple(v->models[i], &one, &m->classifiers[i], err);
        if (st)
            return st;
    }
    if (!w->detector)
        return EF_OK;
    ef_detector_options_init(&how, sizeof how);
    how.min_face = w->min_face;
    how.factor = w->factor;
    how.scale = w->scale;
    memcpy(how.thresholds, w->thresholds, sizeof how.thresholds);
    return ef_detector_create(w->detector, &how, &one, &m->detector, err);
}

static ef_status add_members(ef_video *v, const ef_video_options *w, ef_error *err)
{
    const ef_allocator *a = &v->opt.allocator;
    v->members = dfn_calloc(a, (size_t)v->opt.threads * sizeof *v->members);
    if (!v->members)
        return no_memory("threads", err);
    v->nmembers = v->opt.threads;
    for (int i = 0; i < v->nmembers; i++) {
        const ef_status st = add_member(v, &v->members[i], w, err);
        if (st)
            return st;
    }
    return EF_OK;
}

static ef_status add_rooms(ef_video *v, ef_error *err)
{
    const ef_allocator *a = &v->opt.allocator;
    v->hold = (uint32_t)((v->what.fill + 1) * v->what.detect_every);
    v->keep = v->hold;
    for (size_t i = 0; i < v->nmodels; i++) {
        const uint32_t more = v->hold + (uint32_t)v->frames[i] - 1;
        v->keep = more > v->keep ? more : v->keep;
    }
    v->nslots = v->keep + 2 * (uint32_t)v->nmembers + 1;
    v->slots = dfn_calloc(a, v->nslots * sizeof *v->slots);
    v->tracks = dfn_calloc(a, sizeof *v->tracks);
    v->links = dfn_calloc(a, DFN_LOOK_FACES * sizeof *v->links);
    return v->slots && v->tracks && v->links ? EF_OK : no_memory("frames", err);
}

static void member_main(void *user, int member);

static ef_status build(ef_video *v, const ef_video_options *w, ef_error *err)
{
    const ef_allocator *a = &v->opt.allocator;
    v->models = dfn_calloc(a, w->model_count * sizeof *v->models);
    if (!v->models)
        return no_memory("models", err);
    memcpy(v->models, w->models, w->model_count * sizeof *v->models);
    v->nmodels = w->model_count;
    ef_status st = dfn_video_take_turns(v, w->turns, err);
    if (!st)
        st = add_members(v, w, err);
    if (!st)
        st = take_rule(v, w->rule, err);
    if (!st)
        st = add_rooms(v, err);
    if (!st)
        st = ef_video_begin(v, err);
    v->threaded = v->opt.threads > 1;
    if (!st && v->threaded)
        st = dfn_crew_start(v->crew, v->nmembers, member_main, v, err);
    return st;
}

ef_status ef_video_create(const ef_video_options *what, const ef_options *opt,
                          ef_video **out, ef_error *err)
{
    ef_options full;
    if (!what || !out)
        return dfn_fail(err, EF_E_ARG, what ? "out" : "what", "is NULL");
    ef_status st = check(what, err);
    if (!st)
        st = dfn_options_resolve(opt, &full, err);
    if (st)
        return st;
    ef_video *v = dfn_calloc(&full.allocator, sizeof *v);
    if (!v)
        return no_memory("itself", err);
    v->allocator = full.allocator;
    v->cancel = full.cancel;
    v->cancel_user = full.cancel_user;
    v->what = *what;
    if (!full.threads)
        full.threads = dfn_cpu_count();
    v->opt = full;
    if (v->opt.batch > DFN_VIDEO_BATCH)
        v->opt.batch = DFN_VIDEO_BATCH;
    st = dfn_crew_create(full.threads, &full.allocator, &v->crew, err);
    if (st) {
        dfn_free(&full.allocator, v);
        return st;
    }
    if (v->allocator.alloc)
        v->opt.allocator = (ef_allocator){locked_alloc, locked_free, v};
    if (v->cancel) {
        v->opt.cancel = locked_cancel;
        v->opt.cancel_user = v;
    }
    st = build(v, what, err);
    if (st)
        ef_video_free(v);
    else
        *out = v;
    return st;
}

void ef_video_free(ef_video *v)
{
    if (!v)
        return;
    const int saved = errno;
    const ef_allocator own = v->allocator, *a = &v->opt.allocator;
    dfn_crew_lock(v->crew);
    v->quit = true;
    dfn_crew_wake_all(v->crew);
    dfn_crew_unlock(v->crew);
    /* Joins the members, but the lock must live on: what follows frees under it. */
    dfn_crew_join(v->crew);
    for (int i = 0; i < v->nmembers; i++) {
        struct dfn_video_member *m = &v->members[i];
        for (size_t j = 0; m->classifiers && j < v->nmodels; j++)
            ef_classifier_free(m->classifiers[j]);
        dfn_free(a, m->classifiers);
        ef_detector_free(m->detector);
    }
    dfn_free(a, v->members);
    for (uint32_t i = 0; v->slots && i < v->nslots; i++)
        dfn_scratch_free(&v->slots[i].pixels, a);
    dfn_free(a, v->slots);
    dfn_free(a, v->tracks);
    dfn_free(a, v->links);
    dfn_free(a, v->records);
    dfn_free(a, v->scores);
    dfn_free(a, v->windows);
    dfn_video_result_free(v);
    dfn_free(a, v->weights);
    dfn_free(a, v->temperatures);
    dfn_free(a, v->shrinks);
    dfn_free(a, v->models);
    dfn_crew_free(v->crew);
    dfn_free(&own, v);
    errno = saved;
}

/* ---- the work: all of it under the crew's lock, unless it says otherwise ----------- */

void dfn_video_fail(ef_video *v, ef_status st, const ef_error *err)
{
    if (!v->status) {
        v->status = st;
        v->error = *err;
    }
}

static bool make_room(ef_video *v)
{
    const ef_allocator *a = &v->opt.allocator;
    if (v->nrecords < v->cap)
        return true;
    const size_t cap = v->cap ? 2 * v->cap : FIRST_RECORDS;
    struct dfn_record *records = dfn_realloc(a, v->records, cap * sizeof *records);
    if (records)
        v->records = records;
    ef_score *scores =
        records ? dfn_realloc(a, v->scores, cap * v->nmodels * sizeof *scores) : NULL;
    if (!scores)
        return false;
    v->scores = scores;
    v->cap = cap;
    return true;
}

static bool touches(const ef_box *b, const ef_image *img)
{
    return b->w > 0 && b->h > 0 && b->x < (float)img->width && b->x + b->w > 0 &&
           b->y < (float)img->height && b->y + b->h > 0;
}

/* Sets place, run and previous of a track's next record by the one before. */
static void go_on(const ef_video *v, size_t before, struct dfn_record *r)
{
    if (before == SIZE_MAX)
        return;
    const struct dfn_record *b = &v->records[before];
    r->place = b->place + 1;
    /* Runs are for sequences; without them the frame before may be gone already. */
    if (b->frame + 1 != r->frame || v->keep == v->hold)
        return;
    const ef_image *now = &dfn_video_slot(v, r->frame)->img,
                   *then = &dfn_video_slot(v, b->frame)->img;
    if (then->width == now->width && then->height == now->height) {
        r->run = b->run + 1;
        r->previous = before;
    }
}

/* *last: the track's last record, and then this one. */
static void add_record(ef_video *v, uint32_t frame, uint32_t track,
                       const ef_detection *face, bool interpolated, size_t *last)
{
    struct dfn_slot *s = dfn_video_slot(v, frame);
    if (v->status || !touches(&face->box, &s->img))
        return;
    if (v->nrecords >= v->what.max_scores) {
        v->full = true;
        return;
    }
    if (!make_room(v)) {
        ef_error err;
        dfn_video_fail(v, no_memory("scores", &err), &err);
        return;
    }
    struct dfn_record *r = &v->records[v->nrecords];
    *r = (struct dfn_record){.frame = frame,
                             .track = track,
                             .seconds = s->seconds,
                             .face = *face,
                             .interpolated = interpolated};
    go_on(v, *last, r);
    for (size_t k = 0; k < v->nmodels; k++)
        v->scores[v->nrecords * v->nmodels + k].model = DFN_NO_SCORE;
    *last = v->nrecords++;
    s->unscored++;
    if (!dfn_video_add_windows(v, *last)) {
        ef_error err;
        dfn_video_fail(v, no_memory("sequences", &err), &err);
    }
}

/* Faces of a track between two looks. */
static void fill(ef_video *v, const struct dfn_link *link, uint32_t frame,
                 const ef_detection *face, size_t *last)
{
    const uint32_t from = link->before.frame;
    const ef_image *now = &dfn_video_slot(v, frame)->img;
    if (frame - from > v->hold)
        return;
    for (uint32_t f = from + 1; f < frame; f++) {
        ef_detection between;
        const ef_image *img = &dfn_video_slot(v, f)->img;
        if (img->width != now->width || img->height != now->height)
            continue;
        dfn_between(&link->before.face, face, (double)(f - from) / (double)(frame - from),
                    &between);
        add_record(v, f, link->id, &between, true, last);
    }
}

static void link_frame(ef_video *v, uint32_t frame)
{
    struct dfn_slot *s = dfn_video_slot(v, frame);
    if (s->state != DFN_SLOT_LOOKED)
        return;
    dfn_tracks_link(v->tracks, frame, s->img.width, s->img.height, s->found, s->n,
                    v->links);
    for (size_t i = 0; i < s->n; i++) {
        struct dfn_track *track = dfn_tracks_find(v->tracks, v->links[i].id);
        size_t last = v->links[i].continues ? v->links[i].before.note : SIZE_MAX;
        if (v->links[i].continues)
            fill(v, &v->links[i], frame, &s->found[i], &last);
        add_record(v, frame, v->links[i].id, &s->found[i], false, &last);
        if (track)
            track->note = last;
    }
}

/* Links all frames whose turn it is. The last frame that came may yet be the last of the
 * video, in which faces are looked for in any case. */
static void link_ready(ef_video *v)
{
    while (v->linked < v->added) {
        struct dfn_slot *s = dfn_video_slot(v, v->linked);
        const bool newest = v->linked + 1 == v->added;
        if (s->state == DFN_SLOT_SKIPPED && newest && v->ending)
            s->state = DFN_SLOT_QUEUED;
        if (s->state == DFN_SLOT_QUEUED || s->state == DFN_SLOT_LOOKING ||
            (s->state == DFN_SLOT_SKIPPED && newest))
            return;
        link_frame(v, v->linked++);
    }
}

/* Keeps those of the n faces, largest first, that count. */
static size_t that_count(const ef_video_options *w, ef_detection *faces, size_t n)
{
    size_t kept = 0;
    const double largest = n ? (double)faces[0].box.w * (double)faces[0].box.h : 0;
    for (size_t i = 0; i < n && kept < (size_t)w->max_faces; i++) {
        const double area = (double)faces[i].box.w * (double)faces[i].box.h;
        if ((double)faces[i].score >= w->score &&
            (!kept || area >= w->least_area * largest))
            faces[kept++] = faces[i];
    }
    return kept;
}

/* Lets go of the lock while it looks. */
static void look(ef_video *v, struct dfn_video_member *m, struct dfn_slot *s)
{
    ef_error err = {EF_OK, 0, "", ""};
    ef_status st = EF_OK;
    size_t n = 1;
    s->state = DFN_SLOT_LOOKING;
    dfn_crew_unlock(v->crew);
    const uint64_t begin = dfn_thread_ns();
    if (m->detector) {
        st = ef_detect_faces(m->detector, &s->img, s->found, DFN_LOOK_FACES, &n, &err);
        n = n < DFN_LOOK_FACES ? n : DFN_LOOK_FACES;
        if (!st)
            n = that_count(&v->what, s->found, n);
    } else {
        memset(&s->found[0], 0, sizeof s->found[0]);
        s->found[0].box = (ef_box){0, 0, (float)s->img.width, (float)s->img.height};
        s->found[0].score = 1;
    }
    const uint64_t end = dfn_thread_ns();
    dfn_crew_lock(v->crew);
    v->detect_ns += end - begin;
    if (st)
        dfn_video_fail(v, st, &err);
    s->n = st ? 0 : n;
    s->state = DFN_SLOT_LOOKED;
    link_ready(v);
}

/* Does one thing if there is one to do. A batch that is not full waits only while other
 * faces may still come without the caller. */
static bool work(ef_video *v, int member)
{
    struct dfn_video_member *m = &v->members[member];
    const size_t waiting = v->nrecords - v->taken;
    if (v->status)
        return false;
    v->busy++;
    bool done = false;
    struct dfn_slot *next = NULL;
    for (uint32_t f = v->linked; f < v->added && !next; f++)
        if (dfn_video_slot(v, f)->state == DFN_SLOT_QUEUED)
            next = dfn_video_slot(v, f);
    if (v->windows_taken < v->nwindows) {
        dfn_video_score_window(v, m, v->windows[v->windows_taken++]);
        done = true;
    } else if (waiting && (waiting >= (size_t)v->opt.batch || !next)) {
        const size_t n = waiting < (size_t)v->opt.batch ? waiting : (size_t)v->opt.batch;
        const size_t first = v->taken;
        v->taken += n;
        dfn_video_score_faces(v, m, first, n);
        done = true;
    } else if (next) {
        look(v, m, next);
        done = true;
    }
    v->busy--;
    if (done)
        dfn_crew_wake_all(v->crew);
    return done;
}

static void member_main(void *user, int member)
{
    ef_video *v = user;
    dfn_crew_lock(v->crew);
    while (!v->quit)
        if (!work(v, member))
            dfn_crew_wait(v->crew);
    dfn_crew_unlock(v->crew);
}

/* ---- frames ------------------------------------------------------------------------ */

/* Waits until nobody works. */
static void settle(ef_video *v)
{
    while (v->busy)
        dfn_crew_wait(v->crew);
}

static void forget(ef_video *v)
{
    v->finished = v->ending = v->full = false;
    v->status = EF_OK;
    v->added = v->linked = 0;
    v->first = v->last = 0;
    v->nrecords = v->taken = 0;
    v->nwindows = v->windows_taken = 0;
    v->detect_ns = v->score_ns = 0;
    for (uint32_t i = 0; i < v->nslots; i++)
        v->slots[i].unscored = 0;
    dfn_tracks_begin(v->tracks, v->what.min_overlap, v->what.lost);
    dfn_video_result_free(v);
}

ef_status ef_video_begin(ef_video *v, ef_error *err)
{
    if (!v)
        return dfn_fail(err, EF_E_ARG, "video", "is NULL");
    dfn_crew_lock(v->crew);
    /* So that members begin nothing more. */
    v->status = EF_E_CANCELLED;
    settle(v);
    forget(v);
    dfn_crew_unlock(v->crew);
    return EF_OK;
}

static ef_status check_frame(const ef_video *v, const ef_image *img, double seconds,
                             ef_error *err)
{
    const ef_status st = dfn_image_check(img, err);
    if (st)
        return st;
    if (!isfinite(seconds))
        return dfn_fail(err, EF_E_ARG, "seconds", "is no finite number");
    if (v->added && !v->finished && seconds < v->last)
        return dfn_fail(err, EF_E_ARG, "seconds", "is %g, before the last frame's %g",
                        seconds, v->last);
    if ((uint64_t)img->width * (uint64_t)img->height > v->opt.limits.max_pixels)
        return dfn_fail(err, EF_E_LIMIT, "frame", "has %d x %d pixels", img->width,
                        img->height);
    if (v->added == UINT32_MAX - 1 && !v->finished)
        return dfn_fail(err, EF_E_LIMIT, "frame", "is one too many");
    return EF_OK;
}

/* Whether the pixels of the slot that frame number v->added will take are needed. */
static bool slot_is_free(const ef_video *v)
{
    if (v->added < v->nslots)
        return true;
    const uint32_t old = v->added - v->nslots;
    return v->linked >= old + v->keep && !dfn_video_slot(v, old)->unscored;
}

static ef_status report(const ef_video *v, ef_error *err)
{
    if (v->status && err)
        *err = v->error;
    return v->status;
}

/* Until the next frame has a place: done by the members, or else by the caller. */
static void await_slot(ef_video *v)
{
    while (!v->status && !slot_is_free(v)) {
        if (v->threaded)
            dfn_crew_wait(v->crew);
        else if (!work(v, 0))
            return;
    }
}

static ef_status copy_frame(ef_video *v, struct dfn_slot *s, const ef_image *img,
                            ef_error *err)
{
    const size_t row = (size_t)img->width * 3;
    size_t bytes;
    uint8_t *to = NULL;
    if (dfn_mul_size(row, (size_t)img->height, &bytes))
        to = dfn_scratch_need(&s->pixels, &v->opt.allocator, bytes);
    if (!to)
        return no_memory("a frame", err);
    for (int y = 0; y < img->height; y++) {
        uint8_t *at = to + (size_t)y * row;
        const uint8_t *from = dfn_image_row(img, y, at);
        if (from != at)
            memcpy(at, from, row);
    }
    s->img = (ef_image){to, img->width, img->height, (ptrdiff_t)row, EF_RGB8, NULL};
    return EF_OK;
}

/* Under the lock. */
static ef_status add(ef_video *v, const ef_image *img, double seconds, ef_error *err)
{
    ef_status st = check_frame(v, img, seconds, err);
    if (st)
        return st;
    if (v->finished)
        forget(v);
    await_slot(v);
    if (v->status)
        return report(v, err);
    struct dfn_slot *s = dfn_video_slot(v, v->added);
    /* No member touches a free slot. */
    dfn_crew_unlock(v->crew);
    st = copy_frame(v, s, img, err);
    dfn_crew_lock(v->crew);
    if (st)
        return st;
    s->seconds = seconds;
    s->unscored = 0;
    s->n = 0;
    s->state =
        v->added % (uint32_t)v->what.detect_every ? DFN_SLOT_SKIPPED : DFN_SLOT_QUEUED;
    if (!v->added)
        v->first = seconds;
    v->last = seconds;
    v->added++;
    link_ready(v);
    if (v->threaded)
        dfn_crew_wake_all(v->crew);
    return EF_OK;
}

ef_status ef_video_add(ef_video *v, const ef_image *frame, double seconds, ef_error *err)
{
    if (!v || !frame)
        return dfn_fail(err, EF_E_ARG, v ? "frame" : "video", "is NULL");
    dfn_crew_lock(v->crew);
    const ef_status st = v->status ? report(v, err) : add(v, frame, seconds, err);
    dfn_crew_unlock(v->crew);
    return st;
}

/* All frames are linked and all faces scored, or something failed. */
static void complete(ef_video *v)
{
    v->ending = true;
    link_ready(v);
    if (v->threaded)
        dfn_crew_wake_all(v->crew);
    while (!v->status && (v->linked < v->added || v->taken < v->nrecords ||
                          v->windows_taken < v->nwindows || v->busy)) {
        if (v->threaded)
            dfn_crew_wait(v->crew);
        else
            work(v, 0);
    }
    settle(v);
}

ef_status ef_video_finish(ef_video *v, ef_video_result *out, ef_error *err)
{
    if (!v || !out)
        return dfn_fail(err, EF_E_ARG, v ? "out" : "video", "is NULL");
    if (out->struct_size < sizeof *out || out->struct_size > 4096)
        return dfn_fail(err, EF_E_ARG, "video result struct_size",
                        "is %zu; call ef_video_result_init() first", out->struct_size);
    dfn_crew_lock(v->crew);
    if (v->finished)
        forget(v);
    complete(v);
    ef_status st = report(v, err);
    if (!st) {
        st = dfn_video_result(v, out, err);
        v->finished = !st;
    }
    dfn_crew_unlock(v->crew);
    return st;
}

size_t ef_video_memory(const ef_video *v)
{
    if (!v || (v->added && !v->finished))
        return 0;
    size_t bytes = dfn_alloc_cost(sizeof *v) + dfn_crew_bytes(v->crew) +
                   dfn_alloc_cost((size_t)v->nmembers * sizeof *v->members) +
                   dfn_alloc_cost(v->what.model_count * sizeof *v->models) +
                   dfn_alloc_cost(v->nslots * sizeof *v->slots) +
                   dfn_alloc_cost(sizeof *v->tracks) +
                   dfn_alloc_cost(DFN_LOOK_FACES * sizeof *v->links);
    for (int i = 0; i < v->nmembers; i++) {
        const struct dfn_video_member *m = &v->members[i];
        bytes += dfn_alloc_cost(v->nmodels * sizeof *m->classifiers);
        bytes += ef_detector_memory(m->detector);
        for (size_t k = 0; k < v->nmodels; k++)
            bytes += ef_classifier_memory(m->classifiers[k]);
    }
    for (uint32_t i = 0; i < v->nslots; i++)
        if (v->slots[i].pixels.data)
            bytes += dfn_alloc_cost(v->slots[i].pixels.size);
    const size_t all = v->what.model_count;
    bytes += v->weights ? dfn_alloc_cost(all * sizeof(double)) : 0;
    bytes += v->temperatures ? dfn_alloc_cost(all * sizeof(double)) : 0;
    bytes += v->shrinks ? dfn_alloc_cost(all) : 0;
    if (v->cap)
        bytes += dfn_alloc_cost(v->cap * sizeof *v->records) +
                 dfn_alloc_cost(v->cap * v->nmodels * sizeof *v->scores);
    if (v->windows_cap)
        bytes += dfn_alloc_cost(v->windows_cap * sizeof *v->windows);
    return bytes + dfn_video_result_bytes(v);
}
