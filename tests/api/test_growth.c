/* test_growth.c - nothing grows: 10,000 classifications and 1,000 times open and close
 * leave resident memory, the allocator's count, threads and descriptors as they were.
 * What is first seen after 1 % of the work is the standard for the rest.
 *
 * Sanitizers keep freed memory for a while, so resident memory is not looked at there. */
#include "tests/api/api.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ||               \
    __has_feature(memory_sanitizer)
#define SANITIZED 1
#endif
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

/* malloc may move its limits by a few pages. */
#define SLACK (64L * 1024)
/* Threads' stacks are cached and trimmed by the C library as it likes. */
#define SLACK_THREADS (512L * 1024)
#define MODEL "softmax_shorter_shift"
#define PERIOD 1000

/* Bytes resident in memory; 0 where nobody says. */
static long resident(void)
{
    long pages = 0, all = 0;
    FILE *f = SANITIZED ? NULL : fopen("/proc/self/statm", "r");
    if (!f)
        return 0;
    if (fscanf(f, "%ld %ld", &all, &pages) != 2)
        pages = 0;
    fclose(f);
    return pages * sysconf(_SC_PAGESIZE);
}

/* All that could grow. */
struct usage {
    long resident, live;
    size_t bytes;
    int threads, fds;
};

static struct usage usage_of(const struct test_mem *mem)
{
    return (struct usage){resident(), mem->live, mem->bytes, api_count("task"),
                          api_count("fd")};
}

static void compare(const struct usage *before, const struct test_mem *mem, long slack)
{
    struct usage now = usage_of(mem);
    /* A thread that was joined may stand in /proc for a moment. */
    for (int i = 0; i < 1000 && now.threads > before->threads; i++) {
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
        now = usage_of(mem);
    }
    ck_assert_int_eq(now.live, before->live);
    ck_assert_uint_eq(now.bytes, before->bytes);
    ck_assert_int_eq(now.threads, before->threads);
    ck_assert_int_eq(now.fds, before->fds);
    ck_assert_msg(now.resident <= before->resident + slack,
                  "resident memory grew from %ld to %ld bytes", before->resident,
                  now.resident);
}

/* PERIOD boxes of many sizes, over all borders, again and again. */
static void score_some(ef_classifier *c, const ef_image *img, int count)
{
    for (int n = 0; n < count; n++) {
        const int i = n % PERIOD;
        const ef_box box = {(float)(i % 61 - 10), (float)(i % 43 - 10),
                            (float)(1 + i % 89), (float)(1 + i % 67)};
        ef_face face = {EF_FACE_BOX, box};
        ef_result r = api_result();
        ef_error err;
        const ef_status st = ef_classify_face(c, img, &face, &r, &err);
        /* One that misses the picture is part of the game. */
        ck_assert_msg(!st || st == EF_E_ARG, "%d: %s: %s", i, err.where, err.what);
    }
}

START_TEST(classifying_does_not_grow)
{
    struct test_mem mem;
    ef_options opt;
    ef_image img;
    test_mem_init(&mem);
    test_options(&opt, &mem);
    opt.threads = _i ? 2 : 1;
    ef_model *m = api_model(MODEL, &opt);
    ef_classifier *c = api_classifier(m, &opt);
    ck_assert(api_picture("scene.ppm", &img));
    score_some(c, &img, PERIOD); /* so that every size has been there */
    const struct usage before = usage_of(&mem);
    const long calls = mem.calls;
    score_some(c, &img, 10 * PERIOD);
    compare(&before, &mem, SLACK);
    ck_assert_int_eq(mem.calls, calls);
    ef_image_free(&img);
    ef_classifier_free(c);
    ef_model_free(m);
    ck_assert_int_eq(mem.live, 0);
}
END_TEST

static void open_and_close(struct test_mem *mem, int i)
{
    ef_options opt;
    ef_image img;
    ef_error err;
    ef_session *s = NULL;
    ef_model *damaged = NULL;
    float input[3 * 40 * 36], logits[2];
    size_t size;
    test_options(&opt, mem);
    opt.threads = 1 + i % 3;
    ef_model *m = api_model(MODEL, &opt);
    ef_classifier *c = api_classifier(m, &opt);
    assert_status(ef_session_create(m, &opt, &s, &err), EF_OK, &err);
    assert_status(ef_image_decode_file(API_FOLDER "pictures/scene.ppm", &opt, &img, &err),
                  EF_OK, &err);
    api_score(c, &img, NULL);
    api_fill(1, input, sizeof input / sizeof *input);
    assert_status(ef_session_run(s, input, 1, logits, &err), EF_OK, &err);
    /* Failures must not cost anything, either. */
    uint8_t *data = test_read_file(api_model_path(MODEL), &size);
    data[size / 2] ^= 1;
    assert_status(ef_model_load_memory(data, size, &opt, &damaged, &err), EF_E_FORMAT,
                  &err);
    assert_status(ef_model_load_file("/no/such/file", &opt, &damaged, &err), EF_E_IO,
                  &err);
    free(data);
    ef_image_free(&img);
    ef_session_free(s);
    ef_classifier_free(c);
    ef_model_free(m);
}

START_TEST(opening_and_closing_does_not_grow)
{
    struct test_mem mem;
    test_mem_init(&mem);
    int i = 0;
    for (; i < 60; i++)
        open_and_close(&mem, i);
    const struct usage before = usage_of(&mem);
    ck_assert_int_eq(before.live, 0);
    for (; i < 1000; i++)
        open_and_close(&mem, i);
    compare(&before, &mem, SLACK_THREADS);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("growth");
    TCase *t = tcase_create("growth");
    tcase_set_timeout(t, 500);
    tcase_add_loop_test(t, classifying_does_not_grow, 0, 2);
    tcase_add_test(t, opening_and_closing_does_not_grow);
    suite_add_tcase(s, t);
    return run_suite(s);
}
