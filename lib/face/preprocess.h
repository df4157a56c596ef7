/* preprocess.h - picture and face box to network input, as the model's metadata says.
 * Called by lib/api; includes lib/image and lib/model.
 *
 *   box -> crop rectangle (margin, square, outside) -> resize rule -> uint8 [h][w][3]
 *   five landmarks -> aligned uint8 picture -> the same resize rule
 *       -> (byte / 255 - mean) / std -> float NHWC [h][w][3] */
#ifndef DFN_FACE_PREPROCESS_H
#define DFN_FACE_PREPROCESS_H

#include "lib/image/image.h"
#include "lib/model/model.h"

/* Work space that grows with the largest picture seen; zeroed before the first use. */
struct dfn_prepare {
    struct dfn_scratch pixels; /* the resized crop                                      */
    struct dfn_scratch work;   /* what the resize itself needs                          */
    struct dfn_scratch aligned; /* the picture turned and scaled to the template        */
    struct dfn_scratch mirrored; /* the crop, mirrored                                  */
    bool mirror;                 /* set by the caller: mirror the crop, before resizing */
};
void dfn_prepare_free(struct dfn_prepare *p, const ef_allocator *a);

/* The rectangle that the model wants to see of a face (NULL: of the whole picture). It
 * reaches outside the picture only with DFN_OUTSIDE_PAD. EF_E_ARG: the box is not finite,
 * is empty, or does not touch the picture; EF_E_LIMIT: it is absurdly large. */
ef_status dfn_crop_rect(const struct dfn_meta *meta, int width, int height,
                        const ef_box *face, struct dfn_rect *out, ef_error *err);

/* The same with both rectangles: *seen is what shows the picture (and, with
 * DFN_OUTSIDE_PAD, the pad colour around the picture); *rect holds it in its middle and
 * is at least meta->least wide and high, with the pad colour around *seen. */
ef_status dfn_crop_rects(const struct dfn_meta *meta, int width, int height,
                         const ef_box *face, struct dfn_rect *seen, struct dfn_rect *rect,
                         ef_error *err);

/* Size to which the crop is resized, and where that lies in the network's input; the
 * place is negative where the input shows only the middle of it. */
struct dfn_placing {
    int w, h, left, top;
};
ef_status dfn_place(const struct dfn_meta *meta, const struct dfn_rect *rect,
                    struct dfn_placing *out, ef_error *err);

/* out: [meta.height][meta.width][3]. */
ef_status dfn_preprocess(const ef_model *model, const ef_image *img, const ef_box *face,
                         float *out, struct dfn_prepare *p, const ef_allocator *a,
                         ef_error *err);

/* The same of a face whose landmarks [5] the model's template wants in fixed places.
 * EF_E_ARG: the model has none, or the landmarks are no such points. */
ef_status dfn_preprocess_aligned(const ef_model *model, const ef_image *img,
                                 const ef_point *marks, float *out, struct dfn_prepare *p,
                                 const ef_allocator *a, ef_error *err);

/* The matrix (warp.h) that carries landmarks [5] to the template. EF_E_ARG: they are no
 * such points. */
ef_status dfn_alignment(const struct dfn_align *align, const ef_point *marks,
                        double matrix[6], ef_error *err);

/* out[y][x] = in[y][width - 1 - x]; both [height][width][3]. */
void dfn_mirror(const float *in, float *out, int height, int width);

#endif
