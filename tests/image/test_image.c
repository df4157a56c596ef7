/* test_image.c - the small parts of lib/image: EXIF orientation, scratch, the check of a
 * caller's picture, rows of every format. */
#include "lib/image/codec.h"
#include "tests/image/golden.h"

#include <limits.h>

/* A TIFF block with the orientation as entry `entry` of three; big: "MM". */
static size_t make_exif(uint8_t *out, int orientation, int entry, bool big)
{
    uint8_t *p = out;
    const uint16_t head[] = {0x4949, 42, 8, 0, 3};
    memset(out, 0, 64);
    for (size_t i = 0; i < 5; i++) {
        /* The offset is a long: its halves change places. */
        const uint16_t v = big && i == 2 ? 0 : big && i == 3 ? 8 : head[i];
        *p++ = (uint8_t)(big ? v >> 8 : v);
        *p++ = (uint8_t)(big ? v : v >> 8);
    }
    if (big)
        out[0] = out[1] = 'M';
    for (int i = 0; i < 3; i++, p += 12) {
        p[big ? 0 : 1] = 1;
        p[big ? 1 : 0] = i == entry ? 0x12 : (uint8_t)i;
        p[big ? 3 : 2] = 3;
        p[big ? 7 : 4] = 1;
        p[big ? 9 : 8] = (uint8_t)orientation;
    }
    return (size_t)(p - out);
}

/* In a block of exactly size bytes, so that a sanitizer sees a read past it. */
static int orientation_of(const uint8_t *data, size_t size)
{
    uint8_t *exact = malloc(size ? size : 1);
    ck_assert_ptr_nonnull(exact);
    memcpy(exact, data, size);
    const int turn = dfn_exif_orientation(exact, size);
    free(exact);
    return turn;
}

START_TEST(orientation_is_found)
{
    uint8_t exif[64];
    for (int big = 0; big < 2; big++)
        for (int entry = 0; entry < 3; entry++)
            for (int turn = 0; turn < 12; turn++) {
                const size_t n = make_exif(exif, turn, entry, big);
                const int expected = turn >= 1 && turn <= 8 ? turn : 1;
                ck_assert_int_eq(orientation_of(exif, n), expected);
                /* Cut within or before the entry: upright. */
                for (size_t cut = 0; cut < n; cut++)
                    ck_assert_int_eq(orientation_of(exif, cut),
                                     cut >= 10 + 12 * (size_t)(entry + 1) ? expected : 1);
            }
}
END_TEST

START_TEST(broken_exif_is_upright)
{
    uint8_t exif[64];
    const struct {
        size_t at;
        uint8_t value;
    } changes[] = {{0, 'X'}, {1, 'M'}, {2, 43}, {4, 255}, {7, 128}, {12, 4}, {14, 2}};
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        const size_t n = make_exif(exif, 6, 0, false);
        ck_assert_int_eq(orientation_of(exif, n), 6);
        exif[changes[i].at] = changes[i].value;
        ck_assert_msg(orientation_of(exif, n) == 1, "change %zu", i);
    }
    /* More entries than there are bytes, none of them the orientation. */
    const size_t n = make_exif(exif, 6, 9, false);
    exif[8] = exif[9] = 255;
    ck_assert_int_eq(orientation_of(exif, n), 1);
}
END_TEST

START_TEST(containers_are_walked_within_bounds)
{
    static struct golden table[GOLDENS_MOST];
    const size_t n = golden_table(table);
    for (size_t i = 0; i < n; i++) {
        size_t size;
        uint8_t *data = golden_file(table[i].name, &size);
        for (size_t cut = 0; cut <= size; cut += 3) {
            uint8_t *exact = malloc(cut ? cut : 1);
            ck_assert_ptr_nonnull(exact);
            memcpy(exact, data, cut);
            const int a = dfn_exif_in_jpeg(exact, cut), b = dfn_exif_in_png(exact, cut);
            ck_assert(a >= 1 && a <= 8 && b >= 1 && b <= 8);
            free(exact);
        }
        free(data);
    }
}
END_TEST

START_TEST(scratch_grows_and_stays)
{
    struct dfn_scratch s = {0};
    struct test_mem m;
    ef_options opt;
    test_mem_init(&m);
    test_options(&opt, &m);
    uint8_t *a = dfn_scratch_need(&s, &opt.allocator, 100);
    ck_assert_ptr_nonnull(a);
    ck_assert_uint_eq((uintptr_t)a % DFN_ALIGN, 0);
    memset(a, 1, 100);
    ck_assert_ptr_eq(dfn_scratch_need(&s, &opt.allocator, 50), a);
    ck_assert_ptr_eq(dfn_scratch_need(&s, &opt.allocator, 0), a);
    ck_assert_int_eq(m.calls, 1);
    m.fail_at = 2;
    ck_assert_ptr_null(dfn_scratch_need(&s, &opt.allocator, 101));
    ck_assert_ptr_eq(s.data, a);
    ck_assert_uint_eq(s.size, 100);
    ck_assert_ptr_nonnull(dfn_scratch_need(&s, &opt.allocator, 1000));
    ck_assert_int_eq(m.live, 1);
    dfn_scratch_free(&s, &opt.allocator);
    dfn_scratch_free(&s, &opt.allocator);
    ck_assert_int_eq(m.live, 0);
    ck_assert_ptr_nonnull(dfn_scratch_need(&s, &opt.allocator, 0));
    dfn_scratch_free(&s, &opt.allocator);
}
END_TEST

START_TEST(a_picture_is_checked)
{
    uint8_t pixels[4 * 5 * 3] = {0};
    const ef_image good = {pixels, 4, 5, 12, EF_RGB8, NULL};
    ef_error err;
    ck_assert_int_eq(dfn_image_check(&good, &err), EF_OK);
    ck_assert_int_eq(dfn_image_check(NULL, &err), EF_E_ARG);
    for (int i = 0; i < 12; i++) {
        ef_image img = good;
        const int32_t sides[] = {0, -1, 65536, INT_MAX};
        if (i < 4)
            img.width = sides[i];
        else if (i < 8)
            img.height = sides[i - 4];
        else if (i == 8)
            img.pixels = NULL;
        else if (i == 9)
            img.stride = 11;
        else if (i == 10)
            img.stride = -11;
        else
            img.stride = PTRDIFF_MAX / 2;
        memset(&err, 0, sizeof err);
        assert_status(dfn_image_check(&img, &err), EF_E_ARG, &err);
    }
    for (int format = -1; format < 7; format++) {
        ef_image img = good;
        img.format = (ef_format)format;
        img.stride = 16;
        memset(&err, 0, sizeof err);
        assert_status(dfn_image_check(&img, &err),
                      format >= 1 && format <= 4 ? EF_OK : EF_E_ARG, &err);
    }
    ef_image flipped = good;
    flipped.stride = -12;
    ck_assert_int_eq(dfn_image_check(&flipped, &err), EF_OK);
}
END_TEST

START_TEST(rows_are_rgb)
{
    const uint8_t pixels[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
    uint8_t row[6];
    const struct {
        ef_format format;
        ptrdiff_t stride;
        uint8_t expected[6];
    } cases[] = {
        {EF_RGB8, 8, {9, 10, 11, 12, 13, 14}},
        {EF_BGR8, 8, {11, 10, 9, 14, 13, 12}},
        {EF_RGBA8, 8, {9, 10, 11, 13, 14, 15}},
        {EF_GRAY8, 2, {3, 3, 3, 4, 4, 4}},
    };
    for (size_t i = 0; i < 4; i++) {
        const ef_image img = {pixels, 2, 2, cases[i].stride, cases[i].format, NULL};
        const uint8_t *p = dfn_image_row(&img, 1, row);
        ck_assert_mem_eq(p, cases[i].expected, 6);
        ck_assert_int_eq(p == row, cases[i].format != EF_RGB8);
    }
}
END_TEST

START_TEST(alpha_is_composited_on_black)
{
    const uint8_t in[] = {255, 100, 0, 255, 255, 100, 3, 128, 255, 255, 255, 0};
    const uint8_t expected[] = {255, 100, 0, 128, 50, 2, 0, 0, 0};
    uint8_t out[9];
    dfn_on_black(in, 3, out);
    ck_assert_mem_eq(out, expected, sizeof out);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("image");
    TCase *t = tcase_create("image");
    tcase_add_test(t, orientation_is_found);
    tcase_add_test(t, broken_exif_is_upright);
    tcase_add_test(t, containers_are_walked_within_bounds);
    tcase_add_test(t, scratch_grows_and_stays);
    tcase_add_test(t, a_picture_is_checked);
    tcase_add_test(t, rows_are_rgb);
    tcase_add_test(t, alpha_is_composited_on_black);
    suite_add_tcase(suite, t);
    return run_suite(suite);
}
