/* decode.c - tells by its first bytes what a file is, and calls the decoder or says in
 * one sentence why there is none. Called by lib/api with a whole file in memory. */
#include "lib/base/attr.h"
#include "lib/image/codec.h"

#include <errno.h>
#include <string.h>

enum kind { KIND_UNKNOWN, KIND_JPEG, KIND_PNG, KIND_BMP, KIND_PNM, KIND_FOREIGN };

/* A kind of file that people hand to picture programs. `bytes` at offset `at`; for
 * containers whose first box is named, `brand` at 8 as well. The first match counts. */
struct foreign {
    const char *name; /* with its article: "a WebP picture" */
    const char *advice;
    size_t at, length;
    const char *bytes;
    const char *brand; /* 4 characters at offset 8, or NULL */
};

#define CONVERT "convert it to PNG or JPEG"
#define FRAME "extract a frame as PNG or JPEG first, e.g. with ffmpeg"

static const struct foreign foreign[] = {
    {"a WebP picture", CONVERT ", e.g. with dwebp or ImageMagick", 0, 4, "RIFF", "WEBP"},
    {"an AVI video", FRAME, 0, 4, "RIFF", "AVI "},
    {"a WAVE sound", "a picture is needed", 0, 4, "RIFF", "WAVE"},
    {"a GIF picture", CONVERT ", e.g. with ImageMagick", 0, 4, "GIF8", NULL},
    {"an AVIF picture", CONVERT ", e.g. with avifdec", 4, 4, "ftyp", "avif"},
    {"an AVIF picture", CONVERT ", e.g. with avifdec", 4, 4, "ftyp", "avis"},
    {"a HEIC picture", CONVERT ", e.g. with heif-convert", 4, 4, "ftyp", "heic"},
    {"a HEIC picture", CONVERT ", e.g. with heif-convert", 4, 4, "ftyp", "heix"},
    {"a HEIC picture", CONVERT ", e.g. with heif-convert", 4, 4, "ftyp", "hevc"},
    {"a HEIF picture", CONVERT ", e.g. with heif-convert", 4, 4, "ftyp", "mif1"},
    {"a HEIF picture", CONVERT ", e.g. with heif-convert", 4, 4, "ftyp", "msf1"},
    {"an MP4 or QuickTime video", FRAME, 4, 4, "ftyp", NULL},
    {"a QuickTime video", FRAME, 4, 4, "moov", NULL},
    {"a Matroska or WebM video", FRAME, 0, 4, "\x1a\x45\xdf\xa3", NULL},
    {"an MPEG video", FRAME, 0, 4, "\0\0\1\xba", NULL},
    {"a Flash video", FRAME, 0, 4, "FLV\1", NULL},
    {"an Ogg file", FRAME, 0, 4, "OggS", NULL},
    {"a TIFF picture", CONVERT ", e.g. with ImageMagick", 0, 4, "II*\0", NULL},
    {"a TIFF picture", CONVERT ", e.g. with ImageMagick", 0, 4, "MM\0*", NULL},
    {"a BigTIFF picture", CONVERT ", e.g. with libvips", 0, 4, "II+\0", NULL},
    {"a BigTIFF picture", CONVERT ", e.g. with libvips", 0, 4, "MM\0+", NULL},
    {"a Fujifilm raw picture", CONVERT " in a raw developer", 0, 8, "FUJIFILM", NULL},
    {"a Photoshop document", "export it as PNG or JPEG", 0, 4, "8BPS", NULL},
    {"a GIMP document", "export it as PNG or JPEG", 0, 8, "gimp xcf", NULL},
    {"a JPEG 2000 picture", CONVERT ", e.g. with opj_decompress", 0, 8, "\0\0\0\x0cjP  ",
     NULL},
    {"a JPEG 2000 picture", CONVERT ", e.g. with opj_decompress", 0, 4,
     "\xff\x4f\xff\x51", NULL},
    {"a JPEG XL picture", CONVERT ", e.g. with djxl", 0, 8, "\0\0\0\x0cJXL ", NULL},
    {"a JPEG XL picture", CONVERT ", e.g. with djxl", 0, 2, "\xff\x0a", NULL},
    {"a Windows icon", CONVERT, 0, 4, "\0\0\1\0", NULL},
    {"an OpenEXR picture", CONVERT " with 8 bits a channel", 0, 4, "\x76\x2f\x31\x01",
     NULL},
    {"a Radiance HDR picture", CONVERT " with 8 bits a channel", 0, 6, "#?RADI", NULL},
    {"a QOI picture", CONVERT ", e.g. with ImageMagick", 0, 4, "qoif", NULL},
    {"a DirectDraw texture", CONVERT, 0, 4, "DDS ", NULL},
    {"a JNG picture", CONVERT, 0, 4, "\x8bJNG", NULL},
    {"an MNG animation", FRAME, 0, 4, "\x8aMNG", NULL},
    {"a PDF document", "render the page as PNG, e.g. with pdftoppm", 0, 5, "%PDF-", NULL},
    {"a PostScript document", "render it as PNG, e.g. with ghostscript", 0, 4, "%!PS",
     NULL},
    {"an archive", "unpack it first", 0, 4, "PK\3\4", NULL},
    {"a gzip file", "unpack it first", 0, 3, "\x1f\x8b\x08", NULL},
    {"an xz file", "unpack it first", 0, 6,
     "\xfd"
     "7zXZ\0",
     NULL},
    {"a bzip2 file", "unpack it first", 0, 4, "BZh9", NULL},
    {"a 7-Zip archive", "unpack it first", 0, 6, "7z\xbc\xaf\x27\x1c", NULL},
    {"a NumPy array", "save it as a picture first", 0, 6, "\x93NUMPY", NULL},
};

/* Text that servers send in a picture's place. Compared without case, after white space
 * and a byte order mark. */
static const struct foreign text[] = {
    {"a web page", "was the picture downloaded?", 0, 9, "<!doctype", NULL},
    {"a web page", "was the picture downloaded?", 0, 5, "<html", NULL},
    {"an SVG drawing", "render it as PNG, e.g. with rsvg-convert", 0, 4, "<svg", NULL},
    {"an XML file", "a picture is needed", 0, 5, "<?xml", NULL},
};

static bool starts(const uint8_t *data, size_t size, size_t at, const char *bytes,
                   size_t length)
{
    return size >= at + length && !memcmp(data + at, bytes, length);
}

static bool starts_text(const uint8_t *data, size_t size, const struct foreign *f)
{
    size_t i = starts(data, size, 0, "\xef\xbb\xbf", 3) ? 3 : 0;
    while (i < size && (data[i] == ' ' || (data[i] >= '\t' && data[i] <= '\r')))
        i++;
    if (size - i < f->length)
        return false;
    for (size_t k = 0; k < f->length; k++) {
        const uint8_t c = data[i + k];
        if ((c >= 'A' && c <= 'Z' ? c + 32 : c) != (uint8_t)f->bytes[k])
            return false;
    }
    return true;
}

static const struct foreign *find_foreign(const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++) {
        const struct foreign *f = &foreign[i];
        if (starts(data, size, f->at, f->bytes, f->length) &&
            (!f->brand || starts(data, size, 8, f->brand, 4)))
            return f;
    }
    for (size_t i = 0; i < sizeof text / sizeof *text; i++)
        if (starts_text(data, size, &text[i]))
            return &text[i];
    return NULL;
}

static enum kind identify(const uint8_t *data, size_t size, const struct foreign **found)
{
    if (starts(data, size, 0, "\xff\xd8\xff", 3))
        return KIND_JPEG;
    if (starts(data, size, 0, "\x89PNG\r\n\x1a\n", 8))
        return KIND_PNG;
    if (starts(data, size, 0, "BM", 2))
        return KIND_BMP;
    /* "P5" and white space or a comment; "PK" and words that begin with P are not. */
    if (size >= 3 && data[0] == 'P' && data[1] >= '1' && data[1] <= '7' &&
        (data[2] == ' ' || (data[2] >= '\t' && data[2] <= '\r') || data[2] == '#'))
        return KIND_PNM;
    *found = find_foreign(data, size);
    return *found ? KIND_FOREIGN : KIND_UNKNOWN;
}

static ef_status decode(const struct dfn_encoded *in, struct dfn_canvas *c, ef_error *err)
{
    const struct foreign *f = NULL;
    switch (identify(in->data, in->size, &f)) {
    case KIND_JPEG:
        return dfn_jpeg_decode(in, c, err);
    case KIND_PNG:
        return dfn_png_decode(in, c, err);
    case KIND_BMP:
        return dfn_bmp_decode(in, c, err);
    case KIND_PNM:
        return dfn_pnm_decode(in, c, err);
    case KIND_FOREIGN:
        return dfn_fail(err, EF_E_UNSUPPORTED, "picture", "is %s; %s", f->name,
                        f->advice);
    case KIND_UNKNOWN:
        break;
    }
    return dfn_fail(err, EF_E_FORMAT, "picture", "is not a picture of a known kind");
}

ef_status dfn_image_decode(const uint8_t *data, size_t size, const ef_options *opt,
                           ef_image *out, ef_error *err)
{
    if (!size)
        return dfn_fail(err, EF_E_FORMAT, "picture", "is empty");
    if (!data)
        return dfn_fail(err, EF_E_ARG, "data", "is NULL");
    const int saved = errno;
    const struct dfn_encoded in = {data, size, opt};
    struct dfn_canvas c = {0};
    const ef_status st = decode(&in, &c, err);
    ef_image img = {c.pixels, c.width, c.height, (ptrdiff_t)c.width * 3,
                    EF_RGB8,  c.owner};
    if (st)
        dfn_image_free(&img);
    else
        *out = img;
    errno = saved;
    return st;
}
