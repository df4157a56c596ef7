/* stb.c - stb_image, compiled here and nowhere else. Called by bmp.c and pnm.c, and by
 * jpeg.c in builds without libjpeg.
 *
 * Security: stb_image is third-party code that its authors do not recommend for files
 * from strangers (bugs are handled in public, fixes may take long). So it is fenced: only
 * the formats that nothing better reads are compiled in, its callers check the header,
 * the palette and the amount of data before it sees a byte, its memory is taken from the
 * caller's allocator within a budget, it cannot open files or keep state, and
 * tests/fuzz/fuzz_image.c feeds it. Debian 12 has version 2.27.
 *
 * Its result is [height][width][components] uint8. */
#include "dfn_config.h"
#include "lib/base/mem.h"
#include "lib/image/codec.h"

#include <limits.h>
#include <string.h>

#if defined(__GNUC__)
/* Not pushed and popped with the others: gcc warns at the end of the file of what was
 * declared static and, its format being left out, never defined. */
#pragma GCC diagnostic ignored "-Wunused-function"
#endif

/* stb_image's allocator macros have no user pointer; this is set for the length of one
 * call, by the thread that makes it. */
struct budget {
    const ef_allocator *a;
    size_t left; /* bytes that may still be asked for in this call */
    bool no_memory;
};
static _Thread_local struct budget *budget;

/* Zeroed: a JPEG that names a Huffman table which it never defines makes stb_image 2.27
 * decode with whatever was there before, and index with the result. */
static void *stb_alloc(size_t size)
{
    void *p = size <= budget->left ? dfn_calloc(budget->a, size) : NULL;
    if (p)
        budget->left -= size;
    else
        budget->no_memory = true;
    return p;
}

static void *stb_realloc(void *old, size_t size)
{
    void *p = size <= budget->left ? dfn_realloc(budget->a, old, size) : NULL;
    if (p)
        budget->left -= size;
    else
        budget->no_memory = true;
    return p;
}

static void stb_free(void *p)
{
    dfn_free(budget->a, p);
}

#define STBI_MALLOC(size) stb_alloc(size)
#define STBI_REALLOC(p, size) stb_realloc(p, size)
#define STBI_FREE(p) stb_free(p)
#define STBI_ASSERT(x) ((void)0)
#define STBI_MAX_DIMENSIONS DFN_MAX_SIDE
#define STBI_NO_STDIO
#define STBI_NO_HDR
#define STBI_NO_LINEAR
#define STBI_NO_FAILURE_STRINGS
#define STBI_ONLY_BMP
#define STBI_ONLY_PNM
#if !DFN_HAVE_JPEG
#define STBI_ONLY_JPEG
#endif
#define STB_IMAGE_STATIC
#define STB_IMAGE_IMPLEMENTATION

#if defined(__GNUC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpedantic"
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wcast-qual"
#pragma GCC diagnostic ignored "-Wunused-but-set-variable"
#pragma GCC diagnostic ignored "-Wundef"
#pragma GCC diagnostic ignored "-Wimplicit-fallthrough"
#endif
#include <stb/stb_image.h>
#if defined(__GNUC__)
#pragma GCC diagnostic pop
#endif

/* Pixels as stb_image made them to the canvas, row by row, in place. */
static void put_rows(uint8_t *pixels, const struct dfn_stb_call *call,
                     struct dfn_canvas *c)
{
    const size_t n = call->width;
    for (uint32_t y = 0; y < call->height; y++) {
        uint8_t *row = pixels + y * n * (unsigned)call->components;
        if (call->components == 4)
            dfn_on_black(row, n, row);
        if (call->maxval != 255)
            for (size_t i = 0; i < n * 3; i++) {
                const unsigned v = row[i] < call->maxval ? row[i] : call->maxval;
                row[i] = (uint8_t)((v * 255 + call->maxval / 2) / call->maxval);
            }
        dfn_canvas_put(c, (int)y, row);
    }
}

ef_status dfn_stb_decode(const struct dfn_encoded *in, const struct dfn_stb_call *call,
                         struct dfn_canvas *c, ef_error *err)
{
    int w = 0, h = 0, stored = 0;
    ef_status st = dfn_canvas_check(call->width, call->height, in->opt, err);
    if (st)
        return st;
    if (in->size > INT_MAX)
        return dfn_fail(err, EF_E_LIMIT, "picture", "has %zu bytes, the limit is %d",
                        in->size, INT_MAX);
    st = dfn_canvas_open(c, call->width, call->height, call->orientation, in->opt, err);
    if (st)
        return st;
    /* Two pictures of 4 bytes a pixel and a MiB cover every path through stb_image's
     * readers: the planes or pixels, and their conversion to `components`. */
    const uint64_t bytes =
        8 * ((uint64_t)call->width + 64) * ((uint64_t)call->height + 64);
    struct budget b = {&in->opt->allocator, SIZE_MAX, false};
    if (bytes < SIZE_MAX - (1u << 20))
        b.left = (size_t)bytes + (1u << 20);
    budget = &b;
    uint8_t *pixels =
        stbi_load_from_memory(in->data, (int)in->size, &w, &h, &stored, call->components);
    /* stb_image carries on with the next format when one had no memory. */
    if (b.no_memory)
        st = dfn_fail(err, EF_E_NOMEM, "picture", "no memory to decode it");
    else if (!pixels)
        st = dfn_fail(err, EF_E_FORMAT, "picture", "is damaged");
    else if ((uint32_t)w != call->width || (uint32_t)h != call->height)
        st = dfn_fail(err, EF_E_FORMAT, "picture", "has a header that makes no sense");
    else
        put_rows(pixels, call, c);
    if (pixels)
        stb_free(pixels);
    budget = NULL;
    return st;
}
