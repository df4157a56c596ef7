/* header.c - see header.h. */
#include "lib/model/header.h"

#include "lib/base/hash.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* The tokenizer's complaint as an error with a place. */
static ef_status bad_json(const struct dfn_json *json, ef_error *err)
{
    char where[64];
    /* The header begins behind its length: bytes count from the start of the file. */
    snprintf(where, sizeof where, "header, byte %zu", json->at + 8);
    return dfn_fail(err, EF_E_FORMAT, where, "%s", json->error);
}

static ef_status refuse(struct dfn_json *json, size_t at, const char *error,
                        ef_error *err)
{
    dfn_json_refuse(json, at, error);
    return bad_json(json, err);
}

/* STRING ':' of an object. */
static bool take_key(struct dfn_json *json, struct dfn_span *key)
{
    struct dfn_token t;
    if (!dfn_json_expect(json, DFN_JSON_STRING, &t))
        return false;
    *key = t.raw;
    return dfn_json_expect(json, DFN_JSON_COLON, &t);
}

/* After a member or an element: true and *more for a comma, false *more for `end`. */
static bool take_separator(struct dfn_json *json, enum dfn_json_type end, bool *more)
{
    const size_t at = json->at;
    const struct dfn_token t = dfn_json_next(json);
    *more = t.type == DFN_JSON_COMMA;
    if (*more || t.type == end)
        return true;
    if (t.type != DFN_JSON_BAD)
        dfn_json_refuse(json, at,
                        end == DFN_JSON_ARRAY_END ? "expected a comma or ]"
                                                  : "expected a comma or }");
    return false;
}

/* Text of dfnet.version into out, cut to its size: longer texts are no version. */
static void copy_version(const struct dfn_json *json, struct dfn_span raw, char out[64])
{
    char text[64 * 6];
    if (raw.len > sizeof text) {
        strcpy(out, "too long");
        return;
    }
    const size_t n = dfn_json_unescape(json->data + raw.at, raw.len, text);
    snprintf(out, 64, "%.*s", (int)n, text);
}

ef_status dfn_header_metadata(struct dfn_json *json, struct dfn_raw_meta *raw,
                              ef_error *err)
{
    struct dfn_token t;
    struct dfn_raw_pair pair;
    char version[64];
    bool found = false, more = true;
    size_t n = 0;
    raw->npairs = 0;
    raw->text = 0;
    if (!dfn_json_expect(json, DFN_JSON_OBJECT, &t) || !take_key(json, &pair.key))
        return bad_json(json, err);
    if (!dfn_json_equals(json, pair.key, "__metadata__"))
        return refuse(json, pair.key.at - 1, "expected __metadata__ as the first key",
                      err);
    if (!dfn_json_expect(json, DFN_JSON_OBJECT, &t))
        return bad_json(json, err);
    while (more) {
        if (!take_key(json, &pair.key) || !dfn_json_expect(json, DFN_JSON_STRING, &t))
            return bad_json(json, err);
        pair.value = t.raw;
        if (!found && dfn_json_equals(json, pair.key, DFN_KEY_VERSION)) {
            copy_version(json, pair.value, version);
            found = true;
        }
        if (n < DFN_MAX_PAIRS) {
            raw->pairs[n] = pair;
            raw->text += pair.key.len + pair.value.len + 2;
        }
        n++;
        if (!take_separator(json, DFN_JSON_OBJECT_END, &more))
            return bad_json(json, err);
    }
    const ef_status st = dfn_meta_version(found ? version : NULL, err);
    if (st)
        return st;
    if (n > DFN_MAX_PAIRS)
        return dfn_fail(err, EF_E_FORMAT, "metadata",
                        "has %zu keys, at most %d are allowed", n, DFN_MAX_PAIRS);
    raw->npairs = (int)n;
    return EF_OK;
}

static const char *put_text(const struct dfn_json *json, struct dfn_span raw, char **at)
{
    char *text = *at;
    const size_t n = dfn_json_unescape(json->data + raw.at, raw.len, text);
    text[n] = 0;
    *at = text + n + 1;
    return text;
}

void dfn_header_texts(const struct dfn_json *json, const struct dfn_raw_meta *raw,
                      char *text, struct dfn_pair *pairs)
{
    for (int i = 0; i < raw->npairs; i++) {
        pairs[i].key = put_text(json, raw->pairs[i].key, &text);
        pairs[i].value = put_text(json, raw->pairs[i].value, &text);
    }
}

ef_status dfn_header_hash(const struct dfn_json *json, const struct dfn_raw_meta *raw,
                          size_t *at, ef_error *err)
{
    for (int i = 0; i < raw->npairs; i++) {
        const struct dfn_raw_pair *pair = &raw->pairs[i];
        if (!dfn_json_equals(json, pair->key, DFN_KEY_HASH))
            continue;
        *at = pair->value.at;
        if (pair->value.len == DFN_HASH_DIGITS)
            return EF_OK;
    }
    return dfn_fail(err, EF_E_FORMAT, "metadata " DFN_KEY_HASH,
                    "is written with escapes, expected 32 plain digits");
}

/* The three values of a tensor. */
struct entry {
    struct dfn_span dtype;
    uint64_t shape[4], offsets[2];
    int ndim, noffsets;
    bool seen[3]; /* dtype, shape, data_offsets */
};

/* '[' numbers ']' with at most `most` numbers. */
static bool take_list(struct dfn_json *json, uint64_t *out, int most, int *n)
{
    struct dfn_token t;
    bool more = true;
    *n = 0;
    if (!dfn_json_expect(json, DFN_JSON_ARRAY, &t))
        return false;
    while (more) {
        const size_t at = json->at;
        if (!dfn_json_expect(json, DFN_JSON_NUMBER, &t))
            return false;
        if (*n == most) {
            dfn_json_refuse(json, at, "is one number too many");
            return false;
        }
        out[(*n)++] = t.number;
        if (!take_separator(json, DFN_JSON_ARRAY_END, &more))
            return false;
    }
    return true;
}

static bool take_member(struct dfn_json *json, struct entry *e)
{
    static const char *const names[] = {"dtype", "shape", "data_offsets"};
    struct dfn_span key;
    struct dfn_token t;
    int which = 0;
    if (!take_key(json, &key))
        return false;
    while (which < 3 && !dfn_json_equals(json, key, names[which]))
        which++;
    if (which == 3 || e->seen[which]) {
        dfn_json_refuse(json, key.at - 1,
                        which == 3 ? "is a key that a tensor does not have"
                                   : "is a key that appears twice");
        return false;
    }
    e->seen[which] = true;
    if (which == 1)
        return take_list(json, e->shape, 4, &e->ndim);
    if (which == 2)
        return take_list(json, e->offsets, 2, &e->noffsets);
    if (!dfn_json_expect(json, DFN_JSON_STRING, &t))
        return false;
    e->dtype = t.raw;
    return true;
}

/* What dfn_header_tensors() works on. */
struct walk {
    struct dfn_json *json;
    const struct dfn_tensor_spec *specs; /* [nspecs]                                    */
    int nspecs;
    bool *seen;  /* [nspecs]                                    */
    int next;    /* behind the last one found                   */
    uint64_t at; /* end of the last one's data                  */
    ef_error *err;
};

static DFN_COLD DFN_PRINTF(3, 4) ef_status
    refuse_tensor(const struct walk *w, const char *name, const char *what, ...)
{
    char where[80], sentence[256];
    va_list args;
    va_start(args, what);
    vsnprintf(sentence, sizeof sentence, what, args);
    va_end(args);
    snprintf(where, sizeof where, "tensor %s", name);
    return dfn_fail(w->err, EF_E_FORMAT, where, "%s", sentence);
}

/* Which tensor this is, or -1. The search begins behind the last one: in a file in
 * canonical order, or with weights behind biases, that is a short way. */
static int find_spec(const struct walk *w, struct dfn_span key)
{
    for (int i = 0; i < w->nspecs; i++) {
        const int at = (w->next + i) % w->nspecs;
        if (dfn_json_equals(w->json, key, w->specs[at].name))
            return at;
    }
    return -1;
}

static ef_status unknown_tensor(const struct walk *w, struct dfn_span key)
{
    char name[48];
    size_t n = 0;
    for (; n < key.len && n < sizeof name - 1; n++) {
        const uint8_t c = w->json->data[key.at + n];
        name[n] = c >= 0x20 && c < 0x7f ? (char)c : '?';
    }
    name[n] = 0;
    return refuse_tensor(w, name, "is not part of this architecture");
}

static void put_list(char *out, size_t size, const uint64_t *values, int n)
{
    size_t used = 0;
    for (int i = 0; i < n && used < size; i++)
        used += (size_t)snprintf(out + used, size - used, "%s%llu", i ? "," : "",
                                 (unsigned long long)values[i]);
}

static ef_status check_shape(const struct walk *w, const struct entry *e,
                             const struct dfn_tensor_spec *spec)
{
    uint64_t expected[4];
    bool same = e->ndim == spec->ndim;
    for (int i = 0; i < spec->ndim; i++) {
        expected[i] = (uint64_t)spec->shape[i];
        same = same && e->shape[i] == expected[i];
    }
    if (same)
        return EF_OK;
    char has[88] = "", wants[88] = "";
    put_list(has, sizeof has, e->shape, e->ndim);
    put_list(wants, sizeof wants, expected, spec->ndim);
    return refuse_tensor(w, spec->name, "has shape [%s], expected [%s]", has, wants);
}

/* The data of this tensor is the next piece of the row, and aligned. */
static ef_status check_place(struct walk *w, const struct entry *e, uint64_t element,
                             const struct dfn_tensor_spec *spec)
{
    /* count is at most 2^38 and at most 2566 of them add up: no overflow. */
    const uint64_t end = w->at + spec->count * element;
    if (e->noffsets != 2)
        return refuse_tensor(w, spec->name, "has %d data_offsets, expected 2",
                             e->noffsets);
    if (e->offsets[0] != w->at || e->offsets[1] != end)
        return refuse_tensor(w, spec->name, "lies at [%llu,%llu], expected [%llu,%llu]",
                             (unsigned long long)e->offsets[0],
                             (unsigned long long)e->offsets[1], (unsigned long long)w->at,
                             (unsigned long long)end);
    /* The data begins on a multiple of 64 bytes. */
    if (w->at % element)
        return refuse_tensor(w, spec->name,
                             "begins at byte %llu of the data, not a multiple of %llu",
                             (unsigned long long)w->at, (unsigned long long)element);
    w->at = end;
    return EF_OK;
}

static ef_status take_tensor(struct walk *w, struct dfn_file_tensor *out)
{
    struct entry e = {0};
    struct dfn_span key;
    struct dfn_token t;
    bool more = true;
    if (!take_key(w->json, &key))
        return bad_json(w->json, w->err);
    const int found = find_spec(w, key);
    if (found < 0)
        return unknown_tensor(w, key);
    const struct dfn_tensor_spec *spec = &w->specs[found];
    if (w->seen[found])
        return refuse_tensor(w, spec->name, "appears twice");
    w->seen[found] = true;
    w->next = found + 1;
    if (!dfn_json_expect(w->json, DFN_JSON_OBJECT, &t))
        return bad_json(w->json, w->err);
    while (more)
        if (!take_member(w->json, &e) ||
            !take_separator(w->json, DFN_JSON_OBJECT_END, &more))
            return bad_json(w->json, w->err);
    if (!e.seen[0] || !e.seen[1] || !e.seen[2])
        return refuse_tensor(w, spec->name, "has no %s",
                             !e.seen[0]   ? "dtype"
                             : !e.seen[1] ? "shape"
                                          : "data_offsets");
    out->spec = found;
    out->f16 = dfn_json_equals(w->json, e.dtype, "F16");
    if (!out->f16 && !dfn_json_equals(w->json, e.dtype, "F32"))
        return refuse_tensor(w, spec->name, "has a dtype other than F32 and F16");
    const ef_status st = check_shape(w, &e, spec);
    return st ? st : check_place(w, &e, out->f16 ? 2 : 4, spec);
}

ef_status dfn_header_tensors(struct dfn_json *json, const struct dfn_tensor_spec *specs,
                             int nspecs, uint64_t data_bytes, bool *seen,
                             struct dfn_file_tensor *file, ef_error *err)
{
    struct walk w = {
        .json = json, .specs = specs, .nspecs = nspecs, .seen = seen, .err = err};
    bool more;
    int n = 0;
    if (!take_separator(json, DFN_JSON_OBJECT_END, &more))
        return bad_json(json, err);
    while (more) {
        /* No tensor is taken twice, so n stays within nspecs. */
        struct dfn_file_tensor one;
        const ef_status st = take_tensor(&w, &one);
        if (st)
            return st;
        file[n++] = one;
        if (!take_separator(json, DFN_JSON_OBJECT_END, &more))
            return bad_json(json, err);
    }
    for (; json->at < json->size; json->at++)
        if (json->data[json->at] != ' ')
            return refuse(json, json->at, "expected nothing but spaces after the last }",
                          err);
    for (int i = 0; i < nspecs; i++)
        if (!seen[i])
            return refuse_tensor(&w, specs[i].name, "is missing");
    if (w.at != data_bytes)
        return dfn_fail(err, EF_E_FORMAT, "data", "has %llu bytes, the tensors take %llu",
                        (unsigned long long)data_bytes, (unsigned long long)w.at);
    return EF_OK;
}
