/* pool.c - see pool.h. A network is a hundred short calls one after the other: between
 * two of them a thread spins for some microseconds, because waking a sleeping one takes
 * longer than most calls. Then it sleeps on a condition, so that nothing spins between
 * runs. */
#define _GNU_SOURCE /* sched_getaffinity */
#include "lib/base/pool.h"

#include "lib/base/mem.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>

/* Turns of a spin before sleeping; one takes 10 to 50 ns, hence 40 to 200 us in all.
 * Waking a thread takes 5 to 50 us. */
#define SPINS 4000

struct worker {
    struct dfn_pool *pool;
    int index; /* 1..threads-1; the caller is 0 */
    pthread_t thread;
};

struct dfn_pool {
    ef_allocator allocator;
    int threads; /* the caller's included                                  */
    int started; /* workers that exist                                     */
    int spins;   /* SPINS, or 0 with more threads than CPUs: somebody needs the core */
    pthread_mutex_t lock;
    pthread_cond_t work, done;
    /* What follows is written by the caller before it raises `call`, and read by workers
     * after they have seen that. */
    atomic_ulong call;  /* counts calls: a worker runs each number once            */
    atomic_int running; /* workers that have not finished this call                */
    atomic_bool quit;
    dfn_range_fn *fn;
    const void *args;
    size_t items;
    struct worker workers[]; /* [threads - 1] */
};

int dfn_cpu_count(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set))
        return 1;
    const int n = CPU_COUNT(&set);
    return n > 0 ? n : 1;
}

static void run_share(const struct dfn_pool *p, int index)
{
    const size_t n = (size_t)p->threads, i = (size_t)index;
    /* items * n cannot overflow: both are small beside 2^64. */
    const size_t first = p->items * i / n, last = p->items * (i + 1) / n;
    if (first < last)
        p->fn(p->args, first, last);
}

static bool called(const struct dfn_pool *p, unsigned long seen)
{
    return atomic_load_explicit(&p->call, memory_order_acquire) != seen ||
           atomic_load_explicit(&p->quit, memory_order_acquire);
}

static void await_call(struct dfn_pool *p, unsigned long seen)
{
    for (int i = 0; i < p->spins; i++) {
        if (called(p, seen))
            return;
        DFN_PAUSE();
    }
    pthread_mutex_lock(&p->lock);
    while (!called(p, seen))
        pthread_cond_wait(&p->work, &p->lock);
    pthread_mutex_unlock(&p->lock);
}

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    struct dfn_pool *p = w->pool;

    for (unsigned long seen = 0;; seen++) {
        await_call(p, seen);
        if (atomic_load_explicit(&p->quit, memory_order_acquire))
            return NULL;
        run_share(p, w->index);
        /* The last one tells, under the lock, so that the caller is either before its
         * look at `running` or asleep. */
        pthread_mutex_lock(&p->lock);
        if (atomic_fetch_sub_explicit(&p->running, 1, memory_order_release) == 1)
            pthread_cond_signal(&p->done);
        pthread_mutex_unlock(&p->lock);
    }
}

/* Signals belong to the program's own threads: a worker blocks them all. */
static int start(struct worker *w)
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    const int failed = pthread_create(&w->thread, NULL, worker_main, w);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return failed;
}

static bool init_sync(struct dfn_pool *p)
{
    if (pthread_mutex_init(&p->lock, NULL))
        return false;
    if (!pthread_cond_init(&p->work, NULL)) {
        if (!pthread_cond_init(&p->done, NULL))
            return true;
        pthread_cond_destroy(&p->work);
    }
    pthread_mutex_destroy(&p->lock);
    return false;
}

ef_status dfn_pool_create(int threads, const ef_allocator *a, struct dfn_pool **out,
                          ef_error *err)
{
    struct dfn_pool *p =
        dfn_calloc(a, sizeof *p + (size_t)(threads - 1) * sizeof *p->workers);
    if (!p)
        return dfn_fail(err, EF_E_NOMEM, "thread pool", "no memory for %d threads",
                        threads);
    p->allocator = *a;
    p->threads = threads;
    p->spins = threads <= dfn_cpu_count() ? SPINS : 0;
    atomic_init(&p->call, 0);
    atomic_init(&p->running, 0);
    atomic_init(&p->quit, false);
    if (!init_sync(p)) {
        dfn_free(a, p);
        return dfn_fail(err, EF_E_THREAD, "thread pool", "no lock could be made");
    }
    for (int i = 0; i < threads - 1; i++) {
        p->workers[i].pool = p;
        p->workers[i].index = i + 1;
        if (start(&p->workers[i])) {
            dfn_pool_free(p);
            return dfn_fail(err, EF_E_THREAD, "thread pool",
                            "thread %d of %d could not be started", i + 2, threads);
        }
        p->started++;
    }
    *out = p;
    return EF_OK;
}

void dfn_pool_free(struct dfn_pool *p)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    atomic_store_explicit(&p->quit, true, memory_order_release);
    pthread_cond_broadcast(&p->work);
    pthread_mutex_unlock(&p->lock);
    for (int i = 0; i < p->started; i++)
        pthread_join(p->workers[i].thread, NULL);
    pthread_cond_destroy(&p->work);
    pthread_cond_destroy(&p->done);
    pthread_mutex_destroy(&p->lock);
    const ef_allocator a = p->allocator;
    dfn_free(&a, p);
}

void dfn_pool_run(struct dfn_pool *p, dfn_range_fn *fn, const void *args, size_t items)
{
    if (p->threads == 1 || items < 2) {
        fn(args, 0, items);
        return;
    }
    p->fn = fn;
    p->args = args;
    p->items = items;
    atomic_store_explicit(&p->running, p->started, memory_order_relaxed);
    /* Under the lock: a worker that is about to sleep has either seen the call or is
     * asleep when the condition is signalled. */
    pthread_mutex_lock(&p->lock);
    atomic_fetch_add_explicit(&p->call, 1, memory_order_release);
    pthread_cond_broadcast(&p->work);
    pthread_mutex_unlock(&p->lock);

    run_share(p, 0);

    for (int i = 0; i < p->spins; i++) {
        if (!atomic_load_explicit(&p->running, memory_order_acquire))
            return;
        DFN_PAUSE();
    }
    pthread_mutex_lock(&p->lock);
    while (atomic_load_explicit(&p->running, memory_order_acquire))
        pthread_cond_wait(&p->done, &p->lock);
    pthread_mutex_unlock(&p->lock);
}

size_t dfn_pool_bytes(const struct dfn_pool *p)
{
    return dfn_alloc_cost(sizeof *p + (size_t)(p->threads - 1) * sizeof *p->workers);
}

int dfn_pool_threads(const struct dfn_pool *p)
{
    return p->threads;
}
