/* test_file.c - lib/base/file.c: files, pipes, limits, and every system call failing. */
#include "lib/base/file.h"
#include "tests/support/failing_io.h"
#include "tests/support/support.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define SIZE 200000

static struct test_mem mem;
static ef_options opt;
static uint8_t content[SIZE];
static struct dfn_blob blob;
static ef_error err;
static pid_t writer;

static void setup(void)
{
    uint64_t state = 1;
    test_mem_init(&mem);
    test_options(&opt, &mem);
    failing_io_reset();
    for (size_t i = 0; i < SIZE; i++)
        content[i] = (uint8_t)test_random(&state);
    blob = (struct dfn_blob){0};
    errno = 77;
}

static void teardown(void)
{
    dfn_blob_free(&opt, &blob);
    ck_assert_int_eq(mem.live, 0);
    ck_assert_int_eq(errno, 77);
}

static void assert_content(size_t size)
{
    ck_assert_uint_eq(blob.size, size);
    ck_assert_mem_eq(blob.data, content, size);
}

/* A process that writes the first size bytes into a pipe, which takes less than they are,
 * and ends when they are read or nobody reads any more (SIGPIPE). */
static int writing_pipe(size_t size)
{
    int ends[2];
    ck_assert_int_eq(pipe(ends), 0);
    writer = fork();
    ck_assert_int_ge(writer, 0);
    if (!writer) {
        close(ends[0]);
        for (size_t at = 0; at < size;) {
            const ssize_t n = write(ends[1], content + at, size - at);
            if (n < 0)
                break;
            at += (size_t)n;
        }
        _exit(0);
    }
    close(ends[1]);
    return ends[0];
}

static void close_pipe(int fd)
{
    close(fd);
    ck_assert_int_eq(waitpid(writer, NULL, 0), writer);
    errno = 77;
}

START_TEST(a_file_is_read_whole)
{
    static const size_t sizes[] = {0, 1, 65535, 65536, 65537, SIZE};
    const size_t size = sizes[_i];
    const char *path = test_temp_file("file", content, size);
    errno = 77;
    assert_status(dfn_read_file(path, &opt, &blob, &err), EF_OK, &err);
    assert_content(size);
    /* One block: the size was known. */
    ck_assert_int_eq(mem.calls, 1);
}
END_TEST

START_TEST(a_descriptor_is_read_from_its_position)
{
    const char *path = test_temp_file("file", content, 1000);
    const int fd = open(path, O_RDONLY);
    ck_assert_int_eq(lseek(fd, 990, SEEK_SET), 990);
    errno = 77;
    assert_status(dfn_read_fd(fd, "fd", &opt, &blob, &err), EF_OK, &err);
    ck_assert_uint_eq(blob.size, 10);
    ck_assert_mem_eq(blob.data, content + 990, 10);
    dfn_blob_free(&opt, &blob);
    ck_assert_int_eq(lseek(fd, 5000, SEEK_SET), 5000);
    errno = 77;
    assert_status(dfn_read_fd(fd, "fd", &opt, &blob, &err), EF_OK, &err);
    ck_assert_uint_eq(blob.size, 0);
    close(fd);
}
END_TEST

START_TEST(a_pipe_is_read_whole)
{
    const int fd = writing_pipe(SIZE);
    errno = 77;
    failing_io.most = 1000;
    assert_status(dfn_read_fd(fd, "pipe", &opt, &blob, &err), EF_OK, &err);
    assert_content(SIZE);
    close_pipe(fd);
}
END_TEST

START_TEST(short_reads_and_signals_change_nothing)
{
    const char *path = test_temp_file("file", content, 3000);
    errno = 77;
    failing_io.most = 1;
    failing_io.interrupted = _i;
    assert_status(dfn_read_file(path, &opt, &blob, &err), EF_OK, &err);
    assert_content(3000);
    ck_assert_int_ge(failing_io.calls, 3000);
}
END_TEST

START_TEST(limits_come_before_memory)
{
    const char *path = test_temp_file("file", content, 1001);
    opt.limits.max_file_bytes = 1000;
    errno = 77;
    assert_status(dfn_read_file(path, &opt, &blob, &err), EF_E_LIMIT, &err);
    ck_assert_ptr_nonnull(strstr(err.what, "1001"));
    ck_assert_int_eq(mem.calls, 0);
    ck_assert_ptr_null(blob.data);
    path = test_temp_file("file", content, 1000);
    errno = 77;
    assert_status(dfn_read_file(path, &opt, &blob, &err), EF_OK, &err);
    assert_content(1000);
}
END_TEST

START_TEST(a_pipe_beyond_the_limit)
{
    const int fd = writing_pipe(1001);
    opt.limits.max_file_bytes = 1000;
    errno = 77;
    assert_status(dfn_read_fd(fd, "pipe", &opt, &blob, &err), EF_E_LIMIT, &err);
    ck_assert_ptr_null(blob.data);
    close_pipe(fd);
}
END_TEST

START_TEST(what_cannot_be_read)
{
    assert_status(dfn_read_file("/nonexistent/file", &opt, &blob, &err), EF_E_IO, &err);
    ck_assert_int_eq(err.sys, ENOENT);
    ck_assert_str_eq(err.where, "/nonexistent/file");
    assert_status(dfn_read_file("/", &opt, &blob, &err), EF_E_IO, &err);
    ck_assert_int_eq(err.sys, EISDIR);
    assert_status(dfn_read_fd(-1, "fd", &opt, &blob, &err), EF_E_IO, &err);
    ck_assert_int_eq(err.sys, EBADF);
    ck_assert_ptr_null(blob.data);
    ck_assert_int_eq(mem.calls, 0);
}
END_TEST

START_TEST(every_call_fails_once)
{
    /* lseek() is the one call that may fail: a size is only guessed with it. */
    const char *path = test_temp_file("file", content, 5000);
    int failures = 0;
    for (long n = 1;; n++) {
        failing_io_reset();
        failing_io.most = 1000;
        failing_io.fail_at = n;
        failing_io.error = EIO;
        errno = 77;
        blob = (struct dfn_blob){0};
        const ef_status st = dfn_read_file(path, &opt, &blob, &err);
        ck_assert_int_eq(errno, 77);
        if (st) {
            assert_status(st, EF_E_IO, &err);
            ck_assert_int_eq(err.sys, EIO);
            ck_assert_ptr_null(blob.data);
            ck_assert_int_eq(mem.live, 0);
            failures++;
            continue;
        }
        assert_content(5000);
        dfn_blob_free(&opt, &blob);
        if (failing_io.calls < n)
            break;
    }
    /* open, fstat, five reads, and the read that meets the end. */
    ck_assert_int_eq(failures, 8);
}
END_TEST

START_TEST(every_allocation_fails)
{
    const bool from_then_on = _i != 0;
    for (long n = 1;; n++) {
        const int fd = writing_pipe(SIZE);
        failing_io_reset();
        test_mem_init(&mem);
        mem.fail_at = n;
        mem.from_then_on = from_then_on;
        errno = 77;
        blob = (struct dfn_blob){0};
        const ef_status st = dfn_read_fd(fd, "pipe", &opt, &blob, &err);
        ck_assert_int_eq(errno, 77);
        close_pipe(fd);
        if (!mem.failed) {
            assert_status(st, EF_OK, &err);
            assert_content(SIZE);
            /* 64 KiB, twice and four times as much. */
            ck_assert_int_eq(n, 4);
            break;
        }
        assert_status(st, EF_E_NOMEM, &err);
        ck_assert_int_eq(mem.live, 0);
        ck_assert_ptr_null(blob.data);
    }
}
END_TEST

START_TEST(a_file_that_grows_is_read_to_its_new_end)
{
    /* fstat said 5000; a read finds one byte more where the file had ended. */
    const char *path = test_temp_file("file", content, 5000);
    failing_io.longer_at = 5;
    errno = 77;
    assert_status(dfn_read_file(path, &opt, &blob, &err), EF_OK, &err);
    ck_assert_uint_eq(blob.size, 5001);
    ck_assert_int_eq(mem.calls, 2);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("file");
    TCase *c = tcase_create("file");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_loop_test(c, a_file_is_read_whole, 0, 6);
    tcase_add_test(c, a_descriptor_is_read_from_its_position);
    tcase_add_test(c, a_pipe_is_read_whole);
    tcase_add_loop_test(c, short_reads_and_signals_change_nothing, 0, 2);
    tcase_add_test(c, limits_come_before_memory);
    tcase_add_test(c, a_pipe_beyond_the_limit);
    tcase_add_test(c, what_cannot_be_read);
    tcase_add_test(c, every_call_fails_once);
    tcase_add_loop_test(c, every_allocation_fails, 0, 2);
    tcase_add_test(c, a_file_that_grows_is_read_to_its_new_end);
    suite_add_tcase(suite, c);
    return run_suite(suite);
}
