/* png_hooks.h - what reading (png.c) and writing (png_encode.c) give libpng to call:
 * memory from the caller's allocator, errors by longjmp, silence for warnings. Only for
 * builds with libpng. */
#ifndef DFN_IMAGE_PNG_HOOKS_H
#define DFN_IMAGE_PNG_HOOKS_H

#include "dfnet/dfnet.h"

#include <png.h>
#include <stdbool.h>

/* The pointer that libpng gets for memory and errors; it outlives the longjmp. */
struct dfn_png_hooks {
    const ef_allocator *allocator;
    bool no_memory;    /* an allocation failed */
    char message[160]; /* libpng's             */
};

png_voidp dfn_png_alloc(png_structp png, png_alloc_size_t size);
void dfn_png_free(png_structp png, png_voidp p);
/* Keeps the message and jumps to png_jmpbuf(png). */
_Noreturn void dfn_png_error(png_structp png, png_const_charp message);
void dfn_png_warning(png_structp png, png_const_charp message);

#endif
