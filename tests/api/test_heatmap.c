/* test_heatmap.c - class activation maps: that their mean is the logit, that they lie
 * where the crop lies, what is drawn, and the PNG that comes out. To add a case, add a
 * START_TEST and list it in main(). */
#include "lib/face/heatmap.h"
#include "tests/api/api.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define PICTURE "scene.ppm"

static ef_image picture(void)
{
    ef_image img;
    ck_assert(api_picture(PICTURE, &img));
    return img;
}

static double mean(const ef_heatmap *m)
{
    double sum = 0;
    for (int i = 0; i < m->height * m->width; i++)
        sum += m->values[i];
    return sum / (m->height * m->width);
}

static const char *const exact_models[] = {"sigmoid_squash_clamp", "sigmoid2_square_pad",
                                           "softmax_shorter_shift", "square_clamp_linear",
                                           "square_shift_cubic"};

/* The classifier is linear in the mean of the features, flip and softmax of two
 * included. */
START_TEST(mean_and_bias_give_the_logit)
{
    ef_error err;
    ef_image img = picture();
    ef_model *model = api_model(exact_models[_i], NULL);
    ef_classifier *c = api_classifier(model, NULL);
    const ef_face faces[] = {{EF_FACE_WHOLE, {0, 0, 0, 0}},
                             {EF_FACE_BOX, {10, 8, 30, 25}}};
    for (int i = 0; i < 2; i++) {
        ef_result r = api_result(), plain = api_result();
        ef_heatmap map;
        assert_status(ef_classify_heatmap(c, &img, &faces[i], 0, &r, &map, &err), EF_OK,
                      &err);
        assert_status(ef_classify_face(c, &img, &faces[i], &plain, &err), EF_OK, &err);
        ck_assert_float_eq(r.logit, plain.logit);
        ck_assert_msg(fabs(mean(&map) + map.bias - r.logit) <
                          1e-4 * (1 + fabs((double)r.logit)),
                      "%s: mean %.7g + bias %.7g is not logit %.7g", exact_models[_i],
                      mean(&map), (double)map.bias, (double)r.logit);
        ef_heatmap_free(&map);
        ck_assert_ptr_null(map.values);
    }
    ef_classifier_free(c);
    ef_model_free(model);
    ef_image_free(&img);
}
END_TEST

struct features {
    float *data; /* [h][w][c] of the step "head" */
    int h, w, c;
};

static int keep_features(void *user, const char *name, const float *data, int n, int h,
                         int w, int c)
{
    struct features *f = user;
    if (!strcmp(name, "head")) {
        const size_t count = (size_t)h * (size_t)w * (size_t)c;
        ck_assert_int_eq(n, 1);
        f->data = malloc(count * sizeof *f->data);
        memcpy(f->data, data, count * sizeof *f->data);
        f->h = h, f->w = w, f->c = c;
    }
    return 0;
}

/* A session of one's own shows the features that the map is made of. */
START_TEST(a_map_has_the_shape_of_its_features)
{
    ef_error err;
    ef_image img = picture();
    ef_model *model = api_model("sigmoid_squash_clamp", NULL);
    const ef_options opt = api_native();
    ef_classifier *c = api_classifier(model, &opt);
    ef_session *s;
    ef_model_info info;
    ef_heatmap map;
    struct features f = {NULL, 0, 0, 0};
    float logits[8];
    ef_model_info_init(&info, sizeof info);
    assert_status(ef_model_get_info(model, &info, &err), EF_OK, &err);
    float *in = malloc((size_t)info.height * (size_t)info.width * 3 * sizeof *in);
    assert_status(ef_classify_heatmap(c, &img, NULL, 0, NULL, &map, &err), EF_OK, &err);
    assert_status(ef_model_preprocess(model, NULL, &img, NULL, in, &err), EF_OK, &err);
    assert_status(ef_session_create(model, &opt, &s, &err), EF_OK, &err);
    assert_status(ef_session_tap(s, keep_features, &f, &err), EF_OK, &err);
    assert_status(ef_session_run(s, in, 1, logits, &err), EF_OK, &err);
    ck_assert_int_eq(map.height, f.h);
    ck_assert_int_eq(map.width, f.w);
    ck_assert(fabs(mean(&map) + map.bias - logits[info.fake]) < 1e-4);
    free(f.data);
    free(in);
    ef_session_free(s);
    ef_heatmap_free(&map);
    ef_classifier_free(c);
    ef_model_free(model);
    ef_image_free(&img);
}
END_TEST

/* Two channels, two cells; the mirror image's cells go to the places that they show. */
START_TEST(a_mirrored_view_is_turned_back)
{
    const float features[4] = {1, 2, 3, 4};
    const double weights[2] = {10, 1};
    float values[2] = {0, 0};
    dfn_heatmap_add(features, 1, 2, 2, weights, 0.5, false, values);
    ck_assert_float_eq(values[0], 6);
    ck_assert_float_eq(values[1], 17);
    dfn_heatmap_add(features, 1, 2, 2, weights, 0.5, true, values);
    ck_assert_float_eq(values[0], 23);
    ck_assert_float_eq(values[1], 23);
}
END_TEST

START_TEST(the_area_is_the_crop)
{
    ef_error err;
    ef_image img = picture();
    ef_model *model = api_model("sigmoid_squash_clamp", NULL);
    ef_classifier *c = api_classifier(model, NULL);
    ef_heatmap map;
    assert_status(ef_classify_heatmap(c, &img, NULL, 0, NULL, &map, &err), EF_OK, &err);
    ck_assert_float_eq(map.area.x, 0);
    ck_assert_float_eq(map.area.y, 0);
    ck_assert_float_eq(map.area.w, (float)img.width);
    ck_assert_float_eq(map.area.h, (float)img.height);
    ef_heatmap_free(&map);
    /* Clamped: inside the picture, and around the face. */
    const ef_face face = {EF_FACE_BOX, {2, 3, 20, 20}};
    assert_status(ef_classify_heatmap(c, &img, &face, 0, NULL, &map, &err), EF_OK, &err);
    ck_assert(map.area.x >= 0 && map.area.y >= 0 && map.area.x <= 2 && map.area.y <= 3);
    ck_assert(map.area.x + map.area.w >= 22 && map.area.y + map.area.h >= 23);
    ef_heatmap_free(&map);
    ef_classifier_free(c);
    ef_model_free(model);
    ef_image_free(&img);
}
END_TEST

/* shorter:N shows the middle of a picture only, longer shows more than there is. */
START_TEST(the_area_of_centre_crop_and_canvas)
{
    static const char *const names[] = {"softmax_shorter_shift", "softmax3_longer_pad"};
    for (int i = 0; i < 2; i++) {
        ef_error err;
        ef_image img = picture();
        ef_model *model = api_model(names[i], NULL);
        ef_classifier *c = api_classifier(model, NULL);
        ef_heatmap map;
        assert_status(ef_classify_heatmap(c, &img, NULL, 0, NULL, &map, &err), EF_OK,
                      &err);
        const float more = i == 0 ? -1.0f : 1.0f;
        ck_assert(more * (map.area.w * map.area.h - (float)(img.width * img.height)) > 0);
        /* Its middle is the picture's, within the pixel that rounding can cost. */
        ck_assert(fabsf(map.area.x + map.area.w / 2 - (float)img.width / 2) < 2.5f);
        ck_assert(fabsf(map.area.y + map.area.h / 2 - (float)img.height / 2) < 2.5f);
        ef_heatmap_free(&map);
        ef_classifier_free(c);
        ef_model_free(model);
        ef_image_free(&img);
    }
}
END_TEST

static ef_heatmap map_of(float *values, int h, int w, ef_box area)
{
    return (ef_heatmap){values, h, w, 0, area, NULL, 0};
}

START_TEST(drawing_follows_sign_and_strength)
{
    ef_error err;
    uint8_t gray[16 * 16];
    memset(gray, 128, sizeof gray);
    const ef_image img = {gray, 16, 16, 16, EF_GRAY8, NULL};
    float values[2] = {-2, 2}; /* left speaks for real, right for fake */
    const ef_heatmap map = map_of(values, 1, 2, (ef_box){0, 0, 16, 8});
    ef_image out;
    assert_status(ef_heatmap_draw(&map, &img, 1, 0, NULL, &out, &err), EF_OK, &err);
    const uint8_t *left = out.pixels, *right = out.pixels + 15 * 3;
    ck_assert_int_eq(out.format, EF_RGB8);
    ck_assert(left[2] > 128 && left[0] < 50);   /* blue */
    ck_assert(right[0] > 150 && right[2] < 50); /* red  */
    /* Below the area nothing changes. */
    for (int x = 0; x < 16 * 3; x++)
        ck_assert_int_eq(out.pixels[8 * out.stride + x], 128);
    ef_image_free(&out);
    /* A fifth of the full colour is a fifth of the way to red. */
    assert_status(ef_heatmap_draw(&map, &img, 1, 10, NULL, &out, &err), EF_OK, &err);
    ck_assert_int_eq(out.pixels[15 * 3], (int)(128 + 0.2 * (202 - 128) + 0.5));
    ef_image_free(&out);
    /* No opacity, or a map of zeros: a copy. */
    assert_status(ef_heatmap_draw(&map, &img, 0, 0, NULL, &out, &err), EF_OK, &err);
    for (int i = 0; i < 16 * 16 * 3; i++)
        ck_assert_int_eq(out.pixels[i], 128);
    ef_image_free(&out);
    values[0] = values[1] = 0;
    assert_status(ef_heatmap_draw(&map, &img, 1, 0, NULL, &out, &err), EF_OK, &err);
    for (int i = 0; i < 16 * 16 * 3; i++)
        ck_assert_int_eq(out.pixels[i], 128);
    ef_image_free(&out);
}
END_TEST

struct bytes {
    uint8_t data[1 << 20];
    size_t size, stop_at;
};

static int append(void *user, const char *text, size_t n)
{
    struct bytes *b = user;
    if (b->size + n > b->stop_at)
        return 1;
    memcpy(b->data + b->size, text, n);
    b->size += n;
    return 0;
}

START_TEST(wrong_arguments_are_refused)
{
    ef_error err;
    ef_image img = picture(), out = {0};
    ef_model *model = api_model("sigmoid_squash_clamp", NULL);
    ef_classifier *c = api_classifier(model, NULL);
    ef_heatmap map = {0};
    ef_options bad;
    ef_options_init(&bad, sizeof bad);
    bad.threads = -1;
    assert_status(ef_classify_heatmap(NULL, &img, NULL, 0, NULL, &map, &err), EF_E_ARG,
                  &err);
    assert_status(ef_classify_heatmap(c, NULL, NULL, 0, NULL, &map, &err), EF_E_ARG,
                  &err);
    assert_status(ef_classify_heatmap(c, &img, NULL, 0, NULL, NULL, &err), EF_E_ARG,
                  &err);
    assert_status(ef_classify_heatmap(c, &img, NULL, 1, NULL, &map, &err), EF_E_ARG,
                  &err);
    assert_status(ef_classify_heatmap(c, &img, NULL, 1, NULL, &map, NULL), EF_E_ARG,
                  NULL);
    const ef_face far = {EF_FACE_BOX, {1000, 1000, 5, 5}};
    assert_status(ef_classify_heatmap(c, &img, &far, 0, NULL, &map, &err), EF_E_ARG,
                  &err);
    ck_assert_ptr_null(map.owner);
    assert_status(ef_heatmap_draw(NULL, &img, 1, 0, NULL, &out, &err), EF_E_ARG, &err);
    assert_status(ef_heatmap_draw(&map, NULL, 1, 0, NULL, &out, &err), EF_E_ARG, &err);
    assert_status(ef_heatmap_draw(&map, &img, 1, 0, NULL, NULL, &err), EF_E_ARG, &err);
    assert_status(ef_heatmap_draw(&map, &img, 1, 0, &bad, &out, &err), EF_E_ARG, &err);
    assert_status(ef_image_encode_png(NULL, NULL, append, NULL, &err), EF_E_ARG, &err);
    assert_status(ef_image_encode_png(&img, NULL, NULL, NULL, &err), EF_E_ARG, &err);
    assert_status(ef_image_encode_png(&out, NULL, append, NULL, &err), EF_E_ARG, &err);
    assert_status(ef_image_encode_png(&img, &bad, append, NULL, &err), EF_E_ARG, &err);
    ef_classifier_free(c);
    ef_model_free(model);
    ef_image_free(&img);
}
END_TEST

START_TEST(wrong_maps_are_refused)
{
    ef_error err;
    uint8_t gray[4] = {0};
    const ef_image img = {gray, 2, 2, 2, EF_GRAY8, NULL};
    float values[1] = {1};
    ef_image out = {0};
    ef_heatmap map = map_of(values, 1, 1, (ef_box){0, 0, 2, 2});
    assert_status(ef_heatmap_draw(&map, &img, 2, 0, NULL, &out, &err), EF_E_ARG, &err);
    assert_status(ef_heatmap_draw(&map, &img, NAN, 0, NULL, &out, &err), EF_E_ARG, &err);
    assert_status(ef_heatmap_draw(&map, &img, 1, -1, NULL, &out, &err), EF_E_ARG, &err);
    map.area.w = 0;
    assert_status(ef_heatmap_draw(&map, &img, 1, 0, NULL, &out, &err), EF_E_ARG, &err);
    map.area = (ef_box){NAN, 0, 1, 1};
    assert_status(ef_heatmap_draw(&map, &img, 1, 0, NULL, &out, &err), EF_E_ARG, &err);
    map.area = (ef_box){0, 0, 1, 1};
    values[0] = INFINITY;
    assert_status(ef_heatmap_draw(&map, &img, 1, 0, NULL, &out, &err), EF_E_NUMERIC,
                  &err);
    map.values = NULL;
    assert_status(ef_heatmap_draw(&map, &img, 1, 0, NULL, &out, &err), EF_E_ARG, &err);
    ck_assert_ptr_null(out.pixels);
    ef_heatmap_free(NULL);
}
END_TEST

static bool png_works(void)
{
    uint8_t px[3] = {0};
    static struct bytes b;
    b = (struct bytes){.stop_at = sizeof b.data};
    const ef_image one = {px, 1, 1, 3, EF_RGB8, NULL};
    return ef_image_encode_png(&one, NULL, append, &b, NULL) != EF_E_UNSUPPORTED;
}

START_TEST(a_png_comes_back_as_it_went)
{
    static const ef_format formats[] = {EF_RGB8, EF_BGR8, EF_RGBA8, EF_GRAY8};
    static struct bytes b;
    ef_error err;
    uint8_t px[7 * 5 * 4];
    uint64_t seed = 3;
    if (!png_works())
        return;
    for (size_t i = 0; i < sizeof px; i++)
        px[i] = (uint8_t)test_random(&seed);
    for (int f = 0; f < 4; f++) {
        const int bytes = formats[f] == EF_RGBA8 ? 4 : formats[f] == EF_GRAY8 ? 1 : 3;
        /* From the bottom up: a negative stride. */
        const ef_image img = {px + 4 * 7 * bytes, 7, 5, -7 * bytes, formats[f], NULL};
        ef_image back;
        b.size = 0, b.stop_at = sizeof b.data;
        assert_status(ef_image_encode_png(&img, NULL, append, &b, &err), EF_OK, &err);
        assert_status(ef_image_decode_memory(b.data, b.size, NULL, &back, &err), EF_OK,
                      &err);
        for (int y = 0; y < 5; y++)
            for (int x = 0; x < 7; x++) {
                const uint8_t *want = img.pixels + y * img.stride + x * bytes;
                const uint8_t *got = back.pixels + y * back.stride + x * 3;
                const int r = formats[f] == EF_BGR8 ? 2 : 0, g = bytes == 1 ? 0 : 1;
                const int blue = formats[f] == EF_BGR8 || bytes == 1 ? 0 : 2;
                ck_assert(got[0] == want[r] && got[1] == want[g] && got[2] == want[blue]);
            }
        ef_image_free(&back);
    }
}
END_TEST

START_TEST(a_stopped_png_is_cancelled)
{
    static struct bytes b;
    ef_error err;
    uint8_t px[64 * 64] = {0};
    const ef_image img = {px, 64, 64, 64, EF_GRAY8, NULL};
    if (!png_works())
        return;
    b.size = 0, b.stop_at = sizeof b.data;
    assert_status(ef_image_encode_png(&img, NULL, append, &b, &err), EF_OK, &err);
    const size_t all = b.size;
    for (size_t stop = 0; stop < all; stop += 5) {
        b.size = 0, b.stop_at = stop;
        assert_status(ef_image_encode_png(&img, NULL, append, &b, &err), EF_E_CANCELLED,
                      &err);
    }
}
END_TEST

/* Everything here with the n-th allocation failing, for all n. */
START_TEST(no_memory_is_said_and_nothing_leaks)
{
    static struct bytes b;
    struct test_mem mem;
    ef_options opt;
    ef_error err;
    ef_image img = picture();
    ef_model *model = api_model("sigmoid_squash_clamp", NULL);
    test_mem_init(&mem);
    test_options(&opt, &mem);
    ef_classifier *c = api_classifier(model, &opt);
    ef_result r = api_result();
    assert_status(ef_classify_face(c, &img, NULL, &r, &err), EF_OK, &err);
    const long held = mem.live;
    for (int from = 0; from < 2; from++)
        for (long n = 1;; n++) {
            ef_heatmap map = {0};
            ef_image out = {0};
            mem.fail_at = mem.calls + n;
            mem.from_then_on = from;
            mem.failed = false;
            b.size = 0, b.stop_at = sizeof b.data;
            ef_status st = ef_classify_heatmap(c, &img, NULL, 0, &r, &map, &err);
            if (!st)
                st = ef_heatmap_draw(&map, &img, 0.5f, 0, &opt, &out, &err);
            if (!st && png_works())
                st = ef_image_encode_png(&out, &opt, append, &b, &err);
            const bool failed = mem.failed;
            mem.fail_at = 0;
            ef_image_free(&out);
            ef_heatmap_free(&map);
            ck_assert_int_eq(mem.live, held);
            assert_status(st, failed ? EF_E_NOMEM : EF_OK, &err);
            if (!failed)
                break;
        }
    ef_classifier_free(c);
    ck_assert_int_eq(mem.live, 0);
    ef_model_free(model);
    ef_image_free(&img);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("heatmap");
    TCase *t = tcase_create("heatmap");
    tcase_set_timeout(t, 120);
    tcase_add_loop_test(t, mean_and_bias_give_the_logit, 0,
                        (int)(sizeof exact_models / sizeof *exact_models));
    tcase_add_test(t, a_map_has_the_shape_of_its_features);
    tcase_add_test(t, a_mirrored_view_is_turned_back);
    tcase_add_test(t, the_area_is_the_crop);
    tcase_add_test(t, the_area_of_centre_crop_and_canvas);
    tcase_add_test(t, drawing_follows_sign_and_strength);
    tcase_add_test(t, wrong_arguments_are_refused);
    tcase_add_test(t, wrong_maps_are_refused);
    tcase_add_test(t, a_png_comes_back_as_it_went);
    tcase_add_test(t, a_stopped_png_is_cancelled);
    tcase_add_test(t, no_memory_is_said_and_nothing_leaks);
    suite_add_tcase(s, t);
    return run_suite(s);
}
