/* picture.c - see picture.h. */
#include "examples/dfnet/picture.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int picture_to_file(void *user, const char *bytes, size_t length)
{
    return fwrite(bytes, 1, length, user) != length;
}

/* ---- scaling down ------------------------------------------------------------------ */

/* Mean of the pixels of x0..x1, y0..y1 (the ends not included) of img. */
static void mean_pixel(const ef_image *img, int x0, int x1, int y0, int y1, uint8_t *out)
{
    uint64_t sum[3] = {0, 0, 0};
    for (int y = y0; y < y1; y++) {
        const uint8_t *p = img->pixels + y * img->stride + (ptrdiff_t)x0 * 3;
        for (int x = x0; x < x1; x++, p += 3)
            for (int c = 0; c < 3; c++)
                sum[c] += p[c];
    }
    const uint64_t n = (uint64_t)(x1 - x0) * (uint64_t)(y1 - y0);
    for (int c = 0; c < 3; c++)
        out[c] = (uint8_t)((sum[c] + n / 2) / n);
}

/* Where the i-th of n pieces of a length begins. */
static int piece(int i, int n, int length)
{
    return (int)((int64_t)i * length / n);
}

/* Nearest integer within [low, high], also for what no int can hold. */
static int whole(float v, int low, int high)
{
    return v <= (float)low ? low : v >= (float)high ? high : (int)lrintf(v);
}

int picture_shrink(const ef_image *img, ef_box area, int side, ef_image *out,
                   float *scale, ef_box *cut)
{
    const int x0 = whole(area.x, 0, img->width), y0 = whole(area.y, 0, img->height);
    const int w = whole(area.x + area.w, 0, img->width) - x0;
    const int h = whole(area.y + area.h, 0, img->height) - y0;
    if (w < 1 || h < 1)
        return -1;
    const int longer = w > h ? w : h;
    *scale = longer > side ? (float)side / (float)longer : 1.0f;
    const int ow = whole((float)w * *scale, 1, side),
              oh = whole((float)h * *scale, 1, side);
    uint8_t *pixels = malloc((size_t)ow * (size_t)oh * 3);
    if (!pixels)
        return -1;
    for (int y = 0; y < oh; y++)
        for (int x = 0; x < ow; x++)
            mean_pixel(img, x0 + piece(x, ow, w), x0 + piece(x + 1, ow, w),
                       y0 + piece(y, oh, h), y0 + piece(y + 1, oh, h),
                       pixels + ((size_t)y * (size_t)ow + (size_t)x) * 3);
    *out = (ef_image){pixels, ow, oh, (ptrdiff_t)ow * 3, EF_RGB8, NULL};
    *cut = (ef_box){(float)x0, (float)y0, (float)w, (float)h};
    return 0;
}

void picture_free(ef_image *img)
{
    /* The pixels are const for the library only; picture_shrink() made them. */
    free((void *)(uintptr_t)img->pixels);
    memset(img, 0, sizeof *img);
}

/* ---- data URI ---------------------------------------------------------------------- */

/* Bytes to base64 (RFC 4648), 3 at a time. */
struct base64 {
    FILE *f;
    unsigned char rest[3];
    int nrest, begun;
};

static void put_four(FILE *f, const unsigned char *b, int n)
{
    static const char digits[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned v = (unsigned)b[0] << 16 | (unsigned)b[1] << 8 | b[2];
    fputc(digits[v >> 18], f);
    fputc(digits[v >> 12 & 63], f);
    fputc(n > 1 ? digits[v >> 6 & 63] : '=', f);
    fputc(n > 2 ? digits[v & 63] : '=', f);
}

static int write_base64(void *user, const char *bytes, size_t length)
{
    struct base64 *b = user;
    if (!b->begun)
        fputs("data:image/png;base64,", b->f);
    b->begun = 1;
    for (size_t i = 0; i < length; i++) {
        b->rest[b->nrest++] = (unsigned char)bytes[i];
        if (b->nrest == 3) {
            put_four(b->f, b->rest, 3);
            b->nrest = 0;
        }
    }
    return ferror(b->f);
}

int picture_data_uri(FILE *f, const ef_image *img, const ef_options *opt)
{
    struct base64 b = {f, {0, 0, 0}, 0, 0};
    if (ef_image_encode_png(img, opt, write_base64, &b, NULL))
        return b.begun;
    if (b.nrest) {
        memset(b.rest + b.nrest, 0, (size_t)(3 - b.nrest));
        put_four(f, b.rest, b.nrest);
    }
    return 1;
}
