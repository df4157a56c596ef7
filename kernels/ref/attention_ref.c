/* attention_ref.c - what networks with attention need beside convolutions: bilinear
 * attention pooling (Hu, Qi, Huang, Lu, "See Better Before Looking Closer", arXiv
 * 1901.09891, section 3.1), its normalisation, a gate for each pixel, and the gathering
 * of frames that makes a convolution over time of one over channels. Small beside the
 * network, so there is no faster version; sums run in double. */
#include "kernels/kernels.h"

#include <math.h>
#include <string.h>

dfn_kernel_fn dfn_f32_bilinear__ref;
dfn_kernel_fn dfn_f32_rootnorm__ref;
dfn_kernel_fn dfn_f32_scale__ref;
dfn_kernel_fn dfn_f32_frames__ref;

#define CHUNK 64 /* channels summed at a time, in an array on the stack */

/* n <= CHUNK neighbouring channels under one map; in and map begin at the first pixel. */
static void bilinear_chunk(const float *in, size_t c, const float *map, size_t maps,
                           size_t pixels, size_t n, float *out)
{
    double sum[CHUNK] = {0};
    for (size_t p = 0; p < pixels; p++) {
        const double weight = map[p * maps];
        for (size_t i = 0; i < n; i++)
            sum[i] += weight * in[p * c + i];
    }
    for (size_t i = 0; i < n; i++)
        out[i] = (float)(sum[i] / (double)pixels);
}

void dfn_f32_bilinear__ref(const void *args, size_t first, size_t last)
{
    const struct dfn_bilinear_args *a = args;
    const size_t c = (size_t)a->c, maps = (size_t)a->maps, pixels = (size_t)a->pixels;

    for (size_t item = first; item < last;) {
        const size_t channel = item % c, row = item / c;
        const size_t image = row / maps, map = row % maps;
        size_t n = c - channel;
        if (n > CHUNK)
            n = CHUNK;
        if (n > last - item)
            n = last - item;
        bilinear_chunk(a->in + image * pixels * c + channel, c,
                       a->map + image * pixels * maps + map, maps, pixels, n,
                       a->out + item);
        item += n;
    }
}

static double signed_root(double x)
{
    const double root = sqrt(fabs(x) + 1e-12);
    return x > 0 ? root : x < 0 ? -root : x * root; /* 0 stays 0, NaN stays NaN */
}

void dfn_f32_rootnorm__ref(const void *args, size_t first, size_t last)
{
    const struct dfn_rootnorm_args *a = args;
    const size_t c = (size_t)a->c;

    for (size_t item = first; item < last; item++) {
        const float *in = a->in + item * c;
        float *out = a->out + item * c;
        double squares = 0;
        for (size_t i = 0; i < c; i++) {
            const double root = signed_root(in[i]);
            squares += root * root;
        }
        const double norm = sqrt(squares);
        const double factor = a->scale / (norm < 1e-12 ? 1e-12 : norm); /* NaN stays */
        for (size_t i = 0; i < c; i++)
            out[i] = (float)(signed_root(in[i]) * factor);
    }
}

void dfn_f32_scale__ref(const void *args, size_t first, size_t last)
{
    const struct dfn_scale_args *a = args;
    const size_t c = (size_t)a->c;

    for (size_t m = first; m < last; m++)
        for (size_t i = 0; i < c; i++)
            a->out[m * c + i] = a->in[m * c + i] * a->by[m];
}

void dfn_f32_frames__ref(const void *args, size_t first, size_t last)
{
    const struct dfn_frames_args *a = args;
    const size_t c = (size_t)a->c, pixels = (size_t)a->pixels;
    const size_t frames = (size_t)a->frames;

    for (size_t m = first; m < last; m++) {
        const size_t frame = m / pixels % frames;
        const float *in = a->in + m * c;
        float *out = a->out + m * 3 * c;
        if (frame > 0)
            memcpy(out, in - pixels * c, c * sizeof *out);
        else
            memset(out, 0, c * sizeof *out);
        memcpy(out + c, in, c * sizeof *out);
        if (frame + 1 < frames)
            memcpy(out + 2 * c, in + pixels * c, c * sizeof *out);
        else
            memset(out + 2 * c, 0, c * sizeof *out);
    }
}
