/* cpus.h - how many processors a process may use at once: what ef_options.threads = 0
 * becomes. Called by pool.c and tests; allocates nothing. */
#ifndef DFN_BASE_CPUS_H
#define DFN_BASE_CPUS_H

/* The CPUs of the affinity mask, or the control group's quota where that is less; 1 to
 * 64. errno stays as it was. */
int dfn_cpu_count(void);

/* CPUs that the control groups of this process allow, rounded up; 0: no limit, or none
 * that can be read. root goes before every path ("" but in tests): /proc/self/cgroup, and
 * what lies below /sys/fs/cgroup. */
int dfn_cpu_quota(const char *root);

#endif
