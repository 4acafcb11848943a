"""Activations by name: descriptions over the rows of csrc/activations.h."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, TypeAlias

import numpy as np

from cnet._core import activations as _activations
from cnet._core.kernels import ACTIVATIONS
from cnet.arrays import Array, ArrayLike
from cnet.description import Description
from cnet.errors import check_choice, check_number

RELU_FAMILY = frozenset({"relu", "leaky_relu", "relu6", "elu", "gelu", "gelu_tanh", "silu", "mish"})


class ActivationFunction(Description):
    """An activation, elementwise or (softmax, log_softmax) over a row.

    Parameters
    ----------
    name : str
        One of `cnet.activations.names()`.
    alpha : float, optional
        The slope below zero of `leaky_relu` (0.01 unless given) or the scale of `elu` (1.0); at
        least 0. No other activation has one.

    Raises
    ------
    ValueError
        For an unknown name, or an `alpha` that is not wanted or out of range.

    Notes
    -----
    Definitions are PyTorch's (`gelu` is the exact form, `gelu_tanh` its approximation;
    `hard_sigmoid` is max(0, min(1, x/6 + 1/2))).
    """

    name: str
    alpha: float | None = None

    def __post_init__(self) -> None:
        check_choice("activation", self.name, ACTIVATIONS)
        default = ACTIVATIONS[self.name][1]
        if self.alpha is None:
            self._set("alpha", default)
        elif default is None:
            raise ValueError(f"activation {self.name!r} has no alpha, got {self.alpha!r}")
        else:
            self._set("alpha", check_number("alpha", self.alpha, 0))

    def __call__(self, x: ArrayLike) -> Array:
        """Return f(x).

        Parameters
        ----------
        x : array of any shape
            float32 stays float32; everything else is taken as float64.

        Returns
        -------
        array of the same shape
        """
        x = _floats(x)
        y = np.empty_like(x)
        rows = x.reshape(-1, x.shape[-1] if x.ndim else 1)
        _activations.forward(self.name, rows, y.reshape(rows.shape), self.alpha or 0.0)
        return y

    def gradient(self, x: ArrayLike, dy: ArrayLike) -> Array:
        """Return dL/dx for dL/dy by the chain rule: dy f'(x).

        Parameters
        ----------
        x, dy : arrays of the same shape

        Returns
        -------
        array of that shape
        """
        x = _floats(x)
        y = self(x)
        rows = x.reshape(-1, x.shape[-1] if x.ndim else 1)
        dx = np.ascontiguousarray(np.broadcast_to(np.asarray(dy, x.dtype), x.shape)).copy()
        view = dx.reshape(rows.shape)
        alpha = self.alpha or 0.0
        _activations.backward(self.name, rows, y.reshape(rows.shape), view, view, alpha)
        return dx

    @property
    def reads_input(self) -> bool:
        """Whether the backward pass needs what went in, so that it must be kept."""
        return ACTIVATIONS[self.name][0] == "INPUT"

    def __str__(self) -> str:
        default = ACTIVATIONS[self.name][1]
        return self.name if self.alpha == default else f"{self.name}({self.alpha:g})"


class CustomActivation(Description, ABC):
    """An activation of the user's own; `cnet.custom` has what to subclass."""

    @property
    def name(self) -> str:
        """What errors and `summary` call it."""
        return type(self).__name__

    @abstractmethod
    def call(self, where: str) -> Any:
        """Return what the compiled loop calls, see `cnet._core.foreign.Foreign`.

        Parameters
        ----------
        where : str
            The layer's name, for errors.
        """


AnyActivation: TypeAlias = "ActivationFunction | CustomActivation"


def _floats(x: ArrayLike) -> Array:
    x = np.asarray(x)
    return np.ascontiguousarray(x, np.float32 if x.dtype == np.float32 else np.float64)


def names() -> tuple[str, ...]:
    """Return the names of all activations."""
    return tuple(ACTIVATIONS)


def linear() -> ActivationFunction:
    """Return f(x) = x."""
    return ActivationFunction("linear")


def get(
    activation: str | AnyActivation | None, alpha: float | None = None
) -> AnyActivation:
    """Return the activation of a name; None is linear, an activation is itself.

    Raises
    ------
    ValueError
        For an unknown name.
    TypeError
        For anything else.
    """
    if activation is None:
        return linear()
    if isinstance(activation, str):
        return ActivationFunction(activation, alpha)
    if isinstance(activation, (ActivationFunction, CustomActivation)):
        return activation
    raise TypeError(
        "activation must be a name or an object (an ActivationFunction, or one whose class is a "
        f"subclass of cnet.custom.Activation), got {activation!r}"
    )
