from cnet._core.csrc cimport cnet_kernels, cnet_run


cdef class Workspace:
    cdef cnet_run run
    cdef readonly Py_ssize_t capacity
    cdef object memory
    cdef void *input_buffer

    cdef object first_nonfinite(self, const cnet_kernels *kernels, tuple widths, frozenset single)


# A NumPy array of n zero bytes whose first is 64-byte aligned, and its address.
cdef object aligned_zeros(Py_ssize_t n)
cdef void *address(object array) except NULL
