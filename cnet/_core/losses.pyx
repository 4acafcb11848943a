"""Every loss of csrc/losses.h: value and gradient together."""

from libc.stdint cimport int64_t

from cnet._core.csrc cimport CNET_F32, CNET_F64, cnet_loss
from cnet._core.kernels cimport expect_shape, kernels_of, real
from cnet._core.kernels import LOSSES

cdef dict IDS = {name: i for i, name in enumerate(LOSSES)}


cdef int find(str name) except -1:
    if name not in IDS:
        raise ValueError(f"unknown loss {name!r}; known: {', '.join(IDS)}")
    return IDS[name]


def value_and_gradient(str name, const real[:, ::1] y, const real[:, ::1] target,
                       real[:, ::1] dy=None, const real[::1] weight=None, double scale=1.0,
                       double parameter=0.0, double smoothing=0.0):
    """Scale times the weighted sum of a loss over a batch, and its gradient.

    Parameters
    ----------
    name : str
        A name of `cnet._core.kernels.LOSSES` whose targets are a matrix.
    y : (B, K) array
        Outputs; logits for the names that end in _logits.
    target : (B, K) array
        (B, K/2) for gaussian_nll.
    dy : (B, K) array, optional
        Overwritten with the gradient; may be `y` itself.
    weight : (B,) array, optional
    scale : float
        1/B or 1/(B K), whichever mean the loss is: nothing else divides.
    parameter : float
        Huber's delta, the quantile's q.
    smoothing : float
        Label smoothing of the cross-entropies, in [0, 1).

    Returns
    -------
    float

    Raises
    ------
    ValueError
        For an unknown name, or shapes that do not fit.
    """
    cdef cnet_loss loss = cnet_loss(find(name), parameter, smoothing)
    cdef Py_ssize_t B = y.shape[0], K = y.shape[1]
    cdef int dtype = CNET_F32 if real is float else CNET_F64
    if LOSSES[name] == "LABELS":
        raise ValueError(f"{name} takes class labels: call labels_value_and_gradient")
    expect_shape("target", (target.shape[0], target.shape[1]),
                 (B, K // 2 if LOSSES[name] == "HALF" else K))
    return call[real](&loss, dtype, y, &target[0, 0] if target.size else NULL, dy,
                                  weight, scale)


def labels_value_and_gradient(str name, const real[:, ::1] y, const int64_t[::1] target,
                              real[:, ::1] dy=None, const real[::1] weight=None,
                              double scale=1.0, double smoothing=0.0):
    """The same for class indices.

    Parameters
    ----------
    name : str
        A name of `cnet._core.kernels.LOSSES` whose targets are labels.
    y : (B, K) array
    target : (B,) int64 array
        Values in 0..K-1.
    dy, weight, scale, smoothing
        As for `value_and_gradient`.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        For an unknown name, shapes that do not fit, or a label out of range.
    """
    cdef cnet_loss loss = cnet_loss(find(name), 0.0, smoothing)
    cdef Py_ssize_t B = y.shape[0], K = y.shape[1], i
    cdef int dtype = CNET_F32 if real is float else CNET_F64
    if LOSSES[name] != "LABELS":
        raise ValueError(f"{name} takes a matrix of targets: call value_and_gradient")
    expect_shape("target", (target.shape[0],), (B,))
    for i in range(B):
        if target[i] < 0 or target[i] >= K:
            raise ValueError(f"target[{i}] is {target[i]}, expected 0..{K - 1}")
    return call[real](&loss, dtype, y, &target[0] if B else NULL, dy, weight, scale)


cdef double call(const cnet_loss *loss, int dtype, const real[:, ::1] y, const void *target,
                 real[:, ::1] dy, const real[::1] weight, double scale) except? -1.0:
    cdef Py_ssize_t B = y.shape[0], K = y.shape[1]
    cdef double value
    if dy is not None:
        expect_shape("dy", (dy.shape[0], dy.shape[1]), (B, K))
    if weight is not None:
        expect_shape("weight", (weight.shape[0],), (B,))
    if B == 0 or K == 0:
        return 0.0
    cdef const void *weight_at = &weight[0] if weight is not None else NULL
    cdef void *dy_at = &dy[0, 0] if dy is not None else NULL
    with nogil:
        value = kernels_of(dtype).loss[loss.kind](loss, B, K, &y[0, 0], target, weight_at, scale,
                                                  dy_at)
    return value
