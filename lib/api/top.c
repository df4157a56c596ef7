/* top.c - the k greatest of n values with a heap of k entries in the caller's array: no
 * allocation, n log k steps. Called by programs. */
#include "dfnet/dfnet.h"

#include <limits.h>
#include <math.h>
#include <stdbool.h>

/* Whether a stands before b in the result. */
static bool before(const ef_top *a, const ef_top *b)
{
    if (isnan(a->value) || isnan(b->value))
        return isnan(a->value) && isnan(b->value) ? a->output < b->output
                                                  : isnan(b->value) != 0;
    if (a->value > b->value || a->value < b->value)
        return a->value > b->value;
    return a->output < b->output;
}

/* heap[0] is the one that stands last in the result; the children of entry i are 2i + 1
 * and 2i + 2, and stand before it. */
static void sink(ef_top *heap, size_t n, size_t i)
{
    const ef_top moving = heap[i];
    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && before(&heap[child], &heap[child + 1]))
            child++;
        if (!before(&moving, &heap[child]))
            break;
        heap[i] = heap[child];
    }
    heap[i] = moving;
}

size_t ef_top_k(const float *values, size_t n, ef_top *out, size_t k)
{
    if (!values || !out || n > INT_MAX)
        return 0;
    const size_t m = k < n ? k : n;
    if (!m)
        return 0;
    for (size_t i = 0; i < m; i++)
        out[i] = (ef_top){(int)i, values[i]};
    for (size_t i = m / 2; i-- > 0;)
        sink(out, m, i);
    for (size_t i = m; i < n; i++) {
        const ef_top one = {(int)i, values[i]};
        if (before(&one, &out[0])) {
            out[0] = one;
            sink(out, m, 0);
        }
    }
    for (size_t left = m - 1; left > 0; left--) {
        const ef_top last = out[0];
        out[0] = out[left];
        out[left] = last;
        sink(out, left, 0);
    }
    return m;
}
