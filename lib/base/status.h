/* status.h - how a failure gets its sentence. Used by every layer above kernels. */
#ifndef DFN_BASE_STATUS_H
#define DFN_BASE_STATUS_H

#include "dfnet/dfnet.h"
#include "lib/base/attr.h"

/* Fills err (may be NULL) and returns status, so that `return dfn_fail(...)` reads as
 * one thought. where: a place for a person; both texts are cut to fit, never overrun. */
DFN_COLD DFN_PRINTF(4, 5) ef_status
    dfn_fail(ef_error *err, ef_status status, const char *where, const char *what, ...);

/* The same after a failed system call: sys is its errno, and its text is appended. */
DFN_COLD DFN_PRINTF(4, 5) ef_status
    dfn_fail_sys(ef_error *err, int sys, const char *where, const char *what, ...);

/* Puts `prefix: ` before err->where: a caller adds the file to its callee's tensor. */
DFN_COLD void dfn_error_prefix(ef_error *err, const char *prefix);

#endif
