/* pw_tile.h - the innermost tile of a 1x1 convolution on x86: kernels/simd/pointwise.h's,
 * with sums that never leave their registers. Included by that file in place of its own.
 *
 * gcc 12 keeps whatever a tile's end needs often (ten constants of swish) in registers,
 * and then has too few for the sums: these go to the stack within the loop over input
 * channels. vec_k() (vec_avx2.h, vec_avx512.h) makes every constant a memory operand,
 * which costs nothing, and each end is a loop of its own without branches. */
#ifndef DFN_KERNELS_X86_PW_TILE_H
#define DFN_KERNELS_X86_PW_TILE_H

#include "kernels/x86/pixels_at.h"

/* With so many sums left, no register is free for constants. */
#ifndef DFN_PW_MANY
#define DFN_PW_MANY (DFN_VREGS == 32 ? 24 : 10)
#endif

/* A tile of fewer sums goes through memory: it is a rest, and each way is much code. */
#define DFN_PW_FEWEST (DFN_VREGS == 32 ? 14 : 8)

/* The same where sums wait for the next tile. */
#define DFN_PW_FEWEST_LATE 6

/* Whether the last vector of a group is half one: that of project, without activation. */
#ifndef DFN_PW_HALF
#define DFN_PW_HALF 0
#endif

/* The ways out of registers; everything else goes through memory. */
enum dfn_pw_way {
    DFN_PW_PLAIN,
    DFN_PW_RESIDUAL,
    DFN_PW_SWISH,
    DFN_PW_RELU6,
    DFN_PW_HELD
};

DFN_INLINE enum dfn_pw_way dfn_pw_way_of(const struct dfn_pw_group *g,
                                         const struct dfn_pw_place *at)
{
    if (!DFN_VEC_MASKS && g->last != DFN_VL)
        return DFN_PW_HELD;
    if (g->act == DFN_ACT_NONE)
        return at->residual ? DFN_PW_RESIDUAL : DFN_PW_PLAIN;
    if (at->residual || DFN_PW_HALF)
        return DFN_PW_HELD;
    return g->act == DFN_ACT_SWISH   ? DFN_PW_SWISH
           : g->act == DFN_ACT_RELU6 ? DFN_PW_RELU6
                                     : DFN_PW_HELD;
}

/* Where a tile's operands are for one input channel. */
struct dfn_pw_at {
    struct dfn_pixels_at in;
    const char *w;
    ptrdiff_t ahead; /* bytes from w to what is fetched          */
    size_t panel;    /* bytes from a panel of weights to the next */
};

/* last: of a group's last vector, which DFN_PW_HALF says is half one. */
DFN_INLINE dfn_vec dfn_pw_fma(const int last, dfn_vec x, dfn_vec w, dfn_vec sum)
{
#if DFN_PW_HALF
    if (last)
        return vec_fma_half(x, w, sum);
#endif
    (void)last;
    return vec_fma(x, w, sum);
}

/* The operands of input channel i, and the sums' beginning: the biases where i is 0. */
DFN_INLINE struct dfn_pw_at dfn_pw_begin(const struct dfn_pw_group *g,
                                         const struct dfn_pw_place *p, size_t i,
                                         dfn_vec sum[][3], const int rows, const int cols)
{
    const char *w = (const char *)dfn_pw_weight(g, i, 0);
    const struct dfn_pw_at at = {dfn_pixels_from(p->in + i, g->cin), w,
                                 (const char *)(p->ahead + i * DFN_PW_PANEL) - w,
                                 g->cin * DFN_PW_PANEL * sizeof(float)};

#pragma GCC unroll 3
    for (int j = 0; j < cols; j++)
        sum[0][j] =
            i ? vec_set1(0.0f)
              : vec_load_upto(g->bias + j * DFN_VL, j == cols - 1 ? g->last : DFN_VL);
#pragma GCC unroll 14
    for (int r = 1; r < rows; r++)
#pragma GCC unroll 3
        for (int j = 0; j < cols; j++)
            sum[r][j] = sum[0][j];
    return at;
}

/* Adds an input channel to the sums, goes on to the next one, and fetches a line of
 * memory ahead. */
DFN_INLINE void dfn_pw_turn(struct dfn_pw_at *at, dfn_vec sum[][3], const int rows,
                            const int cols)
{
    const size_t vecs = DFN_PW_PANEL / DFN_VL;
    dfn_pixels_hide(&at->in, rows);
    __asm__("" : "+r"(at->w));
    dfn_vec v[3];
#pragma GCC unroll 3
    for (int j = 0; j < cols; j++)
        v[j] =
            vec_load((const float *)(const void *)(at->w + (size_t)j / vecs * at->panel) +
                     (size_t)j % vecs * DFN_VL);
    _mm_prefetch(at->w + at->ahead, _MM_HINT_T1);
#pragma GCC unroll 14
    for (int r = 0; r < rows; r++) {
        const dfn_vec x = vec_set1(*dfn_pixel(&at->in, r));
#pragma GCC unroll 3
        for (int j = 0; j < cols; j++)
            sum[r][j] = dfn_pw_fma(j == cols - 1, x, v[j], sum[r][j]);
    }
    dfn_pixels_next(&at->in);
    at->w += DFN_PW_PANEL * sizeof(float);
}

/* dfn_pw_piece(), which begins with the biases where i is 0. */
DFN_INLINE void dfn_pw_sums(const struct dfn_pw_group *g, const struct dfn_pw_place *p,
                            size_t i, const size_t end, dfn_vec sum[][3], const int rows,
                            const int cols)
{
    struct dfn_pw_at at = dfn_pw_begin(g, p, i, sum, rows, cols);
    for (size_t n = end - i; n > 0; n--)
        dfn_pw_turn(&at, sum, rows, cols);
}

#if DFN_PW_LATE
/* The same from input channel 0 on, while the sums of the tile before go through swish
 * and out, a vector after each of the last input channels. One swish after the other
 * would leave the multipliers idle: each is a long chain of operations, few of them
 * multiplications, and a core looks ahead no further than some of them. The last
 * channels, because those sums have only just been done. */
DFN_INLINE void dfn_pw_sums_late(const struct dfn_pw_group *g,
                                 const struct dfn_pw_place *p, dfn_vec sum[][3],
                                 const int rows, const int cols)
{
    struct dfn_pw_at at = dfn_pw_begin(g, p, 0, sum, rows, cols);
    const float *from = g->late->sums;
    float *to = g->late->out;
    const size_t cout = g->cout;
    size_t n = g->late->rows;
    for (size_t left = g->cin - n * (size_t)cols; left > 0; left--)
        dfn_pw_turn(&at, sum, rows, cols);
    do {
#pragma GCC unroll 3
        for (int j = 0; j < cols; j++) {
            dfn_pw_turn(&at, sum, rows, cols);
            vec_store(to + j * DFN_VL, vec_swish_at(from + j * DFN_VL));
        }
        from += cols * DFN_VL;
        to += cout;
    } while (--n > 0);
}

/* The sums of a tile wait for the next one. */
DFN_INLINE void dfn_pw_wait(const struct dfn_pw_group *g, const struct dfn_pw_place *at,
                            dfn_vec sum[][3], const int rows, const int cols)
{
    dfn_pw_hold(g->late->sums, sum, false, rows, cols);
    g->late->out = at->out;
    g->late->rows = (size_t)rows;
    g->late->cols = cols;
}

/* Swish of what waits, and its way out. */
static void dfn_pw_late_end(struct dfn_pw_late *late, size_t cout)
{
    const struct dfn_ks k = vec_constants(false);
    const float *from = late->sums;
    float *to = late->out;
    const int cols = late->cols;
    for (size_t n = cols > 0 ? late->rows : 0; n > 0; n--, to += cout)
        for (int j = 0; j < cols; j++, from += DFN_VL)
            vec_store(to + j * DFN_VL, vec_swish_k(&k, vec_load(from)));
    late->cols = 0;
}
#endif

/* The way's end for all sums. way is a constant. */
DFN_INLINE void dfn_pw_out(const struct dfn_pw_group *g, const struct dfn_pw_place *at,
                           dfn_vec sum[][3], const int rows, const int cols,
                           const enum dfn_pw_way way)
{
    const float *residual = at->residual;
    float *out = at->out;
    const size_t cout = g->cout;
    const int last = g->last;

    struct dfn_ks k;
#pragma GCC unroll 14
    for (int r = 0; r < rows; r++) {
#pragma GCC unroll 3
        for (int j = 0; j < cols; j++) {
            const int left = (rows - r) * cols - j;
            if ((r == 0 && j == 0) || left >= DFN_PW_MANY)
                k = vec_constants(true);
            const int n = DFN_VEC_MASKS && j == cols - 1 ? last : DFN_VL;
            dfn_vec v = sum[r][j];
            if (way == DFN_PW_SWISH)
                v = vec_swish_k(&k, v);
            if (way == DFN_PW_RELU6)
                v = vec_relu6_k(&k, v);
            if (way == DFN_PW_RESIDUAL)
                v = vec_add(v, j == cols - 1 ? vec_load_upto(residual + j * DFN_VL, n)
                                             : vec_load(residual + j * DFN_VL));
            if (j == cols - 1)
                vec_store_upto(out + j * DFN_VL, v, n);
            else
                vec_store(out + j * DFN_VL, v);
        }
        out += cout;
        if (way == DFN_PW_RESIDUAL)
            residual += cout;
    }
}

/* rows and cols are constants at every call. */
DFN_INLINE void dfn_pw_tile(const struct dfn_pw_group *g, const struct dfn_pw_place *at,
                            const int rows, const int cols)
{
    float held[DFN_PW_MOST];
    dfn_vec sum[DFN_VREGS][3];
    size_t i = 0;
#if DFN_PW_LATE
    if (rows * cols >= DFN_PW_FEWEST_LATE && g->late->cols == cols && g->waits) {
        dfn_pw_sums_late(g, at, sum, rows, cols);
        dfn_pw_wait(g, at, sum, rows, cols);
        return;
    }
    if (g->late->cols > 0)
        dfn_pw_late_end(g->late, g->cout);
#endif

    for (size_t end;; i = end) {
        end = g->cin - i < DFN_PW_DEPTH ? g->cin : i + DFN_PW_DEPTH;
        dfn_pw_sums(g, at, i, end, sum, rows, cols);
        if (end == g->cin)
            break;
        dfn_pw_hold(held, sum, i > 0, rows, cols);
    }
    if (i > 0) {
#pragma GCC unroll 14
        for (int r = 0; r < rows; r++)
#pragma GCC unroll 3
            for (int j = 0; j < cols; j++)
                sum[r][j] = vec_add(vec_load(held + (r * cols + j) * DFN_VL), sum[r][j]);
    }
#if DFN_PW_LATE
    if (rows * cols >= DFN_PW_FEWEST_LATE && g->waits) {
        dfn_pw_wait(g, at, sum, rows, cols);
        return;
    }
#endif
    switch (rows * cols < DFN_PW_FEWEST ? DFN_PW_HELD : dfn_pw_way_of(g, at)) {
    case DFN_PW_PLAIN:
        dfn_pw_out(g, at, sum, rows, cols, DFN_PW_PLAIN);
        break;
    case DFN_PW_RESIDUAL:
        dfn_pw_out(g, at, sum, rows, cols, DFN_PW_RESIDUAL);
        break;
#if !DFN_PW_LATE
    case DFN_PW_SWISH:
        dfn_pw_out(g, at, sum, rows, cols, DFN_PW_SWISH);
        break;
#endif
    case DFN_PW_RELU6:
        dfn_pw_out(g, at, sum, rows, cols, DFN_PW_RELU6);
        break;
    default:
        dfn_pw_hold(held, sum, false, rows, cols);
        dfn_pw_end_held(g, at, held, rows, cols);
        break;
    }
}

#endif
