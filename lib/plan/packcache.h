/* packcache.h - weights in the layout that a kernel wants: the loaded ones if that is
 * theirs, else a copy that is made once for a model and shared by all its sessions. */
#ifndef DFN_PLAN_PACKCACHE_H
#define DFN_PLAN_PACKCACHE_H

#include "kernels/pack.h"
#include "lib/model/model.h"

struct dfn_pack_want {
    int block; /* -1: not in a block                                                    */
    enum dfn_role role;
    enum dfn_layout layout;
    int cout, cin, kernel; /* cin is 1 for depthwise                                    */
};

/* *out is owned by the model. Any thread. */
ef_status dfn_pack_get(const ef_model *model, const struct dfn_pack_want *want,
                       const float **out, ef_error *err);

#endif
