/* arch_model.h - a model file of any architecture with random weights, made on demand.
 * Called by bench_model --arch. */
#ifndef DFN_BENCHMARKS_ARCH_MODEL_H
#define DFN_BENCHMARKS_ARCH_MODEL_H

#include <stddef.h>

/* Writes the path of the model file of `arch` ("b4", "lite0", "v2-s") into cap bytes of
 * path. The file is kept below build/models/ of the source tree; if it is not there,
 * `python3 -m weights_tools random` makes it (numpy is needed; the tree's .venv is asked
 * first). 0: it could not be made, and standard error says why. */
int arch_model(const char *arch, char *path, size_t cap);

/* The same with all weights and biases so small that they are denormal numbers. */
int arch_model_denormal(const char *arch, char *path, size_t cap);

#endif
