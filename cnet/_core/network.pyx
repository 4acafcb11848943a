"""A network's program: operations over slots, run forward and backward without the GIL.

Memory: the parameters and what belongs to them are an Arena's. What a pass needs besides is in a
Workspace, one per thread that is inside the network at the same time; the program itself is never
written after it is built.
"""

import numpy as np

from cpython.buffer cimport (
    PyBUF_FORMAT, PyBUF_STRIDES, PyBuffer_Release, PyObject_GetBuffer,
)
from libc.stdint cimport uint64_t
from libc.stdlib cimport calloc, free

from cnet._core cimport activations
from cnet._core.arena cimport Arena
from cnet._core.csrc cimport (
    CNET_F32, CNET_LAYER_batch_normalization, CNET_LAYER_dense, CNET_NONE, cnet_branch, cnet_op,
    cnet_run, cnet_source,
)
from cnet._core.foreign cimport Foreign, backward_op, foreign_of, forward_op, raise_failure
from cnet._core.inference cimport MOST_LANES, Inference, infer, result_at
from cnet._core.kernels cimport load_blas
from cnet._core.kernels import LAYERS
from cnet._core.sources cimport Source, fill
from cnet._core.workspace cimport Workspace, address

# Rows that a pass without gradients takes at a time: they and their activations stay in the cache.
cdef Py_ssize_t INFERENCE_ROWS = 256


cdef class Network(Arena):
    """The program of a network, its parameters and their gradients.

    Parameters
    ----------
    dtype : {"float32", "float64"}
    widths : sequence of int
        Columns of every slot; slot 0 is the input.
    operations : sequence of dict
        In the order of the forward pass, with the keys kind, x, y, z (slots), activation, alpha,
        weight, bias (offsets in elements into the parameters, or None), needs_dx (bool: parameters
        come before), adds_dx (bool: x has a later reader), linked (bool: merged into the loss),
        stream (of its random numbers), for a normalisation mean, variance (offsets into the
        buffers), epsilon, momentum, for a merge branches: (slot, needs_dx, adds_dx) of each, and
        for one of the user's own call and places, see `cnet._core.foreign.foreign_of`.
    size, seed : int
        Elements of the parameters, all offsets included; what random layers draw from.
    penalties : sequence of (offset, size, l1, l2)
        What the size of some parameters costs: l1 sum |p| + l2 sum p^2.
    buffer_size : int
        Elements of the buffers, all offsets included.
    single_slots : collection of int
        Slots that have one row whatever the batch has.
    shared_slopes : dict of int to int
        Slots whose gradient lies in that of a later one of the same width.

    Attributes
    ----------
    parameters, gradients, buffers, average
        See `cnet._core.arena.Arena`.
    needs_whole_batch : bool
        Training rows depend on each other: a batch must not pass in pieces, nor have one row.
    """

    def __cinit__(self, str dtype, widths, operations, Py_ssize_t size, penalties=(),
                  uint64_t seed=0, Py_ssize_t buffer_size=0, single_slots=(), shared_slopes=None):
        cdef int i
        self.set_up(dtype, size, buffer_size, penalties)
        self.seed = seed
        self.widths, self.single_slots = tuple(widths), frozenset(single_slots)
        self.shared_slopes = dict(shared_slopes or {})
        self.op_count = len(operations)
        self.ops = <cnet_op *>calloc(max(self.op_count, 1), sizeof(cnet_op))
        if self.ops == NULL:
            raise MemoryError
        self.foreign = []
        for i, operation in enumerate(operations):
            self.set_op(&self.ops[i], operation)
        self.inputs = self.widths[0]
        self.spares = []
        self.output_slot = self.ops[self.op_count - 1].y if self.op_count else 0
        self.outputs = self.widths[self.output_slot]
        if max(self.widths) >= 128:
            load_blas()

    def __dealloc__(self):
        cdef int i
        for i in range(self.op_count if self.ops != NULL else 0):
            free(<void *>self.ops[i].branches)
        free(self.ops)

    cdef int set_op(self, cnet_op *op, dict operation) except -1:
        cdef Foreign foreign
        if "call" in operation:
            op.kind = -1
            foreign = foreign_of(operation, self.parameters, self.gradients)
            self.foreign.append(foreign)
            op.foreign = &foreign.functions
        else:
            op.kind = LAYERS.index(operation["kind"])
            op.activation = activations.find(operation["activation"])
        op.alpha = operation["alpha"]
        op.x, op.y, op.z = operation["x"], operation["y"], operation["z"]
        op.inputs, op.outputs = self.widths[op.x], self.widths[op.y]
        op.weight = CNET_NONE if operation["weight"] is None else operation["weight"]
        op.bias = CNET_NONE if operation["bias"] is None else operation["bias"]
        op.needs_dx, op.linked = operation["needs_dx"], operation["linked"]
        op.adds_dx = operation.get("adds_dx", False)
        if op.adds_dx and op.kind != CNET_LAYER_dense:
            self.spare_width = max(self.spare_width, <Py_ssize_t>op.inputs)
        self.set_branches(op, operation.get("branches", ()))
        op.stream = operation["stream"]
        op.mean = CNET_NONE if operation.get("mean") is None else operation["mean"]
        op.variance = CNET_NONE if operation.get("variance") is None else operation["variance"]
        op.epsilon, op.momentum = operation.get("epsilon", 0.0), operation.get("momentum", 0.0)
        self.needs_whole_batch |= op.kind == CNET_LAYER_batch_normalization
        return 0

    cdef int set_branches(self, cnet_op *op, branches) except -1:
        cdef cnet_branch *all_of_them = NULL
        cdef Py_ssize_t i
        if branches:
            all_of_them = <cnet_branch *>calloc(len(branches), sizeof(cnet_branch))
            if all_of_them == NULL:
                raise MemoryError
            for i, (slot, needs_dx, adds_dx) in enumerate(branches):
                all_of_them[i] = cnet_branch(slot, self.widths[slot], needs_dx, adds_dx)
        op.branches, op.branch_count = all_of_them, len(branches)
        return 0

    # ---- the program ---------------------------------------------------------------------------

    cdef void forward_ops(self, const cnet_run *run) noexcept nogil:
        cdef int i
        for i in range(self.op_count):
            forward_op(self.kernels, &self.ops[i], run)

    cdef void backward_ops(self, const cnet_run *run) noexcept nogil:
        cdef const cnet_op *op
        cdef void *dx
        cdef int i
        for i in range(self.op_count - 1, -1, -1):
            op = &self.ops[i]
            if not op.adds_dx or op.kind == CNET_LAYER_dense:
                backward_op(self.kernels, op, run)
                continue
            dx = run.slope[op.x]
            run.slope[op.x] = run.spare
            backward_op(self.kernels, op, run)
            run.slope[op.x] = dx
            if op.needs_dx or run.input_slope:
                self.kernels.accumulate(run.rows * op.inputs, run.spare, dx, run.threads)

    cdef void finish_linked(self, const cnet_run *run) noexcept nogil:
        """Turn logits into the network's outputs, in place, after a merged loss has used them."""
        cdef cnet_op *op = &self.ops[self.op_count - 1]
        if run.merged and op.linked:
            self.kernels.activate[op.activation](run.rows, op.outputs, op.alpha,
                                                 run.value[op.y], run.value[op.y])

    cdef void absorb_statistics(self, const cnet_run *run) noexcept nogil:
        """Move the buffers towards the statistics of the last training forward."""
        cdef int i
        for i in range(self.op_count):
            if self.ops[i].kind == CNET_LAYER_batch_normalization:
                self.kernels.absorb(&self.ops[i], run)

    # ---- inference -----------------------------------------------------------------------------

    def predict(self, x, out=None, double scale=1.0, int threads=1):
        """Outputs for rows of any numeric type.

        Safe from several threads at once: whoever finds no workspace left makes one.

        Parameters
        ----------
        x : (N, inputs) array
        out : (N, outputs) array, optional
            C-contiguous, of the network's dtype; written instead of a new array.
        scale : float
            Multiplies the inputs while they are gathered.
        threads : int
            That may work on it; changes no bit of the result.

        Returns
        -------
        (N, outputs) array
        """
        cdef Py_buffer view
        cdef cnet_source source
        cdef Inference job
        cdef Workspace work
        cdef Py_ssize_t n, chunks
        cdef int lanes, lane
        cdef object held = self.average  # also if another thread compiles meanwhile
        cdef void *shown = self.shown_at
        PyObject_GetBuffer(x, &view, PyBUF_STRIDES | PyBUF_FORMAT)
        try:
            fill(&source, &view, scale)
            if <Py_ssize_t>source.columns != self.inputs:
                raise ValueError(f"expected {self.inputs} columns, got {source.columns}")
            n = source.rows
            if out is None:
                out = np.empty((n, self.outputs), self.numpy_dtype)
                job.to = <char *>address(out)
            else:
                job.to = <char *>self.address_of_result(out, n)
            if n == 0:
                return out
            job.kernels, job.ops, job.op_count = self.kernels, self.ops, self.op_count
            job.output_slot, job.output_bytes = self.output_slot, self.outputs * self.itemsize
            job.source, job.chunk = &source, min(n, INFERENCE_ROWS)
            chunks = (n + job.chunk - 1) // job.chunk
            # Several chunks are dealt out to the threads; a single one they do together.
            lanes = max(1, min(threads, chunks, MOST_LANES))
            crew = []
            for lane in range(lanes):
                work = self.take_workspace(job.chunk)
                work.run.threads = threads if chunks == 1 else 1
                work.run.parameters = shown
                job.runs[lane], job.buffers[lane] = &work.run, work.input_buffer
                crew.append(work)
            infer(&job, lanes, chunks)
            self.spares += crew
            return out
        finally:
            PyBuffer_Release(&view)

    cdef Workspace workspace(self, Py_ssize_t capacity, bint training, bint input_slope):
        cdef Workspace work = Workspace(self.widths, self.single_slots, self.itemsize, capacity,
                                        training, self.shared_slopes, self.spare_width)
        work.run.parameters = self.parameters_at
        work.run.gradients = self.gradients_at if training else NULL
        work.run.buffers = self.buffers_at
        work.run.input_slope, work.run.seed = input_slope, self.seed
        return work

    cdef Workspace take_workspace(self, Py_ssize_t rows):
        """A workspace of at least so many rows that nobody else has now."""
        cdef Workspace work
        try:
            work = <Workspace>self.spares.pop()
            if work.capacity >= rows:
                return work
        except IndexError:
            pass
        return self.workspace(rows, False, False)

    cdef void *address_of_result(self, object out, Py_ssize_t n) except NULL:
        """Where to write n rows of outputs, once it is sure that they fit there."""
        return result_at(out, n, self.outputs, self.numpy_dtype)

    # ---- forward and backward by hand --------------------------------------------------------------

    def forward(self, Source x not None, int threads=1, bint training=False, uint64_t step=0):
        """Outputs for all rows of x, keeping what `backward` needs.

        Parameters
        ----------
        x : Source of (N, inputs)
        threads : int
        training : bool
            Normalise by the statistics of these rows, and move the buffers towards them; draw random
            numbers.
        step : int
            Whose random numbers are drawn, here and in `backward`.

        Returns
        -------
        (N, outputs) array
        """
        cdef Py_ssize_t n = x.rows.rows
        if <Py_ssize_t>x.rows.columns != self.inputs:
            raise ValueError(f"expected {self.inputs} columns, got {x.rows.columns}")
        if training and self.needs_whole_batch and n == 1:
            raise ValueError("one row has no variance to normalise by")
        # Whoever is inside holds the workspace, a second thread makes its own, and the last one out
        # leaves the tape.
        cdef Workspace tape = self.tape
        self.tape = None
        if tape is None or tape.capacity < n:
            tape = self.workspace(n, True, True)
        out = np.empty((n, self.outputs), self.numpy_dtype)
        cdef cnet_run *run = &tape.run
        run.rows, run.threads, run.training = n, threads, training
        run.step, run.seed = step, self.seed
        if n == 0:
            self.tape = tape
            return out
        cdef char *to = <char *>address(out)
        cdef cnet_source outputs
        outputs.data = <char *>run.value[self.output_slot]
        outputs.rows, outputs.columns = n, self.outputs
        outputs.row_stride = self.outputs * self.itemsize
        outputs.column_stride = self.itemsize
        outputs.type, outputs.scale = (0 if self.dtype == CNET_F32 else 1), 1
        with nogil:
            self.kernels.gather(&x.rows, NULL, 0, n, run.value[0])
            self.forward_ops(run)
            self.kernels.gather(&outputs, NULL, 0, n, to)
        raise_failure(run)
        if training:
            self.absorb_statistics(run)
        self.tape = tape
        return out

    @property
    def tape_rows(self):
        """Rows of the last `forward`, 0 before it."""
        return 0 if self.tape is None else self.tape.run.rows

    @property
    def tape_training(self):
        """Whether the last `forward` was one of training."""
        return self.tape is not None and bool(self.tape.run.training)

    def backward(self, Source dy not None, int threads=1):
        """Gradients for the last `forward`: adds to `gradients`, returns that of the inputs.

        Parameters
        ----------
        dy : Source of (N, outputs)
            Gradient of the loss with respect to the outputs that `forward` returned.

        Returns
        -------
        (N, inputs) array
        """
        cdef Workspace tape = self.tape
        if tape is None or tape.run.rows == 0:
            raise RuntimeError("backward needs a forward pass first")
        cdef cnet_run *run = &tape.run
        cdef Py_ssize_t n = run.rows
        if dy.rows.rows != run.rows or <Py_ssize_t>dy.rows.columns != self.outputs:
            raise ValueError(f"dy has shape {dy.shape}, expected {(n, self.outputs)}: "
                             "that of the last forward")
        self.tape = None
        out = np.empty((n, self.inputs), self.numpy_dtype)
        cdef char *to = <char *>address(out)
        cdef void *dx = run.slope[0]
        run.fresh, run.threads = 0, threads
        before = self.gradients.copy() if self.foreign else None
        with nogil:
            self.kernels.gather(&dy.rows, NULL, 0, run.rows, run.slope[self.output_slot])
            run.slope[0] = to
            self.backward_ops(run)
            run.slope[0] = dx
        self.tape = tape
        if run.failure != NULL:
            self.gradients[:] = before
            raise_failure(run)
        return out
