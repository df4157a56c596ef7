/* dw_tile.h - the tile of a depthwise convolution at AVX2: kernels/simd/dwconv.h's, with
 * swish a vector of channels behind. Included by that file in place of its own.
 *
 * One swish after the other would leave the multipliers idle: each is a long chain of
 * operations, few of them multiplications. So a vector's sums wait in held, [DFN_DW_Y]
 * [DFN_DW_X] vectors, and go through swish in pairs among the multiply-adds of the next
 * vector of channels. */
#ifndef DFN_KERNELS_X86_DW_TILE_H
#define DFN_KERNELS_X86_DW_TILE_H

/* Swish of the n pixels from x on, in row y of what waits for the channels from ch on,
 * and its way out; total is the row's sum so far. Two at once take more registers and
 * fewer loads, which bind where multiply-adds are few. n is a constant. */
DFN_INLINE void dfn_dw_late(const struct dfn_dw_tile *t, const float *held, size_t ch,
                            const int y, const int x, const int n, dfn_vec *total,
                            const enum dfn_dw_mode mode)
{
    float *out = t->out + (size_t)y * t->out_row + (size_t)x * t->all + ch;
    const float *from = held + (y * DFN_DW_X + x) * DFN_VL;
    dfn_vec v[2];
    if (x == 0)
        *total = vec_set1(0.0f);
    if (mode == DFN_DW_INNER || x < t->nx) {
        if (n == 2)
            vec_swish_two_at(v, from);
        else
            v[0] = vec_swish_at(from);
        *total = vec_add(*total, v[0]);
        vec_store(out, v[0]);
        if (n == 2 && (mode == DFN_DW_INNER || x + 1 < t->nx)) {
            *total = vec_add(*total, v[1]);
            vec_store(out + t->all, v[1]);
        }
    }
    if (x + n == DFN_DW_X && t->sums) {
        float *s = t->sums + (size_t)y * t->all + ch;
        vec_store(s, vec_add(vec_load(s), *total));
    }
}

/* The same for all that waits. */
static void dfn_dw_late_end(const struct dfn_dw_tile *t, const float *held, size_t ch)
{
    dfn_vec total = vec_set1(0.0f);
    for (int y = 0; y < t->ny; y++) {
        dfn_dw_late(t, held, ch, y, 0, 2, &total, DFN_DW_EDGE);
        dfn_dw_late(t, held, ch, y, 2, 2, &total, DFN_DW_EDGE);
    }
}

/* Pairs of a row of the window and one of outputs that come after these. */
DFN_INLINE int dfn_dw_after(const int i, const int oy, const int k, const int s)
{
    const int first = i < k ? i + 1 : k, second = i < s ? 0 : i - s + oy;
    return DFN_DW_Y * k - first - second;
}

/* The sums of one vector of channels, to held. late: what waits there, for the vector
 * before, goes out. */
DFN_INLINE void dfn_dw_vector(const struct dfn_dw_tile *t, float *held, size_t ch,
                              const bool late, const int k, const int s,
                              const enum dfn_dw_mode mode)
{
    /* After each of the last rows of weights, in as many steps as there are rows. */
    const int n = k == 3 ? 2 : 1, steps = DFN_DW_Y * DFN_DW_X / n;
    dfn_vec sum[DFN_DW_Y][DFN_DW_X], total = vec_set1(0.0f);
    const dfn_vec bias = vec_load(t->bias + ch);
    const unsigned rows[DFN_DW_Y] = {t->rows, t->ny > 1 ? t->rows : 0};
    int out[DFN_DW_Y] = {late, late && (mode == DFN_DW_INNER || t->ny > 1)};

#pragma GCC unroll 2
    for (int oy = 0; oy < DFN_DW_Y; oy++)
#pragma GCC unroll 8
        for (int ox = 0; ox < DFN_DW_X; ox++)
            sum[oy][ox] = bias;
#pragma GCC unroll 7
    for (int i = 0; i < (DFN_DW_Y - 1) * s + k; i++) {
#pragma GCC unroll 2
        for (int oy = 0; oy < DFN_DW_Y; oy++) {
            const int ky = i - oy * s, step = steps - 1 - dfn_dw_after(i, oy, k, s);
            const int x = step % (DFN_DW_X / n) * n, y = step / (DFN_DW_X / n);
            if (ky < 0 || ky >= k)
                continue;
            if (mode == DFN_DW_INNER || rows[oy] >> i & 1)
                dfn_dw_row(t, t->in + (size_t)i * t->in_row + ch,
                           t->weight + (size_t)(ky * k) * t->all + ch, sum[oy], k, s,
                           mode);
            if (step < 0)
                continue;
            /* Else gcc makes a copy of everything that follows. */
            __asm__("" : "+r"(out[y]));
            if (out[y])
                dfn_dw_late(t, held, ch - DFN_VL, y, x, n, &total, mode);
        }
    }
    if (mode == DFN_DW_INNER && t->act == DFN_ACT_RELU6) {
        dfn_dw_end(t, sum, ch, DFN_DW_Y, DFN_DW_X, DFN_ACT_RELU6);
        return;
    }
#pragma GCC unroll 2
    for (int oy = 0; oy < DFN_DW_Y; oy++)
#pragma GCC unroll 8
        for (int ox = 0; ox < DFN_DW_X; ox++)
            vec_store(held + (oy * DFN_DW_X + ox) * DFN_VL, sum[oy][ox]);
}

/* The channels of one tile, in vectors. One code for tiles with one row of outputs, too:
 * ny is DFN_DW_Y. */
DFN_INLINE void dfn_dw_tile(const struct dfn_dw_tile *t, const int k, const int s,
                            const int ny, const enum dfn_dw_mode mode)
{
    (void)ny;
    float held[DFN_DW_Y * DFN_DW_X * DFN_VL] __attribute__((aligned(DFN_ALIGN)));
    /* No store can change these. */
    const struct dfn_dw_tile own = *t;
    const bool swish = own.act == DFN_ACT_SWISH;
    const bool direct = mode == DFN_DW_INNER && own.act == DFN_ACT_RELU6;
    size_t ch = 0;
    do {
        dfn_dw_vector(&own, held, ch, swish && ch > 0, k, s, mode);
        if (!swish && !direct)
            dfn_dw_end_held(t, held, ch, DFN_VL, t->ny);
        ch += DFN_VL;
    } while (ch < own.n);
    if (swish)
        dfn_dw_late_end(t, held, ch - DFN_VL);
}

#endif
