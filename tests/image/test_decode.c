/* test_decode.c - every decoder: sound pictures to their exact pixels, broken ones to the
 * right status, nothing left behind in either case. Pictures: make_goldens.py. */
#include "dfn_config.h"
#include "tests/image/golden.h"

#include <errno.h>

/* Decodes a copy of the bytes that ends where they end, so that a sanitizer sees a read
 * past it. The result's pixels are compared and freed; nothing may stay. */
static ef_status decode(const uint8_t *data, size_t size, struct test_mem *m,
                        const ef_limits *limits, ef_image *out, ef_error *err)
{
    ef_options opt;
    test_options(&opt, m);
    if (limits)
        opt.limits = *limits;
    uint8_t *exact = malloc(size ? size : 1);
    ck_assert_ptr_nonnull(exact);
    memcpy(exact, data, size);
    const ef_status st = dfn_image_decode(exact, size, &opt, out, err);
    free(exact);
    return st;
}

/* Decodes and frees; out must be untouched after a failure. */
static ef_status try_decode(const uint8_t *data, size_t size, struct test_mem *m,
                            ef_error *err)
{
    ef_image img, before;
    memset(&img, 0x5a, sizeof img);
    before = img;
    memset(err, 0, sizeof *err);
    const ef_status st = decode(data, size, m, NULL, &img, err);
    if (st)
        ck_assert_mem_eq(&img, &before, sizeof img);
    else
        dfn_image_free(&img);
    ck_assert_int_eq(m->live, 0);
    return st;
}

/* What this build makes of a picture that the table says how to read. */
static ef_status expected_status(const struct golden *g)
{
    if (!DFN_HAVE_PNG && golden_is(g, "png"))
        return EF_E_UNSUPPORTED;
    return (ef_status)g->status;
}

/* Largest difference that is allowed: none, but stb_image has another inverse DCT and
 * another chroma filter than libjpeg. */
static int tolerance(const struct golden *g)
{
    return !DFN_HAVE_JPEG && golden_is(g, "jpeg") ? 90 : 0;
}

static void compare(const struct golden *g, const ef_image *img, const uint8_t *expected)
{
    const size_t n = (size_t)g->width * (size_t)g->height * 3;
    int most = 0;
    double sum = 0;
    ck_assert_msg(img->width == g->width && img->height == g->height, "%s: is %d x %d",
                  g->name, img->width, img->height);
    ck_assert_int_eq(img->stride, g->width * 3);
    ck_assert_int_eq(img->format, EF_RGB8);
    for (size_t i = 0; i < n; i++) {
        const int d = abs(img->pixels[i] - expected[i]);
        most = d > most ? d : most;
        sum += d;
    }
    ck_assert_msg(most <= tolerance(g) && sum / (double)n < 8,
                  "%s: pixels differ by up to %d, on average %g", g->name, most,
                  sum / (double)n);
}

START_TEST(pictures_have_their_pixels)
{
    static struct golden table[GOLDENS_MOST];
    const size_t n = golden_table(table);
    size_t pixels_size, size;
    uint8_t *pixels = golden_file("decode.rgb", &pixels_size);
    for (size_t i = 0; i < n; i++) {
        const struct golden *g = &table[i];
        uint8_t *data = golden_file(g->name, &size);
        struct test_mem m;
        ef_image img = {0};
        ef_error err = {0};
        test_mem_init(&m);
        /* stb_image cannot tell the one, and forgets the other's AC coefficients. */
        if (!DFN_HAVE_JPEG && (!strcmp(g->name, "jpeg-half-with-end.jpg") ||
                               !strcmp(g->name, "jpeg-100-scans.jpg"))) {
            free(data);
            continue;
        }
        errno = 77;
        const ef_status st = decode(data, size, &m, NULL, &img, &err);
        ck_assert_int_eq(errno, 77);
        ck_assert_msg(st == expected_status(g), "%s: status %d, expected %d: %s", g->name,
                      st, expected_status(g), err.what);
        if (st) {
            assert_status(st, expected_status(g), &err);
        } else {
            ck_assert_uint_le(g->at + (size_t)g->width * (size_t)g->height * 3,
                              pixels_size);
            compare(g, &img, pixels + g->at);
        }
        dfn_image_free(&img);
        ck_assert_msg(m.live == 0, "%s: %ld blocks left", g->name, m.live);
        free(data);
    }
    free(pixels);
}
END_TEST

START_TEST(a_truncated_picture_is_refused)
{
    static struct golden table[GOLDENS_MOST];
    const size_t n = golden_table(table);
    for (size_t i = 0; i < n; i++) {
        const struct golden *g = &table[i];
        size_t size;
        /* Sound ones only; jpeg-padded has bytes to spare on purpose. */
        if (g->status || expected_status(g) || golden_is(g, "jpeg-padded"))
            continue;
        uint8_t *data = golden_file(g->name, &size);
        for (size_t cut = 0; cut < size; cut += cut < 64 || size - cut < 20 ? 1 : 7) {
            struct test_mem m;
            ef_error err;
            test_mem_init(&m);
            const ef_status st = try_decode(data, cut, &m, &err);
            ck_assert_msg(st == EF_E_FORMAT, "%s: %zu of %zu bytes: status %d (%s)",
                          g->name, cut, size, st, err.what);
            ck_assert_str_ne(err.what, "");
        }
        free(data);
    }
}
END_TEST

/* Any answer will do, as long as it is an answer: sanitizers and the allocator watch. */
START_TEST(damaged_bytes_do_no_harm)
{
    static struct golden table[GOLDENS_MOST];
    const size_t n = golden_table(table);
    uint64_t random = 1;
    int refused = 0;
    for (size_t i = 0; i < n; i++) {
        size_t size;
        uint8_t *data = golden_file(table[i].name, &size);
        for (int round = 0; round < 60; round++) {
            const size_t at =
                test_random(&random) % (round < 30 && size > 80 ? 80 : size);
            const uint8_t old = data[at];
            struct test_mem m;
            ef_error err;
            test_mem_init(&m);
            data[at] = (uint8_t)test_random(&random);
            const ef_status st = try_decode(data, size, &m, &err);
            ck_assert_msg(st == EF_OK || st == EF_E_FORMAT || st == EF_E_UNSUPPORTED ||
                              st == EF_E_LIMIT,
                          "%s: byte %zu: status %d (%s)", table[i].name, at, st,
                          err.what);
            refused += st != EF_OK;
            data[at] = old;
        }
        free(data);
    }
    ck_assert_int_gt(refused, 100);
}
END_TEST

/* The n-th allocation fails, for every n: once, then from then on. */
START_TEST(without_memory_it_says_so)
{
    static struct golden table[GOLDENS_MOST];
    const size_t n = golden_table(table);
    for (size_t i = 0; i < n; i++) {
        const struct golden *g = &table[i];
        size_t size;
        if (g->status || expected_status(g))
            continue;
        uint8_t *data = golden_file(g->name, &size);
        for (int mode = 0; mode < 2; mode++) {
            for (long fail = 1;; fail++) {
                struct test_mem m;
                ef_error err;
                test_mem_init(&m);
                m.fail_at = fail;
                m.from_then_on = mode == 1;
                const ef_status st = try_decode(data, size, &m, &err);
                if (!m.failed) {
                    ck_assert_int_eq(st, EF_OK);
                    ck_assert_int_gt(fail, 1);
                    break;
                }
                ck_assert_msg(st == EF_E_NOMEM, "%s: allocation %ld: status %d (%s)",
                              g->name, fail, st, err.what);
                ck_assert_str_ne(err.what, "");
            }
        }
        free(data);
    }
}
END_TEST

START_TEST(more_pixels_than_allowed_are_refused)
{
    static struct golden table[GOLDENS_MOST];
    const size_t n = golden_table(table);
    for (size_t i = 0; i < n; i++) {
        const struct golden *g = &table[i];
        const uint64_t pixels = (uint64_t)g->width * (uint64_t)g->height;
        size_t size;
        if (g->status || expected_status(g) || pixels == 1)
            continue;
        uint8_t *data = golden_file(g->name, &size);
        for (uint64_t less = 0; less < 2; less++) {
            const ef_limits limits = {1u << 20, pixels - less};
            struct test_mem m;
            ef_image img = {0};
            ef_error err = {0};
            test_mem_init(&m);
            const ef_status st = decode(data, size, &m, &limits, &img, &err);
            assert_status(st, less ? EF_E_LIMIT : EF_OK, &err);
            dfn_image_free(&img);
            ck_assert_int_eq(m.live, 0);
            /* Refused before the pixels were allocated: libpng's own state may be. */
            if (less && !golden_is(g, "png"))
                ck_assert_int_eq(m.calls, 0);
        }
        free(data);
    }
}
END_TEST

static void put_be(uint8_t *p, uint32_t v, int bytes)
{
    for (int i = 0; i < bytes; i++)
        p[i] = (uint8_t)(v >> 8 * (bytes - 1 - i));
}

/* A sound file's header with other sides, its data as small as before. */
static uint8_t *resized(const char *name, uint32_t w, uint32_t h, size_t *size)
{
    uint8_t *d = golden_file(name, size);
    if (!strncmp(name, "png", 3)) {
        put_be(d + 16, w, 4);
        put_be(d + 20, h, 4);
        put_be(d + 29, crc32_of(d + 12, 17), 4);
    } else if (!strncmp(name, "jpeg", 4)) {
        size_t at = 2;
        while (at + 9 < *size &&
               !(d[at] == 0xff && (d[at + 1] == 0xc0 || d[at + 1] == 0xc2)))
            at++;
        put_be(d + at + 5, h, 2);
        put_be(d + at + 7, w, 2);
    } else {
        for (int i = 0; i < 4; i++) {
            d[18 + i] = (uint8_t)(w >> 8 * i);
            d[22 + i] = (uint8_t)(h >> 8 * i);
        }
    }
    return d;
}

/* A few bytes that claim a large picture: refused before the picture is allocated. */
START_TEST(a_large_claim_allocates_little)
{
    static const struct {
        const char *name;
        uint32_t w, h;
        ef_status status;
    } cases[] = {
        {"png-colour6-8bit.png", 60000, 2000, EF_E_FORMAT},
        {"png-colour6-8bit.png", 2000, 60000, EF_E_FORMAT},
        {"png-colour6-16bit-interlaced.png", 11000, 11000, EF_E_FORMAT},
        {"png-colour0-1bit.png", 60000, 2200, EF_E_FORMAT},
        {"png-colour6-8bit.png", 60000, 60000, EF_E_LIMIT},
        {"png-colour6-8bit.png", 65536, 1, EF_E_LIMIT},
        {"png-colour6-8bit.png", 1, 0x7fffffff, EF_E_LIMIT},
        {"png-colour6-8bit.png", 0xffffffffu, 0xffffffffu, EF_E_LIMIT},
        {"png-colour6-8bit.png", 0, 5, EF_E_FORMAT},
        {"bmp-24bit.bmp", 60000, 2000, EF_E_FORMAT},
        {"bmp-24bit.bmp", 60000, 60000, EF_E_LIMIT},
        {"bmp-24bit.bmp", 7, 0x80000000u, EF_E_LIMIT},
        {"bmp-24bit.bmp", 0x80000001u, 5, EF_E_LIMIT},
        {"bmp-24bit.bmp", 0, 5, EF_E_FORMAT},
        {"bmp-24bit.bmp", 7, 0, EF_E_FORMAT},
        {"jpeg-420.jpg", 60000, 2000, EF_E_FORMAT},
        {"jpeg-progressive.jpg", 2000, 60000, EF_E_FORMAT},
        {"jpeg-420.jpg", 65000, 65000, EF_E_LIMIT},
        {"jpeg-420.jpg", 0, 29, EF_E_FORMAT},
        {"jpeg-420.jpg", 37, 0, EF_E_FORMAT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t size;
        if (!DFN_HAVE_PNG && !strncmp(cases[i].name, "png", 3))
            continue;
        uint8_t *data = resized(cases[i].name, cases[i].w, cases[i].h, &size);
        struct test_mem m;
        ef_error err;
        test_mem_init(&m);
        const ef_status st = try_decode(data, size, &m, &err);
        ck_assert_msg(st == cases[i].status, "case %zu: status %d (%s)", i, st, err.what);
        ck_assert_uint_lt(m.peak, 1u << 20);
        free(data);
    }
}
END_TEST

START_TEST(other_kinds_are_named)
{
    static const struct {
        const char *bytes;
        size_t size;
        ef_status status;
        const char *word;
    } cases[] = {
        {"RIFF\x10\0\0\0WEBPVP8 ", 16, EF_E_UNSUPPORTED, "a WebP picture; convert it"},
        {"RIFF\x10\0\0\0AVI LIST", 16, EF_E_UNSUPPORTED, "AVI video"},
        {"GIF89a\1\0\1\0", 10, EF_E_UNSUPPORTED, "GIF"},
        {"\0\0\0\x18"
         "ftypheic\0\0\0\0",
         16, EF_E_UNSUPPORTED, "HEIC"},
        {"\0\0\0\x18"
         "ftypavif\0\0\0\0",
         16, EF_E_UNSUPPORTED, "AVIF"},
        {"\0\0\0\x18"
         "ftypisom\0\0\0\0",
         16, EF_E_UNSUPPORTED, "video"},
        {"II*\0\10\0\0\0", 8, EF_E_UNSUPPORTED, "TIFF"},
        {"MM\0*\0\0\0\10", 8, EF_E_UNSUPPORTED, "TIFF"},
        {"8BPS\0\1", 6, EF_E_UNSUPPORTED, "Photoshop"},
        {"\0\0\0\x0cjP  \r\n\x87\n", 12, EF_E_UNSUPPORTED, "JPEG 2000"},
        {"\xff\x0a\0\0", 4, EF_E_UNSUPPORTED, "JPEG XL"},
        {"%PDF-1.7\n", 9, EF_E_UNSUPPORTED, "PDF"},
        {"\xef\xbb\xbf \n<!DocType html>", 20, EF_E_UNSUPPORTED, "web page"},
        {"<HTML><body>", 12, EF_E_UNSUPPORTED, "web page"},
        {"<svg xmlns=''/>", 15, EF_E_UNSUPPORTED, "SVG"},
        {"\x1a\x45\xdf\xa3\1\0\0\0", 8, EF_E_UNSUPPORTED, "Matroska"},
        {"PK\3\4....", 8, EF_E_UNSUPPORTED, "archive"},
        {"P7\nWIDTH 1\n", 11, EF_E_UNSUPPORTED, "P7"},
        {"RIFF\x10\0\0\0????", 12, EF_E_FORMAT, "not a picture of a known kind"},
        {"RIFF", 4, EF_E_FORMAT, "not a picture of a known kind"},
        {"hello, world", 12, EF_E_FORMAT, "not a picture of a known kind"},
        {"\x89PNG\r\n\x1a", 7, EF_E_FORMAT, "not a picture of a known kind"},
        {"\xff\xd8", 2, EF_E_FORMAT, "not a picture of a known kind"},
        {"\xff", 1, EF_E_FORMAT, "not a picture of a known kind"},
        {"", 0, EF_E_FORMAT, "is empty"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct test_mem m;
        ef_error err;
        test_mem_init(&m);
        const ef_status st =
            try_decode((const uint8_t *)cases[i].bytes, cases[i].size, &m, &err);
        assert_status(st, cases[i].status, &err);
        ck_assert_msg(strstr(err.what, cases[i].word) != NULL, "case %zu: \"%s\"", i,
                      err.what);
        ck_assert_int_eq(m.calls, 0);
    }
}
END_TEST

START_TEST(no_error_wanted_is_fine)
{
    ef_options opt;
    ef_image img = {0};
    ef_options_init(&opt, sizeof opt);
    ck_assert_int_eq(dfn_image_decode((const uint8_t *)"P6", 2, &opt, &img, NULL),
                     EF_E_FORMAT);
    ck_assert_int_eq(dfn_image_decode(NULL, 2, &opt, &img, NULL), EF_E_ARG);
    dfn_image_free(&img);
    dfn_image_free(NULL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("decode");
    TCase *t = tcase_create("decode");
    tcase_set_timeout(t, 120);
    tcase_add_test(t, pictures_have_their_pixels);
    tcase_add_test(t, a_truncated_picture_is_refused);
    tcase_add_test(t, damaged_bytes_do_no_harm);
    tcase_add_test(t, without_memory_it_says_so);
    tcase_add_test(t, more_pixels_than_allowed_are_refused);
    tcase_add_test(t, a_large_claim_allocates_little);
    tcase_add_test(t, other_kinds_are_named);
    tcase_add_test(t, no_error_wanted_is_fine);
    suite_add_tcase(suite, t);
    return run_suite(suite);
}
