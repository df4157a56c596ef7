/* area.c - see area.h. Rows are added up first, which runs along memory, then columns. */
#include "lib/detect/area.h"

#include <string.h>

static int first_of(int i, int m, int n)
{
    return (int)((int64_t)i * m / n);
}

static int end_of(int i, int m, int n)
{
    return (int)((((int64_t)i + 1) * m + n - 1) / n);
}

void dfn_area_columns(int w, int out_w, int *columns)
{
    for (int i = 0; i < out_w; i++) {
        columns[2 * i] = first_of(i, w, out_w);
        columns[2 * i + 1] = end_of(i, w, out_w);
    }
}

static void add_row(uint32_t *restrict sums, const uint8_t *restrict row, size_t n)
{
    for (size_t i = 0; i < n; i++)
        sums[i] += row[i];
}

/* The sum is exact; two divisions and not one, because that is what the mean over rows
 * and then columns rounds to. */
static float normalised(uint64_t sum, float rows, float columns)
{
    return ((float)(int64_t)sum / rows / columns - 127.5f) * 0.0078125f;
}

void dfn_area_row(const struct dfn_area *a, int y, float *out)
{
    const int first = first_of(y, a->rect.h, a->out_h);
    const int end = end_of(y, a->rect.h, a->out_h);
    const size_t n = (size_t)a->rect.w * 3;

    memset(a->sums, 0, n * sizeof *a->sums);
    for (int i = first; i < end; i++)
        add_row(a->sums,
                dfn_image_row(a->img, a->rect.y + i, a->row) + (size_t)a->rect.x * 3, n);
    for (int x = 0; x < a->out_w; x++) {
        const int from = a->columns[2 * x], to = a->columns[2 * x + 1];
        uint64_t sum[3] = {0};
        for (int i = from; i < to; i++)
            for (int c = 0; c < 3; c++)
                sum[c] += a->sums[(size_t)i * 3 + (size_t)c];
        for (int c = 0; c < 3; c++)
            *out++ = normalised(sum[c], (float)(end - first), (float)(to - from));
    }
}
