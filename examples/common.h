/* common.h - what the example programs share and a real program would have, too: file
 * lists, safe text, one BLAS thread. Uses nothing of the library but dfnet.h. */
#ifndef DFNET_EXAMPLES_COMMON_H
#define DFNET_EXAMPLES_COMMON_H

#include "dfnet/dfnet.h"

#include <stdio.h>

/* Exit codes of every program here; the first that applies from the bottom up. */
enum ex_exit {
    EX_DONE = 0,         /* all inputs were scored          */
    EX_USAGE = 1,        /* the command line is wrong       */
    EX_SOME_FAILED = 2,  /* some inputs failed              */
    EX_ALL_FAILED = 3,   /* all of them did                 */
    EX_MODEL = 4,        /* the model cannot be used        */
    EX_NO_MEMORY = 5,    /* out of memory                   */
    EX_INTERRUPTED = 130 /* SIGINT                          */
};

/* OpenBLAS would start a thread for each CPU and keep them; the library has its own. The
 * library leaves that number alone because it is the whole process's: it is ours to
 * set. */
void ex_one_blas_thread(void);

/* What OpenBLAS says about itself, or NULL: the library was built without it. */
const char *ex_blas(void);

/* SIGINT from now on sets a flag instead of ending the process. ex_cancel is an
 * ef_cancel_fn that returns it. */
void ex_catch_interrupt(void);
int ex_cancel(void *unused);

/* By a clock that never goes back, from some moment on. */
double ex_seconds(void);

/* Calls each(user, path) for path, or, if it is a folder, for every picture file below it
 * in the order of their names (links to folders are not followed). not 0 from each ends
 * the walk. Returns the number of files found, -1 if the walk was ended. */
typedef int ex_file_fn(void *user, const char *path);
long ex_each_picture(const char *path, ex_file_fn *each, void *user);

/* The same, with every file that wanted(path) says yes to beside the pictures. */
long ex_each_file(const char *path, int (*wanted)(const char *path), ex_file_fn *each,
                  void *user);

/* Bytes of the UTF-8 character at s if it is valid and harmless; 0 for invalid UTF-8, for
 * control characters and for those that turn the direction of the text behind them. */
int ex_safe_length(const unsigned char *s);
/* Text from outside, safe on a terminal: what is not harmless becomes '?'. */
void ex_print_text(FILE *f, const char *s);
/* The same as a JSON string with its quotes; invalid UTF-8 becomes U+FFFD. */
void ex_print_json(FILE *f, const char *s);

/* "1,2.5,3,4" to four numbers; 0 if it is not that. */
int ex_parse_box(const char *s, ef_box *box);
/* Decimal integer in [low, high]; 0 if it is not that. */
int ex_parse_int(const char *s, int low, int high, int *out);

#endif
