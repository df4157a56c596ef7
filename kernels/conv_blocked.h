/* conv_blocked.h - dense convolution in blocks, but for the innermost tile. Included by
 * one kernel file for each instruction set, which first defines
 *
 *   DFN_TILE_PIXELS   pixels of a tile: 4, 6 or 12
 *   DFN_TILE_COLUMNS  output channels of a panel of weights, and of a tile
 *   DFN_TILE_PANELS   panels of a wide tile, of DFN_TILE_WIDE pixels; or not defined
 *
 * and afterwards dfn_tile() and dfn_tile_finish(); those with vectors have the latter
 * from kernels/simd/conv.h. One that defines DFN_TILE_LATE can finish a whole tile, not
 * wide, while the next one's sums are added up. Everything is static: each
 * file has its own copy, compiled with its own flags.
 *
 * A row of NHWC pixels is gapless, so kx and cin of one kernel row lie in one piece of
 * kernel * cin floats, and the next pixel's piece begins stride * cin floats later: a
 * product of overlapping rows, without copying them out (im2col) first.
 *
 *     in, P pixels          weight [panel][ky][kx * cin][C]      out [ow][cout]
 *     P pieces of kx * cin x  kx * cin x C    for each ky      =   P x C
 *
 * Pixels whose window leaves the row at the left or right are done one by one, with a
 * shorter piece. The order of a sum is ky, kx, cin whatever the tile, hence the same bits
 * for any range of items. */
#ifndef DFN_KERNELS_CONV_BLOCKED_H
#define DFN_KERNELS_CONV_BLOCKED_H

#include "kernels/kernels.h"

#include <stdbool.h>

#ifndef DFN_TILE_PANELS
#define DFN_TILE_PANELS 1
#define DFN_TILE_WIDE DFN_TILE_PIXELS
#endif
/* Floats of the sums of a tile of either kind; a wide one has no fewer pixels. */
#define DFN_TILE_SUMS (DFN_TILE_WIDE * DFN_TILE_PANELS * DFN_TILE_COLUMNS)

/* The part of a window that lies inside the input, as pieces of memory. */
struct dfn_window {
    const float *in;     /* first float of its first piece                              */
    const float *weight; /* of the panel, at the first tap                              */
    size_t depth;        /* floats of a piece                                           */
    size_t in_next, weight_next; /* from one kernel row's piece to the next             */
    size_t panel;                /* floats from a panel of weights to the next          */
    int rows;                    /* kernel rows inside                                  */
#ifdef DFN_TILE_LATE
    const float *bias; /* added to a whole tile's sums; or NULL                         */
    const float *held; /* such sums of the tile before, to be finished; or NULL         */
    float *held_out;   /* and where they go, [DFN_TILE_PIXELS][cout]                    */
    size_t cout;
#endif
};

/* Where the sums of a tile go, and what is done to them on the way. Pointers are at the
 * tile's first channel, and at its first pixel where they have pixels. */
struct dfn_finish {
    float *out;
    const float *bias, *slope, *residual; /* slope and residual may be NULL             */
    size_t cout;                          /* from pixel to pixel                        */
    size_t room;                          /* floats of the row from out to its end      */
    int width, columns;                   /* channels of the tile, those that exist     */
    enum dfn_act act;
};

/* acc[r][j] = sum over the window of pixel r, `step` floats from pixel to pixel, for the
 * channels j of so many panels. pixels and panels are constants at every call, so that
 * sums live in registers. */
DFN_INLINE void dfn_tile(const struct dfn_window *v, size_t step, float *acc,
                         const int pixels, const int panels);

/* out = residual + act(acc + bias) for the channels that exist, act or prelu; acc
 * [pixels][width]; wide, a constant: of a wide tile. */
DFN_INLINE void dfn_tile_finish(const struct dfn_finish *f, float *acc, int pixels,
                                const bool wide);

#ifdef DFN_TILE_LATE
/* Floats of a window that a tile needs to finish the one before. */
#define DFN_TILE_STEPS (DFN_TILE_PIXELS * DFN_TILE_COLUMNS / DFN_VL)

/* Whether whole tiles can wait. */
static bool dfn_tile_late(const struct dfn_finish *f);

/* Finishes one that has waited for nothing. */
static void dfn_tile_late_end(const float *held, float *out, size_t cout);
#endif

/* One line for each width. */
/* clang-format off */
#define DFN_CASE(n, panels)                                                              \
    case n:                                                                              \
        dfn_tile(v, step, acc, n, panels);                                               \
        break;

/* 8, 9 and 10 pixels are for R-Net's and O-Net's maps of 9, 21, 22 pixels. */
static void dfn_any_tile(const struct dfn_window *v, size_t step, float *acc, int pixels)
{
    switch (pixels) {
    DFN_CASE(1, 1) DFN_CASE(2, 1) DFN_CASE(3, 1)
#if DFN_TILE_PIXELS > 4
    DFN_CASE(4, 1) DFN_CASE(5, 1)
#endif
#if DFN_TILE_PIXELS > 6
    DFN_CASE(6, 1) DFN_CASE(8, 1) DFN_CASE(9, 1) DFN_CASE(10, 1)
#endif
    default:
        dfn_tile(v, step, acc, DFN_TILE_PIXELS, 1);
    }
}
/* clang-format on */

/* Pixels of the next tile when n are left: one of the cases above. */
static int dfn_tile_pixels(int n)
{
    if (n >= DFN_TILE_PIXELS)
        return DFN_TILE_PIXELS;
    return n == 7 ? 6 : n == 11 ? 10 : n;
}

#if DFN_TILE_PANELS > 1
/* No register may be left over for what stands around the tile. */
/* clang-format off */
__attribute__((noinline))
static void dfn_any_wide(const struct dfn_window *v, size_t step, float *acc, int pixels)
{
    switch (pixels) {
    DFN_CASE(1, DFN_TILE_PANELS) DFN_CASE(2, DFN_TILE_PANELS)
    DFN_CASE(4, DFN_TILE_PANELS) DFN_CASE(6, DFN_TILE_PANELS)
    DFN_CASE(8, DFN_TILE_PANELS) DFN_CASE(10, DFN_TILE_PANELS)
    DFN_CASE(12, DFN_TILE_PANELS)
    default:
        dfn_tile(v, step, acc, DFN_TILE_WIDE, DFN_TILE_PANELS);
    }
}
/* clang-format on */

static int dfn_wide_pixels(int n)
{
    return n >= DFN_TILE_WIDE ? DFN_TILE_WIDE : n < 2 ? n : n & ~1;
}
#else
#define dfn_any_wide dfn_any_tile
#define dfn_wide_pixels dfn_tile_pixels
#endif

/* One output row of one panel of output channels, or of a wide tile's panels; v: its
 * kernel rows, taken at tap kx = 0 of the pixel x = 0 as if that were inside. f: at the
 * pixel x = 0. wide is a constant at both calls. */
DFN_INLINE void dfn_conv_panel(const struct dfn_conv_args *a, const struct dfn_window *v,
                               struct dfn_finish f, const bool wide)
{
    const int k = a->kernel, s = a->stride;
    const size_t cin = (size_t)a->cin;
    /* Pixels before this one have their windows inside the row, at its right end. */
    const int inside = a->w + a->left < k ? 0 : (a->w + a->left - k) / s + 1;
#ifdef DFN_TILE_LATE
    const bool late = dfn_tile_late(&f);
    float sums[2][DFN_TILE_SUMS], *acc = sums[0], *held_out = NULL;
    const float *held = NULL;
#else
    float acc[DFN_TILE_SUMS];
#endif

    for (int x = 0, pixels; x < a->ow; x += pixels) {
        const int ix = x * s - a->left;
        const int from = ix < 0 ? -ix : 0, to = ix + k > a->w ? a->w - ix : k;
        struct dfn_window here = *v;
        pixels = 1;
        if (from > 0 || to < k) {
            here.in += (size_t)(ix + from) * cin;
            here.weight += (size_t)from * cin * DFN_TILE_COLUMNS;
            here.depth = to > from ? (size_t)(to - from) * cin : 0;
        } else {
            here.in += (size_t)ix * cin;
            const int left = (inside < a->ow ? inside : a->ow) - x;
            pixels = wide ? dfn_wide_pixels(left) : dfn_tile_pixels(left);
        }
#ifdef DFN_TILE_LATE
        const bool waits = late && pixels == DFN_TILE_PIXELS &&
                           (size_t)here.rows * here.depth >= DFN_TILE_STEPS;
        if (held && !waits) {
            dfn_tile_late_end(held, held_out, f.cout);
            held = NULL;
        }
        here.bias = waits ? f.bias : NULL;
        here.held = held;
        here.held_out = held_out;
        here.cout = f.cout;
#else
        const bool waits = false;
#endif
        if (wide)
            dfn_any_wide(&here, (size_t)s * cin, acc, pixels);
        else
            dfn_any_tile(&here, (size_t)s * cin, acc, pixels);
        if (!waits)
            dfn_tile_finish(&f, acc, pixels, wide);
#ifdef DFN_TILE_LATE
        else {
            held = acc;
            held_out = f.out;
            acc = acc == sums[0] ? sums[1] : sums[0];
        }
#endif
        const size_t done = (size_t)pixels * f.cout;
        f.out += done;
        f.room -= done < f.room ? done : f.room;
        f.residual = f.residual ? f.residual + done : NULL;
    }
#ifdef DFN_TILE_LATE
    if (held)
        dfn_tile_late_end(held, held_out, f.cout);
#endif
}

static void dfn_conv_one(const struct dfn_conv_args *a, const struct dfn_window *v,
                         const struct dfn_finish *f)
{
    dfn_conv_panel(a, v, *f, false);
}

#if DFN_TILE_PANELS > 1
static void dfn_conv_more(const struct dfn_conv_args *a, const struct dfn_window *v,
                          const struct dfn_finish *f)
{
    dfn_conv_panel(a, v, *f, true);
}
#else
#define dfn_conv_more dfn_conv_one
#endif

/* Output row y of an image; residual: its row, or NULL. */
static void dfn_conv_row(const struct dfn_conv_args *a, const float *image,
                         const float *residual, float *out, int y)
{
    const int iy = y * a->stride - a->top;
    const int from = iy < 0 ? -iy : 0;
    const int to = iy + a->kernel > a->h ? a->h - iy : a->kernel;
    const size_t piece = (size_t)a->kernel * (size_t)a->cin, cout = (size_t)a->cout;
    struct dfn_window v = {.in_next = (size_t)a->w * (size_t)a->cin,
                           .weight_next = piece * DFN_TILE_COLUMNS,
                           .depth = piece,
                           .panel = (size_t)a->kernel * piece * DFN_TILE_COLUMNS,
                           .rows = to > from ? to - from : 0};
    v.in = v.rows ? image + (size_t)(iy + from) * v.in_next : image;

    for (int o = 0, width; o < a->cout; o += width) {
        const size_t first = (size_t)o * (size_t)a->kernel * piece;
        const int left = a->cout - o, wide = DFN_TILE_PANELS * DFN_TILE_COLUMNS;
        width = left > wide - DFN_TILE_COLUMNS ? wide : DFN_TILE_COLUMNS;
        v.weight = a->weight + first + (size_t)from * v.weight_next;
        const struct dfn_finish f = {
            .out = out + o,
            .bias = a->bias + o,
            .slope = a->slope ? a->slope + o : NULL,
            .residual = residual ? residual + o : NULL,
            .cout = cout,
            .room = (size_t)a->ow * cout - (size_t)o,
            .width = width,
            .columns = left < width ? left : width,
            .act = a->act,
        };
        if (width > DFN_TILE_COLUMNS)
            dfn_conv_more(a, &v, &f);
        else
            dfn_conv_one(a, &v, &f);
    }
}

/* The items first..last-1 of a convolution. */
static void dfn_conv_blocked(const struct dfn_conv_args *a, size_t first, size_t last)
{
    const size_t in_size = (size_t)a->h * (size_t)a->w * (size_t)a->cin;
    const size_t row = (size_t)a->ow * (size_t)a->cout;

    for (size_t item = first; item < last; item++)
        dfn_conv_row(a, a->in + item / (size_t)a->oh * in_size,
                     a->residual ? a->residual + item * row : NULL, a->out + item * row,
                     (int)(item % (size_t)a->oh));
}

#endif
