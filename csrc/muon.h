/* muon.h - what Muon does to a matrix between its products (a template, see template.h); muon.c has
 * the products and the names of h. */
#ifdef T

/* s0 is the momentum, G what it keeps; u is Nesterov's form of it, from which the step is made. */
static void F(muon_begin)(size_t n, const double *settings, const void *g_, const void *p_,
                          void *s0_, void *u_)
{
    T h[CNET_HYPER];
    for (size_t i = 0; i < CNET_HYPER; i++)
        h[i] = (T)settings[i];
    const T keep = h[CNET_H_G], take = (T)(1 - settings[CNET_H_G]);
    const T *restrict g = g_, *restrict p = p_;
    T *restrict s0 = s0_, *restrict u = u_;
    for (size_t i = 0; i < n; i++) {
        const T gi = F(clipped)(g[i], h) + h[CNET_H_L2] * p[i];
        s0[i] += take * (gi - s0[i]);
        u[i] = gi + keep * (s0[i] - gi);
    }
}

static void F(muon_scale)(size_t n, double by, void *x_)
{
    const T factor = (T)by;
    T *x = x_;
    for (size_t i = 0; i < n; i++)
        x[i] *= factor;
}

/* s = a I + b A + c s, of (m, m) matrices, where s comes as A A. */
static void F(muon_polynomial)(size_t m, double a, double b, double c, const void *A_, void *s_)
{
    const T *restrict A = A_, second = (T)b, third = (T)c;
    T *restrict s = s_;
    for (size_t i = 0; i < m * m; i++)
        s[i] = second * A[i] + third * s[i];
    for (size_t i = 0; i < m; i++)
        s[i * m + i] += (T)a;
}

/* p = shrink p - rate x */
static void F(muon_end)(size_t n, double rate, double shrink, const void *x_, void *p_)
{
    const T *restrict x = x_, by = (T)rate, keep = (T)shrink;
    T *restrict p = p_;
    for (size_t i = 0; i < n; i++)
        p[i] = keep * p[i] - by * x[i];
}
#endif
