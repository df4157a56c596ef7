/* detect.h - max-pooling, PReLU and softmax of two classes, for any vector: what the face
 * detector needs beside convolutions. Included by one file for each instruction set,
 * after its vec_*.h.
 *
 * Channel counts here (10, 28, 32, ...) often fill no whole number of vectors. The last
 * vector of a pixel then begins DFN_VL floats before its end: some channels are computed
 * twice, to the same bits, and no store is cut. Pixels narrower than a vector are. */
#ifndef DFN_KERNELS_SIMD_DETECT_H
#define DFN_KERNELS_SIMD_DETECT_H

#include "kernels/simd/act.h"

dfn_kernel_fn dfn_f32_softmax__ref;

/* Where the vector behind channel i begins: overlapping for the last of them. */
DFN_INLINE size_t dfn_next_vector(size_t i, size_t c)
{
    return i + 2 * DFN_VL > c && i + DFN_VL < c ? c - DFN_VL : i + DFN_VL;
}

/* Greatest of rows x cols pixels for the n channels at in. */
DFN_INLINE dfn_vec dfn_greatest(const float *in, size_t row_floats, size_t c, int rows,
                                int cols, int n)
{
    dfn_vec most = vec_load_upto(in, n);
    for (int y = 0; y < rows; y++)
        for (int x = 0; x < cols; x++)
            most = vec_at_least(
                most, vec_load_upto(in + (size_t)y * row_floats + (size_t)x * c, n));
    return most;
}

/* One output pixel. rows and cols are constants where the window is whole. */
DFN_INLINE void dfn_maxpool_pixel(const float *in, size_t row_floats, size_t c, int rows,
                                  int cols, float *out)
{
    if (c < DFN_VL) {
        vec_store_n(out, dfn_greatest(in, row_floats, c, rows, cols, (int)c), (int)c);
        return;
    }
    for (size_t i = 0; i < c; i = dfn_next_vector(i, c))
        vec_store(out + i, dfn_greatest(in + i, row_floats, c, rows, cols, DFN_VL));
}

/* The pixels of one output row whose windows are k x k. */
DFN_INLINE void dfn_maxpool_inside(const struct dfn_maxpool_args *a, const float *in,
                                   float *out, int pixels, const int k)
{
    const size_t c = (size_t)a->c, step = (size_t)a->stride * c;
    for (int ox = 0; ox < pixels; ox++, in += step, out += c)
        dfn_maxpool_pixel(in, (size_t)a->w * c, c, k, k, out);
}

static void dfn_maxpool_row(const struct dfn_maxpool_args *a, const float *in, float *out,
                            int rows)
{
    const size_t c = (size_t)a->c;
    int ox = 0;
    if (rows == a->kernel && (a->kernel == 2 || a->kernel == 3)) {
        const int inside = (a->w - a->kernel) / a->stride + 1;
        ox = inside < a->ow ? inside : a->ow;
        if (a->kernel == 2)
            dfn_maxpool_inside(a, in, out, ox, 2);
        else
            dfn_maxpool_inside(a, in, out, ox, 3);
    }
    for (; ox < a->ow; ox++) {
        const int x = ox * a->stride;
        const int cols = a->w - x < a->kernel ? a->w - x : a->kernel;
        dfn_maxpool_pixel(in + (size_t)x * c, (size_t)a->w * c, c, rows, cols,
                          out + (size_t)ox * c);
    }
}

/* The items first..last-1 of a max-pooling. */
static void dfn_maxpool(const struct dfn_maxpool_args *a, size_t first, size_t last)
{
    const size_t c = (size_t)a->c, in_row = (size_t)a->w * c;

    for (size_t item = first; item < last; item++) {
        const float *image = a->in + item / (size_t)a->oh * (size_t)a->h * in_row;
        const int y = (int)(item % (size_t)a->oh) * a->stride;
        const int rows = a->h - y < a->kernel ? a->h - y : a->kernel;
        dfn_maxpool_row(a, image + (size_t)y * in_row, a->out + item * (size_t)a->ow * c,
                        rows);
    }
}

/* One pixel; out may be in, so that the overlapping vector is read before the others are
 * written. */
DFN_INLINE void dfn_prelu_pixel(const float *in, const float *slope, float *out, size_t c)
{
    if (c < DFN_VL) {
        const int n = (int)c;
        vec_store_n(out, vec_leaky(vec_load_n(in, n), vec_load_n(slope, n)), n);
        return;
    }
    const size_t end = c - DFN_VL;
    const dfn_vec tail = vec_leaky(vec_load(in + end), vec_load(slope + end));
    for (size_t i = 0; i < end; i += DFN_VL)
        vec_store(out + i, vec_leaky(vec_load(in + i), vec_load(slope + i)));
    vec_store(out + end, tail);
}

/* The items first..last-1 of a PReLU. */
static void dfn_prelu(const struct dfn_prelu_args *a, size_t first, size_t last)
{
    const size_t c = (size_t)a->c;

    for (size_t m = first; m < last; m++)
        dfn_prelu_pixel(a->in + m * c, a->slope, a->out + m * c, c);
}

/* The items first..last-1 of a softmax. Of two classes, each is the sigmoid of how far it
 * is above the other, which may be infinitely far. */
static void dfn_softmax(const struct dfn_softmax_args *a, size_t first, size_t last)
{
    if (a->c != 2) {
        dfn_f32_softmax__ref(a, first, last);
        return;
    }
    for (size_t i = 2 * first; i < 2 * last; i += DFN_VL) {
        const int n = 2 * last - i < DFN_VL ? (int)(2 * last - i) : DFN_VL;
        const dfn_vec x = vec_load_upto(a->in + i, n);
        const dfn_vec above = vec_fma(vec_swap(x), vec_set1(-1.0f), x);
        vec_store_upto(a->out + i, vec_sigmoid(above), n);
    }
}

#endif
