/* clock.h - nanoseconds: monotonic, for the profile of a session; of this thread's
 * processor time, for the shares of a video's work. */
#ifndef DFN_BASE_CLOCK_H
#define DFN_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline uint64_t dfn_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline uint64_t dfn_thread_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

#endif
