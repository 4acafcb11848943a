"""Layers: frozen descriptions of what a network is made of.

A layer holds settings and no weights: those belong to the network that it is built into.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any

from cnet import activations, initializers, regularizers
from cnet.activations import ActivationFunction
from cnet.description import Description
from cnet.errors import ShapeError, check_flag, check_integer
from cnet.initializers import InitializerLike
from cnet.program import Program, Row
from cnet.regularizers import RegularizerLike


class Layer(Description, ABC, eq=False, kw_only=True):
    """What every layer has; two layers are never the same one, even if they are alike."""

    name: str | None = None

    @property
    def kind(self) -> str:
        """Its name in summaries and files: the class's, in lower case."""
        return type(self).__name__.lower()

    @abstractmethod
    def add_to(
        self, program: Program, x: int, shape: tuple[int, ...], name: str
    ) -> tuple[int, tuple[int, ...]]:
        """Translate the layer into operations.

        Parameters
        ----------
        program : Program
        x : int
            The slot that it reads.
        shape : tuple of int
            Shape of a row in that slot.
        name : str
            What it is called in the network, such as "dense_1".

        Returns
        -------
        (slot, shape)
            Where its output is, and the shape of a row there.

        Raises
        ------
        ShapeError
            If it cannot read rows of that shape.
        """

    @property
    def inputs_given(self) -> int | None:
        """The input width that the layer was told, if it was."""
        return None


class Dense(Layer, eq=False):
    """A dense (fully connected) layer: y = f(x W + b).

    Parameters
    ----------
    units : int
        Width of the output.
    activation : str or ActivationFunction
    use_bias : bool
    inputs : int, optional
        Width of the input; taken from the layer before, or from the data, unless given.
    kernel_initializer : name, Initializer, array (inputs, units) or callable, optional
        First values of the weights. By default He's uniform for the relu family (relu, leaky_relu,
        relu6, elu, gelu, silu, mish), LeCun's normal for selu, which is made for it, and Glorot's
        uniform otherwise.
    bias_initializer : the same, (units,)
    kernel_regularizer : name or regularizer, optional
        What the size of the weights costs: "l1", "l2", "l1_l2" or `cnet.regularizers.L2(1e-4)`.
        Part of the loss that `fit` and `evaluate` report.
    bias_regularizer : the same, for the bias
    name : str, optional
        "dense_1", "dense_2", ... unless given.

    Raises
    ------
    TypeError, ValueError
        For settings out of range, with the setting named.
    """

    units: int
    activation: str | ActivationFunction | None = "linear"
    use_bias: bool = True
    inputs: int | None = None
    kernel_initializer: InitializerLike | None = None
    bias_initializer: InitializerLike = "zeros"
    kernel_regularizer: RegularizerLike | None = None
    bias_regularizer: RegularizerLike | None = None

    def __post_init__(self) -> None:
        self._set("units", check_integer("units", self.units, 1))
        self._set("activation", activations.get(self.activation))
        check_flag("use_bias", self.use_bias)
        if self.inputs is not None:
            self._set("inputs", check_integer("inputs", self.inputs, 1))
        if self.kernel_initializer is not None:
            self._set("kernel_initializer", initializers.get(self.kernel_initializer))
        self._set("bias_initializer", initializers.get(self.bias_initializer))
        for name in ("kernel_regularizer", "bias_regularizer"):
            self._set(name, regularizers.get(getattr(self, name)))

    @property
    def inputs_given(self) -> int | None:
        return self.inputs

    def add_to(
        self, program: Program, x: int, shape: tuple[int, ...], name: str
    ) -> tuple[int, tuple[int, ...]]:
        if len(shape) != 1:
            raise ShapeError(
                f"{name} takes rows of one dimension, got rows of shape {shape}; "
                "put a cnet.Flatten() before it"
            )
        if self.inputs not in (None, shape[0]):
            raise ShapeError(
                f"{name} was made for inputs={self.inputs}, but what comes before it gives "
                f"{shape[0]}; leave inputs out to have it inferred"
            )
        function = activations.get(self.activation)
        kernel = self.kernel_initializer
        if kernel is None:
            kernel = _default_kernel(function)
        weight = program.parameter(
            f"{name}.weight",
            (shape[0], self.units),
            initializers.get(kernel),
            regularizers.get(self.kernel_regularizer),
        )
        bias = None
        if self.use_bias:
            start = initializers.get(self.bias_initializer)
            penalty = regularizers.get(self.bias_regularizer)
            bias = program.parameter(f"{name}.bias", (self.units,), start, penalty)
        y = program.operation("dense", x, self.units, function, weight, bias)
        parameters = (weight, bias) if bias else (weight,)
        program.rows.append(Row(name, "Dense", (self.units,), parameters, function))
        return y, (self.units,)


def _default_kernel(function: ActivationFunction) -> str:
    if function.name in activations.RELU_FAMILY:
        return "he_uniform"
    return "lecun_normal" if function.name == "selu" else "glorot_uniform"


class Activation(Layer, eq=False):
    """An activation as a layer of its own: y = f(x).

    Parameters
    ----------
    activation : str or ActivationFunction
    alpha : float, optional
        For leaky_relu and elu.
    name : str, optional
    """

    activation: str | ActivationFunction
    alpha: float | None = None

    def __post_init__(self) -> None:
        self._set("activation", activations.get(self.activation, self.alpha))
        self._set("alpha", None)

    def add_to(
        self, program: Program, x: int, shape: tuple[int, ...], name: str
    ) -> tuple[int, tuple[int, ...]]:
        function = activations.get(self.activation)
        if len(shape) != 1 and function.name in ("softmax", "log_softmax"):
            raise ShapeError(
                f"{name}: {function.name} takes rows of one dimension, got rows of shape {shape}; "
                "put a cnet.Flatten() before it"
            )
        y = program.operation("activation", x, math.prod(shape), function)
        program.rows.append(Row(name, f"Activation({function})", shape, (), function))
        return y, shape


class Flatten(Layer, eq=False):
    """Make a row of an image: (height, width) becomes (height * width,). Costs nothing.

    Parameters
    ----------
    name : str, optional
    """

    def add_to(
        self, program: Program, x: int, shape: tuple[int, ...], name: str
    ) -> tuple[int, tuple[int, ...]]:
        flat = (math.prod(shape),)
        program.rows.append(Row(name, "Flatten", flat, (), None))
        return x, flat


KINDS: dict[str, type[Any]] = {cls.__name__.lower(): cls for cls in (Dense, Activation, Flatten)}
