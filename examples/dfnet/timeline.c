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

/* Not every face has a score: a model may look at some of them only. */
static int scored(const ef_video_face *f)
{
    return f->verdict != EF_VERDICT_NONE;
}

/* Grey, wherever the person was not seen. */
static void print_gaps(FILE *f, const struct timeline *t, const ef_video_track *track)
{
    const ef_video_face *faces = track->faces, *last = faces + track->nfaces - 1;
    print_away(f, 0, x_of(t, faces->seconds));
    for (size_t i = 1; i < track->nfaces; i++)
        if (apart(t, &faces[i - 1], &faces[i]))
            print_away(f, x_of(t, faces[i - 1].seconds), x_of(t, faces[i].seconds));
    print_away(f, x_of(t, last->seconds), WIDE);
}

/* The points from *i on that lie within one unit of x: their first, extremes and last
 * are as good as all. Moves *i behind them. */
static void print_column(FILE *f, const struct timeline *t, const ef_video_track *track,
                         size_t *i)
{
    const ef_video_face *faces = track->faces;
    const double column = floor(x_of(t, faces[*i].seconds));
    size_t low = *i, high = *i, last = *i;
    const size_t first = *i;
    for ((*i)++; *i < track->nfaces && !apart(t, &faces[*i - 1], &faces[*i]) &&
                 floor(x_of(t, faces[*i].seconds)) == column;
         (*i)++) {
        if (!scored(&faces[*i]))
            continue;
        last = *i;
        low = faces[last].fake < faces[low].fake ? last : low;
        high = faces[last].fake > faces[high].fake ? last : high;
    }
    const size_t order[4] = {first, low < high ? low : high, low < high ? high : low,
                             last};
    for (int k = 0; k < 4; k++)
        if (!k || order[k] != order[k - 1])
            fprintf(f, "%s%.1f %.1f", k ? "L" : "", x_of(t, faces[order[k]].seconds),
                    y_of(faces[order[k]].fake));
}

static void print_curve(FILE *f, const struct timeline *t, const ef_video_track *track)
{
    fputs("<path class=\"curve\" d=\"", f);
    int begins = 1;
    for (size_t i = 0; i < track->nfaces;) {
        begins |= i && apart(t, &track->faces[i - 1], &track->faces[i]);
        if (!scored(&track->faces[i])) {
            i++;
            continue;
        }
        fputc(begins ? 'M' : 'L', f);
        print_column(f, t, track, &i);
        /* A line of no length has round ends, and so is seen where it stands alone. */
        if (begins)
            fputs("h0", f);
        begins = 0;
    }
    fputs("\"/>", f);
}

/* The faces that were found (guessed 0), or interpolated (1). */
static void print_dots(FILE *f, const struct timeline *t, const ef_video_track *track,
                       int guessed)
{
    int begun = 0;
    for (size_t i = 0; i < track->nfaces; i++) {
        const ef_video_face *face = &track->faces[i];
        if (!face->interpolated != !guessed || !scored(face))
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
        least = scored(&faces[i]) && faces[i].fake < least ? faces[i].fake : least;
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

void timeline_print(FILE *f, const struct timeline *t, const ef_video_track *track,
                    size_t person)
{
    if (!track->nfaces)
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
    /* Above its line and below it, so that they never meet; where the person comes late,
     * at the left, where no curve is. */
    const int left = x_of(t, track->faces->seconds) > 0.2 * WIDE;
    const char *end = left ? "x=\"4\"" : "x=\"100%\" text-anchor=\"end\"";
    fprintf(f,
            "<text class=\"fake\" %s y=\"%.1f\">fake &#8805; %.4g</text>"
            "<text class=\"real\" %s y=\"%.1f\">real &lt; %.4g</text>",
            end, TOP + y_of(t->fake_from) - 4, t->fake_from, end,
            TOP + y_of(t->real_below) + 13, t->real_below);
    for (size_t i = 0; i < t->nmarks; i++)
        fprintf(f,
                "<text class=\"letter\" x=\"%.2f%%\" y=\"12\" "
                "text-anchor=\"middle\">%c</text>",
                x_of(t, track->faces[t->marks[i]].seconds) * 100 / WIDE, 'A' + (int)i);
    print_axis(f, t);
    fputs("</svg></div>\n", f);
}
