/* sandbox.c - see sandbox.h. */
#define _GNU_SOURCE
#include "examples/video/sandbox.h"

#include <stddef.h>
#include <sys/mman.h>
#include <sys/resource.h>

#if defined(__linux__) && (defined(__x86_64__) || defined(__aarch64__))
#define HAVE_FILTER 1
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#else
#define HAVE_FILTER 0
#endif

/* The sanitizers want more memory and more calls than the program. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

static int limit(int what, rlim_t soft, rlim_t hard)
{
    struct rlimit r = {soft, hard};
    return setrlimit(what, &r);
}

#if HAVE_FILTER
#ifdef __x86_64__
#define ARCHITECTURE AUDIT_ARCH_X86_64
#else
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#endif

#define LOAD(field)                                                                      \
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)offsetof(struct seccomp_data, field))
#define RETURN(what) BPF_STMT(BPF_RET | BPF_K, (what))
#define ON_CALL(name, what)                                                              \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)__NR_##name, 0, 1), RETURN(what)
#define ALLOW(name) ON_CALL(name, SECCOMP_RET_ALLOW)
#define KILL(name) ON_CALL(name, SECCOMP_RET_KILL_PROCESS)
/* Memory that may be executed is refused: the third argument's low half has the bits. */
#define ALLOW_DATA(name)                                                                 \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)__NR_##name, 0, 5), LOAD(args[2]),     \
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 0, 1), RETURN(REFUSE),           \
        RETURN(SECCOMP_RET_ALLOW), LOAD(nr)
#define REFUSE (SECCOMP_RET_ERRNO | 1u) /* EPERM */

static const char *filter_calls(void)
{
    struct sock_filter rules[] = {
        LOAD(arch),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0),
        RETURN(SECCOMP_RET_KILL_PROCESS),
        LOAD(nr),
#ifdef __x86_64__
        /* The x32 interface has numbers of its own. */
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x40000000u, 0, 1),
        RETURN(SECCOMP_RET_KILL_PROCESS),
#endif
        ALLOW(read),
        ALLOW(write),
        ALLOW(lseek),
        ALLOW(fstat),
        ALLOW(close),
        ALLOW_DATA(mmap),
        ALLOW_DATA(mprotect),
        ALLOW(munmap),
        ALLOW(mremap),
        ALLOW(madvise),
        ALLOW(brk),
        ALLOW(futex),
        ALLOW(clock_gettime),
        ALLOW(clock_nanosleep),
        ALLOW(getrandom),
        ALLOW(sched_yield),
        ALLOW(sched_getaffinity),
        ALLOW(gettid),
        ALLOW(getpid),
        ALLOW(rt_sigreturn),
        ALLOW(rt_sigprocmask),
        ALLOW(exit),
        ALLOW(exit_group),
#ifdef __NR_gettimeofday
        ALLOW(gettimeofday),
#endif
        KILL(execve),
        KILL(execveat),
        KILL(ptrace),
        KILL(kill),
        KILL(process_vm_readv),
        KILL(process_vm_writev),
        KILL(socket),
        RETURN(REFUSE),
    };
    const struct sock_fprog program = {sizeof rules / sizeof *rules, rules};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        return "its rights could not be frozen";
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
        return "its system calls could not be filtered";
    return NULL;
}
#endif

const char *sandbox_enter(uint64_t memory, unsigned cpu_seconds, int *filtered)
{
    *filtered = 0;
    if (limit(RLIMIT_CORE, 0, 0) || limit(RLIMIT_FSIZE, 0, 0) ||
        limit(RLIMIT_CPU, cpu_seconds, cpu_seconds + 1))
        return "its limits could not be set";
    if (SANITIZED)
        return NULL;
    if (limit(RLIMIT_AS, (rlim_t)memory, (rlim_t)memory))
        return "its memory could not be limited";
#if HAVE_FILTER
    *filtered = 1;
    return filter_calls();
#else
    return NULL;
#endif
}
