/* heatmap.c - see heatmap.h. Class activation maps: Zhou, Khosla, Lapedriza, Oliva,
 * Torralba, "Learning Deep Features for Discriminative Localization", arXiv 1512.04150,
 * section 2: the classifier is linear in the mean of the feature map, so each place has
 * its share of the logit. */
#include "lib/face/heatmap.h"

#include "lib/face/warp.h"

#include <math.h>

void dfn_heatmap_direction(const ef_model *model, double *weights, double *bias)
{
    const int outputs = model->arch.outputs, head = dfn_arch_features(&model->arch);
    const int fake = model->meta.fake;
    const float *w = dfn_model_weight(model, -1, DFN_CLASSIFIER_W); /* packed    */
    const float *b = dfn_model_weight(model, -1, DFN_CLASSIFIER_B); /* [outputs] */
    const struct dfn_pack_shape s = {dfn_model_layout(model, DFN_CLASSIFIER_W, outputs),
                                     outputs, head, 1};
    const double others = model->meta.softmax ? -1.0 / (outputs - 1) : 0;

    *bias = b[fake];
    for (int c = 0; c < head; c++)
        weights[c] = w[dfn_pack_at(&s, (size_t)fake, (size_t)c, 0)];
    for (int o = 0; o < outputs && others != 0; o++) {
        if (o == fake)
            continue;
        *bias += others * b[o];
        for (int c = 0; c < head; c++)
            weights[c] += others * w[dfn_pack_at(&s, (size_t)o, (size_t)c, 0)];
    }
}

void dfn_heatmap_add(const float *features, int h, int w, int c, const double *weights,
                     double share, bool mirrored, float *values)
{
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++) {
            double sum = 0;
            for (int i = 0; i < c; i++)
                sum += weights[i] * *features++;
            values[y * w + (mirrored ? w - 1 - x : x)] += (float)(share * sum);
        }
}

void dfn_heatmap_add_maps(const float *maps, int h, int w, int n, const float *parts,
                          int c, const double *weights, double share, bool mirrored,
                          float *values)
{
    for (int m = 0; m < n; m++) {
        double logit = 0, attention = 0;
        for (int i = 0; i < c; i++)
            logit += weights[m * c + i] * parts[m * c + i];
        for (int p = 0; p < h * w; p++)
            attention += maps[p * n + m];
        /* A map that attends to nothing pools nothing. */
        const double by = attention > 0 ? share * logit * h * w / attention : 0;
        for (int y = 0; y < h; y++)
            for (int x = 0; x < w; x++)
                values[y * w + (mirrored ? w - 1 - x : x)] +=
                    (float)(by * maps[(y * w + x) * n + m]);
    }
}

ef_status dfn_heatmap_area(const ef_model *model, const ef_image *img, const ef_box *face,
                           ef_box *area, ef_error *err)
{
    struct dfn_rect rect = {0};
    struct dfn_placing p = {0};
    ef_status st = dfn_crop_rect(&model->meta, img->width, img->height, face, &rect, err);
    if (!st)
        st = dfn_place(&model->meta, &rect, &p, err);
    if (st)
        return st;
    const double sx = (double)rect.w / p.w, sy = (double)rect.h / p.h;
    *area = (ef_box){(float)(rect.x - p.left * sx), (float)(rect.y - p.top * sy),
                     (float)(model->meta.width * sx), (float)(model->meta.height * sy)};
    return EF_OK;
}

ef_status dfn_heatmap_area_aligned(const ef_model *model, const ef_point *landmarks,
                                   ef_box *area, float *angle, ef_error *err)
{
    const struct dfn_align *align = &model->meta.align;
    const ef_image upright = {NULL, align->width, align->height, 0, EF_RGB8, NULL};
    double to[6], back[6];
    ef_box a;
    ef_status st = dfn_alignment(align, landmarks, to, err);
    if (!st)
        st = dfn_heatmap_area(model, &upright, NULL, &a, err);
    if (st)
        return st;
    /* Back to the picture goes the centre; matrices have the centres of pixels at whole
     * numbers, areas their edges. */
    dfn_invert(to, back);
    const double x = (double)a.x + (double)a.w / 2 - 0.5;
    const double y = (double)a.y + (double)a.h / 2 - 0.5;
    const double scale = hypot(back[0], back[3]);
    const double w = scale * (double)a.w, h = scale * (double)a.h;
    *area = (ef_box){(float)(back[0] * x + back[1] * y + back[2] + 0.5 - w / 2),
                     (float)(back[3] * x + back[4] * y + back[5] + 0.5 - h / 2), (float)w,
                     (float)h};
    *angle = (float)atan2(back[3], back[0]);
    return EF_OK;
}

/* ---- drawing ---------------------------------------------------------------------- */

/* Value at (u, v), each in [0, 1] over the map, linear between the centres of its cells,
 * constant beyond the outermost ones. */
static float sample(const ef_heatmap *m, double u, double v)
{
    const double x = fmin(fmax(u * m->width - 0.5, 0), m->width - 1);
    const double y = fmin(fmax(v * m->height - 0.5, 0), m->height - 1);
    const int x0 = (int)x, y0 = (int)y;
    const int x1 = x0 + 1 < m->width ? x0 + 1 : x0;
    const int y1 = y0 + 1 < m->height ? y0 + 1 : y0;
    const double fx = x - x0, fy = y - y0;
    const float *r0 = m->values + (ptrdiff_t)y0 * m->width;
    const float *r1 = m->values + (ptrdiff_t)y1 * m->width;
    return (float)((r0[x0] * (1 - fx) + r0[x1] * fx) * (1 - fy) +
                   (r1[x0] * (1 - fx) + r1[x1] * fx) * fy);
}

static float largest(const ef_heatmap *m)
{
    float most = 0;
    for (int i = 0; i < m->height * m->width; i++)
        most = fmaxf(most, fabsf(m->values[i]));
    return most;
}

/* Mixes one pixel with red or blue, the colours that also people who cannot tell red from
 * green tell apart (ColorBrewer's RdBu ends). */
static void mix(uint8_t *px, float value, float full, float opacity)
{
    static const uint8_t red[3] = {202, 0, 32}, blue[3] = {5, 113, 176};
    const uint8_t *to = value > 0 ? red : blue;
    const float strength = fminf(fabsf(value) / full, 1) * opacity;
    for (int c = 0; c < 3; c++)
        px[c] = (uint8_t)((float)px[c] + strength * ((float)to[c] - (float)px[c]) + 0.5f);
}

static void draw(const ef_heatmap *m, uint8_t *pixels, int width, int height, float full,
                 float opacity)
{
    const ef_box *a = &m->area;
    const double c = cos((double)m->angle), s = sin((double)m->angle);
    const double middle_x = (double)a->x + (double)a->w / 2,
                 middle_y = (double)a->y + (double)a->h / 2;
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++) {
            const double dx = x + 0.5 - middle_x, dy = y + 0.5 - middle_y;
            const double u = 0.5 + (c * dx + s * dy) / (double)a->w;
            const double v = 0.5 + (c * dy - s * dx) / (double)a->h;
            if (u >= 0 && u <= 1 && v >= 0 && v <= 1)
                mix(pixels + ((size_t)y * (size_t)width + (size_t)x) * 3, sample(m, u, v),
                    full, opacity);
        }
}

ef_status dfn_heatmap_draw(const ef_heatmap *m, const ef_image *img, float opacity,
                           float full, const ef_options *opt, ef_image *out,
                           ef_error *err)
{
    ef_image copy;
    ef_status st = dfn_image_copy(img, opt, &copy, err);
    if (st)
        return st;
    if (full <= 0)
        full = largest(m);
    if (full > 0)
        draw(m, (uint8_t *)(uintptr_t)copy.pixels, copy.width, copy.height, full,
             opacity);
    *out = copy;
    return EF_OK;
}
