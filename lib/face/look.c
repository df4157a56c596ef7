/* look.c - see look.h. Attention cropping: Hu, Qi, Huang, Lu, "See Better Before Looking
 * Closer", arXiv 1901.09891, section 3.3. Positions are computed in double, so that the
 * box is that of exact arithmetic over the maps. */
#include "lib/face/look.h"

#include <math.h>

/* Where place i of n lies among `from` cells, corners on corners: the cell before it and
 * how far it is from there to the next. */
static int position(int i, int n, int from, double *part)
{
    const double at = n > 1 ? (double)i * (from - 1) / (n - 1) : 0;
    const int cell = (int)at < from - 1 ? (int)at : from > 1 ? from - 2 : 0;
    *part = at - cell;
    return cell;
}

static double between(double a, double b, double part)
{
    return (1 - part) * a + part * b; /* exact at both ends */
}

/* mean [h][w] of the maps; returns the greatest. */
static double mean_map(const float *maps, size_t cells, int n, double *mean)
{
    double most = 0;
    for (size_t i = 0; i < cells; i++) {
        double sum = 0;
        for (int m = 0; m < n; m++)
            sum += maps[i * (size_t)n + (size_t)m];
        mean[i] = sum / n;
        most = fmax(most, mean[i]);
    }
    return most;
}

/* Row y of mean [h][w] enlarged to `height` rows: row [w]. */
static void enlarge_row(const double *mean, int h, int w, int y, int height, double *row)
{
    double part;
    const int at = position(y, height, h, &part);
    const double *above = mean + (size_t)at * (size_t)w;
    const double *below = h > 1 ? above + w : above;
    for (int x = 0; x < w; x++)
        row[x] = between(above[x], below[x], part);
}

/* First and last place; first > last: none yet. */
struct span {
    int first, last;
};

static void widen(struct span *s, int at)
{
    s->first = at < s->first ? at : s->first;
    s->last = at > s->last ? at : s->last;
}

/* The span with its margin as the half-open range of at least 2 in `size` that is cut. */
static void cut(const struct span *s, double margin, int size, int *at, int *length)
{
    int first = (int)(s->first - margin * size), last = (int)(s->last + margin * size);
    first = first < 0 ? 0 : first;
    last = last > size ? size : last;
    if (last - first < 2)
        last = first + 2;
    if (last > size) {
        last = size;
        first = size - 2;
    }
    *at = first;
    *length = last - first;
}

void dfn_look_box(const struct dfn_meta *meta, const float *maps, int h, int w, int n,
                  int height, int width, double *work, struct dfn_rect *out)
{
    double *mean = work, *row = work + (size_t)h * (size_t)w, part;
    struct span rows = {height, -1}, columns = {width, -1};
    const double most = mean_map(maps, (size_t)h * (size_t)w, n, mean);
    const double limit = meta->look_from * most;

    *out = (struct dfn_rect){0, 0, width, height};
    if (!(most > 0))
        return;
    for (int y = 0; y < height; y++) {
        enlarge_row(mean, h, w, y, height, row);
        for (int x = 0; x < width; x++) {
            const int at = position(x, width, w, &part);
            const double next = w > 1 ? row[at + 1] : row[at];
            if (between(row[at], next, part) < limit)
                continue;
            widen(&rows, y);
            widen(&columns, x);
        }
    }
    /* Enlarging can miss the one greatest cell, and the limit be that cell. */
    if (rows.last < 0)
        return;
    cut(&rows, meta->look_margin, height, &out->y, &out->h);
    cut(&columns, meta->look_margin, width, &out->x, &out->w);
}

void dfn_look_crop(const float *in, int height, int width, const struct dfn_rect *part,
                   float *out)
{
    const size_t stride = (size_t)width * 3;
    for (int y = 0; y < height; y++) {
        double fy;
        const int sy = position(y, height, part->h, &fy);
        const float *row = in + (size_t)(part->y + sy) * stride + (size_t)part->x * 3;
        for (int x = 0; x < width; x++) {
            double fx;
            const float *at = row + (size_t)position(x, width, part->w, &fx) * 3;
            for (int c = 0; c < 3; c++) {
                const double above = between(at[c], at[c + 3], fx);
                const double below =
                    between(at[stride + (size_t)c], at[stride + (size_t)c + 3], fx);
                *out++ = (float)between(above, below, fy);
            }
        }
    }
}

/* log(e^a + e^b) */
static double log_sum(double a, double b)
{
    const double most = fmax(a, b);
    return most + log(exp(a - most) + exp(b - most));
}

/* log(sigmoid(x)) */
static double log_sigmoid(double x)
{
    return x < 0 ? x - log1p(exp(x)) : -log1p(exp(-x));
}

/* Log of the sum of e^z. */
static double log_sum_of(const float *z, int n)
{
    double most = -HUGE_VAL, sum = 0;
    /* Not fmax(): gcc 12 for AArch64 has an internal error over it. */
    for (int i = 0; i < n; i++)
        if (z[i] > most)
            most = z[i];
    for (int i = 0; i < n; i++)
        sum += exp(z[i] - most);
    return most + log(sum);
}

void dfn_look_combine(const struct dfn_meta *meta, const float *first,
                      const float *second, int outputs, float *out)
{
    const double all1 = log_sum_of(first, outputs), all2 = log_sum_of(second, outputs);
    for (int i = 0; i < outputs; i++) {
        const double a = first[i], b = second[i];
        double both = (a + b) / 2;
        if (meta->look == DFN_LOOK_PROBABILITIES && meta->softmax)
            both = log_sum(a - all1, b - all2) - log(2.0);
        else if (meta->look == DFN_LOOK_PROBABILITIES)
            both = log_sum(log_sigmoid(a), log_sigmoid(b)) -
                   log_sum(log_sigmoid(-a), log_sigmoid(-b));
        out[i] = (float)both;
    }
}
