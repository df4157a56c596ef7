/* api.h - what the suites of this folder share: the models and pictures that
 * make_models.py wrote, and the ways to get at them. Everything fails the running test
 * rather than return an error. */
#ifndef DFN_TESTS_API_API_H
#define DFN_TESTS_API_API_H

#include "tests/support/support.h"

#define API_FOLDER TEST_SOURCE_ROOT "/tests/api/"
#define GOLDEN_FOLDER TEST_SOURCE_ROOT "/tests/golden/"

/* Path of a model of this folder, or ("golden/NAME") of the goldens; static until the
 * next call. */
const char *api_model_path(const char *name);

/* The model, with opt or (NULL) the defaults; yours. */
ef_model *api_model(const char *name, const ef_options *opt);

/* Default options with the native matrix product, whose bits are promised. */
ef_options api_native(void);

/* A classifier of one model. */
ef_classifier *api_classifier(const ef_model *model, const ef_options *opt);

/* A picture of the folder `pictures`; yours. Pictures are PPM or PNG: with a build that
 * reads no PNG, false for those. */
bool api_picture(const char *name, ef_image *out);

/* A result as ef_result_init() leaves it. */
ef_result api_result(void);

/* Scores one face, which must succeed. */
ef_result api_score(ef_classifier *c, const ef_image *img, const ef_box *box);

/* [n] numbers in [-1, 1) from the seed. */
void api_fill(uint64_t seed, float *out, size_t n);

/* Names in /proc/self/FOLDER: "task" (threads) or "fd"; -1 where there is no /proc. */
int api_count(const char *folder);

/* The call, in which e is its ef_error argument, must fail so: with a place and one
 * sentence, errno as it was; once with a struct, once with NULL. */
#define REFUSES(expected, call)                                                          \
    do {                                                                                 \
        ef_error *e = api_fresh_error();                                                 \
        api_refused((call), (expected), e, #call);                                       \
        e = NULL;                                                                        \
        api_fresh_error();                                                               \
        api_refused((call), (expected), e, #call);                                       \
    } while (0)
#define API_ERRNO 4711 /* what errno is set to before the call */

/* An error full of rubbish; static until the next call. Sets errno. */
ef_error *api_fresh_error(void);
/* Fails the test unless st and err are a refusal of this kind. */
void api_refused(ef_status st, ef_status expected, const ef_error *err, const char *call);

#endif
