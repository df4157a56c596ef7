/* image.c - the "images" part of dfnet.h: bytes from memory, a file or a descriptor to
 * pixels. lib/image does the work. */
#include "lib/image/image.h"
#include "lib/base/file.h"

ef_status ef_image_decode_memory(const void *data, size_t size, const ef_options *opt,
                                 ef_image *out, ef_error *err)
{
    ef_options full;
    if ((!data && size) || !out)
        return dfn_fail(err, EF_E_ARG, out ? "data" : "out", "is NULL");
    const ef_status st = dfn_options_resolve(opt, &full, err);
    if (st)
        return st;
    if (size > full.limits.max_file_bytes)
        return dfn_fail(err, EF_E_LIMIT, "picture", "has %zu bytes, the limit is %llu",
                        size, (unsigned long long)full.limits.max_file_bytes);
    return dfn_image_decode(data, size, &full, out, err);
}

/* path NULL: from fd. The sentence of a failure names the file. */
static ef_status decode_from(const char *path, int fd, const ef_options *opt,
                             ef_image *out, ef_error *err)
{
    ef_options full;
    struct dfn_blob blob = {0};
    ef_status st = dfn_options_resolve(opt, &full, err);
    if (!st)
        st = path ? dfn_read_file(path, &full, &blob, err)
                  : dfn_read_fd(fd, "picture", &full, &blob, err);
    if (st)
        return st;
    st = dfn_image_decode(blob.data, blob.size, &full, out, err);
    if (st && path)
        dfn_error_prefix(err, path);
    dfn_blob_free(&full, &blob);
    return st;
}

ef_status ef_image_decode_file(const char *path, const ef_options *opt, ef_image *out,
                               ef_error *err)
{
    if (!path || !out)
        return dfn_fail(err, EF_E_ARG, out ? "path" : "out", "is NULL");
    return decode_from(path, -1, opt, out, err);
}

ef_status ef_image_decode_fd(int fd, const ef_options *opt, ef_image *out, ef_error *err)
{
    if (fd < 0 || !out)
        return dfn_fail(err, EF_E_ARG, out ? "fd" : "out",
                        out ? "is negative" : "is NULL");
    return decode_from(NULL, fd, opt, out, err);
}

void ef_image_free(ef_image *img)
{
    dfn_image_free(img);
}

ef_status ef_image_encode_png(const ef_image *img, const ef_options *opt,
                              ef_write_fn *write, void *user, ef_error *err)
{
    ef_options full;
    if (!img || !write)
        return dfn_fail(err, EF_E_ARG, img ? "write" : "img", "is NULL");
    ef_status st = dfn_options_resolve(opt, &full, err);
    if (!st)
        st = dfn_image_check(img, err);
    return st ? st : dfn_png_encode(img, &full, write, user, err);
}
