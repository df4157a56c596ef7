/* info.c - dfnet info: what a model file or a pipeline says about itself, as lines or as
 * JSON. */
#define _POSIX_C_SOURCE 200809L
#include "examples/dfnet/commands.h"

#include <stdlib.h>
#include <string.h>

/* Keys of weights_tools/FORMAT.md that say what a person wants to know; the rest repeats
 * ef_model_info or is long. The x. keys are the model card's: what the default model says
 * about itself, and any other may. */
static const char *const keys[] = {"dfnet.license",
                                   "dfnet.source",
                                   "dfnet.source.sha256",
                                   "dfnet.activation",
                                   "dfnet.padding",
                                   "dfnet.stages",
                                   "dfnet.resize",
                                   "dfnet.filter",
                                   "dfnet.mean",
                                   "dfnet.std",
                                   "dfnet.flip",
                                   "dfnet.face.shape",
                                   "dfnet.face.margin",
                                   "dfnet.face.outside",
                                   "dfnet.face.pad",
                                   "dfnet.reference",
                                   "dfnet.detector",
                                   "dfnet.detector.thresholds",
                                   "dfnet.detector.min_face",
                                   "dfnet.detector.factor",
                                   "x.training",
                                   "x.accuracy",
                                   "x.limits",
                                   "x.calibration"};

static void text_field(const char *name, const char *value)
{
    printf("%-14s ", name);
    ex_print_text(stdout, value);
    putchar('\n');
}

static void print_text(const ef_model *model, const ef_model_info *i)
{
    text_field("name", i->name);
    text_field("variant", i->variant);
    text_field("hash", i->hash);
    if (i->outputs > 0) {
        printf("%-14s %d x %d\n", "input", i->height, i->width);
        printf("%-14s %d, %s\n", "outputs", i->outputs,
               i->softmax ? "softmax" : "sigmoid");
        if (i->fake >= 0)
            printf("%-14s output %d; real below %.6g, fake from %.6g, temperature %.6g\n",
                   "fake", i->fake, (double)i->real_below, (double)i->fake_from,
                   (double)i->temperature);
        else
            printf("%-14s none: not about faces\n", "fake");
        if (i->maps)
            printf("%-14s %d maps, %s\n", "attention", i->maps,
                   i->looks == 2 ? "looks twice" : "looks once");
        if (i->frames > 1)
            printf("%-14s %d frames\n", "sequence", i->frames);
        printf("%-14s %d\n%-14s %.3f million\n", "blocks", i->blocks, "multiply-adds",
               (double)i->macs / 1e6);
    }
    printf("%-14s %.3f million\n", "parameters", (double)i->parameters / 1e6);
    printf("%-14s %.2f MiB; loading holds at most %.2f MiB\n", "file",
           (double)i->file_bytes / 1048576, (double)i->bytes_needed / 1048576);
    for (size_t k = 0; k < sizeof keys / sizeof *keys; k++) {
        const char *value = ef_model_metadata(model, keys[k]);
        if (value)
            text_field(strchr(keys[k], '.') + 1, value);
    }
    for (int o = 0; o < i->outputs; o++) {
        const char *label = ef_model_label(model, o);
        if (!label)
            break;
        printf("label %-8d ", o);
        ex_print_text(stdout, label);
        putchar('\n');
    }
}

static void print_json(const ef_model *model, const ef_model_info *i)
{
    const char *before = "";
    printf("{\"schema\":1,\"name\":");
    ex_print_json(stdout, i->name);
    printf(",\"variant\":");
    ex_print_json(stdout, i->variant);
    printf(",\"hash\":\"%s\",\"height\":%d,\"width\":%d,\"outputs\":%d,\"fake\":%d,"
           "\"head\":\"%s\",\"blocks\":%d,\"parameters\":%llu,\"macs\":%llu,"
           "\"file_bytes\":%llu,\"bytes_needed\":%llu,\"temperature\":%.9g,"
           "\"real_below\":%.9g,\"fake_from\":%.9g,\"metadata\":{",
           i->hash, i->height, i->width, i->outputs, i->fake,
           i->softmax ? "softmax" : "sigmoid", i->blocks,
           (unsigned long long)i->parameters, (unsigned long long)i->macs,
           (unsigned long long)i->file_bytes, (unsigned long long)i->bytes_needed,
           (double)i->temperature, (double)i->real_below, (double)i->fake_from);
    for (size_t k = 0; k < sizeof keys / sizeof *keys; k++) {
        const char *value = ef_model_metadata(model, keys[k]);
        if (!value)
            continue;
        printf("%s\"%s\":", before, keys[k]);
        ex_print_json(stdout, value);
        before = ",";
    }
    printf("},\"labels\":[");
    for (int o = 0; o < i->outputs && ef_model_label(model, o); o++) {
        fputs(o ? "," : "", stdout);
        ex_print_json(stdout, ef_model_label(model, o));
    }
    puts("]}");
}

/* ---- pipelines --------------------------------------------------------------------- */

static int collect(void *file, const char *text, size_t length)
{
    return fwrite(text, 1, length, file) != length;
}

char *pipeline_text(const ef_pipeline *pipeline)
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    if (!f)
        return NULL;
    const ef_status st = ef_pipeline_describe(pipeline, collect, f, NULL);
    if (fclose(f) || st) {
        free(text);
        return NULL;
    }
    return text;
}

static void print_pipeline_json(const ef_pipeline *p, const ef_pipeline_info *info,
                                const char *text)
{
    printf("{\"schema\":1,\"pipeline\":1,\"name\":");
    ex_print_json(stdout, info->name);
    printf(",\"source\":");
    ex_print_json(stdout, info->source);
    printf(",\"lacks\":");
    ex_print_json(stdout, info->lacks);
    printf(",\"models\":[");
    for (size_t i = 0; i < info->model_count; i++) {
        ef_pipeline_model m;
        ef_pipeline_model_init(&m, sizeof m);
        if (ef_pipeline_get_model(p, i, &m, NULL))
            continue;
        printf("%s{\"name\":", i ? "," : "");
        ex_print_json(stdout, m.name);
        printf(",\"file\":");
        ex_print_json(stdout, m.file);
        printf(",\"weight\":%.9g,\"temperature\":%.9g}", m.weight, m.temperature);
    }
    printf("],\"text\":");
    ex_print_json(stdout, text);
    puts("}");
}

static int pipeline_info(const struct options *o, const char *path)
{
    ef_pipeline *p = NULL;
    ef_pipeline_info info;
    ef_error err;
    ef_pipeline_info_init(&info, sizeof info);
    ef_status st = ef_pipeline_parse_file(path, &o->lib, &p, &err);
    if (!st)
        st = ef_pipeline_get_info(p, &info, &err);
    if (st) {
        say_error(err.where, err.what);
        return st == EF_E_NOMEM ? EX_NO_MEMORY : EX_MODEL;
    }
    char *text = pipeline_text(p);
    if (text && o->format == OUT_JSON)
        print_pipeline_json(p, &info, text);
    /* The text has no control characters but the ends of its lines. */
    for (char *line = text; line && o->format != OUT_JSON && *line;) {
        char *end = line + strcspn(line, "\n"), *next = *end ? end + 1 : end;
        *end = 0;
        ex_print_text(stdout, line);
        putchar('\n');
        line = next;
    }
    if (!text)
        say_error(path, "there is no memory to describe it");
    const int code = text ? EX_DONE : EX_NO_MEMORY;
    free(text);
    ef_pipeline_free(p);
    return code;
}

static int is_pipeline(const char *path)
{
    static const char end[] = ".pipeline";
    const size_t n = strlen(path);
    return n >= sizeof end - 1 && !strcmp(path + n - (sizeof end - 1), end);
}

int run_info(const struct options *o)
{
    ef_model *model = NULL;
    ef_model_info info;
    if (o->nargs != 1) {
        fputs("dfnet: info wants one model file; see dfnet info --help\n", stderr);
        return EX_USAGE;
    }
    if (is_pipeline(o->args[0]))
        return pipeline_info(o, o->args[0]);
    const int code = load_model(o->args[0], &o->lib, &model, &info);
    if (!code && o->format == OUT_JSON)
        print_json(model, &info);
    else if (!code)
        print_text(model, &info);
    ef_model_free(model);
    return code;
}
