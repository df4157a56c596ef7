/* image_tool.c - decoding and resizing for tests in other languages: the functions are
 * internal, so a small program stands between (test_against_libraries.py).
 *
 * Requests on standard input, answers on standard output, until the input ends. Numbers
 * are int32 of this machine.
 *   'D' size, bytes           -> status, width, height, pixels [height][width][3] if 0
 *   'R' filter, width, height, x, y, w, h, out_w, out_h, pixels [height][width][3]
 *                             -> status, pixels [out_h][out_w][3] if 0
 * Outside the picture, 'R' pads with the colour 10, 200, 90. */
#include "lib/base/options.h"
#include "lib/image/image.h"

#include <stdio.h>
#include <stdlib.h>

static int read_numbers(int32_t *n, size_t count)
{
    return fread(n, sizeof *n, count, stdin) == count ? 0 : 1;
}

static void *read_bytes(size_t n)
{
    void *p = malloc(n + 1);
    if (!p || fread(p, 1, n, stdin) != n) {
        free(p);
        return NULL;
    }
    return p;
}

static int serve_decode(const ef_options *opt)
{
    int32_t size, answer[3];
    ef_error err = {0};
    ef_image img = {0};
    if (read_numbers(&size, 1))
        return 1;
    uint8_t *data = read_bytes((size_t)size);
    if (!data)
        return 1;
    answer[0] = dfn_image_decode(data, (size_t)size, opt, &img, &err);
    free(data);
    if (answer[0])
        fprintf(stderr, "%s: %s\n", err.where, err.what);
    answer[1] = img.width;
    answer[2] = img.height;
    fwrite(answer, sizeof *answer, 3, stdout);
    if (!answer[0])
        fwrite(img.pixels, 3, (size_t)img.width * (size_t)img.height, stdout);
    dfn_image_free(&img);
    return 0;
}

static int serve_resize(const ef_options *opt, struct dfn_scratch *scratch)
{
    static const uint8_t pad[3] = {10, 200, 90};
    int32_t n[9];
    ef_error err = {0};
    if (read_numbers(n, 9))
        return 1;
    uint8_t *pixels = read_bytes((size_t)n[1] * (size_t)n[2] * 3);
    const size_t out_size = (size_t)n[7] * (size_t)n[8] * 3;
    uint8_t *out = malloc(out_size);
    if (!pixels || !out) {
        free(pixels);
        free(out);
        return 1;
    }
    const ef_image img = {pixels, n[1], n[2], (ptrdiff_t)n[1] * 3, EF_RGB8, NULL};
    const struct dfn_rect rect = {n[3], n[4], n[5], n[6]};
    const int32_t st = dfn_resize(&img, &rect, (enum dfn_resample)n[0], pad, out, n[7],
                                  n[8], (size_t)n[7] * 3, scratch, &opt->allocator, &err);
    if (st)
        fprintf(stderr, "%s: %s\n", err.where, err.what);
    fwrite(&st, sizeof st, 1, stdout);
    if (!st)
        fwrite(out, 1, out_size, stdout);
    free(pixels);
    free(out);
    return 0;
}

int main(void)
{
    struct dfn_scratch scratch = {0};
    ef_options opt;
    int failed = 0, c;
    ef_options_init(&opt, sizeof opt);
    while (!failed && (c = getchar()) != EOF) {
        if (c == 'D')
            failed = serve_decode(&opt);
        else
            failed = c == 'R' ? serve_resize(&opt, &scratch) : 1;
        fflush(stdout);
    }
    dfn_scratch_free(&scratch, &opt.allocator);
    return failed;
}
