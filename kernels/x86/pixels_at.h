/* pixels_at.h - where the pixels of a tile are, for convolutions on x86: five registers
 * find 14 pixels. Pixel r is at x[r / 7] and r % 7 strides further: one, three or five
 * strides, which an address of x86 takes once, twice or four times. Given a pointer for
 * each, gcc 12 keeps some of them in vector registers or on the stack, and getting one
 * from there takes the place of a multiply-add. */
#ifndef DFN_KERNELS_X86_PIXELS_AT_H
#define DFN_KERNELS_X86_PIXELS_AT_H

#include "lib/base/attr.h"

#include <stddef.h>

struct dfn_pixels_at {
    const char *x[2];
    size_t step[3]; /* bytes of 1, 3 and 5 pixels */
};

/* Pixels of `step` floats, the first at in. */
DFN_INLINE struct dfn_pixels_at dfn_pixels_from(const float *in, size_t step)
{
    const size_t pixel = step * sizeof(float);
    struct dfn_pixels_at at = {{(const char *)in, (const char *)in + 7 * pixel},
                               {pixel, 3 * pixel, 5 * pixel}};
    /* Not known to be products. */
    __asm__("" : "+r"(at.step[1]), "+r"(at.step[2]));
    return at;
}

DFN_INLINE const float *dfn_pixel(const struct dfn_pixels_at *at, const int r)
{
    static const unsigned char index[7] = {0, 0, 0, 1, 0, 2, 1};
    static const unsigned char times[7] = {0, 1, 2, 1, 4, 1, 2};
    return (const float *)(const void *)(at->x[r / 7] +
                                         at->step[index[r % 7]] * times[r % 7]);
}

/* One float further in all of them. */
DFN_INLINE void dfn_pixels_next(struct dfn_pixels_at *at)
{
    at->x[0] += sizeof(float);
    at->x[1] += sizeof(float);
}

/* Before each turn of a loop over floats: the pixels are not known to be as far from each
 * other as in the last one. Fewer than eight have no second pointer to be kept. */
DFN_INLINE void dfn_pixels_hide(struct dfn_pixels_at *at, const int pixels)
{
    __asm__("" : "+r"(at->x[0]));
    if (pixels > 7)
        __asm__("" : "+r"(at->x[1]));
}

#endif
