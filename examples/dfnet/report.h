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
    long pictures, clips, failed, verdicts[4]; /* by ef_verdict */
};

/* Each is harmless on a zeroed report. 0, or the exit code after a sentence. */
int report_open(struct report *r, const struct options *o, struct scorer *s);
int report_close(struct report *r, int keep);

void report_picture(struct report *r, const char *path, const ef_image *img,
                    const struct picture_score *score);
void report_error(struct report *r, const char *path, const ef_error *err);

/* ---- parts, for clip_report.c ---- */

void report_count_clip(struct report *r, ef_verdict verdict);
/* Opens an article with the file's name. */
void report_begin(struct report *r, const char *path);
void report_score(const struct report *r, double fake, double logit, ef_verdict verdict);
/* lacking: bits of the models that gave no score; nothing if there are none. style: class
 * of the paragraph. */
void report_lacking(const struct report *r, const char *style, uint64_t lacking);
void report_bar(const struct report *r, double fake, ef_verdict verdict);

/* A picture that was made `scale` times as large, with numbered boxes, which are in the
 * pixels of before. what: what it is, for those who cannot see it. */
struct marked_face {
    ef_box box;
    size_t number;
};
void report_frame(struct report *r, const char *what, const char *path,
                  const ef_image *small, float scale, const struct marked_face *faces,
                  size_t n);

/* The surroundings of face i of p with the heat map over them, at most `side` pixels
 * wide and high. 1 with *out, which ef_image_free() frees, or 0: there is none. */
int report_heatmap(struct report *r, const ef_image *img, const struct picture_score *p,
                   int i, int side, ef_image *out);

/* The page's style sheet and the hash that its content security policy allows. */
extern const char report_style[], report_style_hash[];

#endif
