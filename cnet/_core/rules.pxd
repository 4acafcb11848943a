from cnet._core.network cimport Network


cdef class Rule:
    cdef Network network
    cdef readonly str name
    cdef int which
    cdef readonly object settings
    cdef readonly object running
    cdef readonly object states
    cdef double *settings_at
    cdef double *running_at
    cdef Py_ssize_t size
    cdef void *state_at[3]

    cdef void step(self, int threads) noexcept nogil
