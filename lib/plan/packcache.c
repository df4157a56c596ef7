/* packcache.c - see packcache.h. Mostly empty: the store has the layouts of this
 * machine's kernels (model.h). A list is enough: a model has some hundred tensors, and
 * sessions look things up only while they are created. */
#include "lib/plan/packcache.h"

#include "lib/base/mem.h"

struct dfn_packed {
    struct dfn_packed *next;
    int block;
    enum dfn_role role;
    enum dfn_layout layout;
    float *data;
};

static void free_packs(ef_model *m)
{
    for (struct dfn_packed *p = m->packs, *next; p; p = next) {
        next = p->next;
        dfn_free(&m->opt.allocator, p->data);
        dfn_free(&m->opt.allocator, p);
    }
    m->packs = NULL;
}

/* From the store's layout, one output after the other, to the one that is wanted. */
static void convert(const ef_model *m, const struct dfn_pack_want *w, float *out)
{
    const size_t inputs = (size_t)w->cin, taps = (size_t)w->kernel * (size_t)w->kernel;
    const struct dfn_pack_shape to = {w->layout, w->cout, w->cin, w->kernel};
    struct dfn_pack_shape from = to;
    from.layout = dfn_model_layout(m, w->role, w->cout);
    const float *store = dfn_model_weight(m, w->block, w->role);
    for (size_t o = 0; o < (size_t)w->cout; o++)
        for (size_t i = 0; i < inputs; i++)
            for (size_t t = 0; t < taps; t++)
                out[dfn_pack_at(&to, o, i, t)] = store[dfn_pack_at(&from, o, i, t)];
    dfn_pack_gaps(&to, out);
}

static ef_status make(ef_model *m, const struct dfn_pack_want *w, struct dfn_packed **out,
                      ef_error *err)
{
    const ef_allocator *a = &m->opt.allocator;
    const size_t bytes =
        dfn_pack_count(w->layout, w->cout, w->cin, w->kernel) * sizeof(float);
    struct dfn_packed *p = dfn_calloc(a, sizeof *p);
    if (p)
        p->data = dfn_alloc(a, bytes);
    if (!p || !p->data) {
        dfn_free(a, p);
        return dfn_fail(err, EF_E_NOMEM, "packed weights", "no memory for %zu bytes",
                        bytes);
    }
    p->block = w->block;
    p->role = w->role;
    p->layout = w->layout;
    convert(m, w, p->data);
    p->next = m->packs;
    m->packs = p;
    m->free_packs = free_packs;
    *out = p;
    return EF_OK;
}

ef_status dfn_pack_get(const ef_model *model, const struct dfn_pack_want *w,
                       const float **out, ef_error *err)
{
    if (w->layout == dfn_model_layout(model, w->role, w->cout)) {
        *out = dfn_model_weight(model, w->block, w->role);
        return EF_OK;
    }
    /* The cache is the one thing in a model that changes; its lock makes that safe. */
    ef_model *m = (ef_model *)(uintptr_t)model;
    ef_status st = EF_OK;
    pthread_mutex_lock(&m->pack_lock);
    struct dfn_packed *p = m->packs;
    while (p && !(p->block == w->block && p->role == w->role && p->layout == w->layout))
        p = p->next;
    if (!p)
        st = make(m, w, &p, err);
    if (!st)
        *out = p->data;
    pthread_mutex_unlock(&m->pack_lock);
    return st;
}
