/* test_number.c - lib/base/number.c against strtod and strtof of the C locale, and every
 * half. */
#include "lib/base/number.h"
#include "tests/support/stride.h"
#include "tests/support/support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t bits_of(double x)
{
    uint64_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

static uint32_t bits_of_float(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

/* Both parsers agree with the C library, overflow being a refusal here. */
static void compare(const char *text)
{
    double d = -7;
    float f = -7;
    const double expected = strtod(text, NULL);
    const float expected_float = strtof(text, NULL);
    const bool ok = dfn_parse_double(text, strlen(text), &d);
    ck_assert_msg(ok == (isinf(expected) == 0), "%s", text);
    if (ok)
        ck_assert_msg(bits_of(d) == bits_of(expected), "%s: %a, expected %a", text, d,
                      expected);
    const bool ok_float = dfn_parse_float(text, strlen(text), &f);
    ck_assert_msg(ok_float == (isinf(expected_float) == 0), "%s", text);
    if (ok_float)
        ck_assert_msg(bits_of_float(f) == bits_of_float(expected_float),
                      "%s: %a, expected %a", text, (double)f, (double)expected_float);
}

START_TEST(random_doubles_round_as_strtod_does)
{
    uint64_t state = 20201;
    char text[64];
    const int n = (int)(1000000 / test_stride());
    for (int i = 0; i < n; i++) {
        double x;
        uint64_t u = test_random(&state);
        /* Half of them in the range where weights and logits live. */
        if (i % 2)
            u = (u & ~((uint64_t)0x7ff << 52)) | (uint64_t)(1023 - 40 + u % 80) << 52;
        memcpy(&x, &u, sizeof x);
        if (!isfinite(x))
            continue;
        snprintf(text, sizeof text, "%.17g", x);
        double back;
        if (!dfn_parse_double(text, strlen(text), &back) || bits_of(back) != u)
            ck_abort_msg("%s", text);
        if (i % 4 == 0) {
            /* Fewer digits are halfway or near it more often. */
            snprintf(text, sizeof text, "%.*g", 1 + i / 4 % 17, x);
            compare(text);
        }
    }
}
END_TEST

START_TEST(random_texts_round_as_strtod_does)
{
    uint64_t state = 7;
    const int count = (int)(100000 / test_stride());
    for (int i = 0; i < count; i++) {
        char text[128];
        int n = 0;
        if (test_random(&state) % 2)
            text[n++] = '-';
        text[n++] = (char)('1' + test_random(&state) % 9);
        for (int k = test_random_int(&state, 0, 39); k > 0; k--)
            text[n++] = (char)('0' + test_random(&state) % 10);
        text[n++] = '.';
        for (int k = test_random_int(&state, 1, 39); k > 0; k--)
            text[n++] = (char)('0' + test_random(&state) % 10);
        snprintf(text + n, sizeof text - (size_t)n, "e%d",
                 test_random_int(&state, -420, 330));
        compare(text);
    }
}
END_TEST

START_TEST(floats_and_halfway_points)
{
    /* Every power of two of float32, its neighbours, and the exact points halfway between
     * them, where only rounding to even gives the right answer. */
    for (uint32_t exponent = 0; exponent < 255; exponent++) {
        for (uint32_t fraction = 0; fraction < 3; fraction++) {
            const uint32_t u = exponent << 23 | (fraction == 2 ? 0x7fffff : fraction);
            float x, next;
            char text[400];
            const uint32_t v = u + 1;
            memcpy(&x, &u, sizeof x);
            memcpy(&next, &v, sizeof next);
            snprintf(text, sizeof text, "%.9g", (double)x);
            compare(text);
            const double middle = ((double)x + (double)(isinf(next) ? x : next)) / 2;
            snprintf(text, sizeof text, "%.39e", middle);
            /* "d.ddde+xx" has one digit before the point and 39 behind it. */
            compare(text);
            snprintf(text, sizeof text, "%.17g", middle);
            compare(text);
        }
    }
}
END_TEST

static const char *const edges[] = {
    "0",
    "-0",
    "0.0",
    "-0.0",
    "0e999",
    "0e-999",
    "0.0000000000000000000000000000000e5",
    "1",
    "-1",
    "1e0",
    "1e+0",
    "1e-0",
    "10e5",
    "1e22",
    "1e23",
    "9007199254740993",
    "9007199254740992.5",
    "9007199254740993.0000000000000000000000000000001",
    "4.9406564584124654e-324",
    "2.4703282292062327e-324",
    "2.4703282292062328e-324",
    "2.47e-324",
    "1e-323",
    "2.2250738585072011e-308",
    "2.2250738585072012e-308",
    "2.2250738585072014e-308",
    "1.7976931348623157e308",
    "1.7976931348623158e308",
    "1.7976931348623159e308",
    "1e308",
    "1e309",
    "1e999",
    "1e-999",
    "1.401298464324817e-45",
    "7.006492321624085e-46",
    "7.006492321624086e-46",
    "1.1754943508222875e-38",
    "1.1754942e-38",
    "3.4028234663852886e38",
    "3.40282356e38",
    "3.4028235677973366e38",
    "3.4028235677973367e38",
    "16777217",
    "16777219",
    "16777217.0000000000000000000000000000001",
    "0.1",
    "0.3",
    "1e16",
    "5e-324",
    "3e-324",
    "2e-324",
    "0.485",
    "0.229",
    "123456789012345678901234567890123456789.5e-39",
    ("9999999999999999999999999999999999999999"
     ".999999999999999999999999999999999999999e320"),
    "1.000000000000000000000000000000000000001e-420",
};

START_TEST(edges_round_as_strtod_does)
{
    compare(edges[_i]);
}
END_TEST

static const char *const not_reals[] = {
    "",
    " ",
    "1 ",
    " 1",
    "+1",
    "-",
    ".5",
    "5.",
    "01",
    "-01",
    "00",
    "1.e5",
    "1e",
    "1e+",
    "1e-",
    "1e1000",
    "1e1.5",
    "1,5",
    "nan",
    "NaN",
    "inf",
    "-inf",
    "Infinity",
    "0x10",
    "1e5x",
    "--1",
    "1.2.3",
    "1E5",
    "1_0",
    "1e 5",
    "1f",
    "12345678901234567890123456789012345678901",
    "0.1234567890123456789012345678901234567890",
    "1.e",
    "e5",
    "-e5",
    "1e--5",
};

START_TEST(other_texts_are_refused)
{
    double d = -7;
    float f = -7;
    const char *text = not_reals[_i];
    ck_assert_msg(!dfn_parse_double(text, strlen(text), &d), "%s", text);
    ck_assert_msg(!dfn_parse_float(text, strlen(text), &f), "%s", text);
    ck_assert(d == -7 && f == -7);
}
END_TEST

START_TEST(nothing_behind_the_length_is_read)
{
    double d;
    ck_assert(dfn_parse_double("1.5e3", 3, &d));
    ck_assert(d == 1.5);
    ck_assert(!dfn_parse_double("1.5e3", 4, &d));
    ck_assert(dfn_parse_double("12,7", 2, &d));
    ck_assert(d == 12);
}
END_TEST

START_TEST(unsigned_integers)
{
    static const char *const bad[] = {"",
                                      "-1",
                                      "+1",
                                      " 1",
                                      "1 ",
                                      "01",
                                      "00",
                                      "0x1",
                                      "1.0",
                                      "1e2",
                                      "18446744073709551616",
                                      "99999999999999999999"};
    uint64_t v = 7;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ck_assert_msg(!dfn_parse_uint(bad[i], strlen(bad[i]), UINT64_MAX, &v), "%s",
                      bad[i]);
    ck_assert_uint_eq(v, 7);
    ck_assert(dfn_parse_uint("0", 1, 0, &v));
    ck_assert_uint_eq(v, 0);
    ck_assert(dfn_parse_uint("18446744073709551615", 20, UINT64_MAX, &v));
    ck_assert_uint_eq(v, UINT64_MAX);
    ck_assert(dfn_parse_uint("255", 3, 255, &v));
    ck_assert(!dfn_parse_uint("256", 3, 255, &v));
    ck_assert(dfn_parse_uint("123", 2, 255, &v));
    ck_assert_uint_eq(v, 12);
}
END_TEST

START_TEST(every_half)
{
    for (uint32_t h = 0; h < 0x10000; h++) {
        const uint32_t exponent = h >> 10 & 31, fraction = h & 0x3ff;
        const float f = dfn_half_to_float((uint16_t)h);
        ck_assert_int_eq(signbit(f) != 0, h >> 15);
        if (exponent == 31) {
            ck_assert(fraction ? isnan(f) : isinf(f));
            continue;
        }
        const double magnitude = exponent ? ldexp(1024.0 + fraction, (int)exponent - 25)
                                          : ldexp(fraction, -24);
        ck_assert_msg(fabs((double)f) == magnitude, "%04x: %a, expected %a", h, (double)f,
                      magnitude);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("number");
    TCase *c = tcase_create("number");
    tcase_set_timeout(c, 120);
    tcase_add_test(c, random_doubles_round_as_strtod_does);
    tcase_add_test(c, random_texts_round_as_strtod_does);
    tcase_add_test(c, floats_and_halfway_points);
    tcase_add_loop_test(c, edges_round_as_strtod_does, 0,
                        (int)(sizeof edges / sizeof edges[0]));
    tcase_add_loop_test(c, other_texts_are_refused, 0,
                        (int)(sizeof not_reals / sizeof not_reals[0]));
    tcase_add_test(c, nothing_behind_the_length_is_read);
    tcase_add_test(c, unsigned_integers);
    tcase_add_test(c, every_half);
    suite_add_tcase(suite, c);
    return run_suite(suite);
}
