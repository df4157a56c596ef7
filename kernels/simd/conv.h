/* conv.h - how the sums of a dense convolution's tile become its output, for any vector.
 * Included by one file for each instruction set, after its vec_*.h; the sums themselves
 * are in that file, and the loops around them in kernels/conv_blocked.h. */
#ifndef DFN_KERNELS_SIMD_CONV_H
#define DFN_KERNELS_SIMD_CONV_H

#include "kernels/conv_blocked.h"
#include "kernels/simd/act.h"

/* Vectors of the widest tile's channels. */
#define DFN_FINISH_VECS (DFN_TILE_PANELS * DFN_TILE_COLUMNS / DFN_VL)

/* A store of less than a vector takes long where there are no masks. If a pixel's
 * channels are all in this tile, a whole vector may run over into the next pixel, which
 * is written next, as long as it stays in the row. */
DFN_INLINE void dfn_finish_store(const struct dfn_finish *f, float *out, dfn_vec x,
                                 int lanes)
{
    const size_t at = (size_t)(out - f->out);
    if (!DFN_VEC_MASKS && f->cout <= (size_t)f->width && at + DFN_VL <= f->room)
        vec_store(out, x);
    else
        vec_store_upto(out, x, lanes);
}

/* A whole tile that no residual is added to: out = act(acc + bias), or prelu. vecs, act
 * and leaky are constants at every call. */
DFN_INLINE void dfn_finish_whole(const struct dfn_finish *f, const float *acc, int pixels,
                                 const int vecs, const enum dfn_act act, const bool leaky)
{
    dfn_vec bias[DFN_FINISH_VECS], slope[DFN_FINISH_VECS];
    float *out = f->out;
#pragma GCC unroll 4
    for (int j = 0; j < vecs; j++) {
        bias[j] = vec_load(f->bias + j * DFN_VL);
        slope[j] = leaky ? vec_load(f->slope + j * DFN_VL) : bias[j];
    }
    for (int r = 0; r < pixels; r++, out += f->cout, acc += vecs * DFN_VL)
#pragma GCC unroll 4
        for (int j = 0; j < vecs; j++) {
            const dfn_vec x = vec_act(act, vec_add(vec_load(acc + j * DFN_VL), bias[j]));
            vec_store(out + j * DFN_VL, leaky ? vec_leaky(x, slope[j]) : x);
        }
}

/* vecs, of the tile's width, is a constant where speed counts, act and leaky are. */
DFN_INLINE void dfn_finish_as(const struct dfn_finish *f, const float *acc, int pixels,
                              const int vecs, const enum dfn_act act, const bool leaky)
{
    dfn_vec bias[DFN_FINISH_VECS], slope[DFN_FINISH_VECS];
    for (int j = 0; j < vecs; j++)
        bias[j] = slope[j] = vec_set1(0.0f);
    for (int j = 0, n = f->columns; n > 0; j++, n -= DFN_VL) {
        const int lanes = n < DFN_VL ? n : DFN_VL;
        bias[j] = vec_load_upto(f->bias + j * DFN_VL, lanes);
        slope[j] = leaky ? vec_load_upto(f->slope + j * DFN_VL, lanes) : bias[j];
    }
    for (int r = 0; r < pixels; r++, acc += vecs * DFN_VL) {
        const size_t at = (size_t)r * f->cout;
        for (int j = 0, n = f->columns; j < vecs && n > 0; j++, n -= DFN_VL) {
            const int lanes = n < DFN_VL ? n : DFN_VL;
            dfn_vec x = vec_act(act, vec_add(vec_load(acc + j * DFN_VL), bias[j]));
            if (leaky)
                x = vec_leaky(x, slope[j]);
            if (f->residual)
                x = vec_add(x, vec_load_upto(f->residual + at + j * DFN_VL, lanes));
            dfn_finish_store(f, f->out + at + j * DFN_VL, x, lanes);
        }
    }
}

/* An activation's constants would take registers from the sums of tiles if this were
 * inlined where they are; a wide tile's end is here so that the other's may be. */
__attribute__((noinline)) static void dfn_finish_act(const struct dfn_finish *f,
                                                     const float *acc, int pixels)
{
    const int one = DFN_TILE_COLUMNS / DFN_VL, all = DFN_FINISH_VECS;
    const int vecs = f->width / DFN_VL;
    const bool whole = f->columns == f->width && !f->residual;
    if (f->act == DFN_ACT_SWISH && whole && vecs == all)
        dfn_finish_whole(f, acc, pixels, all, DFN_ACT_SWISH, false);
    else if (f->act == DFN_ACT_SWISH && whole && one < all)
        dfn_finish_whole(f, acc, pixels, one, DFN_ACT_SWISH, false);
    else if (f->act == DFN_ACT_SWISH)
        dfn_finish_as(f, acc, pixels, vecs, DFN_ACT_SWISH, false);
    else if (f->act == DFN_ACT_RELU6)
        dfn_finish_as(f, acc, pixels, vecs, DFN_ACT_RELU6, false);
    else if (f->act == DFN_ACT_SIGMOID)
        dfn_finish_as(f, acc, pixels, vecs, DFN_ACT_SIGMOID, false);
    else if (whole && one < all)
        dfn_finish_whole(f, acc, pixels, all, DFN_ACT_NONE, f->slope != NULL);
    else if (one < all)
        dfn_finish_as(f, acc, pixels, vecs, DFN_ACT_NONE, f->slope != NULL);
}

DFN_INLINE void dfn_tile_finish(const struct dfn_finish *f, float *acc, int pixels,
                                const bool wide)
{
    if (!wide && f->act == DFN_ACT_NONE)
        dfn_finish_as(f, acc, pixels, DFN_TILE_COLUMNS / DFN_VL, DFN_ACT_NONE,
                      f->slope != NULL);
    else
        dfn_finish_act(f, acc, pixels);
}

#endif
