/* arch.h - a network as numbers: stage table -> blocks -> tensors and their shapes.
 *
 * The architecture is code; a model file only fills in this struct
 * (weights_tools/FORMAT.md, section 3). Called by the loader, which compares shapes, and
 * by the planner, which walks the blocks. No allocation here. */
#ifndef DFN_MODEL_ARCH_H
#define DFN_MODEL_ARCH_H

#include "lib/base/status.h"

#include <stdbool.h>

#define DFN_MAX_STAGES 16
#define DFN_MAX_BLOCKS 256
/* Stem and one layer in each stage can have stride 2. */
#define DFN_MAX_STRIDE2 (DFN_MAX_STAGES + 1)
/* 4 stem and head, 2 classifier, 2 gate, 2 attention, and at most 10 of one block. */
#define DFN_MAX_TENSORS (10 + 10 * DFN_MAX_BLOCKS)
#define DFN_MAX_MAPS 64
#define DFN_MAX_FRAMES 64

struct dfn_stage {
    bool fused;
    int kernel, stride, expand, channels, repeats, se; /* as in FORMAT.md               */
};

struct dfn_arch {
    bool relu6; /* else swish                                                           */
    int stem, head, outputs;
    int nstages;
    struct dfn_stage stages[DFN_MAX_STAGES];
    int maps;   /* attention maps of a WS-DAN head; 0: mean over the map                */
    int gate;   /* blocks in front of the gate that weighs each pixel; 0: there is none */
    int frames; /* of a sequence, whose expansions reach over 3 frames; 0, 1: pictures  */
};

/* Inputs that a network takes together: 1, or the frames of a sequence. */
static inline int dfn_arch_frames(const struct dfn_arch *arch)
{
    return arch->frames > 1 ? arch->frames : 1;
}

/* Numbers that the classifier reads. */
static inline int dfn_arch_features(const struct dfn_arch *arch)
{
    return arch->maps ? arch->maps * arch->head : arch->head;
}

struct dfn_block {
    bool fused, residual;
    int kernel, stride, expand;
    int cin, mid, cout; /* fused with expand 1: mid = cout                              */
    int squeezed;       /* channels between the two SE layers; 0: no squeeze-excite     */
    int seen; /* channels that the expansion reads: cin, or 3 * cin of a sequence */
};

/* Which tensor of a block (or of the network, block = -1) one is. */
enum dfn_role {
    DFN_STEM_W,
    DFN_STEM_B,
    DFN_EXPAND_W,
    DFN_EXPAND_B,
    DFN_DEPTHWISE_W,
    DFN_DEPTHWISE_B,
    DFN_SE_REDUCE_W,
    DFN_SE_REDUCE_B,
    DFN_SE_EXPAND_W,
    DFN_SE_EXPAND_B,
    DFN_CONV_W,
    DFN_CONV_B,
    DFN_PROJECT_W,
    DFN_PROJECT_B,
    DFN_HEAD_W,
    DFN_HEAD_B,
    DFN_GATE_W,
    DFN_GATE_B,
    DFN_ATTENTION_W,
    DFN_ATTENTION_B,
    DFN_CLASSIFIER_W,
    DFN_CLASSIFIER_B,
    DFN_ROLES
};

struct dfn_tensor_spec {
    enum dfn_role role;
    int block;      /* -1: not in a block                                               */
    int ndim;       /* 1, 2 or 4                                                        */
    int shape[4];   /* PyTorch's order: [out][in / groups][kernel][kernel]              */
    uint64_t count; /* product of shape; cannot overflow within the limits above        */
    char name[48];  /* "blocks.3.se.reduce.weight"                                      */
};

/* Parses dfnet.stages (len bytes at text, no NUL needed) into arch->stages, and checks
 * every bound of FORMAT.md. stem, head, outputs and relu6 are the caller's. */
ef_status dfn_arch_parse_stages(const char *text, size_t len, struct dfn_arch *arch,
                                ef_error *err);

/* Fills at most DFN_MAX_BLOCKS blocks; returns how many. arch has passed the parser. With
 * out = NULL only counts. */
int dfn_arch_blocks(const struct dfn_arch *arch, struct dfn_block *out);

/* Fills at most DFN_MAX_TENSORS specs in canonical order; returns how many. With out =
 * NULL only counts. */
int dfn_arch_tensors(const struct dfn_arch *arch, const struct dfn_block *blocks,
                     int nblocks, struct dfn_tensor_spec *out);

/* Kernels of the stride-2 layers in network order, the stem's 3 first; returns how many.
 */
int dfn_arch_stride2(const struct dfn_arch *arch, int kernels[DFN_MAX_STRIDE2]);

#endif
