/* pack.h - layouts that kernels want their weights in. The loader puts each tensor of a
 * file into the layout of this machine's kernels on the way (lib/model/load.c), so that
 * there is no second copy; lib/plan/packcache.c makes other layouts when asked for. */
#ifndef DFN_KERNELS_PACK_H
#define DFN_KERNELS_PACK_H

#include <stddef.h>

enum dfn_layout {
    DFN_LAYOUT_PLAIN,  /* [cout][cin][k][k], as in the file                             */
    DFN_LAYOUT_TAPS,   /* depthwise: [k][k][c]                                          */
    DFN_LAYOUT_HWIO,   /* [k][k][cin][cout]                                             */
    DFN_LAYOUT_PANEL8, /* [ceil(cout / 8)][k][k][cin][8], missing columns 0         */
    DFN_LAYOUT_PANEL16, /* the same with 16                                           */
    DFN_LAYOUT_WINOGRAD /* of 3 x 3 filters: [ceil(cout / 16)][4][4][cin][16], transformed
                         * as kernels/simd/winograd.h says, missing columns 0. Packed as
                         * a whole by dfn_pack() only                                  */
};

/* A packed tensor: its layout and what it holds. */
struct dfn_pack_shape {
    enum dfn_layout layout;
    int cout, cin, kernel; /* cin is 1 for depthwise                                    */
};

/* Columns of a panel; 0 for layouts without. */
int dfn_pack_panel(enum dfn_layout layout);

/* Floats that the packed tensor takes. */
size_t dfn_pack_count(enum dfn_layout layout, int cout, int cin, int kernel);

/* Where the weight of output o, input i and tap t (ky * k + kx) stands. */
size_t dfn_pack_at(const struct dfn_pack_shape *s, size_t o, size_t i, size_t t);

/* Puts n weights, in the order of [cout][cin][k][k] from number first on, into their
 * places in dst, the whole packed tensor; src does not overlap it. Whole panels go
 * fastest. Missing columns stay as they are. */
void dfn_pack_part(const struct dfn_pack_shape *s, size_t first, size_t n,
                   const float *src, float *dst);

/* Writes 0 to the missing columns. */
void dfn_pack_gaps(const struct dfn_pack_shape *s, float *dst);

/* Both, for a whole tensor. src: [cout][cin][k][k]; dst: dfn_pack_count() floats. */
void dfn_pack(enum dfn_layout layout, int cout, int cin, int kernel, const float *src,
              float *dst);

#endif
