/* codec.h - what the decoders of lib/image share. Each turns bytes of one kind into rows
 * of RGB and hands them to a canvas, which allocates the picture (after the limits are
 * checked) and turns it upright on the way, so that no second buffer is needed.
 *
 * Rows are [width][3] uint8 R G B, as stored in the file, before the EXIF orientation. */
#ifndef DFN_IMAGE_CODEC_H
#define DFN_IMAGE_CODEC_H

#include "lib/image/image.h"

#define DFN_MAX_SIDE 65535

/* What a decoder gets. */
struct dfn_encoded {
    const uint8_t *data; /* [size] bytes of the whole file */
    size_t size;
    const ef_options *opt;
};

/* The picture that is being written. Zeroed before dfn_canvas_open(). */
struct dfn_canvas {
    void *owner;       /* block from dfn_alloc: struct dfn_owner, then the pixels     */
    uint8_t *pixels;   /* [height][width][3], upright                                 */
    int width, height; /* upright                                                     */
    int row_width;     /* pixels of a stored row                                      */
    uint8_t *first;    /* where pixel 0 of stored row 0 goes                          */
    ptrdiff_t step_x;  /* bytes to the place of the next pixel of a stored row        */
    ptrdiff_t step_y;  /* bytes to the place of the same pixel of the next stored row */
};

/* EF_E_LIMIT, EF_E_FORMAT unless a picture of stored size width x height is allowed. */
ef_status dfn_canvas_check(uint64_t width, uint64_t height, const ef_options *opt,
                           ef_error *err);

/* Checks as dfn_canvas_check(), then allocates. orientation: EXIF's 1 to 8. */
ef_status dfn_canvas_open(struct dfn_canvas *c, uint64_t width, uint64_t height,
                          int orientation, const ef_options *opt, ef_error *err);

/* The place of stored row y if it may be written as it stands, else NULL. */
uint8_t *dfn_canvas_direct(const struct dfn_canvas *c, int y);

/* Puts stored row y, [row_width][3], where it belongs. */
void dfn_canvas_put(const struct dfn_canvas *c, int y, const uint8_t *row);

/* n pixels R G B A to R G B on black: colour * alpha / 255, rounded. dst may be src. */
void dfn_on_black(const uint8_t *src, size_t n, uint8_t *dst);

/* EXIF orientation, 1 to 8. 1 if there is none or the block is broken: a picture must not
 * become unreadable because its camera's notes are. */
int dfn_exif_orientation(const uint8_t *tiff, size_t size);
/* The same from the first Exif APP1 segment of a JPEG file, or a PNG file's eXIf
 * chunk. */
int dfn_exif_in_jpeg(const uint8_t *data, size_t size);
int dfn_exif_in_png(const uint8_t *data, size_t size);

/* The decoders. On failure the caller frees the canvas, opened or not. */
ef_status dfn_jpeg_decode(const struct dfn_encoded *in, struct dfn_canvas *c,
                          ef_error *err);
ef_status dfn_png_decode(const struct dfn_encoded *in, struct dfn_canvas *c,
                         ef_error *err);
ef_status dfn_bmp_decode(const struct dfn_encoded *in, struct dfn_canvas *c,
                         ef_error *err);
ef_status dfn_pnm_decode(const struct dfn_encoded *in, struct dfn_canvas *c,
                         ef_error *err);

/* stb_image with our limits around it (stb.c). Called once the header has been checked
 * by the caller; components: 3, or 4 with alpha composited on black. maxval: largest
 * sample value of the file, scaled to 255. */
struct dfn_stb_call {
    uint32_t width, height; /* what the caller read in the header */
    int components;
    unsigned maxval;
    int orientation;
};
ef_status dfn_stb_decode(const struct dfn_encoded *in, const struct dfn_stb_call *call,
                         struct dfn_canvas *c, ef_error *err);

#endif
