/* detector.h - the face detector MTCNN (Zhang et al. 2016, arXiv 1604.02878) as a list of
 * layers: weights_tools/FORMAT.md, section 7. The architecture is fixed; a model file
 * only brings weights and thresholds. Called by the loader and by lib/detect. */
#ifndef DFN_MODEL_DETECTOR_H
#define DFN_MODEL_DETECTOR_H

#include "lib/model/arch.h"

#define DFN_DETECTOR_NETS 3
/* P-Net looks at 12 x 12 pixels at a time, every second pixel; R-Net and O-Net take crops
 * of 24 x 24 and 48 x 48. */
#define DFN_PNET_CELL 12
#define DFN_PNET_STRIDE 2
#define DFN_RNET_SIDE 24
#define DFN_ONET_SIDE 48
/* Two logits (no face, face) and four box offsets; O-Net adds five landmarks. */
#define DFN_PNET_OUTPUTS 6
#define DFN_RNET_OUTPUTS 6
#define DFN_ONET_OUTPUTS 16

/* What the smallest face and the step of the pyramid may be: they bound the work. */
#define DFN_DETECTOR_MIN_FACE 6
#define DFN_DETECTOR_MAX_FACE 65535
#define DFN_DETECTOR_MIN_FACTOR 0.1
#define DFN_DETECTOR_MAX_FACTOR 0.95

/* In the order of the file. */
enum dfn_detector_layer {
    DFN_P_CONV1,
    DFN_P_CONV2,
    DFN_P_CONV3,
    DFN_P_FACE,
    DFN_P_BOX,
    DFN_R_CONV1,
    DFN_R_CONV2,
    DFN_R_CONV3,
    DFN_R_DENSE4,
    DFN_R_FACE,
    DFN_R_BOX,
    DFN_O_CONV1,
    DFN_O_CONV2,
    DFN_O_CONV3,
    DFN_O_CONV4,
    DFN_O_DENSE5,
    DFN_O_FACE,
    DFN_O_BOX,
    DFN_O_POINTS,
    DFN_DETECTOR_LAYERS
};

/* Tensors of a layer; output layers have no slope. */
enum dfn_part { DFN_WEIGHT, DFN_BIAS, DFN_SLOPE, DFN_PARTS };

struct dfn_detector_shape {
    const char *name;      /* "pnet.conv1"                                              */
    int cout, cin, kernel; /* kernel 0: fully connected                                 */
    bool slope;
};

/* Thresholds of the three nets' probabilities, side of the smallest face in pixels, and
 * the step of the pyramid. */
struct dfn_detector_facts {
    double thresholds[DFN_DETECTOR_NETS];
    double min_face, factor;
};

const struct dfn_detector_shape *dfn_detector_shape(enum dfn_detector_layer layer);

/* As dfn_arch_tensors(); `block` is the layer and `role` the dfn_part. */
int dfn_detector_tensors(struct dfn_tensor_spec *out);

/* Rows (or columns) of P-Net's output for n of its input; 0 if n < 12. */
int dfn_pnet_cells(int n);

#endif
