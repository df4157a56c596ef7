/* nms.h - candidate faces, and non-maximum suppression of them. Called by detect.c. */
#ifndef DFN_DETECT_NMS_H
#define DFN_DETECT_NMS_H

#include "lib/base/status.h"

#include <stdbool.h>

/* A window that may be a face: corners in pixels, probability, and what the network that
 * saw it says about its box. */
struct dfn_candidate {
    float x1, y1, x2, y2, score;
    float reg[4];
};

/* Overlap of two boxes as the detector's stages want it. */
enum dfn_overlap {
    DFN_OVERLAP_UNION, /* intersection over union, corners are edges                    */
    DFN_OVERLAP_MIN    /* intersection over the smaller, corners are pixels: both count */
};

/* Bytes of scratch for n candidates. */
size_t dfn_nms_scratch(size_t n);

/* Takes the best candidate again and again and drops all that overlap it by more than
 * limit. index [n] gets the kept ones, best first; returns how many. Equal scores: the
 * earlier one first with UNION, the later one with MIN. scratch begins on DFN_ALIGN. */
size_t dfn_nms(const struct dfn_candidate *c, size_t n, enum dfn_overlap overlap,
               float limit, uint32_t *index, void *scratch);

#endif
