/* zero_model.h - models of any architecture without weights: every tensor is one block of
 * zeros, every packed copy another block that nobody reads. For suites that plan, and do
 * not run, real networks. */
#ifndef DFN_TESTS_PLAN_ZERO_MODEL_H
#define DFN_TESTS_PLAN_ZERO_MODEL_H

#include "lib/model/model.h"

#include <stdbool.h>

/* Before the first model and after the last; false: no memory. */
bool zero_model_open(void);
void zero_model_close(void);

/* A model of this stage table with three outputs, its allocator the one that shares.
 * more: maps, gate and frames of the architecture; NULL: none. */
ef_model *zero_model(const char *stages, int stem, int head, const int more[3]);
void zero_model_free(ef_model *m);

#endif
