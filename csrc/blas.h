/* blas.h - large products go to OpenBLAS, if whoever embeds the kernels has handed it over. */
#ifndef CNET_BLAS
#define CNET_BLAS

/* CBLAS's constants and the signature of its gemm, row-major. */
enum { CNET_ROW_MAJOR = 101, CNET_NO_TRANS = 111, CNET_TRANS = 112 };
typedef void (*cnet_sgemm_function)(int, int, int, int, int, int, float, const float *, int,
                                    const float *, int, float, float *, int);
typedef void (*cnet_dgemm_function)(int, int, int, int, int, int, double, const double *, int,
                                    const double *, int, double, double *, int);
extern cnet_sgemm_function cnet_blas_f32; /* NULL when there is none */
extern cnet_dgemm_function cnet_blas_f64;

/* Multiplications from which OpenBLAS is faster than the kernels of gemm.h (one thread, AVX2:
 * python -m benchmarks.workbench measures both sides of it). */
#define CNET_BLAS_FROM 1.0e8
#endif

#ifdef T

/* 1 if the product was done. Sizes beyond int32 are refused: OpenBLAS's 32-bit interface. */
static int F(blas_gemm)(size_t M, size_t N, size_t K, const T *a, size_t ars, size_t acs,
                        const T *b, size_t brs, size_t bcs, const T *bias, int add, T *c,
                        size_t ldc)
{
    if ((double)M * (double)N * (double)K < CNET_BLAS_FROM || !CNET_PASTE(cnet_blas, SUFFIX)
        || M < 8 || N < 8)
        return 0;
    const size_t lda = acs == 1 ? ars : acs, ldb = bcs == 1 ? brs : bcs;
    if ((acs != 1 && ars != 1) || (bcs != 1 && brs != 1)
        || (M | N | K | lda | ldb | ldc) > INT32_MAX)
        return 0;
    if (bias)
        for (size_t i = 0; i < M; i++)
            for (size_t j = 0; j < N; j++)
                c[i * ldc + j] = add ? c[i * ldc + j] + bias[j] : bias[j];
    CNET_PASTE(cnet_blas, SUFFIX)
    (CNET_ROW_MAJOR, acs == 1 ? CNET_NO_TRANS : CNET_TRANS, bcs == 1 ? CNET_NO_TRANS : CNET_TRANS,
     (int)M, (int)N, (int)K, 1, a, (int)lda, b, (int)ldb, bias || add ? 1 : 0, c, (int)ldc);
    return 1;
}

#endif
