/* source.c - see source.h. */
#include "lib/model/source.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* Some systems refuse reads above 2 GiB. */
#define MOST ((size_t)1 << 30)

/* pread() that goes on after signals; what it returns otherwise. */
static ssize_t read_at(const struct dfn_source *src, void *out, size_t n, uint64_t at)
{
    ssize_t got;
    do
        got = pread(src->fd, out, n < MOST ? n : MOST, (off_t)(src->base + at));
    while (got < 0 && errno == EINTR);
    return got;
}

ef_status dfn_source_read(struct dfn_source *src, void *out, size_t n, const char *what,
                          ef_error *err)
{
    unsigned char *to = out;
    if (n > src->size - src->at)
        return dfn_fail(err, EF_E_FORMAT, what,
                        "ends too early: %zu bytes expected, %llu left", n,
                        (unsigned long long)(src->size - src->at));
    if (src->data) {
        memcpy(to, src->data + src->at, n);
        src->at += n;
        return EF_OK;
    }
    while (n) {
        const ssize_t got = read_at(src, to, n, src->at);
        if (got < 0)
            return dfn_fail_sys(err, errno, what, "cannot be read");
        if (got == 0)
            return dfn_fail(err, EF_E_IO, what,
                            "cannot be read: the file became shorter meanwhile");
        to += got;
        n -= (size_t)got;
        src->at += (uint64_t)got;
    }
    return EF_OK;
}

ef_status dfn_source_check_end(const struct dfn_source *src, ef_error *err)
{
    unsigned char byte;
    if (src->data)
        return EF_OK;
    const ssize_t got = read_at(src, &byte, 1, src->size);
    if (got < 0)
        return dfn_fail_sys(err, errno, "end", "cannot be read");
    if (got > 0)
        return dfn_fail(err, EF_E_IO, "end", "the file became longer while it was read");
    return EF_OK;
}
