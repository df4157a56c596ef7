/* decode.h - bytes of a video to messages of protocol.h, by FFmpeg's libraries: the
 * inside of the child; decode.c alone sees them. child.c runs it on standard input,
 * tests/fuzz/fuzz_decode.c on bytes in memory. */
#ifndef DFNET_EXAMPLES_VIDEO_DECODE_H
#define DFNET_EXAMPLES_VIDEO_DECODE_H

#include "examples/video/choose.h"

#include <stddef.h>
#include <stdint.h>

/* Where bytes come from and messages go; user is handed to each. */
struct decoder_io {
    /* At most `size` bytes to `to`: how many, 0 at the end, -1 on an error. */
    int (*read)(void *user, uint8_t *to, int size);
    /* As lseek(): the new place from the beginning, or -1. */
    int64_t (*seek)(void *user, int64_t offset, int whence);
    void (*write)(void *user, const void *bytes, size_t n);
    /* The last message is out: must not return. */
    void (*end)(void *user);
    void *user;
};

struct decoder;

/* io is kept. NULL: out of memory. */
struct decoder *decoder_create(const struct choice *choice, uint64_t max_pixels,
                               const struct decoder_io *io);

/* Writes all messages and calls io->end(), so that it does not return. */
void decoder_run(struct decoder *d);

/* Frees what it holds, wherever io->end() was called. */
void decoder_free(struct decoder *d);

#endif
