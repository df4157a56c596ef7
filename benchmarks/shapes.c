/* shapes.c - see shapes.h. EfficientNets come from the table of B0 (Tan and Le 2019,
 * table 1) and their width and depth; MTCNN's rows are some of its three networks. */
#include "benchmarks/shapes.h"
#include "lib/model/arch.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char shapes_nets[] = "b0@224,b4@380,b7@380,b7@600,lite0@224,mtcnn,attention,pixels";

static const struct {
    const char *name;
    double width, depth;
    bool lite; /* no squeeze-excite, ReLU6; stem, head and outer stages are not scaled */
} variants[] = {{"b0", 1.0, 1.0, false},   {"b1", 1.0, 1.1, false},
                {"b2", 1.1, 1.2, false},   {"b3", 1.2, 1.4, false},
                {"b4", 1.4, 1.8, false},   {"b5", 1.6, 2.2, false},
                {"b6", 1.8, 2.6, false},   {"b7", 2.0, 3.1, false},
                {"lite0", 1.0, 1.0, true}, {"lite4", 1.4, 1.8, true}};

static const struct dfn_stage b0_stages[] = {
    {false, 3, 1, 1, 16, 1, 4},  {false, 3, 2, 6, 24, 2, 4},  {false, 5, 2, 6, 40, 2, 4},
    {false, 3, 2, 6, 80, 3, 4},  {false, 5, 1, 6, 112, 3, 4}, {false, 5, 2, 6, 192, 4, 4},
    {false, 3, 1, 6, 320, 1, 4},
};
#define STAGES (int)(sizeof b0_stages / sizeof *b0_stages)

static const struct shape mtcnn[] = {
    {"mtcnn.p.conv1", DFN_OP_CONV, 64, 640, 3, 10, 3, 1, DFN_ACT_NONE, 1},
    {"mtcnn.p.conv3", DFN_OP_CONV, 32, 320, 16, 32, 3, 1, DFN_ACT_NONE, 1},
    {"mtcnn.r.conv2", DFN_OP_CONV, 11, 11, 28, 48, 3, 1, DFN_ACT_NONE, 1},
    {"mtcnn.p.conv2.3x3", DFN_OP_CONV3, 34, 322, 10, 16, 3, 1, DFN_ACT_NONE, 1},
    {"mtcnn.p.conv3.3x3", DFN_OP_CONV3, 34, 322, 16, 32, 3, 1, DFN_ACT_NONE, 1},
    {"mtcnn.r.conv2.3x3", DFN_OP_CONV3, 11, 11, 28, 48, 3, 1, DFN_ACT_NONE, 1},
    {"mtcnn.o.conv2.3x3", DFN_OP_CONV3, 23, 23, 32, 64, 3, 1, DFN_ACT_NONE, 1},
    {"mtcnn.o.conv3.3x3", DFN_OP_CONV3, 10, 10, 64, 64, 3, 1, DFN_ACT_NONE, 1},
    {"mtcnn.p.conv2", DFN_OP_CONV, 32, 320, 10, 16, 3, 1, DFN_ACT_NONE, 1},
    {"mtcnn.p.pool1", DFN_OP_MAXPOOL, 64, 640, 10, 10, 2, 2, DFN_ACT_NONE, 1},
    {"mtcnn.p.prelu1", DFN_OP_PRELU, 64, 640, 10, 10, 1, 1, DFN_ACT_NONE, 1},
    {"mtcnn.p.softmax", DFN_OP_SOFTMAX, 32, 320, 2, 2, 1, 1, DFN_ACT_NONE, 1},
};

/* WS-DAN on B3 at 300, AutoAttB4 at 224, the sequence network's widest gathering. */
static const struct shape attention[] = {
    {"wsdan.pooled", DFN_OP_BILINEAR, 10, 10, 1536, 8, 1, 1, DFN_ACT_NONE, 1},
    {"wsdan.parts", DFN_OP_ROOTNORM, 1, 1, 12288, 12288, 1, 1, DFN_ACT_NONE, 1},
    {"autoatt.gated", DFN_OP_SCALE, 28, 28, 56, 56, 1, 1, DFN_ACT_NONE, 1},
    {"sequence.frames", DFN_OP_FRAMES, 784, 96, 32, 96, 1, 1, DFN_ACT_NONE, 1},
};

/* Rows of 1280 pixels into the detector's first level, of a cut of 600 into 224: k rows
 * of w pixels, or w pixels to cout of k taps each. */
static const struct shape pixels[] = {
    {"pyramid.rows", DFN_OP_ROWSUM, 3, 1280, 3, 1280, 3, 1, DFN_ACT_NONE, 1},
    {"pyramid.columns", DFN_OP_AREA, 3, 1280, 3, 769, 1, 1, DFN_ACT_NONE, 1},
    {"pillow_bicubic.columns", DFN_OP_TAPS_FIXED, 11, 600, 3, 224, 11, 1, DFN_ACT_NONE,
     1},
    {"opencv_linear.columns", DFN_OP_TAPS_FLOAT, 2, 600, 3, 224, 2, 1, DFN_ACT_NONE, 1},
    {"pillow_bicubic.rows", DFN_OP_ROWS_FIXED, 11, 224, 3, 224, 11, 1, DFN_ACT_NONE, 1},
    {"opencv_cubic.rows", DFN_OP_ROWS_FLOAT, 4, 224, 3, 224, 4, 1, DFN_ACT_NONE, 1},
    {"opencv_linear.rows", DFN_OP_ROWS_LINEAR, 2, 224, 3, 224, 2, 1, DFN_ACT_NONE, 1},
};

/* Channels to a multiple of 8, not below 90 % of the product. */
static int scaled(int channels, double width)
{
    const double c = channels * width;
    int rounded = (int)(c + 4) / 8 * 8;
    rounded = rounded < 8 ? 8 : rounded;
    return rounded < 0.9 * c ? rounded + 8 : rounded;
}

static bool find_arch(const char *name, size_t length, struct dfn_arch *arch)
{
    for (size_t v = 0; v < sizeof variants / sizeof *variants; v++) {
        const double width = variants[v].width, depth = variants[v].depth;
        const bool lite = variants[v].lite;
        if (strlen(variants[v].name) != length || strncmp(name, variants[v].name, length))
            continue;
        *arch = (struct dfn_arch){.relu6 = lite,
                                  .stem = lite ? 32 : scaled(32, width),
                                  .head = lite ? 1280 : scaled(1280, width),
                                  .outputs = 1000,
                                  .nstages = STAGES};
        for (int i = 0; i < STAGES; i++) {
            const bool outer = lite && (i == 0 || i == STAGES - 1);
            arch->stages[i] = b0_stages[i];
            arch->stages[i].channels = scaled(b0_stages[i].channels, width);
            if (!outer)
                arch->stages[i].repeats = (int)ceil(b0_stages[i].repeats * depth);
            if (lite)
                arch->stages[i].se = 0;
        }
        return true;
    }
    return false;
}

/* Adds a shape, or counts it with one that is equal. */
static void add(struct shape *out, int *n, const struct shape *s)
{
    for (int i = 0; i < *n; i++) {
        const struct shape *o = &out[i];
        if (o->op == s->op && o->h == s->h && o->w == s->w && o->cin == s->cin &&
            o->cout == s->cout && o->k == s->k && o->stride == s->stride &&
            o->act == s->act) {
            out[i].count++;
            return;
        }
    }
    if (*n < MAX_SHAPES) {
        out[*n] = *s;
        out[(*n)++].count = 1;
    }
}

/* One block's layers; side: rows and columns of its input. Returns its output's. */
static int add_block(struct shape *out, int *n, const char *net, int index,
                     const struct dfn_block *b, int side, enum dfn_act act)
{
    const int oside = (side + b->stride - 1) / b->stride;
    const struct {
        const char *name;
        struct shape s;
    } layers[] = {
        {"expand", {"", DFN_OP_POINTWISE, side, side, b->cin, b->mid, 1, 1, act, 1}},
        {"depthwise",
         {"", DFN_OP_DWCONV, side, side, b->mid, b->mid, b->kernel, b->stride, act, 1}},
        /* of the rows' sums that the depthwise convolution leaves */
        {"se.pool", {"", DFN_OP_POOL, oside, 1, b->mid, b->mid, 1, 1, DFN_ACT_NONE, 1}},
        {"se.reduce", {"", DFN_OP_FC, 1, 1, b->mid, b->squeezed, 1, 1, act, 1}},
        {"se", {"", DFN_OP_FC, 1, 1, b->squeezed, b->mid, 1, 1, DFN_ACT_SIGMOID, 1}},
        {"project",
         {"", DFN_OP_POINTWISE, oside, oside, b->mid, b->cout, 1, 1, DFN_ACT_NONE, 1}},
    };
    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++) {
        struct shape s = layers[i].s;
        const bool excites = !strncmp(layers[i].name, "se", 2);
        if ((!strcmp(layers[i].name, "expand") && b->expand == 1) ||
            (excites && !b->squeezed))
            continue;
        snprintf(s.layer, sizeof s.layer, "%s.%d.%s", net, index, layers[i].name);
        add(out, n, &s);
    }
    return oside;
}

int shapes_of(const char *net, struct shape *out)
{
    struct dfn_arch arch;
    int n = 0;
    if (!strcmp(net, "mtcnn")) {
        memcpy(out, mtcnn, sizeof mtcnn);
        return (int)(sizeof mtcnn / sizeof *mtcnn);
    }
    if (!strcmp(net, "attention")) {
        memcpy(out, attention, sizeof attention);
        return (int)(sizeof attention / sizeof *attention);
    }
    if (!strcmp(net, "pixels")) {
        memcpy(out, pixels, sizeof pixels);
        return (int)(sizeof pixels / sizeof *pixels);
    }
    const char *at = strchr(net, '@');
    int side = at ? atoi(at + 1) : 0;
    if (strlen(net) > 16 || side < 32 || side > 4096 ||
        !find_arch(net, (size_t)(at - net), &arch))
        return 0;
    static struct dfn_block blocks[DFN_MAX_BLOCKS];
    const int nblocks = dfn_arch_blocks(&arch, blocks);
    const enum dfn_act act = arch.relu6 ? DFN_ACT_RELU6 : DFN_ACT_SWISH;
    struct shape s = {"", DFN_OP_CONV, side, side, 3, arch.stem, 3, 2, act, 1};
    snprintf(s.layer, sizeof s.layer, "%s.stem", net);
    add(out, &n, &s);
    side = (side + 1) / 2;
    for (int i = 0; i < nblocks; i++)
        side = add_block(out, &n, net, i, &blocks[i], side, act);
    const int last = blocks[nblocks - 1].cout;
    s = (struct shape){"", DFN_OP_POINTWISE, side, side, last, arch.head, 1, 1, act, 1};
    snprintf(s.layer, sizeof s.layer, "%s.head", net);
    add(out, &n, &s);
    s = (struct shape){"",        DFN_OP_POOL, side, side,         arch.head,
                       arch.head, 1,           1,    DFN_ACT_NONE, 1};
    snprintf(s.layer, sizeof s.layer, "%s.pool", net);
    add(out, &n, &s);
    s = (struct shape){"", DFN_OP_FC,    1, 1, arch.head, arch.outputs, 1,
                       1,  DFN_ACT_NONE, 1};
    snprintf(s.layer, sizeof s.layer, "%s.classifier", net);
    add(out, &n, &s);
    return n;
}
