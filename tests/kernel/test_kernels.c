/* test_kernels.c - every row of kernels.def against the sums of kernels.h, written out
 * here in double. A new row is tested without a change to this file; a new operation
 * needs a case in case_make(), term() and nothing else.
 *
 * The allowed error comes from the sum itself: n terms added in any order in float are
 * off by at most about n * eps * sum|a * b| (Higham, Accuracy and Stability, section
 * 4.2); the activations have slopes of at most 1.1 and add a few units in the last
 * place. */
#include "kernels/cpu.h"
#include "kernels/kernels.h"
#include "tests/kernel/kcheck.h"
#include "tests/support/stride.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Random shapes for each row; DFN_TEST_SHAPES=10000 takes so many. */
#define SHAPES_EACH 1000

/* One call: shape, tensors, and the arguments that point at them. */
struct kcase {
    const struct dfn_kernel *kernel;
    int n, h, w, cin, cout, oh, ow, k, stride, top, left;
    enum dfn_act act;
    bool residual, gate, summed, leaky;
    int frames;   /* of a sequence */
    size_t items; /* of all n */
    struct guarded in, plain, weight, bias, slope, in2, gates, out, sums;
    float *raw; /* in, before a gate */
    union {
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
    } args;
};

static bool is_pointwise(const struct kcase *c)
{
    return c->kernel->op == DFN_OP_POINTWISE || c->kernel->op == DFN_OP_POINTWISE_BLAS;
}

static bool is_spatial(const struct kcase *c)
{
    return c->kernel->op == DFN_OP_CONV || c->kernel->op == DFN_OP_DWCONV;
}

static bool is_conv3(const struct kcase *c)
{
    return c->kernel->op == DFN_OP_CONV3;
}

static bool keeps_channels(const struct kcase *c)
{
    const enum dfn_op op = c->kernel->op;
    return op == DFN_OP_DWCONV || op == DFN_OP_POOL || op == DFN_OP_MAXPOOL ||
           op == DFN_OP_PRELU || op == DFN_OP_SOFTMAX || op == DFN_OP_BILINEAR ||
           op == DFN_OP_ROOTNORM || op == DFN_OP_SCALE;
}

/* Ceil mode: the last window may hang over, but begins inside. */
static void random_maxpool(struct kcase *c, uint64_t *s)
{
    c->k = test_random_int(s, 1, 4);
    c->stride = test_random_int(s, 1, c->k);
    c->h = c->h < c->k ? c->k : c->h;
    c->w = c->w < c->k ? c->k : c->w;
    c->oh = (c->h - c->k + c->stride - 1) / c->stride + 1;
    c->ow = (c->w - c->k + c->stride - 1) / c->stride + 1;
}

/* Wide enough for several blocks of tiles, sometimes. */
static void random_conv3(struct kcase *c, uint64_t *s)
{
    c->k = 3;
    c->w = test_random_int(s, 3, test_random_int(s, 0, 3) ? 14 : 60);
    c->h = test_random_int(s, 3, 9);
    c->oh = c->h - 2;
    c->ow = c->w - 2;
}

/* Channel counts around the tiles that kernels like: below, at and above 4, 8, 16, 48. */
static int random_channels(uint64_t *s)
{
    static const int some[] = {1,  2,  3,  4,  5,  7,  8,  9,  15,
                               16, 17, 24, 31, 32, 33, 40, 48, 49};
    return some[test_random_int(s, 0, 17)];
}

static void random_shape(struct kcase *c, uint64_t *s)
{
    const enum dfn_op op = c->kernel->op;
    c->n = test_random_int(s, 1, 3);
    c->h = test_random_int(s, 1, 12);
    /* Some rows have more pixels than the widest tile. */
    c->w = test_random_int(s, 1, test_random_int(s, 0, 3) ? 12 : 40);
    c->cin = random_channels(s);
    c->cout = random_channels(s);
    c->act = (enum dfn_act)test_random_int(s, DFN_ACT_NONE, DFN_ACT_SIGMOID);
    c->residual = (op == DFN_OP_CONV || is_pointwise(c)) && test_random_int(s, 0, 1);
    c->gate = is_pointwise(c) && test_random_int(s, 0, 1);
    c->leaky = (op == DFN_OP_CONV || is_conv3(c)) && !test_random_int(s, 0, 3);
    if (c->leaky || is_conv3(c))
        c->act = DFN_ACT_NONE;
    c->summed = op == DFN_OP_DWCONV && test_random_int(s, 0, 1);
    c->k = c->stride = 1;
    c->top = c->left = 0;
    if (is_pointwise(c) && test_random_int(s, 0, 9) == 0)
        c->cin = test_random_int(s, 200, 600); /* more than one block of the sum */
    if (is_spatial(c)) {
        c->k = test_random_int(s, 0, 1) ? 5 : 3;
        if (op == DFN_OP_CONV && !test_random_int(s, 0, 3))
            c->k = 2;
        c->stride = test_random_int(s, 1, 2);
        c->top = test_random_int(s, 0, c->k - 1);
        c->left = test_random_int(s, 0, c->k - 1);
    }
    const int bottom = is_spatial(c) ? test_random_int(s, 0, c->k - 1) : 0;
    const int right = is_spatial(c) ? test_random_int(s, 0, c->k - 1) : 0;
    if (c->h + c->top + bottom < c->k)
        c->h = c->k;
    if (c->w + c->left + right < c->k)
        c->w = c->k;
    c->oh = (c->h + c->top + bottom - c->k) / c->stride + 1;
    c->ow = (c->w + c->left + right - c->k) / c->stride + 1;
    if (keeps_channels(c))
        c->cout = c->cin;
    if (is_conv3(c))
        random_conv3(c, s);
    if (op == DFN_OP_MAXPOOL)
        random_maxpool(c, s);
    if (op == DFN_OP_FC || op == DFN_OP_ROOTNORM)
        c->h = c->w = c->oh = c->ow = 1;
    if (op == DFN_OP_BILINEAR) {
        c->oh = test_random_int(s, 1, 9); /* maps */
        c->ow = 1;
    }
    if (op == DFN_OP_FRAMES) {
        c->frames = test_random_int(s, 1, 4);
        c->n *= c->frames;
        c->cout = 3 * c->cin;
    }
    if (op == DFN_OP_POOL)
        c->oh = c->ow = 1;
}

static void allocate(struct kcase *c, uint64_t *s)
{
    const int wcin = c->kernel->op == DFN_OP_DWCONV ? 1 : c->cin;
    const size_t nin = (size_t)c->n * (size_t)c->h * (size_t)c->w * (size_t)c->cin;
    const size_t nout = (size_t)c->n * (size_t)c->oh * (size_t)c->ow * (size_t)c->cout;
    const size_t nw = (size_t)c->cout * (size_t)wcin * (size_t)c->k * (size_t)c->k;
    c->in = guarded_new(nin, s);
    c->plain = guarded_new(nw, s);
    c->weight = guarded_new(dfn_pack_count(c->kernel->layout, c->cout, wcin, c->k), s);
    c->bias = guarded_new((size_t)c->cout, s);
    c->slope = guarded_new((size_t)c->cout, s);
    c->in2 = guarded_new(nout, s);
    const bool by_pixel =
        c->kernel->op == DFN_OP_SCALE || c->kernel->op == DFN_OP_BILINEAR;
    const int per_pixel = c->kernel->op == DFN_OP_BILINEAR ? c->oh : 1;
    c->gates = guarded_new(
        (size_t)c->n * (size_t)(by_pixel ? c->h * c->w * per_pixel : c->cin), s);
    c->sums = guarded_new((size_t)(c->n * c->oh * c->cout), s);
    c->out = guarded_new(nout, s);
    guarded_random(&c->in, s);
    guarded_random(&c->plain, s);
    guarded_random(&c->bias, s);
    guarded_random(&c->slope, s);
    guarded_random(&c->in2, s);
    guarded_random(&c->gates, s);
    c->raw = malloc(nin * sizeof *c->raw);
    ck_assert_ptr_nonnull(c->raw);
    memcpy(c->raw, c->in.v, nin * sizeof *c->raw);
    dfn_pack(c->kernel->layout, c->cout, wcin, c->k, c->plain.v, c->weight.v);
}

static void connect(struct kcase *c)
{
    const float *in2 = c->residual ? c->in2.v : NULL;
    switch (c->kernel->op) {
    case DFN_OP_CONV:
    case DFN_OP_CONV3:
        c->args.conv = (struct dfn_conv_args){c->in.v,
                                              c->weight.v,
                                              c->bias.v,
                                              in2,
                                              c->out.v,
                                              c->h,
                                              c->w,
                                              c->cin,
                                              c->oh,
                                              c->ow,
                                              c->cout,
                                              c->k,
                                              c->stride,
                                              c->top,
                                              c->left,
                                              c->act,
                                              c->leaky ? c->slope.v : NULL};
        c->items = (size_t)(c->n * c->oh);
        break;
    case DFN_OP_DWCONV:
        c->args.dwconv = (struct dfn_dwconv_args){c->in.v,
                                                  c->weight.v,
                                                  c->bias.v,
                                                  c->out.v,
                                                  c->summed ? c->sums.v : NULL,
                                                  c->h,
                                                  c->w,
                                                  c->cin,
                                                  c->oh,
                                                  c->ow,
                                                  c->k,
                                                  c->stride,
                                                  c->top,
                                                  c->left,
                                                  c->act,
                                                  0,
                                                  0};
        c->items = (size_t)(c->n * c->oh);
        break;
    case DFN_OP_POINTWISE:
    case DFN_OP_POINTWISE_BLAS:
        c->args.pointwise = (struct dfn_pointwise_args){c->in.v,
                                                        c->weight.v,
                                                        c->bias.v,
                                                        in2,
                                                        c->out.v,
                                                        c->cin,
                                                        c->cout,
                                                        c->act,
                                                        c->gate ? c->in.v : NULL,
                                                        c->gate ? c->gates.v : NULL,
                                                        c->h * c->w,
                                                        0};
        c->items = (size_t)(c->n * c->h * c->w);
        break;
    case DFN_OP_POOL:
        c->args.pool = (struct dfn_pool_args){c->in.v, c->out.v, c->h * c->w, c->cin,
                                              (double)c->h * c->w};
        c->items = (size_t)(c->n * c->cin);
        break;
    case DFN_OP_FC:
        c->args.fc = (struct dfn_fc_args){c->in.v, c->weight.v, c->bias.v, c->out.v,
                                          c->cin,  c->cout,     c->act};
        c->items = (size_t)(c->n * c->cout);
        break;
    case DFN_OP_MAXPOOL:
        c->args.maxpool = (struct dfn_maxpool_args){
            c->in.v, c->out.v, c->h, c->w, c->cin, c->oh, c->ow, c->k, c->stride};
        c->items = (size_t)(c->n * c->oh);
        break;
    case DFN_OP_PRELU:
        c->args.prelu = (struct dfn_prelu_args){c->in.v, c->bias.v, c->out.v, c->cin};
        c->items = (size_t)(c->n * c->h * c->w);
        break;
    case DFN_OP_SOFTMAX:
        c->args.softmax = (struct dfn_softmax_args){c->in.v, c->out.v, c->cin};
        c->items = (size_t)(c->n * c->h * c->w);
        break;
    case DFN_OP_BILINEAR:
        c->args.bilinear = (struct dfn_bilinear_args){c->in.v,     c->gates.v, c->out.v,
                                                      c->h * c->w, c->oh,      c->cin};
        c->items = (size_t)(c->n * c->oh * c->cin);
        break;
    case DFN_OP_ROOTNORM:
        c->args.rootnorm = (struct dfn_rootnorm_args){c->in.v, c->out.v, c->cin, 100};
        c->items = (size_t)c->n;
        break;
    case DFN_OP_SCALE:
        c->args.scale = (struct dfn_scale_args){c->in.v, c->gates.v, c->out.v, c->cin};
        c->items = (size_t)(c->n * c->h * c->w);
        break;
    case DFN_OP_FRAMES:
        c->args.frames =
            (struct dfn_frames_args){c->in.v, c->out.v, c->frames, c->h * c->w, c->cin};
        c->items = (size_t)(c->n * c->h * c->w);
        break;
    default: /* of pixels: test_pixels.c */
        break;
    }
}

/* Nothing but the output (and what a gate or a sum may touch) was written. */
static void check_canaries(const struct kcase *c)
{
    const struct guarded *all[] = {&c->in,    &c->weight, &c->bias, &c->in2,
                                   &c->gates, &c->sums,   &c->out};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        guarded_check(all[i], c->kernel->name);
}

static void case_free(struct kcase *c)
{
    guarded_free(&c->in);
    guarded_free(&c->plain);
    guarded_free(&c->weight);
    guarded_free(&c->bias);
    guarded_free(&c->slope);
    guarded_free(&c->in2);
    guarded_free(&c->gates);
    guarded_free(&c->sums);
    free(c->raw);
    guarded_free(&c->out);
}

static double act_exact(enum dfn_act act, double x)
{
    switch (act) {
    case DFN_ACT_SWISH:
        return x / (1 + exp(-x));
    case DFN_ACT_SIGMOID:
        return 1 / (1 + exp(-x));
    case DFN_ACT_RELU6:
        return fmin(fmax(x, 0), 6);
    case DFN_ACT_NONE:
        break;
    }
    return x;
}

/* The sum of one output element and the sum of its terms' magnitudes, from the
 * contract. */
static double exact_sum(const struct kcase *c, int img, int y, int x, int o, double *size)
{
    const bool depthwise = c->kernel->op == DFN_OP_DWCONV;
    const int first = depthwise ? o : 0, last = depthwise ? o + 1 : c->cin;
    const int wcin = depthwise ? 1 : c->cin;
    double sum = 0;
    *size = 0;
    for (int ky = 0; ky < c->k; ky++)
        for (int kx = 0; kx < c->k; kx++)
            for (int i = first; i < last; i++) {
                const int iy = y * c->stride + ky - c->top,
                          ix = x * c->stride + kx - c->left;
                if (iy < 0 || iy >= c->h || ix < 0 || ix >= c->w)
                    continue;
                const double gate = c->gate ? c->gates.v[img * c->cin + i] : 1;
                const double t =
                    gate * c->raw[((img * c->h + iy) * c->w + ix) * c->cin + i] *
                    c->plain.v[((o * wcin + i - first) * c->k + ky) * c->k + kx];
                sum += t;
                *size += fabs(t);
            }
    return sum;
}

/* Bounds the magnitudes that Winograd's F(2x2, 3x3) adds up for one output, whose tile
 * begins at an even row and column. Each of the nine places that it is made of sums four
 * inputs, and a filter's transform is at most the sum of its magnitudes. The rows of
 * uses say how many of three places have input row or column i of the tile, for an even
 * output and for an odd one. */
static double winograd_size(const struct kcase *c, int img, int y, int x, int o)
{
    static const int uses[2][4] = {{1, 2, 3, 0}, {0, 3, 2, 1}};
    double size = 0;
    for (int i = 0; i < c->cin; i++) {
        double filter = 0, tile = 0;
        for (int t = 0; t < 9; t++)
            filter += fabs((double)c->plain.v[(o * c->cin + i) * 9 + t]);
        for (int t = 0; t < 16; t++) {
            const int iy = (y & ~1) + t / 4, ix = (x & ~1) + t % 4;
            if (iy < c->h && ix < c->w)
                tile +=
                    uses[y & 1][t / 4] * uses[x & 1][t % 4] *
                    fabs((double)c->raw[((img * c->h + iy) * c->w + ix) * c->cin + i]);
        }
        size += filter * tile;
    }
    return size;
}

/* The greatest value of a window is found, not computed: no error is allowed. */
static double exact_maxpool(const struct kcase *c, int img, int y, int x, int o)
{
    double most = -HUGE_VAL;
    for (int iy = y * c->stride; iy < y * c->stride + c->k && iy < c->h; iy++)
        for (int ix = x * c->stride; ix < x * c->stride + c->k && ix < c->w; ix++)
            most = fmax(most, c->in.v[((img * c->h + iy) * c->w + ix) * c->cin + o]);
    return most;
}

static double exact_softmax(const struct kcase *c, size_t at, int o)
{
    const float *row = c->in.v + at - (size_t)o;
    double sum = 0;
    for (int i = 0; i < c->cin; i++)
        sum += exp(row[i]);
    return exp(row[o]) / sum;
}

/* One channel under one map. */
static double exact_bilinear(const struct kcase *c, int img, int map, int o, double *size)
{
    double sum = 0;
    for (int p = 0; p < c->h * c->w; p++) {
        const int pixel = img * c->h * c->w + p;
        const double t = (double)c->gates.v[pixel * c->oh + map] *
                         (double)c->in.v[pixel * c->cin + o] / (c->h * c->w);
        sum += t;
        *size += fabs(t);
    }
    return sum;
}

static double exact_rootnorm(const struct kcase *c, size_t at, int o)
{
    const float *v = c->in.v + at - (size_t)o;
    double squares = 0;
    for (int i = 0; i < c->cin; i++)
        squares += v[i] > 0 || v[i] < 0 ? fabs((double)v[i]) + 1e-12 : 0;
    const double root = sqrt(fabs((double)v[o]) + 1e-12);
    const double sign = v[o] > 0 ? 1 : v[o] < 0 ? -1 : 0;
    return 100 * sign * root / fmax(sqrt(squares), 1e-12);
}

/* A copy from the frame before, this one or the one behind. */
static double exact_frames(const struct kcase *c, int img, int y, int x, int o)
{
    const int frame = img % c->frames + o / c->cin - 1, to = img + o / c->cin - 1;
    if (frame < 0 || frame >= c->frames)
        return 0;
    return c->in.v[((to * c->h + y) * c->w + x) * c->cin + o % c->cin];
}

/* The operations of networks with attention; false: another one. */
static bool exact_attention(const struct kcase *c, int img, int y, int x, int o,
                            double *value, double *bound)
{
    const double eps = 1.1920929e-7;
    const size_t at = (size_t)(((img * c->oh + y) * c->ow + x) * c->cout + o);
    double size = 0;
    switch ((int)c->kernel->op) {
    case DFN_OP_BILINEAR:
        *value = exact_bilinear(c, img, y, o, &size);
        *bound = (c->h * c->w + 2) * eps * size;
        return true;
    case DFN_OP_ROOTNORM:
        *value = exact_rootnorm(c, at, o);
        *bound = 8 * eps * fabs(*value);
        return true;
    case DFN_OP_SCALE:
        *value = (double)c->in.v[at] * c->gates.v[(img * c->h + y) * c->w + x];
        *bound = eps * fabs(*value);
        return true;
    case DFN_OP_FRAMES:
        *value = exact_frames(c, img, y, x, o);
        *bound = 0;
        return true;
    default:
        return false;
    }
}

/* What one output must be and how far it may be off. */
static double exact(const struct kcase *c, int img, int y, int x, int o, double *bound)
{
    const double eps = 1.1920929e-7;
    const size_t at = (size_t)(((img * c->oh + y) * c->ow + x) * c->cout + o);
    double sum = 0, size = 0;
    if (exact_attention(c, img, y, x, o, &sum, bound))
        return sum;
    if (c->kernel->op == DFN_OP_POOL) {
        const int pixels = c->h * c->w;
        for (int p = 0; p < pixels; p++) {
            const double v = c->in.v[(img * pixels + p) * c->cin + o];
            sum += v;
            size += fabs(v);
        }
        /* At most 32 terms in float, their sums in double, the mean rounded. */
        *bound = eps * (fabs(sum) + (pixels < 32 ? pixels : 32) * size / 2) / pixels;
        return sum / pixels;
    }
    if (c->kernel->op == DFN_OP_MAXPOOL) {
        *bound = 0;
        return exact_maxpool(c, img, y, x, o);
    }
    if (c->kernel->op == DFN_OP_PRELU) {
        const double v =
            c->in.v[at] >= 0 ? (double)c->in.v[at] : (double)c->in.v[at] * c->bias.v[o];
        *bound = eps * fabs(v);
        return v;
    }
    if (c->kernel->op == DFN_OP_SOFTMAX) {
        const double v = exact_softmax(c, at, o);
        *bound = (c->cin + 8) * eps * v;
        return v;
    }
    sum = exact_sum(c, img, y, x, o, &size) + c->bias.v[o];
    size += fabs((double)c->bias.v[o]);
    if (c->kernel->layout == DFN_LAYOUT_WINOGRAD)
        size = winograd_size(c, img, y, x, o) + fabs((double)c->bias.v[o]);
    const double n = (double)c->cin * c->k * c->k + 2;
    const double slope = c->leaky && sum < 0 ? c->slope.v[o] : 1;
    const double acted = act_exact(c->act, sum) * slope;
    const double value = acted + (c->residual ? c->in2.v[at] : 0);
    *bound = 1.1 * n * eps * size + 8 * eps * fabs(acted) + eps * fabs(value);
    return value;
}

static void check_all(const struct kcase *c)
{
    for (int img = 0; img < c->n; img++)
        for (int y = 0; y < c->oh; y++)
            for (int x = 0; x < c->ow; x++)
                for (int o = 0; o < c->cout; o++) {
                    double bound;
                    const double want = exact(c, img, y, x, o, &bound);
                    const int at = ((img * c->oh + y) * c->ow + x) * c->cout + o;
                    check_close(c->out.v[at], want, bound, c->kernel->name);
                }
}

/* Against the outputs themselves, added in double. */
static void check_sums(const struct kcase *c)
{
    for (int row = 0; c->summed && row < c->n * c->oh; row++)
        for (int o = 0; o < c->cout; o++) {
            double sum = 0, size = 0;
            for (int x = 0; x < c->ow; x++) {
                sum += c->out.v[(row * c->ow + x) * c->cout + o];
                size += fabs(c->out.v[(row * c->ow + x) * c->cout + o]);
            }
            check_close(c->sums.v[row * c->cout + o], sum, 1.2e-7 * c->ow * size,
                        "sum of a row");
        }
}

/* The same call cut in two at a random item must give the same bits. */
static void check_split(struct kcase *c, uint64_t *s)
{
    const size_t bytes = c->out.n * sizeof(float);
    float *whole = malloc(bytes);
    ck_assert_ptr_nonnull(whole);
    memcpy(whole, c->out.v, bytes);
    memset(c->out.v, 0xff, bytes);
    memcpy(c->in.v, c->raw, c->in.n * sizeof *c->raw);
    const size_t cut = (size_t)test_random_int(s, 0, (int)c->items);
    c->kernel->run(&c->args, cut, c->items);
    c->kernel->run(&c->args, 0, cut);
    /* A BLAS may choose another kernel for another number of rows. */
    if (c->kernel->op != DFN_OP_POINTWISE_BLAS)
        ck_assert_msg(!memcmp(whole, c->out.v, bytes), "%s: bits depend on the range",
                      c->kernel->name);
    else
        check_all(c);
    free(whole);
}

static void one_shape(const struct dfn_kernel *k, uint64_t seed)
{
    uint64_t state = seed;
    struct kcase c = {.kernel = k};
    random_shape(&c, &state);
    allocate(&c, &state);
    connect(&c);
    k->run(&c.args, 0, c.items);
    check_all(&c);
    check_sums(&c);
    check_split(&c, &state);
    check_canaries(&c);
    case_free(&c);
}

START_TEST(random_shapes)
{
    size_t count;
    const struct dfn_kernel *k = &dfn_kernel_rows(&count)[_i];
    if ((dfn_cpu_detect() & k->needs) != k->needs || k->op >= DFN_OP_ROWSUM)
        return;
    const char *more = getenv("DFN_TEST_SHAPES");
    const uint64_t shapes = more ? strtoull(more, NULL, 10) : SHAPES_EACH;
    for (uint64_t seed = 0; seed < shapes; seed += test_stride())
        one_shape(k, seed * 1000003 + (uint64_t)_i);
}
END_TEST

/* A kernel of ones over an image of ones counts its taps; a single 1 in the kernel
 * shifts. */
START_TEST(depthwise_counts_and_shifts)
{
    float in[5 * 7 * 2], w[9 * 2], out[5 * 7 * 2];
    const float bias[2] = {0, 0};
    for (int i = 0; i < 70; i++)
        in[i] = 1;
    for (int i = 0; i < 18; i++)
        w[i] = 1;
    struct dfn_dwconv_args a = {in, w, bias, out, NULL,         5, 7, 2, 5, 7,
                                3,  1, 1,    1,   DFN_ACT_NONE, 0, 0};
    struct dfn_kernels k;
    dfn_kernels_init(&k, 0);
    k.op[DFN_OP_DWCONV].run(&a, 0, 5);
    for (int y = 0; y < 5; y++)
        for (int x = 0; x < 7; x++) {
            const int rows = y == 0 || y == 4 ? 2 : 3, cols = x == 0 || x == 6 ? 2 : 3;
            ck_assert_float_eq(out[(y * 7 + x) * 2 + 1], (float)(rows * cols));
        }
    memset(w, 0, sizeof w);
    w[5 * 2] = 1; /* ky 1, kx 2: the right neighbour, channel 0 only */
    for (int i = 0; i < 70; i++)
        in[i] = (float)i;
    k.op[DFN_OP_DWCONV].run(&a, 0, 5);
    for (int y = 0; y < 5; y++)
        for (int x = 0; x < 7; x++) {
            ck_assert_float_eq(out[(y * 7 + x) * 2],
                               x < 6 ? (float)((y * 7 + x + 1) * 2) : 0);
            ck_assert_float_eq(out[(y * 7 + x) * 2 + 1], 0);
        }
}
END_TEST

START_TEST(pointwise_by_the_identity_copies)
{
    enum { C = 33, M = 11 };
    float in[M * C], w[C * C] = {0}, bias[C] = {0}, out[M * C];
    uint64_t s = 1;
    for (int i = 0; i < C; i++)
        w[i * C + i] = 1;
    for (int i = 0; i < M * C; i++)
        in[i] = test_random_float(&s);
    size_t count;
    const struct dfn_kernel *rows = dfn_kernel_rows(&count);
    for (size_t r = 0; r < count; r++) {
        if (rows[r].op != DFN_OP_POINTWISE && rows[r].op != DFN_OP_POINTWISE_BLAS)
            continue;
        if ((dfn_cpu_detect() & rows[r].needs) != rows[r].needs)
            continue;
        float *packed = malloc(dfn_pack_count(rows[r].layout, C, C, 1) * sizeof(float));
        dfn_pack(rows[r].layout, C, C, 1, w, packed);
        const struct dfn_pointwise_args a = {
            .in = in, .weight = packed, .bias = bias, .out = out, .cin = C, .cout = C};
        rows[r].run(&a, 0, M);
        ck_assert_msg(!memcmp(in, out, sizeof in), "%s", rows[r].name);
        free(packed);
    }
}
END_TEST

START_TEST(packing_in_pieces_is_packing)
{
    static const enum dfn_layout layouts[] = {DFN_LAYOUT_PLAIN, DFN_LAYOUT_TAPS,
                                              DFN_LAYOUT_HWIO, DFN_LAYOUT_PANEL8,
                                              DFN_LAYOUT_PANEL16};
    uint64_t s = (uint64_t)_i + 1;
    const enum dfn_layout layout = layouts[test_random_int(&s, 0, 4)];
    const bool depthwise = layout == DFN_LAYOUT_TAPS;
    const struct dfn_pack_shape shape = {layout, test_random_int(&s, 1, 70),
                                         depthwise ? 1 : test_random_int(&s, 1, 9),
                                         test_random_int(&s, 1, 3)};
    const size_t taps = (size_t)(shape.kernel * shape.kernel), cin = (size_t)shape.cin;
    const size_t all = (size_t)shape.cout * cin * taps;
    const size_t packed = dfn_pack_count(layout, shape.cout, shape.cin, shape.kernel);
    float *plain = malloc(all * sizeof *plain), *out = malloc(packed * sizeof *out);
    for (size_t i = 0; i < all; i++)
        plain[i] = (float)(i + 1);
    for (size_t i = 0; i < packed; i++)
        out[i] = -1;
    for (size_t first = 0, n; first < all; first += n) {
        n = (size_t)test_random_int(&s, 1, (int)(all - first));
        dfn_pack_part(&shape, first, n, plain + first, out);
    }
    dfn_pack_gaps(&shape, out);
    size_t zeros = 0;
    for (size_t i = 0; i < packed; i++)
        zeros += out[i] == 0;
    ck_assert_uint_eq(zeros, packed - all);
    for (size_t i = 0; i < all; i++)
        ck_assert(out[dfn_pack_at(&shape, i / (cin * taps), i / taps % cin, i % taps)] ==
                  plain[i]);
    free(plain);
    free(out);
}
END_TEST

/* CPU levels of the activations' tests; one that this machine lacks falls back. */
static const uint32_t levels[] = {0, DFN_CPU_AVX2 | DFN_CPU_NEON,
                                  DFN_CPU_AVX2 | DFN_CPU_AVX512};

/* n values through the activation of a depthwise-like fully connected layer: each is the
 * bias of one output, whose weights are 0. Kernels then do nothing else with it. */
#define ACT_VALUES 64

static void act_by_kernel(uint32_t cpu, enum dfn_act act, const float *x, float *out)
{
    static const float in[1] = {0}, weights[ACT_VALUES] = {0};
    const struct dfn_fc_args a = {in, weights, x, out, 1, ACT_VALUES, act};
    struct dfn_kernels k;
    dfn_kernels_init(&k, dfn_cpu_detect() & cpu);
    k.op[DFN_OP_FC].run(&a, 0, ACT_VALUES);
}

static float act_of(uint32_t cpu, enum dfn_act act, float x)
{
    float in[ACT_VALUES] = {0}, out[ACT_VALUES];
    in[ACT_VALUES - 1] = x;
    act_by_kernel(cpu, act, in, out);
    return out[ACT_VALUES - 1];
}

START_TEST(activations_at_their_edges)
{
    const uint32_t cpu = levels[_i];
    ck_assert(isnan(act_of(cpu, DFN_ACT_SWISH, NAN)));
    ck_assert(isnan(act_of(cpu, DFN_ACT_RELU6, NAN)));
    ck_assert(isnan(act_of(cpu, DFN_ACT_SIGMOID, NAN)));
    ck_assert(act_of(cpu, DFN_ACT_SWISH, INFINITY) == INFINITY);
    ck_assert(act_of(cpu, DFN_ACT_SWISH, -INFINITY) == 0);
    ck_assert(act_of(cpu, DFN_ACT_SWISH, 0) == 0);
    ck_assert(act_of(cpu, DFN_ACT_SIGMOID, -INFINITY) == 0);
    ck_assert(act_of(cpu, DFN_ACT_SIGMOID, INFINITY) == 1);
    ck_assert(act_of(cpu, DFN_ACT_RELU6, -1) == 0);
    ck_assert(act_of(cpu, DFN_ACT_RELU6, 7) == 6);
    ck_assert(act_of(cpu, DFN_ACT_RELU6, INFINITY) == 6);
}
END_TEST

/* Distance in units of the last place of the true value, whose magnitude is at least
 * 1e-30; below that, in units of 1e-30 / 8, so that 8 is the limit everywhere. */
static double act_ulps(double want, float got)
{
    const float nearest = (float)fabs(want);
    uint32_t bits;
    float ulp = 1e-30f / 8;
    memcpy(&bits, &nearest, sizeof bits);
    if (nearest >= 1e-30f) {
        bits = (bits & 0x7f800000u) - (23u << 23);
        memcpy(&ulp, &bits, sizeof ulp);
    }
    return got == want ? 0 : fabs(got - want) / ulp;
}

#define LEVELS (sizeof levels / sizeof *levels)

/* What the kernels of each level make of these values. */
static void check_acts(const struct dfn_kernels *k, const float *x,
                       double worst[LEVELS][2])
{
    static const float in[1] = {0}, weights[ACT_VALUES] = {0};
    double want[2][ACT_VALUES];
    float out[ACT_VALUES];
    for (int i = 0; i < ACT_VALUES; i++) {
        want[1][i] = 1 / (1 + exp(-(double)x[i]));
        want[0][i] = x[i] / (1 + exp(-(double)x[i]));
    }
    for (size_t level = 0; level < LEVELS; level++)
        for (int which = 0; which < 2; which++) {
            const enum dfn_act act = which ? DFN_ACT_SIGMOID : DFN_ACT_SWISH;
            const struct dfn_fc_args a = {in, weights, x, out, 1, ACT_VALUES, act};
            k[level].op[DFN_OP_FC].run(&a, 0, ACT_VALUES);
            for (int i = 0; i < ACT_VALUES; i++) {
                const double off = act_ulps(want[which][i], out[i]);
                if (!(off <= 8))
                    ck_abort_msg("%s of %a: got %a, expected %a, off by %.1f ULP",
                                 which ? "sigmoid" : "swish", (double)x[i],
                                 (double)out[i], want[which][i], off);
                worst[level][which] =
                    off > worst[level][which] ? off : worst[level][which];
            }
        }
}

/* Every 1031st of all floats (a prime stride: all exponents, scattered mantissas);
 * DFN_TEST_ALL_FLOATS=1 takes every one, which is a matter of minutes, and prints how far
 * off the worst is. */
START_TEST(activations_of_every_level)
{
    const char *all = getenv("DFN_TEST_ALL_FLOATS");
    const uint64_t stride = all ? 1 : (1031 * test_stride()) | 1;
    struct dfn_kernels k[LEVELS];
    double worst[LEVELS][2] = {{0}};
    float x[ACT_VALUES];
    for (size_t i = 0; i < LEVELS; i++)
        dfn_kernels_init(&k[i], dfn_cpu_detect() & levels[i]);
    for (uint64_t bits = 0; bits < (uint64_t)1 << 32;) {
        for (int i = 0; i < ACT_VALUES; i++, bits += stride) {
            const uint32_t u = (uint32_t)bits;
            memcpy(&x[i], &u, sizeof x[i]);
            x[i] = isfinite(x[i]) ? x[i] : 0;
        }
        check_acts(k, x, worst);
    }
    for (size_t i = 0; all && i < LEVELS; i++)
        printf("%s: swish off by at most %.3f ULP, sigmoid by %.3f\n",
               k[i].op[DFN_OP_FC].name, worst[i][0], worst[i][1]);
}
END_TEST

/* Swish at the end of tiles, which takes other ways than on its own: all weights are 0,
 * so that each of 5 x 15 pixels is the swish of the biases. */
START_TEST(swish_of_tiles)
{
    static const float zeros[75 * ACT_VALUES];
    static float out[3][75 * ACT_VALUES];
    float x[ACT_VALUES], want[ACT_VALUES];
    struct dfn_pointwise_args one = {.in = zeros, .weight = zeros, .bias = x};
    struct dfn_dwconv_args depthwise = {.in = zeros, .weight = zeros, .bias = x};
    struct dfn_conv_args dense = {.in = zeros, .weight = zeros, .bias = x};
    struct dfn_kernels k;
    dfn_kernels_init(&k, dfn_cpu_detect() & levels[_i]);
    one.out = out[0], one.cin = 16, one.cout = ACT_VALUES, one.pixels = 75;
    depthwise.out = out[1], depthwise.c = ACT_VALUES;
    dense.out = out[2], dense.cin = 3, dense.cout = ACT_VALUES;
    depthwise.h = depthwise.oh = dense.h = dense.oh = 5;
    depthwise.w = depthwise.ow = dense.w = dense.ow = 15;
    depthwise.kernel = dense.kernel = 3;
    depthwise.stride = depthwise.top = depthwise.left = 1;
    dense.stride = dense.top = dense.left = 1;
    one.act = depthwise.act = dense.act = DFN_ACT_SWISH;
    for (uint64_t bits = 0; bits < (uint64_t)1 << 32;) {
        for (int i = 0; i < ACT_VALUES; i++, bits += 262139 * test_stride()) {
            const uint32_t u = (uint32_t)bits;
            memcpy(&x[i], &u, sizeof x[i]);
            x[i] = isfinite(x[i]) ? x[i] : 0;
        }
        act_by_kernel(levels[_i], DFN_ACT_SWISH, x, want);
        k.op[DFN_OP_POINTWISE].run(&one, 0, 75);
        k.op[DFN_OP_DWCONV].run(&depthwise, 0, 5);
        k.op[DFN_OP_CONV].run(&dense, 0, 5);
        for (int o = 0; o < 3; o++)
            for (int i = 0; i < 75 * ACT_VALUES; i++)
                ck_assert_float_eq(out[o][i], want[i % ACT_VALUES]);
    }
}
END_TEST

START_TEST(softmax_far_from_zero)
{
    const float in[6] = {1000, -1000, -3e38f, 3e38f, 5, 5};
    const float want[6] = {1, 0, 0, 1, 0.5f, 0.5f};
    float out[6];
    const struct dfn_softmax_args a = {in, out, 2};
    struct dfn_kernels k;
    dfn_kernels_init(&k, 0);
    k.op[DFN_OP_SOFTMAX].run(&a, 0, 3);
    for (int i = 0; i < 6; i++)
        ck_assert_float_eq(out[i], want[i]);
}
END_TEST

/* A map that is nowhere, or features that are: the vector stays 0, without a division by
 * 0; a sign is kept, and NaN is not hidden. */
START_TEST(rootnorm_of_nothing)
{
    const float in[9] = {0, -0.0f, 0, 0, -4e-30f, 0, 1, NAN, 2};
    float out[9];
    const struct dfn_rootnorm_args a = {in, out, 3, 100};
    struct dfn_kernels k;
    dfn_kernels_init(&k, 0);
    k.op[DFN_OP_ROOTNORM].run(&a, 0, 3);
    for (int i = 0; i < 6; i++)
        ck_assert_float_eq(out[i], i == 4 ? -100 : 0);
    for (int i = 6; i < 9; i++)
        ck_assert(isnan(out[i]));
}
END_TEST

START_TEST(every_operation_has_a_kernel_at_mask_0)
{
    struct dfn_kernels k;
    dfn_kernels_init(&k, 0);
    for (int op = 0; op < DFN_OPS; op++)
        ck_assert(k.op[op].run || (op == DFN_OP_POINTWISE_BLAS && !dfn_blas_threads()));
}
END_TEST

int main(void)
{
    size_t count;
    dfn_kernel_rows(&count);
    Suite *s = suite_create("kernels");
    TCase *t = tcase_create("kernels");
    tcase_set_timeout(t, 600);
    tcase_add_loop_test(t, random_shapes, 0, (int)count);
    tcase_add_test(t, depthwise_counts_and_shifts);
    tcase_add_test(t, pointwise_by_the_identity_copies);
    tcase_add_loop_test(t, packing_in_pieces_is_packing, 0, 200);
    tcase_add_test(t, softmax_far_from_zero);
    tcase_add_test(t, rootnorm_of_nothing);
    tcase_add_test(t, every_operation_has_a_kernel_at_mask_0);
    suite_add_tcase(s, t);
    t = tcase_create("activations");
    tcase_set_timeout(t, 7200);
    tcase_add_loop_test(t, activations_at_their_edges, 0, 3);
    tcase_add_test(t, activations_of_every_level);
    tcase_add_loop_test(t, swish_of_tiles, 0, 3);
    suite_add_tcase(s, t);
    return run_suite(s);
}
