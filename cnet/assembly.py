"""From layers to a network in memory: names, program, compiled core, views of the parameters."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

from cnet import metrics
from cnet._core.network import Network
from cnet.arrays import Array
from cnet.data import as_array
from cnet.errors import NonFiniteError, ShapeError, check_integer, check_sequence, unknown
from cnet.layers import Layer, chain
from cnet.losses import Loss
from cnet.normalizers import Normalization
from cnet.program import Parameter, Program
from cnet.regularizers import Regularizer

DTYPES = ("float32", "float64")
# Whether networks draw first values when they are built.
_drawing = ContextVar("drawing", default=True)


@contextmanager
def undrawn() -> Iterator[None]:
    """Have networks that are built meanwhile draw no first values, since they get others anyway.

    A context, as a network may be built by its constructor already.
    """
    token = _drawing.set(False)
    try:
        yield
    finally:
        _drawing.reset(token)


class Built:
    """A network whose shapes are known.

    Attributes
    ----------
    shape : tuple of int
        Of one row of inputs.
    program : Program
    core : Network
        The compiled one; see `cnet._core.network`.
    parameters, gradients : dict of str to array
        Views of the core's arena.
    buffers : dict of str to array
        Views of the core's buffers: moving means and variances.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        names: Sequence[str],
        inputs: int | Sequence[int],
        dtype: str,
        seed: int,
        kernel_regularizer: Regularizer | None = None,
    ) -> None:
        self.shape = row_shape(inputs)
        self.program = program = plan(layers, names, self.shape, kernel_regularizer)
        values = {}
        if _drawing.get():
            values = {p.name: _first_values(p, seed, i) for i, p in enumerate(program.parameters)}
            values |= {b.name: _first_values(b, seed, 0) for b in program.buffers}
        penalties = [
            (p.offset, p.size, *p.regularizer.factors)
            for p in program.parameters
            if p.regularizer is not None
        ]
        self.core = Network(
            dtype,
            program.widths,
            program.operations,
            program.size,
            penalties,
            seed,
            program.buffer_size,
            program.single_slots,
            program.shared_slopes,
        )
        self.parameters = self.views(self.core.parameters)
        self.gradients = self.views(self.core.gradients)
        flat = self.core.buffers
        self.buffers = {
            b.name: flat[b.offset : b.offset + b.size].reshape(b.shape) for b in program.buffers
        }
        self.set_arrays(values)

    def views(self, flat: Array) -> dict[str, Array]:
        """Return {name: view} of an array that is laid out as the parameters are."""
        return {
            p.name: flat[p.offset : p.offset + p.size].reshape(p.shape)
            for p in self.program.parameters
        }

    def average_views(self) -> dict[str, Array]:
        """Return {name: view} of the averaged parameters; empty if none are kept."""
        average = self.core.average
        return {} if average is None else self.views(average)

    @property
    def last_activation(self) -> str:
        """Name of the activation that makes the outputs; "custom" for what is the user's own."""
        name: str = self.program.operations[-1]["activation"]
        return name

    @property
    def outputs(self) -> int:
        """Columns of the outputs."""
        width: int = self.program.widths[self.program.operations[-1]["y"]]
        return width

    def layer_of_slot(self, slot: int) -> str:
        """Return the name of the layer that writes a slot, for errors."""
        for operation in self.program.operations:
            if slot in (operation["y"], operation["z"]):
                name = operation["layer"]
                row = next(r for r in self.program.rows if r.name == name and r.kind)
                activation = "" if row.activation is None else f", {row.activation}"
                return f"{name} ({row.kind}{activation})"
        return "the input"

    def set_arrays(self, values: dict[str, Any]) -> None:
        """Replace parameters and buffers by name; nothing changes if one does not fit.

        Raises
        ------
        ShapeError
            For another shape.
        NonFiniteError
            For NaN and infinity, in the network's dtype.
        TypeError, ValueError
            For what is no array of numbers, and an unknown name.
        """
        arrays = {name: as_array(value, name) for name, value in values.items()}
        places = self.parameters | self.buffers
        for name, array in arrays.items():
            if name not in places:
                raise unknown("parameter", name, places)
            expected = places[name].shape
            if array.shape != expected:
                raise ShapeError(
                    f"{name} has shape {expected}, got an array of shape {array.shape}"
                )
            with np.errstate(over="ignore"):
                arrays[name] = array.astype(places[name].dtype, copy=False)
            bad = np.argwhere(~np.isfinite(arrays[name]))
            if len(bad):
                where = ", ".join(map(str, bad[0]))
                raise NonFiniteError(
                    f"{name} must be finite in {places[name].dtype}, got "
                    f"{array[tuple(bad[0])]} at [{where}]; nothing was set"
                )
        for name, array in arrays.items():
            places[name][...] = array

    def normalize(self, normalization: Normalization, loss: Loss | None) -> None:
        """Have the core scale inputs and outputs, or refuse while it is not known by what.

        Raises
        ------
        ValueError
            For a loss that takes other targets than were seen.
        """
        self.core.normalize(
            normalization.inputs,
            normalization.restoring(loss, self.outputs),
            normalization.refusal if normalization.is_waiting else None,
        )

    def check_batches(self, rows: int, batch_size: int) -> None:
        """Refuse to train on a batch of one row where rows are normalised by their batch.

        Raises
        ------
        ShapeError
        """
        if not self.core.needs_whole_batch or (batch_size > 1 and rows % batch_size != 1):
            return
        name = next(o.name for o in self.program.rows if o.kind == "BatchNormalization")
        why = f"{name} normalises by the variance of a batch, which one row does not have"
        if batch_size == 1 or rows == 1:
            raise ShapeError(
                f"{why}: train on batches of at least 2 rows, or use cnet.LayerNormalization()"
            )
        better = next(size for size in range(batch_size + 1, rows + 1) if rows % size != 1)
        raise ShapeError(
            f"{why}, and batch_size={batch_size} leaves one of {rows} rows for the last batch of "
            f"an epoch: use batch_size={better}, or leave a row out"
        )

    def check_loss(self, loss: Loss, chosen: Sequence[str | metrics.Score]) -> None:
        """Refuse a loss whose meaning the outputs do not have, and metrics that it does not allow.

        Raises
        ------
        ValueError, ShapeError
        """
        row = next(row for row in reversed(self.program.rows) if not row.prefix)
        activation, last = self.last_activation, row.name
        from_logits = getattr(loss, "from_logits", False)
        link = next(iter(loss.links), "linear")
        remedy = f"give it activation={link!r}"
        if row.activation is None:
            remedy = f"put a cnet.Activation({link!r}) behind it"
        if loss.takes_probabilities and activation == "linear" and not from_logits:
            raise ValueError(
                f"loss {loss.name!r} takes probabilities, but {last} is linear; {remedy}, or use "
                f"cnet.losses.{type(loss).__name__}(from_logits=True)"
            )
        bounded = {*loss.links, "sigmoid", "hard_sigmoid", "softmax", "custom"}
        if loss.takes_probabilities and not from_logits and activation not in bounded:
            raise ValueError(
                f"loss {loss.name!r} takes probabilities, but {last} is {activation}, which leaves "
                f"0..1; {remedy}"
            )
        if from_logits and activation in loss.links:
            raise ValueError(
                f"loss {loss.name!r} with from_logits=True takes logits, but {last} is "
                f"{activation}; "
                "leave from_logits out, the two are merged anyway"
            )
        if loss.name == "gaussian_nll" and self.outputs % 2:
            raise ShapeError(
                "loss 'gaussian_nll' needs an even number of outputs (means, then log-variances), "
                f"but {last} gives {self.outputs}"
            )
        for metric in chosen:
            metrics.get(metric, loss, self.outputs, activation)


def plan(
    layers: Sequence[Layer],
    names: Sequence[str],
    shape: tuple[int, ...],
    kernel_regularizer: Regularizer | None = None,
) -> Program:
    """Translate layers into operations and parameters, for rows of a shape.

    Raises
    ------
    ShapeError
        If a layer cannot read what comes before it.
    ValueError
        If nothing is computed.
    """
    program = Program(kernel_regularizer)
    chain(program, layers, names, program.slot(math.prod(shape)), shape)
    if not program.operations:
        raise ValueError("the network computes nothing: add a cnet.Dense layer")
    program.finish()
    return program


def _first_values(parameter: Parameter, seed: int, step: int) -> Array:
    try:
        return parameter.initializer.sample(parameter.shape, seed, step)
    except (ShapeError, ValueError, TypeError) as error:
        raise type(error)(f"{parameter.name}: {error}") from None


def row_shape(inputs: int | Sequence[int]) -> tuple[int, ...]:
    """Return the shape of one row of inputs, checked.

    Raises
    ------
    TypeError, ValueError
    """
    if isinstance(inputs, (int, float, np.integer)):
        inputs = (check_integer("inputs", inputs, 1),)
    sizes = check_sequence("inputs", inputs, "(28, 28), or an integer")
    if not sizes:
        raise ShapeError("inputs is empty; give the number of columns")
    return tuple(check_integer("inputs", size, 1) for size in sizes)


def check_seed(seed: int | None) -> int:
    """Return a network's seed, drawn unless it is given.

    Raises
    ------
    TypeError, ValueError
    """
    if seed is None:
        return int.from_bytes(os.urandom(6), "little")
    if check_integer("seed", seed, 0) >= 1 << 64:
        raise ValueError(f"seed must be below 2**64, got {seed}")
    return int(seed)


def check_dtype(dtype: Any) -> str:
    """Return the name of a network's dtype.

    Raises
    ------
    ValueError
        For one that there are no kernels for.
    """
    try:
        name = str(dtype) if dtype is None else np.dtype(dtype).name  # NumPy's None is float64
    except TypeError:
        name = str(dtype)
    if name not in DTYPES:
        raise unknown("dtype", name, DTYPES)
    return name
