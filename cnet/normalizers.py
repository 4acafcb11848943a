"""Normalisation that is kept with a network: how columns are brought to like sizes, and back.

A normaliser is a description; what it finds in the training rows is a `Scaling`, a shift and a
factor per column in float64. Rows are scaled while they are gathered, in double: a column of huge
numbers that are close to each other keeps what they differ by.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from cnet._core.sources import PerColumn
from cnet.arrays import Array, ArrayLike, Floats
from cnet.description import Description
from cnet.errors import NonFiniteError, NotBuiltError, ShapeError, check_named, check_number
from cnet.losses import Loss

# So many numbers are made float64 at a time where all rows are gone through in one pass, ...
BLOCK = 1 << 16
# ... and so many (or one column, if that is more) where whole columns are needed at once.
COLUMNS_BLOCK = 1 << 22
# A column that varies by no more than rounding errors of its size does not vary.
ROUNDING = 4 * float(np.finfo(np.float64).eps)


class Scaling(PerColumn):
    """What a normaliser has found: `transform(x)` is (x - shift) * factor.

    Parameters
    ----------
    shift, factor : (columns,) float64 arrays
        Read-only afterwards.
    """

    def transform(self, values: ArrayLike) -> Floats:
        """Return values (..., columns) normalised, in float64."""
        scaled: Floats = (self._checked(values) - self.shift) * self.factor
        return scaled

    def inverse_transform(self, values: ArrayLike) -> Floats:
        """Return normalised values (..., columns) as they were, in float64."""
        restored: Floats = self._checked(values) / self.factor + self.shift
        return restored

    def _checked(self, values: ArrayLike) -> Floats:
        array: Floats = np.asarray(values, np.float64)
        single = self.columns == 1 and array.ndim < 2
        if not single and array.shape[-1:] != (self.columns,):
            raise ShapeError(
                f"values has shape {array.shape}, expected (..., {self.columns}): nothing is "
                "broadcast, every column has a shift and a factor of its own"
            )
        return array

    def __repr__(self) -> str:
        return f"{type(self).__name__}(shift={self.shift}, factor={self.factor})"


class Survey(ABC):
    """What is known so far of the columns of rows that come part by part."""

    @abstractmethod
    def add(self, rows: Array) -> None:
        """Look at rows (N, columns) of finite numbers, N at least 1."""

    @abstractmethod
    def found(self) -> tuple[Floats, Floats]:
        """Return shift and spread: the factor is 1 / spread, or 1 where that is 0."""


class Normalizer(Description, ABC):
    """Brings columns to like sizes: (x - shift) * factor."""

    @abstractmethod
    def survey(self) -> Survey:
        """Begin to look at rows."""

    def scaling(self, survey: Survey, what: str = "x") -> Scaling:
        """Return what comes of a survey.

        Raises
        ------
        NonFiniteError
            If a column reaches so far that this is not finite in float64.
        """
        shift, spread = survey.found()
        wrong = np.flatnonzero(~np.isfinite(shift + spread))
        if wrong.size:
            raise NonFiniteError(
                f"column {wrong[0]} of {what} reaches too far for {type(self).__name__}: its "
                "deviation is infinite even in float64; take its logarithm, or cut it off"
            )
        factor = np.ones_like(spread)
        with np.errstate(over="ignore"):
            np.divide(1.0, spread, out=factor, where=spread > ROUNDING * np.abs(shift))
        return Scaling(shift, np.where(np.isfinite(factor), factor, 1.0))

    def fit(self, rows: Array) -> Scaling:
        """Return the scaling for rows (N, columns) of finite numbers."""
        survey = self.survey()
        survey.add(rows)
        return self.scaling(survey)


def _blocks(rows: Array) -> Iterator[Floats]:
    """Yield the rows in float64, copies of a few at a time that all lie alike."""
    step = max(1, BLOCK // max(rows.shape[1], 1))
    for first in range(0, len(rows), step):
        yield np.array(rows[first : first + step], np.float64, order="C")


class _Moments(Survey):
    def __init__(self) -> None:
        self._count = 0

    def add(self, rows: Array) -> None:
        if not self._count:
            self._near = np.array(rows[0], np.float64)
            self._mean, self._squares = np.zeros_like(self._near), np.zeros_like(self._near)
        with np.errstate(over="ignore", invalid="ignore"):
            for block in _blocks(rows):
                block -= self._near
                n, inner = len(block), block.mean(axis=0)
                block -= inner
                apart = inner - self._mean
                before, self._count = self._count, self._count + n
                self._mean += apart * (n / self._count)
                self._squares += np.einsum("ij,ij->j", block, block)
                self._squares += apart**2 * (n * before / self._count)

    def found(self) -> tuple[Floats, Floats]:
        return self._near + self._mean, np.sqrt(self._squares / self._count)


class Standardize(Normalizer):
    """Mean 0 and standard deviation 1 of every column (scikit-learn's `StandardScaler`).

    (x - mean) / deviation, the deviation being the root of the biased variance (divided by N).
    One pass over the rows: mean and variance of a block of rows at a time, about a point near the
    mean, merged by the formula of Chan, Golub and LeVeque (1979). A column that does not vary is
    only shifted.
    """

    def survey(self) -> Survey:
        return _Moments()


class _Extremes(Survey):
    def __init__(self, low: float, high: float) -> None:
        self._low, self._high = low, high
        self._smallest: Floats | None = None

    def add(self, rows: Array) -> None:
        if self._smallest is None:
            self._smallest = np.array(rows[0], np.float64)
            self._largest = self._smallest.copy()
        for block in _blocks(rows):
            np.minimum(self._smallest, block.min(axis=0), out=self._smallest)
            np.maximum(self._largest, block.max(axis=0), out=self._largest)

    def found(self) -> tuple[Floats, Floats]:
        assert self._smallest is not None
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is refused later
            reach = self._largest - self._smallest
            reach[reach <= ROUNDING * np.abs(self._smallest)] = 1.0
            spread = reach / (self._high - self._low)
            return self._smallest - self._low * spread, spread


class MinMax(Normalizer):
    """The smallest number of every column becomes `low`, the largest `high`.

    scikit-learn's `MinMaxScaler`. One pass over the rows. A column that does not vary becomes
    `low`. Rows that come later may lie outside.

    Parameters
    ----------
    low, high : float

    Raises
    ------
    TypeError, ValueError
        Unless low is below high.
    """

    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        self._set("low", check_number("low", self.low))
        self._set("high", check_number("high", self.high, self.low, above=True))

    def survey(self) -> Survey:
        return _Extremes(self.low, self.high)


class _Quartiles(Survey):
    def __init__(self) -> None:
        self._found: Floats | None = None

    def add(self, rows: Array) -> None:
        if self._found is not None:
            raise ValueError(
                "Robust needs all rows at once, since quartiles of parts are not those of the "
                "whole: use Standardize or MinMax for data that comes in parts, or call "
                "net.adapt(x, y) with an array"
            )
        columns = rows.shape[1]
        self._found = np.empty((3, columns))
        step = max(1, COLUMNS_BLOCK // len(rows))
        for first in range(0, columns, step):
            block = np.array(rows[:, first : first + step], np.float64, order="F")
            self._found[:, first : first + step] = np.quantile(
                block, (0.25, 0.5, 0.75), axis=0, overwrite_input=True
            )

    def found(self) -> tuple[Floats, Floats]:
        assert self._found is not None
        return self._found[1], self._found[2] - self._found[0]


class Robust(Normalizer):
    """Median 0 and distance of the quartiles 1 in every column (scikit-learn's `RobustScaler`).

    What a few wild rows cannot change. Quartiles are exact, interpolated linearly, so that whole
    columns have to be in memory: in float64 as many at once as have 4 million numbers together, or
    one; data that comes in parts is refused. A column whose quartiles are the same is only shifted.
    """

    def survey(self) -> Survey:
        return _Quartiles()


NormalizerLike = str | Normalizer

_NAMES: dict[str, Normalizer] = {
    "standardize": Standardize(),
    "minmax": MinMax(),
    "robust": Robust(),
}


def names() -> tuple[str, ...]:
    """Return the names of all normalisers."""
    return tuple(_NAMES)


def get(what: str, normalizer: NormalizerLike | None) -> Normalizer | None:
    """Return the normaliser of a name; None stays None.

    Raises
    ------
    ValueError, TypeError
        For an unknown name, or what is no normaliser; `what` is the argument.
    """
    found: Normalizer | None = check_named(
        f"{what} must be", "normaliser", normalizer, Normalizer, _NAMES, "cnet.Standardize()"
    )
    return found


# ---- those of a network --------------------------------------------------------------------------

# Figures that mean something else for numbers that are not in their own units.
_OF_CLASSES = ("accuracy", "binary_accuracy", "categorical_accuracy", "sparse_accuracy")


class Normalization(Description, eq=False):
    """What a network normalises, and by what, once that is known.

    Attributes
    ----------
    of_inputs, of_targets : Normalizer or None
    inputs, targets : Scaling or None
        None until rows were seen.
    """

    of_inputs: Normalizer | None
    of_targets: Normalizer | None
    inputs: Scaling | None = None
    targets: Scaling | None = None

    @property
    def is_waiting(self) -> bool:
        """Whether rows have to be seen first."""
        wanted = (self.of_inputs, self.inputs), (self.of_targets, self.targets)
        return any(of is not None and found is None for of, found in wanted)

    def fitted(
        self, parts: Iterable[tuple[Array, Array | None]], categories: Sequence[int] = ()
    ) -> Normalization:
        """Return the normalisation for rows (N, columns) and targets (N, K) in parts, all finite.

        Columns that are `categories` stay as they are.
        """
        of = self.of_inputs, self.of_targets
        surveys = [None if side is None else side.survey() for side in of]
        for part in parts:
            for survey, values in zip(surveys, part, strict=True):
                if survey is not None and values is not None:
                    survey.add(values)
        inputs, targets = (
            None if side is None or survey is None else side.scaling(survey, what)
            for side, survey, what in zip(of, surveys, "xy", strict=True)
        )
        if inputs is not None and categories:
            shift, factor = inputs.shift.copy(), inputs.factor.copy()
            shift[[*categories]], factor[[*categories]] = 0.0, 1.0
            inputs = Scaling(shift, factor)
        return self.replace(inputs=inputs, targets=targets)

    def refusal(self) -> NotBuiltError:
        """Return the error for whoever asks before rows were seen."""
        side = "inputs" if self.of_inputs is not None else "targets"
        return NotBuiltError(
            f"the network normalises its {side}, but has seen no rows yet to find out by what: "
            "call fit on arrays, or net.adapt(x, y) with the training rows (net.adapt(shards), if "
            "they come in parts)"
        )

    def check(self, loss: Loss, metrics: Sequence[Any]) -> None:
        """Refuse what means nothing where targets are normalised.

        Raises
        ------
        ValueError
        """
        if self.of_targets is None:
            return
        if not loss.takes_normalized:
            raise ValueError(
                f"normalize_targets is for cnet's losses of regression, and loss {loss.name!r} is "
                "none of them; leave normalize_targets out, or use 'mse', 'mae', 'huber', "
                "'quantile' or 'gaussian_nll'"
            )
        for metric in metrics:
            if metric in _OF_CLASSES:
                raise ValueError(
                    f"metric {metric!r} is for classes, and targets that are normalised are none; "
                    "use 'mae', 'rmse' or 'r2', or leave normalize_targets out"
                )

    def restoring(self, loss: Loss | None, outputs: int) -> PerColumn | None:
        """Return what outputs are multiplied by, and what is added then, for so many of them.

        The logarithms of variances that come behind the means of `gaussian_nll` get twice the
        logarithm of what the means are multiplied by.

        Raises
        ------
        ValueError
            If the targets seen have another number of columns than the loss takes.
        """
        if self.targets is None:
            return None
        columns = outputs if loss is None else loss.target_columns(outputs)
        if columns != self.targets.columns:
            name = "no loss" if loss is None else f"loss {loss.name!r}"
            raise ValueError(
                f"the targets that the network has adapted to have {self.targets.columns} columns, "
                f"but {name} takes {columns}; make a new network for it"
            )
        factor, shift = 1 / self.targets.factor, self.targets.shift
        if columns == outputs:
            return PerColumn(shift, factor)
        return PerColumn(
            np.concatenate([shift, 2 * np.log(factor)]),
            np.concatenate([factor, np.ones(columns)]),
        )
