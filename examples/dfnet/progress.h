/* progress.h - one line on standard error that says how far classify is; on a terminal
 * only, and not under --quiet. rows.c takes it away before it prints to a terminal. */
#ifndef DFNET_EXAMPLES_DFNET_PROGRESS_H
#define DFNET_EXAMPLES_DFNET_PROGRESS_H

void progress_begin(int quiet);
void progress_show(long done, long failed, const char *path);
void progress_clear(void);

#endif
