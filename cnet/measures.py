"""Metrics that need the outputs of a whole epoch, as descriptions that `compile` takes.

The figures themselves are functions of `cnet.deviations` and `cnet.scores`. Here is what they are
called, and which losses and outputs they mean something for.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Self

import numpy as np

from cnet import deviations, scores
from cnet.arrays import Array
from cnet.description import Description
from cnet.errors import check_choice, check_flag, check_integer, check_number
from cnet.losses import Loss

# What histories call something else.
_TAKEN = ("loss", "seconds", "learning_rate", "gradient_norm")


class Metric(Description, ABC, kw_only=True):
    """A figure over all rows of a pass.

    Parameters
    ----------
    name : str, optional
        What it is called in histories, instead of `default_name`.
    """

    default_name: ClassVar[str] = ""
    name: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.name, str):
            raise TypeError(f"name must be a string, got {self.name!r}")
        self._set("name", self.name or self.default_name)
        if not self.name or self.name in _TAKEN or self.name.startswith("val_"):
            raise ValueError(
                f"a metric cannot be called {self.name!r}; {', '.join(_TAKEN)} and whatever "
                "begins with val_ mean something else in a history"
            )


def of_classes(loss: Loss) -> bool:
    """Return whether a loss is one of classification."""
    return loss.takes_labels or loss.takes_probabilities


def expect_columns(metric: Metric, loss: Loss, outputs: int) -> None:
    """Refuse a loss whose targets have fewer columns than the network has outputs."""
    if loss.target_columns(outputs) != outputs and not loss.takes_labels:
        raise ValueError(
            f"metric {metric.name!r}: no metric compares outputs and targets of loss {loss.name!r}"
        )


def takes_no_logits(metric: Metric, loss: Loss, does: str) -> ValueError:
    """Return the error for a metric of probabilities where the loss takes logits."""
    return ValueError(
        f"metric {metric.name!r} {does}, but loss {loss.name!r} has from_logits=True; use a "
        f"{next(iter(loss.links))} layer and leave it out, the two are merged anyway"
    )


class Score(Metric, ABC):
    """A figure that needs the outputs of all rows at once: it cannot be put together from batches.

    Calling one computes it: `F1("macro")(y_true, y_pred, sample_weight)`.
    """

    @abstractmethod
    def fitted(self, loss: Loss, outputs: int, activation: str) -> Self:
        """Return the metric as it applies to a loss, so many outputs and their activation.

        Raises
        ------
        ValueError
            If it means nothing there.
        """

    @abstractmethod
    def __call__(self, y_true: Array, y_pred: Array, sample_weight: Array | None = None) -> float:
        """Return the figure; arrays and errors are those of the function of the metric's name."""


# ---- classes -------------------------------------------------------------------------------------


class _OfClasses(Score, kw_only=True):
    multilabel: bool | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.multilabel is not None:
            check_flag("multilabel", self.multilabel)

    def fitted(self, loss: Loss, outputs: int, activation: str) -> Self:
        multilabel = self.multilabel
        if multilabel is None:
            if not of_classes(loss):
                raise ValueError(
                    f"metric {self.name!r} needs a classification loss, not {loss.name!r}; if the "
                    f"outputs mean classes all the same, cnet.metrics.{type(self).__name__}"
                    "(multilabel=False) takes the largest one for the class, multilabel=True every "
                    "one for a label of its own"
                )
            multilabel = loss.name == "binary_crossentropy" and outputs > 1
        elif multilabel and loss.takes_labels:
            raise ValueError(
                f"metric {self.name!r} has multilabel=True, but loss {loss.name!r} takes one class "
                "per row; leave multilabel out"
            )
        expect_columns(self, loss, outputs)
        alone = multilabel or outputs == 1
        self._expect_outputs(loss, outputs, activation, alone)
        return self.replace(multilabel=multilabel)

    def _expect_outputs(self, loss: Loss, outputs: int, activation: str, alone: bool) -> None:
        """Refuse outputs whose values do not say what is asked; `alone`: each is a label itself."""
        raise NotImplementedError


class _Averaged(_OfClasses):
    average: str = "auto"
    threshold: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.average is None:
            raise ValueError(
                "average=None gives a figure per class, and a metric is one figure; call "
                f"cnet.metrics.{self.default_name}(y, net.predict(x), average=None)"
            )
        check_choice("average", self.average, scores.AVERAGES)
        check_number("threshold", self.threshold)

    def _expect_outputs(self, loss: Loss, outputs: int, activation: str, alone: bool) -> None:
        if alone and getattr(loss, "from_logits", False):
            raise takes_no_logits(self, loss, "compares probabilities with a threshold")
        if self.average == "binary" and (outputs > 2 or (outputs == 2 and alone)):
            raise ValueError(
                f"metric {self.name!r} has average='binary', which is for two classes, not for "
                f"{outputs} outputs; 'macro' is the mean over them"
            )

    def _settings(self) -> dict[str, Any]:
        return {
            "average": self.average,
            "multilabel": bool(self.multilabel),
            "threshold": self.threshold,
        }


class Precision(_Averaged):
    """`precision`: how many of those taken for a class are of it.

    Parameters
    ----------
    average : {"auto", "binary", "macro", "micro", "weighted"}
    threshold : float
    multilabel : bool, optional
        As for the function of the same name; unless given, what the loss means.
    """

    default_name = "precision"

    def __call__(self, y_true: Array, y_pred: Array, sample_weight: Array | None = None) -> float:
        return float(
            scores.precision(y_true, y_pred, sample_weight=sample_weight, **self._settings())
        )


class Recall(_Averaged):
    """`recall`: how many of a class were taken for it. Parameters are those of `Precision`."""

    default_name = "recall"

    def __call__(self, y_true: Array, y_pred: Array, sample_weight: Array | None = None) -> float:
        return float(scores.recall(y_true, y_pred, sample_weight=sample_weight, **self._settings()))


class F1(_Averaged):
    """`f1`: the harmonic mean of the two. Parameters are those of `Precision`."""

    default_name = "f1"

    def __call__(self, y_true: Array, y_pred: Array, sample_weight: Array | None = None) -> float:
        return float(scores.f1(y_true, y_pred, sample_weight=sample_weight, **self._settings()))


class ROCAUC(_OfClasses):
    """`roc_auc`: area under the ROC curve, of several classes the mean of each against the rest.

    Parameters
    ----------
    multilabel : bool, optional
        As for the function; unless given, what the loss means.
    """

    default_name = "roc_auc"

    def _expect_outputs(self, loss: Loss, outputs: int, activation: str, alone: bool) -> None:
        # Logits of one row may all be larger than those of another: only a single one has an order.
        if not alone and getattr(loss, "from_logits", False):
            raise takes_no_logits(self, loss, "compares probabilities of different rows")

    def __call__(self, y_true: Array, y_pred: Array, sample_weight: Array | None = None) -> float:
        several = bool(self.multilabel)
        return scores.roc_auc(y_true, y_pred, multilabel=several, sample_weight=sample_weight)


class LogLoss(_OfClasses):
    """`log_loss`: the cross-entropy without label smoothing. Parameters are those of `ROCAUC`."""

    default_name = "log_loss"

    def _expect_outputs(self, loss: Loss, outputs: int, activation: str, alone: bool) -> None:
        if getattr(loss, "from_logits", False):
            raise takes_no_logits(self, loss, "takes probabilities")
        if not of_classes(loss) or activation == "log_softmax":
            what = activation if of_classes(loss) else f"for loss {loss.name!r}"
            raise ValueError(
                f"metric {self.name!r} takes probabilities, but the outputs are {what}"
            )

    def __call__(self, y_true: Array, y_pred: Array, sample_weight: Array | None = None) -> float:
        several = bool(self.multilabel)
        return scores.log_loss(y_true, y_pred, multilabel=several, sample_weight=sample_weight)


class TopKAccuracy(Score):
    """`top_k_accuracy`: the share of rows whose class is among the k largest outputs."""

    default_name = "top_k_accuracy"
    k: int = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        check_integer("k", self.k, 1)

    def fitted(self, loss: Loss, outputs: int, activation: str) -> Self:
        if not of_classes(loss) or loss.name == "binary_crossentropy":
            raise ValueError(
                f"metric {self.name!r} needs a loss for one class of several, such as "
                f"'sparse_categorical_crossentropy', not {loss.name!r}"
            )
        if self.k >= outputs:
            raise ValueError(
                f"metric {self.name!r} is always 1: the class is among the {self.k} largest of "
                f"{outputs} outputs; give a smaller k, such as cnet.metrics.TopKAccuracy(k=2)"
            )
        return self

    def __call__(self, y_true: Array, y_pred: Array, sample_weight: Array | None = None) -> float:
        return scores.top_k_accuracy(y_true, y_pred, self.k, sample_weight=sample_weight)


# ---- numbers -------------------------------------------------------------------------------------


class _OfNumbers(Score):
    function: ClassVar[Callable[..., float]]

    def fitted(self, loss: Loss, outputs: int, activation: str) -> Self:
        if loss.takes_labels:
            raise ValueError(
                f"metric {self.name!r} needs a matrix of targets, which loss {loss.name!r} does "
                "not take"
            )
        expect_columns(self, loss, outputs)
        return self

    def __call__(self, y_true: Array, y_pred: Array, sample_weight: Array | None = None) -> float:
        return type(self).function(y_true, y_pred, sample_weight=sample_weight)


class MeanAbsolutePercentageError(_OfNumbers):
    """`mape`: mean of |y - t| / |t|, a fraction."""

    default_name = "mape"
    function = deviations.mape


class R2(_OfNumbers):
    """`r2`: the share of the targets' variance that the outputs account for."""

    default_name = "r2"
    function = deviations.r2


class ExplainedVariance(_OfNumbers):
    """`explained_variance`: `r2` that forgives a constant error."""

    default_name = "explained_variance"
    function = deviations.explained_variance


class QuantileCoverage(_OfNumbers):
    """`quantile_coverage`: the share of targets that are not above the predicted quantile."""

    default_name = "quantile_coverage"
    function = deviations.quantile_coverage


# ---- the user's own ------------------------------------------------------------------------------


class CustomMetric(Score):
    """A function of the user's; the slow path, called once per epoch and data set.

    Parameters
    ----------
    function : callable
        f(y_true, y_pred) -> number, of NumPy arrays that it may read and not write: the targets
        (N, K) or (N,) as the loss takes them, and the outputs (N, K). If it has a parameter
        `sample_weight`, it gets the weights (N,) too, where there are some.
    name : str, optional
        Instead of the function's own.
    """

    function: Callable[..., Any]

    def __post_init__(self) -> None:
        if not callable(self.function) or isinstance(self.function, type):
            raise TypeError(f"function must be f(y_true, y_pred) -> float, got {self.function!r}")
        if not self.name:
            own = getattr(self.function, "__name__", None)
            if own is None:
                raise TypeError(
                    f"{self.function!r} has no name; cnet.metrics.CustomMetric(function, "
                    "name=...) gives it one"
                )
            self._set("name", own)
        super().__post_init__()

    def fitted(self, loss: Loss, outputs: int, activation: str) -> Self:
        return self

    def __call__(self, y_true: Array, y_pred: Array, sample_weight: Array | None = None) -> float:
        settings = {}
        if sample_weight is not None and _takes_weights(self.function):
            settings["sample_weight"] = sample_weight
        try:
            value = self.function(y_true, y_pred, **settings)
        except Exception as error:
            error.add_note(f"raised by metric {self.name!r}; the network is as the steps left it")
            raise
        if np.ndim(value) != 0 or np.asarray(value).dtype.kind not in "biuf":
            raise TypeError(f"metric {self.name!r} must return a number, got {value!r}")
        return float(value)


def _takes_weights(function: Callable[..., Any]) -> bool:
    try:
        return "sample_weight" in inspect.signature(function).parameters
    except (ValueError, TypeError):  # some compiled functions have no signature
        return False
