/* crew.c - see crew.h. */
#include "lib/base/crew.h"

#include "lib/base/mem.h"

#include <pthread.h>
#include <signal.h>

struct member {
    struct dfn_crew *crew;
    int index;
    pthread_t thread;
};

struct dfn_crew {
    ef_allocator allocator;
    int most, started;
    dfn_crew_fn *fn;
    void *user;
    pthread_mutex_t lock, inner;
    pthread_cond_t changed;
    struct member members[]; /* [most] */
};

static bool init_sync(struct dfn_crew *c)
{
    if (pthread_mutex_init(&c->lock, NULL))
        return false;
    if (!pthread_mutex_init(&c->inner, NULL)) {
        if (!pthread_cond_init(&c->changed, NULL))
            return true;
        pthread_mutex_destroy(&c->inner);
    }
    pthread_mutex_destroy(&c->lock);
    return false;
}

ef_status dfn_crew_create(int most, const ef_allocator *a, struct dfn_crew **out,
                          ef_error *err)
{
    struct dfn_crew *c = dfn_calloc(a, sizeof *c + (size_t)most * sizeof *c->members);
    if (!c)
        return dfn_fail(err, EF_E_NOMEM, "threads", "no memory for %d threads", most);
    c->allocator = *a;
    c->most = most;
    if (!init_sync(c)) {
        dfn_free(a, c);
        return dfn_fail(err, EF_E_THREAD, "threads", "no lock could be made");
    }
    *out = c;
    return EF_OK;
}

static void *run(void *arg)
{
    const struct member *m = arg;
    m->crew->fn(m->crew->user, m->index);
    return NULL;
}

ef_status dfn_crew_start(struct dfn_crew *c, int n, dfn_crew_fn *fn, void *user,
                         ef_error *err)
{
    sigset_t all, old;
    int failed = 0;
    c->fn = fn;
    c->user = user;
    /* Signals belong to the program's own threads. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    for (int i = 0; i < n && !failed; i++) {
        struct member *m = &c->members[i];
        m->crew = c;
        m->index = i;
        failed = pthread_create(&m->thread, NULL, run, m);
        c->started += !failed;
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return failed ? dfn_fail(err, EF_E_THREAD, "threads",
                             "thread %d of %d could not be started", c->started + 1, n)
                  : EF_OK;
}

void dfn_crew_join(struct dfn_crew *c)
{
    for (int i = 0; i < c->started; i++)
        pthread_join(c->members[i].thread, NULL);
    c->started = 0;
}

void dfn_crew_free(struct dfn_crew *c)
{
    if (!c)
        return;
    dfn_crew_join(c);
    pthread_cond_destroy(&c->changed);
    pthread_mutex_destroy(&c->inner);
    pthread_mutex_destroy(&c->lock);
    const ef_allocator a = c->allocator;
    dfn_free(&a, c);
}

void dfn_crew_lock(struct dfn_crew *c)
{
    pthread_mutex_lock(&c->lock);
}

void dfn_crew_unlock(struct dfn_crew *c)
{
    pthread_mutex_unlock(&c->lock);
}

void dfn_crew_wait(struct dfn_crew *c)
{
    pthread_cond_wait(&c->changed, &c->lock);
}

void dfn_crew_wake_all(struct dfn_crew *c)
{
    pthread_cond_broadcast(&c->changed);
}

void dfn_crew_lock_inner(struct dfn_crew *c)
{
    pthread_mutex_lock(&c->inner);
}

void dfn_crew_unlock_inner(struct dfn_crew *c)
{
    pthread_mutex_unlock(&c->inner);
}

size_t dfn_crew_bytes(const struct dfn_crew *c)
{
    return dfn_alloc_cost(sizeof *c + (size_t)c->most * sizeof *c->members);
}
