/* pack.c - see pack.h. Called while a model is loaded or a session made, never in a run.
 */
#include "kernels/pack.h"

#include <string.h>

int dfn_pack_panel(enum dfn_layout layout)
{
    switch (layout) {
    case DFN_LAYOUT_PANEL8:
        return 8;
    case DFN_LAYOUT_PANEL16:
    case DFN_LAYOUT_WINOGRAD:
        return 16;
    default:
        return 0;
    }
}

size_t dfn_pack_count(enum dfn_layout layout, int cout, int cin, int kernel)
{
    const size_t panel = (size_t)dfn_pack_panel(layout), n = (size_t)cout;
    const size_t columns = panel ? (n + panel - 1) / panel * panel : n;
    const size_t taps =
        layout == DFN_LAYOUT_WINOGRAD ? 16 : (size_t)kernel * (size_t)kernel;
    return columns * (size_t)cin * taps;
}

/* The address of a weight is where its output begins, and for each input and tap a step.
 */
struct steps {
    size_t cin, taps, input, tap;
};

static struct steps steps_of(const struct dfn_pack_shape *s)
{
    const size_t cin = (size_t)s->cin, taps = (size_t)s->kernel * (size_t)s->kernel;
    const size_t panel = (size_t)dfn_pack_panel(s->layout);
    const size_t columns = panel ? panel : (size_t)s->cout;
    if (s->layout == DFN_LAYOUT_PLAIN)
        return (struct steps){cin, taps, taps, 1};
    return (struct steps){cin, taps, columns, cin * columns};
}

static size_t begin_of(const struct dfn_pack_shape *s, const struct steps *k, size_t o)
{
    const size_t panel = (size_t)dfn_pack_panel(s->layout);
    if (s->layout == DFN_LAYOUT_PLAIN)
        return o * k->cin * k->taps;
    return panel ? o / panel * panel * k->cin * k->taps + o % panel : o;
}

size_t dfn_pack_at(const struct dfn_pack_shape *s, size_t o, size_t i, size_t t)
{
    const struct steps k = steps_of(s);
    return begin_of(s, &k, o) + i * k.input + t * k.tap;
}

/* n weights of output o from number `from` of its cin * taps on. */
static void pack_row(const struct dfn_pack_shape *s, const struct steps *k, size_t o,
                     size_t from, size_t n, const float *src, float *dst)
{
    float *to = dst + begin_of(s, k, o);
    size_t i = from / k->taps, t = from % k->taps;
    for (size_t e = 0; e < n; e++) {
        to[i * k->input + t * k->tap] = src[e];
        if (++t == k->taps) {
            t = 0;
            i++;
        }
    }
}

/* A whole panel: [panel][cin][taps] -> [taps][cin][panel]. panel is a constant. */
static inline void pack_panel(const struct steps *k, const float *src, float *dst,
                              const size_t panel)
{
    const size_t row = k->cin * k->taps;
    for (size_t t = 0; t < k->taps; t++)
        for (size_t i = 0; i < k->cin; i++, dst += panel)
            for (size_t j = 0; j < panel; j++)
                dst[j] = src[j * row + i * k->taps + t];
}

void dfn_pack_part(const struct dfn_pack_shape *s, size_t first, size_t n,
                   const float *src, float *dst)
{
    const struct steps k = steps_of(s);
    const size_t row = k.cin * k.taps, panel = (size_t)dfn_pack_panel(s->layout);
    if (s->layout == DFN_LAYOUT_PLAIN) {
        memcpy(dst + first, src, n * sizeof *src);
        return;
    }
    for (size_t done; n; first += done, src += done, n -= done) {
        const size_t o = first / row, from = first % row;
        if (panel && !from && o % panel == 0 && n >= panel * row) {
            done = panel * row;
            if (panel == 16)
                pack_panel(&k, src, dst + o * row, 16);
            else
                pack_panel(&k, src, dst + o * row, 8);
        } else {
            done = row - from < n ? row - from : n;
            pack_row(s, &k, o, from, done, src, dst);
        }
    }
}

void dfn_pack_gaps(const struct dfn_pack_shape *s, float *dst)
{
    const size_t panel = (size_t)dfn_pack_panel(s->layout), cout = (size_t)s->cout;
    const size_t row = (size_t)s->cin * (size_t)s->kernel * (size_t)s->kernel;
    if (!panel || cout % panel == 0)
        return;
    float *last = dst + cout / panel * panel * row;
    for (size_t i = 0; i < row; i++)
        for (size_t j = cout % panel; j < panel; j++)
            last[i * panel + j] = 0.0f;
}

/* A filter's transform, G g Gt, rounded once. */
static void winograd(const float g[9], float out[16])
{
    static const double G[4][3] = {
        {1, 0, 0}, {0.5, 0.5, 0.5}, {0.5, -0.5, 0.5}, {0, 0, 1}};
    for (int y = 0; y < 4; y++)
        for (int x = 0; x < 4; x++) {
            double sum = 0;
            for (int t = 0; t < 9; t++)
                sum += G[y][t / 3] * G[x][t % 3] * (double)g[t];
            out[4 * y + x] = (float)sum;
        }
}

static void pack_winograd(size_t cout, size_t cin, const float *src, float *dst)
{
    float u[16];
    memset(dst, 0, (cout + 15) / 16 * 16 * cin * 16 * sizeof *dst);
    for (size_t o = 0; o < cout; o++)
        for (size_t i = 0; i < cin; i++) {
            winograd(src + (o * cin + i) * 9, u);
            for (size_t p = 0; p < 16; p++)
                dst[((o / 16 * 16 + p) * cin + i) * 16 + o % 16] = u[p];
        }
}

void dfn_pack(enum dfn_layout layout, int cout, int cin, int kernel, const float *src,
              float *dst)
{
    if (layout == DFN_LAYOUT_WINOGRAD) {
        pack_winograd((size_t)cout, (size_t)cin, src, dst);
        return;
    }
    const struct dfn_pack_shape s = {layout, cout, cin, kernel};
    const size_t row = (size_t)cin * (size_t)kernel * (size_t)kernel;
    dfn_pack_part(&s, 0, (size_t)cout * row, src, dst);
    dfn_pack_gaps(&s, dst);
}
