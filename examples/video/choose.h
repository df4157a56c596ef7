/* choose.h - which frames of a video are wanted. The parent says it in words, the child
 * turns the words into numbers once it knows how many frames there are.
 *
 *   all                 every frame
 *   spread:N            trunc(i * (total - 1) / (N - 1)), each once; N = 1: the first
 *   every:N[:FIRST]     FIRST, FIRST + N, ...
 *   interval:N          every max(1, ceil(total / N))-th
 *   rate:R              every max(1, round(floor(fps) / R))-th
 *   time:R              R frames a second: the first at or behind each k / R seconds
 *   list:A,B,...        these, rising; at most CHOOSE_LIST */
#ifndef DFNET_EXAMPLES_VIDEO_CHOOSE_H
#define DFNET_EXAMPLES_VIDEO_CHOOSE_H

#include <stdint.h>

#define CHOOSE_LIST 256
#define CHOOSE_WORDS (CHOOSE_LIST * 11 + 16)

enum choose_kind {
    CHOOSE_ALL,
    CHOOSE_SPREAD,
    CHOOSE_EVERY,
    CHOOSE_INTERVAL,
    CHOOSE_RATE,
    CHOOSE_TIME,
    CHOOSE_FROM_LIST
};

struct choice {
    enum choose_kind kind;
    uint32_t count, every, first; /* SPREAD and INTERVAL, EVERY */
    double rate;                  /* RATE, TIME                 */
    uint32_t nlist;
    uint32_t list[CHOOSE_LIST];
};

/* 1, or 0: these words say nothing. */
int choose_parse(const char *words, struct choice *c);

/* Most frames that it can ask for. */
uint64_t choose_most(const struct choice *c);

/* Number of the first wanted frame from `from` on, of `total`, at fps frames a second;
 * UINT64_MAX: none. Not for CHOOSE_TIME. */
uint64_t choose_next(const struct choice *c, uint64_t from, uint64_t total, double fps);

#endif
