/* fingerprint.h - 64 bits that tell one run of classify from another: FNV-1a (Fowler,
 * Noll, Vo), a hash against accidents, not against anybody. options.c takes one of the
 * options, worklist.c of the names, blackbox.c of the models. */
#ifndef DFNET_EXAMPLES_DFNET_FINGERPRINT_H
#define DFNET_EXAMPLES_DFNET_FINGERPRINT_H

#include <stdint.h>
#include <string.h>

#define FINGERPRINT_START 0xcbf29ce484222325u

static inline uint64_t fingerprint_bytes(uint64_t h, const void *bytes, size_t n)
{
    const unsigned char *b = bytes;
    for (size_t i = 0; i < n; i++)
        h = (h ^ b[i]) * 0x100000001b3u;
    return h;
}

/* With its zero at the end, so that "a", "bc" is not "ab", "c". */
static inline uint64_t fingerprint_text(uint64_t h, const char *s)
{
    return fingerprint_bytes(h, s, strlen(s) + 1);
}

#endif
