"""What the compiled loop calls in parts of the user's own, and the checks of what they return.

The loop trusts shapes, dtypes and layout of what comes back from here (`cnet._core.foreign`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from cnet.arrays import Array, Floats
from cnet.errors import ShapeError

if TYPE_CHECKING:
    from cnet import custom
    from cnet.program import Parameter


@contextmanager
def _noted(what: str) -> Iterator[None]:
    """Let the user's exception through, with a note where in the network it happened."""
    try:
        yield
    except BaseException as error:
        error.add_note(f"raised in {what}, which cnet has called")
        raise


def returned(value: Any, what: str, shape: tuple[int, ...], like: str, dtype: Any) -> Array:
    """Return an array that the user's code has returned: checked, contiguous, of a dtype.

    Parameters
    ----------
    what, like : str
        For errors: what has returned it, and whose shape it should have.

    Raises
    ------
    TypeError
        For what is no array of real numbers.
    ShapeError
    """
    if not isinstance(value, np.ndarray):
        got = "nothing (None)" if value is None else f"an object of type {type(value).__name__}"
        raise TypeError(f"{what} returned {got}, expected an array of shape {shape}: {like}")
    if value.dtype.kind not in "fiub":
        raise TypeError(
            f"{what} returned an array of {value.dtype}, expected real numbers of {dtype}"
        )
    if value.shape != shape:
        got = f"an array of shape {value.shape}"
        raise ShapeError(f"{what} returned {got}, expected {shape}: {like}")
    with np.errstate(over="ignore"):  # infinity, which the loop looks for and reports
        return np.ascontiguousarray(value, dtype)


class ActivationCall:
    """An activation in Python, on rows (B, width).

    Parameters
    ----------
    part : cnet.custom.Activation
    where : str
        The layer's name.
    """

    def __init__(self, part: custom.Activation, where: str) -> None:
        self._part, self._name = part, f"{where}: {type(part).__name__}"

    def forward(self, x: Array, parameters: Mapping[str, Array], training: bool) -> Array:
        """Return y."""
        what = f"{self._name}.forward"
        with _noted(what):
            y = self._part.forward(x)
        return returned(y, what, x.shape, "that of x", x.dtype)

    def backward(
        self,
        x: Array,
        y: Array,
        dy: Array,
        parameters: Mapping[str, Array],
        training: bool,
        needs_dx: bool,
    ) -> tuple[Array, dict[str, Array]]:
        """Return dx, and no gradients of parameters."""
        what = f"{self._name}.backward"
        with _noted(what):
            dx = self._part.backward(x, y, dy)
        return returned(dx, what, x.shape, "that of x", x.dtype), {}


class LayerCall:
    """A layer in Python.

    Parameters
    ----------
    part : cnet.custom.Layer
    where : str
        The layer's name.
    inputs, outputs : tuple of int
        Shapes of a row.
    """

    def __init__(
        self, part: custom.Layer, where: str, inputs: tuple[int, ...], outputs: tuple[int, ...]
    ) -> None:
        self._part, self._name = part, f"{where}: {type(part).__name__}"
        self._inputs, self._outputs = inputs, outputs

    def forward(self, x: Array, parameters: Mapping[str, Array], training: bool) -> Array:
        """Return y."""
        what, shape = f"{self._name}.forward", (len(x), *self._outputs)
        with _noted(what):
            y = self._part.forward(x.reshape(-1, *self._inputs), dict(parameters), training)
        return returned(y, what, shape, "B rows of its output_shape", x.dtype)

    def backward(
        self,
        x: Array,
        y: Array,
        dy: Array,
        parameters: Mapping[str, Array],
        training: bool,
        needs_dx: bool,
    ) -> tuple[Array, dict[str, Array]]:
        """Return dx and the gradients of all parameters."""
        what, rows = f"{self._name}.backward", len(x)
        inputs, outputs = (rows, *self._inputs), (rows, *self._outputs)
        with _noted(what):
            pair = self._part.backward(
                x.reshape(inputs),
                y.reshape(outputs),
                dy.reshape(outputs),
                dict(parameters),
                training,
            )
        if not isinstance(pair, tuple) or len(pair) != 2 or not isinstance(pair[1], Mapping):
            raise TypeError(
                f"{what} returned an object of type {type(pair).__name__}, expected a pair: dx and "
                "a dict {name of a parameter: its gradient}, {} where there are no parameters"
            )
        dx, gradients = pair
        if set(gradients) != set(parameters):
            raise ValueError(
                f"{what} returned gradients of {sorted(gradients)}, expected one for every "
                f"parameter: {sorted(parameters)}"
            )
        return returned(dx, what, inputs, "that of x", x.dtype), {
            name: returned(gradients[name], what, values.shape, f"that of {name!r}", x.dtype)
            for name, values in parameters.items()
        }


class LossCall:
    """A loss in Python.

    Parameters
    ----------
    part : cnet.custom.Loss
    outputs : int
        Columns of the network's outputs.
    """

    def __init__(self, part: custom.Loss, outputs: int) -> None:
        self._part, self.takes_labels = part, part.takes_labels
        self.target_kind = "LABELS" if part.takes_labels else "MATRIX"
        self.columns = 1 if part.takes_labels else part.target_columns(outputs)

    def __call__(
        self, y: Array, target: Array, weight: Array | None, scale: float, wants_dy: bool
    ) -> tuple[float, Array | None]:
        """Return scale times the weighted sum over the rows, and its gradient (B, K) if wanted."""
        what = f"loss {type(self._part).__name__}"
        with _noted(f"{what}.forward"):
            values = self._part.forward(y, target)
        values = returned(values, f"{what}.forward", (len(y),), "one loss per row", np.float64)
        factors: Any = scale if weight is None else scale * weight.astype(np.float64)
        value = float(np.sum(values * factors))
        if not wants_dy or not math.isfinite(value):
            return value, np.zeros_like(y) if wants_dy else None
        with _noted(f"{what}.backward"):
            slope = self._part.backward(y, target)
        slope = returned(slope, f"{what}.backward", y.shape, "that of y", y.dtype)
        factors = np.asarray(factors, y.dtype)
        return value, np.ascontiguousarray(slope * (factors[:, None] if factors.ndim else factors))


class UpdateCall:
    """An update rule in Python, over all parameters of a network.

    Parameters
    ----------
    part : cnet.custom.Optimizer
    parameters : sequence of Parameter
        In the order of the arena.
    """

    def __init__(self, part: custom.Optimizer, parameters: Sequence[Parameter]) -> None:
        self._part, self._parameters, self.states = part, tuple(parameters), part.states

    def __call__(
        self,
        flat: Array,
        gradients: Array,
        states: Array,
        settings: Floats,
        step: int,
        frozen: Sequence[bool],
    ) -> float:
        """Do one step; return the norm of the gradients if they are cut by one.

        An exception leaves parameters and states as they were.
        """
        kept = flat.copy(), states.copy()
        try:
            return self._step(flat, gradients, states, settings, step, frozen)
        except BaseException:
            flat[...], states[...] = kept
            raise

    def _step(
        self,
        flat: Array,
        gradients: Array,
        states: Array,
        settings: Floats,
        step: int,
        frozen: Sequence[bool],
    ) -> float:
        moving = [p for p, still in zip(self._parameters, frozen, strict=True) if not still]
        places = [slice(p.offset, p.offset + p.size) for p in moving]
        by, limit = self._part.clip
        norms: list[float] = []
        if self._part.takes_norm:
            norms = [float(np.linalg.norm(gradients[at].astype(np.float64))) for at in places]
        total = math.hypot(*norms)
        rate, coupled, decoupled = (float(value) for value in settings[:3])
        for number, (p, at) in enumerate(zip(moving, places, strict=True)):
            values, gradient = flat[at].reshape(p.shape), gradients[at].reshape(p.shape)
            if by == "value":
                gradient = np.clip(gradient, -limit, limit)
            elif self._part.takes_norm:
                norm = norms[number] if by == "norm" else total
                gradient = gradient * gradient.dtype.type(min(1.0, limit / (norm + 1e-6)))
            if coupled:
                gradient = gradient + gradient.dtype.type(coupled) * values
            if decoupled:
                values *= 1 - rate * decoupled
            own = tuple(state[at].reshape(p.shape) for state in states)
            gradient = gradient.view()
            gradient.flags.writeable = False
            what = f"{type(self._part).__name__}.update of {p.name}"
            with _noted(what):
                got: Any = self._part.update(values, gradient, own, step, rate)
            if got is not None:
                raise TypeError(
                    f"{what} returned an object of type {type(got).__name__}; it must change "
                    "parameter and states in place (parameter -= ...) and return nothing"
                )
        return total
