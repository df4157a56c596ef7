/* file.c - reads a descriptor or a path to its end. See file.h. */
#include "lib/base/file.h"

#include "lib/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FIRST_CHUNK ((size_t)64 << 10)

/* What the first allocation should be: a regular file's rest plus one byte, so that a
 * read that meets the end needs no second allocation. 0: fstat failed or a directory. */
static ef_status first_size(int fd, const char *where, const ef_options *opt,
                            size_t *size, ef_error *err)
{
    struct stat st;
    *size = FIRST_CHUNK;
    if (fstat(fd, &st))
        return dfn_fail_sys(err, errno, where, "cannot be examined");
    if (S_ISDIR(st.st_mode))
        return dfn_fail_sys(err, EISDIR, where, "cannot be read");
    if (!S_ISREG(st.st_mode))
        return EF_OK;
    const off_t pos = lseek(fd, 0, SEEK_CUR);
    const uint64_t rest = pos >= 0 && st.st_size > pos ? (uint64_t)(st.st_size - pos) : 0;
    if (rest > opt->limits.max_file_bytes || rest >= SIZE_MAX / 2)
        return dfn_fail(err, EF_E_LIMIT, where, "has %llu bytes, the limit is %llu",
                        (unsigned long long)rest,
                        (unsigned long long)opt->limits.max_file_bytes);
    *size = (size_t)rest + 1;
    return EF_OK;
}

static ef_status grow(struct dfn_blob *b, size_t *cap, const char *where,
                      const ef_options *opt, ef_error *err)
{
    const size_t want = *cap > SIZE_MAX / 2 ? SIZE_MAX : *cap * 2;
    uint8_t *more = dfn_realloc(&opt->allocator, b->data, want);
    if (!more)
        return dfn_fail(err, EF_E_NOMEM, where, "no memory for %zu bytes", want);
    b->data = more;
    *cap = want;
    return EF_OK;
}

ef_status dfn_read_fd(int fd, const char *where, const ef_options *opt,
                      struct dfn_blob *out, ef_error *err)
{
    const int saved = errno;
    struct dfn_blob b = {0};
    size_t cap;
    ef_status st = first_size(fd, where, opt, &cap, err);
    if (st)
        goto done;
    b.data = dfn_alloc(&opt->allocator, cap);
    if (!b.data) {
        st = dfn_fail(err, EF_E_NOMEM, where, "no memory for %zu bytes", cap);
        goto done;
    }
    for (;;) {
        if (b.size == cap && (st = grow(&b, &cap, where, opt, err)))
            goto done;
        const ssize_t got = read(fd, b.data + b.size, cap - b.size);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            st = dfn_fail_sys(err, errno, where, "cannot be read");
            goto done;
        }
        if (got == 0)
            break;
        b.size += (size_t)got;
        if (b.size > opt->limits.max_file_bytes) {
            st = dfn_fail(err, EF_E_LIMIT, where, "has more than %llu bytes, the limit",
                          (unsigned long long)opt->limits.max_file_bytes);
            goto done;
        }
    }
    *out = b;
    b.data = NULL;
done:
    dfn_free(&opt->allocator, b.data);
    errno = saved;
    return st;
}

ef_status dfn_read_file(const char *path, const ef_options *opt, struct dfn_blob *out,
                        ef_error *err)
{
    const int saved = errno;
    int fd;
    do
        fd = open(path, O_RDONLY | O_CLOEXEC);
    while (fd < 0 && errno == EINTR);
    if (fd < 0) {
        const ef_status st = dfn_fail_sys(err, errno, path, "cannot be opened");
        errno = saved;
        return st;
    }
    const ef_status st = dfn_read_fd(fd, path, opt, out, err);
    close(fd);
    errno = saved;
    return st;
}

void dfn_blob_free(const ef_options *opt, struct dfn_blob *blob)
{
    dfn_free(&opt->allocator, blob->data);
    blob->data = NULL;
    blob->size = 0;
}
