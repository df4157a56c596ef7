/* look.h - the second look of a network with attention maps: where the maps attend to,
 * that part of the input enlarged, and the logits of both looks as one. The rules are
 * weights_tools/FORMAT.md, section 2, dfnet.look. Called by lib/api/session.c. */
#ifndef DFN_FACE_LOOK_H
#define DFN_FACE_LOOK_H

#include "lib/image/image.h"
#include "lib/model/model.h"

/* The part of a height x width input that maps [h][w][n] attend to. work: room for
 * h * w + w doubles. */
void dfn_look_box(const struct dfn_meta *meta, const float *maps, int h, int w, int n,
                  int height, int width, double *work, struct dfn_rect *out);

/* That part of in [height][width][3], as large as in, to out (which is not in). */
void dfn_look_crop(const float *in, int height, int width, const struct dfn_rect *part,
                   float *out);

/* Logits [outputs] of the first look and of the second to one; out may be either. */
void dfn_look_combine(const struct dfn_meta *meta, const float *first,
                      const float *second, int outputs, float *out);

#endif
