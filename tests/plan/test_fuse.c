/* test_fuse.c - expand and depthwise convolution as one step (lib/plan/fuse.c) give the
 * bits that the two give one after the other: any geometry, number of parts, CPU level
 * and image of a batch. */
#include "kernels/cpu.h"
#include "lib/plan/fuse.h"
#include "lib/plan/plan.h"
#include "tests/plan/zero_model.h"
#include "tests/support/stride.h"
#include "tests/support/support.h"

#include <stdlib.h>
#include <string.h>

struct shape {
    int n, h, w, cin, mid, kernel, stride, top, left;
};

/* Wide enough for several bands of rows and groups of channels. */
static struct shape random_shape(uint64_t *s)
{
    struct shape p = {.n = test_random_int(s, 1, 2),
                      .h = test_random_int(s, 3, 60),
                      .w = test_random_int(s, 5, 160),
                      .cin = test_random_int(s, 1, 20),
                      .mid = test_random_int(s, 1, 8) * 16,
                      .kernel = test_random_int(s, 1, 2) * 2 + 1,
                      .stride = test_random_int(s, 1, 2)};
    p.top = test_random_int(s, 0, p.kernel - 1);
    p.left = test_random_int(s, 0, p.kernel - 1);
    return p;
}

static int least(int a, int b)
{
    return a < b ? a : b;
}

static float *fresh(size_t n, uint64_t *s)
{
    float *v = malloc(n * sizeof *v);
    ck_assert_ptr_nonnull(v);
    for (size_t i = 0; i < n; i++)
        v[i] = s ? test_random_float(s) : -77;
    return v;
}

static float *packed(enum dfn_layout layout, int cout, int cin, int k, uint64_t *s)
{
    float *plain = fresh((size_t)(cout * cin * k * k), s);
    float *out = fresh(dfn_pack_count(layout, cout, cin, k), NULL);
    dfn_pack(layout, cout, cin, k, plain, out);
    free(plain);
    return out;
}

static void same_bits(const struct shape *p, const struct dfn_kernels *k, uint64_t *s)
{
    const struct dfn_kernel *ek = &k->op[DFN_OP_POINTWISE], *dk = &k->op[DFN_OP_DWCONV];
    const int oh = (p->h + p->kernel - 1 - p->kernel) / p->stride + 1;
    const int ow = (p->w + p->kernel - 1 - p->kernel) / p->stride + 1;
    const size_t pixels = (size_t)p->h * (size_t)p->w, mid = (size_t)p->mid;
    const size_t all = (size_t)p->n * pixels, rows = (size_t)(p->n * oh);
    const size_t outs = rows * (size_t)ow * mid, nsums = rows * mid;
    const bool summed = test_random_int(s, 0, 1);
    float *in = fresh(all * (size_t)p->cin, s), *expanded = fresh(all * mid, NULL);
    float *ew = packed(ek->layout, p->mid, p->cin, 1, s), *eb = fresh(mid, s);
    float *dw = packed(dk->layout, p->mid, 1, p->kernel, s), *db = fresh(mid, s);
    float *out = fresh(outs, NULL), *want = fresh(outs, NULL);
    float *sums = fresh(nsums, NULL), *want_sums = fresh(nsums, NULL);

    struct dfn_pointwise_args e = {.in = in,
                                   .weight = ew,
                                   .bias = eb,
                                   .out = expanded,
                                   .cin = p->cin,
                                   .cout = p->mid,
                                   .act = DFN_ACT_SWISH,
                                   .pixels = (int)pixels};
    struct dfn_dwconv_args d = {.in = expanded,
                                .weight = dw,
                                .bias = db,
                                .out = want,
                                .sums = summed ? want_sums : NULL,
                                .h = p->h,
                                .w = p->w,
                                .c = p->mid,
                                .oh = oh,
                                .ow = ow,
                                .kernel = p->kernel,
                                .stride = p->stride,
                                .top = p->top,
                                .left = p->left,
                                .act = DFN_ACT_RELU6};
    ek->run(&e, 0, all);
    dk->run(&d, 0, rows);

    e.out = NULL;
    d.in = NULL;
    d.out = out;
    d.sums = summed ? sums : NULL;
    const struct dfn_cut parted = {test_random_int(s, 1, 5),
                                   test_random_int(s, 1, least(p->mid / DFN_SLICE, 3)),
                                   test_random_int(s, 1, 2)};
    struct dfn_fused f = {ek, dk, &e, &d, parted, parted.ranges * parted.slices, 0, NULL};
    f.scratch = fresh((size_t)f.parts * dfn_fused_floats(&d), NULL);
    for (f.image = 0; f.image < p->n; f.image++) {
        /* In two calls, the later parts first: any thread may be late. */
        const size_t cut = (size_t)test_random_int(s, 0, f.parts);
        dfn_fused_run(&f, cut, (size_t)f.parts);
        dfn_fused_run(&f, 0, cut);
    }
    ck_assert_msg(!memcmp(out, want, outs * sizeof *out),
                  "%s: %dx%d, %d to %d channels, %dx%d, stride %d, top %d, %d parts",
                  dk->name, p->h, p->w, p->cin, p->mid, p->kernel, p->kernel, p->stride,
                  p->top, f.parts);
    ck_assert(!memcmp(sums, want_sums, nsums * sizeof *sums));
    float *const blocks[] = {in,  expanded, ew,   eb,        dw,       db,
                             out, want,     sums, want_sums, f.scratch};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        free(blocks[i]);
}

START_TEST(fused_steps_give_the_same_bits)
{
    static const uint32_t levels[] = {0, DFN_CPU_AVX2, ~0u};
    uint64_t s = (uint64_t)_i + 1;
    struct dfn_kernels k;
    if ((size_t)_i % test_stride_asked())
        return;
    dfn_kernels_init(&k, dfn_cpu_detect() & levels[_i % 3]);
    const struct shape p = random_shape(&s);
    same_bits(&p, &k, &s);
}
END_TEST

START_TEST(only_large_tensors_of_whole_panels_are_fused)
{
    const struct dfn_dwconv_args small = {.h = 14, .w = 14, .c = 672};
    const struct dfn_dwconv_args large = {.h = 190, .w = 190, .c = 144};
    ck_assert(!dfn_fused_pays(&small));
    ck_assert(dfn_fused_pays(&large));
    const struct dfn_dwconv_args odd = {.h = 190, .w = 190, .c = 152};
    ck_assert(!dfn_fused_pays(&odd));
}
END_TEST

/* In stage 1 blocks have no expand: there the step in front of a depthwise convolution is
 * the project of the block before, whose output is a residual, too, and whose gate
 * changes its input, which two parts must not do. */
START_TEST(a_project_is_never_inner)
{
    static const char stages[] = "mb,3,1,1,32,3,4;mb,3,2,6,48,1,4";
    struct dfn_plan p;
    ef_options opt;
    ef_error err;
    int inner = 0;
    ck_assert(zero_model_open());
    ef_model *m = zero_model(stages, 64, 64, NULL);
    ef_options_init(&opt, sizeof opt);
    opt.gemm = EF_GEMM_NATIVE;
    opt.height = opt.width = 300;
    opt.threads = 2;
    assert_status(dfn_plan_build(m, &opt, &p, &err), EF_OK, &err);
    for (int i = 0; i < p.nsteps; i++) {
        inner += p.steps[i].inner;
        ck_assert_msg(!p.steps[i].inner || strstr(p.steps[i].name, ".expand"),
                      "%s is done within another step", p.steps[i].name);
    }
    ck_assert_int_eq(inner, 1);
    dfn_plan_free(&p, &opt.allocator);
    zero_model_free(m);
    zero_model_close();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("fuse");
    TCase *t = tcase_create("fuse");
    tcase_set_timeout(t, 300);
    tcase_add_loop_test(t, fused_steps_give_the_same_bits, 0, 150);
    tcase_add_test(t, only_large_tensors_of_whole_panels_are_fused);
    tcase_add_test(t, a_project_is_never_inner);
    suite_add_tcase(s, t);
    return run_suite(s);
}
