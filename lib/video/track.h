/* track.h - faces of successive frames to persons. Called by lib/api/video.c; pure
 * arithmetic on a struct of fixed size, no allocation.
 *
 * A look is a frame in which faces were searched. A track is open while it may still be
 * continued: until it was missed in more than `lost` looks in a row. Of an open track its
 * last box and landmarks are kept. In each look, tracks and faces are paired greedily,
 * the most alike first; what no open track takes opens a new one. */
#ifndef DFN_VIDEO_TRACK_H
#define DFN_VIDEO_TRACK_H

#include "lib/base/options.h"

/* Faces of one frame, and tracks that are open at once; more tracks close the one that
 * was missed longest. */
#define DFN_LOOK_FACES 256
#define DFN_OPEN_TRACKS 512

struct dfn_track {
    uint32_t id;       /* from 0, in the order of opening                            */
    uint32_t frame;    /* in which it was last found                                 */
    int missed;        /* looks since then                                           */
    int width, height; /* of that frame                                           */
    size_t note;       /* the caller's; SIZE_MAX at first                         */
    ef_detection face;
};

struct dfn_tracks {
    double min_overlap;
    int lost;
    uint32_t next_id;
    int nopen;
    struct dfn_track open[DFN_OPEN_TRACKS];
};

/* Where a face belongs, and where its track was found before. */
struct dfn_link {
    uint32_t id;
    bool continues; /* `before` is filled in */
    struct dfn_track before;
};

void dfn_tracks_begin(struct dfn_tracks *t, double min_overlap, int lost);

/* The next look: n <= DFN_LOOK_FACES faces of a frame of width x height pixels.
 * links: [n]. */
void dfn_tracks_link(struct dfn_tracks *t, uint32_t frame, int width, int height,
                     const ef_detection *faces, size_t n, struct dfn_link *links);

/* The open track of this number, or NULL: it was closed, because there were too many. */
struct dfn_track *dfn_tracks_find(struct dfn_tracks *t, uint32_t id);

/* Intersection over union, in [0,1]; 0 for empty boxes. */
double dfn_overlap(const ef_box *a, const ef_box *b);

/* The face at share s of the way from a to b, score 0. */
void dfn_between(const ef_detection *a, const ef_detection *b, double s,
                 ef_detection *out);

#endif
