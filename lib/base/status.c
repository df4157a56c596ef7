/* status.c - status texts and error sentences. Called by every layer; no allocation. */
#include "lib/base/status.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *ef_strerror(ef_status status)
{
    switch (status) {
#define DFN_CASE(name, number, text)                                                     \
    case name:                                                                           \
        return text;
        EF_STATUS_LIST(DFN_CASE)
#undef DFN_CASE
    }
    return "unknown status";
}

/* Control characters would let a file name or a tensor name write on the terminal of
 * whoever prints the error. */
static void make_printable(char *text)
{
    for (char *c = text; *c; c++)
        if ((unsigned char)*c < 0x20 || (unsigned char)*c == 0x7f)
            *c = '?';
}

DFN_PRINTF(5, 0)
static void fill(ef_error *err, ef_status status, int sys, const char *where,
                 const char *what, va_list args)
{
    memset(err, 0, sizeof *err);
    err->status = status;
    err->sys = sys;
    /* A file may be called "", a place may not. */
    snprintf(err->where, sizeof err->where, "%s", *where ? where : "(empty name)");
    vsnprintf(err->what, sizeof err->what, what, args);
    make_printable(err->where);
    make_printable(err->what);
}

ef_status dfn_fail(ef_error *err, ef_status status, const char *where, const char *what,
                   ...)
{
    if (err) {
        const int saved = errno;
        va_list args;
        va_start(args, what);
        fill(err, status, 0, where, what, args);
        va_end(args);
        errno = saved;
    }
    return status;
}

ef_status dfn_fail_sys(ef_error *err, int sys, const char *where, const char *what, ...)
{
    if (err) {
        const int saved = errno;
        char reason[96];
        va_list args;
        va_start(args, what);
        fill(err, EF_E_IO, sys, where, what, args);
        va_end(args);
        /* The POSIX variant, whatever feature macros the build sets: it returns int. */
        if (strerror_r(sys, reason, sizeof reason))
            snprintf(reason, sizeof reason, "system error %d", sys);
        const size_t used = strlen(err->what);
        snprintf(err->what + used, sizeof err->what - used, ": %s", reason);
        errno = saved;
    }
    return EF_E_IO;
}

void dfn_error_prefix(ef_error *err, const char *prefix)
{
    if (!err)
        return;
    char old[sizeof err->where];
    memcpy(old, err->where, sizeof old);
    /* A long path loses its beginning, not the tensor's name behind it. */
    const size_t room = sizeof err->where - 1;
    const size_t tail = strlen(old) + (old[0] ? 2 : 0);
    size_t len = strlen(prefix);
    if (tail < room && len > room - tail) {
        prefix += len - (room - tail);
        len = room - tail;
    }
    snprintf(err->where, sizeof err->where, "%s%s%s", prefix, old[0] ? ": " : "", old);
    make_printable(err->where);
}
