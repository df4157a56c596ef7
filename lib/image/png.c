/* png.c - PNG by libpng, row by row. Called by decode.c.
 *
 * libpng sees hostile bytes, so it gets as little as possible to do: the simplified API
 * and quantising stay out, every ancillary chunk but tRNS is skipped unread (colour
 * profiles and gamma too: Pillow does not apply them either), sides and chunk sizes are
 * limited, and all of its memory comes from the caller's allocator. A wrong CRC anywhere,
 * or a file that ends before IEND, is an error: half a picture would get a score.
 *
 * Rows come out as [width][3] R G B or [width][4] R G B A, 8 bits: palettes and shallow
 * grays expanded, 16 bits scaled by 255/65535 and rounded, alpha composited on black. Of
 * an animation this is the still picture that every PNG reader shows. */
#include "dfn_config.h"
#include "lib/base/bytes.h"
#include "lib/base/mem.h"
#include "lib/image/codec.h"

#if DFN_HAVE_PNG

#include "lib/image/png_hooks.h"

#include <setjmp.h>
#include <string.h>

/* Deflate's best case: 1032 bytes out of one byte in (zlib's technical notes). */
#define DEFLATE_MOST 1032
#define CHUNK_BYTES_MOST ((png_alloc_size_t)8 << 20)
#define CHUNKS_MOST 128

/* Everything that lives across a longjmp; no local variable does. */
struct state {
    const struct dfn_encoded *in;
    struct dfn_canvas *c;
    ef_error *err;
    png_structp png;
    png_infop info;
    size_t at;        /* bytes read */
    size_t row_bytes; /* of a row as libpng gives it */
    uint8_t *rows;    /* one row, or all of them if interlaced */
    int passes, pass, y;
    int channels; /* 3 or 4 */
    struct dfn_png_hooks hooks;
};

static void read_bytes(png_structp png, png_bytep to, size_t n)
{
    struct state *s = png_get_io_ptr(png);
    if (n > s->in->size - s->at)
        png_error(png, "the file ends early");
    memcpy(to, s->in->data + s->at, n);
    s->at += n;
}

static void configure(struct state *s)
{
    png_set_read_fn(s->png, s, read_bytes);
    png_set_user_limits(s->png, DFN_MAX_SIDE, DFN_MAX_SIDE);
    png_set_chunk_cache_max(s->png, CHUNKS_MOST);
    png_set_chunk_malloc_max(s->png, CHUNK_BYTES_MOST);
    png_set_crc_action(s->png, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
    /* -1: all unknown chunks and all known ancillary ones except tRNS. */
    png_set_keep_unknown_chunks(s->png, PNG_HANDLE_CHUNK_NEVER, NULL, -1);
}

static void set_transforms(struct state *s)
{
    png_set_expand(s->png);
    png_set_scale_16(s->png);
    png_set_gray_to_rgb(s->png);
    s->passes = png_set_interlace_handling(s->png);
    png_read_update_info(s->png, s->info);
    s->channels = png_get_channels(s->png, s->info);
    s->row_bytes = png_get_rowbytes(s->png, s->info);
}

/* A few bytes that claim many pixels cannot hold them: refused before allocation.
 * Interlacing adds no more than the padding of its passes, never takes away. */
static ef_status check_size(struct state *s)
{
    const uint64_t w = png_get_image_width(s->png, s->info);
    const uint64_t h = png_get_image_height(s->png, s->info);
    const uint64_t bits =
        (uint64_t)png_get_bit_depth(s->png, s->info) * png_get_channels(s->png, s->info);
    if (w * h * bits / 8 / DEFLATE_MOST > s->in->size)
        return dfn_fail(s->err, EF_E_FORMAT, "picture",
                        "PNG of %llu x %llu pixels is truncated: it has only %zu bytes",
                        (unsigned long long)w, (unsigned long long)h, s->in->size);
    return EF_OK;
}

static ef_status open_rows(struct state *s)
{
    const uint32_t w = png_get_image_width(s->png, s->info);
    const uint32_t h = png_get_image_height(s->png, s->info);
    if ((s->channels != 3 && s->channels != 4) ||
        s->row_bytes != (size_t)w * (unsigned)s->channels)
        return dfn_fail(s->err, EF_E_FORMAT, "picture",
                        "PNG with rows that make no sense");
    const ef_status st = dfn_canvas_open(
        s->c, w, h, dfn_exif_in_png(s->in->data, s->in->size), s->in->opt, s->err);
    if (st)
        return st;
    size_t bytes = s->row_bytes;
    if (s->passes > 1 && !dfn_mul_size(bytes, h, &bytes))
        return dfn_fail(s->err, EF_E_LIMIT, "picture",
                        "does not fit in the address space");
    s->rows = dfn_calloc(&s->in->opt->allocator, bytes);
    if (!s->rows)
        return dfn_fail(s->err, EF_E_NOMEM, "picture", "no memory for %zu bytes of rows",
                        bytes);
    return EF_OK;
}

static void put(struct state *s, int y, uint8_t *row)
{
    if (s->channels == 4)
        dfn_on_black(row, (size_t)s->c->row_width, row);
    dfn_canvas_put(s->c, y, row);
}

static void read_rows(struct state *s)
{
    const int h = (int)png_get_image_height(s->png, s->info);
    for (s->pass = 0; s->pass < s->passes; s->pass++)
        for (s->y = 0; s->y < h; s->y++) {
            const size_t row = s->passes > 1 ? (size_t)s->y : 0;
            uint8_t *to = s->rows + row * s->row_bytes;
            png_read_row(s->png, to, NULL);
            if (s->pass == s->passes - 1)
                put(s, s->y, to);
        }
    png_read_end(s->png, NULL);
}

static ef_status run(struct state *s)
{
    if (setjmp(png_jmpbuf(s->png)))
        return s->hooks.no_memory ? dfn_fail(s->err, EF_E_NOMEM, "picture",
                                             "no memory for libpng: %s", s->hooks.message)
                                  : dfn_fail(s->err, EF_E_FORMAT, "picture",
                                             "PNG is damaged: %s", s->hooks.message);
    configure(s);
    png_read_info(s->png, s->info);
    ef_status st = check_size(s);
    if (st)
        return st;
    set_transforms(s);
    st = open_rows(s);
    if (st)
        return st;
    read_rows(s);
    return EF_OK;
}

/* The sides before libpng looks at them, so that too large is told from damaged. IHDR is
 * the first chunk: 8 bytes of signature, length, "IHDR", width, height. */
static ef_status peek(const struct dfn_encoded *in, ef_error *err)
{
    struct dfn_bytes b = {in->data, in->size};
    uint64_t w, h;
    if (!dfn_bytes_skip(&b, 16) || !dfn_bytes_number(&b, 4, true, &w) ||
        !dfn_bytes_number(&b, 4, true, &h))
        return dfn_fail(err, EF_E_FORMAT, "picture",
                        "PNG is damaged: the file ends early");
    return dfn_canvas_check(w, h, in->opt, err);
}

ef_status dfn_png_decode(const struct dfn_encoded *in, struct dfn_canvas *c,
                         ef_error *err)
{
    struct state s = {
        .in = in, .c = c, .err = err, .hooks.allocator = &in->opt->allocator};
    ef_status st = peek(in, err);
    if (st)
        return st;
    s.png =
        png_create_read_struct_2(PNG_LIBPNG_VER_STRING, &s.hooks, dfn_png_error,
                                 dfn_png_warning, &s.hooks, dfn_png_alloc, dfn_png_free);
    if (s.png)
        s.info = png_create_info_struct(s.png);
    st = s.info ? run(&s) : EF_E_NOMEM;
    if (!st && s.hooks.no_memory)
        st = EF_E_NOMEM;
    if (st == EF_E_NOMEM)
        dfn_fail(err, EF_E_NOMEM, "picture", "no memory to decode the PNG");
    if (s.png)
        png_destroy_read_struct(&s.png, &s.info, NULL);
    dfn_free(&in->opt->allocator, s.rows);
    return st;
}

#else

ef_status dfn_png_decode(const struct dfn_encoded *in, struct dfn_canvas *c,
                         ef_error *err)
{
    (void)in;
    (void)c;
    return dfn_fail(err, EF_E_UNSUPPORTED, "picture",
                    "is a PNG, and this build has no libpng; convert it to JPEG or BMP");
}

#endif
