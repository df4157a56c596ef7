/* conv.h - how the sums of a dense convolution's tile become its output, for any vector.
 * Included by one file for each instruction set, after its vec_*.h; the sums themselves
 * are in that file, and the loops around them in kernels/conv_blocked.h. */
#ifndef DFN_KERNELS_SIMD_CONV_H
#define DFN_KERNELS_SIMD_CONV_H

#include "kernels/conv_blocked.h"
#include "kernels/simd/act.h"

/* A store of less than a vector takes long where there are no masks. If a pixel's
 * channels are all in this tile, a whole vector may run over into the next pixel, which
 * is written next, as long as it stays in the row. */
DFN_INLINE void dfn_finish_store(const struct dfn_finish *f, float *out, dfn_vec x,
                                 int lanes)
{
    const size_t at = (size_t)(out - f->out);
    if (!DFN_VEC_MASKS && f->cout <= DFN_TILE_COLUMNS && at + DFN_VL <= f->room)
        vec_store(out, x);
    else
        vec_store_upto(out, x, lanes);
}

/* The same for a whole tile that no residual is added to: out = act(acc + bias), act a
 * constant. */
DFN_INLINE void dfn_finish_whole(const struct dfn_finish *f,
                                 float acc[DFN_TILE_PIXELS][DFN_TILE_COLUMNS], int pixels,
                                 const enum dfn_act act)
{
    dfn_vec bias[DFN_TILE_COLUMNS / DFN_VL];
    float *out = f->out;
#pragma GCC unroll 4
    for (int j = 0; j < DFN_TILE_COLUMNS / DFN_VL; j++)
        bias[j] = vec_load(f->bias + j * DFN_VL);
    for (int r = 0; r < pixels; r++, out += f->cout)
#pragma GCC unroll 4
        for (int j = 0; j < DFN_TILE_COLUMNS / DFN_VL; j++)
            vec_store(out + j * DFN_VL,
                      vec_act(act, vec_add(vec_load(acc[r] + j * DFN_VL), bias[j])));
}

/* act and leaky are constants at every call. */
DFN_INLINE void dfn_finish_as(const struct dfn_finish *f,
                              float acc[DFN_TILE_PIXELS][DFN_TILE_COLUMNS], int pixels,
                              const enum dfn_act act, const bool leaky)
{
    dfn_vec bias[DFN_TILE_COLUMNS / DFN_VL], slope[DFN_TILE_COLUMNS / DFN_VL];
    for (int j = 0; j < DFN_TILE_COLUMNS / DFN_VL; j++)
        bias[j] = slope[j] = vec_set1(0.0f);
    for (int j = 0, n = f->columns; n > 0; j++, n -= DFN_VL) {
        const int lanes = n < DFN_VL ? n : DFN_VL;
        bias[j] = vec_load_upto(f->bias + j * DFN_VL, lanes);
        slope[j] = leaky ? vec_load_upto(f->slope + j * DFN_VL, lanes) : bias[j];
    }
    for (int r = 0; r < pixels; r++) {
        const size_t at = (size_t)r * f->cout;
        for (int j = 0, n = f->columns; n > 0; j++, n -= DFN_VL) {
            const int lanes = n < DFN_VL ? n : DFN_VL;
            dfn_vec x = vec_act(act, vec_add(vec_load(acc[r] + j * DFN_VL), bias[j]));
            if (leaky)
                x = vec_leaky(x, slope[j]);
            if (f->residual)
                x = vec_add(x, vec_load_upto(f->residual + at + j * DFN_VL, lanes));
            dfn_finish_store(f, f->out + at + j * DFN_VL, x, lanes);
        }
    }
}

/* An activation's constants would take registers from the sums of tiles if this were
 * inlined where they are. */
__attribute__((noinline)) static void
dfn_finish_act(const struct dfn_finish *f, float acc[DFN_TILE_PIXELS][DFN_TILE_COLUMNS],
               int pixels)
{
    if (f->act == DFN_ACT_SWISH && f->columns == DFN_TILE_COLUMNS && !f->residual)
        dfn_finish_whole(f, acc, pixels, DFN_ACT_SWISH);
    else if (f->act == DFN_ACT_SWISH)
        dfn_finish_as(f, acc, pixels, DFN_ACT_SWISH, false);
    else if (f->act == DFN_ACT_RELU6)
        dfn_finish_as(f, acc, pixels, DFN_ACT_RELU6, false);
    else
        dfn_finish_as(f, acc, pixels, DFN_ACT_SIGMOID, false);
}

static void dfn_tile_finish(const struct dfn_finish *f,
                            float acc[DFN_TILE_PIXELS][DFN_TILE_COLUMNS], int pixels)
{
    if (f->act == DFN_ACT_NONE)
        dfn_finish_as(f, acc, pixels, DFN_ACT_NONE, f->slope != NULL);
    else
        dfn_finish_act(f, acc, pixels);
}

#endif
