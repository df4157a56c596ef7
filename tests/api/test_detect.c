/* test_detect.c - "finding faces" of dfnet.h as programs meet it: every function called
 * wrongly, and EF_FACE_DETECT of the classifier. What a detector finds is tested in
 * tests/detect. */
#include "tests/api/api.h"
#include "tests/detect/random_mtcnn.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static ef_model *mtcnn, *classifier;
static uint8_t picture[RANDOM_ROWS * RANDOM_COLUMNS * 3];
static const ef_image img = {
    picture, RANDOM_COLUMNS, RANDOM_ROWS, RANDOM_COLUMNS * 3, EF_RGB8, NULL};

static void setup(void)
{
    size_t size;
    ef_error err = {0};
    uint8_t *bytes = random_mtcnn(&size);
    assert_status(ef_model_load_memory(bytes, size, NULL, &mtcnn, &err), EF_OK, &err);
    free(bytes);
    random_picture(picture);
    classifier = api_model("sigmoid_squash_clamp", NULL);
}

static void teardown(void)
{
    ef_model_free(mtcnn);
    ef_model_free(classifier);
}

START_TEST(options_that_cannot_be)
{
    static const double faces[] = {-1, 5.9, 70000, NAN, INFINITY};
    static const double factors[] = {-0.7, 0.05, 0.96, 1, NAN};
    static const double scales[] = {0, -1, 1.01, NAN};
    static const double thresholds[][3] = {
        {0.5, 0.5, 0}, {0, 0.5, 0.5}, {1, 0.5, 0.5}, {0.5, -1, 0.5}, {0.5, 0.5, NAN}};
    ef_detector_options good, o;
    ef_detector *d = NULL;
    ef_detector_options_init(NULL, sizeof good);
    ef_detector_options_init(&good, sizeof good);
    ck_assert(good.struct_size == sizeof good && good.min_face == 0 && good.scale == 1 &&
              good.factor == 0 && good.max_faces == 0);
    for (size_t i = 0; i < 5; i++) {
        o = good, o.min_face = faces[i];
        REFUSES(EF_E_ARG, ef_detector_create(mtcnn, &o, NULL, &d, e));
        o = good, o.factor = factors[i];
        REFUSES(EF_E_ARG, ef_detector_create(mtcnn, &o, NULL, &d, e));
        o = good, memcpy(o.thresholds, thresholds[i], sizeof o.thresholds);
        REFUSES(EF_E_ARG, ef_detector_create(mtcnn, &o, NULL, &d, e));
    }
    for (size_t i = 0; i < 4; i++) {
        o = good, o.scale = scales[i];
        REFUSES(EF_E_ARG, ef_detector_create(mtcnn, &o, NULL, &d, e));
    }
    o = good, o.max_faces = -1;
    REFUSES(EF_E_ARG, ef_detector_create(mtcnn, &o, NULL, &d, e));
    o = good, o.struct_size = sizeof o - 1;
    REFUSES(EF_E_ARG, ef_detector_create(mtcnn, &o, NULL, &d, e));
    ef_options opt;
    ef_options_init(&opt, sizeof opt);
    opt.threads = 65;
    REFUSES(EF_E_ARG, ef_detector_create(mtcnn, NULL, &opt, &d, e));
    ck_assert_ptr_null(d);
}
END_TEST

START_TEST(arguments_that_cannot_be)
{
    ef_detector *d = NULL;
    ef_error error = {0};
    ef_detection face;
    size_t n = 77;
    REFUSES(EF_E_ARG, ef_detector_create(NULL, NULL, NULL, &d, e));
    REFUSES(EF_E_ARG, ef_detector_create(mtcnn, NULL, NULL, NULL, e));
    REFUSES(EF_E_ARG, ef_detector_create(classifier, NULL, NULL, &d, e));
    assert_status(ef_detector_create(mtcnn, NULL, NULL, &d, &error), EF_OK, &error);
    REFUSES(EF_E_ARG, ef_detect_faces(NULL, &img, &face, 1, &n, e));
    REFUSES(EF_E_ARG, ef_detect_faces(d, NULL, &face, 1, &n, e));
    REFUSES(EF_E_ARG, ef_detect_faces(d, &img, NULL, 1, &n, e));
    REFUSES(EF_E_ARG, ef_detect_faces(d, &img, &face, 1, NULL, e));
    ef_image bad = img;
    bad.width = 0;
    REFUSES(EF_E_ARG, ef_detect_faces(d, &bad, &face, 1, &n, e));
    bad = img, bad.stride = 5;
    REFUSES(EF_E_ARG, ef_detect_faces(d, &bad, &face, 1, &n, e));
    ck_assert_uint_eq(n, 77);
    ck_assert_uint_gt(ef_detector_memory(d), 1000000);
    ck_assert_uint_eq(ef_detector_memory(NULL), 0);
    ef_detector_free(d);
    ef_detector_free(NULL);
}
END_TEST

START_TEST(a_detector_is_no_classifier)
{
    ef_session *s = NULL;
    ef_classifier *c = NULL;
    ef_model_info info;
    ef_error error = {0};
    float logit = 0, *room = malloc(3 * 224 * 224 * sizeof *room);
    REFUSES(EF_E_ARG, ef_session_create(mtcnn, NULL, &s, e));
    REFUSES(EF_E_ARG, ef_classifier_create_simple(mtcnn, NULL, &c, e));
    REFUSES(EF_E_ARG, ef_model_probabilities(mtcnn, &logit, &logit, e));
    REFUSES(EF_E_ARG, ef_model_preprocess(mtcnn, NULL, &img, NULL, room, e));
    ef_classifier_options o;
    ef_classifier_options_init(&o, sizeof o);
    const ef_model *models[] = {classifier};
    o.models = models;
    o.model_count = 1;
    o.detector = classifier;
    REFUSES(EF_E_ARG, ef_classifier_create(&o, NULL, &c, e));
    ck_assert(!s && !c);
    ef_model_info_init(&info, sizeof info);
    assert_status(ef_model_get_info(mtcnn, &info, &error), EF_OK, &error);
    ck_assert_str_eq(info.variant, "mtcnn");
    ck_assert_str_eq(info.name, "random MTCNN");
    ck_assert_uint_eq(info.parameters, 495850);
    ck_assert(info.fake == -1 && !info.outputs && !info.height);
    ck_assert_ptr_null(ef_model_label(mtcnn, 0));
    free(room);
}
END_TEST

START_TEST(default_detector)
{
    size_t size;
    ef_error error = {0};
    ef_model *m = NULL;
    uint8_t *bytes = random_mtcnn(&size);
    REFUSES(EF_E_ARG, ef_detector_model_load_default(NULL, NULL, e));
    setenv("DFNET_DETECTOR", "/no/such/detector", 1);
    REFUSES(EF_E_IO, ef_detector_model_load_default(NULL, &m, e));
    ck_assert_ptr_null(m);
    setenv("DFNET_DETECTOR", test_temp_file("mtcnn", bytes, size), 1);
    assert_status(ef_detector_model_load_default(NULL, &m, &error), EF_OK, &error);
    unsetenv("DFNET_DETECTOR");
    ck_assert_str_eq(ef_model_metadata(m, "dfnet.name"), "random MTCNN");
    ef_model_free(m);
    free(bytes);
}
END_TEST

static ef_classifier *with_detector(void)
{
    ef_classifier *c = NULL;
    ef_error err = {0};
    ef_classifier_options o;
    const ef_options opt = api_native();
    const ef_model *models[] = {classifier};
    ef_classifier_options_init(&o, sizeof o);
    o.models = models;
    o.model_count = 1;
    o.detector = mtcnn;
    assert_status(ef_classifier_create(&o, &opt, &c, &err), EF_OK, &err);
    return c;
}

START_TEST(classifies_the_largest_face)
{
    ef_classifier *c = with_detector();
    ef_detector *d = NULL;
    ef_detection face;
    size_t n = 0;
    ef_error err = {0};
    assert_status(ef_detector_create(mtcnn, NULL, NULL, &d, &err), EF_OK, &err);
    assert_status(ef_detect_faces(d, &img, &face, 1, &n, &err), EF_OK, &err);
    ef_detector_free(d);
    ck_assert_uint_gt(n, 1);
    const ef_result boxed = api_score(c, &img, &face.box);
    ef_result found = api_result();
    const ef_face how = {.mode = EF_FACE_DETECT};
    assert_status(ef_classify_face(c, &img, &how, &found, &err), EF_OK, &err);
    ck_assert_mem_eq(&found.box, &face.box, sizeof face.box);
    ck_assert_float_eq(found.face_score, face.score);
    ck_assert_float_eq(found.fake, boxed.fake);
    ck_assert_float_eq(found.logit, boxed.logit);
    ck_assert_int_eq(found.verdict, boxed.verdict);
    ef_classifier_free(c);
}
END_TEST

/* What the classifier must say of a face: crop or alignment, network and sigmoid by the
 * functions that do one step each. */
static double by_hand(const ef_model *m, const ef_detection *face, bool aligned)
{
    ef_session *s = NULL;
    ef_error err = {0};
    ef_model_info info;
    const ef_options opt = api_native();
    float logit = 0, p = 0;
    ef_model_info_init(&info, sizeof info);
    assert_status(ef_model_get_info(m, &info, &err), EF_OK, &err);
    float *x = malloc(3 * sizeof *x * (size_t)info.height * (size_t)info.width);
    ck_assert_ptr_nonnull(x);
    ck_assert_int_eq(info.outputs, 1);
    assert_status(
        aligned ? ef_model_preprocess_aligned(m, &opt, &img, face->landmarks, x, &err)
                : ef_model_preprocess(m, &opt, &img, &face->box, x, &err),
        EF_OK, &err);
    assert_status(ef_session_create(m, &opt, &s, &err), EF_OK, &err);
    assert_status(ef_session_run(s, x, 1, &logit, &err), EF_OK, &err);
    assert_status(ef_model_probabilities(m, &logit, &p, &err), EF_OK, &err);
    ef_session_free(s);
    free(x);
    return (double)p;
}

/* A model whose file has no template gets one from a pipeline. */
static ef_model *with_template(void)
{
    static const char text[] =
        "dfnet-pipeline = 1\nname = n\nsource = s\nlacks = l\n[detector]\n"
        "kind = mtcnn\n[frames]\nchoose = all\n[rule]\nkind = mean-prob\n[crop c]\n"
        "input = 48x48\nresize = squash\nfilter = opencv-linear\nmean = 0.5,0.5,0.5\n"
        "std = 0.5,0.5,0.5\nface.margin = 0,0,0,0\nface.shape = box\n"
        "face.outside = pad\nface.pad = 0,0,0\nface.align = "
        "64x64,real,20,24,44,24,32,36,24,48,40,48\n[model]\nfile = x\ncrop = c\n";
    ef_pipeline *p = NULL;
    ef_model *template = NULL;
    ef_error error = {0};
    assert_status(ef_pipeline_parse_memory(text, sizeof text - 1, NULL, NULL, &p, &error),
                  EF_OK, &error);
    assert_status(ef_pipeline_load_model(p, 0, api_model_path("sigmoid_squash_clamp"),
                                         NULL, &template, &error),
                  EF_OK, &error);
    ef_pipeline_free(p);
    return template;
}

/* With it faces are aligned, by EF_FACE_DETECT and by ef_classify_detections(); without
 * it they are cropped. */
START_TEST(landmarks_align_for_a_model_with_a_template)
{
    ef_model *template = with_template();
    ef_classifier *c = NULL;
    ef_detector *d = NULL;
    ef_detection faces[3];
    ef_result r[3] = {api_result(), api_result(), api_result()}, found = api_result();
    ef_heatmap map = {0}, same = {0};
    size_t n = 0;
    ef_error error = {0};
    const ef_options opt = api_native();
    assert_status(ef_detector_create(mtcnn, NULL, NULL, &d, &error), EF_OK, &error);
    assert_status(ef_detect_faces(d, &img, faces, 3, &n, &error), EF_OK, &error);
    ef_detector_free(d);
    ck_assert_uint_ge(n, 2);
    n = n < 3 ? n : 3;
    for (int aligned = 0; aligned < 2; aligned++) {
        const ef_model *m = aligned ? template : classifier;
        ef_classifier_options o;
        ef_classifier_options_init(&o, sizeof o);
        o.models = &m;
        o.model_count = 1;
        o.detector = mtcnn;
        assert_status(ef_classifier_create(&o, &opt, &c, &error), EF_OK, &error);
        assert_status(ef_classify_detections(c, &img, faces, n, r, &error), EF_OK,
                      &error);
        for (size_t i = 0; i < n; i++) {
            ck_assert_double_eq_tol((double)r[i].fake, by_hand(m, &faces[i], aligned),
                                    1e-6);
            ck_assert_float_eq(r[i].face_score, faces[i].score);
            ck_assert_mem_eq(&r[i].box, &faces[i].box, sizeof r[i].box);
        }
        const ef_face how = {.mode = EF_FACE_DETECT};
        assert_status(ef_classify_face(c, &img, &how, &found, &error), EF_OK, &error);
        ck_assert_float_eq(found.fake, r[0].fake);
        const ef_face boxed = {EF_FACE_BOX, faces[0].box};
        /* Heat maps of both are one, whoever found the face. */
        assert_status(ef_classify_heatmap(c, &img, &how, 0, &found, &map, &error), EF_OK,
                      &error);
        ck_assert_float_eq(found.fake, r[0].fake);
        ck_assert_float_eq(found.face_score, faces[0].score);
        assert_status(
            ef_classify_detection_heatmap(c, &img, &faces[0], 0, NULL, &same, &error),
            EF_OK, &error);
        ck_assert_mem_eq(map.values, same.values,
                         (size_t)map.height * (size_t)map.width * sizeof *map.values);
        ck_assert_mem_eq(&map.area, &same.area, sizeof map.area);
        ck_assert_float_eq(map.angle, same.angle);
        ck_assert_int_eq(fabsf(map.angle) > 0, aligned);
        ef_heatmap_free(&map);
        ef_heatmap_free(&same);
        REFUSES(EF_E_ARG, ef_classify_detection_heatmap(c, &img, NULL, 0, NULL, &map, e));
        if (aligned) {
            REFUSES(EF_E_ARG, ef_classify_face(c, &img, &boxed, &found, e));
            REFUSES(EF_E_ARG, ef_classify_heatmap(c, &img, &boxed, 0, &found, &map, e));
            ck_assert_ptr_null(map.owner);
            faces[0].landmarks[0].x = NAN;
            REFUSES(EF_E_ARG, ef_classify_detections(c, &img, faces, n, r, e));
        }
        ef_classifier_free(c);
    }
    ef_model_free(template);
}
END_TEST

/* Landmarks that are the template's, turned, scaled and moved: so is the map's area. */
START_TEST(the_heat_map_of_an_aligned_face_is_turned)
{
    static const double template[5][2] = {
        {20, 24}, {44, 24}, {32, 36}, {24, 48}, {40, 48}};
    ef_model *m = with_template();
    const ef_options opt = api_native();
    ef_classifier *c = api_classifier(m, &opt);
    ef_detection face = {.box = {1, 1, 9, 9}};
    ef_heatmap map = {0};
    ef_image drawn = {0};
    ef_result r = api_result();
    ef_error err = {0};
    const double angle = 0.3, scale = 0.7, x = 38, y = 12;
    const double turn[2] = {scale * cos(angle), scale * sin(angle)};
    for (int i = 0; i < 5; i++)
        face.landmarks[i] =
            (ef_point){(float)(turn[0] * template[i][0] - turn[1] * template[i][1] + x),
                       (float)(turn[1] * template[i][0] + turn[0] * template[i][1] + y)};
    assert_status(ef_classify_detection_heatmap(c, &img, &face, 0, &r, &map, &err), EF_OK,
                  &err);
    ck_assert_float_eq_tol(map.angle, 0.3f, 1e-5f);
    ck_assert_float_eq_tol(map.area.w, 64 * 0.7f, 1e-4f);
    ck_assert_float_eq_tol(map.area.h, 64 * 0.7f, 1e-4f);
    /* The template's centre lies between its pixels 31 and 32. */
    const double middle[2] = {turn[0] * 31.5 - turn[1] * 31.5 + x + 0.5,
                              turn[1] * 31.5 + turn[0] * 31.5 + y + 0.5};
    ck_assert_float_eq_tol(map.area.x + map.area.w / 2, (float)middle[0], 1e-3f);
    ck_assert_float_eq_tol(map.area.y + map.area.h / 2, (float)middle[1], 1e-3f);
    double sum = 0;
    for (int i = 0; i < map.height * map.width; i++)
        sum += (double)map.values[i] / (map.height * map.width);
    ck_assert_double_eq_tol(sum + (double)map.bias, (double)r.logit, 1e-3);
    /* Drawn are exactly the pixels inside the turned square. */
    for (int i = 0; i < map.height * map.width; i++)
        ((float *)(uintptr_t)map.values)[i] = 1;
    assert_status(ef_heatmap_draw(&map, &img, 1, 1, NULL, &drawn, &err), EF_OK, &err);
    int inside = 0;
    for (int row = 0; row < img.height; row++)
        for (int column = 0; column < img.width; column++) {
            const double dx = column + 0.5 - middle[0], dy = row + 0.5 - middle[1];
            const double along = (turn[0] * dx + turn[1] * dy) / scale,
                         across = (turn[0] * dy - turn[1] * dx) / scale;
            const double out = fmax(fabs(along), fabs(across)) - 32 * scale;
            const uint8_t *px = drawn.pixels + row * drawn.stride + column * 3;
            const bool red = px[0] == 202 && px[1] == 0 && px[2] == 32;
            if (fabs(out) > 1e-3)
                ck_assert_int_eq(red, out < 0);
            inside += red;
        }
    ck_assert_int_gt(inside, 500);
    ef_image_free(&drawn);
    ef_heatmap_free(&map);
    ef_classifier_free(c);
    ef_model_free(m);
}
END_TEST

START_TEST(no_face_is_its_own_outcome)
{
    static uint8_t small[10 * 10 * 3];
    const ef_image empty = {small, 10, 10, 30, EF_RGB8, NULL};
    const ef_face how = {.mode = EF_FACE_DETECT};
    ef_classifier *c = with_detector();
    ef_result r = api_result(), before;
    memset((char *)&r + sizeof r.struct_size, 0x5a, sizeof r - sizeof r.struct_size);
    before = r;
    REFUSES(EF_E_NO_FACE, ef_classify_face(c, &empty, &how, &r, e));
    ck_assert_mem_eq(&r, &before, sizeof r);
    r.struct_size = 1;
    REFUSES(EF_E_ARG, ef_classify_face(c, &img, &how, &r, e));
    ck_assert_uint_gt(ef_classifier_memory(c), 2000000);
    ef_classifier_free(c);
    c = api_classifier(classifier, NULL);
    r = api_result();
    REFUSES(EF_E_UNSUPPORTED, ef_classify_face(c, &img, &how, &r, e));
    ef_classifier_free(c);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("api_detect");
    TCase *t = tcase_create("api_detect");
    tcase_set_timeout(t, 300);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, options_that_cannot_be);
    tcase_add_test(t, arguments_that_cannot_be);
    tcase_add_test(t, a_detector_is_no_classifier);
    tcase_add_test(t, default_detector);
    tcase_add_test(t, classifies_the_largest_face);
    tcase_add_test(t, landmarks_align_for_a_model_with_a_template);
    tcase_add_test(t, the_heat_map_of_an_aligned_face_is_turned);
    tcase_add_test(t, no_face_is_its_own_outcome);
    suite_add_tcase(s, t);
    return run_suite(s);
}
