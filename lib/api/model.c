/* model.c - the "models" part of dfnet.h that needs no plan: loading, facts, labels,
 * probabilities. Called by programs; calls lib/model. */
#include "lib/model/model.h"
#include "dfn_config.h"
#include "lib/base/file.h"
#include "lib/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The struct as version 0.1 has it; an older caller cannot have a shorter one. */
#define INFO_SIZE sizeof(ef_model_info)
#define MOST_INFO 4096

/* ---- loading ---- */

/* What is not a regular file (a pipe, a terminal) is read whole first. */
static ef_status load_stream(int fd, const char *where, const ef_options *opt, bool keep,
                             ef_model **out, ef_error *err)
{
    struct dfn_blob blob;
    ef_status st = dfn_read_fd(fd, where, opt, &blob, err);
    if (st)
        return st;
    st = dfn_model_load_bytes(blob.data, blob.size, where, opt, keep, out, err);
    dfn_blob_free(opt, &blob);
    return st;
}

static ef_status load_fd(int fd, const char *where, const ef_options *opt, bool keep,
                         ef_model **out, ef_error *err)
{
    struct stat st;
    if (fstat(fd, &st))
        return dfn_fail_sys(err, errno, where, "cannot be examined");
    if (!S_ISREG(st.st_mode))
        return load_stream(fd, where, opt, keep, out, err);
    const off_t at = lseek(fd, 0, SEEK_CUR);
    if (at < 0)
        return dfn_fail_sys(err, errno, where, "has no position");
    const uint64_t size = st.st_size > at ? (uint64_t)(st.st_size - at) : 0;
    ef_model *model;
    const ef_status status =
        dfn_model_load_regular(fd, (uint64_t)at, size, where, opt, keep, &model, err);
    if (status)
        return status;
    /* As if it had been a pipe: who goes on reading finds the end. */
    if (lseek(fd, (off_t)size, SEEK_CUR) < 0) {
        dfn_model_unref(model);
        return dfn_fail_sys(err, errno, where, "cannot be moved to its end");
    }
    *out = model;
    return EF_OK;
}

static ef_status load_path(const char *path, const ef_options *opt, bool keep,
                           ef_model **out, ef_error *err)
{
    int fd;
    do
        fd = open(path, O_RDONLY | O_CLOEXEC);
    while (fd < 0 && errno == EINTR);
    if (fd < 0)
        return dfn_fail_sys(err, errno, path, "cannot be opened");
    const ef_status st = load_fd(fd, path, opt, keep, out, err);
    close(fd);
    return st;
}

ef_status ef_model_load_file(const char *path, const ef_options *opt, ef_model **out,
                             ef_error *err)
{
    ef_options full;
    const int saved = errno;
    if (!path || !out)
        return dfn_fail(err, EF_E_ARG, path ? "out" : "path", "is NULL");
    ef_status st = dfn_options_resolve(opt, &full, err);
    if (!st)
        st = load_path(path, &full, true, out, err);
    errno = saved;
    return st;
}

ef_status ef_model_load_memory(const void *data, size_t size, const ef_options *opt,
                               ef_model **out, ef_error *err)
{
    ef_options full;
    if (!data || !out)
        return dfn_fail(err, EF_E_ARG, data ? "out" : "data", "is NULL");
    const ef_status st = dfn_options_resolve(opt, &full, err);
    return st ? st : dfn_model_load_bytes(data, size, "memory", &full, true, out, err);
}

ef_status ef_model_load_fd(int fd, const ef_options *opt, ef_model **out, ef_error *err)
{
    ef_options full;
    const int saved = errno;
    if (fd < 0 || !out)
        return dfn_fail(err, EF_E_ARG, fd < 0 ? "fd" : "out",
                        fd < 0 ? "is negative" : "is NULL");
    ef_status st = dfn_options_resolve(opt, &full, err);
    if (!st)
        st = load_fd(fd, "file descriptor", &full, true, out, err);
    errno = saved;
    return st;
}

/* Where a default file may be. */
struct search {
    const char *variable; /* of the environment                                         */
    const char *places[2];
    const char *missing; /* what is wrong if it is nowhere                              */
};

static const struct search default_model = {
    .variable = "DFNET_MODEL",
    .places = {DFN_INSTALLED_MODEL, DFN_BUILD_TREE_MODEL},
    .missing = "no default model is installed, and DFNET_MODEL is not set"};
static const struct search default_detector = {
    .variable = "DFNET_DETECTOR",
    .places = {DFN_INSTALLED_DETECTOR, DFN_BUILD_TREE_DETECTOR},
    .missing = "no face detector is installed, and DFNET_DETECTOR is not set; ./dev "
               "detector (or python3 -m weights_tools convert-mtcnn) makes one"};

/* A named file is not searched further: who sets the variable wants that one or an error.
 */
static ef_status find_default(const struct search *s, const char **path, ef_error *err)
{
    const char *named = getenv(s->variable);
    if (named && *named) {
        *path = named;
        return access(named, R_OK)
                   ? dfn_fail_sys(err, errno, named, "%s names no such file", s->variable)
                   : EF_OK;
    }
    for (size_t i = 0; i < sizeof s->places / sizeof s->places[0]; i++) {
        *path = s->places[i];
        if (!access(*path, R_OK))
            return EF_OK;
    }
    return dfn_fail_sys(err, errno, s->places[0], "%s", s->missing);
}

static ef_status load_default(const struct search *s, const ef_options *opt,
                              ef_model **out, ef_error *err)
{
    const int saved = errno;
    const char *path;
    if (!out)
        return dfn_fail(err, EF_E_ARG, "out", "is NULL");
    ef_status st = find_default(s, &path, err);
    if (!st)
        st = ef_model_load_file(path, opt, out, err);
    errno = saved;
    return st;
}

ef_status ef_model_load_default(const ef_options *opt, ef_model **out, ef_error *err)
{
    return load_default(&default_model, opt, out, err);
}

ef_status ef_detector_model_load_default(const ef_options *opt, ef_model **out,
                                         ef_error *err)
{
    return load_default(&default_detector, opt, out, err);
}

ef_status ef_model_default_path(char *buf, size_t cap, ef_error *err)
{
    const int saved = errno;
    const char *path;
    if (!buf)
        return dfn_fail(err, EF_E_ARG, "buf", "is NULL");
    const ef_status st = find_default(&default_model, &path, err);
    errno = saved;
    if (st)
        return st;
    const size_t need = strlen(path) + 1;
    if (need > cap)
        return dfn_fail(err, EF_E_LIMIT, "cap", "is %zu, the path needs %zu bytes", cap,
                        need);
    memcpy(buf, path, need);
    return EF_OK;
}

void ef_model_free(ef_model *model)
{
    const int saved = errno;
    dfn_model_unref(model);
    errno = saved;
}

/* ---- facts ---- */

void ef_model_info_init(ef_model_info *info, size_t struct_size)
{
    if (!info || struct_size < sizeof info->struct_size)
        return;
    memset(info, 0, struct_size);
    info->struct_size = struct_size;
}

static ef_status check_info(const ef_model_info *info, ef_error *err)
{
    if (info->struct_size < INFO_SIZE || info->struct_size > MOST_INFO)
        return dfn_fail(err, EF_E_ARG, "info.struct_size",
                        "is %zu; call ef_model_info_init() first", info->struct_size);
    return EF_OK;
}

/* At most size - 1 bytes and a NUL; the loader has checked that the whole text fits. */
static void copy_text(char *out, size_t size, const char *text)
{
    const size_t len = strlen(text);
    memcpy(out, text, len < size ? len : size - 1);
}

/* A newer program's struct is longer than ours: its extra fields become zero, and so do
 * the gaps between fields. */
static void fill_info(const ef_model *m, ef_model_info *info)
{
    const struct dfn_meta *meta = &m->meta;
    const size_t size = info->struct_size;
    memset(info, 0, size);
    info->struct_size = size;
    copy_text(info->name, sizeof info->name, dfn_model_pair(m, "dfnet.name"));
    copy_text(info->variant, sizeof info->variant,
              dfn_model_pair(m, meta->detector ? "dfnet.detector" : "dfnet.variant"));
    copy_text(info->hash, sizeof info->hash, m->hash);
    info->height = meta->height;
    info->width = meta->width;
    info->outputs = m->arch.outputs;
    info->fake = meta->fake;
    info->softmax = meta->softmax;
    info->blocks = m->nblocks;
    info->parameters = m->parameters;
    if (!meta->detector)
        info->macs = dfn_meta_macs(meta, &m->arch, m->blocks, m->nblocks, meta->height,
                                   meta->width);
    info->file_bytes = m->file_bytes;
    info->bytes_needed = m->bytes_needed;
    info->temperature = meta->temperature;
    info->real_below = meta->real_below;
    info->fake_from = meta->fake_from;
    info->frames = dfn_arch_frames(&m->arch);
    info->maps = m->arch.maps;
    info->looks = meta->look ? 2 : 1;
}

ef_status ef_model_get_info(const ef_model *model, ef_model_info *info, ef_error *err)
{
    if (!model || !info)
        return dfn_fail(err, EF_E_ARG, model ? "info" : "model", "is NULL");
    const ef_status st = check_info(info, err);
    if (!st)
        fill_info(model, info);
    return st;
}

/* What both ways of validating do around the reading. */
static ef_status begin_validate(const ef_options *opt, const ef_model_info *info,
                                ef_options *full, ef_error *err)
{
    const ef_status st = info ? check_info(info, err) : EF_OK;
    return st ? st : dfn_options_resolve(opt, full, err);
}

static void end_validate(ef_model *model, ef_model_info *info)
{
    if (info)
        fill_info(model, info);
    dfn_model_unref(model);
}

ef_status ef_model_validate_file(const char *path, const ef_options *opt,
                                 ef_model_info *info, ef_error *err)
{
    ef_options full;
    ef_model *model = NULL;
    const int saved = errno;
    if (!path)
        return dfn_fail(err, EF_E_ARG, "path", "is NULL");
    ef_status st = begin_validate(opt, info, &full, err);
    if (!st && !(st = load_path(path, &full, false, &model, err)))
        end_validate(model, info);
    errno = saved;
    return st;
}

ef_status ef_model_validate_memory(const void *data, size_t size, const ef_options *opt,
                                   ef_model_info *info, ef_error *err)
{
    ef_options full;
    ef_model *model = NULL;
    if (!data)
        return dfn_fail(err, EF_E_ARG, "data", "is NULL");
    ef_status st = begin_validate(opt, info, &full, err);
    if (!st &&
        !(st = dfn_model_load_bytes(data, size, "memory", &full, false, &model, err)))
        end_validate(model, info);
    return st;
}

const char *ef_model_metadata(const ef_model *model, const char *key)
{
    return model && key ? dfn_model_pair(model, key) : NULL;
}

const char *ef_model_label(const ef_model *model, int output)
{
    if (!model || !model->meta.labels || output < 0 || output >= model->arch.outputs)
        return NULL;
    return model->meta.labels[output];
}

/* ---- probabilities ---- */

/* In double: exp() of what is not positive neither overflows nor loses its digits. */
static double sigmoid(double x)
{
    const double e = exp(-fabs(x));
    return x < 0 ? e / (1 + e) : 1 / (1 + e);
}

static void softmax(const float *logits, int n, double temperature, float *out)
{
    double sum = 0, most = logits[0];
    for (int i = 1; i < n; i++)
        most = logits[i] > most ? logits[i] : most;
    for (int i = 0; i < n; i++)
        sum += exp((logits[i] - most) / temperature);
    for (int i = 0; i < n; i++)
        out[i] = (float)(exp((logits[i] - most) / temperature) / sum);
}

ef_status ef_model_probabilities(const ef_model *model, const float *logits,
                                 float *probabilities, ef_error *err)
{
    if (!model || !logits || !probabilities)
        return dfn_fail(err, EF_E_ARG,
                        !model    ? "model"
                        : !logits ? "logits"
                                  : "probabilities",
                        "is NULL");
    if (model->meta.detector)
        return dfn_fail(err, EF_E_ARG, "model",
                        "is a face detector, which gives no probabilities");
    const int n = model->arch.outputs;
    const double temperature = model->meta.temperature;
    const int saved = errno;
    for (int i = 0; i < n; i++)
        if (!isfinite(logits[i]))
            return dfn_fail(err, EF_E_NUMERIC, "logits", "logit %d is NaN or infinite",
                            i);
    if (model->meta.softmax)
        softmax(logits, n, temperature, probabilities);
    else
        for (int i = 0; i < n; i++)
            probabilities[i] = (float)sigmoid(logits[i] / temperature);
    /* exp() may report an underflow that is none of the caller's business. */
    errno = saved;
    return EF_OK;
}
