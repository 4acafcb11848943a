"""The kernels themselves: which instruction set runs, and thin callable twins of the single ones.

This is the one module that links the C objects: one table and one OpenBLAS in the process. The
twins are for tests, benchmarks and anyone who wants a part: they check, then call, nothing else.
"""

import ctypes
import os

import numpy as np

from libc.math cimport isfinite
from libc.stdint cimport int64_t, uint32_t, uint64_t, uintptr_t
from libc.stdlib cimport free, malloc

from cnet._core.csrc cimport (
    CNET_F32, CNET_F64, CNET_SCRATCH_BYTES, cnet_activation_rows, cnet_augmentation_rows,
    cnet_average, cnet_blas_present, cnet_blas_set, cnet_clip, cnet_constrain, cnet_constraint,
    cnet_isa_names, cnet_isa_supported, cnet_kernels, cnet_kernels_get, cnet_layer_rows, cnet_lead,
    cnet_loss_rows, cnet_math_rows, cnet_metric_rows, cnet_muon_work, cnet_optimizer_rows,
    cnet_place, cnet_pool_run, cnet_pool_workers, cnet_prepare, cnet_random_normal, cnet_random_order,
    cnet_random_truncated, cnet_random_uniform, cnet_row, cnet_source,
    cnet_source_fetch, cnet_source_first_nonfinite, cnet_source_first_other, cnet_source_rows,
    cnet_task, cnet_update,
)

cdef const cnet_kernels *tables[2]
cdef int chosen = -1


cdef dict read_rows(const cnet_row *rows):
    """{name: (kind, number, flag)} of a list of rows, in the order of their ids."""
    cdef int i = 0
    found = {}
    while rows[i].name != NULL:
        found[rows[i].name.decode()] = (rows[i].kind.decode(), rows[i].number, rows[i].flag)
        i += 1
    return found


cdef int choose_isa() except -1:
    """Take the best instruction set, or the one that CNET_ISA names."""
    global chosen
    cdef int i = 0
    names = []
    while cnet_isa_names[i] != NULL:
        names.append(cnet_isa_names[i].decode())
        i += 1
    supported = [cnet_isa_supported(i) != 0 for i in range(len(names))]
    wanted = os.environ.get("CNET_ISA")
    if wanted is None:
        chosen = supported.index(True)
    elif wanted not in names:
        raise ImportError(
            f"CNET_ISA={wanted!r} is not an instruction set of this build; it has "
            f"{', '.join(names)}. Unset CNET_ISA to let cnet choose."
        )
    elif not supported[names.index(wanted)]:
        raise ImportError(
            f"CNET_ISA={wanted!r}: this processor does not run it. Unset CNET_ISA to let cnet "
            f"choose, or name one of {', '.join([n for n, s in zip(names, supported) if s])}."
        )
    else:
        chosen = names.index(wanted)
    tables[CNET_F32] = cnet_kernels_get(chosen, CNET_F32)
    tables[CNET_F64] = cnet_kernels_get(chosen, CNET_F64)
    return 0


choose_isa()

# The rows of every list in csrc/, in the order of their ids: nothing above keeps a second list.
# {name: (what the slope reads, alpha or None)}
ACTIVATIONS = {
    name: (kind, number if flag else None)
    for name, (kind, number, flag) in read_rows(cnet_activation_rows).items()
}
# {name: target}, "MATRIX", "HALF" or "LABELS"
LOSSES = {name: kind for name, (kind, _, _) in read_rows(cnet_loss_rows).items()}
METRICS = {name: kind for name, (kind, _, _) in read_rows(cnet_metric_rows).items()}
# {name: states per parameter}
OPTIMIZERS = {name: flag for name, (_, _, flag) in read_rows(cnet_optimizer_rows).items()}
# {name: what it works on}, "GEOMETRY", "PIXELS", "VALUES", "MIXTURE" or "MIXED_IMAGES"
AUGMENTATIONS = {name: kind for name, (kind, _, _) in read_rows(cnet_augmentation_rows).items()}
LAYERS = tuple(read_rows(cnet_layer_rows))
SOURCES = tuple(read_rows(cnet_source_rows))
MATH = tuple(read_rows(cnet_math_rows))


cdef const cnet_kernels *kernels_of(int dtype) noexcept nogil:
    return tables[dtype]


cdef void prepare(int optimizer, const double *settings, double *running, double *h) noexcept nogil:
    cnet_prepare(optimizer, settings, running, h)


cdef double update(const cnet_kernels *kernels, int optimizer, const cnet_clip *clip, size_t groups,
                   double *h, size_t count, const cnet_place *places, const void *g, void *p,
                   void **state, void *work, int threads) noexcept nogil:
    return cnet_update(kernels, optimizer, clip, groups, h, count, places, g, p, state, work,
                       threads)


cdef size_t muon_work(size_t rows, size_t columns) noexcept nogil:
    return cnet_muon_work(rows, columns)


cdef void lead(const cnet_kernels *kernels, int optimizer, const double *settings, size_t count,
               const cnet_place *places, void *p, void **state, bint back, int threads) noexcept nogil:
    cnet_lead(kernels, optimizer, settings, count, places, p, state, back, threads)


cdef void average(const cnet_kernels *kernels, size_t n, double share, bint back, void *p,
                  void *average, int threads) noexcept nogil:
    cnet_average(kernels, n, share, back, p, average, threads)


cdef void constrain(const cnet_kernels *kernels, const cnet_constraint *constraint, void *p,
                    int threads) noexcept nogil:
    cnet_constrain(kernels, constraint, p, threads)


cdef void pool_run(int threads, size_t parts, cnet_task task, const void *context) noexcept nogil:
    cnet_pool_run(threads, parts, task, context, NULL)


cdef size_t first_nonfinite(const cnet_source *source) noexcept nogil:
    return cnet_source_first_nonfinite(source)


cdef void fetch(const cnet_source *source, const int64_t *index, size_t first,
                size_t count) noexcept nogil:
    cnet_source_fetch(source, index, first, count)


cdef size_t first_other(const cnet_source *source, size_t column, size_t categories, bint others,
                        double *value) noexcept nogil:
    return cnet_source_first_other(source, column, categories, others, value)


def isa():
    """Name of the instruction set in use."""
    return cnet_isa_names[chosen].decode()


def supported_isas():
    """Names of the instruction sets that are compiled in and run on this machine, best first."""
    names = []
    cdef int i = 0
    while cnet_isa_names[i] != NULL:
        if cnet_isa_supported(i):
            names.append(cnet_isa_names[i].decode())
        i += 1
    return names


def pool_workers():
    """How many threads the pool has, asleep or at work; the caller of a kernel is not one."""
    return cnet_pool_workers()


# ---- OpenBLAS ------------------------------------------------------------------------------------

_library = None


def find_blas():
    """Path of scipy-openblas32's shared library, or None; the package is not imported."""
    import importlib.util

    spec = importlib.util.find_spec("scipy_openblas32")
    for folder in spec.submodule_search_locations if spec else ():
        for sub in ("lib", "."):
            path = os.path.join(folder, sub)
            for file in sorted(os.listdir(path)) if os.path.isdir(path) else ():
                if "scipy_openblas" in file and file.endswith((".so", ".dylib", ".dll")):
                    return os.path.join(path, file)
    return None


cdef int load_blas() except -1:
    """Have OpenBLAS, where this instruction set leaves large products to it.

    Not at import: loading it starts OpenBLAS's own (idle) threads, and small networks never call it.
    """
    if _library is None and not cnet_blas_present() and isfinite(tables[CNET_F32].blas_from):
        use_blas(True)
    return 0


def use_blas(on, crossover=None):
    """Let large products go to OpenBLAS, or keep them all in cnet's own kernels (for tests).

    Parameters
    ----------
    on : bool
    crossover : float, optional
        Multiplications of a product from which it goes there, instead of the number that the
        instruction set has (which may be infinite).
    """
    global _library
    cdef uintptr_t s = 0, d = 0
    if on and _library is None:
        path = find_blas()
        _library = ctypes.CDLL(path) if path else False
        if _library:
            # cnet owns the threads.
            _library.scipy_openblas_set_num_threads(1)
    if on and _library:
        s = <uintptr_t>ctypes.cast(_library.scipy_cblas_sgemm, ctypes.c_void_p).value
        d = <uintptr_t>ctypes.cast(_library.scipy_cblas_dgemm, ctypes.c_void_p).value
    cnet_blas_set(<void *>s, <void *>d,
                  tables[CNET_F32].blas_from if crossover is None else crossover)


def blas_version():
    """OpenBLAS's own description of itself, or None where no product goes to it."""
    load_blas()
    if not _library:
        return None
    _library.scipy_openblas_get_config.restype = ctypes.c_char_p
    return _library.scipy_openblas_get_config().decode()


# ---- checks shared by the compiled modules ---------------------------------------------------------

cdef int expect_shape(str name, tuple got, tuple expected) except -1:
    if got != expected:
        raise ValueError(f"{name} has shape {got}, expected {expected}")
    return 0


cdef class Scratch:
    """What a single kernel packs into, aligned as the kernels want it."""

    def __cinit__(self):
        self.memory = malloc(CNET_SCRATCH_BYTES + 64)
        if self.memory == NULL:
            raise MemoryError
        self.at = <char *>self.memory + (64 - <size_t>self.memory % 64)

    def __dealloc__(self):
        free(self.memory)


# ---- twins -----------------------------------------------------------------------------------------

def vmath(str name, const real[::1] x):
    """Apply a vector function elementwise.

    Parameters
    ----------
    name : str
        A name of `MATH`: "exp", "expm1", "log", "log1p", "tanh", "sigmoid", "softplus", "erf",
        "normal_cdf".
    x : (n,) float32 or float64 array

    Returns
    -------
    (n,) array of the same dtype

    Raises
    ------
    ValueError
        For an unknown name.
    """
    if name not in MATH:
        raise ValueError(f"unknown function {name!r}; known: {', '.join(MATH)}")
    cdef int which = MATH.index(name), dtype = CNET_F32 if real is float else CNET_F64
    out = np.empty(x.shape[0], np.float32 if dtype == CNET_F32 else np.float64)
    cdef const real[::1] y = out
    if x.shape[0]:
        with nogil:
            tables[dtype].math[which](x.shape[0], &x[0], <void *>&y[0])
    return out


def gemm(const real[:, :] a, const real[:, :] b, real[:, ::1] out, const real[::1] bias=None,
         bint add=False, int threads=1):
    """Matrix product: out = a b (+ bias), or out += a b (+ bias).

    Parameters
    ----------
    a : (M, K) array
        Any strides that are not negative; a transposed view is not copied.
    b : (K, N) array
        Likewise.
    out : (M, N) array
        C-contiguous, written.
    bias : (N,) array, optional
    add : bool
        Add to `out` instead of overwriting it.
    threads : int
        That may work on it; the result has the same bits with any number of them.

    Raises
    ------
    ValueError
        For shapes that do not fit.
    """
    cdef Py_ssize_t M = a.shape[0], K = a.shape[1], N = b.shape[1], size = sizeof(real)
    expect_shape("b", (b.shape[0], b.shape[1]), (K, N))
    expect_shape("out", (out.shape[0], out.shape[1]), (M, N))
    if bias is not None:
        expect_shape("bias", (bias.shape[0],), (N,))
    if a.strides[0] < 0 or a.strides[1] < 0 or b.strides[0] < 0 or b.strides[1] < 0:
        raise ValueError("a and b must not have negative strides; copy them first")
    if M == 0 or N == 0:
        return
    cdef int dtype = CNET_F32 if real is float else CNET_F64
    cdef const void *bias_at = &bias[0] if bias is not None else NULL
    cdef const void *a_at = &a[0, 0] if K else NULL
    cdef const void *b_at = &b[0, 0] if K else NULL
    cdef Scratch scratch
    scratch = Scratch()
    load_blas()
    with nogil:
        tables[dtype].gemm(M, N, K, a_at, a.strides[0] // size, a.strides[1] // size, b_at,
                           b.strides[0] // size, b.strides[1] // size, bias_at, add, &out[0, 0],
                           N, scratch.at, threads)


# ---- random numbers ----------------------------------------------------------------------------------

PURPOSES = {"weights": 0, "order": 1, "dropout": 2, "noise": 3, "data": 4, "augmentation": 5}


def random_uniform(uint64_t seed, str purpose, uint64_t step, Py_ssize_t n):
    """n uniform float64 in the open interval (0, 1), a function of (seed, purpose, step) alone."""
    out = np.empty(n)
    cdef double[::1] view = out
    cdef uint32_t which = PURPOSES[purpose]
    if n:
        with nogil:
            cnet_random_uniform(seed, which, step, n, &view[0])
    return out


def random_normal(uint64_t seed, str purpose, uint64_t step, Py_ssize_t n, double bound=0.0):
    """n standard normal float64, cut off at +-bound if that is positive."""
    out = np.empty(n)
    cdef double[::1] view = out
    cdef uint32_t which = PURPOSES[purpose]
    if n:
        with nogil:
            if bound > 0:
                cnet_random_truncated(seed, which, step, bound, n, &view[0])
            else:
                cnet_random_normal(seed, which, step, n, &view[0])
    return out


def random_order(uint64_t seed, str purpose, uint64_t step, Py_ssize_t n):
    """A random permutation of 0..n-1 as int64, a function of (seed, purpose, step) alone."""
    out = np.empty(n, np.int64)
    cdef int64_t[::1] view = out
    cdef uint32_t which = PURPOSES[purpose]
    if n:
        with nogil:
            cnet_random_order(seed, which, step, n, &view[0])
    return out
