/* run.c - a forward pass: one loop, one line a step. Called by sessions.
 *
 * A batch goes through the network image by image, all in the place of the first: what a
 * step wrote is then still in a cache when the next one reads it, while a batch's widest
 * tensors together are not (38 MiB for 8 images of B0 at 224). The frames of a sequence
 * go together. Only a tap, which is shown whole batches, wants it step by step. Bits do
 * not depend on it: an item's never do on its range (kernels.h). */
#include "lib/base/clock.h"
#include "lib/plan/plan.h"

static int call_tap(const struct dfn_plan *p, const struct dfn_step *s,
                    const struct dfn_run *run)
{
    const struct dfn_value *v = &p->values[s->out];
    return run->tap(run->tap_user, s->name, dfn_plan_value(p, s->out), run->n, v->h, v->w,
                    v->c);
}

static void run_step(struct dfn_step *s, struct dfn_pool *pool, int images, bool profile)
{
    const size_t items = s->items * (size_t)images;
    const uint64_t start = profile ? dfn_now_ns() : 0;

    if (s->split)
        dfn_pool_run(pool, s->kernel->run, &s->args, items);
    else
        s->kernel->run(&s->args, 0, items);
    if (profile)
        s->ns += dfn_now_ns() - start;
}

static ef_status run_steps(struct dfn_plan *plan, struct dfn_pool *pool,
                           const struct dfn_run *run, int images, ef_error *err)
{
    const ef_options *opt = run->opt;

    for (int i = 0; i < plan->nsteps; i++) {
        struct dfn_step *s = &plan->steps[i];
        run_step(s, pool, images, run->profile);
        if ((run->tap && call_tap(plan, s, run)) ||
            (opt->cancel && opt->cancel(opt->cancel_user)))
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
