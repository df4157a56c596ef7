/* commands.h - the functions that commands.def names. Each gets the parsed command line
 * and returns the program's exit code; main.c calls them. */
#ifndef DFNET_EXAMPLES_DFNET_COMMANDS_H
#define DFNET_EXAMPLES_DFNET_COMMANDS_H

#include "examples/dfnet/options.h"

int run_classify(const struct options *o);
int run_merge(const struct options *o);
int run_info(const struct options *o);
int run_verify(const struct options *o);
int run_explain(const struct options *o);
int run_bench(const struct options *o);
int run_help(const struct options *o);
int run_completion(const struct options *o);
int run_man(const struct options *o);

/* The model file `path`, or the default one for NULL; on failure says why and returns the
 * exit code, else 0. out is the caller's: ef_model_free(). */
int load_model(const char *path, const ef_options *opt, ef_model **out,
               ef_model_info *info);

/* ef_pipeline_describe()'s lines as one text, the caller's to free(); NULL: no memory. */
char *pipeline_text(const ef_pipeline *pipeline);

#endif
