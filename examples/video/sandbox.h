/* sandbox.h - what a process that reads hostile bytes gives up. Called by the child's
 * main() before it looks at the first byte. */
#ifndef DFNET_EXAMPLES_VIDEO_SANDBOX_H
#define DFNET_EXAMPLES_VIDEO_SANDBOX_H

#include <stdint.h>

/* Limits of memory (address space) and CPU time, no core files, no files written, nothing
 * opened. From here on, system calls but those for memory, time, and reading and writing
 * of open descriptors fail with EPERM; starting programs, and what touches other
 * processes, ends this one. NULL, or what could not be done. Where there is no seccomp
 * (not Linux on x86-64 or AArch64) the limits must do; then *filtered is 0. */
const char *sandbox_enter(uint64_t memory, unsigned cpu_seconds, int *filtered);

#endif
