/* test_hash.c - lib/base/hash.c against libxxhash's own one-shot function, in all ways of
 * cutting the stream around the hole. */
#include "lib/base/hash.h"
#include "tests/support/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

static void one_shot(const uint8_t *data, size_t size, char out[33])
{
    const XXH128_hash_t h = XXH3_128bits(data, size);
    snprintf(out, 33, "%016llx%016llx", (unsigned long long)h.high64,
             (unsigned long long)h.low64);
}

static void streamed(const uint8_t *data, size_t size, uint64_t hole, size_t step,
                     char out[33])
{
    struct dfn_hash hash;
    dfn_hash_init(&hash, hole);
    for (size_t at = 0; at < size; at += step)
        dfn_hash_update(&hash, data + at, size - at < step ? size - at : step);
    dfn_hash_hex(&hash, out);
}

START_TEST(known_values)
{
    /* XXH3_128bits of the empty input and of "a", seed 0, from libxxhash 0.8. */
    char out[33], expected[33];
    streamed((const uint8_t *)"", 0, DFN_HASH_NO_HOLE, 1, out);
    ck_assert_str_eq(out, "99aa06d3014798d86001c324468d497f");
    streamed((const uint8_t *)"a", 1, DFN_HASH_NO_HOLE, 1, out);
    one_shot((const uint8_t *)"a", 1, expected);
    ck_assert_str_eq(out, expected);
}
END_TEST

START_TEST(any_step_any_hole)
{
    enum { SIZE = 1500 };
    uint8_t data[SIZE], holed[SIZE];
    char expected[33], out[33];
    uint64_t state = 3;
    for (size_t i = 0; i < SIZE; i++)
        data[i] = (uint8_t)test_random(&state);
    for (size_t hole = 0; hole <= SIZE; hole += hole < 70 ? 1 : 97) {
        memcpy(holed, data, SIZE);
        for (size_t i = hole; i < hole + 32 && i < SIZE; i++)
            holed[i] = '0';
        one_shot(holed, SIZE, expected);
        for (size_t step = 1; step <= SIZE; step += step < 70 ? 1 : 301) {
            streamed(data, SIZE, hole, step, out);
            ck_assert_str_eq(out, expected);
        }
    }
    one_shot(data, SIZE, expected);
    streamed(data, SIZE, DFN_HASH_NO_HOLE, 7, out);
    ck_assert_str_eq(out, expected);
}
END_TEST

START_TEST(large_input)
{
    enum { SIZE = 3 << 20 };
    uint8_t *data = malloc(SIZE);
    char expected[33], out[33];
    uint64_t state = 5;
    ck_assert_ptr_nonnull(data);
    for (size_t i = 0; i < SIZE; i++)
        data[i] = (uint8_t)test_random(&state);
    one_shot(data, SIZE, expected);
    streamed(data, SIZE, DFN_HASH_NO_HOLE, 65537, out);
    ck_assert_str_eq(out, expected);
    streamed(data, SIZE, DFN_HASH_NO_HOLE, SIZE, out);
    ck_assert_str_eq(out, expected);
    free(data);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("hash");
    TCase *c = tcase_create("hash");
    tcase_set_timeout(c, 60);
    tcase_add_test(c, known_values);
    tcase_add_test(c, any_step_any_hole);
    tcase_add_test(c, large_input);
    suite_add_tcase(suite, c);
    return run_suite(suite);
}
