/* optimizers.h - every update rule: one row, one function over a single parameter.
 *
 * Row: name, states per parameter. name_update(g, p, s0, s1, s2, h) reads the gradient g, moves *p
 * and its states. What is the same for all parameters of a step (bias corrections, powers of beta)
 * is in h, made once per step by cnet_prepare in optimizers.c. Weight decay is no rule's business:
 * the loop around them adds the coupled kind to g and shrinks p by the decoupled kind. Nor is
 * clipping: g comes clipped.
 *
 * To add one: a row, its function, its case in cnet_prepare, a class in cnet/optimizers.py and a
 * golden in tests/golden. */
#ifndef CNET_OPTIMIZERS
#define CNET_OPTIMIZERS(X)               \
    X(sgd, 0)                            \
    X(sgd_momentum, 1)                   \
    X(sgd_nesterov, 1)                   \
    X(adagrad, 1)                        \
    X(adadelta, 2)                       \
    X(rmsprop, 1)                        \
    X(rmsprop_centered, 2)               \
    X(rmsprop_momentum, 2)               \
    X(rmsprop_centered_momentum, 3)      \
    X(adam, 2)                           \
    X(amsgrad, 3)                        \
    X(adamax, 2)                         \
    X(nadam, 2)                          \
    X(lion, 1)                           \
    X(rprop, 2)                          \
    X(schedule_free_adamw, 3)            \
    X(muon, 2)

/* Settings, as cnet/optimizers.py passes them. */
enum {
    CNET_SET_RATE,      /* learning rate */
    CNET_SET_L2,        /* coupled weight decay: g += L2 p */
    CNET_SET_DECAY,     /* decoupled weight decay: p *= 1 - rate DECAY */
    CNET_SET_BETA_1,    /* momentum, rho or beta_1; Rprop's eta_minus */
    CNET_SET_BETA_2,    /* Rprop's eta_plus */
    CNET_SET_EPSILON,   /* Rprop's smallest step */
    CNET_SET_EXTRA,     /* learning-rate decay, momentum of RMSprop, momentum decay of Nadam, Rprop's
                           largest step, warm-up of schedule-free AdamW, Muon's momentum */
    CNET_SET_SHARE,     /* of the learning rate: what Muon's other parameters have */
    CNET_SETTINGS
};

/* h: what every rule gets, then a rule's own. A gradient is multiplied by FACTOR and cut at +-BOUND
 * before anything else is done with it. */
enum { CNET_H_RATE, CNET_H_L2, CNET_H_SHRINK, CNET_H_FACTOR, CNET_H_BOUND, CNET_H_A, CNET_H_B,
       CNET_H_C, CNET_H_D, CNET_H_E, CNET_H_F, CNET_H_G, CNET_H_H, CNET_HYPER };

/* What gradients are cut to before a step, and by which measure. */
enum { CNET_CLIP_NOTHING, CNET_CLIP_VALUE, CNET_CLIP_NORM, CNET_CLIP_GLOBAL_NORM };

/* What a rule carries from step to step for all parameters together: steps taken, then products. */
enum { CNET_RUN_STEPS, CNET_RUN_PRODUCT_1, CNET_RUN_PRODUCT_2, CNET_RUNNING };
#endif

#ifdef T

#define RULE(name) \
    CNET_INLINE void F(name##_update)(T g, T *p, T *s0, T *s1, T *s2, const T *h)
#define UNUSED1 (void)s1; UNUSED2
#define UNUSED2 (void)s2;

RULE(sgd) { (void)s0; UNUSED1 *p -= h[CNET_H_RATE] * g; }

/* torch.optim.SGD: v = mu v + g; p -= rate v */
RULE(sgd_momentum)
{
    UNUSED1
    *s0 = h[CNET_H_A] * *s0 + g;
    *p -= h[CNET_H_RATE] * *s0;
}

/* and with nesterov=True: p -= rate (g + mu v) */
RULE(sgd_nesterov)
{
    UNUSED1
    *s0 = h[CNET_H_A] * *s0 + g;
    *p -= h[CNET_H_RATE] * (g + h[CNET_H_A] * *s0);
}

/* torch.optim.Adagrad: A = epsilon */
RULE(adagrad)
{
    UNUSED1
    *s0 += g * g;
    *p -= h[CNET_H_RATE] * g / (F(square_root)(*s0) + h[CNET_H_A]);
}

/* torch.optim.Adadelta: A = rho, B = 1 - rho, C = epsilon; s0 of gradients, s1 of updates */
RULE(adadelta)
{
    UNUSED2
    *s0 = h[CNET_H_A] * *s0 + h[CNET_H_B] * g * g;
    T delta = F(square_root)((*s1 + h[CNET_H_C])) / F(square_root)((*s0 + h[CNET_H_C])) * g;
    *s1 = h[CNET_H_A] * *s1 + h[CNET_H_B] * delta * delta;
    *p -= h[CNET_H_RATE] * delta;
}

/* torch.optim.RMSprop: A = rho, B = 1 - rho, C = epsilon, D = momentum */
RULE(rmsprop)
{
    UNUSED1
    *s0 = h[CNET_H_A] * *s0 + h[CNET_H_B] * g * g;
    *p -= h[CNET_H_RATE] * g / (F(square_root)(*s0) + h[CNET_H_C]);
}

/* The mean of squares less the square of the mean is not negative but for rounding. */
CNET_INLINE T F(centered_root)(T square, T mean)
{
    T v = square - mean * mean;
    return F(square_root)(v < 0 ? 0 : v);
}
RULE(rmsprop_centered)
{
    UNUSED2
    *s0 = h[CNET_H_A] * *s0 + h[CNET_H_B] * g * g;
    *s1 = *s1 + h[CNET_H_B] * (g - *s1);
    *p -= h[CNET_H_RATE] * g / (F(centered_root)(*s0, *s1) + h[CNET_H_C]);
}
RULE(rmsprop_momentum)
{
    UNUSED2
    *s0 = h[CNET_H_A] * *s0 + h[CNET_H_B] * g * g;
    *s1 = h[CNET_H_D] * *s1 + g / (F(square_root)(*s0) + h[CNET_H_C]);
    *p -= h[CNET_H_RATE] * *s1;
}
RULE(rmsprop_centered_momentum)
{
    *s0 = h[CNET_H_A] * *s0 + h[CNET_H_B] * g * g;
    *s1 = *s1 + h[CNET_H_B] * (g - *s1);
    *s2 = h[CNET_H_D] * *s2 + g / (F(centered_root)(*s0, *s1) + h[CNET_H_C]);
    *p -= h[CNET_H_RATE] * *s2;
}

/* Kingma and Ba (2015), as torch.optim.Adam: A = epsilon, B = 1 - beta_1, C = 1 - beta_2,
 * D = rate / (1 - beta_1^t), E = 1 / sqrt(1 - beta_2^t), F = beta_2 */
RULE(adam)
{
    UNUSED2
    *s0 = *s0 + h[CNET_H_B] * (g - *s0);
    *s1 = h[CNET_H_F] * *s1 + h[CNET_H_C] * g * g;
    *p -= h[CNET_H_D] * *s0 / (F(square_root)(*s1) * h[CNET_H_E] + h[CNET_H_A]);
}

/* Reddi et al. (2018), as torch.optim.Adam(amsgrad=True): s2 is the largest s1 so far */
RULE(amsgrad)
{
    *s0 = *s0 + h[CNET_H_B] * (g - *s0);
    *s1 = h[CNET_H_F] * *s1 + h[CNET_H_C] * g * g;
    *s2 = *s1 > *s2 ? *s1 : *s2;
    *p -= h[CNET_H_D] * *s0 / (F(square_root)(*s2) * h[CNET_H_E] + h[CNET_H_A]);
}

/* torch.optim.Adamax: s1 = max(beta_2 s1, |g| + epsilon) */
RULE(adamax)
{
    UNUSED2
    T size = (g < 0 ? -g : g) + h[CNET_H_A];
    *s0 = *s0 + h[CNET_H_B] * (g - *s0);
    *s1 = h[CNET_H_F] * *s1;
    *s1 = *s1 > size ? *s1 : size;
    *p -= h[CNET_H_D] * *s0 / *s1;
}

/* Dozat (2016), as torch.optim.NAdam: RATE = what the gradient counts, D = what the mean counts */
RULE(nadam)
{
    UNUSED2
    *s0 = *s0 + h[CNET_H_B] * (g - *s0);
    *s1 = h[CNET_H_F] * *s1 + h[CNET_H_C] * g * g;
    *p -= (h[CNET_H_RATE] * g + h[CNET_H_D] * *s0)
          / (F(square_root)(*s1) * h[CNET_H_E] + h[CNET_H_A]);
}

/* Chen et al. (2023), algorithm 2: the sign of an interpolation; A = beta_1, B = 1 - beta_1,
 * C = 1 - beta_2, F = beta_2 */
RULE(lion)
{
    UNUSED1
    T c = h[CNET_H_A] * *s0 + h[CNET_H_B] * g;
    *p -= h[CNET_H_RATE] * (c > 0 ? (T)1 : c < 0 ? (T)-1 : c);
    *s0 = h[CNET_H_F] * *s0 + h[CNET_H_C] * g;
}

/* Igel and Huesken (2003), iRprop-, as torch.optim.Rprop: A = eta_minus, B = eta_plus, C and D the
 * smallest and the largest step. Steps, s0, are counted in learning rates, so that one that changes
 * scales them all; s1 is the sign of the last gradient, 0 after it has turned. */
RULE(rprop)
{
    UNUSED2
    T sign = g > 0 ? (T)1 : g < 0 ? (T)-1 : g;
    const T turn = sign * *s1;
    T size = *s0 * (turn > 0 ? h[CNET_H_B] : turn < 0 ? h[CNET_H_A] : 1);
    size = size > h[CNET_H_C] ? size : h[CNET_H_C];
    size = size < h[CNET_H_D] ? size : h[CNET_H_D];
    sign = turn < 0 ? 0 : sign;
    *s0 = size;
    *s1 = sign;
    *p -= h[CNET_H_RATE] * size * sign;
}

/* Where schedule-free AdamW takes gradients, seen from the mean of its steps: s0 points from there
 * to the last step. The same function wherever it is needed, or the bits would not be the same. */
CNET_INLINE T F(ahead)(T mean, T s0, const T share) { return mean + share * s0; }

/* Defazio et al. (2024): p is y, where gradients are taken, s2 is x, the mean of the steps z, and s0
 * is z - x; s1 as adam's. A = epsilon, B = 1 - beta_1, C = 1 - beta_2, D = what this step counts in
 * the mean, E = 1 / sqrt(1 - beta_2^t), F = beta_2, G = decoupled weight decay, which shrinks z by y */
RULE(schedule_free_adamw)
{
    *s1 = h[CNET_H_F] * *s1 + h[CNET_H_C] * g * g;
    const T move = g / (F(square_root)(*s1) * h[CNET_H_E] + h[CNET_H_A]) + h[CNET_H_G] * *p;
    const T step = *s0 - h[CNET_H_RATE] * move; /* z - the x before */
    *s2 += h[CNET_H_D] * step;
    *s0 = step - h[CNET_H_D] * step;
    *p = F(ahead)(*s2, *s0, h[CNET_H_B]);
}

/* Muon's parameters that are no hidden matrices are AdamW's; muon.c has the matrices. RATE = of these,
 * G = their momentum, H = what they shrink to; the others as adam. */
RULE(muon) { F(adam_update)(g, p, s0, s1, s2, h); }

#undef RULE
#undef UNUSED1
#undef UNUSED2

/* ---- gradients --------------------------------------------------------------------------------- */

/* Sum of squares, in double where the dtype's own squares overflow. */
static double F(sum_squares)(size_t n, const void *x_)
{
    const T *x = x_;
    double sum = 0;
    for (size_t i = 0; i < n; i += 1024) {
        const size_t count = n - i < 1024 ? n - i : 1024;
        T part[32] = {0};
        size_t k = 0;
        for (; k + 32 <= count; k += 32)
            for (size_t l = 0; l < 32; l++)
                part[l] += x[i + k + l] * x[i + k + l];
        for (size_t l = 0; k < count; k++, l++)
            part[l] += x[i + k] * x[i + k];
        double chunk = F(sum)(32, part);
        if (!(chunk - chunk == 0)) {
            chunk = 0;
            for (k = 0; k < count; k++)
                chunk += (double)x[i + k] * (double)x[i + k];
        }
        sum += chunk;
    }
    return sum;
}

/* l1 sum |p| + l2 sum p^2, whose gradient l1 sign(p) + 2 l2 p is added to g unless that is NULL. */
static double F(penalize)(size_t n, double l1, double l2, const void *p_, void *g_)
{
    const T *restrict p = p_, a = (T)l1, b = 2 * (T)l2;
    T *restrict g = g_;
    double sum = 0, squares = 0;
    for (size_t i = 0; i < n; i += 1024) {
        const size_t count = n - i < 1024 ? n - i : 1024;
        T size[1024];
        for (size_t k = 0; k < count; k++)
            size[k] = p[i + k] < 0 ? -p[i + k] : p[i + k];
        sum += F(sum)(count, size);
        squares += F(sum_squares)(count, p + i);
    }
    if (g)
        for (size_t i = 0; i < n; i++)
            g[i] += (p[i] > 0 ? a : p[i] < 0 ? -a : 0) + b * p[i];
    return (l1 > 0 ? l1 * sum : 0) + (l2 > 0 ? l2 * squares : 0);
}

CNET_INLINE T F(clipped)(T g, const T *h)
{
    g *= h[CNET_H_FACTOR];
    g = g > h[CNET_H_BOUND] ? h[CNET_H_BOUND] : g;
    return g < -h[CNET_H_BOUND] ? -h[CNET_H_BOUND] : g;
}

/* ---- update rules ------------------------------------------------------------------------------- */

/* A loop of elementwise.h, over whole groups; states that a rule has not are NULL. */
typedef void (*F(step_loop))(size_t n, const double *settings, const T *restrict g, T *restrict p,
                             T *restrict s0, T *restrict s1, T *restrict s2);

static void F(step)(F(step_loop) loop, size_t n, const double *settings, const T *g, T *p, T *s0,
                    T *s1, T *s2)
{
    T last[5][CNET_GROUP] = {{0}};
    const size_t whole = CNET_WHOLE(n), bytes = (n - whole) * sizeof(T);
    T *const array[4] = {p, s0, s1, s2};
    if (whole)
        loop(whole, settings, g, p, s0, s1, s2);
    if (bytes == 0)
        return;
    memcpy(last[4], g + whole, bytes);
    for (int k = 0; k < 4; k++)
        if (array[k])
            memcpy(last[k], array[k] + whole, bytes);
    loop(CNET_GROUP, settings, last[4], last[0], last[1], last[2], last[3]);
    for (int k = 0; k < 4; k++)
        if (array[k])
            memcpy(array[k] + whole, last[k], bytes);
}

#define CNET_ROW(name, states)                                                                   \
    static void F(name##_steps)(size_t n, const double *settings, const T *restrict g,           \
                                T *restrict p, T *restrict s0, T *restrict s1, T *restrict s2)   \
    {                                                                                            \
        T h[CNET_HYPER], unused = 0;                                                             \
        for (size_t i = 0; i < CNET_HYPER; i++)                                                  \
            h[i] = (T)settings[i];                                                               \
        (void)s0, (void)s1, (void)s2;                                                            \
        for (size_t i = 0; i != CNET_WHOLE(n); i++) {                                            \
            T pi = p[i];                                                                         \
            const T gi = F(clipped)(g[i], h) + h[CNET_H_L2] * pi;                                \
            pi *= h[CNET_H_SHRINK];                                                              \
            F(name##_update)(gi, &pi, states > 0 ? s0 + i : &unused,                             \
                             states > 1 ? s1 + i : &unused, states > 2 ? s2 + i : &unused, h);   \
            p[i] = pi;                                                                           \
        }                                                                                        \
    }                                                                                            \
    static void F(name##_step)(size_t n, const double *settings, const void *g, void *p,         \
                               void *s0, void *s1, void *s2)                                     \
    {                                                                                            \
        F(step)(F(name##_steps), n, settings, g, p, states > 0 ? s0 : NULL,                      \
                states > 1 ? s1 : NULL, states > 2 ? s2 : NULL);                                 \
    }
CNET_OPTIMIZERS(CNET_ROW)
#undef CNET_ROW

/* schedule_free_adamw: from x to y, with x kept in s2. */
static void F(lead)(size_t n, double share, void *p_, const void *s0_, void *s2_)
{
    const T *restrict s0 = s0_, b = (T)share;
    T *restrict p = p_, *restrict s2 = s2_;
    for (size_t i = 0; i < n; i++) {
        const T mean = p[i];
        s2[i] = mean;
        p[i] = F(ahead)(mean, s0[i], b);
    }
}
#endif
