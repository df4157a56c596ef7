/* verify.c - the detector's networks on the reference inputs of weights_tools/FORMAT.md,
 * section 7. Called by ef_model_verify(). */
#include "kernels/cpu.h"
#include "lib/base/mem.h"
#include "lib/detect/detect.h"

#include <errno.h>
#include <math.h>
#include <string.h>

/* FORMAT.md, section 6. */
#define TOLERANCE 1e-4

struct check {
    const double *want; /* what is left of the reference numbers                        */
    double largest, difference;
};

static void compare(struct check *c, const float *out, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const double want = *c->want++, d = fabs((double)out[i] - want);
        /* Not `d > difference`: a NaN must win. */
        if (!(d <= c->difference))
            c->difference = d;
        c->largest = fmax(c->largest, fabs(want));
    }
}

struct input {
    const float *pixels; /* [height][width][3] */
    int width;
};

static void input_row(void *user, int y, float *out)
{
    const struct input *in = user;
    const size_t n = (size_t)in->width * 3;
    memcpy(out, in->pixels + (size_t)y * n, n * sizeof *out);
}

static void check_pnet(const struct dfn_nets *nets, const struct dfn_meta *m, float *work,
                       struct check *c)
{
    const int h = m->ref_height, w = m->ref_width, rows = dfn_pnet_cells(h);
    const size_t cells = (size_t)rows * (size_t)dfn_pnet_cells(w);
    float *pixels = work, *logits = pixels + h * w * 3, *boxes = logits + 2 * cells;
    struct input in = {pixels, w};
    const struct dfn_pnet_job job = {nets, input_row, h, w, logits, boxes};
    dfn_reference_input(m->ref_seed, 1, h, w, pixels);
    dfn_pnet_rows(&job, &in, 0, rows, boxes + 4 * cells);
    for (size_t i = 0; i < cells; i++) {
        compare(c, logits + 2 * i, 2);
        compare(c, boxes + 4 * i, 4);
    }
}

static void check_crop_net(const struct dfn_nets *nets, const struct dfn_meta *m,
                           bool onet, float *work, struct check *c)
{
    const int side = onet ? DFN_ONET_SIDE : DFN_RNET_SIDE;
    float out[DFN_ONET_OUTPUTS];
    dfn_reference_input(m->ref_seed + (onet ? 2 : 1), 1, side, side, work);
    dfn_crop_net(nets, onet, work, 1, out, work + side * side * 3);
    compare(c, out, onet ? DFN_ONET_OUTPUTS : DFN_RNET_OUTPUTS);
}

ef_status dfn_detector_verify(const ef_model *model, const ef_options *opt,
                              double *difference, double *tolerance, ef_error *err)
{
    const struct dfn_meta *m = &model->meta;
    struct dfn_nets nets;
    struct check c = {.want = m->ref_logits, .largest = 1};
    if (!model->store)
        return dfn_fail(err, EF_E_ARG, "model",
                        "was only validated, it holds no weights");
    const size_t pixels = (size_t)m->ref_height * (size_t)m->ref_width;
    const size_t pnet = pixels * 9 + dfn_pnet_scratch(m->ref_width);
    const size_t crops = DFN_ONET_SIDE * DFN_ONET_SIDE * 3 + dfn_crop_scratch();
    const size_t floats = pnet > crops ? pnet : crops;
    const ef_status st = dfn_nets_create(model, dfn_cpu_detect() & opt->cpu_mask,
                                         &opt->allocator, &nets, err);
    if (st)
        return st;
    float *work = dfn_alloc(&opt->allocator, floats * sizeof *work);
    if (work) {
        check_pnet(&nets, m, work, &c);
        check_crop_net(&nets, m, false, work, &c);
        check_crop_net(&nets, m, true, work, &c);
    }
    dfn_free(&opt->allocator, work);
    dfn_nets_free(&nets, &opt->allocator);
    *difference = c.difference;
    *tolerance = TOLERANCE * c.largest;
    return work ? EF_OK
                : dfn_fail(err, EF_E_NOMEM, "detector", "no memory for %zu bytes",
                           floats * sizeof *work);
}
