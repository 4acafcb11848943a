from cnet._core.csrc cimport cnet_clip, cnet_place
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
    cdef cnet_clip clip
    cdef cnet_place *places
    cdef Py_ssize_t place_count
    cdef readonly double norm
    cdef void *state_at[3]
    cdef object own
    cdef object failure
    cdef object work
    cdef void *work_at
    cdef readonly bint holds

    cdef int hold_matrices(self, matrices) except -1
    cdef void enter(self, int threads) noexcept nogil
    cdef void leave(self, int threads) noexcept nogil
    # False if a rule of the user's own has failed: then nothing is changed.
    cdef bint step(self, int threads) noexcept nogil
    cdef bint own_step(self) noexcept nogil
    cdef int raise_failure(self) except -1
