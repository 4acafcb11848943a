"""One call of `fit`: epochs of slices of batches, with everything that Python does between them."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cnet import lbfgs, resuming, streams, training
from cnet._core.kernels import random_order
from cnet.arrays import Floats
from cnet.compiled import coming_rates
from cnet.context import FitContext
from cnet.data import as_array
from cnet.diagnosis import diagnose, diagnose_parameters
from cnet.errors import ShapeError, check_flag, check_integer, check_number
from cnet.fingerprints import fixed_settings
from cnet.history import History
from cnet.hooks import Callback, Hooks, check_callbacks
from cnet.progress import Progress
from cnet.shards import Shards
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
    batch_size: int | str | None,
    shuffle: bool,
    validation_data: Any,
    validation_split: float,
    sample_weight: Any,
    verbose: str | int,
    steps_per_epoch: int | None,
    threads: int | str | None,
    callbacks: Sequence[Callback],
    class_weight: str | Mapping[int, float] | None,
    resume: str | os.PathLike[str] | None,
    augment: Any,
    accumulate: int,
) -> History:
    """Train; the arguments are those of `Sequential.fit`."""
    epochs = check_integer("epochs", epochs, 0)
    size = None
    if batch_size == "auto":
        # Batches that somebody else has made are left whole.
        made = streams.is_stream(x, y) and not isinstance(x, Shards)
        made = made or net.compiled.optimizer.takes_whole_set
        size = None if made else training.BATCH_SIZE
    elif batch_size is not None:
        size = check_integer("batch_size", batch_size, 1)
    accumulate = check_integer("accumulate", accumulate, 1)
    if accumulate > 1 and size is None:
        raise ValueError(
            f"accumulate={accumulate} adds up the gradients of batches, and these are made of all "
            "the rows that there are; give batch_size a number"
        )
    if steps_per_epoch is not None:
        steps_per_epoch = check_integer("steps_per_epoch", steps_per_epoch, 1)
    check_flag("shuffle", shuffle)
    threads = resolve(threads)
    progress = Progress(epochs, verbose)
    if validation_data is not None and validation_split:
        raise ValueError("give validation_data or validation_split, not both")
    stream = streams.for_training(
        net,
        x,
        y,
        sample_weight,
        batch_size=size,
        accumulate=accumulate,
        shuffle=shuffle,
        epochs=epochs,
        steps_per_epoch=steps_per_epoch,
        validation_split=validation_split,
        class_weight=class_weight,
    )
    if validation_split:
        (x, y, sample_weight), validation_data = split(x, y, sample_weight, validation_split)
    check_stream = streams.for_evaluation(net, validation_data, "validation ", epochs)
    if (
        validation_data is not None
        and check_stream is None
        and not (isinstance(validation_data, (tuple, list)) and len(validation_data) in (2, 3))
    ):
        got = type(validation_data).__name__
        if isinstance(validation_data, (tuple, list)):
            got = f"{len(validation_data)} items"
        raise ValueError(
            "validation_data must be (x, y) or (x, y, sample_weight), cnet.Shards or an iterable "
            f"of batches, got {got}"
        )
    asked = size
    saved = None if resume is None else resuming.find(resume)
    with net.building_for(x if stream is None else stream.first_x()):
        if stream is not None:
            data = stream.first()
            size = min(size or data.rows, data.rows)
        else:
            data = training.prepare(net, x, y, sample_weight, class_weight=class_weight, adapt=True)
            size = min(size or data.rows, data.rows)
            net.built.check_batches(data.rows, size)
        data = data._replace(augment=training.check_augment(net, augment))
        lbfgs.check(net, data, size, steps_per_epoch, stream is not None)
        check: training.Dataset | streams.Stream | None = check_stream
        if check_stream is not None:
            check_stream.class_weight = data.class_weights
            check_stream.first()
        elif validation_data is not None:
            x_check, y_check, *rest = validation_data
            weights = rest[0] if rest else None
            check = training.prepare(
                net, x_check, y_check, weights, "validation ", data.class_weights
            )
        hooks = check_callbacks(callbacks, training.figure_names(net, check is not None))
        fixed: dict[str, Any] = {}
        if resume is not None or any(callback.keeps_states for callback in hooks):
            if stream is not None and stream.once:
                raise ValueError(
                    f"x is a {type(x).__name__}, which can be gone through once: Checkpoint and "
                    "resume need batches that come again; pass the function that makes it, or a "
                    "list, cnet.Shards, arrays"
                )
            fixed = {"batch_size": size, "shuffle": shuffle, "steps_per_epoch": steps_per_epoch}
            fixed["accumulate"] = accumulate
            if stream is not None:  # what a part has depends on the part
                fixed |= {"batch_size": asked, "parts": stream.batches()}
            fixed["figures"] = training.figure_names(net, check is not None)
            rows = None if isinstance(check, streams.Stream) else check
            sample = data if stream is None else stream.sample()._replace(augment=data.augment)
            fixed |= fixed_settings(net, sample, rows)
        if saved is not None:
            saved.check(net, fixed, epochs, hooks)
            saved.fill(net)
            for part in (data, check.first() if isinstance(check, streams.Stream) else check):
                if part is not None:
                    training.normalize(net, part.x, part.targets)
    # One batch to the compiled loop: it goes through in pieces, and the step follows the last.
    step = min(accumulate * (asked or data.rows), data.rows)
    piece = (asked or 0) if accumulate > 1 else 0
    run = Run(
        net, data, check, step, piece, shuffle, steps_per_epoch, threads, epochs, hooks, stream,
        fixed,
    )  # fmt: skip
    del data  # of a stream, it is only the first part
    if saved is not None:
        run.resume(saved, progress)
    elif resume is not None:
        progress.note(f"no checkpoint in {os.fspath(resume)} yet: the run begins")
    error: BaseException | None = None
    try:
        run.epochs(progress, [] if saved is None else saved.states)
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
        check: training.Dataset | streams.Stream | None,
        batch_size: int,
        piece_rows: int,
        shuffle: bool,
        steps_per_epoch: int | None,
        threads: int,
        epochs: int,
        callbacks: tuple[Callback, ...],
        stream: streams.Stream | None,
        fixed: Mapping[str, Any],
    ) -> None:
        self.net = net
        self.stream = stream
        self.history = History()
        self.work = training.batches(net, data, batch_size, net.rule, threads, piece_rows)
        self.check = check
        first = check.first() if isinstance(check, streams.Stream) else check
        self.check_work = (
            None
            if first is None
            else training.batches(net, first, training.EVALUATION_ROWS, None, threads)
        )
        self.shuffle = shuffle
        # Batches of an epoch, as far as anybody knows; a stream may end before its limit.
        self.steps: int | None = steps_per_epoch
        self.limit = steps_per_epoch or streams.UNBOUNDED
        if steps_per_epoch is None and stream is not None:
            self.steps = stream.batches()
        elif steps_per_epoch is None:
            self.steps = self.limit = -(-data.rows // self.work.batch_size)
        averaging = net.compiled.averaging
        if averaging is not None:
            net.rule.unit = averaging.unit(self.steps)
        self.slices = training.Slices()
        # What makes the steps, where an optimizer needs the whole set for one.
        takes_whole = net.compiled.optimizer.takes_whole_set
        self.minimiser = lbfgs.WholeSet(net, self.work) if takes_whole else None
        names = training.figure_names(net, check is not None)
        self.context = FitContext(
            net, self.work, epochs, self.steps, names, self.history, callbacks, fixed, stream
        )
        self.hooks = Hooks(callbacks, self.context)

    def resume(self, saved: resuming.Saved, progress: Progress) -> None:
        """Go to where a checkpoint is."""
        context = self.context
        saved.go_on(context, self.begin_order)
        self.steps = context.steps
        done = float(context.epoch)
        if context.underway:
            done += context.batch / (self.steps or 1) - 1
        progress.start_at(done)
        progress.note(f"resumed {saved.path}: epoch {context.epoch}, batch {context.batch}")

    def epochs(self, progress: Progress, states: Sequence[Any]) -> None:
        """Do all epochs that are left, or as many as callbacks allow; those have these states."""
        self.hooks.fit_begin(states)
        if self.context.underway:
            self.epoch(progress)
        while self.context.epoch < self.context.epochs and not self.context.stopped:
            self.epoch(progress)
        # What the very last step has written, no loss has been computed with yet.
        error = diagnose_parameters(self.net, f"after epoch {self.context.epoch}")
        if error is not None:
            raise error

    def epoch(self, progress: Progress) -> None:
        """Do one epoch, or what is left of the one that is under way, and record it."""
        if self.context.underway:
            self.hooks.batch_end()  # a run that was interrupted may not have told of its last batch
        else:
            self.context.begin_epoch()
            self.hooks.epoch_begin()
        number, left = self.context.epoch, self.limit - self.work.steps
        while left and not self.context.stopped:
            before = self.work.steps
            if self.minimiser is not None:
                if why := self.minimiser.iterate(number):
                    self.context.stop(why)
                self.net.passes += 1
            elif self.work.position >= self.work.rows and not self.begin_pass():
                break
            elif not self.slices.run(self.work, min(left, self.hooks.batches()), self.rates):
                raise diagnose(self.net, self.work, number)
            left -= self.work.steps - before
            done = self.work.steps
            share = None if self.steps is None else min(1.0, done / self.steps)
            progress.step(number, share, self.context.loss, done)
            self.hooks.batch_end()
        if not self.work.steps:
            return  # something has ended the run before the first batch
        if self.steps is None:
            self.steps = self.context.steps = self.work.steps
        row = training.figures(self.net, self.work, self.work.rows_done)
        if self.check is not None and self.check_work is not None:
            if isinstance(self.check, streams.Stream):
                found = streams.evaluate(self.net, self.check, self.check_work)
            else:
                found = training.evaluate_batches(self.net, self.check_work, self.check)
            row |= {f"val_{key}": value for key, value in found.items()}
        row["seconds"] = time.perf_counter() - self.context.began
        self.context.end_epoch(row)
        progress.epoch(number, row)
        self.hooks.epoch_end(row)

    def rates(self, count: int) -> Floats | None:
        """Return the learning rates of the next steps, where they are not what they were."""
        return coming_rates(self.net, count, self.steps)

    def begin_pass(self) -> bool:
        """Start over with the rows, in the next order that the seed gives; or with a stream's next.

        Returns
        -------
        bool
            Whether there is something to go on with: if not, the epoch ends.
        """
        if self.stream is not None:
            self.context.whole = False
            more = self.stream.begin(self.work)
            self.context.whole = True
            if self.stream.ended:
                self.context.stop(self.stream.ended)
            return more
        self.context.whole = False
        self.begin_order(self.net.passes)
        self.net.passes += 1
        self.context.whole = True
        return True

    def begin_order(self, number: int) -> None:
        """Start over with the rows, in the order that the seed gives for the number of the pass."""
        order = None
        if self.shuffle:
            order = random_order(self.net.seed, "order", number, self.work.rows)
        self.work.begin(order)
