"""Layers that contain layers: several ways from the same input, joined again.

A block reads one slot, lets each of its branches add itself to the program, and ends with a merge
of `csrc/merges.h`. Backward, the slope of what several operations read is summed over all of them;
who writes first and who adds is settled by `Program.finish`.
"""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, Self

from cnet.errors import ShapeError, check_choice, check_sequence
from cnet.layers import Layer, chain, check_layers, layer_names
from cnet.program import Program, Row

MERGES = ("add", "concat", "mul")

Branch = Layer | Sequence[Layer]


class Block(Layer, eq=False):
    """What the layers that contain others have in common."""

    @property
    @abstractmethod
    def parts(self) -> tuple[tuple[str, tuple[Layer, ...]], ...]:
        """(what `summary` calls it, its layers) of every branch; "" is not shown."""

    @property
    def inner(self) -> tuple[Layer, ...]:
        return tuple(layer for _, layers in self.parts for layer in layers)

    @property
    def inputs_given(self) -> int | None:
        firsts = (layers[0].inputs_given for _, layers in self.parts if layers)
        return next((inputs for inputs in firsts if inputs is not None), None)

    def _join(
        self,
        program: Program,
        x: int,
        shape: tuple[int, ...],
        name: str,
        merge: str,
        shown: str,
    ) -> tuple[int, tuple[int, ...]]:
        """Add all branches and the merge, which `summary` shows as `shown`."""
        program.rows.append(Row(name, type(self).__name__, (), (), None))
        names = iter([f"{name}.{inner}" for inner in layer_names(self.inner)])
        slots, shapes = [], []
        for label, layers in self.parts:
            if label:
                program.rows.append(Row(label, "", (), (), None, "|- "))
            first = len(program.rows)
            slot, row = chain(program, layers, [next(names) for _ in layers], x, shape)
            program.rows[first:] = [
                r.replace(prefix="|  " + r.prefix) for r in program.rows[first:]
            ]
            slots.append(slot)
            shapes.append(row)
        self._check_shapes(name, shapes)
        y = program.merge(merge, slots)
        row = (program.widths[y],) if merge == "concat" else shapes[0]
        program.rows.append(Row(shown, "", row, (), None, "+- "))
        return y, row

    @abstractmethod
    def _check_shapes(self, name: str, shapes: Sequence[tuple[int, ...]]) -> None:
        """Refuse rows that cannot be merged."""

    def __copy__(self) -> Self:
        """Return a block of its own layers with the same settings: no layer is used twice."""
        return self.replace(
            **{field: _copy_of(getattr(self, field)) for field in self.fields if field != "name"}
        )


class Residual(Block, eq=False):
    """A residual block: y = x + f(x), where f is what its layers do one after the other.

    The gradient reaches x directly as well as through f, so that it arrives at the first of
    hundreds of layers. He et al., "Deep residual learning for image recognition", CVPR 2016.

    Parameters
    ----------
    layers : sequence of Layer, or a Layer
        f; blocks among them are welcome.
    shortcut : Layer or sequence of Layer, optional
        Instead of x itself, where f changes the width: y = shortcut(x) + f(x), such as
        `cnet.Dense(64)`, a projection.
    name : str, optional
        "residual_1", "residual_2", ... unless given. Layers in it are numbered on their own, those
        of the shortcut last: "residual_1.dense_1".

    Raises
    ------
    TypeError, ValueError
        For what is no layer, or no layers at all.
    """

    layers: Branch
    shortcut: Branch | None = None

    def __post_init__(self) -> None:
        self._set("layers", _branch("layers", self.layers))
        if not self.layers:
            raise ValueError("layers of a Residual are empty; y = x + f(x) needs an f")
        self._set("shortcut", _branch("shortcut", () if self.shortcut is None else self.shortcut))
        layer_names(self.inner)

    @property
    def parts(self) -> tuple[tuple[str, tuple[Layer, ...]], ...]:
        layers: Any = self.layers
        shortcut: Any = self.shortcut
        return (
            ("layers" if shortcut else "", layers),
            ("shortcut" if shortcut else "", shortcut),
        )

    def add_to(
        self, program: Program, x: int, shape: tuple[int, ...], name: str
    ) -> tuple[int, tuple[int, ...]]:
        shown = "add" if self.shortcut else "add to the input"
        return self._join(program, x, shape, name, "add", shown)

    def _check_shapes(self, name: str, shapes: Sequence[tuple[int, ...]]) -> None:
        made, other = shapes
        if made == other:
            return
        what = "its shortcut" if self.shortcut else "its input"
        remedy = "put a cnet.Flatten() in front of the block"
        if len(made) == len(other) == 1:
            remedy = (
                f"end the layers with {other[0]} units, or pass a projection, "
                f"shortcut=cnet.Dense({made[0]})"
            )
        raise ShapeError(
            f"{name} adds {what} and what its layers make of it, but {what} has rows of shape "
            f"{other} and its layers make rows of shape {made}; {remedy}"
        )


class Parallel(Block, eq=False):
    """Branches that read the same input, and whose outputs are merged.

    Parameters
    ----------
    branches : sequence
        At least two. Each is a layer, a list of layers, or an empty list: the input itself.
    merge : {"add", "concat", "mul"}
        Elementwise sum or product (all branches give the same shape), or the columns of all
        branches side by side, in their order.
    name : str, optional
        "parallel_1", "parallel_2", ... unless given. Layers in it are numbered on their own,
        through all branches: "parallel_1.dense_1".

    Raises
    ------
    TypeError, ValueError
        For what is no layer, an unknown merge, or fewer than two branches.
    """

    branches: Sequence[Branch]
    merge: str = "add"

    def __post_init__(self) -> None:
        branches = check_sequence("branches", self.branches, "[cnet.Dense(8), []]")
        if len(branches) < 2:
            raise ValueError(
                f"branches must be at least 2, got {len(branches)}; layers that follow each other "
                "need no Parallel, and an empty list as the second branch stands for the input"
            )
        check_choice("merge", self.merge, MERGES)
        made = [_branch(f"branch {place}", branch) for place, branch in enumerate(branches, 1)]
        self._set("branches", tuple(made))
        layer_names(self.inner)

    @property
    def parts(self) -> tuple[tuple[str, tuple[Layer, ...]], ...]:
        branches: Any = self.branches
        return tuple(
            (f"branch {place}" if branch else f"branch {place}: the input", branch)
            for place, branch in enumerate(branches, 1)
        )

    def add_to(
        self, program: Program, x: int, shape: tuple[int, ...], name: str
    ) -> tuple[int, tuple[int, ...]]:
        return self._join(program, x, shape, name, self.merge, self.merge)

    def _check_shapes(self, name: str, shapes: Sequence[tuple[int, ...]]) -> None:
        for place, shape in enumerate(shapes, 1):
            if self.merge == "concat" and len(shape) != 1:
                raise ShapeError(
                    f"{name}: merge='concat' takes rows of one dimension, but branch {place} gives "
                    f"rows of shape {shape}; end it with a cnet.Flatten()"
                )
            if self.merge != "concat" and shape != shapes[0]:
                raise ShapeError(
                    f"{name}: merge={self.merge!r} takes branches of one shape, but branch 1 gives "
                    f"rows of shape {shapes[0]} and branch {place} of {shape}; end both with the "
                    "same units, or use merge='concat'"
                )


def _branch(what: str, branch: Any) -> tuple[Layer, ...]:
    return (branch,) if isinstance(branch, Layer) else check_layers(branch, what)


def _copy_of(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(_copy_of(item) for item in value)
    return copy.copy(value)


KINDS: dict[str, type[Any]] = {cls.__name__.lower(): cls for cls in (Residual, Parallel)}
