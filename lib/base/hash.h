/* hash.h - XXH3 with 128 bits and seed 0 over a stream in which 32 bytes are taken as
 * '0', the file's own digits (weights_tools/FORMAT.md, section 4). Called by
 * lib/model/load.c. */
#ifndef DFN_BASE_HASH_H
#define DFN_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

#define DFN_HASH_DIGITS 32

/* No hole in the stream. */
#define DFN_HASH_NO_HOLE UINT64_MAX

struct dfn_hash {
    /* XXH3_state_t, 576 bytes in version 0.8; hash.c checks that it fits. */
    _Alignas(64) unsigned char state[640];
    uint64_t at;   /* bytes so far                       */
    uint64_t hole; /* first of the 32 bytes              */
};

void dfn_hash_init(struct dfn_hash *hash, uint64_t hole);
void dfn_hash_update(struct dfn_hash *hash, const void *data, size_t size);

/* 32 lower-case hexadecimal digits, high half first, and a NUL. The stream may go on. */
void dfn_hash_hex(const struct dfn_hash *hash, char out[DFN_HASH_DIGITS + 1]);

#endif
