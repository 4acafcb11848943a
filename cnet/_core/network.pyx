"""A network's program: operations over slots, run forward and backward without the GIL.

Memory: the parameters and what belongs to them are an Arena's. What a pass needs besides is in a
Workspace, one per thread that is inside the network at the same time; the program itself is never
written after it is built.
"""

import numpy as np

from cpython.buffer cimport PyBUF_FORMAT, PyBUF_STRIDES, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport uint64_t
from libc.string cimport memcpy

from cnet._core.arena cimport Arena
from cnet._core.csrc cimport (
    CNET_F32, CNET_LAYER_batch_normalization, CNET_LAYER_dense, cnet_op, cnet_run, cnet_source,
)
from cnet._core.foreign cimport backward_op, forward_op, raise_failure
from cnet._core.inference cimport MOST_LANES, Inference, infer, result_at
from cnet._core.kernels cimport expect_shape, load_blas
from cnet._core.operations cimport Operations
from cnet._core.sources cimport PerColumn, Source, fill
from cnet._core.workspace cimport Workspace, address

# Rows that a pass without gradients takes at a time: they and their activations stay in the cache.
cdef Py_ssize_t INFERENCE_ROWS = 512


cdef class Network(Arena):
    """The program of a network, its parameters and their gradients.

    Parameters
    ----------
    dtype : {"float32", "float64"}
    widths : sequence of int
        Columns of every slot; slot 0 is the input.
    operations : sequence of dict
        In the order of the forward pass; see `Operations`.
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
    input_scaling, output_scaling : PerColumn or None
        What `normalize` was given.
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
        self.operations = Operations(operations, self.widths, self.itemsize, self.parameters,
                                     self.gradients)
        self.ops, self.op_count = self.operations.at, self.operations.count
        self.needs_whole_batch = self.operations.needs_whole_batch
        self.spare_width = self.operations.spare_width
        self.inputs = self.widths[0]
        self.spares = []
        self.output_slot = self.ops[self.op_count - 1].y if self.op_count else 0
        self.outputs = self.widths[self.output_slot]
        if max(self.widths) >= 128:
            load_blas()

    def normalize(self, PerColumn inputs=None, PerColumn outputs=None, refusal=None):
        """Have inputs scaled while they are gathered, and outputs when they are handed out.

        `predict` and `forward` do so themselves; for training, the data's sources do the first.

        Parameters
        ----------
        inputs : PerColumn, optional
            Inputs become (x - shift) * factor.
        outputs : PerColumn, optional
            Outputs become y * factor + shift.
        refusal : callable, optional
            Makes the exception that every pass raises instead, until this is called again.

        Raises
        ------
        ValueError
            For another number of columns.
        """
        if inputs is not None:
            expect_shape("inputs", (inputs.columns,), (self.inputs,))
        if outputs is not None:
            expect_shape("outputs", (outputs.columns,), (self.outputs,))
        self.input_scaling, self.output_scaling, self.refusal = inputs, outputs, refusal

    cdef int check_ready(self) except -1:
        if self.refusal is not None:
            raise self.refusal()
        return 0

    def check_categories(self, Source x not None, str what="x"):
        """Refuse rows that hold numbers that are no categories where some are expected.

        Raises
        ------
        ValueError
        """
        self.operations.check_categories(&x.rows, what)

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
        cdef const cnet_op *op = &self.ops[self.op_count - 1]
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
        # Held, since `compile` and `normalize` may be called meanwhile.
        cdef object held = self.average
        cdef void *shown = self.shown_at
        cdef PerColumn inputs = self.input_scaling, outputs = self.output_scaling
        self.check_ready()
        PyObject_GetBuffer(x, &view, PyBUF_STRIDES | PyBUF_FORMAT)
        try:
            fill(&source, &view, scale)
            if <Py_ssize_t>source.columns != self.inputs:
                raise ValueError(f"expected {self.inputs} columns, got {source.columns}")
            if inputs is not None:
                source.shift, source.factor = inputs.shift_at, inputs.factor_at
            self.operations.check_categories(&source, "x")
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
            job.outputs, job.output_factor, job.output_shift = self.outputs, NULL, NULL
            if outputs is not None:
                job.output_factor, job.output_shift = outputs.factor_at, outputs.shift_at
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
        cdef PerColumn scaling = self.input_scaling, restoring = self.output_scaling
        self.check_ready()
        self.operations.check_categories(&x.rows, "x")
        cdef cnet_source rows = x.rows
        if scaling is not None:
            rows.shift, rows.factor = scaling.shift_at, scaling.factor_at
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
        with nogil:
            self.kernels.gather(&rows, NULL, 0, n, run.value[0])
            self.forward_ops(run)
            memcpy(to, run.value[self.output_slot], n * self.outputs * self.itemsize)
            if restoring is not None:
                self.kernels.restore(n, self.outputs, restoring.factor_at, restoring.shift_at, to)
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
        before = self.gradients.copy() if self.operations.foreign else None
        cdef PerColumn restoring = self.output_scaling
        with nogil:
            self.kernels.gather(&dy.rows, NULL, 0, run.rows, run.slope[self.output_slot])
            if restoring is not None:
                self.kernels.restore(run.rows, self.outputs, restoring.factor_at, NULL,
                                     run.slope[self.output_slot])
            run.slope[0] = to
            self.backward_ops(run)
            run.slope[0] = dx
        self.tape = tape
        if run.failure != NULL:
            self.gradients[:] = before
            raise_failure(run)
        return out
