/* weights.c - averages and constraints of whole parameters, in parts for the threads. */
#include "cnet.h"

#include <string.h>

typedef struct {
    const cnet_kernels *kernels;
    const cnet_constraint *constraint;
    size_t n;
    double share;
    int back;
    char *p, *average;
} job;

static size_t part_of(size_t n, size_t first)
{
    return n - first < CNET_STEP_PART ? n - first : CNET_STEP_PART;
}

static void blend_part(const void *context, size_t part, int lane, void *scratch)
{
    const job *j = context;
    const size_t size = j->kernels->itemsize, first = part * CNET_STEP_PART;
    const size_t n = part_of(j->n, first);
    (void)lane, (void)scratch;
    j->kernels->blend(n, j->share, j->p + first * size, j->average + first * size);
    if (j->back)
        memcpy(j->p + first * size, j->average + first * size, n * size);
}

static void columns_part(const void *context, size_t part, int lane, void *scratch)
{
    const job *j = context;
    const size_t columns = j->constraint->columns, first = part * CNET_UNITS_AT_ONCE;
    (void)lane, (void)scratch;
    j->kernels->max_norm(j->n / columns, columns, first,
                         columns - first < CNET_UNITS_AT_ONCE ? columns - first
                                                              : CNET_UNITS_AT_ONCE,
                         j->constraint->limit, j->p);
}

static void sign_part(const void *context, size_t part, int lane, void *scratch)
{
    const job *j = context;
    const size_t first = part * CNET_STEP_PART;
    (void)lane, (void)scratch;
    j->kernels->non_negative(part_of(j->n, first), j->p + first * j->kernels->itemsize);
}

static void run(const job *j, cnet_task task, size_t parts, int threads)
{
    cnet_pool_run(j->n < CNET_STEP_SHARED_FROM ? 1 : threads, parts, task, j, NULL);
}

void cnet_average(const cnet_kernels *kernels, size_t n, double share, int back, void *p,
                  void *average, int threads)
{
    const job j = {kernels, NULL, n, share, back, p, average};
    run(&j, blend_part, (n + CNET_STEP_PART - 1) / CNET_STEP_PART, threads);
}

void cnet_constrain(const cnet_kernels *kernels, const cnet_constraint *constraint, void *p,
                    int threads)
{
    const job j = {kernels, constraint, constraint->size, 0, 0,
                   (char *)p + constraint->offset * kernels->itemsize, NULL};
    if (j.n == 0)
        return;
    if (constraint->kind == CNET_MAX_NORM)
        run(&j, columns_part, (constraint->columns + CNET_UNITS_AT_ONCE - 1) / CNET_UNITS_AT_ONCE,
            threads);
    else
        run(&j, sign_part, (j.n + CNET_STEP_PART - 1) / CNET_STEP_PART, threads);
}
