/* video.h - what ef_video is inside; for the files video*.c.
 *
 *   frame i -> slot i % nslots -> looked at by any member -> linked in order (track.h)
 *           -> records, one a face, scored by any member in batches -> slot free again
 *           -> windows, one a sequence of records, scored by any member, too
 *
 * A slot keeps its pixels for `keep` frames after it was linked: a face may still be
 * interpolated over `hold` frames, and may be the last of a sequence. All of ef_video is
 * under the crew's lock but for pixels, detectors and classifiers of the frame or member
 * at hand. */
#ifndef DFN_API_VIDEO_H
#define DFN_API_VIDEO_H

#include "lib/api/classifier.h"
#include "lib/base/crew.h"
#include "lib/detect/detect.h"
#include "lib/video/track.h"

#define DFN_VIDEO_BATCH 8 /* most faces that a member scores in one go */
#define DFN_NO_SCORE UINT32_MAX

enum dfn_slot_state {
    DFN_SLOT_QUEUED,  /* waits for a member to look for faces */
    DFN_SLOT_LOOKING, /* one does                             */
    DFN_SLOT_SKIPPED, /* nobody will look for faces           */
    DFN_SLOT_LOOKED   /* found [n] is filled in               */
};

struct dfn_slot {
    struct dfn_scratch pixels;
    ef_image img; /* RGB8 in pixels */
    double seconds;
    enum dfn_slot_state state;
    uint32_t unscored; /* records that still need the pixels */
    size_t n;
    ef_detection found[DFN_LOOK_FACES];
};

/* A face to score, or scored. */
struct dfn_record {
    uint32_t frame, track;
    uint32_t place;  /* in the track, from 0                                            */
    uint32_t run;    /* of the faces right before it, one in each frame: how many       */
    size_t previous; /* record of the nearest of them                                   */
    double seconds;
    ef_detection face;
    bool interpolated;
};

/* A sequence to score: records `last`, the one before it, and so on. */
struct dfn_window {
    size_t last;
    uint32_t model;
    bool mirror;
};

struct dfn_video_member {
    ef_detector *detector;
    ef_classifier **classifiers; /* [nmodels] */
};

struct ef_video {
    ef_allocator allocator; /* the caller's */
    ef_options opt; /* resolved; for members: allocator and cancel go through it */
    ef_cancel_fn *cancel;
    void *cancel_user;
    ef_video_options what; /* without the caller's arrays */
    ef_rule rule;          /* points into the three below */
    double *weights, *temperatures;
    uint8_t *shrinks;
    size_t nmodels;
    const ef_model **models; /* [nmodels], held by the classifiers */
    int frames[64];          /* [nmodels], of a sequence, or 1     */
    ef_turns turns[64];      /* [nmodels], none with period 0      */
    int nmembers;            /* at least 1: without threads, the caller */
    struct dfn_video_member *members;
    struct dfn_crew *crew;
    bool threaded, quit;

    /* Of the video at hand. */
    bool finished, ending; /* ending: no frame will come any more   */
    ef_status status;      /* first failure, with its error         */
    ef_error error;
    uint32_t added, linked; /* frames                                */
    double first, last;
    int busy; /* members at work                                     */
    uint32_t hold, keep, nslots;
    struct dfn_slot *slots;
    struct dfn_tracks *tracks;
    struct dfn_link *links; /* [DFN_LOOK_FACES] */
    struct dfn_record *records;
    ef_score *scores; /* [records][nmodels]; model DFN_NO_SCORE: none */
    size_t nrecords, taken, cap;
    struct dfn_window *windows;
    size_t nwindows, windows_taken, windows_cap;
    bool full;
    uint64_t detect_ns, score_ns;

    /* Of its result. */
    ef_video_face *faces;
    ef_video_track *result;
    ef_score *work; /* [2][nfaces][nmodels] */
    size_t nfaces, nresult;
};

static inline struct dfn_slot *dfn_video_slot(const ef_video *v, uint32_t frame)
{
    return &v->slots[frame % v->nslots];
}

/* Keeps the first failure. */
void dfn_video_fail(ef_video *v, ef_status st, const ef_error *err);

/* frames and turns; given may be NULL. EF_E_ARG. */
ef_status dfn_video_take_turns(ef_video *v, const ef_turns *given, ef_error *err);

/* Notes the sequences of which this record is the last; false: no memory. */
bool dfn_video_add_windows(ef_video *v, size_t record);

/* Scores n records from `first` on by the networks of single faces, or a sequence by its
 * network; they let go of the lock meanwhile. */
void dfn_video_score_faces(ef_video *v, const struct dfn_video_member *m, size_t first,
                           size_t n);
void dfn_video_score_window(ef_video *v, const struct dfn_video_member *m,
                            struct dfn_window window);

/* Groups the records by track and combines. out is sound. */
ef_status dfn_video_result(ef_video *v, ef_video_result *out, ef_error *err);
void dfn_video_result_free(ef_video *v);
size_t dfn_video_result_bytes(const ef_video *v);

#endif
