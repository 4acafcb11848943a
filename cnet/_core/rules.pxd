from cnet._core.csrc cimport cnet_clip, cnet_constraint, cnet_place
from cnet._core.network cimport Network


# How the settings of some parameters differ from those of the rule.
cdef struct Group:
    double factor  # of the learning rate
    bint decays    # weight decay of its own, as below
    double l2
    double decay


cdef class Rule:
    cdef Network network
    cdef readonly str name
    cdef int which
    cdef readonly object settings
    cdef readonly object running
    cdef readonly object states
    cdef double *settings_at
    cdef double *running_at
    cdef size_t size
    cdef cnet_clip clip
    cdef cnet_place *places
    cdef Py_ssize_t place_count
    cdef Group *groups
    cdef double *h
    cdef size_t group_count
    cdef readonly double norm
    cdef void *state_at[3]
    cdef object own
    cdef object failure
    cdef object work
    cdef void *work_at
    cdef bint divides
    # Of all groups.
    cdef double most_factor
    cdef double most_l2
    cdef double most_decay
    cdef readonly bint holds
    cdef cnet_constraint *constraints
    cdef Py_ssize_t *constrained  # their places
    cdef Py_ssize_t constraint_count
    # How the weights are averaged, see Rule.average_by.
    cdef int average_kind
    cdef double share
    cdef bint corrected
    cdef double first
    cdef double every
    cdef public double unit
    cdef readonly object averaging
    cdef double *averaging_at
    cdef object own_average
    cdef void *average_at

    cdef int hold_matrices(self, matrices) except -1
    cdef void enter(self, int threads) noexcept nogil
    cdef void leave(self, int threads) noexcept nogil
    # False if a rule of the user's own has failed: then nothing is changed.
    cdef bint step(self, int threads) noexcept nogil
    cdef bint own_step(self) noexcept nogil
    cdef int raise_failure(self) except -1
    # Whether a step of gradients that are not huge cannot make anything that is not finite.
    cdef bint is_tame(self) noexcept nogil
    cdef int hold_groups(self, list groups) except -1
    cdef void prepare_groups(self) noexcept nogil
    cdef void hold_to(self, int threads) noexcept nogil
    cdef void average(self, int threads) noexcept nogil
