/* workers.c - see workers.h. A pair of sockets joins each worker with the parent; when
 * one side dies the other reads an end, so that no worker outlives a killed parent by
 * more than the file at hand. */
#define _GNU_SOURCE /* sched_getaffinity */
#include "examples/dfnet/workers.h"

#include "examples/common.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

#define MOST_WORKERS 64
#define BLOCK 65536

struct order {
    uint32_t file;
    int32_t ended;
};

int workers_cpus(void)
{
#ifdef __linux__
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0)
        return CPU_COUNT(&set) < MOST_WORKERS ? CPU_COUNT(&set) : MOST_WORKERS;
#endif
    return 1;
}

/* All n bytes, or -1. */
static int send_all(int fd, const void *bytes, size_t n)
{
    for (const char *b = bytes; n;) {
        const ssize_t sent = send(fd, b, n, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent <= 0)
            return -1;
        b += sent;
        n -= (size_t)sent;
    }
    return 0;
}

/* ---- the worker -------------------------------------------------------------------- */

/* The next order: 1, or 0 at the end. */
static int next_order(int fd, struct order *o)
{
    size_t have = 0;
    while (have < sizeof *o) {
        const ssize_t got = recv(fd, (char *)o + have, sizeof *o - have, 0);
        if (got < 0 && errno == EINTR && !ex_cancel(NULL))
            continue;
        if (got <= 0)
            return 0;
        have += (size_t)got;
    }
    return 1;
}

/* Sends a and what was printed since the last time, and forgets that. 0, or -1. */
static int send_answer(int fd, struct work_answer *a)
{
    char block[4096];
    const int bad = fflush(stdout) || ferror(stdout);
    const off_t end = bad ? -1 : lseek(STDOUT_FILENO, 0, SEEK_CUR);
    if (end < 0) {
        fprintf(stderr, "dfnet: temporary file: %s\n", strerror(errno));
        a->stop = EX_ALL_FAILED;
    }
    a->length = end < 0 ? 0 : (uint64_t)end;
    if (send_all(fd, a, sizeof *a))
        return -1;
    for (off_t at = 0; at < end;) {
        const ssize_t got = pread(STDOUT_FILENO, block, sizeof block, at);
        if (got <= 0 || send_all(fd, block, (size_t)got))
            return -1;
        at += got;
    }
    return a->stop || fseek(stdout, 0, SEEK_SET) || ftruncate(STDOUT_FILENO, 0) ? -1 : 0;
}

static void work(int fd, int number, const struct work_calls *c)
{
    struct work_answer a = {NO_FILE, 0, 0, 0, 0};
    struct order o;
    FILE *printed = tmpfile();
    if (!printed || dup2(fileno(printed), STDOUT_FILENO) < 0) {
        fprintf(stderr, "dfnet: temporary file: %s\n", strerror(errno));
        a.stop = EX_ALL_FAILED;
        send_all(fd, &a, sizeof a);
        return;
    }
    c->begin(c->user, number, &a);
    while (!send_answer(fd, &a) && next_order(fd, &o)) {
        a = (struct work_answer){o.file, 0, 0, 0, 0};
        c->file(c->user, o.file, o.ended, &a);
        /* What an interrupt cut short has no answer. */
        if (ex_cancel(NULL))
            break;
    }
}

/* ---- the parent -------------------------------------------------------------------- */

int worker_start(struct worker *all, int n, int i, int secret, const struct work_calls *c)
{
    struct worker *w = &all[i];
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
        return -1;
    /* Or the child would print what waits in the buffer, too. */
    fflush(stdout);
    const pid_t parent = getpid(), pid = fork();
    if (pid < 0) {
        close(pair[0]);
        close(pair[1]);
        return -1;
    }
    if (!pid) {
#ifdef __linux__
        prctl(PR_SET_PDEATHSIG, SIGKILL);
#endif
        close(pair[0]);
        close(secret);
        for (int k = 0; k < n; k++)
            if (k != i && all[k].pid)
                close(all[k].fd);
        if (getppid() == parent)
            work(pair[1], i, c);
        _exit(0);
    }
    close(pair[1]);
    w->pid = pid;
    w->fd = pair[0];
    w->file = NO_FILE;
    w->begun = 0;
    w->used = 0;
    return 0;
}

int worker_give(struct worker *w, uint32_t file, int ended)
{
    const struct order o = {file, ended};
    if (send_all(w->fd, &o, sizeof o))
        return -1;
    w->file = file;
    return 0;
}

/* Reads what has come: 1, 0 at the end, -1: out of memory. */
static int take_in(struct worker *w)
{
    if (w->cap - w->used < BLOCK) {
        char *more = realloc(w->in, 2 * w->cap + BLOCK);
        if (!more)
            return -1;
        w->in = more;
        w->cap = 2 * w->cap + BLOCK;
    }
    const ssize_t got = recv(w->fd, w->in + w->used, BLOCK, 0);
    if (got < 0 && errno == EINTR)
        return 1;
    if (got <= 0)
        return 0;
    w->used += (size_t)got;
    return 1;
}

static void give_out(struct worker *w, int i, const struct work_heard *h)
{
    struct work_answer a;
    while (w->used >= sizeof a) {
        memcpy(&a, w->in, sizeof a);
        const size_t whole = sizeof a + (size_t)a.length;
        if (w->used < whole)
            return;
        w->begun = 1;
        w->file = NO_FILE;
        h->answer(h->user, i, &a, w->in + sizeof a);
        w->used -= whole;
        memmove(w->in, w->in + whole, w->used);
    }
}

static int bury(struct worker *w)
{
    int ended = 0;
    close(w->fd);
    while (waitpid(w->pid, &ended, 0) < 0 && errno == EINTR)
        ;
    w->pid = 0;
    return ended;
}

int workers_hear(struct worker *all, int n, const struct work_heard *h)
{
    struct pollfd fds[MOST_WORKERS];
    for (int i = 0; i < n; i++)
        fds[i] = (struct pollfd){all[i].pid ? all[i].fd : -1, POLLIN, 0};
    if (poll(fds, (nfds_t)n, -1) < 0)
        return 0;
    for (int i = 0; i < n; i++) {
        if (!fds[i].revents)
            continue;
        const int got = take_in(&all[i]);
        if (got < 0)
            return -1;
        if (got)
            give_out(&all[i], i, h);
        else
            h->gone(h->user, i, bury(&all[i]));
    }
    return 0;
}

void workers_end(struct worker *all, int n, int hurry)
{
    for (int i = 0; i < n; i++) {
        /* As if the terminal had sent it: heat maps that are half written go away. */
        if (all[i].pid && hurry)
            kill(all[i].pid, SIGINT);
        if (all[i].pid)
            bury(&all[i]);
        free(all[i].in);
        all[i] = (struct worker){0};
    }
}
