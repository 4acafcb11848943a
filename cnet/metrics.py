"""Metrics that fit and evaluate count inside the compiled loop, exact over the epoch."""

from __future__ import annotations

import math

from cnet._core.kernels import METRICS
from cnet.description import Description
from cnet.errors import unknown
from cnet.losses import Loss

_NAMES = ("accuracy", *METRICS, "rmse")


class Metric(Description):
    """A figure over all rows of a pass.

    Parameters
    ----------
    name : str
        What it is called in histories.
    row : str
        The row of csrc/metrics.h whose sums it is made from.
    """

    name: str
    row: str

    def value(self, total: float, weight: float) -> float:
        """Return the figure from the weighted sum and the sum of weights."""
        mean = total / weight if weight else math.nan
        return math.sqrt(mean) if self.name == "rmse" else mean


def names() -> tuple[str, ...]:
    """Return the names of all metrics."""
    return _NAMES


def get(name: str, loss: Loss, outputs: int) -> Metric:
    """Return the metric of a name, as it applies to a loss and a number of outputs.

    "accuracy" is the share of rows whose largest output is the target's class, or, with
    `binary_crossentropy`, hinge-free single outputs and several labels at once, the share of
    outputs on the right side of 1/2.

    Raises
    ------
    ValueError
        For an unknown name, or one that the loss's targets do not allow.
    """
    if name not in _NAMES:
        raise unknown("metric", name, _NAMES)
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
        raise ValueError(
            f"metric {name!r} compares probabilities with 1/2, but loss {loss.name!r} has "
            "from_logits=True; use a sigmoid layer and leave it out, the two are merged anyway"
        )
    if (METRICS[row] == "LABELS") != loss.takes_labels:
        wanted = "class indices" if METRICS[row] == "LABELS" else "a matrix of targets"
        raise ValueError(f"metric {name!r} needs {wanted}, which loss {loss.name!r} does not take")
    if loss.target_columns(outputs) != outputs and not loss.takes_labels:
        raise ValueError(f"no metric compares outputs and targets of loss {loss.name!r}")
    return Metric(name, row)
