/* arch_model.c - see arch_model.h. DFN_SOURCE_ROOT comes from benchmarks/meson.build. */
#include "benchmarks/arch_model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define MODELS DFN_SOURCE_ROOT "/build/models"

/* Replaces the child by the maker; returns only if there is no Python. */
static void make(const char *arch, const char *path, const char *kind)
{
    static const char own[] = DFN_SOURCE_ROOT "/.venv/bin/python";
    const char *python = access(own, X_OK) ? "python3" : own;
    if (chdir(DFN_SOURCE_ROOT))
        return;
    execlp(python, python, "-m", "weights_tools", "random", arch, "-o", path, kind,
           (char *)NULL);
}

/* kind: an option of the maker, or NULL; suffix: of the file's name. */
static int any_model(const char *arch, const char *kind, const char *suffix, char *path,
                     size_t cap)
{
    char part[512];
    int status;
    if (!*arch || strspn(arch, "abcdefghijklmnopqrstuvwxyz0123456789-") != strlen(arch) ||
        strlen(arch) > 32) {
        fprintf(stderr, "'%.40s' is no architecture; b0, lite0 and v2-s are\n", arch);
        return 0;
    }
    snprintf(path, cap, "%s/random-%s%s.safetensors", MODELS, arch, suffix);
    snprintf(part, sizeof part, "%s/random-%s%s.%ld.part", MODELS, arch, suffix,
             (long)getpid());
    if (!access(path, R_OK))
        return 1;
    mkdir(DFN_SOURCE_ROOT "/build", 0777);
    mkdir(MODELS, 0777);
    fprintf(stderr, "making %s\n", path);
    const pid_t child = fork();
    if (child == 0) {
        dup2(STDERR_FILENO, STDOUT_FILENO); /* stdout may be somebody's JSON */
        make(arch, part, kind);
        _exit(127);
    }
    if (child < 0 || waitpid(child, &status, 0) < 0 || status || rename(part, path)) {
        unlink(part);
        fputs("random weights could not be made; this makes them by hand:\n"
              "    python3 -m weights_tools random ARCH -o FILE\n",
              stderr);
        return 0;
    }
    return 1;
}

int arch_model(const char *arch, char *path, size_t cap)
{
    return any_model(arch, NULL, "", path, cap);
}

int arch_model_denormal(const char *arch, char *path, size_t cap)
{
    return any_model(arch, "--denormal", "-denormal", path, cap);
}
