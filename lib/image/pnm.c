/* pnm.c - checks a binary PGM or PPM file's header before stb_image sees it. Called by
 * decode.c.
 *
 * Layout (netpbm's pgm(5), ppm(5)): "P5" or "P6", then width, height and the largest
 * sample value in decimal, each after white space or comments from # to the end of the
 * line, one white space byte, rows [width][1 or 3]. stb_image 2.27 lets numbers overflow,
 * takes missing pixels for zeros and does not scale samples: all done here. */
#include "lib/base/bytes.h"
#include "lib/image/codec.h"

static bool is_space(uint8_t c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Skips white space and comments, reads a number of at most 9 digits, and leaves b at the
 * byte behind it. */
static bool read_number(struct dfn_bytes *b, uint64_t *out)
{
    while (b->left && (is_space(*b->at) || *b->at == '#')) {
        if (*b->at == '#')
            while (b->left && *b->at != '\n' && *b->at != '\r')
                dfn_bytes_skip(b, 1);
        else
            dfn_bytes_skip(b, 1);
    }
    unsigned digits = 0;
    *out = 0;
    while (b->left && *b->at >= '0' && *b->at <= '9' && digits < 10) {
        *out = *out * 10 + (uint64_t)(*b->at - '0');
        dfn_bytes_skip(b, 1);
        digits++;
    }
    return digits >= 1 && digits <= 9 && b->left;
}

ef_status dfn_pnm_decode(const struct dfn_encoded *in, struct dfn_canvas *c,
                         ef_error *err)
{
    const uint8_t kind = in->data[1];
    uint64_t width, height, maxval;
    struct dfn_bytes b = {in->data + 2, in->size - 2};
    if (kind != '5' && kind != '6')
        return dfn_fail(
            err, EF_E_UNSUPPORTED, "picture",
            "is a PNM of kind P%c, only binary PGM (P5) and PPM (P6) are read; "
            "convert it to PNG or JPEG, e.g. with ImageMagick",
            kind);
    if (!read_number(&b, &width) || !read_number(&b, &height) ||
        !read_number(&b, &maxval) || !is_space(*b.at) || !maxval || maxval > 65535)
        return dfn_fail(err, EF_E_FORMAT, "picture", "PNM has a damaged header");
    dfn_bytes_skip(&b, 1);
    const ef_status st = dfn_canvas_check(width, height, in->opt, err);
    if (st)
        return st;
    if (maxval > 255)
        return dfn_fail(err, EF_E_UNSUPPORTED, "picture",
                        "is a PNM of 16 bits a sample; convert it to 8 bits or to PNG");
    if (b.left < width * height * (kind == '6' ? 3 : 1))
        return dfn_fail(err, EF_E_FORMAT, "picture",
                        "PNM is damaged: the file ends early");
    const struct dfn_stb_call call = {(uint32_t)width, (uint32_t)height, 3,
                                      (unsigned)maxval, 1};
    return dfn_stb_decode(in, &call, c, err);
}
