"""The training run: slices of compiled batches, with everything that Python does between them."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from cnet import metrics as _metrics
from cnet._core.kernels import random_order
from cnet._core.rules import Rule
from cnet._core.sources import Source
from cnet._core.training import Batches
from cnet.arrays import Array
from cnet.data import as_array, as_rows, as_targets, as_weights, check_finite, check_range
from cnet.description import Description
from cnet.errors import (
    CnetError,
    NonFiniteError,
    ShapeError,
    check_flag,
    check_integer,
    check_number,
)
from cnet.history import History
from cnet.losses import Loss
from cnet.optimizers import Optimizer
from cnet.progress import Progress
from cnet.threads import get_threads, resolve

if TYPE_CHECKING:
    from cnet.model import Sequential

# So often, in seconds, the compiled loop comes back: within reach of Ctrl-C, at no cost.
SLICE = 0.05
# Rows that evaluation takes at a time.
EVALUATION_ROWS = 1024


class Compiled(Description):
    """What `compile` was given, checked against the network."""

    optimizer: Optimizer
    loss: Loss
    metrics: tuple[str, ...]


class Dataset(NamedTuple):
    """Rows, targets and weights, checked and ready to be read."""

    x: Source
    targets: Source | Array
    weights: Source | None
    rows: int


def prepare(net: Sequential, x: Any, y: Any, sample_weight: Any, what: str = "") -> Dataset:
    """Check a data set against a built network.

    Parameters
    ----------
    what : str
        Before the names in errors, such as "validation ".

    Raises
    ------
    ShapeError, TypeError, ValueError, NonFiniteError
    """
    name = f"{what}x"
    rows = as_rows(x, name, net.built.shape, net.first_layer)
    if len(rows) == 0:
        raise ShapeError(f"{name} has no rows; there is nothing to learn from")
    source = Source(rows, net.scale)
    targets = as_targets(y, f"{what}y", net.compiled.loss, net.built.outputs, len(rows), net.dtype)
    weights = as_weights(sample_weight, f"{what}sample_weight", len(rows))
    check_finite(source, name, "drop or impute these rows (np.nan_to_num fills them with zeros)")
    check_range(rows, name, net.dtype, net.scale)
    return Dataset(source, targets, weights, len(rows))


def batches(
    net: Sequential,
    data: Dataset,
    batch_size: int,
    rule: Rule | None,
    threads: int | None = None,
) -> Batches:
    """Bind a data set to a network's program, to train on it or (without a rule) to evaluate."""
    loss = net.compiled.loss
    row, merged = loss.row(net.built.last_activation)
    if rule is None and row == "rmse":
        row = "mse"  # the root is taken over the whole set, at the end
    return Batches(
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
        [metric.row for metric in resolve_metrics(net)],
        rule,
        get_threads() if threads is None else threads,
    )


def resolve_metrics(net: Sequential) -> list[_metrics.Metric]:
    """Return the compiled metrics as they apply to the network."""
    compiled, outputs = net.compiled, net.built.outputs
    return [_metrics.get(name, compiled.loss, outputs) for name in compiled.metrics]


def figures(net: Sequential, done: Batches, rows: int, training: bool = True) -> dict[str, float]:
    """Return loss and metrics over the rows done."""
    loss = done.loss_sum / rows
    if not training and net.compiled.loss.name == "rmse":
        loss = math.sqrt(loss)
    result = {"loss": loss}
    for metric, (total, weight) in zip(resolve_metrics(net), done.metric_sums, strict=False):
        result[metric.name] = metric.value(float(total), float(weight))
    return result


class Slices:
    """How many batches to do until Python looks after things again: as many as take 50 ms."""

    def __init__(self) -> None:
        self._count = 1

    def run(self, work: Batches, limit: int) -> bool:
        """Do one slice of at most `limit` batches; False if a loss was not finite."""
        count = min(self._count, limit)
        began = time.perf_counter()
        good = bool(work.run(count))
        took = time.perf_counter() - began
        # At most four times as many as before: a first measurement may be off by far.
        aim = count * min(4.0, SLICE / max(took, 1e-9))
        self._count = max(1, min(int(aim) + 1, 1 << 30))
        return good


def evaluate(net: Sequential, data: Dataset, threads: int) -> dict[str, float]:
    """Return loss and metrics over a data set, without training."""
    return evaluate_batches(net, batches(net, data, EVALUATION_ROWS, None, threads), data)


def evaluate_batches(net: Sequential, work: Batches, data: Dataset) -> dict[str, float]:
    """Do the same with batches bound before."""
    work.begin()
    work.reset_sums()
    slices = Slices()
    while work.position < work.rows:
        if not slices.run(work, 1 << 30):
            # Evaluation reports what it finds: a diverged network has a loss of NaN or infinity.
            return {"loss": float(work.last_loss)} | {
                metric.name: math.nan for metric in resolve_metrics(net)
            }
    return figures(net, work, data.rows, training=False)


def split(x: Any, y: Any, sample_weight: Any, share: float) -> tuple[Any, Any]:
    """Cut the last `share` of the rows off as validation data, before any shuffling.

    Returns
    -------
    (x, y, sample_weight), (x, y, sample_weight)
    """
    check_number("validation_split", share, 0, 1, below=True)
    x = x if hasattr(x, "shape") else as_array(x, "x")
    y = y if hasattr(y, "shape") else as_array(y, "y")
    rows, targets = (a.shape[0] if a.shape else 0 for a in (x, y))
    if targets != rows:
        raise ShapeError(f"x has {rows} rows but y has {targets} rows; every row needs its target")
    keep = rows - int(rows * share)
    if keep in (0, rows):
        raise ShapeError(f"validation_split={share} of {rows} rows leaves a part without rows")
    weights = None if sample_weight is None else as_array(sample_weight, "sample_weight")
    if weights is not None and weights.shape != (rows,):
        shape = weights.shape
        raise ShapeError(f"sample_weight has shape {shape}, expected {(rows,)}: one per row")
    halves = [
        (_take(x, part), _take(y, part), None if weights is None else weights[part])
        for part in (slice(keep), slice(keep, None))
    ]
    return halves[0], halves[1]


def _take(values: Any, part: slice) -> Any:
    """Take rows of an array, or of a data frame, whose own brackets mean columns."""
    return values.iloc[part] if hasattr(values, "iloc") else values[part]


def fit(
    net: Sequential,
    x: Any,
    y: Any,
    *,
    epochs: int,
    batch_size: int | None,
    shuffle: bool,
    validation_data: Sequence[Any] | None,
    validation_split: float,
    sample_weight: Any,
    verbose: str | int,
    steps_per_epoch: int | None,
    threads: int | str | None,
) -> History:
    """Train; the arguments are those of `Sequential.fit`."""
    epochs = check_integer("epochs", epochs, 0)
    if batch_size is not None:
        batch_size = check_integer("batch_size", batch_size, 1)
    if steps_per_epoch is not None:
        steps_per_epoch = check_integer("steps_per_epoch", steps_per_epoch, 1)
    check_flag("shuffle", shuffle)
    threads = resolve(threads)
    progress = Progress(epochs, verbose)
    if validation_data is not None and validation_split:
        raise ValueError("give validation_data or validation_split, not both")
    if validation_split:
        (x, y, sample_weight), validation_data = split(x, y, sample_weight, validation_split)
    if validation_data is not None and not (
        isinstance(validation_data, (tuple, list)) and len(validation_data) in (2, 3)
    ):
        got = type(validation_data).__name__
        if isinstance(validation_data, (tuple, list)):
            got = f"{len(validation_data)} items"
        raise ValueError(f"validation_data must be (x, y) or (x, y, sample_weight), got {got}")
    with net.building_for(x):
        data = prepare(net, x, y, sample_weight)
        check = None
        if validation_data is not None:
            x_check, y_check, *rest = validation_data
            check = prepare(net, x_check, y_check, rest[0] if rest else None, "validation ")
    batch_size = min(batch_size or data.rows, data.rows)
    run = Run(net, data, check, batch_size, shuffle, steps_per_epoch, threads)
    note = ""
    try:
        for _ in range(epochs):
            run.epoch(progress, epochs)
        # What the very last step has written, no loss has been computed with yet.
        error = _diagnose_parameters(net, f"after epoch {epochs}")
        if error is not None:
            raise error
    except KeyboardInterrupt:
        # The batch that was running is finished: parameters, optimizer and history are whole.
        run.history.interrupted = True
        note = f"interrupted after {len(run.history)} of {epochs} epochs; the network is kept"
    finally:
        net.history = run.history
        progress.close(note)
    return run.history


class Run:
    """One call of `fit`: what goes on from epoch to epoch."""

    def __init__(
        self,
        net: Sequential,
        data: Dataset,
        check: Dataset | None,
        batch_size: int,
        shuffle: bool,
        steps_per_epoch: int | None,
        threads: int,
    ) -> None:
        self.net = net
        self.history = History()
        self.work = batches(net, data, batch_size, net.rule, threads)
        self.check = check
        self.check_work = (
            None if check is None else batches(net, check, EVALUATION_ROWS, None, threads)
        )
        self.shuffle = shuffle
        steps = -(-data.rows // self.work.batch_size)
        self.steps = steps_per_epoch or steps
        self.slices = Slices()

    def epoch(self, progress: Progress, epochs: int) -> None:
        """Do one epoch and record it."""
        number, began = len(self.history) + 1, time.perf_counter()
        self.work.reset_sums()
        left = self.steps
        while left:
            if self.work.position >= self.work.rows:
                self.begin_pass()
            before = self.work.steps
            if not self.slices.run(self.work, left):
                raise diagnose(self.net, self.work, number)
            left -= self.work.steps - before
            share = 1 - left / self.steps
            progress.step(number, share, self.work.loss_sum / self.work.rows_done)
        row = figures(self.net, self.work, self.work.rows_done)
        if self.check is not None and self.check_work is not None:
            found = evaluate_batches(self.net, self.check_work, self.check)
            row |= {f"val_{key}": value for key, value in found.items()}
        row["seconds"] = time.perf_counter() - began
        self.history.add(row)
        progress.epoch(number, row)

    def begin_pass(self) -> None:
        """Start over with the rows, in the next order that the seed gives."""
        order = None
        if self.shuffle:
            order = random_order(self.net.seed, "order", self.net.passes, self.work.rows)
        self.net.passes += 1
        self.work.begin(order)


def diagnose(net: Sequential, work: Batches, epoch: int) -> CnetError:
    """Return the error for a batch whose loss was not finite: where, and the likely cause."""
    where = f"epoch {epoch}, batch {work.position // work.batch_size + 1}"
    return _diagnose_parameters(net, where) or _diagnose_batch(net, work, where)


def _diagnose_parameters(net: Sequential, where: str) -> CnetError | None:
    for name, values in net.parameters.items():
        if not np.isfinite(values).all():
            return NonFiniteError(
                f"{where}: {name} is not finite: the last steps were too large. The likely cause "
                f"is the learning rate ({net.rule.settings[0]:g}: try a tenth). The network keeps "
                "these parameters; set_weights or a saved file brings good ones back"
            )
    return None


def _diagnose_batch(net: Sequential, work: Batches, where: str) -> CnetError:
    found = work.first_nonfinite_slot()
    rate = f"{net.rule.settings[0]:g}"
    if found is None:
        return NonFiniteError(
            f"{where}: the loss is {work.last_loss}, though all outputs are finite: loss "
            f"{net.compiled.loss.name!r} overflows. The likely cause is the size of x, y or the "
            "sample weights (scale columns to about -1..1), outputs outside the range that "
            f"the loss takes, or the learning rate ({rate}: try a tenth). The batch changed nothing"
        )
    if found[0] == 0:
        return NonFiniteError(
            f"{where}: x is finite, but not in {net.dtype}, first at row {found[1]} of the batch; "
            "scale its columns to about -1..1. The batch changed nothing"
        )
    layer = net.built.layer_of_slot(found[0])
    return NonFiniteError(
        f"{where}: the output of {layer} is not finite, first at row {found[1]} of the batch. The "
        "likely cause is the size of the inputs (scale their columns to about -1..1) or the "
        f"learning rate ({rate}: try a tenth). The batch changed nothing"
    )
