/* pipeline.c - the functions of dfnet.h that read pipelines and answer from them. */
#include "lib/pipeline/pipeline.h"

#include "lib/base/file.h"
#include "lib/base/mem.h"

#include <errno.h>
#include <string.h>

void ef_pipeline_info_init(ef_pipeline_info *info, size_t struct_size)
{
    if (!info || struct_size < sizeof info->struct_size)
        return;
    memset(info, 0, struct_size);
    info->struct_size = struct_size;
}

void ef_pipeline_model_init(ef_pipeline_model *model, size_t struct_size)
{
    if (!model || struct_size < sizeof model->struct_size)
        return;
    memset(model, 0, struct_size);
    model->struct_size = struct_size;
}

ef_status ef_pipeline_parse_memory(const void *data, size_t size, const char *name,
                                   const ef_options *opt, ef_pipeline **out,
                                   ef_error *err)
{
    ef_options full;
    if ((!data && size) || !out)
        return dfn_fail(err, EF_E_ARG, out ? "data" : "out", "is NULL");
    const ef_status st = dfn_options_resolve(opt, &full, err);
    return st ? st
              : dfn_pipeline_parse(data, size, name ? name : "pipeline", NULL, &full, out,
                                   err);
}

/* path up to its last slash, in memory of its own. */
static char *folder_of(const char *path, const ef_options *opt)
{
    const char *slash = strrchr(path, '/');
    return dfn_strndup(&opt->allocator, path, slash ? (size_t)(slash - path) + 1 : 0);
}

static ef_status parse_path(const char *path, ef_options *full, ef_pipeline **out,
                            ef_error *err)
{
    struct dfn_blob blob = {0};
    if (full->limits.max_file_bytes > DFN_PIPELINE_BYTES)
        full->limits.max_file_bytes = DFN_PIPELINE_BYTES;
    ef_status st = dfn_read_file(path, full, &blob, err);
    if (st)
        return st;
    char *folder = folder_of(path, full);
    if (folder)
        st = dfn_pipeline_parse(blob.data, blob.size, path, folder, full, out, err);
    else
        st = dfn_fail(err, EF_E_NOMEM, path, "no memory for its folder's name");
    dfn_free(&full->allocator, folder);
    dfn_blob_free(full, &blob);
    return st;
}

ef_status ef_pipeline_parse_file(const char *path, const ef_options *opt,
                                 ef_pipeline **out, ef_error *err)
{
    ef_options full;
    const int saved = errno;
    if (!path || !out)
        return dfn_fail(err, EF_E_ARG, path ? "out" : "path", "is NULL");
    ef_status st = dfn_options_resolve(opt, &full, err);
    if (!st)
        st = parse_path(path, &full, out, err);
    errno = saved;
    return st;
}

void ef_pipeline_free(ef_pipeline *pipeline)
{
    if (!pipeline)
        return;
    const ef_allocator a = pipeline->allocator;
    const int saved = errno;
    dfn_free(&a, pipeline);
    errno = saved;
}

ef_status ef_pipeline_get_info(const ef_pipeline *pipeline, ef_pipeline_info *info,
                               ef_error *err)
{
    if (!pipeline || !info)
        return dfn_fail(err, EF_E_ARG, pipeline ? "info" : "pipeline", "is NULL");
    if (info->struct_size < sizeof *info || info->struct_size > 4096)
        return dfn_fail(err, EF_E_ARG, "pipeline info struct_size",
                        "is %zu; call ef_pipeline_info_init() first", info->struct_size);
    const size_t size = info->struct_size;
    memcpy(info, &pipeline->info, sizeof *info);
    info->struct_size = size;
    return EF_OK;
}

ef_status ef_pipeline_get_model(const ef_pipeline *pipeline, size_t index,
                                ef_pipeline_model *out, ef_error *err)
{
    if (!pipeline || !out)
        return dfn_fail(err, EF_E_ARG, pipeline ? "out" : "pipeline", "is NULL");
    if (out->struct_size < sizeof *out || out->struct_size > 4096)
        return dfn_fail(err, EF_E_ARG, "pipeline model struct_size",
                        "is %zu; call ef_pipeline_model_init() first", out->struct_size);
    if (index >= pipeline->nmodels)
        return dfn_fail(err, EF_E_ARG, "index", "is %zu, there are %zu models", index,
                        pipeline->nmodels);
    const size_t size = out->struct_size;
    memcpy(out, &pipeline->models[index], sizeof *out);
    out->struct_size = size;
    return EF_OK;
}

const ef_rule *ef_pipeline_rule(const ef_pipeline *pipeline)
{
    return pipeline ? &pipeline->rule : NULL;
}
