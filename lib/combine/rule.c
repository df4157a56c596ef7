/* rule.c - see rule.h. The numbers are those of the sources that dfnet.h names. */
#include "lib/combine/rule.h"

#include "lib/base/status.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

void ef_rule_init(ef_rule *rule, ef_rule_kind kind, size_t struct_size)
{
    const bool group = kind == EF_RULE_GROUP;
    const ef_rule defaults = {
        .struct_size = struct_size,
        .kind = kind,
        .faces = group ? EF_FACES_AGREE : EF_FACES_POOL,
        .models = group                        ? EF_MODELS_AGREE
                  : kind == EF_RULE_SHARPEN    ? EF_MODELS_POOL
                  : kind == EF_RULE_MEAN_LOGIT ? EF_MODELS_MEAN_LOGIT
                                               : EF_MODELS_MEAN_PROB,
        .high = group ? 0.85 : 0.8,
        .low = group ? 0.15 : 0.2,
        .high_divisor = 2.5,
        .high_least = 11,
        .low_share = 0.9,
        .gamma = 0.65,
        .margin = 0.01,
        .weight_floor = 1e-4,
        .run = 5,
        .share = 0.7,
        .face_sure = 0.9,
        .face_high = 0.6,
        .face_low = 0.4,
        .model_high = 0.8,
        .model_low = 0.2,
        .model_share = 0.7,
        .shrink_from = 0.98,
        .shrink_by = 0.96,
        .temperature = 1,
        .real_below = 0.5,
        .fake_from = 0.5,
    };
    if (!rule || struct_size < sizeof rule->struct_size)
        return;
    memset(rule, 0, struct_size);
    memcpy(rule, &defaults,
           struct_size < sizeof defaults ? struct_size : sizeof defaults);
}

void ef_combined_init(ef_combined *out, size_t struct_size)
{
    if (!out || struct_size < sizeof out->struct_size)
        return;
    memset(out, 0, struct_size);
    out->struct_size = struct_size;
}

static ef_status check_choices(const ef_rule *r, ef_error *err)
{
    if ((unsigned)r->kind >= DFN_RULE_KINDS)
        return dfn_fail(err, EF_E_ARG, "rule.kind", "is %d, must be 0 to %d",
                        (int)r->kind, DFN_RULE_KINDS - 1);
    if ((unsigned)r->faces > EF_FACES_AGREE)
        return dfn_fail(err, EF_E_ARG, "rule.faces", "is %d, must be 0 to 3",
                        (int)r->faces);
    if ((unsigned)r->models > EF_MODELS_POOL)
        return dfn_fail(err, EF_E_ARG, "rule.models", "is %d, must be 0 to 3",
                        (int)r->models);
    if (r->kind == EF_RULE_GROUP && r->faces == EF_FACES_POOL)
        return dfn_fail(err, EF_E_ARG, "rule.faces",
                        "cannot be POOL: groups are runs of one face's frames");
    if (r->kind == EF_RULE_MAX_FACE && r->faces != EF_FACES_POOL)
        return dfn_fail(err, EF_E_ARG, "rule.faces",
                        "must be POOL: this kind takes the greatest of a frame's faces");
    if (r->models == EF_MODELS_POOL &&
        (r->kind == EF_RULE_GROUP || r->kind == EF_RULE_MAX_FACE))
        return dfn_fail(err, EF_E_ARG, "rule.models",
                        "cannot be POOL: this kind looks at one model after the other");
    if (r->models == EF_MODELS_POOL && (r->weights || r->shrinks))
        return dfn_fail(err, EF_E_ARG, "rule.weights",
                        "and shrinks have no meaning where models are pooled");
    return EF_OK;
}

/* A member and the range that it must be in; open: an end that it must not reach. */
struct range {
    const char *name;
    double value, low, high;
    bool open_low, open_high;
};

static ef_status check_numbers(const ef_rule *r, ef_error *err)
{
    const struct range ranges[] = {
        {"rule.high", r->high, 0, 1, false, false},
        {"rule.low", r->low, 0, 1, false, false},
        {"rule.high_divisor", r->high_divisor, 0, 1e9, true, false},
        {"rule.high_least", r->high_least, 0, 1e15, false, false},
        {"rule.low_share", r->low_share, 0, 1, false, false},
        {"rule.gamma", r->gamma, 0, 1e3, true, false},
        {"rule.margin", r->margin, 0, 0.5, false, true},
        {"rule.weight_floor", r->weight_floor, 0, 1e9, true, false},
        {"rule.run", (double)r->run, 1, UINT32_MAX, false, false},
        {"rule.share", r->share, 0, 1, false, false},
        {"rule.face_sure", r->face_sure, 0, 1, false, false},
        {"rule.face_high", r->face_high, 0, 1, false, false},
        {"rule.face_low", r->face_low, 0, 1, false, false},
        {"rule.model_high", r->model_high, 0, 1, false, false},
        {"rule.model_low", r->model_low, 0, 1, false, false},
        {"rule.model_share", r->model_share, 0, 1, false, false},
        {"rule.shrink_from", r->shrink_from, 0.5, 1, false, false},
        {"rule.shrink_by", r->shrink_by, 0, 1, false, false},
        {"rule.temperature", r->temperature, DFN_LEAST_TEMPERATURE, DFN_MOST_TEMPERATURE,
         false, false},
        {"rule.clip", r->clip, 0, 0.5, false, true},
        {"rule.real_below", r->real_below, 0, 1, false, false},
        {"rule.fake_from", r->fake_from, r->real_below, 1, false, false},
    };
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
        const struct range *g = &ranges[i];
        /* Written so that NaN fails. */
        const bool above = g->open_low ? g->value > g->low : g->value >= g->low;
        const bool below = g->open_high ? g->value < g->high : g->value <= g->high;
        if (!above || !below)
            return dfn_fail(err, EF_E_ARG, g->name, "is %g, must be in %c%g,%g%c",
                            g->value, g->open_low ? '(' : '[', g->low, g->high,
                            g->open_high ? ')' : ']');
    }
    return EF_OK;
}

static ef_status check_models(const ef_rule *r, ef_error *err)
{
    char where[32];
    if (r->model_count > DFN_RULE_MODELS)
        return dfn_fail(err, EF_E_ARG, "rule.model_count", "is %zu, at most %d",
                        r->model_count, DFN_RULE_MODELS);
    if (!r->model_count && (r->weights || r->temperatures || r->shrinks))
        return dfn_fail(err, EF_E_ARG, "rule.model_count",
                        "is 0, but there is an array of that length");
    for (size_t i = 0; i < r->model_count; i++) {
        snprintf(where, sizeof where, "rule: model %zu", i);
        if (r->weights && !(r->weights[i] > 0 && r->weights[i] <= 1e30))
            return dfn_fail(err, EF_E_ARG, where, "has weight %g, must be > 0 and finite",
                            r->weights[i]);
        if (r->temperatures && !(r->temperatures[i] >= DFN_LEAST_TEMPERATURE &&
                                 r->temperatures[i] <= DFN_MOST_TEMPERATURE))
            return dfn_fail(err, EF_E_ARG, where,
                            "has temperature %g, must be 1e-6 to 1e6",
                            r->temperatures[i]);
        if (r->shrinks && r->shrinks[i] > 1)
            return dfn_fail(err, EF_E_ARG, where, "has shrink %d, must be 0 or 1",
                            r->shrinks[i]);
    }
    return EF_OK;
}

ef_status dfn_rule_check(const ef_rule *rule, ef_error *err)
{
    if (rule->struct_size < sizeof *rule || rule->struct_size > 4096)
        return dfn_fail(err, EF_E_ARG, "rule struct_size",
                        "is %zu; call ef_rule_init() first", rule->struct_size);
    ef_status st = check_choices(rule, err);
    if (!st)
        st = check_numbers(rule, err);
    return st ? st : check_models(rule, err);
}
