/* load.c - model file to ef_model. Called by lib/api/model.c.
 *
 * The file is read once, front to back, and the hash is taken on the way:
 *
 *   length | header, <= 4 MiB | data, tensor after tensor through a small buffer
 *          '- metadata -> arch -> the tensors that must be there, in which shape
 *
 * Each tensor goes into the store in the layout that this machine's kernels want
 * (model.h): 16 rows of a matrix are read, hashed, checked and put in place while they
 * are in the second-level cache, and no second copy is ever made.
 *
 * Memory: the header goes before the weights come. Whatever a number in the file asks for
 * has been compared with the bytes that really are there: the tensors' table with the
 * header's length, reference logits and labels with their count, the store with the
 * data's size, which must be the sum of the shapes. README.md, "Memory", has the bound.
 *
 * Bytes are put together by shifts, so that big-endian machines read the same numbers. */
#include "kernels/cpu.h"
#include "kernels/kernels.h"
#include "lib/base/hash.h"
#include "lib/base/mem.h"
#include "lib/base/number.h"
#include "lib/model/header.h"
#include "lib/model/source.h"

#include <errno.h>
#include <string.h>

#define MAX_HEADER ((uint64_t)4 << 20)
#define HEADER_ALIGN 64
#define LENGTH_BYTES 8

/* "a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]} has 52 bytes. */
#define LEAST_ENTRY 52

/* F32 that keeps its layout is read straight into the store, in pieces that stay in the
 * second-level cache between reading, hashing and checking; what changes its layout goes
 * through a block of this size, or less if no tensor is so large. */
#define CHUNK ((size_t)256 << 10)
/* F16, and everything if nothing is kept, goes through the stack: small threads have 128
 * KiB. */
#define STACK_CHUNK ((size_t)16 << 10)
/* Rows that are put in place together: the columns of the widest panel. */
#define ROWS 16

struct loader {
    const ef_options *opt;
    struct dfn_source src;
    ef_model *model;
    ef_error *err;
    bool keep;

    uint8_t *header; /* [header_size]                                                   */
    size_t header_size;
    struct dfn_raw_meta raw; /* spans of the header                                     */
    struct dfn_json json;
    struct dfn_hash hash;

    /* One temporary block, `table`: */
    struct dfn_tensor_spec *specs; /* [nspecs], canonical order                         */
    size_t *offsets;               /* [nspecs], canonical order: floats into the store  */
    struct dfn_file_tensor *file;  /* [nspecs], order of the file                       */
    bool *seen;                    /* [nspecs]                                          */
    void *table;
    size_t table_size;
    int nspecs;
    size_t store_floats;

    float *chunk; /* [chunk_floats]; NULL if nothing changes its layout                 */
    size_t chunk_floats;

    uint64_t live, peak; /* by the allocator hook's count, as if everything were kept */
};

/* ---- memory ---- */

static void count(struct loader *l, size_t size)
{
    l->live += dfn_alloc_cost(size);
    if (l->live > l->peak)
        l->peak = l->live;
}

/* A block, or NULL with the error filled in. */
static void *take(struct loader *l, size_t size)
{
    void *block = dfn_alloc(&l->opt->allocator, size);
    if (!block)
        dfn_fail(l->err, EF_E_NOMEM, "memory", "no memory for %zu bytes", size);
    else
        count(l, size);
    return block;
}

static void give_back(struct loader *l, void *block, size_t size)
{
    dfn_free(&l->opt->allocator, block);
    l->live -= dfn_alloc_cost(size);
}

/* ---- header ---- */

static ef_status read_header(struct loader *l)
{
    uint8_t start[LENGTH_BYTES];
    uint64_t n = 0;
    ef_status st = dfn_source_read(&l->src, start, sizeof start, "header", l->err);
    if (st)
        return st;
    for (int i = LENGTH_BYTES - 1; i >= 0; i--)
        n = n << 8 | start[i];
    if (n > MAX_HEADER || n > l->src.size - l->src.at ||
        (n + LENGTH_BYTES) % HEADER_ALIGN)
        return dfn_fail(l->err, EF_E_FORMAT, "header",
                        "its length %llu is not possible: this is no dfnet model",
                        (unsigned long long)n);
    l->header_size = (size_t)n;
    l->header = take(l, l->header_size);
    if (!l->header)
        return EF_E_NOMEM;
    st = dfn_source_read(&l->src, l->header, l->header_size, "header", l->err);
    l->json = (struct dfn_json){.data = l->header, .size = l->header_size};
    return st;
}

/* Unescaped metadata: pairs and behind them their text, one block of the model. */
static ef_status take_texts(struct loader *l)
{
    ef_model *m = l->model;
    const size_t pairs = (size_t)l->raw.npairs * sizeof(struct dfn_pair);
    m->pairs = take(l, pairs + l->raw.text);
    if (!m->pairs)
        return EF_E_NOMEM;
    m->npairs = l->raw.npairs;
    dfn_header_texts(&l->json, &l->raw, (char *)(m->pairs + m->npairs), m->pairs);
    return EF_OK;
}

/* A detector has no blocks: its tensors are a fixed list. */
static ef_status take_blocks(struct loader *l)
{
    ef_model *m = l->model;
    if (m->meta.detector)
        return EF_OK;
    m->nblocks = dfn_arch_blocks(&m->arch, NULL);
    m->blocks = take(l, (size_t)m->nblocks * sizeof m->blocks[0]);
    if (!m->blocks)
        return EF_E_NOMEM;
    dfn_arch_blocks(&m->arch, m->blocks);
    return dfn_meta_check_sizes(&m->meta, &m->arch, m->blocks, m->nblocks, l->err);
}

static int list_tensors(const ef_model *m, struct dfn_tensor_spec *out)
{
    return m->meta.detector ? dfn_detector_tensors(out)
                            : dfn_arch_tensors(&m->arch, m->blocks, m->nblocks, out);
}

/* Where model.weights has this tensor, and how many places there are. */
static size_t place_of(const ef_model *m, const struct dfn_tensor_spec *spec)
{
    return m->meta.detector ? (size_t)(spec->block * DFN_PARTS + (int)spec->role)
                            : (size_t)((spec->block + 1) * DFN_ROLES + (int)spec->role);
}

static size_t places(const ef_model *m)
{
    return m->meta.detector ? (size_t)DFN_DETECTOR_LAYERS * DFN_PARTS
                            : ((size_t)m->nblocks + 1) * DFN_ROLES;
}

/* Room for what the architecture wants; the header must be long enough to list it. */
static ef_status take_table(struct loader *l)
{
    const ef_model *m = l->model;
    l->nspecs = list_tensors(m, NULL);
    const size_t n = (size_t)l->nspecs;
    if (n > l->header_size / LEAST_ENTRY)
        return dfn_fail(l->err, EF_E_FORMAT, "header",
                        "is too short to list the %d tensors of this architecture",
                        l->nspecs);
    const size_t specs = n * sizeof l->specs[0], offsets = n * sizeof l->offsets[0];
    const size_t file = n * sizeof l->file[0];
    l->table_size = specs + offsets + file + n * sizeof l->seen[0];
    l->table = take(l, l->table_size);
    if (!l->table)
        return EF_E_NOMEM;
    l->specs = l->table;
    l->offsets = (size_t *)(void *)((char *)l->table + specs);
    l->file = (struct dfn_file_tensor *)(void *)((char *)l->offsets + offsets);
    l->seen = (bool *)((char *)l->file + file);
    memset(l->seen, 0, n * sizeof l->seen[0]);
    list_tensors(m, l->specs);
    return EF_OK;
}

/* A tensor as the store has it. */
static struct dfn_pack_shape shape_of(const struct loader *l,
                                      const struct dfn_tensor_spec *spec)
{
    const struct dfn_pack_shape s = {
        dfn_model_layout(l->model, spec->role, spec->shape[0]), spec->shape[0],
        spec->ndim > 1 ? spec->shape[1] : 1, spec->ndim > 2 ? spec->shape[2] : 1};
    return s;
}

static size_t packed_floats(const struct loader *l, const struct dfn_tensor_spec *spec)
{
    const struct dfn_pack_shape s = shape_of(l, spec);
    return s.layout == DFN_LAYOUT_PLAIN
               ? (size_t)spec->count
               : dfn_pack_count(s.layout, s.cout, s.cin, s.kernel);
}

/* Where each tensor will stand. The header has proved that their bytes are in the file,
 * and a layout at most doubles them. */
static ef_status place_tensors(struct loader *l)
{
    const uint64_t most = SIZE_MAX / 8 / sizeof(float);
    size_t at = 0;
    for (int i = 0; i < l->nspecs; i++) {
        const uint64_t size = l->specs[i].count;
        l->offsets[i] = at;
        if (at > most || size > most - at)
            return dfn_fail(l->err, EF_E_LIMIT, "data",
                            "is larger than the memory of this machine can be");
        at +=
            dfn_align_up(packed_floats(l, &l->specs[i]) * sizeof(float)) / sizeof(float);
        if (size > l->chunk_floats &&
            shape_of(l, &l->specs[i]).layout != DFN_LAYOUT_PLAIN)
            l->chunk_floats = (size_t)size;
        l->model->parameters += size;
    }
    if (l->chunk_floats > CHUNK / sizeof(float))
        l->chunk_floats = CHUNK / sizeof(float);
    l->store_floats = at;
    return EF_OK;
}

static ef_status begin_hash(struct loader *l)
{
    size_t at = 0;
    uint8_t start[LENGTH_BYTES];
    const ef_status st = dfn_header_hash(&l->json, &l->raw, &at, l->err);
    if (st)
        return st;
    for (int i = 0; i < LENGTH_BYTES; i++)
        start[i] = (uint8_t)(l->header_size >> 8 * i & 0xff);
    dfn_hash_init(&l->hash, LENGTH_BYTES + at);
    dfn_hash_update(&l->hash, start, sizeof start);
    dfn_hash_update(&l->hash, l->header, l->header_size);
    return EF_OK;
}

static ef_status parse_header(struct loader *l)
{
    ef_model *m = l->model;
    ef_status st = dfn_header_metadata(&l->json, &l->raw, l->err);
    if (st || (st = take_texts(l)) ||
        (st = dfn_meta_parse(m->pairs, m->npairs, &m->arch, &m->meta, l->err)) ||
        (st = take_blocks(l)) || (st = take_table(l)))
        return st;
    st = dfn_header_tensors(&l->json, l->specs, l->nspecs, l->src.size - l->src.at,
                            l->seen, l->file, l->err);
    if (st || (st = place_tensors(l)))
        return st;
    return begin_hash(l);
}

/* ---- data ---- */

/* n little-endian float32 at bytes to floats at out, which may be the same place. True if
 * all are finite. */
static bool decode_f32(const uint8_t *bytes, float *out, size_t n)
{
    uint32_t bad = 0;
    for (size_t i = 0; i < n; i++) {
        const uint8_t *p = bytes + 4 * i;
        const uint32_t v = (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
                           (uint32_t)p[3] << 24;
        bad |= (v & 0x7f800000u) == 0x7f800000u;
        memcpy(out + i, &v, sizeof v);
    }
    return !bad;
}

/* The same for float16; out may be NULL. */
static bool decode_f16(const uint8_t *bytes, float *out, size_t n)
{
    uint32_t bad = 0;
    for (size_t i = 0; i < n; i++) {
        const uint16_t v = (uint16_t)(bytes[2 * i] | bytes[2 * i + 1] << 8);
        bad |= (v & 0x7c00u) == 0x7c00u;
        if (out)
            out[i] = dfn_half_to_float(v);
    }
    return !bad;
}

/* The next n elements of a tensor as floats to out, or nowhere if out is NULL. *finite
 * stays as it is or becomes false. */
static ef_status read_floats(struct loader *l, const char *name, bool f16, float *out,
                             size_t n, bool *finite)
{
    union {
        uint8_t bytes[STACK_CHUNK];
        float floats[STACK_CHUNK / sizeof(float)];
    } buffer;
    const size_t element = f16 ? 2 : 4;
    const bool direct = out && !f16;
    const size_t most = (direct ? CHUNK : STACK_CHUNK) / element;
    for (size_t now; n; n -= now) {
        now = n < most ? n : most;
        uint8_t *to = direct ? (uint8_t *)out : buffer.bytes;
        const ef_status st = dfn_source_read(&l->src, to, now * element, name, l->err);
        if (st)
            return st;
        dfn_hash_update(&l->hash, to, now * element);
        const bool good = f16 ? decode_f16(to, out, now)
                              : decode_f32(to, direct ? out : buffer.floats, now);
        *finite = *finite && good;
        out = out ? out + now : NULL;
    }
    return EF_OK;
}

/* Elements to read at once: whole panels where they fit into the chunk, else whole rows,
 * else what fits. */
static size_t at_once(const struct loader *l, size_t row)
{
    const size_t rows = l->chunk_floats / row;
    return !rows ? l->chunk_floats : rows < ROWS ? rows * row : rows / ROWS * ROWS * row;
}

/* The whole tensor to out, in the layout of its shape. */
static ef_status read_packed(struct loader *l, const struct dfn_tensor_spec *spec,
                             bool f16, float *out, bool *finite)
{
    const struct dfn_pack_shape s = shape_of(l, spec);
    const size_t row = (size_t)s.cin * (size_t)s.kernel * (size_t)s.kernel;
    const size_t most = at_once(l, row), all = (size_t)spec->count;
    for (size_t first = 0, n; first < all; first += n) {
        n = all - first < most ? all - first : most;
        const ef_status st = read_floats(l, spec->name, f16, l->chunk, n, finite);
        if (st)
            return st;
        dfn_pack_part(&s, first, n, l->chunk, out);
    }
    dfn_pack_gaps(&s, out);
    return EF_OK;
}

/* The whole tensor to out, or nowhere if that is NULL. */
static ef_status read_tensor(struct loader *l, const struct dfn_tensor_spec *spec,
                             bool f16, float *out, bool *finite)
{
    return out && shape_of(l, spec).layout != DFN_LAYOUT_PLAIN
               ? read_packed(l, spec, f16, out, finite)
               : read_floats(l, spec->name, f16, out, (size_t)spec->count, finite);
}

static ef_status check_hash(struct loader *l)
{
    ef_model *m = l->model;
    dfn_hash_hex(&l->hash, m->hash);
    if (strcmp(m->hash, dfn_model_pair(m, DFN_KEY_HASH)))
        return dfn_fail(l->err, EF_E_FORMAT, "metadata " DFN_KEY_HASH,
                        "the hash of the file is %s: the file is damaged", m->hash);
    return EF_OK;
}

/* Up to the next tensor: no run may depend on what the allocator left there. */
static void clear_gap(const struct loader *l, int i, float *out)
{
    const size_t used = packed_floats(l, &l->specs[i]);
    const size_t end = i + 1 < l->nspecs ? l->offsets[i + 1] : l->store_floats;
    memset(out + used, 0, (end - l->offsets[i] - used) * sizeof *out);
}

static ef_status read_data(struct loader *l)
{
    ef_model *m = l->model;
    const char *bad = NULL;
    for (int i = 0; i < l->nspecs; i++) {
        const int at = l->file[i].spec;
        const struct dfn_tensor_spec *spec = &l->specs[at];
        float *out = m->store ? m->store + l->offsets[at] : NULL;
        bool finite = true;
        const ef_status st = read_tensor(l, spec, l->file[i].f16, out, &finite);
        if (st)
            return st;
        if (!finite && !bad)
            bad = spec->name;
        if (!out)
            continue;
        clear_gap(l, at, out);
        m->weights[place_of(m, spec)] = out;
    }
    ef_status st = dfn_source_check_end(&l->src, l->err);
    /* Damage is the better explanation for a NaN, so the hash speaks first. */
    if (st || (st = check_hash(l)))
        return st;
    return bad ? dfn_fail(l->err, EF_E_FORMAT, bad, "holds NaN or infinity") : EF_OK;
}

/* Blocks of the model that stay, behind the header that goes. */
static ef_status take_rest(struct loader *l)
{
    ef_model *m = l->model;
    const size_t arrays = dfn_meta_arrays_size(m->pairs, m->npairs, &m->arch, &m->meta);
    const size_t weights = places(m) * sizeof m->weights[0];
    give_back(l, l->header, l->header_size);
    l->header = NULL;
    m->arrays = take(l, arrays);
    if (!m->arrays)
        return EF_E_NOMEM;
    dfn_meta_arrays(m->pairs, m->npairs, &m->arch, m->arrays, &m->meta);
    m->weights = take(l, weights);
    if (!m->weights)
        return EF_E_NOMEM;
    memset(m->weights, 0, weights);
    if (!l->keep) {
        count(l, l->store_floats * sizeof(float));
        if (l->chunk_floats)
            count(l, l->chunk_floats * sizeof(float));
        return EF_OK;
    }
    m->store = take(l, l->store_floats * sizeof(float));
    if (m->store && l->chunk_floats)
        l->chunk = take(l, l->chunk_floats * sizeof(float));
    return m->store && (l->chunk || !l->chunk_floats) ? EF_OK : EF_E_NOMEM;
}

/* ---- the whole ---- */

/* What the kernels want that sessions with the model's own options will run. */
static void choose_layouts(ef_model *m)
{
    struct dfn_kernels k;
    dfn_kernels_init(&k, dfn_cpu_detect() & m->opt.cpu_mask);
    const bool blas = m->opt.gemm == EF_GEMM_OPENBLAS && dfn_blas_threads();
    m->layouts[DFN_KIND_CONV] = k.op[DFN_OP_CONV].layout;
    m->layouts[DFN_KIND_DEPTHWISE] = k.op[DFN_OP_DWCONV].layout;
    m->layouts[DFN_KIND_POINTWISE] =
        k.op[blas ? DFN_OP_POINTWISE_BLAS : DFN_OP_POINTWISE].layout;
    m->layouts[DFN_KIND_DENSE] = k.op[DFN_OP_FC].layout;
}

static ef_status create(struct loader *l)
{
    ef_model *m = take(l, sizeof *m);
    if (!m)
        return EF_E_NOMEM;
    memset(m, 0, sizeof *m);
    if (pthread_mutex_init(&m->pack_lock, NULL)) {
        give_back(l, m, sizeof *m);
        return dfn_fail(l->err, EF_E_NOMEM, "memory", "no memory for a lock");
    }
    m->opt = *l->opt;
    choose_layouts(m);
    atomic_init(&m->users, 1);
    m->file_bytes = l->src.size;
    l->model = m;
    return EF_OK;
}

static ef_status load(struct loader *l)
{
    ef_status st;
    if (l->src.size > l->opt->limits.max_file_bytes)
        return dfn_fail(l->err, EF_E_LIMIT, "file", "has %llu bytes, the limit is %llu",
                        (unsigned long long)l->src.size,
                        (unsigned long long)l->opt->limits.max_file_bytes);
    if ((st = create(l)) || (st = read_header(l)) || (st = parse_header(l)) ||
        (st = take_rest(l)) || (st = read_data(l)))
        return st;
    l->model->bytes_needed = l->peak;
    return EF_OK;
}

static ef_status run(struct loader *l, const char *where, ef_model **out)
{
    const int saved = errno;
    const ef_status st = load(l);
    dfn_free(&l->opt->allocator, l->header);
    dfn_free(&l->opt->allocator, l->table);
    dfn_free(&l->opt->allocator, l->chunk);
    if (st) {
        dfn_error_prefix(l->err, where);
        dfn_model_unref(l->model);
    } else {
        *out = l->model;
        dfn_log(l->opt, 1, "model %s: %d blocks, %llu parameters, %s",
                dfn_model_pair(l->model, "dfnet.name"), l->model->nblocks,
                (unsigned long long)l->model->parameters, l->model->hash);
    }
    errno = saved;
    return st;
}

ef_status dfn_model_load_bytes(const uint8_t *data, size_t size, const char *where,
                               const ef_options *opt, bool keep, ef_model **out,
                               ef_error *err)
{
    struct loader l = {
        .opt = opt, .src = {.data = data, .size = size}, .err = err, .keep = keep};
    return run(&l, where, out);
}

ef_status dfn_model_load_regular(int fd, uint64_t offset, uint64_t size,
                                 const char *where, const ef_options *opt, bool keep,
                                 ef_model **out, ef_error *err)
{
    struct loader l = {.opt = opt,
                       .src = {.fd = fd, .base = offset, .size = size},
                       .err = err,
                       .keep = keep};
    return run(&l, where, out);
}

enum dfn_layout dfn_model_layout(const ef_model *m, enum dfn_role role, int cout)
{
    static const unsigned char kinds[DFN_ROLES] = {
        [DFN_STEM_W] = DFN_KIND_CONV + 1,
        [DFN_CONV_W] = DFN_KIND_CONV + 1,
        [DFN_DEPTHWISE_W] = DFN_KIND_DEPTHWISE + 1,
        [DFN_EXPAND_W] = DFN_KIND_POINTWISE + 1,
        [DFN_PROJECT_W] = DFN_KIND_POINTWISE + 1,
        [DFN_HEAD_W] = DFN_KIND_POINTWISE + 1,
        [DFN_SE_REDUCE_W] = DFN_KIND_DENSE + 1,
        [DFN_SE_EXPAND_W] = DFN_KIND_DENSE + 1,
        [DFN_CLASSIFIER_W] = DFN_KIND_DENSE + 1,
    };
    if (m->meta.detector || !kinds[role])
        return DFN_LAYOUT_PLAIN;
    const enum dfn_layout layout = m->layouts[kinds[role] - 1];
    return 2 * cout < dfn_pack_panel(layout) ? DFN_LAYOUT_PLAIN : layout;
}

static void destroy(ef_model *m)
{
    /* The options live in the block that goes last. */
    const ef_options opt = m->opt;
    if (m->free_packs)
        m->free_packs(m);
    pthread_mutex_destroy(&m->pack_lock);
    dfn_free(&opt.allocator, m->store);
    dfn_free(&opt.allocator, (void *)m->weights);
    dfn_free(&opt.allocator, m->arrays);
    dfn_free(&opt.allocator, m->blocks);
    dfn_free(&opt.allocator, m->pairs);
    dfn_free(&opt.allocator, m);
}

void dfn_model_ref(const ef_model *model)
{
    /* The count is the one thing that users of a const model may change. */
    ef_model *m = (ef_model *)(uintptr_t)model;
    atomic_fetch_add_explicit(&m->users, 1, memory_order_relaxed);
}

void dfn_model_unref(const ef_model *model)
{
    ef_model *m = (ef_model *)(uintptr_t)model;
    if (m && atomic_fetch_sub_explicit(&m->users, 1, memory_order_acq_rel) == 1)
        destroy(m);
}

const char *dfn_model_pair(const ef_model *model, const char *key)
{
    for (int i = 0; i < model->npairs; i++)
        if (!strcmp(model->pairs[i].key, key))
            return model->pairs[i].value;
    return NULL;
}
