"""What layers are translated into: slots, operations over them, and parameters in one arena."""

from __future__ import annotations

import math
from typing import Any

from cnet.activations import ActivationFunction
from cnet.description import Description
from cnet.initializers import Initializer

# Parameters begin at multiples of so many elements: 64 bytes in float32, 128 in float64.
_ALIGNMENT = 16


class Parameter(Description):
    """A named array in the arena."""

    name: str
    shape: tuple[int, ...]
    offset: int
    initializer: Initializer

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)


class Row(Description):
    """A line of `summary`: one layer as it was built."""

    name: str
    kind: str
    output_shape: tuple[int, ...]
    parameters: tuple[Parameter, ...]
    activation: ActivationFunction


class Program:
    """Collects what `cnet._core.network.Network` is made from, in the order of the forward pass."""

    def __init__(self) -> None:
        self.widths: list[int] = []
        self.operations: list[dict[str, Any]] = []
        self.parameters: list[Parameter] = []
        self.rows: list[Row] = []
        self.size = 0

    def slot(self, width: int) -> int:
        """Add a slot of so many columns and return its index."""
        self.widths.append(width)
        return len(self.widths) - 1

    def parameter(self, name: str, shape: tuple[int, ...], initializer: Initializer) -> Parameter:
        """Add a parameter behind those that are there."""
        parameter = Parameter(name, shape, self.size, initializer)
        self.parameters.append(parameter)
        self.size += -(-parameter.size // _ALIGNMENT) * _ALIGNMENT
        return parameter

    def operation(
        self,
        kind: str,
        x: int,
        width: int,
        activation: ActivationFunction,
        weight: Parameter | None = None,
        bias: Parameter | None = None,
    ) -> int:
        """Add an operation that reads slot x, and return the slot that it writes.

        Only a dense operation whose activation's derivative reads its input keeps that input apart.
        """
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
                "linked": False,
            }
        )
        return y
