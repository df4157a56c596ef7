/* pipeline.c - ef_pipeline_load_model(): a model file, cropped as a pipeline says. */
#include "lib/pipeline/pipeline.h"

#include "lib/base/mem.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* The crop's fields over those of the file; the rest stays. The model has one owner yet,
 * so that it may still change. */
static ef_status set_crop(const ef_pipeline *p, size_t index, ef_model *model,
                          const char *path, ef_error *err)
{
    const ef_pipeline_model *m = &p->models[index];
    ef_status st = EF_OK;
    if (model->meta.detector)
        st = dfn_fail(err, EF_E_ARG, path, "is a detector");
    if (!st && p->crop_of[index] >= 0) {
        const struct dfn_pipeline_crop *c = &p->crops[p->crop_of[index]];
        st = dfn_meta_parse_crop(c->pairs, c->npairs, &model->meta, err);
        if (!st)
            st = dfn_meta_check_sizes(&model->meta, &model->arch, model->blocks,
                                      model->nblocks, err);
    }
    if (m->flip >= 0)
        model->meta.flip = m->flip == 1;
    return st;
}

static ef_status load(const ef_pipeline *p, size_t index, const char *path,
                      const ef_options *opt, ef_model **out, ef_error *err)
{
    ef_model *model = NULL;
    ef_status st = ef_model_load_file(path, opt, &model, err);
    if (st)
        return st;
    st = set_crop(p, index, model, path, err);
    if (st)
        ef_model_free(model);
    else
        *out = model;
    return st;
}

static ef_status load_from_folder(const ef_pipeline *p, size_t index,
                                  const ef_options *opt, ef_model **out, ef_error *err)
{
    const char *file = p->models[index].file;
    if (!p->folder)
        return dfn_fail(err, EF_E_ARG, file,
                        "the pipeline came from memory: give the model's path");
    const size_t size = strlen(p->folder) + strlen(file) + 1;
    char *path = dfn_alloc(&p->allocator, size);
    if (!path)
        return dfn_fail(err, EF_E_NOMEM, file, "no memory for its path");
    snprintf(path, size, "%s%s", p->folder, file);
    const ef_status st = load(p, index, path, opt, out, err);
    dfn_free(&p->allocator, path);
    return st;
}

ef_status ef_pipeline_load_model(const ef_pipeline *pipeline, size_t index,
                                 const char *path, const ef_options *opt, ef_model **out,
                                 ef_error *err)
{
    const int saved = errno;
    if (!pipeline || !out)
        return dfn_fail(err, EF_E_ARG, pipeline ? "out" : "pipeline", "is NULL");
    if (index >= pipeline->nmodels)
        return dfn_fail(err, EF_E_ARG, "index", "is %zu, there are %zu models", index,
                        pipeline->nmodels);
    const ef_status st = path ? load(pipeline, index, path, opt, out, err)
                              : load_from_folder(pipeline, index, opt, out, err);
    errno = saved;
    return st;
}
