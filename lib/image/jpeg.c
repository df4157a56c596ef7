/* jpeg.c - JPEG by libjpeg (libjpeg-turbo). Called by decode.c. Without libjpeg, stb.c
 * takes its place.
 *
 * The decoder's settings are libjpeg's defaults (integer "slow" DCT, fancy upsampling),
 * which Pillow uses too, so that pixels equal Pillow's. libjpeg has its own malloc, which
 * cannot be replaced; what it takes is bounded by the pixel limit: a progressive picture
 * needs 2 bytes a coefficient, at most 6 bytes a pixel, a baseline one a few rows.
 *
 * A warning that pixels may be missing or wrong is an error here: a score for half a
 * picture would be a lie. Rows are [width][3] R G B. */
#include "dfn_config.h"
#include "lib/image/codec.h"

/* A scan of a progressive file costs a pass over all coefficients however short it is;
 * encoders write about 10. */
#define SCANS_MOST 100

/* Each block of 64 pixels takes at least one bit of Huffman code, and sampling factors of
 * up to 4 stretch the best component no further than 1024 pixels a byte; doubled twice
 * for safety. */
#define PIXELS_A_BYTE 4096

static ef_status too_few_bytes(uint64_t w, uint64_t h, size_t size, ef_error *err)
{
    return dfn_fail(err, EF_E_FORMAT, "picture",
                    "JPEG of %llu x %llu pixels is truncated: it has only %zu bytes",
                    (unsigned long long)w, (unsigned long long)h, size);
}

static ef_status too_many_scans(ef_error *err)
{
    return dfn_fail(err, EF_E_LIMIT, "picture", "JPEG has more than %d scans",
                    SCANS_MOST);
}

#if DFN_HAVE_JPEG

#include "lib/base/mem.h"

#include <setjmp.h>
#include <stdio.h>
/* jpeglib.h needs size_t and FILE before it. */
#include <jpeglib.h>

#include <jerror.h>

/* Everything that lives across a longjmp; no local variable does. */
struct state {
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr error;
    struct jpeg_progress_mgr progress;
    const struct dfn_encoded *in;
    struct dfn_canvas *c;
    ef_error *err;
    uint8_t *row; /* [width][3], for pictures that are turned */
    jmp_buf jump;
};

static struct state *state_of(j_common_ptr jpeg)
{
    return jpeg->client_data;
}

/* What a libjpeg error means for the caller. */
static ef_status status_of(int code)
{
    switch (code) {
    case JERR_OUT_OF_MEMORY:
        return EF_E_NOMEM;
    case JERR_IMAGE_TOO_BIG:
        return EF_E_LIMIT;
    case JERR_BAD_PRECISION:
    case JERR_SOF_UNSUPPORTED:
    case JERR_CONVERSION_NOTIMPL:
    case JERR_CCIR601_NOTIMPL:
    case JERR_FRACT_SAMPLE_NOTIMPL:
    case JERR_ARITH_NOTIMPL:
    case JERR_NOT_COMPILED:
        return EF_E_UNSUPPORTED;
    default:
        return EF_E_FORMAT;
    }
}

_Noreturn static void give_up(j_common_ptr jpeg)
{
    struct state *s = state_of(jpeg);
    char message[JMSG_LENGTH_MAX];
    jpeg->err->format_message(jpeg, message);
    const ef_status st = status_of(jpeg->err->msg_code);
    dfn_fail(s->err, st, "picture",
             st == EF_E_FORMAT ? "JPEG is damaged: %s" : "JPEG cannot be decoded: %s",
             message);
    longjmp(s->jump, (int)st);
}

/* Warnings that leave the pixels whole: padding between segments, which cameras write,
 * and application data that is not what it seems. */
static bool harmless(int code)
{
    return code == JWRN_EXTRANEOUS_DATA || code == JWRN_ADOBE_XFORM ||
           code == JWRN_BOGUS_ICC;
}

static void on_message(j_common_ptr jpeg, int level)
{
    if (level < 0 && !harmless(jpeg->err->msg_code))
        give_up(jpeg);
}

static void no_output(j_common_ptr jpeg)
{
    (void)jpeg;
}

static void on_progress(j_common_ptr jpeg)
{
    struct state *s = state_of(jpeg);
    if (s->jpeg.input_scan_number > SCANS_MOST) {
        too_many_scans(s->err);
        longjmp(s->jump, EF_E_LIMIT);
    }
}

static ef_status check_header(struct state *s)
{
    const struct jpeg_decompress_struct *j = &s->jpeg;
    const uint64_t w = j->image_width, h = j->image_height;
    const ef_status st = dfn_canvas_check(w, h, s->in->opt, s->err);
    if (st)
        return st;
    if (j->jpeg_color_space == JCS_CMYK || j->jpeg_color_space == JCS_YCCK)
        return dfn_fail(s->err, EF_E_UNSUPPORTED, "picture",
                        "is a JPEG in CMYK colours, for printing; convert it to RGB");
    if (j->jpeg_color_space == JCS_UNKNOWN)
        return dfn_fail(s->err, EF_E_UNSUPPORTED, "picture",
                        "is a JPEG with %d components, which is neither gray nor RGB",
                        j->num_components);
    if (!j->arith_code && w * h / PIXELS_A_BYTE > s->in->size)
        return too_few_bytes(w, h, s->in->size, s->err);
    return EF_OK;
}

static ef_status open_rows(struct state *s)
{
    const ef_status st =
        dfn_canvas_open(s->c, s->jpeg.image_width, s->jpeg.image_height,
                        dfn_exif_in_jpeg(s->in->data, s->in->size), s->in->opt, s->err);
    if (st || dfn_canvas_direct(s->c, 0))
        return st;
    s->row = dfn_alloc(&s->in->opt->allocator, (size_t)s->jpeg.image_width * 3);
    return s->row ? EF_OK
                  : dfn_fail(s->err, EF_E_NOMEM, "picture", "no memory for a row");
}

static void read_rows(struct state *s)
{
    jpeg_start_decompress(&s->jpeg);
    while (s->jpeg.output_scanline < s->jpeg.output_height) {
        const int y = (int)s->jpeg.output_scanline;
        JSAMPROW row = dfn_canvas_direct(s->c, y);
        if (!row)
            row = s->row;
        if (jpeg_read_scanlines(&s->jpeg, &row, 1) == 1 && row == s->row)
            dfn_canvas_put(s->c, y, s->row);
    }
    jpeg_finish_decompress(&s->jpeg);
}

static ef_status run(struct state *s)
{
    const int jumped = setjmp(s->jump);
    if (jumped)
        return (ef_status)jumped;
    jpeg_create_decompress(&s->jpeg);
    s->jpeg.client_data = s;
    s->jpeg.progress = &s->progress;
    jpeg_mem_src(&s->jpeg, s->in->data, s->in->size);
    jpeg_read_header(&s->jpeg, TRUE);
    ef_status st = check_header(s);
    if (st)
        return st;
    st = open_rows(s);
    if (st)
        return st;
    s->jpeg.out_color_space = JCS_RGB;
    read_rows(s);
    return EF_OK;
}

ef_status dfn_jpeg_decode(const struct dfn_encoded *in, struct dfn_canvas *c,
                          ef_error *err)
{
    struct state s = {.in = in, .c = c, .err = err};
    s.jpeg.err = jpeg_std_error(&s.error);
    s.error.error_exit = give_up;
    s.error.emit_message = on_message;
    s.error.output_message = no_output;
    s.progress.progress_monitor = on_progress;
    /* jpeg_create_decompress() keeps this; it may fail before it returns. */
    s.jpeg.client_data = &s;
    const ef_status st = run(&s);
    jpeg_destroy_decompress(&s.jpeg);
    dfn_free(&in->opt->allocator, s.row);
    return st;
}

#else

#include "lib/base/bytes.h"

/* What is learnt about a file before stb_image 2.27 may have it. It takes a truncated
 * file for a whole one, and writes past its tables for a Huffman table of more than 256
 * codes; both are looked for here. Segments are walked as stb_image walks them, only
 * stricter: what it would skip between segments is refused. */
struct facts {
    struct dfn_stb_call call;
    int components;
    bool other_process; /* lossless, arithmetic, hierarchical */
    int scans;
    bool end; /* EOI has come */
};

/* A DHT segment's body: tables of class and number, 16 counts, that many values. */
static bool check_huffman(struct dfn_bytes b)
{
    const uint8_t *head;
    while (b.left) {
        size_t codes = 0;
        if (!dfn_bytes_take(&b, 17, &head))
            return false;
        for (int i = 1; i <= 16; i++)
            codes += head[i];
        if (codes > 256 || !dfn_bytes_skip(&b, codes))
            return false;
    }
    return true;
}

static bool read_frame(struct dfn_bytes b, struct facts *f)
{
    uint64_t height, width, components;
    if (!dfn_bytes_skip(&b, 1) || !dfn_bytes_number(&b, 2, true, &height) ||
        !dfn_bytes_number(&b, 2, true, &width) ||
        !dfn_bytes_number(&b, 1, true, &components))
        return false;
    f->call.height = (uint32_t)height;
    f->call.width = (uint32_t)width;
    f->components = (int)components;
    return true;
}

/* Entropy-coded bytes up to the next marker that is not a restart; FF 00 is data. */
static bool skip_scan(struct dfn_bytes *b)
{
    while (b->left >= 2) {
        const uint8_t code = b->at[1];
        if (b->at[0] == 0xff && code != 0 && (code < 0xd0 || code > 0xd7))
            return true;
        dfn_bytes_skip(b, 1);
    }
    return false;
}

/* One marker and its segment. */
static bool walk(struct dfn_bytes *b, struct facts *f)
{
    uint64_t code = 0xff, length;
    const uint8_t *body;
    if (!b->left || *b->at != 0xff)
        return false;
    while (code == 0xff)
        if (!dfn_bytes_number(b, 1, true, &code))
            return false;
    f->end = code == 0xd9;
    if (f->end)
        return true;
    if (code < 0xc0 || (code >= 0xd0 && code <= 0xd8) ||
        !dfn_bytes_number(b, 2, true, &length) || length < 2 ||
        !dfn_bytes_take(b, (size_t)length - 2, &body))
        return false;
    const struct dfn_bytes segment = {body, (size_t)length - 2};
    if (code == 0xc4)
        return check_huffman(segment);
    if (code == 0xda) {
        f->scans++;
        return skip_scan(b);
    }
    if (code <= 0xcf && code != 0xc8 && code != 0xcc) {
        f->other_process = f->other_process || code > 0xc2;
        return read_frame(segment, f);
    }
    return true;
}

ef_status dfn_jpeg_decode(const struct dfn_encoded *in, struct dfn_canvas *c,
                          ef_error *err)
{
    struct facts f = {.call = {.components = 3, .maxval = 255}};
    struct dfn_bytes b = {in->data, in->size};
    dfn_bytes_skip(&b, 2);
    while (!f.end)
        if (!walk(&b, &f))
            return dfn_fail(err, EF_E_FORMAT, "picture", "JPEG is damaged or truncated");
    if (f.other_process)
        return dfn_fail(err, EF_E_UNSUPPORTED, "picture",
                        "is a lossless or arithmetic JPEG; convert it to a baseline one");
    if (!f.scans)
        return dfn_fail(err, EF_E_FORMAT, "picture", "JPEG is damaged: it has no scan");
    if (f.components != 1 && f.components != 3)
        return dfn_fail(err, EF_E_UNSUPPORTED, "picture",
                        "is a JPEG with %d components; convert it to RGB", f.components);
    const ef_status st = dfn_canvas_check(f.call.width, f.call.height, in->opt, err);
    if (st)
        return st;
    const uint64_t pixels = (uint64_t)f.call.width * f.call.height;
    if (pixels / PIXELS_A_BYTE > in->size)
        return too_few_bytes(f.call.width, f.call.height, in->size, err);
    if (f.scans > SCANS_MOST)
        return too_many_scans(err);
    f.call.orientation = dfn_exif_in_jpeg(in->data, in->size);
    return dfn_stb_decode(in, &f.call, c, err);
}

#endif
