/* options.c - defaults, growth and checks of ef_options. Called by the api layer and by
 * tests; no allocation. */
#include "lib/base/options.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* The struct as version 0.1 has it; an older caller cannot have a shorter one. */
#define FIRST_SIZE sizeof(ef_options)

static const ef_options defaults = {
    .struct_size = sizeof(ef_options),
    .threads = 1,
    .cpu_mask = EF_CPU_ALL,
    .gemm = EF_GEMM_AUTO,
    .batch = 1,
    .limits = {.max_file_bytes = (uint64_t)4 << 30, .max_pixels = (uint64_t)128 << 20},
};

void ef_options_init(ef_options *opt, size_t struct_size)
{
    if (!opt || struct_size < sizeof opt->struct_size)
        return;
    /* A newer program's struct is longer than ours: its extra fields become zero. */
    memset(opt, 0, struct_size);
    memcpy(opt, &defaults, struct_size < sizeof defaults ? struct_size : sizeof defaults);
    opt->struct_size = struct_size;
}

static ef_status check(const ef_options *o, ef_error *err)
{
    if (o->threads < 0 || o->threads > 64)
        return dfn_fail(err, EF_E_ARG, "options.threads", "is %d, must be 0 to 64",
                        o->threads);
    if ((int)o->gemm < EF_GEMM_AUTO || (int)o->gemm > EF_GEMM_OPENBLAS)
        return dfn_fail(err, EF_E_ARG, "options.gemm", "is %d, must be 0 to 2",
                        (int)o->gemm);
    if ((o->height || o->width) &&
        (o->height < 32 || o->height > 4096 || o->width < 32 || o->width > 4096))
        return dfn_fail(err, EF_E_ARG, "options.height, width",
                        "are %d, %d, must both be 0 or both 32 to 4096", o->height,
                        o->width);
    if (o->batch < 1 || o->batch > 1024)
        return dfn_fail(err, EF_E_ARG, "options.batch", "is %d, must be 1 to 1024",
                        o->batch);
    if (!o->allocator.alloc != !o->allocator.free)
        return dfn_fail(err, EF_E_ARG, "options.allocator",
                        "has one of alloc and free, needs both or none");
    if (!o->pool.run ? o->pool.workers != 0 : o->pool.workers < 1 || o->pool.workers > 64)
        return dfn_fail(err, EF_E_ARG, "options.pool.workers", "is %d, must be %s",
                        o->pool.workers,
                        o->pool.run ? "1 to 64" : "0 without a function run");
    if (!o->limits.max_file_bytes || !o->limits.max_pixels)
        return dfn_fail(err, EF_E_ARG, "options.limits", "a limit is 0");
    return EF_OK;
}

bool dfn_tail_is_zero(const void *what, size_t known, size_t size)
{
    const unsigned char *bytes = what;
    for (size_t i = known; i < size; i++)
        if (bytes[i])
            return false;
    return true;
}

ef_status dfn_options_resolve(const ef_options *opt, ef_options *full, ef_error *err)
{
    *full = defaults;
    if (!opt)
        return EF_OK;
    if (opt->struct_size < FIRST_SIZE || opt->struct_size > 4096)
        return dfn_fail(err, EF_E_ARG, "options.struct_size",
                        "is %zu; call ef_options_init() first", opt->struct_size);
    memcpy(full, opt, sizeof *full);
    full->struct_size = sizeof *full;
    if (!dfn_tail_is_zero(opt, sizeof *full, opt->struct_size))
        return dfn_fail(err, EF_E_VERSION, "options",
                        "set a field that this version of the library does not have");
    return check(full, err);
}

void dfn_log(const ef_options *opt, int level, const char *line, ...)
{
    if (!opt->log)
        return;
    const int saved = errno;
    char text[512];
    va_list args;
    va_start(args, line);
    vsnprintf(text, sizeof text, line, args);
    va_end(args);
    opt->log(opt->log_user, level, text);
    errno = saved;
}
