/* memplan.c - greedy placement by size, as TFLite and XNNPACK do it: within a few per
 * cent of the bound on networks of this shape. See memplan.h. */
#include "lib/plan/memplan.h"

#include <stdbool.h>

static bool together(const struct dfn_life *a, const struct dfn_life *b)
{
    return a->first <= b->last && b->first <= a->last;
}

/* order[] by falling size; insertion sort, because equal sizes must keep their order for
 * the plan to be the same on every machine, and n is a few hundred. */
static void sort_by_size(const struct dfn_life *lives, int n, int *order)
{
    for (int i = 0; i < n; i++) {
        int j = i;
        for (; j > 0 && lives[order[j - 1]].size < lives[i].size; j--)
            order[j] = order[j - 1];
        order[j] = i;
    }
}

/* The lowest offset at which lives[me] fits beside those already placed,
 * order[0..placed-1]. Each try that collides moves up to the end of what it met, so it
 * ends. */
static size_t lowest_gap(const struct dfn_life *lives, const int *order, int placed,
                         int me)
{
    const struct dfn_life *m = &lives[me];
    size_t at = 0;
    for (bool moved = true; moved;) {
        moved = false;
        for (int i = 0; i < placed; i++) {
            const struct dfn_life *l = &lives[order[i]];
            if (together(l, m) && at < l->offset + l->size && l->offset < at + m->size) {
                at = l->offset + l->size;
                moved = true;
            }
        }
    }
    return at;
}

size_t dfn_memplan(struct dfn_life *lives, int n, int *order)
{
    size_t arena = 0;
    sort_by_size(lives, n, order);
    for (int i = 0; i < n; i++) {
        struct dfn_life *l = &lives[order[i]];
        l->offset = lowest_gap(lives, order, i, order[i]);
        if (l->offset + l->size > arena)
            arena = l->offset + l->size;
    }
    return arena;
}

size_t dfn_memplan_bound(const struct dfn_life *lives, int n)
{
    size_t most = 0;
    for (int i = 0; i < n; i++) {
        /* The sum changes upward only where a life begins. */
        size_t sum = 0;
        for (int j = 0; j < n; j++)
            if (lives[j].first <= lives[i].first && lives[i].first <= lives[j].last)
                sum += lives[j].size;
        if (sum > most)
            most = sum;
    }
    return most;
}
