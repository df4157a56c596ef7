/* video_result.c - scored faces to tracks and verdicts: what ef_video_finish() returns.
 *
 * Records are in the order in which they were made: almost that of frames, over all
 * tracks. They are counted per track, placed track by track, and set right by frame. */
#include "lib/api/video.h"

#include "lib/base/mem.h"

#include <string.h>

void ef_video_result_init(ef_video_result *result, size_t struct_size)
{
    if (!result || struct_size < sizeof result->struct_size)
        return;
    memset(result, 0, struct_size);
    result->struct_size = struct_size;
}

void dfn_video_result_free(ef_video *v)
{
    const ef_allocator *a = &v->opt.allocator;
    dfn_free(a, v->faces);
    dfn_free(a, v->result);
    dfn_free(a, v->work);
    v->faces = NULL;
    v->result = NULL;
    v->work = NULL;
    v->nfaces = v->nresult = 0;
}

size_t dfn_video_result_bytes(const ef_video *v)
{
    return v->faces ? dfn_alloc_cost(v->nfaces * sizeof *v->faces) +
                          dfn_alloc_cost(v->nresult * sizeof *v->result) +
                          dfn_alloc_cost(2 * v->nfaces * v->nmodels * sizeof *v->work)
                    : 0;
}

/* Where each track's faces stand: tally [tracks], made here, freed by the caller. */
struct tally {
    size_t first, n, found;
    bool kept;
};

static size_t count(const ef_video *v, struct tally *t, size_t ntracks)
{
    size_t at = 0, dropped = 0;
    bool any = false;
    for (size_t i = 0; i < v->nrecords; i++) {
        t[v->records[i].track].n++;
        t[v->records[i].track].found += !v->records[i].interpolated;
    }
    for (size_t i = 0; i < ntracks; i++)
        any |= t[i].n && t[i].found >= v->what.least_found;
    for (size_t i = 0; i < ntracks; i++) {
        t[i].first = at;
        t[i].kept = t[i].n && (!any || t[i].found >= v->what.least_found);
        at += t[i].n;
        dropped += t[i].n && !t[i].kept;
    }
    return dropped;
}

/* order [nrecords]: indices of records, track after track, by frame. */
static void arrange(const ef_video *v, struct tally *t, size_t ntracks, size_t *order)
{
    for (size_t i = 0; i < ntracks; i++)
        t[i].n = 0;
    for (size_t i = 0; i < v->nrecords; i++) {
        struct tally *to = &t[v->records[i].track];
        size_t at = to->first + to->n++;
        /* Interpolated faces come a few places late. */
        for (; at > to->first && v->records[order[at - 1]].frame > v->records[i].frame;
             at--)
            order[at] = order[at - 1];
        order[at] = i;
    }
}

static ef_status combine(const ef_video *v, const ef_score *s, size_t n, ef_combined *c,
                         ef_error *err)
{
    /* Without a face there is nothing, not even room. */
    ef_score *room = v->work ? v->work + v->nfaces * v->nmodels : NULL;
    ef_combined_init(c, sizeof *c);
    return ef_combine(&v->rule, s, n, room, c, err);
}

/* One face of a track to *f, and its *n scores, renumbered, to s. */
static ef_status put_face(ef_video *v, size_t record, uint32_t person, ef_video_face *f,
                          ef_score *s, size_t *n, ef_error *err)
{
    const struct dfn_record *r = &v->records[record];
    const ef_score *of = v->scores + record * v->nmodels;
    ef_combined c;
    *n = 0;
    for (size_t k = 0; k < v->nmodels; k++)
        if (of[k].model != DFN_NO_SCORE) {
            s[*n] = of[k];
            s[(*n)++].face = person;
        }
    const ef_status st = combine(v, s, *n, &c, err);
    *f = (ef_video_face){.frame = r->frame,
                         .interpolated = r->interpolated,
                         .seconds = r->seconds,
                         .face = r->face,
                         .fake = c.fake,
                         .logit = c.logit,
                         .verdict = c.verdict};
    return st;
}

static bool scored(const ef_video_face *f)
{
    return f->verdict != EF_VERDICT_NONE;
}

/* A bit for each model that gave none of these n scores. */
static uint64_t lacking(const ef_video *v, const ef_score *s, size_t n)
{
    uint64_t bits = UINT64_MAX >> (64 - v->nmodels);
    for (size_t i = 0; i < n; i++)
        bits &= ~((uint64_t)1 << s[i].model);
    return bits;
}

/* The scores of a track's faces that count, at the end of those before, *used. */
static ef_status put_track(ef_video *v, const struct tally *t, const size_t *order,
                           size_t *at, size_t *used, ef_video_track *out, ef_error *err)
{
    const uint32_t per = v->what.per_face;
    const size_t step = per && t->n > per ? (t->n + per - 1) / per : 1;
    const size_t from = *used;
    const uint32_t person = (uint32_t)(out - v->result);
    ef_video_face *faces = v->faces + *at;
    ef_combined c;
    *out = (ef_video_track){.faces = faces, .nfaces = t->n, .found = t->found};
    for (size_t i = 0; i < t->n; i++) {
        ef_score *s = v->work + *used;
        size_t n;
        const ef_status st =
            put_face(v, order[t->first + i], person, &faces[i], s, &n, err);
        if (st)
            return st;
        faces[i].counts = n && i % step == 0;
        if (n && (!scored(&faces[out->best]) || faces[i].fake > faces[out->best].fake))
            out->best = i;
        *used += faces[i].counts ? n : 0;
    }
    out->lacking = lacking(v, v->work + from, *used - from);
    *at += t->n;
    const ef_status st = combine(v, v->work + from, *used - from, &c, err);
    out->fake = c.fake;
    out->logit = c.logit;
    out->verdict = c.verdict;
    out->flags = c.flags;
    return st;
}

static ef_status put_all(ef_video *v, const struct tally *t, size_t ntracks,
                         const size_t *order, ef_video_result *out, ef_error *err)
{
    size_t at = 0, used = 0, person = 0;
    ef_combined c;
    ef_status st = EF_OK;
    for (size_t i = 0; i < ntracks && !st; i++)
        if (t[i].kept)
            st = put_track(v, &t[i], order, &at, &used, &v->result[person++], err);
    if (!st)
        st = combine(v, v->work, used, &c, err);
    if (st)
        return st;
    out->tracks = v->result;
    out->ntracks = person;
    out->fake = c.fake;
    out->logit = c.logit;
    out->verdict = c.verdict;
    out->lacking = lacking(v, v->work, used);
    return EF_OK;
}

static ef_status fill_in(ef_video *v, struct tally *t, size_t *order, size_t ntracks,
                         ef_video_result *out, ef_error *err)
{
    const ef_allocator *a = &v->opt.allocator;
    out->dropped = count(v, t, ntracks);
    arrange(v, t, ntracks, order);
    v->nfaces = v->nrecords;
    v->nresult = ntracks;
    if (v->nfaces) {
        v->faces = dfn_alloc(a, v->nfaces * sizeof *v->faces);
        v->result = dfn_alloc(a, ntracks * sizeof *v->result);
        /* The scores that combine, and room to sort them in. */
        v->work = dfn_alloc(a, 2 * v->nfaces * v->nmodels * sizeof *v->work);
        if (!v->faces || !v->result || !v->work)
            return dfn_fail(err, EF_E_NOMEM, "video", "no memory for %zu faces",
                            v->nfaces);
    }
    return put_all(v, t, ntracks, order, out, err);
}

ef_status dfn_video_result(ef_video *v, ef_video_result *out, ef_error *err)
{
    const ef_allocator *a = &v->opt.allocator;
    const size_t ntracks = v->tracks->next_id;
    ef_video_result r;
    ef_video_result_init(&r, sizeof r);
    r.frames = v->added;
    r.first = v->first;
    r.last = v->last;
    r.detect_seconds = (double)v->detect_ns * 1e-9;
    r.score_seconds = (double)v->score_ns * 1e-9;
    r.flags = v->full ? EF_VIDEO_FULL : 0;
    dfn_video_result_free(v);
    struct tally *t = dfn_calloc(a, (ntracks + 1) * sizeof *t);
    size_t *order = dfn_calloc(a, (v->nrecords + 1) * sizeof *order);
    const ef_status st = t && order ? fill_in(v, t, order, ntracks, &r, err)
                                    : dfn_fail(err, EF_E_NOMEM, "video",
                                               "no memory for %zu tracks", ntracks);
    dfn_free(a, t);
    dfn_free(a, order);
    if (st) {
        dfn_video_result_free(v);
        return st;
    }
    r.struct_size = out->struct_size;
    memcpy(out, &r, sizeof r);
    return EF_OK;
}
