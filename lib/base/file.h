/* file.h - whole files into memory, with a limit. Called by the api layer for models and
 * pictures. */
#ifndef DFN_BASE_FILE_H
#define DFN_BASE_FILE_H

#include "lib/base/options.h"

struct dfn_blob {
    uint8_t *data; /* [size] bytes, from dfn_alloc; the owner calls dfn_blob_free() */
    size_t size;
};

/* Reads from fd's position to its end; where names it in errors. The size that fstat
 * reports bounds a regular file's first allocation; a pipe grows by doubling. */
ef_status dfn_read_fd(int fd, const char *where, const ef_options *opt,
                      struct dfn_blob *out, ef_error *err);
ef_status dfn_read_file(const char *path, const ef_options *opt, struct dfn_blob *out,
                        ef_error *err);
void dfn_blob_free(const ef_options *opt, struct dfn_blob *blob);

#endif
