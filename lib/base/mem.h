/* mem.h - every allocation of the library, and every product of sizes.
 *
 * Blocks begin on DFN_ALIGN bytes and remember their allocator's own pointer and size
 * just before them:  [ base ... padding | struct head ][ block ... ]
 * Nothing else in the library calls malloc (tests/style/check_style.py). */
#ifndef DFN_BASE_MEM_H
#define DFN_BASE_MEM_H

#include "dfnet/dfnet.h"

#include <stdbool.h>

/* NULL if size is 0 or nothing is left. Contents are undefined. */
void *dfn_alloc(const ef_allocator *a, size_t size);

/* The same, zeroed. */
void *dfn_calloc(const ef_allocator *a, size_t size);

/* A block of new_size bytes with the first min(old, new) bytes of block (NULL allowed);
 * on failure returns NULL and block stays as it was. */
void *dfn_realloc(const ef_allocator *a, void *block, size_t new_size);

/* Bytes that the hook is asked for when dfn_alloc() is asked for size (at most
 * SIZE_MAX / 2): what memory figures count. */
size_t dfn_alloc_cost(size_t size);

/* NULL is fine. */
void dfn_free(const ef_allocator *a, void *block);

/* Copy of at most n bytes of s, with a NUL. */
char *dfn_strndup(const ef_allocator *a, const char *s, size_t n);

/* *out = a * b or a + b; false if that does not fit. */
bool dfn_mul_size(size_t a, size_t b, size_t *out);
bool dfn_add_size(size_t a, size_t b, size_t *out);
bool dfn_mul_u64(uint64_t a, uint64_t b, uint64_t *out);

/* x rounded up to a multiple of DFN_ALIGN; x <= SIZE_MAX - DFN_ALIGN. */
size_t dfn_align_up(size_t x);

#endif
