/* test_golden.c - tiny networks against the logits that PyTorch computed for them in
 * float64. README.md in this folder has the grammar of the files and the meaning of their
 * names; a new case is a new .golden file, found by itself. */
#define _XOPEN_SOURCE 700
#include "tests/support/support.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FOLDER TEST_SOURCE_ROOT "/tests/golden/"

struct golden {
    char name[128], model[128];
    unsigned long long seed;
    int n, h, w, outputs;
    double tolerance;
    double *logits; /* [n][outputs] */
    float *input;   /* [n][3][h][w] */
};

static char **names; /* of the .golden files, sorted */
static int count;

static void find_cases(void)
{
    struct dirent **found;
    const int n = scandir(FOLDER, &found, NULL, alphasort);
    names = calloc((size_t)(n > 0 ? n : 1), sizeof *names);
    for (int i = 0; i < n; i++) {
        const char *dot = strrchr(found[i]->d_name, '.');
        if (dot && !strcmp(dot, ".golden"))
            names[count++] = strdup(found[i]->d_name);
        free(found[i]);
    }
    free(found);
}

static struct golden read_golden(const char *name)
{
    struct golden g = {.n = 0};
    char path[512];
    int version, channels;
    double largest, torch_error;
    snprintf(g.name, sizeof g.name, "%s", name);
    snprintf(path, sizeof path, FOLDER "%s", name);
    FILE *f = fopen(path, "r");
    ck_assert_msg(f != NULL, "%s", path);
    ck_assert_int_eq(fscanf(f,
                            "dfnet-golden %d model %127s seed %llu input %d %d %d %d "
                            "outputs %d max_logit %lf torch_f32_error %lf tolerance %lf "
                            "logits",
                            &version, g.model, &g.seed, &g.n, &channels, &g.h, &g.w,
                            &g.outputs, &largest, &torch_error, &g.tolerance),
                     11);
    ck_assert_int_eq(version, 1);
    ck_assert_int_eq(channels, 3);
    const size_t nlogits = (size_t)g.n * (size_t)g.outputs;
    g.logits = malloc(nlogits * sizeof *g.logits);
    for (size_t i = 0; i < nlogits; i++)
        ck_assert_int_eq(fscanf(f, "%lf", &g.logits[i]), 1);
    fclose(f);
    const size_t pixels = (size_t)g.n * 3 * (size_t)g.h * (size_t)g.w;
    g.input = malloc(pixels * sizeof *g.input);
    uint64_t state = g.seed;
    for (size_t i = 0; i < pixels; i++)
        g.input[i] = (float)((double)(test_random(&state) >> 40) / 4194304.0 - 2.0);
    return g;
}

/* The logits of one configuration, in `out`. */
static void run(const struct golden *g, const ef_options *how, float *out)
{
    char path[512];
    ef_options opt = *how;
    ef_model *model = NULL;
    ef_session *s = NULL;
    ef_error err;
    snprintf(path, sizeof path, FOLDER "%s", g->model);
    opt.height = g->h;
    opt.width = g->w;
    opt.batch = g->n;
    assert_status(ef_model_load_file(path, &opt, &model, &err), EF_OK, &err);
    assert_status(ef_model_verify(model, &opt, NULL, NULL, &err), EF_OK, &err);
    assert_status(ef_session_create(model, &opt, &s, &err), EF_OK, &err);
    assert_status(ef_session_run(s, g->input, g->n, out, &err), EF_OK, &err);
    ef_session_free(s);
    ef_model_free(model);
}

static void check(const struct golden *g, const float *got, const char *how)
{
    for (int i = 0; i < g->n * g->outputs; i++)
        ck_assert_msg(fabs(got[i] - g->logits[i]) <= g->tolerance,
                      "%s, %s: logit %d is %.9g, must be %.9g, off by %.3g, allowed %.3g",
                      g->name, how, i, (double)got[i], g->logits[i],
                      fabs(got[i] - g->logits[i]), g->tolerance);
}

START_TEST(case_equals_torch)
{
    static const struct {
        const char *name;
        ef_gemm gemm;
        uint32_t mask;
        int threads;
    } ways[] = {{"reference kernels", EF_GEMM_NATIVE, 0, 1},
                {"native, all levels", EF_GEMM_NATIVE, EF_CPU_ALL, 1},
                {"native, 3 threads", EF_GEMM_NATIVE, EF_CPU_ALL, 3},
                {"auto", EF_GEMM_AUTO, EF_CPU_ALL, 2}};
    struct golden g = read_golden(names[_i]);
    const size_t bytes = (size_t)g.n * (size_t)g.outputs * sizeof(float);
    float *got = malloc(bytes), *native = malloc(bytes);
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        ef_options opt;
        ef_options_init(&opt, sizeof opt);
        opt.gemm = ways[i].gemm;
        opt.cpu_mask = ways[i].mask;
        opt.threads = ways[i].threads;
        run(&g, &opt, got);
        check(&g, got, ways[i].name);
        if (i == 1)
            memcpy(native, got, bytes);
        if (i == 2)
            ck_assert_msg(!memcmp(native, got, bytes), "%s: bits depend on threads",
                          g.name);
    }
    free(got);
    free(native);
    free(g.logits);
    free(g.input);
}
END_TEST

START_TEST(there_are_cases)
{
    ck_assert_int_ge(count, 20);
}
END_TEST

int main(void)
{
    find_cases();
    Suite *s = suite_create("golden");
    TCase *t = tcase_create("golden");
    tcase_set_timeout(t, 120);
    tcase_add_test(t, there_are_cases);
    tcase_add_loop_test(t, case_equals_torch, 0, count);
    suite_add_tcase(s, t);
    const int failed = run_suite(s);
    for (int i = 0; i < count; i++)
        free(names[i]);
    free(names);
    return failed;
}
