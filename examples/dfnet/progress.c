/* progress.c - see progress.h. */
#include "examples/dfnet/progress.h"

#include "examples/common.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int on, shown;

void progress_begin(int quiet)
{
    const char *term = getenv("TERM");
    /* A dumb terminal cannot go back to the start of its line. */
    on = !quiet && isatty(STDERR_FILENO) && term && strcmp(term, "dumb") != 0;
    shown = 0;
}

void progress_show(long done, long failed, const char *path)
{
    if (!on)
        return;
    const char *slash = strrchr(path, '/');
    char name[33];
    snprintf(name, sizeof name, "%s", slash ? slash + 1 : path);
    progress_clear();
    fprintf(stderr, "%ld done, %ld failed: ", done, failed);
    ex_print_text(stderr, name);
    fflush(stderr);
    shown = 1;
}

void progress_clear(void)
{
    if (!shown)
        return;
    /* Back to the first column, and erase to the end of the line (ECMA-48, EL). */
    fputs("\r\033[K", stderr);
    fflush(stderr);
    shown = 0;
}
