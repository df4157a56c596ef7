/* classifier.h - what ef_classifier is inside; for the other files of lib/api. */
#ifndef DFN_API_CLASSIFIER_H
#define DFN_API_CLASSIFIER_H

#include "lib/api/session.h"
#include "lib/face/preprocess.h"

struct dfn_member {
    ef_session *session;
    float weight; /* weights of all members sum to 1 */
};

struct ef_classifier {
    ef_options opt;
    int batch;  /* faces in one run: whole sequences                                    */
    int frames; /* of a sequence, or 1: its models take single pictures                 */
    int nmembers;
    struct dfn_member *members;
    ef_detector *detector; /* NULL: none                                              */
    ef_aggregate aggregate;
    float real_below, fake_from;
    struct dfn_prepare prepare;
    struct dfn_scratch scores; /* struct score [n] of the call that runs */
};

/* As ef_classify_detections(), for faces of several pictures: face number i lies in
 * *images[i], all of which are sound. faces NULL: each picture is one face. mirror: each
 * crop is mirrored first. out: n results. If models take sequences, c->frames successive
 * faces are one: EF_E_ARG if n is not a multiple of it. */
ef_status dfn_classify_each(ef_classifier *c, const ef_image *const *images,
                            const ef_detection *faces, bool mirror, size_t n,
                            ef_result *out, ef_error *err);

/* The largest face of the picture, by the classifier's detector. */
ef_status dfn_find_face(ef_classifier *c, const ef_image *img, ef_detection *face,
                        ef_error *err);

#endif
