/* crew.h - a lock, a condition, and threads that share them: for work that is no loop
 * over items (pool.h). lib/api/video.c has one.
 *
 * Everything that the members share is touched under the lock. Members wait for each
 * other with dfn_crew_wait(), which lets go of the lock, and look again behind it. */
#ifndef DFN_BASE_CREW_H
#define DFN_BASE_CREW_H

#include "lib/base/options.h"

struct dfn_crew;

/* Runs in member number `member`, from 0, until it returns. */
typedef void dfn_crew_fn(void *user, int member);

/* A crew without members yet. EF_E_NOMEM, EF_E_THREAD. */
ef_status dfn_crew_create(int most, const ef_allocator *a, struct dfn_crew **out,
                          ef_error *err);

/* Starts n <= most members. On failure those that started run: free the crew. */
ef_status dfn_crew_start(struct dfn_crew *crew, int n, dfn_crew_fn *fn, void *user,
                         ef_error *err);

/* Waits until all members have returned, which they must have been told. */
void dfn_crew_join(struct dfn_crew *crew);

/* Joins, too; NULL is fine. */
void dfn_crew_free(struct dfn_crew *crew);

void dfn_crew_lock(struct dfn_crew *crew);
void dfn_crew_unlock(struct dfn_crew *crew);
/* Both under the lock. */
void dfn_crew_wait(struct dfn_crew *crew);
void dfn_crew_wake_all(struct dfn_crew *crew);

/* A second, innermost lock: nothing is waited for under it. */
void dfn_crew_lock_inner(struct dfn_crew *crew);
void dfn_crew_unlock_inner(struct dfn_crew *crew);

size_t dfn_crew_bytes(const struct dfn_crew *crew);

#endif
