/* dwconv_ref.c - depthwise convolution, the oracle. Called by the plan once in each
 * MBConv block. Weights [ky][kx][c]: a tap is one multiply-add along the channels. */
#include "kernels/kernels.h"
#include "kernels/ref/act.h"

#include <string.h>

dfn_kernel_fn dfn_f32_dwconv__ref;

static void one_pixel(const struct dfn_dwconv_args *a, const float *image, float *out,
                      int y, int x)
{
    const size_t c = (size_t)a->c, all = dfn_dwconv_all(a);
    const size_t in_all = dfn_dwconv_in_all(a);
    memset(out, 0, c * sizeof *out);
    for (int ky = 0; ky < a->kernel; ky++) {
        const int iy = y * a->stride + ky - a->top;
        if (iy < 0 || iy >= a->h)
            continue;
        for (int kx = 0; kx < a->kernel; kx++) {
            const int ix = x * a->stride + kx - a->left;
            if (ix < 0 || ix >= a->w)
                continue;
            const float *in = image + ((size_t)iy * (size_t)a->w + (size_t)ix) * in_all;
            const float *w = a->weight + (size_t)(ky * a->kernel + kx) * all;
            for (size_t i = 0; i < c; i++)
                out[i] += in[i] * w[i];
        }
    }
}

void dfn_f32_dwconv__ref(const void *args, size_t first, size_t last)
{
    const struct dfn_dwconv_args *a = args;
    const size_t in_size = (size_t)a->h * (size_t)a->w * dfn_dwconv_in_all(a);
    const size_t all = dfn_dwconv_all(a), row = (size_t)a->ow * all;

    for (size_t item = first; item < last; item++) {
        const float *image = a->in + item / (size_t)a->oh * in_size;
        const int y = (int)(item % (size_t)a->oh);
        float *sums = a->sums ? a->sums + item * all : NULL;
        if (sums)
            memset(sums, 0, (size_t)a->c * sizeof *sums);
        for (int x = 0; x < a->ow; x++) {
            float *out = a->out + item * row + (size_t)x * all;
            one_pixel(a, image, out, y, x);
            dfn_epilogue_ref(out, a->bias, NULL, a->c, a->act);
            for (int i = 0; sums && i < a->c; i++)
                sums[i] += out[i];
        }
    }
}
