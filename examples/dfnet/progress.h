/* progress.h - one line on standard error that says how far classify is: files done and
 * failed, how many a second, the time left, the file at hand and the frame in it. On a
 * terminal only, and not under --quiet. rows.c takes it away before it prints to a
 * terminal. */
#ifndef DFNET_EXAMPLES_DFNET_PROGRESS_H
#define DFNET_EXAMPLES_DFNET_PROGRESS_H

void progress_begin(int quiet);
/* 1 if a line will be shown. */
int progress_wanted(void);
/* How many files there are, and how many of them an earlier run has done, which say
 * nothing of this one's rate. 0: unknown, and so is the time left. */
void progress_expect(long total, long before);
/* done, failed: files of all runs. */
void progress_show(long done, long failed, const char *path);
/* Frame `frame` of `frames` of the file that was shown last; 0, 0: none. */
void progress_part(long frame, long frames);
void progress_clear(void);

#endif
