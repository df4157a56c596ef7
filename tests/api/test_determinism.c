/* test_determinism.c - the same input gives the same bits, whatever the number of
 * threads, the place in a batch or the run, at each CPU level with the native matrix
 * product; other matrix products and levels are within a tolerance.
 *
 * To add a network, add its file to `networks`. */
#include "tests/api/api.h"
#include "tests/support/stride.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define BATCH 8
/* Of float32 in another order, relative to the largest logit; ecosystem-wide figures are
 * of this size, and weights_tools' own tolerance (FORMAT.md, section 6) is the same. */
#define TOLERANCE 1e-4

static const char *const networks[] = {"golden/all_kinds", "golden/odd_channels",
                                       "golden/relu6_squeeze_excite",
                                       "golden/padding_fixed", "softmax3_longer_pad"};
static const int sizes[][2] = {{57, 91}, {64, 33}};
/* With 0 only the portable kernels, then what AVX2 allows, then all. */
static const uint32_t masks[] = {0, EF_CPU_AVX2 | EF_CPU_NEON, EF_CPU_ALL};

struct task {
    ef_model *model;
    ef_options opt;
    int outputs;
    size_t floats; /* of one input */
    float *input;  /* [BATCH][3][h][w] */
    float *logits; /* [BATCH][outputs], one by one in one thread */
    float *got;    /* [BATCH][outputs] */
};

static ef_session *session_of(const struct task *t)
{
    ef_session *s = NULL;
    ef_error err;
    assert_status(ef_session_create(t->model, &t->opt, &s, &err), EF_OK, &err);
    return s;
}

static void open_task(struct task *t, int which)
{
    ef_model_info info;
    ef_error err;
    t->model = api_model(networks[which / 2], NULL);
    ef_model_info_init(&info, sizeof info);
    assert_status(ef_model_get_info(t->model, &info, &err), EF_OK, &err);
    t->outputs = info.outputs;
    t->opt = api_native();
    t->opt.height = sizes[which % 2][0];
    t->opt.width = sizes[which % 2][1];
    t->floats = 3 * (size_t)t->opt.height * (size_t)t->opt.width;
    t->input = malloc(BATCH * t->floats * sizeof *t->input);
    t->logits = calloc((size_t)(BATCH * t->outputs), sizeof *t->logits);
    t->got = calloc((size_t)(BATCH * t->outputs), sizeof *t->got);
    api_fill(9, t->input, BATCH * t->floats);
}

static void close_task(struct task *t)
{
    ef_model_free(t->model);
    free(t->input);
    free(t->logits);
    free(t->got);
}

static void one_by_one(struct task *t, float *out)
{
    ef_error err;
    t->opt.threads = t->opt.batch = 1;
    ef_session *s = session_of(t);
    for (int i = 0; i < BATCH; i++)
        assert_status(ef_session_run(s, t->input + (size_t)i * t->floats, 1,
                                     out + i * t->outputs, &err),
                      EF_OK, &err);
    ef_session_free(s);
}

/* All inputs in runs of `batch`, the last one shorter, three times; once if the
 * environment asks for strides. */
static void compare_bits(struct task *t, int threads, int batch)
{
    ef_error err;
    t->opt.threads = threads;
    t->opt.batch = batch;
    ef_session *s = session_of(t);
    for (int run = 0; run < (test_stride_asked() == 1 ? 3 : 1); run++) {
        memset(t->got, 0x7f, (size_t)(BATCH * t->outputs) * sizeof *t->got);
        for (int at = 0; at < BATCH; at += batch) {
            const int n = BATCH - at < batch ? BATCH - at : batch;
            assert_status(ef_session_run(s, t->input + (size_t)at * t->floats, n,
                                         t->got + at * t->outputs, &err),
                          EF_OK, &err);
        }
        ck_assert_msg(
            !memcmp(t->got, t->logits, (size_t)(BATCH * t->outputs) * sizeof *t->got),
            "%d threads, batch %d, run %d, mask %x: other bits", threads, batch, run,
            t->opt.cpu_mask);
    }
    ef_session_free(s);
}

START_TEST(bits_do_not_depend_on_threads_batch_or_run)
{
    static const int threads[] = {1, 2, 3, 4, 8, 16}, batches[] = {1, 3, 8};
    struct task t;
    open_task(&t, _i);
    for (size_t m = 0; m < COUNT(masks); m++) {
        t.opt.cpu_mask = masks[m];
        one_by_one(&t, t.logits);
        for (int i = 0; i < BATCH * t.outputs; i++)
            ck_assert(isfinite(t.logits[i]));
        ck_assert_msg(memcmp(t.logits, t.logits + t.outputs, sizeof(float)),
                      "two inputs, one answer");
        for (size_t i = 0; i < COUNT(threads) * COUNT(batches); i += test_stride_asked())
            compare_bits(&t, threads[i / COUNT(batches)], batches[i % COUNT(batches)]);
    }
    close_task(&t);
}
END_TEST

static void compare_values(const struct task *t, const char *what)
{
    double largest = 1;
    for (int i = 0; i < BATCH * t->outputs; i++) {
        /* Not fmax(): gcc 12 for AArch64 has an internal error over it. */
        const double size = fabs((double)t->logits[i]);
        if (size > largest)
            largest = size;
    }
    for (int i = 0; i < BATCH * t->outputs; i++)
        ck_assert_msg(fabs((double)t->logits[i] - (double)t->got[i]) <=
                          TOLERANCE * largest,
                      "%s: logit %d is %.9g, native %.9g", what, i, (double)t->got[i],
                      (double)t->logits[i]);
}

START_TEST(other_products_and_levels_are_close)
{
    struct task t;
    ef_error err;
    open_task(&t, _i);
    t.opt.cpu_mask = 0;
    one_by_one(&t, t.logits);
    for (size_t m = 1; m < COUNT(masks); m++) {
        t.opt.cpu_mask = masks[m];
        one_by_one(&t, t.got);
        compare_values(&t, "native, another level");
    }
    t.opt.gemm = EF_GEMM_AUTO;
    one_by_one(&t, t.got);
    compare_values(&t, "auto");
    t.opt.gemm = EF_GEMM_OPENBLAS;
    ef_session *s = NULL;
    const ef_status st = ef_session_create(t.model, &t.opt, &s, &err);
    ef_session_free(s);
    if (st) { /* built without it */
        assert_status(st, EF_E_UNSUPPORTED, &err);
    } else {
        one_by_one(&t, t.got);
        compare_values(&t, "OpenBLAS");
    }
    close_task(&t);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("determinism");
    TCase *t = tcase_create("determinism");
    tcase_set_timeout(t, 500);
    tcase_add_loop_test(t, bits_do_not_depend_on_threads_batch_or_run, 0,
                        2 * (int)COUNT(networks));
    tcase_add_loop_test(t, other_products_and_levels_are_close, 0,
                        2 * (int)COUNT(networks));
    suite_add_tcase(s, t);
    return run_suite(s);
}
