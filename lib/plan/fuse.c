/* fuse.c - see fuse.h. For a few channels at a time (a group), band by band of rows:
 *
 *     in [h][w][cin]  --expand-->  band [rows][w][group]  --depthwise-->  out rows
 *                                  ^ keeps the rows that the next band's windows share
 *
 * A band with its group is small enough to stay in the second-level cache between the
 * two. Pixels and rows are computed by the same kernels as without this, so the bits are
 * the same, too; where two parts meet, both expand the rows that they share. */
#include "lib/plan/fuse.h"

#include <string.h>

/* benchmarks/README.md has the measurements. Floats of a band: */
#define BAND 98304
/* Channels of a group, which must fill slices: others go through other vectors in a group
 * than in the whole layer, so their swish could differ in the last bit. */
#define GROUP (3 * DFN_SLICE)
/* Floats of an expanded tensor from which on it pays. */
#define LEAST 500000

static int least(int a, int b)
{
    return a < b ? a : b;
}

static int most(int a, int b)
{
    return a > b ? a : b;
}

static size_t row_floats(const struct dfn_dwconv_args *d, int group)
{
    return (size_t)d->w * (size_t)group;
}

/* Rows of output that a band gives, in pairs, as the kernels work. */
static int rows_at_once(const struct dfn_dwconv_args *d)
{
    const int fit = (int)(BAND / row_floats(d, least(GROUP, d->c)));
    return least(most((fit - d->kernel) / d->stride + 1, 2) & ~1, (d->oh + 1) & ~1);
}

bool dfn_fused_pays(const struct dfn_dwconv_args *d)
{
    return d->c % DFN_SLICE == 0 && (size_t)d->h * (size_t)d->w * (size_t)d->c >= LEAST;
}

size_t dfn_fused_floats(const struct dfn_dwconv_args *d)
{
    const int rows = (rows_at_once(d) - 1) * d->stride + d->kernel;
    return (size_t)rows * row_floats(d, least(GROUP, d->c));
}

/* Neighbouring ranges both expand the rows that they share. */
static double cost(const struct dfn_work *w, const struct dfn_cut *cut, size_t rows,
                   int channels)
{
    const struct dfn_fused *f = w->of;
    const struct dfn_dwconv_args *d = f->depthwise;
    const int high = least(((int)rows - 1) * d->stride + d->kernel, d->h);
    const size_t pixels = (size_t)high * (size_t)d->w;
    double sum = dfn_cost_windows(w, cut, d, rows, f->expand->cin, true) +
                 dfn_cost_written(cut, rows * (size_t)d->ow);
    for (int o = 0; o < channels; o += GROUP) {
        const int group = least(GROUP, channels - o);
        sum += dfn_cost_pointwise(f->expand, f->expand_kernel->tile, pixels, group) +
               dfn_cost_dwconv(d, rows, group);
    }
    return sum;
}

struct dfn_work dfn_fused_work(const struct dfn_fused *f, struct dfn_cut from)
{
    return (struct dfn_work){
        cost, f, (size_t)f->depthwise->oh, f->depthwise->c, f->depthwise_kernel->tile,
        from};
}

/* The channels o..end-1 of both layers, at most as many as a group has, of one image. */
static void take_group(const struct dfn_fused *f, int o, int end,
                       struct dfn_pointwise_args *e, struct dfn_dwconv_args *d)
{
    const size_t image = (size_t)f->image, all = (size_t)d->c;
    const struct dfn_span group = {(size_t)o, (size_t)o + (size_t)least(GROUP, end - o)};
    e->in += image * (size_t)d->h * (size_t)d->w * (size_t)e->cin;
    d->out += image * (size_t)d->oh * (size_t)d->ow * all;
    if (d->sums)
        d->sums += image * (size_t)d->oh * all;
    dfn_slice_pointwise(e, f->expand_kernel->layout, group);
    dfn_slice_dwconv(d, f->depthwise_kernel->layout, group);
}

/* Rows y..y+ny-1 of the depthwise convolution d, whose input rows begin..begin+rows-1 lie
 * at in. */
static void depthwise_rows(const struct dfn_fused *f, const struct dfn_dwconv_args *d,
                           const float *in, int begin, int rows, int y, int ny)
{
    struct dfn_dwconv_args part = *d;
    part.in = in;
    part.h = rows;
    part.oh = ny;
    part.top = begin - (y * d->stride - d->top);
    part.out += (size_t)y * (size_t)d->ow * (size_t)d->all;
    if (part.sums)
        part.sums += (size_t)y * (size_t)d->all;
    f->depthwise_kernel->run(&part, 0, (size_t)ny);
}

/* Output rows first..last-1 of the channels o..end-1, or as many as a group has. */
static void run_group(const struct dfn_fused *f, int first, int last, int o, int end,
                      float *band)
{
    struct dfn_pointwise_args e = *f->expand;
    struct dfn_dwconv_args d = *f->depthwise;
    const int step = rows_at_once(&d);
    take_group(f, o, end, &e, &d);
    const size_t row = row_floats(&d, d.c), w = (size_t)d.w;
    const float *const in = e.in;
    int begin = 0,
        done = 0; /* rows begin..done-1 of the expanded tensor are in the band */

    for (int y = first; y < last; y += step) {
        const int ny = least(step, last - y), top = y * d.stride - d.top;
        const int from = least(most(top, 0), d.h);
        const int to = most(least(top + (ny - 1) * d.stride + d.kernel, d.h), from);
        const int kept = most(done - from, 0);
        memmove(band, band + (size_t)(from - begin) * row * (kept > 0),
                (size_t)kept * row * sizeof *band);
        e.in = in + (size_t)(from + kept) * w * (size_t)e.cin;
        e.out = band + (size_t)kept * row;
        if (to > from + kept)
            f->expand_kernel->run(&e, 0, (size_t)(to - from - kept) * w);
        begin = from;
        done = to;
        depthwise_rows(f, &d, band, from, to - from, y, ny);
    }
}

void dfn_fused_run(const void *fused, size_t first, size_t last)
{
    const struct dfn_fused *f = fused;
    const struct dfn_dwconv_args *d = f->depthwise;
    for (size_t part = first; part < last; part++) {
        const size_t slices = (size_t)f->cut.slices;
        const struct dfn_span r = dfn_cut_range(&f->cut, (size_t)d->oh, part / slices);
        const struct dfn_span s = dfn_cut_slice(&f->cut, d->c, part % slices);
        for (int o = (int)s.at; o < (int)s.end; o += GROUP)
            run_group(f, (int)r.at, (int)r.end, o, (int)s.end,
                      f->scratch + part * dfn_fused_floats(d));
    }
}
