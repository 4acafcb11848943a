from cnet._core.csrc cimport cnet_kernels, cnet_op, cnet_run


cdef class Workspace:
    cdef cnet_run run
    cdef readonly Py_ssize_t capacity
    cdef object memory
    cdef void *input_buffer


cdef class Network:
    cdef const cnet_kernels *kernels
    cdef readonly int dtype
    cdef readonly Py_ssize_t itemsize
    cdef cnet_op *ops
    cdef readonly int op_count
    cdef readonly tuple widths
    cdef readonly Py_ssize_t inputs
    cdef readonly Py_ssize_t outputs
    cdef size_t output_slot
    cdef object numpy_dtype
    cdef readonly object parameters
    cdef readonly object gradients
    cdef void *parameters_at
    cdef void *gradients_at
    cdef list spares
    cdef Workspace tape

    cdef int set_op(self, cnet_op *op, dict operation) except -1
    cdef void *address_of_result(self, object out, Py_ssize_t n) except NULL
    cdef Workspace take_workspace(self, Py_ssize_t rows)
    cdef void forward_ops(self, const cnet_run *run) noexcept nogil
    cdef void backward_ops(self, const cnet_run *run) noexcept nogil
    cdef void finish_linked(self, const cnet_run *run) noexcept nogil


# A NumPy array of n zero bytes whose first is 64-byte aligned, and its address.
cdef object aligned_zeros(Py_ssize_t n)
cdef void *address(object array) except NULL
