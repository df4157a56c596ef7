/* image.h - encoded bytes to pixels, pixels to other sizes. The layer below lib/face and
 * lib/api; includes lib/base only.
 *
 * Pixels are uint8, rows top to bottom, R G B interleaved: [height][width][3]. */
#ifndef DFN_IMAGE_IMAGE_H
#define DFN_IMAGE_IMAGE_H

#include "lib/base/options.h"

#include <stdbool.h>

/* A buffer that only grows: what is allocated for one picture serves the next. */
struct dfn_scratch {
    uint8_t *data;
    size_t size;
    uint32_t without; /* DFN_CPU_ bits that who works in it must not use; 0: all may be */
};

/* At least size bytes on DFN_ALIGN, contents undefined; NULL: no memory (old block
 * kept). */
void *dfn_scratch_need(struct dfn_scratch *s, const ef_allocator *a, size_t size);
void dfn_scratch_free(struct dfn_scratch *s, const ef_allocator *a);

/* EF_E_ARG unless img is a picture that may be read: pixels, sizes, stride, format. */
ef_status dfn_image_check(const ef_image *img, ef_error *err);

/* JPEG, PNG, BMP or PNM (by magic bytes, never by name) to upright RGB8. opt is complete
 * (dfn_options_resolve()); its allocator and limits.max_pixels count. out, untouched on
 * failure, is freed by dfn_image_free(). Keeps errno.
 * EF_E_FORMAT: damaged, truncated or no known kind; EF_E_UNSUPPORTED: a known kind that
 * this build does not read; EF_E_LIMIT: more pixels than allowed or a side over 65535. */
ef_status dfn_image_decode(const uint8_t *data, size_t size, const ef_options *opt,
                           ef_image *out, ef_error *err);

/* Frees what dfn_image_decode() allocated and zeroes the struct; harmless on wrapped
 * (owner NULL), zeroed and NULL pictures. Needs no options: the owner block remembers the
 * allocator that it came from. */
void dfn_image_free(ef_image *img);

/* An RGB8 copy of a picture of any format, freed by dfn_image_free(). img has been
 * checked. EF_E_NOMEM, EF_E_LIMIT. */
ef_status dfn_image_copy(const ef_image *img, const ef_options *opt, ef_image *out,
                         ef_error *err);

/* img as an 8-bit RGB PNG, handed to write piece by piece. EF_E_UNSUPPORTED without
 * libpng, EF_E_NOMEM, EF_E_CANCELLED if write returns not 0. */
ef_status dfn_png_encode(const ef_image *img, const ef_options *opt, ef_write_fn *write,
                         void *user, ef_error *err);

/* Row y of img as RGB bytes [width][3]: a pointer into img for EF_RGB8, else into row,
 * which has room for width * 3 bytes. */
const uint8_t *dfn_image_row(const ef_image *img, int y, uint8_t *row);

enum dfn_resample {
    DFN_RESAMPLE_PILLOW_BOX,      /* Pillow up to 12 in 8-bit fixed point: separable,   */
    DFN_RESAMPLE_PILLOW_BILINEAR, /* horizontal first, antialiased, bicubic a = -0.5    */
    DFN_RESAMPLE_PILLOW_BICUBIC,
    DFN_RESAMPLE_OPENCV_AREA, /* INTER_AREA of 8-bit images, also when it enlarges      */
    DFN_RESAMPLE_OPENCV_LINEAR,
    DFN_RESAMPLE_OPENCV_CUBIC /* a = -0.75, not antialiased                             */
};

/* A rectangle of whole pixels of a picture. It may reach outside only if the caller of
 * dfn_resize() says what is there. */
struct dfn_rect {
    int x, y, w, h;
};

/* Resizes rect of src (any format) to out [out_h][out_w][3] RGB, out_stride bytes a row.
 * Where rect leaves the picture, pixels have the colour pad (R, G, B; NULL: it does not
 * leave it); pixels that rect does not hold never count. Equal to cropping first (with
 * padding) and resizing the crop with Pillow or OpenCV. scratch grows as needed, by the
 * bounds that resize.h states. EF_E_NOMEM, EF_E_LIMIT (sizes over 65535), EF_E_ARG. */
ef_status dfn_resize(const ef_image *src, const struct dfn_rect *rect,
                     enum dfn_resample filter, const uint8_t pad[3], uint8_t *out,
                     int out_w, int out_h, size_t out_stride, struct dfn_scratch *scratch,
                     const ef_allocator *a, ef_error *err);

#endif
