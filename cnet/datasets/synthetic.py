"""Small two-dimensional problems that no linear model solves.

Each function returns ``x`` of shape (n, 2), float64, and ``y`` of shape (n,), int64 class
indices. Random numbers come from a generator of the call's own, keyed by `seed`: NumPy's global
state is neither used nor changed. Classes differ by one row at most in size, and rows come in
random order, so that the last rows are as good a validation part as any.
"""

from __future__ import annotations

import math
import operator
from typing import TYPE_CHECKING, SupportsFloat, SupportsIndex, TypeAlias

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    PointsAndLabels: TypeAlias = tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]


def make_spirals(
    n: int = 194,
    classes: int = 2,
    noise: float = 0.0,
    turns: float = 3.0,
    seed: int = 0,
) -> PointsAndLabels:
    """Points on interleaved spiral arms, one arm for each class.

    Point i of the m points of class k has t = i / (m - 1), radius r = 1 - 12/13 t, angle
    a = 2 pi (turns t + k / classes), and lies at (r sin a, r cos a). With the defaults these are
    the 194 points of the two-spirals benchmark, divided by its outer radius of 6.5.

    Parameters
    ----------
    n : int, default 194
        Number of points in all, at least `classes`.
    classes : int, default 2
        Number of arms, at least 2.
    noise : float, default 0.0
        Standard deviation of the normal noise added to both coordinates, in units of the outer
        radius. The gap between neighbouring arms is 12 / (13 turns classes).
    turns : float, default 3.0
        How often an arm winds around the centre, greater than 0. Fewer turns are easier.
    seed : int, default 0
        Key of the row order and the noise, 0 or greater.

    Returns
    -------
    x : numpy.ndarray, (n, 2) float64
    y : numpy.ndarray, (n,) int64
        From 0 to ``classes - 1``.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or out of range.

    References
    ----------
    K. J. Lang, M. J. Witbrock, *Learning to Tell Two Spirals Apart*, Proceedings of the 1988
    Connectionist Models Summer School, pp. 52-59; the points are those of A. Wieland's
    generator, in the CMU neural network benchmarks.
    """
    classes = _whole("classes", classes, 2)
    n = _whole("n", n, classes)
    noise = _noise(noise)
    turns = _number("turns", turns)
    if turns <= 0:
        raise ValueError(f"turns must be greater than 0, got {turns}")
    seed = _whole("seed", seed, 0)
    rank, y = np.divmod(np.arange(n, dtype=np.int64), classes)
    last = np.bincount(y)[y] - 1
    t = rank / np.maximum(last, 1)
    radius = 1.0 - 12.0 / 13.0 * t
    angle = 2.0 * math.pi * (turns * t + y / classes)
    x = np.stack([radius * np.sin(angle), radius * np.cos(angle)], axis=1)
    return _finish(x, y, noise, seed)


def make_moons(n: int = 200, noise: float = 0.0, seed: int = 0) -> PointsAndLabels:
    """Points on two interleaved half circles of radius 1.

    Class 0 is the upper one, (cos a, sin a), class 1 the lower one, (1 - cos a, 1/2 - sin a),
    each with angles a in equal steps from 0 to pi: the points of scikit-learn's ``make_moons``.

    Parameters
    ----------
    n : int, default 200
        Number of points in all, at least 2; class 1 has the odd one.
    noise : float, default 0.0
        Standard deviation of the normal noise added to both coordinates. Above about 0.2 the
        classes overlap.
    seed : int, default 0
        Key of the row order and the noise, 0 or greater.

    Returns
    -------
    x : numpy.ndarray, (n, 2) float64
    y : numpy.ndarray, (n,) int64
        0 or 1.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or out of range.
    """
    n = _whole("n", n, 2)
    noise = _noise(noise)
    seed = _whole("seed", seed, 0)
    upper = np.linspace(0.0, math.pi, n // 2)
    lower = np.linspace(0.0, math.pi, n - n // 2)
    x = np.empty((n, 2))
    x[: n // 2] = np.stack([np.cos(upper), np.sin(upper)], axis=1)
    x[n // 2 :] = np.stack([1.0 - np.cos(lower), 0.5 - np.sin(lower)], axis=1)
    y = np.repeat(np.array([0, 1], np.int64), [n // 2, n - n // 2])
    return _finish(x, y, noise, seed)


def make_xor(n: int | None = None, noise: float = 0.0, seed: int = 0) -> PointsAndLabels:
    """Exclusive or: its truth table, or a cloud of points around the four corners.

    Parameters
    ----------
    n : int, optional
        Number of points, at least 4, shared out over the four corners. Default: the four rows
        (0, 0), (0, 1), (1, 0), (1, 1), once each and in this order.
    noise : float, default 0.0
        Standard deviation of the normal noise added to both coordinates. The corners are 1
        apart; a label is that of the corner, wherever noise moves the point.
    seed : int, default 0
        Key of the row order (with `n`) and the noise, 0 or greater.

    Returns
    -------
    x : numpy.ndarray, (n, 2) or (4, 2) float64
    y : numpy.ndarray, (n,) or (4,) int64
        1 where exactly one of the two coordinates of the corner is 1, else 0.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or out of range.

    Examples
    --------
    >>> import cnet
    >>> x, y = cnet.datasets.make_xor()
    >>> y
    array([0, 1, 1, 0])
    """
    count = 4 if n is None else _whole("n", n, 4)
    noise = _noise(noise)
    seed = _whole("seed", seed, 0)
    first, second = np.divmod(np.arange(count, dtype=np.int64) % 4, 2)
    x = np.stack([first, second], axis=1).astype(np.float64)
    y = (first != second).astype(np.int64)
    return _finish(x, y, noise, seed, shuffle=n is not None)


def _finish(
    x: npt.NDArray[np.float64],
    y: npt.NDArray[np.int64],
    noise: float,
    seed: int,
    shuffle: bool = True,
) -> PointsAndLabels:
    """Shuffle the rows and add the noise, in this order: the noise does not change the order."""
    generator = np.random.Generator(np.random.PCG64(seed))
    if shuffle:
        order = generator.permutation(len(y))
        x, y = x[order], y[order]
    if noise > 0:
        x = x + generator.normal(0.0, noise, x.shape)
    return x, y


def _whole(name: str, value: SupportsIndex, minimum: int) -> int:
    # True is an int to Python, but as a number of points it is a mistake.
    if isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be a whole number, got {value!r}")
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be a whole number, got {value!r}") from None
    if number < minimum:
        raise ValueError(f"{name} must be {minimum} or greater, got {number}")
    return number


def _number(name: str, value: SupportsFloat) -> float:
    if isinstance(value, (bool, np.bool_, str, bytes)):
        raise TypeError(f"{name} must be a number, got {value!r}")
    try:
        number = float(value)
    except TypeError:
        raise TypeError(f"{name} must be a number, got {value!r}") from None
    if not math.isfinite(number):
        raise ValueError(f"{name} must be finite, got {number}")
    return number


def _noise(value: SupportsFloat) -> float:
    noise = _number("noise", value)
    if noise < 0:
        raise ValueError(f"noise must be 0 or greater, got {noise}")
    return noise
