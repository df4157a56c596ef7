/* fuzz_video.c - the parent's checks of what the decoding child says (protocol.h), the
 * words that choose frames, and the marks by which files are told apart. Input: messages,
 * one behind the other. What passes must be harmless: sizes that belong to a frame within
 * the limits, frames in order, nothing behind the end. */
#include "examples/video/choose.h"
#include "examples/video/kind.h"
#include "examples/video/protocol.h"

#include <stdlib.h>
#include <string.h>

#define MOST_PIXELS 10000
#define MOST_FRAMES 50

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int fine)
{
    if (!fine)
        abort();
}

static void messages(const uint8_t *data, size_t size)
{
    struct video_parser p;
    struct video_message m;
    uint64_t frames = 0, last = 0;
    video_parser_begin(&p, MOST_PIXELS, MOST_FRAMES);
    for (; size >= sizeof m; data += sizeof m, size -= sizeof m) {
        memcpy(&m, data, sizeof m);
        const int ended = p.ended, started = p.started;
        if (video_parser_check(&p, &m))
            return;
        check(!ended);
        if (m.kind != VIDEO_FRAME) {
            check(m.size <= VIDEO_SENTENCE);
            continue;
        }
        check(started && ++frames <= MOST_FRAMES && m.size <= 3 * MOST_PIXELS);
        check(m.size == (uint64_t)m.width * m.height * 3 && m.size);
        check(frames == 1 || m.index > last);
        last = m.index;
    }
}

static void words(const uint8_t *data, size_t size)
{
    char text[256];
    struct choice c;
    if (size >= sizeof text)
        return;
    memcpy(text, data, size);
    text[size] = 0;
    if (!choose_parse(text, &c))
        return;
    static const uint64_t totals[] = {1, 2, 33, 1000000000};
    for (size_t i = 0; i < sizeof totals / sizeof *totals; i++) {
        uint64_t at = 0, n = 0;
        for (; n < 100; n++) {
            const uint64_t next = choose_next(&c, at, totals[i], 29.97);
            if (next == UINT64_MAX)
                break;
            check(next >= at && next < totals[i]);
            at = next + 1;
        }
        check(n <= choose_most(&c));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    messages(data, size);
    words(data, size);
    check((unsigned)kind_of_bytes(data, size) <= KIND_VIDEO);
    return 0;
}
