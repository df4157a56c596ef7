/* test_scores.c - logits to probabilities, and the greatest of many values. */
#include "tests/model/fixture.h"
#include "tests/support/support.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- probabilities ---- */

static void set_output(const char *output)
{
    char text[64];
    snprintf(text, sizeof text, "\"dfnet.output\":\"%s\"", output);
    if (strcmp(output, "softmax"))
        edit("\"dfnet.output\":\"softmax\"", text);
    reload();
}

START_TEST(softmax_of_all_sizes)
{
    float x[2] = {1, 3}, p[2];
    assert_status(ef_model_probabilities(model, x, p, &err), EF_OK, &err);
    const double e = exp(2 / 1.5);
    ck_assert_double_eq_tol((double)p[1], e / (1 + e), 1e-7);
    ck_assert_double_eq_tol((double)p[0], 1 / (1 + e), 1e-7);
    static const float huge[][2] = {
        {3e38f, -3e38f}, {-3e38f, 3e38f}, {3e38f, 3e38f}, {0, 1000}, {-1e30f, -1e30f}};
    static const float expected[][2] = {
        {1, 0}, {0, 1}, {0.5f, 0.5f}, {0, 1}, {0.5f, 0.5f}};
    for (int i = 0; i < 5; i++) {
        memcpy(x, huge[i], sizeof x);
        errno = 77;
        /* The same array for both. */
        assert_status(ef_model_probabilities(model, x, x, &err), EF_OK, &err);
        ck_assert_int_eq(errno, 77);
        ck_assert(x[0] == expected[i][0] && x[1] == expected[i][1]);
    }
}
END_TEST

START_TEST(sigmoid_of_all_sizes)
{
    set_output("sigmoid");
    float x[2] = {0, 3}, p[2];
    assert_status(ef_model_probabilities(model, x, p, &err), EF_OK, &err);
    ck_assert(p[0] == 0.5f);
    ck_assert_double_eq_tol((double)p[1], 1 / (1 + exp(-2.0)), 1e-7);
    x[0] = 3.4e38f;
    x[1] = -3.4e38f;
    assert_status(ef_model_probabilities(model, x, x, &err), EF_OK, &err);
    ck_assert(x[0] == 1 && x[1] == 0);
    /* Symmetric, and not yet 0 where float32 still has numbers. */
    x[0] = 120;
    x[1] = -120;
    assert_status(ef_model_probabilities(model, x, p, &err), EF_OK, &err);
    ck_assert(p[1] > 0 && p[1] < 1e-34f);
}
END_TEST

START_TEST(logits_that_are_none)
{
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    for (int i = 0; i < 6; i++) {
        float x[2] = {0, 0}, p[2] = {7, 7};
        x[i % 2] = bad[i / 2];
        assert_status(ef_model_probabilities(model, x, p, &err), EF_E_NUMERIC, &err);
        ck_assert(p[0] == 7 && p[1] == 7);
    }
}
END_TEST

START_TEST(top_of_a_few)
{
    const float v[] = {1, NAN, 3, -INFINITY, 3, INFINITY, NAN, -0.0f, 0.0f};
    static const int order[] = {5, 2, 4, 0, 7, 8, 3, 1, 6};
    ef_top top[12];
    for (size_t k = 0; k < 12; k++) {
        top[k < 9 ? k : 9].output = -5;
        ck_assert_uint_eq(ef_top_k(v, 9, top, k), k < 9 ? k : 9);
        for (size_t i = 0; i < k && i < 9; i++)
            ck_assert_int_eq(top[i].output, order[i]);
        ck_assert_int_eq(top[k < 9 ? k : 9].output, -5);
    }
    ck_assert_uint_eq(ef_top_k(NULL, 9, top, 3), 0);
    ck_assert_uint_eq(ef_top_k(v, 9, NULL, 3), 0);
    ck_assert_uint_eq(ef_top_k(v, 0, top, 3), 0);
    ck_assert_uint_eq(ef_top_k(v, SIZE_MAX, top, 3), 0);
}
END_TEST

START_TEST(top_of_many)
{
    enum { N = 1000 };
    float v[N];
    ef_top top[N];
    uint64_t state = 9;
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < N; i++)
            v[i] = (float)test_random_int(&state, 0, round < 10 ? 20 : 1000000);
        const size_t k = (size_t)test_random_int(&state, 1, N);
        char taken[N] = {0};
        ck_assert_uint_eq(ef_top_k(v, N, top, k), k);
        for (size_t i = 0; i < k; i++) {
            ck_assert(top[i].value == v[top[i].output]);
            taken[top[i].output] = 1;
            if (i && !(top[i - 1].value > top[i].value))
                ck_assert(top[i - 1].value == top[i].value &&
                          top[i - 1].output < top[i].output);
        }
        for (int i = 0; i < N; i++)
            if (!taken[i])
                ck_assert(v[i] <= top[k - 1].value);
    }
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {softmax_of_all_sizes, sigmoid_of_all_sizes,
                                  logits_that_are_none, top_of_a_few, top_of_many};
    Suite *suite = suite_create("scores");
    TCase *c = tcase_create("scores");
    tcase_set_timeout(c, 60);
    tcase_add_checked_fixture(c, setup, teardown);
    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++)
        tcase_add_test(c, tests[i]);
    suite_add_tcase(suite, c);
    return run_suite(suite);
}
