"""Operations and losses that are no kernels of cnet's, for the program and the training loop."""

from cnet._core.csrc cimport cnet_foreign, cnet_kernels, cnet_op, cnet_run

# An activation in compiled code: functions and settings of cnet/__init__.pxd, whichever the dtype.
ctypedef void (*activate)(size_t, const double *, const void *, void *) noexcept nogil
ctypedef void (*activate_backward)(size_t, const double *, const void *, const void *,
                                   const void *, void *) noexcept nogil


cdef struct Compiled:
    activate forward
    activate_backward backward
    const double *settings


cdef class Foreign:
    cdef cnet_foreign functions
    cdef readonly object call
    cdef object dtype
    cdef dict parameters
    cdef dict gradients
    cdef object settings
    cdef Compiled compiled

    cdef int forward(self, const cnet_op *op, const cnet_run *run) except -1
    cdef int backward(self, const cnet_op *op, const cnet_run *run) except -1


cdef class ForeignLoss:
    cdef readonly object call
    cdef object dtype
    cdef object memory  # where targets and weights are gathered

    cdef double value(self, cnet_run *run, size_t columns, size_t target_columns, const void *y,
                      const void *target, const void *weight, double scale, void *dy) noexcept nogil
    cdef double evaluate(self, cnet_run *run, size_t columns, size_t target_columns, const void *y,
                         const void *target, const void *weight, double scale, void *dy) except *


# The one that an operation of a program asks for: its call, and places, {name: (offset, shape)} of
# its parameters.
cdef Foreign foreign_of(dict operation, parameters, gradients)
# Raises what has failed in a foreign operation, if something has.
cdef int raise_failure(cnet_run *run) except -1
# Returns it instead, or None.
cdef object take_failure(cnet_run *run)


cdef inline void forward_op(const cnet_kernels *kernels, const cnet_op *op,
                            const cnet_run *run) noexcept nogil:
    if op.foreign == NULL:
        kernels.forward[op.kind](op, run)
    elif run.failure == NULL:
        op.foreign.forward(op, run)


cdef inline void backward_op(const cnet_kernels *kernels, const cnet_op *op,
                             const cnet_run *run) noexcept nogil:
    if op.foreign == NULL:
        kernels.backward[op.kind](op, run)
    elif run.failure == NULL:
        op.foreign.backward(op, run)
