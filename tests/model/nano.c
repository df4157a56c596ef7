/* nano.c - see nano.h. */
#include "tests/model/nano.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define HASH_KEY "\"dfnet.xxh3\":\""
#define DIGITS 32

static const char metadata[] =
    "\"__metadata__\":{"
    "\"dfnet.version\":\"1\","
    "\"dfnet.xxh3\":\"00000000000000000000000000000000\","
    "\"dfnet.role\":\"classifier\","
    "\"dfnet.name\":\"nano\","
    "\"dfnet.variant\":\"custom\","
    "\"dfnet.activation\":\"swish\","
    "\"dfnet.stem\":\"1\","
    "\"dfnet.stages\":\"fused,3,2,1,1,1,0;fused,3,1,2,1,1,0;mb,3,1,1,1,1,1;mb,3,2,2,1,1,"
    "1\","
    "\"dfnet.head\":\"1\","
    "\"dfnet.outputs\":\"2\","
    "\"dfnet.padding\":\"fixed:0,1,0,1,1,1\","
    "\"dfnet.input\":\"32x40\","
    "\"dfnet.resize\":\"shorter:48\","
    "\"dfnet.filter\":\"pillow-bicubic,opencv-linear\","
    "\"dfnet.mean\":\"0.485,0.456,0.406\","
    "\"dfnet.std\":\"0.229,0.224,0.225\","
    "\"dfnet.flip\":\"1\","
    "\"dfnet.labels\":\"real\\nfake\","
    "\"dfnet.output\":\"softmax\","
    "\"dfnet.fake\":\"1\","
    "\"dfnet.face.margin\":\"0.25,-0.5,0.125,1e-1\","
    "\"dfnet.face.shape\":\"square\","
    "\"dfnet.face.outside\":\"shift\","
    "\"dfnet.face.pad\":\"1,2,255\","
    "\"dfnet.temperature\":\"1.5\","
    "\"dfnet.thresholds\":\"0.25,0.75\","
    "\"dfnet.source\":\"n\\u00e9\","
    "\"dfnet.source.sha256\":"
    "\"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\","
    "\"dfnet.license\":\"MIT\","
    "\"dfnet.reference\":\"18446744073709551615,32,33\","
    "\"dfnet.reference.logits\":\"0.1,-2.5e-05\","
    "\"x.note\":\"\"}";

struct tensor {
    const char *name, *shape;
    int count;
};

/* In the order of the file. */
static const struct tensor tensors[NANO_TENSORS] = {
    {"stem.weight", "1,3,3,3", 27},
    {"stem.bias", "1", 1},
    {"blocks.0.conv.weight", "1,1,3,3", 9},
    {"blocks.0.conv.bias", "1", 1},
    {"blocks.1.conv.weight", "2,1,3,3", 18},
    {"blocks.1.conv.bias", "2", 2},
    {"blocks.1.project.weight", "1,2,1,1", 2},
    {"blocks.1.project.bias", "1", 1},
    {"blocks.2.depthwise.weight", "1,1,3,3", 9},
    {"blocks.2.depthwise.bias", "1", 1},
    {"blocks.2.se.reduce.weight", "1,1", 1},
    {"blocks.2.se.reduce.bias", "1", 1},
    {"blocks.2.se.expand.weight", "1,1", 1},
    {"blocks.2.se.expand.bias", "1", 1},
    {"blocks.2.project.weight", "1,1,1,1", 1},
    {"blocks.2.project.bias", "1", 1},
    {"blocks.3.expand.weight", "2,1,1,1", 2},
    {"blocks.3.expand.bias", "2", 2},
    {"blocks.3.depthwise.weight", "2,1,3,3", 18},
    {"blocks.3.depthwise.bias", "2", 2},
    {"blocks.3.se.reduce.weight", "1,2", 2},
    {"blocks.3.se.reduce.bias", "1", 1},
    {"blocks.3.se.expand.weight", "2,1", 2},
    {"blocks.3.se.expand.bias", "2", 2},
    {"blocks.3.project.weight", "1,2,1,1", 2},
    {"blocks.3.project.bias", "1", 1},
    {"head.weight", "1,1,1,1", 1},
    {"head.bias", "1", 1},
    {"classifier.bias", "2", 2},
    {"classifier.weight", "2,1", 2},
};

const char *nano_name(int t)
{
    return tensors[t].name;
}

int nano_count(int t)
{
    return tensors[t].count;
}

/* Multiples of 1/16 between -2 and 2: the same number in F16 and F32. */
float nano_value(int t, int i)
{
    return (float)((t * 7 + i * 5) % 65 - 32) / 16.0f;
}

static bool is_half(int t)
{
    return t == NANO_TENSORS - 1;
}

/* binary16 of a multiple of 1/16 between -2 and 2. */
static uint16_t half_of(float value)
{
    const int sixteenths = (int)(value * 16);
    const unsigned sign = sixteenths < 0 ? 0x8000u : 0;
    const unsigned fraction = (unsigned)abs(sixteenths);
    unsigned power = 0;
    if (!fraction)
        return (uint16_t)sign;
    while (fraction >> (power + 1))
        power++;
    /* 2^power / 16, exponent bias 15. */
    return (uint16_t)(sign | (power + 11) << 10 |
                      (fraction - (1u << power)) << (10 - power));
}

static void put(uint8_t *out, uint32_t bits, int bytes)
{
    for (int i = 0; i < bytes; i++)
        out[i] = (uint8_t)(bits >> 8 * i);
}

static void fill_data(struct nano *nano)
{
    uint8_t *at = nano->data;
    for (int t = 0; t < NANO_TENSORS; t++) {
        for (int i = 0; i < tensors[t].count; i++) {
            const float value = nano_value(t, i);
            uint32_t bits;
            memcpy(&bits, &value, sizeof bits);
            put(at, is_half(t) ? half_of(value) : bits, is_half(t) ? 2 : 4);
            at += is_half(t) ? 2 : 4;
        }
    }
}

void nano_init(struct nano *nano)
{
    char text[8192];
    size_t used = (size_t)snprintf(text, sizeof text, "{%s", metadata), offset = 0;
    for (int t = 0; t < NANO_TENSORS; t++) {
        const size_t end = offset + (size_t)tensors[t].count * (is_half(t) ? 2 : 4);
        used += (size_t)snprintf(
            text + used, sizeof text - used,
            ",\"%s\":{\"dtype\":\"%s\",\"shape\":[%s],\"data_offsets\":[%zu,%zu]}",
            tensors[t].name, is_half(t) ? "F16" : "F32", tensors[t].shape, offset, end);
        offset = end;
    }
    used += (size_t)snprintf(text + used, sizeof text - used, "}");
    nano->header = malloc(used + 1);
    nano->data_size = offset;
    nano->data = malloc(offset);
    nano->file = NULL;
    if (!nano->header || !nano->data)
        abort();
    memcpy(nano->header, text, used + 1);
    fill_data(nano);
    nano_assemble(nano);
    nano_repair(nano->file, nano->size);
}

void nano_free(struct nano *nano)
{
    free(nano->header);
    free(nano->data);
    free(nano->file);
}

bool nano_replace(struct nano *nano, const char *find, const char *replacement)
{
    const char *at = strstr(nano->header, find);
    if (!at)
        return false;
    const size_t before = (size_t)(at - nano->header), len = strlen(replacement);
    const size_t after = strlen(at) - strlen(find);
    char *text = malloc(before + len + after + 1);
    if (!text)
        abort();
    memcpy(text, nano->header, before);
    memcpy(text + before, replacement, len);
    memcpy(text + before + len, at + strlen(find), after + 1);
    free(nano->header);
    nano->header = text;
    return true;
}

void nano_assemble(struct nano *nano)
{
    const size_t len = strlen(nano->header), header = (8 + len + 63) / 64 * 64 - 8;
    free(nano->file);
    nano->size = 8 + header + nano->data_size;
    nano->file = malloc(nano->size);
    if (!nano->file)
        abort();
    memset(nano->file, ' ', 8 + header);
    put(nano->file, (uint32_t)header, 4);
    put(nano->file + 4, 0, 4);
    memcpy(nano->file + 8, nano->header, len);
    memcpy(nano->file + 8 + header, nano->data, nano->data_size);
}

bool nano_repair(uint8_t *file, size_t size)
{
    const size_t key = strlen(HASH_KEY);
    size_t at = 8;
    while (at + key + DIGITS <= size && memcmp(file + at, HASH_KEY, key))
        at++;
    if (at + key + DIGITS > size)
        return false;
    memset(file + at + key, '0', DIGITS);
    const XXH128_hash_t h = XXH3_128bits(file, size);
    char digits[DIGITS + 1];
    snprintf(digits, sizeof digits, "%016llx%016llx", (unsigned long long)h.high64,
             (unsigned long long)h.low64);
    memcpy(file + at + key, digits, DIGITS);
    return true;
}
