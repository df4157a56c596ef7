/* warp.c - see warp.h. The fixed point is that of OpenCV 3 to 4's warpAffine() for 8-bit
 * pictures, taken from its results and documentation (tests/face compares). */
#include "lib/face/warp.h"

#include <math.h>
#include <string.h>

/* Positions are computed in 1/1024 pixel, then rounded to 1/32. */
#define POSITION_BITS 10
#define FRACTION_BITS 5
#define FRACTIONS (1 << FRACTION_BITS)

bool dfn_similarity(const double from[2 * DFN_LANDMARKS],
                    const double to[2 * DFN_LANDMARKS], double m[6])
{
    double fx = 0, fy = 0, tx = 0, ty = 0, dot = 0, cross = 0, size = 0;
    for (int i = 0; i < DFN_LANDMARKS; i++) {
        fx += from[2 * i] / DFN_LANDMARKS;
        fy += from[2 * i + 1] / DFN_LANDMARKS;
        tx += to[2 * i] / DFN_LANDMARKS;
        ty += to[2 * i + 1] / DFN_LANDMARKS;
    }
    for (int i = 0; i < DFN_LANDMARKS; i++) {
        const double x = from[2 * i] - fx, y = from[2 * i + 1] - fy;
        const double u = to[2 * i] - tx, v = to[2 * i + 1] - ty;
        dot += x * u + y * v;
        cross += x * v - y * u;
        size += x * x + y * y;
    }
    const double c = dot / size, s = cross / size;
    /* Not so for NaN either. */
    if (!(size > 0 && c * c + s * s > 0))
        return false;
    const double result[6] = {c, -s, tx - c * fx + s * fy, s, c, ty - s * fx - c * fy};
    memcpy(m, result, sizeof result);
    return true;
}

void dfn_invert(const double m[6], double inverse[6])
{
    const double d = 1 / (m[0] * m[4] - m[1] * m[3]);
    inverse[0] = m[4] * d;
    inverse[1] = -m[1] * d;
    inverse[3] = -m[3] * d;
    inverse[4] = m[0] * d;
    inverse[2] = -inverse[0] * m[2] - inverse[1] * m[5];
    inverse[5] = -inverse[3] * m[2] - inverse[4] * m[5];
}

/* Half to even, and within what a shift by 2^10 and a sum leave room for. */
static int64_t fixed(double v)
{
    const double scaled = v * (1 << POSITION_BITS);
    return (int64_t)llrint(fmin(fmax(scaled, -1e15), 1e15));
}

static bool inside(const ef_image *img, int64_t x, int64_t y)
{
    return x >= 0 && x < img->width && y >= 0 && y < img->height;
}

/* R, G, B of pixel (x, y), or the colour pad. */
static void pixel(const ef_image *img, int64_t x, int64_t y, const uint8_t pad[3],
                  uint8_t rgb[3])
{
    if (!inside(img, x, y)) {
        memcpy(rgb, pad, 3);
        return;
    }
    const int bytes = img->format == EF_GRAY8 ? 1 : img->format == EF_RGBA8 ? 4 : 3;
    const uint8_t *p = img->pixels + (ptrdiff_t)y * img->stride + (ptrdiff_t)x * bytes;
    const bool bgr = img->format == EF_BGR8, gray = img->format == EF_GRAY8;
    rgb[0] = p[bgr ? 2 : 0];
    rgb[1] = p[gray ? 0 : 1];
    rgb[2] = p[gray || bgr ? 0 : 2];
}

/* x, y: position in 1/32 pixel. */
static void interpolate(const ef_image *img, int64_t x, int64_t y, const uint8_t pad[3],
                        uint8_t *out)
{
    /* Arithmetic shifts: floor, for positions left of the picture too. */
    const int64_t left = x >> FRACTION_BITS, top = y >> FRACTION_BITS;
    const int fx = (int)(x & (FRACTIONS - 1)), fy = (int)(y & (FRACTIONS - 1));
    uint8_t p[4][3];
    if (!inside(img, left, top) && !inside(img, left + 1, top + 1) &&
        !inside(img, left + 1, top) && !inside(img, left, top + 1)) {
        memcpy(out, pad, 3);
        return;
    }
    for (int k = 0; k < 4; k++)
        pixel(img, left + (k & 1), top + (k >> 1), pad, p[k]);
    const int unit = FRACTIONS * FRACTIONS;
    for (int c = 0; c < 3; c++) {
        const int sum = (FRACTIONS - fy) * ((FRACTIONS - fx) * p[0][c] + fx * p[1][c]) +
                        fy * ((FRACTIONS - fx) * p[2][c] + fx * p[3][c]);
        out[c] = (uint8_t)((sum + unit / 2) / unit);
    }
}

void dfn_warp_affine(const ef_image *img, const double m[6], const uint8_t pad[3],
                     uint8_t *out, int width, int height)
{
    const int drop = POSITION_BITS - FRACTION_BITS;
    double back[6];
    dfn_invert(m, back);
    for (int y = 0; y < height; y++) {
        const int64_t half = 1 << (drop - 1);
        const int64_t x0 = fixed(back[1] * y + back[2]) + half;
        const int64_t y0 = fixed(back[4] * y + back[5]) + half;
        for (int x = 0; x < width; x++, out += 3)
            interpolate(img, (x0 + fixed(back[0] * x)) >> drop,
                        (y0 + fixed(back[3] * x)) >> drop, pad, out);
    }
}
