from cnet._core.csrc cimport cnet_op, cnet_source


cdef class Operations:
    cdef cnet_op *at
    cdef readonly int count
    cdef readonly bint needs_whole_batch
    # The widest slot whose gradient an operation that cannot add has to add to.
    cdef readonly Py_ssize_t spare_width
    cdef list routes
    # Operations of the user's own, which are called through them.
    cdef readonly list foreign

    cdef int set_op(self, cnet_op *op, dict operation, tuple widths, Py_ssize_t itemsize, parameters,
                    gradients) except -1
    # Raises for the first number of some rows that should be a category and is none.
    cdef int check_categories(self, const cnet_source *source, str what) except -1
