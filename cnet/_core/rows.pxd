from libc.stdint cimport int64_t

from cnet._core.augment cimport Augmenter
from cnet._core.csrc cimport cnet_kernels, cnet_run
from cnet._core.sources cimport Source


cdef class Rows:
    cdef const cnet_kernels *kernels
    cdef readonly Source x
    cdef readonly Source targets
    cdef readonly Source weights
    cdef readonly object labels
    cdef readonly object order
    cdef const int64_t *labels_at
    cdef const int64_t *order_at
    cdef Augmenter augmenter
    cdef size_t columns
    cdef Py_ssize_t itemsize
    cdef readonly size_t count

    cdef int follow(self, object order) except -1
    # What the rows of a batch are augmented by; before the first piece of it.
    cdef void begin(self, size_t first, size_t rows, const cnet_run *run) noexcept nogil
    # Put the rows of a piece where `run` reads them, and targets and weights to their places. The
    # piece begins at row run.first_row of the batch that begins at row `first` of the pass.
    cdef void gather(self, size_t first, cnet_run *run, void *input_buffer, void *targets,
                     void *weights) noexcept nogil
    cdef void fetch(self, size_t first, size_t rows) noexcept nogil
