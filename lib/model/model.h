/* model.h - a loaded model: what ef_model is inside. Filled by load.c, read by lib/plan,
 * lib/face and lib/api; immutable after loading but for `packs` and the count of users.
 */
#ifndef DFN_MODEL_MODEL_H
#define DFN_MODEL_MODEL_H

#include "kernels/pack.h"
#include "lib/base/options.h"
#include "lib/model/arch.h"
#include "lib/model/detector.h"

#include <pthread.h>
#include <stdatomic.h>

enum dfn_padding { DFN_PAD_SAME, DFN_PAD_SYM, DFN_PAD_FIXED };
enum dfn_resize { DFN_RESIZE_SQUASH, DFN_RESIZE_SHORTER, DFN_RESIZE_LONGER };
enum dfn_filter {
    DFN_PILLOW_BOX,
    DFN_PILLOW_BILINEAR,
    DFN_PILLOW_BICUBIC,
    DFN_OPENCV_AREA,
    DFN_OPENCV_LINEAR,
    DFN_OPENCV_CUBIC
};
enum dfn_outside { DFN_OUTSIDE_CLAMP, DFN_OUTSIDE_SHIFT, DFN_OUTSIDE_PAD };
enum dfn_rounding {
    DFN_ROUND_NEAREST,
    DFN_ROUND_TRUNCATE,
    DFN_ROUND_WHOLE,
    DFN_ROUND_EVEN
};
enum dfn_border { DFN_BORDER_NONE, DFN_BORDER_PAD, DFN_BORDER_REFLECT };

/* dfnet.face.align; height 0: faces are not aligned. */
struct dfn_align {
    int height, width;
    bool truncate;
    double points[10]; /* x1, y1, ..., x5, y5                                           */
};

/* The metadata of FORMAT.md section 2, parsed and checked. */
/* dfnet.look: what a WS-DAN network does with the part that its maps attend to. */
enum dfn_look { DFN_LOOK_NONE, DFN_LOOK_LOGITS, DFN_LOOK_PROBABILITIES };

struct dfn_meta {
    bool detector; /* role                                                              */
    enum dfn_padding padding;
    int fixed[DFN_MAX_STRIDE2]
             [2]; /* DFN_PAD_FIXED: before, after of each stride-2 layer */
    int height, width;
    enum dfn_resize resize;
    int shorter; /* N of DFN_RESIZE_SHORTER */
    enum dfn_filter shrink, enlarge;
    float mean[3], std[3]; /* R, G, B                                                   */
    bool flip, softmax;
    int fake; /* -1: none                                                        */
    double
        margin[4]; /* left, top, right, bottom; double: half pixels round as in Python */
    bool square;
    enum dfn_outside outside;
    uint8_t pad[3]; /* R, G, B                                                          */
    bool margin_of_height; /* face.unit                                                 */
    enum dfn_rounding rounding;
    int least; /* the crop is padded to so many pixels either way; 0: not               */
    struct dfn_align align;
    enum dfn_border border;
    bool round_sizes; /* resize.rounding is albumentations                              */
    bool zero_canvas; /* resize.canvas                                                  */
    enum dfn_look look;
    double look_from;   /* share of the greatest attention from which on a place counts */
    double look_margin; /* share of the input's side that is added to each side         */
    float temperature, real_below, fake_from;
    uint64_t ref_seed;
    int ref_height, ref_width;
    const double *ref_logits;  /* [frames][outputs]; of a detector: detector.h          */
    const char *const *labels; /* [outputs], or NULL                                    */
    struct dfn_detector_facts mtcnn; /* of a detector, which leaves the rest empty      */
};

/* One key and value of __metadata__, unescaped, NUL-terminated. */
struct dfn_pair {
    const char *key, *value;
};

struct dfn_packed; /* lib/plan/packcache.c: weights in a layout that the store has not  */

/* Layers by the kernel that takes their weights. */
enum dfn_kind {
    DFN_KIND_CONV,
    DFN_KIND_DEPTHWISE,
    DFN_KIND_POINTWISE,
    DFN_KIND_DENSE, /* squeeze-excite, classifier                                       */
    DFN_KINDS
};

struct ef_model {
    ef_options opt; /* of the load: allocator and log                                   */
    atomic_int users;
    struct dfn_arch arch;
    int nblocks;
    struct dfn_block *blocks; /* [nblocks]                                              */
    struct dfn_meta meta;
    int npairs;
    struct dfn_pair *pairs; /* [npairs]                                                 */
    void *arrays;           /* one block: meta.ref_logits, meta.labels                  */
    char hash[33];
    uint64_t file_bytes, bytes_needed, parameters;
    enum dfn_layout layouts[DFN_KINDS]; /* ask dfn_model_layout()                       */
    /* Every tensor, float32, each on DFN_ALIGN bytes, canonical order, in the layout that
     * dfn_model_layout() says. */
    float *store;
    /* weights[(block + 1) * DFN_ROLES + role], NULL where the network has none; shapes as
     * dfn_arch_tensors() says. A detector: weights[layer * DFN_PARTS + part]. */
    const float **weights;

    pthread_mutex_t pack_lock;
    struct dfn_packed *packs; /* list; only lib/plan/pack.c touches it, under pack_lock */
    void (*free_packs)(ef_model *model); /* set by pack.c with its first entry          */
};

/* The layout in which the store has a tensor with cout outputs: that of the kernels which
 * the model's own options choose on this machine, DFN_LAYOUT_PLAIN for biases, everything
 * of a detector, and where panels would more than double it. */
enum dfn_layout dfn_model_layout(const ef_model *m, enum dfn_role role, int cout);

/* Weight or bias of a block (-1: stem, head, classifier), in that layout. */
static inline const float *dfn_model_weight(const ef_model *m, int block,
                                            enum dfn_role role)
{
    return m->weights[(block + 1) * DFN_ROLES + (int)role];
}

/* Tensor of a detector, shape as dfn_detector_tensors() says; NULL: no such part. */
static inline const float *
dfn_detector_weight(const ef_model *m, enum dfn_detector_layer layer, enum dfn_part part)
{
    return m->weights[(int)layer * DFN_PARTS + (int)part];
}

/* Numbers that net (0: P, 1: R, 2: O) of a detector gives for the reference input. */
size_t dfn_detector_outputs(const struct dfn_meta *meta, int net);

/* Loads from size bytes, or from the size bytes at offset of a regular file that fd is
 * open on (read with pread, the position stays; the file must end there, before and
 * after); where names it in errors. keep = false: check only; *out then holds no weights
 * but everything else. *out is yours: dfn_model_unref(). */
ef_status dfn_model_load_bytes(const uint8_t *data, size_t size, const char *where,
                               const ef_options *opt, bool keep, ef_model **out,
                               ef_error *err);
ef_status dfn_model_load_regular(int fd, uint64_t offset, uint64_t size,
                                 const char *where, const ef_options *opt, bool keep,
                                 ef_model **out, ef_error *err);

/* A model may be shared by threads: the count is atomic, the last one frees. */
void dfn_model_ref(const ef_model *model);
void dfn_model_unref(const ef_model *model);

/* Value of a metadata key, or NULL. */
const char *dfn_model_pair(const ef_model *model, const char *key);

/* Zeros before and after n rows (or columns) that stride-2 layer number `layer` (0: stem)
 * with this kernel sees: FORMAT.md, section 5. */
void dfn_meta_padding(const struct dfn_meta *meta, int layer, int kernel, int n,
                      int *before, int *after);

/* Rows (or columns) that this layer makes of n; 0 if nothing is left, which only fixed
 * padding can do. */
int dfn_meta_output(const struct dfn_meta *meta, int layer, int kernel, int n);

/* Multiply-adds of one input of height x width: convolutions, squeeze-excite and
 * classifier. 0 if the padding leaves nothing of the input; UINT64_MAX if the number does
 * not fit. */
uint64_t dfn_meta_macs(const struct dfn_meta *meta, const struct dfn_arch *arch,
                       const struct dfn_block *blocks, int nblocks, int height,
                       int width);

/* The reference input of FORMAT.md section 6 as [frames][height][width][3] (NHWC): the
 * numbers are drawn in NCHW order and stored transposed. frames: dfn_arch_frames(). */
void dfn_reference_input(uint64_t seed, int frames, int height, int width, float *out);

#endif
