/* reduce_ref.c - what squeeze-excite and the classifier need: global mean and fully
 * connected layer. The oracle, and small beside the convolutions. Sums run in
 * double: they are long and their terms of one sign, and the cost does not show. */
#include "kernels/kernels.h"
#include "kernels/ref/act.h"

dfn_kernel_fn dfn_f32_pool__ref;
dfn_kernel_fn dfn_f32_fc__ref;

#define CHUNK 64 /* channels summed at a time, in an array on the stack */

/* The mean of n <= CHUNK neighbouring channels of one image. */
static void pool_chunk(const float *in, float *out, size_t pixels, size_t c, size_t n,
                       double count)
{
    double sum[CHUNK] = {0};
    for (size_t p = 0; p < pixels; p++)
        for (size_t i = 0; i < n; i++)
            sum[i] += in[p * c + i];
    for (size_t i = 0; i < n; i++)
        out[i] = (float)(sum[i] / count);
}

void dfn_f32_pool__ref(const void *args, size_t first, size_t last)
{
    const struct dfn_pool_args *a = args;
    const size_t c = (size_t)a->c, pixels = (size_t)a->pixels;

    for (size_t item = first; item < last;) {
        const size_t image = item / c, channel = item % c;
        size_t n = c - channel;
        if (n > CHUNK)
            n = CHUNK;
        if (n > last - item)
            n = last - item;
        pool_chunk(a->in + image * pixels * c + channel, a->out + item, pixels, c, n,
                   a->count);
        item += n;
    }
}

void dfn_f32_fc__ref(const void *args, size_t first, size_t last)
{
    const struct dfn_fc_args *a = args;
    const size_t cin = (size_t)a->cin, cout = (size_t)a->cout;

    for (size_t item = first; item < last; item++) {
        const float *in = a->in + item / cout * cin;
        const float *w = a->weight + item % cout * cin;
        double sum = a->bias[item % cout];
        for (size_t i = 0; i < cin; i++)
            sum += (double)in[i] * w[i];
        a->out[item] = dfn_act_ref(a->act, (float)sum);
    }
}
