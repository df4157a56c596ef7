/* test_pixels.c - the rows of kernels.def that work on pixels, against their definitions
 * in kernels.h, written out here value by value. All of it is exact: no bit may differ.
 * Tensors lie between guard pages, in the middle of which a call is cut in two. */
#include "kernels/cpu.h"
#include "kernels/kernels.h"
#include "tests/kernel/kcheck.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Random shapes for each row; DFN_TEST_SHAPES=10000 takes so many. */
#define SHAPES_EACH 1000
#define HALF ((int64_t)1 << (DFN_FRACTION_BITS - 1))

/* A kernel and where its random numbers are. */
struct pcase {
    const struct dfn_kernel *kernel;
    uint64_t state;
};

static void random_bytes(struct pcase *c, struct guarded *g)
{
    /* Mostly any, often black and white, which find sums that overflow. */
    const bool extreme = test_random_int(&c->state, 0, 3) == 0;
    uint8_t *p = (uint8_t *)g->v;
    for (size_t i = 0; i < g->n; i++)
        p[i] = (uint8_t)(extreme ? 255 * test_random_int(&c->state, 0, 1)
                                 : test_random_int(&c->state, 0, 255));
}

/* The items of a call in two parts, the later first. */
static void run_split(struct pcase *c, const void *args, size_t items)
{
    const size_t cut = (size_t)test_random_int(&c->state, 0, (int)items);
    c->kernel->run(args, cut, items);
    c->kernel->run(args, 0, cut);
}

static uint8_t to_byte(int64_t v)
{
    return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

static void check_bytes(const struct pcase *c, const void *got, const void *want,
                        size_t n)
{
    ck_assert_msg(!memcmp(got, want, n), "%s", c->kernel->name);
}

static void check_rowsum(struct pcase *c)
{
    const int n = test_random_int(&c->state, 1, 200);
    /* Mostly few, as in the pyramid's large levels; its small ones add up dozens. */
    const int rows =
        test_random_int(&c->state, 1, test_random_int(&c->state, 0, 9) ? 6 : 80);
    const int stride = n + test_random_int(&c->state, 0, 9);
    const bool add = test_random_int(&c->state, 0, 1),
               up = test_random_int(&c->state, 0, 1);
    struct guarded in = guarded_bytes((size_t)((rows - 1) * stride + n), &c->state);
    struct guarded out = guarded_new((size_t)n, &c->state);
    uint32_t want[200], *sums = (uint32_t *)(void *)out.v;
    random_bytes(c, &in);
    const uint8_t *bytes = (const uint8_t *)in.v;
    for (int i = 0; i < n; i++) {
        sums[i] = (uint32_t)test_random_int(&c->state, 0, 1 << 30);
        want[i] = add ? sums[i] : 0;
        for (int r = 0; r < rows; r++)
            want[i] += bytes[r * stride + i];
    }
    const struct dfn_rowsum_args a = {.in = up ? bytes + (rows - 1) * stride : bytes,
                                      .stride = up ? -stride : stride,
                                      .out = sums,
                                      .rows = rows,
                                      .add = add};
    run_split(c, &a, (size_t)n);
    check_bytes(c, sums, want, (size_t)n * sizeof *want);
    guarded_check(&out, c->kernel->name);
    guarded_free(&in);
    guarded_free(&out);
}

static void check_area(struct pcase *c)
{
    /* Few and wide ones of many rows have sums of more than 31 bits. */
    const int w = test_random_int(&c->state, 1, 400);
    const int n =
        test_random_int(&c->state, 1, test_random_int(&c->state, 0, 1) ? 60 : 2);
    const int rows =
        test_random_int(&c->state, 0, 3) ? test_random_int(&c->state, 1, 30) : 65535;
    struct guarded sums = guarded_new((size_t)w * 3 + 1, &c->state);
    struct guarded out = guarded_new((size_t)n * 3, &c->state);
    uint32_t *s = (uint32_t *)(void *)sums.v;
    int columns[2 * 60];
    float want[60 * 3];
    for (int i = 0; i < w * 3; i++)
        s[i] = (uint32_t)(test_random_int(&c->state, 0, 255) * rows);
    for (int i = 0; i < n; i++) {
        const int from = columns[2 * i] = i * w / n;
        const int to = columns[2 * i + 1] = ((i + 1) * w + n - 1) / n;
        for (int ch = 0; ch < 3; ch++) {
            int64_t sum = 0;
            for (int x = from; x < to; x++)
                sum += s[3 * x + ch];
            const float of_rows = (float)sum / (float)rows;
            const float mean = of_rows / (float)(to - from);
            const float centred = mean - 127.5f;
            want[3 * i + ch] = centred * 0.0078125f;
        }
    }
    const struct dfn_area_args a = {s, columns, out.v, rows};
    run_split(c, &a, (size_t)n);
    check_bytes(c, out.v, want, (size_t)n * 3 * sizeof *want);
    guarded_check(&out, c->kernel->name);
    guarded_free(&sums);
    guarded_free(&out);
}

/* Weights that add up to about one, some of them negative. */
static float random_weight(struct pcase *c)
{
    return test_random_float(&c->state) * 0.9f;
}

static int32_t random_fixed(struct pcase *c)
{
    return test_random_int(&c->state, -(1 << 19), 1 << 20); /* 5 fit 32 bits */
}

#define MOST_TAPS 5
#define MOST_OUT 70

static void check_taps(struct pcase *c)
{
    const bool fixed = c->kernel->op == DFN_OP_TAPS_FIXED;
    const int taps = test_random_int(&c->state, 1, MOST_TAPS);
    const int pixels = test_random_int(&c->state, taps, 80);
    const int n = test_random_int(&c->state, 1, MOST_OUT);
    const size_t size = fixed ? 1 : sizeof(float);
    const bool counted = test_random_int(&c->state, 0, 1);
    struct guarded in = guarded_bytes((size_t)pixels * 3, &c->state);
    struct guarded out = guarded_bytes((size_t)n * 3 * size, &c->state);
    int32_t first[MOST_OUT], count[MOST_OUT], whole[MOST_OUT * MOST_TAPS];
    float real[MOST_OUT * MOST_TAPS], want[MOST_OUT * 3];
    uint8_t bytes[MOST_OUT * 3];
    random_bytes(c, &in);
    const uint8_t *p = (const uint8_t *)in.v;
    for (int i = 0; i < n; i++) {
        count[i] = counted ? test_random_int(&c->state, 1, taps) : taps;
        first[i] = test_random_int(&c->state, 0, pixels - count[i]);
        for (int k = 0; k < taps; k++) {
            whole[i * taps + k] = random_fixed(c);
            real[i * taps + k] = random_weight(c);
        }
        for (int ch = 0; ch < 3; ch++) {
            int64_t sum = HALF;
            float in_order = 0;
            for (int k = 0; k < count[i]; k++) {
                const uint8_t v = p[3 * (first[i] + k) + ch];
                sum += (int64_t)whole[i * taps + k] * v;
                const float term = real[i * taps + k] * (float)v;
                in_order += term;
            }
            bytes[3 * i + ch] = to_byte((int64_t)floor((double)sum / (double)(2 * HALF)));
            want[3 * i + ch] = in_order;
        }
    }
    const struct dfn_taps_args a = {.in = p,
                                    .pixels = pixels,
                                    .first = first,
                                    .count = counted ? count : NULL,
                                    .weight =
                                        fixed ? (const void *)whole : (const void *)real,
                                    .taps = taps,
                                    .out = out.v};
    run_split(c, &a, (size_t)n);
    check_bytes(c, out.v, fixed ? (const void *)bytes : (const void *)want,
                (size_t)n * 3 * size);
    guarded_free(&in);
    guarded_free(&out);
}

#define MOST_VALUES 300

/* What rows_* make of value i; sums is its sum before and afterwards. */
static uint8_t one_value(enum dfn_op op, const struct guarded *rows, int n, int i,
                         const int32_t *whole, const float *real, bool add, void *sums)
{
    if (op == DFN_OP_ROWS_LINEAR) {
        int64_t v = 2;
        for (int k = 0; k < 2; k++)
            v += ((int64_t)real[k] * ((int64_t)rows[k].v[i] / 16)) / 65536;
        return to_byte(v / 4);
    }
    if (op == DFN_OP_ROWS_FIXED) {
        int32_t *s = sums;
        int64_t sum = add ? *s : HALF;
        for (int k = 0; k < n; k++)
            sum += (int64_t)whole[k] * ((const uint8_t *)rows[k].v)[i];
        *s = (int32_t)sum;
        return to_byte((int64_t)floor((double)sum / (double)(2 * HALF)));
    }
    float *s = sums, sum = add ? *s : 0;
    for (int k = 0; k < n; k++) {
        const float term = real[k] * rows[k].v[i];
        sum += term;
    }
    *s = sum;
    return to_byte(lrintf(sum));
}

static void check_rows(struct pcase *c)
{
    const enum dfn_op op = c->kernel->op;
    const bool fixed = op == DFN_OP_ROWS_FIXED, linear = op == DFN_OP_ROWS_LINEAR;
    const int values = test_random_int(&c->state, 1, MOST_VALUES);
    const int n = linear ? 2 : test_random_int(&c->state, 1, 5);
    const bool add = !linear && test_random_int(&c->state, 0, 1);
    const bool to_out = linear || test_random_int(&c->state, 0, 1);
    struct guarded rows[5], sums = guarded_new((size_t)values, &c->state);
    struct guarded out = guarded_bytes((size_t)values, &c->state);
    int32_t whole[5], want_sums[MOST_VALUES];
    float real[5];
    uint8_t want[MOST_VALUES];
    const void *at[5];
    for (int k = 0; k < n; k++) {
        whole[k] = random_fixed(c);
        real[k] = linear ? (float)test_random_int(&c->state, 0, 2048) : random_weight(c);
        rows[k] = fixed ? guarded_bytes((size_t)values, &c->state)
                        : guarded_new((size_t)values, &c->state);
        at[k] = rows[k].v;
        if (fixed)
            random_bytes(c, &rows[k]);
        for (int i = 0; !fixed && i < values; i++)
            rows[k].v[i] = linear ? (float)test_random_int(&c->state, 0, 255 * 2048)
                                  : test_random_float(&c->state) * 300;
    }
    if (linear)
        real[1] = 2048 - real[0];
    for (int i = 0; i < values; i++) {
        const int32_t before = test_random_int(&c->state, -(1 << 28), 1 << 28);
        const float half = (float)test_random_int(&c->state, -600, 600) / 2; /* ties */
        memcpy(sums.v + i, fixed ? (const void *)&before : &half, sizeof half);
        memcpy(want_sums + i, sums.v + i, sizeof half);
        want[i] = one_value(op, rows, n, i, whole, real, add, want_sums + i);
    }
    const struct dfn_rows_args a = {.rows = at,
                                    .weight =
                                        fixed ? (const void *)whole : (const void *)real,
                                    .sums = sums.v,
                                    .out = to_out ? (uint8_t *)out.v : NULL,
                                    .n = n,
                                    .add = add};
    run_split(c, &a, (size_t)values);
    if (to_out)
        check_bytes(c, out.v, want, (size_t)values);
    else
        check_bytes(c, sums.v, want_sums, (size_t)values * sizeof *want_sums);
    guarded_check(&sums, c->kernel->name);
    for (int k = 0; k < n; k++)
        guarded_free(&rows[k]);
    guarded_free(&sums);
    guarded_free(&out);
}

static void one_shape(struct pcase *c)
{
    switch ((int)c->kernel->op) {
    case DFN_OP_ROWSUM:
        check_rowsum(c);
        break;
    case DFN_OP_AREA:
        check_area(c);
        break;
    case DFN_OP_TAPS_FIXED:
    case DFN_OP_TAPS_FLOAT:
        check_taps(c);
        break;
    default:
        check_rows(c);
    }
}

START_TEST(random_shapes)
{
    size_t count;
    struct pcase c = {.kernel = &dfn_kernel_rows(&count)[_i]};
    if ((dfn_cpu_detect() & c.kernel->needs) != c.kernel->needs ||
        c.kernel->op < DFN_OP_ROWSUM)
        return;
    const char *more = getenv("DFN_TEST_SHAPES");
    const uint64_t shapes = more ? strtoull(more, NULL, 10) : SHAPES_EACH;
    for (uint64_t seed = 0; seed < shapes; seed++) {
        c.state = seed * 1000003 + (uint64_t)_i;
        one_shape(&c);
    }
}
END_TEST

int main(void)
{
    size_t count;
    dfn_kernel_rows(&count);
    Suite *s = suite_create("pixels");
    TCase *t = tcase_create("pixels");
    tcase_set_timeout(t, 600);
    tcase_add_loop_test(t, random_shapes, 0, (int)count);
    suite_add_tcase(s, t);
    return run_suite(s);
}
