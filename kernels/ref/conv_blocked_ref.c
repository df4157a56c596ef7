/* conv_blocked_ref.c - dense convolution in portable C, blocked: what the stem,
 * FusedMBConv and the face detector run.
 *
 * A row of NHWC pixels is gapless, so kx and cin of one kernel row lie in one piece of
 * kernel * cin floats, and the next pixel's piece begins stride * cin floats later: a
 * product of overlapping rows, without copying them out (im2col) first.
 *
 *     in, 4 pixels           weight [panel][ky][kx * cin][8]      out [ow][cout]
 *     4 pieces of kx * cin x   kx * cin x 8   for each ky       =   4 x 8
 *
 * Pixels whose window leaves the row at the left or right are done one by one, with a
 * shorter piece. The order of a sum is ky, kx, cin whatever the tile, hence the same bits
 * for any range of items. */
#include "kernels/kernels.h"
#include "kernels/ref/act.h"

dfn_kernel_fn dfn_f32_conv_4x8__ref;

#define ROWS 4
#define COLS 8

/* See pointwise_ref.c. */
typedef float quad __attribute__((vector_size(16), aligned(4), may_alias));

/* The part of a window that lies inside the input, as pieces of memory. */
struct window {
    const float *in;     /* first float of its first piece                              */
    const float *weight; /* of the panel, at the first tap                              */
    size_t depth;        /* floats of a piece                                           */
    size_t in_next, weight_next; /* from one kernel row's piece to the next             */
    int rows;                    /* kernel rows inside                                  */
};

/* acc[r][j] = sum over the window of pixel r, `step` floats from pixel to pixel. pixels
 * is a constant at every call, so that acc lives in registers. */
DFN_INLINE void tile(const struct window *v, size_t step, float acc[ROWS][COLS],
                     const int pixels)
{
    quad sum[ROWS][2] = {{{0}}};
    const float *in = v->in, *w = v->weight;

    for (int ky = 0; ky < v->rows; ky++, in += v->in_next, w += v->weight_next)
        for (size_t i = 0; i < v->depth; i++) {
            const quad *wi = (const quad *)(w + i * COLS);
#pragma GCC unroll 4
            for (int r = 0; r < pixels; r++) {
                const float x = in[(size_t)r * step + i];
                sum[r][0] += x * wi[0];
                sum[r][1] += x * wi[1];
            }
        }
#pragma GCC unroll 4
    for (int r = 0; r < pixels; r++) {
        *(quad *)acc[r] = sum[r][0];
        *(quad *)(acc[r] + 4) = sum[r][1];
    }
}

static void store(float acc[ROWS][COLS], float *out, size_t cout, int pixels, int cols)
{
    for (int r = 0; r < pixels; r++)
        for (int j = 0; j < cols; j++)
            out[(size_t)r * cout + (size_t)j] = acc[r][j];
}

/* One output row of one panel of output channels; v: its kernel rows, taken at tap kx = 0
 * of the pixel x = 0 as if that were inside. */
static void panel(const struct dfn_conv_args *a, const struct window *v, float *out,
                  int cols)
{
    const int k = a->kernel, s = a->stride;
    const size_t cin = (size_t)a->cin, cout = (size_t)a->cout;
    const size_t step = (size_t)s * cin;
    float acc[ROWS][COLS];

    for (int x = 0; x < a->ow;) {
        const int ix = x * s - a->left;
        const int from = ix < 0 ? -ix : 0, to = ix + k > a->w ? a->w - ix : k;
        struct window here = *v;
        if (from > 0 || to < k) {
            here.in += (size_t)(ix + from) * cin;
            here.weight += (size_t)from * cin * COLS;
            here.depth = to > from ? (size_t)(to - from) * cin : 0;
            tile(&here, step, acc, 1);
            store(acc, out + (size_t)x * cout, cout, 1, cols);
            x++;
            continue;
        }
        here.in += (size_t)ix * cin;
        const int pixels =
            x + ROWS <= a->ow && ix + (ROWS - 1) * s + k <= a->w ? ROWS : 1;
        if (pixels == ROWS)
            tile(&here, step, acc, ROWS);
        else
            tile(&here, step, acc, 1);
        store(acc, out + (size_t)x * cout, cout, pixels, cols);
        x += pixels;
    }
}

static void one_row(const struct dfn_conv_args *a, const float *image, float *out, int y)
{
    const int iy = y * a->stride - a->top;
    const int from = iy < 0 ? -iy : 0;
    const int to = iy + a->kernel > a->h ? a->h - iy : a->kernel;
    const size_t piece = (size_t)a->kernel * (size_t)a->cin;
    struct window v = {.in_next = (size_t)a->w * (size_t)a->cin,
                       .weight_next = piece * COLS,
                       .depth = piece,
                       .rows = to > from ? to - from : 0};
    v.in = v.rows ? image + (size_t)(iy + from) * v.in_next : image;

    for (int o = 0; o < a->cout; o += COLS) {
        const size_t first = (size_t)o * (size_t)a->kernel * piece;
        v.weight = a->weight + first + (size_t)from * v.weight_next;
        panel(a, &v, out + o, a->cout - o < COLS ? a->cout - o : COLS);
    }
}

void dfn_f32_conv_4x8__ref(const void *args, size_t first, size_t last)
{
    const struct dfn_conv_args *a = args;
    const size_t in_size = (size_t)a->h * (size_t)a->w * (size_t)a->cin;
    const size_t row = (size_t)a->ow * (size_t)a->cout;

    for (size_t item = first; item < last; item++) {
        float *out = a->out + item * row;
        const float *residual = a->residual ? a->residual + item * row : NULL;
        one_row(a, a->in + item / (size_t)a->oh * in_size, out,
                (int)(item % (size_t)a->oh));
        for (int x = 0; x < a->ow; x++) {
            const size_t at = (size_t)x * (size_t)a->cout;
            dfn_epilogue_ref(out + at, a->bias, residual ? residual + at : NULL, a->cout,
                             a->act);
        }
    }
}
