/* bench_kernel.c - every row of kernels.def on shapes of real networks. Internal
 * interface: links the static library. Add a shape in benchmarks/shapes.c, a kernel in
 * kernels/kernels.def, and the arguments of a new operation in setup(). */
#include "benchmarks/bench.h"
#include "benchmarks/peak.h"
#include "benchmarks/shapes.h"
#include "kernels/cpu.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
    "bench_kernel                              all kernels, layers of B0@224 and B4@380\n"
    "bench_kernel --net b7@380 --best          what a session would take, over all of "
    "B7\n"
    "bench_kernel --cpu avx2 --best pointwise  the same for one operation and CPU level\n"
    "bench_kernel --json > new.json            for google-benchmark's compare.py\n"
    "\n"
    "bench_kernel [OPTION...] [PART OF KERNEL/LAYER]      one thread\n"
    "  --net NETS       NET@SIZE, mtcnn, attention or pixels, with commas\n"
    "                   (b0@224,b4@380,mtcnn)\n"
    "  --cpu LEVEL      ref, avx2, avx512, neon or a mask: kernels that need more are\n"
    "                   left out (default: what the machine has)\n"
    "  --best           only the kernels that dispatch takes at that level\n"
    "  --seconds S      for each line (0.2)\n"
    "  --json           google-benchmark's JSON\n"
    "  --list           only the layers: name, how often, multiply-adds\n"
    "\n"
    "of peak: of the machine's multiply-add peak at the CPU level, measured first. of "
    "read:\n"
    "bytes read and written, against the rate at which as many bytes can be read.\n";

struct bench {
    const char *nets, *filter;
    uint32_t cpu;
    bool best, json, list;
    double seconds, peak;
    double read[32]; /* bytes a second of 2^i bytes; 0: not yet measured                */
};

struct call {
    const struct dfn_kernel *kernel;
    const void *args;
    size_t items;
};

union args {
    struct dfn_conv_args conv;
    struct dfn_dwconv_args dwconv;
    struct dfn_pointwise_args pointwise;
    struct dfn_pool_args pool;
    struct dfn_fc_args fc;
    struct dfn_maxpool_args maxpool;
    struct dfn_prelu_args prelu;
    struct dfn_softmax_args softmax;
    struct dfn_bilinear_args bilinear;
    struct dfn_rootnorm_args rootnorm;
    struct dfn_scale_args scale;
    struct dfn_frames_args frames;
    struct dfn_rowsum_args rowsum;
    struct dfn_area_args area;
    struct dfn_taps_args taps;
    struct dfn_rows_args rows;
};

/* What kernels of pixels read beside rows: which pixels belong together, and weights. */
#define MOST_PIXELS 2048
#define MOST_TAPS 16
struct pixel_tables {
    int columns[2 * MOST_PIXELS];
    int32_t first[MOST_PIXELS];
    int32_t whole[MOST_PIXELS * MOST_TAPS];
    float real[MOST_PIXELS * MOST_TAPS];
    const void *rows[MOST_TAPS];
};

static bool is_of_pixels(const struct shape *s)
{
    return s->op >= DFN_OP_ROWSUM;
}

/* The w pixels of a row to cout, k taps each; or k rows of w pixels to one. */
static const struct pixel_tables *tables_of(const struct shape *s, const float *in)
{
    static struct pixel_tables t;
    const bool floats = s->op == DFN_OP_ROWS_FLOAT || s->op == DFN_OP_ROWS_LINEAR;
    for (int i = 0; i < s->cout; i++) {
        t.columns[2 * i] = i * s->w / s->cout;
        t.columns[2 * i + 1] = ((i + 1) * s->w + s->cout - 1) / s->cout;
        t.first[i] = (int32_t)((int64_t)i * (s->w - s->k) / s->cout);
    }
    for (int i = 0; i < s->cout * s->k; i++) {
        t.whole[i] = (1 << DFN_FRACTION_BITS) / s->k;
        t.real[i] = 1.0f / (float)s->k;
    }
    for (int i = 0; i < s->k; i++)
        t.rows[i] =
            (const char *)in + (size_t)i * (size_t)s->w * 3 * (floats ? sizeof *in : 1);
    return &t;
}

/* The same as setup(). */
static size_t setup_pixels(const struct shape *s, union args *a, const float *in,
                           float *out)
{
    const struct pixel_tables *t = tables_of(s, in);
    const bool fixed = s->op == DFN_OP_TAPS_FIXED || s->op == DFN_OP_ROWS_FIXED;
    const void *weight = fixed ? (const void *)t->whole : (const void *)t->real;
    switch (s->op) {
    case DFN_OP_ROWSUM:
        a->rowsum = (struct dfn_rowsum_args){t->rows[0], 3 * (ptrdiff_t)s->w,
                                             (uint32_t *)(void *)out, s->k, false};
        return (size_t)s->w * 3;
    case DFN_OP_AREA:
        a->area = (struct dfn_area_args){(const uint32_t *)(const void *)in, t->columns,
                                         out, 3};
        return (size_t)s->cout;
    case DFN_OP_TAPS_FIXED:
    case DFN_OP_TAPS_FLOAT:
        a->taps =
            (struct dfn_taps_args){t->rows[0], s->w, t->first, NULL, weight, s->k, out};
        return (size_t)s->cout;
    default:
        a->rows =
            (struct dfn_rows_args){t->rows, weight, NULL, (uint8_t *)out, s->k, false};
        return (size_t)s->w * 3;
    }
}

/* Values that go in, once each, and bytes that go in and out. */
static double pixel_work(const struct shape *s, double *bytes)
{
    const double in = 3.0 * s->w, out = 3.0 * s->cout;
    switch (s->op) {
    case DFN_OP_ROWSUM:
        *bytes = s->k * in + 4 * in;
        return s->k * in;
    case DFN_OP_AREA:
        *bytes = 4 * in + 4 * out;
        return in;
    case DFN_OP_TAPS_FIXED:
    case DFN_OP_TAPS_FLOAT:
        *bytes = in + (s->op == DFN_OP_TAPS_FIXED ? 1 : 4) * out + 4.0 * s->k * s->cout;
        return s->k * out;
    default:
        *bytes = (s->op == DFN_OP_ROWS_FIXED ? 1 : 4) * s->k * in + in;
        return s->k * in;
    }
}

static int run_once(void *arg)
{
    const struct call *c = arg;
    c->kernel->run(c->args, 0, c->items);
    return 0;
}

static float *random_floats(size_t n)
{
    static uint32_t seed = 1;
    float *v =
        aligned_alloc(DFN_ALIGN, (n * sizeof *v + DFN_ALIGN - 1) / DFN_ALIGN * DFN_ALIGN);
    for (size_t i = 0; v && i < n; i++)
        v[i] = (float)((seed = seed * 1664525u + 1013904223u) >> 8) / 8388608.0f - 1.0f;
    return v;
}

/* Fills args and returns the number of items. */
static size_t setup(const struct shape *s, union args *a, const float *in, const float *w,
                    const float *bias, float *out)
{
    const int oh = (s->h + s->stride - 1) / s->stride;
    const int ow = (s->w + s->stride - 1) / s->stride, pad = s->k / 2;
    if (is_of_pixels(s))
        return setup_pixels(s, a, in, out);
    switch (s->op) {
    case DFN_OP_CONV:
        a->conv = (struct dfn_conv_args){in,        w,      bias, NULL,   out,     s->h,
                                         s->w,      s->cin, oh,   ow,     s->cout, s->k,
                                         s->stride, pad,    pad,  s->act, NULL};
        return (size_t)oh;
    case DFN_OP_CONV3:
        a->conv = (struct dfn_conv_args){
            in,       w,       bias, NULL, out, s->h, s->w,         s->cin, s->h - 2,
            s->w - 2, s->cout, 3,    1,    0,   0,    DFN_ACT_NONE, bias};
        return (size_t)s->h - 2;
    case DFN_OP_DWCONV:
        a->dwconv = (struct dfn_dwconv_args){in,   w,      bias,   out, NULL, s->h,
                                             s->w, s->cin, oh,     ow,  s->k, s->stride,
                                             pad,  pad,    s->act, 0,   0};
        return (size_t)oh;
    case DFN_OP_POOL:
        a->pool =
            (struct dfn_pool_args){in, out, s->h * s->w, s->cin, (double)s->h * s->w};
        return (size_t)s->cin;
    case DFN_OP_FC:
        a->fc = (struct dfn_fc_args){in, w, bias, out, s->cin, s->cout, s->act};
        return (size_t)s->cout;
    case DFN_OP_MAXPOOL:
        a->maxpool = (struct dfn_maxpool_args){in, out, s->h, s->w,     s->cin,
                                               oh, ow,  s->k, s->stride};
        return (size_t)oh;
    case DFN_OP_PRELU:
        a->prelu = (struct dfn_prelu_args){in, bias, out, s->cin};
        return (size_t)s->h * (size_t)s->w;
    case DFN_OP_SOFTMAX:
        a->softmax = (struct dfn_softmax_args){in, out, s->cin};
        return (size_t)s->h * (size_t)s->w;
    case DFN_OP_BILINEAR: /* cout counts the maps */
        a->bilinear =
            (struct dfn_bilinear_args){in, w, out, s->h * s->w, s->cout, s->cin};
        return (size_t)s->cin * (size_t)s->cout;
    case DFN_OP_ROOTNORM:
        a->rootnorm = (struct dfn_rootnorm_args){in, out, s->cin, 100};
        return 1;
    case DFN_OP_SCALE:
        a->scale = (struct dfn_scale_args){in, w, out, s->cin};
        return (size_t)s->h * (size_t)s->w;
    case DFN_OP_FRAMES: /* seven frames of a seventh of the rows */
        a->frames = (struct dfn_frames_args){in, out, 7, s->h / 7 * s->w, s->cin};
        return (size_t)s->h * (size_t)s->w;
    default:
        a->pointwise = (struct dfn_pointwise_args){.in = in,
                                                   .weight = w,
                                                   .bias = bias,
                                                   .out = out,
                                                   .cin = s->cin,
                                                   .cout = s->cout,
                                                   .act = s->act};
        return (size_t)s->h * (size_t)s->w;
    }
}

static bool multiplies(const struct shape *s)
{
    return s->op == DFN_OP_CONV || s->op == DFN_OP_CONV3 || s->op == DFN_OP_DWCONV ||
           s->op == DFN_OP_POINTWISE || s->op == DFN_OP_FC;
}

static double out_pixels(const struct shape *s)
{
    if (s->op == DFN_OP_CONV3)
        return (double)(s->h - 2) * (s->w - 2);
    return (double)((s->h + s->stride - 1) / s->stride) *
           ((s->w + s->stride - 1) / s->stride);
}

/* Multiply-adds; of operations that have none, half the operations, one an element. */
static double macs_of(const struct shape *s)
{
    const double in = (double)s->h * s->w, out = out_pixels(s);
    double unused;
    if (is_of_pixels(s))
        return pixel_work(s, &unused) / 2;
    switch (s->op) {
    case DFN_OP_CONV:
    case DFN_OP_CONV3:
        return out * s->cin * s->cout * s->k * s->k;
    case DFN_OP_DWCONV:
        return out * s->cin * s->k * s->k;
    case DFN_OP_POINTWISE:
    case DFN_OP_FC:
    case DFN_OP_BILINEAR:
        return in * s->cin * s->cout;
    default:
        return out * s->cout / 2;
    }
}

/* Reading rate of the smallest power of two that holds so many bytes, 64 MiB at most. */
static double read_rate(struct bench *b, double bytes)
{
    int i = 14;
    while (i < 26 && (double)((size_t)1 << i) < bytes)
        i++;
    if (b->read[i] <= 0)
        b->read[i] = peak_read((size_t)1 << i, 20);
    return b->read[i];
}

static void report(struct bench *b, const char *name, const struct shape *s,
                   const struct bench_times *t, double bytes)
{
    const double rate = 2e9 * macs_of(s) / t->min, stream = 1e9 * bytes / t->min;
    const double of_peak = rate / b->peak, of_read = stream / read_rate(b, bytes);
    if (b->json) {
        char extra[256];
        snprintf(extra, sizeof extra,
                 ", \"gflops\": %.3f, \"gbytes_per_second\": %.3f, \"of_peak\": %.4f, "
                 "\"of_read\": %.4f, \"layers\": %d",
                 rate / 1e9, stream / 1e9, of_peak, of_read, s->count);
        bench_json_row(name, t, 1, extra);
    } else {
        printf("%-56s %2d x %10.1f us %8.2f %5.1f %% %8.2f %5.1f %%\n", name, s->count,
               t->min / 1e3, rate / 1e9, 100 * of_peak, stream / 1e9, 100 * of_read);
    }
}

/* Floats of what a kernel reads beside its input. */
static size_t second_input(const struct shape *s, const struct dfn_kernel *k)
{
    const size_t pixels = (size_t)s->h * (size_t)s->w;
    if (s->op == DFN_OP_BILINEAR || s->op == DFN_OP_SCALE)
        return pixels * (size_t)(s->op == DFN_OP_BILINEAR ? s->cout : 1);
    const int cin = s->op == DFN_OP_DWCONV ? 1 : s->cin;
    return multiplies(s) ? dfn_pack_count(k->layout, s->cout, cin, s->k) : 1;
}

/* ns of the fastest call; 0: no memory. */
static double measure(struct bench *b, const char *name, const struct shape *s,
                      const struct dfn_kernel *k)
{
    const size_t pixels = (size_t)s->h * (size_t)s->w;
    const size_t nw = second_input(s, k);
    const size_t nin = pixels * (size_t)s->cin;
    const size_t nout = is_of_pixels(s)            ? 3 * (size_t)(s->w + s->cout)
                        : s->op == DFN_OP_BILINEAR ? (size_t)(s->cin * s->cout)
                                                   : pixels * (size_t)s->cout;
    float *in = random_floats(nin), *w = random_floats(nw), *out = random_floats(nout);
    float *bias = random_floats((size_t)s->cout);
    union args a;
    struct bench_times t = {0};
    double best = 0;
    if (in && w && out && bias) {
        struct call c = {k, &a, setup(s, &a, in, w, bias, out)};
        const double written = s->op == DFN_OP_POOL ? s->cout : out_pixels(s) * s->cout;
        double bytes = 4 * ((double)nin + written + (double)nw);
        if (is_of_pixels(s))
            pixel_work(s, &bytes);
        if (bench_run_for(run_once, &c, 2, b->seconds, &t)) {
            report(b, name, s, &t, bytes);
            best = t.min;
        }
        free(t.ns);
    }
    free(in);
    free(w);
    free(out);
    free(bias);
    return best;
}

/* One kernel over all layers that are its own, and their sum. */
static void measure_net(struct bench *b, const char *net, const struct shape *shapes,
                        int n, const struct dfn_kernel *k)
{
    const enum dfn_op op = k->op == DFN_OP_POINTWISE_BLAS ? DFN_OP_POINTWISE : k->op;
    double ns = 0, macs = 0;
    int layers = 0;
    for (int i = 0; i < n; i++) {
        char name[160];
        snprintf(name, sizeof name, "%s/%s", k->name, shapes[i].layer);
        if (shapes[i].op != op || !strstr(name, b->filter))
            continue;
        ns += shapes[i].count * measure(b, name, &shapes[i], k);
        macs += shapes[i].count * macs_of(&shapes[i]);
        layers += shapes[i].count;
    }
    if (layers > 1 && !b->json)
        printf("%-56s %2d   %10.1f us %8.2f %5.1f %%  all of %s\n\n", k->name, layers,
               ns / 1e3, 2 * macs / ns, 200e9 * macs / ns / b->peak, net);
}

static bool chosen(const struct bench *b, const struct dfn_kernel *row)
{
    struct dfn_kernels best;
    dfn_kernels_init(&best, b->cpu);
    return (b->cpu & row->needs) == row->needs &&
           (!b->best || best.op[row->op].run == row->run);
}

/* -1, or the exit code. */
static int parse(struct bench *b, int argc, char **argv)
{
    static const struct option options[] = {{"net", 1, 0, 'n'},     {"cpu", 1, 0, 'c'},
                                            {"best", 0, 0, 'b'},    {"json", 0, 0, 'j'},
                                            {"list", 0, 0, 'l'},    {"help", 0, 0, 'h'},
                                            {"seconds", 1, 0, 's'}, {NULL, 0, NULL, 0}};
    uint32_t mask = 0;
    for (int o; (o = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        bool ok = true;
        switch (o) {
        case 'n':
            b->nets = optarg;
            break;
        case 'c':
            ok = bench_parse_cpu(optarg, &mask);
            b->cpu &= mask;
            break;
        case 'b':
            b->best = true;
            break;
        case 'j':
            b->json = true;
            break;
        case 'l':
            b->list = true;
            break;
        case 's':
            b->seconds = atof(optarg);
            ok = b->seconds > 0 && b->seconds <= 600;
            break;
        case 'h':
            return fputs(help, stdout), 0;
        default:
            ok = false;
        }
        if (!ok)
            return fputs("bench_kernel: try --help\n", stderr), 1;
    }
    if (optind < argc)
        b->filter = argv[optind++];
    return optind == argc ? -1 : (fputs("bench_kernel: try --help\n", stderr), 1);
}

int main(int argc, char **argv)
{
    static struct shape shapes[MAX_SHAPES];
    struct bench b = {.nets = "b0@224,b4@380,mtcnn",
                      .filter = "",
                      .cpu = dfn_cpu_detect(),
                      .seconds = 0.2};
    size_t count;
    const struct dfn_kernel *rows = dfn_kernel_rows(&count);
    const int code = parse(&b, argc, argv);
    if (code >= 0)
        return code;
    b.peak = b.list ? 1 : peak_fma_best(b.cpu, 50);
    if (b.list)
        b.json = false;
    else if (b.json)
        bench_json_begin("bench_kernel", dfn_blas_config(), dfn_blas_threads());
    else
        printf("peak %.1f GFLOP/s\n%-56s layers  fastest call  GFLOP/s of peak     GB/s "
               "of read\n",
               b.peak / 1e9, "kernel/layer");
    for (const char *p = b.nets; *p; p += strcspn(p, ","), p += *p == ',') {
        char net[32];
        snprintf(net, sizeof net, "%.*s", (int)strcspn(p, ","), p);
        const int n = shapes_of(net, shapes);
        if (!n)
            return fprintf(stderr, "bench_kernel: no net '%s'; %s\n", net, shapes_nets),
                   1;
        for (int i = 0; b.list && i < n; i++)
            printf("%s %d %.0f\n", shapes[i].layer, shapes[i].count,
                   multiplies(&shapes[i]) ? macs_of(&shapes[i]) : 0.0);
        for (size_t i = 0; !b.list && i < count; i++)
            if (chosen(&b, &rows[i]))
                measure_net(&b, net, shapes, n, &rows[i]);
    }
    if (b.json)
        bench_json_end();
    return 0;
}
