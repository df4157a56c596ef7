/* exif.c - reads one EXIF tag, the orientation, and nothing else. Called by the decoders
 * before they allocate the picture; all of it is hostile input.
 *
 * An EXIF block is a small TIFF file: byte order mark "II" or "MM", 42, offset of the
 * first directory; a directory is a count and that many entries of 12 bytes (tag, type,
 * count, value). Orientation (0x0112) is a SHORT in the first directory. (TIFF 6.0,
 * section 2; CIPA DC-008.) */
#include "lib/base/bytes.h"
#include "lib/image/codec.h"

#include <string.h>

#define UPRIGHT 1
#define TAG_ORIENTATION 0x0112
#define TYPE_SHORT 3

static int read_directory(struct dfn_bytes b, bool big)
{
    uint64_t entries, tag, type, count, value;
    const uint8_t *field;
    if (!dfn_bytes_number(&b, 2, big, &entries))
        return UPRIGHT;
    while (entries--) {
        if (!dfn_bytes_number(&b, 2, big, &tag) || !dfn_bytes_number(&b, 2, big, &type) ||
            !dfn_bytes_number(&b, 4, big, &count) || !dfn_bytes_take(&b, 4, &field))
            return UPRIGHT;
        if (tag != TAG_ORIENTATION)
            continue;
        struct dfn_bytes v = {field, 4};
        if (type != TYPE_SHORT || count != 1 || !dfn_bytes_number(&v, 2, big, &value) ||
            value < 1 || value > 8)
            return UPRIGHT;
        return (int)value;
    }
    return UPRIGHT;
}

int dfn_exif_orientation(const uint8_t *tiff, size_t size)
{
    struct dfn_bytes b = {tiff, size};
    const uint8_t *order;
    uint64_t magic, offset;
    if (!dfn_bytes_take(&b, 2, &order))
        return UPRIGHT;
    const bool big = order[0] == 'M';
    if (order[0] != order[1] || (order[0] != 'I' && order[0] != 'M'))
        return UPRIGHT;
    if (!dfn_bytes_number(&b, 2, big, &magic) || magic != 42 ||
        !dfn_bytes_number(&b, 4, big, &offset))
        return UPRIGHT;
    /* Offsets count from the byte order mark. One that points back into the header is
     * odd but harmless: the reader is bounded either way. */
    struct dfn_bytes directory = {tiff, size};
    if (!dfn_bytes_skip(&directory, (size_t)offset))
        return UPRIGHT;
    return read_directory(directory, big);
}

int dfn_exif_in_jpeg(const uint8_t *data, size_t size)
{
    static const uint8_t name[6] = {'E', 'x', 'i', 'f', 0, 0};
    struct dfn_bytes b = {data, size};
    uint64_t byte, length;
    const uint8_t *body;
    if (!dfn_bytes_skip(&b, 2))
        return UPRIGHT;
    for (;;) {
        /* A marker is FF and a code; any number of FF may stand before the code. */
        if (!dfn_bytes_number(&b, 1, true, &byte) || byte != 0xff)
            return UPRIGHT;
        while (byte == 0xff)
            if (!dfn_bytes_number(&b, 1, true, &byte))
                return UPRIGHT;
        const uint64_t code = byte;
        if (code == 0x01 || (code >= 0xd0 && code <= 0xd8))
            continue; /* has no length */
        if (code == 0xda || code == 0xd9)
            return UPRIGHT; /* start of scan, end of image: pixels from here on */
        if (!dfn_bytes_number(&b, 2, true, &length) || length < 2 ||
            !dfn_bytes_take(&b, (size_t)length - 2, &body))
            return UPRIGHT;
        const size_t left = (size_t)length - 2;
        if (code == 0xe1 && left >= sizeof name && !memcmp(body, name, sizeof name))
            return dfn_exif_orientation(body + sizeof name, left - sizeof name);
    }
}

int dfn_exif_in_png(const uint8_t *data, size_t size)
{
    struct dfn_bytes b = {data, size};
    uint64_t length;
    const uint8_t *type, *body;
    if (!dfn_bytes_skip(&b, 8))
        return UPRIGHT;
    for (;;) {
        if (!dfn_bytes_number(&b, 4, true, &length) || !dfn_bytes_take(&b, 4, &type) ||
            length > 0x7fffffff || !dfn_bytes_take(&b, (size_t)length, &body) ||
            !dfn_bytes_skip(&b, 4)) /* the CRC, which libpng checks */
            return UPRIGHT;
        if (!memcmp(type, "eXIf", 4))
            return dfn_exif_orientation(body, (size_t)length);
        if (!memcmp(type, "IEND", 4))
            return UPRIGHT;
    }
}
