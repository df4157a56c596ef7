/* test_rules.c - ef_combine(): worked cases, 0, 1 and many faces and frames, what is
 * refused, and the 1,000 score sets of rules.txt, whose results reference_rules.py
 * computed without the library. */
#include "tests/support/support.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_SCORES 128
#define MOST_MODELS 8

static double log_odds(double p)
{
    return log(p / (1 - p));
}

static ef_rule rule_of(ef_rule_kind kind)
{
    ef_rule rule;
    ef_rule_init(&rule, kind, sizeof rule);
    return rule;
}

static ef_combined combined(const ef_rule *rule, const ef_score *scores, size_t n)
{
    ef_score work[MOST_SCORES];
    ef_combined out;
    ef_error err = {0};
    ck_assert_uint_le(n, MOST_SCORES);
    ef_combined_init(&out, sizeof out);
    const ef_status st = ef_combine(rule, scores, n, work, &out, &err);
    ck_assert_msg(st == EF_OK, "%s: %s", err.where, err.what);
    return out;
}

/* n scores of one model and face, the first k with probability a, the others with b, a
 * frame each. */
static size_t two_values(ef_score *s, size_t k, double a, size_t n, double b)
{
    for (size_t i = 0; i < n; i++)
        s[i] = (ef_score){log_odds(i < k ? a : b), 0, 0, (uint32_t)i};
    return n;
}

static void assert_fake(const ef_rule *rule, const ef_score *s, size_t n, double expected)
{
    const ef_combined out = combined(rule, s, n);
    ck_assert_double_eq_tol(out.fake, expected, 1e-14);
    ck_assert_double_eq_tol(out.logit, log_odds(expected), 1e-12);
}

START_TEST(confident_as_worked_by_hand)
{
    ef_score s[32];
    const ef_rule rule = rule_of(EF_RULE_CONFIDENT);
    /* 12 > floor(12.8) is false, 20 > 28.8 too: the mean of all. */
    assert_fake(&rule, s, two_values(s, 12, 0.9, 32, 0.1), 0.4);
    assert_fake(&rule, s, two_values(s, 13, 0.9, 32, 0.1), 0.9);
    /* floor(11.6) = 11, and 12 > 11. */
    assert_fake(&rule, s, two_values(s, 12, 0.9, 29, 0.1), 0.9);
    /* 11 are never enough, however few there are. */
    assert_fake(&rule, s, two_values(s, 11, 0.9, 12, 0.1), (11 * 0.9 + 0.1) / 12);
    /* 29 > 28.8 */
    assert_fake(&rule, s, two_values(s, 3, 0.7, 32, 0.1), 0.1);
    /* Exactly nine tenths are not more than nine tenths. */
    assert_fake(&rule, s, two_values(s, 3, 0.7, 30, 0.1), 0.16);
}
END_TEST

START_TEST(sharpening_as_worked_by_hand)
{
    ef_score s[2];
    const ef_rule rule = rule_of(EF_RULE_SHARPEN);
    /* |d| = 0.4 is stretched beyond 0.49 and cut off. */
    assert_fake(&rule, s, two_values(s, 1, 0.9, 1, 0), 0.99);
    assert_fake(&rule, s, two_values(s, 1, 0.1, 1, 0), 0.01);
    assert_fake(&rule, s, two_values(s, 1, 0.5, 1, 0), 0.5);
    /* d = 0.1 and -0.4: q = 0.5 + 0.1^0.65 and 0.01, weights 0.1001 and 0.4001. */
    const double q = 0.5 + pow(0.1, 0.65);
    assert_fake(&rule, s, two_values(s, 1, 0.6, 2, 0.1),
                (q * 0.1001 + 0.01 * 0.4001) / 0.5002);
}
END_TEST

START_TEST(groups_as_worked_by_hand)
{
    ef_score s[56];
    const ef_rule rule = rule_of(EF_RULE_GROUP);
    /* 10 runs of 5: exactly 7 of 10 are not more than 0.7; 8 of 10 are. */
    assert_fake(&rule, s, two_values(s, 35, 0.9, 50, 0.5), (7 * 0.9 + 3 * 0.5) / 10);
    assert_fake(&rule, s, two_values(s, 40, 0.9, 50, 0.5), 0.9);
    assert_fake(&rule, s, two_values(s, 40, 0.1, 50, 0.5), 0.1);
    /* Four frames behind the last run do not count. */
    assert_fake(&rule, s, two_values(s, 50, 0.7, 54, 0.1), 0.7);
    /* Logits are averaged within a run, not probabilities. */
    two_values(s, 2, 0.9, 5, 0.5);
    assert_fake(&rule, s, 5, 1 / (1 + exp(-log_odds(0.9) * 2 / 5)));
    /* Less than a run is a run of its own, and said so. */
    const ef_combined out = combined(&rule, s, 4);
    ck_assert_uint_eq(out.flags, EF_COMBINED_SHORT);
    ck_assert_double_eq_tol(out.logit, log_odds(0.9) / 2, 1e-12);
}
END_TEST

/* One score a face. */
static void assert_faces(const double *p, size_t n, double expected)
{
    ef_score s[8];
    const ef_rule rule = rule_of(EF_RULE_GROUP);
    for (size_t i = 0; i < n; i++)
        s[i] = (ef_score){log_odds(p[i]), 0, (uint32_t)i, 0};
    assert_fake(&rule, s, n, expected);
}

START_TEST(faces_that_agree)
{
    assert_faces((double[]){0.95, 0.05}, 2, 0.95);     /* one is sure                   */
    assert_faces((double[]){0.65, 0.7, 0.8}, 3, 0.8);  /* all lean to fake              */
    assert_faces((double[]){0.1, 0.3, 0.39}, 3, 0.1);  /* all lean to real              */
    assert_faces((double[]){0.65, 0.7, 0.3}, 3, 0.55); /* neither                       */
}
END_TEST

START_TEST(models_that_agree)
{
    static const double p[] = {0.9, 0.95, 0.85, 0.3};
    static const double weights[] = {10, 6, 4, 10};
    ef_score s[4];
    ef_rule rule = rule_of(EF_RULE_GROUP);
    rule.model_count = 4;
    rule.weights = weights;
    for (uint32_t i = 0; i < 4; i++)
        s[i] = (ef_score){log_odds(p[i]), i, 0, 0};
    /* 3 of 4 are above 0.8: the fourth is not asked. */
    assert_fake(&rule, s, 4, (9 + 6 * 0.95 + 4 * 0.85) / 20);
    s[2].logit = log_odds(0.8 - 1e-9);
    assert_fake(&rule, s, 4, (9 + 6 * 0.95 + 4 * (0.8 - 1e-9) + 3) / 30);
    for (uint32_t i = 0; i < 3; i++)
        s[i].logit = -s[i].logit - 1;
    ck_assert_double_lt(combined(&rule, s, 4).fake, 0.2);
    /* A model without scores takes its weight along. */
    const ef_combined out = combined(&rule, s + 3, 1);
    ck_assert_uint_eq(out.flags, EF_COMBINED_PARTIAL | EF_COMBINED_SHORT);
    ck_assert_double_eq_tol(out.fake, 0.3, 1e-14);
}
END_TEST

START_TEST(shrinking_draws_in_the_sure_ones)
{
    static const uint8_t shrinks[] = {1, 0};
    ef_rule rule = rule_of(EF_RULE_MEAN_PROB);
    rule.model_count = 2;
    rule.shrinks = shrinks;
    assert_fake(&rule, &(ef_score){log_odds(0.99), 0, 0, 0}, 1, 0.49 * 0.96 + 0.5);
    assert_fake(&rule, &(ef_score){log_odds(0.01), 0, 0, 0}, 1, 0.5 - 0.49 * 0.96);
    assert_fake(&rule, &(ef_score){log_odds(0.97), 0, 0, 0}, 1, 0.97);
    assert_fake(&rule, &(ef_score){log_odds(0.99), 1, 0, 0}, 1, 0.99);
}
END_TEST

START_TEST(greatest_face_then_mean_over_frames)
{
    const ef_score s[] = {{log_odds(0.9), 0, 0, 3},
                          {log_odds(0.2), 0, 0, 4},
                          {log_odds(0.1), 0, 1, 3},
                          {log_odds(0.5), 0, 1, 4},
                          {log_odds(0.4), 0, 2, 5}};
    const ef_rule rule = rule_of(EF_RULE_MAX_FACE);
    assert_fake(&rule, s, 5, 0.6);
    const ef_combined out = combined(&rule, s, 5);
    ck_assert_uint_eq(out.scores, 5);
    ck_assert_uint_eq(out.models, 1);
    ck_assert_uint_eq(out.faces, 3);
    ck_assert_uint_eq(out.frames, 3);
}
END_TEST

START_TEST(means_of_logits_and_their_clip)
{
    const ef_score s[] = {{9, 0, 0, 0}, {3, 0, 0, 1}, {1, 1, 0, 0}};
    ef_rule rule = rule_of(EF_RULE_MEAN_LOGIT);
    assert_fake(&rule, s, 2, 1 / (1 + exp(-6)));
    assert_fake(&rule, s, 3, 1 / (1 + exp(-3.5)));
    rule.clip = 0.01;
    ef_combined out = combined(&rule, s, 3);
    ck_assert_uint_eq(out.flags, 0);
    out = combined(&rule, s, 2);
    ck_assert_uint_eq(out.flags, EF_COMBINED_CLIPPED);
    ck_assert_double_eq_tol(out.fake, 0.99, 1e-15);
    /* What a wrong answer then costs at most, in nats. */
    ck_assert_double_eq_tol(-log(1 - out.fake), 4.605, 5e-4);
    rule.clip = 0;
    rule.temperature = 2;
    assert_fake(&rule, s, 3, 1 / (1 + exp(-1.75)));
    /* The sum of logits does not overflow, and the sigmoid saturates quietly. */
    const ef_score far[] = {{1e30, 0, 0, 0}, {1e30, 0, 0, 1}};
    out = combined(&rule, far, 2);
    ck_assert_double_eq(out.fake, 1);
    ck_assert_double_eq_tol(out.logit, 5e29, 1e15);
}
END_TEST

START_TEST(no_score_is_no_verdict)
{
    for (int kind = 0; kind < 6; kind++) {
        const ef_rule rule = rule_of((ef_rule_kind)kind);
        ef_combined out;
        ef_error err = {0};
        ef_combined_init(&out, sizeof out);
        ck_assert_int_eq(ef_combine(&rule, NULL, 0, NULL, &out, &err), EF_OK);
        ck_assert_int_eq(out.verdict, EF_VERDICT_NONE);
        ck_assert_uint_eq(out.flags, EF_COMBINED_EMPTY);
        ck_assert_double_eq(out.fake, 0.5);
        ck_assert_double_eq(out.logit, 0);
        /* The constant answer's log loss. */
        ck_assert_double_eq_tol(-log(out.fake), 0.6931, 5e-5);
    }
}
END_TEST

START_TEST(one_score_keeps_its_probability)
{
    for (int kind = 0; kind < 6; kind++)
        if (kind != EF_RULE_SHARPEN) {
            const ef_rule rule = rule_of((ef_rule_kind)kind);
            assert_fake(&rule, &(ef_score){log_odds(0.7), 0, 0, 0}, 1, 0.7);
        }
    assert_fake(NULL, &(ef_score){log_odds(0.7), 0, 0, 0}, 1, 0.7);
}
END_TEST

START_TEST(verdicts_by_the_thresholds)
{
    ef_rule rule = rule_of(EF_RULE_MEAN_PROB);
    rule.real_below = 0.25;
    rule.fake_from = 0.5;
    const ef_score s[] = {{-3, 0, 0, 0}, {-0.5, 0, 0, 0}, {0, 0, 0, 0}};
    ck_assert_int_eq(combined(&rule, s, 1).verdict, EF_VERDICT_REAL);
    ck_assert_int_eq(combined(&rule, s + 1, 1).verdict, EF_VERDICT_UNCERTAIN);
    ck_assert_int_eq(combined(&rule, s + 2, 1).verdict, EF_VERDICT_FAKE);
}
END_TEST

/* ---- refusals ------------------------------------------------------------------ */

static void refused(const ef_rule *rule, const ef_score *s, size_t n, ef_status expected,
                    const char *where)
{
    ef_score work[8];
    ef_combined out, before;
    ef_error err = {0};
    ef_combined_init(&out, sizeof out);
    out.fake = 0.125;
    before = out;
    assert_status(ef_combine(rule, s, n, work, &out, &err), expected, &err);
    ck_assert_msg(strstr(err.where, where) != NULL, "%s: %s", err.where, err.what);
    ck_assert_mem_eq(&out, &before, sizeof out);
}

START_TEST(scores_that_are_no_numbers)
{
    ef_score s[3] = {{0, 0, 0, 0}, {1, 0, 0, 1}, {2, 0, 0, 2}};
    const double bad[] = {NAN, INFINITY, -INFINITY, 1.1e30};
    for (int kind = 0; kind < 6; kind++) {
        ef_rule rule = rule_of((ef_rule_kind)kind);
        for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
            s[1].logit = bad[i];
            refused(&rule, s, 3, EF_E_NUMERIC, "scores");
        }
        s[1].logit = 1;
        s[2].model = 64;
        refused(&rule, s, 3, EF_E_ARG, "scores");
        s[2].model = 2;
        rule.model_count = 2;
        refused(&rule, s, 3, EF_E_ARG, "scores");
        s[2].model = 0;
    }
}
END_TEST

/* Where each double of ef_rule lies, and two values outside its range. */
static const struct {
    const char *name;
    size_t offset;
    double low, high;
} reals[] = {
#define REAL(member, low, high)                                                          \
    {                                                                                    \
#member, offsetof(ef_rule, member), low, high                                    \
    }
    REAL(high, -0.1, 1.1),           REAL(low, -0.1, 1.1),
    REAL(high_divisor, 0, HUGE_VAL), REAL(high_least, -1, HUGE_VAL),
    REAL(low_share, -0.1, 1.1),      REAL(gamma, 0, HUGE_VAL),
    REAL(margin, -0.1, 0.5),         REAL(weight_floor, 0, HUGE_VAL),
    REAL(share, -0.1, 1.1),          REAL(face_sure, -0.1, 1.1),
    REAL(face_high, -0.1, 1.1),      REAL(face_low, -0.1, 1.1),
    REAL(model_high, -0.1, 1.1),     REAL(model_low, -0.1, 1.1),
    REAL(model_share, -0.1, 1.1),    REAL(shrink_from, 0.4, 1.1),
    REAL(shrink_by, -0.1, 1.1),      REAL(temperature, 0, HUGE_VAL),
    REAL(clip, -0.1, 0.5),           REAL(real_below, -0.1, 0.6),
    REAL(fake_from, 0.4, 1.1),
#undef REAL
};
#define REALS (sizeof reals / sizeof reals[0])

START_TEST(numbers_out_of_range)
{
    const ef_score s = {0, 0, 0, 0};
    for (size_t i = 0; i < REALS; i++) {
        const double bad[] = {reals[i].low, reals[i].high, NAN};
        for (size_t k = 0; k < 3; k++) {
            ef_rule rule = rule_of(EF_RULE_MEAN_PROB);
            memcpy((char *)&rule + reals[i].offset, &bad[k], sizeof bad[k]);
            /* real_below above fake_from is reported at either. */
            refused(&rule, &s, 1, EF_E_ARG,
                    strstr(reals[i].name, "real_below") ? "rule." : reals[i].name);
        }
    }
    ef_rule rule = rule_of(EF_RULE_GROUP);
    rule.run = 0;
    refused(&rule, &s, 1, EF_E_ARG, "rule.run");
}
END_TEST

START_TEST(rules_that_are_none)
{
    static const double weights[] = {1, 0}, temperatures[] = {0, 1};
    static const uint8_t shrinks[] = {0, 2};
    const ef_score s = {0, 0, 0, 0};
    ef_rule rule = rule_of((ef_rule_kind)6);
    refused(&rule, &s, 1, EF_E_ARG, "rule.kind");
    rule = rule_of(EF_RULE_MEAN_PROB);
    rule.faces = (ef_face_rule)4;
    refused(&rule, &s, 1, EF_E_ARG, "rule.faces");
    rule = rule_of(EF_RULE_MEAN_PROB);
    rule.models = (ef_model_rule)-1;
    refused(&rule, &s, 1, EF_E_ARG, "rule.models");
    rule = rule_of(EF_RULE_GROUP);
    rule.faces = EF_FACES_POOL;
    refused(&rule, &s, 1, EF_E_ARG, "rule.faces");
    rule = rule_of(EF_RULE_GROUP);
    rule.models = EF_MODELS_POOL;
    refused(&rule, &s, 1, EF_E_ARG, "rule.models");
    rule = rule_of(EF_RULE_MAX_FACE);
    rule.faces = EF_FACES_MEAN;
    refused(&rule, &s, 1, EF_E_ARG, "rule.faces");
    rule = rule_of(EF_RULE_SHARPEN);
    rule.model_count = 2;
    rule.weights = weights;
    refused(&rule, &s, 1, EF_E_ARG, "rule.weights");
    rule = rule_of(EF_RULE_MEAN_PROB);
    rule.weights = weights;
    refused(&rule, &s, 1, EF_E_ARG, "rule.model_count");
    rule.model_count = 2;
    refused(&rule, &s, 1, EF_E_ARG, "model 1");
    rule.weights = NULL;
    rule.temperatures = temperatures;
    refused(&rule, &s, 1, EF_E_ARG, "model 0");
    rule.temperatures = NULL;
    rule.shrinks = shrinks;
    refused(&rule, &s, 1, EF_E_ARG, "model 1");
    rule.shrinks = NULL;
    rule.model_count = 65;
    refused(&rule, &s, 1, EF_E_ARG, "rule.model_count");
    rule = rule_of(EF_RULE_MEAN_PROB);
    rule.struct_size = sizeof rule - 1;
    refused(&rule, &s, 1, EF_E_ARG, "rule struct_size");
}
END_TEST

START_TEST(missing_arguments)
{
    ef_score s = {0, 0, 0, 0};
    ef_combined out;
    ef_error err = {0};
    ef_combined_init(&out, sizeof out);
    assert_status(ef_combine(NULL, &s, 1, NULL, &out, &err), EF_E_ARG, &err);
    ck_assert_str_eq(err.where, "work");
    assert_status(ef_combine(NULL, NULL, 1, &s, &out, &err), EF_E_ARG, &err);
    ck_assert_str_eq(err.where, "scores");
    assert_status(ef_combine(NULL, &s, 1, &s, NULL, &err), EF_E_ARG, &err);
    ck_assert_str_eq(err.where, "out");
    assert_status(ef_combine(NULL, &s, SIZE_MAX, &s, &out, &err), EF_E_ARG, &err);
    ck_assert_str_eq(err.where, "n");
    out.struct_size = 8;
    ck_assert_int_eq(ef_combine(NULL, &s, 1, &s, &out, NULL), EF_E_ARG);
    /* Too small to hold its own size: untouched. */
    memset(&out, 0x55, sizeof out);
    ef_combined_init(&out, 4);
    ck_assert_uint_eq(out.flags, 0x55555555);
    ef_combined_init(NULL, sizeof out);
    ef_rule_init(NULL, EF_RULE_MEAN_PROB, sizeof(ef_rule));
}
END_TEST

/* ---- the table ----------------------------------------------------------------- */

/* A line of rules.txt and what is drawn for it. */
struct drawn {
    unsigned long long seed;
    int n, models, faces, frames, kind, face_rule, model_rule, bits;
    double fake, logit;
    int verdict, flags, models_seen, faces_seen, frames_seen;
    ef_score scores[MOST_SCORES];
    ef_rule rule;
    double weights[MOST_MODELS], temperatures[MOST_MODELS];
    uint8_t shrinks[MOST_MODELS];
};

/* PARAMETERS of reference_rules.py: what a rule's numbers are drawn from, in thousandths.
 */
static const int ranges[REALS][2] = {
    {500, 950}, {50, 500},  {1500, 9000}, {0, 12000}, {300, 1000}, {100, 3000},
    {0, 200},   {1, 500},   {200, 1000},  {600, 990}, {500, 900},  {100, 500},
    {500, 950}, {50, 500},  {200, 1000},  {500, 999}, {300, 1000}, {300, 4000},
    {0, 200},   {100, 500}, {500, 900}};

static void draw_scores(struct drawn *d, uint64_t *state)
{
    const int centre = test_random_int(state, -4000, 4000);
    const int spread = test_random_int(state, 0, 5000);
    for (int i = 0; i < d->n; i++) {
        ef_score *s = &d->scores[i];
        s->logit = test_random_int(state, centre - spread, centre + spread) / 1000.0;
        s->model = (uint32_t)test_random_int(state, 0, d->models - 1);
        s->face = (uint32_t)test_random_int(state, 0, d->faces - 1);
        s->frame = 7 * (uint32_t)test_random_int(state, 0, d->frames - 1);
    }
}

static void draw_rule(struct drawn *d, uint64_t *state)
{
    const int count = d->models + (d->bits >> 4 & 1);
    ef_rule_init(&d->rule, (ef_rule_kind)d->kind, sizeof d->rule);
    d->rule.faces = (ef_face_rule)d->face_rule;
    d->rule.models = (ef_model_rule)d->model_rule;
    for (size_t i = 0; (d->bits & 1) && i < REALS; i++) {
        const double value = test_random_int(state, ranges[i][0], ranges[i][1]) / 1000.0;
        memcpy((char *)&d->rule + reals[i].offset, &value, sizeof value);
    }
    if (d->bits & 1)
        d->rule.run = (uint32_t)test_random_int(state, 1, 8);
    for (int i = 0; i < count; i++) {
        d->weights[i] = test_random_int(state, 1, 10000) / 1000.0;
        d->temperatures[i] = test_random_int(state, 300, 4000) / 1000.0;
        d->shrinks[i] = (uint8_t)test_random_int(state, 0, 1);
    }
    d->rule.model_count = d->bits & 30 ? (size_t)count : 0;
    d->rule.weights = d->bits & 2 ? d->weights : NULL;
    d->rule.temperatures = d->bits & 4 ? d->temperatures : NULL;
    d->rule.shrinks = d->bits & 8 ? d->shrinks : NULL;
}

static bool next_drawn(FILE *f, struct drawn *d)
{
    if (fscanf(f, "%llu %d %d %d %d %d %d %d %d %lf %lf %d %d %d %d %d", &d->seed, &d->n,
               &d->models, &d->faces, &d->frames, &d->kind, &d->face_rule, &d->model_rule,
               &d->bits, &d->fake, &d->logit, &d->verdict, &d->flags, &d->models_seen,
               &d->faces_seen, &d->frames_seen) != 16)
        return false;
    ck_assert_int_le(d->n, MOST_SCORES);
    ck_assert_int_lt(d->models, MOST_MODELS);
    uint64_t state = d->seed;
    draw_scores(d, &state);
    draw_rule(d, &state);
    return true;
}

static void shuffle(ef_score *s, int n, uint64_t *state)
{
    for (int i = n - 1; i > 0; i--) {
        const int k = test_random_int(state, 0, i);
        const ef_score moved = s[i];
        s[i] = s[k];
        s[k] = moved;
    }
}

START_TEST(as_the_reference_says)
{
    FILE *f = fopen(TEST_SOURCE_ROOT "/tests/combine/rules.txt", "r");
    static struct drawn d;
    int lines = 0;
    uint64_t state = 1;
    ck_assert_ptr_nonnull(f);
    for (; next_drawn(f, &d); lines++) {
        errno = 17;
        const ef_combined out = combined(&d.rule, d.scores, (size_t)d.n);
        ck_assert_int_eq(errno, 17);
        const double size = fmax(1, fabs(d.logit));
        if (!(fabs(out.fake - d.fake) <= 1e-14 &&
              fabs(out.logit - d.logit) <= 1e-12 * size))
            ck_abort_msg("line %d: %.17g, logit %.17g, expected %.17g, %.17g", lines + 1,
                         out.fake, out.logit, d.fake, d.logit);
        ck_assert_int_eq(out.verdict, d.verdict);
        ck_assert_uint_eq(out.flags, d.flags);
        ck_assert_uint_eq(out.scores, d.n);
        ck_assert_uint_eq(out.models, d.models_seen);
        ck_assert_uint_eq(out.faces, d.faces_seen);
        ck_assert_uint_eq(out.frames, d.frames_seen);
        /* In any order, and in place: the same bits. */
        shuffle(d.scores, d.n, &state);
        ef_combined again;
        ef_combined_init(&again, sizeof again);
        ck_assert_int_eq(
            ef_combine(&d.rule, d.scores, (size_t)d.n, d.scores, &again, NULL), EF_OK);
        ck_assert_mem_eq(&out, &again, sizeof out);
    }
    fclose(f);
    ck_assert_int_eq(lines, 1000);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("combine");
    TCase *c = tcase_create("rules");
    tcase_add_test(c, confident_as_worked_by_hand);
    tcase_add_test(c, sharpening_as_worked_by_hand);
    tcase_add_test(c, groups_as_worked_by_hand);
    tcase_add_test(c, faces_that_agree);
    tcase_add_test(c, models_that_agree);
    tcase_add_test(c, shrinking_draws_in_the_sure_ones);
    tcase_add_test(c, greatest_face_then_mean_over_frames);
    tcase_add_test(c, means_of_logits_and_their_clip);
    tcase_add_test(c, no_score_is_no_verdict);
    tcase_add_test(c, one_score_keeps_its_probability);
    tcase_add_test(c, verdicts_by_the_thresholds);
    tcase_add_test(c, scores_that_are_no_numbers);
    tcase_add_test(c, numbers_out_of_range);
    tcase_add_test(c, rules_that_are_none);
    tcase_add_test(c, missing_arguments);
    tcase_add_test(c, as_the_reference_says);
    suite_add_tcase(suite, c);
    return run_suite(suite);
}
