/* nms.c - see nms.h. Corners are copied out in falling order of score, [n] each, so that
 * the comparison of one box with all worse ones runs along memory. */
#include "lib/detect/nms.h"

#include "lib/base/mem.h"

#include <string.h>

struct sorted {
    float *x1, *y1, *x2, *y2, *area; /* [n]                                             */
    uint32_t *order, *spare;         /* [n]                                             */
    uint8_t *gone;                   /* [n]                                             */
};

static size_t part(size_t n)
{
    return dfn_align_up(n * sizeof(float));
}

size_t dfn_nms_scratch(size_t n)
{
    return 7 * part(n) + dfn_align_up(n);
}

static struct sorted place(size_t n, void *scratch)
{
    char *at = scratch;
    struct sorted s;
    float **const floats[5] = {&s.x1, &s.y1, &s.x2, &s.y2, &s.area};
    for (int i = 0; i < 5; i++, at += part(n))
        *floats[i] = (float *)(void *)at;
    s.order = (uint32_t *)(void *)at;
    s.spare = (uint32_t *)(void *)(at + part(n));
    s.gone = (uint8_t *)(at + 2 * part(n));
    return s;
}

/* Merges the sorted runs [from, middle) and [middle, to) of in into out. */
static void merge(const struct dfn_candidate *c, const uint32_t *in, uint32_t *out,
                  size_t from, size_t middle, size_t to)
{
    size_t left = from, right = middle;
    for (size_t i = from; i < to; i++) {
        const bool take_right =
            left == middle || (right < to && c[in[right]].score > c[in[left]].score);
        out[i] = take_right ? in[right++] : in[left++];
    }
}

/* Falling by score, equal ones in the order in which they come: a merge sort from the
 * bottom up, which needs no memory but spare. Returns the sorted one of the two. */
static uint32_t *sort(const struct dfn_candidate *c, size_t n, uint32_t *order,
                      uint32_t *spare)
{
    for (size_t run = 1; run < n; run *= 2) {
        for (size_t from = 0; from < n; from += 2 * run) {
            const size_t middle = n - from < run ? n : from + run;
            const size_t to = n - from < 2 * run ? n : from + 2 * run;
            merge(c, order, spare, from, middle, to);
        }
        uint32_t *const other = order;
        order = spare;
        spare = other;
    }
    return order;
}

static inline float least(float a, float b)
{
    return a < b ? a : b;
}

static inline float most(float a, float b)
{
    return a > b ? a : b;
}

/* Marks those behind i that overlap it too much. one: 1 if corners are pixels. */
static void suppress(const struct sorted *s, size_t i, size_t n, enum dfn_overlap overlap,
                     float one, float limit)
{
    const float x1 = s->x1[i], y1 = s->y1[i], x2 = s->x2[i], y2 = s->y2[i];
    const float area = s->area[i];
    const bool min = overlap == DFN_OVERLAP_MIN;
    for (size_t j = i + 1; j < n; j++) {
        const float w = least(x2, s->x2[j]) - most(x1, s->x1[j]) + one;
        const float h = least(y2, s->y2[j]) - most(y1, s->y1[j]) + one;
        const float both = most(w, 0.0f) * most(h, 0.0f);
        const float all = min ? least(area, s->area[j]) : area + s->area[j] - both;
        s->gone[j] = s->gone[j] | (uint8_t)(both / all > limit);
    }
}

size_t dfn_nms(const struct dfn_candidate *c, size_t n, enum dfn_overlap overlap,
               float limit, uint32_t *index, void *scratch)
{
    const struct sorted s = place(n, scratch);
    const float one = overlap == DFN_OVERLAP_MIN ? 1.0f : 0.0f;
    size_t kept = 0;
    for (size_t i = 0; i < n; i++)
        s.order[i] = (uint32_t)(overlap == DFN_OVERLAP_MIN ? n - 1 - i : i);
    const uint32_t *order = sort(c, n, s.order, s.spare);
    for (size_t i = 0; i < n; i++) {
        const struct dfn_candidate *b = &c[order[i]];
        s.x1[i] = b->x1, s.y1[i] = b->y1, s.x2[i] = b->x2, s.y2[i] = b->y2;
        s.area[i] = (b->x2 - b->x1 + one) * (b->y2 - b->y1 + one);
    }
    memset(s.gone, 0, n);
    for (size_t i = 0; i < n; i++) {
        if (s.gone[i])
            continue;
        index[kept++] = order[i];
        suppress(&s, i, n, overlap, one, limit);
    }
    return kept;
}
