/* clip.c - see clip.h. */
#define _POSIX_C_SOURCE 200809L
#include "examples/dfnet/clip.h"

#include "examples/dfnet/progress.h"
#include "examples/video/kind.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BATCH 4
/* Without a pipeline: a face seen in one or two frames only is more often a mistake of
 * the detector than a person. */
#define LEAST_FOUND 3
/* What sequences are made of without a pipeline: so the one published network was
 * trained (NTechLab). */
#define SEQUENCE_FRAMES "rate:15"
/* What every other network gets without a pipeline. */
#define USUAL_FRAMES "spread:32"

/* ---- making ------------------------------------------------------------------------ */

static ef_status check(const struct scorer *s, ef_error *err)
{
    char what[sizeof err->what];
    if (!s->faces)
        return scorer_fail(err, EF_E_UNSUPPORTED, "model",
                           "is not about faces; videos need one");
    if (s->o->nboxes)
        return scorer_fail(err, EF_E_UNSUPPORTED, "--box",
                           "is for pictures; faces move in videos");
    if (s->whole || s->detector)
        return EF_OK;
    snprintf(what, sizeof what, "no face detector (%.140s)", s->no_detector.what);
    return scorer_fail(err, EF_E_UNSUPPORTED, "face", what);
}

static ef_status make(struct clip *c, ef_error *err)
{
    const struct scorer *s = c->scorer;
    const ef_model *models[MAX_MODELS];
    ef_video_options w;
    ef_options opt = s->o->lib;
    ef_status st = check(s, err);
    if (st || c->video)
        return st;
    ef_video_options_init(&w, sizeof w);
    if (s->pipeline)
        st = ef_video_options_plan(&w, s->pipeline, err);
    else
        w.least_found = LEAST_FOUND;
    for (size_t i = 0; i < s->nall; i++)
        models[s->numbers[i]] = s->models[i];
    w.models = models;
    w.model_count = s->nall;
    w.detector = s->whole ? NULL : s->detector_model;
    w.rule = &s->rule;
    if (s->whole)
        w.detect_every = 1; /* nothing to look for */
    if (s->o->detect_every && !s->whole) {
        w.detect_every = s->o->detect_every;
        while ((w.fill + 1) * w.detect_every > 32)
            w.fill--;
    }
    opt.batch = BATCH;
    return st ? st : ef_video_create(&w, &opt, &c->video, err);
}

static void forget_ahead(struct clip *c)
{
    if (*c->ahead.words)
        reader_close(&c->ahead.reader);
    *c->ahead.words = 0;
}

void clip_close(struct clip *c)
{
    forget_ahead(c);
    ef_video_free(c->video);
    free(c->numbers);
    memset(c, 0, sizeof *c);
}

/* ---- which frames ------------------------------------------------------------------ */

/* What is asked for, else what the pipeline p says, else (p NULL) usual. */
static void say_frames(const struct options *o, const ef_pipeline_info *p,
                       const char *usual, char *words, size_t cap)
{
    if (o->frames) {
        const int plain = strspn(o->frames, "0123456789") == strlen(o->frames);
        snprintf(words, cap, "%s%s", plain ? "spread:" : "", o->frames);
    } else if (!p) {
        snprintf(words, cap, "%s", usual);
    } else {
        switch (p->frames) {
        case EF_FRAMES_ALL:
            snprintf(words, cap, "all");
            break;
        case EF_FRAMES_SPREAD:
            snprintf(words, cap, "spread:%u", p->count);
            break;
        case EF_FRAMES_STEP:
            snprintf(words, cap, "every:%u:%u", p->every, p->first);
            break;
        case EF_FRAMES_INTERVAL:
            snprintf(words, cap, "interval:%u", p->count);
            break;
        case EF_FRAMES_RATE:
            snprintf(words, cap, "rate:%.6f", p->rate);
            break;
        }
    }
}

static struct reader_limits limits_of(const struct options *o)
{
    struct reader_limits l = reader_defaults;
    l.max_pixels = o->lib.limits.max_pixels;
    if (o->memory)
        l.memory_mib = (unsigned)o->memory;
    if (o->timeout) {
        l.cpu_seconds = (unsigned)o->timeout;
        l.wait_seconds = (unsigned)o->timeout;
        if (l.idle_seconds > l.wait_seconds)
            l.idle_seconds = l.wait_seconds;
    }
    return l;
}

/* ---- ahead of its turn ------------------------------------------------------------- */

void clip_start_ahead(struct clip *c, const struct options *o)
{
    const struct reader_limits limits = limits_of(o);
    struct stat facts;
    ef_error unsaid;
    if (!o->nargs || !strcmp(o->args[0], "-") || (o->pipeline && !o->frames))
        return;
    const int file = open(o->args[0], O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0)
        return;
    if (!fstat(file, &facts) && S_ISREG(facts.st_mode) &&
        kind_of_fd(file) == KIND_VIDEO && reader_possible(&unsaid)) {
        /* Sequence networks want others; then this is forgotten again. */
        say_frames(o, NULL, USUAL_FRAMES, c->ahead.words, sizeof c->ahead.words);
        c->ahead.device = facts.st_dev;
        c->ahead.inode = facts.st_ino;
        if (reader_open(&c->ahead.reader, file, c->ahead.words, &limits, &unsaid))
            forget_ahead(c);
    }
    close(file);
}

/* Starts to decode the file, or takes what was started for it. Returns as reader_open().
 */
static int open_reader(struct clip *c, int file, const char *words,
                       struct video_reader *r, ef_error *err)
{
    const struct reader_limits limits = limits_of(c->scorer->o);
    struct stat facts;
    if (*c->ahead.words && !strcmp(c->ahead.words, words) && !fstat(file, &facts) &&
        facts.st_dev == c->ahead.device && facts.st_ino == c->ahead.inode) {
        *r = c->ahead.reader;
        *c->ahead.words = 0;
        return 0;
    }
    forget_ahead(c);
    return reader_open(r, file, words, &limits, err);
}

/* ---- scoring ----------------------------------------------------------------------- */

static int note_number(struct clip *c, size_t frame, uint64_t number)
{
    if (frame == c->cap) {
        const size_t cap = c->cap ? 2 * c->cap : 64;
        uint64_t *more = realloc(c->numbers, cap * sizeof *more);
        if (!more)
            return 0;
        c->numbers = more;
        c->cap = cap;
    }
    c->numbers[frame] = number;
    return 1;
}

static void keep_facts(struct clip *c, const struct video_reader *r)
{
    c->total = r->total;
    c->width = r->width;
    c->height = r->height;
    c->seconds = r->seconds;
    c->cpu_seconds = r->cpu;
    c->partial = r->partial;
    memcpy(c->why, r->why, sizeof c->why);
    c->no_video = r->failure == VIDEO_NOT_ONE;
}

static ef_status play(struct clip *c, struct video_reader *r, ef_error *err)
{
    ef_image frame;
    uint64_t number;
    double seconds;
    int got;
    for (size_t n = 0; (got = reader_next(r, &frame, &number, &seconds, err)) > 0; n++) {
        progress_part((long)n + 1, (long)r->count);
        if (!note_number(c, n, number))
            return scorer_fail(err, EF_E_NOMEM, "video", "no memory for its frames");
        const ef_status st = ef_video_add(c->video, &frame, seconds, err);
        if (st)
            return st;
    }
    return got ? err->status : EF_OK;
}

ef_status clip_score(struct clip *c, int file, const char *path, ef_error *err)
{
    const struct scorer *s = c->scorer;
    struct video_reader r;
    char words[CHOOSE_WORDS];
    const double began = ex_seconds();
    c->no_video = 0;
    ef_status st = make(c, err);
    if (!st)
        st = ef_video_begin(c->video, err);
    if (st)
        return st;
    say_frames(s->o, s->pipeline ? &s->plan : NULL,
               s->nmodels < s->nall ? SEQUENCE_FRAMES : USUAL_FRAMES, words,
               sizeof words);
    st = open_reader(c, file, words, &r, err) ? err->status : play(c, &r, err);
    ef_video_result_init(&c->result, sizeof c->result);
    if (!st)
        st = ef_video_finish(c->video, &c->result, err);
    keep_facts(c, &r);
    reader_close(&r);
    c->wall_seconds = ex_seconds() - began;
    progress_part(0, 0);
    (void)path;
    return st;
}

ef_status clip_frames(const struct clip *c, int file, const uint64_t *numbers, size_t n,
                      clip_frame_fn *frame, void *user, ef_error *err)
{
    const struct reader_limits limits = limits_of(c->scorer->o);
    struct video_reader r;
    char words[CHOOSE_WORDS] = "list:";
    size_t used = strlen(words);
    ef_image img;
    uint64_t number;
    double seconds;
    int got = 0;
    for (size_t i = 0; i < n && i < CHOOSE_LIST; i++)
        used += (size_t)snprintf(words + used, sizeof words - used, "%s%u", i ? "," : "",
                                 (unsigned)numbers[i]);
    if (!n)
        return EF_OK;
    ef_status st = reader_open(&r, file, words, &limits, err) ? err->status : EF_OK;
    while (!st && (got = reader_next(&r, &img, &number, &seconds, err)) > 0)
        if (frame(user, number, &img))
            break;
    if (!st && got < 0)
        st = err->status;
    reader_close(&r);
    return st;
}

/* ---- answers ----------------------------------------------------------------------- */

uint64_t clip_number(const struct clip *c, const ef_video_face *face)
{
    return c->numbers[face->frame];
}

void clip_face(const struct clip *c, const ef_video_face *f, struct picture_score *out)
{
    out->nfaces = 1;
    out->whole = c->scorer->whole;
    out->detected = !out->whole;
    memcpy(out->landmarks[0], f->face.landmarks, sizeof out->landmarks[0]);
    out->faces[0] =
        (struct scored_face){f->face.box, f->face.score, f->fake, f->logit, f->verdict};
}

void clip_as_picture(const struct clip *c, size_t track, struct picture_score *out)
{
    out->nfaces = 0;
    out->ntop = 0;
    out->whole = c->scorer->whole;
    out->results = NULL; /* faces have those of all models together */
    out->lacking = c->result.lacking;
    out->fake = c->result.fake;
    out->logit = c->result.logit;
    out->verdict = c->result.verdict;
    if (track >= c->result.ntracks)
        return;
    const ef_video_track *t = &c->result.tracks[track];
    clip_face(c, &t->faces[t->best], out);
}

int clip_spool(int from, uint64_t most, ef_error *err)
{
    char block[65536];
    uint64_t all = 0;
    FILE *f = tmpfile();
    const int fd = f ? dup(fileno(f)) : -1;
    if (f)
        fclose(f);
    if (fd < 0) {
        scorer_fail(err, EF_E_IO, "temporary file", strerror(errno));
        return -1;
    }
    for (;;) {
        const ssize_t n = read(from, block, sizeof block);
        if (n < 0 && errno == EINTR && !ex_cancel(NULL))
            continue;
        all += n > 0 ? (uint64_t)n : 0;
        const int lost = n > 0 && (all > most || write(fd, block, (size_t)n) != n);
        if (n < 0 || lost) {
            if (all > most)
                scorer_fail(err, EF_E_LIMIT, "", "is larger than the limits allow");
            else
                scorer_fail(err, EF_E_IO, n < 0 ? "" : "temporary file", strerror(errno));
            close(fd);
            return -1;
        }
        if (!n)
            break;
    }
    lseek(fd, 0, SEEK_SET);
    return fd;
}
