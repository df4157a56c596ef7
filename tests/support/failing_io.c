/* failing_io.c - see failing_io.h. glibc calls these functions by two names, depending on
 * _FILE_OFFSET_BITS; both lead here. */
#include "tests/support/failing_io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct failing_io failing_io;

void failing_io_reset(void)
{
    memset(&failing_io, 0, sizeof failing_io);
}

/* Whether this call fails; sets errno. Only open and the reads may be interrupted. */
static bool fails(bool may_be_interrupted)
{
    struct failing_io *f = &failing_io;
    f->calls++;
    if (f->calls == f->fail_at) {
        errno = f->error;
        return true;
    }
    if (f->interrupted && may_be_interrupted && f->calls % 2) {
        errno = EINTR;
        return true;
    }
    return false;
}

static size_t bounded(size_t n)
{
    return failing_io.most && n > failing_io.most ? failing_io.most : n;
}

int __real_open(const char *path, int flags, ...);
ssize_t __real_read(int fd, void *out, size_t n);
ssize_t __real_pread(int fd, void *out, size_t n, off_t at);
int __real_fstat(int fd, struct stat *st);
off_t __real_lseek(int fd, off_t at, int whence);
int __real_open64(const char *path, int flags, ...);
ssize_t __real_pread64(int fd, void *out, size_t n, off_t at);
int __real_fstat64(int fd, struct stat *st);
off_t __real_lseek64(int fd, off_t at, int whence);

int __wrap_open(const char *path, int flags, ...);
ssize_t __wrap_read(int fd, void *out, size_t n);
ssize_t __wrap_pread(int fd, void *out, size_t n, off_t at);
int __wrap_fstat(int fd, struct stat *st);
off_t __wrap_lseek(int fd, off_t at, int whence);
int __wrap_open64(const char *path, int flags, ...);
ssize_t __wrap_pread64(int fd, void *out, size_t n, off_t at);
int __wrap_fstat64(int fd, struct stat *st);
off_t __wrap_lseek64(int fd, off_t at, int whence);

int __wrap_open(const char *path, int flags, ...)
{
    return fails(true) ? -1 : __real_open(path, flags);
}

int __wrap_open64(const char *path, int flags, ...)
{
    return fails(true) ? -1 : __real_open64(path, flags);
}

/* What a read returns without reading, or -2. */
static ssize_t instead_of_read(void *out)
{
    if (fails(true))
        return -1;
    if (failing_io.end_at && failing_io.calls >= failing_io.end_at)
        return 0;
    if (failing_io.calls == failing_io.longer_at) {
        memset(out, 'x', 1);
        return 1;
    }
    return -2;
}

ssize_t __wrap_read(int fd, void *out, size_t n)
{
    const ssize_t instead = instead_of_read(out);
    return instead != -2 ? instead : __real_read(fd, out, bounded(n));
}

ssize_t __wrap_pread(int fd, void *out, size_t n, off_t at)
{
    const ssize_t instead = instead_of_read(out);
    return instead != -2 ? instead : __real_pread(fd, out, bounded(n), at);
}

ssize_t __wrap_pread64(int fd, void *out, size_t n, off_t at)
{
    const ssize_t instead = instead_of_read(out);
    return instead != -2 ? instead : __real_pread64(fd, out, bounded(n), at);
}

int __wrap_fstat(int fd, struct stat *st)
{
    return fails(false) ? -1 : __real_fstat(fd, st);
}

int __wrap_fstat64(int fd, struct stat *st)
{
    return fails(false) ? -1 : __real_fstat64(fd, st);
}

off_t __wrap_lseek(int fd, off_t at, int whence)
{
    return fails(false) ? -1 : __real_lseek(fd, at, whence);
}

off_t __wrap_lseek64(int fd, off_t at, int whence)
{
    return fails(false) ? -1 : __real_lseek64(fd, at, whence);
}
