/* memplan.h - places buffers in one arena so that no two that live at the same time
 * overlap. Called by plan.c; knows nothing of networks. */
#ifndef DFN_PLAN_MEMPLAN_H
#define DFN_PLAN_MEMPLAN_H

#include <stddef.h>

struct dfn_life {
    size_t size;     /* bytes; a multiple of DFN_ALIGN                                  */
    int first, last; /* steps of the first write and the last read, both included       */
    size_t offset;   /* result                                                          */
};

/* Fills every offset and returns the arena's size. Largest first, each at the lowest
 * place that is free during its life; order (n ints) is work space. */
size_t dfn_memplan(struct dfn_life *lives, int n, int *order);

/* The least that any placement could need: the greatest sum of sizes alive in one
 * step. */
size_t dfn_memplan_bound(const struct dfn_life *lives, int n);

#endif
