/* fuzz_image.c - any bytes as a picture file (lib/image: sniffing, JPEG, PNG, BMP, PNM,
 * EXIF). The limit keeps a run short; every pixel is read, so that uninitialised ones are
 * noticed. */
#include "lib/image/image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
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
        return 0;
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
    return 0;
}
