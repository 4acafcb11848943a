"""Memory of a pass through a network: aligned arrays, and the slots of a program."""

import numpy as np

from cpython.buffer cimport PyBUF_STRIDES, PyBuffer_Release, PyObject_GetBuffer
from libc.string cimport memcpy

from cnet._core.csrc cimport CNET_SCRATCH_BYTES

cdef size_t ALIGNMENT = 64


cdef object aligned_zeros(Py_ssize_t n):
    raw = np.zeros(n + ALIGNMENT, np.uint8)
    cdef Py_ssize_t skip = (ALIGNMENT - <size_t>address(raw) % ALIGNMENT) % ALIGNMENT
    return raw[skip:skip + n]


cdef void *address(object array) except NULL:
    """Where an array's data lies (C-contiguous; the array must be kept alive by the caller)."""
    cdef Py_buffer view
    PyObject_GetBuffer(array, &view, PyBUF_STRIDES)
    cdef void *at = view.buf
    PyBuffer_Release(&view)
    return at


cdef size_t padded(size_t n) noexcept:
    return (n + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT


cdef class Workspace:
    """Values (and their gradients) of every slot for up to `capacity` rows, and scratch.

    Where the parameters are, the network writes in.

    Parameters
    ----------
    widths : tuple of int
        Columns of every slot.
    single : frozenset of int
        Slots that have one row whatever the capacity is.
    itemsize : int
        Bytes of an element.
    capacity : int
    training : bool
        Also hold the gradients.
    shared : dict of int to int
        Slots whose gradient lies in that of a later slot of the same width.
    spare : int
        Columns of what operations are helped with that cannot add to a gradient.

    Attributes
    ----------
    values, slopes : int
        Elements of all values but the input's, which lie side by side, and of all gradients.
    """

    def __cinit__(self, tuple widths, frozenset single, Py_ssize_t itemsize, Py_ssize_t capacity,
                  bint training, dict shared, Py_ssize_t spare):
        cdef Py_ssize_t slots = len(widths), tables, total, at, i
        self.capacity, self.widths, self.single = capacity, widths, single
        tables = padded(2 * slots * sizeof(void *))
        sizes = [
            padded(width * (1 if slot in single else capacity) * itemsize)
            for slot, width in enumerate(widths)
        ]
        total = tables + padded(CNET_SCRATCH_BYTES) + sum(sizes)
        if training:
            total += sum([size for i, size in enumerate(sizes) if i not in shared])
            total += padded(spare * capacity * itemsize)
        self.memory = aligned_zeros(total)
        cdef char *base = <char *>address(self.memory)
        self.run.value = <void **>base
        self.run.slope = <void **>base + slots
        at = tables
        self.run.scratch = base + at
        at += padded(CNET_SCRATCH_BYTES)
        for i in range(slots):
            self.run.value[i] = base + at
            at += <Py_ssize_t>sizes[i]
        self.input_buffer = self.run.value[0]
        # What is looked at as a whole begins behind the input, which has its place elsewhere in some
        # batches, and behind its gradient, which hardly anybody wants.
        self.values_at = base + at if slots == 1 else self.run.value[1]
        self.values = (base + at - <char *>self.values_at) // itemsize
        self.slopes_at = base + at + (<Py_ssize_t>sizes[0] if training and 0 not in shared else 0)
        if training:
            for i in range(slots):
                if i not in shared:
                    self.run.slope[i] = base + at
                    at += <Py_ssize_t>sizes[i]
            for i in sorted(shared, reverse=True):
                self.run.slope[i] = self.run.slope[<Py_ssize_t>shared[i]]
            self.run.spare = base + at
        self.slopes = max(0, base + at - <char *>self.slopes_at) // itemsize
        self.run.owner = <void *>self
        self.run.threads = 1
        self.run.training = training

    @property
    def first_row(self):
        """The place of the rows of the last pass in their batch."""
        return self.run.first_row

    def copy(self, int slot, dtype, bint slopes=False):
        """Values of a slot in the last pass, or their gradients: (rows, columns)."""
        cdef size_t rows = 1 if slot in self.single else self.run.rows
        values = np.empty((rows, self.widths[slot]), dtype)
        memcpy(address(values), self.run.slope[slot] if slopes else self.run.value[slot],
               values.nbytes)
        return values

    @property
    def nbytes(self):
        """Memory held, in bytes."""
        return self.memory.nbytes
