/* test_resize.c - every filter against Pillow's and OpenCV's results (make_goldens.py),
 * formats and crops against each other, wrong arguments, and the scratch's memory. */
#include "lib/image/resize.h"
#include "tests/image/golden.h"

#define FILTERS 6
#define SIDE 24

/* The pictures of make_goldens.py's picture(): [height][width][3]. */
static void make_picture(int kind, uint64_t seed, int width, int height, uint8_t *out)
{
    uint64_t state = seed;
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++)
            for (int c = 0; c < 3; c++, out++) {
                const int t = (5 * x + 3 * y + 90 * c + (int)seed) % 510;
                const uint8_t noise = (uint8_t)(test_random(&state) >> 56);
                if (kind == 1)
                    *out = (uint8_t)(t < 256 ? t : 510 - t);
                else
                    *out = kind == 0 ? noise : noise > 127 ? 255 : 0;
            }
}

/* A line of resize.txt. */
struct resize_case {
    int filter, kind, seed, width, height, out_w, out_h;
    struct dfn_rect rect;
    uint32_t crc;
    long at; /* in resize.rgb, or -1 */
};

static bool read_case(FILE *f, struct resize_case *c)
{
    return fscanf(f, "%d %d %d %d %d %d %d %d %d %d %d %u %ld", &c->filter, &c->kind,
                  &c->seed, &c->width, &c->height, &c->rect.x, &c->rect.y, &c->rect.w,
                  &c->rect.h, &c->out_w, &c->out_h, &c->crc, &c->at) == 13;
}

/* Cubic OpenCV: within 1 of what its packages give. Returns how many values differ. */
static size_t compare_near(const struct resize_case *c, const uint8_t *out,
                           const uint8_t *expected, size_t n)
{
    size_t differ = 0;
    for (size_t i = 0; i < n; i++) {
        const int d = abs(out[i] - expected[i]);
        ck_assert_msg(d <= 1, "filter %d, %d x %d to %d x %d: value %zu differs by %d",
                      c->filter, c->rect.w, c->rect.h, c->out_w, c->out_h, i, d);
        differ += d != 0;
    }
    return differ;
}

START_TEST(results_are_the_libraries)
{
    static const uint8_t pad[3] = {10, 200, 90};
    struct dfn_scratch scratch = {0};
    struct resize_case c;
    size_t full_size, differ = 0;
    int cases = 0;
    uint8_t *full = golden_file("resize.rgb", &full_size);
    FILE *f = fopen(DATA_FOLDER "resize.txt", "r");
    ck_assert_ptr_nonnull(f);
    for (; read_case(f, &c); cases++) {
        const size_t n = (size_t)c.out_w * (size_t)c.out_h * 3;
        uint8_t *pixels = malloc((size_t)c.width * (size_t)c.height * 3),
                *out = malloc(n);
        ck_assert(pixels && out);
        make_picture(c.kind, (uint64_t)c.seed, c.width, c.height, pixels);
        const ef_image img = {pixels,  c.width, c.height, (ptrdiff_t)c.width * 3,
                              EF_RGB8, NULL};
        ef_error err = {0};
        scratch.without = cases % 2 ? UINT32_MAX : 0; /* with vectors and without */
        assert_status(dfn_resize(&img, &c.rect, (enum dfn_resample)c.filter, pad, out,
                                 c.out_w, c.out_h, (size_t)c.out_w * 3, &scratch, NULL,
                                 &err),
                      EF_OK, &err);
        if (c.at < 0)
            ck_assert_msg(crc32_of(out, n) == c.crc, "filter %d, %d x %d to %d x %d",
                          c.filter, c.rect.w, c.rect.h, c.out_w, c.out_h);
        else
            differ += compare_near(&c, out, full + c.at, n);
        free(pixels);
        free(out);
    }
    fclose(f);
    free(full);
    dfn_scratch_free(&scratch, NULL);
    ck_assert_int_ge(cases, 200);
    /* Ties of black-and-white pictures, a third of the cases. */
    ck_assert_msg(differ <= full_size / 200, "%zu of %zu values differ", differ,
                  full_size);
}
END_TEST

/* rect of the SIDE x SIDE picture img to out [9][11][3]. */
static void small(const ef_image *img, struct dfn_rect rect, int filter, uint8_t *out)
{
    static const uint8_t pad[3] = {1, 2, 3};
    struct dfn_scratch scratch = {0};
    ef_error err = {0};
    assert_status(dfn_resize(img, &rect, (enum dfn_resample)filter, pad, out, 11, 9, 33,
                             &scratch, NULL, &err),
                  EF_OK, &err);
    dfn_scratch_free(&scratch, NULL);
}

START_TEST(every_format_gives_the_same)
{
    uint8_t rgb[SIDE * SIDE * 3], bgr[SIDE * SIDE * 3], rgba[SIDE * SIDE * 4],
        flipped[SIDE * SIDE * 3], expected[297], out[297];
    const struct dfn_rect rects[] = {{0, 0, SIDE, SIDE}, {3, 4, 17, 5}, {-3, -2, 30, 29}};
    make_picture(0, 5, SIDE, SIDE, rgb);
    for (int i = 0; i < SIDE * SIDE; i++) {
        for (int c = 0; c < 3; c++) {
            bgr[3 * i + 2 - c] = rgb[3 * i + c];
            rgba[4 * i + c] = rgb[3 * i + c];
        }
        rgba[4 * i + 3] = (uint8_t)i;
    }
    for (int y = 0; y < SIDE; y++)
        memcpy(flipped + (ptrdiff_t)(SIDE - 1 - y) * SIDE * 3,
               rgb + (ptrdiff_t)y * SIDE * 3, SIDE * 3);
    const ef_image straight = {rgb, SIDE, SIDE, SIDE * 3, EF_RGB8, NULL};
    const ef_image others[] = {
        {bgr, SIDE, SIDE, SIDE * 3, EF_BGR8, NULL},
        {rgba, SIDE, SIDE, SIDE * 4, EF_RGBA8, NULL},
        {flipped + (ptrdiff_t)(SIDE - 1) * SIDE * 3, SIDE, SIDE, -SIDE * 3, EF_RGB8,
         NULL},
    };
    for (int filter = 0; filter < FILTERS; filter++)
        for (size_t r = 0; r < 3; r++) {
            small(&straight, rects[r], filter, expected);
            for (size_t i = 0; i < 3; i++) {
                small(&others[i], rects[r], filter, out);
                ck_assert_mem_eq(out, expected, sizeof out);
            }
        }
}
END_TEST

START_TEST(gray_is_three_equal_channels)
{
    uint8_t gray[SIDE * SIDE], rgb[SIDE * SIDE * 3], expected[297], out[297];
    uint64_t random = 3;
    for (int i = 0; i < SIDE * SIDE; i++) {
        gray[i] = (uint8_t)test_random(&random);
        memset(rgb + (ptrdiff_t)3 * i, gray[i], 3);
    }
    const ef_image a = {gray, SIDE, SIDE, SIDE, EF_GRAY8, NULL};
    const ef_image b = {rgb, SIDE, SIDE, SIDE * 3, EF_RGB8, NULL};
    for (int filter = 0; filter < FILTERS; filter++) {
        small(&a, (struct dfn_rect){2, 1, 20, 23}, filter, out);
        small(&b, (struct dfn_rect){2, 1, 20, 23}, filter, expected);
        ck_assert_mem_eq(out, expected, sizeof out);
    }
}
END_TEST

/* Changing what the crop does not hold changes nothing. */
START_TEST(pixels_outside_the_crop_do_not_count)
{
    uint8_t rgb[SIDE * SIDE * 3], before[297], after[297];
    const struct dfn_rect rect = {5, 6, 11, 9};
    const ef_image img = {rgb, SIDE, SIDE, SIDE * 3, EF_RGB8, NULL};
    for (int filter = 0; filter < FILTERS; filter++) {
        for (int enlarge = 0; enlarge < 2; enlarge++) {
            const struct dfn_rect r = {rect.x, rect.y, enlarge ? 6 : 14,
                                       enlarge ? 5 : 13};
            make_picture(0, 8, SIDE, SIDE, rgb);
            small(&img, r, filter, before);
            for (int y = 0; y < SIDE; y++)
                for (int x = 0; x < SIDE; x++)
                    if (x < r.x || x >= r.x + r.w || y < r.y || y >= r.y + r.h)
                        memset(rgb + (ptrdiff_t)(y * SIDE + x) * 3, 255, 3);
            small(&img, r, filter, after);
            ck_assert_mem_eq(before, after, sizeof before);
        }
    }
}
END_TEST

START_TEST(a_crop_far_outside_is_all_padding)
{
    uint8_t rgb[SIDE * SIDE * 3], out[297];
    const struct dfn_rect far[] = {{SIDE, 0, 9, 9},
                                   {-9, 3, 9, 9},
                                   {2, -40, 5, 40},
                                   {INT32_MAX, INT32_MAX, 7, 7},
                                   {INT32_MIN, INT32_MIN, 60000, 5}};
    const ef_image img = {rgb, SIDE, SIDE, SIDE * 3, EF_RGB8, NULL};
    memset(rgb, 255, sizeof rgb);
    for (int filter = 0; filter < FILTERS; filter++)
        for (size_t i = 0; i < sizeof far / sizeof *far; i++) {
            small(&img, far[i], filter, out);
            for (int k = 0; k < 297; k++)
                ck_assert_int_eq(out[k], k % 3 + 1);
        }
}
END_TEST

START_TEST(a_flat_picture_stays_flat)
{
    uint8_t rgb[SIDE * SIDE * 3], out[297];
    const ef_image img = {rgb, SIDE, SIDE, SIDE * 3, EF_RGB8, NULL};
    uint64_t random = 9;
    for (int round = 0; round < 300; round++) {
        const int value = test_random_int(&random, 0, 255);
        memset(rgb, value, sizeof rgb);
        struct dfn_rect r = {0, 0, test_random_int(&random, 1, SIDE),
                             test_random_int(&random, 1, SIDE)};
        r.x = test_random_int(&random, 0, SIDE - r.w);
        r.y = test_random_int(&random, 0, SIDE - r.h);
        small(&img, r, round % FILTERS, out);
        for (int k = 0; k < 297; k++)
            ck_assert_msg(out[k] == value, "filter %d, %d x %d: %d is not %d",
                          round % FILTERS, r.w, r.h, out[k], value);
    }
}
END_TEST

START_TEST(only_the_output_is_written)
{
    uint8_t rgb[SIDE * SIDE * 3], out[9 * 50];
    const ef_image img = {rgb, SIDE, SIDE, SIDE * 3, EF_RGB8, NULL};
    const struct dfn_rect r = {0, 0, SIDE, SIDE};
    struct dfn_scratch scratch = {0};
    memset(rgb, 77, sizeof rgb);
    for (int filter = 0; filter < FILTERS; filter++) {
        memset(out, 200, sizeof out);
        assert_status(dfn_resize(&img, &r, (enum dfn_resample)filter, NULL, out, 11, 9,
                                 50, &scratch, NULL, NULL),
                      EF_OK, NULL);
        for (int i = 0; i < 9 * 50; i++)
            ck_assert_int_eq(out[i], i % 50 < 33 ? 77 : 200);
    }
    dfn_scratch_free(&scratch, NULL);
}
END_TEST

START_TEST(wrong_arguments_are_named)
{
    uint8_t rgb[SIDE * SIDE * 3] = {0}, out[300];
    const uint8_t pad[3] = {0};
    struct dfn_scratch scratch = {0};
    struct test_mem m;
    ef_options opt;
    test_mem_init(&m);
    test_options(&opt, &m);
    const ef_image img = {rgb, SIDE, SIDE, SIDE * 3, EF_RGB8, NULL};
    const ef_image narrow = {rgb, SIDE, SIDE, SIDE * 3 - 1, EF_RGB8, NULL};
    const struct {
        struct dfn_rect rect;
        int w, h;
        size_t stride;
        const uint8_t *pad;
        const ef_image *img;
        ef_status status;
    } cases[] = {
        {{0, 0, 0, 5}, 10, 10, 30, pad, &img, EF_E_ARG},
        {{0, 0, 5, -1}, 10, 10, 30, pad, &img, EF_E_ARG},
        {{0, 0, 5, 5}, 0, 10, 30, pad, &img, EF_E_ARG},
        {{0, 0, 5, 5}, 10, -3, 30, pad, &img, EF_E_ARG},
        {{0, 0, 5, 5}, 10, 10, 29, pad, &img, EF_E_ARG},
        {{0, 0, 5, 5}, 10, 10, 30, pad, &narrow, EF_E_ARG},
        {{0, 0, 5, 5}, 10, 10, 30, pad, NULL, EF_E_ARG},
        {{20, 0, 5, 5}, 10, 10, 30, NULL, &img, EF_E_ARG},
        {{0, -1, 5, 5}, 10, 10, 30, NULL, &img, EF_E_ARG},
        {{INT32_MAX, 0, 5, 5}, 10, 10, 30, NULL, &img, EF_E_ARG},
        {{0, 0, 65536, 5}, 10, 10, 30, pad, &img, EF_E_LIMIT},
        {{0, 0, 5, INT32_MAX}, 10, 10, 30, pad, &img, EF_E_LIMIT},
        {{0, 0, 5, 5}, 65536, 10, 200000, pad, &img, EF_E_LIMIT},
        {{0, 0, 5, 5}, 10, 65536, 30, pad, &img, EF_E_LIMIT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ef_error err = {0};
        const ef_status st = dfn_resize(
            cases[i].img, &cases[i].rect, DFN_RESAMPLE_PILLOW_BICUBIC, cases[i].pad, out,
            cases[i].w, cases[i].h, cases[i].stride, &scratch, &opt.allocator, &err);
        ck_assert_msg(st == cases[i].status, "case %zu: status %d", i, st);
        assert_status(st, cases[i].status, &err);
    }
    ck_assert_int_eq(m.calls, 0);
}
END_TEST

START_TEST(without_memory_it_says_so)
{
    uint8_t rgb[SIDE * SIDE * 3] = {0}, out[300];
    const ef_image img = {rgb, SIDE, SIDE, SIDE * 3, EF_RGB8, NULL};
    const struct dfn_rect r = {0, 0, SIDE, SIDE};
    for (int filter = 0; filter < FILTERS; filter++) {
        struct dfn_scratch scratch = {0};
        struct test_mem m;
        ef_options opt;
        ef_error err = {0};
        test_mem_init(&m);
        test_options(&opt, &m);
        m.fail_at = 1;
        assert_status(dfn_resize(&img, &r, (enum dfn_resample)filter, NULL, out, 10, 10,
                                 30, &scratch, &opt.allocator, &err),
                      EF_E_NOMEM, &err);
        ck_assert_int_eq(m.live, 0);
        assert_status(dfn_resize(&img, &r, (enum dfn_resample)filter, NULL, out, 10, 10,
                                 30, &scratch, &opt.allocator, &err),
                      EF_OK, &err);
        /* The same again needs nothing new. */
        const long calls = m.calls;
        assert_status(dfn_resize(&img, &r, (enum dfn_resample)filter, NULL, out, 10, 10,
                                 30, &scratch, &opt.allocator, &err),
                      EF_OK, &err);
        ck_assert_int_eq(m.calls, calls);
        dfn_scratch_free(&scratch, &opt.allocator);
        ck_assert_int_eq(m.live, 0);
    }
}
END_TEST

/* The widest and highest: sums, indices and scratch at their limits. */
START_TEST(the_largest_sides_work)
{
    uint8_t *line = malloc((size_t)65535 * 3), out[3 * 3];
    uint8_t *wide = malloc((size_t)65535 * 3);
    ck_assert(line && wide);
    memset(line, 255, (size_t)65535 * 3);
    const ef_image row = {line, 65535, 1, (ptrdiff_t)65535 * 3, EF_RGB8, NULL};
    const ef_image column = {line, 1, 65535, 3, EF_RGB8, NULL};
    for (int filter = 0; filter < FILTERS; filter++) {
        struct dfn_scratch scratch = {0};
        const struct dfn_rect a = {0, 0, 65535, 1}, b = {0, 0, 1, 65535},
                              c = {9, 0, 1, 1};
        const enum dfn_resample how = (enum dfn_resample)filter;
        assert_status(dfn_resize(&row, &a, how, NULL, out, 1, 1, 3, &scratch, NULL, NULL),
                      EF_OK, NULL);
        ck_assert_int_eq(out[0], 255);
        assert_status(
            dfn_resize(&column, &b, how, NULL, out, 1, 3, 3, &scratch, NULL, NULL), EF_OK,
            NULL);
        ck_assert_int_eq(out[8], 255);
        assert_status(dfn_resize(&row, &c, how, NULL, wide, 65535, 1, (size_t)65535 * 3,
                                 &scratch, NULL, NULL),
                      EF_OK, NULL);
        ck_assert_mem_eq(wide, line, (size_t)65535 * 3);
        ck_assert_uint_lt(scratch.size, (size_t)16 << 20);
        dfn_scratch_free(&scratch, NULL);
    }
    free(line);
    free(wide);
}
END_TEST

/* What resize.h promises for sizes that would take too long to run. */
START_TEST(scratch_is_bounded)
{
    static const int sides[] = {1, 2, 5, 100, 32767, 32768, 65534, 65535};
    const size_t n = sizeof sides / sizeof *sides;
    for (int filter = 0; filter < FILTERS; filter++)
        for (size_t i = 0; i < n * n * n * n; i++) {
            const ef_image img = {NULL, 1, 1, 3, EF_RGB8, NULL};
            struct dfn_carver need = {0};
            struct dfn_resize_job job = {
                .src = {.img = &img, .rect = {0, 0, sides[i % n], sides[i / n % n]}},
                .filter = (enum dfn_resample)filter,
                .out_w = sides[i / n / n % n],
                .out_h = sides[i / n / n / n]};
            if (job.src.rect.w == job.out_w && job.src.rect.h == job.out_h)
                continue;
            if (filter < 3)
                dfn_resize_pillow(&job, &need);
            else
                dfn_resize_opencv(&job, &need);
            ck_assert(!need.overflow);
            ck_assert_uint_gt(need.used, 0);
            ck_assert_msg(need.used + 3 * 65535 < (size_t)16 << 20,
                          "filter %d, %d x %d to %d x %d: %zu bytes", filter,
                          job.src.rect.w, job.src.rect.h, job.out_w, job.out_h,
                          need.used);
        }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("resize");
    TCase *t = tcase_create("resize");
    tcase_set_timeout(t, 120);
    tcase_add_test(t, results_are_the_libraries);
    tcase_add_test(t, every_format_gives_the_same);
    tcase_add_test(t, gray_is_three_equal_channels);
    tcase_add_test(t, pixels_outside_the_crop_do_not_count);
    tcase_add_test(t, a_crop_far_outside_is_all_padding);
    tcase_add_test(t, a_flat_picture_stays_flat);
    tcase_add_test(t, only_the_output_is_written);
    tcase_add_test(t, wrong_arguments_are_named);
    tcase_add_test(t, without_memory_it_says_so);
    tcase_add_test(t, the_largest_sides_work);
    tcase_add_test(t, scratch_is_bounded);
    suite_add_tcase(suite, t);
    return run_suite(suite);
}
