/* merge.c - dfnet merge: the results files of shards become one, if they belong together
 * and nothing is missing or there twice. */
#define _XOPEN_SOURCE 700
#include "examples/dfnet/commands.h"
#include "examples/dfnet/output_file.h"
#include "examples/dfnet/results.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* One results file; its reader holds the group that comes next. */
struct part {
    const char *path;
    FILE *f;
    struct results_reader r;
    int more; /* 1: there is a group */
};

static int refuse(const char *place, const char *what)
{
    say_error(place, what);
    return EX_ALL_FAILED;
}

static int next_group(struct part *p)
{
    const unsigned long before = p->r.number;
    p->more = results_next(&p->r);
    if (p->more < 0)
        return refuse(p->path, p->r.problem);
    if (!p->more && results_torn(&p->r))
        return refuse(p->path, "its end is torn; go on with classify --resume first");
    if (p->more && p->r.number <= before)
        return refuse(p->path, "its files are not in the list's order");
    return 0;
}

static int open_part(struct part *p, const struct part *first, const char *output)
{
    enum output_format format = results_format(p->path);
    if (output_is_input(output, p->path))
        return refuse(output, "is an input and was left as it is");
    p->f = fopen(p->path, "rb");
    if (!p->f)
        return refuse(p->path, strerror(errno));
    if (p != first && format != first->r.format)
        return refuse(p->path, "is not in the format of the first");
    if (results_begin(&p->r, p->f, format == OUT_TABLE ? OUT_CSV : format))
        return refuse(p->path, "is no results file of dfnet classify --resume");
    return next_group(p);
}

/* What the first group of all says, and every other must say, too. */
struct common {
    const char *path, *head;
    struct run_id run;
    unsigned long of;
};

static int check_group(const struct part *p, const struct common *c)
{
    char text[512];
    const char *differs = results_differ(&p->r.run, &c->run);
    if (!differs && p->r.of != c->of)
        differs = "another list of files";
    if (differs) {
        snprintf(text, sizeof text, "holds results of %s than %.300s", differs, c->path);
        return refuse(p->path, text);
    }
    if (p->r.head && strcmp(p->r.head, c->head))
        return refuse(p->path, "has other columns than the first");
    return 0;
}

static int missing(unsigned long from, unsigned long to, unsigned long of)
{
    char text[160];
    if (from == to)
        snprintf(text, sizeof text, "file %lu of the list's %lu is in none of them", from,
                 of);
    else
        snprintf(text, sizeof text,
                 "files %lu to %lu of the list's %lu are in none of them", from, to, of);
    return refuse("merge", text);
}

/* The part whose next group comes first, NULL: all are at their end. */
static struct part *least(struct part *parts, int n)
{
    struct part *found = NULL;
    for (int i = 0; i < n; i++)
        if (parts[i].more && (!found || parts[i].r.number < found->r.number))
            found = &parts[i];
    return found;
}

static int merge(struct part *parts, int n, const struct common *c, FILE *out)
{
    unsigned long last = 0;
    if (c->head)
        fputs(c->head, out);
    for (struct part *p; (p = least(parts, n)) != NULL;) {
        int code = check_group(p, c);
        if (code)
            return code;
        if (p->r.number == last) {
            char text[80];
            snprintf(text, sizeof text, "has file %lu of the list, as another has", last);
            return refuse(p->path, text);
        }
        if (p->r.number > last + 1)
            return missing(last + 1, p->r.number - 1, c->of);
        last = p->r.number;
        fwrite(p->r.group, 1, p->r.length, out);
        code = next_group(p);
        if (code)
            return code;
    }
    return last < c->of ? missing(last + 1, c->of, c->of) : 0;
}

static int merge_all(struct part *parts, const struct options *o)
{
    struct output_file out = {0};
    struct common c = {NULL, NULL, {0, 0, 0}, 0};
    ef_error err;
    int code = 0;
    for (int i = 0; i < o->nargs && !code; i++) {
        const struct results_reader *r = &parts[i].r;
        parts[i].path = o->args[i];
        code = open_part(&parts[i], parts, o->output);
        if (!code && !c.path && parts[i].more)
            c = (struct common){parts[i].path, r->head, r->run, r->of};
        if (!code && parts[i].more)
            code = check_group(&parts[i], &c);
    }
    if (!code && !c.path)
        code = refuse("merge", "none of the files has a row");
    if (code)
        return code;
    if (output_open(&out, o->output, &err))
        return refuse(err.where, err.what);
    code = merge(parts, o->nargs, &c, out.f);
    if (output_close(&out, !code, &err))
        return refuse(err.where, err.what);
    return code;
}

int run_merge(const struct options *o)
{
    if (!o->nargs || !o->output) {
        fputs("dfnet: merge wants results files and -o FILE; see dfnet merge --help\n",
              stderr);
        return EX_USAGE;
    }
    struct part *parts = calloc((size_t)o->nargs, sizeof *parts);
    if (!parts) {
        say_error("merge", "out of memory");
        return EX_NO_MEMORY;
    }
    const int code = merge_all(parts, o);
    for (int i = 0; i < o->nargs; i++) {
        results_end(&parts[i].r);
        if (parts[i].f)
            fclose(parts[i].f);
    }
    free(parts);
    return code;
}
