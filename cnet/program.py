"""What layers are translated into: slots, operations over them, and parameters in one arena."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from cnet import activations
from cnet.activations import ActivationFunction, AnyActivation, CustomActivation
from cnet.constraints import Constraint
from cnet.description import Description
from cnet.initializers import Initializer
from cnet.regularizers import Regularizer

# Parameters begin at multiples of so many elements: 64 bytes in float32, 128 in float64.
_ALIGNMENT = 16


class Parameter(Description):
    """A named array in the arena, or among the buffers."""

    name: str
    shape: tuple[int, ...]
    offset: int
    initializer: Initializer
    regularizer: Regularizer | None = None
    constraint: Constraint | None = None

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def layer(self) -> str:
        """Name of the layer that it belongs to."""
        return self.name.rpartition(".")[0]

    @property
    def columns(self) -> int:
        """Columns of a kernel (inputs, units); 1 of a vector."""
        return math.prod(self.shape[1:])

    @property
    def is_kernel(self) -> bool:
        """Whether it is a matrix: biases and what normalisations have are not."""
        return len(self.shape) > 1


class Row(Description):
    """A line of `summary`: one layer as it was built; None is no activation of its own.

    Inside of a block (cnet/blocks.py) lines have a prefix, the tree; those that only name a branch
    or a merge have no kind, and those without a shape show none.
    """

    name: str
    kind: str
    output_shape: tuple[int, ...]
    parameters: tuple[Parameter, ...]
    activation: AnyActivation | None
    prefix: str = ""


class Program:
    """Collects what `cnet._core.network.Network` is made from, in the order of the forward pass.

    Parameters
    ----------
    kernel_regularizer : Regularizer, optional
        Of the kernels of dense layers that name none themselves.

    Attributes
    ----------
    random : bool
        Whether training draws random numbers.
    """

    def __init__(self, kernel_regularizer: Regularizer | None = None) -> None:
        self.kernel_regularizer = kernel_regularizer
        self.widths: list[int] = []
        self.operations: list[dict[str, Any]] = []
        self.parameters: list[Parameter] = []
        self.rows: list[Row] = []
        self.size = 0
        self.random = False
        # Slots that depend on parameters: what reads another need not hand its gradient on.
        self._trained: set[int] = set()
        # What training moves along without a gradient, in a memory of its own.
        self.buffers: list[Parameter] = []
        self.buffer_size = 0
        # Slots that have one row whatever the batch has.
        self.single_slots: set[int] = set()
        # Slots whose gradient lies in that of a later one: see `finish`.
        self.shared_slopes: dict[int, int] = {}

    def hidden_matrices(self) -> list[tuple[int, int]]:
        """Return the shapes of weights of dense layers between the first and the last, else (0, 0).

        One for each parameter. Layers side by side that read the data are all first ones.
        """
        dense = [op for op in self.operations if op["kind"] == "dense"]
        hidden = {op["weight"] for op in dense[1:-1] if op["needs_dx"]}
        return [
            (p.shape[0], p.shape[1]) if p.offset in hidden and len(p.shape) == 2 else (0, 0)
            for p in self.parameters
        ]

    def slot(self, width: int) -> int:
        """Add a slot of so many columns and return its index."""
        self.widths.append(width)
        return len(self.widths) - 1

    def parameter(
        self,
        name: str,
        shape: tuple[int, ...],
        initializer: Initializer,
        regularizer: Regularizer | None = None,
        constraint: Constraint | None = None,
    ) -> Parameter:
        """Add a parameter behind those that are there."""
        parameter = Parameter(name, shape, self.size, initializer, regularizer, constraint)
        self.parameters.append(parameter)
        self.size += -(-parameter.size // _ALIGNMENT) * _ALIGNMENT
        return parameter

    def buffer(self, name: str, shape: tuple[int, ...], initializer: Initializer) -> Parameter:
        """Add a buffer behind those that are there."""
        buffer = Parameter(name, shape, self.buffer_size, initializer)
        self.buffers.append(buffer)
        self.buffer_size += -(-buffer.size // _ALIGNMENT) * _ALIGNMENT
        return buffer

    def normalisation(
        self,
        kind: str,
        x: int,
        epsilon: float,
        gamma: Parameter | None,
        beta: Parameter | None,
        *,
        momentum: float = 0.0,
        moving: tuple[Parameter, Parameter] | None = None,
    ) -> int:
        """Add a row of csrc/norms.h that reads slot x, and return the slot that it writes.

        `moving` are mean and variance of a batch normalisation; its statistics are per column.
        """
        y = self.operation(kind, x, self.widths[x], ActivationFunction("linear"), gamma, beta)
        kept = self.slot(3 * self.widths[x] if moving else 2)
        if moving:
            self.single_slots.add(kept)
        self.operations[-1] |= {
            "z": kept,
            "mean": moving[0].offset if moving else None,
            "variance": moving[1].offset if moving else None,
            "epsilon": epsilon,
            "momentum": momentum,
        }
        return y

    def operation(
        self,
        kind: str,
        x: int,
        width: int,
        activation: AnyActivation,
        weight: Parameter | None = None,
        bias: Parameter | None = None,
        *,
        name: str = "",
    ) -> int:
        """Add an operation that reads slot x, and return the slot that it writes.

        Only a dense operation whose activation's derivative reads its input keeps that input apart.
        An activation of the user's own is an operation of its own, for the layer of that name.
        """
        if isinstance(activation, CustomActivation):
            if kind == "dense":
                x = self.operation(kind, x, width, activations.linear(), weight, bias)
            return self.foreign(activation.call(name), x, width, {})
        y = self.slot(width)
        z = self.slot(width) if kind == "dense" and activation.reads_input else y
        self.operations.append(
            {
                "kind": kind,
                "x": x,
                "y": y,
                "z": z,
                "activation": activation.name,
                "alpha": activation.alpha or 0.0,
                "weight": weight.offset if weight else None,
                "bias": bias.offset if bias else None,
                "needs_dx": x in self._trained,
                "adds_dx": False,
                "linked": False,
                "stream": len(self.operations),
            }
        )
        if weight is not None or x in self._trained:
            self._trained.add(y)
        return y

    def merge(self, kind: str, slots: Sequence[int]) -> int:
        """Add an operation of csrc/merges.h that reads several slots; return the one it writes."""
        widths = [self.widths[slot] for slot in slots]
        width = sum(widths) if kind == "concat" else widths[0]
        y = self.operation(kind, slots[0], width, ActivationFunction("linear"))
        self.operations[-1]["branches"] = tuple(slots)
        if not self._trained.isdisjoint(slots):
            self._trained.add(y)
        return y

    def finish(self) -> None:
        """Settle what depends on all operations; nothing is added afterwards.

        The last one may be merged into the loss; whether it is, the loss says when it trains. Of
        the operations that read one slot, the last is the first to write its gradient, and the
        others add to that. Where `add` merges a slot that nobody else reads, the gradient of the
        sum is that of the slot too, in the same memory.
        """
        self.operations[-1]["linked"] = True
        readers: Counter[int] = Counter()
        for operation in reversed(self.operations):
            if "branches" not in operation:
                operation["adds_dx"] = readers[operation["x"]] > 0
                readers[operation["x"]] += 1
                continue
            branches = []
            for slot in operation["branches"]:
                branches.append((slot, slot in self._trained, readers[slot] > 0))
                readers[slot] += 1
            operation["branches"] = tuple(branches)
        for operation in self.operations:
            if operation["kind"] == "add":
                alone = [slot for slot, *_ in operation["branches"] if readers[slot] == 1 and slot]
                self.shared_slopes |= dict.fromkeys(alone[:1], operation["y"])

    def foreign(self, call: Any, x: int, width: int, parameters: dict[str, Parameter]) -> int:
        """Add an operation of the user's own that reads slot x, and return the slot that it writes.

        Parameters
        ----------
        call : object
            As `cnet._core.foreign.Foreign` takes it.
        parameters : dict
            Its parameters, by the names that it knows them by.
        """
        first = next(iter(parameters.values()), None)
        y = self.operation("foreign", x, width, activations.linear(), first)
        self.operations[-1] |= {
            "activation": "custom",  # whose outputs may be anything
            "call": call,
            "places": {name: (p.offset, p.shape) for name, p in parameters.items()},
        }
        return y

    def columns(self, x: int, routes: list[dict[str, Any]]) -> int:
        """Add the operation of csrc/columns.h, by its routes, as `operation` does."""
        width = sum(route["width"] for route in routes)
        y = self.operation("columns", x, width, activations.get(None))
        self.operations[-1]["routes"] = routes
        self._trained.add(y)
        return y

    def statistics(self) -> list[tuple[int, int, int, int]]:
        """Return of each batch normalisation: slot of what it keeps, places in buffers, columns."""
        return [
            (op["z"], op["mean"], op["variance"], self.widths[op["x"]])
            for op in self.operations
            if op["kind"] == "batch_normalization"
        ]

    @property
    def category_columns(self) -> list[int]:
        """Columns of the input that are categories, which nothing may shift or scale."""
        routes = [route for operation in self.operations for route in operation.get("routes", ())]
        return sorted({route["column"] for route in routes if route["table"] is not None})

    def random_operation(self, kind: str, x: int, width: int, setting: float) -> int:
        """Add an operation of csrc/noise.h, with its rate or deviation, as `operation` does."""
        y = self.operation(kind, x, width, activations.linear())
        self.operations[-1]["alpha"] = setting
        self.random = True
        return y
