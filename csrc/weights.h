/* weights.h - what is done with the weights after a step: averages of them, and constraints. */

/* average += share (p - average). The first of all has the share 1, which copies. */
static void F(blend)(size_t n, double share, const void *p_, void *average_)
{
    const T *restrict p = p_, s = (T)share;
    T *restrict average = average_;
    if (share == 1)
        memcpy(average, p, n * sizeof(T));
    else
        for (size_t i = 0; i < n; i++)
            average[i] += s * (p[i] - average[i]);
}

/* Srivastava et al. (2014): of the columns first..first+count of W (I, O), at most
 * CNET_UNITS_AT_ONCE, those whose Euclidean norm is above the limit are scaled down to it. */
static void F(max_norm)(size_t I, size_t O, size_t first, size_t count, double limit, void *w_)
{
    T *w = (T *)w_ + first, factor[CNET_UNITS_AT_ONCE];
    double squares[CNET_UNITS_AT_ONCE] = {0};
    int above = 0;
    for (size_t i = 0; i < I; i++)
        for (size_t j = 0; j < count; j++)
            squares[j] += (double)w[i * O + j] * (double)w[i * O + j];
    for (size_t j = 0; j < count; j++) {
        const double norm = __builtin_sqrt(squares[j]);
        factor[j] = norm > limit ? (T)(limit / norm) : (T)1;
        above |= norm > limit;
    }
    if (above)
        for (size_t i = 0; i < I; i++)
            for (size_t j = 0; j < count; j++)
                w[i * O + j] *= factor[j];
}

static void F(non_negative)(size_t n, void *w_)
{
    T *w = w_;
    for (size_t i = 0; i < n; i++)
        w[i] = w[i] < 0 ? 0 : w[i];
}
