/* test_tracks.c - faces of successive frames to persons, with boxes made up here. A case
 * is a list of looks; face() makes one with landmarks in their usual places. */
#include "lib/video/track.h"
#include "tests/support/support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static struct dfn_tracks tracks;
static struct dfn_link links[DFN_LOOK_FACES];

static ef_detection face(double x, double y, double side)
{
    static const double at[5][2] = {
        {0.3, 0.35}, {0.7, 0.35}, {0.5, 0.55}, {0.35, 0.75}, {0.65, 0.75}};
    ef_detection d = {{(float)x, (float)y, (float)side, (float)side}, 0.9f, {{0, 0}}};
    for (int i = 0; i < 5; i++)
        d.landmarks[i] =
            (ef_point){(float)(x + at[i][0] * side), (float)(y + at[i][1] * side)};
    return d;
}

static void begin(int lost)
{
    memset(links, 0x55, sizeof links);
    dfn_tracks_begin(&tracks, 0.3, lost);
}

static void look(uint32_t frame, const ef_detection *faces, size_t n)
{
    dfn_tracks_link(&tracks, frame, 1280, 720, faces, n, links);
}

static uint32_t look_one(uint32_t frame, double x, double y, double side)
{
    const ef_detection f = face(x, y, side);
    look(frame, &f, 1);
    return links[0].id;
}

START_TEST(overlap_of_boxes)
{
    const ef_box a = {0, 0, 10, 10}, half = {5, 0, 10, 10}, far_away = {10, 0, 5, 5},
                 none = {0, 0, 0, 10}, nan = {NAN, 0, 10, 10};
    ck_assert_double_eq(dfn_overlap(&a, &a), 1);
    ck_assert_double_eq_tol(dfn_overlap(&a, &half), 1.0 / 3, 1e-12);
    ck_assert_double_eq(dfn_overlap(&half, &a), dfn_overlap(&a, &half));
    ck_assert_double_eq(dfn_overlap(&a, &far_away), 0);
    ck_assert_double_eq(dfn_overlap(&a, &none), 0);
    ck_assert_double_eq(dfn_overlap(&a, &nan), 0);
}
END_TEST

START_TEST(a_walking_face_is_one_person)
{
    begin(2);
    for (uint32_t f = 0; f < 100; f++) {
        ck_assert_uint_eq(look_one(f, 5.0 * f, 100 + 2.0 * f, 80), 0);
        ck_assert(links[0].continues == (f > 0));
        if (f)
            ck_assert_uint_eq(links[0].before.frame, f - 1);
    }
    ck_assert_uint_eq(tracks.next_id, 1);
}
END_TEST

START_TEST(two_faces_keep_their_ids_in_any_order)
{
    begin(2);
    for (uint32_t f = 0; f < 50; f++) {
        const ef_detection a = face(100 + f, 100, 90), b = face(700 - f, 120, 100);
        const ef_detection one[2] = {a, b}, other[2] = {b, a};
        look(f, f % 2 ? other : one, 2);
        ck_assert_uint_eq(links[f % 2].id, 0);
        ck_assert_uint_eq(links[1 - f % 2].id, 1);
    }
}
END_TEST

/* Both old faces overlap both new ones by more than the threshold: the better pairs
 * win. */
START_TEST(the_most_alike_are_paired_first)
{
    const ef_detection before[2] = {face(100, 100, 100), face(150, 100, 100)};
    const ef_detection after[2] = {face(148, 100, 100), face(104, 100, 100)};
    begin(2);
    look(0, before, 2);
    look(1, after, 2);
    ck_assert_uint_eq(links[0].id, 1);
    ck_assert_uint_eq(links[1].id, 0);
}
END_TEST

START_TEST(a_face_that_was_lost_for_long_is_somebody_else)
{
    for (int lost = 0; lost < 4; lost++)
        for (int gap = 0; gap < 6; gap++) {
            begin(lost);
            look_one(0, 100, 100, 80);
            for (int i = 0; i < gap; i++)
                look((uint32_t)i + 1, NULL, 0);
            const uint32_t id = look_one((uint32_t)gap + 1, 110, 100, 80);
            ck_assert_uint_eq(id, gap > lost);
            ck_assert(links[0].continues == (gap <= lost));
            if (gap <= lost)
                ck_assert_uint_eq(links[0].before.frame, 0);
        }
}
END_TEST

/* Frames far apart: the boxes do not meet, but the landmarks moved little for their size;
 * a face of another size at the same distance is another one. */
START_TEST(landmarks_link_what_overlap_does_not)
{
    begin(2);
    look_one(0, 100, 100, 100);
    ck_assert_uint_eq(look_one(1, 148, 100, 80), 0);
    begin(2);
    dfn_tracks_begin(&tracks, 0.9, 2);
    look_one(0, 100, 100, 100);
    ck_assert_uint_eq(look_one(1, 145, 100, 100), 0); /* overlap 0.38 < 0.9 */
    /* 0.53 from where it would have moved on to, more from where it was. */
    ck_assert_uint_eq(look_one(2, 190, 153, 100), 1);
    ck_assert_uint_eq(look_one(3, 190, 153, 40), 2); /* shrank by 2.5 */
}
END_TEST

/* One walks behind the other: for `hidden` looks around the middle only the one in front
 * is seen. The boxes tremble a little. */
START_TEST(two_who_cross_keep_their_tracks)
{
    for (int hidden = 0; hidden <= 12; hidden++)
        for (uint32_t step = 1; step <= 4; step += 3) {
            begin(16);
            for (uint32_t f = 0; f <= 60; f += step) {
                const double tremble = f % 2 ? 1.5 : -1.5;
                const ef_detection both[2] = {face(100 + 8 * f, 100 + tremble, 90),
                                              face(580 - 8 * f + tremble, 104, 94)};
                const int away = abs((int)f - 30) < (int)step * hidden / 2;
                look(f, both, away ? 1 : 2);
                ck_assert_uint_eq(links[0].id, 0);
                if (!away)
                    ck_assert_uint_eq(links[1].id, 1);
            }
            ck_assert_uint_eq(tracks.next_id, 2);
        }
}
END_TEST

/* Whoever moved and is missed may go on, stop, or come back to where he was. */
START_TEST(a_missed_face_is_known_where_it_was_and_where_it_would_be)
{
    static const double at[] = {100 + 12.0 * 10, 100 + 12.0 * 18};
    for (int i = 0; i < 2; i++) {
        begin(16);
        for (uint32_t f = 0; f <= 10; f++)
            ck_assert_uint_eq(look_one(f, 100 + 12.0 * f, 100, 60), 0);
        for (uint32_t f = 11; f < 18; f++)
            look(f, NULL, 0);
        ck_assert_uint_eq(look_one(18, at[i], 100, 60), 0);
        ck_assert_uint_eq(look_one(19, at[i], 400, 60), 1);
    }
}
END_TEST

START_TEST(a_face_where_one_is_expected_goes_before_one_where_it_was)
{
    const ef_detection both[2] = {face(160, 100, 60), face(208, 100, 60)};
    begin(16);
    for (uint32_t f = 0; f <= 5; f++)
        look_one(f, 100 + 12.0 * f, 100, 60);
    look(9, both, 2);
    ck_assert_uint_eq(links[1].id, 0);
    ck_assert_uint_eq(links[0].id, 1);
}
END_TEST

START_TEST(a_frame_of_another_size_goes_on)
{
    ef_detection f = face(600, 300, 100);
    begin(2);
    dfn_tracks_link(&tracks, 0, 1280, 720, &f, 1, links);
    f = face(300, 150, 50);
    dfn_tracks_link(&tracks, 1, 640, 360, &f, 1, links);
    ck_assert_uint_eq(links[0].id, 0);
    ck_assert(links[0].continues);
}
END_TEST

START_TEST(boxes_that_are_none_open_tracks_and_do_no_harm)
{
    const ef_detection bad[3] = {face(NAN, 0, 10), face(0, 0, 0), face(0, 0, -INFINITY)};
    begin(2);
    look(0, bad, 3);
    look(1, bad, 3);
    ck_assert_uint_eq(tracks.next_id, 6);
}
END_TEST

/* More than can be open: the oldest of those missed longest is closed. */
START_TEST(a_crowd_is_bounded)
{
    ef_detection crowd[DFN_LOOK_FACES];
    begin(60000);
    for (uint32_t f = 0; f < 6; f++) {
        for (int i = 0; i < DFN_LOOK_FACES; i++)
            crowd[i] = face(1000.0 * i, 5000.0 * f, 20);
        look(f, crowd, DFN_LOOK_FACES);
        ck_assert_int_le(tracks.nopen, DFN_OPEN_TRACKS);
    }
    ck_assert_uint_eq(tracks.next_id, 6 * DFN_LOOK_FACES);
    ck_assert_uint_eq(look_one(6, 1000.0, 5000.0 * 5, 20), 5 * DFN_LOOK_FACES + 1);
    ck_assert_uint_eq(look_one(7, 1000.0, 0, 20), 6 * DFN_LOOK_FACES);
}
END_TEST

START_TEST(between_two_faces)
{
    const ef_detection a = face(100, 200, 40), b = face(140, 100, 80);
    const ef_detection third = face(110, 175, 50);
    ef_detection got;
    dfn_between(&a, &b, 0.25, &got);
    ck_assert_float_eq(got.score, 0);
    ck_assert_float_eq_tol(got.box.x, third.box.x, 1e-4f);
    ck_assert_float_eq_tol(got.box.y, third.box.y, 1e-4f);
    ck_assert_float_eq_tol(got.box.w, third.box.w, 1e-4f);
    ck_assert_float_eq_tol(got.box.h, third.box.h, 1e-4f);
    for (int i = 0; i < 5; i++) {
        ck_assert_float_eq_tol(got.landmarks[i].x, third.landmarks[i].x, 1e-4f);
        ck_assert_float_eq_tol(got.landmarks[i].y, third.landmarks[i].y, 1e-4f);
    }
}
END_TEST

/* Whatever comes: ids are new or open ones, never twice in a look, and `before` is the
 * look in which that id was last given. */
START_TEST(random_looks_keep_the_promises)
{
    static uint32_t last_seen[100000];
    uint64_t seed = 7;
    begin(3);
    for (uint32_t f = 0; f < 2000; f++) {
        ef_detection faces[12];
        const size_t n = (size_t)test_random_int(&seed, 0, 12);
        for (size_t i = 0; i < n; i++)
            faces[i] =
                face(test_random_int(&seed, 0, 12) * 60 + test_random_int(&seed, 0, 20),
                     test_random_int(&seed, 0, 3) * 90, test_random_int(&seed, 40, 120));
        const uint32_t known = tracks.next_id;
        look(f, faces, n);
        for (size_t i = 0; i < n; i++) {
            ck_assert_uint_lt(links[i].id, tracks.next_id);
            ck_assert(links[i].continues == (links[i].id < known));
            if (links[i].continues) {
                ck_assert_uint_eq(links[i].before.frame, last_seen[links[i].id]);
                ck_assert_uint_le(f - links[i].before.frame, 4);
            }
            for (size_t j = 0; j < i; j++)
                ck_assert_uint_ne(links[i].id, links[j].id);
        }
        for (size_t i = 0; i < n; i++)
            last_seen[links[i].id] = f;
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("tracks");
    TCase *t = tcase_create("tracks");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, overlap_of_boxes);
    tcase_add_test(t, a_walking_face_is_one_person);
    tcase_add_test(t, two_faces_keep_their_ids_in_any_order);
    tcase_add_test(t, the_most_alike_are_paired_first);
    tcase_add_test(t, a_face_that_was_lost_for_long_is_somebody_else);
    tcase_add_test(t, landmarks_link_what_overlap_does_not);
    tcase_add_test(t, two_who_cross_keep_their_tracks);
    tcase_add_test(t, a_missed_face_is_known_where_it_was_and_where_it_would_be);
    tcase_add_test(t, a_face_where_one_is_expected_goes_before_one_where_it_was);
    tcase_add_test(t, a_frame_of_another_size_goes_on);
    tcase_add_test(t, boxes_that_are_none_open_tracks_and_do_no_harm);
    tcase_add_test(t, a_crowd_is_bounded);
    tcase_add_test(t, between_two_faces);
    tcase_add_test(t, random_looks_keep_the_promises);
    suite_add_tcase(s, t);
    return run_suite(s);
}
