/* merges.h - the operations that join branches: add, mul, concat. Part of layers.h.
 *
 * A merge reads the slots of op->branches, of which two may be the same (both branches are the
 * identity) and keeps nothing for its backward pass but what they hold. That pass writes to the slope
 * of each branch, or adds to it where the slot has another reader that has been there (adds_dx). A
 * branch of `add` that nobody else reads has the slope of y for its own (workspace.pyx): nothing is
 * to be done for it. Sums and products go from the first branch to the last. */

#define CNET_JOINED 512 /* elements of a block: those of a few branches stay in the cache */

static int F(branch_wanted)(const cnet_branch *branch, const cnet_run *run)
{
    return branch->needs_dx || run->input_slope;
}

typedef struct F(merge) {
    const cnet_op *op;
    const cnet_run *run;
    size_t rows; /* of a part */
} F(merge);

static size_t F(merge_rows)(const F(merge) *p, size_t first)
{
    return p->run->rows - first < p->rows ? p->run->rows - first : p->rows;
}

static void F(run_merge)(const cnet_op *op, const cnet_run *run, cnet_task task)
{
    F(merge) p = {op, run, run->rows};
    if (run->threads > 1 && run->rows * op->outputs >= 2 * CNET_PART)
        p.rows = (CNET_PART / op->outputs + 63) / 64 * 64;
    if (p.rows >= run->rows)
        task(&p, 0, 0, NULL);
    else
        cnet_pool_run(run->threads, (run->rows + p.rows - 1) / p.rows, task, &p, NULL);
}

/* y += x */
static void F(add_flat)(size_t n, const T *restrict x, T *restrict y)
{
    for (size_t i = 0; i < n; i++)
        y[i] += x[i];
}

static void F(hand_on)(size_t n, int add, const T *dy, T *dx)
{
    if (add)
        F(add_flat)(n, dy, dx);
    else
        memcpy(dx, dy, n * sizeof(T));
}

/* For operations that cannot add to a slope themselves: what they wrote elsewhere is added. */
typedef struct F(sum_of_two) {
    size_t n;
    const T *x;
    T *y;
} F(sum_of_two);

static void F(accumulate_part)(const void *context, size_t part, int lane, void *scratch)
{
    const F(sum_of_two) *p = context;
    const size_t first = part * CNET_PART;
    (void)lane, (void)scratch;
    F(add_flat)(p->n - first < CNET_PART ? p->n - first : CNET_PART, p->x + first, p->y + first);
}

static void F(accumulate)(size_t n, const void *x, void *y, int threads)
{
    const F(sum_of_two) p = {n, x, y};
    if (threads > 1 && n >= 2 * CNET_PART)
        cnet_pool_run(threads, (n + CNET_PART - 1) / CNET_PART, F(accumulate_part), &p, NULL);
    else
        F(add_flat)(n, x, y);
}

/* ---- add: y = x_0 + x_1 + ... ---- */

static void F(add_forward_part)(const void *context, size_t part, int lane, void *scratch)
{
    const F(merge) *p = context;
    const cnet_op *op = p->op;
    const size_t first = part * p->rows, begin = first * op->outputs;
    const size_t end = begin + F(merge_rows)(p, first) * op->outputs;
    (void)lane, (void)scratch;
    for (size_t i = begin; i < end; i += CNET_JOINED) {
        const size_t n = end - i < CNET_JOINED ? end - i : CNET_JOINED;
        const T *x0 = (const T *)p->run->value[op->branches[0].slot] + i;
        const T *x1 = (const T *)p->run->value[op->branches[1].slot] + i;
        T *restrict y = (T *)p->run->value[op->y] + i;
        for (size_t k = 0; k < n; k++)
            y[k] = x0[k] + x1[k];
        for (size_t j = 2; j < op->branch_count; j++)
            F(add_flat)(n, (const T *)p->run->value[op->branches[j].slot] + i, y);
    }
}

/* dx_j = dy */
static void F(add_backward_part)(const void *context, size_t part, int lane, void *scratch)
{
    const F(merge) *p = context;
    const cnet_op *op = p->op;
    const size_t first = part * p->rows, begin = first * op->outputs;
    const size_t end = begin + F(merge_rows)(p, first) * op->outputs;
    const T *dy = p->run->slope[op->y];
    (void)lane, (void)scratch;
    for (size_t i = begin; i < end; i += CNET_JOINED)
        for (size_t j = 0; j < op->branch_count; j++) {
            const cnet_branch *branch = &op->branches[j];
            T *dx = p->run->slope[branch->slot];
            if (F(branch_wanted)(branch, p->run) && dx != dy)
                F(hand_on)(end - i < CNET_JOINED ? end - i : CNET_JOINED, branch->adds_dx, dy + i,
                           dx + i);
        }
}

static void F(add_op_forward)(const cnet_op *op, const cnet_run *run)
{
    F(run_merge)(op, run, F(add_forward_part));
}

static void F(add_op_backward)(const cnet_op *op, const cnet_run *run)
{
    F(run_merge)(op, run, F(add_backward_part));
}

/* ---- mul: y = x_0 x_1 ... ---- */

static void F(mul_forward_part)(const void *context, size_t part, int lane, void *scratch)
{
    const F(merge) *p = context;
    const cnet_op *op = p->op;
    const size_t first = part * p->rows, begin = first * op->outputs;
    const size_t end = begin + F(merge_rows)(p, first) * op->outputs;
    (void)lane, (void)scratch;
    for (size_t i = begin; i < end; i += CNET_JOINED) {
        const size_t n = end - i < CNET_JOINED ? end - i : CNET_JOINED;
        const T *x0 = (const T *)p->run->value[op->branches[0].slot] + i;
        const T *x1 = (const T *)p->run->value[op->branches[1].slot] + i;
        T *restrict y = (T *)p->run->value[op->y] + i;
        for (size_t k = 0; k < n; k++)
            y[k] = x0[k] * x1[k];
        for (size_t j = 2; j < op->branch_count; j++) {
            const T *x = (const T *)p->run->value[op->branches[j].slot] + i;
            CNET_EACH for (size_t k = 0; k < n; k++)
                y[k] *= x[k];
        }
    }
}

/* dx_j = dy times all x but x_j, which may be 0: nothing is divided by */
static void F(mul_backward_part)(const void *context, size_t part, int lane, void *scratch)
{
    const F(merge) *p = context;
    const cnet_op *op = p->op;
    const size_t first = part * p->rows, begin = first * op->outputs;
    const size_t end = begin + F(merge_rows)(p, first) * op->outputs;
    T g[CNET_JOINED];
    (void)lane, (void)scratch;
    for (size_t i = begin; i < end; i += CNET_JOINED) {
        const size_t n = end - i < CNET_JOINED ? end - i : CNET_JOINED;
        for (size_t j = 0; j < op->branch_count; j++) {
            const cnet_branch *branch = &op->branches[j];
            if (!F(branch_wanted)(branch, p->run))
                continue;
            memcpy(g, (const T *)p->run->slope[op->y] + i, n * sizeof(T));
            for (size_t other = 0; other < op->branch_count; other++) {
                const T *x = (const T *)p->run->value[op->branches[other].slot] + i;
                if (other == j)
                    continue;
                CNET_EACH for (size_t k = 0; k < n; k++)
                    g[k] *= x[k];
            }
            F(hand_on)(n, branch->adds_dx, g, (T *)p->run->slope[branch->slot] + i);
        }
    }
}

static void F(mul_op_forward)(const cnet_op *op, const cnet_run *run)
{
    F(run_merge)(op, run, F(mul_forward_part));
}

static void F(mul_op_backward)(const cnet_op *op, const cnet_run *run)
{
    F(run_merge)(op, run, F(mul_backward_part));
}

/* ---- concat: y = the columns of x_0, then those of x_1, ... ---- */

static void F(concat_forward_part)(const void *context, size_t part, int lane, void *scratch)
{
    const F(merge) *p = context;
    const cnet_op *op = p->op;
    const size_t first = part * p->rows, end = first + F(merge_rows)(p, first);
    (void)lane, (void)scratch;
    for (size_t i = first; i < end; i++) {
        T *y = (T *)p->run->value[op->y] + i * op->outputs;
        for (size_t j = 0; j < op->branch_count; j++) {
            const size_t width = op->branches[j].width;
            memcpy(y, (const T *)p->run->value[op->branches[j].slot] + i * width,
                   width * sizeof(T));
            y += width;
        }
    }
}

/* dx_j = its columns of dy */
static void F(concat_backward_part)(const void *context, size_t part, int lane, void *scratch)
{
    const F(merge) *p = context;
    const cnet_op *op = p->op;
    const size_t first = part * p->rows, end = first + F(merge_rows)(p, first);
    (void)lane, (void)scratch;
    for (size_t i = first; i < end; i++) {
        const T *dy = (const T *)p->run->slope[op->y] + i * op->outputs;
        for (size_t j = 0; j < op->branch_count; j++) {
            const cnet_branch *branch = &op->branches[j];
            if (F(branch_wanted)(branch, p->run))
                F(hand_on)(branch->width, branch->adds_dx, dy,
                           (T *)p->run->slope[branch->slot] + i * branch->width);
            dy += branch->width;
        }
    }
}

static void F(concat_op_forward)(const cnet_op *op, const cnet_run *run)
{
    F(run_merge)(op, run, F(concat_forward_part));
}

static void F(concat_op_backward)(const cnet_op *op, const cnet_run *run)
{
    F(run_merge)(op, run, F(concat_backward_part));
}
