from libc.stdint cimport uint64_t

from cnet._core.arena cimport Arena
from cnet._core.csrc cimport cnet_op, cnet_run
from cnet._core.workspace cimport Workspace


cdef class Network(Arena):
    cdef cnet_op *ops
    cdef readonly int op_count
    cdef readonly tuple widths
    cdef readonly Py_ssize_t inputs
    cdef readonly Py_ssize_t outputs
    cdef size_t output_slot
    # Written when a run is continued; `Batches` that are there keep to the one before.
    cdef public uint64_t seed
    cdef readonly frozenset single_slots
    cdef dict shared_slopes
    cdef Py_ssize_t spare_width
    cdef readonly bint needs_whole_batch
    cdef list spares
    cdef Workspace tape
    cdef list foreign

    cdef int set_op(self, cnet_op *op, dict operation) except -1
    cdef int set_branches(self, cnet_op *op, branches) except -1
    cdef void *address_of_result(self, object out, Py_ssize_t n) except NULL
    # Memory for up to `capacity` rows of this network.
    cdef Workspace workspace(self, Py_ssize_t capacity, bint training, bint input_slope)
    cdef Workspace take_workspace(self, Py_ssize_t rows)
    cdef void forward_ops(self, const cnet_run *run) noexcept nogil
    cdef void backward_ops(self, const cnet_run *run) noexcept nogil
    cdef void finish_linked(self, const cnet_run *run) noexcept nogil
    cdef void absorb_statistics(self, const cnet_run *run) noexcept nogil
