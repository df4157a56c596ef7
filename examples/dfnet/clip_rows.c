/* clip_rows.c - what classify prints of a video: a line or CSV row for each person, or
 * one JSON object with everything (examples/README.md describes them). */
#include "examples/dfnet/rows.h"

#include "examples/dfnet/escape.h"
#include "examples/dfnet/progress.h"

#include <string.h>

static const ef_video_face *first_of(const ef_video_track *t)
{
    return &t->faces[0];
}

static const ef_video_face *last_of(const ef_video_track *t)
{
    return &t->faces[t->nfaces - 1];
}

/* ---- table ------------------------------------------------------------------------- */

/* To standard error, as what is partial is. */
static void say_lacking(const struct scorer *s, const char *path, size_t person,
                        uint64_t lacking)
{
    char words[1024];
    if (s->o->quiet)
        return;
    scorer_lacking(s, lacking, words, sizeof words);
    progress_clear();
    fflush(stdout);
    fputs("dfnet: ", stderr);
    ex_print_text(stderr, path);
    fprintf(stderr, ": person %zu has no score of ", person);
    ex_print_text(stderr, words);
    fputc('\n', stderr);
}

static void table(const struct rows *r, const char *path, const struct clip *c)
{
    const ef_video_result *v = &c->result;
    char face[96];
    for (size_t i = 0; i < v->ntracks; i++) {
        const ef_video_track *t = &v->tracks[i];
        snprintf(face, sizeof face, "person %zu, %.1f-%.1f s", i + 1,
                 first_of(t)->seconds, last_of(t)->seconds);
        rows_table_line(r, t->verdict, t->fake, t->logit, face, path);
        if (t->lacking)
            say_lacking(r->scorer, path, i + 1, t->lacking);
    }
    snprintf(face, sizeof face, "video, %zu frame%s", v->frames,
             v->frames == 1 ? "" : "s");
    if (v->ntracks != 1)
        rows_table_line(r, v->verdict, v->fake, v->logit, v->ntracks ? face : "no face",
                        path);
    if (c->partial) {
        char what[sizeof c->why + 32];
        progress_clear();
        snprintf(what, sizeof what, "partial: %s", c->why);
        fflush(stdout);
        fputs("dfnet: ", stderr);
        ex_print_text(stderr, path);
        fputs(": ", stderr);
        ex_print_text(stderr, what);
        fputc('\n', stderr);
    }
}

/* ---- JSON -------------------------------------------------------------------------- */

static void json_face(const struct clip *c, const ef_video_face *f, const char *comma)
{
    const ef_box b = f->face.box;
    printf("%s{\"frame\":%llu,\"seconds\":%.6f,\"box\":{\"x\":%.9g,\"y\":%.9g,\"w\":%.9g,"
           "\"h\":%.9g},",
           comma, (unsigned long long)clip_number(c, f), f->seconds, (double)b.x,
           (double)b.y, (double)b.w, (double)b.h);
    rows_json_scores(f->fake, f->logit, f->verdict);
    if (f->interpolated)
        fputs(",\"interpolated\":true", stdout);
    else
        printf(",\"found\":%.9g", (double)f->face.score);
    if (!f->counts)
        fputs(",\"counts\":false", stdout);
    putchar('}');
}

static void json(const char *path, const struct clip *c, const char *heatmap, int timings)
{
    const ef_video_result *v = &c->result;
    printf("{\"schema\":1,\"path\":");
    ex_print_json(stdout, path);
    printf(",\"video\":{\"frames\":%llu,\"scored\":%zu,\"seconds\":%.6f,\"width\":%u,"
           "\"height\":%u,\"partial\":%s",
           (unsigned long long)c->total, v->frames, c->seconds, c->width, c->height,
           c->partial ? "true" : "false");
    if (c->partial) {
        fputs(",\"reason\":", stdout);
        ex_print_json(stdout, c->why);
    }
    if (v->flags & EF_VIDEO_FULL)
        fputs(",\"full\":true", stdout);
    fputs("},\"tracks\":[", stdout);
    for (size_t i = 0; i < v->ntracks; i++) {
        const ef_video_track *t = &v->tracks[i];
        printf("%s{\"person\":%zu,\"first\":%.6f,\"last\":%.6f,\"found\":%zu,",
               i ? "," : "", i + 1, first_of(t)->seconds, last_of(t)->seconds, t->found);
        rows_json_scores(t->fake, t->logit, t->verdict);
        rows_json_lacking(c->scorer, t->lacking);
        fputs(",\"faces\":[", stdout);
        for (size_t f = 0; f < t->nfaces; f++)
            json_face(c, &t->faces[f], f ? "," : "");
        fputs("]}", stdout);
    }
    fputs("],", stdout);
    rows_json_scores(v->fake, v->logit, v->verdict);
    if (v->ntracks)
        rows_json_lacking(c->scorer, v->lacking);
    rows_json_pipeline(c->scorer);
    if (heatmap) {
        fputs(",\"heatmap\":", stdout);
        ex_print_json(stdout, heatmap);
    }
    if (timings)
        printf(",\"times\":{\"wall\":%.6f,\"decode\":%.6f,\"detect\":%.6f,"
               "\"score\":%.6f}",
               c->wall_seconds, c->cpu_seconds, v->detect_seconds, v->score_seconds);
    puts("}");
}

/* ---- CSV --------------------------------------------------------------------------- */

static void csv(const char *path, const struct clip *c, const char *heatmap)
{
    const ef_video_result *v = &c->result;
    char place[sizeof c->why + 1280], lacking[1024] = "";
    for (size_t i = 0; i < v->ntracks || !i; i++) {
        escape_csv(stdout, path);
        if (v->ntracks) {
            const ef_video_track *t = &v->tracks[i];
            const ef_video_face *f = &t->faces[t->best];
            rows_csv_face(i + 1, f->face.box, f->face.score);
            rows_csv_scores(t->fake, t->logit, t->verdict);
            scorer_lacking(c->scorer, t->lacking, lacking, sizeof lacking);
            snprintf(place, sizeof place, "video %.2f-%.2f s, box at %.2f s%s%s%s%s",
                     first_of(t)->seconds, last_of(t)->seconds, f->seconds,
                     c->partial ? "; partial: " : "", c->partial ? c->why : "",
                     *lacking ? "; no score of " : "", lacking);
        } else {
            fputs(",,,,,,,,,", stdout);
            snprintf(place, sizeof place, "video%s%s", c->partial ? "; partial: " : "",
                     c->partial ? c->why : "");
        }
        rows_csv_scores(v->fake, v->logit, v->verdict);
        putchar(',');
        escape_csv(stdout, heatmap && !i ? heatmap : "");
        /* No labels, no error. */
        fputs(",\"\",,", stdout);
        escape_csv(stdout, place);
        putchar('\n');
    }
}

/* ---- times ------------------------------------------------------------------------- */

/* The parts are processor time and run on several threads: shares are of their sum. */
static void say_times(const char *path, const struct clip *c)
{
    const double parts[3] = {c->cpu_seconds, c->result.detect_seconds,
                             c->result.score_seconds};
    const double sum = parts[0] + parts[1] + parts[2], all = sum > 0 ? sum : 1;
    char what[256];
    progress_clear();
    snprintf(what, sizeof what,
             "%zu frames in %.2f s: decoding %.2f s (%.0f %%), finding faces %.2f s "
             "(%.0f %%), scoring %.2f s (%.0f %%)",
             c->result.frames, c->wall_seconds, parts[0], 100 * parts[0] / all, parts[1],
             100 * parts[1] / all, parts[2], 100 * parts[2] / all);
    say_error(path, what);
}

void rows_clip(const struct rows *r, const char *path, const struct clip *clip,
               const char *heatmap)
{
    const int timings = r->scorer->o->timings;
    if (r->terminal)
        progress_clear();
    if (r->format == OUT_JSON)
        json(path, clip, heatmap, timings);
    else if (r->format == OUT_CSV)
        csv(path, clip, heatmap);
    else
        table(r, path, clip);
    fflush(stdout);
    if (timings && r->format != OUT_JSON)
        say_times(path, clip);
}
