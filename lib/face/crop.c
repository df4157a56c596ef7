/* crop.c - the rectangle of a face that a network wants to see. Called by preprocess.c,
 * heatmap.c and tests; the rules are those of weights_tools/FORMAT.md, section 2,
 * dfnet.face.*.
 *
 *   box -> edges with margins (real or whole) -> whole pixels -> kept inside the picture
 *       -> enlarged to `least` */
#include "lib/face/preprocess.h"

#include <math.h>

/* Farther than any picture is large: coordinates beyond cannot be meant, and would not
 * survive the way to int. */
#define FAR 1e6f

/* A crop's edges. */
struct edges {
    double x0, y0, x1, y1;
};

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

/* The box's edges, cut to whole numbers towards 0, as int() does, for the rules that work
 * with whole boxes. */
static struct edges box_edges(const struct dfn_meta *m, const ef_box *face)
{
    const struct edges e = {face->x, face->y, (double)face->x + face->w,
                            (double)face->y + face->h};
    if (m->rounding == DFN_ROUND_WHOLE || m->rounding == DFN_ROUND_EVEN)
        return (struct edges){trunc(e.x0), trunc(e.y0), trunc(e.x1), trunc(e.y1)};
    return e;
}

/* Margins in pixels: left, top, right, bottom. */
static void margins_of(const struct dfn_meta *m, double w, double h, double out[4])
{
    for (int i = 0; i < 4; i++) {
        out[i] = m->margin[i] * (i % 2 || m->margin_of_height ? h : w);
        if (m->rounding == DFN_ROUND_WHOLE)
            out[i] = trunc(out[i]);
    }
}

static double square_side(const struct dfn_meta *m, double w, double h)
{
    const double margins = m->margin[0] + m->margin[1] + m->margin[2] + m->margin[3];
    return (w > h ? w : h) * (1 + margins / 2);
}

static struct edges add_margins(const struct dfn_meta *m, const ef_box *face)
{
    const struct edges e = box_edges(m, face);
    const bool whole = m->rounding == DFN_ROUND_WHOLE;
    const double w = whole ? e.x1 - e.x0 : face->w, h = whole ? e.y1 - e.y0 : face->h;
    double margin[4];
    if (m->square) {
        const double side = square_side(m, w, h);
        const double x = face->x + w / 2 - side / 2, y = face->y + h / 2 - side / 2;
        return (struct edges){x, y, x + side, y + side};
    }
    margins_of(m, w, h, margin);
    return (struct edges){e.x0 - margin[0], e.y0 - margin[1], e.x1 + margin[2],
                          e.y1 + margin[3]};
}

/* Square of an even side, around the whole box's centre rounded down. */
static struct edges even_square(const struct dfn_meta *m, const ef_box *face, int width,
                                int height)
{
    const struct edges e = box_edges(m, face);
    double side = 2 * floor(square_side(m, e.x1 - e.x0, e.y1 - e.y0) / 2);
    if (m->outside == DFN_OUTSIDE_SHIFT)
        side = fmin(side, width < height ? width : height);
    const double x = floor((e.x0 + e.x1) / 2) - floor(side / 2);
    const double y = floor((e.y0 + e.y1) / 2) - floor(side / 2);
    return (struct edges){x, y, x + side, y + side};
}

/* Whole pixels of [from, to), at least one. */
static void to_pixels(enum dfn_rounding rounding, double from, double to, int *start,
                      int *size)
{
    const bool nearest = rounding == DFN_ROUND_NEAREST;
    *start = (int)(nearest ? floor(from + 0.5) : trunc(from));
    const int end = (int)(nearest ? floor(to + 0.5) : trunc(to));
    *size = end > *start ? end - *start : 1;
}

/* [*from, *from + *size) enlarged on both sides, by one more behind it if need be. */
static void enlarge(int least, int *from, int *size)
{
    if (*size >= least)
        return;
    *from -= (least - *size) / 2;
    *size = least;
}

static ef_status crop_of_face(const struct dfn_meta *m, int width, int height,
                              const ef_box *face, struct dfn_rect *r, ef_error *err)
{
    const ef_status st = check_box(face, width, height, err);
    if (st)
        return st;
    const struct edges e = m->rounding == DFN_ROUND_EVEN
                               ? even_square(m, face, width, height)
                               : add_margins(m, face);
    /* A model's margins may be any numbers, negative ones included. */
    if (!(e.x1 - e.x0 <= 65535 && e.y1 - e.y0 <= 65535 && fabs(e.x0) <= 100 * FAR &&
          fabs(e.y0) <= 100 * FAR && fabs(e.x1) <= 100 * FAR && fabs(e.y1) <= 100 * FAR))
        return dfn_fail(err, EF_E_LIMIT, "face box",
                        "with its margin is %.0fx%.0f pixels", e.x1 - e.x0, e.y1 - e.y0);
    to_pixels(m->rounding, e.x0, e.x1, &r->x, &r->w);
    to_pixels(m->rounding, e.y0, e.y1, &r->y, &r->h);
    keep_inside(m->outside, width, &r->x, &r->w);
    keep_inside(m->outside, height, &r->y, &r->h);
    /* A sliver less than half a pixel wide at the picture's edge rounds to nothing. */
    if (r->w < 1 || r->h < 1)
        return dfn_fail(err, EF_E_ARG, "face box", "covers no pixel of the picture");
    return EF_OK;
}

ef_status dfn_crop_rects(const struct dfn_meta *m, int width, int height,
                         const ef_box *face, struct dfn_rect *seen, struct dfn_rect *rect,
                         ef_error *err)
{
    struct dfn_rect r = {0, 0, width, height};
    if (face) {
        const ef_status st = crop_of_face(m, width, height, face, &r, err);
        if (st)
            return st;
    }
    *seen = r;
    enlarge(m->least, &r.x, &r.w);
    enlarge(m->least, &r.y, &r.h);
    *rect = r;
    return EF_OK;
}

ef_status dfn_crop_rect(const struct dfn_meta *meta, int width, int height,
                        const ef_box *face, struct dfn_rect *out, ef_error *err)
{
    struct dfn_rect seen;
    return dfn_crop_rects(meta, width, height, face, &seen, out, err);
}
