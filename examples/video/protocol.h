/* protocol.h - what dfnet-video, the decoding child, writes to its standard output, and
 * the reader that believes none of it. Both sides run on one machine: numbers are in its
 * own byte order.
 *
 *   START, FRAME..., END          or FAILED at any place; then the end of the stream
 *
 * Each message is a struct video_message and, behind it, `size` bytes:
 *   START   total: frames that the file promises (0: unknown); seconds: its length (0:
 *           unknown); width, height: of upright frames; count: frames that will come at
 *           most
 *   FRAME   index: the frame's number in the file; seconds: its time, not before the last
 *           one's; width, height; pixels RGB8 [height][width][3]
 *   END     flags: VIDEO_PARTIAL; total: frames that were decoded; a sentence why it is
 *           partial, or nothing
 *   FAILED  flags: enum video_failure; a sentence
 * A sentence is at most VIDEO_SENTENCE bytes without a zero. */
#ifndef DFNET_EXAMPLES_VIDEO_PROTOCOL_H
#define DFNET_EXAMPLES_VIDEO_PROTOCOL_H

#include <stddef.h>
#include <stdint.h>

#define VIDEO_MAGIC 0x31564644u /* "DFV1" */
#define VIDEO_SENTENCE 200
#define VIDEO_MOST_SIDE 65535
#define VIDEO_MOST_FRAMES 1000000000u

enum video_kind { VIDEO_START = 1, VIDEO_FRAME, VIDEO_END, VIDEO_FAILED };
enum { VIDEO_PARTIAL = 1 };
enum video_failure {
    VIDEO_NOT_ONE = 1, /* no video: perhaps not even a file of media */
    VIDEO_DAMAGED,     /* one, but nothing of it can be decoded      */
    VIDEO_TOO_LARGE,
    VIDEO_NO_MEMORY,
    VIDEO_BROKEN /* the child's own trouble */
};

struct video_message {
    uint32_t magic, kind;
    uint32_t width, height, flags, count;
    uint64_t index, total, size;
    double seconds;
};

/* What the parent expects, and has been told. Zeroed by video_parser_begin(). */
struct video_parser {
    uint64_t max_pixels, max_frames;
    int started, ended;
    uint64_t frames; /* that came */
    uint64_t last_index;
    double last_seconds;
};

void video_parser_begin(struct video_parser *p, uint64_t max_pixels, uint64_t max_frames);

/* Checks a message's head. NULL, or what is wrong with it: then nothing more may be
 * read. */
const char *video_parser_check(struct video_parser *p, const struct video_message *m);

#endif
