"""One call of `fit`: epochs of slices of batches, with everything that Python does between them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cnet import training
from cnet._core.kernels import random_order
from cnet.arrays import Floats
from cnet.data import as_array
from cnet.diagnosis import diagnose, diagnose_parameters
from cnet.errors import ShapeError, check_flag, check_integer, check_number
from cnet.history import History
from cnet.hooks import Callback, FitContext, Hooks, check_callbacks
from cnet.progress import Progress
from cnet.threads import resolve

if TYPE_CHECKING:
    from cnet.model import Sequential


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
    callbacks: Sequence[Callback],
    class_weight: str | Mapping[int, float] | None,
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
        data = training.prepare(net, x, y, sample_weight, class_weight=class_weight)
        net.built.check_batches(data.rows, batch_size or data.rows)
        check = None
        if validation_data is not None:
            x_check, y_check, *rest = validation_data
            weights = rest[0] if rest else None
            check = training.prepare(
                net, x_check, y_check, weights, "validation ", data.class_weights
            )
        hooks = check_callbacks(callbacks, training.figure_names(net, check is not None))
    batch_size = min(batch_size or data.rows, data.rows)
    run = Run(net, data, check, batch_size, shuffle, steps_per_epoch, threads, epochs, hooks)
    error: BaseException | None = None
    try:
        run.epochs(progress)
    except BaseException as failure:
        error = failure
    # Whatever has ended it, the batch that was running is finished: parameters, optimizer and
    # history are whole.
    run.history.stopped = run.context.stopped
    run.history.interrupted = isinstance(error, KeyboardInterrupt)
    net.history = run.history
    error = run.hooks.fit_end(error)
    done = f"after {len(run.history)} of {epochs} epochs"
    note = f"stopped {done}: {run.context.stopped}" if run.context.stopped else ""
    if isinstance(error, KeyboardInterrupt):
        run.history.interrupted, error = True, None
        note = f"interrupted {done}; the network is kept"
    progress.close(note)
    try:
        if error is not None:
            raise error
    finally:
        del error  # its traceback has this frame, which would keep the data alive
    return run.history


class Run:
    """One call of `fit`: what goes on from epoch to epoch."""

    def __init__(
        self,
        net: Sequential,
        data: training.Dataset,
        check: training.Dataset | None,
        batch_size: int,
        shuffle: bool,
        steps_per_epoch: int | None,
        threads: int,
        epochs: int,
        callbacks: tuple[Callback, ...],
    ) -> None:
        self.net = net
        self.history = History()
        self.work = training.batches(net, data, batch_size, net.rule, threads)
        self.check = check
        self.check_work = (
            None
            if check is None
            else training.batches(net, check, training.EVALUATION_ROWS, None, threads)
        )
        self.shuffle = shuffle
        steps = -(-data.rows // self.work.batch_size)
        self.steps = steps_per_epoch or steps
        self.slices = training.Slices()
        names = training.figure_names(net, check is not None)
        self.context = FitContext(net, self.work, epochs, self.steps, names, self.history)
        self.hooks = Hooks(callbacks, self.context)

    def epochs(self, progress: Progress) -> None:
        """Do all epochs, or as many as callbacks allow."""
        self.hooks.fit_begin()
        while self.context.epoch < self.context.epochs and not self.context.stopped:
            self.epoch(progress)
        # What the very last step has written, no loss has been computed with yet.
        error = diagnose_parameters(self.net, f"after epoch {self.context.epoch}")
        if error is not None:
            raise error

    def epoch(self, progress: Progress) -> None:
        """Do one epoch and record it."""
        began = time.perf_counter()
        self.context.begin_epoch()
        self.hooks.epoch_begin()
        number, left = self.context.epoch, self.steps
        while left and not self.context.stopped:
            if self.work.position >= self.work.rows:
                self.begin_pass()
            before = self.work.steps
            if not self.slices.run(self.work, min(left, self.hooks.batches()), self.rates):
                raise diagnose(self.net, self.work, number)
            left -= self.work.steps - before
            share = 1 - left / self.steps
            progress.step(number, share, self.context.loss)
            self.hooks.batch_end()
        if not self.work.steps:
            return  # a callback has ended the run before the first batch
        row = training.figures(self.net, self.work, self.work.rows_done)
        if self.check is not None and self.check_work is not None:
            found = training.evaluate_batches(self.net, self.check_work, self.check)
            row |= {f"val_{key}": value for key, value in found.items()}
        row["seconds"] = time.perf_counter() - began
        self.history.add(row)
        progress.epoch(number, row)
        self.hooks.epoch_end(row)

    def rates(self, count: int) -> Floats | None:
        """Return the learning rates of the next steps, where they are not what they were."""
        return training.coming_rates(self.net, count, self.steps)

    def begin_pass(self) -> None:
        """Start over with the rows, in the next order that the seed gives."""
        order = None
        if self.shuffle:
            order = random_order(self.net.seed, "order", self.net.passes, self.work.rows)
        self.net.passes += 1
        self.work.begin(order)
