"""A prediction in chunks that threads share, for the network that lays it out."""

from cnet._core.csrc cimport cnet_kernels, cnet_op, cnet_run, cnet_source

cdef enum:
    # Threads that one prediction uses at most.
    MOST_LANES = 64


cdef struct Inference:
    const cnet_kernels *kernels
    const cnet_op *ops
    int op_count
    size_t output_slot, output_bytes, outputs
    # What outputs are multiplied by and what is added then, per column; NULL: nothing.
    const double *output_factor
    const double *output_shift
    const cnet_source *source
    char *to
    size_t chunk, done
    cnet_run *runs[MOST_LANES]
    void *buffers[MOST_LANES]


# Where to write n rows of outputs, once it is sure that they fit there.
cdef void *result_at(object out, Py_ssize_t n, Py_ssize_t columns, object dtype) except NULL
# Does all chunks of a job on so many lanes, and looks now and then whether Ctrl-C was pressed.
cdef int infer(Inference *job, int lanes, Py_ssize_t chunks) except -1
