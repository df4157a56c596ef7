/* build.c - from blocks to steps. Called once for each session (plan.h).
 *
 *   stem conv -> blocks -> head pointwise -> pool -> classifier
 *
 *   MBConv:   [[frames ->] expand pointwise] -> depthwise -> [pool -> fc -> fc]
 *             -> project
 *   Fused:    conv -> [project]
 *   a gate behind a block:   pointwise to one channel -> scale
 *   WS-DAN, for the pool:    pointwise to the maps -> prelu of slope 0 -> bilinear
 *                            -> rootnorm
 *
 * Each step writes a value of its own. The last step of a residual block adds the
 * block's input. Squeeze-excite has no pass over the depthwise convolution's output: that
 * sums its rows as it writes them, the pool adds these sums, and project applies the gate
 * to what it reads, in place. */
#include "lib/plan/plan.h"

#include "kernels/cpu.h"
#include "lib/base/mem.h"
#include "lib/base/pool.h"
#include "lib/plan/packcache.h"

#include <stdio.h>
#include <string.h>

/* A step below this many multiply-adds is done sooner by one thread than handed out. */
#define SPLIT_MACS 100000u
/* frames, expand, depthwise, pool, two fc, project */
#define STEPS_OF_BLOCK 7
/* stem, head, pool, classifier; two of a gate; three more of WS-DAN */
#define OTHER_STEPS 9
/* one for each of these, and the sums of depthwise */
#define VALUES_OF_BLOCK 8
/* What bilinear pooling is multiplied by, in all published networks. */
#define WSDAN_SCALE 100.0

struct builder {
    struct dfn_plan *plan;
    const ef_model *model;
    enum dfn_act act;
    int stride2; /* stride-2 layers met so far */
    int block;   /* -1 outside blocks          */
    ef_error *err;
};

static int add_value(struct builder *b, int h, int w, int c)
{
    struct dfn_plan *p = b->plan;
    p->values[p->nvalues] = (struct dfn_value){h, w, c};
    return p->nvalues++;
}

/* A new step with its values; the caller fills args. */
static struct dfn_step *add_step(struct builder *b, const char *what, enum dfn_op op,
                                 int in, int residual, int out)
{
    struct dfn_plan *p = b->plan;
    struct dfn_step *s = &p->steps[p->nsteps++];
    s->kernel = &p->kernels.op[op];
    s->in = in;
    s->residual = residual;
    s->gate = s->sums = -1;
    s->out = out;
    if (b->block < 0)
        snprintf(s->name, sizeof s->name, "%s", what);
    else
        snprintf(s->name, sizeof s->name, "blocks.%d.%s", b->block, what);
    return s;
}

static uint64_t mul3(int a, int b, int c)
{
    return (uint64_t)a * (uint64_t)b * (uint64_t)c;
}

/* Weight in the kernel's layout, and bias (the role after the weight's, see arch.h). */
static ef_status get_weights(struct builder *b, struct dfn_step *s, enum dfn_role role,
                             int cout, int cin, int kernel, const float **weight,
                             const float **bias)
{
    const struct dfn_pack_want want = {b->block, role, s->kernel->layout,
                                       cout,     cin,  kernel};
    *bias = dfn_model_weight(b->model, b->block, role + 1);
    s->weight_floats = (size_t)mul3(cout, cin, kernel * kernel) + (size_t)cout;
    return dfn_pack_get(b->model, &want, weight, b->err);
}

/* Padding and output size of one k x k layer; stride 2 consumes one entry of the padding
 * list. */
struct geometry {
    int top, left, oh, ow;
};

static ef_status place(struct builder *b, const struct dfn_value *in, int kernel,
                       int stride, struct geometry *g)
{
    int bottom = kernel / 2, right = kernel / 2;
    g->top = g->left = kernel / 2;
    if (stride == 2) {
        const struct dfn_meta *m = &b->model->meta;
        dfn_meta_padding(m, b->stride2, kernel, in->h, &g->top, &bottom);
        dfn_meta_padding(m, b->stride2, kernel, in->w, &g->left, &right);
        b->stride2++;
    }
    const int h = in->h + g->top + bottom, w = in->w + g->left + right;
    if (h < kernel || w < kernel)
        return dfn_fail(b->err, EF_E_ARG, "input size",
                        "%dx%d leaves nothing for a %dx%d convolution of this network",
                        b->plan->height, b->plan->width, kernel, kernel);
    g->oh = (h - kernel) / stride + 1;
    g->ow = (w - kernel) / stride + 1;
    return EF_OK;
}

static ef_status add_conv(struct builder *b, const char *what, enum dfn_role role, int in,
                          int residual, int cout, int kernel, int stride, int *out)
{
    const struct dfn_value v = b->plan->values[in];
    struct geometry g = {0};
    ef_status st = place(b, &v, kernel, stride, &g);
    if (st)
        return st;
    *out = add_value(b, g.oh, g.ow, cout);
    struct dfn_step *s = add_step(b, what, DFN_OP_CONV, in, residual, *out);
    s->args.conv = (struct dfn_conv_args){.h = v.h,
                                          .w = v.w,
                                          .cin = v.c,
                                          .oh = g.oh,
                                          .ow = g.ow,
                                          .cout = cout,
                                          .kernel = kernel,
                                          .stride = stride,
                                          .top = g.top,
                                          .left = g.left,
                                          .act = b->act};
    s->items = (size_t)g.oh;
    s->macs = mul3(g.oh, g.ow, cout) * mul3(v.c, kernel, kernel);
    return get_weights(b, s, role, cout, v.c, kernel, &s->args.conv.weight,
                       &s->args.conv.bias);
}

static ef_status add_dwconv(struct builder *b, int in, int kernel, int stride, int *out)
{
    const struct dfn_value v = b->plan->values[in];
    struct geometry g = {0};
    ef_status st = place(b, &v, kernel, stride, &g);
    if (st)
        return st;
    *out = add_value(b, g.oh, g.ow, v.c);
    struct dfn_step *s = add_step(b, "depthwise", DFN_OP_DWCONV, in, -1, *out);
    s->args.dwconv = (struct dfn_dwconv_args){.h = v.h,
                                              .w = v.w,
                                              .c = v.c,
                                              .oh = g.oh,
                                              .ow = g.ow,
                                              .kernel = kernel,
                                              .stride = stride,
                                              .top = g.top,
                                              .left = g.left,
                                              .act = b->act};
    s->items = (size_t)g.oh;
    s->macs = mul3(g.oh, g.ow, v.c) * mul3(1, kernel, kernel);
    return get_weights(b, s, DFN_DEPTHWISE_W, v.c, 1, kernel, &s->args.dwconv.weight,
                       &s->args.dwconv.bias);
}

static ef_status add_pointwise(struct builder *b, const char *what, enum dfn_role role,
                               int in, int residual, int cout, enum dfn_act act, int *out)
{
    const struct dfn_value v = b->plan->values[in];
    *out = add_value(b, v.h, v.w, cout);
    struct dfn_step *s = add_step(b, what, b->plan->pointwise, in, residual, *out);
    s->args.pointwise = (struct dfn_pointwise_args){
        .cin = v.c, .cout = cout, .act = act, .pixels = v.h * v.w};
    s->items = (size_t)v.h * (size_t)v.w;
    s->macs = mul3(v.h, v.w, cout) * (uint64_t)v.c;
    return get_weights(b, s, role, cout, v.c, 1, &s->args.pointwise.weight,
                       &s->args.pointwise.bias);
}

/* The mean of count pixels, which `in` holds or whose rows it has the sums of. */
static int add_pool(struct builder *b, const char *what, int in, int count)
{
    const struct dfn_value v = b->plan->values[in];
    const int out = add_value(b, 1, 1, v.c);
    struct dfn_step *s = add_step(b, what, DFN_OP_POOL, in, -1, out);
    s->args.pool =
        (struct dfn_pool_args){.pixels = v.h * v.w, .c = v.c, .count = (double)count};
    s->items = (size_t)v.c;
    return out;
}

static ef_status add_fc(struct builder *b, const char *what, enum dfn_role role, int in,
                        int cout, enum dfn_act act, int *out)
{
    const int cin = b->plan->values[in].c;
    *out = add_value(b, 1, 1, cout);
    struct dfn_step *s = add_step(b, what, DFN_OP_FC, in, -1, *out);
    s->args.fc = (struct dfn_fc_args){.cin = cin, .cout = cout, .act = act};
    s->items = (size_t)cout;
    s->macs = mul3(cin, cout, 1);
    return get_weights(b, s, role, cout, cin, 1, &s->args.fc.weight, &s->args.fc.bias);
}

/* The pixels of three frames, one behind the other. */
static void add_frames(struct builder *b, int *x)
{
    const struct dfn_value v = b->plan->values[*x];
    const int out = add_value(b, v.h, v.w, 3 * v.c);
    struct dfn_step *s = add_step(b, "frames", DFN_OP_FRAMES, *x, -1, out);
    s->args.frames = (struct dfn_frames_args){
        .frames = b->plan->frames, .pixels = v.h * v.w, .c = v.c};
    s->items = (size_t)v.h * (size_t)v.w;
    *x = out;
}

/* Each pixel times the sigmoid of its own weighted sum. */
static ef_status add_gate(struct builder *b, int *x)
{
    const struct dfn_value v = b->plan->values[*x];
    int by;
    const ef_status st =
        add_pointwise(b, "gate", DFN_GATE_W, *x, -1, 1, DFN_ACT_SIGMOID, &by);
    if (st)
        return st;
    const int out = add_value(b, v.h, v.w, v.c);
    struct dfn_step *s = add_step(b, "gated", DFN_OP_SCALE, *x, -1, out);
    s->gate = by;
    s->args.scale = (struct dfn_scale_args){.c = v.c};
    s->items = (size_t)v.h * (size_t)v.w;
    *x = out;
    return EF_OK;
}

/* Attention maps, the features under each, normalised. */
static ef_status add_attention(struct builder *b, int maps, int *x)
{
    static const float zeros[DFN_MAX_MAPS];
    const struct dfn_value v = b->plan->values[*x];
    int sums;
    const ef_status st = add_pointwise(b, "attention.conv", DFN_ATTENTION_W, *x, -1, maps,
                                       DFN_ACT_NONE, &sums);
    if (st)
        return st;
    struct dfn_plan *p = b->plan;
    p->map_step = p->nsteps;
    p->maps = add_value(b, v.h, v.w, maps);
    struct dfn_step *s = add_step(b, "attention", DFN_OP_PRELU, sums, -1, p->maps);
    s->args.prelu = (struct dfn_prelu_args){.slope = zeros, .c = maps};
    s->items = (size_t)v.h * (size_t)v.w;

    const int pooled = add_value(b, 1, maps, v.c);
    s = add_step(b, "pooled", DFN_OP_BILINEAR, *x, -1, pooled);
    s->gate = p->maps;
    s->args.bilinear =
        (struct dfn_bilinear_args){.pixels = v.h * v.w, .maps = maps, .c = v.c};
    s->items = (size_t)maps * (size_t)v.c;
    s->macs = mul3(v.h * v.w, maps, v.c);

    *x = add_value(b, 1, 1, maps * v.c);
    s = add_step(b, "parts", DFN_OP_ROOTNORM, pooled, -1, *x);
    s->args.rootnorm = (struct dfn_rootnorm_args){.c = maps * v.c, .scale = WSDAN_SCALE};
    s->items = 1;
    return EF_OK;
}

/* After the step that wrote `in`, a depthwise convolution. */
static ef_status add_squeeze_excite(struct builder *b, int in, int squeezed, int *gate)
{
    const struct dfn_value v = b->plan->values[in];
    const int sums = add_value(b, v.h, 1, v.c);
    b->plan->steps[b->plan->nsteps - 1].sums = sums;
    const int mean = add_pool(b, "se.pool", sums, v.h * v.w);
    int reduced;
    const ef_status st =
        add_fc(b, "se.reduce", DFN_SE_REDUCE_W, mean, squeezed, b->act, &reduced);
    return st ? st
              : add_fc(b, "se", DFN_SE_EXPAND_W, reduced, v.c, DFN_ACT_SIGMOID, gate);
}

static ef_status add_block(struct builder *b, const struct dfn_block *k, int *x)
{
    const int input = *x, residual = k->residual ? input : -1;
    int gate = -1;
    ef_status st = EF_OK;

    if (k->fused && k->expand == 1)
        return add_conv(b, "conv", DFN_CONV_W, input, residual, k->cout, k->kernel,
                        k->stride, x);
    if (k->fused) {
        st = add_conv(b, "conv", DFN_CONV_W, input, -1, k->mid, k->kernel, k->stride, x);
    } else {
        if (k->expand != 1 && b->plan->frames > 1)
            add_frames(b, x);
        if (k->expand != 1)
            st = add_pointwise(b, "expand", DFN_EXPAND_W, *x, -1, k->mid, b->act, x);
        if (!st)
            st = add_dwconv(b, *x, k->kernel, k->stride, x);
        if (!st && k->squeezed)
            st = add_squeeze_excite(b, *x, k->squeezed, &gate);
    }
    if (!st)
        st = add_pointwise(b, "project", DFN_PROJECT_W, *x, residual, k->cout,
                           DFN_ACT_NONE, x);
    if (!st)
        b->plan->steps[b->plan->nsteps - 1].gate = gate;
    return st;
}

static ef_status add_network(struct builder *b)
{
    const struct dfn_arch *a = &b->model->arch;
    int x = add_value(b, b->plan->height, b->plan->width, 3);

    b->block = -1;
    ef_status st = add_conv(b, "stem", DFN_STEM_W, x, -1, a->stem, 3, 2, &x);
    for (int i = 0; i < b->model->nblocks && !st; i++) {
        b->block = i;
        st = add_block(b, &b->model->blocks[i], &x);
        b->block = -1;
        if (!st && i + 1 == a->gate)
            st = add_gate(b, &x);
    }
    if (!st)
        st = add_pointwise(b, "head", DFN_HEAD_W, x, -1, a->head, b->act, &x);
    if (!st && a->maps)
        st = add_attention(b, a->maps, &x);
    if (st)
        return st;
    const struct dfn_value *map = &b->plan->values[x];
    if (!a->maps)
        x = add_pool(b, "pool", x, map->h * map->w);
    return add_fc(b, "classifier", DFN_CLASSIFIER_W, x, a->outputs, DFN_ACT_NONE, &x);
}

/* Bytes of a value; false if they cannot be counted. A batch goes through the network
 * image by image (run.c): only what comes in and goes out is there for all of them,
 * unless a tap wants to see whole batches. */
static bool value_bytes(const struct dfn_plan *p, int v, size_t *out)
{
    const struct dfn_value *x = &p->values[v];
    const bool all = p->whole || v == 0 || v == p->nvalues - 1 || v == p->maps;
    size_t n = (size_t)(all ? p->batch : p->frames);
    return dfn_mul_size(n, (size_t)x->h, &n) && dfn_mul_size(n, (size_t)x->w, &n) &&
           dfn_mul_size(n, (size_t)x->c, &n) && dfn_mul_size(n, sizeof(float), &n) &&
           n <= SIZE_MAX / 4 && (*out = dfn_align_up(n), true);
}

/* A pointwise step that may disappear into the depthwise step d behind it: nothing is
 * added to it, it changes nothing, and nobody else reads what it writes. In blocks
 * without an expand the step in front of d is the project of the block before. */
static bool can_be_inner(const struct dfn_plan *p, const struct dfn_step *e,
                         const struct dfn_step *d)
{
    if (e->kernel->op != DFN_OP_POINTWISE || d->kernel->op != DFN_OP_DWCONV ||
        e->out != d->in || e->residual >= 0 || e->gate >= 0)
        return false;
    for (int i = 0; i < p->nsteps; i++) {
        const struct dfn_step *s = &p->steps[i];
        if (s != d && (s->in == e->out || s->residual == e->out || s->gate == e->out))
            return false;
    }
    return true;
}

/* Marks the expands whose depthwise convolution does them inside, and allocates scratch
 * memory for these: a part for each thread. */
static ef_status fuse(struct dfn_plan *p, const ef_options *opt, ef_error *err)
{
    const int threads = dfn_pool_size(opt);
    size_t most = 0;
    for (int i = 1; i < p->nsteps; i++) {
        struct dfn_step *e = &p->steps[i - 1], *d = &p->steps[i];
        if (!can_be_inner(p, e, d) || !dfn_fused_pays(&d->args.dwconv))
            continue;
        const size_t floats = dfn_fused_floats(&d->args.dwconv);
        most = floats > most ? floats : most;
        e->inner = true;
        d->fused = (struct dfn_fused){.expand_kernel = e->kernel,
                                      .depthwise_kernel = d->kernel,
                                      .expand = &e->args.pointwise,
                                      .depthwise = &d->args.dwconv,
                                      .parts = threads};
    }
    if (!most)
        return EF_OK;
    const size_t bytes = dfn_align_up(most * sizeof(float)) * (size_t)threads;
    p->scratch = dfn_alloc(&opt->allocator, bytes);
    if (!p->scratch)
        return dfn_fail(err, EF_E_NOMEM, "session", "no memory for %zu bytes", bytes);
    p->bytes += dfn_alloc_cost(bytes);
    for (int i = 0; i < p->nsteps; i++)
        p->steps[i].fused.scratch = p->scratch;
    return EF_OK;
}

/* Step i needs the value v. */
static void use_value(struct dfn_plan *p, int v, int i)
{
    if (v < 0)
        return;
    struct dfn_life *l = &p->lives[v];
    l->first = i < l->first ? i : l->first;
    l->last = i > l->last ? i : l->last;
}

/* Lives and places; the sum of all values must be countable, or offsets could wrap. */
static ef_status place_values(struct dfn_plan *p, const ef_allocator *a, ef_error *err)
{
    size_t total = 0;
    for (int v = 0; v < p->nvalues; v++) {
        size_t size;
        if (!value_bytes(p, v, &size) || !dfn_add_size(total, size, &total))
            return dfn_fail(err, EF_E_LIMIT, "session",
                            "a batch of %d inputs of %dx%d is too large", p->batch,
                            p->height, p->width);
        p->lives[v] = (struct dfn_life){.size = size, .first = p->nsteps, .last = -1};
    }
    /* Written before the first step. In a batch the first image is done before the last
     * one begins (run.c): inputs and logits then live all the time. */
    p->lives[0].first = 0;
    if (p->batch > p->frames) {
        p->lives[0].last = p->nsteps - 1;
        p->lives[p->nvalues - 1].first = 0;
    }
    /* Who looks again crops the input by the maps of the first look. */
    if (p->maps >= 0) {
        p->lives[p->maps].last = p->nsteps - 1;
        if (p->batch > p->frames)
            p->lives[p->maps].first = 0;
        if (p->model->meta.look)
            p->lives[0].last = p->nsteps - 1;
    }
    for (int i = 0; i < p->nsteps; i++) {
        const struct dfn_step *s = &p->steps[i];
        if (s->inner) {
            use_value(p, s->in, i + 1);
            p->lives[s->out].size = 0;
            continue;
        }
        const int used[5] = {s->fused.parts ? -1 : s->in, s->out, s->residual, s->gate,
                             s->sums};
        for (int j = 0; j < 5; j++)
            use_value(p, used[j], i);
    }
    int *order = dfn_alloc(a, (size_t)p->nvalues * sizeof *order);
    if (!order)
        return dfn_fail(err, EF_E_NOMEM, "session", "no memory to plan %d values",
                        p->nvalues);
    p->arena_bytes = dfn_memplan(p->lives, p->nvalues, order);
    dfn_free(a, order);
    p->arena = dfn_alloc(a, p->arena_bytes);
    if (!p->arena)
        return dfn_fail(err, EF_E_NOMEM, "session",
                        "no memory for %zu bytes of activations", p->arena_bytes);
    return EF_OK;
}

struct dfn_work dfn_step_work(const struct dfn_plan *p, int step, struct dfn_call *call)
{
    const struct dfn_step *s = &p->steps[step];
    const int in = s->fused.parts ? p->steps[step - 1].in : s->in;
    struct dfn_cut from = {1, 1, 1};
    for (int i = 0; i < step; i++)
        if (p->steps[i].out == in)
            from = p->steps[i].cut;
    *call = dfn_step_call(s);
    const size_t images = (size_t)(p->whole ? p->batch : p->frames);
    return s->fused.parts ? dfn_fused_work(&s->fused, from)
                          : dfn_call_work(call, s->items * images, from);
}

static float *value_or_null(const struct dfn_plan *p, int v)
{
    return v < 0 ? NULL : dfn_plan_value(p, v);
}

/* Gives each step the addresses of its values. */
static void connect(struct dfn_plan *p)
{
    for (int i = 0; i < p->nsteps; i++) {
        struct dfn_step *s = &p->steps[i];
        const float *in = dfn_plan_value(p, s->in);
        const float *residual = value_or_null(p, s->residual);
        float *out = dfn_plan_value(p, s->out);
        switch (s->kernel->op) {
        case DFN_OP_CONV:
            s->args.conv.in = in, s->args.conv.residual = residual;
            s->args.conv.out = out;
            break;
        case DFN_OP_DWCONV:
            s->args.dwconv.in = in, s->args.dwconv.out = out;
            s->args.dwconv.sums = value_or_null(p, s->sums);
            break;
        case DFN_OP_POINTWISE:
        case DFN_OP_POINTWISE_BLAS:
            s->args.pointwise.in = in, s->args.pointwise.residual = residual;
            s->args.pointwise.out = out;
            s->args.pointwise.gate = value_or_null(p, s->gate);
            s->args.pointwise.gated = s->gate < 0 ? NULL : dfn_plan_value(p, s->in);
            break;
        case DFN_OP_POOL:
            s->args.pool.in = in, s->args.pool.out = out;
            break;
        case DFN_OP_FC:
            s->args.fc.in = in, s->args.fc.out = out;
            break;
        case DFN_OP_PRELU:
            s->args.prelu.in = in, s->args.prelu.out = out;
            break;
        case DFN_OP_BILINEAR:
            s->args.bilinear.in = in, s->args.bilinear.out = out;
            s->args.bilinear.map = dfn_plan_value(p, s->gate);
            break;
        case DFN_OP_ROOTNORM:
            s->args.rootnorm.in = in, s->args.rootnorm.out = out;
            break;
        case DFN_OP_SCALE:
            s->args.scale.in = in, s->args.scale.out = out;
            s->args.scale.by = dfn_plan_value(p, s->gate);
            break;
        case DFN_OP_FRAMES:
            s->args.frames.in = in, s->args.frames.out = out;
            break;
        case DFN_OP_CONV3:
        case DFN_OP_MAXPOOL: /* a detector's: lib/detect */
        case DFN_OP_SOFTMAX:
        case DFN_OP_ROWSUM: /* of pixels: lib/image and lib/detect */
        case DFN_OP_AREA:
        case DFN_OP_TAPS_FIXED:
        case DFN_OP_TAPS_FLOAT:
        case DFN_OP_ROWS_FIXED:
        case DFN_OP_ROWS_FLOAT:
        case DFN_OP_ROWS_LINEAR:
        case DFN_OPS:
            break;
        }
    }
}

/* How each step is shared between so many threads. */
static void share(struct dfn_plan *p, int threads)
{
    for (int i = 0; i < p->nsteps; i++) {
        struct dfn_step *s = &p->steps[i];
        s->cut = (struct dfn_cut){1, 1, 1};
        s->split = s->macs + (uint64_t)s->items >= SPLIT_MACS;
        if (s->inner || (!s->split && !s->fused.parts))
            continue;
        struct dfn_call call;
        const struct dfn_work work = dfn_step_work(p, i, &call);
        s->cut = dfn_cut_choose(&work, threads);
        if (s->fused.parts) {
            s->fused.cut = s->cut;
            s->fused.parts = s->cut.ranges * s->cut.slices;
        }
    }
}

/* Who multiplies matrices, and why (shown by explain and logged). */
static ef_status choose_gemm(struct dfn_plan *p, const ef_options *opt, ef_error *err)
{
    const int threads = dfn_blas_threads();
    p->pointwise = DFN_OP_POINTWISE;
    if (opt->gemm == EF_GEMM_NATIVE) {
        p->why = "native matrix product, as asked";
    } else if (opt->gemm == EF_GEMM_OPENBLAS) {
        if (!threads)
            return dfn_fail(err, EF_E_UNSUPPORTED, "options.gemm",
                            "this build of the library has no OpenBLAS");
        p->pointwise = DFN_OP_POINTWISE_BLAS;
        p->why = "OpenBLAS, as asked";
    } else if (p->kernels.op[DFN_OP_POINTWISE].needs) {
        /* benchmarks/README.md has the measurement. */
        p->why = "native matrix product: there is a kernel for this processor";
    } else if (!threads) {
        p->why = "native matrix product: built without OpenBLAS";
    } else if (threads > 1) {
        p->why = "native matrix product: OpenBLAS has more than one thread "
                 "(openblas_set_num_threads(1) in the program would let it in)";
    } else {
        p->pointwise = DFN_OP_POINTWISE_BLAS;
        p->why = "OpenBLAS, which reports one thread";
    }
    return EF_OK;
}

static ef_status allocate_lists(struct dfn_plan *p, int nblocks, const ef_allocator *a,
                                ef_error *err)
{
    const size_t steps = OTHER_STEPS + (size_t)nblocks * STEPS_OF_BLOCK;
    const size_t values = 1 + OTHER_STEPS + (size_t)nblocks * VALUES_OF_BLOCK;
    p->steps = dfn_calloc(a, steps * sizeof *p->steps);
    p->values = dfn_calloc(a, values * sizeof *p->values);
    p->lives = dfn_calloc(a, values * sizeof *p->lives);
    p->bytes = dfn_alloc_cost(steps * sizeof *p->steps) +
               dfn_alloc_cost(values * sizeof *p->values) +
               dfn_alloc_cost(values * sizeof *p->lives);
    if (!p->steps || !p->values || !p->lives)
        return dfn_fail(err, EF_E_NOMEM, "session", "no memory for a plan of %zu steps",
                        steps);
    return EF_OK;
}

static ef_status build(const ef_model *model, const ef_options *opt, bool whole,
                       struct dfn_plan *plan, ef_error *err)
{
    memset(plan, 0, sizeof *plan);
    plan->model = model;
    plan->height = opt->height ? opt->height : model->meta.height;
    plan->width = opt->width ? opt->width : model->meta.width;
    plan->frames = dfn_arch_frames(&model->arch);
    /* Whole sequences. */
    plan->batch = (opt->batch + plan->frames - 1) / plan->frames * plan->frames;
    plan->map_step = plan->maps = -1;
    dfn_kernels_init(&plan->kernels, dfn_cpu_detect() & opt->cpu_mask);

    struct builder b = {.plan = plan,
                        .model = model,
                        .err = err,
                        .act = model->arch.relu6 ? DFN_ACT_RELU6 : DFN_ACT_SWISH};
    ef_status st = choose_gemm(plan, opt, err);
    if (!st)
        st = allocate_lists(plan, model->nblocks, &opt->allocator, err);
    if (!st)
        st = add_network(&b);
    plan->whole = whole;
    if (!st && !whole)
        st = fuse(plan, opt, err);
    if (!st)
        st = place_values(plan, &opt->allocator, err);
    if (st) {
        dfn_plan_free(plan, &opt->allocator);
        return st;
    }
    plan->bytes += dfn_alloc_cost(plan->arena_bytes);
    connect(plan);
    share(plan, dfn_pool_size(opt));
    return EF_OK;
}

ef_status dfn_plan_build(const ef_model *model, const ef_options *opt,
                         struct dfn_plan *plan, ef_error *err)
{
    return build(model, opt, false, plan, err);
}

ef_status dfn_plan_rebuild(struct dfn_plan *plan, const ef_options *opt, bool whole,
                           ef_error *err)
{
    struct dfn_plan fresh;
    if (plan->whole == whole || (whole && !plan->scratch && plan->batch == plan->frames))
        return EF_OK;
    const ef_status st = build(plan->model, opt, whole, &fresh, err);
    if (st)
        return st;
    dfn_plan_free(plan, &opt->allocator);
    *plan = fresh;
    /* Steps point at the kernels of the plan that they were built in. */
    for (int i = 0; i < plan->nsteps; i++) {
        struct dfn_step *s = &plan->steps[i];
        s->kernel = &plan->kernels.op[s->kernel - fresh.kernels.op];
        if (s->fused.parts) {
            s->fused.expand_kernel = plan->steps[i - 1].kernel;
            s->fused.depthwise_kernel = s->kernel;
        }
    }
    return EF_OK;
}

void dfn_plan_free(struct dfn_plan *plan, const ef_allocator *a)
{
    dfn_free(a, plan->steps);
    dfn_free(a, plan->values);
    dfn_free(a, plan->lives);
    dfn_free(a, plan->arena);
    dfn_free(a, plan->scratch);
    memset(plan, 0, sizeof *plan);
}
