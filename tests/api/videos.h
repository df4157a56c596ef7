/* videos.h - what the suites of videos share: the life of an ef_video with every status
 * checked, a digest of what it found, and what must hold of its memory. */
#ifndef DFN_TESTS_API_VIDEOS_H
#define DFN_TESTS_API_VIDEOS_H

#include "tests/api/api.h"

/* With the native matrix product, whose bits are promised. */
ef_video *video_create(const ef_video_options *w, int threads, int batch);
void video_add(ef_video *v, const ef_image *img, double seconds);
ef_video_result video_finish(ef_video *v);

/* A number made of all faces and scores, to the bit. */
uint64_t video_digest(const ef_video_result *r);

/* Makes a video of w with opt, adds n frames, one a second, finishes and frees it;
 * *digest: of its result. The first failure ends it. */
ef_status video_life(const ef_video_options *w, const ef_options *opt,
                     const ef_image *const *frames, size_t n, uint64_t *digest,
                     ef_error *err);

/* A video_life() of the suite's own. */
typedef ef_status video_life_fn(const ef_options *opt, uint64_t *digest, ef_error *err);

/* Lets each allocation of life fail, alone and with all that follow, on one and two
 * threads: a status for it, nothing left behind, and where none failed (there are more
 * than `least`) always the same result. */
void video_survives_failures(video_life_fn *life, long least);

/* Adds img over and over to a video of w, whose max_scores is 50, with one track of one
 * face: after the first 60 frames nothing is allocated. The result is v's, which is
 * yours, as mem is, which outlives it. */
ef_video_result video_keeps_its_memory(const ef_video_options *w, const ef_image *img,
                                       struct test_mem *mem, ef_video **v);

#endif
