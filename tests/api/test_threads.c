/* test_threads.c - one model, many threads: each with its own session and classifier, all
 * with the same bits; sessions created at once pack each weight once; objects come and go
 * while others run; a child of fork() can score. Meant for ThreadSanitizer, too:
 *
 *     meson setup build-tsan -Db_sanitize=thread -Db_lundef=false
 *     meson test -C build-tsan threads
 *
 * Threads only note failures in their struct; the test's own thread asserts. A new kind
 * of thread is a function and a START_TEST that calls run_threads(). */
#include "tests/api/api.h"

#include "dfn_config.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#if DFN_HAVE_OPENBLAS
#include <cblas.h>
#endif

#define THREADS 8
#define INPUTS 4
#define FLOATS (3 * 40 * 36)
#define MODEL "softmax3_longer_pad"

const char *__tsan_default_options(void);

/* A child of fork() may start threads although OpenBLAS has some in the parent. */
const char *__tsan_default_options(void)
{
    return "die_after_fork=0";
}

/* Shared by all threads of a test, read-only but for the counters. */
struct shared {
    ef_model *model;
    ef_options opt;
    float input[INPUTS][FLOATS];
    float logits[INPUTS][3];
    ef_image picture;
    ef_result scores[INPUTS];
    float tolerance; /* of logits; 0: the bits must be the same */
    atomic_int allocations, lines;
    pthread_barrier_t start;
};

struct worker {
    struct shared *shared;
    int index;
    const char *failed; /* what, or NULL */
    ef_error err;
};

static struct shared shared;

static ef_box box_of(int i)
{
    return (ef_box){(float)(5 * i), (float)(7 * i), 40, (float)(20 + i)};
}

static void count_line(void *user, int level, const char *line)
{
    struct shared *s = user;
    atomic_fetch_add(&s->lines, level > 0 && line[0]);
}

static void *count_alloc(void *user, size_t size)
{
    struct shared *s = user;
    atomic_fetch_add(&s->allocations, 1);
    return malloc(size);
}

static void count_free(void *user, void *block)
{
    (void)user;
    free(block);
}

static void open_shared(void)
{
    struct shared *s = &shared;
    ef_error err;
    ef_session *session = NULL;
    memset(s, 0, sizeof *s);
    s->opt = api_native();
    s->opt.log = count_line;
    s->opt.log_user = s;
    s->opt.allocator = (ef_allocator){count_alloc, count_free, s};
    s->model = api_model(MODEL, &s->opt);
    ck_assert(api_picture("scene.ppm", &s->picture));
    assert_status(ef_session_create(s->model, &s->opt, &session, &err), EF_OK, &err);
    ef_classifier *c = api_classifier(s->model, &s->opt);
    for (int i = 0; i < INPUTS; i++) {
        const ef_box box = box_of(i);
        api_fill((uint64_t)i, s->input[i], FLOATS);
        assert_status(ef_session_run(session, s->input[i], 1, s->logits[i], &err), EF_OK,
                      &err);
        s->scores[i] = api_score(c, &s->picture, &box);
    }
    ef_classifier_free(c);
    ef_session_free(session);
    ck_assert_int_eq(pthread_barrier_init(&s->start, NULL, THREADS), 0);
}

static void close_shared(void)
{
    pthread_barrier_destroy(&shared.start);
    ef_image_free(&shared.picture);
    ef_model_free(shared.model);
}

static void run_threads(void *(*run)(void *))
{
    pthread_t threads[THREADS];
    static struct worker workers[THREADS];
    memset(workers, 0, sizeof workers);
    for (int i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){.shared = &shared, .index = i};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, run, &workers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < THREADS; i++)
        ck_assert_msg(!workers[i].failed, "thread %d: %s; %s: %s", i, workers[i].failed,
                      workers[i].err.where, workers[i].err.what);
}

/* ---- what threads do ---- */

static bool same(const struct worker *w, const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (memcmp(&a[i], &b[i], sizeof a[i]) &&
            !(fabsf(a[i] - b[i]) <= w->shared->tolerance))
            return false;
    return true;
}

static bool run_is_right(struct worker *w, ef_session *session, int i)
{
    float logits[3];
    if (ef_session_run(session, w->shared->input[i], 1, logits, &w->err))
        w->failed = "a run failed";
    else if (!same(w, logits, w->shared->logits[i], 3))
        w->failed = "logits differ";
    return !w->failed;
}

static bool score_is_right(struct worker *w, ef_classifier *c, int i)
{
    const ef_face face = {EF_FACE_BOX, box_of(i)};
    ef_result r = api_result();
    if (ef_classify_face(c, &w->shared->picture, &face, &r, &w->err))
        w->failed = "a classification failed";
    else if (!same(w, &r.logit, &w->shared->scores[i].logit, 1) ||
             !same(w, &r.fake, &w->shared->scores[i].fake, 1))
        w->failed = "scores differ";
    return !w->failed;
}

/* Own session and classifier, 200 runs of each. */
static void *run_200(void *arg)
{
    struct worker *w = arg;
    ef_session *session = NULL;
    ef_classifier *c = NULL;
    ef_options opt = w->shared->opt;
    opt.threads = 1 + w->index % 3;
    if (ef_session_create(w->shared->model, &opt, &session, &w->err) ||
        ef_classifier_create_simple(w->shared->model, &opt, &c, &w->err))
        w->failed = "creation failed";
    for (int i = 0; i < 200 && !w->failed; i++)
        if (run_is_right(w, session, (i + w->index) % INPUTS))
            score_is_right(w, c, (i + w->index) % INPUTS);
    ef_classifier_free(c);
    ef_session_free(session);
    return NULL;
}

/* Models, sessions and classifiers come and go. */
static void *churn(void *arg)
{
    struct worker *w = arg;
    for (int i = 0; i < 25 && !w->failed; i++) {
        ef_model *own = NULL;
        ef_session *session = NULL;
        ef_classifier *c = NULL;
        ef_image img = {0};
        ef_options opt = w->shared->opt;
        opt.threads = 1 + i % 2;
        const char *path = API_FOLDER "models/" MODEL ".safetensors";
        if (ef_model_load_file(path, &opt, &own, &w->err) ||
            ef_session_create(i % 3 ? own : w->shared->model, &opt, &session, &w->err) ||
            ef_classifier_create_simple(i % 5 ? w->shared->model : own, &opt, &c,
                                        &w->err) ||
            ef_image_decode_file(API_FOLDER "pictures/scene.ppm", &opt, &img, &w->err))
            w->failed = "creation failed";
        ef_model_free(own); /* lives on in what was made of it */
        if (!w->failed && run_is_right(w, session, i % INPUTS))
            score_is_right(w, c, i % INPUTS);
        ef_image_free(&img);
        ef_session_free(session);
        ef_classifier_free(c);
    }
    return NULL;
}

/* All at once, the first sessions of a model. */
static void *create_first(void *arg)
{
    struct worker *w = arg;
    ef_session *session = NULL;
    ef_options opt = w->shared->opt;
    opt.allocator = (ef_allocator){0};
    pthread_barrier_wait(&w->shared->start);
    if (ef_session_create(w->shared->model, &opt, &session, &w->err))
        w->failed = "creation failed";
    else
        run_is_right(w, session, w->index % INPUTS);
    ef_session_free(session);
    return NULL;
}

static void *ask_facts(void *arg)
{
    struct worker *w = arg;
    const ef_model *m = w->shared->model;
    for (int i = 0; i < 100 && !w->failed; i++) {
        ef_model_info info;
        float p[3];
        ef_model_info_init(&info, sizeof info);
        if (ef_model_get_info(m, &info, &w->err) || info.outputs != 3 ||
            ef_model_probabilities(m, w->shared->logits[0], p, &w->err) ||
            strcmp(ef_model_label(m, 2), "a drawing") ||
            strcmp(ef_model_metadata(m, "dfnet.name"), MODEL) ||
            (w->index == 0 && i < 10 &&
             ef_model_verify(m, &w->shared->opt, NULL, NULL, &w->err)))
            w->failed = "a fact is wrong";
    }
    return NULL;
}

/* ---- tests ---- */

START_TEST(eight_threads_on_one_model)
{
    run_threads(run_200);
    ck_assert_int_gt(atomic_load(&shared.lines), THREADS * 200);
}
END_TEST

/* OpenBLAS with one thread, called by eight. It promises no bits, so a tolerance it
 * is. */
START_TEST(eight_threads_with_openblas)
{
#if DFN_HAVE_OPENBLAS
    const int before = openblas_get_num_threads();
    openblas_set_num_threads(1);
    shared.opt.gemm = EF_GEMM_OPENBLAS;
    shared.tolerance = 1e-3f;
    run_threads(run_200);
    openblas_set_num_threads(before);
#endif
}
END_TEST

START_TEST(objects_come_and_go)
{
    run_threads(churn);
}
END_TEST

START_TEST(facts_are_shared)
{
    run_threads(ask_facts);
}
END_TEST

START_TEST(weights_are_packed_once)
{
    ef_session *session = NULL;
    ef_error err;
    ef_options opt = shared.opt;
    opt.allocator = (ef_allocator){0};
    ef_model_free(shared.model);
    int before = atomic_load(&shared.allocations);
    shared.model = api_model(MODEL, &shared.opt);
    const int load = atomic_load(&shared.allocations) - before;
    assert_status(ef_session_create(shared.model, &opt, &session, &err), EF_OK, &err);
    ef_session_free(session);
    const int packed = atomic_load(&shared.allocations) - before - load;
    ck_assert_int_gt(packed, 0);
    for (int round = 0; round < 20; round++) {
        ef_model_free(shared.model);
        before = atomic_load(&shared.allocations);
        shared.model = api_model(MODEL, &shared.opt);
        run_threads(create_first);
        ck_assert_int_eq(atomic_load(&shared.allocations) - before, load + packed);
    }
}
END_TEST

START_TEST(a_model_lives_as_long_as_its_users)
{
    ef_session *session = NULL;
    ef_error err;
    struct worker w = {.shared = &shared};
    ef_model *m = api_model(MODEL, &shared.opt);
    assert_status(ef_session_create(m, &shared.opt, &session, &err), EF_OK, &err);
    ef_classifier *c = api_classifier(m, &shared.opt);
    ef_model_free(m);
    ck_assert_msg(run_is_right(&w, session, 1), "%s", w.failed);
    ef_session_free(session);
    ck_assert_msg(score_is_right(&w, c, 2), "%s", w.failed);
    ef_classifier_free(c);
}
END_TEST

/* In the child: what was there before, and what it makes itself. */
static int score_in_child(ef_classifier *old)
{
    struct worker w = {.shared = &shared};
    ef_options opt = shared.opt;
    ef_classifier *c = NULL;
    opt.threads = 3;
    if (!score_is_right(&w, old, 1))
        return 1;
    if (ef_classifier_create_simple(shared.model, &opt, &c, &w.err))
        return 2;
    const bool good = score_is_right(&w, c, 2);
    ef_classifier_free(c);
    return good ? 0 : 3;
}

START_TEST(a_child_can_score)
{
    static const ef_gemm gemms[] = {EF_GEMM_NATIVE, EF_GEMM_AUTO};
    shared.opt.gemm = gemms[_i];
    shared.opt.threads = 1;
    ef_classifier *c = api_classifier(shared.model, &shared.opt);
    for (int i = 0; i < INPUTS; i++) {
        const ef_box box = box_of(i);
        shared.scores[i] = api_score(c, &shared.picture, &box);
    }
    const pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (!child) {
        alarm(60);
        _exit(score_in_child(c));
    }
    int status = -1;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(WIFEXITED(status) && !WEXITSTATUS(status), "child: status %x", status);
    const ef_box box = box_of(0); /* and so can the parent, still */
    const ef_result r = api_score(c, &shared.picture, &box);
    ck_assert_mem_eq(&r, &shared.scores[0], sizeof r);
    ef_classifier_free(c);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("threads");
    TCase *t = tcase_create("threads");
    tcase_set_timeout(t, 500);
    tcase_add_checked_fixture(t, open_shared, close_shared);
    tcase_add_test(t, eight_threads_on_one_model);
    tcase_add_test(t, eight_threads_with_openblas);
    tcase_add_test(t, objects_come_and_go);
    tcase_add_test(t, facts_are_shared);
    tcase_add_test(t, weights_are_packed_once);
    tcase_add_test(t, a_model_lives_as_long_as_its_users);
    tcase_add_loop_test(t, a_child_can_score, 0, 2);
    suite_add_tcase(s, t);
    return run_suite(s);
}
