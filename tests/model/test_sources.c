/* test_sources.c - the same model from a file, memory, a descriptor and a pipe; what
 * cannot be read; how much memory it takes; where the default model is found. */
#include "dfn_config.h"
#include "lib/model/model.h"
#include "tests/model/fixture.h"
#include "tests/support/support.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- sources ---- */

static void assert_same(const ef_model *a, const ef_model *b)
{
    ef_model_info x, y;
    ef_model_info_init(&x, sizeof x);
    ef_model_info_init(&y, sizeof y);
    ck_assert_int_eq(ef_model_get_info(a, &x, NULL), EF_OK);
    ck_assert_int_eq(ef_model_get_info(b, &y, NULL), EF_OK);
    ck_assert_mem_eq(&x, &y, sizeof x);
    for (int t = 0; t < NANO_TENSORS; t++) {
        struct dfn_pack_shape s;
        const float *wa = weights_of(a, t, &s), *wb = weights_of(b, t, &s);
        ck_assert_mem_eq(wa, wb,
                         dfn_pack_count(s.layout, s.cout, s.cin, s.kernel) * sizeof *wa);
    }
    ck_assert_int_eq(a->npairs, b->npairs);
    for (int i = 0; i < a->npairs; i++) {
        ck_assert_str_eq(a->pairs[i].key, b->pairs[i].key);
        ck_assert_str_eq(a->pairs[i].value, b->pairs[i].value);
    }
}

static int pipe_of(const uint8_t *data, size_t size)
{
    int ends[2];
    ck_assert_int_eq(pipe(ends), 0);
    ck_assert_int_eq(write(ends[1], data, size), (ssize_t)size);
    close(ends[1]);
    return ends[0];
}

START_TEST(every_source_gives_the_same_model)
{
    ef_model *other;
    const char *path = test_temp_file("nano", nano.file, nano.size);
    errno = 77;
    assert_status(ef_model_load_file(path, &opt, &other, &err), EF_OK, &err);
    assert_same(model, other);
    ef_model_free(other);
    int fd = open(path, O_RDONLY);
    errno = 77;
    assert_status(ef_model_load_fd(fd, &opt, &other, &err), EF_OK, &err);
    assert_same(model, other);
    ef_model_free(other);
    close(fd);
    fd = pipe_of(nano.file, nano.size);
    assert_status(ef_model_load_fd(fd, &opt, &other, &err), EF_OK, &err);
    assert_same(model, other);
    ef_model_free(other);
    close(fd);
    ck_assert_int_eq(errno, 77);
}
END_TEST

START_TEST(a_descriptor_is_read_from_its_position)
{
    ef_model *other = NULL;
    uint8_t *both = malloc(nano.size + 5);
    ck_assert_ptr_nonnull(both);
    memcpy(both, "12345", 5);
    memcpy(both + 5, nano.file, nano.size);
    const int fd = open(test_temp_file("nano", both, nano.size + 5), O_RDONLY);
    ck_assert_int_eq(lseek(fd, 5, SEEK_SET), 5);
    assert_status(ef_model_load_fd(fd, &opt, &other, &err), EF_OK, &err);
    assert_same(model, other);
    ef_model_free(other);
    /* Read to its end, as a pipe would be; what follows is an empty model. */
    ck_assert_int_eq(lseek(fd, 0, SEEK_CUR), (off_t)(nano.size + 5));
    assert_status(ef_model_load_fd(fd, &opt, &other, &err), EF_E_FORMAT, &err);
    ck_assert_int_eq(lseek(fd, 100000, SEEK_SET), 100000);
    assert_status(ef_model_load_fd(fd, &opt, &other, &err), EF_E_FORMAT, &err);
    close(fd);
    free(both);
}
END_TEST

START_TEST(what_cannot_be_read)
{
    ef_model *out = NULL;
    errno = 77;
    assert_status(ef_model_load_file("/nonexistent/m", &opt, &out, &err), EF_E_IO, &err);
    ck_assert_int_eq(err.sys, ENOENT);
    ck_assert_str_eq(err.where, "/nonexistent/m");
    assert_status(ef_model_load_file("/", &opt, &out, &err), EF_E_IO, &err);
    ck_assert_int_eq(err.sys, EISDIR);
    assert_status(ef_model_load_fd(9999, &opt, &out, &err), EF_E_IO, &err);
    ck_assert_int_eq(err.sys, EBADF);
    assert_status(ef_model_validate_file("", &opt, NULL, &err), EF_E_IO, &err);
    const char *path = test_temp_file("nano", nano.file, nano.size - 1);
    errno = 77;
    assert_status(ef_model_load_file(path, &opt, &out, &err), EF_E_FORMAT, &err);
    /* The file's name, or its end, stands before the place in the file. */
    ck_assert_ptr_nonnull(strstr(err.where, "nano: data"));
    ck_assert_int_eq(errno, 77);
    ck_assert_ptr_null(out);
}
END_TEST

START_TEST(a_pipe_beyond_the_limit)
{
    ef_model *out = NULL;
    opt.limits.max_file_bytes = nano.size - 1;
    const int fd = pipe_of(nano.file, nano.size);
    assert_status(ef_model_load_fd(fd, &opt, &out, &err), EF_E_LIMIT, &err);
    close(fd);
    opt.limits.max_file_bytes = nano.size;
    assert_status(ef_model_load_memory(nano.file, nano.size, &opt, &out, &err), EF_OK,
                  &err);
    ef_model_free(out);
}
END_TEST

/* ---- memory ---- */

/* Loads what path has and compares the hook's peak with what was promised. */
static void assert_needed(const char *path, size_t size)
{
    struct test_mem counted;
    ef_options o;
    ef_model *out;
    ef_model_info info;
    test_mem_init(&counted);
    test_options(&o, &counted);
    ef_model_info_init(&info, sizeof info);
    assert_status(ef_model_validate_file(path, &o, &info, &err), EF_OK, &err);
    const size_t without = counted.peak;
    counted.peak = 0;
    assert_status(ef_model_load_file(path, &o, &out, &err), EF_OK, &err);
    ck_assert_msg(counted.peak == info.bytes_needed, "%s: %zu, promised %llu", path,
                  counted.peak, (unsigned long long)info.bytes_needed);
    ck_assert_uint_le(counted.peak, 4 * size + (320 << 10));
    ck_assert_uint_le(without, counted.peak);
    ef_model_free(out);
    ck_assert_int_eq(counted.live, 0);
}

START_TEST(bytes_needed_is_what_loading_holds)
{
    assert_needed(test_temp_file("nano", nano.file, nano.size), nano.size);
}
END_TEST

/* n times piece, from malloc. */
static char *repeated(const char *before, const char *piece, int n, const char *after)
{
    const size_t len = strlen(piece), first = strlen(before);
    char *text = malloc(first + len * (size_t)n + strlen(after) + 1);
    ck_assert_ptr_nonnull(text);
    memcpy(text, before, first + 1);
    for (int i = 0; i < n; i++)
        memcpy(text + first + len * (size_t)i, piece, len);
    memcpy(text + first + len * (size_t)n, after, strlen(after) + 1);
    return text;
}

START_TEST(the_most_memory_for_the_shortest_file)
{
    /* Outputs cost most: F16, one-digit logits, empty labels (lib/model/README.md). */
    enum { N = 65536 };
    char *labels = repeated("\"dfnet.labels\":\"", "\\n", N - 1, "\"");
    char *logits = repeated("\"dfnet.reference.logits\":\"", "0,", N - 1, "0\"");
    edit("\"dfnet.labels\":\"real\\nfake\"", labels);
    edit("\"dfnet.reference.logits\":\"0.1,-2.5e-05\"", logits);
    edit("\"dfnet.outputs\":\"2\"", "\"dfnet.outputs\":\"65536\"");
    edit("\"classifier.bias\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[452,460]"
         "}",
         "\"classifier.bias\":{\"dtype\":\"F16\",\"shape\":[65536],"
         "\"data_offsets\":[452,131524]}");
    edit("\"shape\":[2,1],\"data_offsets\":[460,464]",
         "\"shape\":[65536,1],\"data_offsets\":[131524,262596]");
    free(labels);
    free(logits);
    uint8_t *data = calloc(1, 262596);
    ck_assert_ptr_nonnull(data);
    memcpy(data, nano.data, 452);
    free(nano.data);
    nano.data = data;
    nano.data_size = 262596;
    reload();
    assert_needed(test_temp_file("nano", nano.file, nano.size), nano.size);
    ck_assert_uint_gt(model->bytes_needed, 3 * nano.size);
    ck_assert_str_eq(ef_model_label(model, N - 1), "");
    ck_assert_ptr_null(ef_model_label(model, N));
    ck_assert(model->meta.ref_logits[N - 1] == 0);
}
END_TEST

START_TEST(files_of_the_converter_load)
{
    /* Written by weights_tools; tests/golden/README.md says how. */
    glob_t found;
    ck_assert_int_eq(
        glob(TEST_SOURCE_ROOT "/tests/golden/*.safetensors", 0, NULL, &found), 0);
    int loaded = 0;
    for (size_t i = 0; i < found.gl_pathc; i++) {
        size_t size;
        /* A checkpoint for the converter, not a model. */
        if (strstr(found.gl_pathv[i], "checkpoint"))
            continue;
        free(test_read_file(found.gl_pathv[i], &size));
        assert_needed(found.gl_pathv[i], size);
        loaded++;
    }
    globfree(&found);
    ck_assert_int_ge(loaded, 10);
}
END_TEST

START_TEST(validating_keeps_no_weights)
{
    ef_model *checked;
    assert_status(
        dfn_model_load_bytes(nano.file, nano.size, "m", &opt, false, &checked, &err),
        EF_OK, &err);
    ck_assert_ptr_null(checked->store);
    for (int i = 0; i < (checked->nblocks + 1) * DFN_ROLES; i++)
        ck_assert_ptr_null(checked->weights[i]);
    ck_assert_str_eq(checked->hash, model->hash);
    ck_assert_uint_eq(checked->bytes_needed, model->bytes_needed);
    dfn_model_unref(checked);
}
END_TEST

/* ---- the default model ---- */

START_TEST(the_variable_names_the_model)
{
    ef_model *other = NULL;
    char buf[300], small[4];
    const char *path = test_temp_file("nano", nano.file, nano.size);
    ck_assert_int_eq(setenv("DFNET_MODEL", path, 1), 0);
    errno = 77;
    assert_status(ef_model_default_path(buf, sizeof buf, &err), EF_OK, &err);
    ck_assert_str_eq(buf, path);
    assert_status(ef_model_default_path(buf, strlen(path) + 1, &err), EF_OK, &err);
    assert_status(ef_model_default_path(buf, strlen(path), &err), EF_E_LIMIT, &err);
    memset(small, 7, sizeof small);
    assert_status(ef_model_default_path(small, strlen(path) < 4 ? 1 : 4, &err),
                  EF_E_LIMIT, &err);
    ck_assert_int_eq(small[0], 7);
    assert_status(ef_model_load_default(&opt, &other, &err), EF_OK, &err);
    assert_same(model, other);
    ef_model_free(other);
    ck_assert_int_eq(setenv("DFNET_MODEL", "/nonexistent/m", 1), 0);
    errno = 77;
    assert_status(ef_model_default_path(buf, sizeof buf, &err), EF_E_IO, &err);
    ck_assert_int_eq(err.sys, ENOENT);
    ck_assert_str_eq(err.where, "/nonexistent/m");
    other = NULL;
    assert_status(ef_model_load_default(&opt, &other, &err), EF_E_IO, &err);
    ck_assert_ptr_null(other);
    ck_assert_int_eq(errno, 77);
}
END_TEST

START_TEST(without_the_variable_the_known_places)
{
    char buf[300];
    for (int i = 0; i < 2; i++) {
        if (i)
            ck_assert_int_eq(setenv("DFNET_MODEL", "", 1), 0);
        else
            ck_assert_int_eq(unsetenv("DFNET_MODEL"), 0);
        const bool installed = !access(DFN_INSTALLED_MODEL, R_OK);
        const bool built = !access(DFN_BUILD_TREE_MODEL, R_OK);
        const ef_status st = ef_model_default_path(buf, sizeof buf, &err);
        assert_status(st, installed || built ? EF_OK : EF_E_IO, &err);
        if (!st)
            ck_assert_str_eq(buf, installed ? DFN_INSTALLED_MODEL : DFN_BUILD_TREE_MODEL);
    }
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {every_source_gives_the_same_model,
                                  a_descriptor_is_read_from_its_position,
                                  what_cannot_be_read,
                                  a_pipe_beyond_the_limit,
                                  bytes_needed_is_what_loading_holds,
                                  the_most_memory_for_the_shortest_file,
                                  files_of_the_converter_load,
                                  validating_keeps_no_weights,
                                  the_variable_names_the_model,
                                  without_the_variable_the_known_places};
    Suite *suite = suite_create("sources");
    TCase *c = tcase_create("sources");
    tcase_set_timeout(c, 60);
    tcase_add_checked_fixture(c, setup, teardown);
    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++)
        tcase_add_test(c, tests[i]);
    suite_add_tcase(suite, c);
    return run_suite(suite);
}
