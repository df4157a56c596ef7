/* test_misuse.c - every public function with arguments that it must refuse: NULL, zero,
 * negative, huge, NaN, no such enum, structs of the wrong size. Each refusal has the
 * exact status, a place and one sentence; err may be NULL; what `out` points at stays as
 * it was, and so does errno. check_misuse.py sees to it that no function is left out.
 *
 * To add a function, add a START_TEST with REFUSES() lines and list it in main(). */
#include "tests/api/api.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* What no call may write to. */
static char poison_place;
#define POISON ((void *)&poison_place)

/* ---- what the tests work on ---- */

static ef_error error;
static ef_model *model, *flowers;
static ef_session *session;
static ef_classifier *classifier;
static ef_image picture;
static uint8_t *bytes;
static size_t size;
static float input[3 * 40 * 36];

static void open_all(void)
{
    ef_error err;
    ef_options opt = api_native();
    opt.batch = 3;
    model = api_model("softmax_shorter_shift", NULL);
    flowers = api_model("flowers", NULL);
    assert_status(ef_session_create(model, &opt, &session, &err), EF_OK, &err);
    classifier = api_classifier(model, &opt);
    ck_assert(api_picture("scene.ppm", &picture));
    bytes = test_read_file(api_model_path("flowers"), &size);
}

static void close_all(void)
{
    free(bytes);
    ef_image_free(&picture);
    ef_classifier_free(classifier);
    ef_session_free(session);
    ef_model_free(flowers);
    ef_model_free(model);
}

/* ---- options, of every function that takes them ---- */

/* A struct of a later version. */
union later_options {
    ef_options known;
    char bytes[4200];
};

struct bad_options {
    const char *what;
    size_t at; /* offset of an int field */
    int value;
};

#define INT_FIELD(field, value)                                                          \
    {                                                                                    \
#field " = " #value, offsetof(ef_options, field), value                          \
    }

static const struct bad_options bad_numbers[] = {
    INT_FIELD(threads, -1),      INT_FIELD(threads, 65),     INT_FIELD(threads, INT_MIN),
    INT_FIELD(threads, INT_MAX), INT_FIELD(gemm, -1),        INT_FIELD(gemm, 3),
    INT_FIELD(gemm, INT_MAX),    INT_FIELD(height, 31),      INT_FIELD(height, 64),
    INT_FIELD(width, 64),        INT_FIELD(height, -1),      INT_FIELD(width, INT_MIN),
    INT_FIELD(width, 4097),      INT_FIELD(height, INT_MAX), INT_FIELD(batch, 0),
    INT_FIELD(batch, -1),        INT_FIELD(batch, 1025),     INT_FIELD(batch, INT_MAX),
};

/* Calls function number `which` with opt; -1: there are no more. */
static int call_with(int which, const ef_options *opt, ef_error *e)
{
    ef_model *m = POISON;
    ef_session *s = POISON;
    ef_classifier *c = POISON;
    ef_image img, before;
    ef_classifier_options what;
    double d = 5, t = 5;
    int st = -1;
    const ef_model *const models[] = {model};
    const int fd = open(api_model_path("flowers"), O_RDONLY);
    ck_assert_int_ge(fd, 0);
    memset(&img, 0x5a, sizeof img);
    memset(&before, 0x5a, sizeof before);
    input[0] = 77;
    ef_classifier_options_init(&what, sizeof what);
    what.models = models;
    what.model_count = 1;
    errno = API_ERRNO;
    switch (which) {
    case 0:
        st = -ef_model_load_file(api_model_path("flowers"), opt, &m, e);
        break;
    case 1:
        st = -ef_model_load_memory(bytes, size, opt, &m, e);
        break;
    case 2:
        st = -ef_model_load_fd(fd, opt, &m, e);
        break;
    case 3:
        st = -ef_model_load_default(opt, &m, e);
        break;
    case 4:
        st = -ef_model_validate_file(api_model_path("flowers"), opt, NULL, e);
        break;
    case 5:
        st = -ef_model_validate_memory(bytes, size, opt, NULL, e);
        break;
    case 6:
        st = -ef_model_verify(model, opt, &d, &t, e);
        break;
    case 7:
        st = -ef_image_decode_memory(bytes, size, opt, &img, e);
        break;
    case 8:
        st = -ef_image_decode_file(API_FOLDER "pictures/scene.ppm", opt, &img, e);
        break;
    case 9:
        st = -ef_image_decode_fd(fd, opt, &img, e);
        break;
    case 10:
        st = -ef_model_preprocess(model, opt, &picture, NULL, input, e);
        break;
    case 11:
        st = -ef_session_create(model, opt, &s, e);
        break;
    case 12:
        st = -ef_classifier_create(&what, opt, &c, e);
        break;
    case 13:
        st = -ef_classifier_create_simple(model, opt, &c, e);
        break;
    default:
        break;
    }
    const int saved = errno;
    close(fd);
    errno = saved;
    ck_assert(m == POISON && s == POISON && c == POISON);
    ck_assert_mem_eq(&img, &before, sizeof img);
    ck_assert(d > 4.9 && t > 4.9);
    ck_assert(input[0] > 76);
    return st;
}

static void refuse_options(const ef_options *opt, ef_status expected, const char *what)
{
    int which = 0;
    ef_error *e;
    for (int st; (st = call_with(which, opt, e = api_fresh_error())) >= 0; which++) {
        api_refused((ef_status)-st, expected, e, what);
        ck_assert_int_eq(call_with(which, opt, NULL), st);
    }
    ck_assert_int_eq(which, 14);
}

START_TEST(options)
{
    static const size_t sizes[] = {0,    1,       sizeof(size_t), sizeof(ef_options) - 1,
                                   4097, SIZE_MAX};
    union later_options o;
    for (size_t i = 0; i < COUNT(bad_numbers); i++) {
        const struct bad_options *b = &bad_numbers[i];
        ef_options_init(&o.known, sizeof o.known);
        memcpy(o.bytes + b->at, &b->value, sizeof b->value);
        refuse_options(&o.known, EF_E_ARG, b->what);
    }
    for (size_t i = 0; i < COUNT(sizes); i++) {
        ef_options_init(&o.known, sizeof o);
        o.known.struct_size = sizes[i];
        refuse_options(&o.known, EF_E_ARG, "struct_size");
    }
    for (size_t at = sizeof o.known; at < 4096; at += at < 200 ? 1 : 997) {
        ef_options_init(&o.known, sizeof o);
        o.known.struct_size = 4096;
        o.bytes[at] = 1;
        refuse_options(&o.known, EF_E_VERSION, "a field of a later version");
    }
    ef_options_init(&o.known, sizeof o.known);
    o.known.limits.max_pixels = 0;
    refuse_options(&o.known, EF_E_ARG, "max_pixels");
    ef_options_init(&o.known, sizeof o.known);
    o.known.limits.max_file_bytes = 0;
    refuse_options(&o.known, EF_E_ARG, "max_file_bytes");
    struct test_mem mem;
    test_mem_init(&mem);
    test_options(&o.known, &mem);
    o.known.allocator.free = NULL;
    refuse_options(&o.known, EF_E_ARG, "half an allocator");
    test_options(&o.known, &mem);
    o.known.allocator.alloc = NULL;
    refuse_options(&o.known, EF_E_ARG, "half an allocator");
    ck_assert_int_eq(mem.calls, 0);
}
END_TEST

START_TEST(options_init)
{
    union later_options o;
    memset(&o, 0x5a, sizeof o);
    ef_options_init(NULL, sizeof o.known);
    ef_options_init(&o.known, 0);
    ef_options_init(&o.known, sizeof(size_t) - 1);
    for (size_t i = 0; i < sizeof o; i++)
        ck_assert_int_eq(o.bytes[i], 0x5a);
    for (size_t n = sizeof(size_t); n < 200; n++) {
        memset(&o, 0x5a, sizeof o);
        ef_options_init(&o.known, n);
        ck_assert_uint_eq(o.known.struct_size, n);
        for (size_t i = n; i < sizeof o; i++)
            ck_assert_int_eq(o.bytes[i], 0x5a);
    }
    /* A later program's struct with nothing set in its tail is welcome. */
    ef_session *s = NULL;
    ef_error err;
    ef_options_init(&o.known, 4096);
    assert_status(ef_session_create(model, &o.known, &s, &err), EF_OK, &err);
    ef_session_free(s);
}
END_TEST

/* ---- models ---- */

START_TEST(load)
{
    ef_model *m = POISON;
    REFUSES(EF_E_ARG, ef_model_load_file(NULL, NULL, &m, e));
    REFUSES(EF_E_ARG, ef_model_load_file("x", NULL, NULL, e));
    REFUSES(EF_E_IO, ef_model_load_file("", NULL, &m, e));
    REFUSES(EF_E_IO, ef_model_load_file("/no/such/file", NULL, &m, e));
    ck_assert_int_eq(ef_model_load_file("/no/such/file", NULL, &m, &error), EF_E_IO);
    ck_assert_int_eq(error.sys, ENOENT);
    REFUSES(EF_E_IO, ef_model_load_file("/", NULL, &m, e));
    REFUSES(EF_E_FORMAT, ef_model_load_file("/dev/null", NULL, &m, e));
    REFUSES(EF_E_ARG, ef_model_load_memory(NULL, size, NULL, &m, e));
    REFUSES(EF_E_ARG, ef_model_load_memory(bytes, size, NULL, NULL, e));
    REFUSES(EF_E_FORMAT, ef_model_load_memory(bytes, 0, NULL, &m, e));
    REFUSES(EF_E_FORMAT, ef_model_load_memory(bytes, 7, NULL, &m, e));
    REFUSES(EF_E_FORMAT, ef_model_load_memory(bytes, size - 1, NULL, &m, e));
    REFUSES(EF_E_ARG, ef_model_load_fd(-1, NULL, &m, e));
    REFUSES(EF_E_ARG, ef_model_load_fd(INT_MIN, NULL, &m, e));
    REFUSES(EF_E_ARG, ef_model_load_fd(0, NULL, NULL, e));
    REFUSES(EF_E_IO, ef_model_load_fd(INT_MAX, NULL, &m, e));
    REFUSES(EF_E_ARG, ef_model_load_default(NULL, NULL, e));
    ck_assert_ptr_eq(m, POISON);
    ef_options opt;
    ef_options_init(&opt, sizeof opt);
    opt.limits.max_file_bytes = size - 1;
    REFUSES(EF_E_LIMIT, ef_model_load_memory(bytes, size, &opt, &m, e));
    REFUSES(EF_E_LIMIT, ef_model_load_file(api_model_path("flowers"), &opt, &m, e));
    ck_assert_ptr_eq(m, POISON);
    opt.limits.max_file_bytes = size;
    assert_status(ef_model_load_memory(bytes, size, &opt, &m, &error), EF_OK, &error);
    ef_model_free(m);
    ef_model_free(NULL);
}
END_TEST

START_TEST(default_model)
{
    ef_model *m = POISON;
    char path[64] = "as it was";
    ck_assert_int_eq(setenv("DFNET_MODEL", "/no/such/file", 1), 0);
    REFUSES(EF_E_IO, ef_model_load_default(NULL, &m, e));
    REFUSES(EF_E_IO, ef_model_default_path(path, sizeof path, e));
    ck_assert_int_eq(setenv("DFNET_MODEL", "/dev/null", 1), 0);
    REFUSES(EF_E_FORMAT, ef_model_load_default(NULL, &m, e));
    REFUSES(EF_E_ARG, ef_model_default_path(NULL, 64, e));
    REFUSES(EF_E_LIMIT, ef_model_default_path(path, 0, e));
    REFUSES(EF_E_LIMIT, ef_model_default_path(path, strlen("/dev/null"), e));
    ck_assert_str_eq(path, "as it was");
    assert_status(ef_model_default_path(path, strlen("/dev/null") + 1, &error), EF_OK,
                  &error);
    ck_assert_str_eq(path, "/dev/null");
    ck_assert_ptr_eq(m, POISON);
    unsetenv("DFNET_MODEL");
}
END_TEST

/* A struct of a later version. */
union later_info {
    ef_model_info known;
    char bytes[4200];
};

START_TEST(info)
{
    static const size_t sizes[] = {
        0, 1, sizeof(size_t), sizeof(ef_model_info) - 1, 4097, SIZE_MAX};
    union later_info i, before;
    ef_model_info_init(NULL, sizeof i.known);
    memset(&i, 0x5a, sizeof i);
    before = i;
    ef_model_info_init(&i.known, 0);
    ef_model_info_init(&i.known, sizeof(size_t) - 1);
    ck_assert_mem_eq(&i, &before, sizeof i);
    for (size_t k = 0; k < COUNT(sizes); k++) {
        memset(&i, 0x5a, sizeof i);
        i.known.struct_size = sizes[k];
        before = i;
        REFUSES(EF_E_ARG, ef_model_get_info(model, &i.known, e));
        REFUSES(EF_E_ARG, ef_model_validate_memory(bytes, size, NULL, &i.known, e));
        REFUSES(EF_E_ARG,
                ef_model_validate_file(api_model_path("flowers"), NULL, &i.known, e));
        ck_assert_mem_eq(&i, &before, sizeof i);
    }
    ef_model_info_init(&i.known, sizeof i.known);
    REFUSES(EF_E_ARG, ef_model_get_info(NULL, &i.known, e));
    REFUSES(EF_E_ARG, ef_model_get_info(model, NULL, e));
    before = i;
    REFUSES(EF_E_ARG, ef_model_validate_file(NULL, NULL, &i.known, e));
    REFUSES(EF_E_IO, ef_model_validate_file("/no/such/file", NULL, &i.known, e));
    REFUSES(EF_E_ARG, ef_model_validate_memory(NULL, size, NULL, &i.known, e));
    REFUSES(EF_E_FORMAT, ef_model_validate_memory(bytes, size - 1, NULL, &i.known, e));
    ck_assert_mem_eq(&i, &before, sizeof i);
    /* The unknown tail of a later struct is zeroed, nothing behind it touched. */
    memset(&i, 0x5a, sizeof i);
    i.known.struct_size = 4096;
    assert_status(ef_model_get_info(model, &i.known, &error), EF_OK, &error);
    for (size_t at = sizeof i.known; at < sizeof i; at++)
        ck_assert_int_eq(i.bytes[at], at < 4096 ? 0 : 0x5a);
    assert_status(ef_model_validate_memory(bytes, size, NULL, NULL, &error), EF_OK,
                  &error);
}
END_TEST

START_TEST(facts)
{
    double d = 5;
    ck_assert_ptr_null(ef_model_metadata(NULL, "dfnet.name"));
    ck_assert_ptr_null(ef_model_metadata(model, NULL));
    ck_assert_ptr_null(ef_model_metadata(model, ""));
    ck_assert_ptr_null(ef_model_metadata(model, "dfnet.nam"));
    ck_assert_str_eq(ef_model_metadata(flowers, "dfnet.name"), "flowers");
    ck_assert_ptr_null(ef_model_label(NULL, 0));
    ck_assert_ptr_null(ef_model_label(flowers, -1));
    ck_assert_ptr_null(ef_model_label(flowers, 5));
    ck_assert_ptr_null(ef_model_label(flowers, INT_MAX));
    ck_assert_ptr_null(ef_model_label(flowers, INT_MIN));
    ck_assert_str_eq(ef_model_label(flowers, 4), "tulip \xc3\xa4\xe2\x98\x83");
    REFUSES(EF_E_ARG, ef_model_verify(NULL, NULL, &d, &d, e));
    ck_assert(d > 4.9);
    assert_status(ef_model_verify(model, NULL, NULL, NULL, &error), EF_OK, &error);
    assert_status(ef_model_verify(model, NULL, NULL, NULL, NULL), EF_OK, NULL);
}
END_TEST

START_TEST(probabilities)
{
    float z[5] = {1, 2, 3, 4, 5}, p[5] = {9, 9, 9, 9, 9};
    const float bad[] = {NAN, INFINITY, -INFINITY};
    REFUSES(EF_E_ARG, ef_model_probabilities(NULL, z, p, e));
    REFUSES(EF_E_ARG, ef_model_probabilities(flowers, NULL, p, e));
    REFUSES(EF_E_ARG, ef_model_probabilities(flowers, z, NULL, e));
    for (int i = 0; i < 15; i++) {
        const float good = z[i % 5];
        z[i % 5] = bad[i / 5];
        REFUSES(EF_E_NUMERIC, ef_model_probabilities(flowers, z, p, e));
        z[i % 5] = good;
    }
    for (int i = 0; i < 5; i++)
        ck_assert_float_eq(p[i], 9);
    z[0] = 3e38f; /* large ones do not overflow */
    z[1] = -3e38f;
    assert_status(ef_model_probabilities(flowers, z, z, &error), EF_OK, &error);
    ck_assert_float_eq(z[0], 1);
    ck_assert_float_eq(z[1], 0);
}
END_TEST

START_TEST(top)
{
    const float v[3] = {1, NAN, 2};
    ef_top out[4] = {{-7, 0}, {-7, 0}, {-7, 0}, {-7, 0}};
    ck_assert_uint_eq(ef_top_k(NULL, 3, out, 3), 0);
    ck_assert_uint_eq(ef_top_k(v, 3, NULL, 3), 0);
    ck_assert_uint_eq(ef_top_k(v, 0, out, 3), 0);
    ck_assert_uint_eq(ef_top_k(v, 3, out, 0), 0);
    ck_assert_uint_eq(ef_top_k(v, (size_t)INT_MAX + 1, out, 3), 0);
    ck_assert_uint_eq(ef_top_k(v, SIZE_MAX, out, 3), 0);
    ck_assert_int_eq(out[0].output, -7);
    ck_assert_uint_eq(ef_top_k(v, 3, out, SIZE_MAX), 3);
    ck_assert_int_eq(out[0].output, 2);
    ck_assert_int_eq(out[1].output, 0);
    ck_assert_int_eq(out[2].output, 1);
    ck_assert_int_eq(out[3].output, -7);
}
END_TEST

/* ---- images ---- */

START_TEST(decode)
{
    ef_image img, before;
    ef_options opt;
    memset(&img, 0x5a, sizeof img);
    before = img;
    REFUSES(EF_E_ARG, ef_image_decode_memory(NULL, 5, NULL, &img, e));
    REFUSES(EF_E_ARG, ef_image_decode_memory(bytes, size, NULL, NULL, e));
    REFUSES(EF_E_FORMAT, ef_image_decode_memory(NULL, 0, NULL, &img, e));
    REFUSES(EF_E_FORMAT, ef_image_decode_memory(bytes, size, NULL, &img, e));
    REFUSES(EF_E_ARG, ef_image_decode_file(NULL, NULL, &img, e));
    REFUSES(EF_E_ARG, ef_image_decode_file("x", NULL, NULL, e));
    REFUSES(EF_E_IO, ef_image_decode_file("", NULL, &img, e));
    REFUSES(EF_E_IO, ef_image_decode_file("/no/such/file", NULL, &img, e));
    REFUSES(EF_E_IO, ef_image_decode_file("/", NULL, &img, e));
    REFUSES(EF_E_FORMAT, ef_image_decode_file("/dev/null", NULL, &img, e));
    REFUSES(EF_E_FORMAT, ef_image_decode_file(api_model_path("flowers"), NULL, &img, e));
    REFUSES(EF_E_ARG, ef_image_decode_fd(-1, NULL, &img, e));
    REFUSES(EF_E_ARG, ef_image_decode_fd(0, NULL, NULL, e));
    REFUSES(EF_E_IO, ef_image_decode_fd(INT_MAX, NULL, &img, e));
    ef_options_init(&opt, sizeof opt);
    opt.limits.max_pixels = 97 * 71 - 1;
    REFUSES(EF_E_LIMIT,
            ef_image_decode_file(API_FOLDER "pictures/scene.ppm", &opt, &img, e));
    opt.limits.max_pixels++;
    opt.limits.max_file_bytes = 1000;
    REFUSES(EF_E_LIMIT,
            ef_image_decode_file(API_FOLDER "pictures/scene.ppm", &opt, &img, e));
    REFUSES(EF_E_LIMIT, ef_image_decode_memory(bytes, 1001, &opt, &img, e));
    ck_assert_mem_eq(&img, &before, sizeof img);
    opt.limits.max_file_bytes = 100000;
    assert_status(
        ef_image_decode_file(API_FOLDER "pictures/scene.ppm", &opt, &img, &error), EF_OK,
        &error);
    ef_image_free(&img);
    ck_assert_ptr_null(img.owner);
    ef_image_free(&img); /* zeroed */
    ef_image_free(NULL);
    img = (ef_image){bytes, 1, 1, 3, EF_RGB8, NULL};
    ef_image_free(&img); /* wrapped: the pixels stay the caller's */
    ck_assert_ptr_null(img.pixels);
}
END_TEST

/* Pictures that nothing may read. */
static const struct {
    const char *what;
    int32_t width, height;
    ptrdiff_t stride;
    int format;
} bad_images[] = {
    {"width 0", 0, 5, 300, EF_RGB8},
    {"width -1", -1, 5, 300, EF_RGB8},
    {"width 65536", 65536, 5, 300000, EF_RGB8},
    {"width INT32_MAX", INT32_MAX, 1, PTRDIFF_MAX, EF_RGB8},
    {"height 0", 5, 0, 300, EF_RGB8},
    {"height INT32_MIN", 5, INT32_MIN, 300, EF_RGB8},
    {"height 65536", 5, 65536, 300, EF_RGB8},
    {"format 0", 5, 5, 300, 0},
    {"format 5", 5, 5, 300, 5},
    {"format -1", 5, 5, 300, -1},
    {"stride 0", 5, 5, 0, EF_RGB8},
    {"a short stride", 5, 5, 14, EF_BGR8},
    {"a short negative stride", 5, 5, -14, EF_BGR8},
    {"a stride of 3 bytes a pixel", 5, 5, 15, EF_RGBA8},
    {"stride PTRDIFF_MAX", 5, 5, PTRDIFF_MAX, EF_RGB8},
    {"stride PTRDIFF_MIN", 5, 5, PTRDIFF_MIN, EF_RGB8},
};

static void refuse_image(const ef_image *img, const ef_box *box)
{
    ef_face face = {EF_FACE_BOX, *box};
    ef_result r = api_result();
    const ef_result before = r;
    input[0] = 77;
    REFUSES(EF_E_ARG, ef_model_preprocess(model, NULL, img, NULL, input, e));
    REFUSES(EF_E_ARG, ef_model_preprocess(model, NULL, img, box, input, e));
    REFUSES(EF_E_ARG, ef_classify_face(classifier, img, NULL, &r, e));
    REFUSES(EF_E_ARG, ef_classify_face(classifier, img, &face, &r, e));
    REFUSES(EF_E_ARG, ef_classify_faces(classifier, img, box, 1, &r, e));
    ck_assert_mem_eq(&r, &before, sizeof r);
    ck_assert(input[0] > 76);
}

START_TEST(images)
{
    const ef_box box = {0, 0, 4, 4};
    ef_image img = picture;
    img.pixels = NULL;
    refuse_image(&img, &box);
    for (size_t i = 0; i < COUNT(bad_images); i++) {
        img = (ef_image){picture.pixels,
                         bad_images[i].width,
                         bad_images[i].height,
                         bad_images[i].stride,
                         EF_RGB8,
                         NULL};
        memcpy(&img.format, &bad_images[i].format, sizeof img.format);
        refuse_image(&img, &box);
    }
}
END_TEST

START_TEST(preprocess)
{
    const ef_box box = {0, 0, 4, 4}, nowhere = {-9, 0, 4, 4}, nan = {0, 0, NAN, 4};
    input[0] = 77;
    REFUSES(EF_E_ARG, ef_model_preprocess(NULL, NULL, &picture, &box, input, e));
    REFUSES(EF_E_ARG, ef_model_preprocess(model, NULL, NULL, &box, input, e));
    REFUSES(EF_E_ARG, ef_model_preprocess(model, NULL, &picture, &box, NULL, e));
    REFUSES(EF_E_ARG, ef_model_preprocess(model, NULL, &picture, &nowhere, input, e));
    REFUSES(EF_E_ARG, ef_model_preprocess(model, NULL, &picture, &nan, input, e));
    ck_assert(input[0] > 76);
}
END_TEST

/* ---- sessions ---- */

static int write_nothing(void *user, const char *text, size_t length)
{
    (void)user, (void)text, (void)length;
    return 0;
}

START_TEST(sessions)
{
    static const int wrong[] = {0, -1, 4, INT_MIN, INT_MAX};
    ef_session *s = POISON;
    float logits[6] = {9, 9, 9, 9, 9, 9};
    int h = -7;
    REFUSES(EF_E_ARG, ef_session_create(NULL, NULL, &s, e));
    REFUSES(EF_E_ARG, ef_session_create(model, NULL, NULL, e));
    ck_assert_ptr_eq(s, POISON);
    REFUSES(EF_E_ARG, ef_session_run(NULL, input, 1, logits, e));
    REFUSES(EF_E_ARG, ef_session_run(session, NULL, 1, logits, e));
    REFUSES(EF_E_ARG, ef_session_run(session, input, 1, NULL, e));
    for (size_t i = 0; i < COUNT(wrong); i++)
        REFUSES(EF_E_ARG, ef_session_run(session, input, wrong[i], logits, e));
    for (int i = 0; i < 6; i++)
        ck_assert_float_eq(logits[i], 9);
    REFUSES(EF_E_ARG, ef_session_shape(NULL, &h, &h, &h, &h, e));
    ck_assert_int_eq(h, -7);
    assert_status(ef_session_shape(session, NULL, NULL, NULL, NULL, NULL), EF_OK, NULL);
    ck_assert_uint_eq(ef_session_memory(NULL), 0);
    REFUSES(EF_E_ARG, ef_session_explain(NULL, write_nothing, NULL, e));
    REFUSES(EF_E_ARG, ef_session_explain(session, NULL, NULL, e));
    REFUSES(EF_E_ARG, ef_session_profile(NULL, 1, e));
    REFUSES(EF_E_ARG, ef_session_tap(NULL, NULL, NULL, e));
    ef_session_free(NULL);
}
END_TEST

START_TEST(times)
{
    ef_step_time one = {.name = "as it was"};
    ck_assert_uint_eq(ef_session_times(NULL, &one, 1), 0);
    const size_t n = ef_session_times(session, NULL, 0);
    ck_assert_uint_ge(n, 10);
    ck_assert_uint_eq(ef_session_times(session, NULL, SIZE_MAX), n);
    ck_assert_uint_eq(ef_session_times(session, &one, 0), n);
    ck_assert_str_eq(one.name, "as it was");
    ck_assert_uint_eq(ef_session_times(session, &one, 1), n);
    ck_assert_str_eq(one.name, "stem");
}
END_TEST

START_TEST(sizes_of_sessions)
{
    static const int good[][2] = {{32, 32}, {33, 57}, {200, 32}};
    ef_options opt = api_native();
    for (size_t i = 0; i < COUNT(good); i++) {
        ef_session *s = NULL;
        int h = 0, w = 0, batch = 0, outputs = 0;
        opt.height = good[i][0];
        opt.width = good[i][1];
        opt.batch = 2;
        assert_status(ef_session_create(model, &opt, &s, &error), EF_OK, &error);
        assert_status(ef_session_shape(s, &h, &w, &batch, &outputs, &error), EF_OK,
                      &error);
        ck_assert(h == opt.height && w == opt.width && batch == 2 && outputs == 2);
        ef_session_free(s);
    }
}
END_TEST

/* Has no more than 1 GiB. */
static void *modest_alloc(void *user, size_t n)
{
    *(size_t *)user = n > *(size_t *)user ? n : *(size_t *)user;
    return n > (size_t)1 << 30 ? NULL : malloc(n);
}

static void modest_free(void *user, void *block)
{
    (void)user;
    free(block);
}

/* Terabytes are asked of the allocator, or not even that, but never half-way. */
START_TEST(a_session_too_large_for_memory)
{
    ef_options opt = api_native();
    ef_session *s = POISON;
    size_t largest = 0;
    opt.allocator = (ef_allocator){modest_alloc, modest_free, &largest};
    opt.height = opt.width = 4096;
    opt.batch = 1024;
    REFUSES(EF_E_NOMEM, ef_session_create(model, &opt, &s, e));
    ck_assert_ptr_eq(s, POISON);
    ck_assert_uint_ge(largest, (size_t)4096 * 4096 * 1024 * 3 * sizeof(float));
}
END_TEST

/* ---- classifiers ---- */

union later_classifier_options {
    ef_classifier_options known;
    char bytes[4200];
};

static const ef_model *two[2];

static void fill(union later_classifier_options *o)
{
    two[0] = two[1] = model;
    memset(o, 0, sizeof *o);
    ef_classifier_options_init(&o->known, sizeof o->known);
    o->known.models = two;
    o->known.model_count = 2;
}

START_TEST(classifier_models)
{
    static const float wrong[] = {0, -1, NAN, INFINITY, -INFINITY};
    union later_classifier_options o;
    ef_classifier *c = POISON;
    fill(&o);
    REFUSES(EF_E_ARG, ef_classifier_create(NULL, NULL, &c, e));
    REFUSES(EF_E_ARG, ef_classifier_create(&o.known, NULL, NULL, e));
    REFUSES(EF_E_ARG, ef_classifier_create_simple(NULL, NULL, &c, e));
    REFUSES(EF_E_ARG, ef_classifier_create_simple(model, NULL, NULL, e));
    REFUSES(EF_E_ARG, ef_classifier_create_simple(flowers, NULL, &c, e));
    o.known.model_count = 0;
    REFUSES(EF_E_ARG, ef_classifier_create(&o.known, NULL, &c, e));
    o.known.model_count = 65;
    REFUSES(EF_E_ARG, ef_classifier_create(&o.known, NULL, &c, e));
    o.known.model_count = SIZE_MAX;
    REFUSES(EF_E_ARG, ef_classifier_create(&o.known, NULL, &c, e));
    fill(&o);
    o.known.models = NULL;
    REFUSES(EF_E_ARG, ef_classifier_create(&o.known, NULL, &c, e));
    fill(&o);
    two[1] = NULL;
    REFUSES(EF_E_ARG, ef_classifier_create(&o.known, NULL, &c, e));
    two[1] = flowers;
    REFUSES(EF_E_ARG, ef_classifier_create(&o.known, NULL, &c, e));
    fill(&o);
    for (size_t i = 0; i < COUNT(wrong); i++) {
        const float weights[2] = {1, wrong[i]};
        o.known.weights = weights;
        REFUSES(EF_E_ARG, ef_classifier_create(&o.known, NULL, &c, e));
    }
    fill(&o);
    o.known.detector = model;
    REFUSES(EF_E_ARG, ef_classifier_create(&o.known, NULL, &c, e));
    ck_assert_ptr_eq(c, POISON);
    ef_classifier_free(NULL);
    ck_assert_uint_eq(ef_classifier_memory(NULL), 0);
}
END_TEST

START_TEST(classifier_options)
{
    static const float thresholds[][2] = {{0.5f, 0.4f}, {-1, 0.5f}, {0.5f, -1},
                                          {NAN, NAN},   {0, 1.5f},  {0, NAN},
                                          {NAN, 1},     {-1, NAN},  {0, INFINITY}};
    static const size_t sizes[] = {
        0, 1, sizeof(size_t), sizeof(ef_classifier_options) - 1, 4097, SIZE_MAX};
    static const int aggregates[] = {-1, 2, INT_MAX};
    union later_classifier_options o;
    ef_classifier *c = POISON;
    for (size_t i = 0; i < COUNT(thresholds); i++) {
        fill(&o);
        o.known.real_below = thresholds[i][0];
        o.known.fake_from = thresholds[i][1];
        REFUSES(EF_E_ARG, ef_classifier_create(&o.known, NULL, &c, e));
    }
    for (size_t i = 0; i < COUNT(sizes); i++) {
        fill(&o);
        o.known.struct_size = sizes[i];
        REFUSES(EF_E_ARG, ef_classifier_create(&o.known, NULL, &c, e));
    }
    for (size_t i = 0; i < COUNT(aggregates); i++) {
        fill(&o);
        memcpy(&o.known.aggregate, &aggregates[i], sizeof aggregates[i]);
        REFUSES(EF_E_ARG, ef_classifier_create(&o.known, NULL, &c, e));
    }
    fill(&o);
    o.known.struct_size = 4096;
    o.bytes[4095] = 1;
    REFUSES(EF_E_VERSION, ef_classifier_create(&o.known, NULL, &c, e));
    ck_assert_ptr_eq(c, POISON);
    o.bytes[4095] = 0;
    assert_status(ef_classifier_create(&o.known, NULL, &c, &error), EF_OK, &error);
    ef_classifier_free(c);

    memset(&o, 0x5a, sizeof o);
    ef_classifier_options_init(NULL, sizeof o.known);
    ef_classifier_options_init(&o.known, 0);
    for (size_t i = 0; i < sizeof o; i++)
        ck_assert_int_eq(o.bytes[i], 0x5a);
    ef_classifier_options_init(&o.known, sizeof(size_t));
    ck_assert_uint_eq(o.known.struct_size, sizeof(size_t));
    ck_assert_int_eq(o.bytes[sizeof(size_t)], 0x5a);
}
END_TEST

START_TEST(classify)
{
    const ef_box boxes[2] = {{0, 0, 4, 4}, {3, 3, 9, 9}};
    ef_face face = {EF_FACE_BOX, {0, 0, 4, 4}};
    ef_result r[2] = {api_result(), api_result()}, before[2];
    memcpy(before, r, sizeof r);
    REFUSES(EF_E_ARG, ef_classify_face(NULL, &picture, &face, r, e));
    REFUSES(EF_E_ARG, ef_classify_face(classifier, NULL, &face, r, e));
    REFUSES(EF_E_ARG, ef_classify_face(classifier, &picture, &face, NULL, e));
    REFUSES(EF_E_ARG, ef_classify_faces(NULL, &picture, boxes, 2, r, e));
    REFUSES(EF_E_ARG, ef_classify_faces(classifier, NULL, boxes, 2, r, e));
    REFUSES(EF_E_ARG, ef_classify_faces(classifier, &picture, NULL, 2, r, e));
    REFUSES(EF_E_ARG, ef_classify_faces(classifier, &picture, boxes, 2, NULL, e));
    REFUSES(EF_E_ARG, ef_classify_faces(classifier, &picture, boxes, 0, r, e));
    REFUSES(EF_E_ARG, ef_classify_faces(classifier, &picture, boxes, SIZE_MAX, r, e));
    REFUSES(EF_E_ARG,
            ef_classify_faces(classifier, &picture, boxes, SIZE_MAX / 16, r, e));
    const ef_detection found = {.box = {0, 0, 4, 4}, .score = 1};
    REFUSES(EF_E_ARG, ef_classify_detections(NULL, &picture, &found, 1, r, e));
    REFUSES(EF_E_ARG, ef_classify_detections(classifier, NULL, &found, 1, r, e));
    REFUSES(EF_E_ARG, ef_classify_detections(classifier, &picture, NULL, 1, r, e));
    REFUSES(EF_E_ARG, ef_classify_detections(classifier, &picture, &found, 1, NULL, e));
    REFUSES(EF_E_ARG, ef_classify_detections(classifier, &picture, &found, 0, r, e));
    REFUSES(EF_E_ARG,
            ef_classify_detections(classifier, &picture, &found, SIZE_MAX / 32, r, e));
    const int modes[] = {-1, 3, INT_MAX};
    for (size_t i = 0; i < COUNT(modes); i++) {
        memcpy(&face.mode, &modes[i], sizeof face.mode);
        REFUSES(EF_E_ARG, ef_classify_face(classifier, &picture, &face, r, e));
    }
    face.mode = EF_FACE_DETECT;
    REFUSES(EF_E_UNSUPPORTED, ef_classify_face(classifier, &picture, &face, r, e));
    ck_assert_mem_eq(r, before, sizeof r);
}
END_TEST

START_TEST(results)
{
    static const size_t sizes[] = {
        0,    1,       sizeof(size_t), sizeof(ef_result) - 1, sizeof(ef_result) + 1,
        4104, SIZE_MAX};
    const ef_box boxes[2] = {{0, 0, 4, 4}, {3, 3, 9, 9}};
    ef_result r[2], before[2];
    memset(r, 0x5a, sizeof r);
    memcpy(before, r, sizeof r);
    ef_result_init(NULL, sizeof *r);
    ef_result_init(r, 0);
    ef_result_init(r, sizeof(size_t) - 1);
    ck_assert_mem_eq(r, before, sizeof r);
    REFUSES(EF_E_ARG, ef_classify_face(classifier, &picture, NULL, r, e));
    for (size_t i = 0; i < COUNT(sizes); i++) {
        r[0] = r[1] = api_result();
        r[0].struct_size = sizes[i];
        memcpy(before, r, sizeof r);
        REFUSES(EF_E_ARG, ef_classify_face(classifier, &picture, NULL, r, e));
        REFUSES(EF_E_ARG, ef_classify_faces(classifier, &picture, boxes, 1, r, e));
        r[0].struct_size = sizeof *r;
        r[1].struct_size = sizes[i];
        memcpy(before, r, sizeof r);
        REFUSES(EF_E_ARG, ef_classify_faces(classifier, &picture, boxes, 2, r, e));
        ck_assert_mem_eq(r, before, sizeof r);
    }
}
END_TEST

START_TEST(names)
{
    static const int statuses[] = {0, -1, -11, -12, 1, INT_MIN, INT_MAX};
    for (size_t i = 0; i < COUNT(statuses); i++) {
        const char *text = ef_strerror((ef_status)statuses[i]);
        ck_assert(text && *text);
    }
    ck_assert_str_eq(ef_strerror(EF_E_NOMEM), "out of memory");
    ck_assert_str_eq(ef_verdict_name(EF_VERDICT_FAKE), "fake");
    ck_assert_str_eq(ef_verdict_name((ef_verdict)4), "none");
    ck_assert_str_eq(ef_verdict_name((ef_verdict)-1), "none");
    ck_assert_uint_eq(ef_version(),
                      EF_VERSION_MAJOR << 16 | EF_VERSION_MINOR << 8 | EF_VERSION_PATCH);
    ck_assert_uint_eq(ef_cpu_features() & ~(EF_CPU_AVX2 | EF_CPU_AVX512 | EF_CPU_NEON),
                      0);
}
END_TEST

/* After all that, the objects still work. */
START_TEST(refusals_leave_no_trace)
{
    const ef_box box = {20, 15, 40, 36}, bad = {500, 0, 1, 1};
    const ef_result first = api_score(classifier, &picture, &box);
    ef_result r = api_result();
    REFUSES(EF_E_ARG, ef_classify_faces(classifier, &picture, &bad, 1, &r, e));
    const ef_result second = api_score(classifier, &picture, &box);
    ck_assert_mem_eq(&first, &second, sizeof first);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("misuse");
    TCase *t = tcase_create("misuse");
    tcase_set_timeout(t, 120);
    tcase_add_checked_fixture(t, open_all, close_all);
    tcase_add_test(t, options);
    tcase_add_test(t, options_init);
    tcase_add_test(t, load);
    tcase_add_test(t, default_model);
    tcase_add_test(t, info);
    tcase_add_test(t, facts);
    tcase_add_test(t, probabilities);
    tcase_add_test(t, top);
    tcase_add_test(t, decode);
    tcase_add_test(t, images);
    tcase_add_test(t, preprocess);
    tcase_add_test(t, sessions);
    tcase_add_test(t, times);
    tcase_add_test(t, sizes_of_sessions);
    tcase_add_test(t, a_session_too_large_for_memory);
    tcase_add_test(t, classifier_models);
    tcase_add_test(t, classifier_options);
    tcase_add_test(t, classify);
    tcase_add_test(t, results);
    tcase_add_test(t, names);
    tcase_add_test(t, refusals_leave_no_trace);
    suite_add_tcase(s, t);
    return run_suite(s);
}
