/* clip_report.c - see clip_report.h. What is shown of whom is chosen from the scores
 * (struct moment), the frames are decoded in one pass, and then all is printed person by
 * person. */
#include "examples/dfnet/clip_report.h"

#include "examples/dfnet/escape.h"
#include "examples/dfnet/picture.h"
#include "examples/dfnet/timeline.h"

#include <stdlib.h>
#include <string.h>

/* Persons with pictures: those who are seen longest. Others have a timeline, up to
 * MOST_LINES. All of them are in the rows. */
#define MOST_SHOWN 12
#define MOST_LINES 50
#define THUMBS 6
#define MAPS 3
#define MOMENTS (MOST_SHOWN * (THUMBS + MAPS) + 1)
/* Longest sides in pixels, and those behind the first MANY videos: a page of thousands
 * must still open. */
#define FRAME_SIDE 320
#define THUMB_SIDE 96
#define MAP_SIDE 224
#define FRAME_SMALL 128
#define THUMB_SMALL 48
#define MAP_SMALL 96
#define MANY 25
/* Around a face, as a share of its box on each side. */
#define MARGIN 0.2f

enum moment_kind { SHOW_FRAME, SHOW_FACE, SHOW_MAP };

/* A picture of the page. */
struct moment {
    enum moment_kind kind;
    size_t track, face; /* which one it shows     */
    uint64_t number;    /* of its frame           */
    ef_image img;       /* once it is decoded     */
    float scale;        /* of SHOW_FRAME          */
};

struct showing {
    struct report *r;
    const struct clip *clip;
    size_t shown[MOST_SHOWN], nshown; /* tracks, rising */
    struct moment moments[MOMENTS];   /* by kind: the frame, then person by person */
    size_t n;
    int small;
};

/* ---- choosing ---------------------------------------------------------------------- */

static const ef_video_track *track_of(const struct showing *s, size_t i)
{
    return &s->clip->result.tracks[i];
}

static void choose_persons(struct showing *s)
{
    const size_t n = s->clip->result.ntracks;
    for (size_t i = 0; i < n; i++) {
        size_t at = s->nshown < MOST_SHOWN ? s->nshown++ : MOST_SHOWN;
        for (; at && track_of(s, s->shown[at - 1])->nfaces < track_of(s, i)->nfaces; at--)
            if (at < MOST_SHOWN)
                s->shown[at] = s->shown[at - 1];
        if (at < MOST_SHOWN)
            s->shown[at] = i;
    }
    for (size_t i = 1; i < s->nshown; i++)
        for (size_t k = i; k && s->shown[k - 1] > s->shown[k]; k--) {
            const size_t t = s->shown[k];
            s->shown[k] = s->shown[k - 1];
            s->shown[k - 1] = t;
        }
}

static void add(struct showing *s, enum moment_kind kind, size_t track, size_t face)
{
    const ef_video_face *f = &track_of(s, track)->faces[face];
    s->moments[s->n++] = (struct moment){
        .kind = kind, .track = track, .face = face, .number = clip_number(s->clip, f)};
}

/* The faces nearest to even times, each once. */
static void choose_faces(struct showing *s, size_t track)
{
    const ef_video_track *t = track_of(s, track);
    const double first = t->faces[0].seconds;
    const double span = t->faces[t->nfaces - 1].seconds - first;
    size_t at = 0;
    for (int i = 0; i < THUMBS && at < t->nfaces; i++) {
        const double wanted = first + span * i / (THUMBS - 1);
        while (at + 1 < t->nfaces && t->faces[at + 1].seconds <= wanted)
            at++;
        if (at + 1 < t->nfaces &&
            t->faces[at + 1].seconds - wanted < wanted - t->faces[at].seconds)
            at++;
        add(s, SHOW_FACE, track, at++);
    }
}

/* 1 if a moment lies too near to one that was chosen, from number `from` on. */
static int crowded(const struct showing *s, size_t from, const ef_video_face *f,
                   double distance)
{
    for (size_t i = from; i < s->n; i++) {
        const struct moment *m = &s->moments[i];
        const double d = track_of(s, m->track)->faces[m->face].seconds - f->seconds;
        if ((d < 0 ? -d : d) <= distance)
            return 1;
    }
    return 0;
}

/* The faces with the highest scores, not all of one moment; by time. */
static void choose_maps(struct showing *s, size_t track)
{
    const ef_video_track *t = track_of(s, track);
    const double span = t->faces[t->nfaces - 1].seconds - t->faces[0].seconds;
    const double all = s->clip->result.last - s->clip->result.first;
    const double distance = span / 12 > all / 25 ? span / 12 : all / 25;
    const size_t from = s->n;
    /* A network of sequences has none. */
    for (int k = 0; k < MAPS && s->r->scorer->nmodels; k++) {
        size_t best = t->nfaces;
        for (size_t i = 0; i < t->nfaces; i++)
            if (t->faces[i].verdict != EF_VERDICT_NONE &&
                (best == t->nfaces || t->faces[i].fake > t->faces[best].fake) &&
                !crowded(s, from, &t->faces[i], distance))
                best = i;
        if (best == t->nfaces)
            break;
        add(s, SHOW_MAP, track, best);
        for (size_t i = s->n - 1; i > from && s->moments[i - 1].face > best; i--) {
            const struct moment m = s->moments[i];
            s->moments[i] = s->moments[i - 1];
            s->moments[i - 1] = m;
        }
    }
}

static void choose(struct showing *s)
{
    size_t best = 0;
    choose_persons(s);
    for (size_t i = 1; i < s->nshown; i++) {
        const ef_video_track *a = track_of(s, s->shown[i]);
        const ef_video_track *b = track_of(s, s->shown[best]);
        best = a->faces[a->best].fake > b->faces[b->best].fake ? i : best;
    }
    if (s->nshown)
        add(s, SHOW_FRAME, s->shown[best], track_of(s, s->shown[best])->best);
    for (size_t i = 0; i < s->nshown; i++) {
        choose_faces(s, s->shown[i]);
        choose_maps(s, s->shown[i]);
    }
}

/* ---- decoding ---------------------------------------------------------------------- */

static void take_map(struct showing *s, struct moment *m, const ef_image *img)
{
    /* Not on the stack: its table of faces is large. */
    static struct picture_score score;
    const ef_video_face *f = &track_of(s, m->track)->faces[m->face];
    clip_face(s->clip, f, &score);
    report_heatmap(s->r, img, &score, 0, s->small ? MAP_SMALL : MAP_SIDE, &m->img);
}

static void take_face(const struct showing *s, struct moment *m, const ef_image *img)
{
    ef_box b = track_of(s, m->track)->faces[m->face].face.box, cut;
    float scale;
    const float dx = s->r->scorer->whole ? 0 : MARGIN * b.w;
    const float dy = s->r->scorer->whole ? 0 : MARGIN * b.h;
    b = (ef_box){b.x - dx, b.y - dy, b.w + 2 * dx, b.h + 2 * dy};
    picture_shrink(img, b, s->small ? THUMB_SMALL : THUMB_SIDE, &m->img, &scale, &cut);
}

static int take_frame(void *user, uint64_t number, const ef_image *img)
{
    struct showing *s = user;
    const ef_box all = {0, 0, (float)img->width, (float)img->height};
    ef_box cut;
    for (size_t i = 0; i < s->n && !ex_cancel(NULL); i++) {
        struct moment *m = &s->moments[i];
        if (m->number != number || m->img.pixels)
            continue;
        if (m->kind == SHOW_MAP)
            take_map(s, m, img);
        else if (m->kind == SHOW_FACE)
            take_face(s, m, img);
        else
            picture_shrink(img, all, s->small ? FRAME_SMALL : FRAME_SIDE, &m->img,
                           &m->scale, &cut);
    }
    return ex_cancel(NULL);
}

static int by_number(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static ef_status decode(struct showing *s, int file, ef_error *err)
{
    uint64_t numbers[MOMENTS];
    size_t n = 0;
    for (size_t i = 0; i < s->n; i++)
        numbers[i] = s->moments[i].number;
    qsort(numbers, s->n, sizeof *numbers, by_number);
    for (size_t i = 0; i < s->n; i++)
        if (!n || numbers[i] != numbers[n - 1])
            numbers[n++] = numbers[i];
    return clip_frames(s->clip, file, numbers, n, take_frame, s, err);
}

/* ---- printing ---------------------------------------------------------------------- */

static void print_facts(const struct showing *s)
{
    const struct clip *c = s->clip;
    FILE *f = s->r->body;
    char length[TIMELINE_TEXT];
    timeline_seconds(length, c->seconds);
    fprintf(f,
            "<p class=\"dim num\">Video of %s, %u &#215; %u pixels; %zu of its %llu "
            "frames scored</p>\n",
            length, c->width, c->height, c->result.frames, (unsigned long long)c->total);
    if (c->partial) {
        fputs("<p class=\"lacks\">Not all of it could be read: ", f);
        escape_html(f, c->why);
        fputs("</p>\n", f);
    }
    if (c->result.flags & EF_VIDEO_FULL)
        fputs("<p class=\"lacks\">It has more faces than can be scored: some have no "
              "score.</p>\n",
              f);
}

/* The frame with everybody who is in it. */
static void print_frame(const struct showing *s, const char *path)
{
    const struct moment *m = &s->moments[0];
    struct marked_face marked[MAX_FACES];
    size_t n = 0;
    if (!s->n || !m->img.pixels)
        return;
    const uint32_t frame = track_of(s, m->track)->faces[m->face].frame;
    for (size_t i = 0; i < s->clip->result.ntracks && !s->r->scorer->whole; i++) {
        const ef_video_track *t = track_of(s, i);
        for (size_t k = 0; k < t->nfaces && n < MAX_FACES; k++)
            if (t->faces[k].frame == frame)
                marked[n++] = (struct marked_face){t->faces[k].face.box, i + 1};
    }
    report_frame(s->r, "Frame of the video", path, &m->img, m->scale, marked, n);
}

/* One moment with its picture, time and score. */
static void print_moment(const struct showing *s, const struct moment *m, char letter)
{
    const ef_video_face *face = &track_of(s, m->track)->faces[m->face];
    char at[TIMELINE_TEXT];
    FILE *f = s->r->body;
    timeline_seconds(at, face->seconds);
    fputs("<li>", f);
    if (m->img.pixels) {
        if (letter)
            fprintf(f,
                    "<img width=\"%d\" height=\"%d\" alt=\"Heat map at %s: red spoke for "
                    "fake, blue for real\" src=\"",
                    m->img.width, m->img.height, at);
        else
            fprintf(f, "<img width=\"%d\" height=\"%d\" alt=\"The face at %s\" src=\"",
                    m->img.width, m->img.height, at);
        picture_data_uri(f, &m->img, &s->r->o->lib);
        fputs("\">", f);
    }
    if (letter)
        fprintf(f, "<b>%c</b> ", letter);
    if (face->verdict == EF_VERDICT_NONE)
        fprintf(f, "%s</li>", at);
    else
        fprintf(f, "%s <b class=\"%s\">%.1f %%</b></li>", at,
                ef_verdict_name(face->verdict), 100 * face->fake);
}

static void print_moments(const struct showing *s, size_t track, enum moment_kind kind)
{
    char letter = 'A';
    size_t n = 0;
    for (size_t i = 0; i < s->n; i++)
        n += s->moments[i].track == track && s->moments[i].kind == kind;
    if (!n)
        return;
    fprintf(s->r->body, "<h4>%s</h4><ul class=\"strip%s num\">",
            kind == SHOW_MAP ? "Where it looked, at the highest scores"
                             : "The face at even times",
            kind == SHOW_MAP ? " maps" : "");
    for (size_t i = 0; i < s->n; i++)
        if (s->moments[i].track == track && s->moments[i].kind == kind)
            print_moment(s, &s->moments[i], kind == SHOW_MAP ? letter++ : 0);
    fputs("</ul>\n", s->r->body);
}

static int is_shown(const struct showing *s, size_t track)
{
    for (size_t i = 0; i < s->nshown; i++)
        if (s->shown[i] == track)
            return 1;
    return 0;
}

static void print_score(const struct showing *s, double fake, double logit,
                        ef_verdict verdict, uint64_t lacking)
{
    report_score(s->r, fake, logit, verdict);
    report_lacking(s->r, "lacks", lacking);
}

static void print_person(const struct showing *s, size_t i)
{
    const ef_video_track *t = track_of(s, i);
    const ef_video_result *v = &s->clip->result;
    const ef_rule *rule = &s->r->scorer->rule;
    size_t marks[MAPS];
    struct timeline line = {.from = v->first,
                            .to = v->last > v->first ? v->last : v->first + 1,
                            .real_below = rule->real_below,
                            .fake_from = rule->fake_from,
                            .marks = marks};
    char from[TIMELINE_TEXT], to[TIMELINE_TEXT];
    FILE *f = s->r->body;
    for (size_t k = 0; k < s->n; k++)
        if (s->moments[k].track == i && s->moments[k].kind == SHOW_MAP)
            marks[line.nmarks++] = s->moments[k].face;
    timeline_seconds(from, t->faces[0].seconds);
    timeline_seconds(to, t->faces[t->nfaces - 1].seconds);
    fprintf(f, "<div class=\"person\"><h3>Person %zu</h3>", i + 1);
    print_score(s, t->fake, t->logit, t->verdict, t->lacking);
    fprintf(f, "<p class=\"dim num\">From %s to %s, found in %zu frame%s", from, to,
            t->found, t->found == 1 ? "" : "s");
    if (t->nfaces > t->found)
        fprintf(f, ", followed through %zu more", t->nfaces - t->found);
    fputs("</p>\n", f);
    if (t->verdict != EF_VERDICT_NONE)
        timeline_print(f, &line, t, i + 1);
    if (is_shown(s, i)) {
        print_moments(s, i, SHOW_FACE);
        print_moments(s, i, SHOW_MAP);
    }
    fputs("</div>\n", f);
}

static void print_persons(const struct showing *s)
{
    const size_t n = s->clip->result.ntracks;
    size_t left = 0;
    FILE *f = s->r->body;
    for (size_t i = 0; i < n; i++) {
        /* Those with pictures, and as many others as there is room for. */
        if (is_shown(s, i) || i - left < MOST_LINES)
            print_person(s, i);
        else
            left++;
    }
    if (left)
        fprintf(f, "<p class=\"dim\">%zu more persons are in the rows of this run.</p>\n",
                left);
    if (n)
        fputs("<p class=\"dim key\">Each line is a person's score over time; grey: not "
              "seen. A hollow point: not found in that frame, but before and behind it. "
              "Letters mark the heat maps.</p>\n",
              f);
}

static void forget(struct showing *s)
{
    for (size_t i = 0; i < s->n; i++) {
        if (s->moments[i].kind == SHOW_MAP)
            ef_image_free(&s->moments[i].img);
        else if (s->moments[i].img.pixels)
            picture_free(&s->moments[i].img);
    }
}

void report_clip(struct report *r, const char *path, const struct clip *c, int file)
{
    static struct showing s;
    ef_error err = {EF_OK, 0, "", ""};
    if (!r->o)
        return;
    memset(&s, 0, sizeof s);
    s.r = r;
    s.clip = c;
    report_count_clip(r, c->result.verdict);
    s.small = r->clips > MANY;
    choose(&s);
    const ef_status st = s.n ? decode(&s, file, &err) : EF_OK;
    report_begin(r, path);
    fputs("<div class=\"picture\">", r->body);
    print_frame(&s, path);
    fputs("<div>", r->body);
    print_facts(&s);
    if (c->result.ntracks) {
        fprintf(r->body, "<h3>%s</h3>",
                c->result.ntracks == 1 ? "The video" : "All persons together");
        print_score(&s, c->result.fake, c->result.logit, c->result.verdict,
                    c->result.lacking);
        if (c->result.verdict != EF_VERDICT_NONE)
            report_bar(r, c->result.fake, c->result.verdict);
    } else {
        fputs("<p class=\"verdict none\">No face was found: there is no score.</p>",
              r->body);
    }
    if (st) {
        fputs("<p class=\"lacks\">Its pictures could not be decoded again: ", r->body);
        escape_html(r->body, err.what);
        fputs("</p>", r->body);
    }
    fputs("</div></div>\n", r->body);
    print_persons(&s);
    fputs("</article>\n", r->body);
    forget(&s);
}
