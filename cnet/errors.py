"""Everything that cnet raises of its own, and the checks that raise it.

A message names the argument (and the layer, where there is one), what came, what was expected and
what to do about it. Each class is also one of Python's own, so that callers need not know cnet's.
"""

from __future__ import annotations

import math
import numbers
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np


class CnetError(Exception):
    """Base of cnet's own errors."""


class ShapeError(CnetError, ValueError):
    """An array has the wrong shape, or too few or too many rows."""


class NotBuiltError(CnetError, RuntimeError):
    """A network was used before its input width was known, or trained before `compile`."""


class NonFiniteError(CnetError, ValueError):
    """NaN or infinity, in the data before training starts or in a batch while it runs.

    Attributes
    ----------
    quantity : {"input", "output", "loss", "gradient", "update", "parameter"} or None
        What is not finite; None where the data were refused before training.
    layer : str or None
        Whose it is.
    epoch, batch : int or None
        Where training was, counted from 1.
    rows : tuple of int
        The rows of x that did it, as far as they are known.
    """

    def __init__(
        self,
        message: str,
        *,
        quantity: str | None = None,
        layer: str | None = None,
        epoch: int | None = None,
        batch: int | None = None,
        rows: tuple[int, ...] = (),
    ) -> None:
        super().__init__(message)
        self.quantity, self.layer = quantity, layer
        self.epoch, self.batch, self.rows = epoch, batch, rows


class GradientError(CnetError, ArithmeticError):
    """A backward pass does not compute the gradient of its forward pass.

    Attributes
    ----------
    report : cnet.differences.GradientReport
    """

    def __init__(self, message: str, report: Any) -> None:
        super().__init__(message, report)
        self.report = report

    def __str__(self) -> str:
        return str(self.args[0])


class FileFormatError(CnetError, OSError):
    """A file is damaged, truncated or not of the format it should have."""


def unknown(kind: str, name: object, known: Iterable[str]) -> ValueError:
    """Return the error for a name that is not in a list, with the list and the nearest entry."""
    import difflib  # an error may take its time; an import may not

    names = sorted(known)
    close = difflib.get_close_matches(str(name), names, n=1)
    close = close or difflib.get_close_matches(str(name).lower(), names, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return ValueError(f"unknown {kind} {name!r}.{hint} Known: {', '.join(names)}.")


def check_named(
    what: str, kind: str, value: Any, base: type[Any], table: Mapping[str, Any], example: str
) -> Any:
    """Return the object that a table has under a name; an object and None stay what they are.

    Parameters
    ----------
    what : str
        What an error begins with, verb included: "a constraint is".
    kind : str
        What the names are names of.
    value : str, instance of `base`, or None
    table : dict of str to object
    example : str
        How an object is made.

    Raises
    ------
    TypeError
        For what is neither.
    ValueError
        For an unknown name.
    """
    if value is None or isinstance(value, base):
        return value
    if not isinstance(value, str):
        raise TypeError(
            f"{what} one of {', '.join(table)} or an object such as {example}, got {value!r}"
        )
    if value not in table:
        raise unknown(kind, value, table)
    return table[value]


def check_choice(kind: str, value: Any, known: Iterable[str]) -> str:
    """Return one of the names that are known, or raise an error that lists them.

    Raises
    ------
    ValueError
    """
    known = tuple(known)
    if isinstance(value, str) and value in known:
        return value
    raise unknown(kind, value, known)


def check_path(name: str, value: Any, what: str) -> Path:
    """Return the path of `what`, such as "a folder", or raise an error that names the argument.

    Raises
    ------
    TypeError
        If it is none (bytes are none either).
    """
    if not isinstance(value, (str, os.PathLike)):
        raise TypeError(f"{name} must be the path of {what}, got {value!r}")
    return Path(value)


def check_number(
    name: str,
    value: object,
    low: float = -math.inf,
    high: float = math.inf,
    *,
    above: bool = False,
    below: bool = False,
) -> float:
    """Return a finite real number within bounds, or raise an error that names it.

    Parameters
    ----------
    name : str
        What the number is, as the user wrote it.
    value : object
    low, high : float
        Bounds; `above` and `below` exclude the bound itself.

    Raises
    ------
    TypeError
        If it is no real number (a bool is none either).
    ValueError
        If it is not finite or out of bounds.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a number, got {value!r}")
    try:
        number = float(value)
    except OverflowError:  # an integer beyond all floats
        number = math.inf
    good = low < number if above else low <= number
    good = good and (number < high if below else number <= high)
    if not good or not math.isfinite(number):
        bounds = []
        if low > -math.inf:
            bounds.append(f"{'above' if above else 'at least'} {low:g}")
        if high < math.inf:
            bounds.append(f"{'below' if below else 'at most'} {high:g}")
        expected = " and ".join(["finite", *bounds])
        raise ValueError(f"{name} must be {expected}, got {value!r}")
    return number


def check_scale(scale: object, dtype: str = "float64") -> float:
    """Return what inputs are multiplied by, 1 unless it is given.

    Raises
    ------
    TypeError, ValueError
        For what is no finite number in the dtype, and for 0.
    """
    number = 1.0 if scale is None else check_number("scale", scale)
    least, most = float(np.finfo(dtype).tiny), float(np.finfo(dtype).max)
    if number and not least <= abs(number) <= most:
        raise ValueError(
            f"scale must be from {least:.2g} to {most:.2g} in size for {dtype}, got scale={scale!r}"
        )
    if number == 0:
        raise ValueError("scale must not be 0, which every input would become, got scale=0")
    return number


def check_integer(name: str, value: object, low: int | None = None) -> int:
    """Return an integer of at least `low`, or raise an error that names it.

    Raises
    ------
    TypeError
        If it is no integer (a bool is none either).
    ValueError
        If it is too small.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    if low is not None and value < low:
        raise ValueError(f"{name} must be at least {low}, got {value!r}")
    return int(value)


def check_flag(name: str, value: object) -> bool:
    """Return a bool, or raise an error that names it: "no" would count as true.

    Raises
    ------
    TypeError
        If it is neither True nor False.
    """
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    raise TypeError(f"{name} must be True or False, got {value!r}")


def check_sequence(name: str, value: object, example: str) -> tuple[Any, ...]:
    """Return the items of a list, tuple or other iterable, or raise an error that names it.

    Raises
    ------
    TypeError
        If it is none (a string or a dict is none either).
    """
    if not isinstance(value, Iterable) or isinstance(value, (str, bytes, Mapping)):
        raise TypeError(f"{name} must be a sequence such as {example}, got {value!r}")
    return tuple(value)
