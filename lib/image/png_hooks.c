/* png_hooks.c - see png_hooks.h. */
#include "dfn_config.h"

#if DFN_HAVE_PNG

#include "lib/base/mem.h"
#include "lib/image/png_hooks.h"

#include <stdio.h>

png_voidp dfn_png_alloc(png_structp png, png_alloc_size_t size)
{
    struct dfn_png_hooks *h = png_get_mem_ptr(png);
    void *p = dfn_alloc(h->allocator, size);
    /* libpng drops what it has no memory for and carries on; we must not. */
    if (!p)
        h->no_memory = true;
    return p;
}

void dfn_png_free(png_structp png, png_voidp p)
{
    const struct dfn_png_hooks *h = png_get_mem_ptr(png);
    dfn_free(h->allocator, p);
}

_Noreturn void dfn_png_error(png_structp png, png_const_charp message)
{
    struct dfn_png_hooks *h = png_get_error_ptr(png);
    snprintf(h->message, sizeof h->message, "%s", message);
    png_longjmp(png, 1);
}

void dfn_png_warning(png_structp png, png_const_charp message)
{
    (void)png;
    (void)message;
}

#endif
