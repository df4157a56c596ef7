/* cut.h - how a step's work is divided between threads: into ranges of its items (rows or
 * pixels) by slices of its channels, each part for one thread.
 *
 *     4 ranges x 1 slice          2 x 2              1 x 4
 *     items  [ 0 0 0 0 ]        [ 0 0 1 1 ]        [ 0 1 2 3 ]
 *            [ 1 1 1 1 ]        [ 0 0 1 1 ]        [ 0 1 2 3 ]
 *            [ 2 2 2 2 ]        [ 2 2 3 3 ]        [ 0 1 2 3 ]
 *            [ 3 3 3 3 ]        [ 2 2 3 3 ]        [ 0 1 2 3 ]   -> channels
 *
 * build.c chooses once for each step, by a cost that is counted and never measured: that
 * of the part which costs most. Bits do not depend on it (kernels.h). */
#ifndef DFN_PLAN_CUT_H
#define DFN_PLAN_CUT_H

#include "kernels/kernels.h"

struct dfn_cut {
    int ranges, slices;
    int step; /* ranges begin at multiples of it                                        */
};

/* What is to be cut. Costs count multiply-adds of DFN_SLICE channels at once; cost() is
 * that of a part of so many items and channels. */
struct dfn_work {
    double (*cost)(const struct dfn_work *work, const struct dfn_cut *cut, size_t items,
                   int channels);
    const void *of;
    size_t items;
    int channels;        /* 0: they cannot be sliced                                    */
    int tile;            /* items that a kernel takes at a time                         */
    struct dfn_cut from; /* of the step that wrote what is read                         */
};

/* The best cut for so many threads. */
struct dfn_cut dfn_cut_choose(const struct dfn_work *work, int threads);

/* What the part of a cut that costs most costs. */
double dfn_cut_most(const struct dfn_work *work, const struct dfn_cut *cut);

/* The items or channels, at..end-1 of n, of range or slice number i. */
struct dfn_span {
    size_t at, end;
};
struct dfn_span dfn_cut_range(const struct dfn_cut *cut, size_t n, size_t i);
struct dfn_span dfn_cut_slice(const struct dfn_cut *cut, int channels, size_t i);

/* One call of a kernel, which for a depthwise convolution and for a 1x1 convolution may
 * have slices. work->of is this. */
struct dfn_call {
    const struct dfn_kernel *kernel;
    const void *args;
    double macs; /* of an item                                                          */
    struct dfn_cut cut;
    size_t first, last; /* items of this run                                            */
};
struct dfn_work dfn_call_work(const struct dfn_call *call, size_t items,
                              struct dfn_cut from);

/* A dfn_range_fn over parts: part i is slice i % slices of range i / slices. */
void dfn_call_run(const void *call, size_t first, size_t last);

/* Costs of so many pixels and columns, and of so many rows and channels. */
double dfn_cost_pointwise(const struct dfn_pointwise_args *a, int tile, size_t pixels,
                          int columns);
double dfn_cost_dwconv(const struct dfn_dwconv_args *a, size_t rows, int channels);

/* Costs of reading the windows of so many rows of a depthwise convolution, or what they
 * are made of, `floats` for each pixel, where other threads wrote some of it; all: of all
 * channels, not of a slice. */
double dfn_cost_windows(const struct dfn_work *work, const struct dfn_cut *cut,
                        const struct dfn_dwconv_args *a, size_t rows, int floats,
                        bool all);
/* Costs of writing so many pixels beside other slices. */
double dfn_cost_written(const struct dfn_cut *cut, size_t pixels);

/* The channels of a slice, out of all of a layer's: weights and biases, and where a
 * depthwise convolution writes. What else there is to move is the caller's. */
void dfn_slice_pointwise(struct dfn_pointwise_args *a, enum dfn_layout layout,
                         struct dfn_span slice);
void dfn_slice_dwconv(struct dfn_dwconv_args *a, enum dfn_layout layout,
                      struct dfn_span slice);

#endif
