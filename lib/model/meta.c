/* meta.c - see meta.h. One function a kind of value, one table of keys; a new key is a
 * row in the table, a line in dfn_meta_parse() and a field in struct dfn_meta. */
#include "lib/model/meta.h"

#include "lib/base/number.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum need { NEVER, MAY, MUST };

struct key {
    const char *name;
    enum need classifier, detector;
};

/* In the order of FORMAT.md. */
static const struct key keys[] = {
    {DFN_KEY_VERSION, MUST, MUST},
    {DFN_KEY_HASH, MUST, MUST},
    {"dfnet.role", MUST, MUST},
    {"dfnet.name", MUST, MUST},
    {"dfnet.variant", MUST, NEVER},
    {"dfnet.activation", MUST, NEVER},
    {"dfnet.stem", MUST, NEVER},
    {"dfnet.stages", MUST, NEVER},
    {"dfnet.head", MUST, NEVER},
    {"dfnet.outputs", MUST, NEVER},
    {"dfnet.attention", MAY, NEVER},
    {"dfnet.gate", MAY, NEVER},
    {"dfnet.frames", MAY, NEVER},
    {"dfnet.padding", MUST, NEVER},
    {"dfnet.input", MUST, NEVER},
    {"dfnet.resize", MUST, NEVER},
    {"dfnet.filter", MUST, NEVER},
    {"dfnet.mean", MUST, NEVER},
    {"dfnet.std", MUST, NEVER},
    {"dfnet.flip", MAY, NEVER},
    {"dfnet.labels", MAY, NEVER},
    {"dfnet.output", MUST, NEVER},
    {"dfnet.fake", MUST, NEVER},
    {"dfnet.face.margin", MUST, NEVER},
    {"dfnet.face.shape", MUST, NEVER},
    {"dfnet.face.outside", MUST, NEVER},
    {"dfnet.face.pad", MUST, NEVER},
    {"dfnet.face.unit", MAY, NEVER},
    {"dfnet.face.rounding", MAY, NEVER},
    {"dfnet.face.least", MAY, NEVER},
    {"dfnet.face.align", MAY, NEVER},
    {"dfnet.resize.border", MAY, NEVER},
    {"dfnet.resize.rounding", MAY, NEVER},
    {"dfnet.resize.canvas", MAY, NEVER},
    {"dfnet.look", MAY, NEVER},
    {"dfnet.temperature", MUST, NEVER},
    {"dfnet.thresholds", MUST, NEVER},
    {"dfnet.source", MUST, MUST},
    {"dfnet.source.sha256", MUST, MUST},
    {"dfnet.license", MUST, MUST},
    {"dfnet.reference", MUST, MUST},
    {"dfnet.reference.logits", MUST, NEVER},
    {"dfnet.detector", NEVER, MUST},
    {"dfnet.detector.thresholds", NEVER, MUST},
    {"dfnet.detector.min_face", NEVER, MUST},
    {"dfnet.detector.factor", NEVER, MUST},
    {"dfnet.reference.pnet", NEVER, MUST},
    {"dfnet.reference.rnet", NEVER, MUST},
    {"dfnet.reference.onet", NEVER, MUST},
};
#define KEYS ((int)(sizeof keys / sizeof keys[0]))
_Static_assert(KEYS == DFN_KNOWN_KEYS, "DFN_KNOWN_KEYS is the number of rows");

static const char *const variants[] = {
    "b0",   "b1",   "b2",    "b3",    "b4",    "b5",    "b6",    "b7",
    "b8",   "l2",   "lite0", "lite1", "lite2", "lite3", "lite4", "v2-s",
    "v2-m", "v2-l", "v2-b0", "v2-b1", "v2-b2", "v2-b3", "custom"};
/* The order of enum dfn_filter. */
static const char *const filters[] = {"pillow-box",  "pillow-bilinear", "pillow-bicubic",
                                      "opencv-area", "opencv-linear",   "opencv-cubic"};
static const char *const roles[] = {"classifier", "detector"};
static const char *const detectors[] = {"mtcnn"};
static const char *const activations[] = {"swish", "relu6"};
static const char *const outputs_to[] = {"sigmoid", "softmax"};
static const char *const shapes[] = {"box", "square"};
static const char *const outsides[] = {"clamp", "shift", "pad"}; /* enum dfn_outside */
static const char *const switches[] = {"0", "1"};
static const char *const units[] = {"side", "height"};
/* enum dfn_rounding, enum dfn_border */
static const char *const roundings[] = {"nearest", "truncate", "whole", "even"};
static const char *const borders[] = {"none", "pad", "reflect"};
static const char *const size_rules[] = {"torchvision", "albumentations"};
static const char *const canvases[] = {"colour", "zero"};
static const char *const looks[] = {"logits", "probabilities"};
static const char *const reference_keys[DFN_DETECTOR_NETS] = {
    "dfnet.reference.pnet", "dfnet.reference.rnet", "dfnet.reference.onet"};
#define COUNT(array) ((int)(sizeof(array) / sizeof(array)[0]))

#define MAX_TEXT 1023
#define MAX_NAME 127
#define MAX_LABEL 255
#define MIN_INPUT 32
#define MAX_INPUT 4096
#define MAX_REFERENCE 512
#define MAX_PNET_REFERENCE 64
#define MAX_CHANNELS 8192
#define MAX_OUTPUTS 65536

/* The metadata while it is parsed. The first failure stays in status, and every function
 * below does nothing after it, so that the list of keys reads as a list. */
struct parser {
    const struct dfn_pair *pairs;
    int npairs;
    ef_status status;
    ef_error *err;
};

static const char *find(const struct dfn_pair *pairs, int npairs, const char *key)
{
    for (int i = 0; i < npairs; i++)
        if (!strcmp(pairs[i].key, key))
            return pairs[i].value;
    return NULL;
}

static DFN_COLD DFN_PRINTF(3, 4) void refuse(struct parser *p, const char *key,
                                             const char *what, ...)
{
    char where[64], sentence[256];
    va_list args;
    if (p->status)
        return;
    va_start(args, what);
    vsnprintf(sentence, sizeof sentence, what, args);
    va_end(args);
    snprintf(where, sizeof where, "metadata %s", key);
    p->status = dfn_fail(p->err, EF_E_FORMAT, where, "%s", sentence);
}

/* A bounded, plain ASCII piece of a value from outside, for a sentence. */
struct quote {
    char text[44];
};

static struct quote quote(const char *s, size_t len)
{
    struct quote q;
    size_t n = 0;
    for (; n < len && n < sizeof q.text - 4; n++)
        q.text[n] = s[n] >= 0x20 && s[n] < 0x7f ? s[n] : '?';
    snprintf(q.text + n, sizeof q.text - n, "%s", n < len ? "..." : "");
    return q;
}

static void refuse_value(struct parser *p, const char *key, const char *s, size_t len,
                         const char *expected)
{
    refuse(p, key, "is '%s', expected %s", quote(s, len).text, expected);
}

/* The value, or "" after a failure or for an absent optional key. */
static const char *text_of(const struct parser *p, const char *key)
{
    const char *value = p->status ? NULL : find(p->pairs, p->npairs, key);
    return value ? value : "";
}

/* The part of a list that begins at *at; *at moves behind its separator, or becomes NULL
 * with the last one. */
static size_t next_part(const char **at, char separator, const char **part)
{
    *part = *at;
    const char *end = strchr(*part, separator);
    *at = end ? end + 1 : NULL;
    return end ? (size_t)(end - *part) : strlen(*part);
}

static size_t count_parts(const char *list, char separator)
{
    size_t n = 1;
    for (; *list; list++)
        n += *list == separator;
    return n;
}

static bool is_count(struct parser *p, const char *key, const char *list, char separator,
                     size_t expected)
{
    const size_t n = count_parts(list, separator);
    if (n != expected)
        refuse(p, key, "has %zu values, expected %zu", n, expected);
    return n == expected && !p->status;
}

static uint64_t whole(struct parser *p, const char *key, const char *s, size_t len,
                      uint64_t low, uint64_t high)
{
    uint64_t value = low;
    if (p->status)
        return low;
    if (!dfn_parse_uint(s, len, UINT64_MAX, &value))
        refuse_value(p, key, s, len, "a plain integer");
    else if (value < low || value > high)
        refuse(p, key, "is %llu, allowed is %llu to %llu", (unsigned long long)value,
               (unsigned long long)low, (unsigned long long)high);
    return p->status ? low : value;
}

static int integer(struct parser *p, const char *key, int low, int high)
{
    const char *s = text_of(p, key);
    return (int)whole(p, key, s, strlen(s), (uint64_t)low, (uint64_t)high);
}

static void reals(struct parser *p, const char *key, float *out, size_t n)
{
    const char *at = text_of(p, key), *part;
    if (p->status || !is_count(p, key, at, ',', n))
        return;
    for (size_t i = 0; i < n; i++) {
        const size_t len = next_part(&at, ',', &part);
        if (!dfn_parse_float(part, len, &out[i]))
            refuse_value(p, key, part, len, "a decimal number in the range of float32");
    }
}

static int choice_of(struct parser *p, const char *key, const char *s, size_t len,
                     const char *const *allowed, int n)
{
    for (int i = 0; i < n; i++)
        if (strlen(allowed[i]) == len && !memcmp(allowed[i], s, len))
            return i;
    char list[160] = "";
    for (int i = 0; i < n; i++) {
        const size_t used = strlen(list);
        snprintf(list + used, sizeof list - used, "%s%s", i ? ", " : "one of ",
                 allowed[i]);
    }
    refuse_value(p, key, s, len, list);
    return 0;
}

static int choice(struct parser *p, const char *key, const char *const *allowed, int n)
{
    const char *s = text_of(p, key);
    return choice_of(p, key, s, strlen(s), allowed, n);
}

/* Of an optional key; the first choice is what its absence means. */
static int optional_choice(struct parser *p, const char *key, const char *const *allowed,
                           int n)
{
    return find(p->pairs, p->npairs, key) ? choice(p, key, allowed, n) : 0;
}

static void limited(struct parser *p, const char *key, size_t least, size_t most)
{
    const size_t len = strlen(text_of(p, key));
    if (len < least || len > most)
        refuse(p, key, "has %zu bytes, allowed are %zu to %zu", len, least, most);
}

static void hex(struct parser *p, const char *key, size_t digits)
{
    const char *s = text_of(p, key);
    char expected[48];
    if (strlen(s) == digits && strspn(s, "0123456789abcdef") == digits)
        return;
    snprintf(expected, sizeof expected, "%zu lower-case hexadecimal digits", digits);
    refuse_value(p, key, s, strlen(s), expected);
}

/* What the role of this file has to do with a key of the table. */
static enum need need_of(const struct key *key, bool detector)
{
    return detector ? key->detector : key->classifier;
}

/* Each key known and once, none missing, none that only the other role has. */
static void check_keys(struct parser *p)
{
    const char *role = find(p->pairs, p->npairs, "dfnet.role");
    const bool detector = role && !strcmp(role, roles[1]);
    int user = 0;
    for (int i = 0; i < p->npairs && !p->status; i++) {
        const char *key = p->pairs[i].key;
        const struct quote q = quote(key, strlen(key));
        bool known = !strncmp(key, DFN_USER_PREFIX, strlen(DFN_USER_PREFIX));
        user += known;
        for (int k = 0; k < KEYS && !known; k++) {
            known = !strcmp(key, keys[k].name);
            if (known && need_of(&keys[k], detector) == NEVER)
                refuse(p, q.text, "is a key that a %s does not have", roles[detector]);
        }
        if (!known)
            refuse(p, q.text, "is a key that this format does not have");
        for (int k = 0; k < i; k++)
            if (!strcmp(key, p->pairs[k].key))
                refuse(p, q.text, "appears twice");
    }
    if (user > DFN_MAX_USER_KEYS)
        refuse(p, DFN_USER_PREFIX, "%d keys begin so, at most %d may", user,
               DFN_MAX_USER_KEYS);
    for (int k = 0; k < KEYS; k++)
        if (need_of(&keys[k], detector) == MUST &&
            !find(p->pairs, p->npairs, keys[k].name))
            refuse(p, keys[k].name, "is missing");
}

/* Of an optional key; 0 means its absence. */
static int optional_integer(struct parser *p, const char *key, int low, int high)
{
    return find(p->pairs, p->npairs, key) ? integer(p, key, low, high) : 0;
}

static void parse_arch(struct parser *p, struct dfn_arch *arch)
{
    arch->relu6 = choice(p, "dfnet.activation", activations, COUNT(activations)) == 1;
    arch->stem = integer(p, "dfnet.stem", 1, MAX_CHANNELS);
    arch->head = integer(p, "dfnet.head", 1, MAX_CHANNELS);
    arch->outputs = integer(p, "dfnet.outputs", 1, MAX_OUTPUTS);
    if (p->status)
        return;
    const char *stages = text_of(p, "dfnet.stages");
    p->status = dfn_arch_parse_stages(stages, strlen(stages), arch, p->err);
    if (p->status)
        return;
    arch->maps = optional_integer(p, "dfnet.attention", 1, DFN_MAX_MAPS);
    arch->gate = optional_integer(p, "dfnet.gate", 1, dfn_arch_blocks(arch, NULL));
    arch->frames = optional_integer(p, "dfnet.frames", 2, DFN_MAX_FRAMES);
}

/* HOW,FROM,MARGIN */
static void parse_look(struct parser *p, const struct dfn_arch *arch,
                       struct dfn_meta *meta)
{
    static const char key[] = "dfnet.look";
    const char *at = text_of(p, key), *part;
    double *const to[] = {&meta->look_from, &meta->look_margin};
    if (!find(p->pairs, p->npairs, key) || p->status || !is_count(p, key, at, ',', 3))
        return;
    if (!arch->maps)
        refuse(p, key, "is for networks with attention maps");
    if (arch->frames)
        refuse(p, key, "is for pictures, this network takes sequences");
    size_t len = next_part(&at, ',', &part);
    meta->look = choice_of(p, key, part, len, looks, COUNT(looks))
                     ? DFN_LOOK_PROBABILITIES
                     : DFN_LOOK_LOGITS;
    for (int i = 0; i < 2; i++) {
        len = next_part(&at, ',', &part);
        if (!dfn_parse_double(part, len, to[i]))
            refuse_value(p, key, part, len, "a decimal number");
        else if (!(*to[i] >= 0 && *to[i] <= 1))
            refuse(p, key, "holds %g, allowed is 0 to 1", *to[i]);
    }
}

static void parse_padding(struct parser *p, const struct dfn_arch *arch,
                          struct dfn_meta *meta)
{
    static const char key[] = "dfnet.padding", fixed[] = "fixed:";
    const char *s = text_of(p, key), *at, *part;
    int kernels[DFN_MAX_STRIDE2];
    if (p->status)
        return;
    meta->padding = !strcmp(s, "same") ? DFN_PAD_SAME : DFN_PAD_SYM;
    if (!strcmp(s, "same") || !strcmp(s, "sym"))
        return;
    if (strncmp(s, fixed, strlen(fixed))) {
        refuse_value(p, key, s, strlen(s), "same, sym or fixed:");
        return;
    }
    at = s + strlen(fixed);
    const int layers = dfn_arch_stride2(arch, kernels);
    if (!is_count(p, key, at, ',', 2 * (size_t)layers))
        return;
    meta->padding = DFN_PAD_FIXED;
    for (int i = 0; i < 2 * layers; i++) {
        const size_t len = next_part(&at, ',', &part);
        meta->fixed[i / 2][i % 2] =
            (int)whole(p, key, part, len, 0, (uint64_t)kernels[i / 2] - 1);
    }
}

static void parse_resize(struct parser *p, struct dfn_meta *meta)
{
    static const char key[] = "dfnet.resize", shorter[] = "shorter:";
    const char *s = text_of(p, key);
    if (p->status)
        return;
    if (!strncmp(s, shorter, strlen(shorter))) {
        /* The crop must fit into every resized picture, whichever side is the shorter,
         * unless something is said of what lies around it. */
        const int most = meta->height > meta->width ? meta->height : meta->width;
        const int least = meta->border == DFN_BORDER_NONE ? most : 1;
        const char *n = s + strlen(shorter);
        meta->resize = DFN_RESIZE_SHORTER;
        meta->shorter = (int)whole(p, key, n, strlen(n), (uint64_t)least, 2 * MAX_INPUT);
    } else if (!strcmp(s, "squash")) {
        meta->resize = DFN_RESIZE_SQUASH;
    } else if (!strcmp(s, "longer")) {
        meta->resize = DFN_RESIZE_LONGER;
    } else {
        refuse_value(p, key, s, strlen(s), "squash, shorter: and a number, or longer");
    }
}

static void parse_filter(struct parser *p, struct dfn_meta *meta)
{
    static const char key[] = "dfnet.filter";
    const char *at = text_of(p, key), *part;
    if (p->status || (strchr(at, ',') && !is_count(p, key, at, ',', 2)))
        return;
    size_t len = next_part(&at, ',', &part);
    meta->shrink = (enum dfn_filter)choice_of(p, key, part, len, filters, COUNT(filters));
    meta->enlarge = meta->shrink;
    if (!at)
        return;
    len = next_part(&at, ',', &part);
    meta->enlarge =
        (enum dfn_filter)choice_of(p, key, part, len, filters, COUNT(filters));
}

static void parse_picture(struct parser *p, struct dfn_meta *meta)
{
    const char *at = text_of(p, "dfnet.input"), *part;
    if (!p->status && is_count(p, "dfnet.input", at, 'x', 2)) {
        size_t len = next_part(&at, 'x', &part);
        meta->height = (int)whole(p, "dfnet.input", part, len, MIN_INPUT, MAX_INPUT);
        len = next_part(&at, 'x', &part);
        meta->width = (int)whole(p, "dfnet.input", part, len, MIN_INPUT, MAX_INPUT);
    }
    meta->border = (enum dfn_border)optional_choice(p, "dfnet.resize.border", borders,
                                                    COUNT(borders));
    meta->round_sizes =
        optional_choice(p, "dfnet.resize.rounding", size_rules, COUNT(size_rules)) == 1;
    meta->zero_canvas =
        optional_choice(p, "dfnet.resize.canvas", canvases, COUNT(canvases)) == 1;
    parse_resize(p, meta);
    parse_filter(p, meta);
    reals(p, "dfnet.mean", meta->mean, 3);
    reals(p, "dfnet.std", meta->std, 3);
    for (int i = 0; i < 3 && !p->status; i++)
        if (!(meta->std[i] > 0))
            refuse(p, "dfnet.std", "has a value that is not greater than 0");
    if (find(p->pairs, p->npairs, "dfnet.flip"))
        meta->flip = choice(p, "dfnet.flip", switches, COUNT(switches)) == 1;
}

static void parse_labels(struct parser *p, int outputs)
{
    static const char key[] = "dfnet.labels";
    const char *at = text_of(p, key), *part;
    if (!*at || !is_count(p, key, at, '\n', (size_t)outputs))
        return;
    for (int i = 0; at; i++) {
        const size_t len = next_part(&at, '\n', &part);
        if (len > MAX_LABEL)
            refuse(p, key, "label %d has %zu bytes, at most %d are allowed", i, len,
                   MAX_LABEL);
    }
}

/* Checked as the other reals are, but kept in double. */
static void parse_margin(struct parser *p, double out[4])
{
    static const char key[] = "dfnet.face.margin";
    float checked[4];
    const char *at = text_of(p, key), *part;
    reals(p, key, checked, 4);
    for (int i = 0; i < 4 && !p->status; i++) {
        const size_t len = next_part(&at, ',', &part);
        if (!dfn_parse_double(part, len, &out[i]))
            refuse_value(p, key, part, len, "a decimal number");
    }
}

/* Ten numbers x1,y1,...,x5,y5. */
static void parse_points(struct parser *p, const char *list, double points[10])
{
    static const char key[] = "dfnet.face.align";
    const char *part;
    for (int i = 0; i < 10; i++) {
        double v = 0;
        const size_t len = next_part(&list, ',', &part);
        if (!dfn_parse_double(part, len, &v))
            refuse_value(p, key, part, len, "a decimal number");
        if (!(v >= -MAX_INPUT && v <= 2 * MAX_INPUT))
            refuse(p, key, "has a point that is far outside");
        points[i] = v;
    }
}

/* HEIGHTxWIDTH,HOW,x1,y1,...,x5,y5 */
static void parse_align(struct parser *p, struct dfn_align *align)
{
    static const char key[] = "dfnet.face.align";
    static const char *const hows[] = {"real", "truncate"};
    const char *at = text_of(p, key), *part;
    memset(align, 0, sizeof *align);
    if (!find(p->pairs, p->npairs, key) || p->status || !is_count(p, key, at, ',', 12))
        return;
    size_t len = next_part(&at, ',', &part);
    const char *cross = memchr(part, 'x', len);
    if (!cross) {
        refuse_value(p, key, part, len, "HEIGHTxWIDTH");
        return;
    }
    const size_t before = (size_t)(cross - part);
    align->height = (int)whole(p, key, part, before, MIN_INPUT, MAX_INPUT);
    align->width = (int)whole(p, key, cross + 1, len - before - 1, MIN_INPUT, MAX_INPUT);
    len = next_part(&at, ',', &part);
    align->truncate = choice_of(p, key, part, len, hows, COUNT(hows)) == 1;
    parse_points(p, at, align->points);
    bool same = true;
    for (int i = 1; i < 5; i++)
        same = same && !(fabs(align->points[2 * i] - align->points[0]) > 0) &&
               !(fabs(align->points[2 * i + 1] - align->points[1]) > 0);
    if (same)
        refuse(p, key, "has five times the same point");
}

/* How margins become pixels, and what may not go together. */
static void parse_crop_rule(struct parser *p, struct dfn_meta *meta)
{
    static const char rounding[] = "dfnet.face.rounding", least[] = "dfnet.face.least";
    meta->margin_of_height =
        optional_choice(p, "dfnet.face.unit", units, COUNT(units)) == 1;
    meta->rounding =
        (enum dfn_rounding)optional_choice(p, rounding, roundings, COUNT(roundings));
    meta->least = find(p->pairs, p->npairs, least) ? integer(p, least, 0, MAX_INPUT) : 0;
    if (meta->square && meta->margin_of_height)
        refuse(p, "dfnet.face.unit", "is height, which is for the shape box");
    if (meta->square && meta->rounding == DFN_ROUND_WHOLE)
        refuse(p, rounding, "is whole, which is for the shape box");
    if (!meta->square && meta->rounding == DFN_ROUND_EVEN)
        refuse(p, rounding, "is even, which is for the shape square");
}

static void parse_face(struct parser *p, struct dfn_meta *meta)
{
    static const char key[] = "dfnet.face.pad";
    parse_margin(p, meta->margin);
    meta->square = choice(p, "dfnet.face.shape", shapes, COUNT(shapes)) == 1;
    meta->outside =
        (enum dfn_outside)choice(p, "dfnet.face.outside", outsides, COUNT(outsides));
    parse_crop_rule(p, meta);
    parse_align(p, &meta->align);
    const char *at = text_of(p, key), *part;
    if (p->status || !is_count(p, key, at, ',', 3))
        return;
    for (int i = 0; i < 3; i++) {
        const size_t len = next_part(&at, ',', &part);
        meta->pad[i] = (uint8_t)whole(p, key, part, len, 0, 255);
    }
}

static void parse_verdict(struct parser *p, int outputs, struct dfn_meta *meta)
{
    float thresholds[2] = {0};
    meta->softmax = choice(p, "dfnet.output", outputs_to, COUNT(outputs_to)) == 1;
    meta->fake = -1;
    if (strcmp(text_of(p, "dfnet.fake"), "none"))
        meta->fake = integer(p, "dfnet.fake", 0, outputs - 1);
    reals(p, "dfnet.temperature", &meta->temperature, 1);
    if (!p->status && !(meta->temperature > 0))
        refuse(p, "dfnet.temperature", "is not greater than 0");
    reals(p, "dfnet.thresholds", thresholds, 2);
    meta->real_below = thresholds[0];
    meta->fake_from = thresholds[1];
    if (!p->status &&
        !(0 <= thresholds[0] && thresholds[0] <= thresholds[1] && thresholds[1] <= 1))
        refuse(p, "dfnet.thresholds", "are not rising and within 0 to 1");
}

static void parse_reference(struct parser *p, uint64_t least, uint64_t most,
                            struct dfn_meta *meta)
{
    static const char key[] = "dfnet.reference";
    const char *at = text_of(p, key), *part;
    if (p->status || !is_count(p, key, at, ',', 3))
        return;
    size_t len = next_part(&at, ',', &part);
    meta->ref_seed = whole(p, key, part, len, 0, UINT64_MAX);
    len = next_part(&at, ',', &part);
    meta->ref_height = (int)whole(p, key, part, len, least, most);
    len = next_part(&at, ',', &part);
    meta->ref_width = (int)whole(p, key, part, len, least, most);
}

/* Exactly n numbers, which dfn_meta_arrays() will keep. */
static void check_outputs(struct parser *p, const char *key, size_t n)
{
    const char *at = text_of(p, key), *part;
    if (p->status || !is_count(p, key, at, ',', n))
        return;
    while (at && !p->status) {
        double value;
        const size_t len = next_part(&at, ',', &part);
        if (!dfn_parse_double(part, len, &value))
            refuse_value(p, key, part, len, "a decimal number in the range of float64");
    }
}

/* Reals that are kept in double: the sizes of the pyramid depend on their last bits. */
static void doubles(struct parser *p, const char *key, double *out, size_t n, double low,
                    double high)
{
    const char *at = text_of(p, key), *part;
    if (p->status || !is_count(p, key, at, ',', n))
        return;
    for (size_t i = 0; i < n && !p->status; i++) {
        const size_t len = next_part(&at, ',', &part);
        if (!dfn_parse_double(part, len, &out[i]))
            refuse_value(p, key, part, len, "a decimal number");
        else if (!(low <= out[i] && out[i] <= high))
            refuse(p, key, "is %g, allowed is %g to %g", out[i], low, high);
    }
}

/* Section 7. */
static void parse_detector(struct parser *p, struct dfn_meta *meta)
{
    struct dfn_detector_facts *d = &meta->mtcnn;
    choice(p, "dfnet.detector", detectors, COUNT(detectors));
    doubles(p, "dfnet.detector.thresholds", d->thresholds, 3, 0, 1);
    doubles(p, "dfnet.detector.min_face", &d->min_face, 1, DFN_DETECTOR_MIN_FACE,
            DFN_DETECTOR_MAX_FACE);
    doubles(p, "dfnet.detector.factor", &d->factor, 1, DFN_DETECTOR_MIN_FACTOR,
            DFN_DETECTOR_MAX_FACTOR);
    parse_reference(p, DFN_PNET_CELL, MAX_PNET_REFERENCE, meta);
    for (int i = 0; i < DFN_DETECTOR_NETS && !p->status; i++)
        check_outputs(p, reference_keys[i], dfn_detector_outputs(meta, i));
    meta->fake = -1;
}

ef_status dfn_meta_version(const char *value, ef_error *err)
{
    static const char where[] = "metadata " DFN_KEY_VERSION;
    uint64_t version;
    if (!value)
        return dfn_fail(err, EF_E_FORMAT, where, "is missing: this is no dfnet model");
    if (!dfn_parse_uint(value, strlen(value), UINT64_MAX, &version) || !version)
        return dfn_fail(err, EF_E_FORMAT, where,
                        "is '%s', expected a plain integer above 0",
                        quote(value, strlen(value)).text);
    if (version > DFN_FORMAT_VERSION)
        return dfn_fail(err, EF_E_VERSION, where,
                        "the file has version %llu of the format, this library knows %d",
                        (unsigned long long)version, DFN_FORMAT_VERSION);
    return EF_OK;
}

ef_status dfn_meta_parse(const struct dfn_pair *pairs, int npairs, struct dfn_arch *arch,
                         struct dfn_meta *meta, ef_error *err)
{
    struct parser p = {.pairs = pairs, .npairs = npairs, .err = err};
    check_keys(&p);
    hex(&p, DFN_KEY_HASH, 32);
    meta->detector = choice(&p, "dfnet.role", roles, COUNT(roles)) == 1;
    limited(&p, "dfnet.name", 1, MAX_NAME);
    limited(&p, "dfnet.source", 0, MAX_TEXT);
    hex(&p, "dfnet.source.sha256", 64);
    limited(&p, "dfnet.license", 0, MAX_TEXT);
    if (meta->detector) {
        parse_detector(&p, meta);
        return p.status;
    }
    choice(&p, "dfnet.variant", variants, COUNT(variants));
    parse_arch(&p, arch);
    parse_padding(&p, arch, meta);
    parse_picture(&p, meta);
    parse_labels(&p, arch->outputs);
    parse_face(&p, meta);
    parse_look(&p, arch, meta);
    parse_verdict(&p, arch->outputs, meta);
    parse_reference(&p, MIN_INPUT, MAX_REFERENCE, meta);
    check_outputs(&p, "dfnet.reference.logits",
                  (size_t)dfn_arch_frames(arch) * (size_t)arch->outputs);
    return p.status;
}

/* Reference outputs of the file: of a classifier, or of all nets of a detector. */
static size_t reference_count(const struct dfn_meta *meta, const struct dfn_arch *arch)
{
    if (!meta->detector)
        return (size_t)dfn_arch_frames(arch) * (size_t)arch->outputs;
    size_t n = 0;
    for (int i = 0; i < DFN_DETECTOR_NETS; i++)
        n += dfn_detector_outputs(meta, i);
    return n;
}

/* The keys that dfn_meta_parse_crop() takes. */
static bool is_crop_key(const char *key)
{
    static const char *const plain[] = {"dfnet.input", "dfnet.resize", "dfnet.filter",
                                        "dfnet.mean",  "dfnet.std",    "dfnet.flip"};
    for (int i = 0; i < COUNT(plain); i++)
        if (!strcmp(key, plain[i]))
            return true;
    return !strncmp(key, "dfnet.face.", 11) || !strncmp(key, "dfnet.resize.", 13);
}

/* As check_keys() does, of the keys of a crop. */
static void check_crop_keys(struct parser *p)
{
    for (int i = 0; i < p->npairs && !p->status; i++) {
        const char *key = p->pairs[i].key;
        bool known = false;
        for (int k = 0; k < KEYS && !known; k++)
            known = !strcmp(key, keys[k].name) && is_crop_key(key);
        if (!known)
            refuse(p, quote(key, strlen(key)).text, "does not say how a face is cropped");
        for (int k = 0; k < i; k++)
            if (!strcmp(key, p->pairs[k].key))
                refuse(p, quote(key, strlen(key)).text, "appears twice");
    }
    for (int k = 0; k < KEYS; k++)
        if (keys[k].classifier == MUST && is_crop_key(keys[k].name) &&
            !find(p->pairs, p->npairs, keys[k].name))
            refuse(p, keys[k].name, "is missing");
}

ef_status dfn_meta_parse_crop(const struct dfn_pair *pairs, int npairs,
                              struct dfn_meta *meta, ef_error *err)
{
    struct parser p = {.pairs = pairs, .npairs = npairs, .err = err};
    struct dfn_meta parsed = *meta;
    check_crop_keys(&p);
    parsed.flip = false;
    parse_picture(&p, &parsed);
    parse_face(&p, &parsed);
    if (!p.status)
        *meta = parsed;
    return p.status;
}

size_t dfn_meta_arrays_size(const struct dfn_pair *pairs, int npairs,
                            const struct dfn_arch *arch, const struct dfn_meta *meta)
{
    const char *labels = find(pairs, npairs, "dfnet.labels");
    const size_t text = labels && *labels ? strlen(labels) + 1 : 0;
    return reference_count(meta, arch) * sizeof(double) +
           (text ? (size_t)arch->outputs * sizeof(char *) + text : 0);
}

/* Appends the numbers of one key to out; returns the end. */
static double *put_numbers(const char *list, double *out)
{
    const char *part;
    while (list) {
        const size_t len = next_part(&list, ',', &part);
        *out = 0;
        dfn_parse_double(part, len, out++);
    }
    return out;
}

void dfn_meta_arrays(const struct dfn_pair *pairs, int npairs,
                     const struct dfn_arch *arch, void *block, struct dfn_meta *meta)
{
    const int outputs = arch->outputs;
    double *numbers = block;
    const char *part;
    meta->ref_logits = numbers;
    for (int i = 0; i < DFN_DETECTOR_NETS && meta->detector; i++)
        numbers = put_numbers(find(pairs, npairs, reference_keys[i]), numbers);
    if (!meta->detector)
        numbers = put_numbers(find(pairs, npairs, "dfnet.reference.logits"), numbers);
    const char *at = find(pairs, npairs, "dfnet.labels");
    if (!at || !*at)
        return;
    const char **labels = (const char **)(void *)numbers;
    char *text = (char *)(labels + outputs);
    for (int i = 0; i < outputs && at; i++) {
        const size_t len = next_part(&at, '\n', &part);
        memcpy(text, part, len);
        text[len] = 0;
        labels[i] = text;
        text += len + 1;
    }
    meta->labels = labels;
}

ef_status dfn_meta_check_sizes(const struct dfn_meta *meta, const struct dfn_arch *arch,
                               const struct dfn_block *blocks, int nblocks, ef_error *err)
{
    const int sizes[2][2] = {{meta->height, meta->width},
                             {meta->ref_height, meta->ref_width}};
    for (int i = 0; i < 2; i++)
        if (!dfn_meta_macs(meta, arch, blocks, nblocks, sizes[i][0], sizes[i][1]))
            return dfn_fail(err, EF_E_FORMAT, "metadata dfnet.padding",
                            "leaves nothing of the %s of %d x %d",
                            i ? "reference input" : "input", sizes[i][0], sizes[i][1]);
    return EF_OK;
}
