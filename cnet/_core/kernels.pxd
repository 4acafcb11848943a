"""What the other compiled modules share: the kernels in use, and how arrays are checked."""

from libc.stdint cimport int64_t

from cnet._core.csrc cimport (
    cnet_clip, cnet_constraint, cnet_kernels, cnet_place, cnet_source, cnet_task,
)

ctypedef fused real:
    float
    double

cdef class Scratch:
    cdef void *memory
    cdef void *at


# The kernels of the instruction set chosen at import, for CNET_F32 or CNET_F64.
cdef const cnet_kernels *kernels_of(int dtype) noexcept nogil
# Makes sure that OpenBLAS is there for products that want it; called when a network is built.
cdef int load_blas() except -1
# What else of the C half the others call: only this module links it.
cdef void prepare(int optimizer, const double *settings, double *running, double *h) noexcept nogil
cdef double update(const cnet_kernels *kernels, int optimizer, const cnet_clip *clip, size_t groups,
                   double *h, size_t count, const cnet_place *places, const void *g, void *p,
                   void **state, void *work, int threads) noexcept nogil
cdef size_t muon_work(size_t rows, size_t columns) noexcept nogil
cdef void lead(const cnet_kernels *kernels, int optimizer, const double *settings, size_t count,
               const cnet_place *places, void *p, void **state, bint back, int threads) noexcept nogil
cdef void average(const cnet_kernels *kernels, size_t n, double share, bint back, void *p,
                  void *average, int threads) noexcept nogil
cdef void constrain(const cnet_kernels *kernels, const cnet_constraint *constraint, void *p,
                    int threads) noexcept nogil
cdef void pool_run(int threads, size_t parts, cnet_task task, const void *context) noexcept nogil
cdef size_t first_nonfinite(const cnet_source *source) noexcept nogil
cdef void fetch(const cnet_source *source, const int64_t *index, size_t first,
                size_t count) noexcept nogil
cdef size_t first_other(const cnet_source *source, size_t column, size_t categories, bint others,
                        double *value) noexcept nogil
# An error that names the array, what its shape is and what it should be.
cdef int expect_shape(str name, tuple got, tuple expected) except -1
