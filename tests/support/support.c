/* support.c - see support.h. Linked into every Check suite. */
#include "tests/support/support.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char temp_folder[64];
static char temp_path[256];

static void remove_temp(void)
{
    /* Names are ours and flat, so one level is enough. */
    if (!temp_folder[0])
        return;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", temp_folder);
    if (system(command))
        fprintf(stderr, "could not remove %s\n", temp_folder);
}

int run_suite(Suite *suite)
{
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    remove_temp();
    return failed ? 1 : 0;
}

/* The size stands before each block, so that free can count bytes down. */
struct block {
    size_t size;
    size_t pad;
};

static void *mem_alloc(void *user, size_t size)
{
    struct test_mem *m = user;
    m->calls++;
    if (m->fail_at &&
        (m->calls == m->fail_at || (m->from_then_on && m->calls > m->fail_at))) {
        m->failed = true;
        return NULL;
    }
    struct block *b = malloc(sizeof *b + size);
    if (!b)
        return NULL;
    b->size = size;
    m->live++;
    m->bytes += size;
    if (m->bytes > m->peak)
        m->peak = m->bytes;
    return b + 1;
}

static void mem_free(void *user, void *p)
{
    struct test_mem *m = user;
    struct block *b = (struct block *)p - 1;
    ck_assert_ptr_nonnull(p);
    m->live--;
    m->bytes -= b->size;
    free(b);
}

void test_mem_init(struct test_mem *m)
{
    memset(m, 0, sizeof *m);
}

void test_options(ef_options *opt, struct test_mem *m)
{
    ef_options_init(opt, sizeof *opt);
    opt->allocator = (ef_allocator){mem_alloc, mem_free, m};
}

uint64_t test_random(uint64_t *state)
{
    uint64_t z = *state += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

int test_random_int(uint64_t *state, int low, int high)
{
    const uint64_t span = (uint64_t)(high - low) + 1;
    return low + (int)(test_random(state) % span);
}

float test_random_float(uint64_t *state)
{
    return (float)(test_random(state) >> 40) / 8388608.0f - 1.0f;
}

uint8_t *test_read_file(const char *path, size_t *size)
{
    FILE *f = fopen(path, "rb");
    ck_assert_msg(f != NULL, "%s: %s", path, strerror(errno));
    ck_assert_int_eq(fseek(f, 0, SEEK_END), 0);
    const long end = ftell(f);
    ck_assert_int_ge(end, 0);
    rewind(f);
    uint8_t *data = malloc((size_t)end + 1);
    ck_assert_ptr_nonnull(data);
    *size = fread(data, 1, (size_t)end, f);
    ck_assert_uint_eq(*size, (size_t)end);
    fclose(f);
    return data;
}

const char *test_temp_file(const char *name, const void *data, size_t size)
{
    if (!temp_folder[0]) {
        snprintf(temp_folder, sizeof temp_folder, "/tmp/dfnet-test-XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(temp_folder));
        /* A forked test removes its own folder, the parent its own. */
        atexit(remove_temp);
    }
    snprintf(temp_path, sizeof temp_path, "%s/%s", temp_folder, name);
    FILE *f = fopen(temp_path, "wb");
    ck_assert_ptr_nonnull(f);
    if (size)
        ck_assert_uint_eq(fwrite(data, 1, size, f), size);
    ck_assert_int_eq(fclose(f), 0);
    return temp_path;
}

void assert_status_at(ef_status st, ef_status expected, const ef_error *err,
                      const char *file, int line)
{
    ck_assert_msg(st == expected, "%s:%d: status %d (%s), expected %d; error: %s: %s",
                  file, line, st, ef_strerror(st), expected, err ? err->where : "",
                  err ? err->what : "");
    if (expected != EF_OK && err)
        ck_assert_msg(err->status == expected && err->where[0] && err->what[0],
                      "%s:%d: status %d without a place or a sentence", file, line, st);
}
