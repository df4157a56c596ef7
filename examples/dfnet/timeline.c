/* timeline.c - see timeline.h.
 *
 * The outer drawing has no view box: its unit is the page's pixel, and x is given in per
 * cent. The curve lies in an inner one of WIDE x HIGH units that is stretched to the
 * width; its strokes are not stretched with it. */
#include "examples/dfnet/timeline.h"

#include "examples/common.h"

#include <math.h>

#define WIDE 1000
#define HIGH 120
#define TOP 18    /* room for the marks' letters           */
#define BOTTOM 24 /* room for the axis' numbers            */
/* Dots for each face, as long as they can be told apart. */
#define MOST_DOTS 60
/* Fewer of the long ones: a phone has room for this many. */
#define MOST_TICKS 5
#define MOST_LONG_TICKS 3

static double x_of(const struct timeline *t, double seconds)
{
    const double x = WIDE * (seconds - t->from) / (t->to - t->from);
    return x < 0 ? 0 : x > WIDE ? WIDE : x;
}

static double y_of(double fake)
{
    return HIGH * (1 - fake);
}

/* ---- times ------------------------------------------------------------------------- */

/* With so many decimals. */
static void say_time(char *out, double seconds, int decimals)
{
    const double unit = decimals ? 10 : 1;
    const double s = floor(seconds * unit + 0.5) / unit;
    const double minutes = floor(s / 60), hours = floor(s / 3600);
    const int width = decimals ? 4 : 2;
    if (s < 60)
        snprintf(out, TIMELINE_TEXT, "%.*f s", decimals, s);
    else if (s < 3600)
        snprintf(out, TIMELINE_TEXT, "%.0f:%0*.*f", minutes, width, decimals,
                 s - 60 * minutes);
    else
        snprintf(out, TIMELINE_TEXT, "%.0f:%02.0f:%0*.*f", hours, minutes - 60 * hours,
                 width, decimals, s - 60 * minutes);
}

void timeline_seconds(char *out, double seconds)
{
    say_time(out, seconds, 1);
}

/* Seconds between two numbers of the axis. */
static double tick_step(double span)
{
    static const double steps[] = {0.1, 0.2, 0.5, 1,   2,   5,    10,   15,   30,
                                   60,  120, 300, 600, 900, 1800, 3600, 7200, 18000};
    const size_t n = sizeof steps / sizeof *steps;
    for (size_t i = 0; i < n; i++)
        if (span / steps[i] <= (span < 3600 ? MOST_TICKS : MOST_LONG_TICKS))
            return steps[i];
    return ceil(span / MOST_LONG_TICKS / 36000) * 36000;
}

static void print_axis(FILE *f, const struct timeline *t)
{
    const double step = tick_step(t->to - t->from), first = ceil(t->from / step - 1e-9);
    char text[TIMELINE_TEXT];
    for (int i = 0; i <= MOST_TICKS + 1; i++) {
        const double at = (first + i) * step, share = x_of(t, at) * 100 / WIDE;
        if (at > t->to + 1e-9 * step)
            break;
        say_time(text, at, step < 1);
        fprintf(f,
                "<line x1=\"%.2f%%\" x2=\"%.2f%%\" y1=\"%d\" y2=\"%d\"/>"
                "<text x=\"%.2f%%\" y=\"%d\" text-anchor=\"%s\">%s</text>",
                share, share, TOP + HIGH, TOP + HIGH + 5, share, TOP + HIGH + 19,
                share < 4    ? "start"
                : share > 96 ? "end"
                             : "middle",
                text);
    }
}

/* ---- the curve --------------------------------------------------------------------- */

static int has_score(const ef_video_face *face)
{
    return face->verdict != EF_VERDICT_NONE;
}

/* 1 if the person was away between two faces, long enough to be seen. */
static int apart(const struct timeline *t, const ef_video_face *a, const ef_video_face *b)
{
    return b->frame - a->frame > 1 && x_of(t, b->seconds) - x_of(t, a->seconds) >= 1;
}

static void print_away(FILE *f, double x0, double x1)
{
    if (x1 - x0 >= 1)
        fprintf(f, "<rect class=\"away\" x=\"%.1f\" width=\"%.1f\" height=\"%d\"/>", x0,
                x1 - x0, HIGH);
}

/* Grey, wherever the person is not seen. */
static void print_gaps(FILE *f, const struct timeline *t, const ef_video_track *track)
{
    const ef_video_face *faces = track->faces, *last = faces + track->nfaces - 1;
    print_away(f, 0, x_of(t, faces->seconds));
    for (size_t i = 1; i < track->nfaces; i++)
        if (apart(t, &faces[i - 1], &faces[i]))
            print_away(f, x_of(t, faces[i - 1].seconds), x_of(t, faces[i].seconds));
    print_away(f, x_of(t, last->seconds), WIDE);
}

/* Points that lie within one unit of x: their first, extremes and last are as good as
 * all. */
struct column {
    double x; /* in whole units; below 0: it has none */
    const ef_video_face *first, *low, *high, *last;
};

static void print_column(FILE *f, const struct timeline *t, struct column *c, char pen)
{
    const int falls = c->high->frame < c->low->frame;
    const ef_video_face *order[4] = {c->first, falls ? c->high : c->low,
                                     falls ? c->low : c->high, c->last};
    for (int k = 0; k < 4; k++)
        if (!k || order[k] != order[k - 1])
            fprintf(f, "%c%.1f %.1f", k ? 'L' : pen, x_of(t, order[k]->seconds),
                    y_of(order[k]->fake));
    /* A line of no length has round ends, and so is seen where it stands alone. */
    if (pen == 'M')
        fputs("h0", f);
    c->x = -1;
}

static void print_curve(FILE *f, const struct timeline *t, const ef_video_track *track)
{
    struct column c = {.x = -1};
    char pen = 'M';
    fputs("<path class=\"curve\" d=\"", f);
    for (size_t i = 0; i < track->nfaces; i++) {
        const ef_video_face *face = &track->faces[i];
        const double x = floor(x_of(t, face->seconds));
        const int away = i && apart(t, face - 1, face);
        if (c.x >= 0 && (away || (has_score(face) && x > c.x))) {
            print_column(f, t, &c, pen);
            pen = 'L';
        }
        if (away)
            pen = 'M';
        if (!has_score(face))
            continue;
        if (c.x < 0)
            c = (struct column){x, face, face, face, face};
        c.low = face->fake < c.low->fake ? face : c.low;
        c.high = face->fake > c.high->fake ? face : c.high;
        c.last = face;
    }
    if (c.x >= 0)
        print_column(f, t, &c, pen);
    fputs("\"/>", f);
}

/* The faces that were found (guessed 0), or interpolated (1). */
static void print_dots(FILE *f, const struct timeline *t, const ef_video_track *track,
                       int guessed)
{
    int begun = 0;
    for (size_t i = 0; i < track->nfaces; i++) {
        const ef_video_face *face = &track->faces[i];
        if (!face->interpolated != !guessed || !has_score(face))
            continue;
        if (!begun)
            fprintf(f, "<path class=\"%s\" d=\"", guessed ? "guess" : "dots");
        begun = 1;
        fprintf(f, "M%.1f %.1fh0", x_of(t, face->seconds), y_of(face->fake));
    }
    if (begun)
        fputs("\"/>", f);
}

static void print_plot(FILE *f, const struct timeline *t, const ef_video_track *track)
{
    fprintf(f,
            "<svg y=\"%d\" width=\"100%%\" height=\"%d\" viewBox=\"0 0 %d %d\" "
            "preserveAspectRatio=\"none\">",
            TOP, HIGH, WIDE, HIGH);
    print_gaps(f, t, track);
    fprintf(f, "<path class=\"frame\" d=\"M0 0H%d M0 %dH%d\"/>", WIDE, HIGH, WIDE);
    fprintf(f, "<path class=\"limit fake\" d=\"M0 %.1fH%d\"/>", y_of(t->fake_from), WIDE);
    fprintf(f, "<path class=\"limit real\" d=\"M0 %.1fH%d\"/>", y_of(t->real_below),
            WIDE);
    for (size_t i = 0; i < t->nmarks; i++)
        fprintf(f, "<path class=\"mark\" d=\"M%.1f 0V%d\"/>",
                x_of(t, track->faces[t->marks[i]].seconds), HIGH);
    print_curve(f, t, track);
    if (track->nfaces <= MOST_DOTS) {
        print_dots(f, t, track, 0);
        print_dots(f, t, track, 1);
    }
    fputs("</svg>", f);
}

/* ---- words ------------------------------------------------------------------------- */

/* What the drawing shows, for those who cannot see it. */
static void print_label(FILE *f, const struct timeline *t, const ef_video_track *track,
                        size_t person)
{
    const ef_video_face *faces = track->faces, *best = faces + track->best;
    char from[TIMELINE_TEXT], to[TIMELINE_TEXT], at[TIMELINE_TEXT];
    double least = best->fake;
    size_t gaps = 0;
    for (size_t i = 0; i < track->nfaces; i++) {
        if (has_score(&faces[i]) && faces[i].fake < least)
            least = faces[i].fake;
        gaps += i && apart(t, &faces[i - 1], &faces[i]);
    }
    timeline_seconds(from, faces->seconds);
    timeline_seconds(to, faces[track->nfaces - 1].seconds);
    timeline_seconds(at, best->seconds);
    fprintf(f,
            "Score of person %zu over time, from %s to %s: %.1f %% to %.1f %%, highest "
            "at %s; away %zu time%s in between; below %.4g real, from %.4g fake",
            person, from, to, 100 * least, 100 * best->fake, at, gaps,
            gaps == 1 ? "" : "s", t->real_below, t->fake_from);
}

/* Faces whose points lie between two heights, at the end where the words stand. */
static size_t crossed(const struct timeline *t, const ef_video_track *track, int left,
                      double y0, double y1)
{
    size_t n = 0;
    for (size_t i = 0; i < track->nfaces; i++) {
        const double x = x_of(t, track->faces[i].seconds);
        const double y = y_of(track->faces[i].fake);
        n += has_score(&track->faces[i]) && (left ? x < 0.3 * WIDE : x > 0.7 * WIDE) &&
             y > y0 && y < y1;
    }
    return n;
}

/* The words of a threshold stand on its outer side, unless the curve is there and not on
 * the inner one; only where that is wide enough for both. Where the person comes late
 * they stand at the left, where no curve is. */
static void print_thresholds(FILE *f, const struct timeline *t,
                             const ef_video_track *track)
{
    const int left = x_of(t, track->faces->seconds) > 0.2 * WIDE;
    const char *end = left ? "x=\"4\"" : "x=\"100%\" text-anchor=\"end\"";
    const double lines[2] = {y_of(t->fake_from), y_of(t->real_below)};
    for (int i = 0; i < 2; i++) {
        const double y = lines[i];
        const size_t above = crossed(t, track, left, y - 18, y);
        const size_t below = crossed(t, track, left, y, y + 18);
        const int turned =
            lines[1] - lines[0] > 40 && (i ? above < below : below < above);
        fprintf(f, "<text class=\"%s\" %s y=\"%.1f\">%s %.4g</text>", i ? "real" : "fake",
                end, TOP + y + (i == turned ? -4 : 13), i ? "real &lt;" : "fake &#8805;",
                i ? t->real_below : t->fake_from);
    }
}

void timeline_print(FILE *f, const struct timeline *t, const ef_video_track *track,
                    size_t person)
{
    if (track->verdict == EF_VERDICT_NONE)
        return;
    fprintf(f,
            "<div class=\"time %s\"><svg width=\"100%%\" height=\"%d\" role=\"img\" "
            "aria-label=\"",
            ef_verdict_name(track->verdict), TOP + HIGH + BOTTOM);
    print_label(f, t, track, person);
    fputs("\">", f);
    print_plot(f, t, track);
    fprintf(f,
            "<text x=\"-6\" y=\"%d\" text-anchor=\"end\">100 %%</text>"
            "<text x=\"-6\" y=\"%d\" text-anchor=\"end\">0 %%</text>",
            TOP + 8, TOP + HIGH);
    print_thresholds(f, t, track);
    for (size_t i = 0; i < t->nmarks; i++)
        fprintf(f,
                "<text class=\"letter\" x=\"%.2f%%\" y=\"12\" "
                "text-anchor=\"middle\">%c</text>",
                x_of(t, track->faces[t->marks[i]].seconds) * 100 / WIDE, 'A' + (int)i);
    print_axis(f, t);
    fputs("</svg></div>\n", f);
}
