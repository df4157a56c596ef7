/* fixture.c - see fixture.h. */
#include "tests/model/fixture.h"

#include <string.h>

struct test_mem mem;
ef_options opt;
struct nano nano;
ef_model *model;
ef_error err;

void setup(void)
{
    test_mem_init(&mem);
    test_options(&opt, &mem);
    nano_init(&nano);
    assert_status(ef_model_load_memory(nano.file, nano.size, &opt, &model, &err), EF_OK,
                  &err);
}

void teardown(void)
{
    ef_model_free(model);
    ck_assert_int_eq(mem.live, 0);
    ck_assert_uint_eq(mem.bytes, 0);
    nano_free(&nano);
}

/* Loads what nano's texts say after an edit. */
void reload(void)
{
    ef_model_free(model);
    nano_assemble(&nano);
    ck_assert(nano_repair(nano.file, nano.size));
    assert_status(ef_model_load_memory(nano.file, nano.size, &opt, &model, &err), EF_OK,
                  &err);
}

void edit(const char *find, const char *replacement)
{
    ck_assert_msg(nano_replace(&nano, find, replacement), "%s", find);
}

const float *weights_of(const ef_model *m, int t, struct dfn_pack_shape *shape)
{
    struct dfn_tensor_spec specs[64];
    const int n = dfn_arch_tensors(&m->arch, m->blocks, m->nblocks, specs);
    ck_assert_int_eq(n, NANO_TENSORS);
    for (int i = 0; i < n; i++)
        if (!strcmp(specs[i].name, nano_name(t))) {
            const struct dfn_tensor_spec *s = &specs[i];
            ck_assert_uint_eq(s->count, (uint64_t)nano_count(t));
            *shape = (struct dfn_pack_shape){dfn_model_layout(m, s->role, s->shape[0]),
                                             s->shape[0], s->ndim > 1 ? s->shape[1] : 1,
                                             s->ndim > 2 ? s->shape[2] : 1};
            return dfn_model_weight(m, specs[i].block, specs[i].role);
        }
    ck_abort_msg("%s is not in the architecture", nano_name(t));
}
