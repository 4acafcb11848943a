"""Rows of a batch augmented while they are gathered; csrc/augment.h says what is drawn how."""

import numpy as np

from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport calloc, free

from cnet._core.csrc cimport CNET_F32, CNET_F64, CNET_NONE, cnet_augmentation, cnet_source
from cnet._core.kernels cimport expect_shape, kernels_of
from cnet._core.kernels import AUGMENTATIONS
from cnet._core.sources cimport Source
from cnet._core.workspace cimport address, aligned_zeros

cdef tuple KINDS = tuple(AUGMENTATIONS)


cdef class Augmenter:
    """A list of augmentations for rows of a shape, with the memory that a batch needs for it.

    Parameters
    ----------
    dtype : {"float32", "float64"}
        Of the augmented rows.
    columns : int
        Of a row.
    image : (height, width, channels) or None
        What a row is, channels last; None for rows that are no images.
    stages : sequence of dict
        In their order, with the keys kind (a name of `cnet._core.kernels.AUGMENTATIONS`),
        probability, settings (up to six numbers), warp (0, or the same positive number for
        neighbours that are one warp), fill (0 constant, 1 edge, 2 reflect), value (of a constant),
        taps (the radius + 1 weights of an elastic one's Gaussian, () for the others).
    threads : int
        Most that may work on a batch.

    Raises
    ------
    ValueError
        For an unknown kind, an image of other columns, or more than one mixture.

    Attributes
    ----------
    mixes : bool
        Targets are mixed, too.
    """

    def __cinit__(self, str dtype, size_t columns, image, stages, int threads=1):
        cdef cnet_augmentation *stage
        cdef size_t i, k
        cdef double[::1] weights
        stages = tuple(stages)
        self.stages = <cnet_augmentation *>calloc(max(len(stages), 1), sizeof(cnet_augmentation))
        if self.stages == NULL:
            raise MemoryError
        self.kernels = kernels_of(CNET_F32 if dtype == "float32" else CNET_F64)
        self.numpy_dtype = np.dtype(dtype)
        self.plan.stage, self.plan.stages, self.plan.columns = self.stages, len(stages), columns
        self.plan.mixing, self.plan.lanes = CNET_NONE, max(threads, 1)
        if image is not None:
            self.plan.height, self.plan.width, self.plan.channels = image
            if self.plan.height * self.plan.width * self.plan.channels != columns or columns >= 1 << 28:
                raise ValueError(f"an image of {image} does not fit rows of {columns} columns")
        most = max([0] + [len(given["taps"]) for given in stages])
        self.plan.radius = max(most - 1, 0)
        self.taps = np.zeros((len(stages), max(most, 1)))
        for i in range(self.plan.stages):
            given = stages[i]
            if given["kind"] not in AUGMENTATIONS:
                raise ValueError(f"unknown augmentation {given['kind']!r}; known: {', '.join(KINDS)}")
            kind = AUGMENTATIONS[given["kind"]]
            if image is None and kind not in ("VALUES", "MIXTURE"):
                raise ValueError(f"{given['kind']} needs images")
            if kind.startswith("MIX"):
                if self.plan.mixing != CNET_NONE:
                    raise ValueError("rows can be mixed with others once")
                self.plan.mixing = i
            stage = &self.stages[i]
            stage.kind, stage.stream = KINDS.index(given["kind"]), i
            stage.below = <uint64_t>(given["probability"] * 4294967296.0)
            for k in range(len(given["settings"])):
                stage.setting[k] = given["settings"][k]
            stage.warp, stage.fill, stage.value = given["warp"], given["fill"], given["value"]
            weights = self.taps[i]
            for k in range(len(given["taps"])):
                weights[k] = given["taps"][k]
            stage.taps = &weights[0]
        self.mixes = self.plan.mixing != CNET_NONE
        self.plan.lane_bytes = (self.kernels.augment_bytes(&self.plan) + 63) // 64 * 64
        self.scratch = aligned_zeros(self.plan.lane_bytes * self.plan.lanes)
        self.plan.scratch = <char *>address(self.scratch)

    def __dealloc__(self):
        free(self.stages)

    @property
    def nbytes(self):
        """Memory of its scratch, in bytes."""
        return self.scratch.nbytes

    cdef void begin(self, const cnet_source *x, const int64_t *order, size_t first, size_t rows,
                    uint64_t seed, uint64_t step, int threads) noexcept nogil:
        self.batch.x, self.batch.order = x, order
        self.batch.begin, self.batch.rows = first, rows
        self.batch.seed, self.batch.step, self.batch.threads = seed, step, threads

    cdef void gather(self, size_t first, size_t count, void *out) noexcept nogil:
        self.batch.first, self.batch.count = first, count
        self.kernels.augment(&self.plan, &self.batch, out)

    cdef void mix_targets(self, const cnet_source *targets, const int64_t *labels, size_t columns,
                          void *out) noexcept nogil:
        self.kernels.mix_targets(&self.plan, &self.batch, targets, labels, columns, out)

    def rows(self, Source x not None, Source targets=None, uint64_t seed=0, uint64_t step=0):
        """All rows as one batch, in the order in which they lie.

        Parameters
        ----------
        x : Source of (N, columns)
        targets : Source of (N, K), optional
        seed, step : int
            What is drawn is a function of these and of a row's place.

        Returns
        -------
        (N, columns) array, (N, K) array or None
            Rows and targets, mixed if there is a mixture.
        """
        cdef size_t n = x.rows.rows
        expect_shape("x", x.shape, (n, self.plan.columns))
        out, mixed = np.empty((n, self.plan.columns), self.numpy_dtype), None
        if targets is not None:
            expect_shape("targets", targets.shape, (n, targets.rows.columns))
            mixed = np.empty(targets.shape, self.numpy_dtype)
        if n == 0:
            return out, mixed
        cdef void *to = address(out)
        cdef void *to_targets = NULL if mixed is None else address(mixed)
        with nogil:
            self.begin(&x.rows, NULL, 0, n, seed, step, self.plan.lanes)
            self.gather(0, n, to)
            if to_targets != NULL and self.mixes:
                self.mix_targets(&targets.rows, NULL, targets.rows.columns, to_targets)
            elif to_targets != NULL:
                self.kernels.gather(&targets.rows, NULL, 0, n, to_targets)
        return out, mixed
