/* cnet.h - the contract between the kernels and everything above them.
 *
 * Kernels are pure functions over pointers: they allocate nothing, raise nothing and know nothing of
 * Python. Those that are given `threads` may share their work with the pool. One table of them exists per instruction set and per dtype; both
 * dtypes have the same signatures, so that `void *` below means "array of the table's dtype" (T).
 *
 * Size letters    B rows of a batch   I inputs of a layer   O its outputs (units)
 *                 K columns of the network's output          n length of a flat array
 * Layout          every matrix is row-major and contiguous unless strides are passed:
 *                 x (B, I)   W (I, O)   b (O)   y, z (B, O)
 * Conventions     outputs come last among the pointers; `d` before a name is the loss's gradient
 *                 with respect to it. A backward pass ADDS TO parameter gradients, unless `fresh`
 *                 says that they count as zero, and OVERWRITES the gradient of its input. Where
 *                 several operations read one slot, the last of them, whose backward pass comes
 *                 first, overwrites, and the others' are added (`adds_dx`).
 *                 The division by the batch size happens once, in the loss's gradient (`scale`).
 */
#ifndef CNET_H
#define CNET_H

#include <stddef.h>
#include <stdint.h>

#include "activations.h"
#include "augment.h"
#include "layers.h"
#include "losses.h"
#include "metrics.h"
#include "optimizers.h"
#include "sources.h"

/* ---- ids, derived from the lists of rows -------------------------------------------------- */

#define CNET_ID(name, ...) CNET_ACT_##name,
enum { CNET_ACTIVATIONS(CNET_ID) CNET_ACTIVATION_COUNT };
#undef CNET_ID
#define CNET_ID(name, ...) CNET_AUGMENT_##name,
enum { CNET_AUGMENTATIONS(CNET_ID) CNET_AUGMENTATION_COUNT };
#undef CNET_ID
#define CNET_ID(name, ...) CNET_LAYER_##name,
enum { CNET_LAYERS(CNET_ID) CNET_LAYER_COUNT };
#undef CNET_ID
#define CNET_ID(name, ...) CNET_LOSS_##name,
enum { CNET_LOSSES(CNET_ID) CNET_LOSS_COUNT };
#undef CNET_ID
#define CNET_ID(name, ...) CNET_METRIC_##name,
enum { CNET_METRICS(CNET_ID) CNET_METRIC_COUNT };
#undef CNET_ID
#define CNET_ID(name, ...) CNET_OPT_##name,
enum { CNET_OPTIMIZERS(CNET_ID) CNET_OPTIMIZER_COUNT };
#undef CNET_ID
#define CNET_ID(name, ...) CNET_SOURCE_##name,
enum { CNET_SOURCES(CNET_ID) CNET_SOURCE_COUNT };
#undef CNET_ID
/* Functions of vmath.h that can be called on their own. */
#define CNET_MATH(X) \
    X(exp) X(expm1) X(log) X(log1p) X(tanh) X(sigmoid) X(softplus) X(erf) X(normal_cdf)
#define CNET_ID(name, ...) CNET_MATH_##name,
enum { CNET_MATH(CNET_ID) CNET_MATH_COUNT };
#undef CNET_ID

enum { CNET_F32, CNET_F64, CNET_DTYPE_COUNT };

#include "types.h"

/* ---- one dtype of one instruction set -------------------------------------------------------- */

typedef struct cnet_kernels {
    const char *isa;
    size_t itemsize;
    double blas_from; /* multiplications from which OpenBLAS is faster, or infinity */

    /* y[i] = f(x[i]); y may be x. */
    void (*math[CNET_MATH_COUNT])(size_t n, const void *x, void *y);

    /* y = f(x), row by row; y may be x. */
    void (*activate[CNET_ACTIVATION_COUNT])(size_t B, size_t O, double alpha, const void *x,
                                            void *y);
    /* dx = dy f'(x), overwritten; dx may be dy. Reads x or y or both: the row's `saves` says. */
    void (*activate_backward[CNET_ACTIVATION_COUNT])(size_t B, size_t O, double alpha,
                                                     const void *x, const void *y,
                                                     const void *dy, void *dx);

    /* C (M, N) = A B, or C += A B when `add`; A(i,k) = a[i ars + k acs], B(k,j) = b[k brs + j bcs],
     * C rows are ldc apart. bias (N) may be NULL and is not added twice. */
    void (*gemm)(size_t M, size_t N, size_t K, const void *a, size_t ars, size_t acs,
                 const void *b, size_t brs, size_t bcs, const void *bias, int add, void *c,
                 size_t ldc, void *scratch, int threads);

    /* z = x W + b, y = f(z); z may be y. */
    void (*dense_forward)(size_t B, size_t I, size_t O, const void *x, const void *w,
                          const void *b, int activation, double alpha, void *z, void *y,
                          void *scratch, int threads);
    /* dy becomes dz in place; dW += x^T dz, db += sum of dz's rows (dw, db overwritten when
     * `fresh`); dx = dz W^T, added to dx when `add_dx`. dw, db and dx may each be NULL. */
    void (*dense_backward)(size_t B, size_t I, size_t O, const void *x, const void *w,
                           const void *z, const void *y, int activation, double alpha, int fresh,
                           int add_dx, void *dy, void *dw, void *db, void *dx, void *scratch,
                           int threads);

    /* The rows of layers.h, as operations of a program. */
    void (*forward[CNET_LAYER_COUNT])(const cnet_op *op, const cnet_run *run);
    void (*backward[CNET_LAYER_COUNT])(const cnet_op *op, const cnet_run *run);
    /* Moves a batch_normalization's buffers towards the statistics of its last training forward. */
    void (*absorb)(const cnet_op *op, const cnet_run *run);
    /* y[i] += x[i] */
    void (*accumulate)(size_t n, const void *x, void *y, int threads);

    /* Returns scale * sum over rows (and columns) of weight * loss; writes its gradient to dy
     * unless dy is NULL. `target` is T (B, K) or int64 labels (B), as losses.h says per row;
     * weight (B) may be NULL. dy may be y. */
    double (*loss[CNET_LOSS_COUNT])(const cnet_loss *loss, size_t B, size_t K, const void *y,
                                    const void *target, const void *weight, double scale,
                                    void *dy);

    /* Adds the batch's weighted sum of the metric and its sum of weights to sums[0], sums[1]. */
    void (*metric[CNET_METRIC_COUNT])(size_t B, size_t K, const void *y, const void *target,
                                      const void *weight, double *sums);

    /* One step over n parameters: reads g, updates p and the states in place. h is made by
     * cnet_prepare from the optimizer's settings and the step's number. */
    void (*update[CNET_OPTIMIZER_COUNT])(size_t n, const double *h, const void *g, void *p,
                                         void *s0, void *s1, void *s2);
    /* s2 = p; p += share s0: what cnet_lead does to n parameters. */
    void (*lead)(size_t n, double share, void *p, const void *s0, void *s2);

    /* What cnet_muon_step does besides products, see muon.h. */
    void (*muon_begin)(size_t n, const double *h, const void *g, const void *p, void *s0, void *u);
    void (*muon_scale)(size_t n, double by, void *x);
    void (*muon_polynomial)(size_t m, double a, double b, double c, const void *A, void *s);
    void (*muon_end)(size_t n, double rate, double shrink, const void *x, void *p);

    /* out (count, columns) = scale * rows index[0..count) of the source, or rows first.. when
     * index is NULL; shift and factor come first, in double. */
    void (*gather)(const cnet_source *source, const int64_t *index, size_t first, size_t count,
                   void *out);

    /* out (count, columns) = rows of the batch, augmented. */
    void (*augment)(const cnet_augmenter *augmenter, const cnet_batch *batch, void *out);
    /* Bytes of scratch that a lane needs. */
    size_t (*augment_bytes)(const cnet_augmenter *augmenter);
    /* out (count, K) = targets of these rows, mixed as they are; of labels, mixed one-hot rows. */
    void (*mix_targets)(const cnet_augmenter *augmenter, const cnet_batch *batch,
                        const cnet_source *targets, const int64_t *labels, size_t K, void *out);

    /* y (B, K) = y factor + shift, in double, with a factor and a shift per column; shift may be
     * NULL. */
    void (*restore)(size_t B, size_t K, const double *factor, const double *shift, void *y);

    /* Index of the first value that is not finite, or n. */
    size_t (*first_nonfinite)(size_t n, const void *x);

    /* The largest |x|; infinity or NaN if a value is not finite. */
    double (*largest)(size_t n, const void *x);

    double (*sum_squares)(size_t n, const void *x);

    /* Returns l1 sum |p| + l2 sum p^2 and adds its gradient to g unless that is NULL. */
    double (*penalize)(size_t n, double l1, double l2, const void *p, void *g);

    /* average += share (p - average), or a copy of p where the share is 1. */
    void (*blend)(size_t n, double share, const void *p, void *average);
    /* Scales columns first..first+count of w (I, O), at most CNET_UNITS_AT_ONCE, down to a norm. */
    void (*max_norm)(size_t I, size_t O, size_t first, size_t count, double limit, void *w);
    /* Sets what is below 0 to 0. */
    void (*non_negative)(size_t n, void *w);
} cnet_kernels;

/* Columns that max_norm takes at a time. */
#define CNET_UNITS_AT_ONCE 64

/* A kernel's packing buffers live here; the caller owns them, one per thread. Most of it is a slab,
 * see gemm.h, which small products never touch. */
#define CNET_SLAB_BYTES (1 << 21)
#define CNET_SCRATCH_BYTES (CNET_SLAB_BYTES + (5 << 17))

/* ---- names.c: the rows of every list, in the order of their ids, ended by a NULL name ----------- */

typedef struct cnet_row {
    const char *name;
    const char *kind; /* activations: what the slope reads; losses, metrics: the target */
    double number;    /* activations: alpha */
    int flag;         /* activations: alpha means something; optimizers: states per parameter */
} cnet_row;
extern const cnet_row cnet_activation_rows[], cnet_layer_rows[], cnet_loss_rows[],
    cnet_metric_rows[], cnet_optimizer_rows[], cnet_augmentation_rows[], cnet_source_rows[], cnet_math_rows[];

/* ---- dispatch.c ------------------------------------------------------------------------------- */

/* Names of the instruction sets compiled in, best first, ended by NULL. */
extern const char *const cnet_isa_names[];
/* 1 if this machine runs the instruction set at that place of the list. */
int cnet_isa_supported(int isa);
/* The kernels of an instruction set and dtype. */
const cnet_kernels *cnet_kernels_get(int isa, int dtype);

/* OpenBLAS's products, handed over by whoever loaded the library (NULL for none), and the
 * multiplications from which they are called. */
void cnet_blas_set(void *sgemm, void *dgemm, double from);
int cnet_blas_present(void);

/* ---- random.c: Philox 4x32-10, keyed by (seed, purpose, step); no state anywhere --------------- */

enum { CNET_FOR_WEIGHTS, CNET_FOR_ORDER, CNET_FOR_DROPOUT, CNET_FOR_NOISE, CNET_FOR_DATA,
       CNET_FOR_AUGMENTATION };

/* Uniform in the open interval (0, 1), 53 bits each. */
void cnet_random_uniform(uint64_t seed, uint32_t purpose, uint64_t step, size_t n, double *out);
/* Standard normal through its inverse distribution function: one uniform makes one normal. */
void cnet_random_normal(uint64_t seed, uint32_t purpose, uint64_t step, size_t n, double *out);
/* Standard normal cut off at +-bound, by the same inverse: no rejection. */
void cnet_random_truncated(uint64_t seed, uint32_t purpose, uint64_t step, double bound, size_t n,
                           double *out);
/* A random order of 0..n-1 (Fisher-Yates). */
void cnet_random_order(uint64_t seed, uint32_t purpose, uint64_t step, size_t n, int64_t *out);

/* ---- optimizers.c: what is the same for every parameter in a step, computed once ---------------- */

/* Fills h (CNET_HYPER) from the optimizer's settings and advances its running products. */
void cnet_prepare(int optimizer, const double *settings, double *running, double *h);

/* What the gradients of a step are cut to. */
typedef struct cnet_clip {
    int by; /* CNET_CLIP_... */
    double limit;
} cnet_clip;

/* A parameter's place, in elements, whether steps leave it as it is, its shape if Muon is to take it
 * as a matrix (otherwise 0, 0), and whose settings its steps have. */
typedef struct cnet_place {
    size_t offset, size;
    int frozen;
    size_t rows, columns;
    size_t group;
} cnet_place;

/* Elements of a part of what a step does: whole vectors on every instruction set, and longer than
 * waking a thread up; and from how many on there are parts. */
#define CNET_STEP_PART (1 << 15)
#define CNET_STEP_SHARED_FROM (8 * CNET_STEP_PART)

/* kernels->update of all parameters that are not frozen, which lie at `places` and nothing else
 * between the first and the last but zeros; state[] has the states, h (groups, CNET_HYPER) what
 * cnet_prepare made of each group's settings, work CNET_SCRATCH_BYTES and what Muon's largest matrix
 * needs. Returns the norm of their gradients before they were cut, or 0 where nothing is cut by a
 * norm. */
double cnet_update(const cnet_kernels *kernels, int optimizer, const cnet_clip *clip, size_t groups,
                   double *h, size_t count, const cnet_place *places, const void *g, void *p,
                   void *const *state, void *work, int threads);

/* A rule may want its gradients at another point than at the parameters that it offers. Before the
 * pass that computes them this puts the parameters that are not frozen there; with `back`, after the
 * step, it puts them where they are to be found. Does nothing for rules that are not of this kind. */
void cnet_lead(const cnet_kernels *kernels, int optimizer, const double *settings, size_t count,
               const cnet_place *places, void *p, void *const *state, int back, int threads);

/* ---- muon.c ------------------------------------------------------------------------------------- */

/* Elements that a step of a matrix works with. */
size_t cnet_muon_work(size_t rows, size_t columns);
/* Muon's step of one matrix p (rows, columns) from its gradient and the momentum, a state; `work` has
 * cnet_muon_work elements, `scratch` is a kernel's. */
void cnet_muon_step(const cnet_kernels *kernels, const double *h, size_t rows, size_t columns,
                    const void *g, void *p, void *momentum, void *work, void *scratch, int threads);

/* ---- weights.c: what is done with the weights after a step ------------------------------------ */

/* average += share (p - average) over n elements; and p becomes the average, if `back`. */
void cnet_average(const cnet_kernels *kernels, size_t n, double share, int back, void *p,
                  void *average, int threads);

enum { CNET_MAX_NORM, CNET_NON_NEGATIVE };

/* What the weights of one parameter, at its place in elements, are held to. */
typedef struct cnet_constraint {
    int kind; /* CNET_MAX_NORM, CNET_NON_NEGATIVE */
    double limit;
    size_t offset, size, columns;
} cnet_constraint;
void cnet_constrain(const cnet_kernels *kernels, const cnet_constraint *constraint, void *p,
                    int threads);

/* ---- pool.c --------------------------------------------------------------------------------------- */

/* Does the parts 0..parts-1 of some work, in any order and on up to so many threads, the caller
 * among them; returns when all are done. A task is told its thread's number among them, `lane`, and
 * a scratch that no other thread has; `scratch` is the caller's own. */
typedef void (*cnet_task)(const void *context, size_t part, int lane, void *scratch);
void cnet_pool_run(int threads, size_t parts, cnet_task task, const void *context, void *scratch);
/* Threads that sleep or work in the pool now. */
int cnet_pool_workers(void);

/* ---- sources.c ---------------------------------------------------------------------------------- */

/* Row-major index of the first value that is not finite, or rows * columns. */
size_t cnet_source_first_nonfinite(const cnet_source *source);
/* The first row whose number in a column is no category: not whole, or, unless others are welcome,
 * outside 0..categories-1; or the number of rows. */
size_t cnet_source_first_other(const cnet_source *source, size_t column, size_t categories,
                               int others, double *value);
/* Has the processor fetch rows index[first..first + count) into its cache while it does something
 * else; reads nothing. */
void cnet_source_fetch(const cnet_source *source, const int64_t *index, size_t first, size_t count);
/* out[i] = the number at from + i stride, of a type of sources.h: as it is there, without scale. */
void cnet_source_widen(int type, size_t n, const char *from, ptrdiff_t stride, double *out);

#endif
