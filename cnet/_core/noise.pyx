"""The layers of csrc/noise.h on arrays of rows, with whatever seed and step one likes."""

from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memset

from cnet._core.csrc cimport CNET_F32, CNET_F64, cnet_op, cnet_run
from cnet._core.kernels cimport expect_shape, kernels_of, real
from cnet._core.kernels import LAYERS

NAMES = ("dropout", "gaussian_dropout", "gaussian_noise")


cdef int apply(str name, bint back, const real[:, ::1] x, real[:, ::1] y, double setting,
               uint64_t seed, uint64_t step, uint32_t stream, size_t first_row,
               int threads) except -1:
    cdef int dtype = CNET_F32 if real is float else CNET_F64, kind
    cdef cnet_op op
    cdef cnet_run run
    cdef void *slots[2]
    if name not in NAMES:
        raise ValueError(f"unknown layer {name!r}; known: {', '.join(NAMES)}")
    expect_shape("the result", (y.shape[0], y.shape[1]), (x.shape[0], x.shape[1]))
    if x.shape[0] == 0 or x.shape[1] == 0:
        return 0
    memset(&op, 0, sizeof(op))
    memset(&run, 0, sizeof(run))
    kind = LAYERS.index(name)
    op.kind, op.alpha, op.stream = kind, setting, stream
    op.inputs = op.outputs = x.shape[1]
    op.x, op.y, op.needs_dx = back, not back, True
    slots[0], slots[1] = <void *>&x[0, 0], &y[0, 0]
    run.value = run.slope = slots
    run.rows, run.first_row, run.threads, run.training = x.shape[0], first_row, threads, True
    run.seed, run.step = seed, step
    with nogil:
        if back:
            kernels_of(dtype).backward[kind](&op, &run)
        else:
            kernels_of(dtype).forward[kind](&op, &run)
    return 0


def forward(str name, const real[:, ::1] x, real[:, ::1] y, double setting, uint64_t seed=0,
            uint64_t step=0, uint32_t stream=0, size_t first_row=0, int threads=1):
    """y = x m or x + m, with the m of a training step.

    Parameters
    ----------
    name : {"dropout", "gaussian_dropout", "gaussian_noise"}
    x : (B, O) array
    y : (B, O) array
        Written; not `x` itself.
    setting : float
        The rate in [0, 1), or the noise's standard deviation.
    seed, step, stream : int
        What m is a function of; stream is below 2^24.
    first_row : int
        The place of these rows in their batch.
    threads : int
        That may work on it; changes no bit.

    Raises
    ------
    ValueError
        For an unknown name, or shapes that differ.
    TypeError
        For dtypes that differ.
    """
    apply(name, False, x, y, setting, seed, step, stream, first_row, threads)


def backward(str name, const real[:, ::1] dy, real[:, ::1] dx, double setting, uint64_t seed=0,
             uint64_t step=0, uint32_t stream=0, size_t first_row=0, int threads=1):
    """dx = dy m or dy, with the m of `forward` for the same numbers.

    Parameters
    ----------
    name : {"dropout", "gaussian_dropout", "gaussian_noise"}
    dy : (B, O) array
        Gradient of the loss with respect to y.
    dx : (B, O) array
        Written; not `dy` itself.
    setting, seed, step, stream, first_row, threads
        As for `forward`.

    Raises
    ------
    as `forward`
    """
    apply(name, True, dy, dx, setting, seed, step, stream, first_row, threads)
