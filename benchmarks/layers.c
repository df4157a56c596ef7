/* layers.c - see layers.h. */
#include "benchmarks/layers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_KINDS 32

/* Steps of one kind: those whose names end alike ("blocks.3.expand": "expand"). */
struct kind {
    const char *name;
    double ns, macs;
    int steps;
};

int layers_begin(struct layers *l, ef_session *session)
{
    l->n = ef_session_times(session, NULL, 0);
    l->last = calloc(l->n + 1, sizeof *l->last);
    l->best = calloc(l->n + 1, sizeof *l->best);
    return l->last && l->best && !ef_session_profile(session, 1, NULL);
}

void layers_add(struct layers *l, const ef_session *session)
{
    ef_session_times(session, l->last, l->n);
    for (size_t i = 0; i < l->n; i++)
        if (!l->best[i] || l->last[i].ns < l->best[i])
            l->best[i] = l->last[i].ns;
}

void layers_free(struct layers *l)
{
    free(l->last);
    free(l->best);
}

static const char *kind_of(const char *name)
{
    const char *block = strncmp(name, "blocks.", 7) ? NULL : strchr(name + 7, '.');
    return block ? block + 1 : name;
}

/* ms, share of all, GFLOP/s, share of the peak, ms above the floor. */
static void print_figures(double ns, double macs, double all, double peak)
{
    const double floor = 2 * macs / peak * 1e9;
    printf("%9.3f %8.3f ms %5.1f %% %8.1f %5.1f %% %9.3f ms\n", macs / 1e6, ns / 1e6,
           100 * ns / all, 2 * macs / ns, 100 * floor / ns, (ns - floor) / 1e6);
}

void layers_print(const struct layers *l, int batch, double peak)
{
    struct kind kinds[MAX_KINDS];
    int nkinds = 0;
    double all = 0, macs = 0, carried = 0;
    for (size_t i = 0; i < l->n; i++)
        all += (double)l->best[i];
    printf("%-22s %-34s %9s %11s %7s %8s %7s %12s\n", "step", "kernel", "MMACs", "time",
           "of all", "GFLOP/s", "of peak", "above floor");
    for (size_t i = 0; i < l->n; i++) {
        const ef_step_time *s = &l->last[i];
        const double ns = l->best[i] ? (double)l->best[i] : 1;
        const double step_macs = (double)s->macs * batch + carried;
        const char *name = carried > 0 ? "expand + depthwise" : kind_of(s->name);
        int k = 0;
        /* What the next step, a depthwise, does inside counts there. */
        carried = !l->best[i] && s->macs > 0 ? (double)s->macs * batch : 0;
        if (carried > 0)
            continue;
        macs += step_macs;
        printf("%-22s %-34s ", s->name, s->kernel);
        print_figures(ns, step_macs, all, peak);
        while (k < nkinds && strcmp(kinds[k].name, name))
            k++;
        if (k == nkinds && nkinds < MAX_KINDS)
            kinds[nkinds++] = (struct kind){name, 0, 0, 0};
        if (k < nkinds) {
            kinds[k].ns += ns;
            kinds[k].macs += step_macs;
            kinds[k].steps++;
        }
    }
    putchar('\n');
    for (int k = 0; k < nkinds; k++) {
        printf("%-22s %4d step%-25s ", kinds[k].name, kinds[k].steps,
               kinds[k].steps == 1 ? "" : "s");
        print_figures(kinds[k].ns, kinds[k].macs, all, peak);
    }
    printf("%-22s %-34s ", "all", "");
    print_figures(all, macs, all, peak);
}
