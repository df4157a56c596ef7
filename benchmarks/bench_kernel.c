/* bench_kernel.c - every row of kernels.def on shapes of real networks. Internal
 * interface: links the static library. Add a shape here, a kernel in
 * kernels/kernels.def. */
#include "benchmarks/bench.h"
#include "kernels/cpu.h"
#include "kernels/kernels.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Layers of B0@224 and B4@380 that differ most in what binds them. k: kernel; for pool,
 * fc and scale only the fields they have count. */
struct shape {
    const char *layer;
    enum dfn_op op;
    int h, w, cin, cout, k, stride;
};

static const struct shape shapes[] = {
    {"b0.stem", DFN_OP_CONV, 224, 224, 3, 32, 3, 2},
    {"b4.stem", DFN_OP_CONV, 380, 380, 3, 48, 3, 2},
    {"b0.dw.k3s1", DFN_OP_DWCONV, 112, 112, 32, 32, 3, 1},
    {"b0.dw.k3s2", DFN_OP_DWCONV, 112, 112, 96, 96, 3, 2},
    {"b0.dw.k5s2", DFN_OP_DWCONV, 56, 56, 144, 144, 5, 2},
    {"b0.dw.k5s1", DFN_OP_DWCONV, 14, 14, 672, 672, 5, 1},
    {"b4.dw.k3s1", DFN_OP_DWCONV, 95, 95, 192, 192, 3, 1},
    {"b0.expand.1", DFN_OP_POINTWISE, 112, 112, 16, 96, 1, 1},
    {"b0.project.1", DFN_OP_POINTWISE, 56, 56, 96, 24, 1, 1},
    {"b0.expand.5", DFN_OP_POINTWISE, 14, 14, 80, 480, 1, 1},
    {"b0.project.15", DFN_OP_POINTWISE, 7, 7, 1152, 320, 1, 1},
    {"b0.head", DFN_OP_POINTWISE, 7, 7, 320, 1280, 1, 1},
    {"b4.expand.6", DFN_OP_POINTWISE, 48, 48, 56, 336, 1, 1},
    {"b0.se.pool.1", DFN_OP_POOL, 56, 56, 96, 96, 1, 1},
    {"b0.se.expand.15", DFN_OP_FC, 1, 1, 48, 1152, 1, 1},
    {"mtcnn.p.conv1", DFN_OP_CONV, 64, 640, 3, 10, 3, 1},
    {"mtcnn.p.conv3", DFN_OP_CONV, 32, 320, 16, 32, 3, 1},
    {"mtcnn.r.conv2", DFN_OP_CONV, 11, 11, 28, 48, 3, 1},
    {"mtcnn.p.pool1", DFN_OP_MAXPOOL, 64, 640, 10, 10, 2, 2},
    {"mtcnn.p.prelu1", DFN_OP_PRELU, 64, 640, 10, 10, 1, 1},
    {"mtcnn.p.softmax", DFN_OP_SOFTMAX, 32, 320, 2, 2, 1, 1},
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
};

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
    switch (s->op) {
    case DFN_OP_CONV:
        a->conv = (struct dfn_conv_args){
            in, w,  bias,    NULL, out,       s->h, s->w, s->cin,
            oh, ow, s->cout, s->k, s->stride, pad,  pad,  DFN_ACT_SWISH};
        return (size_t)oh;
    case DFN_OP_DWCONV:
        a->dwconv = (struct dfn_dwconv_args){in,   w,         bias,   out, NULL,
                                             s->h, s->w,      s->cin, oh,  ow,
                                             s->k, s->stride, pad,    pad, DFN_ACT_SWISH};
        return (size_t)oh;
    case DFN_OP_POOL:
        a->pool =
            (struct dfn_pool_args){in, out, s->h * s->w, s->cin, (double)s->h * s->w};
        return (size_t)s->cin;
    case DFN_OP_FC:
        a->fc = (struct dfn_fc_args){in, w, bias, out, s->cin, s->cout, DFN_ACT_SIGMOID};
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
    default:
        a->pointwise = (struct dfn_pointwise_args){
            .in = in,
            .weight = w,
            .bias = bias,
            .out = out,
            .cin = s->cin,
            .cout = s->cout,
            .act = s->cin < s->cout ? DFN_ACT_SWISH : DFN_ACT_NONE};
        return (size_t)s->h * (size_t)s->w;
    }
}

static void measure(const struct shape *s, const struct dfn_kernel *k, bool json)
{
    const bool depthwise = s->op == DFN_OP_DWCONV;
    const size_t pixels = (size_t)s->h * (size_t)s->w;
    const int cin = depthwise ? 1 : s->cin;
    const size_t nw = dfn_pack_count(k->layout, s->cout, cin, s->k);
    const size_t nin = pixels * (size_t)s->cin, nout = pixels * (size_t)s->cout;
    float *in = random_floats(nin), *w = random_floats(nw), *out = random_floats(nout);
    float *bias = random_floats((size_t)s->cout);
    union args a;
    struct bench_times t = {0};
    if (in && w && out && bias) {
        struct call c = {k, &a, setup(s, &a, in, w, bias, out)};
        const double opixels = (double)pixels / (s->stride * s->stride);
        /* One operation an element; a multiply-add has two. */
        const bool plain = s->op == DFN_OP_POOL || s->op >= DFN_OP_MAXPOOL;
        const double macs =
            plain ? opixels * s->cout / 2 : opixels * s->cout * cin * s->k * s->k;
        const double bytes = 4 * ((double)nin + opixels * s->cout + (double)nw);
        if (bench_run(run_once, &c, 2, 0, &t)) {
            char name[160], extra[128];
            snprintf(name, sizeof name, "%s/%s", k->name, s->layer);
            snprintf(extra, sizeof extra,
                     ", \"gflops\": %.3f, \"gbytes_per_second\": %.3f", 2 * macs / t.min,
                     bytes / t.min);
            if (json)
                bench_json_row(name, &t, 1, extra);
            else
                printf("%-52s %9.1f us %8.2f GFLOP/s %7.2f GB/s\n", name, t.min / 1e3,
                       2 * macs / t.min, bytes / t.min);
        }
        free(t.ns);
    }
    free(in);
    free(w);
    free(out);
    free(bias);
}

int main(int argc, char **argv)
{
    const bool json = argc > 1 && !strcmp(argv[1], "--json");
    const char *filter = argc > 1 + json ? argv[1 + json] : "";
    size_t count;
    const struct dfn_kernel *rows = dfn_kernel_rows(&count);
    if (!strcmp(filter, "--help"))
        return puts("bench_kernel [--json] [PART OF A NAME]    one thread, minimum of "
                    "1.5 s"),
               0;
    if (json)
        bench_json_begin("bench_kernel", dfn_blas_config(), dfn_blas_threads());
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < sizeof shapes / sizeof *shapes; j++) {
            const bool blas = rows[i].op == DFN_OP_POINTWISE_BLAS;
            char name[160];
            snprintf(name, sizeof name, "%s/%s", rows[i].name, shapes[j].layer);
            if ((blas ? DFN_OP_POINTWISE : rows[i].op) == shapes[j].op &&
                strstr(name, filter) &&
                (dfn_cpu_detect() & rows[i].needs) == rows[i].needs)
                measure(&shapes[j], &rows[i], json);
        }
    if (json)
        bench_json_end();
    return 0;
}
