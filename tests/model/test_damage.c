/* test_damage.c - damage at large: every truncation, every flipped bit, every field set
 * to extreme values with the hash made right again. What is not refused must be a model
 * that can be used; nothing leaks, nothing crashes. tests/support/stride.h: how many of
 * the steps. */
#include "tests/model/nano.h"
#include "tests/support/stride.h"
#include "tests/support/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct test_mem mem;
static ef_options opt;
static struct nano nano;
static size_t stride;

static void setup(void)
{
    stride = test_stride();
    test_mem_init(&mem);
    test_options(&opt, &mem);
    nano_init(&nano);
}

static void teardown(void)
{
    nano_free(&nano);
}

/* Loads size bytes; plain ifs, because the loops run ten thousands of times. */
static ef_status load(const uint8_t *data, size_t size)
{
    ef_model *out = NULL;
    ef_error err;
    ef_model_info info;
    memset(&err, 0, sizeof err);
    const ef_status st = ef_model_load_memory(data, size, &opt, &out, &err);
    if (st) {
        if (out || err.status != st || !err.where[0] || !err.what[0])
            ck_abort_msg("status %d: %s: %s", st, err.where, err.what);
    } else {
        ef_model_info_init(&info, sizeof info);
        if (ef_model_get_info(out, &info, &err) || !info.macs || !info.parameters)
            ck_abort_msg("a model without facts");
        ef_model_free(out);
    }
    if (mem.live)
        ck_abort_msg("%ld blocks are left", mem.live);
    return st;
}

START_TEST(every_truncation)
{
    assert_status(load(nano.file, nano.size), EF_OK, (ef_error *)NULL);
    for (size_t size = 0; size < nano.size; size++) {
        /* A copy of its own size, so that reading behind it is an error of its own. */
        uint8_t *cut = malloc(size + !size);
        ck_assert_ptr_nonnull(cut);
        memcpy(cut, nano.file, size);
        const ef_status st = load(cut, size);
        if (st != EF_E_FORMAT)
            ck_abort_msg("%zu bytes: status %d", size, st);
        free(cut);
    }
}
END_TEST

START_TEST(every_flipped_bit)
{
    size_t newer = 0;
    for (size_t bit = 0; bit < 8 * nano.size; bit += stride) {
        nano.file[bit / 8] ^= (uint8_t)(1u << bit % 8);
        const ef_status st = load(nano.file, nano.size);
        nano.file[bit / 8] ^= (uint8_t)(1u << bit % 8);
        /* Version 1 becomes 3, 5, 9; everything else is damage. */
        newer += st == EF_E_VERSION;
        if (st != EF_E_FORMAT && st != EF_E_VERSION)
            ck_abort_msg("bit %zu of byte %zu: status %d", bit % 8, bit / 8, st);
    }
    ck_assert_uint_le(newer, 3);
    assert_status(load(nano.file, nano.size), EF_OK, (ef_error *)NULL);
}
END_TEST

START_TEST(every_flipped_bit_with_the_right_hash)
{
    size_t loaded = 0;
    for (size_t bit = 0; bit < 8 * nano.size; bit += stride) {
        uint8_t *copy = malloc(nano.size);
        ck_assert_ptr_nonnull(copy);
        memcpy(copy, nano.file, nano.size);
        copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
        nano_repair(copy, nano.size);
        loaded += load(copy, nano.size) == EF_OK;
        free(copy);
    }
    /* Most bits of the data are somebody's weight. */
    ck_assert_uint_gt(loaded, 2 * nano.data_size / stride);
    ck_assert_uint_lt(loaded, 8 * nano.size / stride / 2);
}
END_TEST

static const uint64_t extremes[] = {0,
                                    1,
                                    UINT64_MAX,
                                    0x7fffffff,
                                    0x80000000,
                                    0xffffffff,
                                    0x80000001,
                                    (uint64_t)INT64_MAX,
                                    (uint64_t)1 << 63,
                                    ((uint64_t)1 << 63) + 1};
#define EXTREMES (sizeof extremes / sizeof extremes[0])

START_TEST(every_place_of_4_and_8_bytes)
{
    for (size_t at = 0; at + 4 <= nano.size; at += at < 8 ? 1 : stride) {
        for (size_t i = 0; i < 2 * EXTREMES; i++) {
            const size_t n = i < EXTREMES ? 4 : 8;
            uint8_t old[8];
            if (at + n > nano.size)
                continue;
            memcpy(old, nano.file + at, n);
            for (size_t b = 0; b < n; b++)
                nano.file[at + b] = (uint8_t)(extremes[i % EXTREMES] >> 8 * b & 0xff);
            nano_repair(nano.file, nano.size);
            load(nano.file, nano.size);
            memcpy(nano.file + at, old, n);
        }
    }
    nano_repair(nano.file, nano.size);
    assert_status(load(nano.file, nano.size), EF_OK, (ef_error *)NULL);
}
END_TEST

START_TEST(every_number_of_the_header)
{
    /* Each run of digits of the JSON text, whatever it means, becomes each extreme. */
    const size_t len = strlen(nano.header);
    size_t runs = 0;
    for (size_t at = 0; at < len; at++) {
        size_t end = at;
        while (nano.header[end] >= '0' && nano.header[end] <= '9')
            end++;
        if (end == at)
            continue;
        runs++;
        for (size_t i = 0; i < EXTREMES; i++) {
            struct nano copy = nano;
            copy.header = malloc(len + 32);
            copy.file = NULL;
            ck_assert_ptr_nonnull(copy.header);
            snprintf(copy.header, len + 32, "%.*s%llu%s", (int)at, nano.header,
                     (unsigned long long)extremes[i], nano.header + end);
            nano_assemble(&copy);
            nano_repair(copy.file, copy.size);
            const ef_status st = load(copy.file, copy.size);
            ck_assert(st == EF_OK || st == EF_E_FORMAT || st == EF_E_VERSION);
            free(copy.header);
            free(copy.file);
        }
        at = end;
    }
    ck_assert_uint_gt(runs, 200);
}
END_TEST

START_TEST(memory_is_bounded_by_the_file)
{
    /* lib/model/README.md, "Memory": whatever the bytes say. */
    const size_t bound = 4 * nano.size + (320 << 10);
    uint64_t state = 11;
    for (int i = 0; i < (int)(20000 / stride); i++) {
        uint8_t *copy = malloc(nano.size);
        ck_assert_ptr_nonnull(copy);
        memcpy(copy, nano.file, nano.size);
        for (int k = test_random_int(&state, 1, 4); k > 0; k--) {
            const size_t at = 8 + test_random(&state) % (strlen(nano.header));
            copy[at] = (uint8_t)(copy[at] >= '0' && copy[at] <= '9'
                                     ? '0' + test_random(&state) % 10
                                     : test_random(&state));
        }
        nano_repair(copy, nano.size);
        mem.peak = 0;
        load(copy, nano.size);
        if (mem.peak > bound)
            ck_abort_msg("%zu bytes were held, at most %zu may be", mem.peak, bound);
        free(copy);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("damage");
    TCase *c = tcase_create("damage");
    tcase_set_timeout(c, 300);
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, every_truncation);
    tcase_add_test(c, every_flipped_bit);
    tcase_add_test(c, every_flipped_bit_with_the_right_hash);
    tcase_add_test(c, every_place_of_4_and_8_bytes);
    tcase_add_test(c, every_number_of_the_header);
    tcase_add_test(c, memory_is_bounded_by_the_file);
    suite_add_tcase(suite, c);
    return run_suite(suite);
}
