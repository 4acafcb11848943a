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
extern double cnet_blas_from; /* multiplications from which it is called */
#endif

#ifdef T

/* Sizes beyond int32 are refused: OpenBLAS's 32-bit interface. */
static int F(blas_takes)(const F(product) * p)
{
    return CNET_PASTE(cnet_blas, SUFFIX) && p->M >= 8 && p->N >= 8
           && (double)p->M * (double)p->N * (double)p->K >= cnet_blas_from
           && (p->acs == 1 || p->ars == 1) && (p->bcs == 1 || p->brs == 1)
           && (p->M | p->N | p->K | p->ars | p->acs | p->brs | p->bcs | p->ldc) <= INT32_MAX;
}

static void F(blas_gemm)(size_t M, size_t N, const F(product) * p, const T *a, const T *b,
                         const T *bias, T *c)
{
    if (bias)
        for (size_t i = 0; i < M; i++)
            for (size_t j = 0; j < N; j++)
                c[i * p->ldc + j] = p->add ? c[i * p->ldc + j] + bias[j] : bias[j];
    CNET_PASTE(cnet_blas, SUFFIX)
    (CNET_ROW_MAJOR, p->acs == 1 ? CNET_NO_TRANS : CNET_TRANS,
     p->bcs == 1 ? CNET_NO_TRANS : CNET_TRANS, (int)M, (int)N, (int)p->K, 1, a,
     (int)(p->acs == 1 ? p->ars : p->acs), b, (int)(p->bcs == 1 ? p->brs : p->bcs),
     bias || p->add ? 1 : 0, c, (int)p->ldc);
}

#endif
