/* output_file.h - files that dfnet writes: whole or not at all, and never over an input.
 * The bytes go to a new file in the same folder, which takes the name in one step at the
 * end. Used for the report and the heat maps. */
#ifndef DFNET_EXAMPLES_DFNET_OUTPUT_FILE_H
#define DFNET_EXAMPLES_DFNET_OUTPUT_FILE_H

#include "dfnet/dfnet.h"

#include <stdio.h>

struct output_file {
    FILE *f;
    char *path, *temporary; /* owned */
};

/* 0, or -1 with a sentence in err. */
int output_open(struct output_file *out, const char *path, ef_error *err);

/* Gives the file its name; keep = 0 throws it away. 0, or -1 with a sentence. Harmless on
 * a zeroed struct, and zeroes it. */
int output_close(struct output_file *out, int keep, ef_error *err);

/* 1 if both names lead to one existing file. */
int output_is_input(const char *output, const char *input);

#endif
