"""Losses: frozen descriptions over the rows of csrc/losses.h.

Every loss is a mean over the batch; 1/B is applied once, in the gradient. With `sample_weight` each
row counts so many times and the division stays by B (as in Keras).
"""

from __future__ import annotations

from abc import ABC
from typing import Any, ClassVar

import numpy as np

from cnet._core import losses as _losses
from cnet._core.kernels import LOSSES
from cnet.arrays import Array, ArrayLike
from cnet.description import Description
from cnet.errors import ShapeError, check_flag, check_number, unknown


class Loss(Description, ABC):
    """What every loss has.

    Attributes
    ----------
    name : str
        Its name in `compile`, and the row of csrc/losses.h.
    mean_over_columns : bool
        The mean runs over the outputs too, not over the batch alone.
    links : dict
        Activation of the last layer -> row that merges the two and takes logits.
    bounds : (low, high) or None
        Where targets must lie.
    takes_normalized : bool
        Targets may be shifted and scaled: it compares numbers.
    """

    name: ClassVar[str]
    mean_over_columns: ClassVar[bool] = True
    links: ClassVar[dict[str, str]] = {}
    bounds: ClassVar[tuple[float, float] | None] = None
    takes_normalized: ClassVar[bool] = False

    @property
    def parameter(self) -> float:
        """The one number of the row (Huber's delta, the quantile's q)."""
        return 0.0

    @property
    def smoothing(self) -> float:
        """Label smoothing, in [0, 1)."""
        return float(getattr(self, "label_smoothing", 0.0))

    @property
    def takes_labels(self) -> bool:
        """Whether targets are class indices (N,) instead of a matrix."""
        return LOSSES[self.name] == "LABELS"

    @property
    def takes_probabilities(self) -> bool:
        """Whether outputs are probabilities, unless it is given logits."""
        return "crossentropy" in self.name or self.name == "kl_divergence"

    def target_columns(self, outputs: int) -> int:
        """Return the columns of a target matrix for so many outputs."""
        return outputs // 2 if LOSSES[self.name] == "HALF" else outputs

    def call(self, outputs: int) -> Any:
        """Return what the compiled loop calls instead of a row: nothing, but for `cnet.custom`."""
        return None

    def row(self, activation: str) -> tuple[str, bool]:
        """Return the row for a last layer's activation, and whether it takes logits."""
        if getattr(self, "from_logits", False):
            return next(iter(self.links.values())), False
        merged = self.links.get(activation)
        return (merged, True) if merged else (self.name, False)

    def __call__(
        self, outputs: ArrayLike, targets: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> float:
        """Return the loss of a batch.

        Parameters
        ----------
        outputs : (B, K) array
            What the network returns (logits only if the loss says `from_logits`).
        targets : (B, K) array, or (B,) class indices for the sparse loss
        sample_weight : (B,) array, optional

        Returns
        -------
        float

        Raises
        ------
        ShapeError
            For shapes that do not fit; nothing is broadcast.
        """
        return self._evaluate(outputs, targets, sample_weight, None)

    def gradient(
        self, outputs: ArrayLike, targets: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> Array:
        """Return the gradient of the loss with respect to the outputs, (B, K).

        Parameters and errors are those of calling the loss.
        """
        gradient = np.empty_like(_matrix(outputs, "outputs"))
        self._evaluate(outputs, targets, sample_weight, gradient)
        return gradient

    def _evaluate(
        self,
        outputs: ArrayLike,
        targets: ArrayLike,
        sample_weight: ArrayLike | None,
        gradient: Array | None,
    ) -> float:
        y = _matrix(outputs, "outputs")
        rows, columns = y.shape
        if self.takes_probabilities and not getattr(self, "from_logits", False) and (y < 0).any():
            raise ValueError(
                f"loss {self.name!r} takes probabilities, but some outputs are below 0; for "
                "logits, or the outputs of log_softmax, use the loss with from_logits=True"
            )
        weight = None if sample_weight is None else np.ascontiguousarray(sample_weight, y.dtype)
        if weight is not None and weight.shape != (rows,):
            raise ShapeError(f"sample_weight has shape {weight.shape}, expected {(rows,)}")
        if rows == 0:
            raise ShapeError("outputs has no rows; the mean over an empty batch is not defined")
        if self.takes_labels:
            labels = np.asarray(targets)
            if labels.shape != (rows,) or labels.dtype.kind not in "iub":
                raise ShapeError(
                    f"targets must be {rows} class indices, got {labels.dtype} of shape "
                    f"{labels.shape}"
                )
            return self._value(y, np.ascontiguousarray(labels, np.int64), weight, gradient)
        t = np.ascontiguousarray(targets, y.dtype)
        expected = (rows, self.target_columns(columns))
        if t.shape == (rows,) and expected[1] == 1:
            t = t.reshape(expected)
        if t.shape != expected:
            raise ShapeError(f"targets has shape {t.shape}, expected {expected}")
        return self._value(y, t, weight, gradient)

    def _value(
        self, y: Array, targets: Array, weight: Array | None, gradient: Array | None
    ) -> float:
        """Return the loss of checked arrays, and write its gradient unless that is None."""
        row, rows = self.row("")[0], len(y)
        if self.takes_labels:
            return _losses.labels_value_and_gradient(
                row, y, targets, gradient, weight, 1 / rows, self.smoothing
            )
        scale = 1 / targets.size if self.mean_over_columns else 1 / rows
        return _losses.value_and_gradient(
            row, y, targets, gradient, weight, scale, self.parameter, self.smoothing
        )


def _matrix(values: ArrayLike, what: str) -> Array:
    array = np.asarray(values)
    array = np.ascontiguousarray(array, np.float32 if array.dtype == np.float32 else np.float64)
    if array.ndim != 2:
        raise ShapeError(f"{what} must be (rows, columns), got shape {array.shape}")
    return array


class MeanSquaredError(Loss):
    """`mse`: mean over B and K of (y - t)^2 (`torch.nn.MSELoss`)."""

    name = "mse"
    takes_normalized = True


class Quadratic(Loss):
    """`quadratic`: mean over B of 1/2 sum over K of (y - t)^2, the textbooks' loss."""

    name = "quadratic"
    takes_normalized = True
    mean_over_columns = False


class RootMeanSquaredError(Loss):
    """`rmse`: the square root of `mse` over the batch."""

    name = "rmse"
    takes_normalized = True


class MeanAbsoluteError(Loss):
    """`mae`: mean over B and K of |y - t| (`torch.nn.L1Loss`)."""

    name = "mae"
    takes_normalized = True


class Huber(Loss):
    """`huber`: quadratic within `delta`, linear outside (`torch.nn.HuberLoss`)."""

    name = "huber"
    takes_normalized = True
    delta: float = 1.0

    def __post_init__(self) -> None:
        check_number("delta", self.delta, 0, above=True)

    @property
    def parameter(self) -> float:
        return float(self.delta)


class _CrossEntropy(Loss):
    from_logits: bool = False
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        check_flag("from_logits", self.from_logits)
        check_number("label_smoothing", self.label_smoothing, 0, 1, below=True)


class BinaryCrossentropy(_CrossEntropy):
    """`binary_crossentropy`: mean over B and K of -t log y - (1 - t) log(1 - y).

    After a sigmoid the two are merged and computed from the logits
    (`torch.nn.BCEWithLogitsLoss`); given probabilities it is `torch.nn.BCELoss`, whose logarithms
    stop at -100. `label_smoothing` moves targets towards 1/2. Targets lie in [0, 1].
    """

    name = "binary_crossentropy"
    links: ClassVar = {"sigmoid": "binary_crossentropy_logits"}
    bounds = (0.0, 1.0)


class CategoricalCrossentropy(_CrossEntropy):
    """`categorical_crossentropy`: mean over B of -sum over K of t log y, one-hot or soft targets.

    After a softmax (or log_softmax) the two are merged (`torch.nn.CrossEntropyLoss`).
    `label_smoothing` moves targets towards 1/K. Targets of a row need not sum to 1, as in PyTorch
    and Keras: a row of zeros, such as an encoder makes of an unknown class, adds no loss, but B
    counts it.
    """

    name = "categorical_crossentropy"
    mean_over_columns = False
    links = dict.fromkeys(("softmax", "log_softmax"), "categorical_crossentropy_logits")
    bounds = (0.0, 1.0)


class SparseCategoricalCrossentropy(_CrossEntropy):
    """`sparse_categorical_crossentropy`: the same for class indices 0..K-1."""

    name = "sparse_categorical_crossentropy"
    mean_over_columns = False
    links = dict.fromkeys(("softmax", "log_softmax"), "sparse_categorical_crossentropy_logits")


class Poisson(Loss):
    """`poisson`: mean of y - t log y (`torch.nn.PoissonNLLLoss`); merged with an exponential.

    `from_logits` is PyTorch's `log_input`. Targets are not negative.
    """

    name = "poisson"
    links: ClassVar = {"exponential": "poisson_logits"}
    bounds = (0.0, float("inf"))
    from_logits: bool = False

    def __post_init__(self) -> None:
        check_flag("from_logits", self.from_logits)


class KLDivergence(Loss):
    """`kl_divergence`: mean over B of sum over K of t (log t - log y).

    `torch.nn.KLDivLoss(reduction="batchmean")` of log y; merged with softmax and log_softmax.
    """

    name = "kl_divergence"
    mean_over_columns = False
    links = dict.fromkeys(("softmax", "log_softmax"), "kl_divergence_logits")
    bounds = (0.0, 1.0)
    from_logits: bool = False

    def __post_init__(self) -> None:
        check_flag("from_logits", self.from_logits)


class Hinge(Loss):
    """`hinge`: mean of max(1 - t y, 0), targets -1 and 1 (`keras.losses.Hinge`)."""

    name = "hinge"
    bounds = (-1.0, 1.0)


class SquaredHinge(Loss):
    """`squared_hinge`: mean of max(1 - t y, 0)^2, targets -1, 1 (`keras.losses.SquaredHinge`)."""

    name = "squared_hinge"
    bounds = (-1.0, 1.0)


class Cosine(Loss):
    """`cosine`: mean over B of 1 - cos(y, t) (`torch.nn.CosineEmbeddingLoss` for alike pairs)."""

    name = "cosine"
    mean_over_columns = False


class Quantile(Loss):
    """`quantile`: the pinball loss of Koenker and Bassett (1978); its minimum is the q-quantile."""

    name = "quantile"
    takes_normalized = True
    q: float = 0.5

    def __post_init__(self) -> None:
        check_number("q", self.q, 0, 1, above=True, below=True)

    @property
    def parameter(self) -> float:
        return float(self.q)


class GaussianNLL(Loss):
    """`gaussian_nll`: -log of a normal density, up to a constant (`torch.nn.GaussianNLLLoss`).

    The outputs are twice as many as the targets: first the means m, then the logarithms v of the
    variances; mean of (v + (m - t)^2 / exp(v)) / 2, with exp(v) kept above 1e-6.
    """

    name = "gaussian_nll"
    takes_normalized = True


_CLASSES: dict[str, type[Loss]] = {
    cls.name: cls
    for cls in (
        MeanSquaredError,
        Quadratic,
        RootMeanSquaredError,
        MeanAbsoluteError,
        Huber,
        BinaryCrossentropy,
        CategoricalCrossentropy,
        SparseCategoricalCrossentropy,
        Poisson,
        KLDivergence,
        Hinge,
        SquaredHinge,
        Cosine,
        Quantile,
        GaussianNLL,
    )
}


def names() -> tuple[str, ...]:
    """Return the names of all losses."""
    return tuple(_CLASSES)


def get(loss: str | Loss) -> Loss:
    """Return the loss of a name with its default settings; a loss is itself.

    Raises
    ------
    ValueError
        For an unknown name.
    TypeError
        For anything else, such as a class instead of an object.
    """
    if isinstance(loss, str):
        if loss not in _CLASSES:
            raise unknown("loss", loss, _CLASSES)
        return _CLASSES[loss]()
    if isinstance(loss, Loss):
        return loss
    raise TypeError(f"loss must be a name or an object such as cnet.losses.Huber(), got {loss!r}")
