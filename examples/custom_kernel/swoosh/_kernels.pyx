"""x sigmoid(beta x) and its derivative, for both of cnet's dtypes."""

from libc.math cimport exp, expf

cimport cnet

ctypedef fused real:
    float
    double


cdef inline real sigmoid(real x) noexcept nogil:
    if real is float:
        return 1 / (1 + expf(-x))
    else:
        return 1 / (1 + exp(-x))


cdef void forward(size_t n, const double *settings, const real *x, real *y) noexcept nogil:
    cdef real beta = <real>settings[0]
    cdef size_t i
    for i in range(n):
        y[i] = x[i] * sigmoid(beta * x[i])


cdef void backward(size_t n, const double *settings, const real *x, const real *y, const real *dy,
                   real *dx) noexcept nogil:
    cdef real beta = <real>settings[0]
    cdef real s
    cdef size_t i
    for i in range(n):
        s = sigmoid(beta * x[i])
        dx[i] = dy[i] * (s + beta * y[i] * (1 - s))


KERNELS = cnet.activation_kernels(forward[float], backward[float], forward[double],
                                  backward[double])
