/* winograd.h - dense 3 x 3 convolution in fewer multiplications, for any vector:
 * Winograd's F(2x2, 3x3) (Lavin and Gray, arXiv 1509.09308). Included by one file for
 * each instruction set, which defines dfn_tile() behind it.
 *
 * Four outputs come from a tile of 4 x 4 pixels by 16 products a channel instead of 36:
 *
 *   d  tile of one channel      V = Bt d B      sums and differences of four
 *   g  its filter               U = G g Gt      packed so, [panel][16][cin][16]
 *   M  = V * U, element by element, summed over the channels
 *   y  = At M A                 2 x 2 outputs
 *
 *        1  0 -1  0        1   0   0
 *   Bt = 0  1  1  0   G = .5  .5  .5   At = 1  1  1  0
 *        0 -1  1  0       .5 -.5  .5        0  1 -1 -1
 *        0  1  0 -1        0   0   1
 *
 * The sum over the channels is a matrix product for each of the 16 places: dfn_tile(),
 * with tiles in place of pixels.
 *
 *   V [16][tiles][cin]  x  U [16][cin][16]  =  M [16][tiles][16]
 *
 * Tiles begin at even rows and columns of the image, whatever was asked for, hence the
 * same bits for any range of items. A tile that hangs over reads its last row or column
 * twice, which the outputs that exist do not depend on. */
#ifndef DFN_KERNELS_SIMD_WINOGRAD_H
#define DFN_KERNELS_SIMD_WINOGRAD_H

#include "kernels/simd/conv.h"

#define DFN_WINO_VECS (DFN_TILE_COLUMNS / DFN_VL)

/* Scratch of a call, on the stack: what one block of tiles needs. */
struct dfn_wino {
    float v[16][DFN_TILE_PIXELS * DFN_CONV3_CIN]; /* [16][tiles][cin]                   */
    float m[16][DFN_TILE_PIXELS][DFN_TILE_COLUMNS];
};

/* Bt d of a column or row of four. */
DFN_INLINE void dfn_wino_bt(const dfn_vec d[4], dfn_vec out[4])
{
    const dfn_vec minus = vec_set1(-1.0f);
    out[0] = vec_fma(d[2], minus, d[0]);
    out[1] = vec_add(d[1], d[2]);
    out[2] = vec_fma(d[1], minus, d[2]);
    out[3] = vec_fma(d[3], minus, d[1]);
}

/* lanes channels of one tile. rows: its four rows; at: floats to its four columns. */
DFN_INLINE void dfn_wino_input(const float *const rows[4], const size_t at[4], float *v,
                               int lanes)
{
    dfn_vec t[4][4];
    for (int x = 0; x < 4; x++) {
        dfn_vec d[4], c[4];
        for (int y = 0; y < 4; y++)
            d[y] = vec_load_upto(rows[y] + at[x], lanes);
        dfn_wino_bt(d, c);
        for (int y = 0; y < 4; y++)
            t[y][x] = c[y];
    }
    for (int y = 0; y < 4; y++) {
        dfn_vec r[4];
        dfn_wino_bt(t[y], r);
        for (int x = 0; x < 4; x++)
            vec_store_upto(v + (4 * y + x) * DFN_TILE_PIXELS * DFN_CONV3_CIN, r[x],
                           lanes);
    }
}

/* At m of four. */
DFN_INLINE void dfn_wino_at(const dfn_vec m[4], dfn_vec out[2])
{
    const dfn_vec minus = vec_set1(-1.0f);
    out[0] = vec_add(vec_add(m[0], m[1]), m[2]);
    out[1] = vec_fma(m[3], minus, vec_fma(m[2], minus, m[1]));
}

/* Vector j of the 2 x 2 outputs of a tile, from its sums. */
DFN_INLINE void dfn_wino_output(const struct dfn_wino *s, int tile, int j,
                                dfn_vec y[2][2])
{
    dfn_vec t[2][4];
    for (int x = 0; x < 4; x++) {
        dfn_vec m[4], c[2];
        for (int i = 0; i < 4; i++)
            m[i] = vec_load(s->m[4 * i + x][tile] + j * DFN_VL);
        dfn_wino_at(m, c);
        t[0][x] = c[0];
        t[1][x] = c[1];
    }
    dfn_wino_at(t[0], y[0]);
    dfn_wino_at(t[1], y[1]);
}

/* A block of tiles: where it reads and writes. */
struct dfn_wino_block {
    const float *rows[4]; /* of the image, at x = 0                                     */
    float *out[2];        /* its output rows at x = 0; NULL: not asked for              */
    int first, tiles;
};

static void dfn_wino_inputs(const struct dfn_conv_args *a, const struct dfn_wino_block *b,
                            struct dfn_wino *s)
{
    for (int t = 0; t < b->tiles; t++) {
        size_t at[4];
        for (int x = 0; x < 4; x++) {
            const int ix = 2 * (b->first + t) + x;
            at[x] = (size_t)(ix < a->w ? ix : a->w - 1) * (size_t)a->cin;
        }
        float *v = s->v[0] + t * a->cin;
        for (int i = 0; i < a->cin; i += DFN_VL) {
            const int left = a->cin - i;
            const float *const rows[4] = {b->rows[0] + i, b->rows[1] + i, b->rows[2] + i,
                                          b->rows[3] + i};
            if (left >= DFN_VL)
                dfn_wino_input(rows, at, v + i, DFN_VL);
            else
                dfn_wino_input(rows, at, v + i, left);
        }
    }
}

/* Vector j of the block's outputs of the panel that begins at channel o. lanes is a
 * constant where all exist, and leaky at every call. */
DFN_INLINE void dfn_wino_vector(const struct dfn_conv_args *a,
                                const struct dfn_wino_block *b, const struct dfn_wino *s,
                                int o, int j, int lanes, const bool leaky)
{
    const int c = o + j * DFN_VL;
    const size_t cout = (size_t)a->cout;
    const dfn_vec bias = vec_load_upto(a->bias + c, lanes);
    const dfn_vec slope = leaky ? vec_load_upto(a->slope + c, lanes) : bias;
    for (int t = 0; t < b->tiles; t++) {
        const int ox = 2 * (b->first + t);
        dfn_vec out[2][2];
        dfn_wino_output(s, t, j, out);
#pragma GCC unroll 2
        for (int y = 0; y < 2; y++) {
            const dfn_vec left = vec_add(out[y][0], bias),
                          right = vec_add(out[y][1], bias);
            if (!b->out[y])
                continue;
            float *const at = b->out[y] + (size_t)ox * cout + c;
            vec_store_upto(at, leaky ? vec_leaky(left, slope) : left, lanes);
            if (ox + 1 < a->ow)
                vec_store_upto(at + cout, leaky ? vec_leaky(right, slope) : right, lanes);
        }
    }
}

static void dfn_wino_outputs(const struct dfn_conv_args *a,
                             const struct dfn_wino_block *b, const struct dfn_wino *s,
                             int o)
{
    for (int j = 0; j < DFN_WINO_VECS && o + j * DFN_VL < a->cout; j++) {
        const int left = a->cout - o - j * DFN_VL;
        if (left >= DFN_VL && a->slope)
            dfn_wino_vector(a, b, s, o, j, DFN_VL, true);
        else if (a->slope)
            dfn_wino_vector(a, b, s, o, j, left, true);
        else
            dfn_wino_vector(a, b, s, o, j, left < DFN_VL ? left : DFN_VL, false);
    }
}

static void dfn_wino_block(const struct dfn_conv_args *a, const struct dfn_wino_block *b,
                           struct dfn_wino *s)
{
    const size_t cin = (size_t)a->cin;
    const float *weight = a->weight;
    dfn_wino_inputs(a, b, s);
    for (int o = 0; o < a->cout; o += DFN_TILE_COLUMNS) {
        for (int i = 0; i < 16; i++, weight += cin * DFN_TILE_COLUMNS) {
            const struct dfn_window v = {
                .in = s->v[i], .weight = weight, .depth = cin, .rows = 1};
            dfn_any_tile(&v, cin, s->m[i][0], b->tiles);
        }
        dfn_wino_outputs(a, b, s, o);
    }
}

/* The items first..last-1 of a conv3. */
static void dfn_conv3(const struct dfn_conv_args *a, size_t first, size_t last)
{
    const size_t in_row = (size_t)a->w * (size_t)a->cin;
    const size_t out_row = (size_t)a->ow * (size_t)a->cout;
    const int tiles = (a->ow + 1) / 2;
    struct dfn_wino s;

    for (size_t item = first; item < last;) {
        const size_t image = item / (size_t)a->oh;
        const int y = (int)(item % (size_t)a->oh), top = y & ~1;
        const int both = y == top && y + 1 < a->oh && item + 1 < last;
        const float *in = a->in + image * (size_t)a->h * in_row;
        float *out = a->out + item * out_row;
        struct dfn_wino_block b = {.out = {y == top ? out : NULL, y == top ? NULL : out}};
        if (both)
            b.out[1] = out + out_row;
        for (int i = 0; i < 4; i++)
            b.rows[i] = in + (size_t)(top + i < a->h ? top + i : a->h - 1) * in_row;
        for (; b.first < tiles; b.first += b.tiles) {
            b.tiles = dfn_tile_pixels(tiles - b.first);
            dfn_wino_block(a, &b, &s);
        }
        item += both ? 2 : 1;
    }
}

#endif
