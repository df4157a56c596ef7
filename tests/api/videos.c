/* videos.c - see videos.h. */
#include "tests/api/videos.h"

#include "tests/support/stride.h"

ef_video *video_create(const ef_video_options *w, int threads, int batch)
{
    ef_options opt = api_native();
    ef_error err = {0};
    ef_video *v = NULL;
    opt.threads = threads;
    opt.batch = batch;
    assert_status(ef_video_create(w, &opt, &v, &err), EF_OK, &err);
    return v;
}

void video_add(ef_video *v, const ef_image *img, double seconds)
{
    ef_error err = {0};
    assert_status(ef_video_add(v, img, seconds, &err), EF_OK, &err);
}

ef_video_result video_finish(ef_video *v)
{
    ef_video_result r;
    ef_error err = {0};
    ef_video_result_init(&r, sizeof r);
    assert_status(ef_video_finish(v, &r, &err), EF_OK, &err);
    return r;
}

/* FNV-1a. */
static uint64_t more(uint64_t h, const void *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        h = (h ^ ((const uint8_t *)bytes)[i]) * 1099511628211u;
    return h;
}

uint64_t video_digest(const ef_video_result *r)
{
    uint64_t h = 14695981039346656037u;
    for (size_t t = 0; t < r->ntracks; t++)
        for (size_t i = 0; i < r->tracks[t].nfaces; i++) {
            const ef_video_face *f = &r->tracks[t].faces[i];
            const double facts[] = {f->fake, f->logit, (double)f->face.box.x,
                                    (double)f->frame, f->counts};
            h = more(h, facts, sizeof facts);
        }
    return more(h, &r->fake, sizeof r->fake);
}

ef_status video_life(const ef_video_options *w, const ef_options *opt,
                     const ef_image *const *frames, size_t n, uint64_t *digest,
                     ef_error *err)
{
    ef_video *v = NULL;
    ef_video_result r;
    ef_status st = ef_video_create(w, opt, &v, err);
    ck_assert((v == NULL) == (st != EF_OK));
    for (size_t i = 0; i < n && !st; i++)
        st = ef_video_add(v, frames[i], (double)i, err);
    ef_video_result_init(&r, sizeof r);
    if (!st)
        st = ef_video_finish(v, &r, err);
    if (!st)
        *digest = video_digest(&r);
    ef_video_free(v);
    return st;
}

static bool survives(video_life_fn *life, int threads, bool lasting, long n, long least,
                     uint64_t *expected)
{
    struct test_mem mem;
    ef_options opt;
    ef_error err = {0};
    uint64_t digest = 0;
    test_mem_init(&mem);
    test_options(&opt, &mem);
    opt.gemm = EF_GEMM_NATIVE;
    opt.threads = threads;
    mem.fail_at = n;
    mem.from_then_on = lasting;
    const ef_status st = life(&opt, &digest, &err);
    ck_assert_int_eq(mem.live, 0);
    if (mem.failed) {
        assert_status(st, EF_E_NOMEM, &err);
        return true;
    }
    ck_assert_int_eq(st, EF_OK);
    ck_assert_int_gt(n, least);
    *expected = *expected ? *expected : digest;
    ck_assert_uint_eq(digest, *expected);
    return false;
}

void video_survives_failures(video_life_fn *life, long least)
{
    uint64_t expected = 0;
    for (int threads = 1; threads < 3; threads++)
        for (int lasting = 0; lasting < 2; lasting++)
            for (long n = 1; survives(life, threads, lasting, n, least, &expected);)
                n += (long)test_stride();
}

ef_video_result video_keeps_its_memory(const ef_video_options *w, const ef_image *img,
                                       struct test_mem *mem, ef_video **v)
{
    ef_options opt;
    ef_error err = {0};
    test_mem_init(mem);
    test_options(&opt, mem);
    assert_status(ef_video_create(w, &opt, v, &err), EF_OK, &err);
    ck_assert_uint_eq(ef_video_memory(*v), mem->bytes);
    for (int i = 0; i < 60; i++)
        video_add(*v, img, i);
    const size_t bytes = mem->bytes;
    const long calls = mem->calls;
    for (int i = 60; i < 60 + 240 / (int)test_stride(); i++)
        video_add(*v, img, i);
    ck_assert_uint_eq(mem->bytes, bytes);
    ck_assert_int_eq(mem->calls, calls);
    const ef_video_result r = video_finish(*v);
    ck_assert_uint_eq(r.tracks[0].nfaces, 50);
    ck_assert_uint_eq(ef_video_memory(*v), mem->bytes);
    return r;
}
