/* area.c - see area.h. Rows are added up first, which runs along memory, then columns. */
#include "lib/detect/area.h"

static int first_of(int i, int m, int n)
{
    return (int)((int64_t)i * m / n);
}

static int end_of(int i, int m, int n)
{
    return (int)((((int64_t)i + 1) * m + n - 1) / n);
}

void dfn_area_columns(int w, int out_w, int *columns)
{
    for (int i = 0; i < out_w; i++) {
        columns[2 * i] = first_of(i, w, out_w);
        columns[2 * i + 1] = end_of(i, w, out_w);
    }
}

/* Sums of the rows first..end-1, all in one go where the picture has them as they are. */
static void add_rows(const struct dfn_area *a, int first, int end, size_t n)
{
    const size_t at = (size_t)a->rect.x * 3;
    struct dfn_rowsum_args args = {
        .stride = a->img->stride, .out = a->sums, .rows = end - first};
    dfn_kernel_fn *const run = a->kernels->op[DFN_OP_ROWSUM].run;
    if (a->img->format == EF_RGB8) {
        args.in = dfn_image_row(a->img, a->rect.y + first, a->row) + at;
        run(&args, 0, n);
        return;
    }
    args.rows = 1;
    for (int i = first; i < end; i++) {
        args.in = dfn_image_row(a->img, a->rect.y + i, a->row) + at;
        args.add = i > first;
        run(&args, 0, n);
    }
}

void dfn_area_row(const struct dfn_area *a, int y, float *out)
{
    const int first = first_of(y, a->rect.h, a->out_h);
    const int end = end_of(y, a->rect.h, a->out_h);
    const size_t n = (size_t)a->rect.w * 3;
    const struct dfn_area_args args = {a->sums, a->columns, out, end - first};

    add_rows(a, first, end, n);
    a->sums[n] = 0; /* what the kernel reads and drops should have a value */
    a->kernels->op[DFN_OP_AREA].run(&args, 0, (size_t)a->out_w);
}
