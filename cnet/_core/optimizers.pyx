"""Every update rule of csrc/optimizers.h over flat arrays."""

from cnet._core.csrc cimport (
    CNET_F32, CNET_F64, CNET_HYPER, CNET_RUNNING, CNET_SETTINGS, cnet_place,
)
from cnet._core.kernels cimport expect_shape, kernels_of, lead, prepare, real
from cnet._core.kernels import OPTIMIZERS

cdef dict IDS = {name: i for i, name in enumerate(OPTIMIZERS)}


cdef int find(str name) except -1:
    if name not in IDS:
        raise ValueError(f"unknown update rule {name!r}; known: {', '.join(IDS)}")
    return IDS[name]


def update(str name, const double[::1] settings, double[::1] running, const real[::1] gradient,
           real[::1] parameter, real[:, ::1] states=None):
    """One step of an update rule.

    Parameters
    ----------
    name : str
        A name of `cnet._core.kernels.OPTIMIZERS`.
    settings : (8,) float64 array
        Learning rate, coupled and decoupled weight decay, beta_1, beta_2, epsilon, the rule's two
        extra settings; the order of the enum in csrc/optimizers.h.
    running : (3,) float64 array
        Steps taken and two running products; start with 0, 1, 1. Updated.
    gradient : (n,) array
    parameter : (n,) array
        Updated.
    states : (s, n) array
        As many rows as `OPTIMIZERS` says for the rule; start with zeros. Updated.

    Raises
    ------
    ValueError
        For an unknown name, or shapes that do not fit.
    TypeError
        For dtypes that differ.
    """
    cdef int which = find(name), dtype = CNET_F32 if real is float else CNET_F64
    cdef int count = OPTIMIZERS[name]
    cdef Py_ssize_t n = parameter.shape[0]
    expect_shape("settings", (settings.shape[0],), (CNET_SETTINGS,))
    expect_shape("running", (running.shape[0],), (CNET_RUNNING,))
    expect_shape("gradient", (gradient.shape[0],), (n,))
    if count:
        if states is None:
            raise ValueError(f"{name} needs states of shape {(count, n)}")
        expect_shape("states", (states.shape[0], states.shape[1]), (count, n))
    if n == 0:
        return
    cdef double h[CNET_HYPER]
    cdef void *s0 = &states[0, 0] if count > 0 else NULL
    cdef void *s1 = &states[1, 0] if count > 1 else NULL
    cdef void *s2 = &states[2, 0] if count > 2 else NULL
    cdef void **at = [s0, s1, s2]
    cdef cnet_place place
    place.offset, place.size, place.frozen = 0, n, False
    with nogil:
        lead(kernels_of(dtype), which, &settings[0], 1, &place, &parameter[0], at, False, 1)
        prepare(which, &settings[0], &running[0], h)
        kernels_of(dtype).update[which](n, h, &gradient[0], &parameter[0], s0, s1, s2)
        lead(kernels_of(dtype), which, &settings[0], 1, &place, &parameter[0], at, True, 1)
