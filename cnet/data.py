"""The user's arrays: checked before anything changes, and read where they lie."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from cnet._core.sources import PerColumn, Source
from cnet.arrays import Array, Floats, Integers
from cnet.errors import NonFiniteError, ShapeError, check_number
from cnet.losses import Loss

# So many elements are checked at a time where that takes temporary arrays.
BLOCK = 1 << 18


def as_array(values: Any, what: str) -> Array:
    """Return a numeric array without copying one that is there already.

    Parameters
    ----------
    values : array, list, data frame, anything with `__array__`
    what : str
        What it is called in errors.

    Raises
    ------
    TypeError
        If it is not numeric.
    """
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        raise TypeError(
            f"{what} is a masked array, whose mask would be lost; fill it ({what}.filled(0)) or "
            "drop the rows that hold masked values"
        )
    if values is None or isinstance(values, (dict, set, Iterator)):
        got = "None" if values is None else f"a {type(values).__name__}"
        remedy = "" if values is None else f"; make it a list of rows first, such as list({what})"
        raise TypeError(f"{what} is {got}, expected an array, a list or a data frame{remedy}")
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise ShapeError(f"{what} is not rectangular: {error}") from None
    if array.dtype.kind == "O" and _all_numeric(values):
        array = values.to_numpy(np.float64, na_value=np.nan)
    if array.dtype.kind not in "biuf":
        strings = "turn strings into class indices with np.unique(..., return_inverse=True)"
        hint = {
            "U": strings,
            "S": strings,
            "T": strings,
            "O": "its columns are not all numeric, or its rows not all of one length; "
            "convert it with np.asarray(..., dtype=np.float32)",
            "c": "pass the real and the imaginary part as columns of their own",
        }.get(array.dtype.kind, "convert it to numbers first")
        raise TypeError(f"{what} has dtype {array.dtype}, expected numbers: {hint}")
    if array.dtype.kind == "f" and array.dtype.itemsize > 8:
        array = array.astype(np.float64)
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    return array


def _all_numeric(values: Any) -> bool:
    """Return whether it is a pandas frame of numbers; some of them bool make it one of objects."""
    if not hasattr(values, "to_numpy") or getattr(values, "ndim", 0) != 2:
        return False
    return all(getattr(dtype, "kind", "O") in "biuf" for dtype in values.dtypes)


def as_rows(values: Any, what: str, shape: tuple[int, ...] | None, layer: str) -> Array:
    """Return rows for a network as (N, columns).

    Parameters
    ----------
    values : array-like, (N, *shape)
    what : str
    shape : tuple of int or None
        Shape of one row; None if the network is not built yet.
    layer : str
        The layer that reads them, for errors.

    Raises
    ------
    ShapeError
        For another shape.
    """
    array = as_array(values, what)
    if array.ndim < 2:
        remedy = f"{what}.reshape(-1, 1) makes each value a row"
        if array.ndim == 1:
            remedy += f", {what}[None, :] makes it one row"
        raise ShapeError(f"{what} must be (rows, columns), got shape {array.shape}; {remedy}")
    if shape is not None and array.shape[1:] != shape:
        flat = array.ndim == 2 and len(shape) > 1 and array.shape[1] == int(np.prod(shape))
        if not flat:
            expected = "(N, " + ", ".join(map(str, shape)) + ")"
            raise ShapeError(
                f"{what} has shape {array.shape}, but {layer} expects {expected}"
                + _transposed_hint(array, shape, what)
            )
    return array if array.ndim == 2 else array.reshape(len(array), int(np.prod(array.shape[1:])))


def _transposed_hint(array: Array, shape: tuple[int, ...], what: str) -> str:
    if array.ndim == 2 and len(shape) == 1 and array.shape[0] == shape[0]:
        return f"; rows are examples: did you mean {what}.T?"
    return ""


def check_finite(source: Source, what: str, remedy: str) -> None:
    """Raise a NonFiniteError that names the first NaN or infinity of an array.

    Raises
    ------
    NonFiniteError
    """
    place = source.first_nonfinite()
    if place is not None:
        raise NonFiniteError(
            f"{what} holds NaN or infinity, first at row {place[0]}, column {place[1]}; {remedy}"
        )


def check_range(
    rows: Array, what: str, dtype: str, scale: float, scaling: PerColumn | None = None
) -> None:
    """Raise a NonFiniteError that names the first number that is infinite in the network's dtype.

    Raises
    ------
    NonFiniteError
    """
    if scaling is not None:
        _check_normalized(rows, what, dtype, scaling)
        return
    if rows.dtype.kind != "f" or (rows.dtype == dtype and abs(scale) <= 1):
        return
    limit = float(np.finfo(dtype).max) / max(abs(scale), 1.0)
    if limit >= float(np.finfo(rows.dtype).max):
        return
    for first, block in _blocks(rows):
        if block.max() > limit or block.min() < -limit:
            row, column = np.argwhere(np.abs(block) > limit)[0]
            raise NonFiniteError(
                f"{what} holds {block[row, column]:g}, which is infinite in {dtype}, at row "
                f"{first + row}, column {column}; scale its columns to about -1..1, or build with "
                "dtype='float64'"
            )


def _blocks(array: Array) -> Iterator[tuple[int, Array]]:
    """Yield the array in blocks of rows, each with the number of its first row.

    What a check makes of a block is small, however large the array is; and Ctrl-C comes between.
    """
    count = max(1, BLOCK // max(1, array[:1].size))
    for first in range(0, len(array), count):
        yield first, array[first : first + count]


def _check_normalized(rows: Array, what: str, dtype: str, scaling: PerColumn) -> None:
    if rows.dtype.kind != "f" or (rows.dtype == dtype and scaling.factor.max() <= 1):
        return
    with np.errstate(over="ignore"):
        ends = [(f(axis=0) - scaling.shift) * scaling.factor for f in (rows.min, rows.max)]
    wrong = np.flatnonzero(np.abs(ends).max(axis=0) > float(np.finfo(dtype).max))
    if wrong.size:
        column = wrong[0]
        row = int(np.abs(rows[:, column] - scaling.shift[column]).argmax())
        raise NonFiniteError(
            f"{what} holds {rows[row, column]:g} at row {row}, column {column}, which is infinite "
            f"in {dtype} once it is normalised by what the training rows had there; is it a slip?"
        )


def as_targets(
    values: Any, what: str, loss: Loss, outputs: int, rows: int, dtype: str
) -> Source | Array:
    """Return targets in the form that a loss takes.

    (N,) stands for (N, 1) where the loss wants one column, and nothing else is broadcast.

    Returns
    -------
    Source
        Of (N, columns); or, for a sparse loss, the (N,) int64 class indices themselves.

    Raises
    ------
    ShapeError, TypeError, ValueError, NonFiniteError
    """
    array = as_array(values, what)
    if array.ndim == 0 or len(array) != rows:
        got = "a single value" if array.ndim == 0 else f"{len(array)} rows"
        x = f"{what.removesuffix('y')}x"
        raise ShapeError(f"{x} has {rows} rows but {what} has {got}; every row needs its target")
    if loss.takes_labels:
        return _labels(array, what, outputs)
    columns = loss.target_columns(outputs)
    if array.ndim == 1 and columns == 1:
        array = array.reshape(-1, 1)
    if array.shape != (rows, columns):
        remedy = f"shape it (N, {columns})"
        if array.ndim == 1 and loss.name == "categorical_crossentropy" and array.dtype.kind in "iu":
            remedy = "class indices belong to loss='sparse_categorical_crossentropy'"
        elif array.shape == (rows, 1):
            remedy = f"give the last layer 1 unit, or targets of {columns} columns"
        raise ShapeError(
            f"{what} has shape {array.shape}, but the last layer gives {(rows, outputs)} and loss "
            f"{loss.name!r} expects targets of {(rows, columns)}; {remedy}"
        )
    source = Source(array)
    check_finite(source, what, "drop or impute these rows")
    check_range(array, what, dtype, 1.0)
    _check_bounds(array, what, loss)
    return source


def _labels(array: Array, what: str, outputs: int) -> Array:
    if array.ndim != 1:
        remedy = (
            f"{what}.ravel() makes them (N,)"
            if array.ndim == 2 and array.shape[1] == 1
            else "one-hot targets belong to loss='categorical_crossentropy'"
        )
        raise ShapeError(f"{what} must be class indices (N,), got shape {array.shape}; {remedy}")
    if array.dtype.kind not in "iub":
        raise TypeError(
            f"{what} has dtype {array.dtype}, expected integer class indices; "
            f"{what}.astype(np.int64) if they are whole numbers"
        )
    for first, block in _blocks(array):
        if block.min() >= 0 and block.max() < outputs:
            continue
        at = first + int(np.flatnonzero((block < 0) | (block >= outputs))[0])
        remedy = "" if array.min() < 0 else f"give it {int(array.max()) + 1} units, or "
        if array.min() == 1 and array.max() == outputs:
            raise ValueError(
                f"{what} has classes 1..{outputs}, expected 0..{outputs - 1}; pass {what} - 1"
            )
        raise ValueError(
            f"{what}[{at}] is class {array[at]}, but the last layer has {outputs} units: "
            f"classes 0..{outputs - 1}; {remedy}renumber the classes with "
            f"np.unique({what.split()[-1]}, return_inverse=True)"
        )
    return np.ascontiguousarray(array if array.flags.aligned else array.copy(), np.int64)


def _check_bounds(array: Array, what: str, loss: Loss) -> None:
    if loss.bounds is None:
        return
    low, high = loss.bounds
    hinge = loss.name in ("hinge", "squared_hinge")
    for first, block in _blocks(array):
        if not hinge and block.min() >= low and block.max() <= high:
            continue
        bad = (np.abs(block) != 1) if hinge else (block < low) | (block > high)
        if bad.any():
            row, column = np.argwhere(bad)[0]
            expected = "-1 or 1" if hinge else f"between {low:g} and {high:g}"
            raise ValueError(
                f"{what} at row {first + row}, column {column} is {block[row, column]}, but loss "
                f"{loss.name!r} takes targets {expected}"
            )


def as_weights(values: Any, what: str, rows: int) -> Source | None:
    """Return sample weights (N,), or None.

    Raises
    ------
    ShapeError, TypeError, ValueError, NonFiniteError
    """
    if values is None:
        return None
    array = as_array(values, what)
    if array.shape != (rows,):
        raise ShapeError(f"{what} has shape {array.shape}, expected {(rows,)}: one per row")
    source = Source(array)
    check_finite(source, what, "give every row a finite weight")
    if array.size and array.min() < 0:
        first = int(np.flatnonzero(array < 0)[0])
        raise ValueError(f"{what}[{first}] is {array[first]}; weights are not negative")
    return source


def as_classes(values: Any, what: str, loss: Loss) -> Integers:
    """Return the class (N,) of every row of targets that `as_targets` has accepted.

    Raises
    ------
    ValueError
        If a row has no class, or not one alone.
    """
    array = as_array(values, what)
    if loss.takes_labels:
        return np.asarray(array, np.int64)
    array = array.reshape(len(array), -1)
    single = loss.name == "binary_crossentropy" and array.shape[1] == 1
    if not single and loss.name not in ("categorical_crossentropy", "kl_divergence"):
        raise ValueError(
            f"class_weight needs one class per row, which loss {loss.name!r} with targets of "
            f"{array.shape[1]} columns does not have: use sparse_categorical_crossentropy, "
            "categorical_crossentropy, or binary_crossentropy with one output; sample_weight "
            "works with every loss"
        )
    wrong = ~((array == 0) | (array == 1)).all(axis=1)
    if not single:
        wrong |= np.count_nonzero(array, axis=1) != 1
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        expected = "0 or 1" if single else "a single 1 among zeros"
        raise ValueError(
            f"class_weight needs one class per row, but {what} at row {row} is "
            f"{array[row].tolist()}, expected {expected}; use sample_weight for soft targets"
        )
    found: Integers = array[:, 0].astype(np.int64) if single else array.argmax(axis=1)
    return found


def as_class_weights(values: Any, classes: Integers, count: int) -> Floats:
    """Return the weight of every class.

    Parameters
    ----------
    values : dict of int to float, or "balanced"
        Classes that it does not name have weight 1. "balanced" makes all classes that occur count
        the same, n / (number of these * rows of the class), as scikit-learn's
        `compute_class_weight` does; one that does not occur has weight 1.
    classes : (N,) int64 array
        Of the rows.
    count : int
        How many classes there are.

    Raises
    ------
    TypeError, ValueError
    """
    table = np.ones(count)
    if isinstance(values, str) and values == "balanced":
        rows = np.bincount(classes, minlength=count)
        occurring = rows > 0
        table[occurring] = len(classes) / (np.count_nonzero(occurring) * rows[occurring])
        return table
    if not isinstance(values, Mapping):
        raise TypeError(
            f"class_weight must be a dict such as {{0: 1.0, 1: 5.0}} or 'balanced', got {values!r}"
        )
    for key, weight in values.items():
        if isinstance(key, bool) or not isinstance(key, (int, np.integer)) or not 0 <= key < count:
            raise ValueError(f"class_weight has class {key!r}, but classes are 0..{count - 1}")
        table[key] = check_number(f"class_weight[{key}]", weight, 0)
    return table
