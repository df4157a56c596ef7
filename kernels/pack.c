/* pack.c - see pack.h. Called once for each tensor and layout, never in a run. */
#include "kernels/pack.h"

/* Columns of a panel; 0 for the other layouts. */
static size_t panel_of(enum dfn_layout layout)
{
    return layout == DFN_LAYOUT_PANEL8 ? 8 : layout == DFN_LAYOUT_PANEL16 ? 16 : 0;
}

size_t dfn_pack_count(enum dfn_layout layout, int cout, int cin, int kernel)
{
    const size_t panel = panel_of(layout), n = (size_t)cout;
    const size_t columns = panel ? (n + panel - 1) / panel * panel : n;
    return columns * (size_t)cin * (size_t)kernel * (size_t)kernel;
}

/* [cout][cin][taps] -> [taps][cin][cout]. Depthwise is the case cin = 1. */
static void pack_hwio(size_t cout, size_t cin, size_t taps, const float *src, float *dst)
{
    for (size_t o = 0; o < cout; o++)
        for (size_t i = 0; i < cin; i++)
            for (size_t t = 0; t < taps; t++)
                dst[(t * cin + i) * cout + o] = src[(o * cin + i) * taps + t];
}

/* [cout][cin][taps] -> [ceil(cout / panel)][taps][cin][panel]. */
static void pack_panels(size_t panel, size_t cout, size_t cin, size_t taps,
                        const float *src, float *dst)
{
    for (size_t first = 0; first < cout; first += panel)
        for (size_t t = 0; t < taps; t++)
            for (size_t i = 0; i < cin; i++)
                for (size_t o = first; o < first + panel; o++)
                    *dst++ = o < cout ? src[(o * cin + i) * taps + t] : 0.0f;
}

void dfn_pack(enum dfn_layout layout, int cout, int cin, int kernel, const float *src,
              float *dst)
{
    const size_t taps = (size_t)kernel * (size_t)kernel;
    switch (layout) {
    case DFN_LAYOUT_TAPS:
    case DFN_LAYOUT_HWIO:
        pack_hwio((size_t)cout, (size_t)cin, taps, src, dst);
        break;
    case DFN_LAYOUT_PANEL8:
    case DFN_LAYOUT_PANEL16:
        pack_panels(panel_of(layout), (size_t)cout, (size_t)cin, taps, src, dst);
        break;
    case DFN_LAYOUT_PLAIN:
        for (size_t i = 0; i < dfn_pack_count(layout, cout, cin, kernel); i++)
            dst[i] = src[i];
        break;
    }
}
