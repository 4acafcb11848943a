from cnet._core.csrc cimport cnet_route, cnet_source


cdef class Routes:
    cdef cnet_route *at
    cdef readonly Py_ssize_t count
    cdef readonly Py_ssize_t width
    cdef tuple names

    # Raises for the first number that is no category.
    cdef int check(self, const cnet_source *source, str what) except -1
