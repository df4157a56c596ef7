/* test_malformed.c - files with exactly one defect each, and what the loader says to it:
 * the exact status and a word of the sentence (or of its place). lib/model/README.md has
 * the rules behind the table. */
#include "tests/model/nano.h"
#include "tests/support/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct defect {
    const char *name;
    const char *find, *replacement; /* in the header's text */
    ef_status status;
    const char *word;
};

/* A value of the nano's metadata, replaced. */
#define VALUE(key, old, new)                                                             \
    "\"dfnet." key "\":\"" old "\"", "\"dfnet." key "\":\"" new "\""
/* A key in front of the others. */
#define ADDED(key, value)                                                                \
    "\"dfnet.stem\":\"1\",", "\"dfnet.stem\":\"1\",\"dfnet." key "\":\"" value "\","
#define F EF_E_FORMAT
#define STAGES "fused,3,2,1,1,1,0;fused,3,1,2,1,1,0;mb,3,1,1,1,1,1;mb,3,2,2,1,1,1"
#define STAGE_TAIL ";fused,3,1,2,1,1,0;mb,3,1,1,1,1,1;mb,3,2,2,1,1,1"
#define X16 "mb,3,1,1,1,1,0;mb,3,1,1,1,1,0;mb,3,1,1,1,1,0;mb,3,1,1,1,1,0;"
#define HEX60 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789ab"
#define T255                                                                             \
    "0123456789012345678901234567890123456789012345678901234567890123456789012345678901" \
    "2345678901234567890123456789012345678901234567890123456789012345678901234567890123" \
    "4567890123456789012345678901234567890123456789012345678901234567890123456789012345" \
    "678"                                                                                \
    "901234"
#define STEM_W                                                                           \
    "\"stem.weight\":{\"dtype\":\"F32\",\"shape\":[1,3,3,3],\"data_offsets\":[0,108]}"
#define STEM_B                                                                           \
    "\"stem.bias\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[108,112]}"
#define LAST                                                                             \
    "\"classifier.weight\":{\"dtype\":\"F16\",\"shape\":[2,1],\"data_offsets\":[460,"    \
    "464]}"

static const struct defect defects[] = {
    /* The header's JSON. */
    {"white space first", "{\"__meta", " {\"__meta", F, "byte 8"},
    {"white space between", "\"dfnet.version\":\"1\"", "\"dfnet.version\": \"1\"", F,
     "byte"},
    {"tab at the end", "[460,464]}}", "[460,464]}}\t", F, "spaces"},
    {"two objects", "[460,464]}}", "[460,464]}}{}", F, "spaces"},
    {"no closing brace", "[460,464]}}", "[460,464]}", F, "byte"},
    {"no colon", "\"dfnet.role\":", "\"dfnet.role\"", F, "colon"},
    {"no comma", "\"classifier\",", "\"classifier\"", F, "comma or }"},
    {"comma at the end", "[460,464]}}", "[460,464]},}", F, "a string"},
    {"comma at the end of a list", "\"shape\":[1,3,3,3]", "\"shape\":[1,3,3,3,]", F,
     "unsigned integer"},
    {"array instead of object", "{\"__metadata__\"", "[\"__metadata__\"", F,
     "expected {"},
    {"number as metadata", "\"dfnet.stem\":\"1\"", "\"dfnet.stem\":1", F, "a string"},
    {"string as shape", "\"shape\":[1,3,3,3]", "\"shape\":\"1\"", F, "expected ["},
    {"negative shape", "\"shape\":[1,3,3,3]", "\"shape\":[-1,3,3,3]", F, "byte"},
    {"real shape", "\"shape\":[1,3,3,3]", "\"shape\":[1.0,3,3,3]", F, "byte"},
    {"leading zero", "\"shape\":[1,3,3,3]", "\"shape\":[01,3,3,3]", F, "leading zero"},
    {"number above 64 bits", "\"data_offsets\":[0,108]",
     "\"data_offsets\":[0,18446744073709551616]", F, "2^64"},
    {"null", "\"dtype\":\"F32\"", "\"dtype\":null", F, "byte"},
    {"unknown escape", "\"nano\"", "\"na\\qno\"", F, "escape"},
    {"half a surrogate pair", "\"nano\"", "\"\\ud800\"", F, "surrogate"},
    {"escaped U+0000", "\"nano\"", "\"na\\u0000no\"", F, "U+0000"},
    {"raw control character", "\"nano\"", "\"na\nno\"", F, "control"},
    {"invalid UTF-8", "\"nano\"", "\"na\xff\"", F, "UTF-8"},
    {"overlong UTF-8", "\"nano\"", "\"na\xc0\x80\"", F, "UTF-8"},
    {"invalid UTF-8 in a user's value", "\"x.note\":\"\"", "\"x.note\":\"\xe9\"", F,
     "UTF-8"},
    {"metadata not first", "{\"__metadata__\"", "{\"stem.weight\":{},\"__metadata__\"", F,
     "__metadata__"},
    {"metadata twice", ",\"stem.weight\"", ",\"__metadata__\":{},\"stem.weight\"", F,
     "__metadata__"},
    {"metadata empty", "\"__metadata__\":{", "\"__metadata__\":{},\"a\":{", F,
     "a string"},

    /* Metadata keys. */
    {"version missing", "\"dfnet.version\":\"1\",", "", F, "dfnet.version"},
    {"version twice", "\"dfnet.version\":\"1\",",
     "\"dfnet.version\":\"1\",\"dfnet.version\":\"1\",", F, "twice"},
    {"version 2", VALUE("version", "1", "2"), EF_E_VERSION, "version 2"},
    {"version far ahead", VALUE("version", "1", "18446744073709551615"), EF_E_VERSION,
     "version"},
    {"version 2 with unknown keys", "\"dfnet.version\":\"1\",",
     "\"dfnet.version\":\"2\",\"dfnet.new\":\"\",", EF_E_VERSION, "version"},
    {"version 0", VALUE("version", "1", "0"), F, "dfnet.version"},
    {"version 01", VALUE("version", "1", "01"), F, "dfnet.version"},
    {"version beyond 64 bits", VALUE("version", "1", "18446744073709551616"), F,
     "dfnet.version"},
    {"version of 400 bytes", VALUE("version", "1", T255 T255), F, "dfnet.version"},
    {"unknown key", "\"x.note\":\"\"", "\"dfnet.note\":\"\"", F, "dfnet.note"},
    {"unknown key without prefix", "\"x.note\":\"\"", "\"y.note\":\"\"", F, "y.note"},
    {"key twice", "\"x.note\":\"\"", "\"dfnet.flip\":\"1\"", F, "twice"},
    {"user key twice", "\"x.note\":\"\"", "\"x.note\":\"\",\"x.note\":\"\"", F, "twice"},
    {"key twice, once escaped", "\"x.note\":\"\"", "\"dfnet.fli\\u0070\":\"1\"", F,
     "twice"},
    {"key missing", "\"dfnet.license\":\"MIT\",", "", F, "dfnet.license: is missing"},
    {"hash missing", "\"dfnet.xxh3\":\"00000000000000000000000000000000\",", "", F,
     "dfnet.xxh3"},

    /* Metadata values. */
    {"role unknown", VALUE("role", "classifier", "painter"), F, "classifier, detector"},
    {"role detector", VALUE("role", "classifier", "detector"), F,
     "a detector does not have"},
    {"name empty", VALUE("name", "nano", ""), F, "1 to 127"},
    {"name of 255 bytes", VALUE("name", "nano", T255), F, "255 bytes"},
    {"variant unknown", VALUE("variant", "custom", "b9"), F, "dfnet.variant"},
    {"activation unknown", VALUE("activation", "swish", "relu"), F, "swish, relu6"},
    {"stem 0", VALUE("stem", "1", "0"), F, "1 to 8192"},
    {"stem too wide", VALUE("stem", "1", "8193"), F, "1 to 8192"},
    {"stem signed", VALUE("stem", "1", "+1"), F, "plain integer"},
    {"stem with a space", VALUE("stem", "1", "1 "), F, "plain integer"},
    {"head 0", VALUE("head", "1", "0"), F, "dfnet.head"},
    {"outputs 0", VALUE("outputs", "2", "0"), F, "dfnet.outputs"},
    {"outputs 65537", VALUE("outputs", "2", "65537"), F, "65536"},
    {"no attention map", ADDED("attention", "0"), F, "1 to 64"},
    {"65 attention maps", ADDED("attention", "65"), F, "1 to 64"},
    {"an attention map without weights", ADDED("attention", "1"), F, "attention.weight"},
    {"a classifier of one map for two", ADDED("attention", "2"), F, "[2,2]"},
    {"a gate behind no block", ADDED("gate", "0"), F, "1 to 4"},
    {"a gate behind the fifth of four blocks", ADDED("gate", "5"), F, "1 to 4"},
    {"a gate without weights", ADDED("gate", "4"), F, "gate.weight"},
    {"a sequence of one", ADDED("frames", "1"), F, "2 to 64"},
    {"a sequence of 65", ADDED("frames", "65"), F, "2 to 64"},
    {"a sequence with the logits of a picture", ADDED("frames", "2"), F, "4"},
    {"a look without maps", ADDED("look", "logits,0.1,0.05"), F, "attention maps"},
    {"a look of a sequence",
     ADDED("frames", "2\",\"dfnet.attention\":\"2\",\"dfnet.look\":\"logits,0.1,0.05"), F,
     "sequences"},
    {"a look of two values", ADDED("attention", "2\",\"dfnet.look\":\"logits,0.1"), F,
     "expected 3"},
    {"a look with another name", ADDED("attention", "2\",\"dfnet.look\":\"mean,0.1,0.05"),
     F, "logits, prob"},
    {"a look beyond the greatest attention",
     ADDED("attention", "2\",\"dfnet.look\":\"logits,1.1,0.05"), F, "0 to 1"},
    {"a look with a margin below 0",
     ADDED("attention", "2\",\"dfnet.look\":\"logits,0.1,-0.1"), F, "0 to 1"},
    {"stages empty", VALUE("stages", STAGES, ""), F, "7"},
    {"stage of another type", VALUE("stages", STAGES, "ds,3,2,1,1,1,0" STAGE_TAIL), F,
     "type"},
    {"stage with 6 fields", VALUE("stages", STAGES, "fused,3,2,1,1,1" STAGE_TAIL), F,
     "7"},
    {"stage with 8 fields", VALUE("stages", STAGES, "fused,3,2,1,1,1,0,0" STAGE_TAIL), F,
     "7"},
    {"kernel 4", VALUE("stages", STAGES, "fused,4,2,1,1,1,0" STAGE_TAIL), F, "3 or 5"},
    {"kernel 7", VALUE("stages", STAGES, "fused,7,2,1,1,1,0" STAGE_TAIL), F, "kernel"},
    {"stride 3", VALUE("stages", STAGES, "fused,3,3,1,1,1,0" STAGE_TAIL), F, "stride"},
    {"stride 0", VALUE("stages", STAGES, "fused,3,0,1,1,1,0" STAGE_TAIL), F, "stride"},
    {"expand 17", VALUE("stages", STAGES, "fused,3,2,17,1,1,0" STAGE_TAIL), F, "expand"},
    {"channels 0", VALUE("stages", STAGES, "fused,3,2,1,0,1,0" STAGE_TAIL), F,
     "channels"},
    {"channels 8193", VALUE("stages", STAGES, "fused,3,2,1,8193,1,0" STAGE_TAIL), F,
     "channels"},
    {"channels 2^32 + 1",
     VALUE("stages", STAGES, "fused,3,2,1,4294967297,1,0" STAGE_TAIL), F, "channels"},
    {"repeats 0", VALUE("stages", STAGES, "fused,3,2,1,1,0,0" STAGE_TAIL), F, "repeats"},
    {"repeats 65", VALUE("stages", STAGES, "fused,3,2,1,1,65,0" STAGE_TAIL), F,
     "repeats"},
    {"se of a fused stage", VALUE("stages", STAGES, "fused,3,2,1,1,1,4" STAGE_TAIL), F,
     "se"},
    {"se 65", VALUE("stages", STAGES, "mb,3,2,1,1,1,65" STAGE_TAIL), F, "se"},
    {"stages end with ;", VALUE("stages", STAGES, STAGES ";"), F, "stage 4"},
    {"17 stages", VALUE("stages", STAGES, X16 X16 X16 X16 "mb,3,1,1,1,1,0"), F,
     "16 stages"},
    {"257 blocks",
     VALUE("stages", STAGES,
           "mb,3,1,1,1,64,0;mb,3,1,1,1,64,0;mb,3,1,1,1,64,0;mb,3,1,1,1,64,0;mb,3,1,1,1,1,"
           "0"),
     F, "257 blocks"},
    {"padding unknown", VALUE("padding", "fixed:0,1,0,1,1,1", "valid"), F, "same, sym"},
    {"padding one short", VALUE("padding", "fixed:0,1,0,1,1,1", "fixed:0,1,0,1,1"), F,
     "5 values"},
    {"padding as wide as the kernel",
     VALUE("padding", "fixed:0,1,0,1,1,1", "fixed:0,3,0,1,1,1"), F, "0 to 2"},
    {"padding empty", VALUE("padding", "fixed:0,1,0,1,1,1", "fixed:"), F, "1 values"},
    {"input too small", VALUE("input", "32x40", "31x40"), F, "32 to 4096"},
    {"input too large", VALUE("input", "32x40", "32x4097"), F, "32 to 4096"},
    {"input of one number", VALUE("input", "32x40", "32"), F, "1 values"},
    {"input of three", VALUE("input", "32x40", "32x40x3"), F, "3 values"},
    {"resize unknown", VALUE("resize", "shorter:48", "crop"), F, "squash"},
    {"resize smaller than the crop", VALUE("resize", "shorter:48", "shorter:39"), F,
     "40 to 8192"},
    {"resize without number", VALUE("resize", "shorter:48", "shorter:"), F,
     "dfnet.resize"},
    {"filter unknown", VALUE("filter", "pillow-bicubic,opencv-linear", "lanczos"), F,
     "pillow-box"},
    {"three filters",
     VALUE("filter", "pillow-bicubic,opencv-linear", "pillow-box,pillow-box,pillow-box"),
     F, "3 values"},
    {"second filter empty",
     VALUE("filter", "pillow-bicubic,opencv-linear", "pillow-box,"), F, "dfnet.filter"},
    {"mean of two", VALUE("mean", "0.485,0.456,0.406", "0.485,0.456"), F, "2 values"},
    {"mean not a number", VALUE("mean", "0.485,0.456,0.406", "nan,0,0"), F, "decimal"},
    {"mean with decimal commas", VALUE("mean", "0.485,0.456,0.406", "0,485,0,456,0,406"),
     F, "6 values"},
    {"mean infinite as float32", VALUE("mean", "0.485,0.456,0.406", "1e39,0,0"), F,
     "float32"},
    {"std 0", VALUE("std", "0.229,0.224,0.225", "0.229,0,0.225"), F, "greater than 0"},
    {"std negative", VALUE("std", "0.229,0.224,0.225", "0.229,-1,0.225"), F,
     "greater than 0"},
    {"std 0 as float32", VALUE("std", "0.229,0.224,0.225", "1e-60,1,1"), F,
     "greater than 0"},
    {"flip 2", VALUE("flip", "1", "2"), F, "0, 1"},
    {"one label for two outputs", VALUE("labels", "real\\nfake", "real"), F, "1 values"},
    {"a label of 256 bytes", VALUE("labels", "real\\nfake", "a\\n" T255 "5"), F,
     "label 1"},
    {"output unknown", VALUE("output", "softmax", "tanh"), F, "sigmoid"},
    {"fake beyond the outputs", VALUE("fake", "1", "2"), F, "0 to 1"},
    {"fake negative", VALUE("fake", "1", "-1"), F, "plain integer"},
    {"margin of three", VALUE("face.margin", "0.25,-0.5,0.125,1e-1", "0,0,0"), F,
     "3 values"},
    {"face shape unknown", VALUE("face.shape", "square", "round"), F, "box, square"},
    {"face outside unknown", VALUE("face.outside", "shift", "mirror"), F, "clamp"},
    {"pad 256", VALUE("face.pad", "1,2,255", "1,2,256"), F, "0 to 255"},
    {"temperature 0", VALUE("temperature", "1.5", "0"), F, "greater than 0"},
    {"temperature negative", VALUE("temperature", "1.5", "-1.5"), F, "greater than 0"},
    {"temperature infinite", VALUE("temperature", "1.5", "inf"), F, "decimal"},
    {"thresholds falling", VALUE("thresholds", "0.25,0.75", "0.75,0.25"), F, "rising"},
    {"thresholds above 1", VALUE("thresholds", "0.25,0.75", "0.25,1.5"), F, "rising"},
    {"thresholds below 0", VALUE("thresholds", "0.25,0.75", "-0.25,0.75"), F, "rising"},
    {"source too long", VALUE("source", "n\\u00e9", T255 T255 T255 T255 "0123"), F,
     "1024"},
    {"license too long", VALUE("license", "MIT", T255 T255 T255 T255 "0123"), F, "1024"},
    {"sha256 too short", VALUE("source.sha256", HEX60 "cdef", HEX60), F, "64"},
    {"sha256 not hexadecimal", VALUE("source.sha256", HEX60 "cdef", HEX60 "cdeg"), F,
     "64"},
    {"reference seed beyond 64 bits",
     VALUE("reference", "18446744073709551615,32,33", "18446744073709551616,32,33"), F,
     "plain integer"},
    {"reference too small", VALUE("reference", "18446744073709551615,32,33", "1,31,33"),
     F, "32 to 512"},
    {"reference too large", VALUE("reference", "18446744073709551615,32,33", "1,32,513"),
     F, "32 to 512"},
    {"one logit for two outputs", VALUE("reference.logits", "0.1,-2.5e-05", "0.1"), F,
     "1 values"},
    {"a logit is infinite", VALUE("reference.logits", "0.1,-2.5e-05", "0.1,1e309"), F,
     "float64"},

    /* Tensors. */
    {"last tensor missing", "," LAST, "", F, "classifier.weight: is missing"},
    {"first tensor missing", STEM_W ",", "", F, "lies at [108,112], expected [0,4]"},
    {"tensor unknown", "\"head.bias\":", "\"head.gamma\":", F, "head.gamma"},
    {"tensor twice", STEM_W, STEM_W "," STEM_W, F, "stem.weight: appears twice"},
    {"tensors out of order", STEM_W "," STEM_B, STEM_B "," STEM_W, F, "lies at"},
    {"shape differs", "\"shape\":[1,3,3,3]", "\"shape\":[3,1,3,3]", F,
     "expected [1,3,3,3]"},
    {"shape with fewer numbers", "\"shape\":[1,3,3,3]", "\"shape\":[1,3,9]", F,
     "has shape [1,3,9]"},
    {"shape with five numbers", "\"shape\":[1,3,3,3]", "\"shape\":[1,3,3,3,1]", F,
     "too many"},
    {"shape empty", "\"shape\":[1,3,3,3]", "\"shape\":[]", F, "unsigned integer"},
    {"shape wraps", "\"shape\":[1,3,3,3]", "\"shape\":[18446744073709551615,3,3,3]", F,
     "has shape"},
    {"dtype F64", "\"dtype\":\"F32\"", "\"dtype\":\"F64\"", F, "dtype"},
    {"dtype BF16", "\"dtype\":\"F32\"", "\"dtype\":\"BF16\"", F, "dtype"},
    {"dtype of half the size", "\"dtype\":\"F32\"", "\"dtype\":\"F16\"", F, "lies at"},
    {"tensor without dtype", "\"dtype\":\"F32\",", "", F, "has no dtype"},
    {"tensor without shape", "\"shape\":[1,3,3,3],", "", F, "has no shape"},
    {"tensor without offsets", ",\"data_offsets\":[0,108]", "", F, "has no data_offsets"},
    {"tensor with a fourth key", "\"dtype\":\"F32\",", "\"dtype\":\"F32\",\"a\":\"b\",",
     F, "byte"},
    {"tensor with a key twice", "\"dtype\":\"F32\",",
     "\"dtype\":\"F32\",\"dtype\":\"F32\",", F, "twice"},
    {"offsets of one number", "[0,108]", "[0]", F, "1 data_offsets"},
    {"offsets of three numbers", "[0,108]", "[0,108,108]", F, "too many"},
    {"offsets backwards", "[0,108]", "[108,0]", F, "lies at"},
    {"hole before a tensor", "[108,112]", "[112,116]", F, "lies at [112,116]"},
    {"begins too early", "[108,112]", "[104,112]", F, "lies at [104,112]"},
    {"begins too late", "[108,112]", "[110,112]", F, "lies at [110,112]"},
    {"overlap", "[108,112]", "[104,108]", F, "lies at"},
    {"tensor beyond the file", "[108,112]", "[108,9223372036854775807]", F, "lies at"},
    {"offsets wrap", "[108,112]", "[18446744073709551612,0]", F, "lies at"},
};
#define DEFECTS ((int)(sizeof defects / sizeof defects[0]))

static struct test_mem mem;
static ef_options opt;
static struct nano nano;

static void setup(void)
{
    test_mem_init(&mem);
    test_options(&opt, &mem);
    nano_init(&nano);
}

static void teardown(void)
{
    nano_free(&nano);
}

/* With DFNET_WRITE_MALFORMED=FOLDER in the environment every file is kept there, so that
 * weights_tools/tests/test_cross_reader.py can show it to the other reader. */
static void keep(const char *name, ef_status status)
{
    const char *folder = getenv("DFNET_WRITE_MALFORMED");
    static int number;
    char path[512];
    if (!folder)
        return;
    int used = snprintf(path, sizeof path, "%s/%d_%03d_", folder, -status, number++);
    for (const char *c = name; *c && used < (int)sizeof path - 1; c++)
        path[used++] = (*c >= 'a' && *c <= 'z') || (*c >= '0' && *c <= '9') ? *c : '_';
    path[used] = 0;
    FILE *f = fopen(path, "wb");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(nano.file, 1, nano.size, f), nano.size);
    ck_assert_int_eq(fclose(f), 0);
}

/* Loads and validates the assembled file both ways; all must say the same. */
static void expect(const char *name, ef_status status, const char *word)
{
    ef_model *const untouched = (ef_model *)(void *)&mem;
    ef_model *out = untouched;
    ef_error err, other;
    char text[512];
    memset(&err, 0, sizeof err);
    const ef_status st = ef_model_load_memory(nano.file, nano.size, &opt, &out, &err);
    ck_assert_msg(st == status, "%s: status %d, expected %d: %s: %s", name, st, status,
                  err.where, err.what);
    ck_assert_ptr_eq(out, untouched);
    ck_assert_int_eq(mem.live, 0);
    snprintf(text, sizeof text, "%s: %s", err.where, err.what);
    ck_assert_msg(strstr(text, word) != NULL, "%s: '%s' is not in: %s", name, word, text);
    ck_assert_msg(!strncmp(err.where, "memory", 6), "%s: %s", name, err.where);
    ck_assert_int_eq(ef_model_validate_memory(nano.file, nano.size, &opt, NULL, &other),
                     st);
    ck_assert_str_eq(other.where, err.where);
    ck_assert_str_eq(other.what, err.what);
    ck_assert_int_eq(mem.live, 0);
    keep(name, status);
}

START_TEST(defect_has_its_status)
{
    const struct defect *d = &defects[_i];
    ck_assert_msg(nano_replace(&nano, d->find, d->replacement), "%s: nothing to replace",
                  d->name);
    nano_assemble(&nano);
    nano_repair(nano.file, nano.size);
    expect(d->name, d->status, d->word);
}
END_TEST

/* Changes of bytes rather than of the header's text. */

static void put_length(uint64_t n)
{
    for (int i = 0; i < 8; i++)
        nano.file[i] = (uint8_t)(n >> 8 * i & 0xff);
    nano_repair(nano.file, nano.size);
}

static uint64_t length(void)
{
    return (uint64_t)nano.file[0] | (uint64_t)nano.file[1] << 8;
}

START_TEST(impossible_lengths)
{
    const uint64_t n = length();
    const uint64_t wrong[] = {0,
                              1,
                              n - 1,
                              n + 1,
                              n + 64,
                              nano.size - 8,
                              nano.size,
                              ((uint64_t)4 << 20) + 56,
                              ((uint64_t)4 << 20) - 8,
                              0x7fffffff,
                              0x80000000,
                              0xffffffff,
                              (uint64_t)INT64_MAX,
                              (uint64_t)1 << 63,
                              UINT64_MAX,
                              UINT64_MAX - 7};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        put_length(wrong[i]);
        expect("length", F, wrong[i] == n + 64 ? "" : "length");
        ck_assert_uint_lt(mem.peak, 32768);
    }
    put_length(n - 64);
    expect("length less by 64", F, "byte");
    put_length(56);
    expect("length 56", F, "byte");
}
END_TEST

START_TEST(a_header_above_4_mib)
{
    const size_t header = ((size_t)4 << 20) + 64 - 8, old = (size_t)length();
    uint8_t *file = calloc(1, 8 + header + nano.data_size);
    ck_assert_ptr_nonnull(file);
    memset(file, ' ', 8 + header);
    memcpy(file + 8, nano.file + 8, old);
    memcpy(file + 8 + header, nano.data, nano.data_size);
    free(nano.file);
    nano.file = file;
    nano.size = 8 + header + nano.data_size;
    put_length(header);
    expect("header of 4 MiB + 56", F, "length");
    /* Exactly the limit is fine: its length ends on 56 modulo 64. */
    memmove(file + 8 + header - 64, file + 8 + header, nano.data_size);
    nano.size -= 64;
    put_length(header - 64);
    ef_error err;
    assert_status(ef_model_validate_memory(nano.file, nano.size, &opt, NULL, &err), EF_OK,
                  &err);
}
END_TEST

START_TEST(data_too_long_or_too_short)
{
    uint8_t *longer = malloc(nano.size + 64);
    ck_assert_ptr_nonnull(longer);
    memcpy(longer, nano.file, nano.size);
    memset(longer + nano.size, 0, 64);
    free(nano.file);
    nano.file = longer;
    const size_t size = nano.size;
    for (size_t more = 1; more <= 64; more++) {
        nano.size = size + more;
        nano_repair(nano.file, nano.size);
        expect("trailing garbage", F, "data");
    }
    for (size_t less = 1; less <= nano.data_size; less++) {
        nano.size = size - less;
        nano_repair(nano.file, nano.size);
        expect("data cut off", F, "data");
    }
}
END_TEST

START_TEST(numbers_that_are_none)
{
    static const uint32_t f32[] = {0x7f800000, 0xff800000, 0x7fc00000,
                                   0x7f800001, 0xffffffff, 0x7fffffff};
    static const uint16_t f16[] = {0x7c00, 0xfc00, 0x7e00, 0x7c01, 0xffff};
    size_t at = 0;
    for (int t = 0; t < NANO_TENSORS; t++) {
        const bool half = t == NANO_TENSORS - 1;
        for (int i = 0; i < nano_count(t); i++, at += half ? 2 : 4) {
            const size_t k = (size_t)(t + i) % (half ? 5 : 6);
            uint8_t *p = nano.file + 8 + length() + at, old[4];
            memcpy(old, p, 4 - 2 * half);
            for (int b = 0; b < (half ? 2 : 4); b++)
                p[b] = (uint8_t)((half ? f16[k] : f32[k]) >> 8 * b & 0xff);
            nano_repair(nano.file, nano.size);
            char word[64];
            snprintf(word, sizeof word, "%s: holds NaN or infinity", nano_name(t));
            expect("not finite", F, word);
            memcpy(p, old, 4 - 2 * half);
        }
    }
    ck_assert_uint_eq(at, nano.data_size);
}
END_TEST

START_TEST(hash_of_another_form)
{
    static const char *const values[] = {"0",
                                         "",
                                         "ABCDEF00000000000000000000000000",
                                         "000000000000000000000000000000000",
                                         "\\u0030000000000000000000000000000000\\u0030",
                                         "0000000000000000 000000000000000"};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        char member[128];
        snprintf(member, sizeof member, "\"dfnet.xxh3\":\"%s\"", values[i]);
        ck_assert(nano_replace(
            &nano, "\"dfnet.xxh3\":\"00000000000000000000000000000000\"", member));
        nano_assemble(&nano);
        expect(values[i], F, "expected 32");
        ck_assert(nano_replace(&nano, member,
                               "\"dfnet.xxh3\":\"00000000000000000000000000000000\""));
    }
    nano_assemble(&nano);
    expect("a hash that is still zeros", F, "damaged");
}
END_TEST

START_TEST(more_tensors_than_the_header_can_list)
{
    ck_assert(
        nano_replace(&nano, STAGES,
                     "mb,3,1,2,1,64,1;mb,3,1,2,1,64,1;mb,3,1,2,1,64,1;mb,3,1,2,1,64,1"));
    ck_assert(nano_replace(&nano, "fixed:0,1,0,1,1,1", "same"));
    nano_assemble(&nano);
    nano_repair(nano.file, nano.size);
    expect("2566 tensors", F, "too short");
    ck_assert_uint_lt(mem.peak, 32768);
}
END_TEST

START_TEST(wrong_hash)
{
    nano.file[nano.size - 1] ^= 1;
    expect("hash", F, "damaged");
    /* A NaN that comes from damage is called damage. */
    memset(nano.file + 8 + length(), 0xff, 4);
    expect("hash", F, "damaged");
}
END_TEST

START_TEST(misaligned_f32)
{
    /* classifier.weight first as F16 with 2 elements leaves 4 bytes: aligned. Three
     * halves do not: the stem's bias as F16 before F32. */
    ck_assert(nano_replace(&nano, "\"stem.bias\":{\"dtype\":\"F32\"",
                           "\"stem.bias\":{\"dtype\":\"F16\""));
    ck_assert(nano_replace(&nano, "[108,112]", "[108,110]"));
    ck_assert(nano_replace(&nano, "[112,148]", "[110,146]"));
    nano_assemble(&nano);
    nano_repair(nano.file, nano.size);
    expect("misaligned", F, "not a multiple of 4");
}
END_TEST

START_TEST(too_many_user_keys)
{
    char keys[2048] = "";
    for (int i = 0; i < 31; i++) {
        char one[32];
        snprintf(one, sizeof one, "\"x.%d\":\"\",", i);
        strcat(keys, one);
    }
    strcat(keys, "\"x.note\":\"\"");
    ck_assert(nano_replace(&nano, "\"x.note\":\"\"", keys));
    nano_assemble(&nano);
    nano_repair(nano.file, nano.size);
    ef_error err;
    assert_status(ef_model_validate_memory(nano.file, nano.size, &opt, NULL, &err), EF_OK,
                  &err);
    ck_assert(nano_replace(&nano, "\"x.note\":\"\"", "\"x.note\":\"\",\"x.more\":\"\""));
    nano_assemble(&nano);
    nano_repair(nano.file, nano.size);
    expect("33 user keys", F, "at most");
    /* One more, so that there are still 63 keys. */
    ck_assert(nano_replace(&nano, "\"dfnet.flip\":\"1\",", ""));
    nano_assemble(&nano);
    nano_repair(nano.file, nano.size);
    expect("33 user keys of 63", F, "33 keys");
}
END_TEST

START_TEST(padding_that_leaves_nothing)
{
    /* Nine halvings without padding: 32 -> 15 -> 7 -> 3 -> 1 -> nothing. */
    static const char stages[] =
        "mb,3,2,1,1,1,0;mb,3,2,1,1,1,0;mb,3,2,1,1,1,0;mb,3,2,1,1,1,0";
    ck_assert(nano_replace(&nano, STAGES, stages));
    ck_assert(nano_replace(&nano, "fixed:0,1,0,1,1,1", "fixed:0,0,0,0,0,0,0,0,0,0"));
    nano_assemble(&nano);
    nano_repair(nano.file, nano.size);
    expect("input vanishes", F, "leaves nothing of the input");
    ck_assert(nano_replace(&nano, "32x40", "128x128"));
    ck_assert(nano_replace(&nano, "shorter:48", "squash"));
    nano_assemble(&nano);
    nano_repair(nano.file, nano.size);
    expect("reference vanishes", F, "leaves nothing of the reference input");
}
END_TEST

START_TEST(larger_than_the_limit)
{
    opt.limits.max_file_bytes = nano.size - 1;
    expect("limit", EF_E_LIMIT, "limit");
    ck_assert_int_eq(mem.calls, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("malformed");
    TCase *c = tcase_create("malformed");
    tcase_set_timeout(c, 60);
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_loop_test(c, defect_has_its_status, 0, DEFECTS);
    tcase_add_test(c, impossible_lengths);
    tcase_add_test(c, a_header_above_4_mib);
    tcase_add_test(c, data_too_long_or_too_short);
    tcase_add_test(c, numbers_that_are_none);
    tcase_add_test(c, hash_of_another_form);
    tcase_add_test(c, more_tensors_than_the_header_can_list);
    tcase_add_test(c, wrong_hash);
    tcase_add_test(c, misaligned_f32);
    tcase_add_test(c, too_many_user_keys);
    tcase_add_test(c, padding_that_leaves_nothing);
    tcase_add_test(c, larger_than_the_limit);
    suite_add_tcase(suite, c);
    return run_suite(suite);
}
