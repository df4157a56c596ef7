/* test_pool.c - where the work of a call is done: on the caller's thread alone, on the
 * library's own, which sleep between calls, or on a pool of the host's; with the same
 * bits, and with the same arithmetic on each of them. lib/base/pool.h is looked at
 * directly where the interface does not show enough.
 *
 * A new way in which a host may run tasks is a function in `hosts`. */
#define _GNU_SOURCE /* sched_setaffinity */
#include "lib/base/pool.h"
#include "tests/api/api.h"
#include "tests/detect/random_mtcnn.h"

#include <dirent.h>
#include <fenv.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define MODEL "golden/all_kinds"
#define DEFAULT_MODEL TEST_SOURCE_ROOT "/weights_tools/models/face-lite0.safetensors"
#define SIDE 64
#define FLOATS (3 * SIDE * SIDE)
#define MOST 64

/* ---- pools of a host ---- */

struct host {
    int calls, most; /* of run(), and the largest n */
    bool stop;       /* leaves out the last task */
};

static void backwards(void *user, ef_task_fn *task, void *context, int n)
{
    struct host *h = user;
    h->calls++;
    h->most = n > h->most ? n : h->most;
    for (int i = n - 1; i >= h->stop; i--)
        task(context, i);
}

struct errand {
    ef_task_fn *task;
    void *context;
    int i;
};

static void *run_errand(void *arg)
{
    const struct errand *e = arg;
    e->task(e->context, e->i);
    return NULL;
}

static void on_threads(void *user, ef_task_fn *task, void *context, int n)
{
    pthread_t threads[MOST];
    struct errand errands[MOST];
    struct host *h = user;
    h->calls++;
    h->most = n > h->most ? n : h->most;
    for (int i = 0; i < n; i++) {
        errands[i] = (struct errand){task, context, i};
        if (pthread_create(&threads[i], NULL, run_errand, &errands[i]))
            abort();
    }
    for (int i = 0; i < n; i++)
        pthread_join(threads[i], NULL);
}

/* What no host should do: each task twice, and some that are none. */
static void too_often(void *user, ef_task_fn *task, void *context, int n)
{
    struct host *h = user;
    h->calls++;
    h->most = n > h->most ? n : h->most;
    for (int i = -1; i <= n; i++) {
        task(context, i);
        task(context, i);
    }
}

static void (*const hosts[])(void *, ef_task_fn *, void *, int) = {backwards, on_threads,
                                                                   too_often};

/* ---- sessions, detectors, classifiers ---- */

static void logits_of(ef_session *s, uint64_t seed, float *logits)
{
    static float input[FLOATS];
    ef_error err;
    api_fill(seed, input, FLOATS);
    assert_status(ef_session_run(s, input, 1, logits, &err), EF_OK, &err);
}

static ef_session *session_of(const ef_model *model, const ef_options *opt)
{
    ef_session *s = NULL;
    ef_error err;
    assert_status(ef_session_create(model, opt, &s, &err), EF_OK, &err);
    return s;
}

static ef_options small(void)
{
    ef_options opt = api_native();
    opt.height = opt.width = SIDE;
    return opt;
}

START_TEST(sessions_run_on_the_hosts_pool)
{
    float expected[64], got[64];
    ef_options opt = small();
    ef_model *model = api_model(MODEL, NULL);
    ef_session *s = session_of(model, &opt);
    int outputs = 0;
    ef_session_shape(s, NULL, NULL, NULL, &outputs, NULL);
    ck_assert_int_le(outputs, 64);
    logits_of(s, 1, expected);
    ef_session_free(s);
    for (int workers = 1; workers <= MOST; workers = workers * 2 + 1) {
        struct host host = {0, 0, false};
        const int threads = api_count("task");
        opt.pool = (ef_pool){workers, hosts[_i], &host};
        opt.threads = 5; /* says nothing now */
        s = session_of(model, &opt);
        ck_assert_int_eq(api_count("task"), threads);
        for (int run = 0; run < 2; run++) {
            logits_of(s, 1, got);
            ck_assert_msg(!memcmp(got, expected, (size_t)outputs * sizeof *got),
                          "%d workers change the bits", workers);
        }
        ck_assert(workers == 1 ? !host.calls : host.calls > 10);
        ck_assert_int_le(host.most, workers);
        ck_assert(workers == 1 || workers > SIDE / 2 || host.most == workers);
        ef_session_free(s);
    }
    ef_model_free(model);
}
END_TEST

START_TEST(detectors_run_on_the_hosts_pool)
{
    static uint8_t pixels[RANDOM_ROWS * RANDOM_COLUMNS * 3];
    const ef_image img = {
        pixels, RANDOM_COLUMNS, RANDOM_ROWS, RANDOM_COLUMNS * 3, EF_RGB8, NULL};
    ef_detection faces[2][32];
    size_t size, n[2] = {0, 0};
    ef_error err;
    ef_model *model = NULL;
    uint8_t *bytes = random_mtcnn(&size);
    struct host host = {0, 0, false};
    random_picture(pixels);
    memset(faces, 0, sizeof faces);
    assert_status(ef_model_load_memory(bytes, size, NULL, &model, &err), EF_OK, &err);
    free(bytes);
    for (int i = 0; i < 2; i++) {
        ef_options opt = api_native();
        ef_detector *d = NULL;
        if (i)
            opt.pool = (ef_pool){3, hosts[_i], &host};
        const int threads = api_count("task");
        assert_status(ef_detector_create(model, NULL, &opt, &d, &err), EF_OK, &err);
        assert_status(ef_detect_faces(d, &img, faces[i], 32, &n[i], &err), EF_OK, &err);
        ck_assert_int_eq(api_count("task"), threads);
        ef_detector_free(d);
    }
    ck_assert_int_gt(host.calls, 2);
    ck_assert_int_eq(host.most, 3);
    ck_assert_uint_eq(n[0], n[1]);
    ck_assert_mem_eq(faces[0], faces[1], sizeof faces[0]);
    ef_model_free(model);
}
END_TEST

START_TEST(classifiers_run_on_the_hosts_pool)
{
    struct host host = {0, 0, false};
    ef_image img;
    ef_options opt = api_native();
    ef_error err;
    ef_model *model = NULL;
    assert_status(ef_model_load_file(DEFAULT_MODEL, NULL, &model, &err), EF_OK, &err);
    ck_assert(api_picture("scene.ppm", &img));
    ef_classifier *c = api_classifier(model, &opt);
    const ef_result expected = api_score(c, &img, NULL);
    ef_classifier_free(c);
    opt.pool = (ef_pool){3, hosts[_i], &host};
    const int threads = api_count("task");
    c = api_classifier(model, &opt);
    const ef_result got = api_score(c, &img, NULL);
    ck_assert_int_eq(api_count("task"), threads);
    ck_assert_mem_eq(&got.logit, &expected.logit, sizeof got.logit);
    ck_assert_int_gt(host.calls, 0);
    ef_classifier_free(c);
    ef_model_free(model);
    ef_image_free(&img);
}
END_TEST

/* A failure now, and none of the next run. */
START_TEST(a_pool_that_leaves_out_a_task)
{
    struct host host = {0, 0, true};
    float input[FLOATS] = {0}, expected[64], logits[64];
    ef_options opt = small();
    ef_error err;
    ef_model *model = api_model(MODEL, NULL);
    ef_session *s = session_of(model, &opt);
    logits_of(s, 2, expected);
    ef_session_free(s);
    opt.pool = (ef_pool){2, backwards, &host};
    s = session_of(model, &opt);
    assert_status(ef_session_run(s, input, 1, logits, &err), EF_E_THREAD, &err);
    ck_assert_int_eq(ef_session_run(s, input, 1, logits, NULL), EF_E_THREAD);
    host.stop = false;
    logits_of(s, 2, logits);
    ck_assert_mem_eq(logits, expected, sizeof *logits);
    ef_session_free(s);
    ef_model_free(model);
}
END_TEST

START_TEST(pools_that_cannot_be)
{
    static const int workers[] = {-1, 0, 65, 1 << 30};
    ef_options opt, full;
    ef_error err;
    for (size_t i = 0; i < COUNT(workers); i++) {
        ef_options_init(&opt, sizeof opt);
        opt.pool = (ef_pool){workers[i], backwards, NULL};
        assert_status(dfn_options_resolve(&opt, &full, &err), EF_E_ARG, &err);
    }
    opt.pool = (ef_pool){2, NULL, NULL};
    assert_status(dfn_options_resolve(&opt, &full, &err), EF_E_ARG, &err);
}
END_TEST

/* ---- threads of the library ---- */

START_TEST(one_thread_makes_none)
{
    float logits[64];
    ef_options opt = small();
    ef_error err;
    ef_image img;
    ef_detector *d = NULL;
    size_t size, n;
    static uint8_t pixels[RANDOM_ROWS * RANDOM_COLUMNS * 3];
    const ef_image picture = {
        pixels, RANDOM_COLUMNS, RANDOM_ROWS, RANDOM_COLUMNS * 3, EF_RGB8, NULL};
    uint8_t *bytes = random_mtcnn(&size);
    const int threads = api_count("task");
    ck_assert_int_ge(threads, 1);
    ef_model *model = api_model("sigmoid_squash_clamp", &opt), *mtcnn = NULL;
    ef_session *s = session_of(model, &opt);
    logits_of(s, 3, logits);
    ck_assert_int_eq(api_count("task"), threads);
    ef_classifier *c = api_classifier(model, &opt);
    ck_assert(api_picture("scene.ppm", &img));
    api_score(c, &img, NULL);
    ck_assert_int_eq(api_count("task"), threads);
    random_picture(pixels);
    assert_status(ef_model_load_memory(bytes, size, &opt, &mtcnn, &err), EF_OK, &err);
    assert_status(ef_detector_create(mtcnn, NULL, &opt, &d, &err), EF_OK, &err);
    assert_status(ef_detect_faces(d, &picture, NULL, 0, &n, &err), EF_OK, &err);
    ck_assert_int_eq(api_count("task"), threads);
    /* And the counting sees one. */
    opt.threads = 2;
    ef_session *two = session_of(model, &opt);
    ck_assert_int_eq(api_count("task"), threads + 1);
    ef_session_free(two);
    ef_detector_free(d);
    ef_classifier_free(c);
    ef_session_free(s);
    ef_model_free(mtcnn);
    ef_model_free(model);
    ef_image_free(&img);
    free(bytes);
}
END_TEST

/* threads = 0 as `taskset` allows. */
START_TEST(as_many_threads_as_the_mask_allows)
{
    cpu_set_t old, one;
    ef_options opt = small();
    ef_model *model = api_model(MODEL, NULL);
    opt.threads = 0;
    const int before = api_count("task");
    ef_session *s = session_of(model, &opt);
    ck_assert_int_eq(api_count("task"), before + dfn_cpu_count() - 1);
    ef_session_free(s);
    ck_assert_int_eq(sched_getaffinity(0, sizeof old, &old), 0);
    CPU_ZERO(&one);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &old) && !CPU_COUNT(&one))
            CPU_SET(cpu, &one);
    ck_assert_int_eq(sched_setaffinity(0, sizeof one, &one), 0);
    /* A joined thread leaves the list a moment after pthread_join() returns. */
    for (int i = 0; i < 1000 && api_count("task") > before; i++)
        usleep(10000);
    s = session_of(model, &opt);
    ck_assert_int_eq(api_count("task"), before);
    ef_session_free(s);
    ck_assert_int_eq(sched_setaffinity(0, sizeof old, &old), 0);
    ef_model_free(model);
}
END_TEST

/* Threads that are no session's: the calling one, and a sanitizer's own, which polls. */
static long others[16];
static int nothers;

static void remember_others(void)
{
    DIR *folder = opendir("/proc/self/task");
    nothers = 0;
    ck_assert_ptr_nonnull(folder);
    for (struct dirent *d; (d = readdir(folder));)
        if (d->d_name[0] != '.') {
            ck_assert_int_lt(nothers, 16);
            others[nothers++] = atol(d->d_name);
        }
    closedir(folder);
}

static bool is_other(long thread)
{
    for (int i = 0; i < nothers; i++)
        if (others[i] == thread)
            return true;
    return false;
}

/* State ('R', 'S', ...) of each thread made since remember_others(), and how often they
 * all have stopped running; '?' for none. */
static char thread_states(unsigned long *stops)
{
    char worst = '?';
    DIR *folder = opendir("/proc/self/task");
    *stops = 0;
    ck_assert_ptr_nonnull(folder);
    for (struct dirent *d; (d = readdir(folder));) {
        char path[300], line[256], state = 0;
        unsigned long n;
        if (d->d_name[0] == '.' || is_other(atol(d->d_name)))
            continue;
        snprintf(path, sizeof path, "/proc/self/task/%s/status", d->d_name);
        FILE *f = fopen(path, "r");
        while (f && fgets(line, sizeof line, f)) {
            sscanf(line, "State: %c", &state);
            if (sscanf(line, "voluntary_ctxt_switches: %lu", &n) == 1 ||
                sscanf(line, "nonvoluntary_ctxt_switches: %lu", &n) == 1)
                *stops += n;
        }
        if (f)
            fclose(f);
        if (state && worst != 'R')
            worst = state;
    }
    closedir(folder);
    return worst;
}

/* After a call the workers fall asleep, and nothing wakes them: a thread that spins is
 * running whenever one looks, one that polls stops again and again. */
START_TEST(workers_sleep_between_calls)
{
    float logits[64];
    ef_options opt = small();
    ef_model *model = api_model(MODEL, NULL);
    unsigned long first = 0, again = 0;
    opt.threads = dfn_cpu_count() > 1 ? dfn_cpu_count() : 2;
    remember_others();
    ef_session *s = session_of(model, &opt);
    for (int run = 0; run < 3; run++) {
        logits_of(s, 4, logits);
        char state = 0;
        /* A minute at most, on a machine where others have the processor. */
        for (int i = 0; i < 6000 && (state = thread_states(&first)) != 'S'; i++)
            usleep(10000);
        ck_assert_msg(state == 'S', "a worker is in state %c long after the call", state);
        for (int i = 0; i < 20; i++) {
            usleep(10000);
            ck_assert_int_eq(thread_states(&again), 'S');
        }
        ck_assert_uint_eq(again, first);
    }
    ef_session_free(s);
    ef_model_free(model);
}
END_TEST

/* ---- arithmetic ---- */

#define ITEMS 97
#define TINY 1e-40f /* a denormal number */

struct sums {
    volatile float out[ITEMS];
    atomic_int done[ITEMS];
};

/* Half-way between two floats, and a number that is flushed. */
static void add_up(const void *args, size_t first, size_t last)
{
    struct sums *s = *(struct sums *const *)args;
    for (size_t i = first; i < last; i++) {
        volatile float tiny = TINY, third = 1.0f / 3, one = 1;
        s->out[i] = tiny * 1e38f * 1e9f + third * one + 1e7f;
        atomic_fetch_add(&s->done[i], 1);
    }
}

static float flushed(void)
{
#if defined(__x86_64__) || defined(__aarch64__)
    volatile float third = 1.0f / 3, one = 1;
    return third * one + 1e7f;
#else
    volatile float tiny = TINY, third = 1.0f / 3, one = 1;
    return tiny * 1e38f * 1e9f + third * one + 1e7f;
#endif
}

static float tiny_times(float x)
{
    volatile float tiny = TINY, y = x;
    return tiny * y;
}

/* Each item once, all with the same arithmetic, whatever the caller has set, which is
 * the same afterwards. */
START_TEST(the_same_arithmetic_on_every_thread)
{
    static const int rounding[] = {FE_TONEAREST, FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO};
    const float expected = flushed();
    for (int kind = 0; kind < 1 + (int)COUNT(hosts); kind++)
        for (int threads = 1; threads <= 5; threads += 2)
            for (size_t r = 0; r < COUNT(rounding); r++) {
                struct host host = {0, 0, false};
                struct dfn_pool *pool = NULL;
                struct sums sums, *const args = &sums;
                ef_options opt, full;
                ef_error err;
                memset(&sums, 0, sizeof sums);
                ef_options_init(&opt, sizeof opt);
                opt.threads = threads;
                if (kind)
                    opt.pool = (ef_pool){threads, hosts[kind - 1], &host};
                assert_status(dfn_options_resolve(&opt, &full, &err), EF_OK, &err);
                assert_status(dfn_pool_create(&full, &pool, &err), EF_OK, &err);
                ck_assert_int_eq(fesetround(rounding[r]), 0);
                dfn_pool_run_range(pool, add_up, &args, 0, 50);
                dfn_pool_run_range(pool, add_up, &args, 50, ITEMS - 1);
                dfn_pool_alone(add_up, &args, ITEMS - 1, ITEMS);
                ck_assert_int_eq(fegetround(), rounding[r]);
                ck_assert(tiny_times(1e38f) > 0); /* the caller keeps its small numbers */
                ck_assert_int_eq(fesetround(FE_TONEAREST), 0);
                assert_status(dfn_pool_check(pool, &err), EF_OK, &err);
                dfn_pool_free(pool);
                for (int i = 0; i < ITEMS; i++) {
                    ck_assert_int_eq(atomic_load(&sums.done[i]), 1);
                    ck_assert_msg(sums.out[i] == expected,
                                  "kind %d, %d threads, item %d: %a, expected %a", kind,
                                  threads, i, (double)sums.out[i], (double)expected);
                }
            }
}
END_TEST

/* Callbacks see the caller's arithmetic. */
static int small_numbers(void *user)
{
    *(int *)user += tiny_times(1) > 0;
    return 0;
}

static int small_numbers_of_a_step(void *user, const char *name, const float *data, int n,
                                   int h, int w, int c)
{
    (void)name, (void)data, (void)n, (void)h, (void)w, (void)c;
    return small_numbers(user);
}

START_TEST(callbacks_keep_the_callers_arithmetic)
{
    float logits[64];
    int asked = 0, taps = 0;
    ef_options opt = small();
    ef_model *model = api_model(MODEL, NULL);
    opt.threads = 2;
    opt.cancel = small_numbers;
    opt.cancel_user = &asked;
    ef_session *s = session_of(model, &opt);
    ck_assert_int_eq(ef_session_tap(s, small_numbers_of_a_step, &taps, NULL), EF_OK);
    logits_of(s, 5, logits);
    const int steps = (int)ef_session_times(s, NULL, 0);
    ck_assert_int_eq(taps, steps);
    ck_assert_int_ge(asked, steps);
    ef_session_free(s);
    ef_model_free(model);
}
END_TEST

/* ---- cancelling ---- */

struct stop {
    int asked, at; /* how often, and when to say yes; 0: never */
};

static int count_and_stop(void *user)
{
    struct stop *s = user;
    return ++s->asked == s->at;
}

/* A picture so large that single steps are cut: asked more often than there are steps,
 * with the same bits, and the run ends at once wherever the hook says so. */
START_TEST(long_steps_are_cancelled_inside)
{
    enum { LARGE = 1024 };
    static float input[3 * LARGE * LARGE];
    float expected[64] = {0}, got[64] = {0};
    struct stop stop = {0, 0};
    ef_error err;
    ef_options opt = api_native();
    ef_model *model = NULL;
    ef_options_init(&opt, sizeof opt);
    opt.height = opt.width = LARGE;
    opt.gemm = EF_GEMM_NATIVE;
    opt.threads = _i;
    assert_status(ef_model_load_file(DEFAULT_MODEL, NULL, &model, &err), EF_OK, &err);
    api_fill(6, input, COUNT(input));
    ef_session *s = session_of(model, &opt);
    assert_status(ef_session_run(s, input, 1, expected, &err), EF_OK, &err);
    const int steps = (int)ef_session_times(s, NULL, 0);
    ef_session_free(s);
    opt.cancel = count_and_stop;
    opt.cancel_user = &stop;
    s = session_of(model, &opt);
    assert_status(ef_session_run(s, input, 1, got, &err), EF_OK, &err);
    ck_assert_mem_eq(got, expected, sizeof got);
    ck_assert_msg(stop.asked > steps, "asked %d times in %d steps", stop.asked, steps);
    const int all = stop.asked;
    for (int at = 1; at <= all; at += 7) {
        stop = (struct stop){0, at};
        assert_status(ef_session_run(s, input, 1, got, &err), EF_E_CANCELLED, &err);
        ck_assert_int_eq(stop.asked, at);
    }
    ef_session_free(s);
    ef_model_free(model);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("pool");
    TCase *t = tcase_create("pool");
    tcase_set_timeout(t, 300);
    tcase_add_loop_test(t, sessions_run_on_the_hosts_pool, 0, (int)COUNT(hosts));
    tcase_add_loop_test(t, detectors_run_on_the_hosts_pool, 0, (int)COUNT(hosts));
    tcase_add_loop_test(t, classifiers_run_on_the_hosts_pool, 0, (int)COUNT(hosts));
    tcase_add_test(t, a_pool_that_leaves_out_a_task);
    tcase_add_test(t, pools_that_cannot_be);
    tcase_add_test(t, one_thread_makes_none);
    tcase_add_test(t, as_many_threads_as_the_mask_allows);
    tcase_add_test(t, workers_sleep_between_calls);
    tcase_add_test(t, the_same_arithmetic_on_every_thread);
    tcase_add_test(t, callbacks_keep_the_callers_arithmetic);
    tcase_add_loop_test(t, long_steps_are_cancelled_inside, 1, 3);
    suite_add_tcase(s, t);
    return run_suite(s);
}
