/* resize.h - between dfn_resize() and its two families of filters.
 *
 * Scratch, for a crop of w x h pixels and an output of W x H, in bytes, each part rounded
 * up to DFN_ALIGN:
 *   both      one row of the crop, 3 w, if it has to be converted or padded
 *   Pillow    tables of at most 16 w + 28 W and 16 h + 28 H; rows of 3 W between the
 *             passes and of 12 W for sums: 1 and at most 6 if the height shrinks, else at
 *             most 5 and 1
 *   OpenCV    tables of at most 24 (w + 2 W) and 24 (h + 2 H); rows of 12 W: two (area)
 *             or two to four (linear, cubic)
 * With sides of at most 65535 that is below 16 MiB.
 */
#ifndef DFN_IMAGE_RESIZE_H
#define DFN_IMAGE_RESIZE_H

#include "kernels/kernels.h"
#include "lib/image/image.h"

/* A crop, read row by row. */
struct dfn_source {
    const ef_image *img;
    struct dfn_rect rect;
    const uint8_t *pad; /* R, G, B */
    bool direct;        /* rows can be used where they lie */
    uint8_t *row;       /* [rect.w][3], unless direct */
};

/* One call of dfn_resize(). */
struct dfn_resize_job {
    struct dfn_source src;
    enum dfn_resample filter;
    uint8_t *out; /* [out_h][out_stride], out_w pixels of 3 bytes each */
    int out_w, out_h;
    size_t out_stride;
    struct dfn_kernels kernels;
};

/* Takes blocks out of a scratch buffer in two rounds: with base NULL, dfn_carve() only
 * adds up what is needed; with a base it hands out the same blocks. */
struct dfn_carver {
    uint8_t *base;
    size_t used;
    bool overflow;
};
void *dfn_carve(struct dfn_carver *c, size_t count, size_t size);

/* Pixel (x, y) of img. */
const uint8_t *dfn_image_pixel(const ef_image *img, int x, int y);

/* n pixels of any format to R G B. */
void dfn_pixels_to_rgb(const uint8_t *src, ef_format format, size_t n, uint8_t *dst);

/* Row y of the crop, 0 <= y < rect.h: [rect.w][3]; valid until the next call. */
const uint8_t *dfn_source_row(struct dfn_source *s, int y);

static inline uint8_t *dfn_out_row(const struct dfn_resize_job *job, int y)
{
    return job->out + (size_t)y * job->out_stride;
}

/* Items first..last-1 of one of the kernels. */
static inline void dfn_resize_run(const struct dfn_resize_job *job, enum dfn_op op,
                                  const void *args, size_t first, size_t last)
{
    job->kernels.op[op].run(args, first, last);
}

/* The families. Each is called twice: with c->base NULL it only carves, then it works. */
void dfn_resize_pillow(struct dfn_resize_job *job, struct dfn_carver *c);
void dfn_resize_opencv(struct dfn_resize_job *job, struct dfn_carver *c);

#endif
