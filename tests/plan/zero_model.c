/* zero_model.c - see zero_model.h. */
#include "tests/plan/zero_model.h"

#include "tests/support/support.h"

#include <stdlib.h>
#include <string.h>

static float *zeros; /* as many as the largest tensor has */
#define ZEROS ((size_t)1 << 24)

/* Packed copies all share one block: nobody will read them. */
static char *shared_block;
#define SHARED ((size_t)64 << 20)

static void *shared_alloc(void *user, size_t size)
{
    (void)user;
    return size <= 4096 ? malloc(size) : size <= SHARED ? shared_block : NULL;
}

static void shared_free(void *user, void *block)
{
    (void)user;
    if (block != shared_block)
        free(block);
}

ef_model *zero_model(const char *stages, int stem, int head, const int more[3])
{
    ef_error err;
    ef_model *m = calloc(1, sizeof *m);
    ck_assert_ptr_nonnull(m);
    ef_options_init(&m->opt, sizeof m->opt);
    m->opt.allocator = (ef_allocator){shared_alloc, shared_free, NULL};
    m->arch.stem = stem;
    m->arch.head = head;
    m->arch.outputs = 3;
    assert_status(dfn_arch_parse_stages(stages, strlen(stages), &m->arch, &err), EF_OK,
                  &err);
    m->nblocks = dfn_arch_blocks(&m->arch, NULL);
    m->arch.maps = more ? more[0] : 0;
    m->arch.gate = more ? more[1] % (m->nblocks + 1) : 0;
    m->arch.frames = more ? more[2] : 0;
    m->blocks = calloc((size_t)m->nblocks, sizeof *m->blocks);
    dfn_arch_blocks(&m->arch, m->blocks);
    const size_t n = ((size_t)m->nblocks + 1) * DFN_ROLES;
    m->weights = calloc(n, sizeof *m->weights);
    for (size_t i = 0; i < n; i++)
        m->weights[i] = zeros;
    ck_assert_int_eq(pthread_mutex_init(&m->pack_lock, NULL), 0);
    return m;
}

void zero_model_free(ef_model *m)
{
    if (m->free_packs)
        m->free_packs(m);
    pthread_mutex_destroy(&m->pack_lock);
    free(m->weights);
    free(m->blocks);
    free(m);
}

bool zero_model_open(void)
{
    zeros = calloc(ZEROS, sizeof *zeros);
    shared_block = malloc(SHARED);
    return zeros && shared_block;
}

void zero_model_close(void)
{
    free(zeros);
    free(shared_block);
}
