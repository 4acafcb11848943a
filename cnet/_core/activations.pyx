"""Every activation of csrc/activations.h on arrays of rows."""

from cnet._core.csrc cimport CNET_F32, CNET_F64
from cnet._core.kernels cimport expect_shape, kernels_of, real
from cnet._core.kernels import ACTIVATIONS

cdef dict IDS = {name: i for i, name in enumerate(ACTIVATIONS)}


cdef int find(str name) except -1:
    if name not in IDS:
        raise ValueError(f"unknown activation {name!r}; known: {', '.join(IDS)}")
    return IDS[name]


def forward(str name, const real[:, ::1] x, real[:, ::1] y, double alpha=0.0):
    """y = f(x), row by row.

    Parameters
    ----------
    name : str
        A name of `cnet._core.kernels.ACTIVATIONS`.
    x : (B, O) array
    y : (B, O) array
        Written; may be `x` itself.
    alpha : float
        The parameter of leaky_relu and elu; other activations ignore it.

    Raises
    ------
    ValueError
        For an unknown name, or shapes that differ.
    TypeError
        For dtypes that differ.
    """
    cdef int which = find(name), dtype = CNET_F32 if real is float else CNET_F64
    cdef Py_ssize_t B = x.shape[0], O = x.shape[1]
    expect_shape("y", (y.shape[0], y.shape[1]), (B, O))
    if B and O:
        with nogil:
            kernels_of(dtype).activate[which](B, O, alpha, &x[0, 0], &y[0, 0])


def backward(str name, const real[:, ::1] x, const real[:, ::1] y, const real[:, ::1] dy,
             real[:, ::1] dx, double alpha=0.0):
    """dx = dy f'(x), overwritten.

    Parameters
    ----------
    name : str
    x : (B, O) array
        What went into `forward`.
    y : (B, O) array
        What came out of it.
    dy : (B, O) array
        Gradient of the loss with respect to y.
    dx : (B, O) array
        Written; may be `dy` itself.
    alpha : float

    Raises
    ------
    ValueError
        For an unknown name, or shapes that differ.
    TypeError
        For dtypes that differ.
    """
    cdef int which = find(name), dtype = CNET_F32 if real is float else CNET_F64
    cdef Py_ssize_t B = x.shape[0], O = x.shape[1]
    expect_shape("y", (y.shape[0], y.shape[1]), (B, O))
    expect_shape("dy", (dy.shape[0], dy.shape[1]), (B, O))
    expect_shape("dx", (dx.shape[0], dx.shape[1]), (B, O))
    if B and O:
        with nogil:
            kernels_of(dtype).activate_backward[which](B, O, alpha, &x[0, 0], &y[0, 0],
                                                       &dy[0, 0], &dx[0, 0])
