"""One call of `fit`: epochs of slices of batches, with everything that Python does between them."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cnet import lbfgs, preparing, streams, training
from cnet._core.kernels import random_order
from cnet.arrays import Floats
from cnet.compiled import coming_rates
from cnet.context import FitContext
from cnet.diagnosis import diagnose, diagnose_parameters
from cnet.history import History
from cnet.hooks import Callback, Hooks
from cnet.preparing import Prepared
from cnet.progress import Progress
from cnet.resuming import Saved

if TYPE_CHECKING:
    from cnet.model import Sequential


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
    settings = preparing.check_settings(
        net,
        x,
        y,
        epochs=epochs,
        batch_size=batch_size,
        accumulate=accumulate,
        shuffle=shuffle,
        steps_per_epoch=steps_per_epoch,
        threads=threads,
    )
    progress = Progress(settings.epochs, verbose)
    prepared = preparing.prepare(
        net,
        x,
        y,
        sample_weight,
        settings,
        validation_data=validation_data,
        validation_split=validation_split,
        class_weight=class_weight,
        augment=augment,
        callbacks=callbacks,
        resume=resume,
    )
    saved = prepared.saved
    run = Run(net, prepared, progress)
    del prepared  # its data are the first part of a stream, which is not needed any longer then
    if resume is not None and saved is None:
        progress.note(f"no checkpoint in {os.fspath(resume)} yet: the run begins")
    run.to_its_end(saved)
    return run.history


class Run:
    """A run of `fit`: its data bound to the network, and what goes on from epoch to epoch.

    Parameters
    ----------
    net : Sequential
    prepared : Prepared
    progress : Progress
        That is told how far the run is.
    """

    def __init__(self, net: Sequential, prepared: Prepared, progress: Progress) -> None:
        settings, data, check = prepared.settings, prepared.data, prepared.check
        self.net = net
        self.progress = progress
        self.history = History()
        self.shuffle = settings.shuffle
        self.stream = prepared.stream
        # One batch to the compiled loop: it goes through in pieces, and the step follows the last.
        step_rows = settings.step_rows(data.rows)
        self.work = training.batches(
            net, data, step_rows, net.rule, settings.threads, settings.piece_rows
        )
        self.check = check
        first = check.first() if isinstance(check, streams.Stream) else check
        self.check_work = (
            None
            if first is None
            else training.batches(net, first, training.EVALUATION_ROWS, None, settings.threads)
        )
        # Batches of an epoch, as far as anybody knows; a stream may end before its limit.
        steps = settings.steps_per_epoch
        self.limit = steps or streams.UNBOUNDED
        if steps is None and self.stream is not None:
            steps = self.stream.batches()
        elif steps is None:
            steps = self.limit = -(-data.rows // self.work.batch_size)
        averaging = net.compiled.averaging
        if averaging is not None:
            net.rule.unit = averaging.unit(steps)
        self.slices = training.Slices()
        # What makes the steps, where an optimizer needs the whole set for one.
        takes_whole = net.compiled.optimizer.takes_whole_set
        self.minimiser = lbfgs.WholeSet(net, self.work) if takes_whole else None
        names = training.figure_names(net, check is not None)
        self.context = FitContext(
            net,
            self.work,
            settings.epochs,
            steps,
            names,
            self.history,
            prepared.callbacks,
            prepared.fixed,
            self.stream,
        )
        self.hooks = Hooks(prepared.callbacks, self.context)

    # ---- from the beginning to the end -----------------------------------------------------------

    def to_its_end(self, saved: Saved | None) -> None:
        """Do all epochs, from where a checkpoint is if there is one, and end the run.

        Raises
        ------
        whatever has ended it, but for Ctrl-C
        """
        if saved is not None:
            self.resume(saved)
        error: BaseException | None = None
        try:
            self.epochs([] if saved is None else saved.states)
        except BaseException as failure:
            error = failure
        error = self.end(error)
        try:
            if error is not None:
                raise error
        finally:
            del error  # its traceback has this frame, which would keep the data alive

    def resume(self, saved: Saved) -> None:
        """Go to where a checkpoint is."""
        context = self.context
        saved.go_on(context, self.begin_order)
        done = float(context.epoch)
        if context.underway:
            done += context.batch / (context.steps or 1) - 1
        self.progress.start_at(done)
        self.progress.note(f"resumed {saved.path}: epoch {context.epoch}, batch {context.batch}")

    def epochs(self, states: Sequence[Any]) -> None:
        """Do all epochs that are left, or as many as callbacks allow; those have these states."""
        self.hooks.fit_begin(states)
        if self.context.underway:
            self.epoch()
        while self.context.epoch < self.context.epochs and not self.context.stopped:
            self.epoch()
        # What the very last step has written, no loss has been computed with yet.
        error = diagnose_parameters(self.net, f"after epoch {self.context.epoch}")
        if error is not None:
            raise error

    def end(self, error: BaseException | None) -> BaseException | None:
        """Tell history, callbacks and progress what has ended the run.

        Whatever it was, the batch that was running is finished: parameters, optimizer and history
        are whole.

        Returns
        -------
        exception or None
            What is to be raised: not Ctrl-C, which the history has noted.
        """
        self.history.stopped = self.context.stopped
        self.history.interrupted = isinstance(error, KeyboardInterrupt)
        self.net.history = self.history
        error = self.hooks.fit_end(error)
        done = f"after {len(self.history)} of {self.context.epochs} epochs"
        note = f"stopped {done}: {self.context.stopped}" if self.context.stopped else ""
        if isinstance(error, KeyboardInterrupt):  # that may have come in a callback's last hook
            self.history.interrupted, error = True, None
            note = f"interrupted {done}; the network is kept"
        self.progress.close(note)
        return error

    # ---- an epoch --------------------------------------------------------------------------------

    def epoch(self) -> None:
        """Do one epoch, or what is left of the one that is under way, and record it."""
        context = self.context
        if context.underway:
            self.hooks.batch_end()  # a run that was interrupted may not have told of its last batch
        else:
            context.begin_epoch()
            self.hooks.epoch_begin()
        self.batches()
        if not self.work.steps:
            return  # something has ended the run before the first batch
        if context.steps is None:
            context.steps = self.work.steps
        row = training.figures(self.net, self.work, self.work.rows_done) | self.validation()
        row["seconds"] = time.perf_counter() - context.began
        context.end_epoch(row)
        self.progress.epoch(context.epoch, row)
        self.hooks.epoch_end(row)

    def batches(self) -> None:
        """Do the batches of an epoch, in slices, and look after callbacks between them."""
        context, work = self.context, self.work
        left = self.limit - work.steps
        while left and not context.stopped:
            before = work.steps
            if self.minimiser is not None:
                if why := self.minimiser.iterate(context.epoch):
                    context.stop(why)
                self.net.passes += 1
            elif work.position >= work.rows and not self.begin_pass():
                break
            elif not self.slices.run(work, min(left, self.hooks.batches()), self.rates):
                raise diagnose(self.net, work, context.epoch)
            left -= work.steps - before
            share = None if context.steps is None else min(1.0, work.steps / context.steps)
            self.progress.step(context.epoch, share, context.loss, work.steps)
            self.hooks.batch_end()

    def validation(self) -> dict[str, float]:
        """Return the figures of the validation data, if there are any, under their names."""
        if self.check is None or self.check_work is None:
            return {}
        if isinstance(self.check, streams.Stream):
            found = streams.evaluate(self.net, self.check, self.check_work)
        else:
            found = training.evaluate_batches(self.net, self.check_work, self.check)
        return {f"val_{key}": value for key, value in found.items()}

    def rates(self, count: int) -> Floats | None:
        """Return the learning rates of the next steps, where they are not what they were."""
        return coming_rates(self.net, count, self.context.steps)

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
