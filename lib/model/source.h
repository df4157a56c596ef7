/* source.h - the bytes of a model file, from memory or from a regular file, with a budget
 * of what is left. Read once from front to end by lib/model/load.c. */
#ifndef DFN_MODEL_SOURCE_H
#define DFN_MODEL_SOURCE_H

#include "lib/base/status.h"

struct dfn_source {
    const uint8_t *data; /* [size], or NULL: fd is read                                 */
    int fd;
    uint64_t base; /* where in the file the model begins                                */
    uint64_t size, at;
};

/* The next n bytes into out. EF_E_FORMAT if fewer are left, EF_E_IO if reading fails or
 * the file has become shorter; what names the part that is read. */
ef_status dfn_source_read(struct dfn_source *src, void *out, size_t n, const char *what,
                          ef_error *err);

/* EF_E_IO if the file has become longer than it was at the beginning. */
ef_status dfn_source_check_end(const struct dfn_source *src, ef_error *err);

#endif
