/* bench_model.c - how long a network takes, and what it holds in memory. Public interface
 * only. Random input; the time of a network does not depend on it. */
#include "benchmarks/bench.h"
#include "examples/common.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char help[] =
    "bench_model                               the default model, one thread\n"
    "bench_model --model b4.safetensors --size 380 --threads 2\n"
    "bench_model --json > new.json             for google-benchmark's compare.py\n"
    "bench_model --layers                      where the time goes\n"
    "\n"
    "  --model FILE   (default: the default model)\n"
    "  --size S       S or HxW (default: the model's own)\n"
    "  --threads N    1 (default); 0: one for each CPU\n"
    "  --batch N      inputs in one run (default 1)\n"
    "  --gemm G       auto, native or openblas     --cpu MASK   CPU levels allowed\n"
    "  --repeat N     runs that count (default: 1.5 s worth, at least 10)\n"
    "  --layers       the plan with the time of each step, of the last of 10 runs\n"
    "  --json         google-benchmark's JSON\n";

struct bench {
    ef_options opt;
    const char *path;
    int repeats, layers, json;
    ef_session *session;
    float *in, *out;
};

static int parse_size(const char *s, ef_options *o)
{
    int used = 0;
    if (sscanf(s, "%dx%d%n", &o->height, &o->width, &used) == 2 && !s[used])
        return o->height >= 32 && o->width >= 32;
    return ex_parse_int(s, 32, 4096, &o->height) && (o->width = o->height, 1);
}

static int parse_gemm(const char *s, ef_options *o)
{
    o->gemm = !strcmp(s, "native")     ? EF_GEMM_NATIVE
              : !strcmp(s, "openblas") ? EF_GEMM_OPENBLAS
                                       : EF_GEMM_AUTO;
    return o->gemm != EF_GEMM_AUTO || !strcmp(s, "auto");
}

static int parse(struct bench *b, int argc, char **argv)
{
    static const struct option options[] = {
        {"model", 1, 0, 'm'},  {"size", 1, 0, 's'},   {"threads", 1, 0, 't'},
        {"batch", 1, 0, 'b'},  {"gemm", 1, 0, 'g'},   {"cpu", 1, 0, 'c'},
        {"repeat", 1, 0, 'r'}, {"layers", 0, 0, 'l'}, {"json", 0, 0, 'j'},
        {"help", 0, 0, 'h'},   {NULL, 0, NULL, 0}};
    for (int o; (o = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        int ok = 1, mask = 0;
        switch (o) {
        case 'm':
            b->path = optarg;
            break;
        case 's':
            ok = parse_size(optarg, &b->opt);
            break;
        case 't':
            ok = ex_parse_int(optarg, 0, 64, &b->opt.threads);
            break;
        case 'b':
            ok = ex_parse_int(optarg, 1, 1024, &b->opt.batch);
            break;
        case 'g':
            ok = parse_gemm(optarg, &b->opt);
            break;
        case 'c':
            ok = ex_parse_int(optarg, 0, 0x7fffffff, &mask);
            b->opt.cpu_mask = (uint32_t)mask;
            break;
        case 'r':
            ok = ex_parse_int(optarg, 1, 100000, &b->repeats);
            break;
        case 'l':
            b->layers = 1;
            break;
        case 'j':
            b->json = 1;
            break;
        case 'h':
            return fputs(help, stdout), EX_DONE;
        default:
            ok = 0;
        }
        if (!ok)
            return fputs("bench_model: try --help\n", stderr), EX_USAGE;
    }
    return optind == argc ? -1 : (fputs(help, stderr), EX_USAGE);
}

static int run_once(void *arg)
{
    struct bench *b = arg;
    return ef_session_run(b->session, b->in, b->opt.batch, b->out, NULL);
}

static int print(void *user, const char *text, size_t length)
{
    (void)user;
    return fwrite(text, 1, length, stdout) != length;
}

static void report(const struct bench *b, const ef_model_info *info,
                   const struct bench_times *t, int h, int w)
{
    const double images = (double)b->opt.batch;
    const double gflop = 2e-9 * (double)info->macs * images;
    const int own = h == info->height && w == info->width;
    if (b->json) {
        char name[256], extra[128];
        snprintf(name, sizeof name, "%s/%dx%d/batch:%d/threads:%d", info->variant, h, w,
                 b->opt.batch, b->opt.threads);
        snprintf(extra, sizeof extra,
                 ", \"items_per_second\": %.3f, \"session_bytes\": %zu",
                 images / t->median * 1e9, ef_session_memory(b->session));
        bench_json_begin("bench_model", "", 0);
        bench_json_row(name, t, b->opt.threads, extra);
        bench_json_end();
        return;
    }
    printf(
        "%s (%s) %dx%d, batch %d, %d thread%s: min %.3f ms, median %.3f ms, max %.3f ms "
        "of %d runs",
        info->name, info->variant, h, w, b->opt.batch, b->opt.threads,
        b->opt.threads == 1 ? "" : "s", t->min / 1e6, t->median / 1e6, t->max / 1e6,
        t->n);
    if (own)
        printf("; %.1f GFLOP/s at the minimum", gflop / (t->min / 1e9));
    printf("\nsession memory %.1f MiB, weights %.1f MiB\n",
           (double)ef_session_memory(b->session) / 1048576,
           (double)info->parameters * sizeof(float) / 1048576);
}

static int measure(struct bench *b, const ef_model_info *info, ef_error *err)
{
    int h, w, outputs;
    struct bench_times t;
    ef_session_shape(b->session, &h, &w, NULL, &outputs, err);
    const size_t n = (size_t)b->opt.batch * 3 * (size_t)h * (size_t)w;
    b->in = malloc(n * sizeof *b->in);
    b->out = malloc((size_t)b->opt.batch * (size_t)outputs * sizeof *b->out);
    if (!b->in || !b->out)
        return EX_NO_MEMORY;
    uint32_t seed = 1;
    for (size_t i = 0; i < n; i++)
        b->in[i] =
            (float)((seed = seed * 1664525u + 1013904223u) >> 8) / 8388608.0f - 1.0f;
    if (b->layers) {
        ef_session_profile(b->session, 1, err);
        if (!bench_run(run_once, b, 2, 10, &t))
            return EX_ALL_FAILED;
        ef_session_explain(b->session, print, NULL, err);
    } else if (!bench_run(run_once, b, 3, b->repeats, &t)) {
        return EX_ALL_FAILED;
    }
    report(b, info, &t, h, w);
    free(t.ns);
    return EX_DONE;
}

int main(int argc, char **argv)
{
    struct bench b = {.path = NULL};
    ef_model *model = NULL;
    ef_model_info info;
    ef_error err = {EF_OK, 0, "", ""};
    ef_options_init(&b.opt, sizeof b.opt);
    ef_model_info_init(&info, sizeof info);
    int code = parse(&b, argc, argv);
    if (code >= 0)
        return code;
    ex_one_blas_thread();
    if ((b.path ? ef_model_load_file(b.path, &b.opt, &model, &err)
                : ef_model_load_default(&b.opt, &model, &err)) ||
        ef_model_get_info(model, &info, &err) ||
        ef_session_create(model, &b.opt, &b.session, &err)) {
        fprintf(stderr, "bench_model: %s: %s\n", err.where, err.what);
        code = EX_MODEL;
    } else {
        code = measure(&b, &info, &err);
    }
    free(b.in);
    free(b.out);
    ef_session_free(b.session);
    ef_model_free(model);
    return code;
}
