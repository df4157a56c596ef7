/* fixture.h - what the suites of tests/model share: a nano, the model loaded from it,
 * and the allocator that counts what they take. setup() and teardown() are the suites'
 * checked fixture. */
#ifndef DFN_TESTS_MODEL_FIXTURE_H
#define DFN_TESTS_MODEL_FIXTURE_H

#include "lib/model/model.h"
#include "tests/model/nano.h"
#include "tests/support/support.h"

extern struct test_mem mem;
extern ef_options opt; /* with mem's allocator                                          */
extern struct nano nano;
extern ef_model *model; /* loaded from it                                               */
extern ef_error err;

void setup(void);
/* Fails if anything is still allocated. */
void teardown(void);

/* Loads what nano's texts say after an edit. */
void reload(void);

/* Replaces a text in nano's header, or fails. */
void edit(const char *find, const char *replacement);

/* Where tensor t of the nano's file should be found in m, and in which shape. */
const float *weights_of(const ef_model *m, int t, struct dfn_pack_shape *shape);

#endif
