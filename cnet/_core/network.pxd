from libc.stdint cimport uint64_t

from cnet._core.arena cimport Arena
from cnet._core.csrc cimport cnet_op, cnet_run
from cnet._core.operations cimport Operations
from cnet._core.sources cimport PerColumn
from cnet._core.workspace cimport Workspace


cdef class Network(Arena):
    cdef Operations operations
    cdef const cnet_op *ops
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
    cdef readonly PerColumn input_scaling
    cdef readonly PerColumn output_scaling
    cdef object refusal

    cdef int check_ready(self) except -1
    cdef void *address_of_result(self, object out, Py_ssize_t n) except NULL
    # Memory for up to `capacity` rows of this network.
    cdef Workspace workspace(self, Py_ssize_t capacity, bint training, bint input_slope)
    cdef Workspace take_workspace(self, Py_ssize_t rows)
    cdef void forward_ops(self, const cnet_run *run) noexcept nogil
    cdef void backward_ops(self, const cnet_run *run) noexcept nogil
    cdef void finish_linked(self, const cnet_run *run) noexcept nogil
    cdef void absorb_statistics(self, const cnet_run *run) noexcept nogil
