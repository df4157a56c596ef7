/* run.c - a forward pass: one loop, one line a step. Called by sessions.
 *
 * A batch goes through the network image by image, all in the place of the first: what a
 * step wrote is then still in a cache when the next one reads it, while a batch's widest
 * tensors together are not (38 MiB for 8 images of B0 at 224), and the plan has memory
 * for one image only. The frames of a sequence go together. Only a tap, which is shown
 * whole batches and for which the plan is built anew, wants it step by step. Bits do not
 * depend on it: an item's never do on its range (kernels.h). */
#include "lib/base/clock.h"
#include "lib/plan/plan.h"

static int call_tap(const struct dfn_plan *p, const struct dfn_step *s,
                    const struct dfn_run *run)
{
    const struct dfn_value *v = &p->values[s->out];
    return run->tap(run->tap_user, s->name, dfn_plan_value(p, s->out), run->n, v->h, v->w,
                    v->c);
}

/* Multiply-adds of each thread between two looks at the cancel hook: a millisecond of a
 * fast core, some ten of a slow one. */
#define PIECE_MACS ((uint64_t)64 << 20)

static bool cancelled(const ef_options *opt)
{
    return opt->cancel && opt->cancel(opt->cancel_user);
}

/* Items of a step that run in one go: all of them, unless somebody may want to cancel. */
static size_t piece_of(const struct dfn_step *s, const struct dfn_pool *pool,
                       size_t items, const struct dfn_run *run)
{
    const size_t images = items / s->items;
    const uint64_t threads = s->split ? (uint64_t)dfn_pool_threads(pool) : 1;
    const uint64_t pieces = s->macs * images / (PIECE_MACS * threads) + 1;
    return run->opt->cancel && pieces < items ? items / (size_t)pieces : items;
}

/* The items first..last-1 as the step is cut. Slices read the same pixels: these get
 * their gate before. */
static void run_parts(const struct dfn_step *s, struct dfn_pool *pool, size_t first,
                      size_t last)
{
    struct dfn_call call = dfn_step_call(s);
    call.first = first;
    call.last = last;
    if (s->cut.slices > 1 && s->gate >= 0) {
        struct dfn_pointwise_args a = s->args.pointwise;
        a.all = a.cout;
        a.cout = 0;
        dfn_pool_run_range(pool, s->kernel->run, &a, first, last);
    }
    dfn_pool_run(pool, dfn_call_run, &call, (size_t)(s->cut.ranges * s->cut.slices));
}

/* These three return false if the caller ended the run. A part of a fused step is short
 * enough to be waited for. */
static bool run_fused(struct dfn_fused *f, struct dfn_pool *pool, int images,
                      const struct dfn_run *run)
{
    for (f->image = 0; f->image < images; f->image++) {
        dfn_pool_run(pool, dfn_fused_run, f, (size_t)f->parts);
        if (f->image + 1 < images && cancelled(run->opt))
            return false;
    }
    return true;
}

static bool run_pieces(struct dfn_step *s, struct dfn_pool *pool, size_t items,
                       const struct dfn_run *run)
{
    const size_t piece = piece_of(s, pool, items, run);

    for (size_t first = 0, last; first < items; first = last) {
        last = items - first < piece ? items : first + piece;
        if (s->split)
            run_parts(s, pool, first, last);
        else
            dfn_pool_alone(s->kernel->run, &s->args, first, last);
        if (last < items && cancelled(run->opt))
            return false;
    }
    return true;
}

static bool run_step(struct dfn_step *s, struct dfn_pool *pool, int images,
                     const struct dfn_run *run)
{
    const uint64_t start = run->profile ? dfn_now_ns() : 0;
    const bool whole = s->fused.parts
                           ? run_fused(&s->fused, pool, images, run)
                           : run_pieces(s, pool, s->items * (size_t)images, run);
    if (run->profile)
        s->ns += dfn_now_ns() - start;
    return whole;
}

static ef_status run_steps(struct dfn_plan *plan, struct dfn_pool *pool,
                           const struct dfn_run *run, int images, ef_error *err)
{
    for (int i = 0; i < plan->nsteps; i++) {
        struct dfn_step *s = &plan->steps[i];
        if (s->inner)
            continue;
        if (!run_step(s, pool, images, run) || (run->tap && call_tap(plan, s, run)) ||
            cancelled(run->opt))
            return dfn_fail(err, EF_E_CANCELLED, s->name, "the caller ended the run");
    }
    return EF_OK;
}

/* The first step reads, and the last one writes, what belongs to this image; so do those
 * that write and read its attention maps. */
static void point_at(struct dfn_plan *p, int image)
{
    const size_t i = (size_t)image, outputs = (size_t)p->values[p->nvalues - 1].c;
    p->steps[0].args.conv.in =
        dfn_plan_input(p) + i * (size_t)p->height * (size_t)p->width * 3;
    p->steps[p->nsteps - 1].args.fc.out = dfn_plan_value(p, p->nvalues - 1) + i * outputs;
    if (p->maps >= 0) {
        const struct dfn_value *v = &p->values[p->maps];
        float *maps = dfn_plan_value(p, p->maps) + i * (size_t)(v->h * v->w * v->c);
        p->steps[p->map_step].args.prelu.out = maps;
        p->steps[p->map_step + 1].args.bilinear.map = maps;
    }
}

ef_status dfn_plan_run(struct dfn_plan *plan, struct dfn_pool *pool,
                       const struct dfn_run *run, ef_error *err)
{
    for (int i = 0; i < plan->nsteps && run->profile; i++)
        plan->steps[i].ns = 0;
    if (run->tap)
        return run_steps(plan, pool, run, run->n, err);

    ef_status st = EF_OK;
    for (int image = 0; image < run->n && !st; image += plan->frames) {
        point_at(plan, image);
        st = run_steps(plan, pool, run, plan->frames, err);
    }
    point_at(plan, 0);
    return st;
}
