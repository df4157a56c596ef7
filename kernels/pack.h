/* pack.h - layouts that kernels want their weights in. A model packs each tensor once for
 * each layout that some session's kernels ask for (lib/plan/packcache.c). */
#ifndef DFN_KERNELS_PACK_H
#define DFN_KERNELS_PACK_H

#include <stddef.h>

enum dfn_layout {
    DFN_LAYOUT_PLAIN,  /* [cout][cin][k][k], as in the file; nothing to pack            */
    DFN_LAYOUT_TAPS,   /* depthwise: [k][k][c]                                          */
    DFN_LAYOUT_HWIO,   /* [k][k][cin][cout]                                             */
    DFN_LAYOUT_PANEL8, /* [ceil(cout / 8)][k][k][cin][8], missing columns 0         */
    DFN_LAYOUT_PANEL16 /* the same with 16                                           */
};

/* Floats that the packed tensor takes. cin is 1 for depthwise. */
size_t dfn_pack_count(enum dfn_layout layout, int cout, int cin, int kernel);

/* src: [cout][cin][k][k]; dst: dfn_pack_count() floats, not overlapping. */
void dfn_pack(enum dfn_layout layout, int cout, int cin, int kernel, const float *src,
              float *dst);

#endif
