/* pipeline.h - what a pipeline file says: ef_pipeline inside, and its parser. Called by
 * lib/api; includes lib/model for the keys of a crop and lib/combine for the rule.
 *
 * One block: the struct, and behind it a copy of the file in which ends of lines are
 * NULs; every text points there. Numbers of models, crops and keys have fixed bounds, so
 * that nothing is allocated by what a file says but its own length. */
#ifndef DFN_PIPELINE_PIPELINE_H
#define DFN_PIPELINE_PIPELINE_H

#include "lib/combine/rule.h"
#include "lib/model/meta.h"

#define DFN_PIPELINE_VERSION 1
#define DFN_PIPELINE_BYTES (64 << 10)
#define DFN_PIPELINE_LINE 1023
#define DFN_PIPELINE_CROPS 8
#define DFN_PIPELINE_CROP_KEYS 20
#define DFN_PIPELINE_NAME 63
#define DFN_PIPELINE_KEY 31

struct dfn_pipeline_crop {
    const char *name;
    int line; /* of its header */
    int npairs;
    struct dfn_pair pairs[DFN_PIPELINE_CROP_KEYS]; /* keys point into `keys` */
    int lines[DFN_PIPELINE_CROP_KEYS];
    char keys[DFN_PIPELINE_CROP_KEYS][DFN_PIPELINE_KEY + 8]; /* with "dfnet." */
    struct dfn_meta meta; /* what dfn_meta_parse_crop() fills */
};

struct ef_pipeline {
    ef_allocator allocator;
    /* Of the file, with its last slash; "": the working folder; NULL: none. */
    char *folder;
    ef_pipeline_info info;
    ef_rule rule;
    size_t nmodels, ncrops;
    ef_pipeline_model models[DFN_RULE_MODELS];
    int crop_of[DFN_RULE_MODELS]; /* index of models[i].crop, or -1 */
    double weights[DFN_RULE_MODELS], temperatures[DFN_RULE_MODELS];
    uint8_t shrinks[DFN_RULE_MODELS];
    ef_turns turns[DFN_RULE_MODELS];
    struct dfn_pipeline_crop crops[DFN_PIPELINE_CROPS];
};

/* Names of enum values, in their order, as the file spells them. */
extern const char *const dfn_pipeline_detectors[3];
extern const char *const dfn_pipeline_frames[5];
extern const char *const dfn_pipeline_kinds[6];
extern const char *const dfn_pipeline_faces[4];
extern const char *const dfn_pipeline_models[4];

/* Parses size bytes; where names them in errors. folder may be NULL. */
ef_status dfn_pipeline_parse(const uint8_t *data, size_t size, const char *where,
                             const char *folder, const ef_options *opt, ef_pipeline **out,
                             ef_error *err);

#endif
