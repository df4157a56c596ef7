/* explain.c - a plan as a table for people. Called by ef_session_explain(). */
#include "lib/plan/plan.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct sink {
    ef_write_fn *write;
    void *user;
    bool stopped;
};

static DFN_PRINTF(2, 3) void put(struct sink *s, const char *format, ...)
{
    char line[256];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (!s->stopped && s->write(s->user, line, strlen(line)))
        s->stopped = true;
}

/* What one thread would take for everything, as a share of what so many threads take
 * together, as steps are cut or all by equal ranges of items. */
static double use_of(const struct dfn_plan *p, int threads, bool by_items)
{
    const struct dfn_cut whole = {1, 1, 1}, ranges = {threads, 1, 1};
    double alone = 0, shared = 0;
    for (int i = 0; i < p->nsteps; i++) {
        const struct dfn_step *s = &p->steps[i];
        if (s->inner)
            continue;
        struct dfn_call call;
        struct dfn_work work = dfn_step_work(p, i, &call);
        const bool cut = s->split || s->fused.parts;
        if (by_items && work.from.ranges * work.from.slices > 1)
            work.from = ranges;
        shared += dfn_cut_most(&work, !cut ? &whole : by_items ? &ranges : &s->cut);
        work.from = whole;
        alone += dfn_cut_most(&work, &whole);
    }
    return 100 * alone / (threads * shared);
}

static void put_step(struct sink *sink, const struct dfn_plan *p, int i, uint64_t all_ns)
{
    const struct dfn_step *s = &p->steps[i];
    const struct dfn_value *in = &p->values[s->in], *out = &p->values[s->out];
    char from[32], to[32];
    snprintf(from, sizeof from, "%dx%dx%d", in->h, in->w, in->c);
    snprintf(to, sizeof to, "%dx%dx%d", out->h, out->w, out->c);
    put(sink, "%4d  %-22s %-30s %-14s %-14s %10.3f %9.1f %12zu", i, s->name,
        s->inner ? "(within the next step)" : s->kernel->name, from, to,
        (double)s->macs / 1e6, (double)s->weight_floats * sizeof(float) / 1024,
        p->lives[s->out].offset);
    if (!s->inner)
        put(sink, " %3dx%-2d", s->cut.ranges, s->cut.slices);
    if (all_ns)
        put(sink, " %9.1f %5.1f %%", (double)s->ns / 1e3,
            100.0 * (double)s->ns / (double)all_ns);
    put(sink, "\n");
}

ef_status dfn_plan_explain(const struct dfn_plan *p, int threads, ef_write_fn *write,
                           void *user, ef_error *err)
{
    struct sink sink = {write, user, false};
    uint64_t macs = 0, ns = 0;
    for (int i = 0; i < p->nsteps; i++) {
        macs += p->steps[i].macs;
        ns += p->steps[i].ns;
    }
    put(&sink, "input %dx%dx3, batch %d, %d thread%s; %s\n", p->height, p->width,
        p->batch, threads, threads == 1 ? "" : "s", p->why);
    put(&sink, "%d steps, %.3f million MACs an input, arena %zu bytes (bound %zu)",
        p->nsteps, (double)macs / 1e6, p->arena_bytes,
        dfn_memplan_bound(p->lives, p->nvalues));
    if (threads > 1)
        put(&sink, "; threads used to %.0f %%, by items alone %.0f %%",
            use_of(p, threads, false), use_of(p, threads, true));
    put(&sink, "\n");
    put(&sink, "%4s  %-22s %-30s %-14s %-14s %10s %9s %12s    cut%s\n", "step", "layer",
        "kernel", "input", "output", "MMACs", "KiB", "arena",
        ns ? "        us   share" : "");
    for (int i = 0; i < p->nsteps; i++)
        put_step(&sink, p, i, ns);
    if (sink.stopped)
        return dfn_fail(err, EF_E_CANCELLED, "explain",
                        "the caller's write function stopped");
    return EF_OK;
}
