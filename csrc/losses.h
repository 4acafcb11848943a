/* losses.h - every loss: one row, and one function that gives value and gradient together.
 *
 * Row: name, shape of the loop, kind of target.
 *   EACH     name_loss(y, t, p, &d) over single values; d is the derivative in y
 *   ROW      name_row(K, y, t, p, s, dy) over one row: returns the value, writes s * gradient
 *   BATCH    one figure for the whole batch, written out in kernels.inc
 *   MATRIX   targets are T (B, K)   HALF   T (B, K/2)   LABELS   int64 class indices (B)
 * A `_logits` row takes the output before its activation (softmax, sigmoid, exp) and merges the two,
 * so that neither overflows nor cancels. Whether the mean runs over B or over B and K is the
 * caller's `scale` (1/B or 1/(BK)); nothing else divides.
 *
 * To add one: a row, its function, a class in cnet/losses.py, a formula in tests/reference.py. */
#ifndef CNET_LOSSES
#define CNET_LOSSES(X)                                  \
    X(mse, EACH, MATRIX)                                \
    X(quadratic, EACH, MATRIX)                          \
    X(rmse, BATCH, MATRIX)                              \
    X(mae, EACH, MATRIX)                                \
    X(huber, EACH, MATRIX)                              \
    X(binary_crossentropy, EACH, MATRIX)                \
    X(binary_crossentropy_logits, EACH, MATRIX)         \
    X(categorical_crossentropy, EACH, MATRIX)           \
    X(categorical_crossentropy_logits, ROW, MATRIX)     \
    X(sparse_categorical_crossentropy, ROW, LABELS)     \
    X(sparse_categorical_crossentropy_logits, ROW, LABELS) \
    X(poisson, EACH, MATRIX)                            \
    X(poisson_logits, EACH, MATRIX)                     \
    X(kl_divergence, EACH, MATRIX)                      \
    X(kl_divergence_logits, ROW, MATRIX)                \
    X(hinge, EACH, MATRIX)                              \
    X(squared_hinge, EACH, MATRIX)                      \
    X(cosine, ROW, MATRIX)                              \
    X(quantile, EACH, MATRIX)                           \
    X(gaussian_nll, ROW, HALF)
#endif

#ifdef T

/* The settings of cnet_loss, and the number of columns, in the dtype of the loop. */
typedef struct F(loss_settings) {
    T parameter, smoothing, columns;
} F(loss_settings);
#define SETTINGS const F(loss_settings) *

/* PyTorch's BCELoss clamps logarithms at -100 and denominators at 1e-12; the same here wherever a
 * loss is given probabilities instead of logits. */
CNET_INLINE T F(clamped_log)(T x)
{
    T v = F(cnet_log)(x);
    return v < -100 ? -100 : v;
}
CNET_INLINE T F(at_least)(T x, T least) { return x < least ? least : x; }
CNET_INLINE T F(absolute)(T x) { return x < 0 ? -x : x; }

/* ---- single values ---- */

CNET_INLINE T F(mse_loss)(T y, T t, SETTINGS p, T *d)
{
    (void)p;
    *d = 2 * (y - t);
    return (y - t) * (y - t);
}

CNET_INLINE T F(quadratic_loss)(T y, T t, SETTINGS p, T *d)
{
    (void)p;
    *d = y - t;
    return (T)0.5 * (y - t) * (y - t);
}

CNET_INLINE T F(mae_loss)(T y, T t, SETTINGS p, T *d)
{
    (void)p;
    T e = y - t;
    *d = e > 0 ? (T)1 : e < 0 ? (T)-1 : e; /* 0 at the kink; NaN stays NaN */
    return F(absolute)(e);
}

/* torch.nn.HuberLoss: e^2/2 within delta, delta (|e| - delta/2) outside. */
CNET_INLINE T F(huber_loss)(T y, T t, SETTINGS p, T *d)
{
    T e = y - t, delta = p->parameter;
    T c = e > delta ? delta : e < -delta ? -delta : e;
    *d = c;
    return c * (e - (T)0.5 * c);
}

/* torch.nn.BCELoss. Smoothing moves every target towards 1/2. */
CNET_INLINE T F(binary_crossentropy_loss)(T y, T t, SETTINGS p, T *d)
{
    t = t * (1 - p->smoothing) + (T)0.5 * p->smoothing;
    T l0 = F(at_least)(F(cnet_log1p)(-y), -100);
    *d = (y - t) / F(at_least)(y * (1 - y), (T)1e-12);
    return -(t * F(clamped_log)(y) + (1 - t) * l0);
}

/* -t log s(z) - (1 - t) log s(-z): both logarithms as softplus, neither difference cancels. */
CNET_INLINE T F(binary_crossentropy_logits_loss)(T z, T t, SETTINGS p, T *d)
{
    t = t * (1 - p->smoothing) + (T)0.5 * p->smoothing;
    T e = F(cnet_exp)(z > 0 ? -z : z); /* e^-|z| */
    T small = e / (1 + e), large = 1 / (1 + e);
    T s = z > 0 ? large : small, r = z > 0 ? small : large; /* s(z), s(-z) */
    *d = (1 - t) * s - t * r;
    return (z > 0 ? z * (1 - t) : -z * t) + F(cnet_log1p)(e);
}

/* -t log y; smoothing moves the targets towards 1/K. */
CNET_INLINE T F(categorical_crossentropy_loss)(T y, T t, SETTINGS p, T *d)
{
    t = t * (1 - p->smoothing) + p->smoothing / p->columns;
    *d = -t / F(at_least)(y, (T)1e-12);
    return -t * F(clamped_log)(y);
}

/* torch.nn.PoissonNLLLoss(log_input=False, eps=1e-8) */
CNET_INLINE T F(poisson_loss)(T y, T t, SETTINGS p, T *d)
{
    (void)p;
    *d = 1 - t / (y + (T)1e-8);
    return y - t * F(cnet_log)(y + (T)1e-8);
}

/* torch.nn.PoissonNLLLoss(log_input=True), for an exponential output */
CNET_INLINE T F(poisson_logits_loss)(T z, T t, SETTINGS p, T *d)
{
    (void)p;
    T e = F(cnet_exp)(z);
    *d = e - t;
    return e - t * z;
}

/* torch.nn.KLDivLoss(reduction="batchmean") of log y: t (log t - log y), 0 where t is 0. */
CNET_INLINE T F(kl_divergence_loss)(T y, T t, SETTINGS p, T *d)
{
    (void)p;
    T own = t > 0 ? t * F(cnet_log)(t) : 0;
    *d = -t / F(at_least)(y, (T)1e-12);
    return own - t * F(clamped_log)(y);
}

/* keras.losses.Hinge and SquaredHinge, targets -1 and 1 */
CNET_INLINE T F(hinge_loss)(T y, T t, SETTINGS p, T *d)
{
    (void)p;
    T margin = 1 - t * y;
    *d = margin > 0 ? -t : margin < 0 ? (T)0 : 0 * margin;
    return margin < 0 ? 0 : margin;
}
CNET_INLINE T F(squared_hinge_loss)(T y, T t, SETTINGS p, T *d)
{
    (void)p;
    T margin = 1 - t * y;
    margin = margin < 0 ? 0 : margin;
    *d = -2 * t * margin;
    return margin * margin;
}

/* The pinball loss of Koenker and Bassett (1978): q e above, (q - 1) e below, e = t - y. */
CNET_INLINE T F(quantile_loss)(T y, T t, SETTINGS p, T *d)
{
    T e = t - y, q = p->parameter;
    *d = e > 0 ? -q : e < 0 ? 1 - q : e;
    return e > 0 ? q * e : (q - 1) * e;
}

/* ---- whole rows ---- */

CNET_MAP(exp_less, F(cnet_exp)(x[i] - a))

/* Softmax of a row without overflow: m = max z, e_k = exp(z_k - m). The largest term is exactly 1
 * and is left out of `rest`, so that log(1 + rest) keeps its digits when one class dominates.
 * e may be NULL; it may be z. Returns the place of the maximum (the first NaN, if there is one). */
static size_t F(shifted_exp)(size_t K, const T *z, T *e, T *maximum, T *rest)
{
    size_t top = 0;
    for (size_t k = 1; k < K && z[top] == z[top]; k++)
        if (!(z[k] <= z[top]))
            top = k;
    const T m = z[top];
    T chunk[64], sum = 0;
    for (size_t k0 = 0; k0 < K; k0 += 64) {
        size_t n = K - k0 < 64 ? K - k0 : 64;
        F(map)(F(exp_less), n, m, z + k0, NULL, NULL, chunk);
        if (e)
            memcpy(e + k0, chunk, n * sizeof(T));
        if (top >= k0 && top < k0 + n)
            chunk[top - k0] = 0;
        sum += F(sum)(n, chunk);
    }
    *maximum = m;
    *rest = sum;
    return top;
}

/* -log softmax(z)[label]; gradient softmax - onehot, with (softmax - 1) as -(the others' share).
 * Smoothing mixes in the uniform distribution: (1-s) l_label + s mean over k of l_k. */
static T F(sparse_categorical_crossentropy_logits_row)(size_t K, const T *z, int64_t label,
                                                       SETTINGS p, T s, T *dy)
{
    const T even = p->smoothing / (T)K;
    T m, rest, shift = 0;
    const T zl = z[label];
    if (p->smoothing > 0) /* mean over k of (m - z_k), before dy may overwrite z */
        shift = F(sum)(K, z) / (T)K;
    size_t top = F(shifted_exp)(K, z, dy, &m, &rest);
    const T total = 1 + rest, normal = F(cnet_log1p)(rest);
    if (dy) {
        T others = (size_t)label == top ? rest : total - dy[label];
        const T share = s / total;
        for (size_t k = 0; k < K; k++)
            dy[k] = dy[k] * share - s * even;
        dy[label] = s * (-others / total + p->smoothing - even);
    }
    T value = (m - zl) + normal;
    return p->smoothing > 0
               ? (1 - p->smoothing) * value + p->smoothing * ((m - shift) + normal)
               : value;
}

/* sum over k of t_k (-log softmax(z)_k); gradient softmax sum(t) - t */
static T F(categorical_crossentropy_logits_row)(size_t K, const T *z, const T *t, SETTINGS p, T s,
                                                T *dy)
{
    const T keep = 1 - p->smoothing, even = p->smoothing / (T)K;
    T m, rest, value = 0, mass = 0;
    /* z is read before dy, which may be z, is written */
    for (size_t k = 0; k < K; k++)
        mass += keep * t[k] + even;
    T top = z[0];
    for (size_t k = 1; k < K; k++)
        top = z[k] > top ? z[k] : top;
    for (size_t k = 0; k < K; k++) {
        T tk = keep * t[k] + even;
        value += tk != 0 ? tk * (top - z[k]) : 0;
    }
    F(shifted_exp)(K, z, dy, &m, &rest);
    value += mass * F(cnet_log1p)(rest);
    if (dy) {
        const T share = s * mass / (1 + rest);
        CNET_EACH for (size_t k = 0; k < K; k++)
            dy[k] = dy[k] * share - s * (keep * t[k] + even);
    }
    return value + 0 * m; /* a NaN among the logits is not lost in the comparison above */
}

/* KL(t || softmax(z)): the cross-entropy less the entropy of t */
static T F(kl_divergence_logits_row)(size_t K, const T *z, const T *t, SETTINGS p, T s, T *dy)
{
    T entropy = 0;
    for (size_t k = 0; k < K; k++)
        entropy += t[k] > 0 ? t[k] * F(cnet_log)(t[k]) : 0;
    return entropy + F(categorical_crossentropy_logits_row)(K, z, t, p, s, dy);
}

/* -log y[label], given probabilities */
static T F(sparse_categorical_crossentropy_row)(size_t K, const T *y, int64_t label, SETTINGS p,
                                                T s, T *dy)
{
    T value = 0;
    for (size_t k = 0; k < K; k++) {
        T d, one = (size_t)label == k ? (T)1 : (T)0;
        value += F(categorical_crossentropy_loss)(y[k], one, p, &d);
        if (dy)
            dy[k] = s * d;
    }
    return value;
}

/* 1 - cos(y, t), norms kept above 1e-8, as torch.nn.CosineEmbeddingLoss for alike pairs */
static T F(cosine_row)(size_t K, const T *y, const T *t, SETTINGS p, T s, T *dy)
{
    (void)p;
    T yy = 0, tt = 0, yt = 0;
    for (size_t k = 0; k < K; k++) {
        yy += y[k] * y[k];
        tt += t[k] * t[k];
        yt += y[k] * t[k];
    }
    const T ny = F(at_least)(F(square_root)(yy), (T)1e-8);
    const T nt = F(at_least)(F(square_root)(tt), (T)1e-8);
    const T c = yt / (ny * nt);
    if (dy)
        CNET_EACH for (size_t k = 0; k < K; k++)
            dy[k] = -s * (t[k] / nt - c * (y[k] / ny)) / ny;
    return 1 - c;
}

/* torch.nn.GaussianNLLLoss with var = exp(v), kept above 1e-6. The row holds K/2 means, then K/2
 * logarithms of variances; t has K/2 columns. As in PyTorch the gradient passes the lower bound. */
static T F(gaussian_nll_row)(size_t K, const T *y, const T *t, SETTINGS p, T s, T *dy)
{
    (void)p;
    const size_t H = K / 2;
    T value = 0;
    for (size_t k = 0; k < H; k++) {
        T raw = F(cnet_exp)(y[H + k]), e = y[k] - t[k];
        T var = F(at_least)(raw, (T)1e-6), log_var = raw < (T)1e-6 ? (T)-13.815510557964274 : y[H + k];
        value += (T)0.5 * (log_var + e * e / var);
        if (dy) {
            dy[k] = s * e / var;
            dy[H + k] = s * (T)0.5 * (raw / var) * (1 - e * e / var);
        }
    }
    return value;
}

/* ---- loops around them ---- */

static F(loss_settings) F(loss_settings_of)(const cnet_loss *loss, size_t K)
{
    return (F(loss_settings)){(T)loss->parameter, (T)loss->smoothing, (T)K};
}

/* Values of up to CNET_LOSS_CHUNK outputs, in whole groups, and s * their slopes; dy may be y. */
#define CNET_LOSS_CHUNK 128
typedef void (*F(loss_chunk))(size_t n, const T *y, const T *t, const F(loss_settings) *p, T s,
                              T *restrict value, T *dy);

/* Values are summed in chunks that vectorise, the chunks in double. */
static double F(each_flat)(F(loss_chunk) chunk, size_t n, const T *y, const T *t,
                           const F(loss_settings) *p, T s, T *dy)
{
    T value[CNET_LOSS_CHUNK], unwanted[CNET_LOSS_CHUNK];
    double sum = 0;
    for (size_t i = 0; i < n; i += CNET_LOSS_CHUNK) {
        const size_t m = n - i < CNET_LOSS_CHUNK ? n - i : CNET_LOSS_CHUNK;
        const size_t rest = m % CNET_GROUP;
        T ys[CNET_GROUP], ts[CNET_GROUP], ds[CNET_GROUP], *d = dy ? dy + i : unwanted;
        if (rest) {
            F(last_group)(m, y + i, ys);
            F(last_group)(m, t + i, ts);
        }
        if (m >= CNET_GROUP)
            chunk(m, y + i, t + i, p, s, value, d);
        if (rest && m >= CNET_GROUP) {
            chunk(CNET_GROUP, ys, ts, p, s, value + m - CNET_GROUP, d + m - CNET_GROUP);
        } else if (rest) {
            chunk(CNET_GROUP, ys, ts, p, s, value, ds);
            memcpy(d, ds, m * sizeof(T));
        }
        sum += F(sum)(m, value);
    }
    return sum;
}

static double F(each_total)(F(loss_chunk) chunk, const cnet_loss *loss, size_t B, size_t K,
                            const T *y, const T *t, const T *w, double scale, T *dy)
{
    const F(loss_settings) p = F(loss_settings_of)(loss, K);
    if (!w)
        return scale * F(each_flat)(chunk, B * K, y, t, &p, (T)scale, dy);
    double sum = 0;
    for (size_t i = 0; i < B; i++)
        sum += w[i] * F(each_flat)(chunk, K, y + i * K, t + i * K, &p, (T)scale * w[i],
                                   dy ? dy + i * K : NULL);
    return scale * sum;
}

#undef SETTINGS
#endif
