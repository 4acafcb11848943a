/* product.h - a product's path, and its parts for the threads (a template, see template.h).
 *
 * The path is chosen by the shape of the whole product, so that the number of threads changes no bit
 * of what comes out. */

/* Multiplications from which a product is shared, some 350 us of work on one thread: waking another
 * one up may take 50 us. */
#define CNET_SHARE_FROM 1.6e7

typedef struct F(product) {
    size_t M, N, K;
    const T *a, *b, *bias;
    size_t ars, acs, brs, bcs, ldc;
    T *c;
    int add;
    enum { F(OUTER), F(THIN), F(DOTS), F(PACKED), F(BLAS) } path;
    size_t rows, columns; /* of a part */
} F(product);

#include "blas.h"

/* The one place where a product's path is chosen, by its shape and layout alone. */
static int F(choose_path)(const F(product) * p)
{
    const size_t M = p->M, N = p->N, K = p->K;
    if (F(blas_takes)(p))
        return F(BLAS);
    if (K == 1 && p->bcs == 1 && !p->bias && M > 1)
        return F(OUTER);
    /* Few tiles share a panel, or B fits into half of the first-level cache. */
    if (p->bcs == 1 && p->brs > 0
        && (M <= 2 * CNET_MR || K <= 8
            || (M <= 6 * CNET_MR && N > VLEN && K * N * sizeof(T) <= 1 << 14)))
        return F(THIN);
    if (p->acs == 1 && p->brs == 1 && p->bcs != 1 && !p->bias && M <= 2 * CNET_MR)
        return F(DOTS);
    return F(PACKED);
}

/* Parts for some threads: along the longer side of C, so that little is packed twice. The same number
 * for each thread, and several where the side is long, since not all get the same of a shared
 * machine; none too small to be worth waking a thread up. OpenBLAS takes other ways for other sizes:
 * its parts follow the shape alone. */
static size_t F(choose_parts)(F(product) * p, int threads)
{
    const double work = (double)p->M * (double)p->N * (double)p->K;
    const int by_rows = p->M > p->N;
    const size_t side = by_rows ? p->M : p->N, tile = by_rows ? CNET_MR : NR;
    const size_t turns = side / 256 / (size_t)(threads > 0 ? threads : 1);
    size_t parts = 1;
    if (p->path == F(BLAS))
        parts = side / 512;
    else if (threads > 1 && work >= CNET_SHARE_FROM)
        parts = (size_t)threads * (turns < 1 ? 1 : turns > 3 ? 3 : turns);
    if (parts > side / (4 * tile))
        parts = side / (4 * tile);
    const size_t step = parts > 1 ? ((side + parts - 1) / parts + tile - 1) / tile * tile : side;
    p->rows = by_rows ? step : p->M;
    p->columns = by_rows ? p->N : step;
    return (side + step - 1) / step;
}

static void F(product_part)(const void *product, size_t part, int lane, void *scratch)
{
    (void)lane;
    const F(product) *p = product;
    const size_t i = p->rows < p->M ? part * p->rows : 0, j = p->rows < p->M ? 0 : part * p->columns;
    const size_t M = p->M - i < p->rows ? p->M - i : p->rows;
    const size_t N = p->N - j < p->columns ? p->N - j : p->columns;
    const T *a = p->a + i * p->ars, *b = p->b + j * p->bcs, *bias = p->bias ? p->bias + j : NULL;
    T *c = p->c + i * p->ldc + j;
    switch (p->path) {
    case F(BLAS):
        F(blas_gemm)(M, N, p, a, b, bias, c);
        break;
    case F(OUTER):
        F(gemm_outer)(M, N, a, p->ars, b, p->add, c, p->ldc);
        break;
    case F(THIN):
        F(gemm_thin)(M, N, p->K, a, p->ars, p->acs, b, p->brs, bias, p->add, c, p->ldc);
        break;
    case F(DOTS):
        F(gemm_dots)(M, N, p->K, a, p->ars, b, p->bcs, p->add, c, p->ldc);
        break;
    case F(PACKED):
        F(gemm_packed)(M, N, p->K, a, p->ars, p->acs, b, p->brs, p->bcs, bias, p->add, c, p->ldc,
                       scratch);
        break;
    }
}

static void F(gemm)(size_t M, size_t N, size_t K, const void *a, size_t ars, size_t acs,
                    const void *b, size_t brs, size_t bcs, const void *bias, int add, void *c,
                    size_t ldc, void *scratch, int threads)
{
    F(product) p = {.M = M, .N = N, .K = K, .a = a, .b = b, .bias = bias, .ars = ars, .acs = acs,
                    .brs = brs, .bcs = bcs, .ldc = ldc, .c = c, .add = add};
    if (M == 0 || N == 0)
        return;
    if (N == 1 && ldc == 1) {
        /* One column is C^T = B^T A^T, one row, whose lanes all count. */
        if (bias) {
            const T first = p.bias[0];
            for (size_t i = 0; i < M; i++)
                p.c[i] = add ? p.c[i] + first : first;
        }
        p = (F(product)){.M = 1, .N = M, .K = K, .a = b, .b = a, .ars = 1, .acs = brs, .brs = acs,
                         .bcs = ars, .ldc = M, .c = c, .add = add || bias};
    }
    p.path = F(choose_path)(&p);
    const size_t parts = F(choose_parts)(&p, threads);
    if (parts == 1)
        F(product_part)(&p, 0, 0, scratch);
    else
        cnet_pool_run(threads, parts, F(product_part), &p, scratch);
}

#undef LOAD
#undef STORE
#undef UNROLL
#undef NR
#undef SLAB
#undef VLEN
