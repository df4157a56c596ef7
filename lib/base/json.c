/* json.c - see json.h. */
#include "lib/base/json.h"

#include <string.h>

static struct dfn_token bad(struct dfn_json *json, size_t at, const char *error)
{
    dfn_json_refuse(json, at, error);
    return (struct dfn_token){.type = DFN_JSON_BAD};
}

void dfn_json_refuse(struct dfn_json *json, size_t at, const char *error)
{
    json->at = at;
    json->error = error;
}

size_t dfn_utf8_length(const uint8_t *p, size_t left)
{
    /* RFC 3629, section 4: the second byte's range depends on the first. */
    if (!left)
        return 0;
    const uint8_t c = p[0];
    if (c < 0x80)
        return 1;
    const size_t n = c >= 0xc2 && c <= 0xdf   ? 2
                     : (c & 0xf0) == 0xe0     ? 3
                     : c >= 0xf0 && c <= 0xf4 ? 4
                                              : 0;
    if (!n || left < n)
        return 0;
    const uint8_t low = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
    const uint8_t high = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
    if (p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < n; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    return n;
}

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* Value of \uXXXX at p, or -1. */
static long unicode_escape(const uint8_t *p, size_t left)
{
    if (left < 6 || p[0] != '\\' || p[1] != 'u')
        return -1;
    long code = 0;
    for (int i = 2; i < 6; i++) {
        const int d = hex_digit(p[i]);
        if (d < 0)
            return -1;
        code = code * 16 + d;
    }
    return code;
}

/* Bytes of the escape at p (2, 6 or 12), or 0 with a reason. */
static size_t escape_length(const uint8_t *p, size_t left, const char **reason)
{
    *reason = "has an escape that JSON does not know";
    if (left < 2)
        return 0;
    if (p[1] != 'u')
        return p[1] && strchr("\"\\/bfnrt", p[1]) ? 2 : 0;
    const long code = unicode_escape(p, left);
    if (code < 0)
        return 0;
    *reason = "holds U+0000";
    if (code == 0)
        return 0;
    if (code < 0xd800 || code > 0xdfff)
        return 6;
    *reason = "has half of a surrogate pair";
    if (code > 0xdbff)
        return 0;
    const long second = unicode_escape(p + 6, left - 6);
    return second >= 0xdc00 && second <= 0xdfff ? 12 : 0;
}

static struct dfn_token string_token(struct dfn_json *json)
{
    const size_t quote = json->at;
    size_t at = quote + 1;
    while (at < json->size && json->data[at] != '"') {
        const uint8_t *p = json->data + at;
        const size_t left = json->size - at;
        const char *reason = "is not valid UTF-8";
        size_t n;
        if (*p < 0x20)
            return bad(json, at, "has a control character inside a string");
        n = *p == '\\' ? escape_length(p, left, &reason) : dfn_utf8_length(p, left);
        if (!n)
            return bad(json, at, reason);
        at += n;
    }
    if (at == json->size)
        return bad(json, quote, "begins a string that does not end");
    json->at = at + 1;
    return (struct dfn_token){.type = DFN_JSON_STRING,
                              .raw = {quote + 1, at - quote - 1}};
}

static struct dfn_token number_token(struct dfn_json *json)
{
    const size_t first = json->at;
    uint64_t value = 0;
    size_t at = first;
    for (; at < json->size && json->data[at] >= '0' && json->data[at] <= '9'; at++) {
        const uint64_t digit = (uint64_t)(json->data[at] - '0');
        if (value > (UINT64_MAX - digit) / 10)
            return bad(json, first, "is a number above 2^64 - 1");
        value = value * 10 + digit;
    }
    if (at - first > 1 && json->data[first] == '0')
        return bad(json, first, "is a number with a leading zero");
    json->at = at;
    return (struct dfn_token){
        .type = DFN_JSON_NUMBER, .raw = {first, at - first}, .number = value};
}

struct dfn_token dfn_json_next(struct dfn_json *json)
{
    static const char marks[] = "{}[]:,";
    static const enum dfn_json_type types[] = {DFN_JSON_OBJECT, DFN_JSON_OBJECT_END,
                                               DFN_JSON_ARRAY,  DFN_JSON_ARRAY_END,
                                               DFN_JSON_COLON,  DFN_JSON_COMMA};
    if (json->error)
        return (struct dfn_token){.type = DFN_JSON_BAD};
    if (json->at == json->size)
        return (struct dfn_token){.type = DFN_JSON_END, .raw = {json->at, 0}};
    const uint8_t c = json->data[json->at];
    if (c == '"')
        return string_token(json);
    if (c >= '0' && c <= '9')
        return number_token(json);
    const char *mark = c ? strchr(marks, c) : NULL;
    if (!mark)
        return bad(json, json->at, "is nothing that belongs here");
    const size_t at = json->at++;
    return (struct dfn_token){.type = types[mark - marks], .raw = {at, 1}};
}

bool dfn_json_expect(struct dfn_json *json, enum dfn_json_type type,
                     struct dfn_token *token)
{
    static const char *const sentences[] = {[DFN_JSON_END] = "expected the end",
                                            [DFN_JSON_OBJECT] = "expected {",
                                            [DFN_JSON_OBJECT_END] = "expected }",
                                            [DFN_JSON_ARRAY] = "expected [",
                                            [DFN_JSON_ARRAY_END] = "expected ]",
                                            [DFN_JSON_COLON] = "expected a colon",
                                            [DFN_JSON_COMMA] = "expected a comma",
                                            [DFN_JSON_STRING] = "expected a string",
                                            [DFN_JSON_NUMBER] =
                                                "expected an unsigned integer"};
    const size_t at = json->at;
    *token = dfn_json_next(json);
    if (token->type == type)
        return true;
    if (token->type != DFN_JSON_BAD)
        dfn_json_refuse(json, at, sentences[type]);
    return false;
}

static size_t put_utf8(long code, char *out)
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (char)(0xc0 | code >> 6);
        out[1] = (char)(0x80 | (code & 0x3f));
        return 2;
    }
    if (code < 0x10000) {
        out[0] = (char)(0xe0 | code >> 12);
        out[1] = (char)(0x80 | (code >> 6 & 0x3f));
        out[2] = (char)(0x80 | (code & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | code >> 18);
    out[1] = (char)(0x80 | (code >> 12 & 0x3f));
    out[2] = (char)(0x80 | (code >> 6 & 0x3f));
    out[3] = (char)(0x80 | (code & 0x3f));
    return 4;
}

size_t dfn_json_unescape(const uint8_t *raw, size_t len, char *out)
{
    /* An escape is never shorter than its text (2 bytes to 1, 6 to at most 3, 12 to 4),
     * and is read before its text is written: out may lie on raw. */
    static const char letters[] = "bfnrt", values[] = "\b\f\n\r\t";
    size_t n = 0;
    for (size_t i = 0; i < len;) {
        if (raw[i] != '\\') {
            out[n++] = (char)raw[i++];
        } else if (raw[i + 1] != 'u') {
            const char *letter = strchr(letters, raw[i + 1]);
            out[n++] = letter ? values[letter - letters] : (char)raw[i + 1];
            i += 2;
        } else {
            long code = unicode_escape(raw + i, len - i);
            i += 6;
            if (code >= 0xd800 && code <= 0xdbff) {
                code = 0x10000 + ((code - 0xd800) << 10) +
                       (unicode_escape(raw + i, len - i) - 0xdc00);
                i += 6;
            }
            n += put_utf8(code, out + n);
        }
    }
    return n;
}

bool dfn_json_equals(const struct dfn_json *json, struct dfn_span raw, const char *text)
{
    char unescaped[512];
    const size_t len = strlen(text);
    if (raw.len < len || raw.len > 6 * len || raw.len > sizeof unescaped)
        return false;
    return dfn_json_unescape(json->data + raw.at, raw.len, unescaped) == len &&
           !memcmp(unescaped, text, len);
}
