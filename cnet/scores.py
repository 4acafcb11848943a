"""Figures of decisions and probabilities against classes, on whole arrays, in float64.

Rows, weights and what is undefined are as in `cnet.deviations`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from cnet.arrays import Array, ArrayLike, Floats, Integers
from cnet.deviations import kept, mean_of, numbers
from cnet.errors import ShapeError, check_choice, check_integer, check_number

AVERAGES = ("auto", "binary", "macro", "micro", "weighted")


class _Decisions(NamedTuple):
    """Classes (N,) of rows, true and predicted; for several labels at once bool (N, K)."""

    truth: Array
    guess: Array
    weights: Floats | None
    classes: int


# ---- what comes in -------------------------------------------------------------------------------


def _indices(labels: Array, classes: int | None) -> Integers:
    if labels.dtype.kind not in "iub":
        raise TypeError(f"y_true has dtype {labels.dtype}, expected integer class indices")
    most = math.inf if classes is None else classes
    if labels.size and (labels.min() < 0 or labels.max() >= most):
        wrong = labels.min() if labels.min() < 0 else labels.max()
        expected = "at least 0" if classes is None else f"within 0..{classes - 1}"
        raise ValueError(f"there is a class {wrong}, expected class indices {expected}")
    indices: Integers = labels.astype(np.int64)
    return indices


def _labels(truth: Array, columns: int) -> Integers:
    """Return the classes (N,) of class indices or of one-hot (or soft) rows."""
    if truth.ndim == 1:
        return _indices(truth, columns)
    if truth.shape[1] != columns:
        raise ShapeError(f"y_true has {truth.shape[1]} columns, but y_pred has {columns}")
    indices: Integers = truth.argmax(axis=1)
    return indices


def _sides(truth: Array, columns: int) -> Array:
    """Return bool (N, columns): which labels a row has."""
    truth = truth.reshape(-1, 1) if truth.ndim == 1 and columns == 1 else truth
    if truth.shape[1:] != (columns,):
        raise ShapeError(f"y_true has shape {truth.shape}, expected {(len(truth), columns)}")
    return truth > 0.5


def _decide(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    sample_weight: ArrayLike | None,
    multilabel: bool,
    threshold: float,
) -> _Decisions:
    threshold = check_number("threshold", threshold)
    t, y = numbers(y_true, "y_true"), numbers(y_pred, "y_pred")
    t, y, weights = kept(sample_weight, t, y)
    if y.ndim == 1 and y.dtype.kind in "iub":
        guess = _indices(y, None)
        truth = _indices(t, None) if t.ndim == 1 else t.argmax(axis=1)
        top = max(guess.max(initial=1), truth.max(initial=1))
        return _Decisions(truth, guess, weights, int(top) + 1)
    y = y.reshape(-1, 1) if y.ndim == 1 else y
    columns = y.shape[1]
    if multilabel and columns > 1:
        return _Decisions(_sides(t, columns), y > threshold, weights, columns)
    if columns == 1:
        sides = _sides(t, 1)[:, 0].astype(np.int64)
        return _Decisions(sides, (y[:, 0] > threshold).astype(np.int64), weights, 2)
    return _Decisions(_labels(t, columns), y.argmax(axis=1), weights, columns)


# ---- classes -------------------------------------------------------------------------------------


def accuracy(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    multilabel: bool = False,
    threshold: float = 0.5,
    sample_weight: ArrayLike | None = None,
) -> float:
    """Return the share of right decisions (`sklearn.metrics.accuracy_score`).

    Parameters
    ----------
    y_true : (N,) class indices, (N, K) one-hot or soft targets, or (N,) or (N, 1) of 0 and 1
        The last where there is one output.
    y_pred : (N, K) outputs, (N,) or (N, 1) outputs, or (N,) integer classes
        The class is the largest of several outputs (the first of equal ones), or whether a single
        one is above `threshold`.
    multilabel : bool
        Every output is a label of its own, which the row has if it is above `threshold`. The figure
        is the share of right labels (scikit-learn's is that of rows with all labels right).
    threshold : float
    sample_weight : (N,) array, optional

    Returns
    -------
    float

    Raises
    ------
    ShapeError, TypeError, ValueError, NonFiniteError
        For arrays that do not fit each other, or that hold NaN or infinity.
    """
    rows = _decide(y_true, y_pred, sample_weight, multilabel, threshold)
    return mean_of(rows.truth == rows.guess, rows.weights)


def top_k_accuracy(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    k: int = 5,
    *,
    sample_weight: ArrayLike | None = None,
) -> float:
    """Return the share of rows whose class is among the k largest outputs.

    `sklearn.metrics.top_k_accuracy_score`, but of equal outputs the first counts as the largest,
    so that k = 1 is `accuracy`.

    Parameters
    ----------
    y_true : (N,) class indices, or (N, K) one-hot or soft targets
    y_pred : (N, K) array
    k : int
    sample_weight : (N,) array, optional

    Errors are those of `accuracy`.
    """
    k = check_integer("k", k, 1)
    t, y, weights = kept(sample_weight, numbers(y_true, "y_true"), numbers(y_pred, "y_pred"))
    if y.ndim != 2:
        raise ShapeError(f"y_pred must be (N, K), an output per class, got shape {y.shape}")
    labels = _labels(t, y.shape[1])
    own = np.take_along_axis(y, labels[:, None], axis=1)
    before = np.arange(y.shape[1]) < labels[:, None]
    ahead = ((y > own) | ((y == own) & before)).sum(axis=1)
    return mean_of(ahead < k, weights)


def confusion_matrix(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    threshold: float = 0.5,
    sample_weight: ArrayLike | None = None,
) -> Array:
    """Return how many rows of each class were taken for each (`sklearn.metrics.confusion_matrix`).

    Parameters and errors are those of `accuracy`, without several labels at once.

    Returns
    -------
    (K, K) int64 array, float64 with weights
        Row i, column j: rows of class i that were taken for class j. A single output has two
        classes; of integer classes in `y_pred` there are as many as the largest one says.
    """
    rows = _decide(y_true, y_pred, sample_weight, False, threshold)
    k = rows.classes
    return np.bincount(rows.truth * k + rows.guess, rows.weights, k * k).reshape(k, k)


def _share(rows: _Decisions, average: str | None, over: tuple[bool, bool]) -> float | Floats:
    """Return hits / (predicted and/or actual, of the two the mean), averaged over classes."""
    if average is not None:
        check_choice("average", average, AVERAGES)
    truth, guess, weights, k = rows
    hits: Array
    predicted: Array
    actual: Array
    labels = truth.ndim == 2
    if labels:
        w = np.ones(len(truth)) if weights is None else weights
        hits, predicted, actual = w @ (truth & guess), w @ guess, w @ truth
        seen = np.ones(k, bool)
    else:
        right = truth == guess
        of = None if weights is None else weights[right]
        hits = np.bincount(truth[right], of, k)
        predicted, actual = np.bincount(guess, weights, k), np.bincount(truth, weights, k)
        seen = (predicted > 0) | (actual > 0)
    if average == "auto":
        average = "binary" if k == 2 and not labels else "macro"
    if average == "binary" and (k != 2 or labels):
        raise ValueError(f"average='binary' is for two classes, not {k}; 'macro' is their mean")
    if not len(truth):
        return np.full(k, np.nan) if average is None else math.nan
    if average == "micro":
        hits, predicted, actual = (np.atleast_1d(a.sum()) for a in (hits, predicted, actual))
    total = np.mean([a for a, used in zip((predicted, actual), over, strict=True) if used], axis=0)
    figures = np.divide(hits, total, out=np.zeros(len(total)), where=total > 0)
    if average is None:
        return figures
    if average == "binary":
        return float(figures[1])
    if average == "macro":
        return float(figures[seen].mean())
    if average == "weighted":
        return float(actual @ figures / actual.sum()) if actual.any() else 0.0
    return float(figures[0])


def precision(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    average: str | None = "auto",
    multilabel: bool = False,
    threshold: float = 0.5,
    sample_weight: ArrayLike | None = None,
) -> float | Floats:
    """Return how many of those taken for a class are of it (`sklearn.metrics.precision_score`).

    0 for a class that nothing was taken for.

    Parameters
    ----------
    average : {"auto", "binary", "macro", "micro", "weighted"} or None
        The figure of class 1 of two ("binary"); the mean over the classes that are among `y_true`
        or `y_pred` ("macro"; over all with `multilabel`), the same weighted by the rows of each in
        `y_true` ("weighted"); the figure of all decisions taken together ("micro"); one figure per
        class (None). "auto" is "binary" for two classes (one output, or two), else "macro".
    y_true, y_pred, multilabel, threshold, sample_weight
        As for `accuracy`.

    Returns
    -------
    float, or (K,) float64 array without averaging

    Raises
    ------
    as `accuracy`, and ValueError for an unknown average or "binary" of several classes
    """
    rows = _decide(y_true, y_pred, sample_weight, multilabel, threshold)
    return _share(rows, average, (True, False))


def recall(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    average: str | None = "auto",
    multilabel: bool = False,
    threshold: float = 0.5,
    sample_weight: ArrayLike | None = None,
) -> float | Floats:
    """Return how many of a class were taken for it (`sklearn.metrics.recall_score`).

    0 for a class that no row is of. Parameters and errors are those of `precision`.
    """
    rows = _decide(y_true, y_pred, sample_weight, multilabel, threshold)
    return _share(rows, average, (False, True))


def f1(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    average: str | None = "auto",
    multilabel: bool = False,
    threshold: float = 0.5,
    sample_weight: ArrayLike | None = None,
) -> float | Floats:
    """Return the harmonic mean of precision and recall (`sklearn.metrics.f1_score`).

    0 for a class that no row is of and nothing was taken for. Parameters and errors are those of
    `precision`.
    """
    rows = _decide(y_true, y_pred, sample_weight, multilabel, threshold)
    return _share(rows, average, (True, True))


def _area(positive: Array, score: Array, weights: Floats | None) -> float:
    """Return the area under one ROC curve: the odds that a positive row scores higher."""
    order = np.argsort(score, kind="stable")
    score, side = score[order], positive[order]
    w = np.ones(len(side)) if weights is None else weights[order]
    if side.all() or not side.any():
        return math.nan
    # Rows of one score count half against each other.
    first = np.flatnonzero(np.r_[True, score[1:] != score[:-1]])
    above = np.add.reduceat(np.where(side, w, 0.0), first)
    below = np.add.reduceat(np.where(side, 0.0, w), first)
    lower = np.cumsum(below) - below
    return float(above @ (lower + below / 2) / (above.sum() * below.sum()))


def roc_auc(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    multilabel: bool = False,
    sample_weight: ArrayLike | None = None,
) -> float:
    """Return the area under the ROC curve (`sklearn.metrics.roc_auc_score`).

    Of several outputs the mean over the classes, each against the rest (scikit-learn's
    `multi_class="ovr", average="macro"`). A class that no row or every row is of has no such area
    and is left out of the mean; NaN if none has one. Equal scores count half.

    Parameters and errors are those of `accuracy`; scores need not be probabilities.
    """
    t, y, weights = kept(sample_weight, numbers(y_true, "y_true"), numbers(y_pred, "y_pred"))
    y = y.reshape(-1, 1) if y.ndim == 1 else y
    columns = y.shape[1]
    if multilabel or columns == 1:
        sides = _sides(t, columns)
    else:
        sides = _labels(t, columns)[:, None] == np.arange(columns)
    areas = np.array([_area(sides[:, c], y[:, c], weights) for c in range(columns)])
    defined = ~np.isnan(areas)
    return float(areas[defined].mean()) if defined.any() else math.nan


def log_loss(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    multilabel: bool = False,
    sample_weight: ArrayLike | None = None,
) -> float:
    """Return the mean over rows of -sum over classes of t log y (`sklearn.metrics.log_loss`).

    Of a single output -t log y - (1 - t) log(1 - y), with `multilabel` the mean of it over the
    columns. Probabilities are kept as far from 0 and 1 as the rounding error of their dtype.
    Targets may be soft. Parameters and errors are those of `accuracy`.

    Raises
    ------
    ValueError
        Also for what is no probability.
    """
    t, y, weights = kept(sample_weight, numbers(y_true, "y_true"), numbers(y_pred, "y_pred"))
    y = y.reshape(-1, 1) if y.ndim == 1 else y
    columns = y.shape[1]
    if y.size and (y.min() < 0 or y.max() > 1):
        raise ValueError(f"y_pred holds {y.min():g}..{y.max():g}; probabilities are within 0..1")
    single = multilabel or columns == 1
    if t.ndim == 1 and not single:
        t = _labels(t, columns)[:, None] == np.arange(columns)
    t = t.reshape(-1, 1) if t.ndim == 1 and columns == 1 else t
    if t.shape != y.shape:
        raise ShapeError(f"y_true has shape {t.shape}, but y_pred {y.shape}; they must be alike")
    edge = float(np.finfo(y.dtype if y.dtype.kind == "f" else np.float64).eps)
    y, t = np.clip(y.astype(np.float64), edge, 1 - edge), t.astype(np.float64)
    if single:
        return mean_of(-t * np.log(y) - (1 - t) * np.log(1 - y), weights)
    return mean_of(-(t * np.log(y)).sum(axis=1), weights)
