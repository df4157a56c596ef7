/* golden.h - reads the tables that make_goldens.py writes, for the suites of this folder.
 * decode.rgb and resize.rgb hold uint8 pixels [height][width][3] one after another. */
#ifndef DFN_TESTS_IMAGE_GOLDEN_H
#define DFN_TESTS_IMAGE_GOLDEN_H

#include "lib/image/image.h"
#include "tests/support/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DATA_FOLDER TEST_SOURCE_ROOT "/tests/image/data/"

/* A line of decode.txt. */
struct golden {
    char name[64];
    int status, width, height;
    size_t at; /* in decode.rgb */
};

#define GOLDENS_MOST 160

/* The whole table; fails the test if it cannot be read or is short. */
static inline size_t golden_table(struct golden out[GOLDENS_MOST])
{
    FILE *f = fopen(DATA_FOLDER "decode.txt", "r");
    size_t n = 0;
    ck_assert_ptr_nonnull(f);
    while (n < GOLDENS_MOST && fscanf(f, "%63s %d %d %d %zu", out[n].name, &out[n].status,
                                      &out[n].width, &out[n].height, &out[n].at) == 5)
        n++;
    fclose(f);
    ck_assert_uint_ge(n, 90);
    ck_assert_uint_lt(n, GOLDENS_MOST);
    return n;
}

/* A picture's bytes, from malloc. */
static inline uint8_t *golden_file(const char *name, size_t *size)
{
    char path[sizeof DATA_FOLDER + 64];
    snprintf(path, sizeof path, "%s%s", DATA_FOLDER, name);
    return test_read_file(path, size);
}

static inline bool golden_is(const struct golden *g, const char *prefix)
{
    return !strncmp(g->name, prefix, strlen(prefix));
}

/* zlib's CRC-32, as PNG and resize.txt have it. */
static inline uint32_t crc32_of(const uint8_t *p, size_t n)
{
    uint32_t crc = 0xffffffffu;
    for (size_t i = 0; i < n; i++) {
        crc ^= p[i];
        for (int k = 0; k < 8; k++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
    }
    return ~crc;
}

#endif
