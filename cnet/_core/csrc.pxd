"""The only `cdef extern`: what csrc/cnet.h declares. Its comments are the contract."""

from libc.stdint cimport int64_t, uint32_t, uint64_t


cdef extern from "cnet.h" nogil:
    enum:
        CNET_F32
        CNET_F64
        CNET_LAYER_dense
        CNET_LAYER_batch_normalization
        CNET_LAYER_COUNT
        CNET_ACTIVATION_COUNT
        CNET_LOSS_COUNT
        CNET_METRIC_COUNT
        CNET_OPTIMIZER_COUNT
        CNET_SOURCE_COUNT
        CNET_MATH_COUNT
        CNET_SCRATCH_BYTES
        CNET_HYPER
        CNET_RUNNING
        CNET_SETTINGS
        CNET_SET_RATE
        CNET_SET_L2
        CNET_SET_DECAY
        CNET_SET_EPSILON
        CNET_RUN_PRODUCT_1
        CNET_RUN_PRODUCT_2
        CNET_OPT_schedule_free_adamw
    size_t CNET_NONE

    ctypedef struct cnet_source:
        const char *data
        size_t rows
        size_t columns
        ptrdiff_t row_stride
        ptrdiff_t column_stride
        int type
        double scale
        const double *shift
        const double *factor

    ctypedef struct cnet_loss:
        int kind
        double parameter
        double smoothing

    ctypedef struct cnet_branch:
        size_t slot
        size_t width
        int needs_dx
        int adds_dx
    ctypedef struct cnet_foreign

    ctypedef struct cnet_route:
        size_t column
        size_t width
        size_t table
        size_t categories
        size_t unknown
        int first

    ctypedef struct cnet_op:
        int kind
        int activation
        double alpha
        size_t inputs
        size_t outputs
        size_t x
        size_t y
        size_t z
        size_t weight
        size_t bias
        int needs_dx
        int adds_dx
        int linked
        uint32_t stream
        size_t mean
        size_t variance
        double epsilon
        double momentum
        const cnet_branch *branches
        size_t branch_count
        const cnet_foreign *foreign
        const cnet_route *routes
        size_t route_count

    ctypedef struct cnet_run:
        size_t rows
        void **value
        void **slope
        void *parameters
        void *gradients
        void *buffers
        void *spare
        void *scratch
        int threads
        int training
        int fresh
        int merged
        int input_slope
        uint64_t seed
        uint64_t step
        size_t first_row
        void *owner
        void *failure

    ctypedef void (*cnet_forward)(const cnet_op *, const cnet_run *) noexcept nogil

    ctypedef struct cnet_foreign:
        cnet_forward forward
        cnet_forward backward
        void *self

    ctypedef struct cnet_place:
        size_t offset
        size_t size
        int frozen
        size_t rows
        size_t columns
        size_t group

    ctypedef struct cnet_augmentation:
        int kind
        uint32_t stream
        uint64_t below
        double *setting
        int warp
        int fill
        double value
        const double *taps

    ctypedef struct cnet_augmenter:
        const cnet_augmentation *stage
        size_t stages
        size_t mixing
        size_t columns
        size_t height
        size_t width
        size_t channels
        size_t radius
        char *scratch
        size_t lane_bytes
        int lanes

    ctypedef struct cnet_batch:
        const cnet_source *x
        const int64_t *order
        size_t begin
        size_t rows
        size_t first
        size_t count
        uint64_t seed
        uint64_t step
        int threads

    ctypedef struct cnet_kernels:
        const char *isa
        size_t itemsize
        double blas_from
        void (**math)(size_t, const void *, void *) noexcept nogil
        void (**activate)(size_t, size_t, double, const void *, void *) noexcept nogil
        void (**activate_backward)(size_t, size_t, double, const void *, const void *,
                                   const void *, void *) noexcept nogil
        void (*gemm)(size_t, size_t, size_t, const void *, size_t, size_t, const void *, size_t,
                     size_t, const void *, int, void *, size_t, void *, int) noexcept nogil
        void (*dense_forward)(size_t, size_t, size_t, const void *, const void *, const void *,
                              int, double, void *, void *, void *, int) noexcept nogil
        void (*dense_backward)(size_t, size_t, size_t, const void *, const void *, const void *,
                               const void *, int, double, int, int, void *, void *, void *,
                               void *, void *, int) noexcept nogil
        cnet_forward *forward
        cnet_forward *backward
        cnet_forward absorb
        void (*accumulate)(size_t, const void *, void *, int) noexcept nogil
        double (**loss)(const cnet_loss *, size_t, size_t, const void *, const void *,
                        const void *, double, void *) noexcept nogil
        void (**metric)(size_t, size_t, const void *, const void *, const void *,
                        double *) noexcept nogil
        void (**update)(size_t, const double *, const void *, void *, void *, void *,
                        void *) noexcept nogil
        void (*lead)(size_t, double, void *, const void *, void *) noexcept nogil
        void (*gather)(const cnet_source *, const int64_t *, size_t, size_t, void *) noexcept nogil
        void (*augment)(const cnet_augmenter *, const cnet_batch *, void *) noexcept nogil
        size_t (*augment_bytes)(const cnet_augmenter *) noexcept nogil
        void (*mix_targets)(const cnet_augmenter *, const cnet_batch *, const cnet_source *,
                            const int64_t *, size_t, void *) noexcept nogil
        void (*restore)(size_t, size_t, const double *, const double *, void *) noexcept nogil
        size_t (*first_nonfinite)(size_t, const void *) noexcept nogil
        double (*largest)(size_t, const void *) noexcept nogil
        double (*sum_squares)(size_t, const void *) noexcept nogil
        double (*penalize)(size_t, double, double, const void *, void *) noexcept nogil
        void (*blend)(size_t, double, const void *, void *) noexcept nogil
        void (*max_norm)(size_t, size_t, size_t, size_t, double, void *) noexcept nogil
        void (*non_negative)(size_t, void *) noexcept nogil

    const char **cnet_isa_names
    int cnet_isa_supported(int)
    const cnet_kernels *cnet_kernels_get(int, int)
    void cnet_blas_set(void *, void *, double)
    int cnet_blas_present()

    void cnet_random_uniform(uint64_t, uint32_t, uint64_t, size_t, double *)
    void cnet_random_normal(uint64_t, uint32_t, uint64_t, size_t, double *)
    void cnet_random_truncated(uint64_t, uint32_t, uint64_t, double, size_t, double *)
    void cnet_random_order(uint64_t, uint32_t, uint64_t, size_t, int64_t *)

    void cnet_prepare(int, const double *, double *, double *)
    enum:
        CNET_CLIP_NOTHING, CNET_CLIP_VALUE, CNET_CLIP_NORM, CNET_CLIP_GLOBAL_NORM
    ctypedef struct cnet_clip:
        int by
        double limit
    double cnet_update(const cnet_kernels *, int, const cnet_clip *, size_t, double *, size_t,
                       const cnet_place *, const void *, void *, void **, void *, int) noexcept nogil
    size_t cnet_muon_work(size_t, size_t)
    void cnet_lead(const cnet_kernels *, int, const double *, size_t, const cnet_place *, void *,
                   void **, int, int) noexcept nogil

    void cnet_average(const cnet_kernels *, size_t, double, int, void *, void *, int) noexcept nogil
    enum:
        CNET_MAX_NORM, CNET_NON_NEGATIVE
    ctypedef struct cnet_constraint:
        int kind
        double limit
        size_t offset
        size_t size
        size_t columns
    void cnet_constrain(const cnet_kernels *, const cnet_constraint *, void *, int) noexcept nogil

    ctypedef void (*cnet_task)(const void *, size_t, int, void *) noexcept nogil
    void cnet_pool_run(int, size_t, cnet_task, const void *, void *) noexcept nogil
    int cnet_pool_workers() noexcept nogil
    size_t cnet_source_first_nonfinite(const cnet_source *)
    void cnet_source_fetch(const cnet_source *, const int64_t *, size_t, size_t) noexcept nogil
    size_t cnet_source_first_other(const cnet_source *, size_t, size_t, int, double *)

    ctypedef struct cnet_row:
        const char *name
        const char *kind
        double number
        int flag
    const cnet_row *cnet_activation_rows
    const cnet_row *cnet_augmentation_rows
    const cnet_row *cnet_loss_rows
    const cnet_row *cnet_layer_rows
    const cnet_row *cnet_metric_rows
    const cnet_row *cnet_optimizer_rows
    const cnet_row *cnet_source_rows
    const cnet_row *cnet_math_rows
