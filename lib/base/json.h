/* json.h - a pull tokenizer for the strict JSON of a model file's header: objects,
 * arrays, strings and unsigned integers, no white space, no other literals. Called by
 * lib/model/header.c, which knows the grammar; this file knows the tokens.
 *
 * Nothing is allocated and nothing recurses: the caller asks for one token at a time, and
 * a string stays where it is, as a span of the input, until it is unescaped. */
#ifndef DFN_BASE_JSON_H
#define DFN_BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum dfn_json_type {
    DFN_JSON_BAD,    /* json.error says why, json.at where                   */
    DFN_JSON_END,    /* the byte range is used up                            */
    DFN_JSON_OBJECT, /* opening brace                                        */
    DFN_JSON_OBJECT_END,
    DFN_JSON_ARRAY, /* opening bracket                                       */
    DFN_JSON_ARRAY_END,
    DFN_JSON_COLON,
    DFN_JSON_COMMA,
    DFN_JSON_STRING, /* token.raw: what stands between the quotes, checked   */
    DFN_JSON_NUMBER  /* token.number                                         */
};

/* Bytes [at, at + len) of the input. */
struct dfn_span {
    size_t at, len;
};

struct dfn_token {
    enum dfn_json_type type;
    struct dfn_span raw;
    uint64_t number;
};

struct dfn_json {
    const uint8_t *data; /* [size] */
    size_t size, at;
    const char *error; /* static sentence, NULL while all is well */
};

/* The next token. After DFN_JSON_BAD every further call gives DFN_JSON_BAD. A string
 * token is valid UTF-8, its escapes are complete, its surrogates paired, and it holds no
 * U+0000: dfn_json_unescape() cannot fail on it. */
struct dfn_token dfn_json_next(struct dfn_json *json);

/* False, with error and at set, unless the next token is of this type. */
bool dfn_json_expect(struct dfn_json *json, enum dfn_json_type type,
                     struct dfn_token *token);

/* Makes the error the caller's: `at` goes back to where the refused token began. */
void dfn_json_refuse(struct dfn_json *json, size_t at, const char *error);

/* Writes the text of len checked bytes without a NUL and returns its length, which is at
 * most len; out may be raw itself. */
size_t dfn_json_unescape(const uint8_t *raw, size_t len, char *out);

/* Whether the text of a string token is exactly this. */
bool dfn_json_equals(const struct dfn_json *json, struct dfn_span raw, const char *text);

/* Length of the valid UTF-8 sequence (1 to 4) at p, of which left bytes exist; 0 if it is
 * none (overlong, surrogate, above U+10FFFF, cut off). */
size_t dfn_utf8_length(const uint8_t *p, size_t left);

#endif
