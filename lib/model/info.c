/* info.c - what follows from a model's facts without touching a weight: padding, sizes,
 * work. Called by the loader, the planner and lib/api. */
#include "lib/base/mem.h"
#include "lib/model/model.h"

void dfn_meta_padding(const struct dfn_meta *meta, int layer, int kernel, int n,
                      int *before, int *after)
{
    if (meta->padding == DFN_PAD_FIXED) {
        *before = meta->fixed[layer][0];
        *after = meta->fixed[layer][1];
    } else if (meta->padding == DFN_PAD_SYM) {
        *before = *after = kernel / 2;
    } else {
        const int total = ((n + 1) / 2 - 1) * 2 + kernel - n;
        *before = total > 0 ? total / 2 : 0;
        *after = total > 0 ? total - total / 2 : 0;
    }
}

int dfn_meta_output(const struct dfn_meta *meta, int layer, int kernel, int n)
{
    int before, after;
    dfn_meta_padding(meta, layer, kernel, n, &before, &after);
    const int span = n + before + after - kernel;
    return span < 0 ? 0 : span / 2 + 1;
}

/* *sum += a * b * c * d, all >= 0; stays at UINT64_MAX once it does not fit. */
static void add_macs(uint64_t *sum, int a, int b, int c, uint64_t d)
{
    uint64_t product;
    if (!dfn_mul_u64((uint64_t)a * (uint64_t)b, (uint64_t)c, &product) ||
        !dfn_mul_u64(product, d, &product) || product > UINT64_MAX - *sum)
        *sum = UINT64_MAX;
    else
        *sum += product;
}

uint64_t dfn_meta_macs(const struct dfn_meta *meta, const struct dfn_arch *arch,
                       const struct dfn_block *blocks, int nblocks, int height, int width)
{
    int layer = 0;
    int h = dfn_meta_output(meta, layer, 3, height);
    int w = dfn_meta_output(meta, layer, 3, width);
    uint64_t sum = 0, pixels = (uint64_t)h * (uint64_t)w;
    add_macs(&sum, arch->stem, 27, 1, pixels);
    for (int i = 0; i < nblocks && pixels; i++) {
        const struct dfn_block *b = &blocks[i];
        const int taps = b->kernel * b->kernel;
        const uint64_t before = pixels;
        if (b->stride == 2) {
            layer++;
            h = dfn_meta_output(meta, layer, b->kernel, h);
            w = dfn_meta_output(meta, layer, b->kernel, w);
            pixels = (uint64_t)h * (uint64_t)w;
        }
        if (b->fused) {
            add_macs(&sum, b->mid, b->cin, taps, pixels);
        } else {
            if (b->expand != 1)
                add_macs(&sum, b->mid, b->seen, 1, before);
            add_macs(&sum, b->mid, taps, 1, pixels);
            add_macs(&sum, b->mid, b->squeezed, 2, 1);
        }
        if (!b->fused || b->expand != 1)
            add_macs(&sum, b->cout, b->mid, 1, pixels);
        if (i + 1 == arch->gate)
            add_macs(&sum, b->cout, 1, 1, pixels);
    }
    add_macs(&sum, arch->head, arch->stages[arch->nstages - 1].channels, 1, pixels);
    add_macs(&sum, arch->maps, arch->head, 2, pixels); /* the maps, and pooling by them */
    add_macs(&sum, arch->outputs, dfn_arch_features(arch), 1, 1);
    return pixels ? sum : 0;
}
