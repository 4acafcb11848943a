"""The memory of a network's parameters, and of what belongs to them.

Parameters and gradients lie side by side in one arena, aligned to 64 bytes; buffers (moving means and
variances) in an array of their own.
"""

import numpy as np

from libc.stdlib cimport calloc, free

from cnet._core.csrc cimport CNET_F32, CNET_F64
from cnet._core.kernels cimport kernels_of
from cnet._core.workspace cimport address, aligned_zeros


cdef class Arena:
    """Parameters with their gradients, buffers, an average and what their size costs.

    Attributes
    ----------
    parameters, gradients : (size,) arrays
        Flat views of the arena.
    buffers : (buffer_size,) array
        Moving means and variances: training moves them, no gradient does.
    average : (size,) array or None
        What `hold_average` was given.
    """

    cdef int set_up(self, str dtype, Py_ssize_t size, Py_ssize_t buffer_size, penalties) except -1:
        cdef int i
        self.dtype = CNET_F32 if dtype == "float32" else CNET_F64
        self.numpy_dtype = np.dtype(dtype)
        self.kernels = kernels_of(self.dtype)
        self.itemsize = self.kernels.itemsize
        arena = aligned_zeros(2 * size * self.itemsize).view(self.numpy_dtype)
        self.parameters, self.gradients = arena[:size], arena[size:]
        self.parameters_at = self.shown_at = address(arena)
        self.gradients_at = <char *>self.parameters_at + size * self.itemsize
        self.buffers = aligned_zeros(buffer_size * self.itemsize).view(self.numpy_dtype)
        self.buffers_at = address(self.buffers)
        self.penalty_count = len(penalties)
        self.penalties = <Penalty *>calloc(max(self.penalty_count, 1), sizeof(Penalty))
        if self.penalties == NULL:
            raise MemoryError
        for i, (offset, count, l1, l2) in enumerate(penalties):
            if offset < 0 or count < 0 or offset + count > size:
                raise ValueError(f"penalty ({offset}, {count}) lies outside the parameters")
            self.penalties[i] = Penalty(offset, count, l1, l2)
            # Since 2 |p| is at most 1 + p^2.
            self.most_penalty = max(self.most_penalty, l1 + l2)
        return 0

    def __dealloc__(self):
        free(self.penalties)

    @property
    def nbytes(self):
        """Memory of parameters, gradients and buffers, in bytes."""
        return self.parameters.nbytes + self.gradients.nbytes + self.buffers.nbytes

    cdef double penalize(self, bint training) noexcept nogil:
        """What the parameters' size costs; its gradient is added to the gradients when training.

        Otherwise it is about the parameters that predictions are made with.
        """
        cdef char *p = <char *>(self.parameters_at if training else self.shown_at)
        cdef double value = 0
        cdef size_t at
        cdef int i
        for i in range(self.penalty_count):
            at = self.penalties[i].offset * self.itemsize
            value += self.kernels.penalize(
                self.penalties[i].size, self.penalties[i].l1, self.penalties[i].l2,
                p + at,
                <char *>self.gradients_at + at if training else NULL)
        return value

    def penalty(self):
        """What the parameters' size costs at the moment; 0 without penalties."""
        return self.penalize(False)

    def hold_average(self, average):
        """Keep an average of the parameters, which an update rule makes, for predictions.

        Predictions and evaluation are made with it once the rule says so, and with the parameters
        until then; training and `forward` always with the parameters.

        Parameters
        ----------
        average : (size,) array of the network's dtype, C-contiguous, or None
            None: with the parameters again.
        """
        if average is not None and (
                average.shape != self.parameters.shape or average.dtype != self.numpy_dtype
                or not average.flags.c_contiguous):
            raise ValueError(f"average must be {self.numpy_dtype} of shape {self.parameters.shape}")
        self.show(False)
        self.average_at = NULL if average is None else address(average)
        self.average = average

    def adopt_average(self):
        """Have the parameters be what predictions are made with, and hold no average any more."""
        if self.shows_average:
            self.parameters[:] = self.average
        self.hold_average(None)

    cdef void show(self, bint averaged) noexcept nogil:
        self.shown_at = (
            self.average_at if averaged and self.average_at != NULL else self.parameters_at)

    @property
    def shows_average(self):
        """Whether predictions are made with the average at the moment."""
        return self.shown_at != self.parameters_at
