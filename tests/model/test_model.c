/* test_model.c - what a loaded model holds: weights, metadata, facts; sharing it; padding
 * and the reference input. */
#include "lib/model/model.h"
#include "tests/model/fixture.h"
#include "tests/support/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- weights and facts ---- */

START_TEST(weights_are_the_files)
{
    uint64_t parameters = 0;
    int used = 0;
    for (int t = 0; t < NANO_TENSORS; t++) {
        struct dfn_pack_shape s;
        const float *w = weights_of(model, t, &s);
        ck_assert_ptr_nonnull(w);
        ck_assert_uint_eq((uintptr_t)w % 64, 0);
        const int taps = s.kernel * s.kernel, row = s.cin * taps;
        for (int i = 0; i < nano_count(t); i++) {
            const size_t at = dfn_pack_at(&s, (size_t)(i / row), (size_t)(i % row / taps),
                                          (size_t)(i % taps));
            ck_assert_msg(w[at] == nano_value(t, i), "%s[%d]: %g", nano_name(t), i,
                          (double)w[at]);
        }
        /* Behind it zeros up to the next tensor. */
        for (size_t i = dfn_pack_count(s.layout, s.cout, s.cin, s.kernel); i % 16; i++)
            ck_assert(w[i] == 0);
        parameters += (uint64_t)nano_count(t);
    }
    for (int i = 0; i < (model->nblocks + 1) * DFN_ROLES; i++)
        used += model->weights[i] != NULL;
    ck_assert_int_eq(used, NANO_TENSORS);
    ck_assert_uint_eq(model->parameters, parameters);
}
END_TEST

START_TEST(blocks_are_the_stage_tables)
{
    static const struct dfn_block expected[] = {
        {.fused = true,
         .kernel = 3,
         .stride = 2,
         .expand = 1,
         .cin = 1,
         .mid = 1,
         .cout = 1},
        {.fused = true,
         .residual = true,
         .kernel = 3,
         .stride = 1,
         .expand = 2,
         .cin = 1,
         .mid = 2,
         .cout = 1},
        {.residual = true,
         .kernel = 3,
         .stride = 1,
         .expand = 1,
         .cin = 1,
         .mid = 1,
         .cout = 1,
         .squeezed = 1},
        {.kernel = 3,
         .stride = 2,
         .expand = 2,
         .cin = 1,
         .mid = 2,
         .cout = 1,
         .squeezed = 1},
    };
    ck_assert_int_eq(model->nblocks, 4);
    for (int i = 0; i < 4; i++) {
        const struct dfn_block *b = &model->blocks[i], *e = &expected[i];
        ck_assert_int_eq(b->fused, e->fused);
        ck_assert_int_eq(b->residual, e->residual);
        ck_assert_int_eq(b->kernel, e->kernel);
        ck_assert_int_eq(b->stride, e->stride);
        ck_assert_int_eq(b->expand, e->expand);
        ck_assert_int_eq(b->cin, e->cin);
        ck_assert_int_eq(b->mid, e->mid);
        ck_assert_int_eq(b->cout, e->cout);
        ck_assert_int_eq(b->squeezed, e->squeezed);
    }
    ck_assert(!model->arch.relu6);
}
END_TEST

START_TEST(metadata_is_the_files)
{
    static const int fixed[3][2] = {{0, 1}, {0, 1}, {1, 1}};
    static const double margin[4] = {0.25, -0.5, 0.125, 0.1};
    static const float mean[3] = {0.485f, 0.456f, 0.406f},
                       std[3] = {0.229f, 0.224f, 0.225f};
    const struct dfn_meta *m = &model->meta;
    ck_assert(!m->detector && m->flip && m->softmax && m->square);
    ck_assert_int_eq(m->padding, DFN_PAD_FIXED);
    ck_assert_mem_eq(m->fixed, fixed, sizeof fixed);
    ck_assert_int_eq(m->height, 32);
    ck_assert_int_eq(m->width, 40);
    ck_assert_int_eq(m->resize, DFN_RESIZE_SHORTER);
    ck_assert_int_eq(m->shorter, 48);
    ck_assert_int_eq(m->shrink, DFN_PILLOW_BICUBIC);
    ck_assert_int_eq(m->enlarge, DFN_OPENCV_LINEAR);
    ck_assert_mem_eq(m->mean, mean, sizeof mean);
    ck_assert_mem_eq(m->std, std, sizeof std);
    ck_assert_int_eq(m->fake, 1);
    ck_assert_mem_eq(m->margin, margin, sizeof margin);
    ck_assert_int_eq(m->outside, DFN_OUTSIDE_SHIFT);
    ck_assert(m->pad[0] == 1 && m->pad[1] == 2 && m->pad[2] == 255);
    ck_assert(m->temperature == 1.5f && m->real_below == 0.25f && m->fake_from == 0.75f);
    ck_assert_uint_eq(m->ref_seed, UINT64_MAX);
    ck_assert_int_eq(m->ref_height, 32);
    ck_assert_int_eq(m->ref_width, 33);
    ck_assert(m->ref_logits[0] == 0.1 && m->ref_logits[1] == -2.5e-05);
}
END_TEST

START_TEST(every_choice_is_understood)
{
    static const char *const filters[] = {"pillow-box",     "pillow-bilinear",
                                          "pillow-bicubic", "opencv-area",
                                          "opencv-linear",  "opencv-cubic"};
    char text[64], old[64] = "pillow-bicubic,opencv-linear";
    for (int i = 0; i < 6; i++) {
        snprintf(text, sizeof text, "\"%s\"", filters[i]);
        char quoted[80];
        snprintf(quoted, sizeof quoted, "\"%s\"", old);
        edit(quoted, text);
        snprintf(old, sizeof old, "%s", filters[i]);
        reload();
        ck_assert_int_eq((int)model->meta.shrink, i);
        ck_assert_int_eq((int)model->meta.enlarge, i);
    }
    edit("\"swish\"", "\"relu6\"");
    edit("\"fixed:0,1,0,1,1,1\"", "\"same\"");
    edit("\"shorter:48\"", "\"squash\"");
    edit("\"softmax\"", "\"sigmoid\"");
    edit("\"dfnet.fake\":\"1\"", "\"dfnet.fake\":\"none\"");
    edit("\"square\"", "\"box\"");
    edit("\"shift\"", "\"clamp\"");
    edit("\"dfnet.flip\":\"1\",", "");
    edit("\"dfnet.labels\":\"real\\nfake\",", "");
    reload();
    ck_assert(model->arch.relu6 && !model->meta.softmax && !model->meta.square);
    ck_assert_int_eq(model->meta.padding, DFN_PAD_SAME);
    ck_assert_int_eq(model->meta.resize, DFN_RESIZE_SQUASH);
    ck_assert_int_eq(model->meta.fake, -1);
    ck_assert_int_eq(model->meta.outside, DFN_OUTSIDE_CLAMP);
    ck_assert(!model->meta.flip);
    ck_assert_ptr_null(model->meta.labels);
    ck_assert_ptr_null(ef_model_label(model, 0));
    edit("\"same\"", "\"sym\"");
    edit("\"squash\"", "\"longer\"");
    edit("\"clamp\"", "\"pad\"");
    edit("\"dfnet.output\"", "\"dfnet.labels\":\"\",\"dfnet.output\"");
    reload();
    ck_assert_int_eq(model->meta.padding, DFN_PAD_SYM);
    ck_assert_int_eq(model->meta.resize, DFN_RESIZE_LONGER);
    ck_assert_int_eq(model->meta.outside, DFN_OUTSIDE_PAD);
    ck_assert_ptr_null(ef_model_label(model, 0));
}
END_TEST

START_TEST(keys_in_any_order_and_with_escapes)
{
    edit("\"dfnet.version\":\"1\",", "");
    edit("\"x.note\":\"\"",
         "\"x.note\":\"a\\tb\\ud83d\\ude00\",\"\\u0064fnet.version\":\"\\u0031\"");
    edit("\"stem.weight\":{\"dtype\":\"F32\",\"shape\":[1,3,3,3],\"data_offsets\":[0,108]"
         "}",
         "\"s\\u0074em.weight\":{\"data_offsets\":[0,108],\"dtype\":\"F\\u00332\","
         "\"shape\":[1,3,3,3]}");
    reload();
    ck_assert_str_eq(ef_model_metadata(model, "x.note"), "a\tb\xf0\x9f\x98\x80");
    ck_assert_str_eq(ef_model_metadata(model, "dfnet.version"), "1");
}
END_TEST

START_TEST(texts_and_labels)
{
    ck_assert_str_eq(ef_model_metadata(model, "dfnet.source"), "n\xc3\xa9");
    ck_assert_str_eq(ef_model_metadata(model, "dfnet.labels"), "real\nfake");
    ck_assert_str_eq(ef_model_metadata(model, "x.note"), "");
    ck_assert_ptr_null(ef_model_metadata(model, "dfnet.nothing"));
    ck_assert_ptr_null(ef_model_metadata(model, NULL));
    ck_assert_ptr_null(ef_model_metadata(NULL, "dfnet.name"));
    ck_assert_str_eq(ef_model_label(model, 0), "real");
    ck_assert_str_eq(ef_model_label(model, 1), "fake");
    ck_assert_ptr_null(ef_model_label(model, 2));
    ck_assert_ptr_null(ef_model_label(model, -1));
    ck_assert_ptr_null(ef_model_label(NULL, 0));
}
END_TEST

/* Counted by hand from the stage table for 32 x 40 and padding fixed:0,1,0,1,1,1. */
#define NANO_MACS                                                                        \
    (27 * 16 * 20 + 9 * 8 * 10 + (18 + 2) * 8 * 10 + (9 + 1) * 8 * 10 + 2 + 2 * 8 * 10 + \
     18 * 4 * 5 + 4 + 2 * 4 * 5 + 4 * 5 + 2)

START_TEST(info_is_complete)
{
    ef_model_info info;
    memset(&info, 0xff, sizeof info);
    ef_model_info_init(&info, sizeof info);
    assert_status(ef_model_get_info(model, &info, &err), EF_OK, &err);
    ck_assert_uint_eq(info.struct_size, sizeof info);
    ck_assert_str_eq(info.name, "nano");
    ck_assert_str_eq(info.variant, "custom");
    ck_assert_uint_eq(strlen(info.hash), 32);
    ck_assert_ptr_nonnull(strstr((char *)nano.file + 8, info.hash));
    ck_assert_int_eq(info.height, 32);
    ck_assert_int_eq(info.width, 40);
    ck_assert_int_eq(info.outputs, 2);
    ck_assert_int_eq(info.fake, 1);
    ck_assert_int_eq(info.softmax, 1);
    ck_assert_int_eq(info.blocks, 4);
    ck_assert_uint_eq(info.parameters, (nano.data_size + 4) / 4);
    ck_assert_uint_eq(info.macs, NANO_MACS);
    ck_assert_uint_eq(info.file_bytes, nano.size);
    ck_assert(info.temperature == 1.5f && info.real_below == 0.25f);
    ck_assert(info.fake_from == 0.75f);
}
END_TEST

START_TEST(info_of_other_sizes)
{
    struct {
        ef_model_info info;
        unsigned char more[32];
    } newer;
    memset(&newer, 0xff, sizeof newer);
    ef_model_info_init(&newer.info, sizeof newer);
    memset(newer.more, 0xff, sizeof newer.more);
    assert_status(ef_model_get_info(model, &newer.info, &err), EF_OK, &err);
    ck_assert_uint_eq(newer.info.struct_size, sizeof newer);
    for (size_t i = 0; i < sizeof newer.more; i++)
        ck_assert_uint_eq(newer.more[i], 0);
    static const size_t wrong[] = {0, 8, sizeof(ef_model_info) - 1, 4097, SIZE_MAX};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        newer.info.struct_size = wrong[i];
        assert_status(ef_model_get_info(model, &newer.info, &err), EF_E_ARG, &err);
        assert_status(
            ef_model_validate_memory(nano.file, nano.size, &opt, &newer.info, &err),
            EF_E_ARG, &err);
    }
    ef_model_info_init(NULL, sizeof newer);
    newer.info.struct_size = 99;
    ef_model_info_init(&newer.info, 4);
    ck_assert_uint_eq(newer.info.struct_size, 99);
}
END_TEST

START_TEST(wrong_arguments)
{
    ef_model *out = model;
    ef_model_info info;
    float p[2] = {0};
    ef_options bad = opt;
    bad.batch = -1;
    ef_model_info_init(&info, sizeof info);
    ck_assert_int_eq(ef_model_load_file(NULL, &opt, &out, &err), EF_E_ARG);
    ck_assert_int_eq(ef_model_load_file("x", &opt, NULL, &err), EF_E_ARG);
    ck_assert_int_eq(ef_model_load_file("x", &bad, &out, &err), EF_E_ARG);
    ck_assert_int_eq(ef_model_load_memory(NULL, 0, &opt, &out, &err), EF_E_ARG);
    ck_assert_int_eq(ef_model_load_memory("", 0, &opt, NULL, &err), EF_E_ARG);
    ck_assert_int_eq(ef_model_load_memory("", 0, &bad, &out, &err), EF_E_ARG);
    ck_assert_int_eq(ef_model_load_memory("", 0, &opt, &out, &err), EF_E_FORMAT);
    ck_assert_int_eq(ef_model_load_fd(-1, &opt, &out, &err), EF_E_ARG);
    ck_assert_int_eq(ef_model_load_fd(0, &opt, NULL, &err), EF_E_ARG);
    ck_assert_int_eq(ef_model_load_fd(0, &bad, &out, &err), EF_E_ARG);
    ck_assert_int_eq(ef_model_load_default(&opt, NULL, &err), EF_E_ARG);
    ck_assert_int_eq(ef_model_get_info(NULL, &info, &err), EF_E_ARG);
    ck_assert_int_eq(ef_model_get_info(model, NULL, &err), EF_E_ARG);
    ck_assert_int_eq(ef_model_validate_file(NULL, &opt, &info, &err), EF_E_ARG);
    ck_assert_int_eq(ef_model_validate_file("x", &bad, &info, &err), EF_E_ARG);
    ck_assert_int_eq(ef_model_validate_memory(NULL, 1, &opt, &info, &err), EF_E_ARG);
    ck_assert_int_eq(ef_model_default_path(NULL, 10, &err), EF_E_ARG);
    ck_assert_int_eq(ef_model_probabilities(NULL, p, p, &err), EF_E_ARG);
    ck_assert_int_eq(ef_model_probabilities(model, NULL, p, &err), EF_E_ARG);
    ck_assert_int_eq(ef_model_probabilities(model, p, NULL, NULL), EF_E_ARG);
    ck_assert_ptr_eq(out, model);
    ef_model_free(NULL);
}
END_TEST

/* ---- sharing ---- */

static void *use(void *user)
{
    const ef_model *m = user;
    for (int i = 0; i < 20000; i++) {
        dfn_model_ref(m);
        if (!dfn_model_weight(m, -1, DFN_STEM_W))
            return user;
        dfn_model_unref(m);
    }
    dfn_model_unref(m);
    return NULL;
}

static int freed;

static void count_freed(ef_model *m)
{
    (void)m;
    freed++;
}

START_TEST(eight_threads_share_one_model)
{
    pthread_t threads[8];
    void *bad;
    for (int i = 0; i < 8; i++) {
        dfn_model_ref(model);
        ck_assert_int_eq(pthread_create(&threads[i], NULL, use, model), 0);
    }
    for (int i = 0; i < 8; i++) {
        ck_assert_int_eq(pthread_join(threads[i], &bad), 0);
        ck_assert_ptr_null(bad);
    }
    ck_assert_int_eq(atomic_load(&model->users), 1);
    model->free_packs = count_freed;
    dfn_model_ref(model);
    ef_model_free(model);
    ck_assert_int_eq(freed, 0);
    ef_model_free(model);
    ck_assert_int_eq(freed, 1);
    ck_assert_int_eq(mem.live, 0);
    model = NULL;
}
END_TEST

/* ---- padding and work ---- */

START_TEST(padding_of_every_mode)
{
    struct dfn_meta m = {.padding = DFN_PAD_FIXED, .fixed = {{0, 1}, {2, 2}, {0, 0}}};
    int before, after;
    dfn_meta_padding(&m, 1, 5, 9, &before, &after);
    ck_assert(before == 2 && after == 2);
    ck_assert_int_eq(dfn_meta_output(&m, 1, 5, 9), 5);
    ck_assert_int_eq(dfn_meta_output(&m, 2, 3, 3), 1);
    ck_assert_int_eq(dfn_meta_output(&m, 2, 3, 2), 0);
    for (int n = 1; n < 300; n++)
        for (int k = 3; k <= 5; k += 2) {
            m.padding = DFN_PAD_SYM;
            dfn_meta_padding(&m, 0, k, n, &before, &after);
            ck_assert(before == k / 2 && after == k / 2);
            ck_assert_int_eq(dfn_meta_output(&m, 0, k, n), (n + 1) / 2);
            m.padding = DFN_PAD_SAME;
            dfn_meta_padding(&m, 0, k, n, &before, &after);
            ck_assert(after - before == 0 || after - before == 1);
            /* One less would lose a row of the output, one more is not needed. */
            ck_assert_int_eq(dfn_meta_output(&m, 0, k, n), (n + 1) / 2);
            if (before + after)
                ck_assert_int_eq((n + before + after - 1 - k + 2) / 2, (n + 1) / 2 - 1);
        }
}
END_TEST

START_TEST(reference_input_is_the_generators)
{
    /* The first outputs of SplitMix64 from seed 1234567, from its authors' C code. */
    static const uint64_t known[] = {6457827717110365317u, 3203168211198807973u};
    float one[3 * 32 * 33];
    dfn_reference_input(1234567, 1, 32, 33, one);
    ck_assert(one[0] == (float)(known[0] >> 40) / 4194304.0f - 2.0f);
    ck_assert(one[3] == (float)(known[1] >> 40) / 4194304.0f - 2.0f);
    /* NCHW order of the draws, NHWC order of the array. */
    uint64_t state = 1234567;
    for (int c = 0; c < 3; c++)
        for (int i = 0; i < 32 * 33; i++) {
            const float v = (float)(test_random(&state) >> 40) / 4194304.0f - 2.0f;
            ck_assert(one[i * 3 + c] == v);
            ck_assert(v >= -2 && v < 2);
        }
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {weights_are_the_files,
                                  blocks_are_the_stage_tables,
                                  metadata_is_the_files,
                                  every_choice_is_understood,
                                  keys_in_any_order_and_with_escapes,
                                  texts_and_labels,
                                  info_is_complete,
                                  info_of_other_sizes,
                                  wrong_arguments,
                                  eight_threads_share_one_model,
                                  padding_of_every_mode,
                                  reference_input_is_the_generators};
    Suite *suite = suite_create("model");
    TCase *c = tcase_create("model");
    tcase_set_timeout(c, 60);
    tcase_add_checked_fixture(c, setup, teardown);
    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++)
        tcase_add_test(c, tests[i]);
    suite_add_tcase(suite, c);
    return run_suite(suite);
}
