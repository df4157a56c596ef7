/* blackbox.c - see blackbox.h. The parent reads the list and the results file, gives
 * what is missing to workers, and appends their rows in the list's order, each file's
 * with one write. At most WINDOW files are scored and not yet written; that many at most
 * are scored again after a kill. */
#define _XOPEN_SOURCE 700
#include "examples/dfnet/blackbox.h"

#include "examples/dfnet/commands.h"
#include "examples/dfnet/fingerprint.h"
#include "examples/dfnet/output_file.h"
#include "examples/dfnet/progress.h"
#include "examples/dfnet/worklist.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define WINDOW 64
#define MOST_JOBS 64

static const char NOT_OURS[] =
    "is no results file of dfnet classify --resume in this format, "
    "and was left as it is";

struct ready {
    char *lines; /* owned; NULL: not yet */
    size_t length;
    enum row_status status;
};

struct box {
    struct options *o;
    const struct blackbox_calls *calls;
    struct worklist list;
    struct run_id run;
    FILE *f; /* the results file, locked */
    int fd;
    off_t good;  /* its length up to the last whole group */
    char *head;  /* that it has, or NULL                        */
    char *scrap; /* what it has of a first line only, or NULL   */
    int torn;    /* something stands behind good               */
    /* The shard's files are numbers 0..total-1; k stands for entry step * k + first. */
    uint32_t first, step, total;
    uint32_t next_write, next_give, before;
    long counts[3]; /* by enum row_status */
    struct worker workers[MOST_JOBS];
    int jobs;
    struct ready window[WINDOW]; /* of number k: [k % WINDOW]      */
    struct {                     /* files over which a worker died */
        uint32_t k;
        int ended;
    } lost[MOST_JOBS];
    int nlost;
    int no_memory, stop, head_done;
    char *out; /* a group with its tails */
    size_t out_cap;
};

static size_t entry_of(const struct box *b, uint32_t k)
{
    return (size_t)k * b->step + b->first;
}

/* ---- options and fingerprints ------------------------------------------------------ */

int blackbox_options(const struct options *given, struct options *o)
{
    *o = *given;
    if (o->format == OUT_TABLE)
        o->format = results_format(o->resume);
    if (o->format == OUT_TABLE) {
        say_error(o->resume, "say --csv or --json, or end the name in .csv or .jsonl");
        return EX_USAGE;
    }
    if (!o->jobs)
        o->jobs = workers_cpus();
    if (!o->given[OPT_THREADS] && o->jobs > 1)
        o->lib.threads = 1;
    return 0;
}

static uint64_t hash_models(const struct scorer *s)
{
    const uint32_t version = ef_version();
    uint64_t h = fingerprint_bytes(FINGERPRINT_START, &version, sizeof version);
    for (size_t i = 0; i < s->nall; i++) {
        h = fingerprint_text(h, s->infos[i].hash);
        h = fingerprint_bytes(h, &s->weights[i], sizeof s->weights[i]);
    }
    if (s->pipeline) {
        char *text = pipeline_text(s->pipeline);
        h = fingerprint_text(h, text ? text : "");
        free(text);
    }
    if (s->detector_model) {
        ef_model_info info;
        ef_model_info_init(&info, sizeof info);
        if (!ef_model_get_info(s->detector_model, &info, NULL))
            h = fingerprint_text(h, info.hash);
    }
    return h;
}

/* ---- the results file -------------------------------------------------------------- */

static int refuse(const struct box *b, const char *what)
{
    say_error(b->o->resume, what);
    return EX_USAGE;
}

/* Why the group that r holds is not the one that is due, NULL: it is. */
static const char *wrong_group(const struct box *b, const struct results_reader *r,
                               char *text, size_t cap)
{
    const char *differs = results_differ(&r->run, &b->run);
    if (differs && r->run.list != b->run.list && r->of != b->list.count)
        snprintf(
            text, cap,
            "holds results of %s (%lu files, not %zu); begin a new file, or give the "
            "list of then with --files-from",
            differs, r->of, b->list.count);
    else if (differs)
        snprintf(text, cap, "holds results of %s; begin a new file", differs);
    else if (b->next_write >= b->total || r->number != entry_of(b, b->next_write) + 1)
        snprintf(
            text, cap,
            "has file %lu of the list on line %ld, where another was due: results of "
            "another --shard?",
            r->number, r->lines);
    else
        return NULL;
    return text;
}

/* Counts what the file holds, and finds its good end. 0, or the exit code. */
static int read_results(struct box *b)
{
    struct results_reader r;
    char text[256];
    const char *wrong = NULL;
    int got = results_begin(&r, b->f, b->o->format);
    if (got < 0) {
        results_end(&r);
        return refuse(b, NOT_OURS);
    }
    while (!wrong && (got = results_next(&r)) > 0) {
        wrong = wrong_group(b, &r, text, sizeof text);
        b->counts[r.status]++;
        b->next_write++;
    }
    if (got < 0) {
        snprintf(text, sizeof text, "%s", r.problem);
        wrong = text;
    }
    b->good = r.good;
    b->head = r.head;
    r.head = NULL;
    b->before = b->next_give = b->next_write;
    b->scrap = r.scrap;
    r.scrap = NULL;
    b->torn = results_torn(&r);
    results_end(&r);
    return wrong ? refuse(b, wrong) : 0;
}

/* Takes away half a group, once it is known that the file is one of ours. */
static void mend(struct box *b)
{
    if (b->torn && ftruncate(b->fd, b->good)) {
        refuse(b, strerror(errno));
        b->stop = EX_ALL_FAILED;
    } else if (b->torn && !b->o->quiet) {
        say_error(b->o->resume, "its end was torn; that file is done again");
    }
    b->torn = 0;
}

static int open_results(struct box *b)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    struct stat st;
    for (size_t i = 0; i < b->list.count; i++)
        if (output_is_input(b->o->resume, worklist_name(&b->list, i)))
            return refuse(b, "is an input and was left as it is");
    b->fd = open(b->o->resume, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    b->f = b->fd < 0 ? NULL : fdopen(b->fd, "r+b");
    if (!b->f || fstat(b->fd, &st)) {
        refuse(b, strerror(errno));
        return EX_ALL_FAILED;
    }
    if (!S_ISREG(st.st_mode))
        return refuse(b, "is no file that could be gone on with");
    /* The children do not inherit it, so that it ends with this process. */
    if (fcntl(b->fd, F_SETLK, &lock) && (errno == EACCES || errno == EAGAIN))
        return refuse(b, "another dfnet is writing it");
    return read_results(b);
}

/* Appends n bytes as a whole or not at all. 0, or -1 after a sentence. */
static int append(struct box *b, const char *bytes, size_t n)
{
    size_t done = 0;
    while (done < n) {
        const ssize_t put = pwrite(b->fd, bytes + done, n - done, b->good + (off_t)done);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0) {
            progress_clear();
            say_error(b->o->resume, strerror(put ? errno : ENOSPC));
            if (done && ftruncate(b->fd, b->good))
                say_error(b->o->resume, "its end is torn; the next --resume mends it");
            b->stop = EX_ALL_FAILED;
            return -1;
        }
        done += (size_t)put;
    }
    b->good += (off_t)n;
    return 0;
}

/* Writes what is ready and due. */
static void write_ready(struct box *b)
{
    while (!b->stop && b->next_write < b->total) {
        struct ready *d = &b->window[b->next_write % WINDOW];
        const struct group_facts facts = {b->o->format, entry_of(b, b->next_write) + 1,
                                          b->list.count, d->status, b->run};
        size_t used = 0;
        if (!d->lines)
            return;
        if (!results_group(&facts, d->lines, d->length, &b->out, &used, &b->out_cap)) {
            say_error("results", "out of memory");
            b->stop = EX_NO_MEMORY;
        } else if (!append(b, b->out, used)) {
            b->counts[d->status]++;
            b->next_write++;
        }
        free(d->lines);
        *d = (struct ready){0};
    }
}

/* ---- what workers say -------------------------------------------------------------- */

/* The first head decides whether the file is one of this program's. */
static void hear_head(struct box *b, const char *text, size_t length)
{
    char *head;
    if (b->head_done)
        return;
    b->head_done = 1;
    if (!results_head(b->o->format, text, length, &head))
        b->stop = EX_NO_MEMORY;
    else if (b->head && strcmp(head, b->head))
        b->stop =
            refuse(b, "has the columns of another version of dfnet; begin a new file");
    else if (b->scrap && !results_scrap_fits(b->o->format, b->scrap, head))
        b->stop = refuse(b, NOT_OURS);
    else
        mend(b);
    if (!b->stop && !b->head)
        append(b, head, strlen(head));
    free(head);
}

static void hear_answer(void *user, int i, const struct work_answer *a, const char *text)
{
    struct box *b = user;
    (void)i;
    if (a->stop && !b->stop)
        b->stop = a->stop;
    if (b->stop)
        return;
    if (a->file == NO_FILE) {
        hear_head(b, text, (size_t)a->length);
        return;
    }
    struct ready *d = &b->window[a->file % WINDOW];
    d->lines = malloc((size_t)a->length + 1);
    if (!d->lines) {
        b->stop = EX_NO_MEMORY;
        return;
    }
    memcpy(d->lines, text, (size_t)a->length);
    d->length = (size_t)a->length;
    d->status = (enum row_status)a->status;
    b->no_memory |= a->no_memory != 0;
}

static void hear_gone(void *user, int i, int ended)
{
    struct box *b = user;
    struct worker *w = &b->workers[i];
    if (b->stop || ex_cancel(NULL))
        return;
    if (w->begun && w->file != NO_FILE) {
        b->lost[b->nlost].k = w->file;
        b->lost[b->nlost++].ended = ended;
    } else if (!w->begun) {
        say_error("worker", "ended before it began");
        b->stop = EX_ALL_FAILED;
    }
}

/* ---- in a worker ------------------------------------------------------------------- */

static void begin_worker(void *user, int number, struct work_answer *a)
{
    struct box *b = user;
    /* What all would say, one says. */
    if (number)
        b->o->quiet = 1;
    progress_begin(1);
    a->stop = b->calls->begin(b->calls->user);
}

static void file_worker(void *user, uint32_t k, int ended, struct work_answer *a)
{
    struct box *b = user;
    const size_t i = entry_of(b, k);
    const char *bad = worklist_bad(&b->list, i);
    char text[128];
    if (ended) {
        if (WIFSIGNALED(ended))
            snprintf(text, sizeof text,
                     "the process that scored it was ended by signal %d",
                     WTERMSIG(ended));
        else
            snprintf(text, sizeof text, "the process that scored it ended with %d",
                     WEXITSTATUS(ended));
        bad = text;
    }
    b->calls->file(b->calls->user, worklist_name(&b->list, i), bad, (long)i + 1, a);
}

/* ---- the run ----------------------------------------------------------------------- */

/* Something to do for a worker: 1 with *k and *ended. */
static int next_file(struct box *b, uint32_t *k, int *ended)
{
    *ended = 0;
    if (b->nlost) {
        *k = b->lost[--b->nlost].k;
        *ended = b->lost[b->nlost].ended;
        return 1;
    }
    if (b->next_give == b->total || b->next_give - b->next_write >= WINDOW)
        return 0;
    *k = b->next_give++;
    return 1;
}

static void give_files(struct box *b, const struct work_calls *c)
{
    for (int i = 0; i < b->jobs && !b->stop; i++) {
        struct worker *w = &b->workers[i];
        uint32_t k;
        int ended;
        if (!w->pid && worker_start(b->workers, b->jobs, i, b->fd, c)) {
            say_error("worker", strerror(errno));
            b->stop = EX_ALL_FAILED;
        }
        if (b->stop || !w->begun || w->file != NO_FILE || !next_file(b, &k, &ended))
            continue;
        progress_show((long)b->next_write, b->counts[ROW_FAILED],
                      worklist_name(&b->list, entry_of(b, k)));
        if (worker_give(w, k, ended)) {
            /* It is gone already; another takes the file. */
            b->lost[b->nlost].k = k;
            b->lost[b->nlost++].ended = ended;
        }
    }
}

static void run(struct box *b)
{
    const struct work_calls c = {begin_worker, file_worker, b};
    const struct work_heard h = {hear_answer, hear_gone, b};
    const uint32_t left = b->total - b->next_write;
    b->jobs = b->o->jobs < MOST_JOBS ? b->o->jobs : MOST_JOBS;
    b->jobs = (uint32_t)b->jobs < left ? b->jobs : (int)left;
    /* A full disk and a dead worker are heard of as errors. */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    progress_begin(b->o->quiet);
    while (b->next_write < b->total && !b->stop && !ex_cancel(NULL)) {
        give_files(b, &c);
        if (!b->stop && workers_hear(b->workers, b->jobs, &h))
            b->stop = EX_NO_MEMORY;
        write_ready(b);
    }
    progress_clear();
    workers_end(b->workers, b->jobs, b->stop || ex_cancel(NULL));
    if (fsync(b->fd) && errno != EINVAL && !b->stop) {
        say_error(b->o->resume, strerror(errno));
        b->stop = EX_ALL_FAILED;
    }
}

static int exit_code(const struct box *b)
{
    const long good = b->counts[ROW_SCORED] + b->counts[ROW_MET];
    if (b->stop)
        return b->stop;
    if (ex_cancel(NULL))
        return EX_INTERRUPTED;
    if (b->no_memory)
        return EX_NO_MEMORY;
    if (b->counts[ROW_MET])
        return EX_CONDITION;
    return !b->counts[ROW_FAILED] ? EX_DONE : good ? EX_SOME_FAILED : EX_ALL_FAILED;
}

static void say_sum(const struct box *b)
{
    const long good = b->counts[ROW_SCORED] + b->counts[ROW_MET];
    char text[160];
    snprintf(text, sizeof text,
             "%u of %u files: %ld scored, %ld failed; %u were there before",
             b->next_write, b->total, good, b->counts[ROW_FAILED], b->before);
    if (!b->o->quiet && b->stop != EX_USAGE)
        say_error(b->o->resume, text);
}

int blackbox_run(struct options *o, const struct scorer *s,
                 const struct blackbox_calls *calls)
{
    static struct box b;
    memset(&b, 0, sizeof b);
    b.o = o;
    b.calls = calls;
    b.fd = -1;
    b.stop = worklist_read(&b.list, o);
    if (!b.stop) {
        const uint32_t count = (uint32_t)b.list.count;
        b.run = (struct run_id){hash_models(s), o->given_hash, b.list.hash};
        b.step = o->shards ? (uint32_t)o->shards : 1;
        b.first = o->shards ? (uint32_t)o->shard - 1 : 0;
        b.total = count > b.first ? (count - b.first - 1) / b.step + 1 : 0;
        b.stop = open_results(&b);
    }
    if (!b.stop) {
        if (b.next_write < b.total)
            run(&b);
        else
            mend(&b);
        say_sum(&b);
    }
    const int code = exit_code(&b);
    for (int i = 0; i < WINDOW; i++)
        free(b.window[i].lines);
    if (b.f)
        fclose(b.f);
    free(b.out);
    free(b.head);
    free(b.scrap);
    worklist_free(&b.list);
    return code;
}
