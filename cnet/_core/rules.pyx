"""Update rules at work: an optimizer's settings and states for one network."""

import numpy as np

from libc.math cimport pow
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcpy

from cnet._core cimport optimizers
from cnet._core.csrc cimport (
    CNET_CLIP_GLOBAL_NORM, CNET_CLIP_NORM, CNET_CLIP_NOTHING, CNET_CLIP_VALUE, CNET_HYPER,
    CNET_MAX_NORM, CNET_NON_NEGATIVE, CNET_OPT_schedule_free_adamw, CNET_RUNNING,
    CNET_RUN_PRODUCT_1, CNET_RUN_PRODUCT_2, CNET_SCRATCH_BYTES, CNET_SETTINGS, CNET_SET_DECAY,
    CNET_SET_EPSILON, CNET_SET_L2, CNET_SET_RATE, cnet_clip, cnet_constraint, cnet_place,
)
from cnet._core.kernels cimport average, constrain, lead, muon_work, prepare, update
from cnet._core.kernels import OPTIMIZERS
from cnet._core.network cimport Network
from cnet._core.workspace cimport address, aligned_zeros

# What gradients may be cut by.
cdef dict CLIPS = {
    "nothing": CNET_CLIP_NOTHING, "value": CNET_CLIP_VALUE, "norm": CNET_CLIP_NORM,
    "global_norm": CNET_CLIP_GLOBAL_NORM,
}

# What weights may be held to.
cdef dict CONSTRAINTS = {"max_norm": CNET_MAX_NORM, "non_negative": CNET_NON_NEGATIVE}
# What the weights may be averaged by.
cdef enum:
    NO_AVERAGE, EXPONENTIAL, EQUAL, LOOKAHEAD
cdef dict AVERAGES = {"exponential": EXPONENTIAL, "equal": EQUAL, "lookahead": LOOKAHEAD}
# Rules whose steps are not gradients over something that epsilon keeps above 0.
cdef frozenset UNDIVIDED = frozenset(
    ["sgd", "sgd_momentum", "sgd_nesterov", "lion", "rprop"])
# Gradients of any common size are finite times the one, and over the other.
cdef double MOST_RATE = 1e6
cdef double LEAST_EPSILON = 1e-30


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
    unit : float
        Steps in what `average_by` counts: 1, or those of an epoch.
    averaging : (2,) float64 array
        How often the weights were averaged, and whether Lookahead knows where it began. Call
        `show_average` after writing to it.
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
        self.network, self.size = network, network.parameters.size
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
            self.places[i] = cnet_place(offset, size, False, 0, 0, 0)
        self.hold_groups([(1.0, None)])
        self.name = name
        self.own = own
        self.which = optimizers.find(name) if own is None else -1
        self.divides = own is None and name not in UNDIVIDED
        self.settings = np.array(settings, np.float64)
        if self.settings.shape != (CNET_SETTINGS,):
            raise ValueError(f"settings has shape {self.settings.shape}, expected {(CNET_SETTINGS,)}")
        self.running = np.array([0.0, 1.0, 1.0])
        self.averaging, self.unit = np.zeros(2), 1
        self.averaging_at = <double *>address(self.averaging)
        network.hold_average(None)
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

    def set_groups(self, settings):
        """Say how the settings of some parameters differ from `settings`.

        Parameters
        ----------
        settings : sequence of (factor, decay)
            One for each place: what the learning rate is multiplied by, and the coupled and the
            decoupled weight decay as a pair, or None for those in `settings`.
        """
        if len(settings) != self.place_count:
            raise ValueError(f"got {len(settings)} for {self.place_count} places")
        # What has no settings of its own is in the first group, whose products are kept.
        distinct = list(dict.fromkeys([(1.0, None), *settings]))
        self.hold_groups(distinct)
        cdef int i
        for i in range(self.place_count):
            self.places[i].group = distinct.index(settings[i])

    cdef int hold_groups(self, list groups) except -1:
        cdef size_t i, count = len(groups)
        cdef void *room = realloc(self.groups, count * sizeof(Group))
        if room == NULL:
            raise MemoryError
        self.groups = <Group *>room
        room = realloc(self.h, count * CNET_HYPER * sizeof(double))
        if room == NULL:
            raise MemoryError
        self.h, self.group_count = <double *>room, count
        self.most_factor, self.most_l2, self.most_decay = 1, 0, 0
        for i, (factor, decay) in enumerate(groups):
            self.most_factor = max(self.most_factor, factor)
            l2, decoupled = decay or (0.0, 0.0)
            self.most_l2 = max(self.most_l2, l2)
            self.most_decay = max(self.most_decay, decoupled)
            self.groups[i] = Group(factor, decay is not None, l2, decoupled)
        return 0

    def constrain(self, constraints):
        """Say what some parameters are held to after every step, unless they are frozen.

        Parameters
        ----------
        constraints : sequence of (place, kind, limit, columns)
            Number of the place; "max_norm" (of each of so many columns) or "non_negative".
        """
        cdef size_t count = max(len(constraints), 1)
        cdef int i
        free(self.constraints)
        free(self.constrained)
        self.constraint_count = 0
        self.constraints = <cnet_constraint *>malloc(count * sizeof(cnet_constraint))
        self.constrained = <Py_ssize_t *>malloc(count * sizeof(Py_ssize_t))
        if self.constraints == NULL or self.constrained == NULL:
            raise MemoryError
        for i, (place, kind, limit, columns) in enumerate(constraints):
            if not 0 <= place < self.place_count or columns < 1:
                raise ValueError(f"constraint ({place}, {kind!r}, {limit}, {columns}) does not fit")
            self.constrained[i] = place
            self.constraints[i] = cnet_constraint(
                CONSTRAINTS[kind], limit, self.places[place].offset, self.places[place].size,
                columns)
        self.constraint_count = len(constraints)

    def average_by(self, str kind, double share, double first=0, double every=1,
                   bint corrected=False):
        """Average the weights while they are trained; predictions are made with the average.

        Parameters
        ----------
        kind : {"exponential", "equal", "lookahead"}
            The newest weights count by `share` against all before, or as much as each of them, or
            they are moved to where the average then is.
        share : float
        first, every : float
            After `first` units of steps, the weights are averaged at the end of each `every` units.
        corrected : bool
            Weights of an exponential average add up to 1 from the beginning; otherwise the first
            weights of all have what is missing.
        """
        self.average_kind, self.share, self.corrected = AVERAGES[kind], share, corrected
        self.first, self.every = first, every
        network = self.network
        flat = aligned_zeros(network.parameters.nbytes).view(network.parameters.dtype)
        self.averaging[:] = 0
        # The network may be given another one while this rule is still at work.
        self.own_average, self.average_at = flat, address(flat)
        network.hold_average(flat)

    def show_average(self):
        """Have predictions made with the average if there is one."""
        if self.network.average is self.own_average:
            self.network.show(self.averaging_at[0] > 0)

    cdef bint is_tame(self) noexcept nogil:
        cdef double rate = self.settings_at[CNET_SET_RATE] * self.most_factor
        cdef double l2 = max(self.most_l2, self.settings_at[CNET_SET_L2])
        cdef double decay = max(self.most_decay, self.settings_at[CNET_SET_DECAY])
        # Weights that decay by more than all of themselves grow, whatever the gradients are.
        return (self.own is None and rate <= MOST_RATE
                and l2 <= 1 and rate * l2 <= 1 and rate * decay <= 1
                and not (self.divides and self.settings_at[CNET_SET_EPSILON] < LEAST_EPSILON))

    cdef void average(self, int threads) noexcept nogil:
        cdef double done = self.running_at[0] - self.first * self.unit, share = self.share, count
        if done <= 0 or done % (self.every * self.unit) != 0:
            return
        self.averaging_at[0] += 1
        count = self.averaging_at[0]
        if self.average_kind == EQUAL:
            share = 1 / count
        elif self.average_kind == EXPONENTIAL and count == 1:
            share = 1
        elif self.average_kind == EXPONENTIAL and self.corrected:
            share /= 1 - pow(1 - self.share, count)
        average(self.network.kernels, self.size, share,
                self.average_kind == LOOKAHEAD, self.network.parameters_at,
                self.average_at, threads)
        if self.network.average_at == self.average_at:
            self.network.show(True)

    def __dealloc__(self):
        free(self.places)
        free(self.constraints)
        free(self.constrained)
        free(self.groups)
        free(self.h)

    cdef void prepare_groups(self) noexcept nogil:
        """What a step computes once for each group but the first, from the same running products."""
        cdef double settings[CNET_SETTINGS]
        cdef double running[CNET_RUNNING]
        cdef Group group
        cdef size_t i
        for i in range(1, self.group_count):
            group = self.groups[i]
            memcpy(settings, self.settings_at, sizeof(settings))
            memcpy(running, self.running_at, sizeof(running))
            settings[CNET_SET_RATE] *= group.factor
            if self.which == CNET_OPT_schedule_free_adamw:  # its products are of learning rates
                running[CNET_RUN_PRODUCT_1] *= group.factor * group.factor
                running[CNET_RUN_PRODUCT_2] *= group.factor
            if group.decays:
                settings[CNET_SET_L2], settings[CNET_SET_DECAY] = group.l2, group.decay
            prepare(self.which, settings, running, self.h + i * CNET_HYPER)

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
        if self.average_kind == LOOKAHEAD and self.averaging_at[1] == 0:
            average(self.network.kernels, self.size, 1, False, self.network.parameters_at,
                    self.average_at, threads)
            self.averaging_at[1] = 1
        if self.which < 0:
            if not self.own_step():
                return False
        else:
            self.prepare_groups()
            prepare(self.which, self.settings_at, self.running_at, self.h)
            self.norm = update(self.network.kernels, self.which, &self.clip, self.group_count,
                               self.h, self.place_count, self.places, self.network.gradients_at,
                               self.network.parameters_at, self.state_at, self.work_at,
                               threads)
        if self.constraint_count:
            self.hold_to(threads)
        if self.average_kind != NO_AVERAGE:
            self.average(threads)
        return True

    cdef void hold_to(self, int threads) noexcept nogil:
        """Move the weights to where constraints want them."""
        cdef Py_ssize_t i
        for i in range(self.constraint_count):
            if not self.places[self.constrained[i]].frozen:
                constrain(self.network.kernels, &self.constraints[i], self.network.parameters_at,
                          threads)

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
