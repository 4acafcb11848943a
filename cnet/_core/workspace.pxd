from cnet._core.csrc cimport cnet_run


cdef class Workspace:
    cdef cnet_run run
    cdef readonly Py_ssize_t capacity
    cdef object memory
    cdef tuple widths
    cdef frozenset single
    cdef void *input_buffer
    cdef void *values_at
    cdef void *slopes_at
    cdef readonly Py_ssize_t values
    cdef readonly Py_ssize_t slopes



# A NumPy array of n zero bytes whose first is 64-byte aligned, and its address.
cdef object aligned_zeros(Py_ssize_t n)
cdef void *address(object array) except NULL