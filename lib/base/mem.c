/* mem.c - the allocator hook with alignment on top. Called by every layer that owns
 * memory. See mem.h for the layout of a block. */
#define _DEFAULT_SOURCE /* madvise */
#include "lib/base/mem.h"

#include "lib/base/attr.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

struct head {
    void *base;  /* what the hook's alloc returned                      */
    size_t size; /* what the caller asked for                           */
};

/* Blocks of these sizes ask for huge pages: one page fault instead of 512. Not larger
 * ones: a virtual machine that hands free memory back to its host waits longer for so
 * much of it than the faults take (benchmarks/README.md). */
#define HUGE_PAGE ((size_t)2 << 20)
#define HUGE_MOST ((size_t)32 << 20)

/* malloc(), on huge pages where that helps and the system has them. The part of a page at
 * the end stays on small ones, so that nothing more is resident than was asked for. */
static void *plain_alloc(size_t size)
{
#ifdef MADV_HUGEPAGE
    void *block;
    if (size >= HUGE_PAGE && size <= HUGE_MOST) {
        const int saved = errno;
        if (posix_memalign(&block, HUGE_PAGE, size))
            block = NULL;
        else
            madvise(block, size / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE);
        errno = saved;
        return block;
    }
#endif
    return malloc(size);
}

static void *hook_alloc(const ef_allocator *a, size_t size)
{
    return a && a->alloc ? a->alloc(a->user, size) : plain_alloc(size);
}

void *dfn_alloc(const ef_allocator *a, size_t size)
{
    size_t total;
    if (!size || !dfn_add_size(size, sizeof(struct head) + DFN_ALIGN, &total))
        return NULL;
    char *base = hook_alloc(a, total);
    if (!base)
        return NULL;
    const uintptr_t first = (uintptr_t)base + sizeof(struct head);
    const size_t skip = (size_t)(-first & (DFN_ALIGN - 1));
    char *block = base + sizeof(struct head) + skip;
    struct head h = {base, size};
    memcpy(block - sizeof h, &h, sizeof h);
    return block;
}

size_t dfn_alloc_cost(size_t size)
{
    return size + sizeof(struct head) + DFN_ALIGN;
}

void *dfn_calloc(const ef_allocator *a, size_t size)
{
    void *block = dfn_alloc(a, size);
    if (block)
        memset(block, 0, size);
    return block;
}

void *dfn_realloc(const ef_allocator *a, void *block, size_t new_size)
{
    void *fresh = dfn_alloc(a, new_size);
    if (fresh && block) {
        struct head h;
        memcpy(&h, (char *)block - sizeof h, sizeof h);
        memcpy(fresh, block, h.size < new_size ? h.size : new_size);
        dfn_free(a, block);
    }
    return fresh;
}

void dfn_free(const ef_allocator *a, void *block)
{
    if (!block)
        return;
    struct head h;
    memcpy(&h, (char *)block - sizeof h, sizeof h);
    if (a && a->alloc)
        a->free(a->user, h.base);
    else
        free(h.base);
}

char *dfn_strndup(const ef_allocator *a, const char *s, size_t n)
{
    size_t len = 0;
    while (len < n && s[len])
        len++;
    char *copy = dfn_alloc(a, len + 1);
    if (copy) {
        memcpy(copy, s, len);
        copy[len] = 0;
    }
    return copy;
}

bool dfn_mul_size(size_t a, size_t b, size_t *out)
{
    return !__builtin_mul_overflow(a, b, out);
}

bool dfn_add_size(size_t a, size_t b, size_t *out)
{
    return !__builtin_add_overflow(a, b, out);
}

bool dfn_mul_u64(uint64_t a, uint64_t b, uint64_t *out)
{
    return !__builtin_mul_overflow(a, b, out);
}

size_t dfn_align_up(size_t x)
{
    return (x + DFN_ALIGN - 1) & ~(size_t)(DFN_ALIGN - 1);
}
