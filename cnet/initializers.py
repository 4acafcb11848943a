"""First values of parameters, all drawn from the counter-based generator by seed.

What a parameter starts with depends on the network's seed and the parameter's place in it, and on
nothing else: not on threads, not on what was drawn before.
"""

from __future__ import annotations

import math
import numbers
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np

from cnet._core.kernels import random_normal, random_uniform
from cnet.arrays import Array, ArrayLike
from cnet.description import Description
from cnet.errors import ShapeError, check_choice, check_flag, check_number, unknown


class Initializer(Description, ABC):
    """Makes the first values of one parameter."""

    @abstractmethod
    def sample(self, shape: tuple[int, ...], seed: int, step: int) -> Array:
        """Return float64 values.

        Parameters
        ----------
        shape : tuple of int
            (inputs, units) of a weight, (units,) of a bias.
        seed : int
            The network's.
        step : int
            The parameter's place in the network, so that no two draw the same numbers.

        Returns
        -------
        array of that shape
        """


class Constant(Initializer):
    """Every element the same `value`."""

    value: float = 0.0

    def __post_init__(self) -> None:
        check_number("value", self.value)

    def sample(self, shape: tuple[int, ...], seed: int, step: int) -> Array:
        return np.full(shape, float(self.value))


class Uniform(Initializer):
    """Uniform between `low` and `high`."""

    low: float = -0.05
    high: float = 0.05

    def __post_init__(self) -> None:
        check_number("low", self.low)
        check_number("high", self.high, self.low)

    def sample(self, shape: tuple[int, ...], seed: int, step: int) -> Array:
        u = random_uniform(seed, "weights", step, math.prod(shape)).reshape(shape)
        return self.low + (self.high - self.low) * u


class Normal(Initializer):
    """Normal with a mean and a standard deviation; cut off at `bound` deviations if given."""

    mean: float = 0.0
    deviation: float = 0.05
    bound: float = 0.0

    def __post_init__(self) -> None:
        check_number("mean", self.mean)
        check_number("deviation", self.deviation, 0)
        check_number("bound", self.bound, 0)

    def sample(self, shape: tuple[int, ...], seed: int, step: int) -> Array:
        z = random_normal(seed, "weights", step, math.prod(shape), self.bound).reshape(shape)
        return self.mean + self.deviation * z


class VarianceScaling(Initializer):
    """Variance gain / fan, which keeps the size of a signal from layer to layer.

    Parameters
    ----------
    gain : float
        1 for Glorot and LeCun, 2 for He.
    fan : {"in", "average"}
        Divide by the inputs, or by the mean of inputs and units.
    normal : bool
        Normal instead of uniform (PyTorch's `xavier_normal_`, `kaiming_normal_`: not cut off).

    Notes
    -----
    Glorot and Bengio (2010): average fan, gain 1. He et al. (2015): fan in, gain 2.
    LeCun et al. (1998): fan in, gain 1.
    """

    gain: float = 1.0
    fan: str = "in"
    normal: bool = False

    def __post_init__(self) -> None:
        check_number("gain", self.gain, 0)
        check_choice("fan", self.fan, ("in", "average"))
        check_flag("normal", self.normal)

    def sample(self, shape: tuple[int, ...], seed: int, step: int) -> Array:
        fan = shape[0] if self.fan == "in" else (shape[0] + shape[-1]) / 2
        deviation = math.sqrt(self.gain / max(fan, 1))
        if self.normal:
            return Normal(0.0, deviation).sample(shape, seed, step)
        limit = math.sqrt(3.0) * deviation
        return Uniform(-limit, limit).sample(shape, seed, step)


class Orthogonal(Initializer):
    """Orthonormal rows or columns, whichever are fewer, times `gain` (Saxe et al., 2014)."""

    gain: float = 1.0

    def __post_init__(self) -> None:
        check_number("gain", self.gain)

    def sample(self, shape: tuple[int, ...], seed: int, step: int) -> Array:
        if len(shape) != 2:
            raise ShapeError(f"orthogonal needs a matrix, got shape {shape}; use it for weights")
        tall = Normal(0.0, 1.0).sample((max(shape), min(shape)), seed, step)
        q, r = np.linalg.qr(tall)
        q = q * np.where(np.diag(r) < 0, -1.0, 1.0)  # makes the distribution uniform
        return self.gain * (q if shape[0] >= shape[1] else q.T)


class Identity(Initializer):
    """Ones on the main diagonal times `gain`, zeros elsewhere; the matrix need not be square."""

    gain: float = 1.0

    def __post_init__(self) -> None:
        check_number("gain", self.gain)

    def sample(self, shape: tuple[int, ...], seed: int, step: int) -> Array:
        if len(shape) != 2:
            raise ShapeError(f"identity needs a matrix, got shape {shape}; use it for weights")
        return self.gain * np.eye(*shape)


class Given(Initializer, eq=False):
    """The user's own array, or a function of the shape that returns one."""

    values: Any

    def sample(self, shape: tuple[int, ...], seed: int, step: int) -> Array:
        values = np.asarray(self.values(shape) if callable(self.values) else self.values)
        if values.shape != shape:
            raise ShapeError(f"the initial values have shape {values.shape}, expected {shape}")
        values = values.astype(np.float64)
        if not np.isfinite(values).all():
            raise ValueError("the initial values are not all finite")
        return values


_NAMES: dict[str, Initializer] = {
    "zeros": Constant(0.0),
    "ones": Constant(1.0),
    "constant": Constant(),
    "uniform": Uniform(),
    "normal": Normal(),
    "truncated_normal": Normal(bound=2.0),
    "glorot_uniform": VarianceScaling(1.0, "average"),
    "glorot_normal": VarianceScaling(1.0, "average", normal=True),
    "he_uniform": VarianceScaling(2.0),
    "he_normal": VarianceScaling(2.0, normal=True),
    "lecun_uniform": VarianceScaling(1.0),
    "lecun_normal": VarianceScaling(1.0, normal=True),
    "orthogonal": Orthogonal(),
    "identity": Identity(),
}

InitializerLike = str | Initializer | ArrayLike | Callable[[tuple[int, ...]], ArrayLike]


def names() -> tuple[str, ...]:
    """Return the names of all initialisers."""
    return tuple(_NAMES)


def get(initializer: InitializerLike, what: str = "an initializer") -> Initializer:
    """Return the initialiser of a name, or wrap a user's array or callable.

    Parameters
    ----------
    what : str
        What it is, for errors.

    Raises
    ------
    ValueError
        For an unknown name.
    TypeError
        For what is nothing of all that.
    """
    if isinstance(initializer, str):
        if initializer not in _NAMES:
            raise unknown("initializer", initializer, _NAMES)
        return _NAMES[initializer]
    if isinstance(initializer, Initializer):
        return initializer
    expected = f"{what} must be a name, an object, an array or a function of the shape"
    if isinstance(initializer, type):
        raise TypeError(
            f"{expected}, got {initializer!r}; that is the class: {initializer.__name__}() makes "
            "an object"
        )
    if isinstance(initializer, numbers.Real):
        raise TypeError(
            f"{expected}, got {initializer!r}; cnet.initializers.Constant(0.1) makes every element "
            "the same number"
        )
    if not callable(initializer):
        try:
            values = np.asarray(initializer)
        except ValueError:  # rows of different lengths
            values = np.asarray(None)
        if values.ndim == 0 or values.dtype.kind not in "biuf":
            raise TypeError(f"{expected}, got {initializer!r}")
    return Given(initializer)
