/* escape.h - text from outside (file names, labels, model names, errors) made safe for
 * where it goes. Everything that dfnet prints of such text goes through one of these or
 * through ex_print_text() and ex_print_json() of common.h. */
#ifndef DFNET_EXAMPLES_DFNET_ESCAPE_H
#define DFNET_EXAMPLES_DFNET_ESCAPE_H

#include <stdio.h>

/* Text or a double-quoted attribute of HTML. What no HTML text may hold (control
 * characters, invalid UTF-8) and what turns writing around becomes U+FFFD. */
void escape_html(FILE *f, const char *s);

/* One field of CSV (RFC 4180), always quoted. Control characters and invalid UTF-8 become
 * '?'; a field that a spreadsheet would calculate gets an apostrophe in front. */
void escape_csv(FILE *f, const char *s);

/* An argument of an mdoc macro or a text line of a manual page. */
void escape_roff(FILE *f, const char *s);

/* Copies a file name's last part without its ending, keeping only what is harmless in a
 * file name everywhere; never empty. cap at least 8. */
void escape_stem(char *out, size_t cap, const char *path);

#endif
