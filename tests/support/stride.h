/* stride.h - how thorough a long loop is: every step in a plain build, every 16th under a
 * sanitizer, every DFNET_TEST_STRIDE-th if the environment says so. */
#ifndef DFN_TESTS_STRIDE_H
#define DFN_TESTS_STRIDE_H

#include <stdlib.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define DFN_TEST_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ||               \
    __has_feature(memory_sanitizer)
#define DFN_TEST_SANITIZED 1
#endif
#endif
#ifndef DFN_TEST_SANITIZED
#define DFN_TEST_SANITIZED 0
#endif

/* What the environment says; 1 where it says nothing. For what a sanitizer must see all
 * of: threads. */
static inline size_t test_stride_asked(void)
{
    const char *text = getenv("DFNET_TEST_STRIDE");
    const long value = text ? atol(text) : 0;
    return value > 0 ? (size_t)value : 1;
}

static inline size_t test_stride(void)
{
    const char *text = getenv("DFNET_TEST_STRIDE");
    return text && atol(text) > 0 ? test_stride_asked() : DFN_TEST_SANITIZED ? 16 : 1;
}

#endif
