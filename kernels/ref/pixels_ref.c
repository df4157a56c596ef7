/* pixels_ref.c - rowsum, area, taps and rows of kernels.h, scalar. Called by lib/image
 * and lib/detect. What runs along rows does so in chunks, row by row, whose sums stay in
 * the nearest cache: plain loops of a length that the compiler's vectoriser likes. */
#include "kernels/kernels.h"

#include <string.h>

dfn_kernel_fn dfn_u8_rowsum__ref;
dfn_kernel_fn dfn_u32_area__ref;
dfn_kernel_fn dfn_u8_taps_fixed__ref;
dfn_kernel_fn dfn_u8_taps_float__ref;
dfn_kernel_fn dfn_u8_rows_fixed__ref;
dfn_kernel_fn dfn_f32_rows_float__ref;
dfn_kernel_fn dfn_f32_rows_linear__ref;

#define CHUNK 64
#define HALF ((int32_t)1 << (DFN_FRACTION_BITS - 1))

static uint8_t to_byte(int32_t v)
{
    return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

/* The nearest whole number, half to even, of |v| < 2^22: a number so large has no places
 * behind the point. A call of lrintf() would take longer than all the rest. */
static int32_t nearest(float v)
{
    const float large = v + 12582912.0f; /* 1.5 * 2^23 */
    return (int32_t)(large - 12582912.0f);
}

/* Values of a chunk from i on. */
static size_t chunk(size_t i, size_t last)
{
    return last - i < CHUNK ? last - i : CHUNK;
}

void dfn_u8_rowsum__ref(const void *args, size_t first, size_t last)
{
    const struct dfn_rowsum_args *a = args;
    for (size_t i = first; i < last; i += CHUNK) {
        const size_t n = chunk(i, last);
        uint32_t sum[CHUNK] = {0};
        if (a->add)
            memcpy(sum, a->out + i, n * sizeof *sum);
        for (int r = 0; r < a->rows; r++)
            for (size_t j = 0; j < n; j++)
                sum[j] += (a->in + r * a->stride + i)[j];
        memcpy(a->out + i, sum, n * sizeof *sum);
    }
}

void dfn_u32_area__ref(const void *args, size_t first, size_t last)
{
    const struct dfn_area_args *a = args;
    for (size_t i = first; i < last; i++)
        for (size_t c = 0; c < 3; c++) {
            const int from = a->columns[2 * i], to = a->columns[2 * i + 1];
            uint64_t sum = 0;
            for (int x = from; x < to; x++)
                sum += a->sums[(size_t)x * 3 + c];
            const float mean = (float)(int64_t)sum / (float)a->rows / (float)(to - from);
            a->out[3 * i + c] = (mean - 127.5f) * 0.0078125f;
        }
}

static int count_of(const struct dfn_taps_args *a, size_t i)
{
    return a->count ? a->count[i] : a->taps;
}

void dfn_u8_taps_fixed__ref(const void *args, size_t first, size_t last)
{
    const struct dfn_taps_args *a = args;
    for (size_t i = first; i < last; i++) {
        const int32_t *w = (const int32_t *)a->weight + i * (size_t)a->taps;
        const uint8_t *p = a->in + (size_t)3 * (size_t)a->first[i];
        for (size_t c = 0; c < 3; c++) {
            int32_t sum = HALF;
            for (int k = 0; k < count_of(a, i); k++)
                sum += p[(size_t)k * 3 + c] * w[k];
            /* An arithmetic shift, as gcc and clang define it. */
            ((uint8_t *)a->out)[3 * i + c] = to_byte(sum >> DFN_FRACTION_BITS);
        }
    }
}

void dfn_u8_taps_float__ref(const void *args, size_t first, size_t last)
{
    const struct dfn_taps_args *a = args;
    for (size_t i = first; i < last; i++) {
        const float *w = (const float *)a->weight + i * (size_t)a->taps;
        const uint8_t *p = a->in + (size_t)3 * (size_t)a->first[i];
        for (size_t c = 0; c < 3; c++) {
            float sum = 0;
            for (int k = 0; k < count_of(a, i); k++)
                sum += (float)p[(size_t)k * 3 + c] * w[k];
            ((float *)a->out)[3 * i + c] = sum;
        }
    }
}

void dfn_u8_rows_fixed__ref(const void *args, size_t first, size_t last)
{
    const struct dfn_rows_args *a = args;
    int32_t *sums = a->sums;
    for (size_t i = first; i < last; i += CHUNK) {
        const size_t n = chunk(i, last);
        int32_t sum[CHUNK];
        for (size_t j = 0; j < n; j++)
            sum[j] = a->add ? sums[i + j] : HALF;
        for (int k = 0; k < a->n; k++) {
            const uint8_t *in = (const uint8_t *)a->rows[k] + i;
            const int32_t w = ((const int32_t *)a->weight)[k];
            for (size_t j = 0; j < n; j++)
                sum[j] += in[j] * w;
        }
        if (!a->out)
            memcpy(sums + i, sum, n * sizeof *sum);
        for (size_t j = 0; a->out && j < n; j++)
            a->out[i + j] = to_byte(sum[j] >> DFN_FRACTION_BITS);
    }
}

void dfn_f32_rows_float__ref(const void *args, size_t first, size_t last)
{
    const struct dfn_rows_args *a = args;
    float *sums = a->sums;
    for (size_t i = first; i < last; i += CHUNK) {
        const size_t n = chunk(i, last);
        float sum[CHUNK] = {0};
        if (a->add)
            memcpy(sum, sums + i, n * sizeof *sum);
        for (int k = 0; k < a->n; k++) {
            const float *in = (const float *)a->rows[k] + i;
            const float w = ((const float *)a->weight)[k];
            for (size_t j = 0; j < n; j++)
                sum[j] += in[j] * w;
        }
        if (!a->out)
            memcpy(sums + i, sum, n * sizeof *sum);
        for (size_t j = 0; a->out && j < n; j++)
            a->out[i + j] = to_byte(nearest(sum[j]));
    }
}

void dfn_f32_rows_linear__ref(const void *args, size_t first, size_t last)
{
    const struct dfn_rows_args *a = args;
    const float *w = a->weight, *above = a->rows[0], *below = a->rows[1];
    for (size_t i = first; i < last; i++) {
        const int32_t v = (((int32_t)w[0] * ((int32_t)above[i] >> 4)) >> 16) +
                          (((int32_t)w[1] * ((int32_t)below[i] >> 4)) >> 16);
        a->out[i] = to_byte((v + 2) >> 2);
    }
}
