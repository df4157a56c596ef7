/* shapes.h - the layers of real networks as shapes for kernels, equal ones counted
 * instead of repeated. Called by bench_kernel. */
#ifndef DFN_BENCHMARKS_SHAPES_H
#define DFN_BENCHMARKS_SHAPES_H

#include "kernels/kernels.h"

#define MAX_SHAPES 256

/* k: kernel, rows or taps; for pool, fc, prelu and softmax only the fields they have
 * count. */
struct shape {
    char layer[48]; /* "b0@224.1.expand", of the first block that has it                */
    enum dfn_op op;
    int h, w, cin, cout, k, stride;
    enum dfn_act act;
    int count; /* how often the network has it                                         */
};

/* What shapes_of() knows, with commas. */
extern const char shapes_nets[];

/* Fills at most MAX_SHAPES shapes of net ("b0@224", "b4@380", ... "mtcnn"); returns how
 * many, 0 if there is no such net. */
int shapes_of(const char *net, struct shape *out);

#endif
