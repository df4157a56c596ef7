/* pw_tile.h - the innermost tile of a 1x1 convolution on x86: kernels/simd/pointwise.h's,
 * with sums that never leave their registers. Included by that file in place of its own.
 *
 * gcc 12 keeps whatever a tile's end needs often (ten constants of swish) in registers,
 * and then has too few for the sums: these go to the stack within the loop over input
 * channels. vec_k() (vec_avx2.h, vec_avx512.h) makes every constant a memory operand,
 * which costs nothing, and each end is a loop of its own without branches. */
#ifndef DFN_KERNELS_X86_PW_TILE_H
#define DFN_KERNELS_X86_PW_TILE_H

/* With so many sums left, no register is free for constants. */
#ifndef DFN_PW_MANY
#define DFN_PW_MANY (DFN_VREGS == 32 ? 20 : 1)
#endif

/* A tile of fewer sums goes through memory: it is a rest, and each way is much code. */
#define DFN_PW_FEWEST (DFN_VREGS == 32 ? 14 : 8)

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
    if (at->residual)
        return DFN_PW_HELD;
    return g->act == DFN_ACT_SWISH   ? DFN_PW_SWISH
           : g->act == DFN_ACT_RELU6 ? DFN_PW_RELU6
                                     : DFN_PW_HELD;
}

/* dfn_pw_piece(), which fetches memory ahead: a line for each input channel. */
DFN_INLINE void dfn_pw_sums(const struct dfn_pw_group *g, const struct dfn_pw_place *at,
                            size_t i, const size_t end, dfn_vec sum[][3], const int rows,
                            const int cols)
{
    const float *in = at->in + i, *ahead = at->ahead + i * DFN_PW_PANEL;
    const float *w[3];
    const size_t cin = g->cin;

#pragma GCC unroll 3
    for (int j = 0; j < cols; j++)
        w[j] = dfn_pw_weight(g, i, j);
#pragma GCC unroll 14
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 3
        for (int j = 0; j < cols; j++)
            sum[r][j] = vec_set1(0.0f);
    for (size_t n = 0; n < end - i; n++) {
        dfn_vec v[3];
#pragma GCC unroll 3
        for (int j = 0; j < cols; j++)
            v[j] = vec_load(w[j] + n * DFN_PW_PANEL);
        _mm_prefetch((const char *)(ahead + n * DFN_PW_PANEL), _MM_HINT_T1);
#pragma GCC unroll 14
        for (int r = 0; r < rows; r++) {
            const dfn_vec x = vec_set1(in[(size_t)r * cin + n]);
#pragma GCC unroll 3
            for (int j = 0; j < cols; j++)
                sum[r][j] = vec_fma(x, v[j], sum[r][j]);
        }
    }
}

/* Bias, then the way's end, for all sums. way is a constant. */
DFN_INLINE void dfn_pw_out(const struct dfn_pw_group *g, const struct dfn_pw_place *at,
                           dfn_vec sum[][3], const int rows, const int cols,
                           const enum dfn_pw_way way)
{
    const float *bias = g->bias, *residual = at->residual;
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
            dfn_vec v =
                vec_add(sum[r][j], j == cols - 1 ? vec_load_upto(bias + j * DFN_VL, n)
                                                 : vec_load(bias + j * DFN_VL));
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
    switch (rows * cols < DFN_PW_FEWEST ? DFN_PW_HELD : dfn_pw_way_of(g, at)) {
    case DFN_PW_PLAIN:
        dfn_pw_out(g, at, sum, rows, cols, DFN_PW_PLAIN);
        break;
    case DFN_PW_RESIDUAL:
        dfn_pw_out(g, at, sum, rows, cols, DFN_PW_RESIDUAL);
        break;
    case DFN_PW_SWISH:
        dfn_pw_out(g, at, sum, rows, cols, DFN_PW_SWISH);
        break;
    case DFN_PW_RELU6:
        dfn_pw_out(g, at, sum, rows, cols, DFN_PW_RELU6);
        break;
    case DFN_PW_HELD:
        dfn_pw_hold(held, sum, false, rows, cols);
        dfn_pw_end_held(g, at, held, rows, cols);
        break;
    }
}

#endif
