/* image.c - what every user of a picture needs: scratch that only grows, the check of a
 * caller's ef_image, rows of any format as RGB, and the canvas that decoders write on.
 * Pixels are uint8, [height][width][3] R G B unless an ef_image says otherwise. */
#include "lib/base/mem.h"
#include "lib/image/codec.h"
#include "lib/image/resize.h"

#include <errno.h>
#include <string.h>

/* At the front of a decoded picture's block, so that freeing needs no options. */
struct dfn_owner {
    ef_allocator allocator;
};

#define OWNER_ROOM ((size_t)DFN_ALIGN)

_Static_assert(sizeof(struct dfn_owner) <= DFN_ALIGN, "pixels begin on DFN_ALIGN");

void *dfn_scratch_need(struct dfn_scratch *s, const ef_allocator *a, size_t size)
{
    if (s->data && s->size >= size)
        return s->data;
    uint8_t *more = dfn_alloc(a, size ? size : 1);
    if (!more)
        return NULL;
    dfn_free(a, s->data);
    s->data = more;
    s->size = size ? size : 1;
    return more;
}

void dfn_scratch_free(struct dfn_scratch *s, const ef_allocator *a)
{
    dfn_free(a, s->data);
    s->data = NULL;
    s->size = 0;
}

/* Bytes of a pixel; 0 for a format that is none. */
static int pixel_bytes(ef_format format)
{
    switch (format) {
    case EF_RGB8:
    case EF_BGR8:
        return 3;
    case EF_RGBA8:
        return 4;
    case EF_GRAY8:
        return 1;
    }
    return 0;
}

ef_status dfn_image_check(const ef_image *img, ef_error *err)
{
    if (!img)
        return dfn_fail(err, EF_E_ARG, "image", "is NULL");
    if (!img->pixels)
        return dfn_fail(err, EF_E_ARG, "image.pixels", "is NULL");
    if (img->width < 1 || img->height < 1 || img->width > DFN_MAX_SIDE ||
        img->height > DFN_MAX_SIDE)
        return dfn_fail(err, EF_E_ARG, "image.width, height",
                        "are %d, %d, must be 1 to %d", img->width, img->height,
                        DFN_MAX_SIDE);
    const int bytes = pixel_bytes(img->format);
    if (!bytes)
        return dfn_fail(err, EF_E_ARG, "image.format", "is %d, which is no ef_format",
                        (int)img->format);
    const ptrdiff_t row = (ptrdiff_t)img->width * bytes;
    if (img->stride < row && img->stride > -row)
        return dfn_fail(err, EF_E_ARG, "image.stride",
                        "is %td, less than the %td bytes of a row", img->stride, row);
    /* The last row's address must be computable. */
    ptrdiff_t span;
    if (__builtin_mul_overflow(img->stride, (ptrdiff_t)img->height, &span))
        return dfn_fail(err, EF_E_ARG, "image.stride", "is %td, too large for %d rows",
                        img->stride, img->height);
    return EF_OK;
}

const uint8_t *dfn_image_pixel(const ef_image *img, int x, int y)
{
    return img->pixels + y * img->stride + (ptrdiff_t)x * pixel_bytes(img->format);
}

void dfn_pixels_to_rgb(const uint8_t *src, ef_format format, size_t n, uint8_t *dst)
{
    switch (format) {
    case EF_RGB8:
        memcpy(dst, src, n * 3);
        return;
    case EF_BGR8:
        for (size_t i = 0; i < n; i++) {
            dst[3 * i] = src[3 * i + 2];
            dst[3 * i + 1] = src[3 * i + 1];
            dst[3 * i + 2] = src[3 * i];
        }
        return;
    case EF_RGBA8:
        for (size_t i = 0; i < n; i++)
            memcpy(dst + 3 * i, src + 4 * i, 3);
        return;
    case EF_GRAY8:
        for (size_t i = 0; i < n; i++)
            memset(dst + 3 * i, src[i], 3);
        return;
    }
}

const uint8_t *dfn_image_row(const ef_image *img, int y, uint8_t *row)
{
    const uint8_t *src = dfn_image_pixel(img, 0, y);
    if (img->format == EF_RGB8)
        return src;
    dfn_pixels_to_rgb(src, img->format, (size_t)img->width, row);
    return row;
}

ef_status dfn_canvas_check(uint64_t width, uint64_t height, const ef_options *opt,
                           ef_error *err)
{
    if (!width || !height)
        return dfn_fail(err, EF_E_FORMAT, "picture", "has a width or height of 0");
    if (width > DFN_MAX_SIDE || height > DFN_MAX_SIDE)
        return dfn_fail(err, EF_E_LIMIT, "picture",
                        "is %llu x %llu pixels, a side may have at most %d",
                        (unsigned long long)width, (unsigned long long)height,
                        DFN_MAX_SIDE);
    if (width * height > opt->limits.max_pixels)
        return dfn_fail(err, EF_E_LIMIT, "picture",
                        "is %llu x %llu = %llu pixels, the limit is %llu",
                        (unsigned long long)width, (unsigned long long)height,
                        (unsigned long long)(width * height),
                        (unsigned long long)opt->limits.max_pixels);
    return EF_OK;
}

/* Where stored pixels go, for EXIF's orientations: 2 mirrored left to right, 3 turned by
 * 180 degrees, 4 mirrored top to bottom, 5 transposed, 6 to be turned clockwise, 7
 * transposed along the other diagonal, 8 to be turned counter-clockwise
 * (CIPA DC-008 4.6.4 A). */
static void lay_out(struct dfn_canvas *c, int orientation)
{
    const ptrdiff_t pixel = 3, row = pixel * c->width;
    const bool turned = orientation >= 5;
    const bool from_right =
        orientation == 2 || orientation == 3 || orientation == 6 || orientation == 7;
    const bool from_below =
        orientation == 3 || orientation == 4 || orientation == 7 || orientation == 8;
    c->first = c->pixels;
    if (from_right)
        c->first += row - pixel;
    if (from_below)
        c->first += row * (c->height - 1);
    const ptrdiff_t across = from_right ? -pixel : pixel, down = from_below ? -row : row;
    c->step_x = turned ? down : across;
    c->step_y = turned ? across : down;
}

ef_status dfn_canvas_open(struct dfn_canvas *c, uint64_t width, uint64_t height,
                          int orientation, const ef_options *opt, ef_error *err)
{
    const ef_status st = dfn_canvas_check(width, height, opt, err);
    if (st)
        return st;
    size_t bytes;
    if (!dfn_mul_size((size_t)width * 3, (size_t)height, &bytes) ||
        !dfn_add_size(bytes, OWNER_ROOM, &bytes))
        return dfn_fail(err, EF_E_LIMIT, "picture", "does not fit in the address space");
    struct dfn_owner *owner = dfn_alloc(&opt->allocator, bytes);
    if (!owner)
        return dfn_fail(err, EF_E_NOMEM, "picture", "no memory for %zu bytes of pixels",
                        bytes);
    owner->allocator = opt->allocator;
    const bool turned = orientation >= 5;
    c->owner = owner;
    c->pixels = (uint8_t *)owner + OWNER_ROOM;
    c->width = (int)(turned ? height : width);
    c->height = (int)(turned ? width : height);
    c->row_width = (int)width;
    lay_out(c, orientation);
    return EF_OK;
}

uint8_t *dfn_canvas_direct(const struct dfn_canvas *c, int y)
{
    return c->step_x == 3 ? c->first + y * c->step_y : NULL;
}

void dfn_canvas_put(const struct dfn_canvas *c, int y, const uint8_t *row)
{
    uint8_t *to = c->first + y * c->step_y;
    if (c->step_x == 3) {
        memcpy(to, row, (size_t)c->row_width * 3);
        return;
    }
    for (int x = 0; x < c->row_width; x++)
        memcpy(to + x * c->step_x, row + (ptrdiff_t)3 * x, 3);
}

void dfn_on_black(const uint8_t *src, size_t n, uint8_t *dst)
{
    for (size_t i = 0; i < n; i++) {
        const unsigned alpha = src[4 * i + 3];
        for (size_t k = 0; k < 3; k++)
            dst[3 * i + k] = (uint8_t)((src[4 * i + k] * alpha + 127) / 255);
    }
}

ef_status dfn_image_copy(const ef_image *img, const ef_options *opt, ef_image *out,
                         ef_error *err)
{
    struct dfn_canvas c = {0};
    const ef_status st =
        dfn_canvas_open(&c, (uint64_t)img->width, (uint64_t)img->height, 1, opt, err);
    if (st)
        return st;
    for (int y = 0; y < img->height; y++) {
        uint8_t *to = dfn_canvas_direct(&c, y);
        const uint8_t *row = dfn_image_row(img, y, to);
        if (row != to)
            memcpy(to, row, (size_t)img->width * 3);
    }
    *out =
        (ef_image){c.pixels, c.width, c.height, (ptrdiff_t)c.width * 3, EF_RGB8, c.owner};
    return EF_OK;
}

void dfn_image_free(ef_image *img)
{
    if (!img)
        return;
    if (img->owner) {
        const int saved = errno;
        const ef_allocator a = ((struct dfn_owner *)img->owner)->allocator;
        dfn_free(&a, img->owner);
        errno = saved;
    }
    memset(img, 0, sizeof *img);
}
