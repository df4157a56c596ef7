/* cpus.c - see cpus.h.
 *
 * A control group limits time, not processors: so many microseconds in each period. With
 * more threads than that pays for, all of them are stopped for the rest of each period.
 * A group's limit binds all groups below it, so the whole way up counts:
 *
 *   /proc/self/cgroup        version 2: 0::/a/b     version 1: 4:cpu,cpuacct:/a/b
 *   below /sys/fs/cgroup     /a/b/cpu.max           /cpu/a/b/cpu.cfs_quota_us, _period_us
 *                            /a/cpu.max, /cpu.max   /cpu/a/..., /cpu/...
 *
 * In a container the path may be one of the host's, which is not there; what is mounted
 * at the top is then the container's own group, and the walk ends there. */
#define _GNU_SOURCE /* sched_getaffinity */
#include "lib/base/cpus.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MOST_CPUS 64
#define PATH_BYTES 1024

/* At most cap - 1 bytes of root + path as a string; false if there is nothing to read. */
static bool read_text(const char *root, const char *path, char *text, size_t cap)
{
    char whole[PATH_BYTES];
    size_t n = 0;
    const int length = snprintf(whole, sizeof whole, "%s%s", root, path);
    if (length < 0 || (size_t)length >= sizeof whole)
        return false;
    const int fd = open(whole, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    while (n < cap - 1) {
        const ssize_t got = read(fd, text + n, cap - 1 - n);
        if (got > 0)
            n += (size_t)got;
        else if (!got || errno != EINTR)
            break;
    }
    close(fd);
    text[n] = 0;
    return n > 0;
}

/* Rounded up: a quota of 1.5 is used up by two threads only. 0: no limit. */
static int cpus_of(long long quota, long long period)
{
    if (quota <= 0 || period <= 0)
        return 0;
    const long long n = quota / period + (quota % period != 0);
    return n > MOST_CPUS ? 0 : (int)n;
}

/* What one group allows itself; folder is below /sys/fs/cgroup. */
static int quota_of_group(const char *root, const char *folder, bool unified)
{
    char path[PATH_BYTES], text[64], period[64];
    snprintf(path, sizeof path, "/sys/fs/cgroup%s/%s", folder,
             unified ? "cpu.max" : "cpu.cfs_quota_us");
    if (!read_text(root, path, text, sizeof text))
        return 0;
    if (unified) { /* "max 100000" or "150000 100000" */
        char *end;
        const long long quota = strtoll(text, &end, 10);
        return end == text ? 0 : cpus_of(quota, strtoll(end, NULL, 10));
    }
    snprintf(path, sizeof path, "/sys/fs/cgroup%s/cpu.cfs_period_us", folder);
    if (!read_text(root, path, period, sizeof period))
        return 0;
    return cpus_of(strtoll(text, NULL, 10), strtoll(period, NULL, 10));
}

/* The least that the groups from path up to the mount's own allow; 0: no limit. */
static int quota_of_path(const char *root, const char *mount, const char *path,
                         bool unified)
{
    char folder[PATH_BYTES];
    int least = 0;
    /* A group outside the namespace is written with "..": only the top is visible. */
    if (strstr(path, "/..") || strlen(mount) + strlen(path) >= sizeof folder)
        path = "";
    snprintf(folder, sizeof folder, "%s%s", mount, path);
    for (size_t n = strlen(folder);;) {
        const int here = quota_of_group(root, folder, unified);
        if (here && (!least || here < least))
            least = here;
        if (n <= strlen(mount))
            return least;
        while (n > strlen(mount) && folder[n - 1] != '/')
            n--;
        n -= n > strlen(mount);
        folder[n] = 0;
    }
}

/* Whether "cpu" is one of the names between commas. */
static bool has_cpu(const char *names)
{
    for (; *names; names += strcspn(names, ","), names += *names == ',')
        if (!strncmp(names, "cpu", 3) && (!names[3] || names[3] == ','))
            return true;
    return false;
}

int dfn_cpu_quota(const char *root)
{
    char text[4096], *rest = NULL;
    int least = 0;
    if (!read_text(root, "/proc/self/cgroup", text, sizeof text))
        return 0;
    for (char *line = strtok_r(text, "\n", &rest); line;
         line = strtok_r(NULL, "\n", &rest)) {
        char *names = strchr(line, ':'), *path = names ? strchr(names + 1, ':') : NULL;
        if (!path || path[1] != '/')
            continue;
        *path++ = 0;
        const bool unified = !names[1];
        if (!unified && !has_cpu(names + 1))
            continue;
        const int n = quota_of_path(root, unified ? "" : "/cpu", path, unified);
        if (n && (!least || n < least))
            least = n;
    }
    return least;
}

int dfn_cpu_count(void)
{
    const int saved = errno;
    cpu_set_t set;
    int n = sched_getaffinity(0, sizeof set, &set) ? 1 : CPU_COUNT(&set);
    const int quota = n > 1 ? dfn_cpu_quota("") : 0;
    if (quota && quota < n)
        n = quota;
    errno = saved;
    return n < 1 ? 1 : n > MOST_CPUS ? MOST_CPUS : n;
}
