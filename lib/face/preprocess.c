/* preprocess.c - see preprocess.h. The rules are those of weights_tools/FORMAT.md,
 * section 2; the published pipelines behind them are named there. */
#include "lib/face/preprocess.h"

#include "lib/face/warp.h"

#include <math.h>
#include <string.h>

void dfn_prepare_free(struct dfn_prepare *p, const ef_allocator *a)
{
    dfn_scratch_free(&p->pixels, a);
    dfn_scratch_free(&p->work, a);
    dfn_scratch_free(&p->aligned, a);
    dfn_scratch_free(&p->mirrored, a);
}

/* d / 2 rounded half to even, as torchvision's centre crop rounds. */
static int half_even(int d)
{
    const int floor_half = d >> 1;
    return (d & 1) && (floor_half & 1) ? floor_half + 1 : floor_half;
}

/* Where a side of `size` pixels begins on a canvas of `room`: albumentations puts the odd
 * pixel behind, whether it pads or cuts. */
static int centred(const struct dfn_meta *m, int size, int room)
{
    if (m->round_sizes)
        return size >= room ? -((size - room) / 2) : (room - size) / 2;
    return -half_even(size - room);
}

/* n * to / from in whole pixels, at least one: cut off, or rounded half to even by way of
 * the scale. */
static int scaled(const struct dfn_meta *m, int n, int to, int from)
{
    const int size = m->round_sizes ? (int)rint((double)n * ((double)to / from))
                                    : (int)((int64_t)to * n / from);
    return size < 1 ? 1 : size;
}

ef_status dfn_place(const struct dfn_meta *m, const struct dfn_rect *r,
                    struct dfn_placing *p, ef_error *err)
{
    *p = (struct dfn_placing){m->width, m->height, 0, 0};
    if (m->resize == DFN_RESIZE_SHORTER) {
        const int short_side = r->w < r->h ? r->w : r->h;
        p->w = r->w <= r->h ? m->shorter : scaled(m, r->w, m->shorter, short_side);
        p->h = r->w <= r->h ? scaled(m, r->h, m->shorter, short_side) : m->shorter;
        p->left = centred(m, p->w, m->width);
        p->top = centred(m, p->h, m->height);
    } else if (m->resize == DFN_RESIZE_LONGER) {
        const double sx = (double)m->width / r->w, sy = (double)m->height / r->h;
        const double scale = sx < sy ? sx : sy;
        const double w = r->w * scale, h = r->h * scale;
        p->w = scale == sx ? m->width : (int)(m->round_sizes ? rint(w) : w);
        p->h = scale == sy ? m->height : (int)(m->round_sizes ? rint(h) : h);
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

/* i, or where i lies in a row of n pixels that goes on mirrored, its ends not repeated:
 * 2 1 0 1 2 1 0 (OpenCV's BORDER_REFLECT_101). */
static int mirrored(int i, int n)
{
    const int period = 2 * (n - 1);
    if (!period)
        return 0;
    i %= period;
    i += i < 0 ? period : 0;
    return i < n ? i : period - i;
}

/* pixels [p.h][p.w][3] placed on a canvas of the pad colour, normalised into out. */
static void normalise(const struct dfn_meta *m, const struct dfn_placing *p,
                      const uint8_t *pixels, float *out)
{
    float table[3][256];
    fill_table(m, table);
    for (int y = 0; y < m->height; y++)
        for (int x = 0; x < m->width; x++, out += 3) {
            int sy = y - p->top, sx = x - p->left;
            if (m->border == DFN_BORDER_REFLECT) {
                sy = mirrored(sy, p->h);
                sx = mirrored(sx, p->w);
            }
            const bool inside = sy >= 0 && sy < p->h && sx >= 0 && sx < p->w;
            const uint8_t *px =
                inside ? pixels + ((size_t)sy * (size_t)p->w + (size_t)sx) * 3 : m->pad;
            for (int c = 0; c < 3; c++)
                out[c] = inside || !m->zero_canvas ? table[c][px[c]] : 0.0f;
        }
}

/* The part of img that seen shows, as a picture of its own. */
static ef_image view(const ef_image *img, const struct dfn_rect *seen)
{
    const int bytes = img->format == EF_GRAY8 ? 1 : img->format == EF_RGBA8 ? 4 : 3;
    const int x0 = seen->x > 0 ? seen->x : 0, y0 = seen->y > 0 ? seen->y : 0;
    const int x1 = seen->x + seen->w < img->width ? seen->x + seen->w : img->width;
    const int y1 = seen->y + seen->h < img->height ? seen->y + seen->h : img->height;
    ef_image v = *img;
    v.pixels = img->pixels + (ptrdiff_t)y0 * img->stride + (ptrdiff_t)x0 * bytes;
    v.width = x1 - x0;
    v.height = y1 - y0;
    return v;
}

/* *part becomes its mirror image, and *within lies where it shows what it showed. */
static ef_status mirror_part(ef_image *part, struct dfn_rect *within,
                             struct dfn_prepare *p, const ef_allocator *a, ef_error *err)
{
    const size_t row = (size_t)part->width * 3;
    uint8_t *to = dfn_scratch_need(&p->mirrored, a, row * ((size_t)part->height + 1));
    if (!to)
        return dfn_fail(err, EF_E_NOMEM, "picture", "no memory to mirror its %dx%d",
                        part->width, part->height);
    /* Behind the picture, room for a row of a picture that is not RGB. */
    uint8_t *room = to + row * (size_t)part->height, *out = to;
    for (int y = 0; y < part->height; y++) {
        const uint8_t *from = dfn_image_row(part, y, room) + row;
        for (int x = 0; x < part->width; x++, out += 3) {
            from -= 3;
            memcpy(out, from, 3);
        }
    }
    *part = (ef_image){to, part->width, part->height, (ptrdiff_t)row, EF_RGB8, NULL};
    within->x = part->width - (within->x + within->w);
    return EF_OK;
}

/* rect of img, or of what seen shows of it, to out. */
static ef_status resize_and_normalise(const struct dfn_meta *m, const ef_image *img,
                                      const struct dfn_rect *seen,
                                      const struct dfn_rect *rect, float *out,
                                      struct dfn_prepare *p, const ef_allocator *a,
                                      ef_error *err)
{
    struct dfn_placing placing = {0};
    ef_image part = view(img, seen);
    struct dfn_rect within = {rect->x - (seen->x > 0 ? seen->x : 0),
                              rect->y - (seen->y > 0 ? seen->y : 0), rect->w, rect->h};
    ef_status st = dfn_place(m, rect, &placing, err);
    if (!st && p->mirror)
        st = mirror_part(&part, &within, p, a, err);
    if (st)
        return st;
    const size_t stride = (size_t)placing.w * 3;
    uint8_t *pixels = dfn_scratch_need(&p->pixels, a, stride * (size_t)placing.h);
    if (!pixels)
        return dfn_fail(err, EF_E_NOMEM, "picture", "no memory to resize it to %dx%d",
                        placing.w, placing.h);
    st = dfn_resize(&part, &within, resample(m, rect, &placing), m->pad, pixels,
                    placing.w, placing.h, stride, &p->work, a, err);
    if (!st)
        normalise(m, &placing, pixels, out);
    return st;
}

ef_status dfn_preprocess(const ef_model *model, const ef_image *img, const ef_box *face,
                         float *out, struct dfn_prepare *p, const ef_allocator *a,
                         ef_error *err)
{
    const struct dfn_meta *m = &model->meta;
    struct dfn_rect seen = {0}, rect = {0};
    if (face && m->align.height)
        return dfn_fail(err, EF_E_ARG, "face box",
                        "is not enough: this model wants the face aligned by five "
                        "landmarks");
    ef_status st = dfn_image_check(img, err);
    if (!st)
        st = dfn_crop_rects(m, img->width, img->height, face, &seen, &rect, err);
    return st ? st : resize_and_normalise(m, img, &seen, &rect, out, p, a, err);
}

ef_status dfn_alignment(const struct dfn_align *align, const ef_point *marks,
                        double matrix[6], ef_error *err)
{
    double from[2 * DFN_LANDMARKS];
    for (int i = 0; i < DFN_LANDMARKS; i++) {
        const double at[2] = {marks[i].x, marks[i].y};
        for (int k = 0; k < 2; k++) {
            /* Written so that NaN fails. */
            if (!(fabs(at[k]) <= 1e6))
                return dfn_fail(err, EF_E_ARG, "landmarks",
                                "number %d at %g,%g is out of range", i, at[0], at[1]);
            from[2 * i + k] = align->truncate ? trunc(at[k]) : at[k];
        }
    }
    if (!dfn_similarity(from, align->points, matrix))
        return dfn_fail(err, EF_E_ARG, "landmarks",
                        "do not lie as a face's: no rotation carries them to the "
                        "template");
    return EF_OK;
}

ef_status dfn_preprocess_aligned(const ef_model *model, const ef_image *img,
                                 const ef_point *marks, float *out, struct dfn_prepare *p,
                                 const ef_allocator *a, ef_error *err)
{
    const struct dfn_align *align = &model->meta.align;
    double matrix[6];
    if (!align->height)
        return dfn_fail(err, EF_E_ARG, "model", "does not align faces by landmarks");
    ef_status st = dfn_image_check(img, err);
    if (!st)
        st = dfn_alignment(align, marks, matrix, err);
    if (st)
        return st;
    const struct dfn_rect all = {0, 0, align->width, align->height};
    uint8_t *pixels = dfn_scratch_need(&p->aligned, a, (size_t)all.w * (size_t)all.h * 3);
    if (!pixels)
        return dfn_fail(err, EF_E_NOMEM, "picture", "no memory to align it to %dx%d",
                        all.w, all.h);
    dfn_warp_affine(img, matrix, model->meta.pad, pixels, all.w, all.h);
    const ef_image aligned = {pixels, all.w, all.h, (ptrdiff_t)all.w * 3, EF_RGB8, NULL};
    return resize_and_normalise(&model->meta, &aligned, &all, &all, out, p, a, err);
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
