/* norms.h - layers that normalise: forward and backward side by side (a template, see template.h).
 *
 *     xhat = (x - mean) / sqrt(variance + epsilon),   y = gamma xhat + beta
 *
 * layer_normalization takes mean and variance over the columns of each row, batch_normalization over
 * the rows of each column. Variances are biased (divided by n). They come from two passes over the
 * values, the second one with its rounding error taken off (Chan, Golub and LeVeque, 1983): sums of
 * up to 128 values in T, which vectorise, and sums of those in double.
 *
 * Kept for the backward pass, besides x: per row mean and 1 / sigma (layer_normalization), per column
 * mean, 1 / sigma and variance (batch_normalization), in slot z. Rows and columns are cut for threads
 * where no sum crosses. */
#ifdef T

#define CNET_SUMMED 128      /* values that are summed in T */
#define CNET_NORM_COLUMNS 64 /* columns that are done together: 128 rows of them fit into the cache */

typedef struct F(norm) {
    size_t B, O, step; /* rows, columns; rows or columns of a part */
    const T *x, *gamma, *beta;
    T *y;
    T *kept; /* slot z */
    const T *dy;
    T *dx, *dgamma, *dbeta;
    double epsilon;
    int training, fresh;
} F(norm);

/* A variance that overflowed must not pass as an inverse of 0: v - v is NaN then, and 0 otherwise. */
static T F(inverse_deviation)(T v, double epsilon)
{
    return 1 / F(square_root)(v + (T)epsilon) + (v - v);
}

static T F(variance_of)(double sum, double squares, double n)
{
    const double v = squares / n - sum / n * (sum / n);
    return v < 0 ? 0 : (T)v; /* rounding below 0; NaN stays */
}

/* Parts of about CNET_PART values, all but the last of a multiple of `unit` rows or columns. */
static void F(run_norm)(F(norm) p, cnet_task task, size_t along, size_t across, size_t unit,
                        int threads)
{
    p.step = along;
    if (threads > 1 && along * across >= 2 * CNET_PART)
        p.step = (CNET_PART / across + unit) / unit * unit;
    if (p.step >= along)
        task(&p, 0, 0, NULL);
    else
        cnet_pool_run(threads, (along + p.step - 1) / p.step, task, &p, NULL);
}

/* ---- layer_normalization: keeps mean and 1 / sigma of every row ---- */

static void F(layer_rows_forward)(const void *context, size_t part, int lane, void *scratch)
{
    const F(norm) *p = context;
    const size_t O = p->O, first = part * p->step;
    const size_t end = p->B - first < p->step ? p->B : first + p->step;
    T apart[CNET_SUMMED], square[CNET_SUMMED];
    (void)lane, (void)scratch;
    for (size_t i = first; i < end; i++) {
        const T *x = p->x + i * O, *gamma = p->gamma, *beta = p->beta;
        T *y = p->y + i * O;
        double sum = 0, squares = 0;
        for (size_t j = 0; j < O; j += CNET_SUMMED)
            sum += F(sum)(O - j < CNET_SUMMED ? O - j : CNET_SUMMED, x + j);
        const T about = (T)(sum / (double)O);
        sum = 0;
        for (size_t j = 0; j < O; j += CNET_SUMMED) {
            const size_t n = O - j < CNET_SUMMED ? O - j : CNET_SUMMED;
            CNET_EACH for (size_t k = 0; k < n; k++) {
                apart[k] = x[j + k] - about;
                square[k] = apart[k] * apart[k];
            }
            sum += F(sum)(n, apart);
            squares += F(sum)(n, square);
        }
        const T mean = about + (T)(sum / (double)O);
        const T inverse =
            F(inverse_deviation)(F(variance_of)(sum, squares, (double)O), p->epsilon);
        p->kept[2 * i] = mean;
        p->kept[2 * i + 1] = inverse;
        if (gamma && beta)
            CNET_EACH for (size_t j = 0; j < O; j++)
                y[j] = (x[j] - mean) * inverse * gamma[j] + beta[j];
        else
            CNET_EACH for (size_t j = 0; j < O; j++)
                y[j] = (x[j] - mean) * inverse * (gamma ? gamma[j] : 1) + (beta ? beta[j] : 0);
    }
}

/* y = gamma xhat + beta, with g = dy gamma:  dx = (g - mean(g) - xhat mean(g xhat)) / sigma */
static void F(layer_rows_backward)(const void *context, size_t part, int lane, void *scratch)
{
    const F(norm) *p = context;
    const size_t O = p->O, first = part * p->step;
    const size_t end = p->B - first < p->step ? p->B : first + p->step;
    T g[CNET_SUMMED], inner[CNET_SUMMED];
    (void)lane, (void)scratch;
    for (size_t i = first; i < end; i++) {
        const T *x = p->x + i * O, *dy = p->dy + i * O, *gamma = p->gamma;
        const T mean = p->kept[2 * i], inverse = p->kept[2 * i + 1];
        T *dx = p->dx + i * O;
        double sum = 0, inners = 0;
        for (size_t j = 0; j < O; j += CNET_SUMMED) {
            const size_t n = O - j < CNET_SUMMED ? O - j : CNET_SUMMED;
            CNET_EACH for (size_t k = 0; k < n; k++) {
                g[k] = gamma ? dy[j + k] * gamma[j + k] : dy[j + k];
                inner[k] = g[k] * (x[j + k] - mean);
            }
            sum += F(sum)(n, g);
            inners += F(sum)(n, inner);
        }
        const T g_mean = (T)(sum / (double)O);
        const T along = (T)(inners / (double)O) * inverse * inverse;
        CNET_EACH for (size_t j = 0; j < O; j++) {
            const T gj = gamma ? dy[j] * gamma[j] : dy[j];
            dx[j] = (gj - g_mean - (x[j] - mean) * along) * inverse;
        }
    }
}

static void F(store_sums)(size_t n, const double *sums, int fresh, T *out)
{
    CNET_EACH for (size_t j = 0; j < n; j++)
        out[j] = fresh ? (T)sums[j] : out[j] + (T)sums[j];
}

/* dgamma += sum over the rows of dy xhat,  dbeta += sum over the rows of dy */
static void F(layer_columns_backward)(const void *context, size_t part, int lane, void *scratch)
{
    const F(norm) *p = context;
    const size_t B = p->B, O = p->O, first = part * p->step;
    const size_t end = O - first < p->step ? O : first + p->step;
    (void)lane, (void)scratch;
    for (size_t j0 = first; j0 < end; j0 += CNET_NORM_COLUMNS) {
        const size_t n = end - j0 < CNET_NORM_COLUMNS ? end - j0 : CNET_NORM_COLUMNS;
        double sums[CNET_NORM_COLUMNS] = {0}, inners[CNET_NORM_COLUMNS] = {0};
        for (size_t i0 = 0; i0 < B; i0 += CNET_SUMMED) {
            T sum[CNET_NORM_COLUMNS] = {0}, inner[CNET_NORM_COLUMNS] = {0};
            for (size_t i = i0; i < B && i < i0 + CNET_SUMMED; i++) {
                const T *x = p->x + i * O + j0, *dy = p->dy + i * O + j0;
                const T mean = p->kept[2 * i], inverse = p->kept[2 * i + 1];
                CNET_EACH for (size_t j = 0; j < n; j++) {
                    sum[j] += dy[j];
                    inner[j] += dy[j] * ((x[j] - mean) * inverse);
                }
            }
            for (size_t j = 0; j < CNET_NORM_COLUMNS; j++)
                sums[j] += sum[j], inners[j] += inner[j];
        }
        if (p->dgamma)
            F(store_sums)(n, inners, p->fresh, p->dgamma + j0);
        if (p->dbeta)
            F(store_sums)(n, sums, p->fresh, p->dbeta + j0);
    }
}

static F(norm) F(norm_of)(const cnet_op *op, const cnet_run *run)
{
    return (F(norm)){.B = run->rows,
                     .O = op->outputs,
                     .x = run->value[op->x],
                     .y = run->value[op->y],
                     .gamma = F(op_parameter)(run->parameters, op->weight),
                     .beta = F(op_parameter)(run->parameters, op->bias),
                     .kept = run->value[op->z],
                     .epsilon = op->epsilon,
                     .training = run->training,
                     .fresh = run->fresh};
}

static F(norm) F(norm_gradient_of)(const cnet_op *op, const cnet_run *run)
{
    F(norm) p = F(norm_of)(op, run);
    p.dy = run->slope[op->y];
    p.dx = F(op_dx)(op, run);
    p.dgamma = F(op_parameter)(run->gradients, op->weight);
    p.dbeta = F(op_parameter)(run->gradients, op->bias);
    return p;
}

static void F(layer_normalization_op_forward)(const cnet_op *op, const cnet_run *run)
{
    F(run_norm)(F(norm_of)(op, run), F(layer_rows_forward), run->rows, op->outputs, 1,
                run->threads);
}

static void F(layer_normalization_op_backward)(const cnet_op *op, const cnet_run *run)
{
    const F(norm) p = F(norm_gradient_of)(op, run);
    if (p.dgamma || p.dbeta)
        F(run_norm)(p, F(layer_columns_backward), p.O, p.B, CNET_NORM_COLUMNS, run->threads);
    if (p.dx)
        F(run_norm)(p, F(layer_rows_backward), p.B, p.O, 1, run->threads);
}

/* ---- batch_normalization: keeps mean, 1 / sigma and variance of every column ---- */

/* Mean and variance of n neighbouring columns of B rows that are O apart. */
static void F(column_statistics)(size_t B, size_t O, size_t n, const T *x, T *mean, T *variance)
{
    double sums[CNET_NORM_COLUMNS] = {0}, squares[CNET_NORM_COLUMNS] = {0};
    for (size_t i0 = 0; i0 < B; i0 += CNET_SUMMED) {
        T sum[CNET_NORM_COLUMNS] = {0};
        for (size_t i = i0; i < B && i < i0 + CNET_SUMMED; i++)
            CNET_EACH for (size_t j = 0; j < n; j++)
                sum[j] += x[i * O + j];
        for (size_t j = 0; j < CNET_NORM_COLUMNS; j++)
            sums[j] += sum[j];
    }
    CNET_EACH for (size_t j = 0; j < n; j++) {
        mean[j] = (T)(sums[j] / (double)B);
        sums[j] = 0;
    }
    for (size_t i0 = 0; i0 < B; i0 += CNET_SUMMED) {
        T sum[CNET_NORM_COLUMNS] = {0}, square[CNET_NORM_COLUMNS] = {0};
        for (size_t i = i0; i < B && i < i0 + CNET_SUMMED; i++)
            CNET_EACH for (size_t j = 0; j < n; j++) {
                const T apart = x[i * O + j] - mean[j];
                sum[j] += apart;
                square[j] += apart * apart;
            }
        for (size_t j = 0; j < CNET_NORM_COLUMNS; j++)
            sums[j] += sum[j], squares[j] += square[j];
    }
    CNET_EACH for (size_t j = 0; j < n; j++) {
        mean[j] += (T)(sums[j] / (double)B);
        variance[j] = F(variance_of)(sums[j], squares[j], (double)B);
    }
}

static void F(batch_columns_forward)(const void *context, size_t part, int lane, void *scratch)
{
    const F(norm) *p = context;
    const size_t B = p->B, O = p->O, first = part * p->step;
    const size_t end = O - first < p->step ? O : first + p->step;
    (void)lane, (void)scratch;
    for (size_t j0 = first; j0 < end; j0 += CNET_NORM_COLUMNS) {
        const size_t n = end - j0 < CNET_NORM_COLUMNS ? end - j0 : CNET_NORM_COLUMNS;
        T *mean = p->kept + j0, *inverse = mean + O, *variance = inverse + O;
        T factor[CNET_NORM_COLUMNS], offset[CNET_NORM_COLUMNS];
        if (p->training)
            F(column_statistics)(B, O, n, p->x + j0, mean, variance);
        CNET_EACH for (size_t j = 0; j < n; j++) {
            inverse[j] = F(inverse_deviation)(variance[j], p->epsilon);
            factor[j] = p->gamma ? inverse[j] * p->gamma[j0 + j] : inverse[j];
            offset[j] = p->beta ? p->beta[j0 + j] : 0;
        }
        for (size_t i = 0; i < B; i++) {
            const T *x = p->x + i * O + j0;
            T *y = p->y + i * O + j0;
            CNET_EACH for (size_t j = 0; j < n; j++)
                y[j] = (x[j] - mean[j]) * factor[j] + offset[j];
        }
    }
}

/* y = gamma xhat + beta:  dgamma += sum over the rows of dy xhat,  dbeta += sum over the rows of dy,
 * dx = gamma / sigma (dy - mean(dy) - xhat mean(dy xhat)); statistics that are not the batch's own
 * are constants:  dx = gamma / sigma dy */
static void F(batch_columns_backward)(const void *context, size_t part, int lane, void *scratch)
{
    const F(norm) *p = context;
    const size_t B = p->B, O = p->O, first = part * p->step;
    const size_t end = O - first < p->step ? O : first + p->step;
    (void)lane, (void)scratch;
    for (size_t j0 = first; j0 < end; j0 += CNET_NORM_COLUMNS) {
        const size_t n = end - j0 < CNET_NORM_COLUMNS ? end - j0 : CNET_NORM_COLUMNS;
        const T *mean = p->kept + j0, *inverse = mean + O;
        double sums[CNET_NORM_COLUMNS] = {0}, inners[CNET_NORM_COLUMNS] = {0};
        T factor[CNET_NORM_COLUMNS], level[CNET_NORM_COLUMNS], along[CNET_NORM_COLUMNS];
        for (size_t i0 = 0; i0 < B; i0 += CNET_SUMMED) {
            T sum[CNET_NORM_COLUMNS] = {0}, inner[CNET_NORM_COLUMNS] = {0};
            for (size_t i = i0; i < B && i < i0 + CNET_SUMMED; i++) {
                const T *x = p->x + i * O + j0, *dy = p->dy + i * O + j0;
                CNET_EACH for (size_t j = 0; j < n; j++) {
                    sum[j] += dy[j];
                    inner[j] += dy[j] * (x[j] - mean[j]);
                }
            }
            for (size_t j = 0; j < CNET_NORM_COLUMNS; j++)
                sums[j] += sum[j], inners[j] += inner[j];
        }
        CNET_EACH for (size_t j = 0; j < n; j++) {
            inners[j] *= inverse[j];
            factor[j] = p->gamma ? inverse[j] * p->gamma[j0 + j] : inverse[j];
            level[j] = p->training ? (T)(sums[j] / (double)B) : 0;
            along[j] = p->training ? (T)(inners[j] / (double)B) * inverse[j] : 0;
        }
        if (p->dgamma)
            F(store_sums)(n, inners, p->fresh, p->dgamma + j0);
        if (p->dbeta)
            F(store_sums)(n, sums, p->fresh, p->dbeta + j0);
        for (size_t i = 0; p->dx && i < B; i++) {
            const T *x = p->x + i * O + j0, *dy = p->dy + i * O + j0;
            T *dx = p->dx + i * O + j0;
            CNET_EACH for (size_t j = 0; j < n; j++)
                dx[j] = (dy[j] - level[j] - (x[j] - mean[j]) * along[j]) * factor[j];
        }
    }
}

static void F(batch_normalization_op_forward)(const cnet_op *op, const cnet_run *run)
{
    const F(norm) p = F(norm_of)(op, run);
    if (!run->training) {
        memcpy(p.kept, F(op_parameter)(run->buffers, op->mean), p.O * sizeof(T));
        memcpy(p.kept + 2 * p.O, F(op_parameter)(run->buffers, op->variance), p.O * sizeof(T));
    }
    F(run_norm)(p, F(batch_columns_forward), p.O, p.B, CNET_NORM_COLUMNS, run->threads);
}

static void F(batch_normalization_op_backward)(const cnet_op *op, const cnet_run *run)
{
    const F(norm) p = F(norm_gradient_of)(op, run);
    F(run_norm)(p, F(batch_columns_backward), p.O, p.B, CNET_NORM_COLUMNS, run->threads);
}

/* moving = momentum moving + (1 - momentum) of the batch's, whose variance is divided by B - 1 */
static void F(absorb)(const cnet_op *op, const cnet_run *run)
{
    const F(norm) p = F(norm_of)(op, run);
    T *mean = F(op_parameter)(run->buffers, op->mean);
    T *variance = F(op_parameter)(run->buffers, op->variance);
    const T share = (T)(1 - op->momentum), unbiased = (T)((double)p.B / (double)(p.B - 1));
    CNET_EACH for (size_t j = 0; j < p.O; j++) {
        mean[j] += share * (p.kept[j] - mean[j]);
        variance[j] += share * (unbiased * p.kept[2 * p.O + j] - variance[j]);
    }
}

#undef CNET_SUMMED
#undef CNET_NORM_COLUMNS
#endif
