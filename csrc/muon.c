/* muon.c - Muon's step of one matrix: momentum, made orthogonal by products.
 *
 * Jordan (2024), https://kellerjordan.github.io/posts/muon, as torch.optim.Muon. A matrix here is the
 * transpose of theirs, (inputs, outputs): nothing but the ratio in the rate depends on it. */
#include "cnet.h"

#include <math.h>

/* The quintic of five Newton-Schulz iterations, and what a norm is at least. */
#define CNET_MUON_A 3.4445
#define CNET_MUON_B (-4.7750)
#define CNET_MUON_C 2.0315
#define CNET_MUON_ITERATIONS 5
#define CNET_MUON_SMALLEST 1e-7

static size_t padded(size_t n)
{
    return (n + 15) / 16 * 16;
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

size_t cnet_muon_work(size_t rows, size_t columns)
{
    const size_t m = smaller(rows, columns);
    return 2 * (padded(rows * columns) + padded(m * m));
}

void cnet_muon_step(const cnet_kernels *k, const double *h, size_t rows, size_t columns,
                    const void *g, void *p, void *momentum, void *work, void *scratch, int threads)
{
    const size_t n = rows * columns, m = smaller(rows, columns);
    char *x = work, *next = x + padded(n) * k->itemsize, *a = next + padded(n) * k->itemsize;
    char *s = a + padded(m * m) * k->itemsize;
    k->muon_begin(n, h, g, p, momentum, x);
    const double norm = sqrt(k->sum_squares(n, x));
    k->muon_scale(n, 1 / (norm < CNET_MUON_SMALLEST ? CNET_MUON_SMALLEST : norm), x);
    for (int i = 0; i < CNET_MUON_ITERATIONS; i++) {
        char *last = x;
        /* X X^T or X^T X, whichever is the smaller. */
        if (rows <= columns)
            k->gemm(m, m, columns, x, columns, 1, x, 1, columns, NULL, 0, a, m, scratch, threads);
        else
            k->gemm(m, m, rows, x, 1, columns, x, columns, 1, NULL, 0, a, m, scratch, threads);
        k->gemm(m, m, m, a, m, 1, a, m, 1, NULL, 0, s, m, scratch, threads);
        k->muon_polynomial(m, CNET_MUON_A, CNET_MUON_B, CNET_MUON_C, a, s);
        if (rows <= columns)
            k->gemm(m, columns, m, s, m, 1, x, columns, 1, NULL, 0, next, columns, scratch,
                    threads);
        else
            k->gemm(rows, m, m, x, columns, 1, s, m, 1, NULL, 0, next, m, scratch, threads);
        x = next;
        next = last;
    }
    const double ratio = (double)columns / (double)rows;
    k->muon_end(n, h[CNET_H_RATE] * sqrt(ratio > 1 ? ratio : 1), h[CNET_H_H], x, p);
}
