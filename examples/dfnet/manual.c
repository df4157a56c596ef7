/* manual.c - --help and the manual page, made from options.def and commands.def. */
#include "examples/dfnet/escape.h"
#include "examples/dfnet/options.h"

#include <string.h>

static const struct {
    int code;
    const char *meaning;
} codes[] = {
    {EX_DONE, "all inputs were done; a picture without a face counts as done"},
    {EX_USAGE, "the command line is wrong, or an output is an input"},
    {EX_SOME_FAILED, "some inputs failed"},
    {EX_ALL_FAILED, "all inputs failed, or an output could not be written"},
    {EX_MODEL, "the model cannot be used"},
    {EX_NO_MEMORY, "out of memory"},
    {EX_CONDITION, "a picture met --fail-if; goes before 2"},
    {EX_INTERRUPTED, "interrupted"},
};

static const struct {
    const char *command, *meaning;
} examples[] = {
    {"dfnet classify photo.jpg", "find the faces, and score them"},
    {"dfnet classify --whole face.jpg", "the picture is a face crop already"},
    {"dfnet classify --box 168,61,109,109 a.png", "the face is in this box"},
    {"dfnet classify --json photos/ > rows.jsonl", "a folder, one JSON object a line"},
    {"find . -name '*.jpg' -print0 | dfnet classify -0 --files-from - --csv",
     "a list of names"},
    {"dfnet classify --report report.html photos/", "a page to read"},
    {"dfnet classify --frames time:5 --report report.html clip.mp4",
     "each person's score over time"},
    {"dfnet classify --pipeline selimsef.pipeline a.png", "as a published system does"},
    {"dfnet classify --fail-if 'fake>=0.9' -q *.jpg", "exit code 10 in a script"},
};

#define COUNT(a) (sizeof(a) / sizeof *(a))

/* ---- --help ------------------------------------------------------------------------ */

/* Text folded at 78 columns behind `indent` blanks; the first line is begun already. */
static void print_folded(FILE *f, const char *text, int indent, int column)
{
    while (*text) {
        const size_t n = strcspn(text, " ");
        if (column + 1 + (int)n > 78) {
            fprintf(f, "\n%*s", indent, "");
            column = indent;
        } else if (column > indent) {
            fputc(' ', f);
            column++;
        }
        fwrite(text, 1, n, f);
        column += (int)n;
        text += n + (text[n] == ' ');
    }
    fputc('\n', f);
}

static void print_option(FILE *f, const struct option_row *row)
{
    char head[64];
    snprintf(head, sizeof head, "  %c%c%c --%s%s%s", row->letter ? '-' : ' ',
             row->letter ? row->letter : ' ', row->letter ? ',' : ' ', row->name,
             row->argument ? " " : "", row->argument ? row->argument : "");
    fprintf(f, "%-26s", head);
    if (strlen(head) > 25)
        fprintf(f, "\n%26s", "");
    print_folded(f, row->help, 26, 26);
    if (row->words && *row->words != '@') {
        fprintf(f, "%26s(", "");
        fprintf(f, "%s)\n", row->words);
    }
}

void help_print(FILE *f, int command)
{
    if (command < 0) {
        fputs("dfnet - is this face real or fake?\n\n", f);
        for (size_t i = 0; i < COUNT(examples); i++)
            fprintf(f, "  %s\n      %s\n", examples[i].command, examples[i].meaning);
        fputs("\nCommands (dfnet help COMMAND shows the options of one):\n", f);
        for (int i = 0; i < COMMANDS; i++)
            fprintf(f, "  %-12s%s\n", command_rows[i].name, command_rows[i].summary);
    } else {
        const struct command_row *row = &command_rows[command];
        fprintf(f, "dfnet %s %s\n    ", row->name, row->arguments);
        print_folded(f, row->summary, 4, 4);
        fputc('\n', f);
        for (int i = 0; i < OPTIONS; i++)
            if (option_rows[i].commands >> command & 1)
                print_option(f, &option_rows[i]);
    }
    fputs("\nExit codes:\n", f);
    for (size_t i = 0; i < COUNT(codes); i++)
        fprintf(f, "  %4d  %s\n", codes[i].code, codes[i].meaning);
    fputs("\nA score is a hint, never a proof.\n", f);
}

/* ---- manual page ------------------------------------------------------------------- */

/* Lines of at most 78 columns and a new one for each sentence, as mdoc wants it. No text
 * of the tables has a word that begins with a dot. */
static void roff_text(FILE *f, const char *text)
{
    int column = 0;
    while (*text) {
        char word[80];
        const size_t n = strcspn(text, " ");
        snprintf(word, sizeof word, "%.*s", (int)n, text);
        /* Escapes make words longer in the source. */
        if (column && column + (int)n > 66)
            column = (fputc('\n', f), 0);
        else if (column)
            fputc(' ', f);
        escape_roff(f, word);
        column += 1 + (int)n;
        text += n + (text[n] == ' ');
        if (n && word[strlen(word) - 1] == '.' && *text)
            column = (fputc('\n', f), 0);
    }
    fputc('\n', f);
}

static void manual_options(FILE *f, int command)
{
    fputs(".Bl -tag -width Ds\n", f);
    for (int i = 0; i < OPTIONS; i++) {
        const struct option_row *row = &option_rows[i];
        if (!(row->commands >> command & 1))
            continue;
        fputs(".It ", f);
        if (row->letter)
            fprintf(f, "Fl %c , ", row->letter);
        fputs("Fl \\-", f);
        escape_roff(f, row->name);
        if (row->argument) {
            fputs(" Ar ", f);
            escape_roff(f, row->argument);
        }
        fputc('\n', f);
        roff_text(f, row->help);
        if (row->words && *row->words != '@') {
            fputs(".Pp\nOne of: ", f);
            escape_roff(f, row->words);
            fputs(".\n", f);
        }
    }
    fputs(".El\n", f);
}

void manual_print(FILE *f)
{
    fputs(".Dd November 23, 2026\n.Dt DFNET 1\n.Os\n.Sh NAME\n.Nm dfnet\n"
          ".Nd score faces as real or fake\n.Sh SYNOPSIS\n.Nm dfnet\n"
          ".Ar command\n.Op Ar argument ...\n.Sh DESCRIPTION\n"
          "Scores the faces of pictures with EfficientNet models, and inspects, checks "
          "and\n"
          "times such models.\n"
          "Rows go to standard output, everything else to standard error.\n"
          "A score is a hint, never a proof.\n.Sh COMMANDS\n",
          f);
    for (int i = 0; i < COMMANDS; i++) {
        fprintf(f, ".Ss %s\nArguments:\n", command_rows[i].name);
        fputs(*command_rows[i].arguments ? ".Li \"" : "none\n", f);
        if (*command_rows[i].arguments) {
            escape_roff(f, command_rows[i].arguments);
            fputs("\"\n", f);
        }
        fputs(".Pp\nWhat it does:\n", f);
        roff_text(f, command_rows[i].summary);
        manual_options(f, i);
    }
    fputs(".Sh ENVIRONMENT\n.Bl -tag -width DFNET_DETECTOR\n"
          ".It Ev DFNET_MODEL\nThe model file without\n.Fl \\-model .\n"
          ".It Ev DFNET_DETECTOR\nThe face detector's model file.\n"
          ".It Ev NO_COLOR\nNo colour unless\n.Fl \\-color Ar always\nis given.\n"
          ".It Ev TERM\nIf it is dumb: neither colour nor progress.\n.El\n"
          ".Sh EXIT STATUS\n.Bl -tag -width 999\n",
          f);
    for (size_t i = 0; i < COUNT(codes); i++) {
        fprintf(f, ".It %d\n", codes[i].code);
        roff_text(f, codes[i].meaning);
    }
    fputs(".El\n.Sh EXAMPLES\n", f);
    for (size_t i = 0; i < COUNT(examples); i++) {
        fputs(i ? ".Pp\nTo do this: " : "To do this: ", f);
        escape_roff(f, examples[i].meaning);
        fputs(":\n.Dl ", f);
        roff_text(f, examples[i].command);
    }
}
