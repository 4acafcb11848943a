"""Statistics of the batches of a data set, where a network normalises by them."""

import numpy as np

from cpython.exc cimport PyErr_CheckSignals
from libc.stdint cimport int64_t, uint64_t

from cnet._core.csrc cimport cnet_source
from cnet._core.foreign cimport raise_failure
from cnet._core.kernels cimport expect_shape
from cnet._core.network cimport Network
from cnet._core.sources cimport PerColumn, Source, expect_indices
from cnet._core.workspace cimport Workspace, address


def mean_of_batches(Network network not None, Source x not None, order, size_t batch_size, places,
                    uint64_t step=0, int threads=1):
    """What the buffers of a network would be: means and variances, over the batches of a pass.

    The parameters are those that predictions are made with, everything else is as in training. Every
    batch counts the same, and its variance is divided by its rows - 1. The network stays as it is.

    Parameters
    ----------
    network : Network
    x : Source of (N, inputs)
    order : (N,) int64 array or None
        C-contiguous.
    batch_size : int
    places : sequence of (slot, mean, variance, columns)
        Of each batch normalisation: the slot of what it keeps of a batch, and where in the buffers
        its statistics are.
    step : int
        Whose random numbers the first batch draws; the next one, those of the next step.
    threads : int

    Returns
    -------
    (size,) float64 array
        Laid out as the buffers are.

    Raises
    ------
    ValueError
        For shapes that do not fit, or a batch of one row.
    """
    cdef size_t rows = x.rows.rows, first = 0, n
    cdef const int64_t *order_at = NULL
    cdef PerColumn scaling = network.input_scaling
    cdef cnet_source source = x.rows
    cdef Workspace work
    expect_shape("x", x.shape, (rows, network.inputs))
    network.check_ready()
    batch_size = min(batch_size, rows)
    if batch_size < 2 or rows % batch_size == 1:
        raise ValueError("one row has no variance to normalise by, and some batch has one row")
    if order is not None:
        expect_indices("order", order, rows, rows)
        order_at = <const int64_t *>address(order)
    if scaling is not None:
        source.shift, source.factor = scaling.shift_at, scaling.factor_at
    held = network.average  # also if another thread compiles meanwhile
    work = network.workspace(batch_size, True, False)
    work.run.parameters, work.run.threads, work.run.step = network.shown_at, threads, step
    sums, batches = np.zeros(network.buffers.size), 0
    while first < rows:
        n = min(batch_size, rows - first)
        work.run.rows = n
        with nogil:
            network.kernels.gather(&source, order_at, first, n, work.run.value[0])
            network.forward_ops(&work.run)
        raise_failure(&work.run)
        PyErr_CheckSignals()
        for slot, mean, variance, columns in places:
            kept = work.copy(slot, network.numpy_dtype)[0]
            sums[mean:mean + columns] += kept[:columns]
            sums[variance:variance + columns] += kept[2 * columns:] * (n / (n - 1.0))
        first += n
        work.run.step += 1
        batches += 1
    return sums / batches
