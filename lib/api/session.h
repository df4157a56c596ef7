/* session.h - what ef_session is inside; for the other files of lib/api. */
#ifndef DFN_API_SESSION_H
#define DFN_API_SESSION_H

#include "lib/plan/plan.h"

struct ef_session {
    ef_options opt; /* resolved                                                         */
    const ef_model *model; /* one reference                                             */
    struct dfn_plan plan;
    struct dfn_pool *pool;
    bool profile;
    ef_tap_fn *tap;
    void *tap_user;
};

/* ef_session_create() with options that are resolved already. */
ef_status dfn_session_create(const ef_model *model, const ef_options *opt,
                             ef_session **out, ef_error *err);

/* Runs n inputs that the caller has written to dfn_plan_input(&s->plan). */
ef_status dfn_session_forward(ef_session *s, int n, ef_error *err);

#endif
