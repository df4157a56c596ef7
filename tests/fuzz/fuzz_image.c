/* fuzz_image.c - any bytes as a picture file (lib/image: sniffing, JPEG, PNG, BMP, PNM,
 * EXIF), and PNG files a second time with sound CRCs. The limit keeps a run short; every
 * pixel is read, so that uninitialised ones are noticed. */
#include "lib/image/image.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void decode(const uint8_t *data, size_t size)
{
    ef_options opt;
    ef_image img = {0};
    ef_error err = {0};
    ef_options_init(&opt, sizeof opt);
    opt.limits.max_pixels = (uint64_t)1 << 20;
    const ef_status st = dfn_image_decode(data, size, &opt, &img, &err);
    if (st) {
        /* A failure has a place and a sentence, and leaves out as it was. */
        if (err.status != st || !err.where[0] || !err.what[0] || img.owner)
            __builtin_trap();
        return;
    }
    if (dfn_image_check(&img, NULL) ||
        (uint64_t)img.width * (uint64_t)img.height > opt.limits.max_pixels)
        __builtin_trap();
    uint64_t sum = 0;
    const size_t n = (size_t)img.width * (size_t)img.height * 3;
    for (size_t i = 0; i < n; i++)
        sum += img.pixels[i];
    if (sum > (uint64_t)255 * n)
        __builtin_trap();
    dfn_image_free(&img);
}

static uint32_t crc32_of(const uint8_t *p, size_t n)
{
    uint32_t crc = 0xffffffffu;
    for (size_t i = 0; i < n; i++) {
        crc ^= p[i];
        for (int k = 0; k < 8; k++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
    }
    return ~crc;
}

static uint32_t get_be(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* Gives every chunk of a PNG file the CRC that it should have: else no mutation would get
 * past the first one. A chunk is its length, type, body and CRC. */
static void mend_png(uint8_t *d, size_t size)
{
    for (size_t at = 8; size - at >= 12;) {
        const uint32_t length = get_be(d + at);
        if (length > size - at - 12)
            return;
        const uint32_t crc = crc32_of(d + at + 4, (size_t)length + 4);
        for (int i = 0; i < 4; i++)
            d[at + 8 + length + (size_t)i] = (uint8_t)(crc >> 8 * (3 - i));
        at += 12 + (size_t)length;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    decode(data, size);
    if (size < 8 || memcmp(data, "\x89PNG", 4))
        return 0;
    uint8_t *mended = malloc(size);
    if (!mended)
        return 0;
    memcpy(mended, data, size);
    mend_png(mended, size);
    decode(mended, size);
    free(mended);
    return 0;
}
