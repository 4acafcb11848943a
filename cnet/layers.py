"""Layers: frozen descriptions of what a network is made of.

A layer holds settings and no weights: those belong to the network that it is built into.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

from cnet import activations, constraints, initializers, regularizers
from cnet.activations import AnyActivation
from cnet.constraints import ConstraintLike
from cnet.description import Description
from cnet.errors import ShapeError, check_flag, check_integer, check_sequence, unknown
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

    @property
    def inner(self) -> tuple[Layer, ...]:
        """The layers that it consists of, if it does of any."""
        return ()


def check_layers(layers: Any, what: str = "layers") -> tuple[Layer, ...]:
    """Return layers that follow each other, checked; `what` names them in errors.

    Raises
    ------
    TypeError
        For what is no sequence of layers.
    """
    layers = check_sequence(what, layers, "[cnet.Dense(10)]")
    where = "" if what == "layers" else f"{what}, "
    for place, layer in enumerate(layers, 1):
        if not isinstance(layer, Layer):
            raise TypeError(
                f"{where}layer {place} must be a layer such as cnet.Dense(10), got {layer!r}"
            )
    return tuple(layers)


def check_network(layers: Any) -> tuple[Layer, ...]:
    """Return the layers of a network, checked.

    Raises
    ------
    TypeError
        For what is no layer.
    ValueError
        For none at all, or one that is used twice, be it inside of others.
    """
    layers = check_layers(layers)
    if not layers:
        raise ValueError("a network needs at least one layer")
    seen: dict[int, str] = {}
    for place, layer in _places(layers, ""):
        first = seen.setdefault(id(layer), place)
        if first != place:
            raise ValueError(
                f"layer {place} is the same object as layer {first}; every place needs a layer of "
                "its own (copy.copy makes one with the same settings)"
            )
    return tuple(layers)


def _places(layers: Sequence[Layer], before: str) -> Iterator[tuple[str, Layer]]:
    for number, layer in enumerate(layers, 1):
        yield f"{before}{number}", layer
        yield from _places(layer.inner, f"{before}{number}.")


def layer_names(layers: Sequence[Layer]) -> tuple[str, ...]:
    """Return a name for every layer: its own, or its kind and a number.

    Raises
    ------
    ValueError
        For a name that is taken or cannot be one.
    """
    names: list[str] = []
    for place, layer in enumerate(layers, 1):
        count = sum(other.kind == layer.kind for other in layers[:place])
        name = layer.name if layer.name is not None else f"{layer.kind}_{count}"
        if not isinstance(name, str) or not name or "." in name or "/" in name:
            raise ValueError(
                f"layer {place}: a name is a string without dots and slashes, got {name!r}"
            )
        if name in names:
            raise ValueError(f"layer {place}: {name!r} is taken; give it another name")
        names.append(name)
    return tuple(names)


def innermost_names(layers: Sequence[Layer], names: Sequence[str]) -> list[str]:
    """Return the names of all layers that consist of no others, those inside as "outer.inner"."""
    found = []
    for layer, name in zip(layers, names, strict=True):
        inside = [f"{name}.{inner}" for inner in layer_names(layer.inner)]
        found += innermost_names(layer.inner, inside) if inside else [name]
    return found


def named(wanted: Sequence[str], names: Sequence[str], innermost: Sequence[str]) -> list[str]:
    """Return the innermost names that some names stand for: a block is all that is in it.

    Raises
    ------
    ValueError
        For an unknown name.
    """
    found = []
    for name in wanted:
        meant = [inner for inner in innermost if inner == name or inner.startswith(f"{name}.")]
        if not meant:
            raise unknown("layer", name, dict.fromkeys([*names, *innermost]))
        found += meant
    return found


def chain(
    program: Program,
    layers: Sequence[Layer],
    names: Sequence[str],
    slot: int,
    shape: tuple[int, ...],
) -> tuple[int, tuple[int, ...]]:
    """Add layers that follow each other, as `Layer.add_to` does one."""
    for layer, name in zip(layers, names, strict=True):
        first = len(program.operations)
        slot, shape = layer.add_to(program, slot, shape, name)
        for operation in program.operations[first:]:
            operation.setdefault("layer", name)  # a layer inside of it has been here before
    return slot, shape


class Dense(Layer, eq=False):
    """A dense (fully connected) layer: y = f(x W + b).

    Parameters
    ----------
    units : int
        Width of the output.
    activation : str, ActivationFunction or one of `cnet.custom`
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
        Part of the loss that `fit` and `evaluate` report. Unless given, that of the network;
        `cnet.regularizers.L2(0)` is none even then.
    bias_regularizer : the same, for the bias
    kernel_constraint : name or constraint, optional
        What the weights are held to after every step: "max_norm", "non_negative" or
        `cnet.constraints.MaxNorm(2.0)`.
    bias_constraint : the same, for the bias
    name : str, optional
        "dense_1", "dense_2", ... unless given.

    Raises
    ------
    TypeError, ValueError
        For settings out of range, with the setting named.
    """

    units: int
    activation: str | AnyActivation | None = "linear"
    use_bias: bool = True
    inputs: int | None = None
    kernel_initializer: InitializerLike | None = None
    bias_initializer: InitializerLike = "zeros"
    kernel_regularizer: RegularizerLike | None = None
    bias_regularizer: RegularizerLike | None = None
    kernel_constraint: ConstraintLike | None = None
    bias_constraint: ConstraintLike | None = None

    def __post_init__(self) -> None:
        self._set("units", check_integer("units", self.units, 1))
        self._set("activation", activations.get(self.activation))
        check_flag("use_bias", self.use_bias)
        if self.inputs is not None:
            self._set("inputs", check_integer("inputs", self.inputs, 1))
        if self.kernel_initializer is not None:
            start = initializers.get(self.kernel_initializer, "kernel_initializer")
            self._set("kernel_initializer", start)
        start = initializers.get(self.bias_initializer, "bias_initializer")
        self._set("bias_initializer", start)
        for name in ("kernel_regularizer", "bias_regularizer"):
            self._set(name, regularizers.get(getattr(self, name), name))
        for name in ("kernel_constraint", "bias_constraint"):
            self._set(name, constraints.get(getattr(self, name), name))

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
        penalty = regularizers.get(self.kernel_regularizer)
        weight = program.parameter(
            f"{name}.weight",
            (shape[0], self.units),
            initializers.get(kernel),
            program.kernel_regularizer if penalty is None else penalty,
            constraints.get(self.kernel_constraint),
        )
        bias = None
        if self.use_bias:
            start = initializers.get(self.bias_initializer)
            penalty = regularizers.get(self.bias_regularizer)
            held = constraints.get(self.bias_constraint)
            bias = program.parameter(f"{name}.bias", (self.units,), start, penalty, held)
        y = program.operation("dense", x, self.units, function, weight, bias, name=name)
        parameters = (weight, bias) if bias else (weight,)
        program.rows.append(Row(name, "Dense", (self.units,), parameters, function))
        return y, (self.units,)


def _default_kernel(function: AnyActivation) -> str:
    if function.name in activations.RELU_FAMILY:
        return "he_uniform"
    return "lecun_normal" if function.name == "selu" else "glorot_uniform"


class Activation(Layer, eq=False):
    """An activation as a layer of its own: y = f(x).

    Parameters
    ----------
    activation : str, ActivationFunction or one of `cnet.custom`
    alpha : float, optional
        For leaky_relu and elu.
    name : str, optional
    """

    activation: str | AnyActivation
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
        y = program.operation("activation", x, math.prod(shape), function, name=name)
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
