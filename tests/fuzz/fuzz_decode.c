/* fuzz_decode.c - a video of any kind through the inside of the decoding child
 * (examples/video/decode.c, with FFmpeg's libraries), from memory. Input: the file; its
 * last byte says which frames are wanted, too. Whatever the file is, the messages must be
 * such that the parent believes them, begin with START or FAILED, end with END or FAILED,
 * and have whole frames between.
 *
 * FFmpeg's libraries are the system's and not instrumented: what the fuzzer learns it
 * learns from decode.c. A crash in them is contained by the child's process
 * (tests/programs/test_video.py); here it ends the fuzzer, which is how it is found. */
#include "examples/video/decode.h"
#include "examples/video/protocol.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_PIXELS (96 * 96)
#define MOST_FRAMES 40
/* Read by the demuxer, however often it turns back. */
#define MOST_READ (16u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct run {
    const uint8_t *data;
    size_t size, read;
    int64_t at;
    struct video_parser parser;
    struct video_message head;
    size_t left; /* bytes of the message at hand */
    uint64_t frames;
    jmp_buf over;
};

static void check(int fine)
{
    if (!fine)
        abort();
}

static int read_some(void *user, uint8_t *to, int size)
{
    struct run *r = user;
    if (r->at < 0 || (uint64_t)r->at >= r->size || r->read > MOST_READ)
        return 0;
    const size_t left = r->size - (size_t)r->at;
    const size_t n = (size_t)size < left ? (size_t)size : left;
    memcpy(to, r->data + r->at, n);
    r->at += (int64_t)n;
    r->read += n;
    return (int)n;
}

static int64_t seek_to(void *user, int64_t offset, int whence)
{
    struct run *r = user;
    const int64_t from = whence == SEEK_SET   ? 0
                         : whence == SEEK_CUR ? r->at
                                              : (int64_t)r->size;
    /* A seek that turned back without end would never read. */
    r->read += 64;
    if (offset > INT64_MAX - from || from + offset < 0)
        return -1;
    return r->at = from + offset;
}

/* A head, or what belongs to it. */
static void take(void *user, const void *bytes, size_t n)
{
    struct run *r = user;
    if (r->left) {
        check(n == r->left);
        r->left = 0;
        /* Touches every byte: a sanitizer sees what was never written. */
        uint64_t sum = 0;
        for (size_t i = 0; i < n; i++)
            sum += ((const uint8_t *)bytes)[i];
        check(sum <= 255 * (uint64_t)n);
        if (r->head.kind == VIDEO_FRAME && ++r->frames == MOST_FRAMES)
            longjmp(r->over, 1);
        return;
    }
    check(n == sizeof r->head);
    memcpy(&r->head, bytes, n);
    check(!video_parser_check(&r->parser, &r->head));
    r->left = (size_t)r->head.size;
}

static void finish(void *user)
{
    struct run *r = user;
    check(!r->left && r->parser.ended);
    longjmp(r->over, 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const words[] = {"spread:4", "all", "time:3", "list:0,2,9",
                                        "every:2:1"};
    static struct run r;
    static struct decoder *d;
    const struct decoder_io io = {read_some, seek_to, take, finish, &r};
    struct choice choice;
    r = (struct run){.data = data, .size = size};
    check(choose_parse(words[size ? data[size - 1] % 5 : 0], &choice));
    video_parser_begin(&r.parser, MOST_PIXELS, choose_most(&choice));
    d = decoder_create(&choice, MOST_PIXELS, &io);
    if (!d)
        return 0;
    if (!setjmp(r.over)) {
        decoder_run(d);
        abort();
    }
    decoder_free(d);
    return 0;
}
