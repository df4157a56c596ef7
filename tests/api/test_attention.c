/* test_attention.c - networks that look twice, and networks of sequences: what the second
 * look sees and how both become one, against the rules of FORMAT.md written out here;
 * that classifiers do the same; maps that show it. make_models.py wrote the models. */
#include "lib/api/session.h"
#include "lib/face/heatmap.h"
#include "lib/face/look.h"
#include "tests/api/api.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define H 40
#define W 36
#define INPUT ((size_t)3 * H * W)
#define COUNT(array) (sizeof(array) / sizeof *(array))

static const char *const lookers[] = {"looks_logits", "looks_softmax", "looks_sigmoid"};

static ef_session *open_session(const ef_model *m, int batch)
{
    ef_options opt = api_native();
    ef_session *s = NULL;
    ef_error err;
    opt.batch = batch;
    assert_status(ef_session_create(m, &opt, &s, &err), EF_OK, &err);
    return s;
}

/* in [3][H][W] at (y, x), between pixels. */
static double pixel(const float *in, int c, double y, double x)
{
    const int y0 = (int)fmin(y, H - 2), x0 = (int)fmin(x, W - 2);
    const double fy = y - y0, fx = x - x0;
    const float *p = in + ((size_t)c * H + (size_t)y0) * W + x0;
    return (1 - fy) * ((1 - fx) * p[0] + fx * p[1]) +
           fy * ((1 - fx) * p[W] + fx * p[W + 1]);
}

/* The part of in that the second look saw, as large as in. */
static void enlarge(const float *in, const ef_box *part, float *out)
{
    for (int c = 0; c < 3; c++)
        for (int y = 0; y < H; y++)
            for (int x = 0; x < W; x++)
                *out++ = (float)pixel(
                    in, c, (double)part->y + y * ((double)part->h - 1) / (H - 1),
                    (double)part->x + x * ((double)part->w - 1) / (W - 1));
}

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

/* What both looks make, as log-odds of output `fake`. */
static double both_odds(int how, const float *a, const float *b, int outputs, int fake)
{
    if (outputs == 1 && how) {
        const double p = (sigmoid((double)a[0]) + sigmoid((double)b[0])) / 2;
        return log(p / (1 - p));
    }
    const double first = (double)a[fake] - (outputs == 2 ? (double)a[1 - fake] : 0);
    const double second = (double)b[fake] - (outputs == 2 ? (double)b[1 - fake] : 0);
    if (!how)
        return (first + second) / 2;
    const double p = (sigmoid(first) + sigmoid(second)) / 2;
    return log(p / (1 - p));
}

START_TEST(the_second_look_is_the_part_enlarged)
{
    ef_error err;
    ef_model *m = api_model(lookers[_i], NULL);
    ef_session *s = open_session(m, 3), *one = open_session(m, 1);
    ef_model_info info;
    float in[3 * INPUT], crop[INPUT], raw[2], second[2], logits[3][3][2] = {{{0}}};
    float alone[3][2];
    ef_box parts[3], part;
    ef_model_info_init(&info, sizeof info);
    assert_status(ef_model_get_info(m, &info, &err), EF_OK, &err);
    ck_assert(info.maps == 3 && info.looks == 2 && info.frames == 1);
    const int n = info.outputs;
    api_fill(11, in, 3 * INPUT);
    for (size_t i = 0; i < INPUT; i++) /* something to attend to, below on the right */
        in[INPUT + i] *= i % W > W / 2 && i / W % H > H / 2 ? 4.0f : 0.1f;
    float *flat = malloc(sizeof logits);
    assert_status(ef_session_look(s, in, 3, flat, parts, &err), EF_OK, &err);
    for (int i = 0; i < 3; i++) {
        const float *z = flat + (size_t)i * 3 * (size_t)n;
        const float *own = in + (size_t)i * INPUT;
        const ef_box *p = &parts[i];
        ck_assert(p->x >= 0 && p->y >= 0 && p->w >= 2 && p->h >= 2);
        ck_assert(p->x + p->w <= W && p->y + p->h <= H);
        ck_assert(p->w < W || p->h < H); /* or the case would show nothing */
        assert_status(ef_session_run(one, own, 1, raw, &err), EF_OK, &err);
        ck_assert_mem_eq(raw, z, (size_t)n * sizeof *raw);
        enlarge(own, p, crop);
        assert_status(ef_session_run(one, crop, 1, second, &err), EF_OK, &err);
        for (int k = 0; k < n; k++)
            ck_assert_float_eq_tol(second[k], z[n + k], 2e-4f);
        const double odds = both_odds(_i > 0, z, z + n, n, info.fake);
        const double got = (double)z[2 * n + info.fake] -
                           (n == 2 ? (double)z[2 * n + 1 - info.fake] : 0);
        ck_assert_double_eq_tol(got, odds, 1e-5 * (1 + fabs(odds)));
        /* The same bits alone as in a batch. */
        assert_status(ef_session_look(one, own, 1, alone[0], &part, &err), EF_OK, &err);
        ck_assert_mem_eq(alone, z, 3 * (size_t)n * sizeof *z);
        ck_assert(!memcmp(&part, p, sizeof part));
    }
    ck_assert(memcmp(&parts[0], &parts[1], sizeof *parts) != 0);
    free(flat);
    ef_session_free(s);
    ef_session_free(one);
    ef_model_free(m);
}
END_TEST

/* Bilinear with the corners' centres on the corners: value of mean [h][w] at (y, x). */
static double map_at(const double *mean, int h, int w, int y, int x)
{
    const double sy = (double)y * (h - 1) / (H - 1), sx = (double)x * (w - 1) / (W - 1);
    const int y0 = (int)fmin(sy, fmax(h - 2, 0)), x0 = (int)fmin(sx, fmax(w - 2, 0));
    const int y1 = y0 + 1 < h ? y0 + 1 : y0, x1 = x0 + 1 < w ? x0 + 1 : x0;
    const double fy = sy - y0, fx = sx - x0;
    return (1 - fy) * ((1 - fx) * mean[y0 * w + x0] + fx * mean[y0 * w + x1]) +
           fy * ((1 - fx) * mean[y1 * w + x0] + fx * mean[y1 * w + x1]);
}

/* The box by looking at every place, as FORMAT.md says it. */
static struct dfn_rect slow_box(const struct dfn_meta *meta, const float *maps, int h,
                                int w, int n)
{
    double mean[64], most = 0;
    int y0 = H, y1 = -1, x0 = W, x1 = -1;
    for (int i = 0; i < h * w; i++) {
        mean[i] = 0;
        for (int k = 0; k < n; k++)
            mean[i] += (double)maps[i * n + k] / n;
        most = fmax(most, mean[i]);
    }
    for (int y = 0; y < H; y++)
        for (int x = 0; x < W; x++)
            if (map_at(mean, h, w, y, x) >= meta->look_from * most) {
                y0 = y < y0 ? y : y0, y1 = y > y1 ? y : y1;
                x0 = x < x0 ? x : x0, x1 = x > x1 ? x : x1;
            }
    const int top = (int)fmax(y0 - meta->look_margin * H, 0);
    const int left = (int)fmax(x0 - meta->look_margin * W, 0);
    const int bottom = (int)fmin(y1 + meta->look_margin * H, H);
    const int right = (int)fmin(x1 + meta->look_margin * W, W);
    return (struct dfn_rect){left, top, right - left, bottom - top};
}

START_TEST(the_part_is_what_the_maps_attend_to)
{
    uint64_t state = 5;
    int narrow = 0;
    for (int round = 0; round < 2000; round++) {
        struct dfn_meta meta = {.look_from = test_random_int(&state, 0, 9) / 10.0,
                                .look_margin = test_random_int(&state, 0, 4) / 20.0};
        const int h = test_random_int(&state, 1, 7), w = test_random_int(&state, 1, 7);
        const int n = test_random_int(&state, 1, 4);
        float maps[7 * 7 * 4];
        double work[7 * 7 + 7];
        struct dfn_rect got = {0};
        for (int i = 0; i < h * w * n; i++) { /* mostly nothing, as after a ReLU */
            const float v = test_random_float(&state);
            maps[i] = v > 0.5f ? v : 0;
        }
        maps[test_random_int(&state, 0, h * w * n - 1)] = 3;
        dfn_look_box(&meta, maps, h, w, n, H, W, work, &got);
        const struct dfn_rect want = slow_box(&meta, maps, h, w, n);
        ck_assert(got.w >= 2 && got.h >= 2 && got.x >= 0 && got.y >= 0);
        ck_assert(got.x + got.w <= W && got.y + got.h <= H);
        narrow += want.w < 2 || want.h < 2;
        if (want.w >= 2)
            ck_assert_msg(got.x == want.x && got.w == want.w, "round %d: columns", round);
        if (want.h >= 2)
            ck_assert_msg(got.y == want.y && got.h == want.h, "round %d: rows", round);
    }
    ck_assert_int_lt(narrow, 200);
}
END_TEST

START_TEST(without_attention_the_part_is_everything)
{
    const struct dfn_meta meta = {.look_from = 0.1, .look_margin = 0.05};
    const float none[12] = {0};
    double work[16];
    struct dfn_rect got = {9, 9, 9, 9};
    dfn_look_box(&meta, none, 3, 2, 2, H, W, work, &got);
    ck_assert(got.x == 0 && got.y == 0 && got.w == W && got.h == H);
    /* A single place at the very end still gives two rows and columns. */
    const struct dfn_meta sharp = {.look_from = 1, .look_margin = 0};
    const float corner[4] = {0, 0, 0, 1};
    dfn_look_box(&sharp, corner, 2, 2, 1, H, W, work, &got);
    ck_assert(got.x == W - 2 && got.y == H - 2 && got.w == 2 && got.h == 2);
}
END_TEST

START_TEST(averages_far_from_zero_are_finite)
{
    const struct dfn_meta soft = {.look = DFN_LOOK_PROBABILITIES, .softmax = true};
    const struct dfn_meta single = {.look = DFN_LOOK_PROBABILITIES};
    const float sure[2] = {-500, 500}, not [2] = {500, -500};
    float out[2];
    dfn_look_combine(&soft, sure, not, 2, out);
    ck_assert_float_eq_tol(out[0], logf(0.5f), 1e-6f);
    ck_assert_float_eq_tol(out[1], logf(0.5f), 1e-6f);
    dfn_look_combine(&single, sure, not, 1, out);
    ck_assert_float_eq_tol(out[0], 0, 1e-6f);
    dfn_look_combine(&single, sure, sure, 1, out);
    ck_assert_float_eq_tol(out[0], -500, 1e-3f);
}
END_TEST

/* A classifier's score is that of both looks, mirror images included. */
START_TEST(classifiers_look_twice)
{
    ef_error err;
    ef_image img;
    ef_model *m = api_model(lookers[_i], NULL);
    const ef_options opt = api_native();
    ef_classifier *c = api_classifier(m, &opt);
    ef_session *s = open_session(m, 2);
    ef_model_info info;
    float in[2 * INPUT], z[2 * 3 * 2];
    ef_model_info_init(&info, sizeof info);
    assert_status(ef_model_get_info(m, &info, &err), EF_OK, &err);
    ck_assert(api_picture("scene.ppm", &img));
    assert_status(ef_model_preprocess(m, NULL, &img, NULL, in, &err), EF_OK, &err);
    const int views = _i == 0 ? 2 : 1, n = info.outputs;
    for (size_t i = 0; i < INPUT; i++)
        in[INPUT + i / W * W + (W - 1 - i % W)] = in[i];
    assert_status(ef_session_look(s, in, views, z, NULL, &err), EF_OK, &err);
    double odds = 0;
    for (int v = 0; v < views; v++) {
        const float *both = z + (v * 3 + 2) * n;
        odds += ((double)both[info.fake] - (n == 2 ? (double)both[1 - info.fake] : 0)) /
                views;
    }
    const ef_result r = api_score(c, &img, NULL);
    ck_assert_double_eq_tol((double)r.logit, odds, 1e-6 * (1 + fabs(odds)));
    ef_image_free(&img);
    ef_session_free(s);
    ef_classifier_free(c);
    ef_model_free(m);
}
END_TEST

static double mean(const ef_heatmap *m)
{
    double sum = 0;
    for (int i = 0; i < m->height * m->width; i++)
        sum += (double)m->values[i];
    return sum / (m->height * m->width);
}

/* Log-odds of the first look, the mean of a picture's views. */
static double first_odds(const ef_model *m, const ef_image *img, int views)
{
    ef_error err;
    ef_session *s = open_session(m, 2);
    ef_model_info info;
    float in[2 * INPUT], z[4];
    double odds = 0;
    ef_model_info_init(&info, sizeof info);
    assert_status(ef_model_get_info(m, &info, &err), EF_OK, &err);
    assert_status(ef_model_preprocess(m, NULL, img, NULL, in, &err), EF_OK, &err);
    for (size_t i = 0; i < INPUT; i++)
        in[INPUT + i / W * W + (W - 1 - i % W)] = in[i];
    assert_status(ef_session_run(s, in, views, z, &err), EF_OK, &err);
    for (int v = 0; v < views; v++)
        odds += ((double)z[v * info.outputs + info.fake] -
                 (info.outputs == 2 ? (double)z[v * 2 + 1 - info.fake] : 0)) /
                views;
    ef_session_free(s);
    return odds;
}

/* Spread over what the maps attend to, the shares add up to the first look's log-odds. */
START_TEST(heat_maps_come_from_attention)
{
    ef_error err;
    ef_image img;
    ef_model *m = api_model(lookers[_i], NULL);
    const ef_options opt = api_native();
    ef_classifier *c = api_classifier(m, &opt);
    ef_heatmap map;
    ef_result r = api_result();
    ck_assert(api_picture("scene.ppm", &img));
    assert_status(ef_classify_heatmap(c, &img, NULL, 0, &r, &map, &err), EF_OK, &err);
    const double odds = first_odds(m, &img, _i == 0 ? 2 : 1);
    ck_assert_double_eq_tol(mean(&map) + (double)map.bias, odds, 1e-4 * (1 + fabs(odds)));
    float least = map.values[0], most = least;
    for (int i = 0; i < map.height * map.width; i++) {
        least = fminf(least, map.values[i]);
        most = fmaxf(most, map.values[i]);
    }
    ck_assert(most > least);
    const ef_result plain = api_score(c, &img, NULL);
    ck_assert_float_eq(plain.logit, r.logit);
    ef_heatmap_free(&map);
    ef_image_free(&img);
    ef_classifier_free(c);
    ef_model_free(m);
}
END_TEST

START_TEST(each_map_puts_its_share_where_it_attends)
{
    /* Two places, two maps, one channel. The second map attends to nothing. */
    const float maps[4] = {3, 0, 1, 0}, parts[2] = {2, 7};
    const double weights[2] = {0.5, 1};
    float values[2] = {0, 0};
    dfn_heatmap_add_maps(maps, 1, 2, 2, parts, 1, weights, 1, false, values);
    ck_assert_float_eq(values[0], 1.5f); /* mean 1 = 2 * 0.5 */
    ck_assert_float_eq(values[1], 0.5f);
    dfn_heatmap_add_maps(maps, 1, 2, 2, parts, 1, weights, 1, true, values);
    ck_assert(values[0] == 2 && values[1] == 2);
}
END_TEST

/* ---- sequences ---- */

START_TEST(a_sequence_is_scored_together)
{
    ef_error err;
    ef_image img;
    const ef_image *frames[6];
    ef_detection faces[6], turned[3];
    const ef_box boxes[6] = {{10, 10, 40, 40}, {12, 10, 40, 40}, {14, 11, 40, 40},
                             {20, 12, 38, 38}, {21, 12, 38, 38}, {23, 12, 38, 38}};
    ef_model *m = api_model("sequence", NULL);
    const ef_options opt = api_native();
    ef_classifier *c = api_classifier(m, &opt);
    ef_session *s = open_session(m, 4);
    int batch;
    float in[12 * INPUT], z[12];
    ef_result r[6], again[3];
    assert_status(ef_session_shape(s, NULL, NULL, &batch, NULL, &err), EF_OK, &err);
    ck_assert_int_eq(batch, 6); /* rounded up to whole sequences */
    ck_assert(api_picture("scene.ppm", &img));
    for (int i = 0; i < 6; i++) {
        frames[i] = &img;
        faces[i] = (ef_detection){.box = boxes[i], .score = 0.5f};
        r[i] = api_result();
        float *at = in + (size_t)(i / 3 * 6 + i % 3) * INPUT;
        assert_status(ef_model_preprocess(m, NULL, &img, &boxes[i], at, &err), EF_OK,
                      &err);
        for (size_t k = 0; k < INPUT; k++)
            at[3 * INPUT + k / W * W + (W - 1 - k % W)] = at[k];
    }
    for (int i = 0; i < 2; i++)
        assert_status(ef_session_run(s, in + (size_t)i * 6 * INPUT, 6, z + i * 6, &err),
                      EF_OK, &err);
    assert_status(ef_classify_sequence(c, frames, faces, 6, r, &err), EF_OK, &err);
    for (int i = 0; i < 6; i++) {
        const double want =
            ((double)z[i / 3 * 6 + i % 3] + (double)z[i / 3 * 6 + i % 3 + 3]) / 2;
        ck_assert_double_eq_tol((double)r[i].logit, want, 1e-6 * (1 + fabs(want)));
        ck_assert(!memcmp(&r[i].box, &boxes[i], sizeof boxes[i]));
        ck_assert_float_eq(r[i].face_score, 0.5f);
    }
    /* A frame's score depends on its neighbours: in another order it is another one. */
    for (int i = 0; i < 3; i++) {
        again[i] = api_result();
        turned[i] = faces[(i + 2) % 3];
    }
    assert_status(ef_classify_sequence(c, frames, turned, 3, again, &err), EF_OK, &err);
    ck_assert(fabsf(again[0].logit - r[2].logit) > 1e-3f);
    ef_image_free(&img);
    ef_session_free(s);
    ef_classifier_free(c);
    ef_model_free(m);
}
END_TEST

/* Networks of single pictures take part, frame by frame. */
START_TEST(pictures_and_sequences_in_one_classifier)
{
    ef_error err;
    ef_image img, cut[3];
    const ef_image *frames[3];
    ef_model *models[2] = {api_model("sequence", NULL), api_model("looks_sigmoid", NULL)};
    const ef_options opt = api_native();
    ef_classifier *alone[2], *both = NULL;
    ef_classifier_options what;
    ef_result r[3][3], p[3];
    ck_assert(api_picture("scene.ppm", &img));
    ef_classifier_options_init(&what, sizeof what);
    what.models = (const ef_model *const *)models;
    what.model_count = 2;
    what.aggregate = EF_AGG_MEAN_LOGIT;
    assert_status(ef_classifier_create(&what, &opt, &both, &err), EF_OK, &err);
    for (int i = 0; i < 3; i++) {
        cut[i] = img;
        cut[i].height -= 3 * i; /* so that frames differ */
        frames[i] = &cut[i];
        r[0][i] = r[1][i] = r[2][i] = p[i] = api_result();
    }
    for (int k = 0; k < 2; k++) {
        alone[k] = api_classifier(models[k], &opt);
        assert_status(ef_classify_sequence(alone[k], frames, NULL, 3, r[k], &err), EF_OK,
                      &err);
    }
    assert_status(ef_classify_sequence(both, frames, NULL, 3, r[2], &err), EF_OK, &err);
    for (int i = 0; i < 3; i++) {
        const double want = ((double)r[0][i].logit + (double)r[1][i].logit) / 2;
        ck_assert_double_eq_tol((double)r[2][i].logit, want, 1e-5 * (1 + fabs(want)));
        assert_status(ef_classify_face(alone[1], frames[i], NULL, &p[i], &err), EF_OK,
                      &err);
        ck_assert_float_eq(p[i].logit, r[1][i].logit);
    }
    ef_classifier_free(alone[0]);
    ef_classifier_free(alone[1]);
    ef_classifier_free(both);
    ef_model_free(models[0]);
    ef_model_free(models[1]);
    ef_image_free(&img);
}
END_TEST

/* The six shipped pipelines over a clip, stand-ins for their networks: frames that are
 * faces, cropped, scored and combined as each file says. */
START_TEST(shipped_pipelines_over_a_clip)
{
    static const char *const names[] = {"selimsef",        "wm",           "ntechlab",
                                        "robustforensics", "icpr2020dfdc", "sbi"};
    char path[512];
    ef_error err;
    ef_image img;
    ef_pipeline *p = NULL;
    ef_pipeline_info info;
    ef_model *models[64] = {NULL};
    ef_video_options what;
    ef_video_result r;
    ef_video *v = NULL;
    const ef_options opt = api_native();
    snprintf(path, sizeof path, TEST_SOURCE_ROOT "/examples/pipelines/%s.pipeline",
             names[_i]);
    assert_status(ef_pipeline_parse_file(path, NULL, &p, &err), EF_OK, &err);
    ef_pipeline_info_init(&info, sizeof info);
    assert_status(ef_pipeline_get_info(p, &info, &err), EF_OK, &err);
    int sequences = 0;
    for (size_t i = 0; i < info.model_count; i++) {
        ef_pipeline_model m;
        ef_pipeline_model_init(&m, sizeof m);
        assert_status(ef_pipeline_get_model(p, i, &m, &err), EF_OK, &err);
        const bool sequence = strstr(m.file, "sequence") != NULL;
        sequences += sequence;
        const char *stand_in = sequence                    ? "sequence"
                               : strstr(m.file, "wsdan")   ? "looks_logits"
                               : strstr(m.file, "autoatt") ? "looks_sigmoid"
                                                           : "sigmoid_squash_clamp";
        assert_status(ef_pipeline_load_model(p, i, api_model_path(stand_in), NULL,
                                             &models[i], &err),
                      EF_OK, &err);
    }
    ck_assert_int_eq(sequences, _i == 2);
    ck_assert(api_picture("scene.ppm", &img));
    ef_video_options_init(&what, sizeof what);
    assert_status(ef_video_options_plan(&what, p, &err), EF_OK, &err);
    what.models = (const ef_model *const *)models;
    what.model_count = info.model_count;
    assert_status(ef_video_create(&what, &opt, &v, &err), EF_OK, &err);
    for (int i = 0; i < 12; i++)
        assert_status(ef_video_add(v, &img, i / 15.0, &err), EF_OK, &err);
    ef_video_result_init(&r, sizeof r);
    assert_status(ef_video_finish(v, &r, &err), EF_OK, &err);
    ck_assert_uint_eq(r.ntracks, 1);
    ck_assert_uint_eq(r.tracks[0].nfaces, 12);
    ck_assert(r.verdict != EF_VERDICT_NONE && r.fake > 0 && r.fake < 1);
    ck_assert(!(r.tracks[0].flags & EF_COMBINED_PARTIAL) && !r.tracks[0].lacking);
    ef_video_free(v);
    for (size_t i = 0; i < info.model_count; i++)
        ef_model_free(models[i]);
    ef_pipeline_free(p);
    ef_image_free(&img);
}
END_TEST

/* ---- wrong calls, and no memory ---- */

START_TEST(wrong_calls_are_refused)
{
    ef_error err;
    ef_image img, none = {0};
    ef_model *m = api_model("sequence", NULL), *plain = api_model("looks_logits", NULL);
    ef_model *other = api_model("golden/sequence", NULL);
    ef_classifier *c = api_classifier(m, NULL);
    ef_session *s = open_session(m, 3), *twice = open_session(plain, 1);
    float in[3 * INPUT] = {0}, z[18];
    ef_result r[3] = {api_result(), api_result(), api_result()};
    ef_heatmap map = {0};
    const ef_box box = {1, 1, 9, 9}, boxes[3] = {box, box, box};
    ck_assert(api_picture("scene.ppm", &img));
    const ef_image *const frames[3] = {&img, &img, &img};
    const ef_image *const broken[3] = {&img, &none, &img}, *const gap[3] = {&img};

    assert_status(ef_session_run(s, in, 2, z, &err), EF_E_ARG, &err);
    ck_assert_ptr_nonnull(strstr(err.what, "sequences of 3"));
    assert_status(ef_session_look(s, in, 3, z, NULL, &err), EF_E_UNSUPPORTED, &err);
    assert_status(ef_session_look(NULL, in, 1, z, NULL, &err), EF_E_ARG, &err);
    assert_status(ef_session_look(twice, NULL, 1, z, NULL, &err), EF_E_ARG, &err);
    assert_status(ef_session_look(twice, in, 1, NULL, NULL, &err), EF_E_ARG, &err);
    assert_status(ef_session_look(twice, in, 2, z, NULL, &err), EF_E_ARG, &err);

    assert_status(ef_classify_face(c, &img, NULL, r, &err), EF_E_UNSUPPORTED, &err);
    ck_assert_ptr_nonnull(strstr(err.what, "3 frames in a row"));
    assert_status(ef_classify_faces(c, &img, boxes, 3, r, &err), EF_E_UNSUPPORTED, &err);
    assert_status(ef_classify_heatmap(c, &img, NULL, 0, NULL, &map, &err),
                  EF_E_UNSUPPORTED, &err);
    ck_assert_ptr_null(map.owner);
    assert_status(ef_classify_sequence(NULL, frames, NULL, 3, r, &err), EF_E_ARG, &err);
    assert_status(ef_classify_sequence(c, NULL, NULL, 3, r, &err), EF_E_ARG, &err);
    assert_status(ef_classify_sequence(c, frames, NULL, 3, NULL, &err), EF_E_ARG, &err);
    assert_status(ef_classify_sequence(c, frames, NULL, 0, r, &err), EF_E_ARG, &err);
    assert_status(ef_classify_sequence(c, frames, NULL, 2, r, &err), EF_E_ARG, &err);
    assert_status(ef_classify_sequence(c, broken, NULL, 3, r, &err), EF_E_ARG, &err);
    assert_status(ef_classify_sequence(c, gap, NULL, 3, r, &err), EF_E_ARG, &err);

    /* Sequences of two lengths do not go together. golden/sequence has no fake output, so
     * lend it one. */
    ef_classifier_options what;
    ef_classifier *both = NULL;
    const ef_model *const models[2] = {m, other};
    other->meta.fake = 0;
    ef_classifier_options_init(&what, sizeof what);
    what.models = models;
    what.model_count = 2;
    assert_status(ef_classifier_create(&what, NULL, &both, &err), EF_E_ARG, &err);
    ck_assert_ptr_nonnull(strstr(err.what, "sequences of 4 frames, another one of 3"));
    ck_assert_ptr_null(both);
    ef_image_free(&img);
    ef_session_free(s);
    ef_session_free(twice);
    ef_classifier_free(c);
    ef_model_free(m);
    ef_model_free(plain);
    ef_model_free(other);
}
END_TEST

/* Everything with the n-th allocation failing, for all n; and a run allocates nothing. */
START_TEST(no_memory_is_said_and_nothing_leaks)
{
    struct test_mem mem;
    ef_options opt;
    ef_error err;
    ef_image img;
    ef_model *m = api_model("looks_logits", NULL);
    float in[INPUT], z[6];
    test_mem_init(&mem);
    test_options(&opt, &mem);
    api_fill(3, in, INPUT);
    ck_assert(api_picture("scene.ppm", &img));
    for (long n = 1;; n++) {
        ef_session *s = NULL;
        ef_classifier *c = NULL;
        ef_heatmap map = {0};
        mem.fail_at = mem.calls + n;
        mem.failed = false;
        ef_status st = ef_session_create(m, &opt, &s, &err);
        if (!st)
            st = ef_classifier_create_simple(m, &opt, &c, &err);
        if (!st)
            st = ef_classify_heatmap(c, &img, NULL, 0, NULL, &map, &err);
        if (!st) {
            const long calls = mem.calls;
            const size_t bytes = ef_session_memory(s);
            assert_status(ef_session_look(s, in, 1, z, NULL, &err), EF_OK, &err);
            ck_assert_int_eq(mem.calls, calls);
            ck_assert_uint_gt(bytes, 2 * INPUT * sizeof(float));
        }
        const bool failed = mem.failed;
        mem.fail_at = 0;
        ef_heatmap_free(&map);
        ef_classifier_free(c);
        ef_session_free(s);
        ck_assert_int_eq(mem.live, 0);
        assert_status(st, failed ? EF_E_NOMEM : EF_OK, &err);
        if (!failed)
            break;
    }
    ef_image_free(&img);
    ef_model_free(m);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("attention");
    TCase *t = tcase_create("attention");
    tcase_set_timeout(t, 120);
    tcase_add_loop_test(t, the_second_look_is_the_part_enlarged, 0, (int)COUNT(lookers));
    tcase_add_test(t, the_part_is_what_the_maps_attend_to);
    tcase_add_test(t, without_attention_the_part_is_everything);
    tcase_add_test(t, averages_far_from_zero_are_finite);
    tcase_add_loop_test(t, classifiers_look_twice, 0, (int)COUNT(lookers));
    tcase_add_loop_test(t, heat_maps_come_from_attention, 0, (int)COUNT(lookers));
    tcase_add_test(t, each_map_puts_its_share_where_it_attends);
    tcase_add_test(t, a_sequence_is_scored_together);
    tcase_add_test(t, pictures_and_sequences_in_one_classifier);
    tcase_add_loop_test(t, shipped_pipelines_over_a_clip, 0, 6);
    tcase_add_test(t, wrong_calls_are_refused);
    tcase_add_test(t, no_memory_is_said_and_nothing_leaks);
    suite_add_tcase(s, t);
    return run_suite(s);
}
