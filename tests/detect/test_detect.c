/* test_detect.c - the face detector against the faces that a numpy implementation of the
 * cascade found (data/faces.txt), its promises about memory, threads and pictures, and
 * its parts: suppression against the definition, areas against sums. */
#include "kernels/cpu.h"
#include "lib/detect/area.h"
#include "lib/detect/detect.h"
#include "tests/detect/random_mtcnn.h"
#include "tests/support/support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FACES TEST_SOURCE_ROOT "/tests/detect/data/faces.txt"
#define MOST 256

static ef_model *model;
static uint8_t picture[RANDOM_ROWS * RANDOM_COLUMNS * 3];
static ef_image img;

static void setup(void)
{
    size_t size;
    ef_error err = {0};
    uint8_t *bytes = random_mtcnn(&size);
    /* Python wrote the hash in the header over weights that it made itself. */
    assert_status(ef_model_load_memory(bytes, size, NULL, &model, &err), EF_OK, &err);
    free(bytes);
    random_picture(picture);
    img = (ef_image){picture, RANDOM_COLUMNS, RANDOM_ROWS, RANDOM_COLUMNS * 3, EF_RGB8,
                     NULL};
}

static void teardown(void)
{
    ef_model_free(model);
}

static ef_detector *detector(const ef_detector_options *what, const ef_options *opt)
{
    ef_detector *d = NULL;
    ef_error err = {0};
    assert_status(ef_detector_create(model, what, opt, &d, &err), EF_OK, &err);
    return d;
}

static size_t detect(ef_detector *d, const ef_image *from, ef_detection *faces)
{
    ef_error err = {0};
    size_t n = 12345;
    assert_status(ef_detect_faces(d, from, faces, MOST, &n, &err), EF_OK, &err);
    ck_assert_uint_le(n, MOST);
    return n;
}

/* ---- against numpy ---- */

static void check_face(const ef_detection *f, const double *want)
{
    const float got[15] = {f->box.x,          f->box.y,          f->box.w,
                           f->box.h,          f->score,          f->landmarks[0].x,
                           f->landmarks[0].y, f->landmarks[1].x, f->landmarks[1].y,
                           f->landmarks[2].x, f->landmarks[2].y, f->landmarks[3].x,
                           f->landmarks[3].y, f->landmarks[4].x, f->landmarks[4].y};
    for (int i = 0; i < 15; i++)
        ck_assert_msg(fabs((double)got[i] - want[i]) <= (i == 4 ? 1e-5 : 2e-3),
                      "number %d: got %.7g, expected %.7g", i, (double)got[i], want[i]);
}

START_TEST(finds_what_numpy_finds)
{
    FILE *file = fopen(FACES, "r");
    ck_assert_ptr_nonnull(file);
    char name[32];
    ef_detector_options o;
    ef_detection faces[MOST];
    int expected, cases = 0, all = 0;
    ef_detector_options_init(&o, sizeof o);
    while (fscanf(file, "%31s %lf %lf %lf %lf %lf %d", name, &o.min_face, &o.factor,
                  &o.thresholds[0], &o.thresholds[1], &o.thresholds[2], &expected) == 7) {
        ef_detector *d = detector(&o, NULL);
        ck_assert_msg((int)detect(d, &img, faces) == expected, "%s", name);
        for (int i = 0; i < expected; i++) {
            double want[15];
            for (int j = 0; j < 15; j++)
                ck_assert_int_eq(fscanf(file, "%lf", &want[j]), 1);
            check_face(&faces[i], want);
        }
        ef_detector_free(d);
        cases++;
        all += expected;
    }
    fclose(file);
    ck_assert_int_ge(cases, 6);
    ck_assert_int_ge(all, 10);
}
END_TEST

START_TEST(defaults_are_the_models)
{
    ef_detection own[MOST], given[MOST];
    ef_detector_options o;
    ef_detector_options_init(&o, sizeof o);
    o.min_face = 20;
    o.factor = 0.709;
    o.thresholds[0] = 0.6, o.thresholds[1] = 0.12, o.thresholds[2] = 0.47;
    ef_detector *a = detector(NULL, NULL), *b = detector(&o, NULL);
    const size_t n = detect(a, &img, own);
    ck_assert_uint_gt(n, 2);
    ck_assert_uint_eq(detect(b, &img, given), n);
    ck_assert_mem_eq(own, given, n * sizeof *own);
    for (size_t i = 1; i < n; i++)
        ck_assert(own[i].box.w * own[i].box.h <= own[i - 1].box.w * own[i - 1].box.h);
    ef_detector_free(a);
    ef_detector_free(b);
}
END_TEST

START_TEST(the_model_verifies)
{
    ef_error err = {0};
    double found = -1, allowed = -1;
    assert_status(ef_model_verify(model, NULL, &found, &allowed, &err), EF_OK, &err);
    ck_assert(found >= 0 && found < allowed && allowed < 1e-3);
    /* A weight that the file does not have. */
    float *w = (float *)(uintptr_t)dfn_detector_weight(model, DFN_R_CONV2, DFN_WEIGHT);
    w[100] += 0.5f;
    assert_status(ef_model_verify(model, NULL, NULL, NULL, &err), EF_E_NUMERIC, &err);
    w[100] -= 0.5f;
}
END_TEST

/* ---- promises ---- */

START_TEST(same_bits_for_any_number_of_threads)
{
    ef_detection one[MOST], many[MOST];
    ef_detector *d = detector(NULL, NULL);
    const size_t n = detect(d, &img, one);
    ef_detector_free(d);
    for (int threads = 2; threads <= 9; threads++) {
        ef_options opt;
        ef_options_init(&opt, sizeof opt);
        opt.threads = threads;
        d = detector(NULL, &opt);
        for (int again = 0; again < 2; again++) {
            ck_assert_uint_eq(detect(d, &img, many), n);
            ck_assert_mem_eq(one, many, n * sizeof *one);
        }
        ef_detector_free(d);
    }
}
END_TEST

START_TEST(allocates_for_the_largest_picture_only)
{
    struct test_mem mem;
    ef_options opt;
    ef_detector_options o;
    ef_detection faces[MOST];
    test_mem_init(&mem);
    test_options(&opt, &mem);
    opt.threads = 2;
    ef_detector_options_init(&o, sizeof o);
    for (int half = 0; half < 2; half++) {
        o.scale = half ? 0.75 : 1;
        ef_detector *d = detector(&o, &opt);
        const size_t before = ef_detector_memory(d);
        detect(d, &img, faces);
        const long calls = mem.calls;
        ck_assert_uint_gt(ef_detector_memory(d), before);
        ck_assert_uint_eq(ef_detector_memory(d), mem.bytes);
        for (int w = 1; w <= RANDOM_COLUMNS; w += 9)
            for (int h = 1; h <= RANDOM_ROWS; h += 9) {
                ef_image part = img;
                part.width = w;
                part.height = h;
                detect(d, &part, faces);
            }
        detect(d, &img, faces);
        ck_assert_int_eq(mem.calls, calls);
        ef_detector_free(d);
    }
    ck_assert_int_eq(mem.live, 0);
}
END_TEST

START_TEST(every_allocation_may_fail)
{
    for (long fail = 1;; fail++) {
        struct test_mem mem;
        ef_options opt;
        ef_error err = {0};
        ef_detector_options o;
        ef_detector *d = NULL;
        ef_detection faces[MOST];
        size_t n = 77;
        test_mem_init(&mem);
        test_options(&opt, &mem);
        ef_detector_options_init(&o, sizeof o);
        o.scale = 0.75;
        mem.fail_at = fail;
        ef_status st = ef_detector_create(model, &o, &opt, &d, &err);
        if (!st)
            st = ef_detect_faces(d, &img, faces, MOST, &n, &err);
        if (mem.failed) {
            assert_status(st, EF_E_NOMEM, &err);
            ck_assert_uint_eq(n, 77);
            if (d) /* what failed once works the next time */
                assert_status(ef_detect_faces(d, &img, faces, MOST, &n, &err), EF_OK,
                              &err);
        }
        ef_detector_free(d);
        ck_assert_int_eq(mem.live, 0);
        if (!mem.failed)
            break;
        ck_assert_int_lt(fail, 100);
    }
}
END_TEST

START_TEST(pictures_of_other_formats_are_the_same_picture)
{
    static uint8_t other[RANDOM_ROWS * (RANDOM_COLUMNS + 5) * 4];
    ef_detection want[MOST], faces[MOST];
    ef_detector *d = detector(NULL, NULL);
    const size_t n = detect(d, &img, want), stride = (RANDOM_COLUMNS + 5) * 4;
    static const ef_format formats[] = {EF_BGR8, EF_RGBA8};
    for (int i = 0; i < 2; i++) {
        for (int y = 0; y < RANDOM_ROWS; y++)
            for (int x = 0; x < RANDOM_COLUMNS; x++)
                for (int c = 0; c < 3; c++)
                    other[(size_t)y * stride +
                          (size_t)(x * (i ? 4 : 3) + (i ? c : 2 - c))] =
                        picture[(y * RANDOM_COLUMNS + x) * 3 + c];
        const ef_image alike = {
            other, RANDOM_COLUMNS, RANDOM_ROWS, (ptrdiff_t)stride, formats[i], NULL};
        ck_assert_uint_eq(detect(d, &alike, faces), n);
        ck_assert_mem_eq(want, faces, n * sizeof *want);
    }
    /* Upside down twice. */
    for (int y = 0; y < RANDOM_ROWS; y++)
        memcpy(other + (size_t)y * RANDOM_COLUMNS * 3,
               picture + (size_t)(RANDOM_ROWS - 1 - y) * RANDOM_COLUMNS * 3,
               RANDOM_COLUMNS * 3);
    const ef_image flipped = {other + (RANDOM_ROWS - 1) * RANDOM_COLUMNS * 3,
                              RANDOM_COLUMNS,
                              RANDOM_ROWS,
                              -RANDOM_COLUMNS * 3,
                              EF_RGB8,
                              NULL};
    ck_assert_uint_eq(detect(d, &flipped, faces), n);
    ck_assert_mem_eq(want, faces, n * sizeof *want);
    ef_detector_free(d);
}
END_TEST

START_TEST(scale_works_on_a_smaller_picture)
{
    uint8_t *small = malloc((RANDOM_ROWS / 2) * (RANDOM_COLUMNS / 2) * 3);
    struct dfn_scratch scratch = {0};
    const struct dfn_rect whole = {0, 0, RANDOM_COLUMNS, RANDOM_ROWS};
    ef_detection want[MOST], faces[MOST];
    ef_error err = {0};
    ef_detector_options o;
    ef_detector_options_init(&o, sizeof o);
    o.min_face = 14;
    ef_detector *full = detector(&o, NULL);
    o.scale = 0.5;
    ef_detector *half = detector(&o, NULL);
    assert_status(dfn_resize(&img, &whole, DFN_RESAMPLE_PILLOW_BICUBIC, NULL, small,
                             RANDOM_COLUMNS / 2, RANDOM_ROWS / 2, RANDOM_COLUMNS / 2 * 3,
                             &scratch, NULL, &err),
                  EF_OK, &err);
    const ef_image reduced = {small,           RANDOM_COLUMNS / 2,
                              RANDOM_ROWS / 2, RANDOM_COLUMNS / 2 * 3,
                              EF_RGB8,         NULL};
    const size_t n = detect(full, &reduced, want);
    ck_assert_uint_gt(n, 0);
    ck_assert_uint_eq(detect(half, &img, faces), n);
    for (size_t i = 0; i < n; i++) {
        ck_assert_float_eq(faces[i].box.x, want[i].box.x * 2);
        ck_assert_float_eq(faces[i].box.h, want[i].box.h * 2);
        ck_assert_float_eq(faces[i].landmarks[4].y, want[i].landmarks[4].y * 2);
        ck_assert_float_eq(faces[i].score, want[i].score);
    }
    dfn_scratch_free(&scratch, NULL);
    free(small);
    ef_detector_free(full);
    ef_detector_free(half);
}
END_TEST

START_TEST(few_places_and_max_faces)
{
    ef_detection all[MOST], few[2];
    ef_error err = {0};
    size_t n = 0;
    ef_detector_options o;
    ef_detector *d = detector(NULL, NULL);
    const size_t found = detect(d, &img, all);
    memset(few, 0x5a, sizeof few);
    assert_status(ef_detect_faces(d, &img, few, 1, &n, &err), EF_OK, &err);
    ck_assert_uint_eq(n, found);
    ck_assert_mem_eq(&few[0], &all[0], sizeof few[0]);
    ck_assert_int_eq(*(unsigned char *)&few[1], 0x5a);
    assert_status(ef_detect_faces(d, &img, NULL, 0, &n, &err), EF_OK, &err);
    ck_assert_uint_eq(n, found);
    ef_detector_free(d);
    ef_detector_options_init(&o, sizeof o);
    o.max_faces = 2;
    d = detector(&o, NULL);
    ck_assert_uint_eq(detect(d, &img, all), 2);
    ef_detector_free(d);
}
END_TEST

static int cancel_after(void *user)
{
    int *left = user;
    return --*left < 0;
}

START_TEST(can_be_cancelled_between_stages)
{
    ef_options opt;
    ef_error err = {0};
    ef_detection faces[MOST];
    int left = 1000;
    ef_options_init(&opt, sizeof opt);
    opt.cancel = cancel_after;
    opt.cancel_user = &left;
    ef_detector *d = detector(NULL, &opt);
    const size_t found = detect(d, &img, faces);
    const int asked = 1000 - left;
    ck_assert_int_ge(asked, 3);
    for (int i = 0; i < asked; i++) {
        size_t n = 77;
        left = i;
        assert_status(ef_detect_faces(d, &img, faces, MOST, &n, &err), EF_E_CANCELLED,
                      &err);
        ck_assert_uint_eq(n, 77);
    }
    left = 1000;
    ck_assert_uint_eq(detect(d, &img, faces), found);
    ef_detector_free(d);
}
END_TEST

/* ---- parts ---- */

/* The definition: a candidate stays if no better one that stays overlaps it too much. */
static bool overlaps(const struct dfn_candidate *a, const struct dfn_candidate *b,
                     bool min, float limit)
{
    const float one = min ? 1 : 0;
    const float w = fminf(a->x2, b->x2) - fmaxf(a->x1, b->x1) + one;
    const float h = fminf(a->y2, b->y2) - fmaxf(a->y1, b->y1) + one;
    const float p = (a->x2 - a->x1 + one) * (a->y2 - a->y1 + one);
    const float q = (b->x2 - b->x1 + one) * (b->y2 - b->y1 + one);
    const float both = fmaxf(w, 0) * fmaxf(h, 0);
    return both / (min ? fminf(p, q) : p + q - both) > limit;
}

START_TEST(suppression_by_its_definition)
{
    uint64_t s = (uint64_t)_i;
    struct dfn_candidate c[200];
    uint32_t got[200], want[200];
    const bool min = _i % 2;
    const int n = test_random_int(&s, 0, 200);
    size_t kept = 0;
    bool done[200] = {0};
    for (int i = 0; i < n; i++) {
        /* Whole numbers and few scores: ties of both kinds occur. */
        const float x = (float)test_random_int(&s, 0, 60);
        const float y = (float)test_random_int(&s, 0, 60);
        c[i] = (struct dfn_candidate){.x1 = x,
                                      .y1 = y,
                                      .x2 = x + (float)test_random_int(&s, 1, 30),
                                      .y2 = y + (float)test_random_int(&s, 1, 30),
                                      .score = (float)test_random_int(&s, 0, 50) / 50};
    }
    for (int left = n; left; left--) {
        int best = -1;
        for (int i = 0; i < n; i++)
            if (!done[i] && (best < 0 || c[i].score > c[best].score ||
                             (min && c[i].score >= c[best].score)))
                best = i;
        done[best] = true;
        bool stays = true;
        for (size_t k = 0; k < kept; k++)
            stays = stays && !overlaps(&c[want[k]], &c[best], min, 0.3f);
        if (stays)
            want[kept++] = (uint32_t)best;
    }
    void *scratch = aligned_alloc(DFN_ALIGN, dfn_nms_scratch(200));
    const enum dfn_overlap overlap = min ? DFN_OVERLAP_MIN : DFN_OVERLAP_UNION;
    ck_assert_uint_eq(dfn_nms(c, (size_t)n, overlap, 0.3f, got, scratch), kept);
    ck_assert_mem_eq(got, want, kept * sizeof *got);
    free(scratch);
}
END_TEST

START_TEST(areas_are_means)
{
    uint64_t s = (uint64_t)_i;
    const int w = test_random_int(&s, 1, RANDOM_COLUMNS);
    const int h = test_random_int(&s, 1, RANDOM_ROWS);
    const int x0 = test_random_int(&s, 0, RANDOM_COLUMNS - w);
    const int y0 = test_random_int(&s, 0, RANDOM_ROWS - h);
    const int ow = test_random_int(&s, 1, 130), oh = test_random_int(&s, 1, 130);
    int columns[2 * 130];
    uint32_t sums[RANDOM_COLUMNS * 3 + 1];
    uint8_t row[RANDOM_COLUMNS * 3];
    float out[130 * 3];
    struct dfn_kernels kernels;
    dfn_kernels_init(&kernels, _i % 2 ? dfn_cpu_detect() : 0);
    const struct dfn_area a = {&img,    {x0, y0, w, h}, oh,  ow,
                               columns, sums,           row, &kernels};
    dfn_area_columns(w, ow, columns);
    for (int y = 0; y < oh; y++) {
        dfn_area_row(&a, y, out);
        const int top = y * h / oh, bottom = ((y + 1) * h + oh - 1) / oh;
        for (int x = 0; x < ow * 3; x++) {
            const int left = x / 3 * w / ow, right = ((x / 3 + 1) * w + ow - 1) / ow;
            double sum = 0;
            for (int i = top; i < bottom; i++)
                for (int j = left; j < right; j++)
                    sum += picture[((y0 + i) * RANDOM_COLUMNS + x0 + j) * 3 + x % 3];
            const double mean = sum / ((bottom - top) * (right - left));
            ck_assert(fabs((double)out[x] - (mean - 127.5) / 128) < 1e-6);
        }
    }
}
END_TEST

START_TEST(weights_out_of_range_find_nothing_and_break_nothing)
{
    ef_detection faces[MOST];
    static const float values[] = {3e38f, -3e38f, 1e20f};
    float *w = (float *)(uintptr_t)dfn_detector_weight(model, DFN_P_BOX, DFN_BIAS);
    float *face = (float *)(uintptr_t)dfn_detector_weight(model, DFN_P_FACE, DFN_BIAS);
    const float old = w[0], calm = face[1];
    for (int i = 0; i < 3; i++) {
        w[0] = w[2] = values[i];
        ef_detector *d = detector(NULL, NULL);
        ck_assert_uint_eq(detect(d, &img, faces), 0);
        ef_detector_free(d);
        face[1] = values[i];
        d = detector(NULL, NULL);
        detect(d, &img, faces);
        ef_detector_free(d);
        face[1] = calm;
    }
    w[0] = w[2] = old;
}
END_TEST

int main(void)
{
    Suite *s = suite_create("detect");
    TCase *t = tcase_create("detect");
    tcase_set_timeout(t, 300);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, finds_what_numpy_finds);
    tcase_add_test(t, defaults_are_the_models);
    tcase_add_test(t, the_model_verifies);
    tcase_add_test(t, same_bits_for_any_number_of_threads);
    tcase_add_test(t, allocates_for_the_largest_picture_only);
    tcase_add_test(t, every_allocation_may_fail);
    tcase_add_test(t, pictures_of_other_formats_are_the_same_picture);
    tcase_add_test(t, scale_works_on_a_smaller_picture);
    tcase_add_test(t, few_places_and_max_faces);
    tcase_add_test(t, can_be_cancelled_between_stages);
    tcase_add_loop_test(t, suppression_by_its_definition, 0, 100);
    tcase_add_loop_test(t, areas_are_means, 0, 40);
    tcase_add_test(t, weights_out_of_range_find_nothing_and_break_nothing);
    suite_add_tcase(s, t);
    return run_suite(s);
}
