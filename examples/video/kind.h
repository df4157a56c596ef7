/* kind.h - picture or video, by the first bytes and by nothing else. */
#ifndef DFNET_EXAMPLES_VIDEO_KIND_H
#define DFNET_EXAMPLES_VIDEO_KIND_H

#include <stddef.h>

enum file_kind {
    KIND_UNKNOWN, /* perhaps a video of a kind that FFmpeg knows and this does not */
    KIND_PICTURE,
    KIND_VIDEO
};

#define KIND_BYTES 192 /* so many are enough */

enum file_kind kind_of_bytes(const void *bytes, size_t n);

/* Of a regular file; KIND_UNKNOWN where it cannot be read. The position of fd stays. */
enum file_kind kind_of_fd(int fd);
enum file_kind kind_of_file(const char *path);

#endif
