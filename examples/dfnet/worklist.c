/* worklist.c - see worklist.h. */
#include "examples/dfnet/worklist.h"

#include "examples/dfnet/fingerprint.h"
#include "examples/dfnet/inputs.h"

#include <stdlib.h>
#include <string.h>

/* Numbers of files travel between processes in 32 bits. */
#define MOST_FILES 0x7fffffff

const char *worklist_name(const struct worklist *w, size_t i)
{
    return w->text + w->entries[i].name;
}

const char *worklist_bad(const struct worklist *w, size_t i)
{
    return w->entries[i].bad ? w->text + w->entries[i].bad : NULL;
}

/* Room for one more of `size` bytes: *cap doubles. 0: no memory. */
static int grow(void **array, size_t *cap, size_t needed, size_t size)
{
    size_t n = *cap ? *cap : 1024;
    while (n < needed)
        n *= 2;
    if (n == *cap)
        return 1;
    void *more = realloc(*array, n * size);
    if (!more)
        return 0;
    *array = more;
    *cap = n;
    return 1;
}

/* Appends s with its zero; its offset in *at. 0: no memory. */
static int keep(struct worklist *w, const char *s, size_t *at)
{
    const size_t n = strlen(s) + 1;
    void *text = w->text;
    const int fits = grow(&text, &w->text_cap, w->used + n, 1);
    w->text = text;
    if (!fits)
        return 0;
    memcpy(w->text + w->used, s, n);
    *at = w->used;
    w->used += n;
    return 1;
}

static int add_bad(void *user, const char *path, const char *what)
{
    struct worklist *w = user;
    struct work_entry e = {0, 0};
    void *entries = w->entries;
    const int fits = w->count < MOST_FILES &&
                     grow(&entries, &w->cap, w->count + 1, sizeof *w->entries);
    w->entries = entries;
    if (!fits || !keep(w, path, &e.name) || (what && !keep(w, what, &e.bad)))
        return w->no_memory = 1;
    w->entries[w->count++] = e;
    return ex_cancel(NULL);
}

static int add(void *user, const char *path)
{
    struct worklist *w = user;
    if (!strcmp(path, "-"))
        return w->standard = 1;
    return add_bad(user, path, NULL);
}

/* Bytes of the folder, with its slash, that all names begin with. So a list keeps its
 * hash where the same files lie in another place. */
static size_t common_folder(const struct worklist *w)
{
    const char *first = worklist_name(w, 0);
    const char *slash = strrchr(first, '/');
    size_t n = slash ? (size_t)(slash - first) + 1 : 0;
    for (size_t i = 1; i < w->count && n; i++) {
        const char *name = worklist_name(w, i);
        size_t same = 0;
        while (same < n && name[same] == first[same])
            same++;
        while (same && first[same - 1] != '/')
            same--;
        n = same;
    }
    return n;
}

int worklist_read(struct worklist *w, const struct options *o)
{
    const struct input_calls calls = {add, add_bad, w};
    memset(w, 0, sizeof *w);
    /* Offset 0 means "no reason". */
    w->used = 1;
    const int unread = inputs_walk(o, &calls);
    if (ex_cancel(NULL))
        return EX_INTERRUPTED;
    if (unread)
        return EX_ALL_FAILED;
    if (w->no_memory) {
        say_error("list of files", "out of memory");
        return EX_NO_MEMORY;
    }
    if (w->standard || !w->count) {
        say_error("--resume", w->standard
                                  ? "standard input cannot be read again; name files"
                                  : "the list names no file");
        return EX_USAGE;
    }
    const size_t folder = common_folder(w);
    w->hash = FINGERPRINT_START;
    for (size_t i = 0; i < w->count; i++) {
        const char *bad = worklist_bad(w, i);
        w->hash = fingerprint_text(w->hash, worklist_name(w, i) + folder);
        w->hash = fingerprint_text(w->hash, bad ? bad : "");
    }
    return 0;
}

void worklist_free(struct worklist *w)
{
    free(w->text);
    free(w->entries);
    memset(w, 0, sizeof *w);
}
