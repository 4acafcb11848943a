"""Metrics: figures that `fit` and `evaluate` report beside the loss, exact over the epoch.

Some are counted inside the compiled loop. The others, and functions of the user's, are computed at
the end of an epoch from the outputs of all its rows, which are kept for it. The functions of
`cnet.deviations` and `cnet.scores` are here too, to be called on arrays.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

from cnet._core.kernels import METRICS
from cnet.deviations import explained_variance, mae, mape, mse, quantile_coverage, r2, rmse
from cnet.errors import unknown
from cnet.losses import Loss
from cnet.measures import (
    F1,
    R2,
    ROCAUC,
    CustomMetric,
    ExplainedVariance,
    LogLoss,
    MeanAbsolutePercentageError,
    Metric,
    Precision,
    QuantileCoverage,
    Recall,
    Score,
    TopKAccuracy,
    expect_columns,
    takes_no_logits,
)
from cnet.scores import (
    accuracy,
    confusion_matrix,
    f1,
    log_loss,
    precision,
    recall,
    roc_auc,
    top_k_accuracy,
)

__all__ = [
    "F1",
    "R2",
    "ROCAUC",
    "Counted",
    "CustomMetric",
    "ExplainedVariance",
    "LogLoss",
    "MeanAbsolutePercentageError",
    "Metric",
    "MetricLike",
    "Precision",
    "QuantileCoverage",
    "Recall",
    "Score",
    "TopKAccuracy",
    "accuracy",
    "check",
    "confusion_matrix",
    "explained_variance",
    "f1",
    "get",
    "log_loss",
    "mae",
    "mape",
    "mse",
    "names",
    "precision",
    "quantile_coverage",
    "r2",
    "recall",
    "rmse",
    "roc_auc",
    "top_k_accuracy",
]

MetricLike = str | Score | Callable[..., Any]

_COUNTED = ("accuracy", *METRICS, "rmse")


class Counted(Metric):
    """A mean over rows that the compiled loop counts.

    Parameters
    ----------
    row : str
        The row of csrc/metrics.h whose sums it is made from.
    """

    row: str

    def value(self, total: float, weight: float) -> float:
        """Return the figure from the weighted sum and the sum of weights."""
        mean = total / weight if weight else math.nan
        return math.sqrt(mean) if self.name == "rmse" else mean


# ---- which metric applies ------------------------------------------------------------------------


_SCORES: dict[str, type[Score]] = {
    cls.default_name: cls
    for cls in (
        TopKAccuracy,
        Precision,
        Recall,
        F1,
        ROCAUC,
        LogLoss,
        MeanAbsolutePercentageError,
        R2,
        ExplainedVariance,
        QuantileCoverage,
    )
}


def names() -> tuple[str, ...]:
    """Return the names of all metrics."""
    return (*_COUNTED, *_SCORES)


def check(metrics: Iterable[Any]) -> tuple[str | Score, ...]:
    """Return the metrics that `compile` was given: names, objects, functions made objects.

    Raises
    ------
    ValueError
        For an unknown name, or two figures of one name.
    TypeError
        For what is no metric.
    """
    checked: list[str | Score] = []
    for metric in metrics:
        if isinstance(metric, str) and metric not in names():
            raise unknown("metric", metric, names())
        if not isinstance(metric, (str, Score)):
            if not callable(metric) or isinstance(metric, (type, Metric)):
                raise TypeError(
                    "a metric must be a name, an object such as cnet.metrics.F1(), or a function "
                    f"f(y_true, y_pred) -> float; got {metric!r}"
                )
            metric = CustomMetric(metric)
        checked.append(metric)
    called = [metric if isinstance(metric, str) else metric.name for metric in checked]
    twice = [name for name in called if called.count(name) > 1]
    if twice:
        raise ValueError(
            f"two metrics are called {twice[0]!r}; give one a name of its own, such as "
            f"cnet.metrics.F1('micro', name='f1_micro')"
        )
    return tuple(checked)


def get(metric: str | Score, loss: Loss, outputs: int, activation: str = "") -> Counted | Score:
    """Return the metric of a name, or an object, as it applies to a loss and its outputs.

    "accuracy" is the share of rows whose largest output is the target's class, or, with
    `binary_crossentropy`, hinge-free single outputs and several labels at once, the share of
    outputs on the right side of 1/2.

    Raises
    ------
    ValueError
        For an unknown name, or one that the loss's targets do not allow.
    """
    if not isinstance(metric, str):
        return metric.fitted(loss, outputs, activation)
    if metric in _SCORES:
        return _SCORES[metric]().fitted(loss, outputs, activation)
    if metric not in _COUNTED:
        raise unknown("metric", metric, names())
    name = metric
    row = "mse" if name == "rmse" else name
    if name == "accuracy":
        if loss.takes_labels:
            row = "sparse_accuracy"
        elif loss.name in ("categorical_crossentropy", "kl_divergence"):
            row = "categorical_accuracy"
        elif loss.name == "binary_crossentropy":
            row = "binary_accuracy"
        else:
            raise ValueError(
                f"metric 'accuracy' needs a classification loss, not {loss.name!r}; name "
                "'binary_accuracy' or 'categorical_accuracy' if that is meant, or use 'mae'"
            )
    if row == "binary_accuracy" and getattr(loss, "from_logits", False):
        raise takes_no_logits(Counted(row, name=name), loss, "compares probabilities with 1/2")
    if (METRICS[row] == "LABELS") != loss.takes_labels:
        wanted = "class indices" if METRICS[row] == "LABELS" else "a matrix of targets"
        raise ValueError(f"metric {name!r} needs {wanted}, which loss {loss.name!r} does not take")
    counted = Counted(row, name=name)
    expect_columns(counted, loss, outputs)
    return counted
