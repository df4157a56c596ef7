/* fuzz_exif.c - any bytes as an EXIF block, and as a JPEG or PNG file that may have
 * one. */
#include "lib/image/codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int orientation)
{
    if (orientation < 1 || orientation > 8)
        __builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check(dfn_exif_orientation(data, size));
    check(dfn_exif_in_jpeg(data, size));
    check(dfn_exif_in_png(data, size));
    return 0;
}
