"""Rows of a data set with targets and weights: checked, put in an order, gathered piece by piece."""

import numpy as np

from libc.stdint cimport int64_t

from cnet._core.augment cimport Augmenter
from cnet._core.csrc cimport cnet_run
from cnet._core.kernels cimport expect_shape, fetch
from cnet._core.network cimport Network
from cnet._core.sources cimport Source, expect_indices, in_place, take_indices
from cnet._core.workspace cimport address


cdef class Rows:
    """What one pass goes through.

    Parameters
    ----------
    network : Network
    x : Source of (N, inputs)
    targets : Source of (N, columns), or (N,) int64 array of class indices
    weights : Source of (N, 1), optional
    takes_labels : bool
        Class indices are what is wanted; else they may be given only where rows are mixed.
    columns : int
        Of a row's targets.
    augmenter : Augmenter, optional

    Raises
    ------
    ValueError
        For shapes or labels that do not fit.

    Attributes
    ----------
    count : int
        Of the rows.
    order : (count,) int64 array or None
        Of the running pass.
    """

    def __cinit__(self, Network network not None, Source x not None, targets, Source weights,
                  bint takes_labels, size_t columns, Augmenter augmenter=None):
        cdef size_t count = x.rows.rows
        if not count:
            raise ValueError("x has no rows")
        expect_shape("x", x.shape, (count, network.inputs))
        if weights is not None:
            expect_shape("weights", weights.shape, (count, 1))
        mixed = augmenter is not None and augmenter.mixes
        if takes_labels or (mixed and not isinstance(targets, Source)):
            self.labels = np.ascontiguousarray(targets, np.int64)
            expect_indices("targets", self.labels, count, network.outputs)
            self.labels_at = <const int64_t *>address(self.labels)
        else:
            self.targets = <Source?>targets
            expect_shape("targets", self.targets.shape, (count, columns))
        self.x, self.weights, self.augmenter = x, weights, augmenter
        self.columns, self.count = columns, count
        self.kernels, self.itemsize = network.kernels, network.itemsize

    cdef int follow(self, object order) except -1:
        if order is not None:
            expect_indices("order", order, self.count, self.count)
        self.order = order
        self.order_at = <const int64_t *>address(order) if order is not None else NULL
        return 0

    cdef void begin(self, size_t first, size_t rows, const cnet_run *run) noexcept nogil:
        if self.augmenter is not None:
            self.augmenter.begin(&self.x.rows, self.order_at, first, rows, run.seed, run.step,
                                 run.threads)

    cdef void gather(self, size_t first, cnet_run *run, void *input_buffer, void *targets,
                     void *weights) noexcept nogil:
        cdef size_t at = first + run.first_row, n = run.rows
        cdef const void *here = NULL
        if self.order_at == NULL and self.augmenter is None:
            here = in_place(&self.x.rows, at, self.itemsize)
        if here != NULL:
            run.value[0] = <void *>here
        else:
            run.value[0] = input_buffer
            if self.augmenter is not None:
                self.augmenter.gather(run.first_row, n, input_buffer)
            else:
                self.kernels.gather(&self.x.rows, self.order_at, at, n, input_buffer)
        if self.augmenter is not None and self.augmenter.mixes:
            self.augmenter.mix_targets(NULL if self.targets is None else &self.targets.rows,
                                       self.labels_at, self.columns, targets)
        elif self.labels_at != NULL:
            take_indices(self.labels_at, self.order_at, at, n, <int64_t *>targets)
        else:
            self.kernels.gather(&self.targets.rows, self.order_at, at, n, targets)
        if self.weights is not None:
            self.kernels.gather(&self.weights.rows, self.order_at, at, n, weights)
        if self.order_at != NULL and self.augmenter is None:
            self.fetch(at + n, min(n, self.count - at - n))

    cdef void fetch(self, size_t first, size_t rows) noexcept nogil:
        """Have the processor fetch the next piece while this one is worked on."""
        fetch(&self.x.rows, self.order_at, first, rows)
        if self.targets is not None:
            fetch(&self.targets.rows, self.order_at, first, rows)
