/* nets.h - the three networks of MTCNN, from normalised pixels to linear outputs. Called
 * by detect.c and by the reference check; calls kernels. Activations are NHWC float32.
 *
 * Everything here is for one thread with scratch of its own; threads share the weights.
 * */
#ifndef DFN_DETECT_NETS_H
#define DFN_DETECT_NETS_H

#include "kernels/kernels.h"
#include "lib/model/model.h"

/* Crops that R-Net and O-Net take in one go: their dense layers are matrix products. */
#define DFN_CROP_BATCH 16

struct dfn_net_layer {
    const float *weight;       /* packed for its kernel                                 */
    const float *bias, *slope; /* [cout]; slope NULL behind output layers               */
};

/* Weights in the layouts of the kernels. The output layers of a net are one: the FACE
 * layer's place has face, box and points one below the other. */
struct dfn_nets {
    struct dfn_kernels kernels;
    struct dfn_net_layer layers[DFN_DETECTOR_LAYERS];
    float *store;
    size_t bytes; /* of store */
};

/* model: a detector with weights, borrowed as long as nets lives. cpu: DFN_CPU_ bits. */
ef_status dfn_nets_create(const ef_model *model, uint32_t cpu, const ef_allocator *a,
                          struct dfn_nets *nets, ef_error *err);
void dfn_nets_free(struct dfn_nets *nets, const ef_allocator *a);

/* Writes row y of P-Net's input, [width][3]. */
typedef void dfn_row_fn(void *user, int y, float *out);

/* One picture under P-Net. */
struct dfn_pnet_job {
    const struct dfn_nets *nets;
    dfn_row_fn *row;
    int height, width; /* of the input, at least 12                                     */
    float *logits;     /* [rows][columns][2] for dfn_pnet_cells() rows and columns      */
    float *boxes;      /* [rows][columns][4]                                            */
};

/* Floats of scratch for one thread. */
size_t dfn_pnet_scratch(int width);

/* Computes the rows from..to-1 of the output, from even. user is for job->row. A row's
 * bits do not depend on the range. */
void dfn_pnet_rows(const struct dfn_pnet_job *job, void *user, int from, int to,
                   float *scratch);

/* The same for dfn_crop_net(), of either net. */
size_t dfn_crop_scratch(void);

/* R-Net (24 x 24 pixels, 6 outputs) or O-Net (48 x 48, 16): in [n][side][side][3], out
 * [n][outputs], n <= DFN_CROP_BATCH. */
void dfn_crop_net(const struct dfn_nets *nets, bool onet, const float *in, int n,
                  float *out, float *scratch);

#endif
