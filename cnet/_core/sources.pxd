from cpython.buffer cimport Py_buffer
from libc.stdint cimport int64_t

from cnet._core.csrc cimport cnet_source


cdef class PerColumn:
    cdef readonly object shift
    cdef readonly object factor
    cdef readonly Py_ssize_t columns
    cdef const double *shift_at
    cdef const double *factor_at


cdef class Source:
    cdef cnet_source rows
    cdef PerColumn scaling
    cdef Py_buffer view
    cdef bint held


# Address of row `first` if kernels of this itemsize can read the rows where they lie, else NULL.
cdef const void *in_place(const cnet_source *rows, size_t first, size_t itemsize) noexcept nogil
cdef int expect_indices(str name, array, size_t count, size_t limit) except -1
cdef int fill(cnet_source *rows, Py_buffer *view, double scale) except -1
# The indices first.. of an order, or as they lie where that is NULL.
cdef void take_indices(const int64_t *indices, const int64_t *order, size_t first, size_t n,
                       int64_t *out) noexcept nogil
# The other way round for rows of so many bytes: each to its own place.
cdef void put_rows(const char *rows, size_t size, const int64_t *order, size_t first, size_t n,
                   char *out) noexcept nogil
