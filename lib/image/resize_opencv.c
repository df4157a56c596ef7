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

/* One input pixel's part in one output pixel. */
struct share {
    int32_t in, out;
    float weight;
};

/* The shares of one axis by rising output, then input. Each output has at most
 * ceil(scale) + 2, all of them at most in + 2 * out. */
static int make_shares(struct share *s, int in, int out, double scale)
{
    int n = 0;
    for (int i = 0; i < out; i++) {
        const double from = i * scale, to = from + scale;
        const double width = fmin(scale, in - from);
        int first = (int)ceil(from), last = (int)floor(to);
        last = last < in - 1 ? last : in - 1;
        first = first < last ? first : last;
        if (first - from > 1e-3)
            s[n++] = (struct share){first - 1, i, (float)((first - from) / width)};
        for (int k = first; k < last; k++)
            s[n++] = (struct share){k, i, (float)(1.0 / width)};
        if (to - last > 1e-3)
            s[n++] = (struct share){last, i,
                                    (float)(fmin(fmin(to - last, 1.0), width) / width)};
    }
    return n;
}

/* row [w][3] -> buf [W][3] */
static void area_across(const struct share *s, int n, const uint8_t *row, float *buf,
                        size_t size)
{
    memset(buf, 0, size * sizeof *buf);
    for (int k = 0; k < n; k++) {
        const uint8_t *p = row + (ptrdiff_t)3 * s[k].in;
        float *b = buf + (ptrdiff_t)3 * s[k].out;
        for (int ch = 0; ch < 3; ch++)
            b[ch] += (float)p[ch] * s[k].weight;
    }
}

static void area_any(struct dfn_resize_job *job, double scale_x, double scale_y,
                     struct dfn_carver *c)
{
    const struct dfn_rect *r = &job->src.rect;
    const size_t n = (size_t)job->out_w * 3;
    struct share *xs = dfn_carve(c, (size_t)r->w + 2 * (size_t)job->out_w, sizeof *xs);
    struct share *ys = dfn_carve(c, (size_t)r->h + 2 * (size_t)job->out_h, sizeof *ys);
    float *buf = dfn_carve(c, n, sizeof *buf), *sum = dfn_carve(c, n, sizeof *sum);
    if (!c->base)
        return;
    const int x_count = make_shares(xs, r->w, job->out_w, scale_x);
    const int y_count = make_shares(ys, r->h, job->out_h, scale_y);
    for (int k = 0; k < y_count; k++) {
        const struct share s = ys[k];
        area_across(xs, x_count, dfn_source_row(&job->src, s.in), buf, n);
        if (k == 0 || ys[k - 1].out != s.out)
            for (size_t i = 0; i < n; i++)
                sum[i] = s.weight * buf[i];
        else
            for (size_t i = 0; i < n; i++)
                sum[i] += s.weight * buf[i];
        if (k == y_count - 1 || ys[k + 1].out != s.out) {
            uint8_t *out = dfn_out_row(job, s.out);
            for (size_t i = 0; i < n; i++)
                out[i] = round8(sum[i]);
        }
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

/* row [in][3] -> out [n][3]. Exact for linear: 255 * ONE has 19 bits. */
static void across(const struct axis *a, const uint8_t *row, float *out, int n)
{
    for (int i = 0; i < n; i++) {
        float sum[3] = {0};
        for (int k = 0; k < a->taps; k++) {
            const uint8_t *p = row + (ptrdiff_t)3 * clamp_index(a->first[i] + k, a->in);
            const float w = a->weight[(ptrdiff_t)i * a->taps + k];
            for (int ch = 0; ch < 3; ch++)
                sum[ch] += (float)p[ch] * w;
        }
        memcpy(out + (ptrdiff_t)3 * i, sum, sizeof sum);
    }
}

/* Two rows to one with OpenCV's 16-bit products: each row loses 4 bits, each product 16,
 * the sum 2, rounded. */
static void down_linear(const float *const rows[], const float *w, uint8_t *out, size_t n)
{
    const int32_t w0 = (int32_t)w[0], w1 = (int32_t)w[1];
    for (size_t i = 0; i < n; i++) {
        const int32_t v = ((w0 * ((int32_t)rows[0][i] >> 4)) >> 16) +
                          ((w1 * ((int32_t)rows[1][i] >> 4)) >> 16);
        out[i] = clamp8((v + 2) >> 2);
    }
}

static void down_cubic(const float *const rows[], const float *w, uint8_t *out, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = round8(rows[0][i] * w[0] + rows[1][i] * w[1] + rows[2][i] * w[2] +
                        rows[3][i] * w[3]);
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
        const float *rows[4];
        const int last = clamp_index(y.first[i] + taps - 1, r->h);
        if (filled < last + 1 - taps)
            filled = last + 1 - taps;
        for (; filled <= last; filled++)
            across(&x, dfn_source_row(&job->src, filled),
                   ring + (size_t)(filled % taps) * n, job->out_w);
        for (int k = 0; k < taps; k++)
            rows[k] = ring + (size_t)(clamp_index(y.first[i] + k, r->h) % taps) * n;
        const float *w = y.weight + (ptrdiff_t)i * taps;
        if (taps == 2)
            down_linear(rows, w, dfn_out_row(job, i), n);
        else
            down_cubic(rows, w, dfn_out_row(job, i), n);
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
