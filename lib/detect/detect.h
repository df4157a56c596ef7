/* detect.h - picture to faces: what ef_detector is inside. Called by lib/api.
 *
 *   picture -> pyramid -> P-Net over each level -> candidates -> NMS
 *           -> crops of 24 x 24 -> R-Net -> NMS -> crops of 48 x 48 -> O-Net -> NMS ->
 * faces
 *
 * One thread at a time; the pool shares out rows of P-Net and crops. A run gives the same
 * bits for any number of threads. */
#ifndef DFN_DETECT_DETECT_H
#define DFN_DETECT_DETECT_H

#include "lib/base/pool.h"
#include "lib/detect/nets.h"
#include "lib/detect/nms.h"
#include "lib/image/image.h"

/* Candidates of one level, and of all levels, that are looked at: a bound for pictures
 * that look like faces everywhere. A photo of 8 megapixels has some thousands. */
#define DFN_LEVEL_MOST 32768
#define DFN_ALL_MOST 65536

/* Complete and checked: nothing is 0 but max_faces, which then is "all". */
struct dfn_detect_options {
    double min_face, thresholds[DFN_DETECTOR_NETS], factor, scale;
    int max_faces;
};

struct ef_detector {
    ef_options opt;        /* resolved                                                  */
    const ef_model *model; /* one reference                                             */
    struct dfn_detect_options what;
    struct dfn_nets nets;
    struct dfn_pool *pool;
    struct dfn_scratch arena;          /* everything that a picture needs, detect.c     */
    struct dfn_scratch pixels, resize; /* the scaled picture, and dfn_resize()'s        */
    ef_detection *faces;               /* [nfaces] of the last run, in the arena        */
    size_t nfaces;
};

/* what and opt are complete. */
ef_status dfn_detector_create(const ef_model *model,
                              const struct dfn_detect_options *what,
                              const ef_options *opt, ef_detector **out, ef_error *err);
void dfn_detector_free(ef_detector *d);

/* Fills d->faces, largest box first. img has passed dfn_image_check().
 * EF_E_NOMEM, EF_E_LIMIT, EF_E_CANCELLED. */
ef_status dfn_detector_run(ef_detector *d, const ef_image *img, ef_error *err);

size_t dfn_detector_bytes(const ef_detector *d);

/* Runs the model's reference inputs: largest difference from the outputs in the file, and
 * what is allowed. */
ef_status dfn_detector_verify(const ef_model *model, const ef_options *opt,
                              double *difference, double *tolerance, ef_error *err);

#endif
