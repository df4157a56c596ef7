/* test_memplan.c - the arena planner alone: 10,000 random plans, and the ones whose
 * answer is known. To add a case, add a START_TEST and list it in main(). */
#include "lib/plan/memplan.h"
#include "tests/support/support.h"

#include <stdlib.h>
#include <string.h>

#define MOST 120

static void check_plan(struct dfn_life *lives, int n, unsigned long long seed)
{
    int order[MOST];
    const size_t arena = dfn_memplan(lives, n, order);
    size_t sum = 0;
    for (int i = 0; i < n; i++) {
        sum += lives[i].size;
        ck_assert_msg(lives[i].offset + lives[i].size <= arena,
                      "seed %llu: %d sticks out", seed, i);
        ck_assert_uint_eq(lives[i].offset % 64, 0);
        for (int j = 0; j < i; j++) {
            const bool meet =
                lives[i].first <= lives[j].last && lives[j].first <= lives[i].last;
            const bool overlap = lives[i].offset < lives[j].offset + lives[j].size &&
                                 lives[j].offset < lives[i].offset + lives[i].size;
            /* Not an assertion each time: Check writes each one down, and there are
             * 36 million. */
            if (meet && overlap)
                ck_abort_msg("seed %llu: %d and %d overlap", seed, i, j);
        }
    }
    ck_assert_uint_ge(arena, dfn_memplan_bound(lives, n));
    ck_assert_uint_le(arena, sum);
}

START_TEST(random_plans_never_overlap)
{
    for (unsigned long long seed = 0; seed < 10000; seed++) {
        uint64_t state = seed;
        struct dfn_life lives[MOST];
        const int n = test_random_int(&state, 1, MOST);
        const int longest = test_random_int(&state, 1, 40);
        for (int i = 0; i < n; i++) {
            const int first = test_random_int(&state, 0, 80);
            lives[i] =
                (struct dfn_life){.size = (size_t)test_random_int(&state, 1, 999) * 64,
                                  .first = first,
                                  .last = first + test_random_int(&state, 0, longest)};
        }
        check_plan(lives, n, seed);
    }
}
END_TEST

START_TEST(a_chain_needs_two_neighbours)
{
    struct dfn_life lives[10];
    int order[10];
    for (int i = 0; i < 10; i++)
        lives[i] = (struct dfn_life){.size = 640, .first = i, .last = i + 1};
    ck_assert_uint_eq(dfn_memplan(lives, 10, order), 1280);
    ck_assert_uint_eq(dfn_memplan_bound(lives, 10), 1280);
}
END_TEST

START_TEST(values_that_never_meet_share_one_place)
{
    struct dfn_life lives[3] = {{64, 0, 0, 9}, {128, 1, 1, 9}, {192, 2, 2, 9}};
    int order[3];
    ck_assert_uint_eq(dfn_memplan(lives, 3, order), 192);
    for (int i = 0; i < 3; i++)
        ck_assert_uint_eq(lives[i].offset, 0);
}
END_TEST

START_TEST(the_same_plan_every_time)
{
    struct dfn_life a[50], b[50];
    int order[50];
    uint64_t state = 7;
    for (int i = 0; i < 50; i++)
        a[i] = (struct dfn_life){.size = 64 * (size_t)test_random_int(&state, 1, 3),
                                 .first = i,
                                 .last = i + test_random_int(&state, 0, 5)};
    memcpy(b, a, sizeof a);
    dfn_memplan(a, 50, order);
    dfn_memplan(b, 50, order);
    for (int i = 0; i < 50; i++)
        ck_assert_uint_eq(a[i].offset, b[i].offset);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("memplan");
    TCase *t = tcase_create("memplan");
    tcase_set_timeout(t, 120);
    tcase_add_test(t, random_plans_never_overlap);
    tcase_add_test(t, a_chain_needs_two_neighbours);
    tcase_add_test(t, values_that_never_meet_share_one_place);
    tcase_add_test(t, the_same_plan_every_time);
    suite_add_tcase(s, t);
    return run_suite(s);
}
