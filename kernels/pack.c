/* pack.c - see pack.h. Called once for each tensor and layout, never in a run. */
#include "kernels/pack.h"

#define PANEL 8

static size_t panels(int cout)
{
    return ((size_t)cout + PANEL - 1) / PANEL;
}

size_t dfn_pack_count(enum dfn_layout layout, int cout, int cin, int kernel)
{
    if (layout == DFN_LAYOUT_PANEL8)
        return panels(cout) * (size_t)kernel * (size_t)kernel * (size_t)cin * PANEL;
    return (size_t)cout * (size_t)cin * (size_t)kernel * (size_t)kernel;
}

/* [cout][cin][taps] -> [taps][cin][cout]. Depthwise is the case cin = 1. */
static void pack_hwio(size_t cout, size_t cin, size_t taps, const float *src, float *dst)
{
    for (size_t o = 0; o < cout; o++)
        for (size_t i = 0; i < cin; i++)
            for (size_t t = 0; t < taps; t++)
                dst[(t * cin + i) * cout + o] = src[(o * cin + i) * taps + t];
}

/* [cout][cin][taps] -> [panel][taps][cin][PANEL]. */
static void pack_panels(size_t cout, size_t cin, size_t taps, const float *src,
                        float *dst)
{
    for (size_t p = 0; p < panels((int)cout); p++)
        for (size_t t = 0; t < taps; t++)
            for (size_t i = 0; i < cin; i++)
                for (size_t j = 0; j < PANEL; j++) {
                    const size_t o = p * PANEL + j;
                    *dst++ = o < cout ? src[(o * cin + i) * taps + t] : 0.0f;
                }
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
        pack_panels((size_t)cout, (size_t)cin, taps, src, dst);
        break;
    case DFN_LAYOUT_PLAIN:
        for (size_t i = 0; i < dfn_pack_count(layout, cout, cin, kernel); i++)
            dst[i] = src[i];
        break;
    }
}
