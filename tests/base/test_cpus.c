/* test_cpus.c - how many threads "one for each CPU" is (lib/base/cpus.c): the affinity
 * mask, and control groups' quotas in a made-up /proc and /sys. To add a layout of
 * groups, add a row to `layouts`: the files it has, and the CPUs that follow. */
#define _GNU_SOURCE /* sched_setaffinity, mkdtemp */
#include "lib/base/cpus.h"
#include "tests/support/support.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define V2 "/sys/fs/cgroup"
#define V1 "/sys/fs/cgroup/cpu"
#define QUOTA "/cpu.cfs_quota_us"
#define PERIOD "/cpu.cfs_period_us"

static const struct layout {
    const char *groups; /* /proc/self/cgroup */
    struct {
        const char *path, *text;
    } files[6];
    int cpus;
} layouts[] = {
    {"", {{0}}, 0},
    {"0::/\n", {{V2 "/cpu.max", "200000 100000\n"}}, 2},
    {"0::/\n", {{V2 "/cpu.max", "max 100000\n"}}, 0},
    {"0::/\n", {{0}}, 0},
    {"0::/a/b\n", {{V2 "/a/b/cpu.max", "300000 100000\n"}}, 3},
    /* Rounded up, and never none. */
    {"0::/a\n", {{V2 "/a/cpu.max", "150000 100000\n"}}, 2},
    {"0::/a\n", {{V2 "/a/cpu.max", "1000 100000\n"}}, 1},
    {"0::/a\n", {{V2 "/a/cpu.max", "50000 20000\n"}}, 3},
    /* The least of a group and of those above it. */
    {"0::/a/b/c\n",
     {{V2 "/a/b/c/cpu.max", "max 100000\n"},
      {V2 "/a/b/cpu.max", "700000 100000\n"},
      {V2 "/a/cpu.max", "400000 100000\n"},
      {V2 "/cpu.max", "800000 100000\n"}},
     4},
    {"0::/a/b\n",
     {{V2 "/a/b/cpu.max", "200000 100000\n"}, {V2 "/a/cpu.max", "600000 100000\n"}},
     2},
    /* A container that shows the host's path, and a group outside the namespace. */
    {"0::/docker/0123\n", {{V2 "/cpu.max", "500000 100000\n"}}, 5},
    {"0::/../../other\n",
     {{V2 "/cpu.max", "500000 100000\n"}, {V2 "/../other/cpu.max", "100000 100000\n"}},
     5},
    /* Version 1, alone and beside version 2. */
    {"4:cpu,cpuacct:/a\n3:cpuset:/b\n0::/\n",
     {{V1 "/a" QUOTA, "250000\n"}, {V1 "/a" PERIOD, "100000\n"}},
     3},
    {"4:cpuacct,cpu:/a\n",
     {{V1 "/a" QUOTA, "-1\n"},
      {V1 "/a" PERIOD, "100000\n"},
      {V1 QUOTA, "600000\n"},
      {V1 PERIOD, "100000\n"}},
     6},
    {"4:cpu:/a\n", {{V1 "/a" QUOTA, "-1\n"}, {V1 "/a" PERIOD, "100000\n"}}, 0},
    {"4:cpu:/a\n", {{V1 "/a" QUOTA, "200000\n"}}, 0},
    {"3:cpuset:/a\n2:cpuacct:/a\n",
     {{V1 "/a" QUOTA, "200000\n"}, {V1 "/a" PERIOD, "100000\n"}},
     0},
    /* What is no such file. */
    {"nonsense\n:\n0:\n0::\n0::relative\n", {{V2 "/cpu.max", "200000 100000\n"}}, 0},
    {"0::/\n", {{V2 "/cpu.max", "\n"}}, 0},
    {"0::/\n", {{V2 "/cpu.max", "200000\n"}}, 0},
    {"0::/\n", {{V2 "/cpu.max", "200000 0\n"}}, 0},
    {"0::/\n", {{V2 "/cpu.max", "-5 100000\n"}}, 0},
    {"0::/\n", {{V2 "/cpu.max", "99999999999999999999 1\n"}}, 0},
};

/* Writes a file and the folders that it needs. */
static void put(const char *root, const char *path, const char *text)
{
    char whole[512];
    snprintf(whole, sizeof whole, "%s%s", root, path);
    for (char *slash = whole + strlen(root); (slash = strchr(slash + 1, '/'));) {
        *slash = 0;
        ck_assert(!mkdir(whole, 0700) || errno == EEXIST);
        *slash = '/';
    }
    FILE *f = fopen(whole, "w");
    ck_assert_msg(f, "%s", whole);
    fputs(text, f);
    ck_assert_int_eq(fclose(f), 0);
}

START_TEST(quotas_of_control_groups)
{
    const struct layout *l = &layouts[_i];
    char root[] = "/tmp/dfn-cpus-XXXXXX", remove[64];
    ck_assert_ptr_nonnull(mkdtemp(root));
    put(root, "/proc/self/cgroup", l->groups);
    for (int i = 0; i < 6 && l->files[i].path; i++)
        put(root, l->files[i].path, l->files[i].text);
    const int cpus = dfn_cpu_quota(root);
    snprintf(remove, sizeof remove, "rm -r %s", root);
    ck_assert_int_eq(system(remove), 0);
    ck_assert_msg(cpus == l->cpus, "%d, expected %d for\n%s", cpus, l->cpus, l->groups);
}
END_TEST

START_TEST(paths_that_are_too_long)
{
    char root[] = "/tmp/dfn-cpus-XXXXXX", line[3000], remove[64];
    ck_assert_int_eq(dfn_cpu_quota("/nonexistent"), 0);
    ck_assert_ptr_nonnull(mkdtemp(root));
    memset(line, 'a', sizeof line);
    memcpy(line, "0::/", 4);
    memcpy(line + sizeof line - 2, "\n", 2);
    put(root, "/proc/self/cgroup", line);
    put(root, V2 "/cpu.max", "300000 100000\n");
    const int cpus = dfn_cpu_quota(root);
    snprintf(remove, sizeof remove, "rm -r %s", root);
    ck_assert_int_eq(system(remove), 0);
    ck_assert_int_eq(cpus, 3);
}
END_TEST

/* What `taskset` does. */
START_TEST(affinity_mask)
{
    cpu_set_t old, one;
    errno = 77;
    ck_assert_int_eq(sched_getaffinity(0, sizeof old, &old), 0);
    const int all = dfn_cpu_count();
    ck_assert_int_ge(all, 1);
    ck_assert_int_le(all, CPU_COUNT(&old));
    CPU_ZERO(&one);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &old) && !CPU_COUNT(&one))
            CPU_SET(cpu, &one);
    ck_assert_int_eq(sched_setaffinity(0, sizeof one, &one), 0);
    ck_assert_int_eq(dfn_cpu_count(), 1);
    ck_assert_int_eq(sched_setaffinity(0, sizeof old, &old), 0);
    ck_assert_int_eq(dfn_cpu_count(), all);
    ck_assert_int_eq(errno, 77);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("cpus");
    TCase *t = tcase_create("cpus");
    tcase_add_loop_test(t, quotas_of_control_groups, 0,
                        (int)(sizeof layouts / sizeof *layouts));
    tcase_add_test(t, paths_that_are_too_long);
    tcase_add_test(t, affinity_mask);
    suite_add_tcase(s, t);
    return run_suite(s);
}
