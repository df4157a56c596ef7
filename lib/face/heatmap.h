/* heatmap.h - class activation maps: numbers from the last feature map, and those numbers
 * drawn over a picture. Called by lib/api/heatmap.c. */
#ifndef DFN_FACE_HEATMAP_H
#define DFN_FACE_HEATMAP_H

#include "lib/face/preprocess.h"

/* Weights and bias of the direction in feature space that a map shows: the fake output's
 * row of the classifier, less the mean of the others' under a softmax. weights: room for
 * dfn_arch_features() doubles. */
void dfn_heatmap_direction(const ef_model *model, double *weights, double *bias);

/* Adds share * (features . weights) to values [h][w]; mirrored: to the place that the
 * mirror image shows. features: [h][w][c]. */
void dfn_heatmap_add(const float *features, int h, int w, int c, const double *weights,
                     double share, bool mirrored, float *values);

/* The same for attention maps [h][w][n] and what they pooled, parts [n][c]: share times a
 * map's part of parts . weights, over its places as it attends to them. */
void dfn_heatmap_add_maps(const float *maps, int h, int w, int n, const float *parts,
                          int c, const double *weights, double share, bool mirrored,
                          float *values);

/* The part of the picture that the network's input shows of this face, in pixels. */
ef_status dfn_heatmap_area(const ef_model *model, const ef_image *img, const ef_box *face,
                           ef_box *area, ef_error *err);

/* The same of a face that was aligned by its landmarks [5]: a turned area. */
ef_status dfn_heatmap_area_aligned(const ef_model *model, const ef_point *landmarks,
                                   ef_box *area, float *angle, ef_error *err);

/* See ef_heatmap_draw(). */
ef_status dfn_heatmap_draw(const ef_heatmap *map, const ef_image *img, float opacity,
                           float full, const ef_options *opt, ef_image *out,
                           ef_error *err);

#endif
