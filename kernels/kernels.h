/* kernels.h - the contract of every operation: what it computes, over which layout, and
 * what may alias. Kernels implement it, lib/plan calls it; this file, cpu.h and pack.h
 * are all that lib sees of kernels/.
 *
 * All activations are float32 NHWC without padding between pixels: [n][h][w][c]. Every
 * kernel has one shape, run(args, first, last): it computes the items first..last-1 of
 * its output, and nothing else, so that threads can share one call. An item's bits do not
 * depend on which range it was in. Unless an operation says otherwise, nothing aliases
 * the output, nothing is read outside the tensors, and no alignment is needed.
 *
 * dwconv and pointwise can also compute a slice of their channels. Its bits are those of
 * the whole if slices begin at multiples of DFN_SLICE, the widest panel of weights, and
 * the last one takes what does not fill another one. */
#ifndef DFN_KERNELS_KERNELS_H
#define DFN_KERNELS_KERNELS_H

#include "kernels/pack.h"
#include "lib/base/attr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DFN_SLICE 16

typedef void dfn_kernel_fn(const void *args, size_t first, size_t last);

/* act(x); see kernels/ref/act.h for the exact functions. */
enum dfn_act { DFN_ACT_NONE, DFN_ACT_SWISH, DFN_ACT_RELU6, DFN_ACT_SIGMOID };

/* conv: dense k x k convolution.
 *   out[y][x][o] = residual[y][x][o] + act(bias[o] + sum over ky, kx, i of
 *                 w[o][i][ky][kx] * in[y * stride + ky - top][x * stride + kx - left][i])
 * where terms outside the input are 0. An item is an output row: n * oh items. residual
 * may be NULL, or alias in. With a slope, act is DFN_ACT_NONE, and prelu
 * (below) is in its place. */
struct dfn_conv_args {
    const float *in;       /* [n][h][w][cin]                                            */
    const float *weight;   /* packed as the kernel's row says                           */
    const float *bias;     /* [cout]                                                    */
    const float *residual; /* [n][oh][ow][cout] or NULL                                 */
    float *out;            /* [n][oh][ow][cout]                                         */
    int h, w, cin, oh, ow, cout;
    int kernel, stride, top, left;
    enum dfn_act act;
    const float *slope; /* [cout] or NULL                                               */
};

/* conv3: the same of kernel 3, stride 1, without padding, residual or act, and with cin
 * of at most DFN_CONV3_CIN; oh is h - 2, ow is w - 2. The sum may be taken in another
 * form (Winograd's), whose rounding depends on all inputs within a pixel of the window.
 */
#define DFN_CONV3_CIN 64

/* dwconv: depthwise k x k convolution, one filter a channel.
 *   out[y][x][c] = act(bias[c] + sum over ky, kx of
 *                  w[c][ky][kx] * in[y * stride + ky - top][x * stride + kx - left][c])
 * and, for squeeze-excite, sums[y][c] = sum over x of out[y][x][c] in float. An item is
 * an output row: n * oh items. The c channels may be a slice of more: out's pixels, the
 * weights' taps and the rows of sums are then `all` floats apart, in's pixels in_all. */
struct dfn_dwconv_args {
    const float *in;     /* [n][h][w][c]                                                */
    const float *weight; /* packed                                                      */
    const float *bias;   /* [c]                                                         */
    float *out;          /* [n][oh][ow][c]                                              */
    float *sums;         /* [n][oh][c] or NULL                                          */
    int h, w, c, oh, ow;
    int kernel, stride, top, left;
    enum dfn_act act;
    int all, in_all; /* >= c; 0: c                                                      */
};

/* Floats from pixel to pixel of out, from pixel to pixel of in. */
static inline size_t dfn_dwconv_all(const struct dfn_dwconv_args *a)
{
    return (size_t)(a->all ? a->all : a->c);
}

static inline size_t dfn_dwconv_in_all(const struct dfn_dwconv_args *a)
{
    return (size_t)(a->in_all ? a->in_all : a->c);
}

/* pointwise: 1x1 convolution, a matrix product over pixels.
 *   out[m][o] = act(bias[o] + sum over i of in[m][i] * w[o][i]) + residual[m][o]
 * With a gate (squeeze-excite's), in[m][i] * gate[m / pixels][i] takes the place of
 * in[m][i], which saves a pass over the widest tensors of the network: a kernel either
 * overwrites the pixels asked for with it first, or multiplies weights instead. An item
 * is a pixel: n * pixels items. residual may be NULL.
 *
 * The cout columns may be a slice of more: the pixels of out and residual are then `all`
 * floats apart. Slices of the pixels that have a gate share what may be overwritten, so
 * that is a call of its own: one of no columns does it and nothing else, one with a gate
 * but gated NULL leaves it out. */
struct dfn_pointwise_args {
    const float *in;       /* [m][cin]                                                  */
    const float *weight;   /* packed                                                    */
    const float *bias;     /* [cout]                                                    */
    const float *residual; /* [m][cout] or NULL                                         */
    float *out;            /* [m][cout]                                                 */
    int cin, cout;
    enum dfn_act act;
    float *gated;      /* in, where there is a gate; else NULL                          */
    const float *gate; /* [n][cin] or NULL                                              */
    int pixels;        /* h * w                                                         */
    int all;           /* >= cout; 0: cout                                              */
};

/* Floats from pixel to pixel of out and residual. */
static inline size_t dfn_pointwise_all(const struct dfn_pointwise_args *a)
{
    return (size_t)(a->all ? a->all : a->cout);
}

/* pool: global mean. out[c] = sum over p < pixels of in[p][c] / count. count is h * w;
 * pixels, too, or h, if the rows' sums come from a depthwise convolution. An item is a
 * channel: n * c items. */
struct dfn_pool_args {
    const float *in; /* [n][pixels][c]                                                  */
    float *out;      /* [n][c]                                                          */
    int pixels, c;
    double count;
};

/* fc: fully connected, for squeeze-excite and the classifier.
 *   out[o] = act(bias[o] + sum over i of in[i] * w[o][i])
 * An item is an output: n * cout items. */
struct dfn_fc_args {
    const float *in;     /* [n][cin]                                                    */
    const float *weight; /* packed                                                      */
    const float *bias;   /* [cout]                                                      */
    float *out;          /* [n][cout]                                                   */
    int cin, cout;
    enum dfn_act act;
};

/* maxpool: greatest of a k x k window.
 *   out[y][x][c] = max over ky, kx of in[y * stride + ky][x * stride + kx][c]
 * where places outside the input do not count; oh and ow are the caller's, and each
 * window must begin inside the input. oh = ceil((h - kernel) / stride) + 1 is what
 * "ceil mode" means. The input holds no NaN. An item is an output row: n * oh items. */
struct dfn_maxpool_args {
    const float *in; /* [n][h][w][c]                                                    */
    float *out;      /* [n][oh][ow][c]                                                  */
    int h, w, c, oh, ow;
    int kernel, stride;
};

/* prelu: leaky rectifier with a slope for each channel (He et al., arXiv 1502.01852).
 *   out[m][c] = in[m][c] >= 0 ? in[m][c] : slope[c] * in[m][c]
 * out may be in. An item is a pixel: n * h * w items. */
struct dfn_prelu_args {
    const float *in;    /* [m][c]                                                       */
    const float *slope; /* [c]                                                          */
    float *out;         /* [m][c]                                                       */
    int c;
};

/* softmax: out[m][c] = e^in[m][c] / sum over i of e^in[m][i], without overflow for any
 * finite input. out may be in. An item is a row m. */
struct dfn_softmax_args {
    const float *in; /* [m][c]                                                          */
    float *out;      /* [m][c]                                                          */
    int c;
};

/* bilinear: attention pooling. Each of the maps weighs the pixels of each channel:
 *   out[a][i] = sum over p of map[p][a] * in[p][i] / pixels
 * An item is a channel under a map: n * maps * c items. */
struct dfn_bilinear_args {
    const float *in;  /* [n][pixels][c]                                                 */
    const float *map; /* [n][pixels][maps]                                              */
    float *out;       /* [n][maps][c]                                                   */
    int pixels, maps, c;
};

/* rootnorm: signed square root and L2 norm, behind bilinear.
 *   r[i] = sign(in[i]) * sqrt(|in[i]| + 1e-12), sign(0) = 0
 *   out[i] = scale * r[i] / max(sqrt(sum over j of r[j] * r[j]), 1e-12)
 * An item is a vector: n items. */
struct dfn_rootnorm_args {
    const float *in; /* [n][c]                                                          */
    float *out;      /* [n][c]                                                          */
    int c;
    double scale;
};

/* scale: one factor a pixel. out[m][i] = in[m][i] * by[m]. An item is a pixel m. */
struct dfn_scale_args {
    const float *in; /* [m][c]                                                          */
    const float *by; /* [m]                                                             */
    float *out;      /* [m][c]                                                          */
    int c;
};

/* frames: each pixel with those at its place in the frame before and the frame behind, so
 * that a convolution over 3 frames becomes one over 3 * c channels.
 *   out[f][p][k * c + i] = in[f + k - 1][p][i], k = 0, 1, 2
 * where frames outside the sequence are 0. A sequence is `frames` images, and n counts
 * images. An item is a pixel: n * pixels items. */
struct dfn_frames_args {
    const float *in; /* [n][pixels][c]                                                  */
    float *out;      /* [n][pixels][3 * c]                                              */
    int frames, pixels, c;
};

/* ---- pixels: what resizing and the detector's pyramid are made of. R G B bytes; of any
 * kernel, the results are the same bits. ---- */

/* rowsum: rows of bytes added up.
 *   out[i] = (add ? out[i] : 0) + sum over r < rows of in[r * stride + i]
 * An item is a value i. */
struct dfn_rowsum_args {
    const uint8_t *in;
    ptrdiff_t stride; /* bytes from row to row, any sign                                */
    uint32_t *out;
    int rows;
    bool add;
};

/* area: means of columns of such sums, normalised.
 *   sum = sum over x, columns[2 i] <= x < columns[2 i + 1], of sums[x][c]
 *   out[i][c] = ((float)sum / rows / (number of columns) - 127.5) * 0.0078125
 * each step rounded to float. sums has one float's place behind its last pixel, which is
 * read and does not count. An item is a pixel i. */
struct dfn_area_args {
    const uint32_t *sums; /* [w][3], and one more                                       */
    const int *columns;   /* [pixels][2]                                                */
    float *out;           /* [pixels][3]                                                */
    int rows;
};

/* taps: weighted sums along a row of pixels.
 *   out[i][c] = sum over k < count[i] of weight[i * taps + k] * in[first[i] + k][c]
 * taps_fixed: weights are int32 with 22 bits of fraction, out bytes, rounded half up and
 * cut to 0..255; the sum fits 32 bits. taps_float: weights and out are float, the order
 * is that of k, no term is fused. An item is a pixel i. */
struct dfn_taps_args {
    const uint8_t *in;    /* [pixels][3]                                                */
    int pixels;           /* of in; first[i] + count[i] is at most this, and first >= 0 */
    const int32_t *first; /* [items]                                                    */
    const int32_t *count; /* [items], or NULL: taps each                                */
    const void *weight;   /* [items][taps]                                              */
    int taps;
    void *out; /* [items][3]                                                            */
};

/* rows: weighted sums of rows, value by value.
 *   sum = (add ? sums[i] : 0) + sum over k < n of weight[k] * rows[k][i]
 *   out[i] = sum as a byte, or if out is NULL sums[i] = sum
 * rows_fixed: rows are bytes, weights and sums int32 with 22 bits of fraction; a byte is
 * the sum rounded half up, and what is in sums has that half in it. rows_float: all
 * float, in the order of k, no term fused, rounded half to even; |sum| < 2^22.
 * rows_linear: n is 2, rows are floats that hold whole numbers of 19 bits, weights whole
 * numbers of 11 bits, and a byte is
 *   ((w0 * (r0 >> 4)) >> 16) + ((w1 * (r1 >> 4)) >> 16), + 2, >> 2.
 * Bytes are cut to 0..255. An item is a value i. */
struct dfn_rows_args {
    const void *const *rows; /* [n]                                                     */
    const void *weight;      /* [n]                                                     */
    void *sums;              /* NULL if neither read nor written                        */
    uint8_t *out;
    int n;
    bool add;
};

#define DFN_FRACTION_BITS 22 /* of the fixed ones                                       */

enum dfn_op {
    DFN_OP_CONV,
    DFN_OP_CONV3,
    DFN_OP_DWCONV,
    DFN_OP_POINTWISE,
    DFN_OP_POINTWISE_BLAS,
    DFN_OP_POOL,
    DFN_OP_FC,
    DFN_OP_MAXPOOL,
    DFN_OP_PRELU,
    DFN_OP_SOFTMAX,
    DFN_OP_BILINEAR,
    DFN_OP_ROOTNORM,
    DFN_OP_SCALE,
    DFN_OP_FRAMES,
    DFN_OP_ROWSUM, /* from here on: pixels                                              */
    DFN_OP_AREA,
    DFN_OP_TAPS_FIXED,
    DFN_OP_TAPS_FLOAT,
    DFN_OP_ROWS_FIXED,
    DFN_OP_ROWS_FLOAT,
    DFN_OP_ROWS_LINEAR,
    DFN_OPS
};

/* One row of kernels.def. */
struct dfn_kernel {
    enum dfn_op op;
    dfn_kernel_fn *run;
    const char *name;       /* the function's name                                      */
    uint32_t needs;         /* DFN_CPU_ bits                                            */
    enum dfn_layout layout; /* of its weights                                           */
    int tile;               /* items that it computes at a time                         */
};

/* The best kernel of each operation that cpu allows; run is NULL only for
 * DFN_OP_POINTWISE_BLAS in a build without OpenBLAS. */
struct dfn_kernels {
    struct dfn_kernel op[DFN_OPS];
};
void dfn_kernels_init(struct dfn_kernels *k, uint32_t cpu);

/* Every row, for tests and benchmarks; *count gets their number. */
const struct dfn_kernel *dfn_kernel_rows(size_t *count);

/* Threads that OpenBLAS would use; 0: this build has no OpenBLAS. */
int dfn_blas_threads(void);
/* Its own description ("OpenBLAS 0.3.21 ... Haswell"), or "none". */
const char *dfn_blas_config(void);

#endif
