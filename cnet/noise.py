"""Layers that draw random numbers while a network trains, and do nothing when it is asked.

What an element of a batch draws is a function of the network's seed, the number of the optimizer's
step, the layer's place and the element's own, computed from a counter (Philox 4x32-10). There is no
state: neither threads nor an interruption nor pieces of a batch make a difference.
`csrc/noise.h` says which bits are whose.
"""

from __future__ import annotations

import math
from typing import Any

from cnet.errors import check_number
from cnet.layers import Layer
from cnet.program import Program, Row


class Dropout(Layer, eq=False):
    """Sets elements to 0 at random, and scales up the others so that the mean stays.

    While training, y = x m with m = 0 or m = 1 / (1 - rate), for every element on its own. In
    `predict`, `evaluate` and validation y = x, bit for bit. In front of the first layer it drops
    inputs.

    Parameters
    ----------
    rate : float
        The share that is dropped, at least 0 and below 1. A decision takes 16 random bits, so that
        the rate is rounded to a multiple of 1/65536 (and stays below 1); the scale is that of the
        rounded rate, exactly.
    name : str, optional

    Raises
    ------
    TypeError, ValueError
        For a rate out of range.

    Notes
    -----
    N. Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting",
    Journal of Machine Learning Research 15 (2014), in its inverted form.
    """

    rate: float

    def __post_init__(self) -> None:
        self._set("rate", check_number("rate", self.rate, 0, 1, below=True))

    def add_to(
        self, program: Program, x: int, shape: tuple[int, ...], name: str
    ) -> tuple[int, tuple[int, ...]]:
        return _add_to(program, x, shape, name, "dropout", f"Dropout({self.rate:g})", self.rate)


class GaussianDropout(Layer, eq=False):
    """Multiplies elements by normal numbers of mean 1 and variance rate / (1 - rate).

    Mean and variance of m are those of `Dropout`. In `predict`, `evaluate` and validation y = x.

    Parameters
    ----------
    rate : float
        At least 0 and below 1.
    name : str, optional

    Raises
    ------
    TypeError, ValueError
        For a rate out of range.

    Notes
    -----
    Section 10 of the paper that `Dropout` names.
    """

    rate: float

    def __post_init__(self) -> None:
        self._set("rate", check_number("rate", self.rate, 0, 1, below=True))

    def add_to(
        self, program: Program, x: int, shape: tuple[int, ...], name: str
    ) -> tuple[int, tuple[int, ...]]:
        kind = f"GaussianDropout({self.rate:g})"
        return _add_to(program, x, shape, name, "gaussian_dropout", kind, self.rate)


class GaussianNoise(Layer, eq=False):
    """Adds normal numbers of mean 0 to elements.

    In `predict`, `evaluate` and validation y = x. Inputs get it after the network's `scale`.

    Parameters
    ----------
    deviation : float
        Standard deviation, at least 0.
    name : str, optional

    Raises
    ------
    TypeError, ValueError
        For a deviation out of range.
    """

    deviation: float

    def __post_init__(self) -> None:
        self._set("deviation", check_number("deviation", self.deviation, 0))

    def add_to(
        self, program: Program, x: int, shape: tuple[int, ...], name: str
    ) -> tuple[int, tuple[int, ...]]:
        kind = f"GaussianNoise({self.deviation:g})"
        return _add_to(program, x, shape, name, "gaussian_noise", kind, self.deviation)


def _add_to(
    program: Program,
    x: int,
    shape: tuple[int, ...],
    name: str,
    operation: str,
    kind: str,
    setting: float,
) -> tuple[int, tuple[int, ...]]:
    y = program.random_operation(operation, x, math.prod(shape), setting)
    program.rows.append(Row(name, kind, shape, (), None))
    return y, shape


KINDS: dict[str, type[Any]] = {
    cls.__name__.lower(): cls for cls in (Dropout, GaussianDropout, GaussianNoise)
}
