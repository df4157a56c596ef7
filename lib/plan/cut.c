/* cut.c - see cut.h. What a part costs, in multiply-adds of 16 floats:
 *
 *   1x1        one for each pixel, input channel and 16 columns, tiles, weights and the
 *              activation beside
 *   depthwise  one for each pixel, tap and 16 channels, and the activation; a row that
 *              has no second one beside it reads a window alone
 *   both       what comes from another thread, whose second-level cache it is in
 *   other      the multiply-adds of the items, whole tiles of them
 *
 * The numbers are of one processor: benchmarks/README.md, "Threads". */
#include "lib/plan/cut.h"

/* In pixels of a 1x1 convolution: a tile of less than this takes as long; what a tile
 * takes beside its pixels; and to read a line of weights from the third-level cache, of
 * which so much is not hidden by multiply-adds, and in all. */
#define FEWEST 4
#define TILE 0.25
#define READ 1
#define WAIT 6
/* Columns, in 16: to read the pixels again for a group of up to three. */
#define GROUP 0.125
/* Swish or its like of 16 floats. */
#define ACT 14
/* Of a depthwise convolution: what a row takes that has no second one beside it, in rows
 * of two; and what a tile takes beside its channels, in 16 channels. */
#define ALONE 1.4
#define BEGIN 0.4
/* To hand work out once more and wait for it: a microsecond. */
#define HANDOUT 8000
/* To read a float that another thread wrote. This and the next two lie between what was
 * measured where two threads share the third-level cache and where they do not. */
#define PULL 1
/* Processors fetch ahead of what they read or write: beyond a slice, what another thread
 * is writing. For each pixel read, and each written. */
#define READ_BESIDE 600
#define WRITTEN_BESIDE 60

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static double share_of(int parts, int of)
{
    return parts < of ? (double)parts / of : 1;
}

/* How much of what a part of cut reads it wrote itself; all: it reads all channels. */
static double own(const struct dfn_work *w, const struct dfn_cut *cut, bool all)
{
    return share_of(cut->ranges, w->from.ranges) *
           share_of(all ? 1 : cut->slices, w->from.slices);
}

double dfn_cost_windows(const struct dfn_work *w, const struct dfn_cut *cut,
                        const struct dfn_dwconv_args *a, size_t rows, int floats,
                        bool all)
{
    const size_t stride = (size_t)a->stride, wide = (size_t)a->w;
    const size_t high = least((rows - 1) * stride + (size_t)a->kernel, (size_t)a->h);
    const size_t mine = cut->ranges > 1 ? least(rows * stride, high) : high;
    const double pulled = (double)high - (double)mine * own(w, cut, all);
    return pulled * (double)wide * floats * PULL +
           (cut->slices > 1 && !all ? (double)(high * wide) * READ_BESIDE : 0);
}

double dfn_cost_written(const struct dfn_cut *cut, size_t pixels)
{
    return cut->slices > 1 ? (double)pixels * WRITTEN_BESIDE : 0;
}

static double vectors(int channels)
{
    return (double)((channels + DFN_SLICE - 1) / DFN_SLICE);
}

static double act_cost(enum dfn_act act)
{
    return act == DFN_ACT_NONE ? 1 : ACT;
}

double dfn_cost_pointwise(const struct dfn_pointwise_args *a, int tile, size_t pixels,
                          int columns)
{
    const size_t high = (size_t)tile, rest = pixels % high;
    const double tiles = (double)((pixels + high - 1) / high);
    const double panels = vectors(columns);
    double rows = (double)(pixels - rest) + TILE * tiles + READ;
    if (rest > 0)
        rows += rest < FEWEST ? FEWEST : (double)rest;
    if (rows < WAIT)
        rows = WAIT;
    return (double)a->cin * rows * (panels + GROUP * (double)(int)((panels + 2) / 3)) +
           (double)pixels * panels * act_cost(a->act);
}

double dfn_cost_dwconv(const struct dfn_dwconv_args *a, size_t rows, int channels)
{
    const double taps = (double)(a->kernel * a->kernel);
    const double high = (double)(rows / 2 * 2) + ALONE * (double)(rows % 2);
    return high * (double)a->ow * (taps + act_cost(a->act)) * (vectors(channels) + BEGIN);
}

static double call_cost(const struct dfn_work *w, const struct dfn_cut *cut, size_t items,
                        int channels)
{
    const struct dfn_call *c = w->of;
    const size_t tile = (size_t)c->kernel->tile;
    switch ((int)c->kernel->op) {
    case DFN_OP_POINTWISE: {
        const struct dfn_pointwise_args *a = c->args;
        const double pulled = (double)items * a->cin * (1 - own(w, cut, true));
        return dfn_cost_pointwise(a, c->kernel->tile, items, channels) + pulled * PULL +
               dfn_cost_written(cut, items) + (cut->slices > 1 && a->gate ? HANDOUT : 0);
    }
    case DFN_OP_DWCONV: {
        const struct dfn_dwconv_args *a = c->args;
        return dfn_cost_dwconv(a, items, channels) +
               dfn_cost_windows(w, cut, a, items, channels, false) +
               dfn_cost_written(cut, items * (size_t)a->ow);
    }
    case DFN_OP_FC: /* nothing but reading weights */
        return (double)((items + tile - 1) / tile * tile) * c->macs * WAIT / DFN_SLICE;
    default:
        return (double)((items + tile - 1) / tile * tile) * (c->macs + 1) / DFN_SLICE;
    }
}

struct dfn_work dfn_call_work(const struct dfn_call *call, size_t items,
                              struct dfn_cut from)
{
    struct dfn_work w = {call_cost, call, items, 0, call->kernel->tile, from};
    if (call->kernel->op == DFN_OP_POINTWISE) {
        const struct dfn_pointwise_args *a = call->args;
        w.channels = a->cout;
    } else if (call->kernel->op == DFN_OP_DWCONV) {
        const struct dfn_dwconv_args *a = call->args;
        w.channels = a->c;
    }
    return w;
}

/* What does not fill a slice goes with the last one. */
static int slices_of(const struct dfn_work *w)
{
    return w->channels < DFN_SLICE ? 1 : w->channels / DFN_SLICE;
}

struct dfn_span dfn_cut_range(const struct dfn_cut *cut, size_t n, size_t i)
{
    const size_t step = (size_t)cut->step, ranges = (size_t)cut->ranges;
    const size_t units = (n + step - 1) / step;
    return (struct dfn_span){least(units * i / ranges * step, n),
                             least(units * (i + 1) / ranges * step, n)};
}

struct dfn_span dfn_cut_slice(const struct dfn_cut *cut, int channels, size_t i)
{
    const size_t slices = (size_t)cut->slices, n = (size_t)channels;
    const size_t units = n / DFN_SLICE;
    return (struct dfn_span){units * i / slices * DFN_SLICE,
                             i + 1 < slices ? units * (i + 1) / slices * DFN_SLICE : n};
}

static double part_cost(const struct dfn_work *w, const struct dfn_cut *cut, size_t range,
                        size_t slice)
{
    const struct dfn_span r = dfn_cut_range(cut, w->items, range);
    const struct dfn_span s = dfn_cut_slice(cut, w->channels, slice);
    return r.at < r.end ? w->cost(w, cut, r.end - r.at, (int)(s.end - s.at)) : 0;
}

/* Slices differ by DFN_SLICE and the last one is among the widest; of ranges, too, unless
 * its last step is not whole: then one before it may have more. */
double dfn_cut_most(const struct dfn_work *w, const struct dfn_cut *cut)
{
    const size_t ranges = (size_t)cut->ranges, slice = (size_t)cut->slices - 1;
    const size_t step = (size_t)cut->step, units = (w->items + step - 1) / step;
    const struct dfn_span s = dfn_cut_slice(cut, w->channels, slice);
    const size_t before = (units / ranges + (units % ranges > 1)) * step;
    double most = part_cost(w, cut, ranges - 1, slice);
    if (ranges > 1 && before > 0) {
        const double other = w->cost(w, cut, before, (int)(s.end - s.at));
        most = other > most ? other : most;
    }
    return most;
}

struct dfn_cut dfn_cut_choose(const struct dfn_work *w, int threads)
{
    struct dfn_cut best = {1, 1, 1};
    double cheapest = dfn_cut_most(w, &best);
    const int most = slices_of(w);
    for (int slices = 1; slices <= threads && slices <= most; slices++)
        for (int ranges = threads / slices; ranges > 0; ranges--)
            for (int k = 0; k < 2; k++) {
                const struct dfn_cut cut = {ranges, slices, k ? w->tile : 1};
                const double cost = dfn_cut_most(w, &cut);
                if (cost < cheapest) {
                    cheapest = cost;
                    best = cut;
                }
            }
    return best;
}

static const float *weights_at(enum dfn_layout layout, int cout, int cin, int kernel,
                               const float *weight, size_t o)
{
    const struct dfn_pack_shape s = {layout, cout, cin, kernel};
    return weight + dfn_pack_at(&s, o, 0, 0);
}

void dfn_slice_pointwise(struct dfn_pointwise_args *a, enum dfn_layout layout,
                         struct dfn_span slice)
{
    a->weight = weights_at(layout, a->cout, a->cin, 1, a->weight, slice.at);
    a->bias += slice.at;
    a->cout = (int)(slice.end - slice.at);
}

void dfn_slice_dwconv(struct dfn_dwconv_args *a, enum dfn_layout layout,
                      struct dfn_span slice)
{
    a->weight = weights_at(layout, a->c, 1, a->kernel, a->weight, slice.at);
    a->bias += slice.at;
    a->out += slice.at;
    a->sums = a->sums ? a->sums + slice.at : NULL;
    a->all = a->c;
    a->c = (int)(slice.end - slice.at);
}

static void run_pointwise(const struct dfn_call *c, struct dfn_span items, size_t slice)
{
    const struct dfn_pointwise_args *whole = c->args;
    const struct dfn_span s = dfn_cut_slice(&c->cut, whole->cout, slice);
    struct dfn_pointwise_args a = *whole;
    dfn_slice_pointwise(&a, c->kernel->layout, s);
    a.residual = a.residual ? a.residual + s.at : NULL;
    a.out += s.at;
    a.all = whole->cout;
    a.gated = NULL; /* done before: run.c */
    c->kernel->run(&a, items.at, items.end);
}

static void run_dwconv(const struct dfn_call *c, struct dfn_span items, size_t slice)
{
    const struct dfn_dwconv_args *whole = c->args;
    const struct dfn_span s = dfn_cut_slice(&c->cut, whole->c, slice);
    struct dfn_dwconv_args a = *whole;
    dfn_slice_dwconv(&a, c->kernel->layout, s);
    a.in += s.at;
    a.in_all = whole->c;
    c->kernel->run(&a, items.at, items.end);
}

void dfn_call_run(const void *call, size_t first, size_t last)
{
    const struct dfn_call *c = call;
    const size_t slices = (size_t)c->cut.slices;
    for (size_t part = first; part < last; part++) {
        struct dfn_span items = dfn_cut_range(&c->cut, c->last - c->first, part / slices);
        items.at += c->first;
        items.end += c->first;
        if (items.at == items.end)
            continue;
        if (slices == 1)
            c->kernel->run(c->args, items.at, items.end);
        else if (c->kernel->op == DFN_OP_DWCONV)
            run_dwconv(c, items, part % slices);
        else
            run_pointwise(c, items, part % slices);
    }
}
