/* resize_pillow.c - Image.resize() of 8-bit pictures as in Pillow 3.3 to 12, bit for bit.
 * Called by resize.c. (Pillow 13 goes vertically first when the height shrinks much more
 * than the width; the networks were trained with the older ones.)
 *
 * Separable convolution, horizontal first, each pass rounded to 8 bits. The filter is
 * stretched by the scale when it shrinks (antialiasing). Weights are doubles that are
 * normalised to 1, then fixed point with 22 bits (32 less 8 of the pixel and 2 for
 * overshoot), rounded half away from zero. A pass that would change nothing is left out.
 * Facts from Pillow's documentation ("Concepts: filters") and its behaviour, which
 * tests/image checks; filters: Keys, "Cubic convolution interpolation", 1981, a = -0.5.
 *
 * Crop rows [w][3] -> rows [W][3] -> out rows [W][3]. The second pass meets the crop's
 * rows once, from top to bottom. If it shrinks, each row is added to the sums of the few
 * output rows that it belongs to; if it enlarges, a ring keeps the few that an output
 * row is made of. Either way what is held does not grow with the crop's height.
 */
#include "lib/image/resize.h"

#include <math.h>
#include <string.h>

/* The taps of one axis: output i is the sum over k < count[i] of
 * weight[i * taps + k] * in[first[i] + k]. */
struct axis {
    int taps;
    int32_t *first;  /* [out]       */
    int32_t *count;  /* [out]       */
    int32_t *weight; /* [out][taps] */
};

static double box(double x)
{
    return x > -0.5 && x <= 0.5 ? 1.0 : 0.0;
}

static double triangle(double x)
{
    const double d = fabs(x);
    return d < 1.0 ? 1.0 - d : 0.0;
}

static double keys(double x)
{
    const double a = -0.5, d = fabs(x);
    if (d < 1.0)
        return ((a + 2.0) * d - (a + 3.0)) * d * d + 1.0;
    if (d < 2.0)
        return (((d - 5.0) * d + 8.0) * d - 4.0) * a;
    return 0.0;
}

static double weight_at(enum dfn_resample filter, double x)
{
    switch (filter) {
    case DFN_RESAMPLE_PILLOW_BOX:
        return box(x);
    case DFN_RESAMPLE_PILLOW_BILINEAR:
        return triangle(x);
    default:
        return keys(x);
    }
}

/* Half the filter's width in input pixels. */
static double support_of(enum dfn_resample filter, double stretch)
{
    const double width = filter == DFN_RESAMPLE_PILLOW_BOX        ? 0.5
                         : filter == DFN_RESAMPLE_PILLOW_BILINEAR ? 1.0
                                                                  : 2.0;
    return width * stretch;
}

static int32_t to_fixed(double w)
{
    const double scaled = w * (double)((int32_t)1 << DFN_FRACTION_BITS);
    return (int32_t)(w < 0 ? scaled - 0.5 : scaled + 0.5);
}

/* The taps of output i. */
static void fill_taps(struct axis *a, int i, int in, double scale, double stretch,
                      enum dfn_resample filter)
{
    const double support = support_of(filter, stretch), shrink = 1.0 / stretch;
    const double centre = (i + 0.5) * scale;
    int first = (int)(centre - support + 0.5), end = (int)(centre + support + 0.5);
    first = first < 0 ? 0 : first;
    end = end > in ? in : end;
    const int count = end - first;
    double sum = 0;
    for (int k = 0; k < count; k++)
        sum += weight_at(filter, (k + first - centre + 0.5) * shrink);
    int32_t *w = a->weight + (ptrdiff_t)i * a->taps;
    for (int k = 0; k < count; k++) {
        const double raw = weight_at(filter, (k + first - centre + 0.5) * shrink);
        w[k] = to_fixed(sum != 0.0 ? raw / sum : raw);
    }
    a->first[i] = first;
    a->count[i] = count;
}

static void make_axis(struct axis *a, int in, int out, enum dfn_resample filter,
                      struct dfn_carver *c)
{
    const double scale = (double)in / out, stretch = scale < 1.0 ? 1.0 : scale;
    a->taps = (int)ceil(support_of(filter, stretch)) * 2 + 1;
    a->first = dfn_carve(c, (size_t)out, sizeof *a->first);
    a->count = dfn_carve(c, (size_t)out, sizeof *a->count);
    a->weight = dfn_carve(c, (size_t)out * (size_t)a->taps, sizeof *a->weight);
    for (int i = 0; c->base && i < out; i++)
        fill_taps(a, i, in, scale, stretch, filter);
}

/* in [in pixels][3] -> out [out_w][3] */
static void across(const struct dfn_resize_job *job, const struct axis *a,
                   const uint8_t *in, uint8_t *out)
{
    const struct dfn_taps_args args = {.in = in,
                                       .pixels = job->src.rect.w,
                                       .first = a->first,
                                       .count = a->count,
                                       .weight = a->weight,
                                       .taps = a->taps,
                                       .out = out};
    dfn_resize_run(job, DFN_OP_TAPS_FIXED, &args, 0, (size_t)job->out_w);
}

/* Crop row y after the horizontal pass, if there is one: in to, or where it lies. */
static const uint8_t *cross(struct dfn_resize_job *job, const struct axis *x, int y,
                            uint8_t *to)
{
    const uint8_t *row = dfn_source_row(&job->src, y);
    if (!x)
        return row;
    across(job, x, row, to);
    return to;
}

/* Vertical pass with fewer output rows than crop rows. Taps of neighbours overlap: a
 * crop row is in those of 2 * support / scale + 2 output rows at most, and scale > 1. */
static void shrink(struct dfn_resize_job *job, const struct axis *x, const struct axis *y,
                   struct dfn_carver *c)
{
    const size_t n = (size_t)job->out_w * 3;
    const int slots = (int)(2 * support_of(job->filter, 1.0)) + 2;
    uint8_t *row = dfn_carve(c, n, sizeof *row);
    int32_t *sums = dfn_carve(c, n * (unsigned)slots, sizeof *sums);
    /* Output rows below `done` are written, those below `begun` have sums. */
    int begun = 0, done = 0;
    for (int k = y->first ? y->first[0] : 0; c->base && done < job->out_h; k++) {
        const uint8_t *p = cross(job, x, k, row);
        for (; begun < job->out_h && y->first[begun] <= k; begun++)
            ;
        for (int i = done; i < begun; i++) {
            const int tap = k - y->first[i];
            const bool last = tap == y->count[i] - 1;
            const struct dfn_rows_args args = {.rows = (const void *const[]){p},
                                               .weight = y->weight +
                                                         (ptrdiff_t)i * y->taps + tap,
                                               .sums = sums + (size_t)(i % slots) * n,
                                               .out = last ? dfn_out_row(job, i) : NULL,
                                               .n = 1,
                                               .add = tap > 0};
            dfn_resize_run(job, DFN_OP_ROWS_FIXED, &args, 0, n);
            done += last;
        }
    }
}

/* Vertical pass with more output rows than crop rows: at most 2 * 2 + 1 taps. */
#define ENLARGE_TAPS 5
static void enlarge(struct dfn_resize_job *job, const struct axis *x,
                    const struct axis *y, struct dfn_carver *c)
{
    const size_t n = (size_t)job->out_w * 3;
    uint8_t *ring = dfn_carve(c, n * (unsigned)y->taps, sizeof *ring);
    const void *rows[ENLARGE_TAPS];
    /* Crop rows below `filled` have been through; the last `taps` of them are there. */
    int filled = 0;
    for (int i = 0; c->base && i < job->out_h; i++) {
        const int first = y->first[i], end = first + y->count[i];
        for (; filled < end; filled++) {
            uint8_t *to = ring + (size_t)(filled % y->taps) * n;
            const uint8_t *row = cross(job, x, filled, to);
            if (row != to)
                memcpy(to, row, n);
        }
        for (int k = first; k < end; k++)
            rows[k - first] = ring + (size_t)(k % y->taps) * n;
        const struct dfn_rows_args args = {.rows = rows,
                                           .weight = y->weight + (ptrdiff_t)i * y->taps,
                                           .out = dfn_out_row(job, i),
                                           .n = end - first};
        dfn_resize_run(job, DFN_OP_ROWS_FIXED, &args, 0, n);
    }
}

void dfn_resize_pillow(struct dfn_resize_job *job, struct dfn_carver *c)
{
    const struct dfn_rect *r = &job->src.rect;
    const bool horizontal = r->w != job->out_w, vertical = r->h != job->out_h;
    struct axis x, y;
    if (horizontal)
        make_axis(&x, r->w, job->out_w, job->filter, c);
    if (vertical) {
        make_axis(&y, r->h, job->out_h, job->filter, c);
        if (r->h > job->out_h)
            shrink(job, horizontal ? &x : NULL, &y, c);
        else
            enlarge(job, horizontal ? &x : NULL, &y, c);
        return;
    }
    for (int i = 0; c->base && i < job->out_h; i++)
        across(job, &x, dfn_source_row(&job->src, i), dfn_out_row(job, i));
}
