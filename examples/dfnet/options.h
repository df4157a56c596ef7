/* options.h - the command line of dfnet as a struct, and everything that is made from the
 * tables options.def and commands.def: the parser, --help, the manual page, the shell
 * completions. main.c parses; the commands read. */
#ifndef DFNET_EXAMPLES_DFNET_OPTIONS_H
#define DFNET_EXAMPLES_DFNET_OPTIONS_H

#include "examples/common.h"

#define MAX_MODELS 64
#define MAX_FACES 256
#define MAX_TOP 100

/* Exit code beyond those of common.h: a picture met --fail-if. Goes before 2. */
#define EX_CONDITION 10

enum command_id {
#define CMD(id, name, arguments, summary, run) CMD_##id,
#include "examples/dfnet/commands.def"
#undef CMD
    COMMANDS
};

enum option_id {
#define OPT(id, commands, letter, name, argument, words, help) OPT_##id,
#include "examples/dfnet/options.def"
#undef OPT
    OPTIONS
};

struct option_row {
    enum option_id id;
    unsigned commands;    /* bit 1 << command_id                         */
    char letter;          /* 0: none                                     */
    const char *name;     /* without dashes                              */
    const char *argument; /* NULL: takes none                            */
    const char *words;    /* NULL: free; "@": a file; else words allowed */
    const char *help;
};

struct command_row {
    const char *name, *arguments, *summary;
};

extern const struct option_row option_rows[OPTIONS];
extern const struct command_row command_rows[COMMANDS];

enum output_format { OUT_TABLE, OUT_JSON, OUT_CSV };
enum color_when { COLOR_AUTO, COLOR_ALWAYS, COLOR_NEVER };
enum condition_kind { COND_NONE, COND_GE, COND_GT, COND_LE, COND_LT, COND_VERDICT };

struct condition {
    enum condition_kind kind;
    double bound;       /* of the fake-probability */
    ef_verdict verdict; /* of COND_VERDICT         */
};

struct model_choice {
    char *path; /* owned */
    double weight;
};

struct options {
    ef_options lib;
    struct model_choice models[MAX_MODELS];
    size_t nmodels; /* 0: the default model */
    ef_box boxes[MAX_FACES];
    int nboxes, whole;
    ef_rule_kind rule;
    int has_rule, has_weights; /* --rule, --ensemble were given */
    enum output_format format;
    enum color_when color;
    struct condition condition;
    /* Borrowed from argv, or NULL. */
    const char *pipeline, *heatmap, *report, *files_from, *resume, *output;
    int jobs, shard, shards;      /* 0: not given; shard is 1 to shards               */
    unsigned char given[OPTIONS]; /* how often, at most 255                           */
    uint64_t given_hash;          /* of the options that rows depend on, in any order */
    int nul, top, times, repeat, quiet, help, version;
    const char *frames; /* words of examples/video/choose.h, or a number; or NULL */
    int detect_every, timeout, memory; /* of videos; 0: default */
    int timings;
    char **args; /* [nargs], the rest of the command line */
    int nargs;
};

/* Reads argv[1..argc-1] as options and arguments of a command. 1, or 0 after a sentence
 * on standard error. options_free() is due in either case. */
int options_parse(struct options *o, enum command_id command, int argc, char **argv);
void options_free(struct options *o);

/* Index of a word in a list with spaces between, or -1. */
int word_index(const char *words, const char *word);

/* Names of the combination rules in the order of ef_rule_kind. */
extern const char rule_words[];

/* The options of one command, or the list of commands, for people. */
void help_print(FILE *f, int command);

/* mdoc source of dfnet(1). */
void manual_print(FILE *f);

/* 1, or 0 if there is no such shell. */
int completion_print(FILE *f, const char *shell);

/* Prints a sentence as "dfnet: place: what", the place and `what` made safe. */
void say_error(const char *place, const char *what);

#endif
