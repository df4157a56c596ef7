/* gemm_openblas.c - 1x1 convolution through OpenBLAS's sgemm; the only file that knows
 * cblas.h. The plan chooses it only while OpenBLAS reports one thread, or when the caller
 * insists. Weights stay as in the file, [cout][cin]: sgemm takes them transposed.
 *
 * A call covers one strip of pixels, so that the epilogue finds the strip still in the
 * cache. */
#include "kernels/kernels.h"
#include "kernels/ref/act.h"

#include <cblas.h>

dfn_kernel_fn dfn_f32_pointwise_sgemm__blas;

/* Output floats of a strip: 128 KiB, a quarter of a small second-level cache. A strip is
 * at least 64 pixels, or sgemm would spend its time on packing the weights. */
#define STRIP_FLOATS 32768
#define STRIP_LEAST 64

void dfn_f32_pointwise_sgemm__blas(const void *args, size_t first, size_t last)
{
    const struct dfn_pointwise_args *a = args;
    const size_t cin = (size_t)a->cin, cout = (size_t)a->cout;
    const size_t all = dfn_pointwise_all(a);
    size_t strip = STRIP_FLOATS / all;
    if (strip < STRIP_LEAST)
        strip = STRIP_LEAST;

    for (size_t m = first; m < last; m += strip) {
        const size_t end = last - m < strip ? last : m + strip;
        dfn_gate_ref(a, m, end);
        if (!cout)
            continue;
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (blasint)(end - m),
                    (blasint)cout, (blasint)cin, 1.0f, a->in + m * cin, (blasint)cin,
                    a->weight, (blasint)cin, 0.0f, a->out + m * all, (blasint)all);
        for (size_t p = m; p < end; p++)
            dfn_epilogue_ref(a->out + p * all, a->bias,
                             a->residual ? a->residual + p * all : NULL, a->cout, a->act);
    }
}

int dfn_blas_threads(void)
{
    return openblas_get_num_threads();
}

const char *dfn_blas_config(void)
{
    return openblas_get_config();
}
