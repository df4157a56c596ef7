/* fuse.h - expand and depthwise convolution of one block as one step, so that the
 * expanded tensor, the widest of the network, never leaves the second-level cache and
 * takes no place in the arena. build.c sets it up, run.c calls it. */
#ifndef DFN_PLAN_FUSE_H
#define DFN_PLAN_FUSE_H

#include "lib/plan/cut.h"

#include <stdbool.h>

/* Of one image, number `image` of the batch. An item is a part of the cut: a range of
 * output rows of a slice of channels, each with scratch memory of its own. */
struct dfn_fused {
    const struct dfn_kernel *expand_kernel, *depthwise_kernel;
    const struct dfn_pointwise_args *expand; /* its out is not used                     */
    const struct dfn_dwconv_args *depthwise; /* its in is not used                      */
    struct dfn_cut cut;
    int parts; /* of the cut; 0: this step is not fused                                 */
    int image;
    float *scratch; /* [parts][dfn_fused_floats()]                                      */
};

/* Whether it pays and is the same: smaller tensors stay in a cache anyway. */
bool dfn_fused_pays(const struct dfn_dwconv_args *depthwise);

/* What is to be cut, of one image. */
struct dfn_work dfn_fused_work(const struct dfn_fused *f, struct dfn_cut from);

/* Floats of scratch memory for each part. */
size_t dfn_fused_floats(const struct dfn_dwconv_args *depthwise);

/* A dfn_range_fn over parts. */
void dfn_fused_run(const void *fused, size_t first, size_t last);

#endif
