"""A network's program: operations over slots, run forward and backward without the GIL.

Memory: parameters and gradients lie side by side in one arena, aligned to 64 bytes. What a pass
needs besides is in a Workspace, one per thread that is inside the network at the same time; the
program itself is never written after it is built.
"""

import numpy as np

from cpython.buffer cimport (
    PyBUF_C_CONTIGUOUS, PyBUF_FORMAT, PyBUF_STRIDES, PyBUF_WRITABLE, PyBuffer_Release,
    PyObject_GetBuffer,
)
from cpython.exc cimport PyErr_CheckSignals
from libc.stdlib cimport calloc, free

from cnet._core cimport activations
from cnet._core.csrc cimport (
    CNET_F32, CNET_F64, CNET_NONE, CNET_SCRATCH_BYTES, cnet_kernels, cnet_op, cnet_run,
    cnet_source,
)
from cnet._core.kernels cimport kernels_of, load_blas, pool_run
from cnet._core.kernels import LAYERS
from cnet._core.sources cimport Source, fill, in_place

cdef size_t ALIGNMENT = 64
# Rows that a pass without gradients takes at a time: they and their activations stay in the cache.
cdef Py_ssize_t INFERENCE_ROWS = 256
# So many times these, and a look at whether Ctrl-C was pressed.
cdef Py_ssize_t SIGNAL_CHUNKS = 32


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


# Threads that one prediction uses at most, as the arrays below say.
cdef int MOST_LANES = 64


cdef struct Inference:
    const cnet_kernels *kernels
    const cnet_op *ops
    int op_count
    size_t output_slot, output_bytes
    const cnet_source *source
    char *to
    size_t chunk, done
    cnet_run *runs[64]
    void *buffers[64]


cdef void infer_part(const void *context, size_t part, int lane, void *scratch) noexcept nogil:
    """One chunk: read in place where that can be, write the last slot to where it is wanted."""
    cdef const Inference *job = <const Inference *>context
    cdef cnet_run *run = job.runs[lane]
    cdef size_t first = (job.done + part) * job.chunk
    cdef char *to = job.to + first * job.output_bytes
    cdef void *last = run.value[job.output_slot]
    cdef const void *here = in_place(job.source, first, job.kernels.itemsize)
    cdef int i
    run.rows = min(job.chunk, job.source.rows - first)
    if job.op_count == 0:
        job.kernels.gather(job.source, NULL, first, run.rows, to)
        return
    run.value[0] = job.buffers[lane] if here == NULL else <void *>here
    if here == NULL:
        job.kernels.gather(job.source, NULL, first, run.rows, run.value[0])
    run.value[job.output_slot] = to
    for i in range(job.op_count):
        job.kernels.forward[job.ops[i].kind](&job.ops[i], run)
    run.value[job.output_slot] = last


cdef class Workspace:
    """Values (and their gradients) of every slot for up to `capacity` rows, and scratch.

    Parameters
    ----------
    network : Network
    capacity : int
    training : bool
        Also hold the gradients.
    input_slope : bool
        Also the gradient of the data.
    """

    def __cinit__(self, Network network, Py_ssize_t capacity, bint training=False,
                  bint input_slope=False):
        cdef Py_ssize_t slots = len(network.widths), tables, total, at, size, i
        self.capacity = capacity
        tables = padded(2 * slots * sizeof(void *))
        sizes = [padded(width * capacity * network.itemsize) for width in network.widths]
        total = tables + padded(CNET_SCRATCH_BYTES) + sum(sizes) * (2 if training else 1)
        self.memory = aligned_zeros(total)
        cdef char *base = <char *>address(self.memory)
        self.run.value = <void **>base
        self.run.slope = <void **>base + slots
        at = tables
        self.run.scratch = base + at
        at += padded(CNET_SCRATCH_BYTES)
        for i in range(slots):
            size = sizes[i]
            self.run.value[i] = base + at
            at += size
            if training:
                self.run.slope[i] = base + at
                at += size
        self.input_buffer = self.run.value[0]
        self.run.parameters = network.parameters_at
        self.run.gradients = network.gradients_at if training else NULL
        self.run.threads = 1
        self.run.training = training
        self.run.input_slope = input_slope

    @property
    def nbytes(self):
        """Memory held, in bytes."""
        return self.memory.nbytes


cdef class Network:
    """The program of a network, its parameters and their gradients.

    Parameters
    ----------
    dtype : {"float32", "float64"}
    widths : sequence of int
        Columns of every slot; slot 0 is the input.
    operations : sequence of dict
        In the order of the forward pass, with the keys kind, x, y, z (slots), activation, alpha,
        weight, bias (offsets in elements into the parameters, or None), linked (bool: merged into
        the loss).
    size : int
        Elements of the parameters, all offsets included.

    Attributes
    ----------
    parameters, gradients : (size,) arrays
        Flat views of the arena.
    """

    def __cinit__(self, str dtype, widths, operations, Py_ssize_t size):
        cdef int i
        self.dtype = CNET_F32 if dtype == "float32" else CNET_F64
        self.numpy_dtype = np.dtype(dtype)
        self.kernels = kernels_of(self.dtype)
        self.itemsize = self.kernels.itemsize
        self.widths = tuple(widths)
        self.op_count = len(operations)
        self.ops = <cnet_op *>calloc(max(self.op_count, 1), sizeof(cnet_op))
        if self.ops == NULL:
            raise MemoryError
        arena = aligned_zeros(2 * size * self.itemsize).view(self.numpy_dtype)
        self.parameters, self.gradients = arena[:size], arena[size:]
        self.parameters_at = address(arena)
        self.gradients_at = <char *>self.parameters_at + size * self.itemsize
        for i, operation in enumerate(operations):
            self.set_op(&self.ops[i], operation)
        self.inputs = self.widths[0]
        self.spares = []
        self.output_slot = self.ops[self.op_count - 1].y if self.op_count else 0
        self.outputs = self.widths[self.output_slot]
        if max(self.widths) >= 128:
            load_blas()

    def __dealloc__(self):
        free(self.ops)

    cdef int set_op(self, cnet_op *op, dict operation) except -1:
        op.kind = LAYERS.index(operation["kind"])
        op.activation = activations.find(operation["activation"])
        op.alpha = operation["alpha"]
        op.x, op.y, op.z = operation["x"], operation["y"], operation["z"]
        op.inputs, op.outputs = self.widths[op.x], self.widths[op.y]
        op.weight = CNET_NONE if operation["weight"] is None else operation["weight"]
        op.bias = CNET_NONE if operation["bias"] is None else operation["bias"]
        op.needs_dx = op.x != 0
        op.linked = operation["linked"]
        return 0

    @property
    def nbytes(self):
        """Memory of parameters and gradients, in bytes."""
        return self.parameters.nbytes + self.gradients.nbytes

    # ---- the program ---------------------------------------------------------------------------

    cdef void forward_ops(self, const cnet_run *run) noexcept nogil:
        cdef int i
        for i in range(self.op_count):
            self.kernels.forward[self.ops[i].kind](&self.ops[i], run)

    cdef void backward_ops(self, const cnet_run *run) noexcept nogil:
        cdef int i
        for i in range(self.op_count - 1, -1, -1):
            self.kernels.backward[self.ops[i].kind](&self.ops[i], run)

    cdef void finish_linked(self, const cnet_run *run) noexcept nogil:
        """Turn logits into the network's outputs, in place, after a merged loss has used them."""
        cdef cnet_op *op = &self.ops[self.op_count - 1]
        if run.merged and op.linked:
            self.kernels.activate[op.activation](run.rows, op.outputs, op.alpha,
                                                 run.value[op.y], run.value[op.y])

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
        cdef Py_ssize_t n, chunks, done
        cdef int lanes, lane
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
                job.runs[lane], job.buffers[lane] = &work.run, work.input_buffer
                crew.append(work)
            done = 0
            while done < chunks:
                if done:
                    PyErr_CheckSignals()
                job.done = done
                with nogil:
                    pool_run(lanes, min(SIGNAL_CHUNKS * lanes, chunks - done), infer_part, &job)
                done += SIGNAL_CHUNKS * lanes
            self.spares += crew
            return out
        finally:
            PyBuffer_Release(&view)

    cdef Workspace take_workspace(self, Py_ssize_t rows):
        """A workspace of at least so many rows that nobody else has now."""
        cdef Workspace work
        try:
            work = <Workspace>self.spares.pop()
            if work.capacity >= rows:
                return work
        except IndexError:
            pass
        return Workspace(self, rows)

    cdef void *address_of_result(self, object out, Py_ssize_t n) except NULL:
        """Where to write n rows of outputs, once it is sure that they fit there."""
        cdef Py_buffer view
        cdef bint fits
        cdef void *to
        try:
            PyObject_GetBuffer(out, &view, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | PyBUF_WRITABLE)
        except (BufferError, ValueError, TypeError):
            fits, to = False, NULL
        else:
            fits = (view.ndim == 2 and view.shape[0] == n and view.shape[1] == self.outputs
                    and view.format[0] == (c"f" if self.dtype == CNET_F32 else c"d")
                    and view.format[1] == 0)
            to = view.buf
            PyBuffer_Release(&view)
        if not fits:
            got = (f"{getattr(out, 'dtype', type(out).__name__)} of shape "
                   f"{getattr(out, 'shape', '?')}")
            raise ValueError(
                f"out must be a writable, C-contiguous array of {self.numpy_dtype} and shape "
                f"{(n, self.outputs)}; got {got}"
            )
        return to

    # ---- forward and backward by hand --------------------------------------------------------------

    def forward(self, Source x not None, int threads=1):
        """Outputs for all rows of x, keeping what `backward` needs.

        Returns
        -------
        (N, outputs) array
        """
        cdef Py_ssize_t n = x.rows.rows
        if <Py_ssize_t>x.rows.columns != self.inputs:
            raise ValueError(f"expected {self.inputs} columns, got {x.rows.columns}")
        # Whoever is inside holds the workspace, a second thread makes its own, and the last one out
        # leaves the tape.
        cdef Workspace tape = self.tape
        self.tape = None
        if tape is None or tape.capacity < n:
            tape = Workspace(self, n, True, True)
        out = np.empty((n, self.outputs), self.numpy_dtype)
        cdef cnet_run *run = &tape.run
        run.rows, run.threads = n, threads
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
        self.tape = tape
        return out

    @property
    def tape_rows(self):
        """Rows of the last `forward`, 0 before it."""
        return 0 if self.tape is None else self.tape.run.rows

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
        with nogil:
            self.kernels.gather(&dy.rows, NULL, 0, run.rows, run.slope[self.output_slot])
            run.slope[0] = to
            self.backward_ops(run)
            run.slope[0] = dx
        self.tape = tape
        return out
