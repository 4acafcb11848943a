/* types.h - structures that cross the border: data, operations, and what a pass needs.
 *
 * A part of cnet.h, which has the ids and the letters for sizes. */
#ifndef CNET_TYPES_H
#define CNET_TYPES_H

#include <stddef.h>
#include <stdint.h>

/* Rows of the user's array, wherever and of whatever type they are. Strides are in bytes. */
typedef struct cnet_source {
    const char *data;
    size_t rows, columns;
    ptrdiff_t row_stride, column_stride;
    int type;     /* CNET_SOURCE_... */
    double scale; /* multiplies every value while it is gathered */
    const double *shift, *factor; /* per column; NULL: none. x becomes (x - shift) factor first */
} cnet_source;

/* One loss with its settings. `parameter` is Huber's delta, the quantile's q; 0 where unused. */
typedef struct cnet_loss {
    int kind; /* CNET_LOSS_... */
    double parameter;
    double smoothing; /* label smoothing of the cross-entropies, in [0, 1) */
} cnet_loss;

/* A slot that a merge reads. */
typedef struct cnet_branch {
    size_t slot, width;
    int needs_dx, adds_dx; /* as an operation's */
} cnet_branch;
struct cnet_op;
struct cnet_run;

/* An operation that is no row of layers.h but somebody else's: its functions, and what they know
 * of. They say in `failure` of the run that they could not do it. */
typedef struct cnet_foreign {
    void (*forward)(const struct cnet_op *op, const struct cnet_run *run);
    void (*backward)(const struct cnet_op *op, const struct cnet_run *run);
    void *self;
} cnet_foreign;

/* Where some columns of the output of a columns operation come from; see columns.h. */
typedef struct cnet_route {
    size_t column;     /* of the input */
    size_t width;      /* columns of the output */
    size_t table;      /* offset of (categories, width) parameters; CNET_NONE: columns as they are */
    size_t categories;
    size_t unknown;    /* the category that stands for all other numbers, or CNET_NONE */
    int first;         /* no route before it has the same table */
} cnet_route;

/* One operation of a network's program. Immutable once built, so that threads may share it. */
typedef struct cnet_op {
    int kind;       /* CNET_LAYER_..., unless it is foreign */
    int activation; /* CNET_ACT_... */
    double alpha;   /* the activation's parameter; the rate or deviation of what noise.h has */
    size_t inputs, outputs;
    size_t x, y, z;      /* slots: input, output, what else is kept for backward (y: nothing) */
    size_t weight, bias; /* offsets into the parameters, in elements; CNET_NONE where absent */
    int needs_dx;        /* 0 where no parameter is before x: dx is only made if the run says so */
    int adds_dx;         /* x has another reader further on: dx is added to what that one wrote. Only
                          * dense does it itself; the others are given run->spare to write to */
    int linked;          /* its activation is merged into the loss, see losses.h */
    uint32_t stream;     /* of its random numbers: its place in the program; below 2^24 */
    size_t mean, variance;    /* offsets into the buffers; CNET_NONE where absent */
    double epsilon, momentum; /* of a normalisation, see norms.h */
    const cnet_branch *branches; /* what a merge reads, x among them; NULL for other kinds */
    size_t branch_count;
    const cnet_foreign *foreign; /* NULL: the kernels' own, of that kind */
    const cnet_route *routes; /* of a columns operation */
    size_t route_count;
} cnet_op;
#define CNET_NONE SIZE_MAX

/* One augmentation of a list, see augment.h. */
typedef struct cnet_augmentation {
    int kind;           /* CNET_AUGMENT_... */
    uint32_t stream;    /* its place in the list; below 2^24 */
    uint64_t below;     /* 2^32 times its probability */
    double setting[6];
    int warp;           /* neighbours with the same number are one warp; 0: it is none */
    int fill;           /* CNET_FILL_..., of the whole warp, and its constant */
    double value;
    const double *taps; /* elastic: a->radius + 1 weights from the middle of its Gaussian on */
} cnet_augmentation;

/* A list of them for rows of a shape. Scratch is lanes * lane_bytes, one lane per thread. */
typedef struct cnet_augmenter {
    const cnet_augmentation *stage;
    size_t stages, mixing;          /* which of them is a mixture; CNET_NONE where none is */
    size_t columns;                 /* of a row */
    size_t height, width, channels; /* of an image; 0 where rows are none */
    size_t radius;                  /* of the Gaussians; 0 where nothing is elastic */
    char *scratch;
    size_t lane_bytes;
    int lanes;
} cnet_augmenter;

/* Rows first..first + count - 1 of a batch, which has `rows` of them from `begin` on in the order
 * of the source's rows (NULL: as they lie). */
typedef struct cnet_batch {
    const cnet_source *x;
    const int64_t *order;
    size_t begin, rows;
    size_t first, count;
    uint64_t seed, step;
    int threads;
} cnet_batch;

/* What one thread needs for one pass of a program over up to `capacity` rows. */
typedef struct cnet_run {
    size_t rows;
    void **value;      /* per slot: (rows, width) */
    void **slope;      /* per slot: dL/dvalue, the same shape; NULL when only inferring */
    void *parameters;
    void *gradients;   /* NULL when only inferring */
    void *buffers;     /* what training moves along, but no gradient: moving means, variances */
    void *spare;       /* (rows, the widest slot that an operation is helped to add to) */
    void *scratch;     /* CNET_SCRATCH_BYTES, 64-byte aligned */
    int threads;       /* that may work on it; changes no bit of the results */
    int training;      /* random layers draw, and normalise by the statistics of these rows */
    int fresh;         /* parameter gradients count as zero: the first to write overwrites */
    int merged;        /* leave out the activations that the loss merges */
    int input_slope;   /* the gradient of the data is wanted as well */
    uint64_t seed, step; /* that random numbers are a function of */
    size_t first_row;    /* the place of these rows in their batch */
    void *owner;         /* for foreign operations: whose memory the slots are */
    void *failure;       /* what went wrong in one of them, NULL while nothing has */
} cnet_run;

#endif
