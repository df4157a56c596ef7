/* png_encode.c - pictures out, as PNG by libpng, row by row. Called by lib/api for heat
 * maps and reports. Rows are [width][3] R G B. */
#include "dfn_config.h"
#include "lib/base/mem.h"
#include "lib/image/image.h"

#if DFN_HAVE_PNG

#include "lib/image/png_hooks.h"

#include <setjmp.h>

/* Everything that lives across a longjmp. */
struct state {
    const ef_image *img;
    const ef_options *opt;
    ef_write_fn *write;
    void *user;
    png_structp png;
    png_infop info;
    uint8_t *row; /* [width][3], for pictures of other formats */
    int y;
    bool stopped;
    struct dfn_png_hooks hooks;
};

static void write_bytes(png_structp png, png_bytep data, size_t n)
{
    struct state *s = png_get_io_ptr(png);
    if (s->write(s->user, (const char *)data, n)) {
        s->stopped = true;
        png_error(png, "stopped");
    }
}

static void flush_nothing(png_structp png)
{
    (void)png;
}

static ef_status run(struct state *s, ef_error *err)
{
    if (setjmp(png_jmpbuf(s->png)))
        return s->stopped
                   ? dfn_fail(err, EF_E_CANCELLED, "PNG",
                              "the caller's write function stopped")
                   : dfn_fail(err, s->hooks.no_memory ? EF_E_NOMEM : EF_E_UNSUPPORTED,
                              "PNG", "libpng cannot write it: %s", s->hooks.message);
    png_set_write_fn(s->png, s, write_bytes, flush_nothing);
    png_set_IHDR(s->png, s->info, (png_uint_32)s->img->width, (png_uint_32)s->img->height,
                 8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
                 PNG_FILTER_TYPE_DEFAULT);
    png_write_info(s->png, s->info);
    for (s->y = 0; s->y < s->img->height; s->y++)
        png_write_row(s->png, dfn_image_row(s->img, s->y, s->row));
    png_write_end(s->png, NULL);
    return EF_OK;
}

ef_status dfn_png_encode(const ef_image *img, const ef_options *opt, ef_write_fn *write,
                         void *user, ef_error *err)
{
    struct state s = {.img = img,
                      .opt = opt,
                      .write = write,
                      .user = user,
                      .hooks.allocator = &opt->allocator};
    ef_status st = EF_E_NOMEM;
    s.row = dfn_alloc(&opt->allocator, (size_t)img->width * 3);
    s.png =
        png_create_write_struct_2(PNG_LIBPNG_VER_STRING, &s.hooks, dfn_png_error,
                                  dfn_png_warning, &s.hooks, dfn_png_alloc, dfn_png_free);
    if (s.png)
        s.info = png_create_info_struct(s.png);
    if (s.row && s.info)
        st = run(&s, err);
    else
        dfn_fail(err, EF_E_NOMEM, "PNG", "no memory for libpng");
    if (s.png)
        png_destroy_write_struct(&s.png, &s.info);
    dfn_free(&opt->allocator, s.row);
    return st;
}

#else

ef_status dfn_png_encode(const ef_image *img, const ef_options *opt, ef_write_fn *write,
                         void *user, ef_error *err)
{
    (void)img;
    (void)opt;
    (void)write;
    (void)user;
    return dfn_fail(err, EF_E_UNSUPPORTED, "PNG", "this build has no libpng");
}

#endif
