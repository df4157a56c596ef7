/* number.c - see number.h.
 *
 * A real is digits * 10^e = digits * 5^e * 2^e. For e < 0 the big integer is first
 * shifted left so far that the quotient by 5^-e keeps 64 bits or more; dividing by one
 * word after the other gives the same quotient as one long division, and "some remainder
 * was not zero" is all that rounding needs to know about what was cut off. */
#include "lib/base/number.h"

#include <string.h>

/* Digits: 40 + 39. Exponents beyond these round to zero or infinity whatever the digits
 * (smallest subnormal double 4.9e-324, largest 1.8e308, at most 79 digits). */
#define MIN_EXPONENT (-420)
#define MAX_EXPONENT 320

/* 79 digits need 263 bits, times 10^320 needs 744 bits of 5^320 and 320 of shift; or
 * divided by 5^420 (976 bits) with 64 bits to spare: 1344 bits hold both. */
#define WORDS 44

struct big {
    uint32_t word[WORDS]; /* least significant first */
    int used;
};

static void big_mul_add(struct big *b, uint32_t factor, uint32_t add)
{
    uint64_t carry = add;
    for (int i = 0; i < b->used; i++) {
        carry += (uint64_t)b->word[i] * factor;
        b->word[i] = (uint32_t)carry;
        carry >>= 32;
    }
    if (carry)
        b->word[b->used++] = (uint32_t)carry;
}

/* b /= divisor; true if something remained. */
static bool big_div(struct big *b, uint32_t divisor)
{
    uint64_t rest = 0;
    for (int i = b->used - 1; i >= 0; i--) {
        rest = rest << 32 | b->word[i];
        b->word[i] = (uint32_t)(rest / divisor);
        rest %= divisor;
    }
    while (b->used && !b->word[b->used - 1])
        b->used--;
    return rest != 0;
}

static void big_shift_words(struct big *b, int words)
{
    memmove(b->word + words, b->word, (size_t)b->used * sizeof b->word[0]);
    memset(b->word, 0, (size_t)words * sizeof b->word[0]);
    b->used += words;
}

/* The value as top * 2^exponent with bit 63 of top set, and whether less significant bits
 * than those were cut off. */
struct binary {
    uint64_t top;
    int exponent;
    bool sticky;
};

static struct binary big_top(const struct big *b, int exponent, bool sticky)
{
    struct binary r = {0, 32 * (b->used - 2) + exponent, sticky};
    int i = b->used - 1;
    r.top = (uint64_t)b->word[i] << 32 | (i > 0 ? b->word[i - 1] : 0);
    const uint32_t next = i > 1 ? b->word[i - 2] : 0;
    int shift = 0;
    while (!(r.top >> 63)) {
        r.top <<= 1;
        shift++;
    }
    r.exponent -= shift;
    if (shift) {
        r.top |= next >> (32 - shift);
        r.sticky |= (uint32_t)(next << shift) != 0;
    } else {
        r.sticky |= next != 0;
    }
    for (i -= 3; i >= 0; i--)
        r.sticky |= b->word[i] != 0;
    return r;
}

static struct binary scale(struct big *b, int exponent10)
{
    static const uint32_t power5[] = {1,       5,        25,        125,       625,
                                      3125,    15625,    78125,     390625,    1953125,
                                      9765625, 48828125, 244140625, 1220703125};
    if (exponent10 >= 0) {
        for (int e = exponent10; e > 0; e -= 13)
            big_mul_add(b, power5[e < 13 ? e : 13], 0);
        return big_top(b, exponent10, false);
    }
    const int down = -exponent10;
    /* log2(5) < 2.3220: one word more than the divisor has, and two for the quotient. */
    const int words = (int)((unsigned)down * 2322u / 32000u) + 3;
    bool sticky = false;
    big_shift_words(b, words);
    for (int e = down; e > 0; e -= 13)
        sticky |= big_div(b, power5[e < 13 ? e : 13]);
    return big_top(b, exponent10 - 32 * words, sticky);
}

/* Rounds to `bits` significant bits, fewer where the least exponent of the format (that
 * of its smallest subnormal) does not leave so many. Gives the IEEE 754 encoding without
 * sign; false if that is infinity, whose encoding the caller knows. */
static bool encode(struct binary v, int bits, int least, uint64_t infinity, uint64_t *out)
{
    int drop = 64 - bits;
    if (v.exponent + drop < least)
        drop = least - v.exponent;
    uint64_t kept = 0;
    bool half = false, rest = v.sticky;
    if (drop <= 64) {
        kept = drop < 64 ? v.top >> drop : 0;
        half = v.top >> (drop - 1) & 1;
        rest |= (v.top & (((uint64_t)1 << (drop - 1)) - 1)) != 0;
    }
    if (half && (rest || (kept & 1)))
        kept++;
    /* A carry out of kept makes the next exponent's smallest number, just as adding 1 to
     * the encoding does; the hidden bit adds the 1 of normal numbers' exponent field. */
    const int field = v.exponent + drop - least;
    *out = ((uint64_t)field << (bits - 1)) + kept;
    return *out < infinity;
}

struct decimal {
    bool negative;
    struct big digits;
    int exponent; /* value = digits * 10^exponent */
};

static bool take_digits(const char **at, const char *end, int most, struct big *b)
{
    const char *first = *at;
    while (*at < end && **at >= '0' && **at <= '9') {
        if (*at - first == most)
            return false;
        big_mul_add(b, 10, (uint32_t)(*(*at)++ - '0'));
    }
    return *at > first;
}

static bool take_exponent(const char **at, const char *end, int *out)
{
    bool negative = false;
    int value = 0;
    if (*at < end && (**at == '+' || **at == '-'))
        negative = *(*at)++ == '-';
    const char *first = *at;
    while (*at < end && **at >= '0' && **at <= '9' && *at - first < 3)
        value = value * 10 + (*(*at)++ - '0');
    *out = negative ? -value : value;
    return *at > first;
}

static bool parse_decimal(const char *text, size_t len, struct decimal *d)
{
    const char *at = text, *end = text + len;
    memset(d, 0, sizeof *d);
    if (at < end && *at == '-') {
        d->negative = true;
        at++;
    }
    const char *whole = at;
    if (!take_digits(&at, end, 40, &d->digits) || (*whole == '0' && at - whole > 1))
        return false;
    if (at < end && *at == '.') {
        const char *fraction = ++at;
        if (!take_digits(&at, end, 39, &d->digits))
            return false;
        d->exponent = -(int)(at - fraction);
    }
    if (at < end && *at == 'e') {
        int exponent;
        at++;
        if (!take_exponent(&at, end, &exponent))
            return false;
        d->exponent += exponent;
    }
    return at == end;
}

/* The IEEE 754 encoding without sign. */
static bool parse_real(const char *text, size_t len, int bits, int least,
                       uint64_t infinity, bool *negative, uint64_t *out)
{
    struct decimal d;
    if (!parse_decimal(text, len, &d))
        return false;
    *negative = d.negative;
    *out = 0;
    if (!d.digits.used || d.exponent < MIN_EXPONENT)
        return true;
    if (d.exponent > MAX_EXPONENT)
        return false;
    return encode(scale(&d.digits, d.exponent), bits, least, infinity, out);
}

bool dfn_parse_double(const char *text, size_t len, double *out)
{
    bool negative;
    uint64_t code;
    if (!parse_real(text, len, 53, -1074, (uint64_t)0x7ff << 52, &negative, &code))
        return false;
    code |= (uint64_t)negative << 63;
    memcpy(out, &code, sizeof *out);
    return true;
}

bool dfn_parse_float(const char *text, size_t len, float *out)
{
    bool negative;
    uint64_t wide;
    if (!parse_real(text, len, 24, -149, (uint64_t)0xff << 23, &negative, &wide))
        return false;
    const uint32_t code = (uint32_t)wide | (uint32_t)negative << 31;
    memcpy(out, &code, sizeof *out);
    return true;
}

bool dfn_parse_uint(const char *text, size_t len, uint64_t max, uint64_t *out)
{
    uint64_t value = 0;
    if (!len || (len > 1 && text[0] == '0'))
        return false;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        const uint64_t digit = (uint64_t)(text[i] - '0');
        if (value > (UINT64_MAX - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    *out = value;
    return value <= max;
}

float dfn_half_to_float(uint16_t half)
{
    const uint32_t sign = (uint32_t)(half & 0x8000) << 16;
    uint32_t exponent = half >> 10 & 31, fraction = half & 0x3ff, code;
    if (exponent == 31) {
        code = sign | 0x7f800000u | fraction << 13;
    } else if (exponent) {
        /* Bias 15 to bias 127. */
        code = sign | (exponent + 112) << 23 | fraction << 13;
    } else if (fraction) {
        /* A subnormal half is a normal float: shift until the hidden bit appears. */
        exponent = 113;
        while (!(fraction & 0x400)) {
            fraction <<= 1;
            exponent--;
        }
        code = sign | exponent << 23 | (fraction & 0x3ff) << 13;
    } else {
        code = sign;
    }
    float value;
    memcpy(&value, &code, sizeof value);
    return value;
}
