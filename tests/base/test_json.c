/* test_json.c - the tokenizer of lib/base/json.c: tokens, refusals with their byte,
 * unescaping on the spot, UTF-8. */
#include "lib/base/json.h"
#include "tests/support/support.h"

#include <stdio.h>
#include <string.h>

static struct dfn_json over(const char *text)
{
    return (struct dfn_json){.data = (const uint8_t *)text, .size = strlen(text)};
}

START_TEST(tokens_in_order)
{
    static const enum dfn_json_type expected[] = {
        DFN_JSON_OBJECT, DFN_JSON_STRING, DFN_JSON_COLON,      DFN_JSON_ARRAY,
        DFN_JSON_NUMBER, DFN_JSON_COMMA,  DFN_JSON_NUMBER,     DFN_JSON_ARRAY_END,
        DFN_JSON_COMMA,  DFN_JSON_STRING, DFN_JSON_OBJECT_END, DFN_JSON_END,
        DFN_JSON_END};
    struct dfn_json json = over("{\"ab\":[0,18446744073709551615],\"\"}");
    uint64_t numbers[2];
    int n = 0;
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        const struct dfn_token t = dfn_json_next(&json);
        ck_assert_int_eq(t.type, expected[i]);
        if (t.type == DFN_JSON_NUMBER)
            numbers[n++] = t.number;
        if (i == 1) {
            ck_assert_uint_eq(t.raw.at, 2);
            ck_assert_uint_eq(t.raw.len, 2);
        }
    }
    ck_assert_uint_eq(numbers[0], 0);
    ck_assert_uint_eq(numbers[1], UINT64_MAX);
    ck_assert_ptr_null(json.error);
}
END_TEST

struct refusal {
    const char *text;
    size_t at;        /* the byte that is blamed     */
    const char *word; /* part of the sentence        */
};

static const struct refusal refusals[] = {
    {" ", 0, "nothing that belongs"},
    {"\t", 0, "nothing that belongs"},
    {"-1", 0, "nothing that belongs"},
    {"true", 0, "nothing that belongs"},
    {"00", 0, "leading zero"},
    {"01", 0, "leading zero"},
    {"18446744073709551616", 0, "2^64"},
    {"99999999999999999999999999", 0, "2^64"},
    {"\"abc", 0, "does not end"},
    {"\"", 0, "does not end"},
    {"\"a\nb\"", 2, "control character"},
    {"\"a\x1f\"", 2, "control character"},
    {"\"\\", 1, "escape"},
    {"\"\\x\"", 1, "escape"},
    {"\"\\u12\"", 1, "escape"},
    {"\"\\u12g4\"", 1, "escape"},
    {"\"\\u0000\"", 1, "U+0000"},
    {"\"\\ud800\"", 1, "surrogate"},
    {"\"\\ud800x\"", 1, "surrogate"},
    {"\"\\ud800\\u0041\"", 1, "surrogate"},
    {"\"\\udc00\"", 1, "surrogate"},
    {"\"\\ud800\\ud800\"", 1, "surrogate"},
    {"\"\xff\"", 1, "UTF-8"},
    {"\"\x80\"", 1, "UTF-8"},
    {"\"\xc3\"", 1, "UTF-8"},
    {"\"a\xc0\xaf\"", 2, "UTF-8"},
    {"\"\xe0\x9f\xbf\"", 1, "UTF-8"},
    {"\"\xed\xa0\x80\"", 1, "UTF-8"},
    {"\"\xf0\x8f\xbf\xbf\"", 1, "UTF-8"},
    {"\"\xf4\x90\x80\x80\"", 1, "UTF-8"},
    {"\"\xf5\x80\x80\x80\"", 1, "UTF-8"},
};

START_TEST(refusals_have_their_byte)
{
    const struct refusal *r = &refusals[_i];
    struct dfn_json json = over(r->text);
    ck_assert_int_eq(dfn_json_next(&json).type, DFN_JSON_BAD);
    ck_assert_uint_eq(json.at, r->at);
    ck_assert_msg(strstr(json.error, r->word) != NULL, "%s: %s", r->text, json.error);
    ck_assert_int_eq(dfn_json_next(&json).type, DFN_JSON_BAD);
}
END_TEST

START_TEST(a_nul_byte_is_no_token)
{
    const uint8_t nul = 0;
    struct dfn_json json = {.data = &nul, .size = 1};
    ck_assert_int_eq(dfn_json_next(&json).type, DFN_JSON_BAD);
}
END_TEST

START_TEST(expect_blames_the_token)
{
    struct dfn_json json = over("{,");
    struct dfn_token t;
    ck_assert(dfn_json_expect(&json, DFN_JSON_OBJECT, &t));
    ck_assert(!dfn_json_expect(&json, DFN_JSON_STRING, &t));
    ck_assert_uint_eq(json.at, 1);
    ck_assert_str_eq(json.error, "expected a string");
}
END_TEST

struct escaped {
    const char *raw, *text;
};

static const struct escaped escapes[] = {
    {"", ""},
    {"plain", "plain"},
    {"\\\"\\\\\\/", "\"\\/"},
    {"\\b\\f\\n\\r\\t", "\b\f\n\r\t"},
    {"\\u0041\\u00e9\\u20ac\\u20AC", "A\xc3\xa9\xe2\x82\xac\xe2\x82\xac"},
    {"\\ud83d\\ude00!", "\xf0\x9f\x98\x80!"},
    {"\\uDBFF\\uDFFF", "\xf4\x8f\xbf\xbf"},
    {"\\ud800\\udc00", "\xf0\x90\x80\x80"},
    {"\\u007f\\u0080\\u07ff\\u0800\\uffff",
     "\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf"},
    {"\xc3\xa9\xed\x9f\xbf\xf0\x9f\x98\x80", "\xc3\xa9\xed\x9f\xbf\xf0\x9f\x98\x80"},
};

START_TEST(unescapes_in_place)
{
    const struct escaped *e = &escapes[_i];
    char quoted[128], place[128];
    const int len = snprintf(quoted, sizeof quoted, "\"%s\"", e->raw);
    struct dfn_json json = over(quoted);
    const struct dfn_token t = dfn_json_next(&json);
    ck_assert_int_eq(t.type, DFN_JSON_STRING);
    ck_assert_uint_eq(t.raw.len, (size_t)len - 2);
    ck_assert(dfn_json_equals(&json, t.raw, e->text));
    ck_assert(!dfn_json_equals(&json, t.raw, "other"));
    memcpy(place, e->raw, strlen(e->raw));
    const size_t n = dfn_json_unescape((const uint8_t *)place, strlen(e->raw), place);
    ck_assert_uint_eq(n, strlen(e->text));
    ck_assert_mem_eq(place, e->text, n);
}
END_TEST

START_TEST(equals_compares_the_whole_text)
{
    struct dfn_json json = over("\"abc\"");
    const struct dfn_token t = dfn_json_next(&json);
    ck_assert(dfn_json_equals(&json, t.raw, "abc"));
    ck_assert(!dfn_json_equals(&json, t.raw, "ab"));
    ck_assert(!dfn_json_equals(&json, t.raw, "abcd"));
    ck_assert(!dfn_json_equals(&json, t.raw, ""));
}
END_TEST

START_TEST(utf8_agrees_with_the_definition)
{
    /* Every code point encodes to bytes that are accepted with their length, and every
     * sequence of two bytes is judged as RFC 3629 does. */
    for (uint32_t c = 1; c <= 0x10ffff; c++) {
        uint8_t b[4] = {0};
        size_t n;
        if (c < 0x80) {
            n = 1;
            b[0] = (uint8_t)c;
        } else if (c < 0x800) {
            n = 2;
            b[0] = (uint8_t)(0xc0 | c >> 6);
        } else if (c < 0x10000) {
            n = 3;
            b[0] = (uint8_t)(0xe0 | c >> 12);
        } else {
            n = 4;
            b[0] = (uint8_t)(0xf0 | c >> 18);
        }
        for (size_t i = 1; i < n; i++)
            b[i] = (uint8_t)(0x80 | (c >> 6 * (n - 1 - i) & 0x3f));
        const bool surrogate = c >= 0xd800 && c <= 0xdfff;
        if (dfn_utf8_length(b, 4) != (surrogate ? 0 : n) || dfn_utf8_length(b, n - 1))
            ck_abort_msg("U+%04X", c);
    }
    for (uint32_t v = 0; v < 0x10000; v++) {
        const uint8_t b[2] = {(uint8_t)(v >> 8), (uint8_t)v};
        const bool two = b[0] >= 0xc2 && b[0] <= 0xdf && (b[1] & 0xc0) == 0x80;
        ck_assert_uint_eq(dfn_utf8_length(b, 2), b[0] < 0x80 ? 1 : two ? 2 : 0);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("json");
    TCase *c = tcase_create("json");
    tcase_add_test(c, tokens_in_order);
    tcase_add_loop_test(c, refusals_have_their_byte, 0,
                        (int)(sizeof refusals / sizeof refusals[0]));
    tcase_add_test(c, a_nul_byte_is_no_token);
    tcase_add_test(c, expect_blames_the_token);
    tcase_add_loop_test(c, unescapes_in_place, 0,
                        (int)(sizeof escapes / sizeof escapes[0]));
    tcase_add_test(c, equals_compares_the_whole_text);
    tcase_add_test(c, utf8_agrees_with_the_definition);
    suite_add_tcase(suite, c);
    return run_suite(suite);
}
