/* resize_opencv.c - OpenCV's cv::resize() of 8-bit pictures: INTER_AREA, INTER_LINEAR
 * and INTER_CUBIC. Called by resize.c.
 *
 * What OpenCV does, as its documentation and its results say (tests/image compares):
 *   area    both axes shrink, or keep their size: the mean of the pixels under an output
 *           pixel, those that are cut weighted by their share, in float; with whole
 *           factors the exact sum. If an axis grows: linear with other fractions.
 *   linear  two taps an axis around the centre-aligned position; weights of 11 bits.
 *           Shrinking by exactly 2 x 2 is area.
 *   cubic   four taps, Keys with a = -0.75; borders repeat. OpenCV's packages for x86
 *           leave this one to Intel's IPP, which computes in float; OpenCV without IPP
 *           uses weights of 11 bits and differs from that by 1 in about 4 % of the
 *           values. This is IPP's result but for ties that it rounds otherwise: 1 value
 *           in 100 000 of noise, 2 in 1000 of black-and-white noise, by 1.
 * None but area is antialiased; area and linear are OpenCV's bits.
 *
 * Crop rows [w][3] uint8 -> sums or a ring of rows [W][3] float -> out rows [W][3]. */
#include "lib/image/resize.h"

#include <float.h>
#include <math.h>
#include <string.h>

#define WEIGHT_BITS 11
#define ONE (1 << WEIGHT_BITS)

static uint8_t clamp8(long v)
{
    return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

/* Half to even, in the default rounding mode. */
static uint8_t round8(float v)
{
    return clamp8(lrintf(v));
}

/* ---- area, whole-number factors ---------------------------------------------------- */

/* Mean of fx x fy pixels. */
static void area_exact(struct dfn_resize_job *job, int fx, int fy, struct dfn_carver *c)
{
    const size_t n = (size_t)job->out_w * 3;
    int32_t *sums = dfn_carve(c, n, sizeof *sums);
    const float share = 1.0f / (float)((int64_t)fx * fy);
    for (int i = 0; c->base && i < job->out_h; i++) {
        memset(sums, 0, n * sizeof *sums);
        for (int k = 0; k < fy; k++) {
            const uint8_t *p = dfn_source_row(&job->src, i * fy + k);
            for (int x = 0; x < job->out_w; x++)
                for (int j = 0; j < fx; j++, p += 3)
                    for (int ch = 0; ch < 3; ch++)
                        sums[3 * x + ch] += p[ch];
        }
        uint8_t *out = dfn_out_row(job, i);
        /* 2 x 2 rounds half up, the others half to even. */
        for (size_t k = 0; k < n; k++)
            out[k] = fx == 2 && fy == 2 ? (uint8_t)((sums[k] + 2) >> 2)
                                        : round8((float)sums[k] * share);
    }
}

/* ---- area, any factor >= 1 --------------------------------------------------------- */

/* The shares of input pixels in the output pixels of one axis. An output has at most
 * ceil(scale) + 2, all of them together at most in + 2 * out. */
struct shares {
    int taps;       /* most of one output                                               */
    int32_t *first; /* [out]                                                            */
    int32_t *count; /* [out]                                                            */
    float *weight;  /* [out][taps]                                                      */
};

static void fill_shares(struct shares *s, int i, int in, double scale)
{
    const double from = i * scale, to = from + scale;
    const double width = fmin(scale, in - from);
    float *w = s->weight + (size_t)i * (size_t)s->taps;
    int first = (int)ceil(from), last = (int)floor(to), n = 0;
    last = last < in - 1 ? last : in - 1;
    first = first < last ? first : last;
    s->first[i] = first;
    if (first - from > 1e-3) {
        s->first[i] = first - 1;
        w[n++] = (float)((first - from) / width);
    }
    for (int k = first; k < last; k++)
        w[n++] = (float)(1.0 / width);
    if (to - last > 1e-3)
        w[n++] = (float)(fmin(fmin(to - last, 1.0), width) / width);
    s->count[i] = n;
}

static void make_shares(struct shares *s, int in, int out, double scale,
                        struct dfn_carver *c)
{
    s->taps = (int)ceil(scale) + 2;
    s->first = dfn_carve(c, (size_t)out, sizeof *s->first);
    s->count = dfn_carve(c, (size_t)out, sizeof *s->count);
    s->weight = dfn_carve(c, (size_t)out * (size_t)s->taps, sizeof *s->weight);
    for (int i = 0; c->base && i < out; i++)
        fill_shares(s, i, in, scale);
}

static void area_any(struct dfn_resize_job *job, double scale_x, double scale_y,
                     struct dfn_carver *c)
{
    const struct dfn_rect *r = &job->src.rect;
    const size_t n = (size_t)job->out_w * 3;
    struct shares xs, ys;
    make_shares(&xs, r->w, job->out_w, scale_x, c);
    make_shares(&ys, r->h, job->out_h, scale_y, c);
    float *row = dfn_carve(c, n, sizeof *row), *sums = dfn_carve(c, n, sizeof *sums);
    struct dfn_taps_args across = {.pixels = r->w,
                                   .first = xs.first,
                                   .count = xs.count,
                                   .weight = xs.weight,
                                   .taps = xs.taps,
                                   .out = row};
    for (int i = 0; c->base && i < job->out_h; i++)
        for (int k = 0; k < ys.count[i]; k++) {
            const struct dfn_rows_args add = {
                .rows = (const void *const[]){row},
                .weight = ys.weight + (size_t)i * (size_t)ys.taps + k,
                .sums = sums,
                .out = k == ys.count[i] - 1 ? dfn_out_row(job, i) : NULL,
                .n = 1,
                .add = k > 0};
            across.in = dfn_source_row(&job->src, ys.first[i] + k);
            dfn_resize_run(job, DFN_OP_TAPS_FLOAT, &across, 0, (size_t)job->out_w);
            dfn_resize_run(job, DFN_OP_ROWS_FLOAT, &add, 0, n);
        }
}

/* ---- linear and cubic -------------------------------------------------------------- */

/* Output i is the sum over k < taps of weight[i * taps + k] * in[clamp(first[i] + k)]. */
struct axis {
    int taps; /* 2 or 4 */
    int in;
    int32_t *first; /* [out]; may be outside by the filter's reach */
    float *weight;  /* [out][taps]; of linear, whole numbers that add up to ONE */
};

/* Keys, a = -0.75, of the pixels at -1, 0, 1 and 2 for a position x behind pixel 0. */
static void cubic_weights(double x, float *w)
{
    const double a = -0.75, y = 1 - x;
    const double before = ((a * (x + 1) - 5 * a) * (x + 1) + 8 * a) * (x + 1) - 4 * a;
    const double at = ((a + 2) * x - (a + 3)) * x * x + 1;
    const double behind = ((a + 2) * y - (a + 3)) * y * y + 1;
    w[0] = (float)before;
    w[1] = (float)at;
    w[2] = (float)behind;
    w[3] = (float)(1 - before - at - behind);
}

static void cubic_tap(struct axis *a, int i, double scale)
{
    const double position = (i + 0.5) * scale - 0.5, at = floor(position);
    a->first[i] = (int)at - 1;
    cubic_weights(position - at, a->weight + (ptrdiff_t)4 * i);
}

/* Fractions are float, as OpenCV's. area: INTER_AREA when an axis grows. */
static void linear_tap(struct axis *a, int i, double scale, double inverse, bool area)
{
    float behind;
    if (area) {
        a->first[i] = (int)floor(i * scale);
        const float f = (float)((i + 1) - (a->first[i] + 1) * inverse);
        behind = f <= 0 ? 0.f : f - floorf(f);
    } else {
        const float f = (float)((i + 0.5) * scale - 0.5);
        a->first[i] = (int)floorf(f);
        behind = f - (float)a->first[i];
    }
    a->weight[2 * i] = rintf((1.f - behind) * ONE);
    a->weight[2 * i + 1] = rintf(behind * ONE);
}

static void make_axis(struct axis *a, int taps, int in, int out, bool area,
                      struct dfn_carver *c)
{
    a->taps = taps;
    a->in = in;
    a->first = dfn_carve(c, (size_t)out, sizeof *a->first);
    a->weight = dfn_carve(c, (size_t)out * (size_t)taps, sizeof *a->weight);
    const double inverse = (double)out / in, scale = 1.0 / inverse;
    for (int i = 0; c->base && i < out; i++) {
        if (taps == 4)
            cubic_tap(a, i, scale);
        else
            linear_tap(a, i, scale, inverse, area);
    }
}

static int clamp_index(int i, int n)
{
    return i < 0 ? 0 : i >= n ? n - 1 : i;
}

/* One output pixel some of whose taps are outside. */
static void across_border(const struct axis *a, const uint8_t *row, float *out, int i)
{
    float sum[3] = {0};
    for (int k = 0; k < a->taps; k++) {
        const uint8_t *p = row + (ptrdiff_t)3 * clamp_index(a->first[i] + k, a->in);
        const float w = a->weight[(ptrdiff_t)i * a->taps + k];
        for (int ch = 0; ch < 3; ch++)
            sum[ch] += (float)p[ch] * w;
    }
    memcpy(out + (ptrdiff_t)3 * i, sum, sizeof sum);
}

/* row [in][3] -> out [out_w][3]. Exact for linear: 255 * ONE has 19 bits. */
static void across(const struct dfn_resize_job *job, const struct axis *a,
                   const uint8_t *row, float *out)
{
    int from = 0, to = job->out_w;
    while (from < to && a->first[from] < 0)
        across_border(a, row, out, from++);
    while (to > from && a->first[to - 1] + a->taps > a->in)
        across_border(a, row, out, --to);
    const struct dfn_taps_args args = {.in = row,
                                       .pixels = a->in,
                                       .first = a->first,
                                       .weight = a->weight,
                                       .taps = a->taps,
                                       .out = out};
    dfn_resize_run(job, DFN_OP_TAPS_FLOAT, &args, (size_t)from, (size_t)to);
}

static void interpolate(struct dfn_resize_job *job, int taps, bool area,
                        struct dfn_carver *c)
{
    const struct dfn_rect *r = &job->src.rect;
    const size_t n = (size_t)job->out_w * 3;
    struct axis x, y;
    make_axis(&x, taps, r->w, job->out_w, area, c);
    make_axis(&y, taps, r->h, job->out_h, area, c);
    float *ring = dfn_carve(c, n * (unsigned)taps, sizeof *ring);
    /* Crop rows below `filled` have been through; the last `taps` of them are there. */
    int filled = 0;
    for (int i = 0; c->base && i < job->out_h; i++) {
        const void *rows[4];
        const int last = clamp_index(y.first[i] + taps - 1, r->h);
        if (filled < last + 1 - taps)
            filled = last + 1 - taps;
        for (; filled <= last; filled++)
            across(job, &x, dfn_source_row(&job->src, filled),
                   ring + (size_t)(filled % taps) * n);
        for (int k = 0; k < taps; k++)
            rows[k] = ring + (size_t)(clamp_index(y.first[i] + k, r->h) % taps) * n;
        const struct dfn_rows_args args = {.rows = rows,
                                           .weight = y.weight + (ptrdiff_t)i * taps,
                                           .out = dfn_out_row(job, i),
                                           .n = taps};
        dfn_resize_run(job, taps == 2 ? DFN_OP_ROWS_LINEAR : DFN_OP_ROWS_FLOAT, &args, 0,
                       n);
    }
}

/* ---- which of them ----------------------------------------------------------------- */

void dfn_resize_opencv(struct dfn_resize_job *job, struct dfn_carver *c)
{
    const struct dfn_rect *r = &job->src.rect;
    const double scale_x = 1.0 / ((double)job->out_w / r->w);
    const double scale_y = 1.0 / ((double)job->out_h / r->h);
    const int fx = (int)lrint(scale_x), fy = (int)lrint(scale_y);
    const bool whole =
        fabs(scale_x - fx) < DBL_EPSILON && fabs(scale_y - fy) < DBL_EPSILON;
    bool area = job->filter == DFN_RESAMPLE_OPENCV_AREA;
    if (job->filter == DFN_RESAMPLE_OPENCV_LINEAR && whole && fx == 2 && fy == 2)
        area = true;
    if (area && scale_x >= 1 && scale_y >= 1) {
        if (whole)
            area_exact(job, fx, fy, c);
        else
            area_any(job, scale_x, scale_y, c);
        return;
    }
    interpolate(job, job->filter == DFN_RESAMPLE_OPENCV_CUBIC ? 4 : 2, area, c);
}
