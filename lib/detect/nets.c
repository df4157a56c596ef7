/* nets.c - see nets.h. The layers' order and shapes are FORMAT.md's, section 7.
 *
 * P-Net slides over pictures of millions of pixels, so its maps are never held whole. A
 * band of BAND output rows goes through all layers at once, and what neighbouring bands
 * share moves to the front of each buffer:
 *
 *   input          conv1           pool         conv2        conv3
 *   2 BAND + 10 -> 2 BAND + 8   -> BAND + 4  -> BAND + 2  -> BAND rows -> face, box
 *   keeps 2                        keeps 2      keeps 2
 *
 * Bands begin at even rows, as conv3's tiles do, so that threads change no bits.
 * At 1920 pixels these buffers have 4 MB together, and stay in the caches. */
#include "lib/detect/nets.h"

#include "lib/base/mem.h"

#include <assert.h>
#include <string.h>

#define BAND 8

/* ---- weights ---- */

/* Weight of the layer as [cout][cin][k][k]; fully connected ones become 1 x 1, and the
 * first of them, whose input is a map in [x][y][channel] order, gets NHWC columns. */
static void plain_weight(const ef_model *m, enum dfn_detector_layer layer, int side,
                         float *out)
{
    const struct dfn_detector_shape *s = dfn_detector_shape(layer);
    const float *w = dfn_detector_weight(m, layer, DFN_WEIGHT);
    const size_t k = s->kernel ? (size_t)s->kernel : 1;
    const size_t cin = (size_t)s->cin, row = cin * k * k;
    if (!side) {
        memcpy(out, w, (size_t)s->cout * row * sizeof *out);
        return;
    }
    const size_t n = (size_t)side, c = cin / (n * n);
    for (size_t o = 0; o < (size_t)s->cout; o++)
        for (size_t y = 0; y < n; y++)
            for (size_t x = 0; x < n; x++)
                memcpy(out + ((o * n + y) * n + x) * c, w + ((o * n + x) * n + y) * c,
                       c * sizeof *out);
}

/* Layers first..last as one: their outputs follow one another. side: see plain_weight().
 * */
struct group {
    enum dfn_detector_layer first, last;
    int side;
};

static const struct group groups[] = {
    {DFN_P_CONV1, DFN_P_CONV1, 0}, {DFN_P_CONV2, DFN_P_CONV2, 0},
    {DFN_P_CONV3, DFN_P_CONV3, 0}, {DFN_P_FACE, DFN_P_BOX, 0},
    {DFN_R_CONV1, DFN_R_CONV1, 0}, {DFN_R_CONV2, DFN_R_CONV2, 0},
    {DFN_R_CONV3, DFN_R_CONV3, 0}, {DFN_R_DENSE4, DFN_R_DENSE4, 3},
    {DFN_R_FACE, DFN_R_BOX, 0},    {DFN_O_CONV1, DFN_O_CONV1, 0},
    {DFN_O_CONV2, DFN_O_CONV2, 0}, {DFN_O_CONV3, DFN_O_CONV3, 0},
    {DFN_O_CONV4, DFN_O_CONV4, 0}, {DFN_O_DENSE5, DFN_O_DENSE5, 3},
    {DFN_O_FACE, DFN_O_POINTS, 0},
};
#define GROUPS (sizeof groups / sizeof groups[0])
/* onet.dense5, the largest. */
#define MOST_WEIGHTS (256 * 1152)

static int outputs_of(const struct group *g)
{
    int n = 0;
    for (enum dfn_detector_layer l = g->first; l <= g->last; l++)
        n += dfn_detector_shape(l)->cout;
    return n;
}

static size_t up(size_t floats)
{
    return dfn_align_up(floats * sizeof(float)) / sizeof(float);
}

/* Of 3 x 3 filters, the picture's own three channels are too few to be worth tiles. */
static enum dfn_op op_of(const struct dfn_detector_shape *s)
{
    if (s->kernel < 2)
        return DFN_OP_POINTWISE;
    return s->kernel == 3 && s->cin > 3 ? DFN_OP_CONV3 : DFN_OP_CONV;
}

static enum dfn_layout layout_of(const struct dfn_nets *nets, const struct group *g)
{
    return nets->kernels.op[op_of(dfn_detector_shape(g->first))].layout;
}

static size_t packed_floats(const struct dfn_nets *nets, const struct group *g)
{
    const struct dfn_detector_shape *s = dfn_detector_shape(g->first);
    return dfn_pack_count(layout_of(nets, g), outputs_of(g), s->cin,
                          s->kernel ? s->kernel : 1);
}

/* Packs a group at `at`; plain: [MOST_WEIGHTS]. Returns the end. */
static float *pack_group(struct dfn_nets *nets, const ef_model *m, const struct group *g,
                         float *plain, float *at)
{
    const struct dfn_detector_shape *s = dfn_detector_shape(g->first);
    const int k = s->kernel ? s->kernel : 1, cout = outputs_of(g);
    float *weight = at, *bias = at + up(packed_floats(nets, g)), *to = plain, *b = bias;
    for (enum dfn_detector_layer l = g->first; l <= g->last; l++) {
        const size_t n = (size_t)dfn_detector_shape(l)->cout;
        plain_weight(m, l, g->side, to);
        to += n * (size_t)(s->cin * k * k);
        memcpy(b, dfn_detector_weight(m, l, DFN_BIAS), n * sizeof *b);
        b += n;
    }
    dfn_pack(layout_of(nets, g), cout, s->cin, k, plain, weight);
    nets->layers[g->first] =
        (struct dfn_net_layer){weight, bias, dfn_detector_weight(m, g->first, DFN_SLOPE)};
    return bias + up((size_t)cout);
}

ef_status dfn_nets_create(const ef_model *model, uint32_t cpu, const ef_allocator *a,
                          struct dfn_nets *nets, ef_error *err)
{
    size_t floats = 0;
    memset(nets, 0, sizeof *nets);
    dfn_kernels_init(&nets->kernels, cpu);
    for (size_t i = 0; i < GROUPS; i++)
        floats +=
            up(packed_floats(nets, &groups[i])) + up((size_t)outputs_of(&groups[i]));
    nets->bytes = floats * sizeof(float);
    nets->store = dfn_calloc(a, nets->bytes);
    float *plain = dfn_alloc(a, MOST_WEIGHTS * sizeof(float));
    if (!nets->store || !plain) {
        dfn_free(a, plain);
        dfn_nets_free(nets, a);
        return dfn_fail(err, EF_E_NOMEM, "detector", "no memory for %zu bytes of weights",
                        floats * sizeof(float));
    }
    float *at = nets->store;
    for (size_t i = 0; i < GROUPS; i++)
        at = pack_group(nets, model, &groups[i], plain, at);
    dfn_free(a, plain);
    return EF_OK;
}

void dfn_nets_free(struct dfn_nets *nets, const ef_allocator *a)
{
    dfn_free(a, nets->store);
    memset(nets, 0, sizeof *nets);
}

/* ---- one layer ---- */

/* A map of one picture. */
struct map {
    float *v; /* [h][w][c] */
    int h, w, c;
};

/* Valid convolution and PReLU: rows rows of out from in; sets out's width and channels.
 * */
static void conv(const struct dfn_nets *nets, enum dfn_detector_layer layer,
                 const struct map *in, int rows, struct map *out)
{
    const struct dfn_net_layer *l = &nets->layers[layer];
    const struct dfn_detector_shape *s = dfn_detector_shape(layer);
    out->h = rows;
    out->w = in->w - s->kernel + 1;
    out->c = s->cout;
    const struct dfn_conv_args a = {.in = in->v,
                                    .weight = l->weight,
                                    .bias = l->bias,
                                    .out = out->v,
                                    .h = in->h,
                                    .w = in->w,
                                    .cin = in->c,
                                    .oh = out->h,
                                    .ow = out->w,
                                    .cout = out->c,
                                    .kernel = s->kernel,
                                    .stride = 1,
                                    .act = DFN_ACT_NONE,
                                    .slope = l->slope};
    nets->kernels.op[op_of(s)].run(&a, 0, (size_t)rows);
}

static void pool(const struct dfn_nets *nets, const struct map *in, int kernel,
                 struct map *out)
{
    out->h = (in->h - kernel + 1) / 2 + 1;
    out->w = (in->w - kernel + 1) / 2 + 1;
    out->c = in->c;
    const struct dfn_maxpool_args a = {in->v,  out->v, in->h,  in->w, in->c,
                                       out->h, out->w, kernel, 2};
    nets->kernels.op[DFN_OP_MAXPOOL].run(&a, 0, (size_t)out->h);
}

/* Fully connected over rows [n][cin], with PReLU if the layer has one. */
static void dense(const struct dfn_nets *nets, enum dfn_detector_layer layer, int cout,
                  const float *in, size_t n, float *out)
{
    const struct dfn_net_layer *l = &nets->layers[layer];
    const struct dfn_pointwise_args a = {.in = in,
                                         .weight = l->weight,
                                         .bias = l->bias,
                                         .out = out,
                                         .cin = dfn_detector_shape(layer)->cin,
                                         .cout = cout,
                                         .act = DFN_ACT_NONE};
    nets->kernels.op[DFN_OP_POINTWISE].run(&a, 0, n);
    if (!l->slope)
        return;
    const struct dfn_prelu_args p = {out, l->slope, out, cout};
    nets->kernels.op[DFN_OP_PRELU].run(&p, 0, n);
}

/* ---- P-Net ---- */

/* Rows first.. of a map that is made from top to bottom; v.h rows are there. */
struct stream {
    struct map map;
    int first;
};

static int end_of(const struct stream *s)
{
    return s->first + s->map.h;
}

/* Forgets the rows above `first`. */
static void drop(struct stream *s, int first)
{
    const size_t row = (size_t)s->map.w * (size_t)s->map.c;
    const int gone = first - s->first;
    s->map.h -= gone;
    if (gone > 0 && s->map.h > 0)
        memmove(s->map.v, s->map.v + (size_t)gone * row,
                (size_t)s->map.h * row * sizeof *s->map.v);
    s->first = first;
}

/* Where the next row goes. */
static float *tail(const struct stream *s)
{
    return s->map.v + (size_t)s->map.h * (size_t)s->map.w * (size_t)s->map.c;
}

struct pnet {
    const struct dfn_pnet_job *job;
    void *user;
    struct stream in, pooled, conv2;
    struct map conv1, conv3;
    float *heads; /* [BAND][columns][6] */
};

/* Floats of each buffer, in the order of struct pnet. */
static void pnet_sizes(int width, size_t size[6])
{
    const size_t w = (size_t)width, half = (size_t)(width - 1) / 2;
    size[0] = (2 * BAND + 10) * w * 3;
    size[1] = (BAND + 4) * half * 10;
    size[2] = (BAND + 2) * half * 16;
    size[3] = (2 * BAND + 8) * w * 10;
    size[4] = BAND * half * 32;
    size[5] = BAND * half * DFN_PNET_OUTPUTS;
}

size_t dfn_pnet_scratch(int width)
{
    size_t size[6], sum = 0;
    pnet_sizes(width, size);
    for (int i = 0; i < 6; i++)
        sum += up(size[i]);
    return sum;
}

static void place_pnet(struct pnet *p, int from, float *scratch)
{
    const int w = p->job->width, half = (w - 1) / 2;
    float **const at[6] = {&p->in.map.v, &p->pooled.map.v, &p->conv2.map.v,
                           &p->conv1.v,  &p->conv3.v,      &p->heads};
    size_t size[6];
    pnet_sizes(w, size);
    for (int i = 0; i < 6; i++) {
        *at[i] = scratch;
        scratch += up(size[i]);
    }
    p->in.first = 2 * from;
    p->pooled.first = p->conv2.first = from;
    p->in.map.w = w, p->in.map.c = 3;
    p->pooled.map.w = half, p->pooled.map.c = 10;
    p->conv2.map.w = half - 2, p->conv2.map.c = 16;
}

/* Makes the pooled rows up to end. */
static void more_pooled(struct pnet *p, int end)
{
    const struct dfn_pnet_job *job = p->job;
    const int first = 2 * end_of(&p->pooled), all = job->height - 2;
    const int last = 2 * end < all ? 2 * end : all; /* of conv1 */
    struct map made;
    drop(&p->in, first);
    while (end_of(&p->in) < last + 2) {
        job->row(p->user, end_of(&p->in), tail(&p->in));
        p->in.map.h++;
    }
    conv(job->nets, DFN_P_CONV1, &p->in.map, last - first, &p->conv1);
    made.v = tail(&p->pooled);
    pool(job->nets, &p->conv1, 2, &made);
    p->pooled.map.h += made.h;
}

/* The output rows from..to-1, at most BAND. */
static void band(struct pnet *p, int from, int to)
{
    const struct dfn_pnet_job *job = p->job;
    const size_t columns = (size_t)dfn_pnet_cells(job->width);
    const size_t n = (size_t)(to - from) * columns;
    struct map made;

    drop(&p->conv2, from);
    const int next = end_of(&p->conv2);
    drop(&p->pooled, next);
    more_pooled(p, to + 4);
    made.v = tail(&p->conv2);
    conv(job->nets, DFN_P_CONV2, &p->pooled.map, to + 2 - next, &made);
    p->conv2.map.h += made.h;
    conv(job->nets, DFN_P_CONV3, &p->conv2.map, to - from, &p->conv3);
    dense(job->nets, DFN_P_FACE, DFN_PNET_OUTPUTS, p->conv3.v, n, p->heads);

    float *logits = job->logits + (size_t)from * columns * 2;
    float *boxes = job->boxes + (size_t)from * columns * 4;
    for (size_t i = 0; i < n; i++) {
        memcpy(logits + i * 2, p->heads + i * 6, 2 * sizeof *logits);
        memcpy(boxes + i * 4, p->heads + i * 6 + 2, 4 * sizeof *boxes);
    }
}

void dfn_pnet_rows(const struct dfn_pnet_job *job, void *user, int from, int to,
                   float *scratch)
{
    struct pnet p = {.job = job, .user = user};
    assert(from % 2 == 0);
    place_pnet(&p, from, scratch);
    for (int y = from; y < to; y += BAND)
        band(&p, y, to - y < BAND ? to : y + BAND);
}

/* ---- R-Net and O-Net ---- */

/* The largest map: O-Net's first, 46 x 46 x 32. */
#define MOST_MAP ((size_t)46 * 46 * 32)
#define MOST_FLAT ((size_t)1152)
#define MOST_DENSE ((size_t)256)

size_t dfn_crop_scratch(void)
{
    return 2 * MOST_MAP + DFN_CROP_BATCH * (MOST_FLAT + MOST_DENSE);
}

/* A convolution and the pool behind it (0: none). */
struct stage {
    enum dfn_detector_layer layer;
    int pool;
};
static const struct stage rnet_stages[] = {
    {DFN_R_CONV1, 3}, {DFN_R_CONV2, 3}, {DFN_R_CONV3, 0}};
static const struct stage onet_stages[] = {
    {DFN_O_CONV1, 3}, {DFN_O_CONV2, 3}, {DFN_O_CONV3, 2}, {DFN_O_CONV4, 0}};

/* All convolutions of one crop, between the buffers a and b; the last goes to out. */
static void convolve(const struct dfn_nets *nets, const struct stage *stages, int n,
                     struct map in, float *a, float *b, float *out)
{
    for (int i = 0; i < n; i++) {
        struct map made = {.v = i + 1 < n ? a : out}, pooled = {.v = b};
        conv(nets, stages[i].layer, &in,
             in.h - dfn_detector_shape(stages[i].layer)->kernel + 1, &made);
        in = made;
        if (stages[i].pool) {
            pool(nets, &made, stages[i].pool, &pooled);
            in = pooled;
        }
    }
}

void dfn_crop_net(const struct dfn_nets *nets, bool onet, const float *in, int n,
                  float *out, float *scratch)
{
    const int side = onet ? DFN_ONET_SIDE : DFN_RNET_SIDE;
    const enum dfn_detector_layer first = onet ? DFN_O_DENSE5 : DFN_R_DENSE4;
    const enum dfn_detector_layer heads = onet ? DFN_O_FACE : DFN_R_FACE;
    const struct dfn_detector_shape *s = dfn_detector_shape(first);
    float *a = scratch, *b = a + MOST_MAP, *flat = b + MOST_MAP;
    float *hidden = flat + DFN_CROP_BATCH * MOST_FLAT;

    for (int i = 0; i < n; i++) {
        /* The kernels do not write to it. */
        float *crop = (float *)(uintptr_t)(in + (size_t)i * (size_t)(side * side * 3));
        const struct map map = {crop, side, side, 3};
        convolve(nets, onet ? onet_stages : rnet_stages, onet ? 4 : 3, map, a, b,
                 flat + (size_t)i * (size_t)s->cin);
    }
    dense(nets, first, s->cout, flat, (size_t)n, hidden);
    dense(nets, heads, onet ? DFN_ONET_OUTPUTS : DFN_RNET_OUTPUTS, hidden, (size_t)n,
          out);
}
