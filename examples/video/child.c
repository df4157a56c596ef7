/* child.c - dfnet-video: the child that decodes. Reads a video of any kind that FFmpeg
 * knows from standard input (a file: it seeks), writes the frames that are wanted to
 * standard output as protocol.h says. reader.c starts it; nobody else needs to.
 *
 *     dfnet-video FRAMES MAX_PIXELS MEMORY_MIB CPU_SECONDS      (FRAMES: choose.h)
 *
 * It gives up its rights (sandbox.h) before it looks at the first byte, has one thread,
 * opens nothing. */
#define _POSIX_C_SOURCE 200809L
#include "examples/video/decode.h"
#include "examples/video/protocol.h"
#include "examples/video/sandbox.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void put(void *unused, const void *bytes, size_t n)
{
    (void)unused;
    for (const char *b = bytes; n;) {
        const ssize_t put_now = write(STDOUT_FILENO, b, n);
        if (put_now < 0 && errno == EINTR)
            continue;
        if (put_now <= 0)
            _exit(1); /* the parent is gone */
        b += put_now;
        n -= (size_t)put_now;
    }
}

static int read_block(void *unused, uint8_t *to, int size)
{
    (void)unused;
    for (;;) {
        const ssize_t got = read(STDIN_FILENO, to, (size_t)size);
        if (got > 0)
            return (int)got;
        if (!got)
            return 0;
        if (errno != EINTR)
            return -1;
    }
}

static int64_t seek_to(void *unused, int64_t offset, int whence)
{
    (void)unused;
    return lseek(STDIN_FILENO, offset, whence);
}

/* No destructors of libraries: there is nothing left to do. */
static void leave(void *unused)
{
    (void)unused;
    _exit(0);
}

int main(int argc, char **argv)
{
    static const struct decoder_io io = {read_block, seek_to, put, leave, NULL};
    struct choice choice;
    int filtered;
    if (argc != 5 || !choose_parse(argv[1], &choice)) {
        fputs("dfnet-video is started by dfnet; see examples/video/README.md\n", stderr);
        return 1;
    }
    const uint64_t max_pixels = strtoull(argv[2], NULL, 10);
    const uint64_t memory = strtoull(argv[3], NULL, 10) << 20;
    const char *trouble =
        sandbox_enter(memory, (unsigned)strtoul(argv[4], NULL, 10), &filtered);
    struct decoder *d = trouble ? NULL : decoder_create(&choice, max_pixels, &io);
    if (d)
        decoder_run(d);
    const char *what = trouble ? trouble : "no memory to begin with";
    const struct video_message m = {.magic = VIDEO_MAGIC,
                                    .kind = VIDEO_FAILED,
                                    .flags = trouble ? VIDEO_BROKEN : VIDEO_NO_MEMORY,
                                    .size = strlen(what)};
    put(NULL, &m, sizeof m);
    put(NULL, what, (size_t)m.size);
    leave(NULL);
}
