/* bmp.c - checks a BMP file's header before stb_image sees it. Called by decode.c.
 *
 * Layout (Windows GDI, BITMAPFILEHEADER and BITMAPINFOHEADER): "BM", 8 bytes, u32 offset
 * of the pixels; u32 header size (12, 40, 56, 108 or 124), width, height (negative: rows
 * from the top), u16 planes, u16 bits, u32 compression, ...; masks or palette; rows
 * padded to 4 bytes. stb_image 2.27 takes missing pixels for zeros, reads palette entries
 * that are not there from the stack, and miscounts the palettes of 12-byte headers: all
 * that is refused here. Alpha counts only where a header names it by a mask. */
#include "lib/base/bytes.h"
#include "lib/image/codec.h"

#define FILE_HEADER 14
#define BI_RGB 0
#define BI_BITFIELDS 3

struct bmp {
    uint64_t pixels; /* offset of the first row        */
    uint64_t header; /* bytes of the info header       */
    uint64_t bits, compression, alpha;
    uint64_t width, height;
    uint64_t row; /* bytes of a row, padding included */
};

static ef_status damaged(ef_error *err, const char *why)
{
    return dfn_fail(err, EF_E_FORMAT, "picture", "BMP is damaged: %s", why);
}

static ef_status unsupported(ef_error *err, const char *what)
{
    return dfn_fail(err, EF_E_UNSUPPORTED, "picture",
                    "is a BMP with %s; convert it to PNG or JPEG", what);
}

/* Reads the fields; false if the file ends before them. */
static bool read_header(const struct dfn_encoded *in, struct bmp *b)
{
    struct dfn_bytes r = {in->data, in->size};
    uint64_t planes;
    if (!dfn_bytes_skip(&r, 10) || !dfn_bytes_number(&r, 4, false, &b->pixels) ||
        !dfn_bytes_number(&r, 4, false, &b->header))
        return false;
    const unsigned side = b->header == 12 ? 2 : 4;
    if (!dfn_bytes_number(&r, side, false, &b->width) ||
        !dfn_bytes_number(&r, side, false, &b->height) ||
        !dfn_bytes_number(&r, 2, false, &planes) ||
        !dfn_bytes_number(&r, 2, false, &b->bits))
        return false;
    if (b->header == 12)
        return true;
    /* The height is signed: rows from the top if it is negative. */
    if (b->height > INT32_MAX)
        b->height = ((uint64_t)1 << 32) - b->height;
    if (!dfn_bytes_number(&r, 4, false, &b->compression))
        return false;
    /* V4 and V5: size and resolution, colours, then the masks, alpha's last. */
    if (b->header >= 108 &&
        (!dfn_bytes_skip(&r, 20 + 12) || !dfn_bytes_number(&r, 4, false, &b->alpha)))
        return false;
    return true;
}

static ef_status check_kind(const struct bmp *b, ef_error *err)
{
    const uint64_t h = b->header, bits = b->bits;
    if (h != 12 && h != 40 && h != 56 && h != 108 && h != 124)
        return h == 52 || h == 64 || h == 16
                   ? unsupported(err, "an OS/2 or Photoshop header")
                   : damaged(err, "its header has an unknown size");
    if (bits != 1 && bits != 4 && bits != 8 && bits != 16 && bits != 24 && bits != 32)
        return bits == 2 || bits == 64
                   ? unsupported(err, "2 or 64 bits a pixel")
                   : damaged(err, "its number of bits a pixel cannot be");
    if (b->compression != BI_RGB && b->compression != BI_BITFIELDS)
        return b->compression <= 6 ? unsupported(err, "compressed pixels")
                                   : damaged(err, "its compression is unknown");
    if (b->compression == BI_BITFIELDS && bits != 16 && bits != 32)
        return damaged(err, "it has colour masks and a palette");
    if (b->compression == BI_BITFIELDS && h == 56)
        return unsupported(err, "a Photoshop header");
    if (h == 12 && bits != 24)
        return unsupported(err, "an OS/2 palette");
    return EF_OK;
}

/* True if every pixel of a paletted picture is below colours. */
static bool indices_below(const struct dfn_encoded *in, const struct bmp *b,
                          uint64_t colours)
{
    const unsigned per_byte = 8 / (unsigned)b->bits;
    const unsigned mask = (1u << b->bits) - 1;
    for (uint64_t y = 0; y < b->height; y++) {
        const uint8_t *row = in->data + b->pixels + y * b->row;
        for (uint64_t x = 0; x < b->width; x++) {
            const unsigned slot = per_byte - 1 - (unsigned)(x % per_byte);
            if ((row[x / per_byte] >> slot * b->bits & mask) >= colours)
                return false;
        }
    }
    return true;
}

static ef_status check_data(const struct dfn_encoded *in, struct bmp *b, ef_error *err)
{
    b->row = (b->width * b->bits + 31) / 32 * 4;
    const bool masks = b->compression == BI_BITFIELDS && b->header == 40;
    const uint64_t start = FILE_HEADER + b->header + (masks ? 12 : 0);
    if (b->pixels < start)
        return damaged(err, "its pixels begin inside its header");
    if (b->pixels > in->size || in->size - b->pixels < b->row * b->height)
        return damaged(err, "the file ends early");
    if (b->bits <= 8) {
        /* stb_image takes all between header and pixels for palette entries. */
        const uint64_t colours = (b->pixels - start) / 4;
        if (colours < 1 || colours > 256)
            return damaged(err, "its palette has no sensible size");
        if (colours < (uint64_t)1 << b->bits && !indices_below(in, b, colours))
            return damaged(err, "a pixel has a colour that is not in the palette");
    }
    return EF_OK;
}

ef_status dfn_bmp_decode(const struct dfn_encoded *in, struct dfn_canvas *c,
                         ef_error *err)
{
    struct bmp b = {0};
    if (!read_header(in, &b))
        return damaged(err, "the file ends early");
    ef_status st = check_kind(&b, err);
    if (!st)
        st = dfn_canvas_check(b.width, b.height, in->opt, err);
    if (!st)
        st = check_data(in, &b, err);
    if (st)
        return st;
    const bool alpha = b.compression == BI_BITFIELDS && b.alpha;
    const struct dfn_stb_call call = {(uint32_t)b.width, (uint32_t)b.height,
                                      alpha ? 4 : 3, 255, 1};
    return dfn_stb_decode(in, &call, c, err);
}
