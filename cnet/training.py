"""Data, loss and metrics bound to a network; slices of its compiled batches; their figures."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from cnet import augment as _augment
from cnet import metrics as _metrics
from cnet._core.rules import Rule
from cnet._core.sources import Source
from cnet._core.training import Batches
from cnet.arrays import Array, Floats
from cnet.data import (
    as_array,
    as_class_weights,
    as_classes,
    as_rows,
    as_targets,
    as_weights,
    check_finite,
    check_range,
)
from cnet.errors import ShapeError
from cnet.measured import Measured
from cnet.threads import get_threads

if TYPE_CHECKING:
    from cnet.model import Sequential

# So often, in seconds, the compiled loop comes back: within reach of Ctrl-C, at no cost.
SLICE = 0.05
# Rows per step, unless somebody says otherwise.
BATCH_SIZE = 32
# What to do about NaN in rows.
IMPUTE = "drop or impute these rows (np.nan_to_num fills them with zeros)"
# Rows that evaluation takes at a time.
EVALUATION_ROWS = 1024


class Dataset(NamedTuple):
    """Rows, targets and weights, checked and ready to be read."""

    x: Source
    targets: Source | Array
    weights: Source | None
    rows: int
    # What x reads.
    inputs: Array
    # As they were given, for metrics that need all rows at once.
    y: Any
    sample_weight: Any
    class_weights: dict[int, float] | None
    # What is done to the rows of training batches.
    augment: tuple[_augment.Augmentation, ...] = ()


def prepare(
    net: Sequential,
    x: Any,
    y: Any,
    sample_weight: Any,
    what: str = "",
    class_weight: str | Mapping[int, float] | None = None,
    *,
    adapt: bool = False,
) -> Dataset:
    """Check a data set against a built network.

    Parameters
    ----------
    what : str
        Before the names in errors, such as "validation ".
    class_weight : dict or "balanced", optional
        As `fit` takes it; becomes part of the sample weights.
    adapt : bool
        These are the training rows: let a network that normalises look at them, if it has not
        looked at any yet.

    Raises
    ------
    ShapeError, TypeError, ValueError, NonFiniteError
    NotBuiltError
        For a network that normalises and has not looked at any rows yet, without `adapt`.
    """
    if net.normalization.is_waiting and not adapt:
        raise net.normalization.refusal()
    name = f"{what}x"
    rows = as_rows(x, name, net.built.shape, net.first_layer)
    if len(rows) == 0:
        raise ShapeError(f"{name} has no rows; there is nothing to learn from")
    source = Source(rows, net.scale)
    targets = as_targets(y, f"{what}y", net.compiled.loss, net.built.outputs, len(rows), net.dtype)
    weights = as_weights(sample_weight, f"{what}sample_weight", len(rows))
    check_finite(source, name, IMPUTE)
    net.built.core.check_categories(source, name)
    if net.normalization.is_waiting:
        seen = [(rows, _target_rows(net, y, len(rows)))]
        categories = net.built.program.category_columns
        net.set_normalization(net.normalization.fitted(seen, categories))
    normalize(net, source, targets)
    check_range(rows, name, net.dtype, net.scale, net.normalization.inputs)
    if class_weight is not None:
        classes = as_classes(y, f"{what}y", net.compiled.loss)
        table = as_class_weights(class_weight, classes, max(net.built.outputs, 2))
        given = 1.0 if sample_weight is None else as_array(sample_weight, "sample_weight")
        with np.errstate(over="ignore"):  # as_weights says which row it is
            sample_weight = table[classes] * given
        weights = as_weights(sample_weight, f"{what}sample_weight * class_weight", len(rows))
        class_weight = dict(enumerate(table.tolist()))
    return Dataset(source, targets, weights, len(rows), rows, y, sample_weight, class_weight)


def check_augment(net: Sequential, augment: Any) -> tuple[_augment.Augmentation, ...]:
    """Return augmentations that fit a network's rows and its loss.

    Raises
    ------
    TypeError, ShapeError, ValueError
    """
    checked = _augment.check(augment, net.built.shape, net.first_layer)
    loss, categories = net.compiled.loss.name, net.built.program.category_columns
    if checked and categories:
        raise ValueError(
            f"{type(checked[0]).__name__} would make other categories of column {categories[0]}; "
            "leave augment out, or put a layer such as cnet.GaussianNoise behind the embeddings"
        )
    for item in checked:
        if item.mixes and loss in ("hinge", "squared_hinge"):
            raise ValueError(
                f"{type(item).__name__} mixes targets, but loss {loss!r} takes -1 and 1 only; use "
                "binary_crossentropy with targets 0 and 1"
            )
        own = net.compiled.loss.call(net.built.outputs)
        if item.mixes and own is not None and own.takes_labels:
            raise ValueError(
                f"{type(item).__name__} mixes targets, but loss {loss!r} is one of your own that "
                "takes class indices; use one-hot targets and a loss that takes them"
            )
    return checked


def adapt(net: Sequential, parts: Iterable[tuple[str, Any, Any]]) -> None:
    """Check parts of a data set (what to call it, x, y), and normalise by them from now on.

    Raises
    ------
    as `prepare`
    """

    def checked() -> Iterator[tuple[Array, Array | None]]:
        for what, x, y in parts:
            rows = as_rows(x, f"{what}x", net.built.shape, net.first_layer)
            if len(rows) == 0:
                raise ShapeError(f"{what}x has no rows; there is nothing to normalise by")
            source = Source(rows)
            check_finite(source, f"{what}x", IMPUTE)
            net.built.core.check_categories(source, f"{what}x")
            if net.normalization.of_targets is not None:
                loss, outputs = net.compiled.loss, net.built.outputs
                as_targets(y, f"{what}y", loss, outputs, len(rows), net.dtype)
            yield rows, _target_rows(net, y, len(rows))

    categories = net.built.program.category_columns
    net.set_normalization(net.normalization.fitted(checked(), categories))


def normalize(net: Sequential, x: Source, targets: Source | Array) -> None:
    """Have a data set scaled as the network has it now."""
    scaling = net.normalization
    if scaling.inputs is not None:
        x.normalize(scaling.inputs)
    if scaling.targets is not None and isinstance(targets, Source):
        targets.normalize(scaling.targets)


def _target_rows(net: Sequential, y: Any, count: int) -> Array | None:
    """Return targets that were checked as (N, K), if they are normalised."""
    if net.normalization.of_targets is None:
        return None
    return as_array(y, "y").reshape(count, -1)


def batches(
    net: Sequential,
    data: Dataset,
    batch_size: int,
    rule: Rule | None,
    threads: int | None = None,
    piece_rows: int = 0,
) -> Batches:
    """Bind a data set to a network's program, to train on it or (without a rule) to evaluate."""
    loss = net.compiled.loss
    threads = get_threads() if threads is None else threads
    augmenter = None
    if rule is not None and data.augment:
        augmenter = _augment.augmenter(data.augment, net.built.shape, net.dtype, threads)
    row, merged = loss.row(net.built.last_activation)
    if rule is None and row == "rmse":
        row = "mse"  # the root is taken over the whole set, at the end
    counted = [
        metric.row for metric in resolve_metrics(net) if isinstance(metric, _metrics.Counted)
    ]
    if augmenter is not None and augmenter.mixes:  # class indices become mixed one-hot rows
        row = row.removeprefix("sparse_")
        counted = [name.replace("sparse_", "categorical_") for name in counted]
    arguments = (
        net.built.core,
        data.x,
        data.targets,
        data.weights,
        batch_size,
        row,
        loss.parameter,
        loss.smoothing,
        loss.mean_over_columns,
        merged,
        counted,
        rule,
        threads,
        augmenter,
        loss.call(net.built.outputs),
        piece_rows,
    )
    if not any(isinstance(metric, _metrics.Score) for metric in resolve_metrics(net)):
        return Batches(*arguments)
    return Measured(arguments, *_kept(net, data))


def rebind(net: Sequential, work: Batches, data: Dataset, batch_size: int) -> None:
    """Go on with other rows; sums and steps are counted on, and memory grows only if it must."""
    arguments = (data.x, data.targets, data.weights, batch_size)
    if isinstance(work, Measured):
        work.change(arguments, *_kept(net, data))
    else:
        work.bind(*arguments)


def _kept(net: Sequential, data: Dataset) -> tuple[Array, Array, Array | None]:
    """Return a place for outputs, and the targets and weights that belong to them."""
    truth = as_array(data.y, "y")
    if not net.compiled.loss.takes_labels:
        truth = truth.reshape(data.rows, -1)
    weights = None if data.weights is None else as_array(data.sample_weight, "sample_weight")
    return np.empty((data.rows, net.built.outputs), net.dtype), truth, weights


def resolve_metrics(net: Sequential) -> list[_metrics.Counted | _metrics.Score]:
    """Return the compiled metrics as they apply to the network."""
    loss, built = net.compiled.loss, net.built
    return [
        _metrics.get(metric, loss, built.outputs, built.last_activation)
        for metric in net.compiled.metrics
    ]


def figure_names(net: Sequential, validation: bool) -> list[str]:
    """Return what every epoch of `fit` has in its row, in this order."""
    names = ["loss", *(metric.name for metric in resolve_metrics(net))]
    validated = [f"val_{name}" for name in names if validation]
    if net.compiled.optimizer.takes_norm:
        names.append("gradient_norm")
    return [*names, *validated, "seconds"]


def figures(net: Sequential, done: Batches, rows: int, training: bool = True) -> dict[str, float]:
    """Return loss and metrics over the rows done."""
    loss = done.loss_sum / rows
    if not training and net.compiled.loss.name == "rmse":
        loss = math.sqrt(loss)
    if not training:  # the compiled loop counts it in itself when it trains
        loss += net.built.core.penalty()
    metrics, sums = resolve_metrics(net), iter(done.metric_sums.tolist())
    scores = done.figures(metrics) if isinstance(done, Measured) else {}
    result = {"loss": loss} | {
        metric.name: metric.value(*next(sums))
        if isinstance(metric, _metrics.Counted)
        else scores[metric.name]
        for metric in metrics
    }
    if training and net.compiled.optimizer.takes_norm:
        result["gradient_norm"] = done.norm_sum / done.steps  # before it was cut
    return result


class Slices:
    """How many batches to do until Python looks after things again: as many as take 50 ms."""

    def __init__(self) -> None:
        self._count = 1

    def run(
        self, work: Batches, limit: int, rates: Callable[[int], Floats | None] | None = None
    ) -> bool:
        """Do one slice of at most `limit` batches; False if a loss was not finite.

        `rates` gives the learning rates of so many steps to come, or None where they stay.
        """
        # Not beyond the end of the pass: a user's function is asked for no step that is not done.
        left = -(-(work.rows - work.position) // work.batch_size)
        count = min(self._count, limit, left)
        began = time.perf_counter()
        good = bool(work.run(count, rates(count) if rates else None))
        took = time.perf_counter() - began
        # At most four times as many as before: a first measurement may be off by far. And a slice
        # that an end has cut short is no reason to do more.
        most = 4 * count if count == self._count else self._count
        self._count = max(1, min(int(count * SLICE / max(took, 1e-9)) + 1, most))
        return good


def evaluate(net: Sequential, data: Dataset, threads: int) -> dict[str, float]:
    """Return loss and metrics over a data set, without training."""
    return evaluate_batches(net, batches(net, data, EVALUATION_ROWS, None, threads), data)


def evaluate_batches(net: Sequential, work: Batches, data: Dataset) -> dict[str, float]:
    """Do the same with batches bound before."""
    work.reset_sums()
    work.begin()
    slices = Slices()
    while work.position < work.rows:
        if not slices.run(work, 1 << 30):
            return not_finite(net, work)
    return figures(net, work, data.rows, training=False)


def not_finite(net: Sequential, work: Batches) -> dict[str, float]:
    """Return what evaluation reports of a diverged network: a loss of NaN or infinity."""
    return {"loss": float(work.last_loss)} | {
        metric.name: math.nan for metric in resolve_metrics(net)
    }
