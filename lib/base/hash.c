/* hash.c - see hash.h. The only file that includes xxhash.h; with XXH_INLINE_ALL the
 * library needs no libxxhash at run time, and none of its names is exported. */
#include "lib/base/hash.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

_Static_assert(sizeof(XXH3_state_t) <= sizeof((struct dfn_hash *)0)->state,
               "struct dfn_hash is too small for this version of xxhash");

static XXH3_state_t *state_of(struct dfn_hash *hash)
{
    return (XXH3_state_t *)(void *)hash->state;
}

void dfn_hash_init(struct dfn_hash *hash, uint64_t hole)
{
    /* Version 0.8.1 reads the seed of the state that it is about to reset. */
    memset(hash, 0, sizeof *hash);
    XXH3_128bits_reset(state_of(hash));
    hash->hole = hole;
}

void dfn_hash_update(struct dfn_hash *hash, const void *data, size_t size)
{
    static const char zeros[] = "00000000000000000000000000000000";
    const unsigned char *p = data;
    while (size) {
        const unsigned char *from = p;
        size_t n = size;
        if (hash->at < hash->hole) {
            const uint64_t before = hash->hole - hash->at;
            n = before < n ? (size_t)before : n;
        } else if (hash->at - hash->hole < DFN_HASH_DIGITS) {
            const size_t inside = (size_t)(hash->at - hash->hole);
            n = DFN_HASH_DIGITS - inside < n ? DFN_HASH_DIGITS - inside : n;
            from = (const unsigned char *)zeros + inside;
        }
        XXH3_128bits_update(state_of(hash), from, n);
        hash->at += n;
        p += n;
        size -= n;
    }
}

void dfn_hash_hex(const struct dfn_hash *hash, char out[DFN_HASH_DIGITS + 1])
{
    static const char digits[] = "0123456789abcdef";
    const XXH128_hash_t h =
        XXH3_128bits_digest((const XXH3_state_t *)(const void *)hash->state);
    for (int i = 0; i < 16; i++) {
        out[i] = digits[h.high64 >> (60 - 4 * i) & 15];
        out[16 + i] = digits[h.low64 >> (60 - 4 * i) & 15];
    }
    out[DFN_HASH_DIGITS] = 0;
}
