/* combine.c - ef_combine(): the rules that dfnet.h describes, over sorted scores.
 *
 * work [n] ef_score, sorted by model (but where models are pooled), then face and frame
 * (MAX_FACE: frame and face), then logit: whatever order the scores came in, sums are
 * taken in one order, so that the result has the same bits. Each model's scores are then
 * one range of work, each face's a range of that; every rule passes over its range once
 * and keeps sums and counts only. */
#include "lib/base/status.h"
#include "lib/combine/rule.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#define MOST_LOGIT 1e30

/* A probability and its log-odds: whichever the rule gave, the other follows from it. */
struct chance {
    double p, logit;
};

static double sigmoid(double x)
{
    return x >= 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x));
}

static struct chance from_logit(double x)
{
    return (struct chance){sigmoid(x), x};
}

static struct chance from_probability(double p)
{
    /* ln(2^53 - 1): of the greatest double below 1. */
    const double most = 36.736800569677104;
    const double x = p <= 0 ? -most : p >= 1 ? most : log(p) - log1p(-p);
    return (struct chance){p, fmin(fmax(x, -most), most)};
}

/* ---- order --------------------------------------------------------------------- */

enum order { BY_FACE, BY_FRAME, BY_MODEL_FACE, BY_MODEL_FRAME };

static int compare_numbers(uint32_t a, uint32_t b)
{
    return a < b ? -1 : a > b;
}

static int compare(const ef_score *a, const ef_score *b, enum order order)
{
    const bool face_first = order == BY_FACE || order == BY_MODEL_FACE;
    int c = 0;
    if (order == BY_MODEL_FACE || order == BY_MODEL_FRAME)
        c = compare_numbers(a->model, b->model);
    if (!c)
        c = face_first ? compare_numbers(a->face, b->face)
                       : compare_numbers(a->frame, b->frame);
    if (!c)
        c = face_first ? compare_numbers(a->frame, b->frame)
                       : compare_numbers(a->face, b->face);
    if (!c)
        c = compare_numbers(a->model, b->model);
    return c ? c : a->logit < b->logit ? -1 : a->logit > b->logit;
}

static void sift_down(ef_score *s, size_t at, size_t n, enum order order)
{
    const ef_score moved = s[at];
    for (size_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && compare(&s[child], &s[child + 1], order) < 0)
            child++;
        if (compare(&moved, &s[child], order) >= 0)
            break;
        s[at] = s[child];
    }
    s[at] = moved;
}

/* Heap sort: in place, n log n at worst, no recursion; qsort() may allocate. */
static void sort(ef_score *s, size_t n, enum order order)
{
    for (size_t i = n / 2; i > 0; i--)
        sift_down(s, i - 1, n, order);
    for (size_t end = n; end > 1; end--) {
        const ef_score greatest = s[0];
        s[0] = s[end - 1];
        s[end - 1] = greatest;
        sift_down(s, 0, end - 1, order);
    }
}

/* ---- one range of scores to one chance ----------------------------------------- */

/* Sum and number of the probabilities that a rule looks at. */
struct tally {
    double sum;
    size_t n;
};

static void add(struct tally *t, double value)
{
    t->sum += value;
    t->n++;
}

static struct chance mean_of(const struct tally *t)
{
    return from_probability(t->sum / (double)t->n);
}

/* Probabilities above high, below low, and all of them. */
struct split {
    struct tally high, low, all;
};

static void add_split(struct split *s, double p, double high, double low)
{
    add(&s->all, p);
    if (p > high)
        add(&s->high, p);
    if (p < low)
        add(&s->low, p);
}

/* More than `share` of n. The quotient of two whole numbers that is a short decimal has
 * that decimal's bits, so that exactly 7 of 10 is not more than 0.7; 0.7 * n may round to
 * less than it should. */
static bool more_than(size_t k, double share, size_t n)
{
    return (double)k / (double)n > share;
}

static struct chance mean_logit(const ef_score *s, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += s[i].logit;
    return from_logit(sum / (double)n);
}

static struct chance mean_probability(const ef_score *s, size_t n)
{
    struct tally all = {0};
    for (size_t i = 0; i < n; i++)
        add(&all, sigmoid(s[i].logit));
    return mean_of(&all);
}

static struct chance confident(const ef_rule *r, const ef_score *s, size_t n)
{
    struct split t = {0};
    for (size_t i = 0; i < n; i++)
        add_split(&t, sigmoid(s[i].logit), r->high, r->low);
    const double k = (double)t.high.n;
    if (k > floor((double)n / r->high_divisor) && k > r->high_least)
        return mean_of(&t.high);
    if (more_than(t.low.n, r->low_share, n))
        return mean_of(&t.low);
    return mean_of(&t.all);
}

static struct chance sharpen(const ef_rule *r, const ef_score *s, size_t n)
{
    double sum = 0, weights = 0;
    for (size_t i = 0; i < n; i++) {
        const double d = sigmoid(s[i].logit) - 0.5;
        const double q = 0.5 + copysign(pow(fabs(d), r->gamma), d);
        const double weight = fabs(d) + r->weight_floor;
        sum += fmin(fmax(q, r->margin), 1 - r->margin) * weight;
        weights += weight;
    }
    return from_probability(sum / weights);
}

/* s: one face's scores by frame. */
static struct chance group(const ef_rule *r, const ef_score *s, size_t n, uint32_t *flags)
{
    struct split t = {0};
    if (n < r->run)
        *flags |= EF_COMBINED_SHORT;
    const size_t run = n < r->run ? n : r->run;
    for (size_t at = 0; n - at >= run; at += run)
        add_split(&t, mean_logit(s + at, run).p, r->high, r->low);
    if (more_than(t.high.n, r->share, t.all.n))
        return mean_of(&t.high);
    if (more_than(t.low.n, r->share, t.all.n))
        return mean_of(&t.low);
    return mean_of(&t.all);
}

/* s: by frame. */
static struct chance max_face(const ef_score *s, size_t n)
{
    struct tally frames = {0};
    for (size_t i = 0; i < n;) {
        const uint32_t frame = s[i].frame;
        double most = s[i].logit;
        for (; i < n && s[i].frame == frame; i++)
            most = fmax(most, s[i].logit);
        add(&frames, sigmoid(most));
    }
    return mean_of(&frames);
}

static struct chance by_kind(const ef_rule *r, const ef_score *s, size_t n,
                             uint32_t *flags)
{
    switch (r->kind) {
    case EF_RULE_MEAN_LOGIT:
        return mean_logit(s, n);
    case EF_RULE_CONFIDENT:
        return confident(r, s, n);
    case EF_RULE_SHARPEN:
        return sharpen(r, s, n);
    case EF_RULE_GROUP:
        return group(r, s, n, flags);
    case EF_RULE_MAX_FACE:
        return max_face(s, n);
    case EF_RULE_MEAN_PROB:
        break;
    }
    return mean_probability(s, n);
}

/* ---- faces --------------------------------------------------------------------- */

struct faces {
    struct tally p, logit;
    struct chance least, most;
};

static void add_face(struct faces *f, struct chance c)
{
    if (!f->p.n || c.logit < f->least.logit)
        f->least = c;
    if (!f->p.n || c.logit > f->most.logit)
        f->most = c;
    add(&f->p, c.p);
    add(&f->logit, c.logit);
}

static struct chance finish_faces(const ef_rule *r, const struct faces *f)
{
    if (f->p.n == 1 || r->faces == EF_FACES_MAX)
        return f->most;
    if (r->faces == EF_FACES_AGREE) {
        if (f->most.p > r->face_sure || f->least.p > r->face_high)
            return f->most;
        if (f->most.p < r->face_low)
            return f->least;
        return mean_of(&f->p);
    }
    if (r->kind == EF_RULE_MEAN_LOGIT)
        return from_logit(f->logit.sum / (double)f->logit.n);
    return mean_of(&f->p);
}

/* s: one model's scores. */
static struct chance one_model(const ef_rule *r, const ef_score *s, size_t n,
                               uint32_t *flags)
{
    struct faces f = {0};
    if (r->faces == EF_FACES_POOL)
        return by_kind(r, s, n, flags);
    for (size_t from = 0, to; from < n; from = to) {
        for (to = from; to < n && s[to].face == s[from].face; to++)
            continue;
        add_face(&f, by_kind(r, s + from, to - from, flags));
    }
    return finish_faces(r, &f);
}

/* ---- models -------------------------------------------------------------------- */

struct models {
    struct chance chance[DFN_RULE_MODELS];
    double weight[DFN_RULE_MODELS];
    size_t n;
};

static void add_model(const ef_rule *r, struct models *m, uint32_t model, struct chance c)
{
    if (r->shrinks && r->shrinks[model] &&
        (c.p >= r->shrink_from || c.p <= 1 - r->shrink_from))
        c = from_probability((c.p - 0.5) * r->shrink_by + 0.5);
    m->chance[m->n] = c;
    m->weight[m->n++] = r->weights ? r->weights[model] : 1;
}

/* Weighted mean of the probabilities in (above, below). */
static struct chance weighted(const struct models *m, double above, double below)
{
    double sum = 0, weights = 0;
    for (size_t i = 0; i < m->n; i++)
        if (m->chance[i].p > above && m->chance[i].p < below) {
            sum += m->weight[i] * m->chance[i].p;
            weights += m->weight[i];
        }
    return from_probability(sum / weights);
}

static struct chance weighted_logit(const struct models *m)
{
    double sum = 0, weights = 0;
    for (size_t i = 0; i < m->n; i++) {
        sum += m->weight[i] * m->chance[i].logit;
        weights += m->weight[i];
    }
    return from_logit(sum / weights);
}

static struct chance finish_models(const ef_rule *r, const struct models *m)
{
    size_t high = 0, low = 0;
    if (m->n == 1)
        return m->chance[0];
    if (r->models == EF_MODELS_MEAN_LOGIT)
        return weighted_logit(m);
    for (size_t i = 0; r->models == EF_MODELS_AGREE && i < m->n; i++) {
        high += m->chance[i].p > r->model_high;
        low += m->chance[i].p < r->model_low;
    }
    if (more_than(high, r->model_share, m->n))
        return weighted(m, r->model_high, 2);
    if (more_than(low, r->model_share, m->n))
        return weighted(m, -1, r->model_low);
    return weighted(m, -1, 2);
}

/* s: all scores, sorted. */
static struct chance all_models(const ef_rule *r, const ef_score *s, size_t n,
                                uint32_t *flags)
{
    struct models m = {.n = 0};
    if (r->models == EF_MODELS_POOL)
        return one_model(r, s, n, flags);
    for (size_t from = 0, to; from < n; from = to) {
        for (to = from; to < n && s[to].model == s[from].model; to++)
            continue;
        add_model(r, &m, s[from].model, one_model(r, s + from, to - from, flags));
    }
    return finish_models(r, &m);
}

/* ---- the whole ----------------------------------------------------------------- */

/* Copies the scores with their models' temperatures applied. */
static ef_status take(const ef_rule *r, const ef_score *scores, size_t n, ef_score *work,
                      ef_error *err)
{
    const size_t models = r->model_count ? r->model_count : DFN_RULE_MODELS;
    for (size_t i = 0; i < n; i++) {
        if (!(fabs(scores[i].logit) <= MOST_LOGIT))
            return dfn_fail(err, EF_E_NUMERIC, "scores",
                            "number %zu is %g, must be a number within 1e30", i,
                            scores[i].logit);
        if (scores[i].model >= models)
            return dfn_fail(err, EF_E_ARG, "scores",
                            "number %zu is of model %lu, there are %zu", i,
                            (unsigned long)scores[i].model, models);
    }
    if (work != scores)
        memmove(work, scores, n * sizeof *work);
    for (size_t i = 0; r->temperatures && i < n; i++)
        work[i].logit /= r->temperatures[work[i].model];
    return EF_OK;
}

static void count(ef_score *s, size_t n, ef_combined *c)
{
    uint64_t models = 0;
    sort(s, n, BY_FACE);
    for (size_t i = 0; i < n; i++) {
        c->faces += i == 0 || s[i].face != s[i - 1].face;
        models |= (uint64_t)1 << s[i].model;
    }
    for (; models; models &= models - 1)
        c->models++;
    sort(s, n, BY_FRAME);
    for (size_t i = 0; i < n; i++)
        c->frames += i == 0 || s[i].frame != s[i - 1].frame;
    c->scores = n;
}

static void judge(const ef_rule *r, struct chance chance, ef_combined *c)
{
    if (r->temperature < 1 || r->temperature > 1)
        chance = from_logit(chance.logit / r->temperature);
    const double p = fmin(fmax(chance.p, r->clip), 1 - r->clip);
    if (p < chance.p || p > chance.p) {
        c->flags |= EF_COMBINED_CLIPPED;
        chance = from_probability(p);
    }
    c->fake = chance.p;
    c->logit = chance.logit;
    c->verdict = chance.p < r->real_below   ? EF_VERDICT_REAL
                 : chance.p >= r->fake_from ? EF_VERDICT_FAKE
                                            : EF_VERDICT_UNCERTAIN;
}

static void combine(const ef_rule *r, ef_score *work, size_t n, ef_combined *c)
{
    if (n) {
        count(work, n, c);
        sort(work, n,
             r->models == EF_MODELS_POOL   ? BY_FACE
             : r->kind == EF_RULE_MAX_FACE ? BY_MODEL_FRAME
                                           : BY_MODEL_FACE);
        judge(r, all_models(r, work, n, &c->flags), c);
    } else {
        c->fake = 0.5;
        c->flags = EF_COMBINED_EMPTY;
    }
    if (c->models < r->model_count)
        c->flags |= EF_COMBINED_PARTIAL;
}

static ef_status check(const ef_score *scores, size_t n, const ef_score *work,
                       const ef_combined *out, ef_error *err)
{
    if (!out || (n && (!scores || !work)))
        return dfn_fail(err, EF_E_ARG,
                        !out      ? "out"
                        : !scores ? "scores"
                                  : "work",
                        "is NULL");
    if (out->struct_size < sizeof *out || out->struct_size > 4096)
        return dfn_fail(err, EF_E_ARG, "combined struct_size",
                        "is %zu; call ef_combined_init() first", out->struct_size);
    if (n > SIZE_MAX / sizeof *scores)
        return dfn_fail(err, EF_E_ARG, "n", "is %zu, more than memory can hold", n);
    return EF_OK;
}

ef_status ef_combine(const ef_rule *rule, const ef_score *scores, size_t n,
                     ef_score *work, ef_combined *out, ef_error *err)
{
    ef_rule defaults;
    ef_rule_init(&defaults, EF_RULE_MEAN_PROB, sizeof defaults);
    const ef_rule *r = rule ? rule : &defaults;
    ef_status st = dfn_rule_check(r, err);
    if (!st)
        st = check(scores, n, work, out, err);
    if (!st)
        st = take(r, scores, n, work, err);
    if (st)
        return st;
    const int saved = errno; /* exp(), log() and pow() may touch it */
    ef_combined c = {.struct_size = out->struct_size};
    combine(r, work, n, &c);
    memcpy(out, &c, sizeof c);
    errno = saved;
    return EF_OK;
}
