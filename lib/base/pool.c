/* pool.c - see pool.h. A network is a hundred short calls one after the other: between
 * two of them a thread spins for some microseconds, because waking a sleeping one takes
 * longer than most calls. Then it sleeps on a condition, so that nothing spins between
 * runs. */
#include "lib/base/pool.h"

#include "lib/base/mem.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>

/* Turns of a spin before sleeping; one takes 10 to 50 ns, hence 40 to 200 us in all.
 * Waking a thread takes 5 to 50 us. */
#define SPINS 4000

#define MOST_THREADS 64

struct worker {
    struct dfn_pool *pool;
    int index; /* 1..threads-1; the caller is 0 */
    pthread_t thread;
};

struct dfn_pool {
    ef_allocator allocator;
    ef_pool host; /* its run not NULL: there are no workers                */
    int threads;  /* the caller's included; ranges of a call               */
    int started;  /* workers that exist                                     */
    int spins;    /* SPINS, or 0 with more threads than CPUs: somebody needs the core */
    pthread_mutex_t lock;
    pthread_cond_t work, done;
    /* What follows is written by the caller before it raises `call`, and read by workers
     * after they have seen that. */
    atomic_ulong call;  /* counts calls: a worker runs each number once            */
    atomic_int running; /* workers that have not finished this call                */
    atomic_bool quit;
    dfn_range_fn *fn;
    const void *args;
    size_t from, items; /* from .. from + items - 1                        */
    int shares;         /* ranges that the items are split into            */
    /* The host's pool: which tasks of this call have begun, how many have ended, and
     * whether run() ever came back before the last. */
    atomic_bool begun[MOST_THREADS];
    atomic_int ended;
    bool early;
    struct worker workers[]; /* [threads - 1] */
};

static void run_share(const struct dfn_pool *p, int index)
{
    const size_t n = (size_t)p->shares, i = (size_t)index;
    /* items * n cannot overflow: both are small beside 2^64. */
    const size_t first = p->items * i / n, last = p->items * (i + 1) / n;
    if (first < last)
        p->fn(p->args, p->from + first, p->from + last);
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

    dfn_float_set(DFN_FLOAT_FAST);
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

int dfn_pool_size(const ef_options *opt)
{
    if (opt->pool.run)
        return opt->pool.workers;
    return opt->threads ? opt->threads : dfn_cpu_count();
}

ef_status dfn_pool_create(const ef_options *opt, struct dfn_pool **out, ef_error *err)
{
    const ef_allocator *a = &opt->allocator;
    const int threads = dfn_pool_size(opt);
    const size_t workers = opt->pool.run ? 0 : (size_t)threads - 1;
    struct dfn_pool *p = dfn_calloc(a, sizeof *p + workers * sizeof *p->workers);
    if (!p)
        return dfn_fail(err, EF_E_NOMEM, "thread pool", "no memory for %d threads",
                        threads);
    p->allocator = *a;
    p->host = opt->pool;
    p->threads = p->shares = threads;
    p->spins = workers && threads <= dfn_cpu_count() ? SPINS : 0;
    atomic_init(&p->call, 0);
    atomic_init(&p->running, 0);
    atomic_init(&p->quit, false);
    atomic_init(&p->ended, 0);
    for (int i = 0; i < MOST_THREADS; i++)
        atomic_init(&p->begun[i], false);
    if (!init_sync(p)) {
        dfn_free(a, p);
        return dfn_fail(err, EF_E_THREAD, "thread pool", "no lock could be made");
    }
    for (size_t i = 0; i < workers; i++) {
        p->workers[i].pool = p;
        p->workers[i].index = (int)i + 1;
        if (start(&p->workers[i])) {
            dfn_pool_free(p);
            return dfn_fail(err, EF_E_THREAD, "thread pool",
                            "thread %d of %d could not be started", (int)i + 2, threads);
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

/* A task of the host's pool. One that it should not have called, or called already, does
 * nothing: kernels may change their input in place, so none may run twice. */
static void host_task(void *context, int task)
{
    struct dfn_pool *p = context;
    if (task < 0 || task >= p->shares ||
        atomic_exchange_explicit(&p->begun[task], true, memory_order_relaxed))
        return;
    const dfn_float_mode mode = dfn_float_get();
    dfn_float_set(DFN_FLOAT_FAST);
    run_share(p, task);
    dfn_float_set(mode);
    atomic_fetch_add_explicit(&p->ended, 1, memory_order_release);
}

static void run_on_host(struct dfn_pool *p)
{
    p->shares = p->items < (size_t)p->threads ? (int)p->items : p->threads;
    atomic_store_explicit(&p->ended, 0, memory_order_relaxed);
    for (int i = 0; i < p->shares; i++)
        atomic_store_explicit(&p->begun[i], false, memory_order_relaxed);
    p->host.run(p->host.user, host_task, p, p->shares);
    if (atomic_load_explicit(&p->ended, memory_order_acquire) != p->shares)
        p->early = true;
}

static void run_on_workers(struct dfn_pool *p)
{
    atomic_store_explicit(&p->running, p->started, memory_order_relaxed);
    /* Under the lock: a worker that is about to sleep has either seen the call or is
     * asleep when the condition is signalled. */
    pthread_mutex_lock(&p->lock);
    atomic_fetch_add_explicit(&p->call, 1, memory_order_release);
    pthread_cond_broadcast(&p->work);
    pthread_mutex_unlock(&p->lock);

    const dfn_float_mode mode = dfn_float_get();
    dfn_float_set(DFN_FLOAT_FAST);
    run_share(p, 0);
    dfn_float_set(mode);

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

void dfn_pool_alone(dfn_range_fn *fn, const void *args, size_t first, size_t last)
{
    const dfn_float_mode mode = dfn_float_get();
    dfn_float_set(DFN_FLOAT_FAST);
    fn(args, first, last);
    dfn_float_set(mode);
}

void dfn_pool_run(struct dfn_pool *p, dfn_range_fn *fn, const void *args, size_t items)
{
    dfn_pool_run_range(p, fn, args, 0, items);
}

void dfn_pool_run_range(struct dfn_pool *p, dfn_range_fn *fn, const void *args,
                        size_t first, size_t last)
{
    if (p->threads == 1 || last - first < 2) {
        dfn_pool_alone(fn, args, first, last);
        return;
    }
    p->fn = fn;
    p->args = args;
    p->from = first;
    p->items = last - first;
    if (p->host.run)
        run_on_host(p);
    else
        run_on_workers(p);
}

ef_status dfn_pool_check(struct dfn_pool *p, ef_error *err)
{
    const bool early = p->early;
    p->early = false;
    return early ? dfn_fail(err, EF_E_THREAD, "options.pool",
                            "its run() returned before all tasks had")
                 : EF_OK;
}

size_t dfn_pool_bytes(const struct dfn_pool *p)
{
    return dfn_alloc_cost(sizeof *p + (size_t)p->started * sizeof *p->workers);
}

int dfn_pool_threads(const struct dfn_pool *p)
{
    return p->threads;
}
