/* completion.c - completion scripts for three shells, made from options.def and
 * commands.def. Help texts hold no character that the shells' quotes would need escaped
 * but the apostrophe, and zsh's brackets and colons. */
#include "examples/dfnet/options.h"

#include <string.h>

static int in_command(const struct option_row *row, int command)
{
    return (int)(row->commands >> command & 1);
}

static int has_files(const struct option_row *row)
{
    return row->words && *row->words == '@';
}

/* ---- bash -------------------------------------------------------------------------- */

static void bash_values(FILE *f)
{
    fputs("    case $prev in\n", f);
    for (int i = 0; i < OPTIONS; i++) {
        const struct option_row *row = &option_rows[i];
        if (!row->argument)
            continue;
        fprintf(f, "    --%s", row->name);
        if (row->letter)
            fprintf(f, " | -%c", row->letter);
        if (has_files(row))
            fputs(")\n        COMPREPLY=($(compgen -f -- \"$cur\"))\n        return ;;\n",
                  f);
        else
            fprintf(f,
                    ")\n        COMPREPLY=($(compgen -W '%s' -- \"$cur\"))\n"
                    "        return ;;\n",
                    row->words ? row->words : "");
    }
    fputs("    esac\n", f);
}

static void bash_print(FILE *f)
{
    fputs("# bash completion for dfnet; made by: dfnet completion bash\n_dfnet() {\n"
          "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} "
          "words=\n    COMPREPLY=()\n    if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
          "        COMPREPLY=($(compgen -W '",
          f);
    for (int i = 0; i < COMMANDS; i++)
        fprintf(f, "%s ", command_rows[i].name);
    fputs("--help --version' -- \"$cur\"))\n        return\n    fi\n", f);
    bash_values(f);
    fputs("    case ${COMP_WORDS[1]} in\n", f);
    for (int c = 0; c < COMMANDS; c++) {
        fprintf(f, "    %s) words='", command_rows[c].name);
        if (c == CMD_COMPLETION)
            fputs("bash zsh fish ", f);
        for (int i = 0; c == CMD_HELP && i < COMMANDS; i++)
            fprintf(f, "%s ", command_rows[i].name);
        for (int i = 0; i < OPTIONS; i++)
            if (in_command(&option_rows[i], c))
                fprintf(f, "--%s ", option_rows[i].name);
        fputs("' ;;\n", f);
    }
    fputs("    esac\n"
          "    COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
          "    if [ \"${cur#-}\" = \"$cur\" ]; then\n"
          "        COMPREPLY+=($(compgen -f -- \"$cur\"))\n    fi\n}\n"
          "complete -o filenames -F _dfnet dfnet\n",
          f);
}

/* ---- zsh --------------------------------------------------------------------------- */

/* Inside '...' and [...]: quotes, brackets and colons mean something there. */
static void zsh_text(FILE *f, const char *s)
{
    for (; *s; s++) {
        if (*s == '\'')
            fputs("'\\''", f);
        else if (strchr("[]:\\", *s))
            fprintf(f, "\\%c", *s);
        else
            fputc(*s, f);
    }
}

static void zsh_option(FILE *f, const struct option_row *row)
{
    fprintf(f, "            '*--%s[", row->name);
    zsh_text(f, row->help);
    fputc(']', f);
    if (row->argument) {
        fputc(':', f);
        zsh_text(f, row->argument);
        if (has_files(row))
            fputs(":_files", f);
        else
            fprintf(f, ":(%s)", row->words ? row->words : "");
    }
    fputs("' \\\n", f);
}

static void zsh_print(FILE *f)
{
    fputs("#compdef dfnet\n# zsh completion for dfnet; made by: dfnet completion zsh\n"
          "_dfnet() {\n    local -a commands\n    commands=(\n",
          f);
    for (int i = 0; i < COMMANDS; i++) {
        fprintf(f, "        '%s:", command_rows[i].name);
        zsh_text(f, command_rows[i].summary);
        fputs("'\n", f);
    }
    fputs("    )\n    if (( CURRENT == 2 )); then\n        _describe command commands\n"
          "        return\n    fi\n    local name=$words[2]\n    shift words\n"
          "    (( CURRENT-- ))\n    case $name in\n",
          f);
    for (int c = 0; c < COMMANDS; c++) {
        fprintf(f, "    %s)\n        _arguments \\\n", command_rows[c].name);
        for (int i = 0; i < OPTIONS; i++)
            if (in_command(&option_rows[i], c))
                zsh_option(f, &option_rows[i]);
        fprintf(f, "            '%s' ;;\n",
                c == CMD_COMPLETION ? "1:shell:(bash zsh fish)" : "*:file:_files");
    }
    fputs("    esac\n}\n_dfnet \"$@\"\n", f);
}

/* ---- fish -------------------------------------------------------------------------- */

static void fish_text(FILE *f, const char *s)
{
    fputc('\'', f);
    for (; *s; s++) {
        if (*s == '\'' || *s == '\\')
            fputc('\\', f);
        fputc(*s, f);
    }
    fputc('\'', f);
}

static void fish_print(FILE *f)
{
    fputs("# fish completion for dfnet; made by: dfnet completion fish\n", f);
    for (int c = 0; c < COMMANDS; c++) {
        fprintf(f, "complete -c dfnet -n __fish_use_subcommand -f -a %s -d ",
                command_rows[c].name);
        fish_text(f, command_rows[c].summary);
        fputc('\n', f);
        for (int i = 0; i < OPTIONS; i++) {
            const struct option_row *row = &option_rows[i];
            if (!in_command(row, c))
                continue;
            fprintf(f, "complete -c dfnet -n '__fish_seen_subcommand_from %s' -l %s",
                    command_rows[c].name, row->name);
            if (row->letter)
                fprintf(f, " -s %c", row->letter);
            if (row->argument && has_files(row))
                fputs(" -r -F", f);
            else if (row->argument)
                fprintf(f, " -x -a '%s'", row->words ? row->words : "");
            fputs(" -d ", f);
            fish_text(f, row->help);
            fputc('\n', f);
        }
    }
    fputs("complete -c dfnet -n '__fish_seen_subcommand_from completion' -f -a "
          "'bash zsh fish'\n",
          f);
}

int completion_print(FILE *f, const char *shell)
{
    if (!strcmp(shell, "bash"))
        bash_print(f);
    else if (!strcmp(shell, "zsh"))
        zsh_print(f);
    else if (!strcmp(shell, "fish"))
        fish_print(f);
    else
        return 0;
    return 1;
}
