/* arch.c - see arch.h: the stage table of weights_tools/FORMAT.md, section 3. */
#include "lib/model/arch.h"

#include "lib/base/number.h"

#include <stdio.h>
#include <string.h>

#define WHERE "metadata dfnet.stages"

/* What the six numbers of a stage may be. */
struct field {
    const char *name;
    int low, high;
};

static const struct field fields[] = {{"kernel", 3, 5},   {"stride", 1, 2},
                                      {"expand", 1, 16},  {"channels", 1, 8192},
                                      {"repeats", 1, 64}, {"se", 0, 64}};
#define NUMBERS ((int)(sizeof fields / sizeof fields[0]))

/* The bytes up to the next separator, which is consumed. */
static size_t take_part(const char **at, const char *end, char separator,
                        const char **part)
{
    *part = *at;
    while (*at < end && **at != separator)
        (*at)++;
    const size_t len = (size_t)(*at - *part);
    if (*at < end)
        (*at)++;
    return len;
}

static ef_status check_number(int stage, int which, int value, bool fused, ef_error *err)
{
    const struct field *f = &fields[which];
    if (value < f->low || value > f->high)
        return dfn_fail(err, EF_E_FORMAT, WHERE,
                        "stage %d: %s is %d, allowed is %d to %d", stage, f->name, value,
                        f->low, f->high);
    if (which == 0 && value == 4)
        return dfn_fail(err, EF_E_FORMAT, WHERE,
                        "stage %d: kernel is 4, allowed is 3 or 5", stage);
    if (which == 5 && fused && value)
        return dfn_fail(err, EF_E_FORMAT, WHERE,
                        "stage %d: se is %d, a fused block has no squeeze-excite", stage,
                        value);
    return EF_OK;
}

static ef_status parse_stage(int number, const char *text, size_t len,
                             struct dfn_stage *stage, ef_error *err)
{
    const char *at = text, *end = text + len, *part;
    int commas = 0;
    for (size_t i = 0; i < len; i++)
        commas += text[i] == ',';
    if (commas != NUMBERS)
        return dfn_fail(err, EF_E_FORMAT, WHERE, "stage %d: has %d fields, expected 7",
                        number, commas + 1);
    const size_t type = take_part(&at, end, ',', &part);
    stage->fused = type == 5 && !memcmp(part, "fused", 5);
    if (!stage->fused && !(type == 2 && !memcmp(part, "mb", 2)))
        return dfn_fail(err, EF_E_FORMAT, WHERE, "stage %d: type is neither mb nor fused",
                        number);
    int *const targets[] = {&stage->kernel,   &stage->stride,  &stage->expand,
                            &stage->channels, &stage->repeats, &stage->se};
    for (int i = 0; i < NUMBERS; i++) {
        uint64_t value;
        const size_t n = take_part(&at, end, ',', &part);
        if (!dfn_parse_uint(part, n, INT32_MAX, &value))
            return dfn_fail(err, EF_E_FORMAT, WHERE,
                            "stage %d: %s is not a plain integer", number,
                            fields[i].name);
        const ef_status st = check_number(number, i, (int)value, stage->fused, err);
        if (st)
            return st;
        *targets[i] = (int)value;
    }
    return EF_OK;
}

ef_status dfn_arch_parse_stages(const char *text, size_t len, struct dfn_arch *arch,
                                ef_error *err)
{
    const char *at = text, *end = text + len;
    int blocks = 0;
    arch->nstages = 0;
    for (bool more = true; more; arch->nstages++) {
        const char *part;
        if (arch->nstages == DFN_MAX_STAGES)
            return dfn_fail(err, EF_E_FORMAT, WHERE, "has more than %d stages",
                            DFN_MAX_STAGES);
        const size_t n = take_part(&at, end, ';', &part);
        struct dfn_stage *stage = &arch->stages[arch->nstages];
        const ef_status st = parse_stage(arch->nstages, part, n, stage, err);
        if (st)
            return st;
        blocks += stage->repeats;
        /* A separator at the very end promises one more stage, an empty one. */
        more = part + n < end;
    }
    if (blocks > DFN_MAX_BLOCKS)
        return dfn_fail(err, EF_E_FORMAT, WHERE, "has %d blocks, at most %d are allowed",
                        blocks, DFN_MAX_BLOCKS);
    return EF_OK;
}

int dfn_arch_blocks(const struct dfn_arch *arch, struct dfn_block *out)
{
    int n = 0, cin = arch->stem;
    for (int s = 0; s < arch->nstages; s++) {
        const struct dfn_stage *stage = &arch->stages[s];
        for (int i = 0; i < stage->repeats; i++, n++) {
            const int stride = i ? 1 : stage->stride, cout = stage->channels;
            /* A fused block without expansion is one convolution straight to its output.
             */
            const bool single = stage->fused && stage->expand == 1;
            const int squeezed = stage->se ? cin / stage->se : 0;
            if (out)
                out[n] = (struct dfn_block){
                    .fused = stage->fused,
                    .residual = stride == 1 && cin == cout,
                    .kernel = stage->kernel,
                    .stride = stride,
                    .expand = stage->expand,
                    .cin = cin,
                    .mid = single ? cout : cin * stage->expand,
                    .cout = cout,
                    .squeezed = stage->se && !squeezed ? 1 : squeezed,
                    .seen = arch->frames > 1 ? 3 * cin : cin,
                };
            cin = cout;
        }
    }
    return n;
}

/* The list of tensors while it is written. */
struct list {
    struct dfn_tensor_spec *out; /* NULL: only count */
    int n;
};

/* A weight [a][b][k][k] (k = 0: [a][b]) and behind it its bias [a]. */
static void add(struct list *l, enum dfn_role weight, int block, const char *layer, int a,
                int b, int k)
{
    if (l->out) {
        struct dfn_tensor_spec *w = &l->out[l->n], *bias = w + 1;
        char prefix[16] = "";
        if (block >= 0)
            snprintf(prefix, sizeof prefix, "blocks.%d.", block);
        *w = (struct dfn_tensor_spec){
            .role = weight, .block = block, .ndim = k ? 4 : 2, .shape = {a, b, k, k}};
        w->count = (uint64_t)a * (uint64_t)b * (uint64_t)(k ? k * k : 1);
        snprintf(w->name, sizeof w->name, "%s%s.weight", prefix, layer);
        *bias = (struct dfn_tensor_spec){.role = weight + 1,
                                         .block = block,
                                         .ndim = 1,
                                         .shape = {a},
                                         .count = (uint64_t)a};
        snprintf(bias->name, sizeof bias->name, "%s%s.bias", prefix, layer);
    }
    l->n += 2;
}

int dfn_arch_tensors(const struct dfn_arch *arch, const struct dfn_block *blocks,
                     int nblocks, struct dfn_tensor_spec *out)
{
    struct list l = {out, 0};
    add(&l, DFN_STEM_W, -1, "stem", arch->stem, 3, 3);
    for (int i = 0; i < nblocks; i++) {
        const struct dfn_block *b = &blocks[i];
        if (b->fused) {
            add(&l, DFN_CONV_W, i, "conv", b->mid, b->cin, b->kernel);
        } else {
            if (b->expand != 1)
                add(&l, DFN_EXPAND_W, i, "expand", b->mid, b->seen, 1);
            add(&l, DFN_DEPTHWISE_W, i, "depthwise", b->mid, 1, b->kernel);
        }
        if (b->squeezed) {
            add(&l, DFN_SE_REDUCE_W, i, "se.reduce", b->squeezed, b->mid, 0);
            add(&l, DFN_SE_EXPAND_W, i, "se.expand", b->mid, b->squeezed, 0);
        }
        if (!b->fused || b->expand != 1)
            add(&l, DFN_PROJECT_W, i, "project", b->cout, b->mid, 1);
    }
    add(&l, DFN_HEAD_W, -1, "head", arch->head, arch->stages[arch->nstages - 1].channels,
        1);
    if (arch->gate)
        add(&l, DFN_GATE_W, -1, "gate", 1, blocks[arch->gate - 1].cout, 1);
    if (arch->maps)
        add(&l, DFN_ATTENTION_W, -1, "attention", arch->maps, arch->head, 1);
    add(&l, DFN_CLASSIFIER_W, -1, "classifier", arch->outputs, dfn_arch_features(arch),
        0);
    return l.n;
}

int dfn_arch_stride2(const struct dfn_arch *arch, int kernels[DFN_MAX_STRIDE2])
{
    int n = 0;
    kernels[n++] = 3;
    for (int s = 0; s < arch->nstages; s++)
        if (arch->stages[s].stride == 2)
            kernels[n++] = arch->stages[s].kernel;
    return n;
}
