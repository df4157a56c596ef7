/* support.h - what the Check suites share: a runner, a counting and failing allocator, a
 * seeded PRNG, small files. A new suite is one file with a main() that returns
 * run_suite(), and one line in its folder's meson.build. */
#ifndef DFN_TESTS_SUPPORT_H
#define DFN_TESTS_SUPPORT_H

#include "dfnet/dfnet.h"

#include <check.h>
#include <stdbool.h>

/* Runs the suite with Check; 0 if all passed. CK_FORK=no in the environment keeps it in
 * one process (sanitizers, valgrind). */
int run_suite(Suite *suite);

/* An allocator hook that counts, and fails when told: the fail_at-th call from now
 * (1 = the next) fails, and with from_then_on every later one too. 0: never.
 * Thread-safe counting is not needed: the library promises to call the hook from the
 * thread that creates or frees an object only. */
struct test_mem {
    long calls;   /* alloc calls so far                    */
    long live;    /* blocks not yet freed                  */
    size_t bytes; /* in them                               */
    size_t peak;  /* the most that bytes has been          */
    long fail_at;
    bool from_then_on;
    bool failed; /* a call has failed since test_mem_init */
};

void test_mem_init(struct test_mem *m);

/* Default options whose allocator is m. */
void test_options(ef_options *opt, struct test_mem *m);

/* SplitMix64: the same numbers for the same seed everywhere. */
uint64_t test_random(uint64_t *state);
/* Uniform in [low, high]. */
int test_random_int(uint64_t *state, int low, int high);
/* Uniform in [-1, 1). */
float test_random_float(uint64_t *state);

/* Bytes of a file, from malloc; fails the test if it cannot be read. */
uint8_t *test_read_file(const char *path, size_t *size);
/* A new file with these bytes in a folder that is removed when the process ends; the path
 * is static until the next call. */
const char *test_temp_file(const char *name, const void *data, size_t size);

/* Fails unless st is `expected` and, if that is a failure, err says where and what. */
#define assert_status(st, expected, err)                                                 \
    assert_status_at((st), (expected), (err), __FILE__, __LINE__)
void assert_status_at(ef_status st, ef_status expected, const ef_error *err,
                      const char *file, int line);

#endif
