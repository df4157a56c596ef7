/* heatmap.c - the "where it looked" part of dfnet.h. The map comes from a tap on the step
 * before the global pool, or on the attention maps and what they pooled: after the run,
 * the arena has given that memory to others. */
#include "lib/face/heatmap.h"
#include "lib/api/classifier.h"
#include "lib/base/mem.h"

#include <math.h>
#include <string.h>

/* The last feature map is the output of this step (lib/plan/build.c). */
#define FEATURE_STEP "head"
/* And these in a network with attention maps. */
#define MAPS_STEP "attention"
#define PARTS_STEP "parts"

/* One block: struct owner, then the map's values [h][w], then the direction [features],
 * then the views' attention maps [views][h][w][maps]. */
struct owner {
    ef_allocator allocator;
};

struct collector {
    const double *weights; /* [features]                                                */
    float *values;         /* [h][w]                                                    */
    float *kept;           /* [views][h][w][maps]                                       */
    int views, h, w, maps;
    bool done; /* the first look is over                                                */
};

/* Attention maps come first, then what they pooled; a second look brings both again. */
static void collect_maps(struct collector *k, const char *name, const float *data, int n,
                         int c)
{
    const size_t cells = (size_t)k->h * (size_t)k->w * (size_t)k->maps;
    const int views = k->views < n ? k->views : n;
    if (!strcmp(name, MAPS_STEP)) {
        memcpy(k->kept, data, (size_t)views * cells * sizeof *data);
    } else if (!strcmp(name, PARTS_STEP)) {
        for (int view = 0; view < views; view++)
            dfn_heatmap_add_maps(k->kept + (size_t)view * cells, k->h, k->w, k->maps,
                                 data + (size_t)view * (size_t)c, c / k->maps, k->weights,
                                 1.0 / k->views, view == 1, k->values);
        k->done = true;
    }
}

static int collect(void *user, const char *name, const float *data, int n, int h, int w,
                   int c)
{
    struct collector *k = user;
    if (k->maps && !k->done)
        collect_maps(k, name, data, n, c);
    if (k->maps || strcmp(name, FEATURE_STEP))
        return 0;
    /* One face: its views lie one behind the other, the mirror image second. */
    for (int view = 0; view < k->views && view < n; view++)
        dfn_heatmap_add(data + (size_t)view * (size_t)(h * w) * (size_t)c, h, w, c,
                        k->weights, 1.0 / k->views, view == 1, k->values);
    return 0;
}

static const struct dfn_value *feature_shape(const struct dfn_plan *p)
{
    for (int i = 0; i < p->nsteps; i++)
        if (!strcmp(p->steps[i].name, FEATURE_STEP))
            return &p->values[p->steps[i].out];
    return NULL;
}

/* The block, and the collector that points into it. */
static ef_status prepare(const ef_classifier *c, const ef_session *s, ef_heatmap *map,
                         struct collector *k, ef_error *err)
{
    const struct dfn_value *v = feature_shape(&s->plan);
    if (!v)
        return dfn_fail(err, EF_E_UNSUPPORTED, "heat map",
                        "this network has no feature map before its classifier");
    const size_t cells = (size_t)v->h * (size_t)v->w;
    const size_t values = dfn_align_up(sizeof(struct owner));
    const size_t weights = dfn_align_up(values + cells * sizeof(float));
    const size_t features = (size_t)dfn_arch_features(&s->model->arch);
    const size_t kept = dfn_align_up(weights + features * sizeof(double));
    const int maps = s->model->arch.maps, views = s->model->meta.flip ? 2 : 1;
    char *block = dfn_calloc(&c->opt.allocator,
                             kept + (size_t)(views * maps) * cells * sizeof(float));
    if (!block)
        return dfn_fail(err, EF_E_NOMEM, "heat map", "no memory for %zu values", cells);
    ((struct owner *)(void *)block)->allocator = c->opt.allocator;
    double bias;
    double *direction = (double *)(void *)(block + weights);
    dfn_heatmap_direction(s->model, direction, &bias);
    *k = (struct collector){.weights = direction,
                            .values = (float *)(void *)(block + values),
                            .kept = (float *)(void *)(block + kept),
                            .views = views,
                            .h = v->h,
                            .w = v->w,
                            .maps = maps};
    *map = (ef_heatmap){.values = (float *)(void *)(block + values),
                        .height = v->h,
                        .width = v->w,
                        .bias = (float)bias,
                        .owner = block};
    return EF_OK;
}

/* Scores the face, or found, by a plan that has both views of every tensor. */
static ef_status score_tapped(ef_classifier *c, ef_session *s, const ef_image *img,
                              const ef_face *face, const ef_detection *found,
                              struct collector *k, ef_result *out, ef_error *err)
{
    ef_error ignored;
    ef_status st = dfn_plan_rebuild(&s->plan, &s->opt, true, err);
    if (st)
        return st;
    s->tap = collect;
    s->tap_user = k;
    st = found ? ef_classify_detections(c, img, found, 1, out, err)
               : ef_classify_face(c, img, face, out, err);
    s->tap = NULL;
    s->tap_user = NULL;
    const ef_status back =
        dfn_plan_rebuild(&s->plan, &s->opt, false, st ? &ignored : err);
    return st ? st : back;
}

/* The face, or found, if that is not NULL. */
static ef_status classify_heatmap(ef_classifier *c, const ef_image *img,
                                  const ef_face *face, const ef_detection *found,
                                  size_t model, ef_result *out, ef_heatmap *map,
                                  ef_error *err)
{
    if (!c || !img || !map)
        return dfn_fail(err, EF_E_ARG,
                        !c     ? "classifier"
                        : !img ? "img"
                               : "map",
                        "is NULL");
    if (model >= (size_t)c->nmembers)
        return dfn_fail(err, EF_E_ARG, "model", "is %zu, the classifier has %d", model,
                        c->nmembers);
    ef_session *s = c->members[model].session;
    const bool whole = !found && (!face || face->mode == EF_FACE_WHOLE);
    ef_heatmap fresh = {0};
    ef_detection detected;
    ef_result own, *result = out ? out : &own;
    struct collector k;
    ef_result_init(&own, sizeof own);
    ef_status st = prepare(c, s, &fresh, &k, err);
    if (!st && !found && face && face->mode == EF_FACE_DETECT) {
        st = dfn_find_face(c, img, &detected, err);
        found = &detected;
    }
    if (!st)
        st = score_tapped(c, s, img, face, found, &k, result, err);
    if (!st && found && s->model->meta.align.height)
        st = dfn_heatmap_area_aligned(s->model, found->landmarks, &fresh.area,
                                      &fresh.angle, err);
    else if (!st)
        st = dfn_heatmap_area(s->model, img, whole ? NULL : &result->box, &fresh.area,
                              err);
    if (st) {
        ef_heatmap_free(&fresh);
        return st;
    }
    *map = fresh;
    return EF_OK;
}

ef_status ef_classify_heatmap(ef_classifier *c, const ef_image *img, const ef_face *face,
                              size_t model, ef_result *out, ef_heatmap *map,
                              ef_error *err)
{
    return classify_heatmap(c, img, face, NULL, model, out, map, err);
}

ef_status ef_classify_detection_heatmap(ef_classifier *c, const ef_image *img,
                                        const ef_detection *face, size_t model,
                                        ef_result *out, ef_heatmap *map, ef_error *err)
{
    return face ? classify_heatmap(c, img, NULL, face, model, out, map, err)
                : dfn_fail(err, EF_E_ARG, "face", "is NULL");
}

void ef_heatmap_free(ef_heatmap *map)
{
    if (!map)
        return;
    if (map->owner) {
        const ef_allocator a = ((struct owner *)map->owner)->allocator;
        dfn_free(&a, map->owner);
    }
    memset(map, 0, sizeof *map);
}

static ef_status check_map(const ef_heatmap *m, float opacity, float full, ef_error *err)
{
    if (!m->values || m->height < 1 || m->width < 1 || m->height > 4096 ||
        m->width > 4096)
        return dfn_fail(err, EF_E_ARG, "map", "has no values");
    /* Written so that NaN fails. */
    if (!(m->area.w > 0 && m->area.h > 0 && isfinite(m->area.x) && isfinite(m->area.y) &&
          isfinite(m->area.w) && isfinite(m->area.h) && isfinite(m->angle)))
        return dfn_fail(err, EF_E_ARG, "map", "has no area");
    if (!(opacity >= 0 && opacity <= 1) || !(full >= 0 && isfinite(full)))
        return dfn_fail(err, EF_E_ARG, "opacity, full",
                        "are %g, %g: must be 0 to 1, and 0 or more", (double)opacity,
                        (double)full);
    for (int i = 0; i < m->height * m->width; i++)
        if (!isfinite(m->values[i]))
            return dfn_fail(err, EF_E_NUMERIC, "map", "value %d is not a finite number",
                            i);
    return EF_OK;
}

ef_status ef_heatmap_draw(const ef_heatmap *map, const ef_image *img, float opacity,
                          float full, const ef_options *opt, ef_image *out, ef_error *err)
{
    ef_options all;
    if (!map || !img || !out)
        return dfn_fail(err, EF_E_ARG, !map ? "map" : !img ? "img" : "out", "is NULL");
    ef_status st = dfn_options_resolve(opt, &all, err);
    if (!st)
        st = dfn_image_check(img, err);
    if (!st)
        st = check_map(map, opacity, full, err);
    return st ? st : dfn_heatmap_draw(map, img, opacity, full, &all, out, err);
}
