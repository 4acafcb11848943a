/* metrics.h - what fit can count inside the compiled loop: exact sums over the epoch.
 *
 * Row: name, kind of target. name_metric(K, y, target) is one row's figure; the table's function
 * adds weight * figure and weight. */
#ifndef CNET_METRICS
#define CNET_METRICS(X)               \
    X(binary_accuracy, MATRIX)        \
    X(categorical_accuracy, MATRIX)   \
    X(sparse_accuracy, LABELS)        \
    X(mse, MATRIX)                    \
    X(mae, MATRIX)
#endif

#ifdef T

/* Share of the K outputs on the right side of 1/2. */
CNET_INLINE double F(binary_accuracy_metric)(size_t K, const T *y, const T *t)
{
    size_t hits = 0;
    for (size_t k = 0; k < K; k++)
        hits += (y[k] > (T)0.5) == (t[k] > (T)0.5);
    return (double)hits / (double)K;
}

CNET_INLINE size_t F(argmax)(size_t K, const T *y)
{
    size_t top = 0;
    for (size_t k = 1; k < K; k++)
        top = y[k] > y[top] ? k : top;
    return top;
}

CNET_INLINE double F(categorical_accuracy_metric)(size_t K, const T *y, const T *t)
{
    return F(argmax)(K, y) == F(argmax)(K, t);
}

CNET_INLINE double F(sparse_accuracy_metric)(size_t K, const T *y, const int64_t *label)
{
    return F(argmax)(K, y) == (size_t)*label;
}

CNET_INLINE double F(mse_metric)(size_t K, const T *y, const T *t)
{
    double sum = 0;
    for (size_t k = 0; k < K; k++)
        sum += ((double)y[k] - (double)t[k]) * ((double)y[k] - (double)t[k]);
    return sum / (double)K;
}

CNET_INLINE double F(mae_metric)(size_t K, const T *y, const T *t)
{
    double sum = 0;
    for (size_t k = 0; k < K; k++) {
        double e = (double)y[k] - (double)t[k];
        sum += e < 0 ? -e : e;
    }
    return sum / (double)K;
}

#endif
