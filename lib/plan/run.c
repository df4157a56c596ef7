/* run.c - a forward pass: one loop, one line a step. Called by sessions. */
#include "lib/base/clock.h"
#include "lib/plan/plan.h"

static int call_tap(const struct dfn_plan *p, const struct dfn_step *s,
                    const struct dfn_run *run)
{
    const struct dfn_value *v = &p->values[s->out];
    return run->tap(run->tap_user, s->name, dfn_plan_value(p, s->out), run->n, v->h, v->w,
                    v->c);
}

ef_status dfn_plan_run(struct dfn_plan *plan, struct dfn_pool *pool,
                       const struct dfn_run *run, ef_error *err)
{
    const ef_options *opt = run->opt;

    for (int i = 0; i < plan->nsteps; i++) {
        struct dfn_step *s = &plan->steps[i];
        const size_t items = s->items * (size_t)run->n;
        const uint64_t start = run->profile ? dfn_now_ns() : 0;

        if (s->split)
            dfn_pool_run(pool, s->kernel->run, &s->args, items);
        else
            s->kernel->run(&s->args, 0, items);

        if (run->profile)
            s->ns = dfn_now_ns() - start;
        if ((run->tap && call_tap(plan, s, run)) ||
            (opt->cancel && opt->cancel(opt->cancel_user)))
            return dfn_fail(err, EF_E_CANCELLED, s->name, "the caller ended the run");
    }
    return EF_OK;
}
