/* dwconv.h - depthwise convolution, 3x3 and 5x5, stride 1 and 2, for any vector. Included
 * by one file for each instruction set, after its vec_*.h.
 *
 * A tile is 2 rows x 4 pixels of output for one vector of channels. Its window is read
 * once, each input vector serving every output whose window it is in:
 *
 *     in rows   0 1 2 3 (k3 s1)        out rows  0: 0 1 2   1: 1 2 3
 *     in pixels 0 1 2 3 4 5            out pixels 0..3, three taps each
 *     24 loads for 72 multiply-adds
 *
 * Within a tile the loop runs over channels, so that every row and pixel of the window is
 * a stream along memory. Tiles whose window leaves the image, and those at the right end,
 * go through the same code with two masks that say which rows and pixels exist; what does
 * not is left out of the sum. The order of a sum is bias, ky, kx whatever the tile, hence
 * the same bits for any range of items. */
#ifndef DFN_KERNELS_SIMD_DWCONV_H
#define DFN_KERNELS_SIMD_DWCONV_H

#include "kernels/simd/act.h"

#include <string.h>

dfn_kernel_fn dfn_f32_dwconv__ref;

#ifndef DFN_DW_X
#define DFN_DW_X 4
#define DFN_DW_Y 2
#endif

enum dfn_dw_mode {
    DFN_DW_INNER, /* everything exists                                                  */
    DFN_DW_EDGE   /* masks say what exists                                              */
};

struct dfn_dw_tile {
    const float *in;     /* window's first pixel; may lie outside, is not read then     */
    const float *weight; /* [k][k][c]                                                   */
    const float *bias;   /* [c]                                                         */
    float *out;          /* [ny rows][nx][c]                                            */
    float *sums;         /* [ny][c], or NULL                                            */
    size_t n;            /* channels to compute, whole vectors unless c < DFN_VL        */
    size_t c;            /* channels                                                    */
    size_t in_all;       /* floats from pixel to pixel of in                            */
    size_t in_row;       /* floats from row to row of in                                */
    size_t all, out_row; /* floats from pixel to pixel, row to row of out               */
    unsigned rows, cols; /* bit i: row or pixel i of the window exists            */
    int nx, ny;          /* outputs that exist                                    */
    enum dfn_act act;
};

/* Activation of ny rows of nx pixels of one tile, and the sum over its pixels, for the
 * vector of channels at ch. The sums began with the bias. */
DFN_INLINE void dfn_dw_end(const struct dfn_dw_tile *t, dfn_vec sum[DFN_DW_Y][DFN_DW_X],
                           size_t ch, const int ny, const int nx, const enum dfn_act act)
{
#pragma GCC unroll 2
    for (int y = 0; y < ny; y++) {
        float *out = t->out + (size_t)y * t->out_row + ch;
        dfn_vec total = vec_set1(0.0f);
#pragma GCC unroll 8
        for (int x = 0; x < DFN_DW_X; x++, out += t->all) {
            if (x >= nx)
                break;
            const dfn_vec v = vec_act(act, sum[y][x]);
            total = vec_add(total, v);
            vec_store(out, v);
        }
        if (t->sums) {
            float *s = t->sums + (size_t)y * t->all + ch;
            vec_store(s, vec_add(vec_load(s), total));
        }
    }
}

/* The same for sums that lie in memory, [DFN_DW_Y][DFN_DW_X] vectors. */
DFN_INLINE void dfn_dw_end_loop(const struct dfn_dw_tile *t, const float *held, size_t ch,
                                int n, int ny, const enum dfn_act act)
{
    const size_t all = t->all;
    const int nx = t->nx;
    for (int y = 0; y < ny; y++, held += DFN_DW_X * DFN_VL) {
        float *out = t->out + (size_t)y * t->out_row + ch;
        dfn_vec total = vec_set1(0.0f);
        for (int x = 0; x < nx; x++, out += all) {
            const dfn_vec v = vec_act(act, vec_load(held + x * DFN_VL));
            total = vec_add(total, v);
            vec_store_upto(out, v, n);
        }
        if (t->sums) {
            float *s = t->sums + (size_t)y * all + ch;
            vec_store_upto(s, vec_add(vec_load_upto(s, n), total), n);
        }
    }
}

/* One copy for all tiles. */
static void dfn_dw_end_held(const struct dfn_dw_tile *t, const float *held, size_t ch,
                            int n, int ny)
{
    if (t->act == DFN_ACT_SWISH)
        dfn_dw_end_loop(t, held, ch, n, ny, DFN_ACT_SWISH);
    else if (t->act == DFN_ACT_RELU6)
        dfn_dw_end_loop(t, held, ch, n, ny, DFN_ACT_RELU6);
    else
        dfn_dw_end_loop(t, held, ch, n, ny, t->act);
}

/* A row of the window, from p on, times a row of weights, from w on, added to a row of
 * outputs. The compiler cannot know that these are an earlier row's weights, and reads
 * them again: with 16 registers it would keep them and put sums on the stack. */
DFN_INLINE void dfn_dw_row(const struct dfn_dw_tile *t, const float *p, const float *w,
                           dfn_vec sum[DFN_DW_X], const int k, const int s,
                           const enum dfn_dw_mode mode)
{
    dfn_vec weight[5];
    __asm__("" : "+r"(w), "+r"(p));
#pragma GCC unroll 5
    for (int kx = 0; kx < k; kx++)
        weight[kx] = vec_load(w + (size_t)kx * t->all);
#pragma GCC unroll 19
    for (int j = 0; j < (DFN_DW_X - 1) * s + k; j++) {
        if (mode != DFN_DW_INNER && !(t->cols >> j & 1))
            continue;
        dfn_vec x = vec_load(p + (size_t)j * t->in_all);
#ifdef DFN_DW_OWN_TILE
        /* gcc would read most of them twice, as operands. */
        if (j > 0 && j < (DFN_DW_X - 1) * s + k - 1)
            __asm__("" : "+x"(x));
#endif
#pragma GCC unroll 8
        for (int ox = 0; ox < DFN_DW_X; ox++) {
            const int kx = j - ox * s;
            if (kx >= 0 && kx < k)
                sum[ox] = vec_fma(x, weight[kx], sum[ox]);
        }
    }
}

/* The same for all rows of the window, one after the other. */
DFN_INLINE void dfn_dw_by_rows(const struct dfn_dw_tile *t,
                               dfn_vec sum[DFN_DW_Y][DFN_DW_X], size_t ch, const int k,
                               const int s, const int ny, const enum dfn_dw_mode mode)
{
#pragma GCC unroll 7
    for (int i = 0; i < (ny - 1) * s + k; i++) {
        if (mode != DFN_DW_INNER && !(t->rows >> i & 1))
            continue;
#pragma GCC unroll 2
        for (int oy = 0; oy < ny; oy++) {
            const int ky = i - oy * s;
            if (ky >= 0 && ky < k)
                dfn_dw_row(t, t->in + (size_t)i * t->in_row + ch,
                           t->weight + (size_t)(ky * k) * t->all + ch, sum[oy], k, s,
                           mode);
        }
    }
}

#ifdef DFN_DW_OWN_TILE
#include DFN_DW_OWN_TILE
#else
/* Adds input pixel j of window row i, x, to every output whose window it is in; for whole
 * tiles where registers hold a row's weights and more. */
DFN_INLINE void dfn_dw_spread(dfn_vec sum[DFN_DW_Y][DFN_DW_X], dfn_vec x,
                              const struct dfn_dw_tile *t, size_t ch, const int i,
                              const int j, const int k, const int s)
{
#pragma GCC unroll 2
    for (int oy = 0; oy < DFN_DW_Y; oy++)
#pragma GCC unroll 8
        for (int ox = 0; ox < DFN_DW_X; ox++) {
            const int ky = i - oy * s, kx = j - ox * s;
            if (ky >= 0 && ky < k && kx >= 0 && kx < k)
                sum[oy][ox] =
                    vec_fma(x, vec_load(t->weight + (size_t)(ky * k + kx) * t->all + ch),
                            sum[oy][ox]);
        }
}

/* One vector of channels of one tile. All but t and ch are constants at every call. */
DFN_INLINE void dfn_dw_vector(const struct dfn_dw_tile *t, size_t ch, const int k,
                              const int s, const int ny, const enum dfn_dw_mode mode)
{
    dfn_vec sum[DFN_DW_Y][DFN_DW_X];
    const dfn_vec bias = vec_load(t->bias + ch);

#pragma GCC unroll 2
    for (int oy = 0; oy < ny; oy++)
#pragma GCC unroll 8
        for (int ox = 0; ox < DFN_DW_X; ox++)
            sum[oy][ox] = bias;
    if (mode == DFN_DW_INNER && (DFN_VREGS == 32 || k == 3)) {
#pragma GCC unroll 7
        for (int i = 0; i < (DFN_DW_Y - 1) * s + k; i++)
#pragma GCC unroll 19
            for (int j = 0; j < (DFN_DW_X - 1) * s + k; j++)
                dfn_dw_spread(
                    sum,
                    vec_load(t->in + (size_t)i * t->in_row + (size_t)j * t->in_all + ch),
                    t, ch, i, j, k, s);
    } else
        dfn_dw_by_rows(t, sum, ch, k, s, ny, mode);
    if (t->act == DFN_ACT_SWISH) {
        dfn_dw_end(t, sum, ch, ny, mode == DFN_DW_INNER ? DFN_DW_X : t->nx,
                   DFN_ACT_SWISH);
        return;
    }
    if (mode == DFN_DW_INNER && t->act == DFN_ACT_RELU6) {
        dfn_dw_end(t, sum, ch, DFN_DW_Y, DFN_DW_X, DFN_ACT_RELU6);
        return;
    }
    float held[DFN_DW_Y * DFN_DW_X * DFN_VL];
#pragma GCC unroll 2
    for (int oy = 0; oy < ny; oy++)
#pragma GCC unroll 8
        for (int ox = 0; ox < DFN_DW_X; ox++)
            vec_store(held + (oy * DFN_DW_X + ox) * DFN_VL, sum[oy][ox]);
    dfn_dw_end_held(t, held, ch, DFN_VL, ny);
}

/* The channels of one tile, in vectors. */
DFN_INLINE void dfn_dw_tile(const struct dfn_dw_tile *t, const int k, const int s,
                            const int ny, const enum dfn_dw_mode mode)
{
    for (size_t ch = 0; ch < t->n; ch += DFN_VL)
        dfn_dw_vector(t, ch, k, s, ny, mode);
}
#endif

/* Fewer channels than a vector has: only in tests, so short code. */
static void dfn_dw_few(const struct dfn_dw_tile *t, const int k, const int s)
{
    const int n = (int)t->n;
    const dfn_vec bias = vec_load_n(t->bias, n);
    for (int oy = 0; oy < t->ny; oy++) {
        float held[DFN_DW_X * DFN_VL];
        for (int ox = 0; ox < t->nx; ox++) {
            dfn_vec sum = bias;
            for (int ky = 0; ky < k; ky++)
                for (int kx = 0; kx < k; kx++) {
                    const int i = oy * s + ky, j = ox * s + kx;
                    if (!(t->rows >> i & t->cols >> j & 1))
                        continue;
                    const float *x =
                        t->in + (size_t)i * t->in_row + (size_t)j * t->in_all;
                    const float *w = t->weight + (size_t)(ky * k + kx) * t->all;
                    sum = vec_fma(vec_load_n(x, n), vec_load_n(w, n), sum);
                }
            vec_store(held + ox * DFN_VL, sum);
        }
        struct dfn_dw_tile row = *t;
        row.out += (size_t)oy * t->out_row;
        row.sums = t->sums ? t->sums + (size_t)oy * t->all : NULL;
        dfn_dw_end_held(&row, held, 0, n, 1);
    }
}

/* The vectors of a tile that is inside the image. A file that defines DFN_DW_OWN_FULL
 * brings its own. */
#ifdef DFN_DW_OWN_FULL
DFN_INLINE void dfn_dw_full(const struct dfn_dw_tile *t, const int k, const int s);
#else
DFN_INLINE void dfn_dw_full(const struct dfn_dw_tile *t, const int k, const int s)
{
    dfn_dw_tile(t, k, s, DFN_DW_Y, DFN_DW_INNER);
}
#endif

/* How much of a tile exists. */
enum dfn_dw_form {
    DFN_DW_FULL,   /* all of it                                                         */
    DFN_DW_CUT,    /* two rows of outputs, cut as the masks say                         */
    DFN_DW_SINGLE, /* one row of outputs, cut as the masks say                          */
    DFN_DW_FEW     /* less than a vector of channels                                    */
};

DFN_INLINE void dfn_dw_tile_of(const struct dfn_dw_tile *t, enum dfn_dw_form form,
                               const int k, const int s)
{
    switch (form) {
    case DFN_DW_FULL:
        dfn_dw_full(t, k, s);
        break;
    case DFN_DW_SINGLE:
#ifndef DFN_DW_OWN_TILE
        dfn_dw_tile(t, k, s, 1, DFN_DW_EDGE);
        break;
#endif
    case DFN_DW_CUT:
        dfn_dw_tile(t, k, s, DFN_DW_Y, DFN_DW_EDGE);
        break;
    case DFN_DW_FEW:
        dfn_dw_few(t, k, s);
        break;
    }
}

typedef void dfn_dw_fn(const struct dfn_dw_tile *t, enum dfn_dw_form form);

static void dfn_dw_k3_s1(const struct dfn_dw_tile *t, enum dfn_dw_form form)
{
    dfn_dw_tile_of(t, form, 3, 1);
}

static void dfn_dw_k3_s2(const struct dfn_dw_tile *t, enum dfn_dw_form form)
{
    dfn_dw_tile_of(t, form, 3, 2);
}

static void dfn_dw_k5_s1(const struct dfn_dw_tile *t, enum dfn_dw_form form)
{
    dfn_dw_tile_of(t, form, 5, 1);
}

static void dfn_dw_k5_s2(const struct dfn_dw_tile *t, enum dfn_dw_form form)
{
    dfn_dw_tile_of(t, form, 5, 2);
}

/* The channels that do not fill a vector, in one that ends with the last channel: what
 * channels that have been done before add to their sums is taken back. */
static void dfn_dw_rest(dfn_dw_fn *fn, const struct dfn_dw_tile *whole,
                        enum dfn_dw_form form)
{
    const size_t first = whole->c - DFN_VL, done = DFN_VL - whole->c % DFN_VL;
    struct dfn_dw_tile t = *whole;
    float kept[DFN_DW_Y][DFN_VL];
    t.n = DFN_VL;
    t.in += first;
    t.weight += first;
    t.bias += first;
    t.out += first;
    if (t.sums) {
        t.sums += first;
        for (int y = 0; y < t.ny; y++)
            memcpy(kept[y], t.sums + (size_t)y * t.all, done * sizeof(float));
    }
    fn(&t, form);
    for (int y = 0; t.sums && y < t.ny; y++)
        memcpy(t.sums + (size_t)y * t.all, kept[y], done * sizeof(float));
}

/* Bits of the places first..first+n-1 that lie in 0..size-1. */
static unsigned dfn_dw_inside(int first, int n, int size)
{
    unsigned bits = 0;
    for (int i = 0; i < n; i++)
        bits |= (unsigned)(first + i >= 0 && first + i < size) << i;
    return bits;
}

/* Output rows y..y+ny-1 of one image; ny is 1 or 2. */
static void dfn_dw_rows(const struct dfn_dwconv_args *a, const float *image, float *out,
                        float *sums, int y, int ny)
{
    static dfn_dw_fn *const fns[2][2] = {{dfn_dw_k3_s1, dfn_dw_k3_s2},
                                         {dfn_dw_k5_s1, dfn_dw_k5_s2}};
    dfn_dw_fn *const fn = fns[a->kernel == 5][a->stride == 2];
    const int k = a->kernel, s = a->stride;
    const int high = (ny - 1) * s + k, iy = y * s - a->top;
    const unsigned all_rows = (1u << high) - 1;
    const ptrdiff_t c = a->c, all = (ptrdiff_t)dfn_dwconv_all(a);
    const ptrdiff_t in_all = (ptrdiff_t)dfn_dwconv_in_all(a);
    struct dfn_dw_tile t = {.weight = a->weight,
                            .bias = a->bias,
                            .sums = sums,
                            .n = (size_t)(c < DFN_VL ? c : c / DFN_VL * DFN_VL),
                            .c = (size_t)c,
                            .in_all = (size_t)in_all,
                            .in_row = (size_t)a->w * (size_t)in_all,
                            .all = (size_t)all,
                            .out_row = (size_t)a->ow * (size_t)all,
                            .rows = dfn_dw_inside(iy, high, a->h),
                            .ny = ny,
                            .act = a->act};
    if (sums)
        for (int i = 0; i < ny; i++)
            memset(sums + i * all, 0, t.c * sizeof *sums);
    for (int x = 0; x < a->ow; x += DFN_DW_X) {
        t.nx = a->ow - x < DFN_DW_X ? a->ow - x : DFN_DW_X;
        const int wide = (t.nx - 1) * s + k, ix = x * s - a->left;
        t.cols = dfn_dw_inside(ix, wide, a->w);
        t.in = image + ((ptrdiff_t)iy * a->w + ix) * in_all;
        t.out = out + (ptrdiff_t)x * all;
        const bool inner =
            t.rows == all_rows && t.nx == DFN_DW_X && t.cols == (1u << wide) - 1;
        const enum dfn_dw_form form = t.c < DFN_VL              ? DFN_DW_FEW
                                      : inner && ny == DFN_DW_Y ? DFN_DW_FULL
                                      : ny == 1                 ? DFN_DW_SINGLE
                                                                : DFN_DW_CUT;
        fn(&t, form);
        if (t.n < t.c)
            dfn_dw_rest(fn, &t, form);
    }
}

/* The items first..last-1 of a depthwise convolution. */
static void dfn_dwconv(const struct dfn_dwconv_args *a, size_t first, size_t last)
{
    const size_t in_size = (size_t)a->h * (size_t)a->w * dfn_dwconv_in_all(a);
    const size_t all = dfn_dwconv_all(a), oh = (size_t)a->oh;
    const size_t row = (size_t)a->ow * all;

    if ((a->kernel != 3 && a->kernel != 5) || a->stride > 2) {
        dfn_f32_dwconv__ref(a, first, last);
        return;
    }
    for (size_t item = first; item < last;) {
        const size_t y = item % oh;
        const size_t left = oh - y < last - item ? oh - y : last - item;
        const size_t ny = left < DFN_DW_Y ? left : DFN_DW_Y;
        dfn_dw_rows(a, a->in + item / oh * in_size, a->out + item * row,
                    a->sums ? a->sums + item * all : NULL, (int)y, (int)ny);
        item += ny;
    }
}

#endif
