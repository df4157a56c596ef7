/* meta.h - the keys of weights_tools/FORMAT.md, section 2: their syntax, ranges and what
 * holds between them. Called by lib/model/load.c; no allocation here. */
#ifndef DFN_MODEL_META_H
#define DFN_MODEL_META_H

#include "lib/model/model.h"

/* Keys that begin with this are the user's: kept, never interpreted. */
#define DFN_USER_PREFIX "x."
#define DFN_MAX_USER_KEYS 32
/* Of the table in meta.c. */
#define DFN_KNOWN_KEYS 49
#define DFN_MAX_PAIRS (DFN_KNOWN_KEYS + DFN_MAX_USER_KEYS)

/* The format that this reader knows. */
#define DFN_FORMAT_VERSION 1

#define DFN_KEY_VERSION "dfnet.version"
#define DFN_KEY_HASH "dfnet.xxh3"

/* value: dfnet.version's text, or NULL. EF_E_FORMAT or EF_E_VERSION. */
ef_status dfn_meta_version(const char *value, ef_error *err);

/* Checks every key and value of pairs [npairs] and fills arch and meta, but for
 * meta->ref_logits and meta->labels, whose number is checked only. Everything that a
 * later allocation is sized by has been seen here. */
ef_status dfn_meta_parse(const struct dfn_pair *pairs, int npairs, struct dfn_arch *arch,
                         struct dfn_meta *meta, ef_error *err);

/* Fills what says how a picture becomes input (dfnet.input to dfnet.flip, dfnet.face.*,
 * dfnet.resize.*) and leaves the rest of meta as it is. Every required key of these must
 * be there; EF_E_FORMAT, too, for keys that say something else. */
ef_status dfn_meta_parse_crop(const struct dfn_pair *pairs, int npairs,
                              struct dfn_meta *meta, ef_error *err);

/* Bytes of the block that dfn_meta_arrays() fills. */
size_t dfn_meta_arrays_size(const struct dfn_pair *pairs, int npairs,
                            const struct dfn_arch *arch, const struct dfn_meta *meta);

/* Lays out in block: reference logits [frames][outputs] (a detector's outputs: P-, R-,
 * O-Net, see detector.h), label pointers [outputs] if there are
 * labels, and behind them the labels' text. meta then points there. */
void dfn_meta_arrays(const struct dfn_pair *pairs, int npairs,
                     const struct dfn_arch *arch, void *block, struct dfn_meta *meta);

/* Both are at least one input that the network must be able to take. */
ef_status dfn_meta_check_sizes(const struct dfn_meta *meta, const struct dfn_arch *arch,
                               const struct dfn_block *blocks, int nblocks,
                               ef_error *err);

#endif
