/* common.c - see common.h. */
#define _XOPEN_SOURCE 700
#include "examples/common.h"

#include "dfn_config.h"

#if DFN_HAVE_OPENBLAS
#include <cblas.h>
#endif
#include <dirent.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>

#define MAX_DEPTH 32

static volatile sig_atomic_t interrupted;

void ex_one_blas_thread(void)
{
#if DFN_HAVE_OPENBLAS
    openblas_set_num_threads(1);
#endif
}

const char *ex_blas(void)
{
#if DFN_HAVE_OPENBLAS
    return openblas_get_config();
#else
    return NULL;
#endif
}

double ex_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void on_interrupt(int signal_number)
{
    (void)signal_number;
    interrupted = 1;
}

void ex_catch_interrupt(void)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_interrupt;
    sigaction(SIGINT, &action, NULL);
}

int ex_cancel(void *unused)
{
    (void)unused;
    return interrupted;
}

/* ---- files ------------------------------------------------------------------------- */

static int is_picture(const char *name)
{
    static const char *const endings[] = {".jpg", ".jpeg", ".png", ".bmp",
                                          ".ppm", ".pgm",  ".pnm"};
    const char *dot = strrchr(name, '.');
    for (size_t i = 0; dot && i < sizeof endings / sizeof *endings; i++)
        if (!strcasecmp(dot, endings[i]))
            return 1;
    return 0;
}

static long walk(const char *folder, int (*wanted)(const char *path), ex_file_fn *each,
                 void *user, int depth)
{
    struct dirent **names;
    long found = 0;
    const int n = scandir(folder, &names, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        const char *name = names[i]->d_name;
        const size_t size = strlen(folder) + strlen(name) + 2;
        char *path = malloc(size);
        struct stat st;
        if (path && found >= 0 && strcmp(name, ".") && strcmp(name, "..")) {
            snprintf(path, size, "%s/%s", folder, name);
            if (lstat(path, &st) == 0 && S_ISDIR(st.st_mode) && depth < MAX_DEPTH) {
                const long below = walk(path, wanted, each, user, depth + 1);
                found = below < 0 ? -1 : found + below;
            } else if (!S_ISDIR(st.st_mode) &&
                       (is_picture(name) || (wanted && wanted(path)))) {
                found = each(user, path) ? -1 : found + 1;
            }
        }
        free(path);
        free(names[i]);
    }
    if (n >= 0)
        free(names);
    return found;
}

long ex_each_file(const char *path, int (*wanted)(const char *path), ex_file_fn *each,
                  void *user)
{
    struct stat st;
    if (strcmp(path, "-") && stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        return walk(path, wanted, each, user, 0);
    return each(user, path) ? -1 : 1;
}

long ex_each_picture(const char *path, ex_file_fn *each, void *user)
{
    return ex_each_file(path, NULL, each, user);
}

/* ---- text -------------------------------------------------------------------------- */

/* Length of the valid UTF-8 sequence at s, 0 if there is none (RFC 3629). */
static int utf8_length(const unsigned char *s)
{
    if (s[0] < 0x80)
        return 1;
    const int n = s[0] >= 0xc2 && s[0] < 0xe0   ? 2
                  : s[0] >= 0xe0 && s[0] < 0xf0 ? 3
                  : s[0] >= 0xf0 && s[0] < 0xf5 ? 4
                                                : 0;
    for (int i = 1; i < n; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    /* Overlong forms, surrogates, and beyond U+10FFFF. */
    if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
        (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
        return 0;
    return n;
}

int ex_safe_length(const unsigned char *s)
{
    const int n = utf8_length(s);
    /* U+0080..U+009F are control characters, too. */
    if (*s < 0x20 || *s == 0x7f || (s[0] == 0xc2 && s[1] < 0xa0))
        return 0;
    /* U+202A..U+202E and U+2066..U+2069 turn the direction of all that follows. */
    if (n == 3 && s[0] == 0xe2 &&
        ((s[1] == 0x80 && s[2] >= 0xaa && s[2] <= 0xae) ||
         (s[1] == 0x81 && s[2] >= 0xa6 && s[2] <= 0xa9)))
        return 0;
    return n;
}

void ex_print_text(FILE *f, const char *s)
{
    for (const unsigned char *c = (const unsigned char *)s; *c;) {
        const int n = ex_safe_length(c);
        if (!n)
            fputc('?', f);
        else
            fwrite(c, 1, (size_t)n, f);
        c += n ? n : 1;
    }
}

void ex_print_json(FILE *f, const char *s)
{
    fputc('"', f);
    for (const unsigned char *c = (const unsigned char *)s; *c;) {
        const int n = utf8_length(c);
        if (!n)
            fputs("\\ufffd", f);
        else if (*c == '"' || *c == '\\')
            fprintf(f, "\\%c", *c);
        else if (*c < 0x20 || *c == 0x7f)
            fprintf(f, "\\u%04x", (unsigned)*c);
        else if (n == 2 && !ex_safe_length(c))
            fprintf(f, "\\u%04x", (unsigned)c[1]);
        else
            fwrite(c, 1, (size_t)n, f);
        c += n ? n : 1;
    }
    fputc('"', f);
}

int ex_parse_box(const char *s, ef_box *box)
{
    float v[4];
    for (int i = 0; i < 4; i++) {
        char *end;
        v[i] = strtof(s, &end);
        if (end == s || *end != (i < 3 ? ',' : 0) || !isfinite(v[i]))
            return 0;
        s = end + 1;
    }
    *box = (ef_box){v[0], v[1], v[2], v[3]};
    return v[2] > 0 && v[3] > 0;
}

int ex_parse_int(const char *s, int low, int high, int *out)
{
    char *end;
    const long v = strtol(s, &end, 10);
    if (end == s || *end || v < low || v > high)
        return 0;
    *out = (int)v;
    return 1;
}
