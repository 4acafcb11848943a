"""A dense layer on its own: forward and backward, fused with the activation."""

from cnet._core cimport activations
from cnet._core.csrc cimport CNET_F32, CNET_F64
from cnet._core.kernels cimport Scratch, expect_shape, kernels_of, load_blas, real


def dense_forward(const real[:, ::1] x, const real[:, ::1] w, const real[::1] b, real[:, ::1] out,
                  str activation="linear", double alpha=0.0, real[:, ::1] z=None):
    """out = f(x w + b).

    Parameters
    ----------
    x : (B, I) array
    w : (I, O) array
    b : (O,) array or None
    out : (B, O) array
        Written.
    activation : str
    alpha : float
        The activation's parameter, where it has one.
    z : (B, O) array, optional
        Receives x w + b, which the backward pass of some activations reads
        (`cnet._core.kernels.ACTIVATIONS` says "INPUT").

    Raises
    ------
    ValueError
        For shapes that do not fit, or an unknown activation.
    TypeError
        For dtypes that differ.
    """
    cdef Py_ssize_t B = x.shape[0], I = x.shape[1], O = w.shape[1]
    cdef int which = activations.find(activation), dtype = CNET_F32 if real is float else CNET_F64
    expect_shape("w", (w.shape[0], w.shape[1]), (I, O))
    expect_shape("out", (out.shape[0], out.shape[1]), (B, O))
    if b is not None:
        expect_shape("b", (b.shape[0],), (O,))
    if z is not None:
        expect_shape("z", (z.shape[0], z.shape[1]), (B, O))
    if B == 0 or O == 0:
        return
    cdef const void *x_at = &x[0, 0] if I else NULL
    cdef const void *w_at = &w[0, 0] if I else NULL
    cdef const void *b_at = &b[0] if b is not None else NULL
    cdef void *z_at = &z[0, 0] if z is not None else &out[0, 0]
    cdef Scratch scratch = Scratch()
    load_blas()
    with nogil:
        kernels_of(dtype).dense_forward(B, I, O, x_at, w_at, b_at, which, alpha, z_at,
                                        &out[0, 0], scratch.at, 1)


def dense_backward(const real[:, ::1] x, const real[:, ::1] w, const real[:, ::1] z,
                   const real[:, ::1] y, real[:, ::1] dy, real[:, ::1] dw, real[::1] db=None,
                   real[:, ::1] dx=None, str activation="linear", double alpha=0.0,
                   bint fresh=False):
    """Gradients of a dense layer by the chain rule: dw += x^T dz, db += sum dz, dx = dz w^T.

    Parameters
    ----------
    x : (B, I) array
    w : (I, O) array
    z, y : (B, O) arrays
        What `dense_forward` wrote; pass y for z where the activation does not read z.
    dy : (B, O) array
        Gradient with respect to y. Overwritten with dz, the gradient with respect to x w + b.
    dw : (I, O) array
        Added to (overwritten when `fresh`).
    db : (O,) array, optional
        Likewise.
    dx : (B, I) array, optional
        Overwritten.
    activation : str
    alpha : float
    fresh : bool
        Parameter gradients count as zero and are overwritten.

    Raises
    ------
    ValueError
        For shapes that do not fit, or an unknown activation.
    TypeError
        For dtypes that differ.
    """
    cdef Py_ssize_t B = x.shape[0], I = x.shape[1], O = w.shape[1]
    cdef int which = activations.find(activation), dtype = CNET_F32 if real is float else CNET_F64
    expect_shape("w", (w.shape[0], w.shape[1]), (I, O))
    expect_shape("z", (z.shape[0], z.shape[1]), (B, O))
    expect_shape("y", (y.shape[0], y.shape[1]), (B, O))
    expect_shape("dy", (dy.shape[0], dy.shape[1]), (B, O))
    expect_shape("dw", (dw.shape[0], dw.shape[1]), (I, O))
    if db is not None:
        expect_shape("db", (db.shape[0],), (O,))
    if dx is not None:
        expect_shape("dx", (dx.shape[0], dx.shape[1]), (B, I))
    if B == 0 or O == 0 or I == 0:
        raise ValueError(f"nothing to differentiate: x is {(B, I)}, w is {(I, O)}")
    cdef void *db_at = &db[0] if db is not None else NULL
    cdef void *dx_at = &dx[0, 0] if dx is not None else NULL
    cdef Scratch scratch = Scratch()
    load_blas()
    with nogil:
        kernels_of(dtype).dense_backward(B, I, O, &x[0, 0], &w[0, 0], &z[0, 0], &y[0, 0], which,
                                         alpha, fresh, False, &dy[0, 0], &dw[0, 0], db_at, dx_at,
                                         scratch.at, 1)
