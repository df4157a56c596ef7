/* session.h - what ef_session is inside; for the other files of lib/api. */
#ifndef DFN_API_SESSION_H
#define DFN_API_SESSION_H

#include "lib/image/image.h"
#include "lib/plan/plan.h"

/* What a second look needs, one block; `block` NULL where the model has none. */
struct dfn_looks {
    void *block;
    size_t bytes;
    double *work;           /* of dfn_look_box()                                        */
    struct dfn_rect *parts; /* [batch]: what the second look saw                        */
    float *input;           /* [height][width][3]: one crop                             */
    float *first, *both;    /* [batch][outputs]; the plan has those of the second       */
};

struct ef_session {
    ef_options opt; /* resolved                                                         */
    const ef_model *model; /* one reference                                             */
    struct dfn_plan plan;
    struct dfn_pool *pool;
    bool profile;
    ef_tap_fn *tap;
    void *tap_user;
    struct dfn_looks looks;
};

/* ef_session_create() with options that are resolved already. */
ef_status dfn_session_create(const ef_model *model, const ef_options *opt,
                             ef_session **out, ef_error *err);

/* Runs n inputs that the caller has written to dfn_plan_input(&s->plan). */
ef_status dfn_session_forward(ef_session *s, int n, ef_error *err);

/* The same and, if the model's file asks for it, the second look; *logits [n][outputs]
 * are then those of both, and stay until the next run. */
ef_status dfn_session_score(ef_session *s, int n, const float **logits, ef_error *err);

#endif
