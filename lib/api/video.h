/* video.h - what ef_video is inside; for video.c and video_result.c.
 *
 *   frame i -> slot i % nslots -> looked at by any member -> linked in order (track.h)
 *           -> records, one a face, scored by any member in batches -> slot free again
 *
 * A slot keeps its pixels for `hold` frames after it was linked, because a face may still
 * be interpolated over it. All of ef_video is under the crew's lock but for pixels,
 * detectors and classifiers of the frame or member at hand. */
#ifndef DFN_API_VIDEO_H
#define DFN_API_VIDEO_H

#include "lib/api/classifier.h"
#include "lib/base/crew.h"
#include "lib/detect/detect.h"
#include "lib/video/track.h"

#define DFN_VIDEO_BATCH 8 /* most faces that a member scores in one go */

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
    double seconds;
    ef_detection face;
    bool interpolated;
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
    size_t nmodels;          /* that score: networks of sequences do not */
    uint32_t numbers[64];    /* [nmodels], in the rule                   */
    const ef_model **models; /* [nmodels], held by the classifiers       */
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
    uint32_t hold, nslots;
    struct dfn_slot *slots;
    struct dfn_tracks *tracks;
    struct dfn_link *links; /* [DFN_LOOK_FACES] */
    struct dfn_record *records;
    ef_score *scores; /* [records][nmodels] */
    size_t nrecords, taken, cap;
    bool full;
    uint64_t detect_ns, score_ns;

    /* Of its result. */
    ef_video_face *faces;
    ef_video_track *result;
    ef_score *work; /* [2][nfaces][nmodels] */
    size_t nfaces, nresult;
};

/* Groups the records by track and combines. out is sound. */
ef_status dfn_video_result(ef_video *v, ef_video_result *out, ef_error *err);
void dfn_video_result_free(ef_video *v);
size_t dfn_video_result_bytes(const ef_video *v);

#endif
