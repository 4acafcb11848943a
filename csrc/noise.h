/* noise.h - the layers that draw random numbers while training and do nothing else: dropout,
 * Gaussian dropout, Gaussian noise. Part of layers.h.
 *
 * What element (i, j) of the batch draws in operation `stream` of step `step` is a function of
 * (seed, purpose, stream, step, its place e = i O + j in the batch) and of nothing else: not of
 * threads, not of how a batch is cut into pieces (run->first_row), not of the instruction set.
 * Nothing is kept for the backward pass, which would take as much memory as the activations: it
 * draws the same numbers again, for dropout at half a nanosecond an element.
 *
 * Dropout (Srivastava et al., "Dropout", JMLR 15, 2014; inverted: scaled while training) spends 16
 * bits an element. Element e belongs to group e / 64 of eight blocks; with r = e % 64 it has
 *     the lower (r < 32) or upper half of word (r / 8) % 4 of block 8 (e / 64) + r % 8,
 * and is kept if that is below k = round(65536 (1 - rate)), then multiplied by 65536 / k.
 *
 * The Gaussians spend 32 bits. Element e belongs to group e / 32 of eight blocks; with r = e % 32 it
 * has a normal number of block 8 (e / 32) + r % 8: words 0 and 1 make two of them, r / 8 = 0 and 1,
 * words 2 and 3 the others (Box and Muller, 1958: radius sqrt(-2 log u) with u = (word / 2 + 1/2) /
 * 2^31, at the angle of word / 2^32 turns, cosine first). */

#define CNET_DROPOUT_GROUP 64
#define CNET_NORMAL_GROUP 32

/* m = `factor` with probability keep / 65536, else 0. */
static void F(dropout_group)(const cnet_stream *s, size_t group, int keep, T factor, T *m)
{
    uint32_t w[4 * CNET_BLOCKS];
    cnet_philox(s, (uint32_t)group * CNET_BLOCKS, w);
    for (int l = 0; l < 32; l++) {
        m[l] = (int)(w[l] & 0xffff) < keep ? factor : 0;
        m[l + 32] = (int)(w[l] >> 16) < keep ? factor : 0;
    }
}

/* sin(x) and cos(x) for abs(x) <= pi / 4, by their series to below an ulp of T. */
CNET_INLINE void F(small_sincos)(T x, T *sine, T *cosine)
{
    const T z = x * x;
    T s = 1, c = 1;
    if (sizeof(T) == 8) {
        s = 1 - z * (T)(1 / 110.) * (1 - z * (T)(1 / 156.) * (1 - z * (T)(1 / 210.)
            * (1 - z * (T)(1 / 272.))));
        c = 1 - z * (T)(1 / 90.) * (1 - z * (T)(1 / 132.) * (1 - z * (T)(1 / 182.)
            * (1 - z * (T)(1 / 240.))));
    }
    s = 1 - z * (T)(1 / 6.) * (1 - z * (T)(1 / 20.) * (1 - z * (T)(1 / 42.)
        * (1 - z * (T)(1 / 72.) * s)));
    c = 1 - z * (T)(1 / 2.) * (1 - z * (T)(1 / 12.) * (1 - z * (T)(1 / 30.)
        * (1 - z * (T)(1 / 56.) * c)));
    *sine = x * s;
    *cosine = c;
}

/* m = mean + deviation z with z standard normal. */
static void F(normal_group)(const cnet_stream *s, size_t group, T mean, T deviation, T *m)
{
    uint32_t word[4 * CNET_BLOCKS];
    cnet_philox(s, (uint32_t)group * CNET_BLOCKS, word);
    for (int pair = 0; pair < 2; pair++)
        for (int l = 0; l < CNET_BLOCKS; l++) {
            const uint32_t *of_pair = word + 16 * pair, turns = of_pair[8 + l];
            const T u = ((T)(int32_t)(of_pair[l] >> 1) + (T)0.5) * (T)0x1p-31;
            const T radius = deviation * F(square_root)(-2 * F(cnet_log)(u));
            /* turns / 2^32 = quarter / 4 + (what is left, between -1/8 and 1/8) */
            const int32_t quarter = (int32_t)((turns + (1u << 29)) >> 30);
            T sine, cosine;
            F(small_sincos)((T)(int32_t)(turns << 2) * (T)(0x1p-32 * 1.57079632679489661923),
                            &sine, &cosine);
            const T across = quarter & 1 ? sine : cosine, along = quarter & 1 ? cosine : sine;
            const T left = (T)(1 - ((quarter + 1) & 2)), down = (T)(1 - (quarter & 2));
            m[16 * pair + l] = mean + radius * (left * across);
            m[16 * pair + 8 + l] = mean + radius * (down * along);
        }
}

/* One pass over a batch: y = x m, or y = x + m; a part of it is whole groups but for its ends. */
typedef struct F(drawing) {
    cnet_stream stream;
    int kind;          /* CNET_LAYER_... */
    int keep;          /* dropout's k */
    T factor;          /* what it multiplies by */
    T mean, deviation; /* of the Gaussians' m */
    size_t n, first;   /* elements; the place of the first one in the batch */
    const T *x;
    T *y;
} F(drawing);

static void F(drawing_part)(const void *context, size_t part, int lane, void *scratch)
{
    const F(drawing) *p = context;
    const size_t begin = part * CNET_PART;
    const size_t end = p->n - begin < CNET_PART ? p->n : begin + CNET_PART;
    const size_t group = p->kind == CNET_LAYER_dropout ? CNET_DROPOUT_GROUP : CNET_NORMAL_GROUP;
    (void)lane, (void)scratch;
    for (size_t i = begin; i < end;) {
        const size_t place = p->first + i, skip = place % group;
        const size_t count = end - i < group - skip ? end - i : group - skip;
        const T *restrict x = p->x + i;
        T *restrict y = p->y + i, m[CNET_DROPOUT_GROUP];
        if (p->kind == CNET_LAYER_dropout)
            F(dropout_group)(&p->stream, place / group, p->keep, p->factor, m);
        else
            F(normal_group)(&p->stream, place / group, p->mean, p->deviation, m);
        if (p->kind == CNET_LAYER_gaussian_noise)
            for (size_t k = 0; k < count; k++)
                y[k] = x[k] + m[skip + k];
        else
            for (size_t k = 0; k < count; k++)
                y[k] = x[k] * m[skip + k];
        i += count;
    }
}

/* y from x; a copy where nothing is drawn: when inferring, and for a rate or deviation of 0. */
static void F(draw)(const cnet_op *op, const cnet_run *run, const T *x, T *y, int drawn)
{
    const size_t n = run->rows * op->outputs;
    const uint32_t purpose = op->kind == CNET_LAYER_dropout ? CNET_FOR_DROPOUT : CNET_FOR_NOISE;
    if (!drawn || !run->training || op->alpha == 0) {
        memcpy(y, x, n * sizeof(T));
        return;
    }
    F(drawing) p = {.stream = {run->seed, run->step, purpose | op->stream << 8}, .kind = op->kind,
                    .n = n, .first = run->first_row * op->outputs, .x = x, .y = y};
    if (op->kind == CNET_LAYER_dropout) {
        const double share = __builtin_floor(65536 * (1 - op->alpha) + 0.5);
        p.keep = share < 1 ? 1 : (int)share; /* 65536 / k stays finite */
        p.factor = (T)(65536.0 / p.keep);
    } else if (op->kind == CNET_LAYER_gaussian_dropout) {
        p.mean = 1;
        p.deviation = (T)__builtin_sqrt(op->alpha / (1 - op->alpha));
    } else {
        p.deviation = (T)op->alpha;
    }
    const size_t parts = (n + CNET_PART - 1) / CNET_PART;
    if (run->threads > 1 && parts > 1)
        cnet_pool_run(run->threads, parts, F(drawing_part), &p, NULL);
    else
        for (size_t part = 0; part < parts; part++)
            F(drawing_part)(&p, part, 0, NULL);
}

/* ---- dropout: y = x m, m = 0 with probability `rate`, else 1 / (1 - rate) ---- */

static void F(dropout_op_forward)(const cnet_op *op, const cnet_run *run)
{
    F(draw)(op, run, run->value[op->x], run->value[op->y], 1);
}

static void F(dropout_op_backward)(const cnet_op *op, const cnet_run *run)
{
    /* y = x m:  dx = dy m */
    T *dx = F(op_dx)(op, run);
    if (dx)
        F(draw)(op, run, run->slope[op->y], dx, 1);
}

/* ---- gaussian_dropout: y = x m, m normal with mean 1 and variance rate / (1 - rate) ---- */

static void F(gaussian_dropout_op_forward)(const cnet_op *op, const cnet_run *run)
{
    F(draw)(op, run, run->value[op->x], run->value[op->y], 1);
}

static void F(gaussian_dropout_op_backward)(const cnet_op *op, const cnet_run *run)
{
    /* y = x m:  dx = dy m */
    T *dx = F(op_dx)(op, run);
    if (dx)
        F(draw)(op, run, run->slope[op->y], dx, 1);
}

/* ---- gaussian_noise: y = x + m, m normal with mean 0 ---- */

static void F(gaussian_noise_op_forward)(const cnet_op *op, const cnet_run *run)
{
    F(draw)(op, run, run->value[op->x], run->value[op->y], 1);
}

static void F(gaussian_noise_op_backward)(const cnet_op *op, const cnet_run *run)
{
    /* y = x + m:  dx = dy */
    T *dx = F(op_dx)(op, run);
    if (dx)
        F(draw)(op, run, run->slope[op->y], dx, 0);
}
