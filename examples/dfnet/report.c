/* report.c - see report.h. The markup is valid HTML 5; all text from outside goes through
 * escape_html(), and the content security policy forbids whatever the page does not need.
 */
#define _XOPEN_SOURCE 700
#include "examples/dfnet/report.h"

#include "examples/dfnet/commands.h"
#include "examples/dfnet/escape.h"
#include "examples/dfnet/picture.h"
#include "examples/dfnet/rows.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Longest side of a thumbnail, and of one behind the first MANY pictures: a PNG of 320
 * pixels takes about 150 kB, and a page of thousands must still open. */
#define SIDE 320
#define SIDE_SMALL 128
#define MANY 100
#define HEAT_SIDE 224
/* Each costs a run of the network. */
#define MOST_MAPS 16

int report_open(struct report *r, const struct options *o, struct scorer *s)
{
    ef_error err;
    memset(r, 0, sizeof *r);
    if (output_open(&r->out, o->report, &err)) {
        say_error(err.where, err.what);
        return EX_ALL_FAILED;
    }
    r->body = tmpfile();
    if (!r->body) {
        say_error("temporary file", strerror(errno));
        output_close(&r->out, 0, &err);
        return EX_ALL_FAILED;
    }
    r->o = o;
    r->scorer = s;
    return 0;
}

/* ---- a picture --------------------------------------------------------------------- */

/* The probability between the two thresholds, as a drawing with words for those who
 * cannot see it. 320 x 48 units, the bar from 10 to 310. */
void report_bar(const struct report *r, double fake, ef_verdict verdict)
{
    const double low = r->scorer->rule.real_below, high = r->scorer->rule.fake_from;
    FILE *f = r->body;
    fprintf(
        f,
        "<svg class=\"bar %s\" viewBox=\"0 0 320 48\" preserveAspectRatio=\"xMinYMid "
        "meet\" role=\"img\" aria-label=\""
        "Probability of fake %.1f %%; below %.4g real, from %.4g fake\">"
        "<rect class=\"track\" x=\"10\" y=\"14\" width=\"300\" height=\"14\" rx=\"3\"/>"
        "<rect class=\"value\" x=\"10\" y=\"14\" width=\"%.2f\" height=\"14\" rx=\"3\"/>",
        ef_verdict_name(verdict), 100 * fake, low, high, 300 * fake);
    fprintf(f,
            "<line x1=\"%.2f\" y1=\"10\" x2=\"%.2f\" y2=\"32\"/>"
            "<line x1=\"%.2f\" y1=\"10\" x2=\"%.2f\" y2=\"32\"/>",
            10 + 300 * low, 10 + 300 * low, 10 + 300 * high, 10 + 300 * high);
    /* Inwards where the ends of the bar leave no room, and above where both meet. */
    const int left = low<0.25, right = high> 0.75;
    fprintf(f,
            "<text x=\"%.2f\" y=\"44\"%s>real &lt; %.4g</text><text x=\"%.2f\" "
            "y=\"%d\"%s>fake &#8805; %.4g</text></svg>",
            10 + 300 * low - (left ? 0 : 4), left ? "" : " text-anchor=\"end\"", low,
            10 + 300 * high + (right ? 0 : 4),
            high - low < 0.3 && (left || right) ? 9 : 44,
            right ? " text-anchor=\"end\"" : "", high);
}

void report_score(const struct report *r, double fake, double logit, ef_verdict verdict)
{
    if (verdict == EF_VERDICT_NONE)
        fputs("<p class=\"verdict none\">There is no score.</p>", r->body);
    else
        fprintf(
            r->body,
            "<p><span class=\"verdict %s\">%s</span>, fake with probability <b "
            "class=\"num\">%.1f %%</b> <span class=\"dim num\">(logit %.3f)</span></p>",
            ef_verdict_name(verdict), ef_verdict_name(verdict), 100 * fake, logit);
}

void report_frame(struct report *r, const char *what, const char *path,
                  const ef_image *small, float scale, const struct marked_face *faces,
                  size_t n)
{
    FILE *f = r->body;
    fprintf(f, "<figure class=\"frame\"><img width=\"%d\" height=\"%d\" alt=\"%s ",
            small->width, small->height, what);
    escape_html(f, path);
    fprintf(f, ", %zu face%s marked\" src=\"", n, n == 1 ? "" : "s");
    picture_data_uri(f, small, &r->o->lib);
    fprintf(f, "\"><svg viewBox=\"0 0 %d %d\" aria-hidden=\"true\">", small->width,
            small->height);
    for (size_t i = 0; i < n; i++) {
        const ef_box b = faces[i].box;
        const double x = (double)(b.x * scale), y = (double)(b.y * scale);
        for (int edge = 1; edge >= 0; edge--)
            fprintf(f, "<rect%s x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"/>",
                    edge ? " class=\"edge\"" : "", x, y, (double)(b.w * scale),
                    (double)(b.h * scale));
        fprintf(f, "<text x=\"%.1f\" y=\"%.1f\">%zu</text>", x + 4, y + 16,
                faces[i].number);
    }
    fputs("</svg></figure>", f);
}

static void print_thumbnail(struct report *r, const char *path, const ef_image *img,
                            const struct picture_score *p)
{
    const ef_box all = {0, 0, (float)img->width, (float)img->height};
    const int side = r->pictures <= MANY ? SIDE : SIDE_SMALL;
    struct marked_face marked[MAX_FACES];
    size_t n = 0;
    ef_image small;
    ef_box cut;
    float scale;
    for (int i = 0; i < p->nfaces && !p->whole; i++)
        marked[n++] = (struct marked_face){p->faces[i].box, (size_t)i + 1};
    if (picture_shrink(img, all, side, &small, &scale, &cut))
        return;
    report_frame(r, "Picture", path, &small, scale, marked, n);
    picture_free(&small);
}

int report_heatmap(struct report *r, const ef_image *img, const struct picture_score *p,
                   int i, int side, ef_image *out)
{
    ef_heatmap map = {0};
    ef_image crop = {0};
    ef_box cut;
    float scale;
    int done = 0;
    if (scorer_heatmap(r->scorer, img, p, i, &map, NULL))
        return 0;
    if (!picture_shrink(img, map.area, side, &crop, &scale, &cut)) {
        ef_heatmap moved = map;
        moved.area = (ef_box){(map.area.x - cut.x) * scale, (map.area.y - cut.y) * scale,
                              map.area.w * scale, map.area.h * scale};
        done = !ef_heatmap_draw(&moved, &crop, HEATMAP_OPACITY, 0, &r->o->lib, out, NULL);
        picture_free(&crop);
    }
    ef_heatmap_free(&map);
    return done;
}

static int print_heatmap(struct report *r, const ef_image *img,
                         const struct picture_score *p, int i)
{
    ef_image drawn = {0};
    if (!report_heatmap(r, img, p, i, HEAT_SIDE, &drawn))
        return 0;
    fprintf(r->body,
            "<img width=\"%d\" height=\"%d\" alt=\"Heat map of face %d: red spoke for "
            "fake, blue for real\" src=\"",
            drawn.width, drawn.height, i + 1);
    const int done = picture_data_uri(r->body, &drawn, &r->o->lib);
    fputs("\">", r->body);
    ef_image_free(&drawn);
    return done;
}

static void print_face(struct report *r, const ef_image *img,
                       const struct picture_score *p, int i)
{
    const struct scored_face *face = &p->faces[i];
    FILE *f = r->body;
    const int mapped = i < MOST_MAPS;
    fprintf(f, "<div class=\"face%s\">", mapped ? "" : " plain");
    if (mapped && !print_heatmap(r, img, p, i))
        fputs("<p class=\"dim\">no heat map</p>", f);
    fprintf(f, "<div><h3>Face %d</h3>", i + 1);
    report_score(r, face->fake, face->logit, face->verdict);
    report_bar(r, face->fake, face->verdict);
    if (p->whole)
        fputs("<p class=\"dim\">The whole picture was taken as the face.</p>", f);
    else
        fprintf(f, "<p class=\"dim num\">At x %.0f, y %.0f; %.0f &#215; %.0f pixels</p>",
                (double)face->box.x, (double)face->box.y, (double)face->box.w,
                (double)face->box.h);
    for (size_t m = 0; m < r->scorer->nmodels && r->scorer->nmodels > 1 && p->results;
         m++) {
        const ef_result *one = &p->results[m * MAX_FACES + (size_t)i];
        fputs("<p class=\"dim\"><bdi>", f);
        escape_html(f, r->scorer->infos[m].name);
        fprintf(f, "</bdi>: <span class=\"num\">%.1f %%</span></p>",
                100 * (double)one->fake);
    }
    fputs("</div></div>\n", f);
}

static void print_labels(const struct report *r, const struct picture_score *p)
{
    if (!p->ntop)
        return;
    fputs("<h3>Labels of the whole picture</h3><ol>", r->body);
    for (size_t i = 0; i < p->ntop; i++) {
        const char *label = ef_model_label(r->scorer->models[0], p->top[i].output);
        fputs("<li><bdi>", r->body);
        escape_html(r->body, label ? label : "(no label)");
        fprintf(r->body, "</bdi> <span class=\"num\">%.2f %%</span></li>",
                100 * (double)p->top[i].value);
    }
    fputs("</ol>", r->body);
}

void report_begin(struct report *r, const char *path)
{
    fputs("<article><h2><bdi>", r->body);
    escape_html(r->body, path);
    fputs("</bdi></h2>\n", r->body);
}

void report_lacking(const struct report *r, const char *style, uint64_t lacking)
{
    char words[1024];
    if (!lacking)
        return;
    scorer_lacking(r->scorer, lacking, words, sizeof words);
    fprintf(r->body, "<p class=\"%s\">No score of <bdi>", style);
    escape_html(r->body, words);
    fputs("</bdi></p>\n", r->body);
}

void report_picture(struct report *r, const char *path, const ef_image *img,
                    const struct picture_score *p)
{
    if (!r->o)
        return;
    r->pictures++;
    r->verdicts[p->verdict]++;
    report_begin(r, path);
    fputs("<div class=\"picture\">", r->body);
    print_thumbnail(r, path, img, p);
    fputs("<div>", r->body);
    if (p->nfaces > 1) {
        fprintf(r->body, "<div class=\"face plain\"><div><h3>All %d faces together</h3>",
                p->nfaces);
        report_score(r, p->fake, p->logit, p->verdict);
        report_bar(r, p->fake, p->verdict);
        fputs("</div></div>\n", r->body);
    }
    for (int i = 0; i < p->nfaces; i++)
        print_face(r, img, p, i);
    if (!p->nfaces && r->scorer->faces)
        fputs("<p class=\"verdict none\">No face was found: there is no score.</p>",
              r->body);
    report_lacking(r, "dim", p->nfaces ? p->lacking : 0);
    print_labels(r, p);
    fputs("</div></div></article>\n", r->body);
}

void report_count_clip(struct report *r, ef_verdict verdict)
{
    r->clips++;
    r->verdicts[verdict]++;
}

void report_error(struct report *r, const char *path, const ef_error *err)
{
    if (!r->o)
        return;
    const char *where = rows_where(path, err);
    r->failed++;
    report_begin(r, path);
    fputs("<p><span class=\"verdict none\">Failed:</span> ", r->body);
    escape_html(r->body, where);
    fputs(*where ? ": " : "", r->body);
    escape_html(r->body, err->what);
    fputs("</p></article>\n", r->body);
}

/* ---- the page ---------------------------------------------------------------------- */

static void print_head(const struct report *r)
{
    FILE *f = r->out.f;
    char date[64];
    const long files = r->pictures + r->clips + r->failed;
    const time_t now = time(NULL);
    struct tm tm;
    strftime(date, sizeof date, "%Y-%m-%d %H:%M", localtime_r(&now, &tm));
    fprintf(f,
            "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
            "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
            "img-src data:; style-src '%s'; base-uri 'none'; form-action 'none'\">\n"
            "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n"
            "<meta name=\"referrer\" content=\"no-referrer\">\n"
            "<title>dfnet report</title>\n<style>%s</style></head>\n<body><header>"
            "<h1>Real or fake? %ld %s%s</h1><p class=\"dim\">Made on %s by "
            "dfnet %d.%d.%d</p></header>\n<main>\n",
            report_style_hash, report_style, files, r->clips ? "file" : "picture",
            files == 1 ? "" : "s", date, EF_VERSION_MAJOR, EF_VERSION_MINOR,
            EF_VERSION_PATCH);
    fputs("<section><h2>Summary</h2><ul class=\"tally num\">", f);
    for (int v = EF_VERDICT_REAL; v <= EF_VERDICT_FAKE; v++)
        fprintf(f, "<li class=\"%s\"><b>%ld</b>%s</li>", ef_verdict_name((ef_verdict)v),
                r->verdicts[v], ef_verdict_name((ef_verdict)v));
    fprintf(
        f, "<li><b>%ld</b>without a score</li><li><b>%ld</b>failed</li></ul></section>\n",
        r->verdicts[EF_VERDICT_NONE], r->failed);
    fputs(
        "<section class=\"limits\"><h2>What a score means</h2><p>A score is a network's "
        "estimate that a face was made or altered by a machine. It is a hint, never a "
        "proof, and no evidence on its own: real faces are called fake, and fakes real. "
        "A network knows the kinds of fakes that it was trained on; strong compression, "
        "small faces, filters and new generators make it worse. Do not decide anything "
        "about a person with it.</p><p>A heat map shows what the first network used, "
        "not where a face was altered: red spoke for fake, blue for "
        "real.</p></section>\n",
        f);
}

/* The pipeline's description, a line below the other, and what it lacks in front. */
static void print_pipeline(const struct report *r)
{
    FILE *f = r->out.f;
    const struct scorer *s = r->scorer;
    char *text = pipeline_text(s->pipeline);
    fputs("<section><h2>How it was scored</h2><p>By the pipeline <b><bdi>", f);
    escape_html(f, s->plan.name);
    fputs("</bdi></b>.</p>", f);
    if (*s->plan.lacks) {
        fputs("<p class=\"lacks\"><bdi>", f);
        escape_html(f, s->plan.lacks);
        fputs("</bdi></p>", f);
    }
    if (s->stands_in)
        fputs("<p>It finds no faces itself: the face detector MTCNN stood in.</p>", f);
    fputs("<pre>", f);
    for (char *line = text; line && *line;) {
        char *end = line + strcspn(line, "\n"), *next = *end ? end + 1 : end;
        *end = 0;
        /* Said above. */
        if (strncmp(line, "lacks ", 6) != 0) {
            escape_html(f, line);
            fputc('\n', f);
        }
        line = next;
    }
    fputs("</pre>\n", f);
    free(text);
}

static void print_rule(const struct report *r)
{
    FILE *f = r->out.f;
    char rule[32] = "";
    const char *word = rule_words;
    for (int i = 0; i < (int)r->scorer->rule.kind; i++)
        word = strchr(word, ' ') + 1;
    snprintf(rule, sizeof rule, "%.*s", (int)strcspn(word, " "), word);
    fprintf(
        f,
        "<section><h2>How it was scored</h2><p>Scores of %s%s become one by the rule "
        "<code>%s</code>. Below %.4g the verdict is real, from %.4g fake, between them "
        "uncertain: thresholds of the first model.</p>\n",
        r->scorer->nall > 1 ? "several models and " : "", "several faces", rule,
        r->scorer->rule.real_below, r->scorer->rule.fake_from);
}

static void print_models(const struct report *r)
{
    FILE *f = r->out.f;
    if (r->scorer->pipeline)
        print_pipeline(r);
    else
        print_rule(r);
    fputs("<table><thead><tr><th>Model</th><th>Weight</th><th>Hash (XXH3-128)</th>"
          "<th>Licence</th></tr></thead><tbody>",
          f);
    for (size_t m = 0; m < r->scorer->nall; m++) {
        const char *licence = ef_model_metadata(r->scorer->models[m], "dfnet.license");
        fputs("<tr><td><bdi>", f);
        escape_html(f, r->scorer->infos[m].name);
        fprintf(f, "</bdi></td><td class=\"num\">%.6g</td><td><code>%s</code></td><td>",
                r->scorer->weights[m], r->scorer->infos[m].hash);
        escape_html(f, licence ? licence : "not stated");
        fputs("</td></tr>\n", f);
    }
    fputs("</tbody></table></section>\n</main></body></html>\n", f);
}

static void copy_body(const struct report *r)
{
    char block[65536];
    size_t n;
    rewind(r->body);
    while ((n = fread(block, 1, sizeof block, r->body)) > 0)
        fwrite(block, 1, n, r->out.f);
}

int report_close(struct report *r, int keep)
{
    ef_error err = {EF_OK, 0, "", ""};
    if (!r->o)
        return 0;
    int lost = 0;
    if (keep) {
        lost = fflush(r->body) || ferror(r->body);
        print_head(r);
        copy_body(r);
        lost |= ferror(r->body) != 0;
        print_models(r);
    }
    fclose(r->body);
    if (lost)
        say_error(r->o->report, "the temporary file of the report could not be kept");
    if (output_close(&r->out, keep && !lost, &err)) {
        say_error(err.where, err.what);
        lost = 1;
    }
    r->o = NULL;
    return lost ? EX_ALL_FAILED : 0;
}
