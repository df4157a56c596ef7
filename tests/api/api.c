/* api.c - see api.h. */
#include "tests/api/api.h"

#include "dfn_config.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

const char *api_model_path(const char *name)
{
    static char path[512];
    static const char golden[] = "golden/";
    if (!strncmp(name, golden, strlen(golden)))
        snprintf(path, sizeof path, GOLDEN_FOLDER "%s.safetensors",
                 name + strlen(golden));
    else
        snprintf(path, sizeof path, API_FOLDER "models/%s.safetensors", name);
    return path;
}

ef_model *api_model(const char *name, const ef_options *opt)
{
    ef_model *model = NULL;
    ef_error err;
    assert_status(ef_model_load_file(api_model_path(name), opt, &model, &err), EF_OK,
                  &err);
    return model;
}

ef_options api_native(void)
{
    ef_options opt;
    ef_options_init(&opt, sizeof opt);
    opt.gemm = EF_GEMM_NATIVE;
    return opt;
}

ef_classifier *api_classifier(const ef_model *model, const ef_options *opt)
{
    ef_classifier *c = NULL;
    ef_error err;
    assert_status(ef_classifier_create_simple(model, opt, &c, &err), EF_OK, &err);
    return c;
}

bool api_picture(const char *name, ef_image *out)
{
    char path[512];
    ef_error err;
    const char *dot = strrchr(name, '.');
    memset(out, 0, sizeof *out);
    if (!DFN_HAVE_PNG && dot && !strcmp(dot, ".png"))
        return false;
    snprintf(path, sizeof path, API_FOLDER "pictures/%s", name);
    assert_status(ef_image_decode_file(path, NULL, out, &err), EF_OK, &err);
    return true;
}

ef_result api_result(void)
{
    ef_result r;
    ef_result_init(&r, sizeof r);
    return r;
}

ef_result api_score(ef_classifier *c, const ef_image *img, const ef_box *box)
{
    ef_face face = {.mode = EF_FACE_BOX};
    ef_result r = api_result();
    ef_error err;
    if (box)
        face.box = *box;
    assert_status(ef_classify_face(c, img, box ? &face : NULL, &r, &err), EF_OK, &err);
    return r;
}

void api_fill(uint64_t seed, float *out, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = test_random_float(&seed);
}

int api_count(const char *folder)
{
    char path[64];
    int n = 0;
    snprintf(path, sizeof path, "/proc/self/%s", folder);
    DIR *d = opendir(path);
    if (!d)
        return -1;
    for (const struct dirent *e; (e = readdir(d));)
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

ef_error *api_fresh_error(void)
{
    static ef_error error;
    memset(&error, 0x5a, sizeof error);
    errno = API_ERRNO;
    return &error;
}

void api_refused(ef_status st, ef_status expected, const ef_error *err, const char *call)
{
    ck_assert_msg(st == expected, "%s: status %d (%s), expected %d; %s: %s", call, st,
                  ef_strerror(st), expected, err ? err->where : "", err ? err->what : "");
    ck_assert_msg(errno == API_ERRNO, "%s: errno became %d", call, errno);
    if (!err)
        return;
    ck_assert_msg(err->status == expected, "%s: err.status is %d", call, err->status);
    ck_assert_msg(memchr(err->where, 0, sizeof err->where) && err->where[0],
                  "%s: no place", call);
    ck_assert_msg(memchr(err->what, 0, sizeof err->what) && err->what[0] &&
                      !strchr(err->what, '\n'),
                  "%s: no sentence", call);
}
