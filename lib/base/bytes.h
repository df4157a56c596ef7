/* bytes.h - a bounded little-endian reader: what is left is always known, and nothing is
 * read past it. Used by every parser of bytes that come from outside. */
#ifndef DFN_BASE_BYTES_H
#define DFN_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dfn_bytes {
    const uint8_t *at; /* next byte                  */
    size_t left;       /* bytes from at to the end   */
};

/* False, with nothing consumed, if fewer than n bytes are left. */
static inline bool dfn_bytes_skip(struct dfn_bytes *b, size_t n)
{
    if (b->left < n)
        return false;
    b->at += n;
    b->left -= n;
    return true;
}

static inline bool dfn_bytes_take(struct dfn_bytes *b, size_t n, const uint8_t **out)
{
    *out = b->at;
    return dfn_bytes_skip(b, n);
}

/* n bytes, 1 to 8, as an unsigned number. */
static inline bool dfn_bytes_number(struct dfn_bytes *b, unsigned n, bool big_endian,
                                    uint64_t *out)
{
    const uint8_t *p;
    uint64_t v = 0;
    if (!dfn_bytes_take(b, n, &p))
        return false;
    for (unsigned i = 0; i < n; i++)
        v |= (uint64_t)p[i] << 8 * (big_endian ? n - 1 - i : i);
    *out = v;
    return true;
}

#endif
