/* detect.c - see detect.h. The order of operations, all in float32, is that of the
 * implementation whose weights these are (facenet-pytorch 2.6.0), down to its habits:
 * P-Net's windows are rounded down to whole pixels, box corners are edges for P-Net and
 * pixels (one more) for R-Net and O-Net, crops are cut where corners are truncated.
 *
 * The arena is laid out anew for each picture by lay_out(), which first adds up and then
 * hands out; it only grows. */
#include "lib/detect/detect.h"

#include "kernels/cpu.h"
#include "lib/base/mem.h"
#include "lib/detect/area.h"
#include "lib/image/resize.h"

#include <errno.h>
#include <math.h>
#include <string.h>

/* Levels end when the shorter side is below 12; sides are at most 65535 and factors at
 * most 0.95, faces at least 6. */
#define MOST_LEVELS 192

struct level {
    double scale;
    int height, width; /* of the picture at this scale  */
    int rows, columns; /* of P-Net's output             */
};

/* What one thread works with. */
struct worker {
    float *floats;  /* a P-Net band, or crops and R-Net or O-Net */
    uint32_t *sums; /* [picture width][3] and one more           */
    uint8_t *row;   /* [picture width][3]                        */
    int *columns;   /* [48][2]                                   */
};

struct run {
    ef_detector *d;
    const ef_image *img;
    int nlevels, threads;
    size_t most_cells, most_level, most_all;
    struct level levels[MOST_LEVELS];

    /* In the arena: */
    struct worker *workers;      /* [threads]                                           */
    int *columns;                /* [width of the largest level][2]                     */
    float *logits;               /* [most_cells][2], probabilities afterwards           */
    float *boxes;                /* [most_cells][4]                                     */
    struct dfn_candidate *level; /* [most_level]                                        */
    struct dfn_candidate *all;   /* [most_all]                                          */
    struct dfn_candidate *next;  /* [most_all]                                          */
    uint32_t *index;             /* [most_all]                                          */
    float *outputs;              /* [most_all][16] of R-Net or O-Net                    */
    void *nms;
    ef_detection *faces; /* [most_all]                                                  */
    size_t nall;
};

/* ---- creation ---- */

ef_status dfn_detector_create(const ef_model *model,
                              const struct dfn_detect_options *what,
                              const ef_options *opt, ef_detector **out, ef_error *err)
{
    if (!model->store)
        return dfn_fail(err, EF_E_ARG, "model",
                        "was only validated, it holds no weights");
    ef_detector *d = dfn_calloc(&opt->allocator, sizeof *d);
    if (!d)
        return dfn_fail(err, EF_E_NOMEM, "detector", "no memory for %zu bytes",
                        sizeof *d);
    d->opt = *opt;
    d->model = model;
    dfn_model_ref(model);
    d->what = *what;
    d->resize.without = ~opt->cpu_mask;
    ef_status st = dfn_nets_create(model, dfn_cpu_detect() & opt->cpu_mask,
                                   &opt->allocator, &d->nets, err);
    if (!st)
        st = dfn_pool_create(opt, &d->pool, err);
    if (st) {
        dfn_detector_free(d);
        return st;
    }
    *out = d;
    return EF_OK;
}

void dfn_detector_free(ef_detector *d)
{
    if (!d)
        return;
    const ef_allocator a = d->opt.allocator;
    dfn_pool_free(d->pool);
    dfn_nets_free(&d->nets, &a);
    dfn_scratch_free(&d->arena, &a);
    dfn_scratch_free(&d->pixels, &a);
    dfn_scratch_free(&d->resize, &a);
    dfn_model_unref(d->model);
    dfn_free(&a, d);
}

static size_t scratch_bytes(const struct dfn_scratch *s)
{
    return s->data ? dfn_alloc_cost(s->size) : 0;
}

size_t dfn_detector_bytes(const ef_detector *d)
{
    return dfn_alloc_cost(sizeof *d) + dfn_alloc_cost(d->nets.bytes) +
           dfn_pool_bytes(d->pool) + scratch_bytes(&d->arena) +
           scratch_bytes(&d->pixels) + scratch_bytes(&d->resize);
}

/* ---- sizes ---- */

/* The pyramid: the smallest face becomes 12 pixels, then each level is `factor` smaller.
 * */
static void make_levels(struct run *r)
{
    const struct dfn_detect_options *w = &r->d->what;
    const int h = r->img->height, width = r->img->width;
    double scale = DFN_PNET_CELL / w->min_face;
    double side = (h < width ? h : width) * scale;
    size_t sum = 0;
    for (; side >= DFN_PNET_CELL && r->nlevels < MOST_LEVELS; r->nlevels++) {
        struct level *l = &r->levels[r->nlevels];
        l->scale = scale;
        l->height = (int)(h * scale + 1);
        l->width = (int)(width * scale + 1);
        l->rows = dfn_pnet_cells(l->height);
        l->columns = dfn_pnet_cells(l->width);
        const size_t cells = (size_t)l->rows * (size_t)l->columns;
        r->most_cells = cells > r->most_cells ? cells : r->most_cells;
        sum += cells < DFN_LEVEL_MOST ? cells : DFN_LEVEL_MOST;
        scale *= w->factor;
        side *= w->factor;
    }
    r->most_level = r->most_cells < DFN_LEVEL_MOST ? r->most_cells : DFN_LEVEL_MOST;
    r->most_all = sum < DFN_ALL_MOST ? sum : DFN_ALL_MOST;
}

/* Crops of a batch, their outputs, and the net's own scratch. */
static size_t crop_floats(void)
{
    return DFN_CROP_BATCH * (DFN_ONET_SIDE * DFN_ONET_SIDE * 3) + dfn_crop_scratch();
}

static void lay_out(struct run *r, struct dfn_carver *c)
{
    const size_t width = (size_t)r->img->width;
    const size_t band = dfn_pnet_scratch(r->levels[0].width), crops = crop_floats();
    r->workers = dfn_carve(c, (size_t)r->threads, sizeof *r->workers);
    for (int t = 0; t < r->threads; t++) {
        struct worker w;
        w.floats = dfn_carve(c, band > crops ? band : crops, sizeof *w.floats);
        w.sums = dfn_carve(c, width * 3 + 1, sizeof *w.sums);
        w.row = dfn_carve(c, width, 3);
        w.columns = dfn_carve(c, 2 * DFN_ONET_SIDE, sizeof *w.columns);
        if (c->base)
            r->workers[t] = w;
    }
    r->columns = dfn_carve(c, 2 * (size_t)r->levels[0].width, sizeof *r->columns);
    r->logits = dfn_carve(c, r->most_cells, 2 * sizeof *r->logits);
    r->boxes = dfn_carve(c, r->most_cells, 4 * sizeof *r->boxes);
    r->level = dfn_carve(c, r->most_level, sizeof *r->level);
    r->all = dfn_carve(c, r->most_all, sizeof *r->all);
    r->next = dfn_carve(c, r->most_all, sizeof *r->next);
    r->index = dfn_carve(c, r->most_all, sizeof *r->index);
    r->outputs = dfn_carve(c, r->most_all, DFN_ONET_OUTPUTS * sizeof *r->outputs);
    r->nms = dfn_carve(c, dfn_nms_scratch(r->most_all), 1);
    r->faces = dfn_carve(c, r->most_all, sizeof *r->faces);
}

static ef_status reserve(struct run *r, ef_error *err)
{
    struct dfn_carver count = {0};
    lay_out(r, &count);
    if (count.overflow)
        return dfn_fail(err, EF_E_LIMIT, "detector", "a picture of %d x %d is too large",
                        (int)r->img->width, (int)r->img->height);
    struct dfn_carver give = {
        .base = dfn_scratch_need(&r->d->arena, &r->d->opt.allocator, count.used)};
    if (!give.base)
        return dfn_fail(err, EF_E_NOMEM, "detector", "no memory for %zu bytes",
                        count.used);
    lay_out(r, &give);
    return EF_OK;
}

static ef_status cancelled(const struct run *r, ef_error *err)
{
    const ef_options *opt = &r->d->opt;
    return opt->cancel && opt->cancel(opt->cancel_user)
               ? dfn_fail(err, EF_E_CANCELLED, "detector", "the caller ended the run")
               : EF_OK;
}

/* Part t of n items for r->threads workers. */
static size_t share(const struct run *r, size_t t, size_t n)
{
    return n * t / (size_t)r->threads;
}

/* The same, but parts begin at even items. */
static size_t even_share(const struct run *r, size_t t, size_t n)
{
    return t == (size_t)r->threads ? n : share(r, t, n) / 2 * 2;
}

/* ---- first stage: P-Net over the pyramid ---- */

struct level_job {
    struct run *run;
    struct dfn_pnet_job pnet;
    struct dfn_rect whole;
};

static void level_row(void *user, int y, float *out)
{
    dfn_area_row(user, y, out);
}

/* The threads first..last-1 of a level. */
static void level_part(const void *args, size_t first, size_t last)
{
    const struct level_job *job = args;
    struct run *r = job->run;
    const size_t rows = (size_t)dfn_pnet_cells(job->pnet.height);
    for (size_t t = first; t < last; t++) {
        const struct worker *w = &r->workers[t];
        struct dfn_area area = {.img = r->img,
                                .rect = job->whole,
                                .out_h = job->pnet.height,
                                .out_w = job->pnet.width,
                                .columns = r->columns,
                                .sums = w->sums,
                                .row = w->row,
                                .kernels = &r->d->nets.kernels};
        const size_t from = even_share(r, t, rows), to = even_share(r, t + 1, rows);
        const size_t cells = (size_t)dfn_pnet_cells(job->pnet.width);
        const struct dfn_softmax_args s = {job->pnet.logits, job->pnet.logits, 2};
        dfn_pnet_rows(&job->pnet, &area, (int)from, (int)to, w->floats);
        r->d->nets.kernels.op[DFN_OP_SOFTMAX].run(&s, from * cells, to * cells);
    }
}

static size_t count_from(const float *probabilities, size_t cells, float from)
{
    size_t n = 0;
    for (size_t i = 0; i < cells; i++)
        n += probabilities[2 * i + 1] >= from;
    return n;
}

/* The threshold, or the least one above it that at most DFN_LEVEL_MOST cells reach, by
 * halving: positive floats have the order of their bits. */
static float bounded_threshold(const float *probabilities, size_t cells, float threshold)
{
    if (count_from(probabilities, cells, threshold) <= DFN_LEVEL_MOST)
        return threshold;
    uint32_t low, high = 0x3f800001u; /* the float above 1, which none reaches */
    memcpy(&low, &threshold, sizeof low);
    while (high - low > 1) {
        const uint32_t middle = low + (high - low) / 2;
        float from;
        memcpy(&from, &middle, sizeof from);
        if (count_from(probabilities, cells, from) <= DFN_LEVEL_MOST)
            high = middle;
        else
            low = middle;
    }
    memcpy(&threshold, &high, sizeof threshold);
    return threshold;
}

/* Cells of a level that reach the threshold, as windows of the picture. */
static size_t windows(const struct run *r, const struct level *l)
{
    const size_t cells = (size_t)l->rows * (size_t)l->columns;
    const float scale = (float)l->scale;
    const float from =
        bounded_threshold(r->logits, cells, (float)r->d->what.thresholds[0]);
    size_t n = 0;
    for (size_t i = 0; i < cells; i++) {
        const float score = r->logits[2 * i + 1];
        if (!(score >= from))
            continue;
        const float x = (float)(DFN_PNET_STRIDE * (i % (size_t)l->columns));
        const float y = (float)(DFN_PNET_STRIDE * (i / (size_t)l->columns));
        struct dfn_candidate *c = &r->level[n++];
        c->x1 = floorf((x + 1) / scale);
        c->y1 = floorf((y + 1) / scale);
        c->x2 = floorf((x + DFN_PNET_CELL) / scale);
        c->y2 = floorf((y + DFN_PNET_CELL) / scale);
        c->score = score;
        memcpy(c->reg, r->boxes + 4 * i, sizeof c->reg);
    }
    return n;
}

static void scan_level(struct run *r, const struct level *l)
{
    const struct level_job job = {
        .run = r,
        .pnet = {.nets = &r->d->nets,
                 .row = level_row,
                 .height = l->height,
                 .width = l->width,
                 .logits = r->logits,
                 .boxes = r->boxes},
        .whole = {0, 0, r->img->width, r->img->height},
    };
    if (!l->rows || !l->columns)
        return;
    dfn_area_columns(r->img->width, l->width, r->columns);
    dfn_pool_run(r->d->pool, level_part, &job, (size_t)r->threads);
    const size_t n = windows(r, l);
    const size_t kept = dfn_nms(r->level, n, DFN_OVERLAP_UNION, 0.5f, r->index, r->nms);
    for (size_t i = 0; i < kept && r->nall < r->most_all; i++)
        r->all[r->nall++] = r->level[r->index[i]];
}

/* ---- boxes ---- */

/* Grown to a square around the same centre. */
static void make_square(struct dfn_candidate *c)
{
    const float w = c->x2 - c->x1, h = c->y2 - c->y1, side = w > h ? w : h;
    c->x1 = c->x1 + w * 0.5f - side * 0.5f;
    c->y1 = c->y1 + h * 0.5f - side * 0.5f;
    c->x2 = c->x1 + side;
    c->y2 = c->y1 + side;
}

/* Moves the corners by the network's offsets; one: 1 if corners are pixels. */
static void move_corners(struct dfn_candidate *c, float one)
{
    const float w = c->x2 - c->x1 + one, h = c->y2 - c->y1 + one;
    c->x1 = c->x1 + c->reg[0] * w;
    c->y1 = c->y1 + c->reg[1] * h;
    c->x2 = c->x2 + c->reg[2] * w;
    c->y2 = c->y2 + c->reg[3] * h;
}

static bool is_sane(float v)
{
    return v > -1e8f && v < 1e8f; /* false for NaN; fits into int */
}

/* The pixels under a box; false if there are none. */
static bool cut(const struct dfn_candidate *c, const ef_image *img, struct dfn_rect *rect)
{
    if (!is_sane(c->x1) || !is_sane(c->y1) || !is_sane(c->x2) || !is_sane(c->y2))
        return false;
    const int x1 = c->x1 < 1 ? 1 : (int)c->x1, y1 = c->y1 < 1 ? 1 : (int)c->y1;
    const int x2 = (int)c->x2 > img->width ? img->width : (int)c->x2;
    const int y2 = (int)c->y2 > img->height ? img->height : (int)c->y2;
    *rect = (struct dfn_rect){x1 - 1, y1 - 1, x2 - x1 + 1, y2 - y1 + 1};
    return rect->w > 0 && rect->h > 0;
}

/* r->all becomes the candidates of index [n], in that order. */
static void keep(struct run *r, size_t n)
{
    for (size_t i = 0; i < n; i++)
        r->next[i] = r->all[r->index[i]];
    struct dfn_candidate *const old = r->all;
    r->all = r->next;
    r->next = old;
    r->nall = n;
}

/* Squares, and away with those that have no pixel of the picture. */
static void square_all(struct run *r)
{
    struct dfn_rect rect;
    size_t n = 0;
    for (size_t i = 0; i < r->nall; i++) {
        make_square(&r->all[i]);
        if (cut(&r->all[i], r->img, &rect))
            r->all[n++] = r->all[i];
    }
    r->nall = n;
}

/* ---- second and third stage ---- */

struct crop_job {
    struct run *run;
    bool onet;
};

/* Candidates from..to-1, at most DFN_CROP_BATCH, through the network. */
static void crop_batch(const struct crop_job *job, const struct worker *w, size_t from,
                       size_t to)
{
    const struct run *r = job->run;
    const int side = job->onet ? DFN_ONET_SIDE : DFN_RNET_SIDE;
    const size_t outputs = job->onet ? DFN_ONET_OUTPUTS : DFN_RNET_OUTPUTS;
    float *scratch = w->floats + DFN_CROP_BATCH * (DFN_ONET_SIDE * DFN_ONET_SIDE * 3);
    float *at = w->floats;
    for (size_t i = from; i < to; i++) {
        struct dfn_area area = {.img = r->img,
                                .out_h = side,
                                .out_w = side,
                                .columns = w->columns,
                                .sums = w->sums,
                                .row = w->row,
                                .kernels = &r->d->nets.kernels};
        cut(&r->all[i], r->img, &area.rect);
        dfn_area_columns(area.rect.w, side, w->columns);
        for (int y = 0; y < side; y++, at += side * 3)
            dfn_area_row(&area, y, at);
    }
    dfn_crop_net(&r->d->nets, job->onet, w->floats, (int)(to - from),
                 r->outputs + from * outputs, scratch);
}

static void crop_part(const void *args, size_t first, size_t last)
{
    const struct crop_job *job = args;
    const struct run *r = job->run;
    for (size_t t = first; t < last; t++) {
        const size_t end = share(r, t + 1, r->nall);
        for (size_t i = share(r, t, r->nall); i < end; i += DFN_CROP_BATCH)
            crop_batch(job, &r->workers[t], i,
                       end - i < DFN_CROP_BATCH ? end : i + DFN_CROP_BATCH);
    }
}

/* Runs the net over all candidates and keeps those above the threshold, with the net's
 * score and offsets; r->outputs keeps their rows. */
static void judge(struct run *r, bool onet)
{
    const struct crop_job job = {r, onet};
    const size_t outputs = onet ? DFN_ONET_OUTPUTS : DFN_RNET_OUTPUTS;
    const float above = (float)r->d->what.thresholds[onet ? 2 : 1];
    size_t n = 0;
    dfn_pool_run(r->d->pool, crop_part, &job, (size_t)r->threads);
    for (size_t i = 0; i < r->nall; i++) {
        const float *out = r->outputs + i * outputs;
        float pair[2];
        const struct dfn_softmax_args s = {out, pair, 2};
        r->d->nets.kernels.op[DFN_OP_SOFTMAX].run(&s, 0, 1);
        if (!(pair[1] > above))
            continue;
        r->all[n] = r->all[i];
        r->all[n].score = pair[1];
        memcpy(r->all[n].reg, out + 2, sizeof r->all[n].reg);
        memmove(r->outputs + n * outputs, out, outputs * sizeof *out);
        n++;
    }
    r->nall = n;
}

static void first_boxes(struct run *r)
{
    keep(r, dfn_nms(r->all, r->nall, DFN_OVERLAP_UNION, 0.7f, r->index, r->nms));
    for (size_t i = 0; i < r->nall; i++)
        move_corners(&r->all[i], 0.0f);
    square_all(r);
}

static void second_boxes(struct run *r)
{
    judge(r, false);
    keep(r, dfn_nms(r->all, r->nall, DFN_OVERLAP_UNION, 0.7f, r->index, r->nms));
    for (size_t i = 0; i < r->nall; i++)
        move_corners(&r->all[i], 1.0f);
    square_all(r);
}

/* A candidate and its row of O-Net's outputs as a face of the caller's picture. */
static ef_detection face_of(const struct dfn_candidate *c, const float *points)
{
    ef_detection f = {.score = c->score};
    const float w = c->x2 - c->x1 + 1, h = c->y2 - c->y1 + 1;
    for (int i = 0; i < 5; i++) {
        f.landmarks[i].x = w * points[i] + c->x1 - 1;
        f.landmarks[i].y = h * points[5 + i] + c->y1 - 1;
    }
    return f;
}

static float size_of(const ef_detection *f)
{
    return f->box.w * f->box.h;
}

/* Largest first, of equal ones the later one first; there are few. */
static void sort_faces(ef_detection *faces, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        const ef_detection f = faces[i];
        size_t at = i;
        for (; at && !(size_of(&f) < size_of(&faces[at - 1])); at--)
            faces[at] = faces[at - 1];
        faces[at] = f;
    }
}

static void third_boxes(struct run *r)
{
    judge(r, true);
    for (size_t i = 0; i < r->nall; i++) {
        r->faces[i] = face_of(&r->all[i], r->outputs + i * DFN_ONET_OUTPUTS + 6);
        move_corners(&r->all[i], 1.0f);
        const struct dfn_candidate *c = &r->all[i];
        r->faces[i].box = (ef_box){c->x1, c->y1, c->x2 - c->x1, c->y2 - c->y1};
    }
    const size_t n = dfn_nms(r->all, r->nall, DFN_OVERLAP_MIN, 0.7f, r->index, r->nms);
    /* The outputs have been read: their place takes the kept faces in order. */
    _Static_assert(sizeof(ef_detection) <= DFN_ONET_OUTPUTS * sizeof(float), "fits");
    ef_detection *kept = (ef_detection *)(void *)r->outputs;
    for (size_t i = 0; i < n; i++)
        kept[i] = r->faces[r->index[i]];
    memcpy(r->faces, kept, n * sizeof *kept);
    sort_faces(r->faces, n);
    r->nall = n;
}

/* ---- the whole ---- */

static ef_status find(struct run *r, ef_error *err)
{
    ef_status st = EF_OK;
    for (int i = 0; i < r->nlevels && !st; i++) {
        scan_level(r, &r->levels[i]);
        st = cancelled(r, err);
    }
    if (st)
        return st;
    first_boxes(r);
    second_boxes(r);
    st = cancelled(r, err);
    if (!st)
        third_boxes(r);
    return st;
}

/* The picture at the scale that the options ask for; img itself at 1. */
static ef_status scaled(ef_detector *d, const ef_image *img, ef_image *out, ef_error *err)
{
    *out = *img;
    if (d->what.scale >= 1)
        return EF_OK;
    const int w = (int)(img->width * d->what.scale),
              h = (int)(img->height * d->what.scale);
    out->width = w > 0 ? w : 1;
    out->height = h > 0 ? h : 1;
    out->stride = (ptrdiff_t)out->width * 3;
    out->format = EF_RGB8;
    const size_t bytes = (size_t)out->stride * (size_t)out->height;
    uint8_t *pixels = dfn_scratch_need(&d->pixels, &d->opt.allocator, bytes);
    if (!pixels)
        return dfn_fail(err, EF_E_NOMEM, "detector", "no memory for %zu bytes", bytes);
    out->pixels = pixels;
    const struct dfn_rect whole = {0, 0, img->width, img->height};
    return dfn_resize(img, &whole, DFN_RESAMPLE_PILLOW_BICUBIC, NULL, pixels, out->width,
                      out->height, (size_t)out->stride, &d->resize, &d->opt.allocator,
                      err);
}

static void unscale(ef_detection *f, float scale)
{
    f->box =
        (ef_box){f->box.x / scale, f->box.y / scale, f->box.w / scale, f->box.h / scale};
    for (int i = 0; i < 5; i++) {
        f->landmarks[i].x /= scale;
        f->landmarks[i].y /= scale;
    }
}

ef_status dfn_detector_run(ef_detector *d, const ef_image *img, ef_error *err)
{
    ef_image picture;
    d->nfaces = 0;
    ef_status st = scaled(d, img, &picture, err);
    if (st)
        return st;
    struct run r = {.d = d, .img = &picture, .threads = dfn_pool_threads(d->pool)};
    make_levels(&r);
    if (!r.nlevels) /* smaller than the smallest face */
        return EF_OK;
    st = reserve(&r, err);
    if (st)
        return st;
    /* expf() reports underflow through errno, which is the caller's. */
    const int saved = errno;
    st = find(&r, err);
    errno = saved;
    const ef_status threads = dfn_pool_check(d->pool, st ? NULL : err);
    st = st ? st : threads;
    if (st)
        return st;
    for (size_t i = 0; i < r.nall && d->what.scale < 1; i++)
        unscale(&r.faces[i], (float)d->what.scale);
    d->faces = r.faces;
    d->nfaces = r.nall;
    if (d->what.max_faces && d->nfaces > (size_t)d->what.max_faces)
        d->nfaces = (size_t)d->what.max_faces;
    return EF_OK;
}
