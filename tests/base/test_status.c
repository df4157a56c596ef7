/* test_status.c - error sentences (lib/base/status.c) and options (lib/base/options.c).
 */
#include "lib/base/options.h"
#include "tests/support/support.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

START_TEST(every_status_has_its_text)
{
    static const char *const texts[] = {
#define TEXT(name, number, text) [-number] = text,
        EF_STATUS_LIST(TEXT)
#undef TEXT
    };
    for (int i = 0; i < (int)(sizeof texts / sizeof texts[0]); i++) {
        ck_assert_ptr_nonnull(texts[i]);
        ck_assert_str_eq(ef_strerror((ef_status)-i), texts[i]);
        for (int k = 0; k < i; k++)
            ck_assert_str_ne(texts[i], texts[k]);
    }
    ck_assert_str_eq(ef_strerror((ef_status)1), "unknown status");
    ck_assert_str_eq(ef_strerror((ef_status)-1000), "unknown status");
}
END_TEST

START_TEST(fail_fills_and_returns)
{
    ef_error err;
    errno = 77;
    memset(&err, 0xff, sizeof err);
    ck_assert_int_eq(
        dfn_fail(&err, EF_E_FORMAT, "tensor x", "has %d, expected %s", 3, "4"),
        EF_E_FORMAT);
    ck_assert_int_eq(err.status, EF_E_FORMAT);
    ck_assert_int_eq(err.sys, 0);
    ck_assert_str_eq(err.where, "tensor x");
    ck_assert_str_eq(err.what, "has 3, expected 4");
    ck_assert_int_eq(dfn_fail(NULL, EF_E_ARG, "a", "b"), EF_E_ARG);
    ck_assert_int_eq(errno, 77);
}
END_TEST

START_TEST(long_texts_are_cut_and_controls_masked)
{
    ef_error err;
    char text[2000];
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = 0;
    text[3] = '\n';
    text[4] = '\x1b';
    text[5] = '\x7f';
    dfn_fail(&err, EF_E_IO, text, "%s", text);
    ck_assert_uint_eq(strlen(err.where), sizeof err.where - 1);
    ck_assert_uint_eq(strlen(err.what), sizeof err.what - 1);
    ck_assert_int_eq(strncmp(err.where, "aaa???aaa", 9), 0);
    ck_assert_int_eq(strncmp(err.what, "aaa???aaa", 9), 0);
}
END_TEST

START_TEST(system_errors_name_their_reason)
{
    ef_error err;
    errno = 77;
    ck_assert_int_eq(dfn_fail_sys(&err, ENOENT, "a/b", "cannot be opened"), EF_E_IO);
    ck_assert_int_eq(err.sys, ENOENT);
    ck_assert_int_eq(err.status, EF_E_IO);
    ck_assert_str_eq(err.where, "a/b");
    char expected[200];
    snprintf(expected, sizeof expected, "cannot be opened: %s", strerror(ENOENT));
    ck_assert_str_eq(err.what, expected);
    errno = 77;
    dfn_fail_sys(&err, 123456, "a", "b");
    ck_assert_int_eq(err.sys, 123456);
    ck_assert_int_eq(dfn_fail_sys(NULL, EIO, "a", "b"), EF_E_IO);
    ck_assert_int_eq(errno, 77);
}
END_TEST

START_TEST(prefix_keeps_the_tensor)
{
    ef_error err;
    char path[300];
    dfn_fail(&err, EF_E_FORMAT, "tensor x", "y");
    dfn_error_prefix(&err, "m.safetensors");
    ck_assert_str_eq(err.where, "m.safetensors: tensor x");
    /* An empty file name is still a place. */
    dfn_fail(&err, EF_E_FORMAT, "", "y");
    ck_assert_str_eq(err.where, "(empty name)");
    err.where[0] = 0;
    dfn_error_prefix(&err, "m");
    ck_assert_str_eq(err.where, "m");
    memset(path, 'p', sizeof path - 1);
    path[sizeof path - 1] = 0;
    path[250] = '\n';
    dfn_fail(&err, EF_E_FORMAT, "tensor x", "y");
    dfn_error_prefix(&err, path);
    ck_assert_uint_eq(strlen(err.where), sizeof err.where - 1);
    ck_assert_str_eq(err.where + strlen(err.where) - 10, ": tensor x");
    ck_assert_ptr_null(strchr(err.where, '\n'));
    dfn_error_prefix(NULL, "m");
}
END_TEST

START_TEST(defaults_are_complete)
{
    ef_options opt, full;
    ef_error err;
    memset(&opt, 0xff, sizeof opt);
    ef_options_init(&opt, sizeof opt);
    ck_assert_uint_eq(opt.struct_size, sizeof opt);
    ck_assert_int_eq(opt.threads, 1);
    ck_assert_int_eq(opt.batch, 1);
    ck_assert_uint_eq(opt.cpu_mask, EF_CPU_ALL);
    ck_assert(!opt.log);
    ck_assert(opt.limits.max_file_bytes == (uint64_t)4 << 30);
    ck_assert(opt.limits.max_pixels == (uint64_t)128 << 20);
    assert_status(dfn_options_resolve(&opt, &full, &err), EF_OK, &err);
    ck_assert_mem_eq(&full, &opt, sizeof opt);
    memset(&full, 0xff, sizeof full);
    assert_status(dfn_options_resolve(NULL, &full, &err), EF_OK, &err);
    ck_assert_mem_eq(&full, &opt, sizeof opt);
    ef_options_init(NULL, sizeof opt);
}
END_TEST

START_TEST(other_struct_sizes)
{
    struct {
        ef_options opt;
        unsigned char more[64];
    } newer;
    ef_options full;
    ef_error err;
    memset(&newer, 0xff, sizeof newer);
    ef_options_init(&newer.opt, sizeof newer);
    for (size_t i = 0; i < sizeof newer.more; i++)
        ck_assert_uint_eq(newer.more[i], 0);
    newer.opt.batch = 9;
    assert_status(dfn_options_resolve(&newer.opt, &full, &err), EF_OK, &err);
    ck_assert_int_eq(full.batch, 9);
    ck_assert_uint_eq(full.struct_size, sizeof full);
    newer.more[60] = 1;
    assert_status(dfn_options_resolve(&newer.opt, &full, &err), EF_E_VERSION, &err);
    newer.opt.struct_size = 0;
    assert_status(dfn_options_resolve(&newer.opt, &full, &err), EF_E_ARG, &err);
    newer.opt.struct_size = sizeof(ef_options) - 1;
    assert_status(dfn_options_resolve(&newer.opt, &full, &err), EF_E_ARG, &err);
    newer.opt.struct_size = 4097;
    assert_status(dfn_options_resolve(&newer.opt, &full, &err), EF_E_ARG, &err);
    ef_options small;
    memset(&small, 0x55, sizeof small);
    ef_options_init(&small, 4);
    ck_assert_uint_eq(((unsigned char *)&small)[0], 0x55);
    ef_options_init(&small, sizeof small.struct_size + sizeof small.threads);
    ck_assert_int_eq(small.threads, 1);
    ck_assert_uint_eq(small.cpu_mask, 0x55555555u);
}
END_TEST

static void *never(void *user, size_t size)
{
    (void)user;
    (void)size;
    return NULL;
}

static void expect_wrong(const ef_options *opt, const char *where)
{
    ef_options full;
    ef_error err;
    assert_status(dfn_options_resolve(opt, &full, &err), EF_E_ARG, &err);
    ck_assert_msg(strstr(err.where, where) != NULL, "%s", err.where);
}

START_TEST(impossible_values_are_refused)
{
    ef_options opt;
    ef_options_init(&opt, sizeof opt);
    opt.threads = -1;
    expect_wrong(&opt, "threads");
    opt.threads = 65;
    expect_wrong(&opt, "threads");
    opt.threads = 64;
    opt.gemm = (ef_gemm)3;
    expect_wrong(&opt, "gemm");
    opt.gemm = EF_GEMM_OPENBLAS;
    opt.batch = 0;
    expect_wrong(&opt, "batch");
    opt.batch = 1025;
    expect_wrong(&opt, "batch");
    opt.batch = 1024;
    static const int sizes[][2] = {{0, 32}, {32, 0}, {31, 32}, {32, 4097}, {-1, -1}};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        opt.height = sizes[i][0];
        opt.width = sizes[i][1];
        expect_wrong(&opt, "height");
    }
    opt.height = opt.width = 4096;
    opt.allocator.alloc = never;
    expect_wrong(&opt, "allocator");
    opt.allocator.alloc = NULL;
    opt.limits.max_pixels = 0;
    expect_wrong(&opt, "limits");
    opt.limits.max_pixels = 1;
    opt.limits.max_file_bytes = 0;
    expect_wrong(&opt, "limits");
    opt.limits.max_file_bytes = 1;
    ef_options full;
    ck_assert_int_eq(dfn_options_resolve(&opt, &full, NULL), EF_OK);
}
END_TEST

static char logged[600];
static int logged_level;

static void keep_line(void *user, int level, const char *line)
{
    ck_assert_ptr_eq(user, logged);
    logged_level = level;
    snprintf(logged, sizeof logged, "%s", line);
    errno = 5;
}

START_TEST(log_goes_to_the_hook)
{
    ef_options opt;
    ef_options_init(&opt, sizeof opt);
    errno = 77;
    dfn_log(&opt, 1, "nobody %s", "listens");
    opt.log = keep_line;
    opt.log_user = logged;
    dfn_log(&opt, 2, "%d lines", 3);
    ck_assert_str_eq(logged, "3 lines");
    ck_assert_int_eq(logged_level, 2);
    char text[1000];
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = 0;
    dfn_log(&opt, 3, "%s", text);
    ck_assert_uint_eq(strlen(logged), 511);
    ck_assert_int_eq(errno, 77);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("status");
    TCase *c = tcase_create("status");
    tcase_add_test(c, every_status_has_its_text);
    tcase_add_test(c, fail_fills_and_returns);
    tcase_add_test(c, long_texts_are_cut_and_controls_masked);
    tcase_add_test(c, system_errors_name_their_reason);
    tcase_add_test(c, prefix_keeps_the_tensor);
    tcase_add_test(c, defaults_are_complete);
    tcase_add_test(c, other_struct_sizes);
    tcase_add_test(c, impossible_values_are_refused);
    tcase_add_test(c, log_goes_to_the_hook);
    suite_add_tcase(suite, c);
    return run_suite(suite);
}
