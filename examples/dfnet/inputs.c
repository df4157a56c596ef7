/* inputs.c - see inputs.h. */
#define _XOPEN_SOURCE 700
#include "examples/dfnet/inputs.h"

#include "examples/video/kind.h"
#include "examples/video/reader.h"

#include <errno.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_NAME 65536

static int named_video(const char *path)
{
    static const char *const endings[] = {".mp4",  ".m4v", ".mov",  ".avi", ".mkv",
                                          ".webm", ".mpg", ".mpeg", ".wmv", ".flv"};
    const char *dot = strrchr(path, '.');
    for (size_t i = 0; dot && i < sizeof endings / sizeof *endings; i++)
        if (!strcasecmp(dot, endings[i]))
            return 1;
    return 0;
}

/* In a folder, pictures go by name, as ever, videos by what is in them, or by name: a
 * damaged one fails, it does not vanish. Where there is nothing to read them with, they
 * are no inputs. */
static int is_video(const char *path)
{
    ef_error unused;
    const enum file_kind kind = kind_of_file(path);
    return (kind == KIND_VIDEO || (kind == KIND_UNKNOWN && named_video(path))) &&
           reader_possible(&unused);
}

static int one(const char *path, const struct input_calls *calls)
{
    const long found = ex_each_file(path, is_video, calls->each, calls->user);
    if (found)
        return found < 0;
    return calls->bad(calls->user, path,
                      "holds no picture (.jpg .png .bmp .pnm) and no video");
}

int inputs_next(FILE *f, int end, char *name, size_t cap)
{
    size_t n = 0;
    int c;
    while ((c = fgetc(f)) != EOF && c != end) {
        if (n < cap - 1)
            name[n] = (char)c;
        n++;
    }
    name[n < cap ? n : cap - 1] = 0;
    if (c == EOF && !n)
        return 0;
    /* A zero byte inside a line cannot be part of a name. */
    return n < cap && !memchr(name, 0, n) ? 1 : -1;
}

static int walk_list(FILE *f, int end, const struct input_calls *calls)
{
    static char name[MAX_NAME];
    for (int got; !ex_cancel(NULL) && (got = inputs_next(f, end, name, MAX_NAME)) != 0;) {
        if (got < 0) {
            name[40] = 0;
            if (calls->bad(calls->user, name,
                           "is no file name: too long, or with a zero "
                           "byte (see --null)"))
                return 1;
        } else if (*name && one(name, calls)) {
            return 1;
        }
    }
    return 0;
}

int inputs_walk(const struct options *o, const struct input_calls *calls)
{
    for (int i = 0; i < o->nargs; i++)
        if (one(o->args[i], calls))
            return 0;
    if (!o->files_from)
        return 0;
    const int standard = !strcmp(o->files_from, "-");
    FILE *f = standard ? stdin : fopen(o->files_from, "rb");
    if (f) {
        walk_list(f, o->nul ? 0 : '\n', calls);
        const int bad = ferror(f) && !ex_cancel(NULL);
        if (!standard)
            fclose(f);
        if (!bad)
            return 0;
    }
    say_error(o->files_from, errno ? strerror(errno) : "cannot be read");
    return -1;
}

static int count_one(void *user, const char *path)
{
    (void)path;
    ++*(long *)user;
    return ex_cancel(NULL);
}

static int count_bad(void *user, const char *path, const char *what)
{
    (void)what;
    return count_one(user, path);
}

long inputs_count(const struct options *o)
{
    long n = 0;
    struct stat st;
    const struct input_calls calls = {count_one, count_bad, &n};
    if (o->files_from && (!strcmp(o->files_from, "-") || stat(o->files_from, &st) ||
                          !S_ISREG(st.st_mode) || access(o->files_from, R_OK)))
        return 0;
    inputs_walk(o, &calls);
    return n;
}

int inputs_many(const struct options *o)
{
    struct stat st;
    if (o->files_from || o->nargs != 1)
        return 1;
    return strcmp(o->args[0], "-") && stat(o->args[0], &st) == 0 && S_ISDIR(st.st_mode);
}

int inputs_check(const struct options *o)
{
    int standard = o->files_from && !strcmp(o->files_from, "-");
    for (int i = 0; i < o->nargs; i++)
        standard += !strcmp(o->args[i], "-");
    if (!o->nargs && !o->files_from)
        fputs("dfnet: no picture was named; see dfnet classify --help\n", stderr);
    else if (standard > 1)
        fputs("dfnet: standard input can be read only once\n", stderr);
    return (o->nargs || o->files_from) && standard < 2;
}
