/* test_classify.c - pictures to verdicts, against what make_models.py computed with
 * Pillow, OpenCV and a float64 network (expected.txt, whose grammar is there), and
 * against itself: batches, ensembles, formats and strides must not matter.
 *
 * A new case of a crop, filter or head is a row in make_models.py; a new property is a
 * START_TEST here. */
#include "lib/face/preprocess.h"
#include "tests/api/api.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_CASES 400
#define MOST_BOXES 17

/* A line of expected.txt. */
struct expected {
    char model[64], picture[64], mode[8], crc[16], verdict[16];
    ef_box box;
    struct dfn_rect crop;
    double logit, tolerance, fake;
};

static struct expected cases[MOST_CASES];
static int ncases;

static void read_cases(void)
{
    FILE *f = fopen(API_FOLDER "expected.txt", "r");
    struct expected e;
    while (f && ncases < MOST_CASES &&
           fscanf(f, "%63s %63s %7s %f %f %f %f %d %d %d %d %15s %lf %lf %lf %15s",
                  e.model, e.picture, e.mode, &e.box.x, &e.box.y, &e.box.w, &e.box.h,
                  &e.crop.x, &e.crop.y, &e.crop.w, &e.crop.h, e.crc, &e.logit,
                  &e.tolerance, &e.fake, e.verdict) == 16)
        cases[ncases++] = e;
    if (f)
        fclose(f);
}

START_TEST(there_are_cases)
{
    ck_assert_int_ge(ncases, 150);
    ck_assert_int_lt(ncases, MOST_CASES);
}
END_TEST

/* CRC-32 of zlib and PNG (ISO 3309), bit by bit. */
static uint32_t crc32_of(uint32_t crc, const uint8_t *data, size_t n)
{
    crc = ~crc;
    for (size_t i = 0; i < n; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? crc >> 1 ^ 0xEDB88320u : crc >> 1;
    }
    return ~crc;
}

/* The bytes that a network input [3][height][width] was made of, as
 * [height][width][3]. */
static uint32_t crc_of_input(const ef_model *m, const float *input)
{
    const size_t pixels = (size_t)m->meta.height * (size_t)m->meta.width;
    uint32_t crc = 0;
    for (size_t p = 0; p < pixels; p++) {
        uint8_t px[3];
        for (size_t c = 0; c < 3; c++) {
            const double v = ((double)input[c * pixels + p] * (double)m->meta.std[c] +
                              (double)m->meta.mean[c]) *
                             255.0;
            ck_assert_msg(fabs(v - rint(v)) < 1e-3, "input is no byte: %g", v);
            px[c] = (uint8_t)lrint(v);
        }
        crc = crc32_of(crc, px, 3);
    }
    return crc;
}

static void check_input(const ef_model *m, const ef_image *img, const ef_box *box,
                        const struct expected *e, const char *what)
{
    struct dfn_rect r;
    ef_error err;
    assert_status(dfn_crop_rect(&m->meta, img->width, img->height, box, &r, &err), EF_OK,
                  &err);
    ck_assert_msg(r.x == e->crop.x && r.y == e->crop.y && r.w == e->crop.w &&
                      r.h == e->crop.h,
                  "%s: crop %d,%d,%d,%d, must be %d,%d,%d,%d", what, r.x, r.y, r.w, r.h,
                  e->crop.x, e->crop.y, e->crop.w, e->crop.h);
    const size_t n = (size_t)m->meta.height * (size_t)m->meta.width * 3;
    float *input = malloc(n * sizeof *input);
    assert_status(ef_model_preprocess(m, NULL, img, box, input, &err), EF_OK, &err);
    const uint32_t crc = crc_of_input(m, input);
    if (strcmp(e->crc, "-"))
        ck_assert_msg(crc == strtoul(e->crc, NULL, 16), "%s: pixels differ", what);
    free(input);
}

static void check_result(const struct expected *e, const ef_result *r, const char *what)
{
    const double p_tolerance = fmin(1e-3, e->tolerance) + 1e-6;
    ck_assert_msg(fabs((double)r->logit - e->logit) <= e->tolerance,
                  "%s: logit %.9g, must be %.9g within %g", what, (double)r->logit,
                  e->logit, e->tolerance);
    /* A cubic filter that may be a byte off somewhere has a tolerance of its own. */
    ck_assert_msg(fabs((double)r->fake - e->fake) <=
                      (strcmp(e->crc, "-") ? p_tolerance : e->tolerance),
                  "%s: probability %.9g, must be %.9g", what, (double)r->fake, e->fake);
    if (strcmp(e->crc, "-"))
        ck_assert_msg(!strcmp(ef_verdict_name(r->verdict), e->verdict),
                      "%s: %s, must be %s", what, ef_verdict_name(r->verdict),
                      e->verdict);
}

START_TEST(case_equals_pillow_opencv_and_numpy)
{
    const struct expected *e = &cases[_i];
    const bool boxed = !strcmp(e->mode, "box");
    const ef_box *box = boxed ? &e->box : NULL;
    char what[256];
    ef_image img;
    snprintf(what, sizeof what, "%s, %s, %s %g,%g,%g,%g", e->model, e->picture, e->mode,
             (double)e->box.x, (double)e->box.y, (double)e->box.w, (double)e->box.h);
    if (!api_picture(e->picture, &img))
        return;
    ef_model *m = api_model(e->model, NULL);
    ef_classifier *c = api_classifier(m, NULL);
    check_input(m, &img, box, e, what);

    ef_result one = api_score(c, &img, box);
    check_result(e, &one, what);
    ck_assert_float_eq(one.face_score, 1.0f);
    const ef_box whole = {0, 0, (float)img.width, (float)img.height};
    ck_assert(!memcmp(&one.box, boxed ? box : &whole, sizeof whole));
    if (boxed) {
        ef_result again = api_result();
        ef_error err;
        assert_status(ef_classify_faces(c, &img, box, 1, &again, &err), EF_OK, &err);
        ck_assert_mem_eq(&one, &again, sizeof one);
    }
    ef_classifier_free(c);
    ef_model_free(m);
    ef_image_free(&img);
}
END_TEST

/* ---- batches ---- */

static void some_boxes(ef_box boxes[MOST_BOXES])
{
    uint64_t state = 31;
    for (int i = 0; i < MOST_BOXES; i++)
        boxes[i] = (ef_box){(float)test_random_int(&state, -10, 80),
                            (float)test_random_int(&state, -10, 60),
                            (float)test_random_int(&state, 12, 50),
                            (float)test_random_int(&state, 12, 50)};
}

START_TEST(a_batch_has_the_bits_of_single_faces)
{
    static const char *const models[] = {"sigmoid_squash_clamp", "softmax_shorter_shift",
                                         "softmax3_longer_pad"};
    static const int batches[] = {1, 3, 8, MOST_BOXES, 40};
    ef_model *m = api_model(models[_i], NULL);
    ef_options opt = api_native();
    ef_classifier *single = api_classifier(m, &opt);
    ef_box boxes[MOST_BOXES];
    ef_image img;
    ef_error err;
    some_boxes(boxes);
    ck_assert(api_picture("scene.ppm", &img));
    for (size_t b = 0; b < sizeof batches / sizeof *batches; b++) {
        ef_result got[MOST_BOXES];
        opt.batch = batches[b];
        ef_classifier *c = api_classifier(m, &opt);
        for (int i = 0; i < MOST_BOXES; i++)
            got[i] = api_result();
        assert_status(ef_classify_faces(c, &img, boxes, MOST_BOXES, got, &err), EF_OK,
                      &err);
        for (int i = 0; i < MOST_BOXES; i++) {
            const ef_result want = api_score(single, &img, &boxes[i]);
            ck_assert_msg(!memcmp(&want, &got[i], sizeof want),
                          "%s, batch %d, box %d: %.9g, alone %.9g", models[_i],
                          batches[b], i, (double)got[i].logit, (double)want.logit);
        }
        ef_classifier_free(c);
    }
    ef_classifier_free(single);
    ef_model_free(m);
    ef_image_free(&img);
}
END_TEST

START_TEST(the_session_path_gives_the_same_logit)
{
    ef_options opt = api_native();
    ef_model *m = api_model("sigmoid_squash_clamp", NULL);
    ef_classifier *c = api_classifier(m, &opt);
    ef_session *s = NULL;
    ef_error err;
    ef_image img;
    ef_model_info info;
    float logit, p;
    ef_model_info_init(&info, sizeof info);
    assert_status(ef_model_get_info(m, &info, &err), EF_OK, &err);
    float *input = malloc(3 * (size_t)info.height * (size_t)info.width * sizeof *input);
    ck_assert(api_picture("scene.ppm", &img));
    const ef_box box = {20, 15, 40, 36};
    const ef_result want = api_score(c, &img, &box);
    assert_status(ef_model_preprocess(m, NULL, &img, &box, input, &err), EF_OK, &err);
    assert_status(ef_session_create(m, &opt, &s, &err), EF_OK, &err);
    assert_status(ef_session_run(s, input, 1, &logit, &err), EF_OK, &err);
    assert_status(ef_model_probabilities(m, &logit, &p, &err), EF_OK, &err);
    ck_assert_float_eq(logit, want.logit);
    ck_assert_float_eq(p, want.fake);
    free(input);
    ef_session_free(s);
    ef_classifier_free(c);
    ef_model_free(m);
    ef_image_free(&img);
}
END_TEST

/* ---- ensembles ---- */

struct ensemble {
    ef_model *models[3];
    double logit[3], p[3], temperature[3];
    ef_image img;
    ef_box box;
};

static void open_ensemble(struct ensemble *e)
{
    /* softmax with two outputs and sigmoids: p is the sigmoid of logit / temperature. */
    static const char *const names[] = {"softmax_shorter_shift", "sigmoid2_square_pad",
                                        "square_clamp_linear"};
    ef_options opt = api_native();
    ck_assert(api_picture("scene.ppm", &e->img));
    e->box = (ef_box){20, 15, 40, 36};
    for (int i = 0; i < 3; i++) {
        ef_model_info info;
        ef_error err;
        e->models[i] = api_model(names[i], NULL);
        ef_model_info_init(&info, sizeof info);
        assert_status(ef_model_get_info(e->models[i], &info, &err), EF_OK, &err);
        ef_classifier *c = api_classifier(e->models[i], &opt);
        const ef_result r = api_score(c, &e->img, &e->box);
        e->logit[i] = (double)r.logit;
        e->p[i] = (double)r.fake;
        e->temperature[i] = (double)info.temperature;
        ef_classifier_free(c);
    }
}

static void close_ensemble(struct ensemble *e)
{
    for (int i = 0; i < 3; i++)
        ef_model_free(e->models[i]);
    ef_image_free(&e->img);
}

static ef_result score_ensemble(const struct ensemble *e,
                                const ef_classifier_options *what)
{
    ef_options opt = api_native();
    ef_classifier *c = NULL;
    ef_error err;
    opt.batch = 2;
    assert_status(ef_classifier_create(what, &opt, &c, &err), EF_OK, &err);
    const ef_result r = api_score(c, &e->img, &e->box);
    ef_classifier_free(c);
    return r;
}

START_TEST(ensembles_are_weighted_means)
{
    static const float weights[] = {1.0f, 2.5f, 0.25f};
    struct ensemble e;
    open_ensemble(&e);
    for (int variant = 0; variant < 8; variant++) {
        const int n = variant & 1 ? 3 : 2;
        const bool by_logit = variant & 2, weighted = variant & 4;
        ef_classifier_options what;
        ef_classifier_options_init(&what, sizeof what);
        what.models = (const ef_model *const *)e.models;
        what.model_count = (size_t)n;
        what.weights = weighted ? weights : NULL;
        what.aggregate = by_logit ? EF_AGG_MEAN_LOGIT : EF_AGG_MEAN_PROB;
        const ef_result r = score_ensemble(&e, &what);
        double sum = 0, p = 0, scaled = 0, logit = 0;
        for (int i = 0; i < n; i++)
            sum += weighted ? (double)weights[i] : 1.0;
        for (int i = 0; i < n; i++) {
            const double w = (weighted ? (double)weights[i] : 1.0) / sum;
            p += w * e.p[i];
            scaled += w * e.logit[i] / e.temperature[i];
            logit += w * e.logit[i];
        }
        ck_assert_double_eq_tol((double)r.fake, by_logit ? 1 / (1 + exp(-scaled)) : p,
                                1e-6);
        ck_assert_double_eq_tol((double)r.logit, logit, 1e-6 * (1 + fabs(logit)));
    }
    close_ensemble(&e);
}
END_TEST

START_TEST(one_model_three_times_is_that_model)
{
    struct ensemble e;
    ef_classifier_options what;
    open_ensemble(&e);
    const ef_model *same[3] = {e.models[0], e.models[0], e.models[0]};
    ef_classifier_options_init(&what, sizeof what);
    what.models = same;
    what.model_count = 3;
    const ef_result r = score_ensemble(&e, &what);
    ck_assert_double_eq_tol((double)r.fake, e.p[0], 1e-7);
    ck_assert_double_eq_tol((double)r.logit, e.logit[0], 1e-6);
    close_ensemble(&e);
}
END_TEST

START_TEST(thresholds_come_from_the_options_or_the_first_model)
{
    struct ensemble e;
    open_ensemble(&e);
    const float p = (float)e.p[0], up = nextafterf(p, 2), down = nextafterf(p, -1);
    const struct {
        float real_below, fake_from;
        ef_verdict verdict;
    } rows[] = {{0, p, EF_VERDICT_FAKE},
                {0, up, EF_VERDICT_UNCERTAIN},
                {p, up, EF_VERDICT_UNCERTAIN},
                {up, up, EF_VERDICT_REAL},
                {down, down, EF_VERDICT_FAKE},
                {0, 1, EF_VERDICT_UNCERTAIN},
                {1, 1, EF_VERDICT_REAL},
                {0, 0, EF_VERDICT_FAKE},
                {-1, -1, /* the model's own are 0.4 and 0.6 */
                 p < 0.4f    ? EF_VERDICT_REAL
                 : p >= 0.6f ? EF_VERDICT_FAKE
                             : EF_VERDICT_UNCERTAIN}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        ef_classifier_options what;
        ef_classifier_options_init(&what, sizeof what);
        what.models = (const ef_model *const *)e.models;
        what.model_count = 1;
        what.real_below = rows[i].real_below;
        what.fake_from = rows[i].fake_from;
        const ef_result r = score_ensemble(&e, &what);
        ck_assert_msg(r.verdict == rows[i].verdict, "row %zu: %s", i,
                      ef_verdict_name(r.verdict));
    }
    close_ensemble(&e);
}
END_TEST

/* ---- structs, pictures ---- */

/* What a program built with a later header might pass. */
struct longer_result {
    ef_result known;
    char unknown[24];
};

START_TEST(results_may_be_longer_than_ours)
{
    struct longer_result got[5];
    ef_result want[5];
    ef_box boxes[MOST_BOXES];
    ef_options opt = api_native();
    ef_image img;
    ef_error err;
    opt.batch = 2;
    ef_model *m = api_model("softmax_shorter_shift", NULL);
    ef_classifier *c = api_classifier(m, &opt);
    some_boxes(boxes);
    ck_assert(api_picture("scene.ppm", &img));
    for (int i = 0; i < 5; i++) {
        ef_result_init(&got[i].known, sizeof got[i]);
        want[i] = api_result();
    }
    assert_status(ef_classify_faces(c, &img, boxes, 5, want, &err), EF_OK, &err);
    assert_status(ef_classify_faces(c, &img, boxes, 5, &got[0].known, &err), EF_OK, &err);
    for (int i = 0; i < 5; i++) {
        static const char zeros[sizeof got[i].unknown];
        ck_assert_uint_eq(got[i].known.struct_size, sizeof got[i]);
        got[i].known.struct_size = sizeof want[i];
        ck_assert_mem_eq(&got[i].known, &want[i], sizeof want[i]);
        ck_assert_mem_eq(got[i].unknown, zeros, sizeof zeros);
    }
    ef_classifier_free(c);
    ef_model_free(m);
    ef_image_free(&img);
}
END_TEST

START_TEST(the_mode_says_where_the_face_is)
{
    ef_model *m = api_model("softmax_shorter_shift", NULL);
    ef_classifier *c = api_classifier(m, NULL);
    ef_image img;
    ef_error err;
    ck_assert(api_picture("scene.ppm", &img));
    ef_result r = api_result(), before = api_result();
    ef_face face = {.mode = EF_FACE_DETECT, .box = {20, 15, 40, 36}};
    r.fake = before.fake = 0.125f;
    assert_status(ef_classify_face(c, &img, &face, &r, &err), EF_E_UNSUPPORTED, &err);
    ck_assert_mem_eq(&r, &before, sizeof r);
    face.mode = (ef_face_mode)3;
    assert_status(ef_classify_face(c, &img, &face, &r, &err), EF_E_ARG, &err);
    ck_assert_mem_eq(&r, &before, sizeof r);
    face.mode = EF_FACE_WHOLE; /* the box does not count */
    const ef_result whole = api_score(c, &img, NULL),
                    boxed = api_score(c, &img, &face.box);
    assert_status(ef_classify_face(c, &img, &face, &r, &err), EF_OK, &err);
    ck_assert_mem_eq(&r, &whole, sizeof r);
    ck_assert(fabsf(whole.logit - boxed.logit) > 1e-3f);
    ef_classifier_free(c);
    ef_model_free(m);
    ef_image_free(&img);
}
END_TEST

/* The picture again in another format, with rows of `stride` bytes (negative: bottom up)
 * in `room`. */
static ef_image rewrap(const ef_image *img, ef_format format, ptrdiff_t stride,
                       uint8_t *room)
{
    const ptrdiff_t up = stride < 0 ? -stride * (img->height - 1) : 0;
    const int bytes = format == EF_GRAY8 ? 1 : format == EF_RGBA8 ? 4 : 3;
    for (int y = 0; y < img->height; y++)
        for (int x = 0; x < img->width; x++) {
            const uint8_t *from = img->pixels + y * img->stride + x * 3;
            uint8_t *to = room + up + y * stride + x * bytes;
            to[0] = from[format == EF_BGR8 ? 2 : 0];
            if (bytes > 1) {
                to[1] = from[1];
                to[2] = from[format == EF_BGR8 ? 0 : 2];
            }
            if (bytes == 4)
                to[3] = (uint8_t)(x * y); /* ignored */
        }
    return (ef_image){.pixels = room + up,
                      .width = img->width,
                      .height = img->height,
                      .stride = stride,
                      .format = format};
}

static void compare_formats(ef_classifier *c, const ef_image *img, const ef_box *box,
                            bool grey)
{
    static const ef_format formats[] = {EF_RGB8, EF_BGR8, EF_RGBA8, EF_GRAY8};
    const ef_result want = api_score(c, img, box);
    uint8_t *room = malloc((size_t)img->height * ((size_t)img->width * 4 + 7));
    for (int i = 0; i < (grey ? 4 : 3); i++)
        for (int down = 0; down < 2; down++) {
            const ptrdiff_t stride = (ptrdiff_t)img->width * 4 + 7;
            const ef_image other = rewrap(img, formats[i], down ? stride : -stride, room);
            const ef_result r = api_score(c, &other, box);
            ck_assert_msg(!memcmp(&r, &want, sizeof r), "format %d, stride %s",
                          (int)formats[i], down ? "down" : "up");
        }
    free(room);
}

START_TEST(format_and_stride_do_not_matter)
{
    const ef_options opt = api_native();
    const ef_box boxes[] = {{20, 15, 18, 19}, {-4, 20, 20, 30}};
    ef_image img, grey;
    ef_model *m = api_model("softmax3_longer_pad", NULL);
    ef_classifier *c = api_classifier(m, &opt);
    ck_assert(api_picture("scene.ppm", &img));
    for (int i = -1; i < 2; i++) {
        compare_formats(c, &img, i < 0 ? NULL : &boxes[i], false);
        if (api_picture("grey.png", &grey))
            compare_formats(c, &grey, i < 0 ? NULL : &boxes[i], true);
        ef_image_free(&grey);
    }
    ef_image_free(&img);
    ef_classifier_free(c);
    ef_model_free(m);
}
END_TEST

/* ---- failures ---- */

START_TEST(what_is_not_finite_is_no_score)
{
    ef_model *m = api_model("overflows", NULL);
    ef_classifier *c = api_classifier(m, NULL);
    ef_image img;
    ef_error err;
    double difference = 5, tolerance = 5;
    ck_assert(api_picture("scene.ppm", &img));
    ef_result r = api_result(), before = api_result();
    assert_status(ef_classify_face(c, &img, NULL, &r, &err), EF_E_NUMERIC, &err);
    ck_assert_mem_eq(&r, &before, sizeof r);
    assert_status(ef_model_verify(m, NULL, &difference, &tolerance, &err), EF_E_NUMERIC,
                  &err);
    ef_image_free(&img);
    ef_classifier_free(c);
    ef_model_free(m);
}
END_TEST

START_TEST(bad_boxes_leave_every_result_untouched)
{
    static const ef_box bad[] = {
        {10, 10, 0, 5},        {10, 10, 5, -1},       {97, 0, 5, 5},
        {0, 71, 5, 5},         {-5, 0, 5, 5},         {NAN, 0, 5, 5},
        {0, 0, NAN, 5},        {0, 0, INFINITY, 5},   {-INFINITY, 0, 5, 5},
        {0, 0, 5, 1e9f},       {1e9f, 0, 5, 5},       {0, -1e30f, 5, 1e30f},
        {96.75f, 0, 0.25f, 5}, {0, 70.9f, 5, 0.125f}, {-1, -1, 70000, 70000}};
    ef_options opt = api_native();
    ef_image img;
    ef_error err;
    opt.batch = 2;
    ef_model *m = api_model("sigmoid_squash_clamp", NULL);
    ef_classifier *c = api_classifier(m, &opt);
    ck_assert(api_picture("scene.ppm", &img));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const ef_box boxes[3] = {{20, 15, 40, 36}, {5, 5, 9, 9}, bad[i]};
        ef_result r[3], before[3];
        for (int k = 0; k < 3; k++) {
            r[k] = api_result();
            r[k].fake = 0.5f;
            before[k] = r[k];
        }
        const ef_status st = ef_classify_faces(c, &img, boxes, 3, r, &err);
        assert_status(st, bad[i].w > 65535 && bad[i].w < 1e6f ? EF_E_LIMIT : EF_E_ARG,
                      &err);
        ck_assert_mem_eq(r, before, sizeof r);
    }
    ef_image_free(&img);
    ef_classifier_free(c);
    ef_model_free(m);
}
END_TEST

/* Margins come from the model's file, which may say anything. */
START_TEST(absurd_margins_are_a_limit)
{
    static const double margins[] = {1e30, -1e30, 7e4, -1e9};
    const ef_box box = {20, 15, 40, 36};
    ef_error err;
    for (int i = 0; i < 4 * 4 * 2; i++) {
        struct dfn_meta meta = {.square = i & 1, .outside = DFN_OUTSIDE_CLAMP};
        struct dfn_rect r = {1, 2, 3, 4};
        meta.margin[i / 2 % 4] = margins[i / 8];
        const ef_status st = dfn_crop_rect(&meta, 97, 71, &box, &r, &err);
        /* A negative right or bottom margin only makes the crop one pixel small. */
        if (st)
            assert_status(st, EF_E_LIMIT, &err);
        ck_assert(r.w >= 1 && r.h >= 1 && r.x >= 0 && r.y >= 0);
        ck_assert(!st || r.w == 3);
        ck_assert(st || (r.x + r.w <= 97 && r.y + r.h <= 71));
    }
}
END_TEST

/* Longer and narrower than the rule "shorter side to 47" can resize. */
START_TEST(a_strip_that_cannot_be_resized_is_a_limit)
{
    ef_model *m = api_model("softmax_shorter_shift", NULL);
    ef_classifier *c = api_classifier(m, NULL);
    uint8_t *row = calloc(3, 65535);
    const ef_image img = {row, 65535, 1, 3 * 65535, EF_RGB8, NULL};
    ef_result r = api_result();
    ef_error err;
    assert_status(ef_classify_face(c, &img, NULL, &r, &err), EF_E_LIMIT, &err);
    free(row);
    ef_classifier_free(c);
    ef_model_free(m);
}
END_TEST

/* Both say what the model's probability of "fake" is. */
START_TEST(the_probability_is_the_models)
{
    ef_options opt = api_native();
    ef_model *m = api_model("softmax3_longer_pad", NULL);
    ef_classifier *c = api_classifier(m, &opt);
    ef_session *s = NULL;
    ef_error err;
    ef_image img;
    float input[2 * 3 * 40 * 36], logits[6], mean[3], p[3];
    ck_assert(api_picture("scene.ppm", &img));
    const ef_result r = api_score(c, &img, NULL);
    opt.batch = 2;
    assert_status(ef_session_create(m, &opt, &s, &err), EF_OK, &err);
    assert_status(ef_model_preprocess(m, NULL, &img, NULL, input, &err), EF_OK, &err);
    for (int row = 0; row < 3 * 40; row++) /* the mirror image */
        for (int x = 0; x < 36; x++)
            input[3 * 40 * 36 + row * 36 + x] = input[row * 36 + 35 - x];
    assert_status(ef_session_run(s, input, 2, logits, &err), EF_OK, &err);
    for (int i = 0; i < 3; i++)
        mean[i] = (logits[i] + logits[3 + i]) / 2;
    assert_status(ef_model_probabilities(m, mean, p, &err), EF_OK, &err);
    ck_assert_float_eq_tol(r.fake, p[0], 1e-6f);
    ef_session_free(s);
    ef_image_free(&img);
    ef_classifier_free(c);
    ef_model_free(m);
}
END_TEST

int main(void)
{
    read_cases();
    Suite *s = suite_create("classify");
    TCase *t = tcase_create("expected");
    tcase_set_timeout(t, 120);
    tcase_add_test(t, there_are_cases);
    tcase_add_loop_test(t, case_equals_pillow_opencv_and_numpy, 0, ncases);
    suite_add_tcase(s, t);
    t = tcase_create("classify");
    tcase_set_timeout(t, 120);
    tcase_add_loop_test(t, a_batch_has_the_bits_of_single_faces, 0, 3);
    tcase_add_test(t, the_session_path_gives_the_same_logit);
    tcase_add_test(t, the_probability_is_the_models);
    tcase_add_test(t, ensembles_are_weighted_means);
    tcase_add_test(t, one_model_three_times_is_that_model);
    tcase_add_test(t, thresholds_come_from_the_options_or_the_first_model);
    tcase_add_test(t, results_may_be_longer_than_ours);
    tcase_add_test(t, the_mode_says_where_the_face_is);
    tcase_add_test(t, format_and_stride_do_not_matter);
    tcase_add_test(t, what_is_not_finite_is_no_score);
    tcase_add_test(t, bad_boxes_leave_every_result_untouched);
    tcase_add_test(t, absurd_margins_are_a_limit);
    tcase_add_test(t, a_strip_that_cannot_be_resized_is_a_limit);
    suite_add_tcase(s, t);
    return run_suite(s);
}
