/* driver.c - runs a fuzz target's LLVMFuzzerTestOneInput() on files and folders, so that
 * a corpus is replayed as a test with any compiler (meson test --suite corpus).
 *
 *   fuzz_image FILE-OR-FOLDER...
 *
 * Each input is a copy that ends where its bytes end: a sanitizer sees a read past it. */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static long inputs;

static int fail(const char *path)
{
    fprintf(stderr, "%s: %s\n", path, strerror(errno));
    return 1;
}

static int run_file(const char *path, size_t size)
{
    FILE *f = fopen(path, "rb");
    if (!f)
        return fail(path);
    uint8_t *data = malloc(size ? size : 1);
    const size_t got = data ? fread(data, 1, size, f) : 0;
    fclose(f);
    if (!data || got != size) {
        free(data);
        return fail(path);
    }
    LLVMFuzzerTestOneInput(data, size);
    free(data);
    inputs++;
    return 0;
}

static int run_folder(const char *path);

static int run_path(const char *path)
{
    struct stat st;
    if (stat(path, &st))
        return fail(path);
    return S_ISDIR(st.st_mode) ? run_folder(path) : run_file(path, (size_t)st.st_size);
}

static int run_folder(const char *path)
{
    struct dirent **entries;
    const int n = scandir(path, &entries, NULL, alphasort);
    int failed = 0;
    if (n < 0)
        return fail(path);
    for (int i = 0; i < n; i++) {
        char child[4096];
        if (entries[i]->d_name[0] != '.') {
            snprintf(child, sizeof child, "%s/%s", path, entries[i]->d_name);
            failed |= run_path(child);
        }
        free(entries[i]);
    }
    free(entries);
    return failed;
}

int main(int argc, char **argv)
{
    int failed = 0;
    for (int i = 1; i < argc; i++)
        failed |= run_path(argv[i]);
    printf("%ld inputs\n", inputs);
    /* An empty corpus would pass without a test. */
    return failed || !inputs;
}
