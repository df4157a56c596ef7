/* dispatch.c - kernels.def made into a table. Called once for each session. */
#include "dfn_config.h"
#include "kernels/cpu.h"
#include "kernels/kernels.h"

#include <string.h>

#define DFN_K(op, function, needs, layout, tile) dfn_kernel_fn function;
#include "kernels/kernels.def"
#undef DFN_K

static const struct dfn_kernel rows[] = {
#define DFN_K(op, function, needs, layout, tile)                                         \
    {op, function, #function, needs, layout, tile},
#include "kernels/kernels.def"
#undef DFN_K
};

const struct dfn_kernel *dfn_kernel_rows(size_t *count)
{
    *count = sizeof rows / sizeof *rows;
    return rows;
}

void dfn_kernels_init(struct dfn_kernels *k, uint32_t cpu)
{
    memset(k, 0, sizeof *k);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if ((cpu & rows[i].needs) == rows[i].needs)
            k->op[rows[i].op] = rows[i];
}

#if !DFN_HAVE_OPENBLAS
int dfn_blas_threads(void)
{
    return 0;
}

const char *dfn_blas_config(void)
{
    return "none";
}
#endif
