/* track.c - see track.h. */
#include "lib/video/track.h"

#include <math.h>
#include <string.h>

/* Landmarks that moved by less than this share of the face's size are of the same face,
 * if the sizes differ by less than the factor below. */
#define MOST_MOVE 0.5
#define MOST_GROWTH 2.0

void dfn_tracks_begin(struct dfn_tracks *t, double min_overlap, int lost)
{
    t->min_overlap = min_overlap;
    t->lost = lost;
    t->next_id = 0;
    t->nopen = 0;
}

/* ---- how alike two faces are ---- */

static double least(double a, double b)
{
    return a < b ? a : b;
}

static double most(double a, double b)
{
    return a > b ? a : b;
}

double dfn_overlap(const ef_box *a, const ef_box *b)
{
    const double ax = (double)a->x, ay = (double)a->y, bx = (double)b->x,
                 by = (double)b->y;
    const double aw = (double)a->w, ah = (double)a->h, bw = (double)b->w,
                 bh = (double)b->h;
    const double w = least(ax + aw, bx + bw) - most(ax, bx);
    const double h = least(ay + ah, by + bh) - most(ay, by);
    if (!(w > 0 && h > 0))
        return 0;
    return w * h / (aw * ah + bw * bh - w * h);
}

/* How far the landmarks are apart, in sizes of a face; HUGE_VAL if the sizes differ too
 * much. */
static double movement(const ef_detection *a, const ef_detection *b)
{
    const double sa = sqrt((double)a->box.w * (double)a->box.h);
    const double sb = sqrt((double)b->box.w * (double)b->box.h);
    double sum = 0;
    if (!(sa > 0 && sb > 0) || sa > MOST_GROWTH * sb || sb > MOST_GROWTH * sa)
        return HUGE_VAL;
    for (int i = 0; i < 5; i++) {
        const double dx = (double)a->landmarks[i].x - (double)b->landmarks[i].x;
        const double dy = (double)a->landmarks[i].y - (double)b->landmarks[i].y;
        sum += sqrt(dx * dx + dy * dy);
    }
    return sum / 5 / most(sa, sb);
}

/* Above 0 if both may be the same face; greater is more alike. */
static double likeness(const struct dfn_tracks *t, const ef_detection *a,
                       const ef_detection *b)
{
    const double overlap = dfn_overlap(&a->box, &b->box), move = movement(a, b);
    const double near = move < MOST_MOVE ? 1 - move / MOST_MOVE : 0;
    return overlap >= t->min_overlap || near > 0 ? overlap + near : 0;
}

/* ---- linking ---- */

/* A track's last face in the pixels of a frame of another size. */
static void rescale(struct dfn_track *t, int width, int height)
{
    const float sx = (float)width / (float)t->width,
                sy = (float)height / (float)t->height;
    t->face.box.x *= sx;
    t->face.box.y *= sy;
    t->face.box.w *= sx;
    t->face.box.h *= sy;
    for (int i = 0; i < 5; i++) {
        t->face.landmarks[i].x *= sx;
        t->face.landmarks[i].y *= sy;
    }
    t->width = width;
    t->height = height;
}

static void close_track(struct dfn_tracks *t, int i)
{
    t->open[i] = t->open[--t->nopen];
}

/* Room for one more: closes the track that was missed longest, the oldest of equals. */
static void make_room(struct dfn_tracks *t)
{
    int worst = 0;
    for (int i = 1; i < t->nopen; i++) {
        const struct dfn_track *a = &t->open[i], *w = &t->open[worst];
        if (a->missed > w->missed || (a->missed == w->missed && a->id < w->id))
            worst = i;
    }
    close_track(t, worst);
}

/* Pairs what is most alike, until nothing is. taken: [n], the track of a face, or -1;
 * used: [nopen]. Equal pairs: the older track, then the larger face, go first. */
static void pair(const struct dfn_tracks *t, const ef_detection *faces, size_t n,
                 int *taken, bool *used)
{
    for (;;) {
        double best = 0;
        int track = -1;
        size_t face = 0;
        for (int i = 0; i < t->nopen; i++)
            for (size_t f = 0; f < n && !used[i]; f++) {
                const double like =
                    taken[f] < 0 ? likeness(t, &t->open[i].face, &faces[f]) : 0;
                const bool older = track >= 0 && t->open[i].id < t->open[track].id;
                if (like > best || (like > 0 && like >= best && older)) {
                    best = like;
                    track = i;
                    face = f;
                }
            }
        if (track < 0)
            return;
        taken[face] = track;
        used[track] = true;
    }
}

static void find_again(struct dfn_track *t, uint32_t frame, int width, int height,
                       const ef_detection *face)
{
    t->frame = frame;
    t->missed = 0;
    t->width = width;
    t->height = height;
    t->face = *face;
}

void dfn_tracks_link(struct dfn_tracks *t, uint32_t frame, int width, int height,
                     const ef_detection *faces, size_t n, struct dfn_link *links)
{
    int taken[DFN_LOOK_FACES];
    bool used[DFN_OPEN_TRACKS] = {false};
    for (int i = 0; i < t->nopen; i++) {
        /* A fresh look: those found in it are set back to 0 below. */
        t->open[i].missed++;
        if (t->open[i].width != width || t->open[i].height != height)
            rescale(&t->open[i], width, height);
    }
    for (size_t f = 0; f < n; f++)
        taken[f] = -1;
    pair(t, faces, n, taken, used);
    for (size_t f = 0; f < n; f++) {
        links[f].continues = taken[f] >= 0;
        if (taken[f] < 0)
            continue;
        struct dfn_track *track = &t->open[taken[f]];
        links[f].before = *track;
        links[f].id = track->id;
        find_again(track, frame, width, height, &faces[f]);
    }
    for (int i = t->nopen - 1; i >= 0; i--)
        if (t->open[i].missed > t->lost)
            close_track(t, i);
    for (size_t f = 0; f < n; f++) {
        if (taken[f] >= 0)
            continue;
        if (t->nopen == DFN_OPEN_TRACKS)
            make_room(t);
        struct dfn_track *track = &t->open[t->nopen++];
        links[f].id = track->id = t->next_id++;
        track->note = SIZE_MAX;
        find_again(track, frame, width, height, &faces[f]);
    }
}

struct dfn_track *dfn_tracks_find(struct dfn_tracks *t, uint32_t id)
{
    for (int i = 0; i < t->nopen; i++)
        if (t->open[i].id == id)
            return &t->open[i];
    return NULL;
}

/* ---- between two looks ---- */

static float mix(float a, float b, double s)
{
    return (float)((double)a + s * ((double)b - (double)a));
}

void dfn_between(const ef_detection *a, const ef_detection *b, double s,
                 ef_detection *out)
{
    out->box = (ef_box){mix(a->box.x, b->box.x, s), mix(a->box.y, b->box.y, s),
                        mix(a->box.w, b->box.w, s), mix(a->box.h, b->box.h, s)};
    out->score = 0;
    for (int i = 0; i < 5; i++)
        out->landmarks[i] = (ef_point){mix(a->landmarks[i].x, b->landmarks[i].x, s),
                                       mix(a->landmarks[i].y, b->landmarks[i].y, s)};
}
