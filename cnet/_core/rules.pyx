"""Update rules at work: an optimizer's settings and states for one network."""

import numpy as np

from libc.stdlib cimport free, malloc

from cnet._core cimport optimizers
from cnet._core.csrc cimport (
    CNET_CLIP_GLOBAL_NORM, CNET_CLIP_NORM, CNET_CLIP_NOTHING, CNET_CLIP_VALUE, CNET_HYPER,
    CNET_SCRATCH_BYTES, CNET_SETTINGS, cnet_clip, cnet_place,
)
from cnet._core.kernels cimport lead, muon_work, prepare, update
from cnet._core.kernels import OPTIMIZERS
from cnet._core.network cimport Network
from cnet._core.workspace cimport address, aligned_zeros

# What gradients may be cut by.
cdef dict CLIPS = {
    "nothing": CNET_CLIP_NOTHING, "value": CNET_CLIP_VALUE, "norm": CNET_CLIP_NORM,
    "global_norm": CNET_CLIP_GLOBAL_NORM,
}


cdef class Rule:
    """An update rule with its settings and states for one network.

    Parameters
    ----------
    network : Network
    name : str
        A name of `cnet._core.kernels.OPTIMIZERS`; any other for a rule of the user's own.
    settings : (8,) float64 array
        See csrc/optimizers.h. May be written between steps, such as the learning rate in [0].
    fill : float
        What the first state starts with (AdaGrad's accumulator).
    places : sequence of (offset, size), optional
        Of every parameter, in elements, in their order; what lies between must have no gradient.
        One that is everything, unless given.
    clip : (by, limit)
        Cut gradients by "value" (to +-limit), by the "norm" of each parameter's or by the
        "global_norm" of all (multiplied by limit / norm where that is below 1).
    own : object, optional
        That rule: has states (arrays per parameter) and call(parameters, gradients, states,
        settings, step, frozen) -> norm, which changes nothing if it raises an error.
    matrices : sequence of (rows, columns), optional
        One for each place: the shape of what Muon is to take as a matrix, (0, 0) for the others.
    history : int
        Further states, for a minimiser in Python that makes the steps itself: then `step` does
        nothing.

    Attributes
    ----------
    running : (3,) float64 array
        Steps taken and running products.
    states : (s, size) array
        Per parameter.
    norm : float
        Of all gradients in the last step before they were cut; 0 unless something is cut by a norm.

    Raises
    ------
    ValueError
        For settings, places or a way to clip that do not fit.
    """

    def __cinit__(self, Network network not None, str name, settings, double fill=0.0,
                  places=None, clip=("nothing", 0.0), own=None, matrices=None,
                  Py_ssize_t history=0):
        cdef int i
        cdef Py_ssize_t count, end = 0
        self.network = network
        places = [(0, network.parameters.size)] if places is None else list(places)
        for offset, size in places:
            if offset < end or size < 0 or offset + size > network.parameters.size:
                raise ValueError(f"place ({offset}, {size}) lies outside the parameters or before the last")
            end = offset + size
        if clip[0] not in CLIPS:
            raise ValueError(f"unknown way to clip {clip[0]!r}; known: {', '.join(CLIPS)}")
        self.clip = cnet_clip(CLIPS[clip[0]], clip[1])
        self.place_count = len(places)
        self.places = <cnet_place *>malloc(max(self.place_count, 1) * sizeof(cnet_place))
        if self.places == NULL:
            raise MemoryError
        for i, (offset, size) in enumerate(places):
            self.places[i] = cnet_place(offset, size, False, 0, 0)
        self.name = name
        self.own = own
        self.which = optimizers.find(name) if own is None else -1
        self.settings = np.array(settings, np.float64)
        if self.settings.shape != (CNET_SETTINGS,):
            raise ValueError(f"settings has shape {self.settings.shape}, expected {(CNET_SETTINGS,)}")
        self.running = np.array([0.0, 1.0, 1.0])
        self.settings_at = <double *>address(self.settings)
        self.running_at = <double *>address(self.running)
        self.hold_matrices(matrices)
        self.holds = history > 0
        count = OPTIMIZERS[name] if own is None else own.states
        size = network.parameters.size
        flat = aligned_zeros((count + history) * size * network.itemsize).view(network.parameters.dtype)
        self.states = flat.reshape(count + history, size)
        for i in range(count if own is None else 0):
            self.state_at[i] = <char *>address(flat) + i * <Py_ssize_t>size * network.itemsize
        if fill and count:
            self.states[0] = fill

    cdef int hold_matrices(self, matrices) except -1:
        """Note the shapes of matrices, and have the memory that steps of them need."""
        cdef size_t most = 0
        cdef int i
        if matrices is not None:
            for i, (rows, columns) in enumerate(matrices):
                if rows * columns not in (0, self.places[i].size):
                    raise ValueError(f"place {i} of {self.places[i].size} is no {rows} x {columns} matrix")
                self.places[i].rows, self.places[i].columns = rows, columns
                most = max(most, muon_work(rows, columns))
        self.work = aligned_zeros(CNET_SCRATCH_BYTES + most * self.network.itemsize if most else 0)
        self.work_at = address(self.work)
        return 0

    @property
    def frozen(self):
        """Which parameters steps leave as they are, one bool for each place."""
        return [bool(self.places[i].frozen) for i in range(self.place_count)]

    def freeze(self, frozen):
        """Say which parameters steps leave as they are, one bool for each place."""
        if len(frozen) != self.place_count:
            raise ValueError(f"got {len(frozen)} for {self.place_count} places")
        cdef int i
        for i in range(self.place_count):
            self.places[i].frozen = bool(frozen[i])

    def __dealloc__(self):
        free(self.places)

    cdef void enter(self, int threads) noexcept nogil:
        """Before passes and steps: put the parameters where the rule wants its gradients."""
        lead(self.network.kernels, self.which, self.settings_at, self.place_count, self.places,
             self.network.parameters_at, self.state_at, False, threads)

    cdef void leave(self, int threads) noexcept nogil:
        """After them: put the parameters where everybody else finds them."""
        lead(self.network.kernels, self.which, self.settings_at, self.place_count, self.places,
             self.network.parameters_at, self.state_at, True, threads)

    def __enter__(self):
        """Within the block, the parameters are where the rule wants its gradients."""
        self.enter(1)
        return self

    def __exit__(self, *error):
        self.leave(1)

    cdef bint step(self, int threads) noexcept nogil:
        if self.holds:
            return True
        cdef double h[CNET_HYPER]
        if self.which < 0:
            return self.own_step()
        prepare(self.which, self.settings_at, self.running_at, h)
        self.norm = update(self.network.kernels, self.which, &self.clip, h, self.place_count,
                           self.places, self.network.gradients_at, self.network.parameters_at,
                           self.state_at, self.work_at, threads)
        return True

    cdef bint own_step(self) noexcept nogil:
        cdef int i
        with gil:
            try:
                frozen = [bool(self.places[i].frozen) for i in range(self.place_count)]
                self.norm = self.own(self.network.parameters, self.network.gradients, self.states,
                                     self.settings, int(self.running[0]) + 1, frozen)
                self.running[0] += 1
            except BaseException as error:
                self.failure = error
                return False
        return True

    cdef int raise_failure(self) except -1:
        if self.failure is None:
            return 0
        error, self.failure = self.failure, None
        raise error

    def apply(self, int threads=1):
        """One step from the network's gradients."""
        with nogil:
            self.enter(threads)
            self.step(threads)
            self.leave(threads)
        self.raise_failure()
