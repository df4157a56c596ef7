/* test_mem.c - lib/base/mem.c: alignment, the hook, failing, checked products. */
#include "lib/base/attr.h"
#include "lib/base/mem.h"
#include "tests/support/support.h"

#include <string.h>

static struct test_mem mem;
static ef_options opt;

static void setup(void)
{
    test_mem_init(&mem);
    test_options(&opt, &mem);
}

START_TEST(blocks_are_aligned_and_whole)
{
    void *blocks[200];
    for (size_t i = 0; i < 200; i++) {
        blocks[i] = dfn_alloc(&opt.allocator, i * 7 + 1);
        ck_assert_ptr_nonnull(blocks[i]);
        ck_assert_uint_eq((uintptr_t)blocks[i] % DFN_ALIGN, 0);
        memset(blocks[i], (int)i, i * 7 + 1);
    }
    for (size_t i = 0; i < 200; i++) {
        const unsigned char *p = blocks[i];
        ck_assert_uint_eq(p[0], i);
        ck_assert_uint_eq(p[i * 7], i);
        dfn_free(&opt.allocator, blocks[i]);
    }
    ck_assert_int_eq(mem.live, 0);
    ck_assert_uint_eq(mem.bytes, 0);
}
END_TEST

START_TEST(cost_is_what_the_hook_sees)
{
    for (size_t size = 1; size < 5000; size += 37) {
        const size_t before = mem.bytes;
        void *block = dfn_alloc(&opt.allocator, size);
        ck_assert_uint_eq(mem.bytes - before, dfn_alloc_cost(size));
        dfn_free(&opt.allocator, block);
    }
}
END_TEST

START_TEST(nothing_comes_of_nothing)
{
    ck_assert_ptr_null(dfn_alloc(&opt.allocator, 0));
    ck_assert_ptr_null(dfn_calloc(&opt.allocator, 0));
    ck_assert_ptr_null(dfn_alloc(&opt.allocator, SIZE_MAX));
    ck_assert_ptr_null(dfn_alloc(&opt.allocator, SIZE_MAX - 8));
    ck_assert_int_eq(mem.calls, 0);
    dfn_free(&opt.allocator, NULL);
    dfn_free(NULL, NULL);
}
END_TEST

START_TEST(calloc_zeroes)
{
    unsigned char *block = dfn_calloc(&opt.allocator, 1000);
    for (int i = 0; i < 1000; i++)
        ck_assert_uint_eq(block[i], 0);
    dfn_free(&opt.allocator, block);
}
END_TEST

START_TEST(realloc_keeps_what_fits)
{
    char *block = dfn_realloc(&opt.allocator, NULL, 10);
    memcpy(block, "012345678", 10);
    block = dfn_realloc(&opt.allocator, block, 1000);
    ck_assert_str_eq(block, "012345678");
    block = dfn_realloc(&opt.allocator, block, 5);
    ck_assert_mem_eq(block, "01234", 5);
    mem.fail_at = mem.calls + 1;
    ck_assert_ptr_null(dfn_realloc(&opt.allocator, block, 2000));
    ck_assert_mem_eq(block, "01234", 5);
    ck_assert_int_eq(mem.live, 1);
    dfn_free(&opt.allocator, block);
    ck_assert_int_eq(mem.live, 0);
}
END_TEST

START_TEST(strndup_ends_with_nul)
{
    char *a = dfn_strndup(&opt.allocator, "abcdef", 3);
    char *b = dfn_strndup(&opt.allocator, "ab", 10);
    char *c = dfn_strndup(&opt.allocator, "", 0);
    ck_assert_str_eq(a, "abc");
    ck_assert_str_eq(b, "ab");
    ck_assert_str_eq(c, "");
    dfn_free(&opt.allocator, a);
    dfn_free(&opt.allocator, b);
    dfn_free(&opt.allocator, c);
    mem.fail_at = mem.calls + 1;
    ck_assert_ptr_null(dfn_strndup(&opt.allocator, "abc", 3));
    ck_assert_int_eq(mem.live, 0);
}
END_TEST

START_TEST(without_a_hook_malloc_serves)
{
    const ef_allocator none = {0};
    char *a = dfn_alloc(&none, 100), *b = dfn_alloc(NULL, 100);
    ck_assert_uint_eq((uintptr_t)a % DFN_ALIGN, 0);
    ck_assert_uint_eq((uintptr_t)b % DFN_ALIGN, 0);
    memset(a, 1, 100);
    memset(b, 1, 100);
    dfn_free(&none, a);
    dfn_free(NULL, b);
}
END_TEST

START_TEST(products_and_sums_are_checked)
{
    size_t s = 7;
    uint64_t u = 7;
    ck_assert(!dfn_mul_size(SIZE_MAX, 2, &s));
    ck_assert(!dfn_mul_size((size_t)1 << (sizeof(size_t) * 4),
                            (size_t)1 << (sizeof(size_t) * 4), &s));
    ck_assert(dfn_mul_size(SIZE_MAX, 1, &s) && s == SIZE_MAX);
    ck_assert(dfn_mul_size(SIZE_MAX, 0, &s) && s == 0);
    ck_assert(dfn_mul_size(12, 11, &s) && s == 132);
    ck_assert(!dfn_add_size(SIZE_MAX, 1, &s));
    ck_assert(dfn_add_size(SIZE_MAX - 1, 1, &s) && s == SIZE_MAX);
    ck_assert(!dfn_mul_u64((uint64_t)1 << 32, (uint64_t)1 << 32, &u));
    ck_assert(dfn_mul_u64((uint64_t)1 << 32, ((uint64_t)1 << 32) - 1, &u));
    ck_assert_uint_eq(u, 0xffffffff00000000u);
    ck_assert_uint_eq(dfn_align_up(0), 0);
    ck_assert_uint_eq(dfn_align_up(1), DFN_ALIGN);
    ck_assert_uint_eq(dfn_align_up(DFN_ALIGN), DFN_ALIGN);
    ck_assert_uint_eq(dfn_align_up(DFN_ALIGN + 1), 2 * DFN_ALIGN);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("mem");
    TCase *c = tcase_create("mem");
    tcase_add_checked_fixture(c, setup, NULL);
    tcase_add_test(c, blocks_are_aligned_and_whole);
    tcase_add_test(c, cost_is_what_the_hook_sees);
    tcase_add_test(c, nothing_comes_of_nothing);
    tcase_add_test(c, calloc_zeroes);
    tcase_add_test(c, realloc_keeps_what_fits);
    tcase_add_test(c, strndup_ends_with_nul);
    tcase_add_test(c, without_a_hook_malloc_serves);
    tcase_add_test(c, products_and_sums_are_checked);
    suite_add_tcase(suite, c);
    return run_suite(suite);
}
