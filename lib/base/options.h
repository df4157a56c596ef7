/* options.h - the caller's options made complete. Called at the entry of every public
 * function that takes options; the layers below see a full, checked struct. */
#ifndef DFN_BASE_OPTIONS_H
#define DFN_BASE_OPTIONS_H

#include "lib/base/status.h"

#include <stdbool.h>

/* *full = defaults overlaid with the bytes that opt (may be NULL) says it has.
 * EF_E_ARG for a struct_size or a value that cannot be. */
ef_status dfn_options_resolve(const ef_options *opt, ef_options *full, ef_error *err);

/* Whether the bytes behind the first `known` of a struct of `size` bytes are all 0: a
 * field that this library does not know must not ask for anything. */
bool dfn_tail_is_zero(const void *what, size_t known, size_t size);

/* One line to the log hook, if there is one. */
DFN_PRINTF(3, 4) void dfn_log(const ef_options *opt, int level, const char *line, ...);

#endif
