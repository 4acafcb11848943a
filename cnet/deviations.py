"""Figures of numbers against targets, on whole arrays, in float64; and how such arrays come in.

Definitions are scikit-learn's (`sklearn.metrics`) unless a function says otherwise. A row of weight
0 counts as left out. Where nothing is left to measure, because there are no rows or all weights
are 0, every figure is NaN; what else is undefined, the functions say themselves.
"""

from __future__ import annotations

import math

import numpy as np

from cnet.arrays import Array, ArrayLike, Floats
from cnet.data import as_array
from cnet.errors import NonFiniteError, ShapeError

# ---- what comes in -------------------------------------------------------------------------------


def numbers(values: ArrayLike, what: str) -> Array:
    """Return a finite array (N,) or (N, K)."""
    array = as_array(values, what)
    if array.ndim not in (1, 2):
        raise ShapeError(f"{what} must be (N,) or (N, K), got shape {array.shape}")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise NonFiniteError(f"{what} holds NaN or infinity; a figure of it means nothing")
    return array


def kept(
    sample_weight: ArrayLike | None, truth: Array, guess: Array
) -> tuple[Array, Array, Floats | None]:
    """Return both without rows of weight 0, and the other weights."""
    if len(truth) != len(guess):
        raise ShapeError(f"y_true has {len(truth)} rows, but y_pred has {len(guess)}")
    if sample_weight is None:
        return truth, guess, None
    weights = numbers(sample_weight, "sample_weight").astype(np.float64)
    if weights.shape != (len(truth),):
        raise ShapeError(f"sample_weight has shape {weights.shape}, expected {(len(truth),)}")
    if (weights < 0).any():
        raise ValueError(f"sample_weight holds {weights.min():g}; weights are not negative")
    if weights.all():
        return truth, guess, weights
    some = weights > 0
    return truth[some], guess[some], weights[some]


def mean_of(values: Array, weights: Floats | None) -> float:
    """Return the weighted mean over rows, of the mean over columns."""
    if not len(values):
        return math.nan
    return float(np.average(values if values.ndim == 1 else values.mean(axis=1), weights=weights))


def _matrices(
    y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None
) -> tuple[Floats, Floats, Floats | None]:
    """Return both as float64 (N, K); (N,) stands for (N, 1)."""
    t, y = numbers(y_true, "y_true"), numbers(y_pred, "y_pred")
    t, y = (a.reshape(-1, 1) if a.ndim == 1 else a for a in (t, y))
    if t.shape != y.shape:
        raise ShapeError(f"y_true has shape {t.shape}, but y_pred {y.shape}; they must be alike")
    t, y, weights = kept(sample_weight, t, y)
    return t.astype(np.float64), y.astype(np.float64), weights


# ---- errors --------------------------------------------------------------------------------------


def mse(y_true: ArrayLike, y_pred: ArrayLike, *, sample_weight: ArrayLike | None = None) -> float:
    """Return the mean over rows and columns of (y - t)^2 (`sklearn.metrics.mean_squared_error`).

    Parameters
    ----------
    y_true, y_pred : (N,) or (N, K) arrays
        Targets and outputs; (N,) stands for (N, 1), and nothing else is broadcast.
    sample_weight : (N,) array, optional

    Returns
    -------
    float

    Raises
    ------
    ShapeError, TypeError, ValueError, NonFiniteError
        For arrays that do not fit each other, or that hold NaN or infinity.
    """
    t, y, weights = _matrices(y_true, y_pred, sample_weight)
    return mean_of((y - t) ** 2, weights)


def rmse(y_true: ArrayLike, y_pred: ArrayLike, *, sample_weight: ArrayLike | None = None) -> float:
    """Return the square root of `mse`, over all columns together.

    `sklearn.metrics.root_mean_squared_error` is the mean of the roots of the columns, which is the
    same for one column only. Parameters and errors are those of `mse`.
    """
    return math.sqrt(mse(y_true, y_pred, sample_weight=sample_weight))


def mae(y_true: ArrayLike, y_pred: ArrayLike, *, sample_weight: ArrayLike | None = None) -> float:
    """Return the mean over rows and columns of |y - t| (`sklearn.metrics.mean_absolute_error`).

    Parameters and errors are those of `mse`.
    """
    t, y, weights = _matrices(y_true, y_pred, sample_weight)
    return mean_of(np.abs(y - t), weights)


def mape(y_true: ArrayLike, y_pred: ArrayLike, *, sample_weight: ArrayLike | None = None) -> float:
    """Return the mean of |y - t| / |t| (`sklearn.metrics.mean_absolute_percentage_error`).

    A fraction, not per cent. Targets of 0 count as 2.2e-16, which makes the figure huge. Parameters
    and errors are those of `mse`.
    """
    t, y, weights = _matrices(y_true, y_pred, sample_weight)
    return mean_of(np.abs(y - t) / np.maximum(np.abs(t), np.finfo(np.float64).eps), weights)


def _explained(left: Floats, whole: Floats) -> float:
    """Return the mean over columns of 1 - left / whole."""
    figures = np.where(left == 0, 1.0, 0.0)
    np.divide(whole - left, whole, out=figures, where=whole > 0)
    return float(figures.mean())


def r2(y_true: ArrayLike, y_pred: ArrayLike, *, sample_weight: ArrayLike | None = None) -> float:
    """Return 1 - sum of (y - t)^2 / sum of (t - mean t)^2 (`sklearn.metrics.r2_score`).

    The mean over the columns. A column of equal targets counts 1 if it is met exactly and 0
    otherwise; of fewer than two rows the figure is NaN. Parameters and errors are those of `mse`.
    """
    t, y, weights = _matrices(y_true, y_pred, sample_weight)
    if len(t) < 2:
        return math.nan
    centred = t - np.average(t, axis=0, weights=weights)
    # The mean of equal numbers may be off by a rounding error.
    centred[:, np.ptp(t, axis=0) == 0] = 0
    left, whole = (np.average(a**2, axis=0, weights=weights) for a in (y - t, centred))
    return _explained(left, whole)


def explained_variance(
    y_true: ArrayLike, y_pred: ArrayLike, *, sample_weight: ArrayLike | None = None
) -> float:
    """Return 1 - variance of y - t / variance of t (`sklearn.metrics.explained_variance_score`).

    `r2` that forgives a constant error. The mean over the columns; a column of equal targets counts
    1 if its error is the same everywhere and 0 otherwise. Parameters and errors are those of `mse`.
    """
    t, y, weights = _matrices(y_true, y_pred, sample_weight)
    if not len(t):
        return math.nan
    variances = []
    for values in (y - t, t):
        centred = values - np.average(values, axis=0, weights=weights)
        centred[:, np.ptp(values, axis=0) == 0] = 0
        variances.append(np.average(centred**2, axis=0, weights=weights))
    return _explained(*variances)


def quantile_coverage(
    y_true: ArrayLike, y_pred: ArrayLike, *, sample_weight: ArrayLike | None = None
) -> float:
    """Return the share of targets that are not above the predicted quantile.

    The empirical coverage of Koenker and Bassett (1978): near q if `y_pred` are good q-quantiles.
    The mean over rows and columns. Parameters and errors are those of `mse`.
    """
    t, y, weights = _matrices(y_true, y_pred, sample_weight)
    return mean_of(t <= y, weights)
