/* fuzz_pipeline.c - any bytes as a pipeline; what is accepted must hold what it
 * promises. */
#include "dfnet/dfnet.h"

#include <math.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void want(int good)
{
    if (!good)
        __builtin_trap();
}

/* user: bytes so far; every text must end within what the file can hold. */
static int count(void *user, const char *text, size_t length)
{
    *(size_t *)user += length;
    want(memchr(text, 0, length) == NULL);
    return 0;
}

static void check_models(const ef_pipeline *p, size_t n)
{
    ef_pipeline_model m;
    ef_pipeline_model_init(&m, sizeof m);
    for (size_t i = 0; i < n; i++) {
        want(ef_pipeline_get_model(p, i, &m, NULL) == EF_OK);
        want(m.file[0] != '/' && m.file[0] != '.' && !strstr(m.file, "/.") &&
             strlen(m.file) > 0 && m.weight > 0);
    }
    want(ef_pipeline_get_model(p, n, &m, NULL) == EF_E_ARG);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ef_pipeline *p = NULL;
    ef_error err;
    ef_pipeline_info info;
    size_t described = 0;
    const ef_status st = ef_pipeline_parse_memory(data, size, "fuzz", NULL, &p, &err);
    if (st) {
        want(!p && err.where[0] && err.what[0] && err.status == st);
        return 0;
    }
    ef_pipeline_info_init(&info, sizeof info);
    want(ef_pipeline_get_info(p, &info, &err) == EF_OK);
    want(info.model_count >= 1 && info.model_count <= 64 && info.lacks[0]);
    check_models(p, info.model_count);
    want(ef_pipeline_describe(p, count, &described, &err) == EF_OK);
    want(described > 0);
    /* The rule is one that ef_combine() takes. */
    ef_score s[2] = {{1, 0, 0, 0}, {-2, 0, 1, 1}};
    ef_combined out;
    ef_combined_init(&out, sizeof out);
    want(ef_combine(ef_pipeline_rule(p), s, 2, s, &out, &err) == EF_OK);
    want(out.fake >= 0 && out.fake <= 1 && isfinite(out.logit));
    ef_pipeline_free(p);
    return 0;
}
