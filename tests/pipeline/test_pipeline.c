/* test_pipeline.c - the parser of pipelines: the shipped files with their systems'
 * numbers, one file with every key, what is refused and in which line, models loaded
 * through one. */
#include "lib/model/model.h"
#include "tests/support/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SHIPPED TEST_SOURCE_ROOT "/examples/pipelines/"
#define MODELS TEST_SOURCE_ROOT "/weights_tools/models/"
#define BASELINE MODELS "face-lite0.safetensors"

static ef_pipeline *parsed(const char *text)
{
    ef_pipeline *p = NULL;
    ef_error err = {0};
    const ef_status st =
        ef_pipeline_parse_memory(text, strlen(text), NULL, NULL, &p, &err);
    ck_assert_msg(st == EF_OK, "%s: %s", err.where, err.what);
    return p;
}

static ef_pipeline_info info_of(const ef_pipeline *p)
{
    ef_pipeline_info info;
    ef_pipeline_info_init(&info, sizeof info);
    ck_assert_int_eq(ef_pipeline_get_info(p, &info, NULL), EF_OK);
    return info;
}

static ef_pipeline_model model_of(const ef_pipeline *p, size_t i)
{
    ef_pipeline_model m;
    ef_pipeline_model_init(&m, sizeof m);
    ck_assert_int_eq(ef_pipeline_get_model(p, i, &m, NULL), EF_OK);
    return m;
}

/* ---- the shipped ones ------------------------------------------------------------ */

static ef_pipeline *shipped(const char *name, size_t models, ef_rule_kind kind)
{
    char path[512];
    ef_pipeline *p = NULL;
    ef_error err = {0};
    snprintf(path, sizeof path, SHIPPED "%s.pipeline", name);
    const ef_status st = ef_pipeline_parse_file(path, NULL, &p, &err);
    ck_assert_msg(st == EF_OK, "%s: %s", err.where, err.what);
    ck_assert_uint_eq(info_of(p).model_count, models);
    ck_assert_int_eq(ef_pipeline_rule(p)->kind, kind);
    ck_assert_uint_eq(ef_pipeline_rule(p)->model_count, models);
    /* Each says that it is a part. */
    ck_assert_ptr_eq(strstr(info_of(p).lacks, "A partial system"), info_of(p).lacks);
    /* Rules are their kind's defaults, which are the systems' numbers. */
    ef_rule usual;
    ef_rule_init(&usual, kind, sizeof usual);
    const ef_rule *r = ef_pipeline_rule(p);
    ck_assert_mem_eq(&r->high, &usual.high,
                     offsetof(ef_rule, run) - offsetof(ef_rule, high));
    ck_assert_mem_eq(&r->share, &usual.share,
                     offsetof(ef_rule, model_count) - offsetof(ef_rule, share));
    ck_assert_uint_eq(r->run, usual.run);
    ck_assert_int_eq(r->faces, usual.faces);
    ck_assert_int_eq(r->models, usual.models);
    return p;
}

START_TEST(the_first_place)
{
    ef_pipeline *p = shipped("selimsef", 7, EF_RULE_CONFIDENT);
    const ef_pipeline_info i = info_of(p);
    const double thresholds[] = {0.7, 0.8, 0.8};
    ck_assert_int_eq(i.detector, EF_PIPELINE_MTCNN);
    ck_assert_double_eq(i.scale, 0.5);
    ck_assert_mem_eq(i.thresholds, thresholds, sizeof thresholds);
    ck_assert_double_eq(i.min_face, 20);
    ck_assert_double_eq(i.factor, 0.709);
    ck_assert_int_eq(i.frames, EF_FRAMES_SPREAD);
    ck_assert_uint_eq(i.count, 32);
    ck_assert_uint_eq(i.max_scores, 127);
    ck_assert_ptr_null(ef_pipeline_rule(p)->weights);
    ck_assert_str_eq(model_of(p, 6).name, "seed 999 epoch 23");
    ef_pipeline_free(p);
}
END_TEST

START_TEST(the_second_place)
{
    ef_pipeline *p = shipped("wm", 1, EF_RULE_MEAN_PROB);
    const ef_pipeline_info i = info_of(p);
    ck_assert_int_eq(i.frames, EF_FRAMES_STEP);
    ck_assert_uint_eq(i.every, 10);
    ck_assert_uint_eq(i.first, 9);
    ck_assert_uint_eq(i.max_scores, 25);
    ck_assert_uint_eq(i.max_faces, 1);
    ck_assert_double_eq(i.score, 0.8);
    ck_assert_double_eq(ef_pipeline_rule(p)->weights[0], 0.1);
    ef_pipeline_free(p);
}
END_TEST

START_TEST(the_third_place)
{
    ef_pipeline *p = shipped("ntechlab", 3, EF_RULE_SHARPEN);
    const ef_pipeline_info i = info_of(p);
    ck_assert_int_eq(i.frames, EF_FRAMES_RATE);
    ck_assert_double_eq(i.rate, 15);
    ck_assert_str_eq(model_of(p, 0).crop, "large");
    ck_assert_str_eq(model_of(p, 1).crop, "small");
    ck_assert_uint_eq(i.detect_every, 3);
    ck_assert_uint_eq(i.least_found, 7);
    static const ef_turns turns[] = {{8, 5, 1}, {8, 80, 16}, {28, 1 | 1 << 14, 1}};
    for (size_t k = 0; k < 3; k++) {
        const ef_turns t = model_of(p, k).turns;
        ck_assert(t.period == turns[k].period && t.take == turns[k].take &&
                  t.mirror == turns[k].mirror);
    }
    ef_pipeline_free(p);
}
END_TEST

START_TEST(the_fourth_place)
{
    static const double weights[] = {6, 10, 8, 8, 7};
    static const uint8_t shrinks[] = {1, 0, 0, 0, 0};
    ef_pipeline *p = shipped("robustforensics", 5, EF_RULE_GROUP);
    const ef_pipeline_info i = info_of(p);
    ck_assert_int_eq(i.frames, EF_FRAMES_INTERVAL);
    ck_assert_uint_eq(i.count, 160);
    ck_assert_uint_eq(i.per_face, 35);
    ck_assert_uint_eq(i.max_faces, 2);
    ck_assert_mem_eq(ef_pipeline_rule(p)->weights, weights, sizeof weights);
    ck_assert_mem_eq(ef_pipeline_rule(p)->shrinks, shrinks, sizeof shrinks);
    ck_assert_ptr_null(ef_pipeline_rule(p)->temperatures);
    ef_pipeline_free(p);
}
END_TEST

START_TEST(the_other_two)
{
    ef_pipeline *p = shipped("icpr2020dfdc", 4, EF_RULE_MEAN_LOGIT);
    ck_assert_uint_eq(info_of(p).count, 32);
    ck_assert_double_eq(info_of(p).score, 0.75);
    ef_pipeline_free(p);
    p = shipped("sbi", 1, EF_RULE_MAX_FACE);
    ck_assert_uint_eq(info_of(p).count, 32);
    ck_assert_double_eq(info_of(p).least_area, 0.5);
    ef_pipeline_free(p);
}
END_TEST

/* Of every shipped crop, put over a model that wants something else. */
START_TEST(crops_of_the_shipped_ones)
{
    static const struct {
        const char *name;
        int model, height, width, least, align;
        enum dfn_resize resize;
        enum dfn_rounding rounding;
        double left, top;
    } crops[] = {
        {"selimsef", 3, 380, 380, 0, 0, DFN_RESIZE_LONGER, DFN_ROUND_WHOLE, 1.0 / 3,
         1.0 / 3},
        {"wm", 0, 300, 300, 0, 320, DFN_RESIZE_SQUASH, DFN_ROUND_NEAREST, 0, 0},
        {"ntechlab", 0, 224, 192, 0, 0, DFN_RESIZE_SHORTER, DFN_ROUND_TRUNCATE, 0.25,
         0.25},
        {"ntechlab", 1, 224, 192, 0, 0, DFN_RESIZE_SHORTER, DFN_ROUND_TRUNCATE, 0.25,
         0.25},
        {"robustforensics", 2, 299, 299, 0, 0, DFN_RESIZE_SQUASH, DFN_ROUND_EVEN, 0.15,
         0.15},
        {"icpr2020dfdc", 1, 224, 224, 224, 0, DFN_RESIZE_SQUASH, DFN_ROUND_TRUNCATE, 0.2,
         0.4},
        {"sbi", 0, 380, 380, 0, 0, DFN_RESIZE_SQUASH, DFN_ROUND_TRUNCATE, 0.125, 0.125},
    };
    for (size_t i = 0; i < sizeof crops / sizeof crops[0]; i++) {
        char path[512];
        ef_pipeline *p = NULL;
        ef_model *m = NULL;
        ef_error err = {0};
        snprintf(path, sizeof path, SHIPPED "%s.pipeline", crops[i].name);
        ck_assert_int_eq(ef_pipeline_parse_file(path, NULL, &p, NULL), EF_OK);
        assert_status(
            ef_pipeline_load_model(p, (size_t)crops[i].model, BASELINE, NULL, &m, &err),
            EF_OK, &err);
        ck_assert_int_eq(m->meta.height, crops[i].height);
        ck_assert_int_eq(m->meta.width, crops[i].width);
        ck_assert_int_eq(m->meta.least, crops[i].least);
        ck_assert_int_eq(m->meta.align.height, crops[i].align);
        ck_assert_int_eq(m->meta.resize, crops[i].resize);
        ck_assert_int_eq(m->meta.rounding, crops[i].rounding);
        ck_assert_double_eq(m->meta.margin[0], crops[i].left);
        ck_assert_double_eq(m->meta.margin[1], crops[i].top);
        ef_model_free(m);
        ef_pipeline_free(p);
    }
}
END_TEST

/* ---- grammar --------------------------------------------------------------------- */

#define HEAD "dfnet-pipeline = 1\nname = n\nsource = s\nlacks = nothing\n"
#define REST "[detector]\nkind = whole\n[frames]\nchoose = all\n"
#define CROP                                                                             \
    "[crop c]\ninput = 64x64\nresize = squash\nfilter = pillow-box\nmean = 0,0,0\n"      \
    "std = 1,1,1\nface.margin = 0,0,0,0\nface.shape = box\nface.outside = pad\n"         \
    "face.pad = 1,2,3\n"
#define BODY "[model]\nfile = m.safetensors\n[rule]\nkind = mean-prob\n"
#define WHOLE HEAD REST BODY

START_TEST(every_key)
{
    ef_pipeline *p = parsed(
        "  # a comment\n\n dfnet-pipeline=1 \nname = \xc3\xa4 # not a comment\nsource = "
        "s = t\nlacks = l\n[ rule ]\nkind = group\nhigh = 0.81\nlow = 0.11\nhigh_divisor "
        "= 3.5\nhigh_least = 7\nlow_share = 0.5\ngamma = 2\nmargin = 0.02\nweight_floor "
        "= "
        "0.5\nrun = 3\nshare = 0.6\nface_sure = 0.91\nface_high = 0.61\nface_low = "
        "0.41\nmodel_high = 0.71\nmodel_low = 0.31\nmodel_share = 0.51\nshrink_from = "
        "0.9\nshrink_by = 0.5\ntemperature = 2\nclip = 0.03\nthresholds = "
        "0.25,0.75\nfaces = mean\nmodels = mean-logit\n[detector]\nkind = mtcnn\nscale = "
        "0.25\nthresholds = 0.1,0.2,0.3\nmin_face = 30\nfactor = 0.5\nscore = "
        "0.9\nleast_area = 0.25\nmax_faces = 4\nevery = 5\nleast_found = "
        "6\n[frames]\nchoose = rate\ncount = "
        "5\nevery "
        "= 6\nfirst = 7\nrate = 12.5\nper_face = 8\nmax_scores = 9\n[model one]\nfile = "
        "a/b.c/d_e-F9\ncrop = c\nweight = 2.5\ntemperature = 1.5\nshrink = 1\nflip = "
        "1\nturns = 64:0m,2,63m\n" CROP "[model]\nfile = x");
    const ef_pipeline_info i = info_of(p);
    const ef_rule *r = ef_pipeline_rule(p);
    ck_assert_str_eq(i.name, "\xc3\xa4 # not a comment");
    ck_assert_str_eq(i.source, "s = t");
    ck_assert_double_eq(i.scale, 0.25);
    ck_assert_double_eq(i.thresholds[2], 0.3);
    ck_assert_double_eq(i.min_face, 30);
    ck_assert_double_eq(i.factor, 0.5);
    ck_assert_double_eq(i.score, 0.9);
    ck_assert_double_eq(i.least_area, 0.25);
    ck_assert_uint_eq(i.max_faces, 4);
    ck_assert_uint_eq(i.count, 5);
    ck_assert_uint_eq(i.every, 6);
    ck_assert_uint_eq(i.first, 7);
    ck_assert_double_eq(i.rate, 12.5);
    ck_assert_uint_eq(i.per_face, 8);
    ck_assert_uint_eq(i.max_scores, 9);
    ck_assert_uint_eq(i.detect_every, 5);
    ck_assert_uint_eq(i.least_found, 6);
    const double reals[] = {
        r->high,        r->low,       r->high_divisor, r->high_least, r->low_share,
        r->gamma,       r->margin,    r->weight_floor, r->share,      r->face_sure,
        r->face_high,   r->face_low,  r->model_high,   r->model_low,  r->model_share,
        r->shrink_from, r->shrink_by, r->temperature,  r->clip,       r->real_below,
        r->fake_from};
    const double expected[] = {0.81, 0.11, 3.5,  7,    0.5,  2,    0.02,
                               0.5,  0.6,  0.91, 0.61, 0.41, 0.71, 0.31,
                               0.51, 0.9,  0.5,  2,    0.03, 0.25, 0.75};
    ck_assert_mem_eq(reals, expected, sizeof expected);
    ck_assert_uint_eq(r->run, 3);
    ck_assert_int_eq(r->faces, EF_FACES_MEAN);
    ck_assert_int_eq(r->models, EF_MODELS_MEAN_LOGIT);
    ck_assert_double_eq(r->weights[0], 2.5);
    ck_assert_double_eq(r->weights[1], 1);
    ck_assert_double_eq(r->temperatures[0], 1.5);
    ck_assert_uint_eq(r->shrinks[0], 1);
    ck_assert_str_eq(model_of(p, 0).name, "one");
    ck_assert_str_eq(model_of(p, 0).file, "a/b.c/d_e-F9");
    ck_assert_str_eq(model_of(p, 0).crop, "c");
    ck_assert_int_eq(model_of(p, 0).flip, 1);
    const ef_turns turns = model_of(p, 0).turns;
    ck_assert_uint_eq(turns.period, 64);
    ck_assert(turns.take == (5 | (uint64_t)1 << 63));
    ck_assert(turns.mirror == (1 | (uint64_t)1 << 63));
    ck_assert_uint_eq(model_of(p, 1).turns.period, 0);
    ck_assert_int_eq(model_of(p, 1).flip, -1);
    ck_assert_str_eq(model_of(p, 1).name, "");
    ck_assert_ptr_null(model_of(p, 1).crop);
    ef_pipeline_free(p);
}
END_TEST

static const struct refusal {
    const char *text;
    int line;
    const char *what; /* part of the sentence */
    ef_status status;
} refusals[] = {
    {"", 0, "dfnet-pipeline is missing", EF_E_FORMAT},
    {"name = n\n", 1, "begins with", EF_E_FORMAT},
    {"dfnet-pipeline = 2\n", 1, "version 2", EF_E_VERSION},
    {"dfnet-pipeline = x\n", 1, "version", EF_E_FORMAT},
    {"dfnet-pipeline = 0\n", 1, "version", EF_E_FORMAT},
    {"dfnet-pipeline = 1\nname = a\nname = b\n", 3, "twice", EF_E_FORMAT},
    {HEAD "colour = red\n", 5, "no key", EF_E_FORMAT},
    {HEAD "colour\n", 5, "no =", EF_E_FORMAT},
    {HEAD "[model\n", 5, "]", EF_E_FORMAT},
    {HEAD "[tracker]\n", 5, "no section", EF_E_FORMAT},
    {HEAD "[]\n", 5, "no section", EF_E_FORMAT},
    {HEAD "[rule one]\n", 5, "no name", EF_E_FORMAT},
    {HEAD "[crop]\n", 5, "needs a name", EF_E_FORMAT},
    {HEAD "[model]\nweight = 1\n[rule]\n", 7, "file is missing", EF_E_FORMAT},
    {"dfnet-pipeline = 1\nname = n\n[rule]\n", 3, "source is missing", EF_E_FORMAT},
    {WHOLE "[rule]\n", 13, "twice", EF_E_FORMAT},
    {HEAD REST, 8, "[model] is missing", EF_E_FORMAT},
    {HEAD "[detector]\nkind = whole\r\n", 6, "line feed", EF_E_FORMAT},
    {HEAD "[detector]\nkind\t= whole\n", 6, "control", EF_E_FORMAT},
    {HEAD "[detector]\nkind = \xff\n", 6, "UTF-8", EF_E_FORMAT},
    {HEAD "[detector]\nkind =\n", 6, "no value", EF_E_FORMAT},
    {HEAD "[detector]\nkind = dlib\n", 6, "given, whole, mtcnn", EF_E_FORMAT},
    {HEAD "[detector]\nscale = 1.5\n", 6, "allowed", EF_E_FORMAT},
    {HEAD "[detector]\nscale = nan\n", 6, "decimal", EF_E_FORMAT},
    {HEAD "[detector]\nthresholds = 0.1,0.2\n", 6, "3", EF_E_FORMAT},
    {HEAD "[detector]\nthresholds = 0.1,0.2,0.3,0.4\n", 6, "3", EF_E_FORMAT},
    {HEAD "[detector]\nmax_faces = -1\n", 6, "integer", EF_E_FORMAT},
    {HEAD "[detector]\nmax_faces = 65536\n", 6, "allowed", EF_E_FORMAT},
    {HEAD "[detector]\nmax_faces = 99999999999999999999\n", 6, "integer", EF_E_FORMAT},
    {HEAD "[frames]\ncount = 0\n", 6, "allowed", EF_E_FORMAT},
    {HEAD "[detector]\nkind = whole\n[frames]\nchoose = spread\n" BODY, 12, "needs count",
     EF_E_FORMAT},
    {HEAD "[detector]\nkind = whole\n[frames]\nchoose = step\n" BODY, 12, "needs every",
     EF_E_FORMAT},
    {HEAD "[detector]\nkind = whole\n[frames]\nchoose = rate\n" BODY, 12, "needs rate",
     EF_E_FORMAT},
    {HEAD "[model]\nfile = /etc/passwd\n", 6, "relative", EF_E_FORMAT},
    {HEAD "[model]\nfile = ../x\n", 6, "relative", EF_E_FORMAT},
    {HEAD "[model]\nfile = a/../x\n", 6, "relative", EF_E_FORMAT},
    {HEAD "[model]\nfile = a//x\n", 6, "relative", EF_E_FORMAT},
    {HEAD "[model]\nfile = a/\n", 6, "relative", EF_E_FORMAT},
    {HEAD "[model]\nfile = .x\n", 6, "relative", EF_E_FORMAT},
    {HEAD "[model]\nfile = a\\x\n", 6, "relative", EF_E_FORMAT},
    {HEAD "[model]\nfile = a b\n", 6, "relative", EF_E_FORMAT},
    {HEAD "[model]\nweight = 0\n", 6, "allowed", EF_E_FORMAT},
    {HEAD "[model]\nshrink = 2\n", 6, "0 or 1", EF_E_FORMAT},
    {HEAD "[model]\nflip = yes\n", 6, "0 or 1", EF_E_FORMAT},
    {HEAD "[model]\nturns = 8\n", 6, "PERIOD:PLACE", EF_E_FORMAT},
    {HEAD "[model]\nturns = 8:\n", 6, "PERIOD:PLACE", EF_E_FORMAT},
    {HEAD "[model]\nturns = 8:1,\n", 6, "PERIOD:PLACE", EF_E_FORMAT},
    {HEAD "[model]\nturns = 8:m\n", 6, "PERIOD:PLACE", EF_E_FORMAT},
    {HEAD "[model]\nturns = 8:1mm\n", 6, "PERIOD:PLACE", EF_E_FORMAT},
    {HEAD "[model]\nturns = 8:8\n", 6, "PERIOD:PLACE", EF_E_FORMAT},
    {HEAD "[model]\nturns = 8:2,1\n", 6, "PERIOD:PLACE", EF_E_FORMAT},
    {HEAD "[model]\nturns = 8:1,1\n", 6, "PERIOD:PLACE", EF_E_FORMAT},
    {HEAD "[model]\nturns = 0:0\n", 6, "PERIOD:PLACE", EF_E_FORMAT},
    {HEAD "[model]\nturns = 65:0\n", 6, "PERIOD:PLACE", EF_E_FORMAT},
    {HEAD "[detector]\nevery = 17\n", 6, "allowed", EF_E_FORMAT},
    {HEAD "[detector]\nleast_found = 0\n", 6, "allowed", EF_E_FORMAT},
    {HEAD REST "[model]\nfile = m\ncrop = d\n[rule]\nkind = mean-prob\n" CROP, 9,
     "no [crop d]", EF_E_FORMAT},
    {HEAD "[rule]\nhigh = 0.5\nkind = group\n", 7, "first key", EF_E_FORMAT},
    {HEAD "[rule]\nkind = vote\n", 6, "expected one of", EF_E_FORMAT},
    {HEAD REST "[model]\nfile = m\n[rule]\nkind = mean-prob\nhigh = 1.5\n", 11,
     "rule.high", EF_E_FORMAT},
    {HEAD REST "[model]\nfile = m\n[rule]\nkind = group\nfaces = pool\n", 11,
     "rule.faces", EF_E_FORMAT},
    {HEAD REST "[model]\nfile = m\nweight = 2\n[rule]\nkind = sharpen\n", 12,
     "rule.weights", EF_E_FORMAT},
    {WHOLE "[crop c]\ninput = 64x64\n", 13, "resize is missing", EF_E_FORMAT},
    {WHOLE CROP "face.least = 5000\n", 23, "face.least", EF_E_FORMAT},
    {WHOLE CROP "face.pad = 1,2,3\n", 23, "twice", EF_E_FORMAT},
    {WHOLE CROP "name = x\n", 23, "name", EF_E_FORMAT},
    {WHOLE CROP "a.key.that.is.longer.than.any.key.is = x\n", 23, "no key", EF_E_FORMAT},
    {WHOLE CROP CROP, 23, "twice", EF_E_FORMAT},
};

START_TEST(refused_with_line_and_reason)
{
    const struct refusal *r = &refusals[_i];
    ef_pipeline *p = NULL;
    ef_error err = {0};
    char place[32];
    const ef_status st =
        ef_pipeline_parse_memory(r->text, strlen(r->text), "f.pipeline", NULL, &p, &err);
    ck_assert_msg(st == r->status, "%s: %s: %s", r->text, err.where, err.what);
    snprintf(place, sizeof place, "f.pipeline: line %d", r->line);
    ck_assert_msg(!strcmp(err.where, place), "%s: is at %s, not %s: %s", r->text,
                  err.where, place, err.what);
    ck_assert_msg(strstr(err.what, r->what) != NULL, "%s: %s", r->text, err.what);
    ck_assert_ptr_null(p);
}
END_TEST

START_TEST(bounds)
{
    static char text[70000];
    ef_pipeline *p = NULL;
    ef_error err = {0};
    size_t n = (size_t)snprintf(text, sizeof text, "%s", WHOLE);
    memset(text + n, '#', 1023);
    text[n + 1023] = '\n';
    assert_status(ef_pipeline_parse_memory(text, n + 1024, NULL, NULL, &p, &err), EF_OK,
                  &err);
    ef_pipeline_free(p);
    text[n + 1023] = '#';
    assert_status(ef_pipeline_parse_memory(text, n + 1024, NULL, NULL, &p, &err),
                  EF_E_LIMIT, &err);
    memset(text + n, '\n', sizeof text - n);
    assert_status(ef_pipeline_parse_memory(text, 65537, NULL, NULL, &p, &err), EF_E_LIMIT,
                  &err);
    assert_status(ef_pipeline_parse_memory(text, 65536, NULL, NULL, &p, &err), EF_OK,
                  &err);
    ef_pipeline_free(p);
    p = NULL;
    for (int i = 0; i < 64; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "[model %d]\nfile = m\n", i);
    assert_status(ef_pipeline_parse_memory(text, n, NULL, NULL, &p, &err), EF_E_LIMIT,
                  &err);
    ck_assert_ptr_null(p);
    /* Cut anywhere, it is refused or a pipeline, and nothing else. */
    n = strlen(WHOLE CROP);
    for (size_t i = 0; i <= n; i++) {
        char *cut = malloc(i ? i : 1);
        memcpy(cut, WHOLE CROP, i);
        if (!ef_pipeline_parse_memory(cut, i, NULL, NULL, &p, &err))
            ef_pipeline_free(p);
        free(cut);
    }
}
END_TEST

START_TEST(memory_that_runs_out)
{
    struct test_mem mem;
    ef_options opt;
    ef_error err = {0};
    ef_status st = EF_E_NOMEM;
    for (int i = 1; st; i++) {
        ef_pipeline *p = NULL;
        test_mem_init(&mem);
        test_options(&opt, &mem);
        mem.fail_at = i;
        st = ef_pipeline_parse_file(SHIPPED "wm.pipeline", &opt, &p, &err);
        ck_assert_int_eq(st, mem.failed ? EF_E_NOMEM : EF_OK);
        ef_pipeline_free(p);
        ck_assert_int_eq(mem.live, 0);
        ck_assert_int_lt(i, 50);
    }
}
END_TEST

/* ---- models ---------------------------------------------------------------------- */

START_TEST(models_from_the_pipelines_folder)
{
    static const char text[] = HEAD REST "[rule]\nkind = mean-prob\n"
                                         "[model]\nfile = face-lite0.safetensors\n"
                                         "[model]\nfile = face-lite0.safetensors\n"
                                         "crop = c\nflip = 1\n" CROP;
    char path[4096], link[8192];
    ef_pipeline *p = NULL;
    ef_model *m = NULL;
    ef_error err = {0};
    snprintf(path, sizeof path, "%s",
             test_temp_file("a.pipeline", text, sizeof text - 1));
    assert_status(ef_pipeline_parse_file(path, NULL, &p, &err), EF_OK, &err);
    assert_status(ef_pipeline_load_model(p, 0, NULL, NULL, &m, &err), EF_E_IO, &err);
    size_t size;
    uint8_t *data = test_read_file(BASELINE, &size);
    snprintf(link, sizeof link, "%s",
             test_temp_file("face-lite0.safetensors", data, size));
    free(data);
    assert_status(ef_pipeline_load_model(p, 0, NULL, NULL, &m, &err), EF_OK, &err);
    ck_assert_int_eq(m->meta.height, 224);
    ef_model_free(m);
    assert_status(ef_pipeline_load_model(p, 1, NULL, NULL, &m, &err), EF_OK, &err);
    ck_assert_int_eq(m->meta.height, 64);
    ck_assert_int_eq(m->meta.pad[2], 3);
    ck_assert(m->meta.flip);
    ef_model_free(m);
    m = NULL;
    assert_status(ef_pipeline_load_model(p, 2, NULL, NULL, &m, &err), EF_E_ARG, &err);
    ck_assert_ptr_null(m);
    ef_pipeline_free(p);
    p = parsed(WHOLE);
    assert_status(ef_pipeline_load_model(p, 0, NULL, NULL, &m, &err), EF_E_ARG, &err);
    ef_pipeline_free(p);
}
END_TEST

/* ---- descriptions ---------------------------------------------------------------- */

struct text {
    char bytes[8192];
    size_t n;
};

static int append(void *user, const char *text, size_t length)
{
    struct text *t = user;
    ck_assert_uint_lt(t->n + length, sizeof t->bytes);
    memcpy(t->bytes + t->n, text, length);
    t->n += length;
    t->bytes[t->n] = 0;
    return 0;
}

static int stop(void *user, const char *text, size_t length)
{
    (void)text;
    (void)length;
    ++*(int *)user;
    return 1;
}

START_TEST(descriptions)
{
    static struct text t;
    ef_pipeline *p = shipped("robustforensics", 5, EF_RULE_GROUP);
    ef_error err = {0};
    int calls = 0;
    assert_status(ef_pipeline_describe(p, append, &t, &err), EF_OK, &err);
    static const char *const words[] = {"lacks     A partial system",
                                        "robustforensics/b1-long.safetensors, weight 8",
                                        "weight 6, crop face, shrunk",
                                        "face.rounding = even",
                                        "rule      group",
                                        "runs of 5, high 0.85, low 0.15, share 0.7",
                                        "shrunk from 0.98 by 0.96",
                                        "interval, count 160, 35 of a face"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        ck_assert_msg(strstr(t.bytes, words[i]) != NULL, "%s: not in\n%s", words[i],
                      t.bytes);
    assert_status(ef_pipeline_describe(p, stop, &calls, &err), EF_E_CANCELLED, &err);
    ck_assert_int_eq(calls, 1);
    ef_pipeline_free(p);
}
END_TEST

START_TEST(misuse)
{
    ef_error err = {0};
    ef_pipeline *p = NULL;
    ef_model *m = NULL;
    ef_pipeline_info info;
    ef_pipeline_model model;
    assert_status(ef_pipeline_parse_file(NULL, NULL, &p, &err), EF_E_ARG, &err);
    assert_status(ef_pipeline_parse_file("x", NULL, NULL, &err), EF_E_ARG, &err);
    assert_status(ef_pipeline_parse_file("/no/such/file", NULL, &p, &err), EF_E_IO, &err);
    assert_status(ef_pipeline_parse_memory(NULL, 1, NULL, NULL, &p, &err), EF_E_ARG,
                  &err);
    assert_status(ef_pipeline_parse_memory("", 0, NULL, NULL, NULL, &err), EF_E_ARG,
                  &err);
    assert_status(ef_pipeline_parse_memory(NULL, 0, NULL, NULL, &p, &err), EF_E_FORMAT,
                  &err);
    ef_pipeline_free(NULL);
    ck_assert_ptr_null(ef_pipeline_rule(NULL));
    p = parsed(WHOLE);
    ef_pipeline_info_init(&info, sizeof info);
    ef_pipeline_info_init(NULL, sizeof info);
    ef_pipeline_model_init(&model, sizeof model);
    ef_pipeline_model_init(NULL, sizeof model);
    assert_status(ef_pipeline_get_info(NULL, &info, &err), EF_E_ARG, &err);
    assert_status(ef_pipeline_get_info(p, NULL, &err), EF_E_ARG, &err);
    assert_status(ef_pipeline_get_model(p, 1, &model, &err), EF_E_ARG, &err);
    assert_status(ef_pipeline_get_model(NULL, 0, &model, &err), EF_E_ARG, &err);
    info.struct_size = 8;
    assert_status(ef_pipeline_get_info(p, &info, &err), EF_E_ARG, &err);
    model.struct_size = 0;
    assert_status(ef_pipeline_get_model(p, 0, &model, &err), EF_E_ARG, &err);
    assert_status(ef_pipeline_load_model(NULL, 0, NULL, NULL, &m, &err), EF_E_ARG, &err);
    assert_status(ef_pipeline_load_model(p, 0, NULL, NULL, NULL, &err), EF_E_ARG, &err);
    assert_status(ef_pipeline_describe(NULL, stop, NULL, &err), EF_E_ARG, &err);
    assert_status(ef_pipeline_describe(p, NULL, NULL, &err), EF_E_ARG, &err);
    ef_pipeline_free(p);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pipeline");
    TCase *c = tcase_create("pipeline");
    tcase_set_timeout(c, 60);
    tcase_add_test(c, the_first_place);
    tcase_add_test(c, the_second_place);
    tcase_add_test(c, the_third_place);
    tcase_add_test(c, the_fourth_place);
    tcase_add_test(c, the_other_two);
    tcase_add_test(c, crops_of_the_shipped_ones);
    tcase_add_test(c, every_key);
    tcase_add_loop_test(c, refused_with_line_and_reason, 0,
                        (int)(sizeof refusals / sizeof refusals[0]));
    tcase_add_test(c, bounds);
    tcase_add_test(c, memory_that_runs_out);
    tcase_add_test(c, models_from_the_pipelines_folder);
    tcase_add_test(c, descriptions);
    tcase_add_test(c, misuse);
    suite_add_tcase(suite, c);
    return run_suite(suite);
}
