/* test_cut.c - how steps are shared between threads (lib/plan/cut.c): every item and
 * channel belongs to one part, a cut that is chosen costs no more than equal ranges, and
 * parts give the bits of the whole: kernel by kernel, and a network with maps of 14 x 14
 * and 7 x 7 at 1 to 16 threads. */
#include "kernels/cpu.h"
#include "lib/base/pool.h"
#include "lib/plan/plan.h"
#include "tests/kernel/kcheck.h"
#include "tests/plan/zero_model.h"
#include "tests/support/stride.h"
#include "tests/support/support.h"

#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))
/* Random weights, as many as the largest tensor has and more. */
#define RANDOMS ((size_t)1 << 19)

static const uint32_t levels[] = {0, DFN_CPU_AVX2, ~0u};

/* Those of a case's CPU level; false if it is not its turn. */
static bool kernels_for(int i, struct dfn_kernels *k)
{
    if ((size_t)i % test_stride_asked())
        return false;
    dfn_kernels_init(k, dfn_cpu_detect() & levels[i % 3]);
    return true;
}

static float *fresh(size_t n, uint64_t *s)
{
    float *v = malloc(n * sizeof *v);
    ck_assert_ptr_nonnull(v);
    for (size_t i = 0; i < n; i++)
        v[i] = s ? test_random_float(s) : -77;
    return v;
}

static struct guarded guarded_fresh(size_t n, uint64_t *s)
{
    struct guarded g = guarded_new(n, s);
    guarded_random(&g, s);
    return g;
}

static struct guarded packed(enum dfn_layout layout, int cout, int cin, int k,
                             uint64_t *s)
{
    float *plain = fresh((size_t)(cout * cin * k * k), s);
    struct guarded out = guarded_new(dfn_pack_count(layout, cout, cin, k), s);
    dfn_pack(layout, cout, cin, k, plain, out.v);
    free(plain);
    return out;
}

/* Nothing beside them was written; the tensors are given back. */
static void check_and_free(struct guarded *tensors, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        guarded_check(&tensors[i], "a part");
        guarded_free(&tensors[i]);
    }
}

static struct dfn_cut random_cut(int channels, uint64_t *s)
{
    const int most = channels < DFN_SLICE ? 1 : channels / DFN_SLICE;
    return (struct dfn_cut){test_random_int(s, 1, 5),
                            test_random_int(s, 1, most < 4 ? most : 4),
                            test_random_int(s, 1, 8)};
}

/* All parts of a call, the later ones first: any thread may be late. */
static void run_parts(const struct dfn_call *c, uint64_t *s)
{
    const int parts = c->cut.ranges * c->cut.slices;
    const size_t cut = (size_t)test_random_int(s, 0, parts);
    dfn_call_run(c, cut, (size_t)parts);
    dfn_call_run(c, 0, cut);
}

START_TEST(ranges_and_slices_cover_everything_once)
{
    uint64_t s = (uint64_t)_i + 1;
    const int channels = test_random_int(&s, 1, 400);
    const size_t n = (size_t)test_random_int(&s, 1, 300);
    const struct dfn_cut cut = random_cut(channels, &s);
    size_t at = 0;
    for (int i = 0; i < cut.ranges; i++) {
        const struct dfn_span r = dfn_cut_range(&cut, n, (size_t)i);
        ck_assert_uint_eq(r.at, at);
        ck_assert(r.at == n || r.at % (size_t)cut.step == 0);
        ck_assert_uint_ge(r.end, r.at);
        at = r.end;
    }
    ck_assert_uint_eq(at, n);
    at = 0;
    for (int i = 0; i < cut.slices; i++) {
        const struct dfn_span c = dfn_cut_slice(&cut, channels, (size_t)i);
        ck_assert_uint_eq(c.at, at);
        ck_assert_uint_eq(c.at % DFN_SLICE, 0);
        ck_assert(cut.slices == 1 || c.end >= c.at + DFN_SLICE);
        at = c.end;
    }
    ck_assert_uint_eq(at, (size_t)channels);
}
END_TEST

START_TEST(depthwise_parts_give_the_same_bits)
{
    uint64_t s = (uint64_t)_i + 1;
    struct dfn_kernels k;
    if (!kernels_for(_i, &k))
        return;
    const int n = test_random_int(&s, 1, 3), h = test_random_int(&s, 1, 15);
    const int w = test_random_int(&s, 1, 15), c = test_random_int(&s, 1, 90);
    const int kernel = test_random_int(&s, 1, 3) * 2 + 1;
    const int stride = test_random_int(&s, 1, 2);
    const int oh = (h - 1) / stride + 1, ow = (w - 1) / stride + 1;
    const size_t nout = (size_t)(n * oh * ow * c), nsums = (size_t)(n * oh * c);
    const bool summed = test_random_int(&s, 0, 1);
    const struct dfn_kernel *row = &k.op[DFN_OP_DWCONV];
    enum { IN, BIAS, WEIGHT, OUT, WANT, SUMS, WANT_SUMS, TENSORS };
    struct guarded t[TENSORS] = {[IN] = guarded_fresh((size_t)(n * h * w * c), &s),
                                 [BIAS] = guarded_fresh((size_t)c, &s),
                                 [WEIGHT] = packed(row->layout, c, 1, kernel, &s),
                                 [OUT] = guarded_new(nout, &s),
                                 [WANT] = guarded_new(nout, &s),
                                 [SUMS] = guarded_new(nsums, &s),
                                 [WANT_SUMS] = guarded_new(nsums, &s)};
    struct dfn_dwconv_args a = {.in = t[IN].v,
                                .weight = t[WEIGHT].v,
                                .bias = t[BIAS].v,
                                .out = t[WANT].v,
                                .sums = summed ? t[WANT_SUMS].v : NULL,
                                .h = h,
                                .w = w,
                                .c = c,
                                .oh = oh,
                                .ow = ow,
                                .kernel = kernel,
                                .stride = stride,
                                .top = kernel / 2,
                                .left = kernel / 2,
                                .act = DFN_ACT_SWISH};
    row->run(&a, 0, (size_t)(n * oh));
    a.out = t[OUT].v;
    a.sums = summed ? t[SUMS].v : NULL;
    const struct dfn_call call = {row, &a, 1, random_cut(c, &s), 0, (size_t)(n * oh)};
    run_parts(&call, &s);
    ck_assert_msg(!memcmp(t[OUT].v, t[WANT].v, nout * sizeof(float)),
                  "%s: %d of %dx%dx%d, %dx%d", row->name, n, h, w, c, call.cut.ranges,
                  call.cut.slices);
    ck_assert(!memcmp(t[SUMS].v, t[WANT_SUMS].v, nsums * sizeof(float)));
    check_and_free(t, TENSORS);
}
END_TEST

/* The gate of a sliced step is multiplied by a call of no columns. */
START_TEST(pointwise_parts_give_the_same_bits)
{
    static const enum dfn_act acts[] = {DFN_ACT_NONE, DFN_ACT_SWISH, DFN_ACT_SIGMOID};
    uint64_t s = (uint64_t)_i + 1;
    struct dfn_kernels k;
    if (!kernels_for(_i, &k))
        return;
    const int n = test_random_int(&s, 1, 3), pixels = test_random_int(&s, 1, 260);
    const int cin = test_random_int(&s, 1, 40), cout = test_random_int(&s, 1, 130);
    const size_t items = (size_t)(n * pixels), nin = items * (size_t)cin;
    const size_t nout = items * (size_t)cout;
    const bool added = test_random_int(&s, 0, 1), gated = test_random_int(&s, 0, 1);
    const struct dfn_kernel *row = &k.op[DFN_OP_POINTWISE];
    enum { IN, BIAS, WEIGHT, GATE, RESIDUAL, OUT, WANT, TENSORS };
    struct guarded t[TENSORS] = {[IN] = guarded_fresh(nin, &s),
                                 [BIAS] = guarded_fresh((size_t)cout, &s),
                                 [WEIGHT] = packed(row->layout, cout, cin, 1, &s),
                                 [GATE] = guarded_fresh((size_t)(n * cin), &s),
                                 [RESIDUAL] = guarded_fresh(nout, &s),
                                 [OUT] = guarded_new(nout, &s),
                                 [WANT] = guarded_new(nout, &s)};
    float *copy = fresh(nin, NULL);
    memcpy(copy, t[IN].v, nin * sizeof *copy);
    struct dfn_pointwise_args a = {.in = t[IN].v,
                                   .weight = t[WEIGHT].v,
                                   .bias = t[BIAS].v,
                                   .residual = added ? t[RESIDUAL].v : NULL,
                                   .out = t[WANT].v,
                                   .cin = cin,
                                   .cout = cout,
                                   .act = acts[test_random_int(&s, 0, 2)],
                                   .gated = gated ? t[IN].v : NULL,
                                   .gate = gated ? t[GATE].v : NULL,
                                   .pixels = pixels};
    row->run(&a, 0, items);
    memcpy(t[IN].v, copy, nin * sizeof *copy);
    a.out = t[OUT].v;
    const struct dfn_call call = {row, &a, 1, random_cut(cout, &s), 0, items};
    if (call.cut.slices > 1 && gated) {
        struct dfn_pointwise_args none = a;
        none.all = cout;
        none.cout = 0;
        row->run(&none, 0, items);
    }
    run_parts(&call, &s);
    ck_assert_msg(!memcmp(t[OUT].v, t[WANT].v, nout * sizeof(float)),
                  "%s: %d of %d, %d to %d, %dx%d", row->name, n, pixels, cin, cout,
                  call.cut.ranges, call.cut.slices);
    check_and_free(t, TENSORS);
    free(copy);
}
END_TEST

/* ---- what is chosen ---- */

/* 14 x 14 and 7 x 7 maps of an input of 56 x 56, also with channels that do not fill
 * slices, and an expand that depthwise does inside at larger inputs. */
static const char stages[] = "mb,3,1,1,16,1,4;mb,3,2,6,44,2,4;mb,5,2,6,64,2,4";

/* A model whose weights are random; block: where they all begin. */
static ef_model *random_model(float *block)
{
    ef_model *m = zero_model(stages, 32, 256, NULL);
    ef_options_init(&m->opt, sizeof m->opt);
    for (size_t i = 0; i < ((size_t)m->nblocks + 1) * DFN_ROLES; i++)
        m->weights[i] = block + i * 16;
    return m;
}

static ef_options options(int threads, int size, uint32_t mask)
{
    ef_options opt;
    ef_options_init(&opt, sizeof opt);
    opt.gemm = EF_GEMM_NATIVE;
    opt.height = opt.width = size;
    opt.batch = 3;
    opt.threads = threads;
    opt.cpu_mask = mask;
    return opt;
}

START_TEST(a_chosen_cut_costs_no_more_than_equal_ranges)
{
    struct dfn_plan p;
    ef_error err;
    const ef_options opt = options(_i, 56 + _i % 3 * 100, ~0u);
    ck_assert(zero_model_open());
    ef_model *m = zero_model(stages, 32, 256, NULL);
    assert_status(dfn_plan_build(m, &opt, &p, &err), EF_OK, &err);
    for (int i = 0; i < p.nsteps; i++) {
        const struct dfn_step *s = &p.steps[i];
        const struct dfn_cut ranges = {_i, 1, 1};
        struct dfn_call call;
        const struct dfn_work work = dfn_step_work(&p, i, &call);
        ck_assert_int_ge(s->cut.ranges, 1);
        ck_assert_int_ge(s->cut.slices, 1);
        ck_assert_int_ge(s->cut.step, 1);
        ck_assert_int_le(s->cut.ranges * s->cut.slices, _i);
        ck_assert_int_eq(s->fused.parts,
                         s->fused.parts ? s->cut.ranges * s->cut.slices : 0);
        if (s->inner || (!s->split && !s->fused.parts))
            ck_assert_int_eq(s->cut.ranges * s->cut.slices, 1);
        else
            ck_assert(dfn_cut_most(&work, &s->cut) <= dfn_cut_most(&work, &ranges));
    }
    dfn_plan_free(&p, &opt.allocator);
    zero_model_free(m);
    zero_model_close();
}
END_TEST

/* ---- a network ---- */

static int seen_nothing(void *user, const char *name, const float *values, int n, int h,
                        int w, int c)
{
    (void)user, (void)name, (void)values, (void)n, (void)h, (void)w, (void)c;
    return 0;
}

/* Cuts that nobody would choose, but every step with two slices at least. */
static void cut_at_random(struct dfn_plan *p, int threads, uint64_t *s)
{
    for (int i = 0; i < p->nsteps; i++) {
        struct dfn_step *step = &p->steps[i];
        struct dfn_call call;
        const int channels = dfn_step_work(p, i, &call).channels;
        if (step->inner || channels < 2 * DFN_SLICE)
            continue;
        const int most = channels / DFN_SLICE < threads ? channels / DFN_SLICE : threads;
        const int slices = test_random_int(s, 2, most);
        step->cut = (struct dfn_cut){test_random_int(s, 1, threads / slices), slices,
                                     test_random_int(s, 1, 8)};
        step->split = true;
        if (step->fused.parts) {
            step->fused.cut = step->cut;
            step->fused.parts = step->cut.ranges * step->cut.slices;
        }
    }
}

/* As it is chosen, image by image; step by step; or at random. */
enum how { CHOSEN, WHOLE, RANDOM };

/* The logits of three inputs. */
static void run_network(ef_model *m, const ef_options *opt, const float *in, enum how how,
                        float logits[9], uint64_t *s)
{
    struct dfn_plan p;
    struct dfn_pool *pool;
    ef_error err;
    const size_t floats = 3 * 3 * (size_t)opt->height * (size_t)opt->width;
    assert_status(dfn_pool_create(opt, &pool, &err), EF_OK, &err);
    assert_status(dfn_plan_build(m, opt, &p, &err), EF_OK, &err);
    if (how == WHOLE)
        assert_status(dfn_plan_rebuild(&p, opt, true, &err), EF_OK, &err);
    if (how == RANDOM)
        cut_at_random(&p, opt->threads, s);
    memcpy(dfn_plan_input(&p), in, floats * sizeof *in);
    const struct dfn_run run = {3, false, how == WHOLE ? seen_nothing : NULL, NULL, opt};
    assert_status(dfn_plan_run(&p, pool, &run, &err), EF_OK, &err);
    memcpy(logits, dfn_plan_logits(&p), 9 * sizeof *logits);
    dfn_plan_free(&p, &opt->allocator);
    dfn_pool_free(pool);
}

START_TEST(any_number_of_threads_gives_the_same_bits)
{
    static const int threads[] = {2, 3, 4, 5, 7, 8, 16}, sizes[] = {56, 200};
    const int size = sizes[_i / 3];
    uint64_t s = (uint64_t)_i + 1;
    float want[9], got[9];
    float *block = fresh(RANDOMS, &s);
    for (size_t i = 0; i < RANDOMS; i++)
        block[i] *= 0.25f;
    float *in = fresh(9 * (size_t)size * (size_t)size, &s);
    ck_assert(zero_model_open());
    ef_model *m = random_model(block);
    ef_options opt = options(1, size, levels[_i % 3]);
    run_network(m, &opt, in, CHOSEN, want, &s);
    ck_assert_float_ne(want[0], want[3]);
    for (size_t i = 0; i < 3 * COUNT(threads); i += test_stride_asked()) {
        opt.threads = threads[i / 3];
        run_network(m, &opt, in, i % 3, got, &s);
        ck_assert_msg(!memcmp(got, want, sizeof want),
                      "%d threads, level %d, way %d: other bits", opt.threads, _i % 3,
                      (int)i % 3);
    }
    zero_model_free(m);
    zero_model_close();
    free(block);
    free(in);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("cut");
    TCase *t = tcase_create("cut");
    tcase_set_timeout(t, 300);
    tcase_add_loop_test(t, ranges_and_slices_cover_everything_once, 0, 300);
    tcase_add_loop_test(t, depthwise_parts_give_the_same_bits, 0, 300);
    tcase_add_loop_test(t, pointwise_parts_give_the_same_bits, 0, 300);
    tcase_add_loop_test(t, a_chosen_cut_costs_no_more_than_equal_ranges, 1, 33);
    tcase_add_loop_test(t, any_number_of_threads_gives_the_same_bits, 0, 6);
    suite_add_tcase(s, t);
    return run_suite(s);
}
