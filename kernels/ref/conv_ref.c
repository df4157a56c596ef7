/* conv_ref.c - dense convolution, the oracle: the sum of kernels.h, term by term. Called
 * by the plan for the stem and for FusedMBConv. Weights [ky][kx][cin][cout], so that the
 * innermost loop runs along memory. */
#include "kernels/kernels.h"
#include "kernels/ref/act.h"

#include <string.h>

dfn_kernel_fn dfn_f32_conv__ref;

/* Adds one input pixel's contribution through one tap: out[o] += in[i] * w[i][o]. */
static void add_tap(const float *in, const float *w, float *out, int cin, int cout)
{
    for (int i = 0; i < cin; i++)
        for (int o = 0; o < cout; o++)
            out[o] += in[i] * w[(size_t)i * (size_t)cout + (size_t)o];
}

static void one_pixel(const struct dfn_conv_args *a, const float *image, float *out,
                      int y, int x)
{
    const size_t tap = (size_t)a->cin * (size_t)a->cout;
    memset(out, 0, (size_t)a->cout * sizeof *out);
    for (int ky = 0; ky < a->kernel; ky++) {
        const int iy = y * a->stride + ky - a->top;
        if (iy < 0 || iy >= a->h)
            continue;
        for (int kx = 0; kx < a->kernel; kx++) {
            const int ix = x * a->stride + kx - a->left;
            if (ix < 0 || ix >= a->w)
                continue;
            add_tap(image + ((size_t)iy * (size_t)a->w + (size_t)ix) * (size_t)a->cin,
                    a->weight + (size_t)(ky * a->kernel + kx) * tap, out, a->cin,
                    a->cout);
        }
    }
}

void dfn_f32_conv__ref(const void *args, size_t first, size_t last)
{
    const struct dfn_conv_args *a = args;
    const size_t in_size = (size_t)a->h * (size_t)a->w * (size_t)a->cin;
    const size_t row = (size_t)a->ow * (size_t)a->cout;

    for (size_t item = first; item < last; item++) {
        const float *image = a->in + item / (size_t)a->oh * in_size;
        const int y = (int)(item % (size_t)a->oh);
        for (int x = 0; x < a->ow; x++) {
            const size_t at = item * row + (size_t)x * (size_t)a->cout;
            one_pixel(a, image, a->out + at, y, x);
            dfn_epilogue_ref(a->out + at, a->bias, NULL, a->cout, a->act);
            if (a->slope)
                dfn_leaky_ref(a->out + at, a->slope, a->cout);
            if (a->residual)
                dfn_epilogue_ref(a->out + at, NULL, a->residual + at, a->cout,
                                 DFN_ACT_NONE);
        }
    }
}
