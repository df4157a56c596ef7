/* run_tensor.c - numbers in, numbers out: runs a model on raw floats.
 *
 *   run_tensor MODEL IN.bin OUT.bin [--shape N,C,H,W] [--threads N] ...
 *
 * IN.bin: little-endian float32, NCHW, normalised; OUT.bin: the logits, [N][outputs].
 * Made for comparing with other implementations. */
#include "examples/common.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
    "run_tensor model.safetensors in.bin out.bin\n"
    "run_tensor model.safetensors in.bin out.bin --shape 8,3,224,224 --threads 2\n"
    "\n"
    "  --shape N,C,H,W  of the input (default 1,3 and the model's size); C is 3\n"
    "  --threads N      1 (default); 0: one for each CPU\n"
    "  --gemm G         auto (default), native, openblas\n"
    "  --cpu MASK       CPU levels allowed, as a number; 0: reference kernels\n"
    "  --explain        the plan on stdout\n"
    "\n"
    "Files hold little-endian float32, NCHW. Exit: 0 done, 1 usage, 3 input or output\n"
    "failed, 4 model unusable, 5 out of memory.\n";

struct args {
    ef_options opt;
    int n, explain;
    const char *model, *in, *out;
};

static int parse_shape(const char *s, struct args *a)
{
    int c, used = 0;
    return sscanf(s, "%d,%d,%d,%d%n", &a->n, &c, &a->opt.height, &a->opt.width, &used) ==
               4 &&
           !s[used] && c == 3 && a->n >= 1 && a->n <= 1024;
}

static int parse_gemm(const char *s, ef_gemm *gemm)
{
    static const char *const names[] = {"auto", "native", "openblas"};
    for (int i = 0; i < 3; i++)
        if (!strcmp(s, names[i]))
            return *gemm = (ef_gemm)i, 1;
    return 0;
}

static int parse(struct args *a, int argc, char **argv)
{
    enum { SHAPE = 256, THREADS, GEMM, CPU, EXPLAIN };
    static const struct option options[] = {
        {"shape", 1, 0, SHAPE}, {"threads", 1, 0, THREADS}, {"gemm", 1, 0, GEMM},
        {"cpu", 1, 0, CPU},     {"explain", 0, 0, EXPLAIN}, {"help", 0, 0, 'h'},
        {NULL, 0, NULL, 0}};
    for (int o; (o = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        int ok = 1, mask;
        if (o == SHAPE)
            ok = parse_shape(optarg, a);
        else if (o == THREADS)
            ok = ex_parse_int(optarg, 0, 64, &a->opt.threads);
        else if (o == GEMM)
            ok = parse_gemm(optarg, &a->opt.gemm);
        else if (o == CPU && (ok = ex_parse_int(optarg, 0, 0x7fffffff, &mask)))
            a->opt.cpu_mask = (uint32_t)mask;
        else if (o == EXPLAIN)
            a->explain = 1;
        else if (o == 'h')
            return fputs(help, stdout), 0;
        else if (o == '?')
            return fputs("try run_tensor --help\n", stderr), EX_USAGE;
        if (!ok)
            return fprintf(stderr, "run_tensor: wrong value '%s'; try --help\n", optarg),
                   EX_USAGE;
    }
    if (argc - optind != 3)
        return fputs(help, stderr), EX_USAGE;
    a->model = argv[optind];
    a->in = argv[optind + 1];
    a->out = argv[optind + 2];
    return -1;
}

static int fail(const char *path, const char *what, int code)
{
    fputs("run_tensor: ", stderr);
    ex_print_text(stderr, path);
    fprintf(stderr, ": %s\n", what);
    return code;
}

static int fail_err(const ef_error *err)
{
    fprintf(stderr, "run_tensor: %s: %s\n", err->where, err->what);
    return err->status == EF_E_NOMEM ? EX_NO_MEMORY : EX_MODEL;
}

/* Turns n floats between the host's order and the file's. */
static void swap_if_big_endian(float *v, size_t n)
{
    const uint16_t probe = 1;
    if (*(const uint8_t *)&probe)
        return;
    for (uint8_t *b = (uint8_t *)v; n--; b += 4) {
        const uint8_t t[4] = {b[3], b[2], b[1], b[0]};
        memcpy(b, t, 4);
    }
}

static int read_input(const char *path, float *v, size_t n)
{
    FILE *f = fopen(path, "rb");
    if (!f)
        return fail(path, strerror(errno), EX_ALL_FAILED);
    const size_t got = fread(v, sizeof *v, n, f);
    const int more = got == n && fgetc(f) != EOF;
    fclose(f);
    swap_if_big_endian(v, n);
    if (got == n && !more)
        return 0;
    char what[96];
    snprintf(what, sizeof what, "has %s bytes than the %zu of its shape",
             more ? "more" : "fewer", n * sizeof *v);
    return fail(path, what, EX_ALL_FAILED);
}

static int write_output(const char *path, float *v, size_t n)
{
    FILE *f = fopen(path, "wb");
    if (!f)
        return fail(path, strerror(errno), EX_ALL_FAILED);
    swap_if_big_endian(v, n);
    const size_t put = fwrite(v, sizeof *v, n, f);
    return fclose(f) || put != n ? fail(path, strerror(errno), EX_ALL_FAILED) : 0;
}

static int print(void *user, const char *text, size_t length)
{
    (void)user;
    return fwrite(text, 1, length, stdout) != length;
}

static int run(const struct args *a, ef_session *s)
{
    int h = 0, w = 0, outputs = 0;
    ef_error err;
    ef_session_shape(s, &h, &w, NULL, &outputs, &err);
    const size_t n = (size_t)a->n * 3 * (size_t)h * (size_t)w;
    const size_t nout = (size_t)a->n * (size_t)outputs;
    float *in = malloc(n * sizeof *in), *out = malloc(nout * sizeof *out);
    int code = in && out ? read_input(a->in, in, n)
                         : fail(a->in, "no memory for this shape", EX_NO_MEMORY);
    if (!code && ef_session_run(s, in, a->n, out, &err))
        code = fail_err(&err);
    if (!code)
        code = write_output(a->out, out, nout);
    free(in);
    free(out);
    return code;
}

int main(int argc, char **argv)
{
    struct args a = {.n = 1};
    ef_model *model = NULL;
    ef_session *session = NULL;
    ef_error err;
    ef_options_init(&a.opt, sizeof a.opt);
    int code = parse(&a, argc, argv);
    if (code >= 0)
        return code;
    a.opt.batch = a.n;
    ex_one_blas_thread();
    if (ef_model_load_file(a.model, &a.opt, &model, &err) ||
        ef_session_create(model, &a.opt, &session, &err) ||
        (a.explain && ef_session_explain(session, print, NULL, &err)))
        code = fail_err(&err);
    else
        code = run(&a, session);
    ef_session_free(session);
    ef_model_free(model);
    return code;
}
