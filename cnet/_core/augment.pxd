from libc.stdint cimport int64_t, uint64_t

from cnet._core.csrc cimport cnet_augmentation, cnet_augmenter, cnet_batch, cnet_kernels, cnet_source


cdef class Augmenter:
    cdef const cnet_kernels *kernels
    cdef cnet_augmenter plan
    cdef cnet_augmentation *stages
    cdef cnet_batch batch
    cdef object taps
    cdef object scratch
    cdef object numpy_dtype
    cdef readonly bint mixes

    # What the rows of a batch are a function of: where it begins, its rows, the seed and the step.
    cdef void begin(self, const cnet_source *x, const int64_t *order, size_t first, size_t rows,
                    uint64_t seed, uint64_t step, int threads) noexcept nogil
    # Rows first..first + count - 1 of that batch, and their targets where those are mixed.
    cdef void gather(self, size_t first, size_t count, void *out) noexcept nogil
    cdef void mix_targets(self, const cnet_source *targets, const int64_t *labels, size_t columns,
                          void *out) noexcept nogil
