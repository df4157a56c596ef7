/* report.h - one HTML page about a run: it needs no network, no script and no other file.
 * Pictures go to an unnamed temporary file as they come, so that memory stays flat; the
 * page is put together at the end, when its summary is known. classify.c calls it. */
#ifndef DFNET_EXAMPLES_DFNET_REPORT_H
#define DFNET_EXAMPLES_DFNET_REPORT_H

#include "examples/dfnet/output_file.h"
#include "examples/dfnet/scorer.h"

struct report {
    const struct options *o; /* NULL: no report was asked for */
    struct scorer *scorer;
    struct output_file out;
    FILE *body;
    long pictures, failed, verdicts[4]; /* by ef_verdict */
};

/* Each is harmless on a zeroed report. 0, or the exit code after a sentence. */
int report_open(struct report *r, const struct options *o, struct scorer *s);
int report_close(struct report *r, int keep);

void report_picture(struct report *r, const char *path, const ef_image *img,
                    const struct picture_score *score);
void report_error(struct report *r, const char *path, const ef_error *err);

/* The page's style sheet and the hash that its content security policy allows. */
extern const char report_style[], report_style_hash[];

#endif
