/* kind.c - see kind.h. The marks are those of the formats' specifications. */
#define _POSIX_C_SOURCE 200809L
#include "examples/video/kind.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct mark {
    size_t at, size;
    const char *bytes;
};

static int has(const struct mark *m, size_t marks, const char *b, size_t n)
{
    for (size_t i = 0; i < marks; i++)
        if (n >= m[i].at + m[i].size && !memcmp(b + m[i].at, m[i].bytes, m[i].size))
            return 1;
    return 0;
}

enum file_kind kind_of_bytes(const void *bytes, size_t n)
{
    static const struct mark pictures[] = {
        {0, 3, "\xff\xd8\xff"}, {0, 8, "\x89PNG\r\n\x1a\n"}, {0, 2, "BM"}};
    static const struct mark videos[] = {
        {4, 4, "ftyp"},             /* MP4, MOV, 3GP                         */
        {4, 4, "moov"},             /* old MOV                               */
        {4, 4, "mdat"},             /* and another                           */
        {0, 4, "\x1a\x45\xdf\xa3"}, /* Matroska, WebM                      */
        {8, 4, "AVI "},             /* RIFF                                  */
        {0, 3, "FLV"},
        {0, 4, "OggS"},
        {0, 4, "\x30\x26\xb2\x75"}, /* ASF, WMV                            */
        {0, 4, "\x00\x00\x01\xba"}, /* MPEG program stream                 */
        {0, 4, "\x00\x00\x01\xb3"}, /* MPEG video                          */
        {0, 4, "GIF8"},
        {0, 9, "YUV4MPEG2"},
        {0, 4, "DKIF"} /* IVF                                              */
    };
    const char *b = bytes;
    if (has(pictures, sizeof pictures / sizeof *pictures, b, n) ||
        (n >= 3 && b[0] == 'P' && b[1] >= '1' && b[1] <= '7' && strchr(" \t\r\n#", b[2])))
        return KIND_PICTURE;
    /* A transport stream's packets have 188 bytes and begin alike. */
    if (has(videos, sizeof videos / sizeof *videos, b, n) ||
        (n > 188 && b[0] == 0x47 && b[188] == 0x47))
        return KIND_VIDEO;
    return KIND_UNKNOWN;
}

enum file_kind kind_of_fd(int fd)
{
    char bytes[KIND_BYTES];
    struct stat st;
    const off_t at = lseek(fd, 0, SEEK_CUR);
    if (at < 0 || fstat(fd, &st) || !S_ISREG(st.st_mode))
        return KIND_UNKNOWN;
    const ssize_t n = pread(fd, bytes, sizeof bytes, at);
    return n > 0 ? kind_of_bytes(bytes, (size_t)n) : KIND_UNKNOWN;
}

enum file_kind kind_of_file(const char *path)
{
    const int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return KIND_UNKNOWN;
    const enum file_kind kind = kind_of_fd(fd);
    close(fd);
    return kind;
}
