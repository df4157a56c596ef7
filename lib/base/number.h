/* number.h - decimal text to numbers, the same in every locale and rounding mode. Called
 * by lib/model for metadata. Syntax: weights_tools/FORMAT.md, section 2.
 *
 * strtod() follows the locale's decimal point and may set errno; strtod_l() is not in
 * POSIX 2008 and needs a locale object from malloc. The parser here is exact for every
 * accepted text: it holds the whole value as one big integer and rounds once, half to
 * even. */
#ifndef DFN_BASE_NUMBER_H
#define DFN_BASE_NUMBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* len bytes: "0" or digits without sign and leading zero, at most max. */
bool dfn_parse_uint(const char *text, size_t len, uint64_t max, uint64_t *out);

/* len bytes: -?(0|[1-9][0-9]{0,39})(\.[0-9]{1,39})?(e[+-]?[0-9]{1,3})?, what Python's
 * repr() writes for a finite float and some more. False for other texts and for a value
 * that rounds to infinity; a value too small for a subnormal gives a zero with its sign.
 */
bool dfn_parse_double(const char *text, size_t len, double *out);
bool dfn_parse_float(const char *text, size_t len, float *out);

/* IEEE 754 binary16 to binary32: exact, NaN stays NaN. */
float dfn_half_to_float(uint16_t half);

#endif
