/* pixels.h - rowsum, area, taps and rows of kernels.h for any vector. Included by one
 * file for each instruction set, after its vec_*.h.
 *
 * area and taps take a pixel as a quad of lanes, R G B and one that does not count:
 *
 *     in    R0 G0 B0 R1 G1 B1 R2 ...        4 bytes at 3 k, widened
 *     quad  [R0 G0 B0 .] * w0 + [R1 G1 B1 .] * w1 + ...
 *
 * rowsum and rows hold the sums of DFN_RUN values in registers while they go through the
 * rows. Sums of integers are the same in any order; those of floats keep it. */
#ifndef DFN_KERNELS_SIMD_PIXELS_H
#define DFN_KERNELS_SIMD_PIXELS_H

#include "kernels/kernels.h"

#include <string.h>

#define DFN_HALF ((int32_t)1 << (DFN_FRACTION_BITS - 1))
#define DFN_RUN_VECS 4
#define DFN_RUN (DFN_RUN_VECS * DFN_VL)

/* ---- rowsum ---- */

DFN_INLINE void dfn_rowsum_run(const struct dfn_rowsum_args *a, size_t i)
{
    const uint8_t *in = a->in + i;
    uint32_t *out = a->out + i;
    dfn_ints sum[DFN_RUN_VECS];
    /* Vector by vector: an array that is copied as a whole lives in memory. */
#pragma GCC unroll 4
    for (int v = 0; v < DFN_RUN_VECS; v++) {
        sum[v] = (dfn_ints){0};
        if (a->add)
            memcpy(&sum[v], out + v * DFN_VL, sizeof sum[v]);
    }
    for (int r = 0; r < a->rows; r++, in += a->stride)
#pragma GCC unroll 4
        for (int v = 0; v < DFN_RUN_VECS; v++)
            sum[v] += vec_widen(in + v * DFN_VL);
#pragma GCC unroll 4
    for (int v = 0; v < DFN_RUN_VECS; v++)
        memcpy(out + v * DFN_VL, &sum[v], sizeof sum[v]);
}

static void dfn_rowsum(const struct dfn_rowsum_args *a, size_t first, size_t last)
{
    size_t i = first;
    for (; i + DFN_RUN <= last; i += DFN_RUN)
        dfn_rowsum_run(a, i);
    for (; i < last; i++) {
        uint32_t sum = a->add ? a->out[i] : 0;
        for (int r = 0; r < a->rows; r++)
            sum += (a->in + r * a->stride)[i];
        a->out[i] = sum;
    }
}

/* ---- area ---- */

/* A pixel whose sum needs more than 31 bits. */
static void dfn_area_long(const struct dfn_area_args *a, size_t i)
{
    for (size_t c = 0; c < 3; c++) {
        const int from = a->columns[2 * i], to = a->columns[2 * i + 1];
        uint64_t sum = 0;
        for (int x = from; x < to; x++)
            sum += a->sums[(size_t)x * 3 + c];
        const float mean = (float)(int64_t)sum / (float)a->rows / (float)(to - from);
        a->out[3 * i + c] = (mean - 127.5f) * 0.0078125f;
    }
}

typedef uint32_t dfn_uquad __attribute__((vector_size(16)));

static void dfn_area(const struct dfn_area_args *a, size_t first, size_t last)
{
    const float rows = (float)a->rows;
    const int most = INT32_MAX / 255 / a->rows; /* columns whose sum fits */

    for (size_t i = first; i < last; i++) {
        const int from = a->columns[2 * i], n = a->columns[2 * i + 1] - from;
        const uint32_t *p = a->sums + (size_t)from * 3;
        dfn_uquad sum, x; /* the fourth lane is no sum of this pixel's, and may wrap */
        if (n > most) {
            dfn_area_long(a, i);
            continue;
        }
        memcpy(&sum, p, sizeof sum);
        for (int k = 1; k < n; k++) {
            memcpy(&x, p + (size_t)k * 3, sizeof x);
            sum += x;
        }
        const float columns = (float)n;
        const dfn_quadf out =
            (quad_to_float((dfn_quad)sum) / rows / columns - 127.5f) * 0.0078125f;
        if (i + 1 < last)
            memcpy(a->out + 3 * i, &out, sizeof out);
        else
            memcpy(a->out + 3 * i, &out, 3 * sizeof(float));
    }
}

/* ---- taps ---- */

/* A pixel with nothing behind it. */
DFN_INLINE dfn_quad dfn_last_pixel(const uint8_t *p)
{
    const uint8_t four[4] = {p[0], p[1], p[2], 0};
    return quad_widen(four);
}

DFN_INLINE int dfn_taps_of(const struct dfn_taps_args *a, size_t i)
{
    return a->count ? a->count[i] : a->taps;
}

/* Taps that may be read as four bytes: the row's last pixel may not. */
DFN_INLINE int dfn_taps_whole(const struct dfn_taps_args *a, size_t i, int n)
{
    return a->first[i] + n == a->pixels ? n - 1 : n;
}

static void dfn_taps_fixed(const struct dfn_taps_args *a, size_t first, size_t last)
{
    for (size_t i = first; i < last; i++) {
        const int32_t *w = (const int32_t *)a->weight + i * (size_t)a->taps;
        const uint8_t *p = a->in + (size_t)3 * (size_t)a->first[i];
        const int n = dfn_taps_of(a, i), whole = dfn_taps_whole(a, i, n);
        dfn_quad sum = {DFN_HALF, DFN_HALF, DFN_HALF, 0};
        uint8_t out[4], *to = (uint8_t *)a->out + 3 * i;
        int k = 0;
        for (; k < whole; k++, p += 3)
            sum += quad_widen(p) * w[k];
        if (k < n)
            sum += dfn_last_pixel(p) * w[k];
        quad_narrow(i + 1 < last ? to : out, sum >> DFN_FRACTION_BITS);
        if (i + 1 == last)
            memcpy(to, out, 3);
    }
}

static void dfn_taps_float(const struct dfn_taps_args *a, size_t first, size_t last)
{
    for (size_t i = first; i < last; i++) {
        const float *w = (const float *)a->weight + i * (size_t)a->taps;
        const uint8_t *p = a->in + (size_t)3 * (size_t)a->first[i];
        const int n = dfn_taps_of(a, i), whole = dfn_taps_whole(a, i, n);
        dfn_quadf sum = {0};
        float *to = (float *)a->out + 3 * i;
        int k = 0;
        for (; k < whole; k++, p += 3)
            sum += quad_to_float(quad_widen(p)) * w[k];
        if (k < n)
            sum += quad_to_float(dfn_last_pixel(p)) * w[k];
        if (i + 1 < last)
            memcpy(to, &sum, sizeof sum);
        else
            memcpy(to, &sum, 3 * sizeof(float));
    }
}

/* ---- rows ---- */

DFN_INLINE uint8_t dfn_to_byte(int32_t v)
{
    return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

/* vecs vectors of values from i on; a constant at every call. */
DFN_INLINE void dfn_rows_fixed_run(const struct dfn_rows_args *a, size_t i,
                                   const int vecs)
{
    dfn_ints sum[DFN_RUN_VECS];
    int32_t *sums = a->sums;
#pragma GCC unroll 4
    for (int v = 0; v < vecs; v++) {
        sum[v] = (dfn_ints){0} + DFN_HALF;
        if (a->add)
            memcpy(&sum[v], sums + i + v * DFN_VL, sizeof sum[v]);
    }
    for (int k = 0; k < a->n; k++) {
        const uint8_t *in = (const uint8_t *)a->rows[k] + i;
        const int32_t w = ((const int32_t *)a->weight)[k];
#pragma GCC unroll 4
        for (int v = 0; v < vecs; v++)
            sum[v] += vec_widen(in + v * DFN_VL) * w;
    }
#pragma GCC unroll 4
    for (int v = 0; v < vecs; v++) {
        if (a->out)
            vec_narrow(a->out + i + v * DFN_VL, sum[v] >> DFN_FRACTION_BITS);
        else
            memcpy(sums + i + v * DFN_VL, &sum[v], sizeof sum[v]);
    }
}

static void dfn_rows_fixed(const struct dfn_rows_args *a, size_t first, size_t last)
{
    int32_t *sums = a->sums;
    size_t i = first;
    for (; i + DFN_RUN <= last; i += DFN_RUN)
        dfn_rows_fixed_run(a, i, DFN_RUN_VECS);
    for (; i + DFN_VL <= last; i += DFN_VL)
        dfn_rows_fixed_run(a, i, 1);
    for (; i < last; i++) {
        int32_t sum = a->add ? sums[i] : DFN_HALF;
        for (int k = 0; k < a->n; k++)
            sum += ((const uint8_t *)a->rows[k])[i] * ((const int32_t *)a->weight)[k];
        if (a->out)
            a->out[i] = dfn_to_byte(sum >> DFN_FRACTION_BITS);
        else
            sums[i] = sum;
    }
}

/* n values from i on, at most a vector. Products are added one by one, not fused: that is
 * what OpenCV's bits are. */
DFN_INLINE void dfn_rows_float_run(const struct dfn_rows_args *a, size_t i, int n)
{
    float *sums = a->sums;
    dfn_vec sum = a->add ? vec_load_upto(sums + i, n) : vec_set1(0.0f);
    for (int k = 0; k < a->n; k++) {
        const dfn_vec x = vec_load_upto((const float *)a->rows[k] + i, n);
        sum = vec_add(sum, vec_mul(x, vec_set1(((const float *)a->weight)[k])));
    }
    uint8_t bytes[DFN_VL];
    if (!a->out) {
        vec_store_upto(sums + i, sum, n);
    } else if (n == DFN_VL) {
        vec_narrow(a->out + i, vec_to_ints(sum));
    } else {
        vec_narrow(bytes, vec_to_ints(sum));
        memcpy(a->out + i, bytes, (size_t)n);
    }
}

static void dfn_rows_float(const struct dfn_rows_args *a, size_t first, size_t last)
{
    size_t i = first;
    for (; i + DFN_VL <= last; i += DFN_VL)
        dfn_rows_float_run(a, i, DFN_VL);
    if (i < last)
        dfn_rows_float_run(a, i, (int)(last - i));
}

DFN_INLINE dfn_ints dfn_linear(const float *row, size_t i, int n, int32_t w)
{
    return ((vec_to_ints(vec_load_upto(row + i, n)) >> 4) * w) >> 16;
}

static void dfn_rows_linear(const struct dfn_rows_args *a, size_t first, size_t last)
{
    const float *weight = a->weight, *above = a->rows[0], *below = a->rows[1];
    const int32_t w0 = (int32_t)weight[0], w1 = (int32_t)weight[1];

    for (size_t i = first; i < last; i += DFN_VL) {
        const int n = last - i < DFN_VL ? (int)(last - i) : DFN_VL;
        const dfn_ints v =
            (dfn_linear(above, i, n, w0) + dfn_linear(below, i, n, w1) + 2) >> 2;
        uint8_t bytes[DFN_VL];
        vec_narrow(n == DFN_VL ? a->out + i : bytes, v);
        if (n < DFN_VL)
            memcpy(a->out + i, bytes, (size_t)n);
    }
}

#endif
