from cpython.buffer cimport Py_buffer

from cnet._core.csrc cimport cnet_source


cdef class Source:
    cdef cnet_source rows
    cdef Py_buffer view
    cdef bint held


# Address of row `first` if kernels of this itemsize can read the rows where they lie, else NULL.
cdef const void *in_place(const cnet_source *rows, size_t first, size_t itemsize) noexcept nogil
cdef int expect_indices(str name, array, size_t count, size_t limit) except -1
cdef int fill(cnet_source *rows, Py_buffer *view, double scale) except -1
