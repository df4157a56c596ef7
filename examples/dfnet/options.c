/* options.c - see options.h. To add an option: a row in options.def, a member of struct
 * options, a case in set_option(). */
#include "examples/dfnet/options.h"

#include "examples/dfnet/escape.h"
#include "examples/dfnet/fingerprint.h"
#include "examples/video/choose.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define FILES "@"
#define RULES "mean-prob mean-logit confident sharpen group max-face"
#define GEMMS "auto native openblas"
#define COLORS "auto always never"
#define VERDICTS "none real uncertain fake"

#define IN_CLASSIFY (1u << CMD_CLASSIFY)
#define IN_INFO (1u << CMD_INFO)
#define IN_VERIFY (1u << CMD_VERIFY)
#define IN_EXPLAIN (1u << CMD_EXPLAIN)
#define IN_BENCH (1u << CMD_BENCH)
#define IN_MERGE (1u << CMD_MERGE)
#define IN_ALL (~0u)

const char rule_words[] = RULES;

const struct option_row option_rows[OPTIONS] = {
#define OPT(id, commands, letter, name, argument, words, help)                           \
    {OPT_##id, commands, letter, name, argument, words, help},
#include "examples/dfnet/options.def"
#undef OPT
};

const struct command_row command_rows[COMMANDS] = {
#define CMD(id, name, arguments, summary, run) {name, arguments, summary},
#include "examples/dfnet/commands.def"
#undef CMD
};

/* ---- values ------------------------------------------------------------------------ */

int word_index(const char *words, const char *word)
{
    const size_t n = strlen(word);
    for (int i = 0; *words; i++) {
        const size_t length = strcspn(words, " ");
        if (n == length && !memcmp(words, word, n))
            return i;
        words += length + (words[length] == ' ');
    }
    return -1;
}

/* A finite decimal number that ends where s does. */
static int parse_double(const char *s, double *out)
{
    char *end;
    *out = strtod(s, &end);
    return end != s && !*end && isfinite(*out);
}

static int parse_uint64(const char *s, uint64_t *out)
{
    char *end;
    errno = 0;
    const unsigned long long v = strtoull(s, &end, 10);
    *out = v;
    return *s >= '0' && *s <= '9' && !*end && !errno && v > 0;
}

static int parse_size(const char *s, ef_options *o)
{
    const char *cross = strchr(s, 'x');
    char first[8];
    if (!cross)
        return ex_parse_int(s, 32, 4096, &o->height) && (o->width = o->height, 1);
    const size_t n = (size_t)(cross - s);
    if (n >= sizeof first)
        return 0;
    memcpy(first, s, n);
    first[n] = 0;
    return ex_parse_int(first, 32, 4096, &o->height) &&
           ex_parse_int(cross + 1, 32, 4096, &o->width);
}

static int parse_condition(const char *s, struct condition *c)
{
    static const struct {
        const char *text;
        enum condition_kind kind;
    } starts[] = {
        {"fake>=", COND_GE}, {"fake<=", COND_LE}, {"fake>", COND_GT}, {"fake<", COND_LT}};
    if (!strncmp(s, "verdict=", 8)) {
        const int i = word_index(VERDICTS, s + 8);
        *c = (struct condition){COND_VERDICT, 0, (ef_verdict)i};
        return i >= 0;
    }
    for (size_t i = 0; i < sizeof starts / sizeof *starts; i++) {
        const size_t n = strlen(starts[i].text);
        if (!strncmp(s, starts[i].text, n)) {
            c->kind = starts[i].kind;
            return parse_double(s + n, &c->bound) && c->bound >= 0 && c->bound <= 1;
        }
    }
    return 0;
}

/* I/N */
static int parse_shard(const char *s, struct options *o)
{
    const char *slash = strchr(s, '/');
    char first[16];
    if (!slash || (size_t)(slash - s) >= sizeof first)
        return 0;
    memcpy(first, s, (size_t)(slash - s));
    first[slash - s] = 0;
    return ex_parse_int(slash + 1, 1, 100000, &o->shards) &&
           ex_parse_int(first, 1, o->shards, &o->shard);
}

static int parse_frames(const char *s, struct options *o)
{
    struct choice unused;
    int number;
    o->frames = s;
    return ex_parse_int(s, 1, 1000000, &number) || choose_parse(s, &unused);
}

static int add_model(struct options *o, const char *path, size_t length, double weight)
{
    if (o->nmodels == MAX_MODELS || !length)
        return 0;
    char *copy = malloc(length + 1);
    if (!copy)
        return 0;
    memcpy(copy, path, length);
    copy[length] = 0;
    o->models[o->nmodels++] = (struct model_choice){copy, weight};
    return 1;
}

/* FILE[:WEIGHT],...; what follows the last colon is a weight if it is a number. */
static int parse_ensemble(const char *s, struct options *o)
{
    for (;;) {
        const size_t n = strcspn(s, ",");
        size_t name = n;
        double weight = 1;
        for (size_t i = n; i-- > 0;)
            if (s[i] == ':') {
                char text[32] = "";
                if (n - i - 1 < sizeof text)
                    memcpy(text, s + i + 1, n - i - 1);
                if (!parse_double(text, &weight) || weight <= 0 || weight > 1e6)
                    return 0;
                name = i;
                break;
            }
        if (!add_model(o, s, name, weight))
            return 0;
        if (!s[n])
            return 1;
        s += n + 1;
    }
}

/* ---- parsing ----------------------------------------------------------------------- */

static int set_option(struct options *o, const struct option_row *row, const char *value)
{
    const int word = row->words && *row->words != '@' ? word_index(row->words, value) : 0;
    int number = 0;
    if (word < 0)
        return 0;
    switch (row->id) {
    case OPT_MODEL:
        return add_model(o, value, strlen(value), 1);
    case OPT_ENSEMBLE:
        return o->has_weights = parse_ensemble(value, o);
    case OPT_BOX:
        return o->nboxes < MAX_FACES && ex_parse_box(value, &o->boxes[o->nboxes++]);
    case OPT_WHOLE:
        return o->whole = 1;
    case OPT_PIPELINE:
        return o->pipeline = value, *value != 0;
    case OPT_RULE:
        return o->rule = (ef_rule_kind)word, o->has_rule = 1;
    case OPT_TOP:
        return ex_parse_int(value, 1, MAX_TOP, &o->top);
    case OPT_JSON:
        return o->format = OUT_JSON, 1;
    case OPT_CSV:
        return o->format = OUT_CSV, 1;
    case OPT_HEATMAP:
        return o->heatmap = value, *value != 0;
    case OPT_REPORT:
        return o->report = value, *value != 0;
    case OPT_FAIL_IF:
        return parse_condition(value, &o->condition);
    case OPT_FILES_FROM:
        return o->files_from = value, *value != 0;
    case OPT_NUL:
        return o->nul = 1;
    case OPT_RESUME:
        return o->resume = value, *value != 0;
    case OPT_SHARD:
        return parse_shard(value, o);
    case OPT_JOBS:
        return ex_parse_int(value, 0, 64, &o->jobs);
    case OPT_OUTPUT:
        return o->output = value, *value != 0;
    case OPT_MAX_PIXELS:
        return parse_uint64(value, &o->lib.limits.max_pixels);
    case OPT_FRAMES:
        return parse_frames(value, o);
    case OPT_DETECT_EVERY:
        return ex_parse_int(value, 1, 16, &o->detect_every);
    case OPT_TIMEOUT:
        return ex_parse_int(value, 1, 1000000, &o->timeout);
    case OPT_MEMORY:
        return ex_parse_int(value, 1, 1000000, &o->memory);
    case OPT_TIMINGS:
        return o->timings = 1;
    case OPT_SIZE:
        return parse_size(value, &o->lib);
    case OPT_BATCH:
        return ex_parse_int(value, 1, 1024, &o->lib.batch);
    case OPT_TIMES:
        return o->times = 1;
    case OPT_REPEAT:
        return ex_parse_int(value, 1, 100000, &o->repeat);
    case OPT_THREADS:
        return ex_parse_int(value, 0, 64, &o->lib.threads);
    case OPT_GEMM:
        return o->lib.gemm = (ef_gemm)word, 1;
    case OPT_CPU:
        if (!ex_parse_int(value, 0, 0x7fffffff, &number))
            return 0;
        return o->lib.cpu_mask = (uint32_t)number, 1;
    case OPT_QUIET:
        return o->quiet = 1;
    case OPT_COLOR:
        return o->color = (enum color_when)word, 1;
    case OPT_VERSION:
        return o->version = 1;
    case OPT_HELP_OPTION:
        return o->help = 1;
    case OPTIONS:
        break;
    }
    return 0;
}

/* Options that say what is read, where rows go or how fast; models and pipelines count by
 * their contents, not their names. --gemm and --cpu change a score's last digits only. */
static int rows_depend_on(enum option_id id)
{
    switch ((int)id) {
    case OPT_MODEL:
    case OPT_ENSEMBLE:
    case OPT_PIPELINE:
    case OPT_JSON:
    case OPT_CSV:
    case OPT_FILES_FROM:
    case OPT_NUL:
    case OPT_RESUME:
    case OPT_SHARD:
    case OPT_JOBS:
    case OPT_OUTPUT:
    case OPT_THREADS:
    case OPT_GEMM:
    case OPT_CPU:
    case OPT_QUIET:
    case OPT_COLOR:
        return 0;
    default:
        return 1;
    }
}

/* A sum, so that options may come in any order; but boxes, say, in theirs. */
static void note_given(struct options *o, const struct option_row *row, const char *value)
{
    const unsigned char n = o->given[row->id];
    o->given[row->id] = n < 255 ? (unsigned char)(n + 1) : n;
    if (!rows_depend_on(row->id))
        return;
    uint64_t h = fingerprint_text(FINGERPRINT_START, row->name);
    h = fingerprint_bytes(h, &n, sizeof n);
    o->given_hash += fingerprint_text(h, value ? value : "");
}

void say_error(const char *place, const char *what)
{
    fputs("dfnet: ", stderr);
    ex_print_text(stderr, place);
    fputs(": ", stderr);
    ex_print_text(stderr, what);
    fputc('\n', stderr);
}

/* The tables in getopt_long()'s form. Long options give their index + 256. */
static void make_getopt(enum command_id command, char *letters, struct option *longs)
{
    size_t n = 0;
    *letters++ = ':';
    for (int i = 0; i < OPTIONS; i++) {
        const struct option_row *row = &option_rows[i];
        if (!(row->commands >> command & 1))
            continue;
        longs[n++] = (struct option){row->name, row->argument != NULL, NULL, 256 + i};
        if (row->letter) {
            *letters++ = row->letter;
            if (row->argument)
                *letters++ = ':';
        }
    }
    *letters = 0;
    longs[n] = (struct option){NULL, 0, NULL, 0};
}

static const struct option_row *row_of(enum command_id command, int found)
{
    if (found >= 256)
        return &option_rows[found - 256];
    for (int i = 0; i < OPTIONS; i++)
        if (option_rows[i].letter == found && option_rows[i].commands >> command & 1)
            return &option_rows[i];
    return NULL;
}

static int refuse(const char *what, const char *text, enum command_id command)
{
    fprintf(stderr, "dfnet: %s '", what);
    ex_print_text(stderr, text);
    fprintf(stderr, "'; see dfnet %s --help\n", command_rows[command].name);
    return 0;
}

static int check_together(const struct options *o, enum command_id command)
{
    if (o->whole && o->nboxes)
        return refuse("--whole does not go with", "--box", command);
    if (o->pipeline && (o->has_rule || o->has_weights))
        return refuse("--pipeline has its own", o->has_rule ? "--rule" : "--ensemble",
                      command);
    if (o->nul && !o->files_from)
        return refuse("--null is about", "--files-from", command);
    if (!o->resume && (o->shards || o->given[OPT_JOBS]))
        return refuse(o->shards ? "--shard is about" : "--jobs is about", "--resume",
                      command);
    if (o->resume && o->report)
        return refuse("--resume does not go with", "--report", command);
    return 1;
}

int options_parse(struct options *o, enum command_id command, int argc, char **argv)
{
    char letters[2 * OPTIONS + 2];
    struct option longs[OPTIONS + 1];
    memset(o, 0, sizeof *o);
    ef_options_init(&o->lib, sizeof o->lib);
    o->lib.threads = command == CMD_CLASSIFY ? 0 : 1;
    make_getopt(command, letters, longs);
    opterr = 0;
    for (int found; (found = getopt_long(argc, argv, letters, longs, NULL)) != -1;) {
        /* What getopt_long() complains about lies just behind it. */
        const char *text = argv[optind - 1];
        const struct option_row *row = row_of(command, found);
        if (found == ':')
            return refuse("a value is missing behind", text, command);
        if (found == '?' || !row)
            return refuse("there is no option", text, command);
        if (!set_option(o, row, optarg)) {
            char what[64];
            snprintf(what, sizeof what, "--%s cannot be", row->name);
            return refuse(what, optarg ? optarg : "", command);
        }
        note_given(o, row, optarg);
    }
    o->args = argv + optind;
    o->nargs = argc - optind;
    return check_together(o, command);
}

void options_free(struct options *o)
{
    for (size_t i = 0; i < o->nmodels; i++)
        free(o->models[i].path);
    o->nmodels = 0;
}
