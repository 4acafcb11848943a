from cnet._core.network cimport Network
from cnet._core.rules cimport Rule
from cnet._core.workspace cimport Workspace


cdef enum:
    SOUND
    GRADIENT
    UPDATE


cdef class Guard:
    cdef Network network
    cdef Rule rule
    cdef Workspace work
    cdef size_t size
    cdef size_t all
    cdef bint direct
    cdef bint few
    cdef double value
    cdef double slope
    cdef readonly int fault

    # Before the first piece of a batch.
    cdef void begin(self) noexcept nogil
    # After the backward pass of a piece.
    cdef void look(self) noexcept nogil
    # Update the parameters, whose size has cost so much; False if that would have made something that
    # is not finite, or if a rule of the user's own has failed.
    cdef bint step(self, size_t rows, double penalty) noexcept nogil
    cdef bint careful_step(self) noexcept with gil
    cdef bint finite(self, const void *values) noexcept nogil
