"""Parts of the user's own: subclasses of what is here go wherever cnet's own parts go.

`Activation`, `Loss`, `Layer` and `Optimizer` are written in Python, with NumPy arrays in and out.
That is the slow path: the compiled loop takes the GIL and calls them for every piece of a batch (at
most 1,024 rows). `CompiledActivation` is for functions in compiled code, which are called without
the GIL. A metric is any function f(y_true, y_pred): see `cnet.metrics.CustomMetric`.

Settings are fields: annotated names of the class, checked in `__post_init__`, that never change.
`cnet.gradcheck` compares a backward with finite differences.

Arrays that are handed over are views of the network's memory which may only be read, and are
overwritten by the next call: copy what is to be kept. Results may have any real dtype and are
converted to the network's. An exception stops training before that batch has changed anything, and
comes out of `fit` as it was raised.

Examples
--------
>>> class Swoosh(cnet.custom.Activation):
...     beta: float = 1.0
...     def forward(self, x):
...         return x / (1 + np.exp(-self.beta * x))
...     def backward(self, x, y, dy):
...         s = 1 / (1 + np.exp(-self.beta * x))
...         return dy * (s + self.beta * y * (1 - s))
>>> net = cnet.Sequential([cnet.Dense(16, Swoosh(beta=1.5)), cnet.Dense(1)])
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from cnet import initializers, layers, losses, optimizer
from cnet.activations import CustomActivation
from cnet.arrays import Array
from cnet.calls import ActivationCall, LayerCall, LossCall, UpdateCall
from cnet.description import Description
from cnet.errors import ShapeError, check_integer, check_number, check_sequence
from cnet.initializers import InitializerLike
from cnet.program import Parameter, Program, Row

__all__ = ["Activation", "CompiledActivation", "Layer", "Loss", "Optimizer"]


class Activation(CustomActivation):
    """An activation in Python, of `Dense(..., activation=...)` or `cnet.Activation(...)`."""

    @abstractmethod
    def forward(self, x: Array) -> Array:
        """Return f(x).

        Parameters
        ----------
        x : (B, units) array
            Each row by itself: nothing may depend on the other rows, which come in pieces.

        Returns
        -------
        (B, units) array
        """

    @abstractmethod
    def backward(self, x: Array, y: Array, dy: Array) -> Array:
        """Return dL/dx.

        Parameters
        ----------
        x, y : (B, units) arrays
            What `forward` got and returned.
        dy : (B, units) array
            dL/dy.

        Returns
        -------
        (B, units) array
            dy f'(x) for an elementwise f.
        """

    def call(self, where: str) -> ActivationCall:
        return ActivationCall(self, where)


class CompiledActivation(CustomActivation):
    """An activation whose functions are compiled: called without the GIL, from any thread.

    `examples/custom_kernel/` is a project that makes one with Cython. Its fields are numbers, which
    the functions get as an array of doubles, in their order.

    Attributes
    ----------
    kernels : dict
        What `cnet.activation_kernels` of `cimport cnet` returns; a subclass sets it.
    """

    kernels: ClassVar[Mapping[str, Any]]

    def __post_init__(self) -> None:
        if not isinstance(getattr(type(self), "kernels", None), Mapping):
            raise TypeError(
                f"{type(self).__name__} has no kernels: set it in the class to what "
                "cnet.activation_kernels(...) of `cimport cnet` returns"
            )
        for name in self.fields:
            self._set(name, check_number(name, getattr(self, name)))

    @property
    def settings(self) -> list[float]:
        """The fields, as the functions get them."""
        return [float(getattr(self, name)) for name in self.fields]

    def call(self, where: str) -> CompiledActivation:
        return self


class Layer(layers.Layer, eq=False):
    """A layer in Python.

    Parameters
    ----------
    name : str, optional
        The class's in lower case and a number, unless given.
    """

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of a row of the output for that of a row of the input: the same."""
        return shape

    def parameters(
        self, shape: tuple[int, ...]
    ) -> Mapping[str, tuple[tuple[int, ...], InitializerLike]]:
        """Return {name: (shape, initialiser)} for the shape of a row of the input: nothing.

        Names are as in `net.parameters` after the dot, such as "weight"; initialisers are what
        `Dense` takes for one.
        """
        return {}

    @abstractmethod
    def forward(self, x: Array, parameters: dict[str, Array], training: bool) -> Array:
        """Return y for rows.

        Parameters
        ----------
        x : (B, *shape) array
            Each row by itself: nothing may depend on the other rows, which come in pieces.
        parameters : dict of str to array
        training : bool
            Whether this is `fit`, or `net.forward(x, training=True)`.

        Returns
        -------
        (B, *output_shape) array
        """

    @abstractmethod
    def backward(
        self, x: Array, y: Array, dy: Array, parameters: dict[str, Array], training: bool
    ) -> tuple[Array, Mapping[str, Array]]:
        """Return dL/dx and dL/dp for all parameters p.

        Parameters
        ----------
        x, y : arrays
            What `forward` got and returned.
        dy : (B, *output_shape) array
            dL/dy.
        parameters, training
            As in `forward`.

        Returns
        -------
        dx : (B, *shape) array
        gradients : dict of str to array
            Sums over these rows; {} if there are no parameters.
        """

    def add_to(
        self, program: Program, x: int, shape: tuple[int, ...], name: str
    ) -> tuple[int, tuple[int, ...]]:
        outputs = _shape(self.output_shape(shape), f"{name}: output_shape returned")
        made: dict[str, Parameter] = {}
        for key, entry in self.parameters(shape).items():
            where = f"{name}: parameters[{key!r}]"
            if not isinstance(key, str) or not key.isidentifier():
                raise ValueError(f"{where} has no name that could stand after a dot")
            if not isinstance(entry, tuple) or len(entry) != 2:
                raise TypeError(
                    f"{where} must be a pair such as ((3, 4), 'glorot_uniform'), got {entry!r}"
                )
            size = _shape(entry[0], where)
            made[key] = program.parameter(f"{name}.{key}", size, initializers.get(entry[1], where))
        call = LayerCall(self, name, shape, outputs)
        y = program.foreign(call, x, math.prod(outputs), made)
        program.rows.append(Row(name, type(self).__name__, outputs, tuple(made.values()), None))
        return y, outputs


def _shape(sizes: Any, what: str) -> tuple[int, ...]:
    found = check_sequence(what, sizes, "(28, 28)")
    if not found:
        raise ShapeError(f"{what}: a shape has at least one size, got {sizes!r}")
    return tuple(check_integer(what, size, 1) for size in found)


class Loss(losses.Loss):
    """A loss in Python: a number per row, of which the mean over the batch is taken.

    Weights of rows and the division by their number are not its business. As with cnet's own,
    calling the object gives the mean, and `gradient` that mean's gradient.

    Attributes
    ----------
    labels : bool
        A subclass sets True if targets are class indices (N,) instead of a matrix.
    """

    labels: ClassVar[bool] = False
    mean_over_columns = False

    def __init_subclass__(cls, **settings: Any) -> None:
        super().__init_subclass__(**settings)
        cls.name = cls.__name__

    @abstractmethod
    def forward(self, y: Array, target: Array) -> Array:
        """Return the loss of every row.

        Parameters
        ----------
        y : (B, K) array
            Outputs of the network.
        target : (B, target_columns) array, or (B,) int64 array of class indices

        Returns
        -------
        (B,) array
        """

    @abstractmethod
    def backward(self, y: Array, target: Array) -> Array:
        """Return the gradient of every row's loss with respect to its outputs, (B, K)."""

    @property
    def takes_labels(self) -> bool:
        return self.labels

    @property
    def takes_probabilities(self) -> bool:
        return False

    def target_columns(self, outputs: int) -> int:
        """Return the columns of a target matrix for so many outputs: as many."""
        return outputs

    def row(self, activation: str) -> tuple[str, bool]:
        return self.name, False

    def call(self, outputs: int) -> LossCall:
        return LossCall(self, outputs)

    def _value(
        self, y: Array, targets: Array, weight: Array | None, gradient: Array | None
    ) -> float:
        call = LossCall(self, y.shape[1])
        value, slope = call(y, targets, weight, 1 / len(y), gradient is not None)
        if gradient is not None:
            gradient[...] = slope
        return value


class Optimizer(optimizer.Optimizer):
    """An update rule in Python, called for every parameter in every step.

    Schedules, cutting of gradients, weight decay and freezing work as with cnet's own: what
    `update` gets is the gradient after all that. A failing step is undone.

    Attributes
    ----------
    states : int
        A subclass sets how many arrays of a parameter's shape it keeps; they start as zeros and are
        saved.
    """

    states: ClassVar[int] = 0

    @abstractmethod
    def update(
        self,
        parameter: Array,
        gradient: Array,
        states: tuple[Array, ...],
        step: int,
        learning_rate: float,
    ) -> None:
        """Do a step: change parameter and states in place.

        Parameters
        ----------
        parameter, gradient : arrays of one shape
        states : tuple of arrays of that shape
        step : int
            From 1.
        learning_rate : float
            Of this step.
        """

    @property
    def rule(self) -> str:
        return type(self).__name__

    def call(self, parameters: Any) -> UpdateCall:
        return UpdateCall(self, parameters)


def is_custom(cls: type[Any]) -> bool:
    """Return whether a class is one of the user's own parts."""
    bases = (CustomActivation, Layer, Loss, Optimizer)
    return issubclass(cls, bases) and issubclass(cls, Description)
