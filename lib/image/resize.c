/* resize.c - checks, scratch and the crop's rows for dfn_resize(); the filters are in
 * resize_pillow.c and resize_opencv.c. Called by lib/face.
 * Crop rows are [rect.w][3] uint8 R G B. */
#include "lib/image/resize.h"

#include "kernels/cpu.h"
#include "lib/base/attr.h"
#include "lib/base/mem.h"

#include <string.h>

#define MAX_SIDE 65535

void *dfn_carve(struct dfn_carver *c, size_t count, size_t size)
{
    size_t bytes, end;
    if (!dfn_mul_size(count, size, &bytes) || bytes > SIZE_MAX - DFN_ALIGN ||
        !dfn_add_size(c->used, dfn_align_up(bytes), &end)) {
        c->overflow = true;
        return NULL;
    }
    void *p = c->base ? c->base + c->used : NULL;
    c->used = end;
    return p;
}

static void fill(uint8_t *row, int n, const uint8_t *colour)
{
    for (int i = 0; i < n; i++)
        memcpy(row + (ptrdiff_t)3 * i, colour, 3);
}

const uint8_t *dfn_source_row(struct dfn_source *s, int y)
{
    const struct dfn_rect *r = &s->rect;
    const int64_t at = (int64_t)r->y + y;
    if (s->direct)
        return dfn_image_pixel(s->img, r->x, (int)at);
    if (at < 0 || at >= s->img->height) {
        fill(s->row, r->w, s->pad);
        return s->row;
    }
    /* The crop's columns [from, to) lie in the picture. */
    int64_t from = -(int64_t)r->x, to = (int64_t)s->img->width - r->x;
    from = from < 0 ? 0 : from > r->w ? r->w : from;
    to = to > r->w ? r->w : to < from ? from : to;
    if (from)
        fill(s->row, (int)from, s->pad);
    if (to > from)
        dfn_pixels_to_rgb(dfn_image_pixel(s->img, (int)(r->x + from), (int)at),
                          s->img->format, (size_t)(to - from), s->row + 3 * from);
    if (to < r->w)
        fill(s->row + 3 * to, (int)(r->w - to), s->pad);
    return s->row;
}

static ef_status check(const ef_image *src, const struct dfn_rect *r, const uint8_t *pad,
                       const struct dfn_resize_job *job, ef_error *err)
{
    const ef_status st = dfn_image_check(src, err);
    if (st)
        return st;
    if (r->w < 1 || r->h < 1 || job->out_w < 1 || job->out_h < 1)
        return dfn_fail(err, EF_E_ARG, "resize",
                        "from %d x %d to %d x %d pixels is no size", r->w, r->h,
                        job->out_w, job->out_h);
    if (r->w > MAX_SIDE || r->h > MAX_SIDE || job->out_w > MAX_SIDE ||
        job->out_h > MAX_SIDE)
        return dfn_fail(err, EF_E_LIMIT, "resize",
                        "from %d x %d to %d x %d pixels: a side may have at most %d",
                        r->w, r->h, job->out_w, job->out_h, MAX_SIDE);
    if (job->out_stride < (size_t)job->out_w * 3)
        return dfn_fail(err, EF_E_ARG, "resize",
                        "output rows of %zu bytes hold no %d pixels", job->out_stride,
                        job->out_w);
    const bool inside =
        r->x >= 0 && r->y >= 0 && r->x <= src->width - r->w && r->y <= src->height - r->h;
    if (!inside && !pad)
        return dfn_fail(err, EF_E_ARG, "resize",
                        "rectangle %d,%d %d x %d leaves the picture of %d x %d pixels",
                        r->x, r->y, r->w, r->h, src->width, src->height);
    return EF_OK;
}

/* One round, see struct dfn_carver. */
static void round_of(struct dfn_resize_job *job, struct dfn_carver *c)
{
    struct dfn_source *s = &job->src;
    s->row = s->direct ? NULL : dfn_carve(c, (size_t)s->rect.w, 3);
    if (s->rect.w == job->out_w && s->rect.h == job->out_h) {
        /* Both libraries copy. */
        for (int y = 0; c->base && y < job->out_h; y++)
            memcpy(dfn_out_row(job, y), dfn_source_row(s, y), (size_t)job->out_w * 3);
    } else if (job->filter <= DFN_RESAMPLE_PILLOW_BICUBIC) {
        dfn_resize_pillow(job, c);
    } else {
        dfn_resize_opencv(job, c);
    }
}

ef_status dfn_resize(const ef_image *src, const struct dfn_rect *rect,
                     enum dfn_resample filter, const uint8_t pad[3], uint8_t *out,
                     int out_w, int out_h, size_t out_stride, struct dfn_scratch *scratch,
                     const ef_allocator *a, ef_error *err)
{
    struct dfn_resize_job job = {
        .src = {.img = src, .rect = *rect, .pad = pad},
        .filter = filter,
        .out = out,
        .out_w = out_w,
        .out_h = out_h,
        .out_stride = out_stride,
    };
    const ef_status st = check(src, rect, pad, &job, err);
    if (st)
        return st;
    job.src.direct = src->format == EF_RGB8 && rect->x >= 0 && rect->y >= 0 &&
                     rect->x <= src->width - rect->w && rect->y <= src->height - rect->h;
    dfn_kernels_init(&job.kernels, dfn_cpu_detect() & ~scratch->without);
    struct dfn_carver need = {0};
    round_of(&job, &need);
    if (need.overflow)
        return dfn_fail(err, EF_E_LIMIT, "resize", "needs more memory than there can be");
    uint8_t *base = dfn_scratch_need(scratch, a, need.used);
    if (!base)
        return dfn_fail(err, EF_E_NOMEM, "resize", "no memory for %zu bytes of scratch",
                        need.used);
    struct dfn_carver work = {.base = base};
    round_of(&job, &work);
    return EF_OK;
}
