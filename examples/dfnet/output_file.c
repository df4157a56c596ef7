/* output_file.c - see output_file.h. */
#define _XOPEN_SOURCE 700
#include "examples/dfnet/output_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int fail(ef_error *err, const char *path)
{
    err->status = errno == ENOMEM ? EF_E_NOMEM : EF_E_IO;
    err->sys = errno;
    snprintf(err->where, sizeof err->where, "%s", path);
    snprintf(err->what, sizeof err->what, "cannot be written: %s", strerror(err->sys));
    return -1;
}

/* The temporary file: FOLDER/.dfnet-XXXXXX, in the folder of path so that rename() works.
 */
static char *temporary_name(const char *path)
{
    static const char name[] = ".dfnet-XXXXXX";
    const char *slash = strrchr(path, '/');
    const size_t folder = slash ? (size_t)(slash - path) + 1 : 0;
    char *t = malloc(folder + sizeof name);
    if (t) {
        memcpy(t, path, folder);
        memcpy(t + folder, name, sizeof name);
    }
    return t;
}

int output_open(struct output_file *out, const char *path, ef_error *err)
{
    struct stat st;
    memset(out, 0, sizeof *out);
    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode)) {
        errno = S_ISDIR(st.st_mode) ? EISDIR : EINVAL;
        return fail(err, path);
    }
    out->path = strdup(path);
    out->temporary = temporary_name(path);
    const int fd = out->path && out->temporary ? mkstemp(out->temporary) : -1;
    if (fd >= 0) {
        /* mkstemp() makes it private; a result is as public as any other file. */
        const mode_t mask = umask(0);
        umask(mask);
        fchmod(fd, 0666 & ~mask);
        out->f = fdopen(fd, "wb");
        if (out->f)
            return 0;
        close(fd);
        unlink(out->temporary);
    }
    fail(err, path);
    free(out->path);
    free(out->temporary);
    memset(out, 0, sizeof *out);
    return -1;
}

int output_close(struct output_file *out, int keep, ef_error *err)
{
    int result = 0;
    if (!out->f)
        return 0;
    errno = 0;
    const int bad = ferror(out->f) | (fflush(out->f) != 0);
    const int closed = fclose(out->f);
    if (keep && (bad || closed || rename(out->temporary, out->path)))
        result = fail(err, out->path);
    if (!keep || result)
        unlink(out->temporary);
    free(out->path);
    free(out->temporary);
    memset(out, 0, sizeof *out);
    return result;
}

int output_is_input(const char *output, const char *input)
{
    struct stat a, b;
    return stat(output, &a) == 0 && stat(input, &b) == 0 && a.st_dev == b.st_dev &&
           a.st_ino == b.st_ino;
}
