/* clip.h - one video to scores: reader.h decodes, ef_video finds, links and scores, while
 * the next frames are decoded. classify.c calls it; clip_rows.c and clip_report.c show
 * what it gives. */
#ifndef DFNET_EXAMPLES_DFNET_CLIP_H
#define DFNET_EXAMPLES_DFNET_CLIP_H

#include "examples/dfnet/scorer.h"
#include "examples/video/choose.h"
#include "examples/video/reader.h"

#include <sys/types.h>

struct clip {
    struct scorer *scorer;
    ef_video *video; /* made for the first video, kept for the next; NULL: none yet */
    ef_video_result result; /* of the last video; owned by `video`                 */
    uint64_t *numbers;      /* [result.frames]: the frame's number in the file; owned */
    size_t cap;
    /* Of the last video, as the decoding child said. */
    uint64_t total;
    uint32_t width, height;
    double seconds;      /* its length                                                  */
    double cpu_seconds;  /* of decoding; 0: the child did not come to its end       */
    double wall_seconds; /* of clip_score(), measured here                         */
    int partial;
    char why[256];
    int no_video; /* clip_score() failed because it is none */
    /* Of the video whose child was started ahead of its turn; ahead.words empty: none. */
    struct {
        struct video_reader reader;
        char words[CHOOSE_WORDS]; /* which frames              */
        dev_t device;             /* of the file               */
        ino_t inode;              /* of the file               */
    } ahead;
};

/* Starts to decode the first file of the command line, if it is a video and if which
 * frames are wanted is known before the models are loaded, which takes as long as a child
 * needs to get ready. What goes wrong here goes wrong again, and is said, in its turn. */
void clip_start_ahead(struct clip *c, const struct options *o);

/* All zero but the scorer is a clip without a video. */
void clip_close(struct clip *c);

/* Scores the video in the open, seekable file. No face is no failure. */
ef_status clip_score(struct clip *c, int file, const char *path, ef_error *err);

/* Decodes again: calls frame() with each of the n rising frame numbers of the file.
 * EF_OK, or what went wrong; frame() returning not 0 ends it. */
typedef int clip_frame_fn(void *user, uint64_t number, const ef_image *img);
ef_status clip_frames(const struct clip *c, int file, const uint64_t *numbers, size_t n,
                      clip_frame_fn *frame, void *user, ef_error *err);

/* Number in the file of a face's frame. */
uint64_t clip_number(const struct clip *c, const ef_video_face *face);

/* A face as a picture's only one, for scorer_heatmap(); fills in nothing else. */
void clip_face(const struct clip *c, const ef_video_face *face,
               struct picture_score *out);

/* The track's face with the highest probability as a picture's only face, for
 * scorer_heatmap() and --fail-if; the verdict is the video's. */
void clip_as_picture(const struct clip *c, size_t track, struct picture_score *out);

/* A copy of standard input or of a pipe as an unnamed file; -1 with a sentence. */
int clip_spool(int from, uint64_t most, ef_error *err);

#endif
