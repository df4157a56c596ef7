/* plan.h - a network as a flat list of steps over one arena.
 *
 *   model + input size -> build.c: steps and values -> memplan.c: arena offsets
 *                      -> run.c: one loop over the steps; explain.c: the same as text
 *
 * Everything is decided and allocated while building; a run only calls kernels. */
#ifndef DFN_PLAN_PLAN_H
#define DFN_PLAN_PLAN_H

#include "kernels/kernels.h"
#include "lib/base/pool.h"
#include "lib/model/model.h"
#include "lib/plan/fuse.h"
#include "lib/plan/memplan.h"

/* A tensor of the plan: [batch][h][w][c] floats in the arena. */
struct dfn_value {
    int h, w, c;
};

struct dfn_step {
    char name[40];
    const struct dfn_kernel *kernel;
    union {
        struct dfn_conv_args conv;
        struct dfn_dwconv_args dwconv;
        struct dfn_pointwise_args pointwise;
        struct dfn_pool_args pool;
        struct dfn_fc_args fc;
        struct dfn_prelu_args prelu;
        struct dfn_bilinear_args bilinear;
        struct dfn_rootnorm_args rootnorm;
        struct dfn_scale_args scale;
        struct dfn_frames_args frames;
    } args;
    int in, out;          /* values                                                    */
    int residual, gate;   /* values read, or -1; gate: or what weighs the input        */
    int sums;             /* value written beside out, or -1                           */
    size_t items;         /* of one image; a run of n images has n times as many       */
    uint64_t macs;        /* of one image                                              */
    size_t weight_floats; /* weights and bias that the step reads                      */
    bool split;           /* enough work to share between threads                      */
    struct dfn_cut cut;   /* how                                                       */
    bool inner;           /* an expand that the next step, a depthwise, does inside: it
                             has no value                                              */
    struct dfn_fused fused; /* of that depthwise                                       */
    uint64_t ns;            /* of the last run, if profiled                            */
};

struct dfn_plan {
    const ef_model *model;
    struct dfn_kernels kernels;
    enum dfn_op pointwise; /* DFN_OP_POINTWISE or DFN_OP_POINTWISE_BLAS                 */
    const char *why;       /* one sentence on that choice                               */
    int height, width, batch;
    int frames;         /* inputs that go through together: 1, or a sequence's       */
    int map_step, maps; /* attention maps: the step that writes them and its value,
                              which keeps them for each input until the run ends; or -1 */
    int nsteps, nvalues;
    struct dfn_step *steps;   /* [nsteps]                                               */
    struct dfn_value *values; /* [nvalues]; 0 is the input, [1][1][outputs] the last    */
    struct dfn_life *lives;   /* [nvalues]                                              */
    size_t arena_bytes;
    char *arena;
    float *scratch; /* of fused steps, or NULL                                         */
    bool whole;     /* no step is inner, though some could be; values are of batches   */
    size_t bytes;   /* everything the plan has allocated                               */
};

/* opt is resolved; its height, width, batch, cpu_mask and gemm count. The plan borrows
 * the model: its owner keeps a reference. */
ef_status dfn_plan_build(const ef_model *model, const ef_options *opt,
                         struct dfn_plan *plan, ef_error *err);

/* Builds the plan anew with the same options, so that every step has its value for all
 * of a batch (whole), which a tap wants, or as it was. If that fails the plan stays. */
ef_status dfn_plan_rebuild(struct dfn_plan *plan, const ef_options *opt, bool whole,
                           ef_error *err);

/* Accepts a half-built or zeroed plan. */
void dfn_plan_free(struct dfn_plan *plan, const ef_allocator *a);

/* Runs the first n images of the arena's input. profile: fill ns. tap may be NULL; inner
 * steps are not shown to it. EF_E_CANCELLED. */
struct dfn_run {
    int n;
    bool profile;
    ef_tap_fn *tap;
    void *tap_user;
    const ef_options *opt; /* its cancel hook                                           */
};
ef_status dfn_plan_run(struct dfn_plan *plan, struct dfn_pool *pool,
                       const struct dfn_run *run, ef_error *err);

/* A call of a step's kernel for no items yet. */
static inline struct dfn_call dfn_step_call(const struct dfn_step *s)
{
    return (struct dfn_call){s->kernel, &s->args, (double)s->macs / (double)s->items,
                             s->cut,    0,        0};
}

/* What there is to cut in a step, for run.c's loop over images; call is its memory. */
struct dfn_work dfn_step_work(const struct dfn_plan *p, int step, struct dfn_call *call);

/* Where value v lives. */
static inline float *dfn_plan_value(const struct dfn_plan *p, int v)
{
    return (float *)(void *)(p->arena + p->lives[v].offset);
}

/* Input of the run, [batch][height][width][3], and its logits, [batch][outputs]. */
static inline float *dfn_plan_input(const struct dfn_plan *p)
{
    return dfn_plan_value(p, 0);
}
static inline const float *dfn_plan_logits(const struct dfn_plan *p)
{
    return dfn_plan_value(p, p->nvalues - 1);
}

/* Attention maps of the last run's inputs, [batch][h][w][c]; only if plan->maps >= 0. */
static inline const float *dfn_plan_maps(const struct dfn_plan *p)
{
    return dfn_plan_value(p, p->maps);
}

/* The plan as text; see ef_session_explain(). */
ef_status dfn_plan_explain(const struct dfn_plan *plan, int threads, ef_write_fn *write,
                           void *user, ef_error *err);

#endif
