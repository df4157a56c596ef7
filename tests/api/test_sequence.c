/* test_sequence.c - networks of sequences over the tracks of videos: every score of a
 * video against the same crops given to ef_classify_sequence() and ef_classify_face() by
 * hand, to the last bit; gaps, short tracks, mirror images, members that lack; threads,
 * memory, wrong calls. Detector and pictures are the pseudo-random ones of tests/detect.
 */
#include "lib/face/preprocess.h"
#include "tests/api/videos.h"
#include "tests/detect/random_mtcnn.h"
#include "tests/support/stride.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST 64 /* frames of a clip here */
#define T 7
#define BYTES ((size_t)RANDOM_ROWS * RANDOM_COLUMNS * 3)

static ef_model *mtcnn, *seven, *three, *single;
static uint8_t pixels[4][BYTES]; /* the picture, moved by 0 to 2 pixels; nothing in it */
static ef_image pictures[4];

/* The network of three frames as one of seven: its convolutions see a frame's neighbours,
 * however many there are. Without the mirror image, if so. */
static ef_model *sequence(int frames, bool flip)
{
    ef_model *m = api_model("sequence", NULL);
    m->arch.frames = frames;
    m->meta.flip = flip;
    return m;
}

static void setup(void)
{
    size_t size;
    ef_error err = {0};
    uint8_t *bytes = random_mtcnn(&size);
    assert_status(ef_model_load_memory(bytes, size, NULL, &mtcnn, &err), EF_OK, &err);
    free(bytes);
    random_picture(pixels[0]);
    for (int i = 0; i < 4; i++) {
        pictures[i] = (ef_image){pixels[i],          RANDOM_COLUMNS, RANDOM_ROWS,
                                 RANDOM_COLUMNS * 3, EF_RGB8,        NULL};
        for (size_t y = 0; y < RANDOM_ROWS && i; y++)
            for (size_t x = 0; x < RANDOM_COLUMNS; x++) {
                const size_t from = x + (size_t)i < RANDOM_COLUMNS ? x + (size_t)i : x;
                memcpy(&pixels[i][(y * RANDOM_COLUMNS + x) * 3],
                       &pixels[0][(y * RANDOM_COLUMNS + from) * 3], 3);
            }
    }
    memset(pixels[3], 128, BYTES);
    seven = sequence(T, false);
    three = sequence(3, true);
    single = api_model("sigmoid_squash_clamp", NULL);
}

static void teardown(void)
{
    ef_model_free(mtcnn);
    ef_model_free(seven);
    ef_model_free(three);
    ef_model_free(single);
}

/* 0, 1, 2: the picture moved by so much; else nothing. */
static const ef_image *picture_of(char c)
{
    return &pictures[c >= '0' && c <= '2' ? c - '0' : 3];
}

/* ---- by hand ----------------------------------------------------------------------- */

/* The crop of box as a picture of its own, perhaps mirrored; its pixels: malloc. */
static ef_image cut(const ef_model *m, const ef_image *img, const ef_box *box,
                    bool mirror)
{
    struct dfn_rect seen, rect;
    ef_error err = {0};
    assert_status(
        dfn_crop_rects(&m->meta, img->width, img->height, box, &seen, &rect, &err), EF_OK,
        &err);
    ck_assert(seen.w == rect.w && seen.h == rect.h);
    uint8_t *to = malloc((size_t)seen.w * (size_t)seen.h * 3);
    for (int y = 0; y < seen.h; y++)
        for (int x = 0; x < seen.w; x++) {
            const int from = seen.x + (mirror ? seen.w - 1 - x : x);
            memcpy(to + (y * seen.w + x) * 3,
                   img->pixels + (seen.y + y) * img->stride + from * 3, 3);
        }
    return (ef_image){to, seen.w, seen.h, (ptrdiff_t)seen.w * 3, EF_RGB8, NULL};
}

/* Logits of m->arch.frames faces of a track, cropped by the middle one's box. */
static void by_hand(const ef_model *m, const char *clip, const ef_video_face *f,
                    bool mirror, double *logits)
{
    const size_t n = (size_t)(m->arch.frames > 1 ? m->arch.frames : 1);
    const ef_options opt = api_native();
    ef_classifier *c = api_classifier(m, &opt);
    ef_image crops[T];
    const ef_image *frames[T];
    ef_result r[T];
    ef_error err = {0};
    for (size_t i = 0; i < n; i++) {
        crops[i] = cut(m, picture_of(clip[f[i].frame]), &f[n / 2].face.box, mirror);
        frames[i] = &crops[i];
        r[i] = api_result();
    }
    assert_status(ef_classify_sequence(c, frames, NULL, n, r, &err), EF_OK, &err);
    for (size_t i = 0; i < n; i++) {
        logits[i] = (double)r[i].logit;
        free((void *)(uintptr_t)crops[i].pixels);
    }
    ef_classifier_free(c);
}

static bool in(uint64_t bits, size_t i)
{
    return bits >> i & 1;
}

/* expected [t->nfaces]: a model's logits of a track by the words of dfnet.h, NAN where it
 * has none. How many there are. */
static size_t expect(const ef_model *m, const char *clip, const ef_video_track *t,
                     ef_turns turns, double *expected)
{
    const size_t n = (size_t)(m->arch.frames > 1 ? m->arch.frames : 1);
    size_t run = 0, scores = 0; /* where the run of successive frames begins */
    for (size_t i = 0; i < t->nfaces; i++)
        expected[i] = (double)NAN;
    for (size_t i = 0; i < t->nfaces; i++) {
        if (i && t->faces[i].frame != t->faces[i - 1].frame + 1 && n > 1)
            run = i;
        const size_t turn = (i - run) % turns.period;
        bool whole = i + n <= t->nfaces;
        for (size_t k = 1; k < n && whole; k++)
            whole = t->faces[i + k].frame == t->faces[i].frame + k;
        if (!whole || !in(turns.take, turn))
            continue;
        by_hand(m, clip, &t->faces[i], in(turns.mirror, turn), expected + i);
        scores += n;
    }
    return scores;
}

/* ---- videos ------------------------------------------------------------------------ */

static const ef_model *the_models[4];
static ef_rule mean_logit;

/* Mean of logits, so that one model's score of a face is the face's. */
static ef_video_options options(const ef_model *first, const ef_model *second,
                                const ef_turns *turns)
{
    ef_video_options w;
    ef_video_options_init(&w, sizeof w);
    ef_rule_init(&mean_logit, EF_RULE_MEAN_LOGIT, sizeof mean_logit);
    the_models[0] = first;
    the_models[1] = second;
    w.models = the_models;
    w.model_count = second ? 2 : 1;
    w.detector = mtcnn;
    w.max_faces = 3;
    w.rule = &mean_logit;
    w.turns = turns;
    return w;
}

static ef_video_result play(ef_video *v, const char *clip)
{
    for (int i = 0; clip[i]; i++)
        video_add(v, picture_of(clip[i]), i / 15.0);
    return video_finish(v);
}

/* Every face of every track has exactly the score of the one model, or none. How many
 * have one. */
static size_t check_all(const ef_video_result *r, const ef_model *m, const char *clip,
                        ef_turns turns)
{
    double expected[MOST];
    size_t all = 0;
    for (size_t t = 0; t < r->ntracks; t++) {
        const ef_video_track *track = &r->tracks[t];
        const size_t n = expect(m, clip, track, turns, expected);
        double sum = 0;
        for (size_t i = 0; i < track->nfaces; i++) {
            const ef_video_face *f = &track->faces[i];
            ck_assert_int_eq(f->verdict == EF_VERDICT_NONE, isnan(expected[i]) != 0);
            ck_assert_int_eq(f->counts, !isnan(expected[i]));
            if (isnan(expected[i]))
                continue;
            ck_assert_double_eq(f->logit, expected[i]);
            sum += expected[i];
        }
        ck_assert_uint_eq(track->lacking, !n);
        ck_assert_int_eq(track->verdict == EF_VERDICT_NONE, !n);
        ck_assert_int_eq((track->flags & EF_COMBINED_EMPTY) != 0, !n);
        if (n)
            ck_assert_double_eq_tol(track->logit, sum / (double)n, 1e-9);
        else
            ck_assert_double_eq(track->fake, 0.5);
        all += n;
    }
    return all;
}

static const char moving[] = "0120210201201202102101020120120210";
static const ef_turns every_14th = {14, 1, 0};
static const ef_turns as_ntechlab = {28, 1 | 1 << 14, 1};

START_TEST(a_track_is_scored_in_sequences)
{
    const ef_turns *const ways[] = {&every_14th, &as_ntechlab};
    size_t middles = 0;
    for (int how = 0; how < 2; how++) {
        /* The first is a network's own. */
        const ef_video_options w = options(seven, NULL, how ? ways[how] : NULL);
        ef_video *v = video_create(&w, 1, 1);
        const ef_video_result r = play(v, moving);
        ck_assert_uint_gt(r.ntracks, 2);
        /* Some tracks begin with the clip: sequences from faces 0 and 14. */
        ck_assert_uint_gt(check_all(&r, seven, moving, *ways[how]), 4 * T);
        ck_assert_uint_eq(r.lacking, 0);
        /* Or the middle one's box for all would show nothing. */
        for (size_t t = 0; t < r.ntracks; t++)
            if (r.tracks[t].nfaces >= T)
                middles +=
                    memcmp(&r.tracks[t].faces[0].face.box,
                           &r.tracks[t].faces[T / 2].face.box, sizeof(ef_box)) != 0;
        ef_video_free(v);
    }
    ck_assert_uint_gt(middles, 2);
}
END_TEST

/* Both views of a network whose file says flip, in sequences of three right behind each
 * other; mirroring both changes their order only. */
START_TEST(sequences_right_behind_each_other)
{
    const ef_turns turns[] = {{3, 1, 0}, {6, 9, 8}};
    double sums[2] = {0, 0};
    for (int i = 0; i < 2; i++) {
        const ef_video_options w = options(three, NULL, &turns[i]);
        ef_video *v = video_create(&w, 1, 1);
        const ef_video_result r = play(v, moving);
        ck_assert_uint_gt(check_all(&r, three, moving, turns[i]), 30);
        sums[i] = r.logit;
        ef_video_free(v);
    }
    ck_assert_double_eq_tol(sums[0], sums[1], 0.05);
}
END_TEST

/* Of a mirrored picture, the crop of the mirrored box; also where it reaches outside. */
START_TEST(a_mirrored_crop_is_the_mirrored_pictures)
{
    static const char *const names[] = {"sigmoid_squash_clamp", "sigmoid2_square_pad",
                                        "softmax3_longer_pad"};
    static const ef_box boxes[] = {{20, 10, 40, 40}, {-14, 30, 36, 36}, {80, 60, 40, 48}};
    static uint8_t turned[BYTES];
    for (size_t y = 0; y < RANDOM_ROWS; y++)
        for (size_t x = 0; x < RANDOM_COLUMNS; x++)
            memcpy(&turned[(y * RANDOM_COLUMNS + x) * 3],
                   &pixels[0][((y + 1) * RANDOM_COLUMNS - 1 - x) * 3], 3);
    const ef_image other = {
        turned, RANDOM_COLUMNS, RANDOM_ROWS, RANDOM_COLUMNS * 3, EF_RGB8, NULL};
    for (int i = 0; i < 9; i++) {
        ef_model *m = api_model(names[i % 3], NULL);
        struct dfn_prepare prepare = {.mirror = true};
        const ef_allocator a = {0};
        ef_error err = {0};
        const size_t n = 3 * (size_t)m->meta.height * (size_t)m->meta.width;
        float *got = malloc(2 * n * sizeof *got), *want = got + n;
        ef_box box = boxes[i / 3];
        for (int c = 0; c < 4; c++)
            m->meta.margin[c] = 0.25; /* so that all edges are whole numbers */
        assert_status(dfn_preprocess(m, &pictures[0], &box, got, &prepare, &a, &err),
                      EF_OK, &err);
        prepare.mirror = false;
        box.x = RANDOM_COLUMNS - (box.x + box.w);
        assert_status(dfn_preprocess(m, &other, &box, want, &prepare, &a, &err), EF_OK,
                      &err);
        ck_assert_msg(!memcmp(got, want, n * sizeof *got), "%s, box %d", names[i % 3],
                      i / 3);
        dfn_prepare_free(&prepare, &a);
        free(got);
        ef_model_free(m);
    }
}
END_TEST

/* A gap that is filled is none; one that is not ends a sequence, and the next begins with
 * the face behind it. */
START_TEST(gaps_end_sequences)
{
    static const char *const clips[] = {
        "0000.00..000000...0000",         /* all filled                          */
        "0000.....00000000.....000000000" /* 4, 8, 9 in a row, one in each of 8, 9 */
    };
    static const size_t scores[] = {2 * T, 2 * T};
    for (int i = 0; i < 2; i++) {
        ef_video_options w = options(seven, NULL, NULL);
        w.max_faces = 1;
        w.fill = i ? 4 : 3;
        ef_video *v = video_create(&w, 1, 1);
        const ef_video_result r = play(v, clips[i]);
        ck_assert_uint_eq(r.ntracks, 1);
        ck_assert_uint_eq(check_all(&r, seven, clips[i], every_14th), scores[i]);
        ef_video_free(v);
    }
}
END_TEST

/* So does a frame of another size, whose box is in other pixels. */
START_TEST(another_frame_size_ends_a_sequence)
{
    ef_video_options w = options(seven, NULL, NULL);
    ef_error err = {0};
    ef_video_result r;
    ef_image less = pictures[0];
    less.height -= 2;
    w.detector = NULL;
    ef_video *v = video_create(&w, 1, 1);
    for (int i = 0; i < 20; i++)
        assert_status(ef_video_add(v, i < 6 || i > 12 ? &pictures[0] : &less, i, &err),
                      EF_OK, &err);
    ef_video_result_init(&r, sizeof r);
    assert_status(ef_video_finish(v, &r, &err), EF_OK, &err);
    ck_assert_uint_eq(r.ntracks, 1);
    for (size_t i = 0; i < 20; i++)
        ck_assert_int_eq(r.tracks[0].faces[i].verdict != EF_VERDICT_NONE, i >= 6);
    ef_video_free(v);
}
END_TEST

START_TEST(short_tracks_have_no_score_of_a_sequence)
{
    ef_video_options w = options(seven, single, NULL);
    w.max_faces = 1;
    ef_video *v = video_create(&w, 1, 1);
    double expected[MOST];
    const ef_turns each = {1, 1, 0};
    for (int n = 6; n < 8; n++) {
        char clip[9] = "00000000";
        clip[n] = 0;
        const ef_video_result r = play(v, clip);
        ck_assert_uint_eq(r.ntracks, 1);
        ck_assert_uint_eq(r.lacking, n < T);
        ck_assert_uint_eq(r.tracks[0].lacking, n < T);
        ck_assert_int_ne(r.verdict, EF_VERDICT_NONE);
        expect(single, clip, &r.tracks[0], each, expected);
        double sum = 0;
        for (int i = 0; i < n; i++)
            sum += expected[i];
        if (n < T) /* the other one's score alone */
            ck_assert_double_eq_tol(r.logit, sum / n, 1e-9);
        else
            ck_assert(fabs(r.logit - sum / n) > 1e-3);
    }
    ef_video_free(v);
    /* Alone it says nothing at all, which is no failure. */
    w = options(seven, NULL, NULL);
    w.max_faces = 1;
    v = video_create(&w, 2, 1);
    const ef_video_result r = play(v, "000000");
    ck_assert_uint_eq(r.ntracks, 1);
    ck_assert(r.verdict == EF_VERDICT_NONE && r.lacking == 1);
    ck_assert_double_eq(r.fake, 0.5);
    ck_assert_uint_eq(check_all(&r, seven, "000000", every_14th), 0);
    ef_video_free(v);
}
END_TEST

/* ---- a pipeline's members ---------------------------------------------------------- */

/* d = p - 0.5: as the third place of the challenge sums up, written out once more. */
struct sharpened {
    double sum, weights;
};

static void sharpen(struct sharpened *s, double logit)
{
    const double d = 1 / (1 + exp(-logit)) - 0.5, weight = fabs(d) + 1e-4;
    const double q = 0.5 + (d < 0 ? -1 : 1) * pow(fabs(d), 0.65);
    s->sum += weight * fmin(fmax(q, 0.01), 0.99);
    s->weights += weight;
}

/* The shipped pipeline's turns and rule: two frame models and the sequence, pooled. */
START_TEST(the_third_place_over_tracks)
{
    ef_pipeline *p = NULL;
    ef_error err = {0};
    ef_video_options w = options(single, three, NULL);
    const ef_turns turns[] = {{8, 5, 1}, {8, 80, 16}, as_ntechlab};
    struct sharpened all = {0, 0};
    double expected[MOST];
    assert_status(ef_pipeline_parse_file(TEST_SOURCE_ROOT
                                         "/examples/pipelines/ntechlab.pipeline",
                                         NULL, &p, &err),
                  EF_OK, &err);
    w.detector = NULL; /* so that the next sets only what counts here */
    assert_status(ef_video_options_plan(&w, p, &err), EF_OK, &err);
    ck_assert(w.detect_every == 3 && w.least_found == 7 && w.score == 0.3);
    for (int k = 0; k < 3; k++)
        ck_assert(w.turns[k].period == turns[k].period &&
                  w.turns[k].take == turns[k].take &&
                  w.turns[k].mirror == turns[k].mirror);
    w.detector = mtcnn;
    w.score = 0;
    w.max_faces = 3;
    w.least_found = 1;
    ef_model *other = api_model("looks_sigmoid", NULL);
    const ef_model *const models[] = {single, other, seven};
    w.models = models;
    w.model_count = 3;
    ef_video *v = video_create(&w, 2, 3);
    const ef_video_result r = play(v, moving);
    ck_assert_uint_gt(r.ntracks, 2);
    ck_assert_uint_eq(r.lacking, 0);
    for (size_t t = 0; t < r.ntracks; t++) {
        struct sharpened one = {0, 0};
        uint64_t lacking = 7;
        for (size_t k = 0; k < 3; k++) {
            if (expect(models[k], moving, &r.tracks[t], turns[k], expected))
                lacking &= ~((uint64_t)1 << k);
            for (size_t i = 0; i < r.tracks[t].nfaces; i++)
                if (!isnan(expected[i])) {
                    sharpen(&one, expected[i]);
                    sharpen(&all, expected[i]);
                }
        }
        ck_assert_uint_eq(r.tracks[t].lacking, lacking);
        ck_assert_double_eq_tol(r.tracks[t].fake, one.sum / one.weights, 1e-9);
    }
    ck_assert_double_eq_tol(r.fake, all.sum / all.weights, 1e-9);
    ef_video_free(v);
    ef_pipeline_free(p);
    ef_model_free(other);
}
END_TEST

/* ---- threads, memory, wrong calls -------------------------------------------------- */

START_TEST(threads_and_batches_change_no_bit)
{
    static const int ways[][2] = {{1, 1}, {1, 4}, {2, 1}, {3, 8}, {8, 64}};
    uint64_t expected = 0;
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        const ef_turns turns[] = {{7, 1, 0}, {4, 5, 4}};
        ef_video_options w = options(seven, single, turns);
        w.detect_every = 2;
        ef_video *v = video_create(&w, ways[i][0], ways[i][1]);
        for (int again = 0; again < 2; again++) {
            const ef_video_result r = play(v, "0120..021201....0120120210120");
            ck_assert_uint_gt(r.ntracks, 1);
            expected = i || again ? expected : video_digest(&r);
            ck_assert_uint_eq(video_digest(&r), expected);
        }
        ef_video_free(v);
    }
}
END_TEST

static ef_status whole_life(const ef_options *opt, uint64_t *digest, ef_error *err)
{
    const ef_image *frames[7];
    const ef_turns turns[] = {{3, 1, 1}, {1, 1, 0}};
    const ef_video_options w = options(three, single, turns);
    for (int i = 0; i < 7; i++)
        frames[i] = &pictures[i % 3];
    return video_life(&w, opt, frames, 7, digest, err);
}

START_TEST(memory_that_fails)
{
    video_survives_failures(whole_life, 40);
}
END_TEST

START_TEST(memory_does_not_grow_with_length)
{
    struct test_mem mem;
    ef_video *v = NULL;
    const ef_turns turns = {14, 1 | 1 << 7, 1};
    ef_video_options w = options(seven, NULL, &turns);
    w.max_faces = 1;
    w.max_scores = 50;
    const ef_video_result r = video_keeps_its_memory(&w, &pictures[0], &mem, &v);
    ck_assert_uint_eq(r.flags, EF_VIDEO_FULL);
    /* 49 of the 50 are in the seven sequences. */
    ck_assert_int_eq(r.tracks[0].faces[48].counts, 1);
    ck_assert_int_eq(r.tracks[0].faces[49].counts, 0);
    ef_video_free(v);
    ck_assert_int_eq(mem.live, 0);
}
END_TEST

START_TEST(turns_that_cannot_be)
{
    static const ef_turns wrong[] = {
        {65, 1, 0},     /* too long a period               */
        {7, 0, 0},      /* nobody has a turn               */
        {7, 128, 0},    /* a place behind the period       */
        {14, 1, 2},     /* mirrored, but not taken         */
        {6, 1, 0},      /* the sequence of seven is longer */
        {14, 65, 0},    /* overlapping, 0 and 6            */
        {14, 1 << 8, 0} /* fine, as the control            */
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        const ef_video_options w = options(seven, NULL, &wrong[i]);
        ef_options opt = api_native();
        ef_video *v = NULL;
        if (i + 1 < sizeof wrong / sizeof *wrong) {
            REFUSES(EF_E_ARG, ef_video_create(&w, &opt, &v, e));
            ck_assert_ptr_null(v);
        } else {
            v = video_create(&w, 1, 1);
            ef_video_free(v);
        }
    }
}
END_TEST

START_TEST(a_sequence_that_says_nothing_about_faces)
{
    ef_model *m = api_model("golden/sequence", NULL); /* no output means fake */
    const ef_video_options w = options(m, NULL, NULL);
    ef_options opt = api_native();
    ef_video *v = NULL;
    REFUSES(EF_E_ARG, ef_video_create(&w, &opt, &v, e));
    ef_model_free(m);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("sequence");
    TCase *t = tcase_create("sequence");
    tcase_set_timeout(t, 300);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, a_track_is_scored_in_sequences);
    tcase_add_test(t, sequences_right_behind_each_other);
    tcase_add_test(t, a_mirrored_crop_is_the_mirrored_pictures);
    tcase_add_test(t, gaps_end_sequences);
    tcase_add_test(t, another_frame_size_ends_a_sequence);
    tcase_add_test(t, short_tracks_have_no_score_of_a_sequence);
    tcase_add_test(t, the_third_place_over_tracks);
    tcase_add_test(t, threads_and_batches_change_no_bit);
    tcase_add_test(t, memory_that_fails);
    tcase_add_test(t, memory_does_not_grow_with_length);
    tcase_add_test(t, turns_that_cannot_be);
    tcase_add_test(t, a_sequence_that_says_nothing_about_faces);
    suite_add_tcase(s, t);
    return run_suite(s);
}
