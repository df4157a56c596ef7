/* preprocess.c - see preprocess.h. The rules are those of weights_tools/FORMAT.md,
 * section 2; the published pipelines behind them are named there. */
#include "lib/face/preprocess.h"

#include <math.h>
#include <string.h>

/* Farther than any picture is large: coordinates beyond cannot be meant, and would not
 * survive the way to int. */
#define FAR 1e6f

void dfn_prepare_free(struct dfn_prepare *p, const ef_allocator *a)
{
    dfn_scratch_free(&p->pixels, a);
    dfn_scratch_free(&p->work, a);
}

static ef_status check_box(const ef_box *b, int width, int height, ef_error *err)
{
    /* Written so that NaN fails. */
    if (!(b->x >= -FAR && b->x <= FAR && b->y >= -FAR && b->y <= FAR && b->w <= FAR &&
          b->h <= FAR))
        return dfn_fail(err, EF_E_ARG, "face box", "%g,%g,%g,%g is out of range",
                        (double)b->x, (double)b->y, (double)b->w, (double)b->h);
    if (!(b->w > 0 && b->h > 0))
        return dfn_fail(err, EF_E_ARG, "face box", "%g x %g is empty", (double)b->w,
                        (double)b->h);
    if (b->x >= (float)width || b->y >= (float)height || b->x + b->w <= 0 ||
        b->y + b->h <= 0)
        return dfn_fail(err, EF_E_ARG, "face box",
                        "%g,%g,%g,%g does not touch the picture of %dx%d", (double)b->x,
                        (double)b->y, (double)b->w, (double)b->h, width, height);
    return EF_OK;
}

/* [*from, *from + *size) moved or cut so that it lies inside [0, limit). */
static void keep_inside(enum dfn_outside outside, int limit, int *from, int *size)
{
    if (outside == DFN_OUTSIDE_PAD)
        return;
    if (outside == DFN_OUTSIDE_SHIFT) {
        if (*from + *size > limit)
            *from = limit - *size;
        if (*from < 0)
            *from = 0;
    }
    const int end = *from + *size < limit ? *from + *size : limit;
    if (*from < 0)
        *from = 0;
    *size = end - *from;
}

/* Whole pixels nearest to [from, to), at least one. */
static void to_pixels(double from, double to, int *start, int *size)
{
    *start = (int)floor(from + 0.5);
    const int end = (int)floor(to + 0.5);
    *size = end > *start ? end - *start : 1;
}

ef_status dfn_crop_rect(const struct dfn_meta *m, int width, int height,
                        const ef_box *face, struct dfn_rect *out, ef_error *err)
{
    if (!face) {
        *out = (struct dfn_rect){0, 0, width, height};
        return EF_OK;
    }
    const ef_status st = check_box(face, width, height, err);
    if (st)
        return st;

    double x0, y0, x1, y1;
    const double w = face->w, h = face->h;
    if (m->square) {
        const double margins = m->margin[0] + m->margin[1] + m->margin[2] + m->margin[3];
        const double side = (w > h ? w : h) * (1 + margins / 2);
        x0 = face->x + w / 2 - side / 2;
        y0 = face->y + h / 2 - side / 2;
        x1 = x0 + side;
        y1 = y0 + side;
    } else {
        x0 = face->x - m->margin[0] * w;
        y0 = face->y - m->margin[1] * h;
        x1 = face->x + w + m->margin[2] * w;
        y1 = face->y + h + m->margin[3] * h;
    }
    /* A model's margins may be any numbers, negative ones included. */
    if (!(x1 - x0 <= 65535 && y1 - y0 <= 65535 && fabs(x0) <= 100 * FAR &&
          fabs(y0) <= 100 * FAR && fabs(x1) <= 100 * FAR && fabs(y1) <= 100 * FAR))
        return dfn_fail(err, EF_E_LIMIT, "face box",
                        "with its margin is %.0fx%.0f pixels", x1 - x0, y1 - y0);
    struct dfn_rect r;
    to_pixels(x0, x1, &r.x, &r.w);
    to_pixels(y0, y1, &r.y, &r.h);
    keep_inside(m->outside, width, &r.x, &r.w);
    keep_inside(m->outside, height, &r.y, &r.h);
    /* A sliver less than half a pixel wide at the picture's edge rounds to nothing. */
    if (r.w < 1 || r.h < 1)
        return dfn_fail(err, EF_E_ARG, "face box", "covers no pixel of the picture");
    *out = r;
    return EF_OK;
}

/* (a - b) / 2 rounded half to even, as torchvision's centre crop rounds. */
static int half_even(int d)
{
    const int floor_half = d >> 1;
    return (d & 1) && (floor_half & 1) ? floor_half + 1 : floor_half;
}

ef_status dfn_place(const struct dfn_meta *m, const struct dfn_rect *r,
                    struct dfn_placing *p, ef_error *err)
{
    *p = (struct dfn_placing){m->width, m->height, 0, 0};
    if (m->resize == DFN_RESIZE_SHORTER) {
        const int short_side = r->w < r->h ? r->w : r->h;
        p->w = r->w <= r->h ? m->shorter : (int)((int64_t)m->shorter * r->w / short_side);
        p->h = r->w <= r->h ? (int)((int64_t)m->shorter * r->h / short_side) : m->shorter;
        p->left = -half_even(p->w - m->width);
        p->top = -half_even(p->h - m->height);
    } else if (m->resize == DFN_RESIZE_LONGER) {
        const double sx = (double)m->width / r->w, sy = (double)m->height / r->h;
        const double scale = sx < sy ? sx : sy;
        p->w = scale == sx ? m->width : (int)(r->w * scale);
        p->h = scale == sy ? m->height : (int)(r->h * scale);
        p->w = p->w < 1 ? 1 : p->w;
        p->h = p->h < 1 ? 1 : p->h;
        p->left = (m->width - p->w) / 2;
        p->top = (m->height - p->h) / 2;
    }
    if (p->w > 65535 || p->h > 65535)
        return dfn_fail(err, EF_E_LIMIT, "picture",
                        "of %dx%d is too long and narrow for this model's resize rule",
                        r->w, r->h);
    return EF_OK;
}

static enum dfn_resample resample(const struct dfn_meta *m, const struct dfn_rect *r,
                                  const struct dfn_placing *p)
{
    /* Both enums list the same filters in the same order. */
    return (enum dfn_resample)(p->w > r->w || p->h > r->h ? m->enlarge : m->shrink);
}

/* Byte values to floats, with the divisions done once, in the order in which the training
 * code does them: byte / 255, then - mean, then / std. */
static void fill_table(const struct dfn_meta *m, float table[3][256])
{
    for (int c = 0; c < 3; c++)
        for (int v = 0; v < 256; v++)
            table[c][v] = ((float)v / 255.0f - m->mean[c]) / m->std[c];
}

/* pixels [p.h][p.w][3] placed on a canvas of the pad colour, normalised into out. */
static void normalise(const struct dfn_meta *m, const struct dfn_placing *p,
                      const uint8_t *pixels, float *out)
{
    float table[3][256];
    fill_table(m, table);
    for (int y = 0; y < m->height; y++)
        for (int x = 0; x < m->width; x++) {
            const int sy = y - p->top, sx = x - p->left;
            const bool inside = sy >= 0 && sy < p->h && sx >= 0 && sx < p->w;
            const uint8_t *px =
                inside ? pixels + ((size_t)sy * (size_t)p->w + (size_t)sx) * 3 : m->pad;
            for (int c = 0; c < 3; c++)
                *out++ = table[c][px[c]];
        }
}

ef_status dfn_preprocess(const ef_model *model, const ef_image *img, const ef_box *face,
                         float *out, struct dfn_prepare *p, const ef_allocator *a,
                         ef_error *err)
{
    const struct dfn_meta *m = &model->meta;
    struct dfn_rect rect = {0};
    struct dfn_placing placing = {0};
    ef_status st = dfn_image_check(img, err);
    if (!st)
        st = dfn_crop_rect(m, img->width, img->height, face, &rect, err);
    if (!st)
        st = dfn_place(m, &rect, &placing, err);
    if (st)
        return st;
    const size_t stride = (size_t)placing.w * 3;
    uint8_t *pixels = dfn_scratch_need(&p->pixels, a, stride * (size_t)placing.h);
    if (!pixels)
        return dfn_fail(err, EF_E_NOMEM, "picture", "no memory to resize it to %dx%d",
                        placing.w, placing.h);
    st = dfn_resize(img, &rect, resample(m, &rect, &placing), m->pad, pixels, placing.w,
                    placing.h, stride, &p->work, a, err);
    if (!st)
        normalise(m, &placing, pixels, out);
    return st;
}

void dfn_mirror(const float *in, float *out, int height, int width)
{
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++) {
            const size_t row = (size_t)y * (size_t)width;
            memcpy(out + (row + (size_t)x) * 3, in + (row + (size_t)(width - 1 - x)) * 3,
                   3 * sizeof *out);
        }
}
