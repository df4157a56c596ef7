/* header.h - the grammar of the JSON header, weights_tools/FORMAT.md, section 1. Called
 * by lib/model/load.c in this order: metadata, texts, tensors. No allocation here. */
#ifndef DFN_MODEL_HEADER_H
#define DFN_MODEL_HEADER_H

#include "lib/base/json.h"
#include "lib/model/meta.h"

struct dfn_raw_pair {
    struct dfn_span key, value; /* in the header, still escaped                         */
};

/* __metadata__ as spans. */
struct dfn_raw_meta {
    struct dfn_raw_pair pairs[DFN_MAX_PAIRS];
    int npairs;
    size_t text; /* bytes that all keys and values need at most, with their NULs        */
};

/* One tensor of the file, in the order of the file. */
struct dfn_file_tensor {
    int spec; /* which of the architecture's                                            */
    bool f16; /* else F32                                                               */
};

/* Reads from the first byte through the end of __metadata__ and checks dfnet.version
 * before anything else that a later version might change. */
ef_status dfn_header_metadata(struct dfn_json *json, struct dfn_raw_meta *raw,
                              ef_error *err);

/* Unescapes raw into text [raw->text] and points pairs [raw->npairs] at it. */
void dfn_header_texts(const struct dfn_json *json, const struct dfn_raw_meta *raw,
                      char *text, struct dfn_pair *pairs);

/* Where in the header the 32 digits of the hash begin; they must be written plainly. */
ef_status dfn_header_hash(const struct dfn_json *json, const struct dfn_raw_meta *raw,
                          size_t *at, ef_error *err);

/* Reads the rest: every tensor of specs [nspecs] exactly once, as one seamless row of
 * data_bytes bytes, then nothing but spaces. seen [nspecs] is scratch, zeroed; file
 * [nspecs] is filled. */
ef_status dfn_header_tensors(struct dfn_json *json, const struct dfn_tensor_spec *specs,
                             int nspecs, uint64_t data_bytes, bool *seen,
                             struct dfn_file_tensor *file, ef_error *err);

#endif
