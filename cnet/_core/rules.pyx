"""Update rules at work: an optimizer's settings and states for one network."""

import numpy as np

from cnet._core cimport optimizers
from cnet._core.csrc cimport CNET_HYPER, CNET_SETTINGS
from cnet._core.kernels cimport prepare, update
from cnet._core.kernels import OPTIMIZERS
from cnet._core.network cimport Network, address, aligned_zeros


cdef class Rule:
    """An update rule with its settings and states for one network.

    Parameters
    ----------
    network : Network
    name : str
        A name of `cnet._core.kernels.OPTIMIZERS`.
    settings : (7,) float64 array
        See csrc/optimizers.h. May be written between steps, such as the learning rate in [0].
    fill : float
        What the first state starts with (AdaGrad's accumulator).

    Attributes
    ----------
    running : (3,) float64 array
        Steps taken and running products.
    states : (s, size) array
        Per parameter.
    """

    def __cinit__(self, Network network not None, str name, settings, double fill=0.0):
        cdef int i
        cdef Py_ssize_t count
        self.network = network
        self.name = name
        self.which = optimizers.find(name)
        self.settings = np.array(settings, np.float64)
        if self.settings.shape != (CNET_SETTINGS,):
            raise ValueError(f"settings has shape {self.settings.shape}, expected {(CNET_SETTINGS,)}")
        self.running = np.array([0.0, 1.0, 1.0])
        self.settings_at = <double *>address(self.settings)
        self.running_at = <double *>address(self.running)
        count, self.size = OPTIMIZERS[name], network.parameters.size
        flat = aligned_zeros(count * self.size * network.itemsize).view(network.parameters.dtype)
        self.states = flat.reshape(count, self.size)
        for i in range(count):
            self.state_at[i] = <char *>address(flat) + i * self.size * network.itemsize
        if fill and count:
            self.states[0] = fill

    cdef void step(self, int threads) noexcept nogil:
        cdef double h[CNET_HYPER]
        prepare(self.which, self.settings_at, self.running_at, h)
        update(self.network.kernels, self.which, self.size, h, self.network.gradients_at,
               self.network.parameters_at, self.state_at, threads)

    def apply(self, int threads=1):
        """One step from the network's gradients."""
        with nogil:
            self.step(threads)
