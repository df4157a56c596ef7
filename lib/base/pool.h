/* pool.h - a fixed set of threads that share the items of one call at a time. A session
 * owns one; its own thread takes part, so a pool of one has no thread at all. Between
 * two calls of a run they spin for some microseconds, then sleep. With a pool of the
 * host's (ef_options.pool) it has no threads but hands the host one task a range.
 *
 * Kernels run with DFN_FLOAT_FAST (attr.h) on every thread; the caller's own setting, and
 * that of a host's thread, is put back.
 *
 * Items are split into as many contiguous ranges as there are threads, always in the same
 * way; kernels promise that an item's bits do not depend on its range (kernels.h). */
#ifndef DFN_BASE_POOL_H
#define DFN_BASE_POOL_H

#include "lib/base/cpus.h"
#include "lib/base/options.h"

struct dfn_pool;

typedef void dfn_range_fn(const void *args, size_t first, size_t last);

/* Ranges that a pool of these resolved options shares work out to: 1 to 64. */
int dfn_pool_size(const ef_options *opt);

/* opt is resolved; its threads, pool and allocator count. EF_E_NOMEM, EF_E_THREAD. */
ef_status dfn_pool_create(const ef_options *opt, struct dfn_pool **out, ef_error *err);

/* Ends the threads; NULL is fine. */
void dfn_pool_free(struct dfn_pool *pool);

/* fn(args, first, last) over 0..items-1, all done on return. One caller at a time. */
void dfn_pool_run(struct dfn_pool *pool, dfn_range_fn *fn, const void *args,
                  size_t items);

/* The same over first..last-1. */
void dfn_pool_run_range(struct dfn_pool *pool, dfn_range_fn *fn, const void *args,
                        size_t first, size_t last);

/* fn(args, first, last) on this thread alone. */
void dfn_pool_alone(dfn_range_fn *fn, const void *args, size_t first, size_t last);

/* EF_E_THREAD if the host's pool came back before a task had ended since the last time
 * that this was asked. */
ef_status dfn_pool_check(struct dfn_pool *pool, ef_error *err);

/* Ranges that work is shared out to. */
int dfn_pool_threads(const struct dfn_pool *pool);

/* What it has of the allocator; the threads' stacks are the system's. */
size_t dfn_pool_bytes(const struct dfn_pool *pool);

#endif
