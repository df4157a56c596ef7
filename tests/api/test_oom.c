/* test_oom.c - memory and threads that are not to be had. In each scenario the n-th
 * allocation fails, for all n until none fails, once alone and once with all later ones;
 * then the n-th lock or thread. The status is exact, nothing leaks, `out` is untouched,
 * and the objects that were there before give the same bits as ever. Also: runs allocate
 * nothing, and the library's own memory figures are what the hook counts.
 *
 * A new scenario is a row in `scenarios`. The program is linked with --wrap for the three
 * pthread functions below (meson.build). */
#include "tests/api/api.h"

#include "dfn_config.h"

#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define MODEL "softmax3_longer_pad"
#define POISON ((void *)&poison_place)

static char poison_place;

/* ---- locks and threads that fail ---- */

enum { CREATE, MUTEX, COND };
/* The fail_at-th call from now fails; 0: none. */
static struct {
    int fail_at[3];
    bool failed;
} thread_faults;

static bool thread_fault(int what)
{
    int *left = &thread_faults.fail_at[what];
    if (!*left || --*left)
        return false;
    thread_faults.failed = true;
    return true;
}

int __real_pthread_create(pthread_t *t, const pthread_attr_t *attr, void *(*run)(void *),
                          void *arg);
int __real_pthread_mutex_init(pthread_mutex_t *m, const pthread_mutexattr_t *attr);
int __real_pthread_cond_init(pthread_cond_t *c, const pthread_condattr_t *attr);
int __wrap_pthread_create(pthread_t *t, const pthread_attr_t *attr, void *(*run)(void *),
                          void *arg);
int __wrap_pthread_mutex_init(pthread_mutex_t *m, const pthread_mutexattr_t *attr);
int __wrap_pthread_cond_init(pthread_cond_t *c, const pthread_condattr_t *attr);

int __wrap_pthread_create(pthread_t *t, const pthread_attr_t *attr, void *(*run)(void *),
                          void *arg)
{
    return thread_fault(CREATE) ? 11 /* EAGAIN */
                                : __real_pthread_create(t, attr, run, arg);
}

int __wrap_pthread_mutex_init(pthread_mutex_t *m, const pthread_mutexattr_t *attr)
{
    return thread_fault(MUTEX) ? 12 /* ENOMEM */ : __real_pthread_mutex_init(m, attr);
}

int __wrap_pthread_cond_init(pthread_cond_t *c, const pthread_condattr_t *attr)
{
    return thread_fault(COND) ? 12 : __real_pthread_cond_init(c, attr);
}

/* ---- scenarios ---- */

/* What a scenario works on: made anew, without faults, before each try. */
struct stage {
    struct test_mem mem;
    ef_options opt; /* mem, native gemm, some threads */
    uint8_t *file;  /* the model's bytes               */
    size_t size;
    ef_model *model;
    ef_session *session;
    ef_classifier *classifier;
    ef_image small, large;
    float input[3 * 40 * 36];
};

static ef_model *default_allocator_model;

static void open_stage(struct stage *s, int threads)
{
    ef_error err;
    memset(s, 0, sizeof *s);
    test_mem_init(&s->mem);
    test_options(&s->opt, &s->mem);
    s->opt.gemm = EF_GEMM_NATIVE;
    s->opt.threads = threads;
    s->file = test_read_file(api_model_path(MODEL), &s->size);
    s->model = api_model(MODEL, &s->opt);
    assert_status(ef_session_create(s->model, &s->opt, &s->session, &err), EF_OK, &err);
    s->classifier = api_classifier(s->model, &s->opt);
    ck_assert(api_picture("scene.ppm", &s->large));
    s->small = s->large;
    s->small.owner = NULL;
    s->small.width = 20;
    s->small.height = 25;
    api_fill(3, s->input, COUNT(s->input));
}

static void close_stage(struct stage *s)
{
    ef_image_free(&s->large);
    ef_classifier_free(s->classifier);
    ef_session_free(s->session);
    ef_model_free(s->model);
    free(s->file);
    ck_assert_int_eq(s->mem.live, 0);
    ck_assert_uint_eq(s->mem.bytes, 0);
}

static ef_status load_memory(struct stage *s, ef_error *err)
{
    ef_model *m = POISON;
    const ef_status st = ef_model_load_memory(s->file, s->size, &s->opt, &m, err);
    ck_assert((m == POISON) == (st != EF_OK));
    if (!st)
        ef_model_free(m);
    return st;
}

static ef_status load_file(struct stage *s, ef_error *err)
{
    ef_model *m = POISON;
    const ef_status st =
        ef_model_load_file(api_model_path("softmax_shorter_shift"), &s->opt, &m, err);
    ck_assert((m == POISON) == (st != EF_OK));
    if (!st)
        ef_model_free(m);
    return st;
}

/* A pipe is read whole, into a buffer that grows. */
static ef_status load_pipe(struct stage *s, ef_error *err)
{
    ef_model *m = POISON;
    int ends[2];
    ck_assert_int_eq(pipe(ends), 0);
    ck_assert_int_eq(write(ends[1], s->file, s->size), (int)s->size);
    close(ends[1]);
    const ef_status st = ef_model_load_fd(ends[0], &s->opt, &m, err);
    close(ends[0]);
    ck_assert((m == POISON) == (st != EF_OK));
    if (!st)
        ef_model_free(m);
    return st;
}

static ef_status validate(struct stage *s, ef_error *err)
{
    ef_model_info info, before;
    ef_model_info_init(&info, sizeof info);
    before = info;
    const ef_status st = ef_model_validate_memory(s->file, s->size, &s->opt, &info, err);
    ck_assert(!memcmp(&info, &before, sizeof info) == (st != EF_OK));
    return st;
}

static ef_status session_create(struct stage *s, ef_error *err)
{
    ef_session *out = POISON;
    ef_options opt = s->opt;
    opt.height = 57;
    opt.width = 33;
    opt.batch = 2;
    const ef_status st = ef_session_create(s->model, &opt, &out, err);
    ck_assert((out == POISON) == (st != EF_OK));
    if (!st)
        ef_session_free(out);
    return st;
}

/* With a model that has not packed its weights yet, whose cache is not the session's. */
static ef_status first_session(struct stage *s, ef_error *err)
{
    const long fail_at = s->mem.fail_at;
    s->mem.fail_at = 0;
    ef_model *fresh = NULL;
    ef_session *out = POISON;
    const long before = s->mem.calls;
    ck_assert_int_eq(ef_model_load_memory(s->file, s->size, &s->opt, &fresh, err), EF_OK);
    s->mem.fail_at = fail_at ? fail_at + s->mem.calls - before : 0;
    const ef_status st = ef_session_create(fresh, &s->opt, &out, err);
    ck_assert((out == POISON) == (st != EF_OK));
    if (!st)
        ef_session_free(out);
    if (st) {
        /* What was packed before the failure serves the next try. */
        ef_error again;
        s->mem.fail_at = 0;
        assert_status(ef_session_create(fresh, &s->opt, &out, &again), EF_OK, &again);
        float a[3], b[3];
        assert_status(ef_session_run(out, s->input, 1, a, &again), EF_OK, &again);
        assert_status(ef_session_run(s->session, s->input, 1, b, &again), EF_OK, &again);
        ck_assert_mem_eq(a, b, sizeof a);
        ef_session_free(out);
    }
    ef_model_free(fresh);
    return st;
}

static ef_status classifier_create(struct stage *s, ef_error *err)
{
    const ef_model *const models[] = {s->model, default_allocator_model};
    const float weights[] = {1, 2};
    ef_classifier *out = POISON;
    ef_classifier_options what;
    ef_classifier_options_init(&what, sizeof what);
    what.models = models;
    what.weights = weights;
    what.model_count = 2;
    const ef_status st = ef_classifier_create(&what, &s->opt, &out, err);
    ck_assert((out == POISON) == (st != EF_OK));
    if (!st)
        ef_classifier_free(out);
    return st;
}

static ef_status classify(struct stage *s, const ef_image *img, ef_error *err)
{
    ef_result r = api_result();
    const ef_result before = r;
    const ef_status st = ef_classify_face(s->classifier, img, NULL, &r, err);
    ck_assert(!memcmp(&r, &before, sizeof r) == (st != EF_OK));
    return st;
}

static ef_status first_picture(struct stage *s, ef_error *err)
{
    return classify(s, &s->small, err);
}

static ef_status larger_picture(struct stage *s, ef_error *err)
{
    const struct test_mem faults = s->mem;
    s->mem.fail_at = 0;
    ck_assert_int_eq(classify(s, &s->small, err), EF_OK);
    s->mem.fail_at = faults.fail_at ? faults.fail_at + s->mem.calls - faults.calls : 0;
    return classify(s, &s->large, err);
}

static ef_status many_faces(struct stage *s, ef_error *err)
{
    ef_box boxes[9];
    ef_result r[9], before[9];
    for (int i = 0; i < 9; i++) {
        boxes[i] = (ef_box){(float)i, 2, 12 + 5 * (float)i, 20};
        r[i] = before[i] = api_result();
    }
    const ef_status st = ef_classify_faces(s->classifier, &s->large, boxes, 9, r, err);
    ck_assert(!memcmp(r, before, sizeof r) == (st != EF_OK));
    return st;
}

static ef_status decode(struct stage *s, const char *name, ef_error *err)
{
    char path[512];
    ef_image img, before;
    memset(&img, 0x5a, sizeof img);
    before = img;
    snprintf(path, sizeof path, API_FOLDER "pictures/%s", name);
    const ef_status st = ef_image_decode_file(path, &s->opt, &img, err);
    ck_assert(!memcmp(&img, &before, sizeof img) == (st != EF_OK));
    if (!st)
        ef_image_free(&img);
    return st;
}

static ef_status decode_ppm(struct stage *s, ef_error *err)
{
    return decode(s, "scene.ppm", err);
}

static ef_status decode_png(struct stage *s, ef_error *err)
{
    return decode(s, DFN_HAVE_PNG ? "alpha.png" : "scene.ppm", err);
}

static ef_status decode_jpeg(struct stage *s, ef_error *err)
{
    ef_image img, before;
    memset(&img, 0x5a, sizeof img);
    before = img;
    const ef_status st = ef_image_decode_file(
        TEST_SOURCE_ROOT "/examples/photos/astronaut_face.jpg", &s->opt, &img, err);
    ck_assert(!memcmp(&img, &before, sizeof img) == (st != EF_OK));
    if (!st)
        ef_image_free(&img);
    return st;
}

static ef_status preprocess(struct stage *s, ef_error *err)
{
    const ef_box box = {-5, 3, 60, 40};
    float out[3 * 40 * 36];
    out[0] = 77;
    const ef_status st =
        ef_model_preprocess(s->model, &s->opt, &s->large, &box, out, err);
    ck_assert((out[0] > 76) == (st != EF_OK));
    return st;
}

static ef_status verify(struct stage *s, ef_error *err)
{
    double d = 77, t = 77;
    const ef_status st = ef_model_verify(s->model, &s->opt, &d, &t, err);
    ck_assert((d > 76 && t > 76) == (st != EF_OK));
    return st;
}

static const struct {
    const char *name;
    ef_status (*run)(struct stage *s, ef_error *err);
    int least; /* allocations that must have been made to fail */
} scenarios[] = {
    {"load from memory", load_memory, 5},
    {"load from a file", load_file, 5},
    {"load from a pipe", load_pipe, 6},
    {"validate", validate, 4},
    {"create a session", session_create, 5},
    {"create the first session", first_session, 8},
    {"create a classifier", classifier_create, 10},
    {"score the first picture", first_picture, 3},
    {"score a larger picture", larger_picture, 1},
    {"score many faces", many_faces, 3},
    {"decode PPM", decode_ppm, 2},
    {"decode PNG", decode_png, 2},
    {"decode JPEG", decode_jpeg, 2},
    {"preprocess", preprocess, 3},
    {"verify", verify, 5},
};

/* The stage's objects still do what a fault-free one's do. */
static void still_works(struct stage *s, const ef_result *score, const float logits[3])
{
    float again[3];
    ef_error err;
    const ef_result r = api_score(s->classifier, &s->large, NULL);
    ck_assert_mem_eq(&r, score, sizeof r);
    assert_status(ef_session_run(s->session, s->input, 1, again, &err), EF_OK, &err);
    ck_assert_mem_eq(again, logits, sizeof again);
}

static void run_scenario(size_t which, int threads, bool from_then_on)
{
    struct stage s;
    float logits[3];
    ef_error err;
    open_stage(&s, threads);
    const ef_result score = api_score(s.classifier, &s.large, NULL);
    ck_assert_int_eq(ef_session_run(s.session, s.input, 1, logits, &err), EF_OK);
    close_stage(&s);
    for (int n = 1;; n++) {
        ck_assert_int_lt(n, 500);
        open_stage(&s, threads);
        const long live = s.mem.live, tasks = api_count("task"), fds = api_count("fd");
        s.mem.fail_at = s.mem.calls + n;
        s.mem.from_then_on = from_then_on;
        const ef_status st = scenarios[which].run(&s, &err);
        s.mem.fail_at = 0;
        if (!s.mem.failed) {
            assert_status(st, EF_OK, &err);
            ck_assert_msg(n > scenarios[which].least, "%s: only %d allocations",
                          scenarios[which].name, n - 1);
            close_stage(&s);
            return;
        }
        ck_assert_msg(st == EF_E_NOMEM && err.status == st && err.where[0] && err.what[0],
                      "%s, allocation %d: %d, %s: %s", scenarios[which].name, n, st,
                      err.where, err.what);
        ck_assert_msg(s.mem.live == live || scenarios[which].run == first_picture ||
                          scenarios[which].run == larger_picture ||
                          scenarios[which].run == many_faces,
                      "%s, allocation %d: %ld blocks leaked", scenarios[which].name, n,
                      s.mem.live - live);
        /* A joined thread may stand in /proc for a moment longer. */
        for (int i = 0; i < 1000 && api_count("task") > (int)tasks; i++)
            nanosleep(&(struct timespec){0, 1000000}, NULL);
        ck_assert_int_eq(api_count("task"), (int)tasks);
        ck_assert_int_eq(api_count("fd"), (int)fds);
        still_works(&s, &score, logits);
        close_stage(&s);
    }
}

START_TEST(every_allocation_fails_once)
{
    run_scenario((size_t)_i / 2, _i % 2 ? 3 : 1, false);
}
END_TEST

START_TEST(every_allocation_fails_from_then_on)
{
    run_scenario((size_t)_i / 2, _i % 2 ? 3 : 1, true);
}
END_TEST

/* ---- threads ---- */

/* Creates with fault number `at` of a kind; true if there was such a call. */
static bool create_with_fault(struct stage *s, int kind, int at, bool classifier)
{
    ef_session *session = POISON;
    ef_classifier *made = POISON;
    ef_error err;
    const long live = s->mem.live;
    const int tasks = api_count("task");
    memset(&thread_faults, 0, sizeof thread_faults);
    thread_faults.fail_at[kind] = at;
    const ef_status st = classifier
                             ? ef_classifier_create_simple(s->model, &s->opt, &made, &err)
                             : ef_session_create(s->model, &s->opt, &session, &err);
    memset(thread_faults.fail_at, 0, sizeof thread_faults.fail_at);
    if (!thread_faults.failed) {
        assert_status(st, EF_OK, &err);
        ef_session_free(classifier ? NULL : session);
        ef_classifier_free(classifier ? made : NULL);
    } else {
        assert_status(st, EF_E_THREAD, &err);
        ck_assert(session == POISON && made == POISON);
    }
    ck_assert_int_eq(s->mem.live, live);
    /* A joined thread may still stand in /proc for a moment. */
    for (int i = 0; i < 1000 && api_count("task") != tasks; i++)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    ck_assert_int_eq(api_count("task"), tasks);
    return thread_faults.failed;
}

START_TEST(every_thread_and_lock_fails)
{
    static const int calls[] = {3, 1, 2}; /* of a pool of 4 */
    struct stage s;
    open_stage(&s, 4);
    const ef_result before = api_score(s.classifier, &s.large, NULL);
    for (int kind = CREATE; kind <= COND; kind++)
        for (int at = 1; at <= calls[kind] + 1; at++) {
            const bool failed = create_with_fault(&s, kind, at, _i);
            ck_assert_msg(failed == (at <= calls[kind]), "kind %d, call %d", kind, at);
        }
    const ef_result after = api_score(s.classifier, &s.large, NULL);
    ck_assert_mem_eq(&before, &after, sizeof before);
    close_stage(&s);
}
END_TEST

START_TEST(a_model_without_a_lock_is_no_memory)
{
    struct stage s;
    ef_error err;
    ef_model *m = POISON;
    open_stage(&s, 1);
    const long live = s.mem.live;
    memset(&thread_faults, 0, sizeof thread_faults);
    thread_faults.fail_at[MUTEX] = 1;
    assert_status(ef_model_load_memory(s.file, s.size, &s.opt, &m, &err), EF_E_NOMEM,
                  &err);
    ck_assert(m == POISON && thread_faults.failed);
    ck_assert_int_eq(s.mem.live, live);
    close_stage(&s);
}
END_TEST

/* ---- figures ---- */

/* Whole, small, cropped and padded pictures. */
static void use_all(struct stage *s)
{
    float logits[3];
    ef_error err;
    for (int i = 0; i < 40; i++) {
        const ef_box box = {(float)(i % 7 - 3), (float)(i % 5 - 2), (float)(97 - 2 * i),
                            (float)(71 - i)};
        assert_status(ef_session_run(s->session, s->input, 1, logits, &err), EF_OK, &err);
        api_score(s->classifier, &s->large, NULL);
        api_score(s->classifier, &s->small, NULL);
        api_score(s->classifier, &s->large, &box);
    }
}

START_TEST(runs_allocate_nothing)
{
    struct stage s;
    ef_error err;
    float logits[3];
    open_stage(&s, _i ? 3 : 1);
    long calls = s.mem.calls;
    for (int i = 0; i < 50; i++)
        assert_status(ef_session_run(s.session, s.input, 1, logits, &err), EF_OK, &err);
    ck_assert_int_eq(s.mem.calls, calls); /* the first run is no exception */
    api_score(s.classifier, &s.large, NULL);
    api_score(s.classifier, &s.small, NULL); /* enlarging needs other tables */
    calls = s.mem.calls;
    for (int i = 0; i < 50; i++) {
        api_score(s.classifier, &s.large, NULL);
        api_score(s.classifier, &s.small, NULL);
    }
    ck_assert_int_eq(s.mem.calls, calls);
    use_all(&s);
    calls = s.mem.calls;
    use_all(&s);
    ck_assert_int_eq(s.mem.calls, calls);
    close_stage(&s);
}
END_TEST

static void within_one_per_cent(size_t said, size_t counted, const char *what)
{
    ck_assert_msg(fabs((double)said - (double)counted) <= 0.01 * (double)counted,
                  "%s: the library says %zu, the hook counted %zu", what, said, counted);
}

static const char *const measured[] = {"golden/all_kinds", "golden/smallest", "flowers",
                                       "softmax3_longer_pad", "golden/f16_weights"};

START_TEST(sessions_know_their_memory)
{
    static const int batches[] = {1, 5};
    ef_model *m = api_model(measured[_i], NULL);
    for (int i = 0; i < 8; i++) {
        struct test_mem mem;
        ef_options opt;
        ef_session *s = NULL;
        ef_error err;
        test_mem_init(&mem);
        test_options(&opt, &mem);
        opt.batch = batches[i & 1];
        opt.threads = i & 2 ? 4 : 1;
        opt.height = opt.width = i & 4 ? 75 : 0;
        assert_status(ef_session_create(m, &opt, &s, &err), EF_OK, &err);
        within_one_per_cent(ef_session_memory(s), mem.bytes, measured[_i]);
        ef_session_free(s);
    }
    ef_model_free(m);
}
END_TEST

START_TEST(classifiers_know_their_memory)
{
    ef_model *m = api_model(MODEL, NULL);
    struct test_mem mem;
    ef_options opt;
    ef_image img;
    test_mem_init(&mem);
    test_options(&opt, &mem);
    opt.threads = 2;
    ef_classifier *c = api_classifier(m, &opt);
    within_one_per_cent(ef_classifier_memory(c), mem.bytes, "new classifier");
    ck_assert(api_picture("scene.ppm", &img));
    api_score(c, &img, NULL);
    within_one_per_cent(ef_classifier_memory(c), mem.bytes, "used classifier");
    ef_image_free(&img);
    ef_classifier_free(c);
    ef_model_free(m);
}
END_TEST

START_TEST(models_know_what_loading_needs)
{
    for (int from = 0; from < 3; from++) {
        struct test_mem mem;
        ef_options opt;
        ef_model *m = NULL;
        ef_error err;
        ef_model_info info, validated;
        size_t size;
        uint8_t *data = test_read_file(api_model_path(measured[_i]), &size);
        test_mem_init(&mem);
        test_options(&opt, &mem);
        ef_model_info_init(&info, sizeof info);
        ef_model_info_init(&validated, sizeof validated);
        const int fd = open(api_model_path(measured[_i]), O_RDONLY);
        assert_status(
            from == 0   ? ef_model_load_memory(data, size, &opt, &m, &err)
            : from == 1 ? ef_model_load_file(api_model_path(measured[_i]), &opt, &m, &err)
                        : ef_model_load_fd(fd, &opt, &m, &err),
            EF_OK, &err);
        close(fd);
        assert_status(ef_model_get_info(m, &info, &err), EF_OK, &err);
        within_one_per_cent(info.bytes_needed, mem.peak, measured[_i]);
        /* A check alone says what a load would need. */
        assert_status(ef_model_validate_memory(data, size, NULL, &validated, &err), EF_OK,
                      &err);
        ck_assert_mem_eq(&validated, &info, sizeof info);
        ef_model_free(m);
        ck_assert_int_eq(mem.live, 0);
        free(data);
    }
}
END_TEST

int main(void)
{
    ef_error err;
    if (ef_model_load_file(api_model_path("sigmoid_squash_clamp"), NULL,
                           &default_allocator_model, &err))
        return 1;
    Suite *s = suite_create("oom");
    TCase *t = tcase_create("memory");
    const int rows = (int)COUNT(scenarios) * 2;
    tcase_set_timeout(t, 300);
    tcase_add_loop_test(t, every_allocation_fails_once, 0, rows);
    tcase_add_loop_test(t, every_allocation_fails_from_then_on, 0, rows);
    suite_add_tcase(s, t);
    t = tcase_create("threads");
    tcase_set_timeout(t, 300);
    tcase_add_loop_test(t, every_thread_and_lock_fails, 0, 2);
    tcase_add_test(t, a_model_without_a_lock_is_no_memory);
    suite_add_tcase(s, t);
    t = tcase_create("figures");
    tcase_set_timeout(t, 300);
    tcase_add_loop_test(t, runs_allocate_nothing, 0, 2);
    tcase_add_loop_test(t, sessions_know_their_memory, 0, (int)COUNT(measured));
    tcase_add_test(t, classifiers_know_their_memory);
    tcase_add_loop_test(t, models_know_what_loading_needs, 0, (int)COUNT(measured));
    suite_add_tcase(s, t);
    const int failed = run_suite(s);
    ef_model_free(default_allocator_model);
    return failed;
}
