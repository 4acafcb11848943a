/* layers.h - every kind of operation in a network's program: its forward and its backward, adjacent.
 *
 * Row: name. It has name_forward and name_backward over (op, run); slots are resolved here and the
 * mathematics is a kernel over plain pointers.
 *
 * What each saves for its backward pass:
 *   dense        x and y; z too where the activation's slope reads it (activations.h: INPUT)
 *   activation   x and y, being slots of the program anyway
 *   dropout, gaussian_dropout, gaussian_noise (noise.h)   nothing
 *   layer_normalization, batch_normalization   x, and their statistics in z: see norms.h
 *   add, mul, concat (merges.h)   what they read; add and concat not even that
 *   columns (columns.h)   x */
#ifndef CNET_LAYERS
#define CNET_LAYERS(X)     \
    X(dense)               \
    X(activation)          \
    X(dropout)             \
    X(gaussian_dropout)    \
    X(gaussian_noise)      \
    X(layer_normalization) \
    X(batch_normalization) \
    X(add)                 \
    X(mul)                 \
    X(concat)              \
    X(columns)
#endif

#ifdef T

/* Training merges the last activation into the loss: its operation then leaves it out. */
static int F(op_activation)(const cnet_op *op, const cnet_run *run)
{
    return run->merged && op->linked ? CNET_ACT_linear : op->activation;
}

static T *F(op_parameter)(void *arena, size_t offset)
{
    return arena == NULL || offset == CNET_NONE ? NULL : (T *)arena + offset;
}

static T *F(op_dx)(const cnet_op *op, const cnet_run *run)
{
    return op->needs_dx || run->input_slope ? run->slope[op->x] : NULL;
}

/* An activation's loop in parts for several threads, all of whole vectors but the last. */
#define CNET_PART (1 << 16)

typedef struct F(loop) {
    size_t B, O, rows; /* of a part */
    int activation;
    double alpha;
    const T *x;
    T *y;
    const T *dy;
    T *dx; /* NULL forward */
} F(loop);

static void F(loop_part)(const void *context, size_t part, int lane, void *scratch)
{
    const F(loop) *p = context;
    const size_t first = part * p->rows, at = first * p->O;
    const size_t rows = p->B - first < p->rows ? p->B - first : p->rows;
    (void)lane, (void)scratch;
    if (p->dx)
        F(activate_backward)[p->activation](rows, p->O, p->alpha, p->x + at, p->y + at, p->dy + at,
                                            p->dx + at);
    else
        F(activate)[p->activation](rows, p->O, p->alpha, p->x + at, p->y + at);
}

static void F(run_loop)(F(loop) p, int threads)
{
    p.rows = p.B;
    if (threads > 1 && p.B * p.O >= 2 * CNET_PART)
        p.rows = (CNET_PART / p.O + 63) / 64 * 64;
    if (p.rows >= p.B)
        F(loop_part)(&p, 0, 0, NULL);
    else
        cnet_pool_run(threads, (p.B + p.rows - 1) / p.rows, F(loop_part), &p, NULL);
}

/* ---- dense: z = x W + b, y = f(z) ---- */

static void F(dense_forward)(size_t B, size_t I, size_t O, const void *x, const void *w,
                             const void *b, int activation, double alpha, void *z, void *y,
                             void *scratch, int threads)
{
    F(gemm)(B, O, I, x, I, 1, w, O, 1, b, 0, z, O, scratch, threads);
    if (activation != CNET_ACT_linear || z != y)
        F(run_loop)((F(loop)){B, O, 0, activation, alpha, z, y, NULL, NULL}, threads);
}

static void F(dense_backward)(size_t B, size_t I, size_t O, const void *x, const void *w,
                              const void *z, const void *y, int activation, double alpha,
                              int fresh, int add_dx, void *dy, void *dw, void *db, void *dx,
                              void *scratch, int threads)
{
    /* y = f(z):  dz = dy f'(z) */
    if (activation != CNET_ACT_linear)
        F(run_loop)((F(loop)){B, O, 0, activation, alpha, z, (T *)y, dy, dy}, threads);
    /* z = x W + b:  dW += x^T dz,  db += sum over the rows of dz,  dx = dz W^T, or += it */
    if (dw)
        F(gemm)(I, O, B, x, 1, I, dy, O, 1, NULL, !fresh, dw, O, scratch, threads);
    if (db)
        F(sum_rows)(B, O, dy, !fresh, db);
    if (dx)
        F(gemm)(B, I, O, dy, O, 1, w, 1, O, NULL, add_dx, dx, I, scratch, threads);
}

static void F(dense_op_forward)(const cnet_op *op, const cnet_run *run)
{
    F(dense_forward)(run->rows, op->inputs, op->outputs, run->value[op->x],
                     F(op_parameter)(run->parameters, op->weight),
                     F(op_parameter)(run->parameters, op->bias), F(op_activation)(op, run),
                     op->alpha, run->value[op->z], run->value[op->y], run->scratch, run->threads);
}

static void F(dense_op_backward)(const cnet_op *op, const cnet_run *run)
{
    F(dense_backward)(run->rows, op->inputs, op->outputs, run->value[op->x],
                      F(op_parameter)(run->parameters, op->weight), run->value[op->z],
                      run->value[op->y], F(op_activation)(op, run), op->alpha, run->fresh,
                      op->adds_dx, run->slope[op->y], F(op_parameter)(run->gradients, op->weight),
                      F(op_parameter)(run->gradients, op->bias), F(op_dx)(op, run),
                      run->scratch, run->threads);
}

/* ---- activation: y = f(x) ---- */

static void F(activation_op_forward)(const cnet_op *op, const cnet_run *run)
{
    F(run_loop)((F(loop)){run->rows, op->outputs, 0, F(op_activation)(op, run), op->alpha,
                          run->value[op->x], run->value[op->y], NULL, NULL}, run->threads);
}

static void F(activation_op_backward)(const cnet_op *op, const cnet_run *run)
{
    T *dx = F(op_dx)(op, run);
    if (dx)
        F(run_loop)((F(loop)){run->rows, op->outputs, 0, F(op_activation)(op, run), op->alpha,
                              run->value[op->x], run->value[op->y], run->slope[op->y], dx},
                    run->threads);
}

#include "noise.h"
#include "merges.h"

#endif
