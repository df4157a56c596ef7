/* progress.c - see progress.h. */
#define _POSIX_C_SOURCE 200809L
#include "examples/dfnet/progress.h"

#include "examples/common.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A line is drawn again for a frame only after so long. */
#define PART_SECONDS 0.2

static int on, shown;
static long expected, before, done_now, failed_now;
static char name[33];
static double began, drawn;

void progress_begin(int quiet)
{
    const char *term = getenv("TERM");
    /* A dumb terminal cannot go back to the start of its line. */
    on = !quiet && isatty(STDERR_FILENO) && term && strcmp(term, "dumb") != 0;
    shown = 0;
    expected = before = 0;
    began = ex_seconds();
}

int progress_wanted(void)
{
    return on;
}

void progress_expect(long total, long done_before)
{
    expected = total;
    before = done_before;
}

/* "3.4 files/s, 2 min left" of `part` files that this run has done, once there is
 * something to tell. */
static void print_rate(FILE *f, double part, double seconds)
{
    if (part <= 0 || seconds < 1)
        return;
    const double rate = part / seconds, more = (double)(expected - before) - part;
    if (rate >= 1)
        fprintf(f, ", %.1f files/s", rate);
    else
        fprintf(f, ", %.1f s a file", 1 / rate);
    if (more <= 0)
        return;
    const double left = more / rate;
    if (left < 90)
        fprintf(f, ", %.0f s left", left);
    else if (left < 5400)
        fprintf(f, ", %.0f min left", left / 60);
    else
        fprintf(f, ", %.1f h left", left / 3600);
}

/* Without wrapping (DECAWM off), or a narrow terminal could not be cleared; in one piece,
 * so that nobody finds it switched off. */
static void draw(long frame, long frames)
{
    char *line = NULL;
    size_t length = 0;
    FILE *f = open_memstream(&line, &length);
    if (!f)
        return;
    drawn = ex_seconds();
    fprintf(f, "\r\033[K\033[?7l%ld", done_now);
    if (expected)
        fprintf(f, " of %ld", expected);
    fprintf(f, " done, %ld failed", failed_now);
    const double part = frames > 0 ? (double)frame / (double)(frames + 1) : 0;
    print_rate(f, (double)(done_now - before) + part, drawn - began);
    fputs(": ", f);
    ex_print_text(f, name);
    if (frames > 0)
        fprintf(f, " (frame %ld of %ld)", frame, frames);
    fputs("\033[?7h", f);
    if (!fclose(f)) {
        fwrite(line, 1, length, stderr);
        fflush(stderr);
        shown = 1;
    }
    free(line);
}

void progress_show(long done, long failed, const char *path)
{
    if (!on)
        return;
    const char *slash = strrchr(path, '/');
    snprintf(name, sizeof name, "%s", slash ? slash + 1 : path);
    done_now = done;
    failed_now = failed;
    draw(0, 0);
}

void progress_part(long frame, long frames)
{
    if (on && frames > 0 && ex_seconds() - drawn >= PART_SECONDS)
        draw(frame, frames);
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
