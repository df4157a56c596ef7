/* parse.c - see pipeline.h and README.md. Lines are cut in place; a table has one row for
 * each key: its section, where its value goes, what it may be. A new key is a row there,
 * a field, and a line in the README. */
#include "lib/pipeline/pipeline.h"

#include "lib/base/json.h"
#include "lib/base/mem.h"
#include "lib/base/number.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *const dfn_pipeline_detectors[3] = {"given", "whole", "mtcnn"};
const char *const dfn_pipeline_frames[5] = {"all", "spread", "step", "interval", "rate"};
const char *const dfn_pipeline_kinds[6] = {"mean-prob", "mean-logit", "confident",
                                           "sharpen",   "group",      "max-face"};
const char *const dfn_pipeline_faces[4] = {"pool", "mean", "max", "agree"};
const char *const dfn_pipeline_models[4] = {"mean-prob", "mean-logit", "agree", "pool"};

enum section { TOP, DETECTOR, FRAMES, CROP, MODEL, RULE, SECTIONS };
static const char *const section_names[SECTIONS] = {"",     "detector", "frames",
                                                    "crop", "model",    "rule"};

enum type { TEXT, NAME, FILE_NAME, CHOICE, COUNT, SWITCH, REAL, VERSION, KIND, TURNS };

/* A key. count: reals in its list. low, high: ends of a REAL or COUNT. choices, n: of a
 * CHOICE, whose value is an int. */
struct key {
    enum section section;
    const char *name;
    enum type type;
    size_t offset; /* in ef_pipeline_info, ef_pipeline_model or ef_rule */
    int count;
    double low, high;
    const char *const *choices;
    bool required;
};

#define INFO(field) offsetof(ef_pipeline_info, field)
#define OF_MODEL(field) offsetof(ef_pipeline_model, field)
#define OF_RULE(field) offsetof(ef_rule, field)
#define RULE_REAL(field)                                                                 \
    {                                                                                    \
        RULE, #field, REAL, OF_RULE(field), 1, -1e30, 1e30, NULL, false                  \
    }

/* The ranges of the rule's reals are those of dfn_rule_check(). */
static const struct key keys[] = {
    {TOP, "dfnet-pipeline", VERSION, 0, 0, 0, 0, NULL, true},
    {TOP, "name", NAME, INFO(name), 0, 0, 0, NULL, true},
    {TOP, "source", TEXT, INFO(source), 0, 0, 0, NULL, true},
    {TOP, "lacks", TEXT, INFO(lacks), 0, 0, 0, NULL, true},
    {DETECTOR, "kind", CHOICE, INFO(detector), 3, 0, 0, dfn_pipeline_detectors, true},
    {DETECTOR, "scale", REAL, INFO(scale), 1, 1e-3, 1, NULL, false},
    {DETECTOR, "thresholds", REAL, INFO(thresholds), 3, 0, 1, NULL, false},
    {DETECTOR, "min_face", REAL, INFO(min_face), 1, 6, 65535, NULL, false},
    {DETECTOR, "factor", REAL, INFO(factor), 1, 0.1, 0.95, NULL, false},
    {DETECTOR, "score", REAL, INFO(score), 1, 0, 1, NULL, false},
    {DETECTOR, "least_area", REAL, INFO(least_area), 1, 0, 1, NULL, false},
    {DETECTOR, "max_faces", COUNT, INFO(max_faces), 0, 0, 65535, NULL, false},
    {DETECTOR, "every", COUNT, INFO(detect_every), 0, 1, 16, NULL, false},
    {DETECTOR, "least_found", COUNT, INFO(least_found), 0, 1, 1e6, NULL, false},
    {FRAMES, "choose", CHOICE, INFO(frames), 5, 0, 0, dfn_pipeline_frames, true},
    {FRAMES, "count", COUNT, INFO(count), 0, 1, 1e6, NULL, false},
    {FRAMES, "every", COUNT, INFO(every), 0, 1, 1e6, NULL, false},
    {FRAMES, "first", COUNT, INFO(first), 0, 0, 1e6, NULL, false},
    {FRAMES, "rate", REAL, INFO(rate), 1, 1e-3, 1e3, NULL, false},
    {FRAMES, "per_face", COUNT, INFO(per_face), 0, 0, 1e6, NULL, false},
    {FRAMES, "max_scores", COUNT, INFO(max_scores), 0, 0, 1e6, NULL, false},
    {MODEL, "file", FILE_NAME, OF_MODEL(file), 0, 0, 0, NULL, true},
    {MODEL, "crop", NAME, OF_MODEL(crop), 0, 0, 0, NULL, false},
    {MODEL, "weight", REAL, OF_MODEL(weight), 1, 1e-30, 1e30, NULL, false},
    {MODEL, "temperature", REAL, OF_MODEL(temperature), 1, DFN_LEAST_TEMPERATURE,
     DFN_MOST_TEMPERATURE, NULL, false},
    {MODEL, "shrink", SWITCH, OF_MODEL(shrink), 0, 0, 0, NULL, false},
    {MODEL, "flip", SWITCH, OF_MODEL(flip), 0, 0, 0, NULL, false},
    {MODEL, "turns", TURNS, OF_MODEL(turns), 0, 0, 0, NULL, false},
    {RULE, "kind", KIND, OF_RULE(kind), 6, 0, 0, dfn_pipeline_kinds, true},
    {RULE, "faces", CHOICE, OF_RULE(faces), 4, 0, 0, dfn_pipeline_faces, false},
    {RULE, "models", CHOICE, OF_RULE(models), 4, 0, 0, dfn_pipeline_models, false},
    RULE_REAL(high),
    RULE_REAL(low),
    RULE_REAL(high_divisor),
    RULE_REAL(high_least),
    RULE_REAL(low_share),
    RULE_REAL(gamma),
    RULE_REAL(margin),
    RULE_REAL(weight_floor),
    {RULE, "run", COUNT, OF_RULE(run), 0, 1, 1e6, NULL, false},
    RULE_REAL(share),
    RULE_REAL(face_sure),
    RULE_REAL(face_high),
    RULE_REAL(face_low),
    RULE_REAL(model_high),
    RULE_REAL(model_low),
    RULE_REAL(model_share),
    RULE_REAL(shrink_from),
    RULE_REAL(shrink_by),
    RULE_REAL(temperature),
    RULE_REAL(clip),
    {RULE, "thresholds", REAL, OF_RULE(real_below), 2, 0, 1, NULL, false},
};
#define KEYS ((int)(sizeof keys / sizeof keys[0]))
_Static_assert(KEYS <= 64, "struct parser has a bit for each key");
_Static_assert(offsetof(ef_rule, fake_from) ==
                   offsetof(ef_rule, real_below) + sizeof(double),
               "the two thresholds are read as a list");

/* While parsing. The first failure stays in status; everything then does nothing. */
struct parser {
    ef_pipeline *p;
    const char *where;
    ef_error *err;
    ef_status status;
    int line;
    enum section section;
    uint64_t seen;                       /* bits of the keys of this section so far    */
    bool had[SECTIONS];                  /* sections that may appear once only         */
    bool weights, temperatures, shrinks; /* whether any model states one     */
    int model_lines[DFN_RULE_MODELS];
    int rule_line;
};

static DFN_COLD DFN_PRINTF(4, 5) void refuse(struct parser *s, ef_status status, int line,
                                             const char *what, ...)
{
    char place[96], sentence[224];
    va_list args;
    if (s->status)
        return;
    va_start(args, what);
    vsnprintf(sentence, sizeof sentence, what, args);
    va_end(args);
    snprintf(place, sizeof place, "line %d", line);
    s->status = dfn_fail(s->err, status, place, "%s", sentence);
    dfn_error_prefix(s->err, s->where);
}

/* A bounded, plain ASCII piece of a text from outside. */
struct quote {
    char text[48];
};

static struct quote quote(const char *text)
{
    struct quote q;
    size_t n = 0;
    for (; text[n] && n < sizeof q.text - 4; n++)
        q.text[n] = text[n] >= 0x20 && text[n] < 0x7f ? text[n] : '?';
    snprintf(q.text + n, sizeof q.text - n, "%s", text[n] ? "..." : "");
    return q;
}

/* ---- values ---------------------------------------------------------------------- */

/* The struct that a section's values go to. */
static char *target(struct parser *s)
{
    switch (s->section) {
    case MODEL:
        return (char *)&s->p->models[s->p->nmodels - 1];
    case RULE:
        return (char *)&s->p->rule;
    default:
        return (char *)&s->p->info;
    }
}

static void take_text(struct parser *s, const struct key *k, const char *value)
{
    if (k->type == NAME && strlen(value) > DFN_PIPELINE_NAME)
        refuse(s, EF_E_LIMIT, s->line, "%s has %zu bytes, at most %d are allowed",
               k->name, strlen(value), DFN_PIPELINE_NAME);
    memcpy(target(s) + k->offset, &value, sizeof value);
}

/* A path that stays in the folder: parts of letters that every file system has, none of
 * them empty or beginning with a dot. */
static void take_file(struct parser *s, const struct key *k, const char *value)
{
    bool good = true, begins = true;
    for (const char *c = value; *c; c++) {
        const bool plain = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') ||
                           (*c >= '0' && *c <= '9') || *c == '-' || *c == '_';
        good = good && (plain || (!begins && (*c == '.' || *c == '/')));
        begins = *c == '/';
    }
    if (!good || begins || strlen(value) > 255)
        refuse(s, EF_E_FORMAT, s->line,
               "file '%s' is not a plain relative path: letters, digits, - and _, dots "
               "within names, / between them, at most 255",
               quote(value).text);
    memcpy(target(s) + k->offset, &value, sizeof value);
}

static int choice(struct parser *s, const struct key *k, const char *value)
{
    char list[96] = "";
    for (int i = 0; i < k->count; i++) {
        if (!strcmp(value, k->choices[i]))
            return i;
        const size_t used = strlen(list);
        snprintf(list + used, sizeof list - used, "%s%s", i ? ", " : "", k->choices[i]);
    }
    refuse(s, EF_E_FORMAT, s->line, "%s is '%s', expected one of %s", k->name,
           quote(value).text, list);
    return 0;
}

static void put_int(struct parser *s, const struct key *k, int value)
{
    memcpy(target(s) + k->offset, &value, sizeof value);
}

/* ef_rule_init() gives the kind's own defaults, so it must come first. */
static void take_kind(struct parser *s, const struct key *k, const char *value)
{
    const int kind = choice(s, k, value);
    if (s->seen & (s->seen - 1))
        refuse(s, EF_E_FORMAT, s->line, "kind must be the first key of the rule");
    else
        ef_rule_init(&s->p->rule, (ef_rule_kind)kind, sizeof s->p->rule);
}

static void take_count(struct parser *s, const struct key *k, const char *value)
{
    uint64_t n = 0;
    if (!dfn_parse_uint(value, strlen(value), UINT64_MAX, &n)) {
        refuse(s, EF_E_FORMAT, s->line, "%s is '%s', expected a plain integer", k->name,
               quote(value).text);
    } else if ((double)n < k->low || (double)n > k->high) {
        refuse(s, EF_E_FORMAT, s->line, "%s is %llu, allowed is %.0f to %.0f", k->name,
               (unsigned long long)n, k->low, k->high);
    } else {
        const uint32_t small = (uint32_t)n;
        memcpy(target(s) + k->offset, &small, sizeof small);
    }
}

static void take_version(struct parser *s, const char *value)
{
    uint64_t n = 0;
    if (!dfn_parse_uint(value, strlen(value), UINT64_MAX, &n) || !n)
        refuse(s, EF_E_FORMAT, s->line, "the version is '%s', expected a plain integer",
               quote(value).text);
    else if (n > DFN_PIPELINE_VERSION)
        refuse(s, EF_E_VERSION, s->line,
               "the pipeline has version %llu of the format, this library knows %d",
               (unsigned long long)n, DFN_PIPELINE_VERSION);
}

/* k->count reals, with commas between them. */
static void take_reals(struct parser *s, const struct key *k, const char *value)
{
    const char *at = value;
    for (int i = 0; i < k->count && !s->status; i++) {
        double x = 0;
        const size_t len = strcspn(at, ",");
        if (!dfn_parse_double(at, len, &x))
            refuse(s, EF_E_FORMAT, s->line, "%s is '%s', expected %d decimal number%s",
                   k->name, quote(value).text, k->count, k->count > 1 ? "s" : "");
        else if (!(x >= k->low && x <= k->high))
            refuse(s, EF_E_FORMAT, s->line, "%s has %g, allowed is %g to %g", k->name, x,
                   k->low, k->high);
        memcpy(target(s) + k->offset + (size_t)i * sizeof x, &x, sizeof x);
        at += len;
        if ((*at == ',') != (i + 1 < k->count))
            refuse(s, EF_E_FORMAT, s->line, "%s needs %d number%s", k->name, k->count,
                   k->count > 1 ? "s, with commas between them" : "");
        at += *at == ',';
    }
}

/* PERIOD:PLACE,PLACE,... with an m behind a place that is mirrored, e.g. 8:0m,2. */
static void take_turns(struct parser *s, const struct key *k, const char *value)
{
    ef_turns turns = {0};
    uint64_t period = 0, place = 0;
    const char *at = value + strcspn(value, ":");
    bool good = dfn_parse_uint(value, (size_t)(at - value), UINT64_MAX, &period) &&
                period >= 1 && period <= 64 && *at;
    int64_t last = -1;
    while (good && *at++) {
        const size_t len = strcspn(at, ",");
        const bool mirrored = len > 1 && at[len - 1] == 'm';
        good = dfn_parse_uint(at, len - mirrored, UINT64_MAX, &place) && place < period &&
               (int64_t)place > last;
        if (!good)
            break;
        turns.take |= (uint64_t)1 << place;
        turns.mirror |= (uint64_t)mirrored << place;
        last = (int64_t)place;
        at += len;
    }
    turns.period = (uint32_t)period;
    if (!good)
        refuse(s, EF_E_FORMAT, s->line,
               "turns is '%s', expected PERIOD:PLACE,..., a period of 1 to 64 and rising "
               "places below it, with an m behind those that are mirrored",
               quote(value).text);
    memcpy(target(s) + k->offset, &turns, sizeof turns);
}

static void take_value(struct parser *s, const struct key *k, const char *value)
{
    switch (k->type) {
    case TEXT:
    case NAME:
        take_text(s, k, value);
        break;
    case FILE_NAME:
        take_file(s, k, value);
        break;
    case CHOICE:
        put_int(s, k, choice(s, k, value));
        break;
    case KIND:
        take_kind(s, k, value);
        break;
    case COUNT:
        take_count(s, k, value);
        break;
    case VERSION:
        take_version(s, value);
        break;
    case REAL:
        take_reals(s, k, value);
        break;
    case SWITCH:
        if (strcmp(value, "0") && strcmp(value, "1"))
            refuse(s, EF_E_FORMAT, s->line, "%s is '%s', expected 0 or 1", k->name,
                   quote(value).text);
        put_int(s, k, value[0] == '1');
        break;
    case TURNS:
        take_turns(s, k, value);
        break;
    }
    if (k->section == MODEL) {
        s->weights |= k->offset == OF_MODEL(weight);
        s->temperatures |= k->offset == OF_MODEL(temperature);
        s->shrinks |= k->offset == OF_MODEL(shrink);
    }
}

/* A crop's keys are those of model files; lib/model reads them when all are there. */
static void take_crop_key(struct parser *s, const char *key, const char *value)
{
    struct dfn_pipeline_crop *c = &s->p->crops[s->p->ncrops - 1];
    for (int i = 0; i < c->npairs; i++)
        if (!strcmp(c->keys[i] + strlen("dfnet."), key))
            refuse(s, EF_E_FORMAT, s->line, "%s appears twice, first in line %d",
                   quote(key).text, c->lines[i]);
    if (c->npairs == DFN_PIPELINE_CROP_KEYS || strlen(key) > DFN_PIPELINE_KEY)
        refuse(s, EF_E_FORMAT, s->line, "%s is no key of a crop", quote(key).text);
    if (s->status)
        return;
    snprintf(c->keys[c->npairs], sizeof c->keys[0], "dfnet.%s", key);
    c->pairs[c->npairs] = (struct dfn_pair){c->keys[c->npairs], value};
    c->lines[c->npairs++] = s->line;
}

static void take_key(struct parser *s, const char *key, const char *value)
{
    if (s->section == CROP) {
        take_crop_key(s, key, value);
        return;
    }
    for (int i = 0; i < KEYS; i++) {
        if (keys[i].section != s->section || strcmp(keys[i].name, key))
            continue;
        if (s->seen >> i & 1)
            refuse(s, EF_E_FORMAT, s->line, "%s appears twice", key);
        s->seen |= (uint64_t)1 << i;
        if (!s->status)
            take_value(s, &keys[i], value);
        return;
    }
    refuse(s, EF_E_FORMAT, s->line, "'%s' is no key of %s%s%s", quote(key).text,
           s->section ? "[" : "the head of a pipeline", section_names[s->section],
           s->section ? "]" : "");
}

/* ---- sections -------------------------------------------------------------------- */

static void end_section(struct parser *s)
{
    for (int i = 0; i < KEYS; i++)
        if (keys[i].section == s->section && keys[i].required && !(s->seen >> i & 1))
            refuse(s, EF_E_FORMAT, s->line, "%s is missing%s%s%s before here",
                   keys[i].name, s->section ? " in [" : "", section_names[s->section],
                   s->section ? "]" : "");
    s->seen = 0;
}

static void begin_model(struct parser *s, const char *name)
{
    ef_pipeline *p = s->p;
    if (p->nmodels == DFN_RULE_MODELS) {
        refuse(s, EF_E_LIMIT, s->line, "more than %d models", DFN_RULE_MODELS);
        return;
    }
    s->model_lines[p->nmodels] = s->line;
    p->models[p->nmodels++] = (ef_pipeline_model){.struct_size = sizeof p->models[0],
                                                  .name = name,
                                                  .file = "",
                                                  .weight = 1,
                                                  .temperature = 1,
                                                  .flip = -1};
}

static void begin_crop(struct parser *s, const char *name)
{
    ef_pipeline *p = s->p;
    if (!*name)
        refuse(s, EF_E_FORMAT, s->line, "a crop needs a name: [crop NAME]");
    for (size_t i = 0; i < p->ncrops; i++)
        if (!strcmp(p->crops[i].name, name))
            refuse(s, EF_E_FORMAT, s->line, "crop '%s' appears twice", quote(name).text);
    if (p->ncrops == DFN_PIPELINE_CROPS)
        refuse(s, EF_E_LIMIT, s->line, "more than %d crops", DFN_PIPELINE_CROPS);
    if (s->status)
        return;
    p->crops[p->ncrops].name = name;
    p->crops[p->ncrops++].line = s->line;
}

/* text: between the brackets. */
static void begin_section(struct parser *s, char *text)
{
    char *name = strchr(text, ' ');
    int section = TOP + 1;
    end_section(s);
    if (name) {
        *name++ = 0;
        name += strspn(name, " ");
    } else {
        name = text + strlen(text);
    }
    while (section < SECTIONS && strcmp(text, section_names[section]))
        section++;
    if (section == SECTIONS) {
        refuse(s, EF_E_FORMAT, s->line, "there is no section [%s]", quote(text).text);
        return;
    }
    const bool many = section == CROP || section == MODEL;
    if (!many && *name)
        refuse(s, EF_E_FORMAT, s->line, "[%s] has no name", text);
    if (!many && s->had[section])
        refuse(s, EF_E_FORMAT, s->line, "[%s] appears twice", text);
    if (strlen(name) > DFN_PIPELINE_NAME)
        refuse(s, EF_E_LIMIT, s->line, "a name has at most %d bytes", DFN_PIPELINE_NAME);
    if (s->status)
        return;
    s->had[section] = true;
    s->section = (enum section)section;
    if (section == RULE)
        s->rule_line = s->line;
    else if (section == MODEL)
        begin_model(s, name);
    else if (section == CROP)
        begin_crop(s, name);
}

/* ---- lines ----------------------------------------------------------------------- */

/* Cuts spaces at both ends of [from, to). */
static char *trimmed(char *from, char *to)
{
    while (to > from && to[-1] == ' ')
        to--;
    *to = 0;
    return from + strspn(from, " ");
}

static void take_line(struct parser *s, char *line, char *end)
{
    line = trimmed(line, end);
    const size_t len = strlen(line);
    if (!len || *line == '#')
        return;
    if (*line == '[') {
        if (line[len - 1] != ']') {
            refuse(s, EF_E_FORMAT, s->line, "the section's ] is missing");
            return;
        }
        begin_section(s, trimmed(line + 1, line + len - 1));
        return;
    }
    char *equals = strchr(line, '=');
    if (!equals) {
        refuse(s, EF_E_FORMAT, s->line,
               "'%s' is no section and has no =", quote(line).text);
        return;
    }
    char *value = trimmed(equals + 1, line + len);
    char *key = trimmed(line, equals);
    if (!*value)
        refuse(s, EF_E_FORMAT, s->line, "%s has no value", quote(key).text);
    /* The first key says what the file is, and which version. */
    if (!s->seen && s->section == TOP && strcmp(key, keys[0].name))
        refuse(s, EF_E_FORMAT, s->line, "a pipeline begins with '%s = %d'", keys[0].name,
               DFN_PIPELINE_VERSION);
    if (!s->status)
        take_key(s, key, value);
}

/* Text without control characters, in UTF-8; n bytes. */
static void check_text(struct parser *s, const char *text, size_t n)
{
    for (size_t i = 0; i < n && !s->status;) {
        const uint8_t c = (uint8_t)text[i];
        const size_t len = dfn_utf8_length((const uint8_t *)text + i, n - i);
        if (!len)
            refuse(s, EF_E_FORMAT, s->line, "byte %zu is not valid UTF-8", i + 1);
        else if (c < 0x20 || c == 0x7f)
            refuse(s, EF_E_FORMAT, s->line, "byte %zu is the control character 0x%02x%s",
                   i + 1, c, c == '\r' ? " (lines end with a line feed alone)" : "");
        i += len;
    }
}

/* text: size bytes and one more, which may be written. */
static void take_lines(struct parser *s, char *text, size_t size)
{
    char *at = text, *end = text + size;
    while (at < end && !s->status) {
        char *stop = memchr(at, '\n', (size_t)(end - at));
        stop = stop ? stop : end;
        s->line++;
        if (stop - at > DFN_PIPELINE_LINE)
            refuse(s, EF_E_LIMIT, s->line, "has %zu bytes, at most %d are allowed",
                   (size_t)(stop - at), DFN_PIPELINE_LINE);
        check_text(s, at, (size_t)(stop - at));
        if (!s->status)
            take_line(s, at, stop);
        at = stop + 1;
    }
    end_section(s);
}

/* ---- the whole ------------------------------------------------------------------- */

static void finish_crop(struct parser *s, struct dfn_pipeline_crop *c)
{
    ef_error inner = {0};
    if (s->status)
        return;
    const ef_status st = dfn_meta_parse_crop(c->pairs, c->npairs, &c->meta, &inner);
    if (!st)
        return;
    int line = c->line;
    for (int i = 0; i < c->npairs; i++) {
        const size_t tail = strlen(c->pairs[i].key), all = strlen(inner.where);
        if (all >= tail && !strcmp(inner.where + all - tail, c->pairs[i].key))
            line = c->lines[i];
    }
    const char *key = strstr(inner.where, "dfnet.");
    refuse(s, st, line, "%s %s", key ? key + strlen("dfnet.") : inner.where, inner.what);
}

static void finish_models(struct parser *s)
{
    ef_pipeline *p = s->p;
    for (size_t i = 0; i < p->nmodels && !s->status; i++) {
        const ef_pipeline_model *m = &p->models[i];
        p->crop_of[i] = -1;
        for (size_t k = 0; m->crop && k < p->ncrops; k++)
            if (!strcmp(m->crop, p->crops[k].name))
                p->crop_of[i] = (int)k;
        if (m->crop && p->crop_of[i] < 0)
            refuse(s, EF_E_FORMAT, s->model_lines[i], "there is no [crop %s]",
                   quote(m->crop).text);
        p->weights[i] = m->weight;
        p->temperatures[i] = m->temperature;
        p->shrinks[i] = (uint8_t)m->shrink;
        p->turns[i] = m->turns;
    }
    p->rule.model_count = p->nmodels;
    p->rule.weights = s->weights ? p->weights : NULL;
    p->rule.temperatures = s->temperatures ? p->temperatures : NULL;
    p->rule.shrinks = s->shrinks ? p->shrinks : NULL;
    p->info.model_count = p->nmodels;
}

static void finish_rule(struct parser *s)
{
    ef_error inner = {0};
    if (s->status)
        return;
    const ef_status st = dfn_rule_check(&s->p->rule, &inner);
    if (st)
        refuse(s, EF_E_FORMAT, s->rule_line, "%s %s", inner.where, inner.what);
}

static void finish_frames(struct parser *s)
{
    const ef_pipeline_info *i = &s->p->info;
    if (((i->frames == EF_FRAMES_SPREAD || i->frames == EF_FRAMES_INTERVAL) &&
         !i->count) ||
        (i->frames == EF_FRAMES_STEP && !i->every) ||
        (i->frames == EF_FRAMES_RATE && !(i->rate > 0)))
        refuse(s, EF_E_FORMAT, s->line, "[frames] choose = %s needs %s",
               dfn_pipeline_frames[i->frames],
               i->frames == EF_FRAMES_STEP   ? "every"
               : i->frames == EF_FRAMES_RATE ? "rate"
                                             : "count");
}

static void finish(struct parser *s)
{
    for (int i = DETECTOR; i < SECTIONS; i++)
        if (!s->had[i] && i != CROP)
            refuse(s, EF_E_FORMAT, s->line, "[%s] is missing", section_names[i]);
    for (size_t i = 0; i < s->p->ncrops; i++)
        finish_crop(s, &s->p->crops[i]);
    finish_frames(s);
    finish_models(s);
    finish_rule(s);
}

static void set_defaults(ef_pipeline *p)
{
    ef_pipeline_info_init(&p->info, sizeof p->info);
    ef_rule_init(&p->rule, EF_RULE_MEAN_PROB, sizeof p->rule);
    /* MTCNN's own, as facenet-pytorch has them. */
    static const double thresholds[3] = {0.6, 0.7, 0.7};
    p->info.scale = 1;
    memcpy(p->info.thresholds, thresholds, sizeof thresholds);
    p->info.min_face = 20;
    p->info.factor = 0.709;
}

ef_status dfn_pipeline_parse(const uint8_t *data, size_t size, const char *where,
                             const char *folder, const ef_options *opt, ef_pipeline **out,
                             ef_error *err)
{
    const size_t folder_size = folder ? strlen(folder) + 1 : 0;
    struct parser s = {.where = where, .err = err};
    if (size > DFN_PIPELINE_BYTES)
        return dfn_fail(err, EF_E_LIMIT, where, "has %zu bytes, at most %d are allowed",
                        size, DFN_PIPELINE_BYTES);
    ef_pipeline *p = dfn_calloc(&opt->allocator, sizeof *p + size + 1 + folder_size);
    if (!p)
        return dfn_fail(err, EF_E_NOMEM, where, "no memory for the pipeline");
    char *text = (char *)(p + 1);
    p->allocator = opt->allocator;
    if (size)
        memcpy(text, data, size);
    if (folder) {
        p->folder = text + size + 1;
        memcpy(p->folder, folder, folder_size);
    }
    s.p = p;
    set_defaults(p);
    take_lines(&s, text, size);
    if (!s.status)
        finish(&s);
    if (s.status) {
        ef_pipeline_free(p);
        return s.status;
    }
    *out = p;
    return EF_OK;
}
