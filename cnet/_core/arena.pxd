from cnet._core.csrc cimport cnet_kernels


# What the size of a parameter costs: l1 sum |p| + l2 sum p^2; its place is in elements.
cdef struct Penalty:
    size_t offset
    size_t size
    double l1
    double l2


cdef class Arena:
    cdef const cnet_kernels *kernels
    cdef readonly int dtype
    cdef readonly Py_ssize_t itemsize
    cdef object numpy_dtype
    cdef readonly object parameters
    cdef readonly object gradients
    cdef void *parameters_at
    cdef void *gradients_at
    # What predictions are made with: the parameters, or an average of them.
    cdef void *shown_at
    cdef void *average_at
    cdef readonly object average
    cdef readonly object buffers
    cdef void *buffers_at
    cdef Penalty *penalties
    cdef int penalty_count
    # No element of their gradient is larger than this and what they cost together.
    cdef double most_penalty

    cdef int set_up(self, str dtype, Py_ssize_t size, Py_ssize_t buffer_size, penalties) except -1
    cdef void show(self, bint averaged) noexcept nogil
    cdef double penalize(self, bint training) noexcept nogil
