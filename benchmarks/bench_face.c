/* bench_face.c - how long everything before the network takes: finding faces, cutting
 * them out, and each resize filter by itself. Internal interface (dfn_resize): links the
 * static library. */
#include "benchmarks/bench.h"
#include "dfnet/dfnet.h"
#include "examples/common.h"
#include "lib/image/image.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
    "bench_face PICTURE                        needs the detector's weights\n"
    "bench_face                                only what needs none, on noise of 1080p\n"
    "bench_face --json PICTURE > new.json      for google-benchmark's compare.py\n"
    "\n"
    "bench_face [OPTION...] [PICTURE]\n"
    "  --detector FILE  (default: the default detector)\n"
    "  --model FILE     whose crop and resize rule preprocess uses (default: the "
    "default\n"
    "                   model)\n"
    "  --threads N      of the detector: 1 (default); 0: one for each CPU\n"
    "  --cpu LEVEL      ref, avx2, avx512, neon or a mask: what kernels may use\n"
    "  --seconds S      for each line (0.5)\n"
    "  --json           google-benchmark's JSON\n";

/* A crop of a face, to and from the input of common networks. */
#define LARGE 600
#define SMALL 224

struct bench {
    ef_options opt;
    const char *detector, *model, *picture;
    double seconds;
    bool json;
    ef_image img;
    uint8_t *noise;
    struct dfn_scratch scratch;
};

static int parse(struct bench *b, int argc, char **argv)
{
    static const struct option options[] = {
        {"detector", 1, 0, 'd'}, {"model", 1, 0, 'm'}, {"threads", 1, 0, 't'},
        {"cpu", 1, 0, 'c'},      {"json", 0, 0, 'j'},  {"seconds", 1, 0, 's'},
        {"help", 0, 0, 'h'},     {NULL, 0, NULL, 0}};
    for (int o; (o = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        bool ok = true;
        switch (o) {
        case 'd':
            b->detector = optarg;
            break;
        case 'm':
            b->model = optarg;
            break;
        case 't':
            ok = ex_parse_int(optarg, 0, 64, &b->opt.threads);
            break;
        case 'c':
            ok = bench_parse_cpu(optarg, &b->opt.cpu_mask);
            break;
        case 's':
            b->seconds = atof(optarg);
            ok = b->seconds > 0 && b->seconds <= 600;
            break;
        case 'j':
            b->json = true;
            break;
        case 'h':
            return fputs(help, stdout), EX_DONE;
        default:
            ok = false;
        }
        if (!ok)
            return fputs("bench_face: try --help\n", stderr), EX_USAGE;
    }
    if (optind < argc)
        b->picture = argv[optind++];
    return optind == argc ? -1 : (fputs("bench_face: try --help\n", stderr), EX_USAGE);
}

static void report(const struct bench *b, const char *name, int (*fn)(void *), void *arg,
                   int threads)
{
    struct bench_times t;
    if (!bench_run_for(fn, arg, 1, b->seconds, &t))
        fprintf(stderr, "bench_face: %s failed\n", name);
    else if (b->json)
        bench_json_row(name, &t, threads, "");
    else
        printf("%-40s %10.3f %10.3f ms %6d\n", name, t.min / 1e6, t.median / 1e6, t.n);
    free(t.ns);
}

static int fail(const ef_error *err)
{
    fprintf(stderr, "bench_face: %s: %s\n", err->where, err->what);
    return EX_MODEL;
}

/* ---- resize ---- */

struct resize_call {
    struct bench *b;
    struct dfn_rect rect;
    enum dfn_resample filter;
    uint8_t *out;
    int out_side;
};

static int resize_once(void *arg)
{
    const struct resize_call *c = arg;
    return dfn_resize(&c->b->img, &c->rect, c->filter, NULL, c->out, c->out_side,
                      c->out_side, (size_t)c->out_side * 3, &c->b->scratch,
                      &c->b->opt.allocator, NULL) != EF_OK;
}

static void resizes(struct bench *b)
{
    static const char *const names[] = {"pillow_box",     "pillow_bilinear",
                                        "pillow_bicubic", "opencv_area",
                                        "opencv_linear",  "opencv_cubic"};
    static const int sides[][2] = {
        {LARGE, SMALL}, {SMALL / 2, SMALL}, {2 * SMALL, SMALL}};
    uint8_t *out = malloc((size_t)SMALL * SMALL * 3);
    for (int i = 0; out && i < 6; i++)
        for (int k = 0; k < 3; k++) {
            const int side = sides[k][0];
            struct resize_call c = {
                b, {100, 100, side, side}, (enum dfn_resample)i, out, sides[k][1]};
            char name[80];
            if (b->img.width < 100 + side || b->img.height < 100 + side)
                continue;
            snprintf(name, sizeof name, "resize/%s/%d/%d", names[i], side, sides[k][1]);
            report(b, name, resize_once, &c, 1);
        }
    free(out);
}

/* ---- preprocessing ---- */

struct prepare_call {
    const struct bench *b;
    const ef_model *model;
    ef_box face;
    float *out;
};

static int prepare_once(void *arg)
{
    const struct prepare_call *c = arg;
    return ef_model_preprocess(c->model, &c->b->opt, &c->b->img, &c->face, c->out,
                               NULL) != EF_OK;
}

static int prepares(const struct bench *b)
{
    ef_error err;
    ef_model *model;
    ef_model_info info;
    ef_model_info_init(&info, sizeof info);
    ef_status st = b->model ? ef_model_load_file(b->model, &b->opt, &model, &err)
                            : ef_model_load_default(&b->opt, &model, &err);
    if (st)
        return fail(&err);
    ef_model_get_info(model, &info, NULL);
    const int least = b->img.height < b->img.width ? b->img.height : b->img.width;
    const float side = (float)least;
    struct prepare_call c = {
        b, model, {side / 4, side / 4, side * 0.4f, side * 0.4f}, NULL};
    c.out = malloc((size_t)info.height * (size_t)info.width * 3 * sizeof *c.out);
    if (c.out)
        report(b, "preprocess/face", prepare_once, &c, 1);
    free(c.out);
    ef_model_free(model);
    return EX_DONE;
}

/* ---- detector ---- */

struct detect_call {
    const struct bench *b;
    ef_detector *detector;
    size_t found;
};

static int detect_once(void *arg)
{
    struct detect_call *c = arg;
    return ef_detect_faces(c->detector, &c->b->img, NULL, 0, &c->found, NULL) != EF_OK;
}

static int detects(const struct bench *b)
{
    ef_error err;
    ef_model *model;
    struct detect_call c = {b, NULL, 0};
    ef_status st = b->detector ? ef_model_load_file(b->detector, &b->opt, &model, &err)
                               : ef_detector_model_load_default(&b->opt, &model, &err);
    if (st)
        return fail(&err);
    st = ef_detector_create(model, NULL, &b->opt, &c.detector, &err);
    if (!st)
        report(b, "detect", detect_once, &c, b->opt.threads);
    if (!st && !b->json)
        printf("%zu faces, detector's memory %.1f MiB\n", c.found,
               (double)ef_detector_memory(c.detector) / 1048576);
    ef_detector_free(c.detector);
    ef_model_free(model);
    return st ? fail(&err) : EX_DONE;
}

/* ---- the whole ---- */

/* The picture, or one of noise. */
static ef_status picture(struct bench *b, ef_error *err)
{
    uint32_t seed = 1;
    if (b->picture)
        return ef_image_decode_file(b->picture, &b->opt, &b->img, err);
    const size_t bytes = (size_t)1920 * 1080 * 3;
    b->noise = malloc(bytes);
    for (size_t i = 0; b->noise && i < bytes; i++)
        b->noise[i] = (uint8_t)((seed = seed * 1664525u + 1013904223u) >> 24);
    b->img = (ef_image){b->noise, 1920, 1080, (ptrdiff_t)1920 * 3, EF_RGB8, NULL};
    return b->noise ? EF_OK : EF_E_NOMEM;
}

int main(int argc, char **argv)
{
    struct bench b = {.seconds = 0.5};
    ef_error err = {EF_OK, 0, "bench_face", "out of memory"};
    ef_options_init(&b.opt, sizeof b.opt);
    int code = parse(&b, argc, argv);
    if (code >= 0)
        return code;
    if (picture(&b, &err))
        return fail(&err);
    if (b.json)
        bench_json_begin("bench_face", "none", 0);
    else
        printf("%-40s %10s %10s %9s\n", "", "least", "median", "runs");
    code = b.picture ? detects(&b) : EX_DONE;
    if (!code)
        code = prepares(&b);
    if (!code)
        resizes(&b);
    if (b.json)
        bench_json_end();
    ef_image_free(&b.img);
    free(b.noise);
    dfn_scratch_free(&b.scratch, &b.opt.allocator);
    return code;
}
