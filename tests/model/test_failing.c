/* test_failing.c - loading while the allocator or the system fails: each call in turn,
 * once and from then on. Nothing leaks (blocks, descriptors), out and errno stay, and the
 * next attempt succeeds. */
#include "tests/model/nano.h"
#include "tests/support/failing_io.h"
#include "tests/support/support.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct test_mem mem;
static ef_options opt;
static struct nano nano;
static char path[256];
static ef_error err;

static void setup(void)
{
    failing_io_reset();
    test_mem_init(&mem);
    test_options(&opt, &mem);
    nano_init(&nano);
    snprintf(path, sizeof path, "%s", test_temp_file("nano", nano.file, nano.size));
}

static void teardown(void)
{
    ck_assert_int_eq(mem.live, 0);
    nano_free(&nano);
}

enum source {
    FROM_FILE,
    FROM_MEMORY,
    FROM_PIPE,
    VALIDATED_FILE,
    VALIDATED_MEMORY,
    SOURCES
};

static ef_status load_pipe(ef_model **out)
{
    int ends[2];
    ck_assert_int_eq(pipe(ends), 0);
    ck_assert_int_eq(write(ends[1], nano.file, nano.size), (ssize_t)nano.size);
    close(ends[1]);
    errno = 77;
    const ef_status st = ef_model_load_fd(ends[0], &opt, out, &err);
    ck_assert_int_eq(errno, 77);
    close(ends[0]);
    return st;
}

static ef_status load(enum source source, ef_model **out)
{
    switch (source) {
    case FROM_FILE:
        return ef_model_load_file(path, &opt, out, &err);
    case FROM_MEMORY:
        return ef_model_load_memory(nano.file, nano.size, &opt, out, &err);
    case FROM_PIPE:
        return load_pipe(out);
    case VALIDATED_FILE:
        return ef_model_validate_file(path, &opt, NULL, &err);
    default:
        return ef_model_validate_memory(nano.file, nano.size, &opt, NULL, &err);
    }
}

/* One attempt: true if it succeeded; checks what must hold either way. */
static bool attempt(enum source source, ef_status failure)
{
    ef_model *const untouched = (ef_model *)(void *)&mem;
    ef_model *out = untouched;
    const int next = dup(0);
    close(next);
    errno = 77;
    const ef_status st = load(source, &out);
    ck_assert_int_eq(errno, 77);
    if (st) {
        assert_status(st, failure, &err);
        ck_assert_ptr_eq(out, untouched);
    } else if (out != untouched) {
        ef_model_free(out);
    }
    ck_assert_int_eq(mem.live, 0);
    const int now = dup(0);
    close(now);
    ck_assert_int_eq(now, next);
    return !st;
}

START_TEST(every_allocation_fails)
{
    const enum source source = (enum source)(_i / 2);
    long n = 1;
    for (;; n++) {
        test_mem_init(&mem);
        mem.fail_at = n;
        mem.from_then_on = _i % 2;
        if (attempt(source, EF_E_NOMEM))
            break;
        ck_assert(mem.failed);
    }
    ck_assert(!mem.failed);
    /* Model, header, texts, blocks, table, arrays, weights; the store, and the chunk on
     * the way into it, if it is kept; the blob of a pipe. */
    const bool keeps = source < VALIDATED_FILE;
    ck_assert_int_eq(n - 1, 7 + 2 * keeps + (source == FROM_PIPE));
}
END_TEST

START_TEST(every_call_fails)
{
    static const int errors[] = {EIO, EAGAIN, EISDIR, ENOMEM};
    const enum source source = _i / 4 ? FROM_PIPE : FROM_FILE;
    const int error = errors[_i % 4];
    long n = 1;
    for (;; n++) {
        failing_io_reset();
        failing_io.fail_at = n;
        failing_io.error = error;
        failing_io.most = 500;
        if (attempt(source, EF_E_IO))
            break;
        ck_assert_int_eq(err.sys, error);
        ck_assert_ptr_nonnull(
            strstr(err.where, source == FROM_FILE ? "nano" : "descriptor"));
    }
    ck_assert_int_lt(failing_io.calls, n);
    ck_assert_int_gt(n, 8);
}
END_TEST

START_TEST(a_read_error_names_the_tensor)
{
    /* open, fstat, lseek, length, header, then one read a tensor. */
    failing_io.fail_at = 6 + 2;
    failing_io.error = EIO;
    ck_assert(!attempt(FROM_FILE, EF_E_IO));
    ck_assert_ptr_nonnull(strstr(err.where, nano_name(2)));
    ck_assert_ptr_nonnull(strstr(err.what, strerror(EIO)));
}
END_TEST

START_TEST(signals_and_short_reads)
{
    for (int interrupted = 0; interrupted < 2; interrupted++)
        for (size_t most = 0; most < 4; most++)
            for (int source = 0; source < SOURCES; source++) {
                failing_io_reset();
                failing_io.most = most;
                failing_io.interrupted = interrupted;
                ck_assert(attempt((enum source)source, EF_OK));
            }
}
END_TEST

START_TEST(a_file_that_becomes_shorter)
{
    /* Any read after fstat finds the end. */
    long n = 4;
    for (;; n++) {
        failing_io_reset();
        failing_io.most = 300;
        failing_io.end_at = n;
        if (attempt(FROM_FILE, EF_E_IO))
            break;
        ck_assert_ptr_nonnull(strstr(err.what, "shorter"));
    }
    /* The last one is there to find the end. */
    ck_assert_int_gt(n, 10 + NANO_TENSORS);
}
END_TEST

START_TEST(a_file_that_becomes_longer)
{
    failing_io.fail_at = 0;
    ck_assert(attempt(FROM_FILE, EF_OK));
    /* The read before the last call, which is lseek(). */
    const long last = failing_io.calls - 1;
    failing_io_reset();
    failing_io.longer_at = last;
    ck_assert(!attempt(FROM_FILE, EF_E_IO));
    ck_assert_ptr_nonnull(strstr(err.what, "longer"));
}
END_TEST

START_TEST(both_fail)
{
    /* An error while an error is dealt with: reads and allocations fail together. */
    for (long n = 1; n < 60; n++)
        for (long k = 1; k < 10; k++) {
            failing_io_reset();
            test_mem_init(&mem);
            failing_io.fail_at = n;
            failing_io.error = EIO;
            mem.fail_at = k;
            mem.from_then_on = true;
            ef_model *out = NULL;
            const ef_status st = ef_model_load_file(path, &opt, &out, &err);
            ck_assert(st == EF_OK || st == EF_E_IO || st == EF_E_NOMEM);
            ck_assert((st == EF_OK) == (out != NULL));
            ef_model_free(out);
            ck_assert_int_eq(mem.live, 0);
        }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("failing");
    TCase *c = tcase_create("failing");
    tcase_set_timeout(c, 60);
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_loop_test(c, every_allocation_fails, 0, 2 * SOURCES);
    tcase_add_loop_test(c, every_call_fails, 0, 8);
    tcase_add_test(c, a_read_error_names_the_tensor);
    tcase_add_test(c, signals_and_short_reads);
    tcase_add_test(c, a_file_that_becomes_shorter);
    tcase_add_test(c, a_file_that_becomes_longer);
    tcase_add_test(c, both_fail);
    suite_add_tcase(suite, c);
    return run_suite(suite);
}
