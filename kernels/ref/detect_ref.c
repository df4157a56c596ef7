/* detect_ref.c - what the face detector's networks need beside convolutions: max-pooling,
 * PReLU, softmax. The oracle, and small beside the convolutions. Called by lib/detect. */
#include "kernels/kernels.h"

#include <math.h>

dfn_kernel_fn dfn_f32_maxpool__ref;
dfn_kernel_fn dfn_f32_prelu__ref;
dfn_kernel_fn dfn_f32_softmax__ref;

/* out [c] = greatest of rows x cols pixels of c channels; a row is row_floats long. */
static void greatest(const float *in, size_t row_floats, int rows, int cols, size_t c,
                     float *restrict out)
{
    for (size_t i = 0; i < c; i++)
        out[i] = in[i];
    for (int y = 0; y < rows; y++)
        for (int x = y ? 0 : 1; x < cols; x++) {
            const float *pixel = in + (size_t)y * row_floats + (size_t)x * c;
            for (size_t i = 0; i < c; i++)
                out[i] = pixel[i] > out[i] ? pixel[i] : out[i];
        }
}

void dfn_f32_maxpool__ref(const void *args, size_t first, size_t last)
{
    const struct dfn_maxpool_args *a = args;
    const size_t c = (size_t)a->c, in_row = (size_t)a->w * c, out_row = (size_t)a->ow * c;

    for (size_t item = first; item < last; item++) {
        const float *image = a->in + item / (size_t)a->oh * (size_t)a->h * in_row;
        const int y = (int)(item % (size_t)a->oh) * a->stride;
        const int rows = a->h - y < a->kernel ? a->h - y : a->kernel;
        for (int ox = 0; ox < a->ow; ox++) {
            const int x = ox * a->stride;
            const int cols = a->w - x < a->kernel ? a->w - x : a->kernel;
            greatest(image + (size_t)y * in_row + (size_t)x * c, in_row, rows, cols, c,
                     a->out + item * out_row + (size_t)ox * c);
        }
    }
}

/* See pointwise_ref.c; a comparison of quads gives bits. */
typedef float quad __attribute__((vector_size(16), aligned(4), may_alias));
typedef int32_t bits __attribute__((vector_size(16)));

/* x times 1 or the slope, chosen without a branch: signs are as good as random. */
static void prelu_pixel(const float *in, const float *slope, float *out, size_t c)
{
    const quad zero = {0}, one = {1, 1, 1, 1};
    size_t i = 0;
    for (; i + 4 <= c; i += 4) {
        const quad x = *(const quad *)(in + i), s = *(const quad *)(slope + i);
        const bits below = x < zero;
        *(quad *)(out + i) = x * (quad)(((bits)s & below) | ((bits)one & ~below));
    }
    for (; i < c; i++) {
        const float factor[2] = {1.0f, slope[i]};
        out[i] = in[i] * factor[in[i] < 0.0f];
    }
}

void dfn_f32_prelu__ref(const void *args, size_t first, size_t last)
{
    const struct dfn_prelu_args *a = args;
    const size_t c = (size_t)a->c;

    for (size_t m = first; m < last; m++)
        prelu_pixel(a->in + m * c, a->slope, a->out + m * c, c);
}

void dfn_f32_softmax__ref(const void *args, size_t first, size_t last)
{
    const struct dfn_softmax_args *a = args;
    const size_t c = (size_t)a->c;

    for (size_t m = first; m < last; m++) {
        const float *in = a->in + m * c;
        float *out = a->out + m * c;
        float most = in[0], sum = 0.0f;
        for (size_t i = 1; i < c; i++)
            most = in[i] > most ? in[i] : most;
        for (size_t i = 0; i < c; i++) {
            out[i] = expf(in[i] - most);
            sum += out[i];
        }
        for (size_t i = 0; i < c; i++)
            out[i] /= sum;
    }
}
