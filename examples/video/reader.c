/* reader.c - see reader.h. */
#define _GNU_SOURCE
#include "examples/video/reader.h"

#include "dfn_config.h"
#include "examples/common.h"
#include "examples/video/choose.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#include <sys/syscall.h>
#endif

#define SLICE_MS 200 /* how often an interrupt is looked for */

const struct reader_limits reader_defaults = {2048, 600, 60, 1200, 128u << 20};

static int fail(ef_error *err, ef_status st, int sys, const char *what)
{
    memset(err, 0, sizeof *err);
    err->status = st;
    err->sys = sys;
    snprintf(err->what, sizeof err->what, "%s%s%s", what, sys ? ": " : "",
             sys ? strerror(sys) : "");
    return -1;
}

/* ---- the program ------------------------------------------------------------------- */

/* What $DFNET_VIDEO names, else what lies beside this program, else what is installed. */
static int find_program(char *path, size_t cap)
{
    const char *named = getenv("DFNET_VIDEO");
    if (named && *named) {
        const int n = snprintf(path, cap, "%s", named);
        return n > 0 && (size_t)n < cap && access(path, X_OK) == 0;
    }
    if (!DFN_HAVE_VIDEO)
        return 0;
    const ssize_t n = readlink("/proc/self/exe", path, cap - 1);
    if (n > 0) {
        path[n] = 0;
        char *slash = strrchr(path, '/');
        const size_t used = slash ? (size_t)(slash - path) + 1 : 0;
        if (slash && used + sizeof "dfnet-video" <= cap) {
            memcpy(slash + 1, "dfnet-video", sizeof "dfnet-video");
            if (access(path, X_OK) == 0)
                return 1;
        }
    }
    snprintf(path, cap, "%s", DFN_INSTALLED_VIDEO);
    return access(path, X_OK) == 0;
}

int reader_possible(ef_error *err)
{
    char path[PATH_MAX];
    if (find_program(path, sizeof path))
        return 1;
    fail(err, EF_E_UNSUPPORTED, 0,
         DFN_HAVE_VIDEO
             ? "the program dfnet-video, which decodes videos, was not found"
             : "this build reads no videos: FFmpeg's libraries were not there");
    return 0;
}

/* In the child, between fork and exec: only calls that are safe there. */
static void become(const char *program, char *const *arguments, int file, int to)
{
    static char *const environment[] = {NULL};
    sigset_t none;
    const int null = open("/dev/null", O_WRONLY);
#ifdef __linux__
    prctl(PR_SET_PDEATHSIG, SIGKILL);
#endif
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    /* Above 2 first: one of them may be 0 or 1 itself. */
    const int f = fcntl(file, F_DUPFD, 3), t = fcntl(to, F_DUPFD, 3);
    if (f < 0 || t < 0 || dup2(f, 0) < 0 || dup2(t, 1) < 0 || dup2(null, 2) < 0)
        _exit(126);
#ifdef SYS_close_range
    if (syscall(SYS_close_range, 3u, ~0u, 0u))
#endif
        for (int fd = 3; fd < 1024; fd++)
            close(fd);
    execve(program, arguments, environment);
    _exit(127);
}

int reader_open(struct video_reader *r, int file, const char *words,
                const struct reader_limits *limits, ef_error *err)
{
    char program[PATH_MAX], pixels[24], memory[16], cpu[16];
    char frames[CHOOSE_WORDS], name[] = "dfnet-video";
    char *const arguments[] = {name, frames, pixels, memory, cpu, NULL};
    struct choice choice;
    int ends[2];
    memset(r, 0, sizeof *r);
    r->fd = -1;
    r->limits = *limits;
    if (!choose_parse(words, &choice))
        return fail(err, EF_E_ARG, 0, "these are no words for frames");
    if (!find_program(program, sizeof program))
        return reader_possible(err), -1;
    if (pipe(ends))
        return fail(err, EF_E_IO, errno, "no pipe could be made");
    snprintf(frames, sizeof frames, "%s", words);
    snprintf(pixels, sizeof pixels, "%llu", (unsigned long long)limits->max_pixels);
    snprintf(memory, sizeof memory, "%u", limits->memory_mib);
    snprintf(cpu, sizeof cpu, "%u", limits->cpu_seconds);
    fcntl(ends[0], F_SETFD, FD_CLOEXEC);
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
#ifdef F_SETPIPE_SZ
    fcntl(ends[0], F_SETPIPE_SZ, 1 << 20); /* fewer switches; no matter if refused */
#endif
    const pid_t pid = fork();
    if (!pid)
        become(program, arguments, file, ends[1]);
    const int sys = errno;
    close(ends[1]);
    r->fd = ends[0];
    if (pid < 0)
        return fail(err, EF_E_IO, sys, "the decoding process could not be started");
    r->pid = pid;
    video_parser_begin(&r->parser, limits->max_pixels, choose_most(&choice));
    return 0;
}

/* ---- its end ----------------------------------------------------------------------- */

static void kill_it(struct video_reader *r)
{
    int status;
    if (!r->pid)
        return;
    kill(r->pid, SIGKILL);
    while (waitpid(r->pid, &status, 0) < 0 && errno == EINTR)
        continue;
    r->pid = 0;
}

void reader_close(struct video_reader *r)
{
    kill_it(r);
    if (r->fd >= 0)
        close(r->fd);
    r->fd = -1;
    free(r->pixels);
    r->pixels = NULL;
    r->size = 0;
}

/* What came before is kept if there was a frame; else the file has failed. */
static int cut_short(struct video_reader *r, ef_error *err, const char *what)
{
    kill_it(r);
    r->partial = 1;
    snprintf(r->why, sizeof r->why, "%s", what);
    r->parser.ended = 1;
    return r->parser.frames && r->pixels ? 0 : fail(err, EF_E_IO, 0, what);
}

/* How it ended, once its pipe has: a second is enough to die. */
static int has_gone(struct video_reader *r, ef_error *err)
{
    char what[128] = "the decoding process fell silent";
    const struct timespec moment = {0, 10000000};
    int status = 0;
    pid_t got = 0;
    for (int i = 0; i < 100 && got == 0; i++) {
        got = waitpid(r->pid, &status, WNOHANG);
        if (!got)
            nanosleep(&moment, NULL);
    }
    if (got == r->pid) {
        r->pid = 0;
        if (WIFSIGNALED(status)) {
            const int s = WTERMSIG(status);
            if (s == SIGXCPU)
                snprintf(what, sizeof what,
                         "decoding took more than %u s of processor time",
                         r->limits.cpu_seconds);
            else if (s == SIGKILL)
                snprintf(what, sizeof what, "the decoding process was killed");
            else if (s == SIGSYS)
                snprintf(what, sizeof what,
                         "the decoding process tried what it must not, and was ended");
            else
                snprintf(what, sizeof what, "the decoding process crashed (signal %d)",
                         s);
        } else if (WEXITSTATUS(status) == 126 || WEXITSTATUS(status) == 127) {
            snprintf(what, sizeof what, "the decoding process could not be started");
        }
    }
    return cut_short(r, err, what);
}

/* ---- reading ----------------------------------------------------------------------- */

enum got { GOT_ALL, GOT_END, GOT_TIMEOUT, GOT_CANCEL };

/* n bytes to `to`. */
static enum got get(struct video_reader *r, void *to, size_t n)
{
    double since = ex_seconds();
    for (size_t have = 0; have < n;) {
        const ssize_t got = read(r->fd, (char *)to + have, n - have);
        if (got > 0) {
            have += (size_t)got;
            continue;
        }
        if (!got || (errno != EAGAIN && errno != EINTR))
            return GOT_END;
        if (ex_cancel(NULL))
            return GOT_CANCEL;
        const double before = ex_seconds();
        struct pollfd p = {r->fd, POLLIN, 0};
        const int ready = poll(&p, 1, SLICE_MS);
        const double after = ex_seconds();
        r->waited += after - before;
        if (ready > 0)
            since = after;
        if (after - since > r->limits.idle_seconds || r->waited > r->limits.wait_seconds)
            return GOT_TIMEOUT;
    }
    return GOT_ALL;
}

static int not_got(struct video_reader *r, enum got got, ef_error *err)
{
    char what[96];
    if (got == GOT_END)
        return has_gone(r, err);
    kill_it(r);
    if (got == GOT_CANCEL)
        return fail(err, EF_E_CANCELLED, 0, "interrupted");
    snprintf(what, sizeof what, "the decoding process hung and was ended after %.0f s",
             r->waited);
    return cut_short(r, err, what);
}

static int need_pixels(struct video_reader *r, size_t size)
{
    if (size > r->size) {
        uint8_t *more = realloc(r->pixels, size);
        if (!more)
            return 0;
        r->pixels = more;
        r->size = size;
    }
    return 1;
}

/* The last message, whose words are text from outside. */
static int last_words(struct video_reader *r, const struct video_message *m,
                      ef_error *err)
{
    static const ef_status statuses[] = {EF_E_FORMAT, EF_E_FORMAT, EF_E_FORMAT,
                                         EF_E_LIMIT,  EF_E_NOMEM,  EF_E_IO};
    char words[VIDEO_SENTENCE + 1] = "";
    const enum got got = get(r, words, (size_t)m->size);
    if (got != GOT_ALL)
        return not_got(r, got, err);
    for (char *c = words; *c; c++)
        if (*c < 0x20 || *c > 0x7e)
            *c = '?';
    kill_it(r);
    if (m->kind == VIDEO_FAILED) {
        const int known = m->flags >= VIDEO_NOT_ONE && m->flags <= VIDEO_BROKEN;
        r->failure = known ? (enum video_failure)m->flags : VIDEO_BROKEN;
        /* The file's limit of memory is not this process's trouble. */
        const ef_status st =
            r->failure == VIDEO_NO_MEMORY ? EF_E_LIMIT : statuses[r->failure];
        if (r->parser.frames)
            return cut_short(r, err, words);
        return fail(err, st, 0, *words ? words : "the decoding process failed");
    }
    r->decoded = m->total;
    r->cpu = m->seconds >= 0 && m->seconds < 1e9 ? m->seconds : 0;
    r->partial = (m->flags & VIDEO_PARTIAL) != 0;
    snprintf(r->why, sizeof r->why, "%s", words);
    return 0;
}

int reader_next(struct video_reader *r, ef_image *frame, uint64_t *index, double *seconds,
                ef_error *err)
{
    struct video_message m;
    for (;;) {
        if (r->parser.ended)
            return 0;
        enum got got = get(r, &m, sizeof m);
        if (got != GOT_ALL)
            return not_got(r, got, err);
        const char *wrong = video_parser_check(&r->parser, &m);
        if (wrong) {
            char what[128];
            kill_it(r);
            snprintf(what, sizeof what, "the decoding process is not to be trusted: %s",
                     wrong);
            return fail(err, EF_E_FORMAT, 0, what);
        }
        if (m.kind == VIDEO_START) {
            r->total = m.total;
            r->count = m.count;
            r->seconds = m.seconds;
            r->width = m.width;
            r->height = m.height;
            continue;
        }
        if (m.kind != VIDEO_FRAME)
            return last_words(r, &m, err);
        if (!need_pixels(r, (size_t)m.size)) {
            kill_it(r);
            return fail(err, EF_E_NOMEM, 0, "no memory for a frame");
        }
        got = get(r, r->pixels, (size_t)m.size);
        if (got != GOT_ALL) {
            /* Half a frame is none. */
            r->parser.frames--;
            return not_got(r, got, err);
        }
        *frame = (ef_image){r->pixels,         (int32_t)m.width,
                            (int32_t)m.height, (ptrdiff_t)m.width * 3,
                            EF_RGB8,           NULL};
        *index = m.index;
        *seconds = m.seconds;
        return 1;
    }
}
