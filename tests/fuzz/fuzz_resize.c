/* fuzz_resize.c - any sizes, crop and pixels through every filter. Filters without
 * negative weights must stay within the values they are given.
 *
 * Input: filter, format, width, height, crop x, y, w, h (signed), output width, height,
 * pad (one byte each, x and y two), then pixels, repeated as needed. */
#include "lib/image/image.h"

#include <stdlib.h>
#include <string.h>

#define PARAMETERS 13
#define MOST 96

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A picture of width x height pixels from malloc, each byte one of the input's. */
static uint8_t *make_pixels(const uint8_t *data, size_t size, size_t n)
{
    uint8_t *p = malloc(n);
    for (size_t i = 0; p && i < n; i++)
        p[i] = size ? data[i % size] : (uint8_t)i;
    return p;
}

static void check_range(const uint8_t *in, size_t n, uint8_t pad, const uint8_t *out,
                        size_t out_n)
{
    uint8_t low = pad, high = pad;
    for (size_t i = 0; i < n; i++) {
        low = in[i] < low ? in[i] : low;
        high = in[i] > high ? in[i] : high;
    }
    for (size_t i = 0; i < out_n; i++)
        if (out[i] < low || out[i] > high)
            __builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const int bytes[] = {3, 3, 4, 1};
    if (size < PARAMETERS)
        return 0;
    const enum dfn_resample filter = (enum dfn_resample)(data[0] % 6);
    const int format = data[1] % 4, w = data[2] % MOST + 1, h = data[3] % MOST + 1;
    const struct dfn_rect rect = {(int16_t)(data[4] << 8 | data[5]),
                                  (int16_t)(data[6] << 8 | data[7]), (int8_t)data[8],
                                  (int8_t)data[9]};
    const int out_w = data[10] % MOST, out_h = data[11] % MOST;
    const uint8_t pad[3] = {data[12], data[12], data[12]};
    const size_t n = (size_t)(w * h * bytes[format]), out_n = (size_t)(out_w * out_h * 3);
    uint8_t *pixels = make_pixels(data + PARAMETERS, size - PARAMETERS, n);
    uint8_t *out = malloc(out_n ? out_n : 1);
    struct dfn_scratch scratch = {0};
    const ef_image img = {
        pixels, w, h, (ptrdiff_t)w * bytes[format], (ef_format)(format + 1), NULL};
    ef_error err = {0};
    if (pixels && out) {
        const ef_status st = dfn_resize(&img, &rect, filter, pad, out, out_w, out_h,
                                        (size_t)out_w * 3, &scratch, NULL, &err);
        if (st && (err.status != st || !err.what[0]))
            __builtin_trap();
        if (!st && filter != DFN_RESAMPLE_PILLOW_BICUBIC &&
            filter != DFN_RESAMPLE_OPENCV_CUBIC)
            check_range(pixels, n, pad[0], out, out_n);
    }
    dfn_scratch_free(&scratch, NULL);
    free(pixels);
    free(out);
    return 0;
}
