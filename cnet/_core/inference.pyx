"""A prediction in chunks of rows, dealt out to the threads."""

from cpython.buffer cimport (
    PyBUF_C_CONTIGUOUS, PyBUF_FORMAT, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer,
)
from cpython.exc cimport PyErr_CheckSignals

from cnet._core.csrc cimport cnet_run
from cnet._core.foreign cimport forward_op, take_failure
from cnet._core.kernels cimport pool_run
from cnet._core.sources cimport in_place

# So many chunks on every lane, and a look at whether Ctrl-C was pressed.
cdef Py_ssize_t SIGNAL_CHUNKS = 32


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
        forward_op(job.kernels, &job.ops[i], run)
    run.value[job.output_slot] = last
    if job.output_factor != NULL:
        job.kernels.restore(run.rows, job.outputs, job.output_factor, job.output_shift, to)


cdef int infer(Inference *job, int lanes, Py_ssize_t chunks) except -1:
    cdef Py_ssize_t done = 0
    cdef int lane
    while done < chunks:
        if done:
            PyErr_CheckSignals()
        job.done = done
        with nogil:
            pool_run(lanes, min(SIGNAL_CHUNKS * lanes, chunks - done), infer_part, job)
        error = None
        for lane in range(lanes):
            error = take_failure(job.runs[lane]) or error
        if error is not None:
            raise error
        done += SIGNAL_CHUNKS * lanes
    return 0


cdef void *result_at(object out, Py_ssize_t n, Py_ssize_t columns, object dtype) except NULL:
    cdef Py_buffer view
    cdef bint fits
    cdef void *to
    try:
        PyObject_GetBuffer(out, &view, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | PyBUF_WRITABLE)
    except (BufferError, ValueError, TypeError):
        fits, to = False, NULL
    else:
        fits = (view.ndim == 2 and view.shape[0] == n and view.shape[1] == columns
                and view.format[0] == (c"f" if dtype.itemsize == 4 else c"d")
                and view.format[1] == 0)
        to = view.buf
        PyBuffer_Release(&view)
    if not fits:
        got = f"{getattr(out, 'dtype', type(out).__name__)} of shape {getattr(out, 'shape', '?')}"
        flags = getattr(out, "flags", None)
        if flags is not None and not flags.writeable:
            got += ", read-only"
        elif flags is not None and not flags.c_contiguous:
            got += ", not C-contiguous"
        raise ValueError(
            f"out must be a writable, C-contiguous array of {dtype} and shape {(n, columns)}; "
            f"got {got}"
        )
    return to
