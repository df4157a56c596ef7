/* test_crops.c - lib/face: crops as the published systems make them with OpenCV
 * (make_crops.py), and the rules of FORMAT.md's face keys one by one. */
#include "lib/face/preprocess.h"
#include "lib/face/warp.h"
#include "lib/model/meta.h"
#include "tests/support/support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DATA TEST_SOURCE_ROOT "/tests/face/data/"
#define MOST_KEYS 24

/* A block of crops.txt. */
struct block {
    char name[40];
    int width, height;
    uint64_t seed;
    int numbers; /* 4: a box, 10: landmarks */
    float at[10];
    int npairs;
    struct dfn_pair pairs[MOST_KEYS];
    char text[MOST_KEYS][2][256];
};

static bool next_block(FILE *f, struct block *b)
{
    char line[512];
    memset(b, 0, sizeof *b);
    if (!fgets(line, sizeof line, f))
        return false;
    unsigned long seed;
    ck_assert_int_eq(
        sscanf(line, "%39s %lu %d %d", b->name, &seed, &b->width, &b->height), 4);
    b->seed = seed;
    ck_assert_ptr_nonnull(fgets(line, sizeof line, f));
    for (char *at = line, *end; b->numbers < 10; at = end, b->numbers++) {
        b->at[b->numbers] = strtof(at, &end);
        if (end == at)
            break;
    }
    while (fgets(line, sizeof line, f) && line[0] != '\n') {
        char *key = b->text[b->npairs][0], *value = b->text[b->npairs][1];
        ck_assert_int_lt(b->npairs, MOST_KEYS);
        memcpy(key, "dfnet.", 7);
        ck_assert_int_eq(sscanf(line, "%200s = %250s", key + 6, value), 2);
        b->pairs[b->npairs++] = (struct dfn_pair){key, value};
    }
    return true;
}

static uint8_t *noise(uint64_t seed, int width, int height)
{
    const size_t n = (size_t)width * (size_t)height * 3;
    uint8_t *pixels = malloc(n);
    ck_assert_ptr_nonnull(pixels);
    for (size_t i = 0; i < n; i++)
        pixels[i] = (uint8_t)(test_random(&seed) >> 56);
    return pixels;
}

/* One case; returns where the next one's result begins. */
static const uint8_t *compare(const struct block *b, const uint8_t *expected,
                              const ef_allocator *a)
{
    static ef_model model;
    struct dfn_prepare prepare = {0};
    ef_error err = {0};
    uint8_t *pixels = noise(b->seed, b->width, b->height);
    const ef_image img = {pixels, b->width, b->height, 3 * b->width, EF_RGB8, NULL};
    memset(&model, 0, sizeof model);
    assert_status(dfn_meta_parse_crop(b->pairs, b->npairs, &model.meta, &err), EF_OK,
                  &err);
    const size_t n = (size_t)model.meta.height * (size_t)model.meta.width * 3;
    float *out = malloc(n * sizeof *out);
    if (b->numbers == 10) {
        ef_point marks[5];
        for (int i = 0; i < 5; i++)
            marks[i] = (ef_point){b->at[2 * i], b->at[2 * i + 1]};
        assert_status(dfn_preprocess_aligned(&model, &img, marks, out, &prepare, a, &err),
                      EF_OK, &err);
    } else {
        const ef_box box = {b->at[0], b->at[1], b->at[2], b->at[3]};
        assert_status(dfn_preprocess(&model, &img, &box, out, &prepare, a, &err), EF_OK,
                      &err);
    }
    for (size_t i = 0; i < n; i++)
        if (!(fabsf(out[i] * 255 - (float)expected[i]) < 1.01f))
            ck_abort_msg("%s %llu: value %zu is %g, expected %d", b->name,
                         (unsigned long long)b->seed, i, (double)(out[i] * 255),
                         expected[i]);
    dfn_prepare_free(&prepare, a);
    free(out);
    free(pixels);
    return expected + n;
}

START_TEST(as_the_systems_crop)
{
    static struct block b;
    struct test_mem mem;
    ef_options opt;
    size_t size;
    uint8_t *data = test_read_file(DATA "crops.rgb", &size);
    FILE *f = fopen(DATA "crops.txt", "r");
    const uint8_t *at = data;
    int cases = 0;
    ck_assert_ptr_nonnull(f);
    test_mem_init(&mem);
    test_options(&opt, &mem);
    for (; next_block(f, &b); cases++)
        at = compare(&b, at, &opt.allocator);
    fclose(f);
    ck_assert_ptr_eq(at, data + size);
    ck_assert_int_eq(cases, 40);
    ck_assert_int_eq(mem.live, 0);
    free(data);
}
END_TEST

/* ---- rules one by one ------------------------------------------------------------ */

static struct dfn_meta box_rule(enum dfn_rounding rounding, double margin)
{
    struct dfn_meta m = {.rounding = rounding, .outside = DFN_OUTSIDE_PAD};
    for (int i = 0; i < 4; i++)
        m.margin[i] = margin;
    return m;
}

static struct dfn_rect rect_of(const struct dfn_meta *m, ef_box box)
{
    struct dfn_rect r;
    ef_error err = {0};
    assert_status(dfn_crop_rect(m, 1000, 800, &box, &r, &err), EF_OK, &err);
    return r;
}

static void assert_rect(struct dfn_rect r, int x, int y, int w, int h)
{
    if (r.x != x || r.y != y || r.w != w || r.h != h)
        ck_abort_msg("is %d,%d %dx%d, expected %d,%d %dx%d", r.x, r.y, r.w, r.h, x, y, w,
                     h);
}

START_TEST(roundings)
{
    const ef_box box = {10.75f, 20.5f, 31.5f, 42.75f}; /* to 42.25, 63.25 */
    struct dfn_meta m = box_rule(DFN_ROUND_NEAREST, 0);
    assert_rect(rect_of(&m, box), 11, 21, 31, 42);
    m.rounding = DFN_ROUND_TRUNCATE;
    assert_rect(rect_of(&m, box), 10, 20, 32, 43);
    m = box_rule(DFN_ROUND_WHOLE, 1.0 / 3);
    assert_rect(rect_of(&m, box), 0, 6, 52, 71);
    m.rounding = DFN_ROUND_TRUNCATE; /* edges 0.25, 6.25, 52.75, 77.5 */
    assert_rect(rect_of(&m, box), 0, 6, 52, 71);
    /* Towards 0, not down. */
    assert_rect(rect_of(&m, (ef_box){-2.5f, -3.5f, 30, 30}), -12, -13, 49, 49);
    m = box_rule(DFN_ROUND_EVEN, 0.15);
    m.square = true;
    /* 31 x 43 becomes int(55.9) = 55, then 54; centre 26, 41. */
    assert_rect(rect_of(&m, box), -1, 14, 54, 54);
    m.outside = DFN_OUTSIDE_SHIFT;
    assert_rect(rect_of(&m, box), 0, 14, 54, 54);
    /* At most the picture's shorter side. */
    assert_rect(rect_of(&m, (ef_box){0, 0, 1000, 800}), 100, 0, 800, 800);
}
END_TEST

START_TEST(a_third_is_a_third_of_every_width)
{
    struct dfn_meta m = box_rule(DFN_ROUND_WHOLE, 0.3333333333333333);
    for (int w = 1; w <= 39000; w++) {
        struct dfn_rect r;
        const ef_box box = {0, 0, (float)w, 1};
        ck_assert_int_eq(dfn_crop_rect(&m, 65535, 10, &box, &r, NULL), EF_OK);
        ck_assert_int_eq(r.x, -(w / 3));
        ck_assert_int_eq(r.w, w + 2 * (w / 3));
    }
}
END_TEST

START_TEST(margins_of_the_height)
{
    struct dfn_meta m = box_rule(DFN_ROUND_NEAREST, 0.5);
    const ef_box box = {100, 200, 40, 80};
    assert_rect(rect_of(&m, box), 80, 160, 80, 160);
    m.margin_of_height = true;
    assert_rect(rect_of(&m, box), 60, 160, 120, 160);
}
END_TEST

START_TEST(small_crops_are_enlarged)
{
    struct dfn_meta m = box_rule(DFN_ROUND_NEAREST, 0);
    struct dfn_rect seen, r;
    const ef_box box = {10, 20, 7, 40};
    m.least = 12;
    ck_assert_int_eq(dfn_crop_rects(&m, 1000, 800, &box, &seen, &r, NULL), EF_OK);
    assert_rect(seen, 10, 20, 7, 40);
    assert_rect(r, 8, 20, 12, 40);
    ck_assert_int_eq(dfn_crop_rects(&m, 5, 6, NULL, &seen, &r, NULL), EF_OK);
    assert_rect(seen, 0, 0, 5, 6);
    assert_rect(r, -3, -3, 12, 12);
}
END_TEST

/* What lies beside a small crop is the pad colour, not the picture; a zero canvas is 0
 * whatever mean and std are. */
START_TEST(around_the_crop)
{
    static ef_model model;
    static uint8_t white[20 * 20 * 3];
    struct dfn_prepare p = {0};
    struct test_mem mem;
    ef_options opt;
    ef_error err = {0};
    float out[8 * 8 * 3];
    const ef_image img = {white, 20, 20, 60, EF_RGB8, NULL};
    const ef_box box = {10, 10, 4, 8};
    struct dfn_meta *m = &model.meta;
    test_mem_init(&mem);
    test_options(&opt, &mem);
    memset(white, 255, sizeof white);
    *m = (struct dfn_meta){.height = 8,
                           .width = 8,
                           .shrink = DFN_OPENCV_LINEAR,
                           .enlarge = DFN_OPENCV_LINEAR,
                           .mean = {0.5f, 0.5f, 0.5f},
                           .std = {0.5f, 0.5f, 0.5f},
                           .least = 8,
                           .pad = {0, 0, 0}};
    assert_status(dfn_preprocess(&model, &img, &box, out, &p, &opt.allocator, &err),
                  EF_OK, &err);
    for (int x = 0; x < 8; x++)
        ck_assert_float_eq(out[x * 3], x >= 2 && x < 6 ? 1.0f : -1.0f);
    m->least = 0;
    m->resize = DFN_RESIZE_LONGER;
    m->zero_canvas = true;
    assert_status(dfn_preprocess(&model, &img, &box, out, &p, &opt.allocator, &err),
                  EF_OK, &err);
    for (int x = 0; x < 8; x++)
        ck_assert_float_eq(out[x * 3], x >= 2 && x < 6 ? 1.0f : 0.0f);
    dfn_prepare_free(&p, &opt.allocator);
    ck_assert_int_eq(mem.live, 0);
}
END_TEST

START_TEST(mirrored_borders_of_tiny_pictures)
{
    static ef_model model;
    struct dfn_prepare p = {0};
    struct test_mem mem;
    ef_options opt;
    float out[3 * 9 * 3];
    const uint8_t row[] = {10, 0, 0, 20, 0, 0, 30, 0, 0};
    const int expected[] = {20, 30, 20, 10, 20, 30, 20, 10, 20};
    const ef_image img = {row, 3, 1, 9, EF_RGB8, NULL};
    test_mem_init(&mem);
    test_options(&opt, &mem);
    model.meta = (struct dfn_meta){.height = 3,
                                   .width = 9,
                                   .resize = DFN_RESIZE_SHORTER,
                                   .shorter = 1,
                                   .border = DFN_BORDER_REFLECT,
                                   .std = {1, 1, 1},
                                   .shrink = DFN_OPENCV_LINEAR,
                                   .enlarge = DFN_OPENCV_LINEAR};
    ck_assert_int_eq(dfn_preprocess(&model, &img, NULL, out, &p, &opt.allocator, NULL),
                     EF_OK);
    for (int i = 0; i < 27; i++)
        ck_assert_float_eq_tol(out[3 * i] * 255, (float)expected[i % 9], 1e-4f);
    dfn_prepare_free(&p, &opt.allocator);
}
END_TEST

START_TEST(landmarks_that_are_none)
{
    static ef_model model;
    static const uint8_t pixel[3];
    struct dfn_prepare p = {0};
    struct test_mem mem;
    ef_options opt;
    ef_error err = {0};
    float out[3];
    const ef_image img = {pixel, 1, 1, 3, EF_RGB8, NULL};
    const ef_box box = {0, 0, 1, 1};
    ef_point marks[5] = {{0, 0}};
    test_mem_init(&mem);
    test_options(&opt, &mem);
    model.meta = (struct dfn_meta){.height = 1, .width = 1, .std = {1, 1, 1}};
    assert_status(
        dfn_preprocess_aligned(&model, &img, marks, out, &p, &opt.allocator, &err),
        EF_E_ARG, &err);
    ck_assert_str_eq(err.where, "model");
    model.meta.align = (struct dfn_align){4, 4, false, {0, 0, 3, 0, 1, 1, 0, 3, 3, 3}};
    assert_status(
        dfn_preprocess_aligned(&model, &img, marks, out, &p, &opt.allocator, &err),
        EF_E_ARG, &err);
    ck_assert_str_eq(err.where, "landmarks");
    marks[2].x = NAN;
    assert_status(
        dfn_preprocess_aligned(&model, &img, marks, out, &p, &opt.allocator, &err),
        EF_E_ARG, &err);
    assert_status(dfn_preprocess(&model, &img, &box, out, &p, &opt.allocator, &err),
                  EF_E_ARG, &err);
    /* A face far larger than any picture: nothing but the pad colour, and no overflow. */
    static const ef_point far[] = {
        {-1e6f, -1e6f}, {1e6f, -1e6f}, {0, 0}, {-1e6f, 1e6f}, {1e6f, 1e6f}};
    assert_status(
        dfn_preprocess_aligned(&model, &img, far, out, &p, &opt.allocator, &err), EF_OK,
        &err);
    dfn_prepare_free(&p, &opt.allocator);
    ck_assert_int_eq(mem.live, 0);
}
END_TEST

/* Every pixel format gives the same; a similarity is found exactly. */
START_TEST(warps_of_all_formats)
{
    const double from[] = {10, 10, 30, 10, 20, 20, 12, 30, 28, 30};
    double to[10], m[6];
    for (int i = 0; i < 5; i++) { /* 90 degrees, twice as large, moved */
        to[2 * i] = -2 * from[2 * i + 1] + 70;
        to[2 * i + 1] = 2 * from[2 * i] - 5;
    }
    ck_assert(dfn_similarity(from, to, m));
    const double expected[] = {0, -2, 70, 2, 0, -5};
    for (int i = 0; i < 6; i++)
        ck_assert_double_eq_tol(m[i], expected[i], 1e-12);
    uint8_t *gray = noise(3, 20, 40); /* [40][60] */
    static uint8_t pixels[4][40 * 60 * 4], out[4][50 * 50 * 3];
    static const int bytes[] = {3, 3, 4, 1};
    const uint8_t pad[] = {9, 9, 9};
    for (int f = 0; f < 4; f++) {
        for (int i = 0; i < 40 * 60; i++)
            memset(pixels[f] + i * bytes[f], gray[i], (size_t)bytes[f]);
        const ef_image img = {pixels[f], 60, 40, 60 * bytes[f], (ef_format)(f + 1), NULL};
        dfn_warp_affine(&img, m, pad, out[f], 50, 50);
        ck_assert_mem_eq(out[f], out[0], sizeof out[f]);
    }
    free(gray);
}
END_TEST

START_TEST(boxes_of_one_size)
{
    ef_box b[] = {{10, 10, 20, 30}, {50, 40, 36, 8}};
    ef_error err = {0};
    assert_status(ef_boxes_common_side(b, 2, &err), EF_OK, &err);
    ck_assert_float_eq(b[0].x, 2);
    ck_assert_float_eq(b[0].y, 7);
    ck_assert_float_eq(b[0].w, 36);
    ck_assert_float_eq(b[1].y, 26);
    ck_assert_float_eq(b[1].h, 36);
    assert_status(ef_boxes_common_side(NULL, 0, &err), EF_OK, &err);
    assert_status(ef_boxes_common_side(NULL, 1, &err), EF_E_ARG, &err);
    b[1].w = 0;
    assert_status(ef_boxes_common_side(b, 2, &err), EF_E_ARG, &err);
    b[1].w = NAN;
    assert_status(ef_boxes_common_side(b, 2, &err), EF_E_ARG, &err);
    ck_assert_float_eq(b[0].w, 36);
}
END_TEST

START_TEST(aligned_input_of_no_model)
{
    ef_error err = {0};
    const ef_point marks[5] = {{0, 0}};
    const ef_image img = {0};
    float out;
    assert_status(ef_model_preprocess_aligned(NULL, NULL, &img, marks, &out, &err),
                  EF_E_ARG, &err);
    ck_assert_str_eq(err.where, "model");
}
END_TEST

/* ---- the keys -------------------------------------------------------------------- */

static ef_status parse(const char *key, const char *value, ef_error *err)
{
    static const char *const usual[][2] = {
        {"dfnet.input", "224x192"},     {"dfnet.resize", "squash"},
        {"dfnet.filter", "pillow-box"}, {"dfnet.mean", "0,0,0"},
        {"dfnet.std", "1,1,1"},         {"dfnet.face.margin", "0,0,0,0"},
        {"dfnet.face.shape", "box"},    {"dfnet.face.outside", "clamp"},
        {"dfnet.face.pad", "0,0,0"}};
    struct dfn_pair pairs[10];
    struct dfn_meta meta = {0};
    int n = 0;
    bool put = false;
    for (int i = 0; i < 9; i++) {
        pairs[n] = (struct dfn_pair){usual[i][0], usual[i][1]};
        if (!strcmp(pairs[n].key, key)) {
            pairs[n].value = value;
            put = true;
        }
        n += pairs[n].value != NULL;
    }
    if (!put)
        pairs[n++] = (struct dfn_pair){key, value};
    return dfn_meta_parse_crop(pairs, n, &meta, err);
}

START_TEST(keys_that_are_wrong)
{
    static const char *const bad[][2] = {
        {"dfnet.input", NULL},
        {"dfnet.name", "x"},
        {"dfnet.face.colour", "1"},
        {"x.note", "1"},
        {"dfnet.resize", "shorter:192"},
        {"dfnet.face.unit", "width"},
        {"dfnet.face.rounding", "even"},
        {"dfnet.face.rounding", ""},
        {"dfnet.face.least", "4097"},
        {"dfnet.face.least", "-1"},
        {"dfnet.face.align", ""},
        {"dfnet.face.align", "320,real,1,2,3,4,5,6,7,8,9,0"},
        {"dfnet.face.align", "x,real,1,2,3,4,5,6,7,8,9,0"},
        {"dfnet.face.align", "320,real,1x2,2,3,4,5,6,7,8,9,0"},
        {"dfnet.face.align", "320x31,real,1,2,3,4,5,6,7,8,9,0"},
        {"dfnet.face.align", "320x320,down,1,2,3,4,5,6,7,8,9,0"},
        {"dfnet.face.align", "320x320,real,1,2,3,4,5,6,7,8,9"},
        {"dfnet.face.align", "320x320,real,1,2,3,4,5,6,7,8,9,nan"},
        {"dfnet.face.align", "320x320,real,1,2,3,4,5,6,7,8,9,1e9"},
        {"dfnet.face.align", "320x320,real,1,2,1,2,1,2,1,2,1,2"},
        {"dfnet.resize.border", "wrap"},
        {"dfnet.resize.rounding", "opencv"},
        {"dfnet.resize.canvas", "black"}};
    ef_error err = {0};
    assert_status(parse("dfnet.flip", "1", &err), EF_OK, &err);
    assert_status(parse("dfnet.face.align", "320x320,real,1,2,3,4,5,6,7,8,9,0", &err),
                  EF_OK, &err);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const ef_status st = parse(bad[i][0], bad[i][1], &err);
        ck_assert_msg(st == EF_E_FORMAT, "%s = %s", bad[i][0],
                      bad[i][1] ? bad[i][1] : "(absent)");
        assert_status(st, EF_E_FORMAT, &err);
        ck_assert_msg(strstr(err.where, bad[i][0]) != NULL, "%s", err.where);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("crops");
    TCase *c = tcase_create("crops");
    tcase_set_timeout(c, 60);
    tcase_add_test(c, as_the_systems_crop);
    tcase_add_test(c, roundings);
    tcase_add_test(c, a_third_is_a_third_of_every_width);
    tcase_add_test(c, margins_of_the_height);
    tcase_add_test(c, small_crops_are_enlarged);
    tcase_add_test(c, around_the_crop);
    tcase_add_test(c, mirrored_borders_of_tiny_pictures);
    tcase_add_test(c, landmarks_that_are_none);
    tcase_add_test(c, warps_of_all_formats);
    tcase_add_test(c, boxes_of_one_size);
    tcase_add_test(c, aligned_input_of_no_model);
    tcase_add_test(c, keys_that_are_wrong);
    suite_add_tcase(suite, c);
    return run_suite(suite);
}
