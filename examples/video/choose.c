/* choose.c - see choose.h. */
#include "examples/video/choose.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define NONE UINT64_MAX

/* The decimal number at *at, 0 to 10^9, and what stands behind it. */
static int number(const char **at, uint32_t *out)
{
    uint64_t v = 0;
    const char *s = *at;
    for (; *s >= '0' && *s <= '9' && v <= 1000000000; s++)
        v = 10 * v + (uint64_t)(*s - '0');
    if (s == *at || v > 1000000000)
        return 0;
    *at = s;
    *out = (uint32_t)v;
    return 1;
}

static int parse_list(const char *at, struct choice *c)
{
    for (;;) {
        if (c->nlist == CHOOSE_LIST || !number(&at, &c->list[c->nlist]))
            return 0;
        if (c->nlist && c->list[c->nlist] <= c->list[c->nlist - 1])
            return 0;
        c->nlist++;
        if (!*at)
            return 1;
        if (*at++ != ',')
            return 0;
    }
}

static int parse_rate(const char *at, struct choice *c)
{
    char *end;
    if (strspn(at, "0123456789.") != strlen(at))
        return 0;
    c->rate = strtod(at, &end);
    return end != at && !*end && c->rate >= 1e-6 && c->rate <= 1e6;
}

static int parse_every(const char *at, struct choice *c)
{
    if (!number(&at, &c->every) || !c->every)
        return 0;
    if (*at == ':' && (at++, !number(&at, &c->first)))
        return 0;
    return !*at;
}

static int parse_count(const char *at, struct choice *c)
{
    return number(&at, &c->count) && c->count && !*at;
}

int choose_parse(const char *words, struct choice *c)
{
    static const struct {
        const char *word;
        enum choose_kind kind;
        int (*parse)(const char *, struct choice *);
    } kinds[] = {{"spread:", CHOOSE_SPREAD, parse_count},
                 {"every:", CHOOSE_EVERY, parse_every},
                 {"interval:", CHOOSE_INTERVAL, parse_count},
                 {"rate:", CHOOSE_RATE, parse_rate},
                 {"time:", CHOOSE_TIME, parse_rate},
                 {"list:", CHOOSE_FROM_LIST, parse_list}};
    memset(c, 0, sizeof *c);
    if (!strcmp(words, "all"))
        return 1;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        const size_t n = strlen(kinds[i].word);
        c->kind = kinds[i].kind;
        if (!strncmp(words, kinds[i].word, n))
            return kinds[i].parse(words + n, c);
    }
    return 0;
}

uint64_t choose_most(const struct choice *c)
{
    switch (c->kind) {
    case CHOOSE_SPREAD:
    case CHOOSE_INTERVAL:
        return c->count;
    case CHOOSE_FROM_LIST:
        return c->nlist;
    default:
        return NONE;
    }
}

static uint64_t next_multiple(uint64_t from, uint64_t first, uint64_t step)
{
    return from <= first ? first : first + (from - first + step - 1) / step * step;
}

static uint64_t next_spread(uint64_t from, uint64_t total, uint64_t count)
{
    if (count == 1 || total == 1)
        return from ? NONE : 0;
    /* The least i with i * (total - 1) / (count - 1) >= from. */
    const uint64_t i = (from * (count - 1) + total - 2) / (total - 1);
    return i < count ? i * (total - 1) / (count - 1) : NONE;
}

static uint64_t next_listed(const struct choice *c, uint64_t from)
{
    for (uint32_t i = 0; i < c->nlist; i++)
        if (c->list[i] >= from)
            return c->list[i];
    return NONE;
}

uint64_t choose_next(const struct choice *c, uint64_t from, uint64_t total, double fps)
{
    uint64_t next = NONE;
    if (from >= total)
        return NONE;
    switch (c->kind) {
    case CHOOSE_ALL:
    case CHOOSE_TIME:
        next = from;
        break;
    case CHOOSE_SPREAD:
        next = next_spread(from, total, c->count);
        break;
    case CHOOSE_EVERY:
        next = next_multiple(from, c->first, c->every);
        break;
    case CHOOSE_INTERVAL:
        next = next_multiple(from, 0, (total + c->count - 1) / c->count);
        break;
    case CHOOSE_RATE: {
        const double step = round(floor(fps) / c->rate);
        next = next_multiple(from, 0, step >= 1 && step < 1e9 ? (uint64_t)step : 1);
        break;
    }
    case CHOOSE_FROM_LIST:
        next = next_listed(c, from);
        break;
    }
    return next < total ? next : NONE;
}
