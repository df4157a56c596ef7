/* pointwise.h - 1x1 convolution as a matrix product, for any vector. Included by one file
 * for each instruction set, after its vec_*.h; that file defines DFN_PW_TILES, the list
 * of its tiles as T(pixels, vectors of columns), and
 *
 *   dfn_pw_heights     the pixels of its tiles, greatest first, by vectors of columns
 *   dfn_pw_cols(left)  vectors of the next group when so many columns are left
 *
 * Activations are read where they lie, one float broadcast to all lanes; weights lie in
 * panels of 16 columns (DFN_LAYOUT_PANEL16), [ceil(cout / 16)][cin][16].
 *
 *                  w[0]   w[1]        vectors of weights of one input channel
 *     x[0]   *    [sum]  [sum]
 *     x[1]   *    [sum]  [sum]        the sums stay in registers over all cin
 *     ...
 *
 * A sum runs over input channels in order, in pieces of DFN_PW_DEPTH whose sums are then
 * added (one sum of 3840 terms would lose two more bits): its bits depend on cin alone,
 * neither on the tile nor on the range of items.
 *
 * Loops: strips of pixels that stay in the second cache, in them groups of columns, in
 * them tiles of pixels; so a group's weights are read from the first or second cache and
 * a strip's activations from the second. */
#ifndef DFN_KERNELS_SIMD_POINTWISE_H
#define DFN_KERNELS_SIMD_POINTWISE_H

#include "kernels/simd/act.h"

#include <stdbool.h>

#define DFN_PW_PANEL 16
#ifndef DFN_PW_WIDE
#define DFN_PW_WIDE 3 /* vectors of the widest group of columns                         */
#endif
/* Lanes of a group's last vector with which a tile's sums may go straight out of
 * registers: any where a mask cuts the vector, else all, because a branch in the mask's
 * place makes gcc 12 keep the sums in memory, which halves the speed of the whole tile.
 * 16 registers are too few for that. */
#if DFN_VEC_MASKS
#define DFN_PW_LAST(g) (g)->last
#elif DFN_VREGS == 32
#define DFN_PW_LAST(g) DFN_VL
#endif
/* Sums that a tile must have for it to be worth the code. */
#ifndef DFN_PW_DIRECT
#define DFN_PW_DIRECT 1
#endif
#define DFN_PW_DEPTH 512
/* Floats of activations that a strip of pixels may have. */
#define DFN_PW_STRIP 65536
/* Whether sums begin with the bias: with DFN_PW_OWN_TILE. */
#ifdef DFN_PW_OWN_TILE
#define DFN_PW_BIASED 1
#else
#define DFN_PW_BIASED 0
#endif
/* Floats of a group's weights that may be multiplied by a gate, on the stack. */
#define DFN_PW_GATED 16384
/* No tile has more sums than the machine has registers. */
#define DFN_PW_MOST (DFN_VREGS * DFN_VL)

/* Sums of a tile that may wait for the next one, to be finished among its multiply-adds;
 * 0: each tile finishes its own. */
#ifndef DFN_PW_LATE
#define DFN_PW_LATE 0
#endif
#if DFN_PW_LATE
/* Sums of a tile that get their activation while the next tile's are added up. */
struct dfn_pw_late {
    float *out; /* [rows][cout]                                                         */
    size_t rows;
    int cols; /* 0 if there are none                                                    */
    /* [rows][cols] vectors */
    float sums[DFN_PW_LATE * DFN_VL] __attribute__((aligned(DFN_ALIGN)));
};
#else
struct dfn_pw_late;
#endif

/* What the tiles of one group of columns share. */
struct dfn_pw_group {
    const float *weight; /* the panel that its first column is in, at that column       */
    const float *bias;   /* at its first column                                         */
    size_t cin;
    size_t cout; /* floats from pixel to pixel of out                                   */
    int last; /* lanes of its last vector that exist, 1..DFN_VL                         */
    enum dfn_act act;
    /* Only with DFN_PW_LATE: where sums wait, and whether this group's do: those of swish
     * on whole vectors, whose input channels are one piece and enough for what waits. */
    struct dfn_pw_late *late;
    bool waits;
};

/* One tile's place: rows of in, residual (or NULL) and out at the group's columns. */
struct dfn_pw_place {
    const float *in;       /* [rows][cin]                                               */
    const float *residual; /* [rows][cout]                                              */
    float *out;            /* [rows][cout]                                              */
    const float *ahead;    /* cin lines of memory to fetch meanwhile: the weights of the
                              next group, a piece for each tile, or the next tile's in  */
    size_t ahead_step;     /* floats from there to what the next tile fetches           */
    size_t left;           /* pixels of this tile and those below                       */
    size_t least;          /* of them, for the next tile to have as many rows           */
};

/* The weights of vector j of a group for input channel i. */
DFN_INLINE const float *dfn_pw_weight(const struct dfn_pw_group *g, size_t i, int j)
{
    const size_t vecs = DFN_PW_PANEL / DFN_VL, v = (size_t)j;
    return g->weight + v / vecs * g->cin * DFN_PW_PANEL + i * DFN_PW_PANEL +
           v % vecs * DFN_VL;
}

/* Bias, activation and residual of the n lanes of vector j of row r, and its way out. */
DFN_INLINE void dfn_pw_end(const struct dfn_pw_group *g, const struct dfn_pw_place *at,
                           dfn_vec sum, int r, int j, int n, enum dfn_act act)
{
    const size_t to = (size_t)r * g->cout + (size_t)j * DFN_VL;
    if (!DFN_PW_BIASED)
        sum = vec_add(sum, vec_load_upto(g->bias + (size_t)j * DFN_VL, n));
    dfn_vec v = vec_act(act, sum);
    if (at->residual)
        v = vec_add(v, vec_load_upto(at->residual + to, n));
    vec_store_upto(at->out + to, v, n);
}

/* The same for a tile of sums that lie in memory, [rows][cols] vectors. */
DFN_INLINE void dfn_pw_end_tile(const struct dfn_pw_group *g,
                                const struct dfn_pw_place *at, const float *held,
                                int rows, int cols, const enum dfn_act act)
{
    for (int r = 0; r < rows; r++)
        for (int j = 0; j < cols; j++, held += DFN_VL)
            dfn_pw_end(g, at, vec_load(held), r, j, j == cols - 1 ? g->last : DFN_VL,
                       act);
}

static void dfn_pw_end_held(const struct dfn_pw_group *g, const struct dfn_pw_place *at,
                            const float *held, int rows, int cols)
{
    if (g->act == DFN_ACT_SWISH)
        dfn_pw_end_tile(g, at, held, rows, cols, DFN_ACT_SWISH);
    else if (g->act == DFN_ACT_NONE)
        dfn_pw_end_tile(g, at, held, rows, cols, DFN_ACT_NONE);
    else
        dfn_pw_end_tile(g, at, held, rows, cols, g->act);
}

#ifdef DFN_VEC_LANES
/* Adds the input channels from i on to sum, DFN_VL at a time; returns the first left.
 * A sum gets its terms in the same order as below. */
DFN_INLINE size_t dfn_pw_lanes(const struct dfn_pw_group *g, const float *in, size_t i,
                               size_t end, dfn_vec sum[][DFN_PW_WIDE], const int rows,
                               const int cols)
{
    const float *at[DFN_VREGS], *weight = dfn_pw_weight(g, i, 0);
#pragma GCC unroll 14
    for (int r = 0; r < rows; r++)
        at[r] = in + (size_t)r * g->cin + i;
    for (; i + DFN_VL <= end; i += DFN_VL, weight += DFN_VL * DFN_PW_PANEL) {
        dfn_vec x[DFN_VREGS];
#pragma GCC unroll 14
        for (int r = 0; r < rows; r++) {
            x[r] = vec_load(at[r]);
            at[r] += DFN_VL;
        }
#pragma GCC unroll 4
        for (int lane = 0; lane < DFN_VL; lane++)
#pragma GCC unroll 4
            for (int j = 0; j < cols; j++) {
                const dfn_vec w = vec_load(weight + lane * DFN_PW_PANEL + j * DFN_VL);
#pragma GCC unroll 14
                for (int r = 0; r < rows; r++)
                    sum[r][j] = vec_fma_lane(w, x[r], lane, sum[r][j]);
            }
    }
    return i;
}
#endif

/* sum[r][j] = the sum over the input channels i..end-1. rows and cols are constants at
 * every call of what is below, so that the sums live in registers. */
DFN_INLINE void dfn_pw_piece(const struct dfn_pw_group *g, const float *in, size_t i,
                             size_t end, dfn_vec sum[][DFN_PW_WIDE], const int rows,
                             const int cols)
{
#pragma GCC unroll 14
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int j = 0; j < cols; j++)
            sum[r][j] = vec_set1(0.0f);
#ifdef DFN_VEC_LANES
    i = dfn_pw_lanes(g, in, i, end, sum, rows, cols);
#endif
    for (; i < end; i++) {
        dfn_vec w[DFN_PW_WIDE];
#pragma GCC unroll 4
        for (int j = 0; j < cols; j++)
            w[j] = vec_load(dfn_pw_weight(g, i, j));
#pragma GCC unroll 14
        for (int r = 0; r < rows; r++) {
            const dfn_vec x = vec_set1(in[(size_t)r * g->cin + i]);
#pragma GCC unroll 4
            for (int j = 0; j < cols; j++)
                sum[r][j] = vec_fma(x, w[j], sum[r][j]);
        }
    }
}

/* held[r][j] = sum[r][j], or += it. */
DFN_INLINE void dfn_pw_hold(float *held, dfn_vec sum[][DFN_PW_WIDE], const bool add,
                            const int rows, const int cols)
{
#pragma GCC unroll 14
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int j = 0; j < cols; j++, held += DFN_VL)
            vec_store(held, add ? vec_add(vec_load(held), sum[r][j]) : sum[r][j]);
}

#ifdef DFN_PW_OWN_TILE
#include DFN_PW_OWN_TILE
#else
/* A tile of at most DFN_PW_DEPTH input channels: from registers straight out. */
DFN_INLINE void dfn_pw_short(const struct dfn_pw_group *g, const struct dfn_pw_place *at,
                             const int rows, const int cols, const int last,
                             const enum dfn_act act)
{
    dfn_vec sum[DFN_VREGS][DFN_PW_WIDE];

    dfn_pw_piece(g, at->in, 0, g->cin, sum, rows, cols);
#pragma GCC unroll 14
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int j = 0; j < cols; j++)
            dfn_pw_end(g, at, sum[r][j], r, j, j == cols - 1 ? last : DFN_VL, act);
}

/* Any tile: the sums of its pieces are added in memory. */
DFN_INLINE void dfn_pw_long(const struct dfn_pw_group *g, const struct dfn_pw_place *at,
                            const int rows, const int cols)
{
    float held[DFN_PW_MOST];
    dfn_vec sum[DFN_VREGS][DFN_PW_WIDE];

    size_t i = g->cin < DFN_PW_DEPTH ? g->cin : DFN_PW_DEPTH;
    dfn_pw_piece(g, at->in, 0, i, sum, rows, cols);
    dfn_pw_hold(held, sum, false, rows, cols);
    for (size_t end; i < g->cin; i = end) {
        end = g->cin - i < DFN_PW_DEPTH ? g->cin : i + DFN_PW_DEPTH;
        dfn_pw_piece(g, at->in, i, end, sum, rows, cols);
        dfn_pw_hold(held, sum, true, rows, cols);
    }
    dfn_pw_end_held(g, at, held, rows, cols);
}

/* One tile. */
DFN_INLINE void dfn_pw_tile(const struct dfn_pw_group *g, const struct dfn_pw_place *at,
                            const int rows, const int cols)
{
#ifdef DFN_PW_LAST
    const bool direct = rows * cols >= DFN_PW_DIRECT && g->cin <= DFN_PW_DEPTH &&
                        g->last == DFN_PW_LAST(g);
    if (direct && g->act == DFN_ACT_SWISH) {
        dfn_pw_short(g, at, rows, cols, DFN_PW_LAST(g), DFN_ACT_SWISH);
        return;
    }
    if (direct && g->act == DFN_ACT_RELU6) {
        dfn_pw_short(g, at, rows, cols, DFN_PW_LAST(g), DFN_ACT_RELU6);
        return;
    }
    if (direct && g->act == DFN_ACT_NONE) {
        dfn_pw_short(g, at, rows, cols, DFN_PW_LAST(g), DFN_ACT_NONE);
        return;
    }
#endif
    dfn_pw_long(g, at, rows, cols);
}
#endif

/* Goes on to the tile below if it has as many rows. */
static bool dfn_pw_below(const struct dfn_pw_group *g, struct dfn_pw_place *at,
                         size_t rows)
{
    at->left -= rows;
    if (at->left < at->least)
        return false;
    at->in += rows * g->cin;
    at->out += rows * g->cout;
    if (at->residual)
        at->residual += rows * g->cout;
    at->ahead += at->ahead_step;
    return true;
}

/* A tile and those below that have as many rows. One case for each tile. */
static void dfn_pw_any_run(const struct dfn_pw_group *g, struct dfn_pw_place *at,
                           int rows, int cols)
{
    switch (cols * 16 + rows) {
#define T(r, c)                                                                          \
    case (c)*16 + (r):                                                                   \
        do                                                                               \
            dfn_pw_tile(g, at, r, c);                                                    \
        while (dfn_pw_below(g, at, r));                                                  \
        break;
        DFN_PW_TILES
#undef T
    default:
        break;
    }
}

/* Multiply-adds that a tile must have in a row of weights to hide their latency. */
#define DFN_PW_LEAST 4

/* The rows of the next tile when n pixels are left: of this height, or where that would
 * leave less than DFN_PW_LEAST, of half of what is left. Of 13 pixels 5, 4 and 4 rather
 * than 6, 4 and 3. */
static size_t dfn_pw_next(const unsigned char *heights, size_t height, size_t n)
{
    if (n == 2 * height + 1 && height <= DFN_PW_LEAST + 2)
        height--;
    else if (n > height && n < height + DFN_PW_LEAST)
        height = (n + 1) / 2;
    else if (n < height)
        height = n;
    while (*heights > height)
        heights++;
    return *heights;
}

/* The rows of most of the tiles that cover n pixels soonest: 49 pixels are 7 x 7, not
 * 6 x 8 and a slow single one. Counted are rows, and one for each tile's loads of
 * weights. */
static size_t dfn_pw_height(const unsigned char *heights, size_t n)
{
    size_t least = SIZE_MAX, best = 1;
    for (const unsigned char *h = heights; *h >= DFN_PW_LEAST; h++) {
        size_t cost = n / *h * (*h + 1u), rest = n % *h;
        if (rest > 0 && n > *h) { /* the last whole one may be halved with it */
            cost -= *h + 1u;
            rest += *h;
        }
        for (size_t rows; rest > 0; rest -= rows) {
            rows = dfn_pw_next(heights, *h, rest);
            cost += (rows < DFN_PW_LEAST ? DFN_PW_LEAST : rows) + 1u;
        }
        if (cost < least) {
            least = cost;
            best = *h;
        }
    }
    return best;
}

/* Whether a gate goes into the weights, which takes a copy of a group's, instead of into
 * the pixels: where these are many more. By the shape alone, as bits depend on it. */
static inline bool dfn_pw_gate_weights(const struct dfn_pointwise_args *a)
{
    return a->gate && (size_t)a->pixels >= 4 * dfn_pointwise_all(a) &&
           (size_t)a->cin * 3 * DFN_PW_PANEL <= DFN_PW_GATED;
}

/* The pixels first..last-1 for cols vectors of columns from o on; weight: of the panel
 * that o is in. */
static void dfn_pw_columns_by(const struct dfn_pointwise_args *a, size_t first,
                              size_t last, size_t o, int cols, const float *weight,
                              struct dfn_pw_late *late)
{
    const size_t cin = (size_t)a->cin, cout = (size_t)a->cout;
    const size_t all = dfn_pointwise_all(a);
    const size_t whole = o + (size_t)(cols - 1) * DFN_VL;
    const unsigned char *heights = dfn_pw_heights[cols];
    const size_t height = dfn_pw_height(heights, last - first);
    const struct dfn_pw_group g = {
        .weight = weight + o % DFN_PW_PANEL,
        .bias = a->bias + o,
        .cin = cin,
        .cout = all,
        .last = cout - whole < DFN_VL ? (int)(cout - whole) : DFN_VL,
        .act = a->act,
        .late = late,
        .waits = DFN_PW_LATE > 0 && a->act == DFN_ACT_SWISH && !a->residual &&
                 cout >= whole + DFN_VL && cin + 1 > DFN_PW_LATE && cin <= DFN_PW_DEPTH};

    const size_t line = cin * DFN_PW_PANEL, next = (size_t)cols * DFN_VL * cin;
    const bool gated = dfn_pw_gate_weights(a);
    const bool more = o + (size_t)cols * DFN_VL < cout && !gated;
    size_t fetched = 0;
    for (size_t m = first; m < last;) {
        const size_t n = last - m, rows = dfn_pw_next(heights, height, n);
        struct dfn_pw_place at = {.in = a->in + m * cin,
                                  .residual =
                                      a->residual ? a->residual + m * all + o : NULL,
                                  .out = a->out + m * all + o,
                                  .ahead = gated ? a->in + (m + rows) * cin : g.weight,
                                  .ahead_step = gated ? rows * cin : 0,
                                  .left = n,
                                  .least = rows == height ? 2 * height + 2 : SIZE_MAX};
        if (more && fetched < next) {
            at.ahead = g.weight + next + fetched;
            at.least = SIZE_MAX;
            fetched += line;
        }
        dfn_pw_any_run(&g, &at, (int)rows, cols);
        m = last - at.left;
    }
}

/* The same with weights of this image's own: times its gate. */
static void dfn_pw_columns_gated(const struct dfn_pointwise_args *a, size_t first,
                                 size_t last, size_t o, int cols, const float *weight,
                                 struct dfn_pw_late *late)
{
    float own[DFN_PW_GATED];
    const size_t cin = (size_t)a->cin;
    const size_t panels =
        (o % DFN_PW_PANEL + (size_t)cols * DFN_VL - 1) / DFN_PW_PANEL + 1;
    const float *gate = a->gate + first / (size_t)a->pixels * cin;
    float *to = own;
    for (size_t p = 0; p < panels; p++)
        for (size_t i = 0; i < cin; i++)
            for (int j = 0; j < DFN_PW_PANEL; j += DFN_VL, to += DFN_VL, weight += DFN_VL)
                vec_store(to, vec_mul(vec_load(weight), vec_set1(gate[i])));
    dfn_pw_columns_by(a, first, last, o, cols, own, late);
}

/* late: only with DFN_PW_LATE. */
static void dfn_pw_columns(const struct dfn_pointwise_args *a, size_t first, size_t last,
                           size_t o, int cols, struct dfn_pw_late *late)
{
    const float *weight = a->weight + o / DFN_PW_PANEL * (size_t)a->cin * DFN_PW_PANEL;
    if (dfn_pw_gate_weights(a))
        dfn_pw_columns_gated(a, first, last, o, cols, weight, late);
    else
        dfn_pw_columns_by(a, first, last, o, cols, weight, late);
}

#ifndef DFN_PW_COLUMNS_ONLY

/* The pixels first..last-1 times their image's gate, in place; see kernels.h. */
static void dfn_pw_gate(const struct dfn_pointwise_args *a, size_t first, size_t last)
{
    const size_t cin = (size_t)a->cin;
    for (size_t m = first; m < last; m++) {
        const float *gate = a->gate + m / (size_t)a->pixels * cin;
        float *v = a->gated + m * cin;
        size_t i = 0;
        for (; i + DFN_VL <= cin; i += DFN_VL)
            vec_store(v + i, vec_mul(vec_load(v + i), vec_load(gate + i)));
        for (; i < cin; i++)
            v[i] *= gate[i];
    }
}

/* The pixels first..last-1, one strip, for all columns. */
static void dfn_pw_strip(const struct dfn_pointwise_args *a, size_t first, size_t last)
{
    if (a->gated && !dfn_pw_gate_weights(a))
        dfn_pw_gate(a, first, last);
#if DFN_PW_LATE
    struct dfn_pw_late waiting, *late = &waiting;
    late->cols = 0;
#else
    struct dfn_pw_late *const late = NULL;
#endif
    for (int o = 0, cols; o < a->cout; o += cols * DFN_VL) {
#ifdef DFN_PW_REST
        /* Columns that vectors of half the width cover with less waste. */
        if (DFN_PW_REST(a, first, last, o))
            break;
#endif
        cols = dfn_pw_cols(a->cout - o);
        dfn_pw_columns(a, first, last, (size_t)o, cols, late);
    }
#if DFN_PW_LATE
    dfn_pw_late_end(late, dfn_pointwise_all(a));
#endif
}

/* The items first..last-1 of a 1x1 convolution. */
static void dfn_pointwise(const struct dfn_pointwise_args *a, size_t first, size_t last)
{
    const bool gated = dfn_pw_gate_weights(a);
    size_t strip = DFN_PW_STRIP / (size_t)a->cin;
    strip = strip < 56 ? 56 : strip;
    for (size_t m = first, end; m < last; m = end) {
        end = last - m < strip ? last : m + strip;
        if (gated) { /* no further than the image goes */
            const size_t image = m + (size_t)a->pixels - m % (size_t)a->pixels;
            end = end < image ? end : image;
        }
        dfn_pw_strip(a, m, end);
    }
}

#endif

#endif
