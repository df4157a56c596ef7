/* fuzz_model.c - any bytes as a model file: loaded as they are, and once more with header
 * length, padding and hash made right, so that what lies behind those checks is reached.
 *
 * The custom mutator knows the structure: it edits the header's text (numbers, values,
 * whole entries) and lets libFuzzer edit the rest. The plain driver never calls it. */
#include "dfnet/dfnet.h"
#include "lib/base/hash.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed);
/* libFuzzer's; absent with the plain driver. */
__attribute__((weak)) size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max);

#define HASH_KEY "\"dfnet.xxh3\":\""

/* ---- one input ---- */

struct count {
    size_t bytes, peak;
};

struct block {
    size_t size, unused;
};

static void *count_alloc(void *user, size_t size)
{
    struct count *c = user;
    struct block *b = malloc(sizeof *b + size);
    if (!b)
        return NULL;
    b->size = size;
    c->bytes += size;
    c->peak = c->bytes > c->peak ? c->bytes : c->peak;
    return b + 1;
}

static void count_free(void *user, void *p)
{
    struct count *c = user;
    struct block *b = (struct block *)p - 1;
    c->bytes -= b->size;
    free(b);
}

static void expect(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "fuzz_model: %s\n", what);
    abort();
}

static void use(const ef_model *model, const ef_model_info *checked)
{
    ef_model_info info;
    ef_model_info_init(&info, sizeof info);
    expect(!ef_model_get_info(model, &info, NULL), "a model without facts");
    expect(!memcmp(&info, checked, sizeof info), "loading and validating differ");
    expect(info.macs && info.parameters, "a model without work");
    expect(info.fake < info.outputs, "fake is no output");
    expect(info.real_below <= info.fake_from && info.temperature > 0, "verdicts");
    expect(ef_model_metadata(model, "dfnet.name") != NULL, "no name");
    for (int i = 0; i < info.outputs; i++) {
        const char *label = ef_model_label(model, i);
        expect(!label || strlen(label) <= 255, "a long label");
    }
    float *p = calloc((size_t)info.outputs, sizeof *p);
    expect(!p || !ef_model_probabilities(model, p, p, NULL), "probabilities");
    free(p);
}

static void load(const uint8_t *data, size_t size)
{
    struct count count = {0};
    ef_options opt;
    ef_model *model = NULL;
    ef_model_info info;
    ef_error err;
    memset(&err, 0, sizeof err);
    ef_options_init(&opt, sizeof opt);
    ef_model_info_init(&info, sizeof info);
    opt.allocator = (ef_allocator){count_alloc, count_free, &count};
    const ef_status checked = ef_model_validate_memory(data, size, &opt, &info, NULL);
    expect(!count.bytes, "validating leaks");
    const ef_status st = ef_model_load_memory(data, size, &opt, &model, &err);
    expect(st == checked, "loading and validating have different results");
    expect(!st || (!model && err.status == st && err.where[0] && err.what[0]),
           "an error without place or sentence");
    expect(st == EF_OK || st == EF_E_FORMAT || st == EF_E_VERSION ||
               st == EF_E_UNSUPPORTED,
           "a status that bytes cannot cause");
    expect(count.peak <= 4 * size + (320 << 10),
           "more memory than the file's size allows");
    if (!st) {
        expect(count.peak == info.bytes_needed, "bytes_needed is wrong");
        use(model, &info);
    }
    ef_model_free(model);
    expect(!count.bytes, "loading leaks");
}

/* ---- making it right ---- */

/* Where the JSON text ends: behind the last } before the data. Without a plausible length
 * the last } of all bytes. */
static size_t text_end(const uint8_t *data, size_t size)
{
    uint64_t n = 0;
    for (int i = 7; i >= 0; i--)
        n = n << 8 | data[i];
    size_t end = n <= size - 8 ? 8 + (size_t)n : size;
    while (end > 8 && data[end - 1] != '}')
        end--;
    return end;
}

static void repair_hash(uint8_t *file, size_t size)
{
    const size_t key = strlen(HASH_KEY);
    struct dfn_hash hash;
    char digits[DFN_HASH_DIGITS + 1];
    for (size_t at = 8; at + key + DFN_HASH_DIGITS <= size; at++) {
        if (memcmp(file + at, HASH_KEY, key))
            continue;
        dfn_hash_init(&hash, at + key);
        dfn_hash_update(&hash, file, size);
        dfn_hash_hex(&hash, digits);
        memcpy(file + at + key, digits, DFN_HASH_DIGITS);
        return;
    }
}

/* text [len] and the bytes behind it as one file; from malloc. */
static uint8_t *assemble(const uint8_t *text, size_t len, const uint8_t *rest,
                         size_t rest_size, size_t *size)
{
    const size_t header = (8 + len + 63) / 64 * 64 - 8;
    uint8_t *file = malloc(8 + header + rest_size);
    if (!file)
        return NULL;
    memset(file, ' ', 8 + header);
    for (int i = 0; i < 8; i++)
        file[i] = (uint8_t)((uint64_t)header >> 8 * i & 0xff);
    if (len)
        memcpy(file + 8, text, len);
    if (rest_size)
        memcpy(file + 8 + header, rest, rest_size);
    *size = 8 + header + rest_size;
    repair_hash(file, *size);
    return file;
}

/* Where the data begins: at the length that the file states, else behind the text. */
static size_t data_start(const uint8_t *data, size_t size, size_t end)
{
    uint64_t n = 0;
    for (int i = 7; i >= 0; i--)
        n = n << 8 | data[i];
    return n <= size - 8 && 8 + n >= end ? 8 + (size_t)n : end;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    load(data, size);
    if (size < 16)
        return 0;
    const size_t end = text_end(data, size), start = data_start(data, size, end);
    size_t fixed_size;
    uint8_t *fixed = assemble(data + 8, end - 8, data + start, size - start, &fixed_size);
    if (fixed)
        load(fixed, fixed_size);
    free(fixed);
    return 0;
}

/* ---- mutating ---- */

static uint32_t next(uint32_t *state)
{
    /* xorshift32: Marsaglia 2003. */
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

struct text {
    uint8_t *bytes; /* [cap] */
    size_t len, cap;
};

static void replace(struct text *t, size_t at, size_t len, const void *with, size_t n)
{
    if (t->len - len + n > t->cap)
        return;
    memmove(t->bytes + at + n, t->bytes + at + len, t->len - at - len);
    memcpy(t->bytes + at, with, n);
    t->len += n - len;
}

/* A run of decimal digits becomes another number. */
static void change_number(struct text *t, uint32_t *state)
{
    static const char *const numbers[] = {"0",
                                          "1",
                                          "2",
                                          "3",
                                          "4",
                                          "5",
                                          "7",
                                          "8",
                                          "32",
                                          "64",
                                          "255",
                                          "256",
                                          "8192",
                                          "65536",
                                          "2147483647",
                                          "2147483648",
                                          "4294967295",
                                          "4294967296",
                                          "9223372036854775807",
                                          "9223372036854775808",
                                          "18446744073709551615",
                                          "1e38",
                                          "1e-46",
                                          "0.5",
                                          "-1",
                                          "1e309"};
    size_t at = next(state) % t->len;
    while (at < t->len && (t->bytes[at] < '0' || t->bytes[at] > '9'))
        at++;
    size_t end = at;
    while (end < t->len && t->bytes[end] >= '0' && t->bytes[end] <= '9')
        end++;
    const char *number = numbers[next(state) % (sizeof numbers / sizeof numbers[0])];
    if (end > at)
        replace(t, at, end - at, number, strlen(number));
}

/* A piece of the format's vocabulary somewhere. */
static void insert_word(struct text *t, uint32_t *state)
{
    static const char *const words[] = {"\"dtype\":\"F16\"",
                                        "F16",
                                        "F32",
                                        "fused,",
                                        "mb,3,1,1,1,1,0;",
                                        ";",
                                        "same",
                                        "sym",
                                        "fixed:",
                                        "squash",
                                        "longer",
                                        "shorter:",
                                        "none",
                                        "sigmoid",
                                        "relu6",
                                        "detector",
                                        "\\u0041",
                                        "\\ud83d\\ude00",
                                        "\\n",
                                        "\"x.a\":\"\",",
                                        ",",
                                        "opencv-area",
                                        "{",
                                        "}"};
    const char *word = words[next(state) % (sizeof words / sizeof words[0])];
    size_t at = next(state) % t->len, old = next(state) % 3 ? 0 : strlen(word);
    if (at + old > t->len)
        old = t->len - at;
    replace(t, at, old, word, strlen(word));
}

/* What stands between two commas goes, comes twice, or changes place. */
static void change_entry(struct text *t, uint32_t *state)
{
    uint8_t copy[256];
    size_t at = next(state) % t->len;
    while (at > 0 && t->bytes[at] != ',')
        at--;
    size_t end = at + 1;
    const bool tensor = next(state) % 2;
    while (end < t->len && (tensor ? t->bytes[end - 1] != '}' : t->bytes[end] != ','))
        end++;
    const size_t len = end - at;
    if (len > sizeof copy)
        return;
    memcpy(copy, t->bytes + at, len);
    if (next(state) % 3)
        replace(t, at, len, "", 0);
    if (next(state) % 2 && at <= t->len) {
        while (at < t->len && t->bytes[at] != ',' && t->bytes[at] != '}')
            at++;
        replace(t, at, 0, copy, len);
    }
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
    uint32_t state = seed * 2654435761u | 1;
    const uint32_t how = next(&state) % 8;
    if (size < 64 || how == 0)
        return LLVMFuzzerMutate(data, size, max);
    const size_t end = text_end(data, size), start = data_start(data, size, end);
    struct text t = {.len = end - 8, .cap = 2 * size + 4096};
    t.bytes = malloc(t.cap);
    if (!t.bytes || t.len < 8) {
        free(t.bytes);
        return LLVMFuzzerMutate(data, size, max);
    }
    memcpy(t.bytes, data + 8, t.len);
    for (uint32_t n = 1 + next(&state) % 3; n > 0 && t.len > 8; n--) {
        if (how < 4)
            change_number(&t, &state);
        else if (how < 6)
            insert_word(&t, &state);
        else if (how == 6)
            change_entry(&t, &state);
        else
            t.len = LLVMFuzzerMutate(t.bytes, t.len, t.cap);
    }
    size_t made;
    uint8_t *file = assemble(t.bytes, t.len, data + start, size - start, &made);
    free(t.bytes);
    if (file && made <= max) {
        memcpy(data, file, made);
        size = made;
    }
    free(file);
    return size;
}
