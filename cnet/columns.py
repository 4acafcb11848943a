"""Layers for tables: categories become rows of numbers that are trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cnet import initializers, regularizers
from cnet.errors import ShapeError, check_choice, check_integer, check_sequence
from cnet.initializers import InitializerLike
from cnet.layers import Layer
from cnet.program import Parameter, Program, Row
from cnet.regularizers import RegularizerLike

RESTS = ("keep", "drop")


class Embedding(Layer, eq=False):
    """Every category becomes a row of numbers: the row of that index in a table that is trained.

    The first layer of a network whose columns are all categories, one of `Columns` in others. On
    its own it gives (columns, dim) for a row of columns, all from the same table
    (`torch.nn.Embedding`, `keras.layers.Embedding`); put a `Flatten` behind it.

    Categories are whole numbers 0..categories-1 in arrays of any numeric type; others are refused,
    in training and in prediction. float32 networks take up to 2^24 categories.

    A step computes the gradient of the whole table and updates all of it, as every optimizer here
    does with every parameter: its cost grows with the number of categories, not only with that of
    the rows.

    Parameters
    ----------
    categories : int
        How many there are.
    dim : int
        Numbers per category.
    unknown : int, optional
        The category that all others are taken for: numbers below 0, such as the -1 that pandas
        gives missing values, or from `categories` on. It means something if rows of it were
        trained on. By default others are refused.
    embeddings_initializer : name, Initializer, array (categories, dim) or callable, optional
        First values; "uniform", between -0.05 and 0.05, unless given.
    embeddings_regularizer : name or regularizer, optional
        What the size of the table costs.
    name : str, optional

    Raises
    ------
    TypeError, ValueError
        For settings out of range, with the setting named.
    """

    categories: int
    dim: int
    unknown: int | None = None
    embeddings_initializer: InitializerLike | None = None
    embeddings_regularizer: RegularizerLike | None = None

    def __post_init__(self) -> None:
        self._set("categories", check_integer("categories", self.categories, 1))
        self._set("dim", check_integer("dim", self.dim, 1))
        if self.unknown is not None:
            self._set("unknown", check_integer("unknown", self.unknown, 0))
            if self.unknown >= self.categories:
                raise ValueError(
                    f"unknown must be a category, 0..{self.categories - 1}, got {self.unknown}"
                )
        if self.embeddings_initializer is not None:
            start = initializers.get(self.embeddings_initializer, "embeddings_initializer")
            self._set("embeddings_initializer", start)
        penalty = regularizers.get(self.embeddings_regularizer, "embeddings_regularizer")
        self._set("embeddings_regularizer", penalty)

    def table(self, program: Program, name: str) -> Parameter:
        """Add the table to a program."""
        start = self.embeddings_initializer
        return program.parameter(
            name,
            (self.categories, self.dim),
            initializers.get("uniform" if start is None else start),
            regularizers.get(self.embeddings_regularizer),
        )

    def route(self, table: Parameter, column: int, name: str) -> dict[str, Any]:
        """Return the way of a column to a table of this layer; `name` is for errors."""
        return {
            "column": column,
            "width": self.dim,
            "table": table.offset,
            "categories": self.categories,
            "unknown": self.unknown,
            "name": name,
        }

    def add_to(
        self, program: Program, x: int, shape: tuple[int, ...], name: str
    ) -> tuple[int, tuple[int, ...]]:
        _expect_columns(x, shape, name)
        table = self.table(program, f"{name}.embeddings")
        y = program.columns(x, [self.route(table, column, name) for column in range(shape[0])])
        shape = (shape[0], self.dim)
        program.rows.append(Row(name, "Embedding", shape, (table,), None))
        return y, shape


class Columns(Layer, eq=False):
    """Categories among the columns of a table, each through an `Embedding` of its own.

    The first layer of a network. Its output is the embeddings side by side, in the order in which
    they are given, and behind them the other columns in their own order.

    Parameters
    ----------
    embeddings : {column: Embedding}
        By the column's number in x, from 0. Where a network normalises its inputs, these columns
        are left as they are.
    rest : {"keep", "drop"}
        The other columns go through, or are left out.
    name : str, optional
        "columns_1", ... unless given. The tables are "columns_1.embedding_3" for column 3, or have
        the name of their Embedding.

    Raises
    ------
    TypeError, ValueError
        For what is no mapping of columns to embeddings, an Embedding that is given twice, or an
        unknown rest.

    Examples
    --------
    >>> table = cnet.Columns({0: cnet.Embedding(12, 4), 3: cnet.Embedding(1000, 16, unknown=0)})
    >>> net = cnet.Sequential([table, cnet.Dense(64, "relu"), cnet.Dense(1)])
    """

    embeddings: Mapping[int, Embedding] | Sequence[tuple[int, Embedding]]
    rest: str = "keep"

    def __post_init__(self) -> None:
        given = self.embeddings
        pairs = given.items() if isinstance(given, Mapping) else given
        pairs = check_sequence("embeddings", pairs, "{0: cnet.Embedding(12, 4)}")
        if not pairs:
            raise ValueError("embeddings is empty; {0: cnet.Embedding(12, 4)} embeds column 0")
        checked: list[tuple[int, Embedding]] = []
        for pair in pairs:
            column, embedding = check_sequence("embeddings", pair, "{0: cnet.Embedding(12, 4)}")
            column = check_integer("a column of embeddings", column, 0)
            if not isinstance(embedding, Embedding):
                raise TypeError(
                    f"column {column} needs a cnet.Embedding(categories, dim), got {embedding!r}"
                )
            for other, one in checked:
                if other == column or one is embedding:
                    what = f"column {column} is" if other == column else "one Embedding is"
                    raise ValueError(f"{what} there twice; every column needs one of its own")
            checked.append((column, embedding))
        self._set("embeddings", tuple(checked))
        check_choice("rest", self.rest, RESTS)
        names = self._names("")
        if len(set(names)) < len(names):
            raise ValueError(f"two embeddings have the same name: {', '.join(names)}")

    @property
    def _pairs(self) -> tuple[tuple[int, Embedding], ...]:
        pairs: Any = self.embeddings
        return tuple(pairs)

    def _names(self, name: str) -> list[str]:
        return [f"{name}.{e.name or f'embedding_{column}'}" for column, e in self._pairs]

    def add_to(
        self, program: Program, x: int, shape: tuple[int, ...], name: str
    ) -> tuple[int, tuple[int, ...]]:
        _expect_columns(x, shape, name)
        last = max(column for column, _ in self._pairs)
        if last >= shape[0]:
            raise ShapeError(
                f"{name} embeds column {last}, but rows have {shape[0]} columns: 0..{shape[0] - 1}"
            )
        tables, routes = [], []
        for (column, embedding), called in zip(self._pairs, self._names(name), strict=True):
            tables.append(embedding.table(program, called))
            routes.append(embedding.route(tables[-1], column, called))
        embedded = {column for column, _ in self._pairs}
        others = [c for c in range(shape[0]) if c not in embedded and self.rest == "keep"]
        routes += [_through(first, count) for first, count in _stretches(others)]
        y = program.columns(x, routes)
        width = (program.widths[y],)
        program.rows.append(Row(name, "Columns", width, tuple(tables), None))
        return y, width


def _expect_columns(x: int, shape: tuple[int, ...], name: str) -> None:
    if x != 0:
        raise ShapeError(
            f"{name} reads categories, so it must come first: what layers before it make of them "
            "are none any more"
        )
    if len(shape) != 1:
        raise ShapeError(
            f"{name} takes rows of one dimension, got rows of shape {shape}; "
            "put a cnet.Flatten() before it"
        )


def _through(first: int, count: int) -> dict[str, Any]:
    return {
        "column": first,
        "width": count,
        "table": None,
        "categories": 0,
        "unknown": None,
        "name": "",
    }


def _stretches(columns: Sequence[int]) -> list[tuple[int, int]]:
    """Return (first, how many) of columns that lie side by side."""
    found: list[tuple[int, int]] = []
    for column in columns:
        if found and sum(found[-1]) == column:
            found[-1] = (found[-1][0], found[-1][1] + 1)
        else:
            found.append((column, 1))
    return found


KINDS: dict[str, type[Any]] = {cls.__name__.lower(): cls for cls in (Embedding, Columns)}
