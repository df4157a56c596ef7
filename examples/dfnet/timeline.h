/* timeline.h - a person's score over the time of a video as an SVG drawing, for the
 * report. It needs no script, fits any width (lengths are shares of the width, text keeps
 * its size), and its size in bytes does not grow with the video. clip_report.c calls it.
 */
#ifndef DFNET_EXAMPLES_DFNET_TIMELINE_H
#define DFNET_EXAMPLES_DFNET_TIMELINE_H

#include "dfnet/dfnet.h"

#include <stdio.h>

struct timeline {
    double from, to;              /* seconds; both ends of the axis, from < to          */
    double real_below, fake_from; /* thresholds, 0 to 1                                 */
    const size_t *marks;          /* [nmarks] faces of the track to mark with A, B, ... */
    size_t nmarks;                /* at most 26                                         */
};

/* Draws track number `person` (from 1); nothing if no face of it has a score. */
void timeline_print(FILE *f, const struct timeline *t, const ef_video_track *track,
                    size_t person);

/* Seconds for people: "3.2 s", from a minute on "2:05.3", from an hour on "1:02:05.3". */
#define TIMELINE_TEXT 32
void timeline_seconds(char *out, double seconds);

#endif
