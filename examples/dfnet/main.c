/* main.c - the program dfnet: picks the sub-command and runs it. README.md in this folder
 * says how it is put together. */
#include "examples/dfnet/commands.h"

#include <stdlib.h>
#include <string.h>

static int (*const functions[COMMANDS])(const struct options *) = {
#define CMD(id, name, arguments, summary, run) run,
#include "examples/dfnet/commands.def"
#undef CMD
};

int load_model(const char *path, const ef_options *opt, ef_model **out,
               ef_model_info *info)
{
    ef_error err;
    ef_model_info_init(info, sizeof *info);
    ef_status st = path ? ef_model_load_file(path, opt, out, &err)
                        : ef_model_load_default(opt, out, &err);
    if (!st)
        st = ef_model_get_info(*out, info, &err);
    if (!st)
        return 0;
    if (ex_cancel(NULL))
        return EX_INTERRUPTED;
    say_error(*err.where ? err.where : path ? path : "default model", err.what);
    return st == EF_E_NOMEM ? EX_NO_MEMORY : EX_MODEL;
}

static int print_version(void)
{
    static const struct {
        uint32_t bit;
        const char *name;
    } levels[] = {
        {EF_CPU_AVX2, " AVX2"}, {EF_CPU_AVX512, " AVX-512"}, {EF_CPU_NEON, " NEON"}};
    const uint32_t v = ef_version(), have = ef_cpu_features();
    const char *blas = ex_blas();
    printf("dfnet %d.%d.%d\n", EF_VERSION_MAJOR, EF_VERSION_MINOR, EF_VERSION_PATCH);
    printf("library %u.%u.%u\ncpu%s", v >> 16 & 255, v >> 8 & 255, v & 255,
           have ? "" : " portable kernels only");
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++)
        if (have & levels[i].bit)
            fputs(levels[i].name, stdout);
    printf("\nmatrix multiplication: the library's own%s%s\n", blas ? ", or " : "",
           blas ? blas : "");
    return EX_DONE;
}

int run_help(const struct options *o)
{
    if (!o->nargs)
        return help_print(stdout, -1), EX_DONE;
    for (int i = 0; i < COMMANDS; i++)
        if (!strcmp(o->args[0], command_rows[i].name))
            return help_print(stdout, i), EX_DONE;
    say_error(o->args[0], "is no command; see dfnet help");
    return EX_USAGE;
}

int run_completion(const struct options *o)
{
    if (o->nargs == 1 && completion_print(stdout, o->args[0]))
        return EX_DONE;
    fputs("dfnet: completion wants the name of a shell: bash, zsh or fish\n", stderr);
    return EX_USAGE;
}

int run_man(const struct options *o)
{
    if (o->nargs) {
        fputs("dfnet: man takes no arguments; see dfnet help man\n", stderr);
        return EX_USAGE;
    }
    return manual_print(stdout), EX_DONE;
}

static int run(enum command_id command, int argc, char **argv)
{
    static struct options o;
    int code = EX_USAGE;
    if (options_parse(&o, command, argc, argv)) {
        if (o.help)
            code = (help_print(stdout, (int)command), EX_DONE);
        else if (o.version)
            code = print_version();
        else
            code = functions[command](&o);
    }
    options_free(&o);
    return code;
}

int main(int argc, char **argv)
{
    int code = -1;
    if (argc < 2)
        return help_print(stderr, -1), EX_USAGE;
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))
        code = (help_print(stdout, -1), EX_DONE);
    else if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V"))
        code = print_version();
    for (int i = 0; code < 0 && i < COMMANDS; i++)
        if (!strcmp(argv[1], command_rows[i].name)) {
            ex_one_blas_thread();
            ex_catch_interrupt();
            code = run((enum command_id)i, argc - 1, argv + 1);
        }
    if (code < 0) {
        say_error(argv[1], "is no command; see dfnet help");
        code = EX_USAGE;
    }
    return (fflush(stdout) || ferror(stdout)) && code != EX_INTERRUPTED ? EX_ALL_FAILED
                                                                        : code;
}
