/* consumer.c - a program of somebody who uses the library: prints the version, the
 * default model's path and name, one a line. Built by run.py in every way that the README
 * names. */
#include <dfnet/dfnet.h>
#include <stdio.h>

int main(void)
{
    char path[4096];
    ef_model *model = NULL;
    ef_model_info info;
    ef_error err;
    ef_model_info_init(&info, sizeof info);
    if (ef_model_default_path(path, sizeof path, &err) ||
        ef_model_load_default(NULL, &model, &err) ||
        ef_model_get_info(model, &info, &err)) {
        fprintf(stderr, "%s: %s\n", err.where, err.what);
        return 1;
    }
    printf("%06lx\n%s\n%s\n", (unsigned long)ef_version(), path, info.name);
    ef_model_free(model);
    return 0;
}
