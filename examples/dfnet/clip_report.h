/* clip_report.h - a video's part of the report: a frame with its persons, and for each
 * person the timeline, faces at even times, heat maps where the score is highest.
 * classify.c calls it. */
#ifndef DFNET_EXAMPLES_DFNET_CLIP_REPORT_H
#define DFNET_EXAMPLES_DFNET_CLIP_REPORT_H

#include "examples/dfnet/clip.h"
#include "examples/dfnet/report.h"

/* Decodes the video in the open file once more, for the few frames that are shown: the
 * page and this process's memory do not grow with its length. If that fails, the page
 * says so and goes without pictures. Harmless on a report that nobody asked for. */
void report_clip(struct report *r, const char *path, const struct clip *c, int file);

#endif
