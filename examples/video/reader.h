/* reader.h - the parent's side: starts dfnet-video on an open file, reads frames from it,
 * ends it. Whatever the child does - dies, hangs, talks nonsense - is an error with a
 * sentence here, and nothing else. examples/dfnet/clip.c calls it. One thread. */
#ifndef DFNET_EXAMPLES_VIDEO_READER_H
#define DFNET_EXAMPLES_VIDEO_READER_H

#include "dfnet/dfnet.h"
#include "examples/video/protocol.h"

#include <sys/types.h>

struct reader_limits {
    unsigned memory_mib;   /* of the child's address space                     */
    unsigned cpu_seconds;  /* that the child may use                           */
    unsigned idle_seconds; /* without a byte from it                           */
    unsigned wait_seconds; /* that is waited for it in all                     */
    uint64_t max_pixels;   /* of a frame                                       */
};
extern const struct reader_limits reader_defaults;

struct video_reader {
    struct reader_limits limits;
    struct video_parser parser;
    pid_t pid; /* 0: none */
    int fd;
    double waited;
    uint8_t *pixels; /* of the last frame [size]; owned */
    size_t size;
    /* Facts; cpu, decoded and partial are known at the end. */
    uint64_t total; /* frames that the file has                            */
    uint32_t count; /* frames that come, at most                           */
    uint32_t width, height;
    double seconds; /* length; 0: unknown                                   */
    double cpu;     /* that the child says it used                          */
    uint64_t decoded;
    int partial;
    enum video_failure failure; /* that the child stated, or 0               */
    char why[256]; /* it is partial                                         */
};

/* 1 if there is a child to start; else 0 with the reason in err. */
int reader_possible(ef_error *err);

/* Starts the child on the file descriptor `file`, which must be a seekable file; it stays
 * the caller's, but its position moves. words: which frames (choose.h). 0, or -1 with a
 * sentence. reader_close() is due in either case. */
int reader_open(struct video_reader *r, int file, const char *words,
                const struct reader_limits *limits, ef_error *err);

/* The next frame: 1 with *frame (RGB8, valid until the next call), its number in the file
 * and its time; 0: that was all, or all that can be had (r->partial); -1: an error. */
int reader_next(struct video_reader *r, ef_image *frame, uint64_t *index, double *seconds,
                ef_error *err);

/* Ends the child, however it fares. */
void reader_close(struct video_reader *r);

#endif
