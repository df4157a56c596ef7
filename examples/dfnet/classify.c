/* classify.c - dfnet classify: pictures to rows, heat maps and a report. One bad picture
 * never stops the rest. */
#define _XOPEN_SOURCE 700
#include "examples/dfnet/blackbox.h"
#include "examples/dfnet/clip.h"
#include "examples/dfnet/clip_report.h"
#include "examples/dfnet/commands.h"
#include "examples/dfnet/escape.h"
#include "examples/dfnet/inputs.h"
#include "examples/dfnet/output_file.h"
#include "examples/dfnet/picture.h"
#include "examples/dfnet/progress.h"
#include "examples/dfnet/report.h"
#include "examples/dfnet/rows.h"
#include "examples/video/kind.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct run {
    const struct options *o;
    struct scorer scorer;
    struct rows rows;
    struct report report;
    struct picture_score score;
    struct clip clip;
    char heatmap[PATH_MAX]; /* of the picture at hand */
    long number;            /* of the picture at hand, from 1 */
    long good, failed;
    int met, no_memory, stop; /* stop: exit code that ends the run at once, or 0 */
};

static int ended(struct run *r)
{
    return r->stop || ex_cancel(NULL);
}

static int fail(struct run *r, const char *path, const ef_error *err)
{
    /* What an interrupt cut short has not failed. */
    if (ex_cancel(NULL))
        return 1;
    r->failed++;
    r->no_memory |= err->status == EF_E_NOMEM;
    rows_error(&r->rows, path, err);
    report_error(&r->report, path, err);
    return ended(r);
}

/* ---- outputs ----------------------------------------------------------------------- */

static int refuse_output(struct run *r, const char *output, const char *input)
{
    progress_clear();
    fputs("dfnet: ", stderr);
    ex_print_text(stderr, output);
    fputs(": is an input (", stderr);
    ex_print_text(stderr, input);
    fputs(") and was left as it is\n", stderr);
    return r->stop = EX_USAGE;
}

/* Outputs that every picture shares must not be this one. */
static int check_output(struct run *r, const char *input)
{
    if (r->o->report && output_is_input(r->o->report, input))
        return refuse_output(r, r->o->report, input);
    return 0;
}

static int has_number(const char *name)
{
    return strstr(name, "{n}") != NULL;
}

static int is_folder(const char *name)
{
    struct stat st;
    const size_t n = strlen(name);
    return (n && name[n - 1] == '/') || (stat(name, &st) == 0 && S_ISDIR(st.st_mode));
}

/* The heat map's file name for the picture at hand, in r->heatmap. 0 if it is too long.
 */
static int name_heatmap(struct run *r, const char *path)
{
    const char *pattern = r->o->heatmap, *hole = strstr(pattern, "{n}");
    char stem[64];
    int n;
    if (is_folder(pattern)) {
        escape_stem(stem, sizeof stem, path);
        n = snprintf(r->heatmap, sizeof r->heatmap, "%s%s%05ld-%s.png", pattern,
                     pattern[strlen(pattern) - 1] == '/' ? "" : "/", r->number, stem);
    } else if (hole) {
        n = snprintf(r->heatmap, sizeof r->heatmap, "%.*s%05ld%s", (int)(hole - pattern),
                     pattern, r->number, hole + 3);
    } else {
        n = snprintf(r->heatmap, sizeof r->heatmap, "%s", pattern);
    }
    return n > 0 && (size_t)n < sizeof r->heatmap;
}

static ef_status write_heatmap(struct run *r, const char *path, const ef_image *img,
                               ef_error *err)
{
    ef_heatmap map = {0};
    ef_image drawn = {0};
    struct output_file out = {0};
    memset(err, 0, sizeof *err);
    if (!name_heatmap(r, path)) {
        snprintf(err->what, sizeof err->what, "the heat map's name is too long");
        return err->status = EF_E_LIMIT;
    }
    if (output_is_input(r->heatmap, path)) {
        refuse_output(r, r->heatmap, path);
        return EF_E_ARG;
    }
    ef_status st = scorer_heatmap(&r->scorer, img, &r->score, 0, &map, err);
    if (!st)
        st = ef_heatmap_draw(&map, img, HEATMAP_OPACITY, 0, &r->o->lib, &drawn, err);
    if (!st && output_open(&out, r->heatmap, err))
        st = err->status;
    if (!st)
        st = ef_image_encode_png(&drawn, &r->o->lib, picture_to_file, out.f, err);
    ef_error closing;
    if (output_close(&out, !st, &closing)) {
        *err = closing;
        st = err->status;
    }
    ef_image_free(&drawn);
    ef_heatmap_free(&map);
    return st;
}

/* ---- pictures ---------------------------------------------------------------------- */

static int meets(const struct condition *c, const struct picture_score *p)
{
    switch (c->kind) {
    case COND_NONE:
        return 0;
    case COND_VERDICT:
        return p->verdict == c->verdict;
    default:
        break;
    }
    if (p->verdict == EF_VERDICT_NONE)
        return 0;
    return c->kind == COND_GE   ? p->fake >= c->bound
           : c->kind == COND_GT ? p->fake > c->bound
           : c->kind == COND_LE ? p->fake <= c->bound
                                : p->fake < c->bound;
}

/* ---- videos ------------------------------------------------------------------------ */

/* The frame in which the first person has the highest score, for the heat map. */
struct best_frame {
    struct run *r;
    const char *path;
    int mapped;
    ef_status st;
    ef_error *err;
};

static int show_best(void *user, uint64_t number, const ef_image *img)
{
    struct best_frame *b = user;
    (void)number;
    b->st = write_heatmap(b->r, b->path, img, b->err);
    b->mapped = !b->st;
    return 1;
}

/* 1: the file is no video; else 0 with *st. */
static int one_video(struct run *r, int fd, const char *path, ef_status *st,
                     ef_error *err)
{
    struct clip *c = &r->clip;
    struct best_frame best = {r, path, 0, EF_OK, err};
    c->scorer = &r->scorer;
    *st = clip_score(c, fd, path, err);
    if (*st && c->no_video)
        return 1;
    clip_as_picture(c, 0, &r->score);
    if (!*st && r->o->heatmap && c->result.ntracks) {
        const ef_video_track *t = c->result.tracks;
        const uint64_t number = clip_number(c, &t->faces[t->best]);
        *st = clip_frames(c, fd, &number, 1, show_best, &best, err);
        *st = *st ? *st : best.st;
    }
    if (!*st && !ex_cancel(NULL)) {
        r->good++;
        r->met |= meets(&r->o->condition, &r->score);
        rows_clip(&r->rows, path, c, best.mapped ? r->heatmap : NULL);
        report_clip(&r->report, path, c, fd);
    }
    return 0;
}

/* A file to read twice, or -1: the picture decoder shall say what is wrong with it. Pipes
 * are copied first. */
static int open_input(struct run *r, const char *path, int *copied, ef_error *err)
{
    struct stat st;
    const int fd = strcmp(path, "-") ? open(path, O_RDONLY | O_CLOEXEC) : dup(0);
    if (fd < 0 || fstat(fd, &st) || !S_ISFIFO(st.st_mode))
        return fd;
    const int copy = clip_spool(fd, r->o->lib.limits.max_file_bytes, err);
    close(fd);
    *copied = 1;
    return copy;
}

/* 1 and *st, if the file is a video; 0: it is none. */
static int try_video(struct run *r, int fd, const char *path, ef_status *st,
                     ef_error *err)
{
    ef_error none;
    struct stat facts;
    const enum file_kind kind = kind_of_fd(fd);
    if (kind == KIND_PICTURE || fstat(fd, &facts) || !S_ISREG(facts.st_mode) ||
        !facts.st_size)
        return 0;
    if (reader_possible(&none)) {
        const off_t at = lseek(fd, 0, SEEK_CUR);
        const int other = one_video(r, fd, path, st, err);
        lseek(fd, at, SEEK_SET);
        return !other;
    }
    if (kind != KIND_VIDEO)
        return 0;
    *err = none;
    *st = none.status;
    return 1;
}

static int one_picture(void *user, const char *path)
{
    struct run *r = user;
    ef_image img = {0};
    ef_error err = {EF_OK, 0, "", ""};
    ef_status st = EF_OK;
    if (ended(r) || check_output(r, path))
        return 1;
    r->number++;
    progress_show(r->good + r->failed, r->failed, path);
    int copied = 0;
    const int fd = open_input(r, path, &copied, &err);
    const int video = fd >= 0 && try_video(r, fd, path, &st, &err);
    if (video || (fd < 0 && err.status)) {
        if (fd >= 0)
            close(fd);
        st = video ? st : err.status;
        return r->stop ? 1 : st ? fail(r, path, &err) : ended(r);
    }
    st = strcmp(path, "-") && !copied ? ef_image_decode_file(path, &r->o->lib, &img, &err)
                                      : ef_image_decode_fd(fd, &r->o->lib, &img, &err);
    if (fd >= 0)
        close(fd);
    if (!st)
        st = scorer_score(&r->scorer, &img, &r->score, &err);
    const int mapped = !st && r->o->heatmap && r->score.nfaces;
    if (mapped)
        st = write_heatmap(r, path, &img, &err);
    if (!st && !ex_cancel(NULL)) {
        r->good++;
        r->met |= meets(&r->o->condition, &r->score);
        rows_score(&r->rows, path, &r->score, mapped ? r->heatmap : NULL);
        report_picture(&r->report, path, &img, &r->score);
    }
    ef_image_free(&img);
    if (r->stop)
        return 1;
    return st ? fail(r, path, &err) : ended(r);
}

static int bad_name(void *user, const char *path, const char *what)
{
    struct run *r = user;
    ef_error err = {EF_E_IO, 0, "", ""};
    snprintf(err.what, sizeof err.what, "%s", what);
    return fail(r, path, &err);
}

/* ---- the run ----------------------------------------------------------------------- */

static int check_outputs(struct run *r)
{
    const struct options *o = r->o;
    for (size_t i = 0; o->report && i < o->nmodels; i++)
        if (output_is_input(o->report, o->models[i].path))
            return refuse_output(r, o->report, o->models[i].path);
    for (int i = 0; i < o->nargs; i++)
        if (check_output(r, o->args[i]))
            return EX_USAGE;
    if (o->report && o->files_from && output_is_input(o->report, o->files_from))
        return refuse_output(r, o->report, o->files_from);
    if (!o->heatmap)
        return 0;
    if (is_folder(o->heatmap)) {
        if (mkdir(o->heatmap, 0777) && errno != EEXIST) {
            say_error(o->heatmap, strerror(errno));
            return EX_ALL_FAILED;
        }
    } else if (inputs_many(o) && !has_number(o->heatmap)) {
        say_error("--heatmap",
                  "several pictures need a folder, or a name with {n} in it");
        return EX_USAGE;
    }
    return 0;
}

static int exit_code(const struct run *r)
{
    if (ex_cancel(NULL))
        return EX_INTERRUPTED;
    if (r->no_memory)
        return EX_NO_MEMORY;
    if (r->met)
        return EX_CONDITION;
    return !r->failed ? EX_DONE : r->good ? EX_SOME_FAILED : EX_ALL_FAILED;
}

/* ---- --resume: in a worker --------------------------------------------------------- */

static int begin_worker(void *user)
{
    struct run *r = user;
    const int code = scorer_start(&r->scorer);
    if (!code)
        rows_begin(&r->rows, r->o, &r->scorer);
    return code;
}

static void file_in_worker(void *user, const char *path, const char *bad, long number,
                           struct work_answer *a)
{
    struct run *r = user;
    r->number = number - 1;
    r->good = r->failed = 0;
    r->met = r->no_memory = 0;
    if (bad)
        bad_name(r, path, bad);
    else
        one_picture(r, path);
    a->status = r->failed ? ROW_FAILED : r->met ? ROW_MET : ROW_SCORED;
    a->stop = r->stop;
    a->no_memory = (uint32_t)r->no_memory;
}

static int resume(struct run *r, const struct options *given)
{
    static struct options o;
    const struct blackbox_calls calls = {begin_worker, file_in_worker, r};
    int code = blackbox_options(given, &o);
    r->o = &o;
    if (!code)
        code = check_outputs(r);
    if (!code)
        code = scorer_load(&r->scorer, &o);
    if (!code)
        code = blackbox_run(&o, &r->scorer, &calls);
    clip_close(&r->clip);
    scorer_close(&r->scorer);
    return code;
}

/* ------------------------------------------------------------------------------------ */

int run_classify(const struct options *o)
{
    /* Not on the stack: its tables of faces are large. */
    static struct run r;
    const struct input_calls calls = {one_picture, bad_name, &r};
    memset(&r, 0, sizeof r);
    r.o = o;
    if (!inputs_check(o))
        return EX_USAGE;
    if (o->resume)
        return resume(&r, o);
    int code = check_outputs(&r);
    if (!code) {
        clip_start_ahead(&r.clip, o);
        code = scorer_open(&r.scorer, o);
    }
    if (!code && o->report)
        code = report_open(&r.report, o, &r.scorer);
    if (!code) {
        rows_begin(&r.rows, o, &r.scorer);
        progress_begin(o->quiet);
        if (progress_wanted())
            progress_expect(inputs_count(o), 0);
        const int unread = inputs_walk(o, &calls);
        progress_clear();
        code = r.stop ? r.stop : unread ? EX_ALL_FAILED : exit_code(&r);
        const int keep = !r.stop && !ex_cancel(NULL);
        if (report_close(&r.report, keep) && keep)
            code = EX_ALL_FAILED;
    }
    clip_close(&r.clip);
    scorer_close(&r.scorer);
    return code;
}
