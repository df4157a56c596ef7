/* pool.h - a fixed set of threads that share the items of one call at a time. A session
 * owns one; its own thread takes part, so a pool of one has no thread at all. Between
 * two calls of a run they spin for some microseconds, then sleep.
 *
 * Items are split into as many contiguous ranges as there are threads, always in the same
 * way; kernels promise that an item's bits do not depend on its range (kernels.h). */
#ifndef DFN_BASE_POOL_H
#define DFN_BASE_POOL_H

#include "lib/base/options.h"

struct dfn_pool;

typedef void dfn_range_fn(const void *args, size_t first, size_t last);

/* threads >= 1, the caller's own among them. EF_E_NOMEM, EF_E_THREAD. */
ef_status dfn_pool_create(int threads, const ef_allocator *a, struct dfn_pool **out,
                          ef_error *err);

/* Ends the threads; NULL is fine. */
void dfn_pool_free(struct dfn_pool *pool);

/* fn(args, first, last) over 0..items-1, all done on return. One caller at a time. */
void dfn_pool_run(struct dfn_pool *pool, dfn_range_fn *fn, const void *args,
                  size_t items);

int dfn_pool_threads(const struct dfn_pool *pool);

/* What it has of the allocator; the threads' stacks are the system's. */
size_t dfn_pool_bytes(const struct dfn_pool *pool);

/* CPUs that this process may use (affinity mask), at least 1. */
int dfn_cpu_count(void);

#endif
