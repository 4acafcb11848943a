/* activations.h - every activation: one row in the list, one pair of functions below it.
 *
 * Row: name, what the derivative reads (the backward pass keeps no more than that), the value that
 * `alpha` has unless the user gives another, and whether `alpha` means anything.
 *   OUTPUT   slope(x, y, a) uses y alone, so the pre-activation is not saved
 *   INPUT    slope uses the pre-activation x (and y where that is cheaper)
 *   ROWS     not elementwise: a function of the whole row, written out in kernels.inc
 *
 * To add one: a row, its value and its slope, and a formula in tests/reference.py. */
#ifndef CNET_ACTIVATIONS
#define CNET_ACTIVATIONS(X)                 \
    X(linear, OUTPUT, 0.0, 0)               \
    X(sigmoid, OUTPUT, 0.0, 0)              \
    X(tanh, OUTPUT, 0.0, 0)                 \
    X(relu, OUTPUT, 0.0, 0)                 \
    X(leaky_relu, OUTPUT, 0.01, 1)          \
    X(elu, OUTPUT, 1.0, 1)                  \
    X(selu, OUTPUT, 0.0, 0)                 \
    X(gelu, INPUT, 0.0, 0)                  \
    X(gelu_tanh, INPUT, 0.0, 0)             \
    X(silu, INPUT, 0.0, 0)                  \
    X(mish, INPUT, 0.0, 0)                  \
    X(softplus, OUTPUT, 0.0, 0)             \
    X(softsign, OUTPUT, 0.0, 0)             \
    X(hard_sigmoid, OUTPUT, 0.0, 0)         \
    X(hard_tanh, OUTPUT, 0.0, 0)            \
    X(relu6, OUTPUT, 0.0, 0)                \
    X(exponential, OUTPUT, 0.0, 0)          \
    X(softmax, ROWS, 0.0, 0)                \
    X(log_softmax, ROWS, 0.0, 0)
#endif

#ifdef T /* the pairs, for one dtype: value(x, a) and slope(x, y, a) where y = value(x, a) */

CNET_INLINE T F(linear_value)(T x, T a) { (void)a; return x; }
CNET_INLINE T F(linear_slope)(T x, T y, T a) { (void)x; (void)y; (void)a; return 1; }

CNET_INLINE T F(sigmoid_value)(T x, T a) { (void)a; return F(cnet_sigmoid)(x); }
CNET_INLINE T F(sigmoid_slope)(T x, T y, T a) { (void)x; (void)a; return y * (1 - y); }

CNET_INLINE T F(tanh_value)(T x, T a) { (void)a; return F(cnet_tanh)(x); }
CNET_INLINE T F(tanh_slope)(T x, T y, T a) { (void)x; (void)a; return 1 - y * y; }

/* Written so that NaN passes: a comparison with NaN is false. */
CNET_INLINE T F(relu_value)(T x, T a) { (void)a; return x < 0 ? 0 : x; }
CNET_INLINE T F(relu_slope)(T x, T y, T a) { (void)x; (void)a; return y > 0 ? (T)1 : (T)0; }

CNET_INLINE T F(leaky_relu_value)(T x, T a) { return x < 0 ? a * x : x; }
CNET_INLINE T F(leaky_relu_slope)(T x, T y, T a) { (void)x; return y > 0 ? (T)1 : a; }

CNET_INLINE T F(elu_value)(T x, T a)
{
    T e = a * F(cnet_expm1)(x < 0 ? x : 0);
    return x < 0 ? e : x;
}
CNET_INLINE T F(elu_slope)(T x, T y, T a) { (void)x; return y > 0 ? (T)1 : y + a; }

/* Klambauer et al. (2017): the fixed point of mean 0, variance 1. */
#define SELU_SCALE ((T)1.0507009873554804934193349852946)
#define SELU_ALPHA ((T)1.6732632423543772848170429916717)
CNET_INLINE T F(selu_value)(T x, T a)
{
    (void)a;
    T e = SELU_ALPHA * F(cnet_expm1)(x < 0 ? x : 0);
    return SELU_SCALE * (x < 0 ? e : x);
}
CNET_INLINE T F(selu_slope)(T x, T y, T a)
{
    (void)x; (void)a;
    return y > 0 ? SELU_SCALE : y + SELU_SCALE * SELU_ALPHA;
}

/* Hendrycks and Gimpel (2016), exact form: x Phi(x); slope Phi(x) + x phi(x). */
CNET_INLINE T F(gelu_value)(T x, T a)
{
    (void)a;
    /* Beyond +-40 Phi is 0 or 1 in both dtypes; the clamp keeps -inf * 0 from becoming NaN. */
    T c = x < -40 ? -40 : x;
    return c * F(cnet_normal_cdf)(c);
}
CNET_INLINE T F(gelu_slope)(T x, T y, T a)
{
    (void)y; (void)a;
    T c = x < -40 ? -40 : x > 40 ? 40 : x;
    return F(cnet_normal_cdf)(c) + c * (T)0.39894228040143267794 * F(cnet_exp)(-c * c / 2);
}

/* Its tanh form, as in the paper: 0.5 x (1 + tanh(u)) = x sigmoid(2 u), u = k (x + 0.044715 x^3).
 * The sigmoid keeps the relative error small where 1 + tanh would cancel. */
#define GELU_K ((T)0.79788456080286535588)
CNET_INLINE T F(gelu_tanh_value)(T x, T a)
{
    (void)a;
    T c = x < -40 ? -40 : x > 40 ? 40 : x;
    T s = F(cnet_sigmoid)(2 * GELU_K * (c + (T)0.044715 * c * c * c));
    return x > 40 ? x : c * s;
}
CNET_INLINE T F(gelu_tanh_slope)(T x, T y, T a)
{
    (void)y; (void)a;
    T c = x < -40 ? -40 : x > 40 ? 40 : x;
    T s = F(cnet_sigmoid)(2 * GELU_K * (c + (T)0.044715 * c * c * c));
    return s + c * s * (1 - s) * 2 * GELU_K * (1 + (T)0.134145 * c * c);
}

/* x sigmoid(x). Below -800 sigmoid is 0 in both dtypes: the clamp keeps -inf * 0 from NaN. */
CNET_INLINE T F(silu_value)(T x, T a)
{
    (void)a;
    T c = x < -800 ? -800 : x;
    return c * F(cnet_sigmoid)(c);
}
CNET_INLINE T F(silu_slope)(T x, T y, T a)
{
    (void)y; (void)a;
    T c = x < -800 ? -800 : x > 800 ? 800 : x;
    T s = F(cnet_sigmoid)(c);
    return s * (1 + c * (1 - s));
}

/* Misra (2019): x tanh(softplus(x)); slope t + x sigmoid(x) (1 - t^2), t = tanh(softplus(x)). */
CNET_INLINE T F(mish_value)(T x, T a)
{
    (void)a;
    T c = x < -800 ? -800 : x;
    return c * F(cnet_tanh)(F(cnet_softplus)(c));
}
CNET_INLINE T F(mish_slope)(T x, T y, T a)
{
    (void)y; (void)a;
    T c = x < -800 ? -800 : x > 800 ? 800 : x;
    T t = F(cnet_tanh)(F(cnet_softplus)(c));
    return t + c * F(cnet_sigmoid)(c) * (1 - t * t);
}

/* log(1 + e^x); slope sigmoid(x) = 1 - e^-y. */
CNET_INLINE T F(softplus_value)(T x, T a) { (void)a; return F(cnet_softplus)(x); }
CNET_INLINE T F(softplus_slope)(T x, T y, T a) { (void)x; (void)a; return -F(cnet_expm1)(-y); }

/* x / (1 + |x|); slope 1 / (1 + |x|)^2 = (1 - |y|)^2. The clamp turns inf / inf into 1. */
CNET_INLINE T F(softsign_value)(T x, T a)
{
    (void)a;
    const T big = sizeof(T) == 4 ? (T)1e30 : (T)1e300;
    T c = x > big ? big : x < -big ? -big : x;
    return c / (1 + (c < 0 ? -c : c));
}
CNET_INLINE T F(softsign_slope)(T x, T y, T a)
{
    (void)x; (void)a;
    T r = 1 - (y < 0 ? -y : y);
    return r * r;
}

/* As torch.nn.Hardsigmoid: min(max((x + 3) / 6, 0), 1). */
CNET_INLINE T F(hard_sigmoid_value)(T x, T a)
{
    (void)a;
    T v = (x + 3) * (T)(1.0 / 6.0); /* exactly 0 at the kink, unlike x / 6 + 1/2 */
    return v < 0 ? 0 : v > 1 ? 1 : v;
}
CNET_INLINE T F(hard_sigmoid_slope)(T x, T y, T a)
{
    (void)x; (void)a;
    return (y > 0) & (y < 1) ? (T)(1.0 / 6.0) : (T)0;
}

CNET_INLINE T F(hard_tanh_value)(T x, T a) { (void)a; return x < -1 ? -1 : x > 1 ? 1 : x; }
CNET_INLINE T F(hard_tanh_slope)(T x, T y, T a)
{
    (void)x; (void)a;
    return (y > -1) & (y < 1) ? (T)1 : (T)0;
}

CNET_INLINE T F(relu6_value)(T x, T a) { (void)a; return x < 0 ? 0 : x > 6 ? 6 : x; }
CNET_INLINE T F(relu6_slope)(T x, T y, T a)
{
    (void)x; (void)a;
    return (y > 0) & (y < 6) ? (T)1 : (T)0;
}

CNET_INLINE T F(exponential_value)(T x, T a) { (void)a; return F(cnet_exp)(x); }
CNET_INLINE T F(exponential_slope)(T x, T y, T a) { (void)x; (void)a; return y; }

#endif
