/* bench_model.c - how long a network takes, and what it holds in memory. Public interface
 * only. Random input; the time of a network does not depend on it. */
#include "benchmarks/arch_model.h"
#include "benchmarks/balance.h"
#include "benchmarks/bench.h"
#include "benchmarks/layers.h"
#include "benchmarks/peak.h"
#include "examples/common.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char help[] =
    "bench_model                               the default model, one thread\n"
    "bench_model --arch b4 --threads 2         random weights, made when first asked "
    "for\n"
    "bench_model --model b4.safetensors --size 380\n"
    "bench_model --json > new.json             for google-benchmark's compare.py\n"
    "bench_model --layers                      where the time goes\n"
    "\n"
    "  --model FILE   (default: the default model)\n"
    "  --arch NAME    b0..b8, l2, lite0..lite4, v2-s, v2-m, v2-l, v2-b0..v2-b3\n"
    "  --size S       S or HxW (default: the model's own)\n"
    "  --threads N    1 (default); 0: one for each CPU\n"
    "  --batch N      inputs in one run (default 1)\n"
    "  --gemm G       auto, native or openblas\n"
    "  --cpu LEVEL    ref, avx2, avx512, neon or a mask: what kernels may use\n"
    "  --repeat N     runs that count (default: 1.5 s worth, at least 10)\n"
    "  --layers       each step's best time beside what its multiply-adds take at the\n"
    "                 machine's peak, measured now\n"
    "  --json         google-benchmark's JSON\n"
    "  --cancel       how long a run can go on after somebody wants to cancel it: the\n"
    "                 longest time between two questions of the library\n"
    "  --balance      how evenly N threads (at least 2) share the work: each thread's "
    "part\n"
    "                 timed alone, one after the other\n"
    "  --denormal     the time with denormal weights beside that with normal ones (with\n"
    "                 --arch)\n";

struct bench {
    ef_options opt;
    const char *path, *arch;
    int repeats, want_layers, json, want_cancel, denormal, want_balance;
    struct balance *balance;
    ef_session *session;
    float *in, *out;
    struct layers layers;
    double macs;       /* of one input                                                  */
    double peak;       /* FLOP/s of so many cores at the CPU level                      */
    double first_ns;   /* from the file to the first result                             */
    size_t rss, worst; /* resident bytes: now and at most                               */
    double asked_ns,
        longest; /* when the cancel hook was last called; longest wait      */
    int asked;
};

/* The cancel hook: never says yes, and keeps the longest time since it was last asked. */
static int note_question(void *user)
{
    struct bench *b = user;
    const double now = bench_now_ns(), wait = now - b->asked_ns;
    b->longest = wait > b->longest ? wait : b->longest;
    b->asked_ns = now;
    b->asked++;
    return 0;
}

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
        {"model", 1, 0, 'm'},    {"arch", 1, 0, 'a'},    {"size", 1, 0, 's'},
        {"threads", 1, 0, 't'},  {"batch", 1, 0, 'b'},   {"gemm", 1, 0, 'g'},
        {"cpu", 1, 0, 'c'},      {"repeat", 1, 0, 'r'},  {"layers", 0, 0, 'l'},
        {"json", 0, 0, 'j'},     {"help", 0, 0, 'h'},    {"cancel", 0, 0, 'C'},
        {"denormal", 0, 0, 'd'}, {"balance", 0, 0, 'B'}, {NULL, 0, NULL, 0}};
    for (int o; (o = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        int ok = 1;
        switch (o) {
        case 'm':
            b->path = optarg;
            break;
        case 'a':
            b->arch = optarg;
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
            ok = bench_parse_cpu(optarg, &b->opt.cpu_mask);
            break;
        case 'r':
            ok = ex_parse_int(optarg, 1, 100000, &b->repeats);
            break;
        case 'l':
            b->want_layers = 1;
            break;
        case 'j':
            b->json = 1;
            break;
        case 'C':
            b->want_cancel = 1;
            break;
        case 'd':
            b->denormal = 1;
            break;
        case 'B':
            b->want_balance = 1;
            break;
        case 'h':
            return fputs(help, stdout), EX_DONE;
        default:
            ok = 0;
        }
        if (!ok)
            return fputs("bench_model: try --help\n", stderr), EX_USAGE;
    }
    if (optind != argc || (b->path && b->arch) || (b->denormal && !b->arch) ||
        (b->want_balance && b->opt.threads < 2) ||
        b->want_layers + b->json + b->want_cancel + b->denormal + b->want_balance > 1)
        return fputs(help, stderr), EX_USAGE;
    return -1;
}

static int run_once(void *arg)
{
    struct bench *b = arg;
    const int failed = ef_session_run(b->session, b->in, b->opt.batch, b->out, NULL);
    if (b->want_layers && !failed)
        layers_add(&b->layers, b->session);
    return failed;
}

/* The longest wait of each run; of those the least and the greatest. */
static int measure_cancel(struct bench *b)
{
    const int runs = b->repeats ? b->repeats : 20;
    double least = 0, most = 0;
    for (int i = 0; i < runs; i++) {
        b->longest = b->asked = 0;
        const double began = b->asked_ns = bench_now_ns();
        if (run_once(b))
            return EX_ALL_FAILED;
        const double all = bench_now_ns() - began;
        note_question(b); /* from the last question to the end */
        least = i && least < b->longest ? least : b->longest;
        most = most > b->longest ? most : b->longest;
        if (i == runs - 1)
            printf("asked %d times in a run of %.1f ms\n", b->asked - 1, all / 1e6);
    }
    printf("longest wait for a question: %.2f ms in the best of %d runs, %.2f in the "
           "worst\n",
           least / 1e6, runs, most / 1e6);
    return EX_DONE;
}

static int measure_balance(struct bench *b)
{
    const int runs = b->repeats ? b->repeats : 20;
    for (int i = 0; i < runs; i++)
        if (balance_add(b->balance, run_once, b))
            return EX_ALL_FAILED;
    balance_print(b->balance, b->opt.threads, runs);
    return EX_DONE;
}

/* The same network with denormal weights, the runs of both taking turns. */
static int measure_denormal(struct bench *b, ef_error *err)
{
    char path[512];
    double best[2] = {0, 0};
    ef_model *model = NULL;
    ef_session *sessions[2] = {b->session, NULL};
    const int runs = b->repeats ? b->repeats : 20;
    int code = EX_DONE;
    if (!arch_model_denormal(b->arch, path, sizeof path) ||
        ef_model_load_file(path, &b->opt, &model, err) ||
        ef_session_create(model, &b->opt, &sessions[1], err))
        code = EX_MODEL;
    for (int i = 0; i < 2 * (runs + 1) && !code; i++) {
        const double began = bench_now_ns();
        if (ef_session_run(sessions[i % 2], b->in, b->opt.batch, b->out, err))
            code = EX_ALL_FAILED;
        const double ns = bench_now_ns() - began;
        if (i >= 2 && (best[i % 2] <= 0 || ns < best[i % 2])) /* after a warm-up */
            best[i % 2] = ns;
    }
    if (!code)
        printf(
            "normal weights %.3f ms, denormal ones %.3f ms (minimum of %d): %.2f times "
            "as long\n",
            best[0] / 1e6, best[1] / 1e6, runs, best[1] / best[0]);
    ef_session_free(sessions[1]);
    ef_model_free(model);
    return code;
}

/* Multiply-adds of one input at this size; the model's own count is for its own size. */
static double count_macs(const ef_session *session)
{
    double sum = 0;
    const size_t n = ef_session_times(session, NULL, 0);
    ef_step_time *steps = calloc(n + 1, sizeof *steps);
    if (steps)
        ef_session_times(session, steps, n);
    for (size_t i = 0; steps && i < n; i++)
        sum += (double)steps[i].macs;
    free(steps);
    return sum;
}

static void report_json(const struct bench *b, const ef_model_info *info,
                        const struct bench_times *t, int h, int w)
{
    const double images = (double)b->opt.batch;
    const double rate = 2e9 * b->macs * images / t->min;
    char name[256], extra[512];
    snprintf(name, sizeof name, "%s/%dx%d/batch:%d/threads:%d", info->variant, h, w,
             b->opt.batch, b->opt.threads);
    snprintf(extra, sizeof extra,
             ", \"items_per_second\": %.3f, \"gflops\": %.3f, \"peak_gflops\": %.3f, "
             "\"first_result_ms\": %.3f, \"session_bytes\": %zu, "
             "\"resident_bytes\": %zu, \"peak_resident_bytes\": %zu",
             images / t->median * 1e9, rate / 1e9, b->peak / 1e9, b->first_ns / 1e6,
             ef_session_memory(b->session), b->rss, b->worst);
    bench_json_begin("bench_model", ex_blas() ? ex_blas() : "none", ex_blas() ? 1 : 0);
    bench_json_row(name, t, b->opt.threads, extra);
    bench_json_end();
}

static void report(const struct bench *b, const ef_model_info *info,
                   const struct bench_times *t, int h, int w)
{
    const double rate = 2e9 * b->macs * b->opt.batch / t->min;
    printf("%s (%s) %dx%d, batch %d, %d thread%s: min %.3f ms, median %.3f ms, max %.3f "
           "ms of %d runs\n",
           info->name, info->variant, h, w, b->opt.batch, b->opt.threads,
           b->opt.threads == 1 ? "" : "s", t->min / 1e6, t->median / 1e6, t->max / 1e6,
           t->n);
    printf("%.1f GFLOP/s at the minimum, %.1f %% of the peak of %.1f; %.2f inputs a "
           "second\n",
           rate / 1e9, 100 * rate / b->peak, b->peak / 1e9, b->opt.batch / t->min * 1e9);
    printf("load to first result %.1f ms; process %.1f MiB resident, %.1f at most\n",
           b->first_ns / 1e6, (double)b->rss / 1048576, (double)b->worst / 1048576);
    printf("session memory %.1f MiB, weights %.1f MiB\n",
           (double)ef_session_memory(b->session) / 1048576,
           (double)info->parameters * sizeof(float) / 1048576);
}

static int measure(struct bench *b, const ef_model_info *info)
{
    int h, w;
    struct bench_times t = {0};
    ef_session_shape(b->session, &h, &w, NULL, NULL, NULL);
    b->macs = count_macs(b->session);
    if (b->want_layers && !layers_begin(&b->layers, b->session))
        return EX_NO_MEMORY;
    if (!bench_run(run_once, b, 3, b->repeats, &t))
        return EX_ALL_FAILED;
    b->rss = bench_memory("VmRSS");
    b->worst = bench_memory("VmHWM");
    const long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    b->peak = peak_fma_best(b->opt.cpu_mask, 50) *
              (b->opt.threads ? b->opt.threads : (int)cpus);
    if (b->json)
        report_json(b, info, &t, h, w);
    else
        report(b, info, &t, h, w);
    if (b->want_layers)
        layers_print(&b->layers, b->opt.batch, b->peak);
    free(t.ns);
    return EX_DONE;
}

/* The input, whose size only the session knows. */
static int make_input(struct bench *b, ef_error *err)
{
    int h = 0, w = 0, outputs = 0;
    ef_session_shape(b->session, &h, &w, NULL, &outputs, err);
    const size_t n = (size_t)b->opt.batch * 3 * (size_t)h * (size_t)w;
    b->in = malloc(n * sizeof *b->in);
    b->out = malloc((size_t)b->opt.batch * (size_t)outputs * sizeof *b->out);
    if (!b->in || !b->out)
        return 0;
    uint32_t seed = 1;
    for (size_t i = 0; i < n; i++)
        b->in[i] =
            (float)((seed = seed * 1664525u + 1013904223u) >> 8) / 8388608.0f - 1.0f;
    return 1;
}

/* File to first result, the making of the input not counted. */
static int start(struct bench *b, ef_model **model, ef_error *err)
{
    const double began = bench_now_ns();
    if ((b->path ? ef_model_load_file(b->path, &b->opt, model, err)
                 : ef_model_load_default(&b->opt, model, err)) ||
        ef_session_create(*model, &b->opt, &b->session, err))
        return EX_MODEL;
    b->first_ns = bench_now_ns() - began;
    if (!make_input(b, err))
        return EX_NO_MEMORY;
    const double again = bench_now_ns();
    if (ef_session_run(b->session, b->in, b->opt.batch, b->out, err))
        return EX_ALL_FAILED;
    b->first_ns += bench_now_ns() - again;
    return EX_DONE;
}

int main(int argc, char **argv)
{
    struct bench b = {.path = NULL};
    char made[512];
    ef_model *model = NULL;
    ef_model_info info;
    ef_error err = {EF_OK, 0, "", ""};
    ef_options_init(&b.opt, sizeof b.opt);
    ef_model_info_init(&info, sizeof info);
    int code = parse(&b, argc, argv);
    if (code >= 0)
        return code;
    if (b.arch && !arch_model(b.arch, made, sizeof made))
        return EX_MODEL;
    b.path = b.arch ? made : b.path;
    if (b.want_cancel) {
        b.opt.cancel = note_question;
        b.opt.cancel_user = &b;
    }
    if (b.want_balance && !(b.balance = balance_new(&b.opt)))
        return EX_NO_MEMORY;
    ex_one_blas_thread();
    code = start(&b, &model, &err);
    if (!code)
        code = b.want_cancel                           ? measure_cancel(&b)
               : b.want_balance                        ? measure_balance(&b)
               : b.denormal                            ? measure_denormal(&b, &err)
               : ef_model_get_info(model, &info, &err) ? EX_MODEL
                                                       : measure(&b, &info);
    if (err.status)
        fprintf(stderr, "bench_model: %s: %s\n", err.where, err.what);
    layers_free(&b.layers);
    free(b.in);
    free(b.out);
    ef_session_free(b.session);
    ef_model_free(model);
    free(b.balance);
    return code;
}
