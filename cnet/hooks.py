"""What `fit` calls while it runs: the moments, what callbacks are told, and who is called when.

The compiled loop comes back for a callback only as often as that asks (`Callback.every`). Hooks run
between two batches: parameters, optimizer and history are whole whenever one is called, and stay
so if it raises.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cnet._core.training import Batches
from cnet.errors import check_integer, check_sequence, unknown
from cnet.history import History

if TYPE_CHECKING:
    from cnet.model import Sequential

_UNBOUNDED = 1 << 30


class FitContext:
    """Where a run of `fit` is: what hooks are given.

    Attributes
    ----------
    network : Sequential
    epochs : int
        That were asked for.
    steps : int or None
        Batches per epoch; None in the first one of a stream that does not say how many it has.
    figures : tuple of str
        Names of the figures that every epoch has.
    history : History
        Of this run; `network.history` is it once the run has ended.
    epoch : int
        The running one, from 1; 0 before the first.
    stopped : str
        Why the run is to end; "" while it is not.
    """

    __slots__ = (
        "_before",
        "_work",
        "epoch",
        "epochs",
        "figures",
        "history",
        "network",
        "steps",
        "stopped",
    )

    def __init__(
        self,
        network: Sequential,
        work: Batches,
        epochs: int,
        steps: int | None,
        figures: Sequence[str],
        history: History,
    ) -> None:
        self.network = network
        self.epochs = epochs
        self.steps = steps
        self.figures = tuple(figures)
        self.history = history
        self.epoch = 0
        self.stopped = ""
        self._work = work
        self._before = 0

    @property
    def batch(self) -> int:
        """Batches of this epoch that are done."""
        return self._work.steps

    @property
    def step(self) -> int:
        """Batches of this run that are done."""
        return self._before + self._work.steps

    @property
    def loss(self) -> float:
        """Mean over the rows of this epoch so far; NaN before its first batch."""
        rows = self._work.rows_done
        return self._work.loss_sum / rows if rows else math.nan

    def stop(self, reason: str = "a callback asked for it") -> None:
        """End the run before its next batch; `history.stopped` will say why.

        An epoch that is cut short like this is evaluated and recorded, over the batches that it
        had, if it had any. The first reason counts.
        """
        if not isinstance(reason, str) or not reason:
            raise TypeError(f"reason must be a text that says why, got {reason!r}")
        self.stopped = self.stopped or reason

    def begin_epoch(self) -> None:
        """Count on, for `fit`."""
        self._before += self._work.steps
        self._work.reset_sums()
        self.epoch += 1


class Callback:
    """Base of all callbacks; write the hooks that are wanted, the others do nothing.

    An exception in a hook ends `fit` and passes through it. Whatever ends a run, `on_fit_end` is
    called for every callback whose `on_fit_begin` has returned. KeyboardInterrupt in a hook counts
    as Ctrl-C.

    Attributes
    ----------
    every : int or None
        `on_batch_end` is called after each so many batches of the run; None is never.
    monitor : str or None
        A figure that the callback reads, if it does: `fit` makes sure before training that epochs
        will have it.
    """

    every: int | None = None
    monitor: str | None = None

    def on_fit_begin(self, run: FitContext) -> None:
        """Before the first epoch, when all arguments of `fit` are checked."""

    def on_epoch_begin(self, run: FitContext) -> None:
        """Before the first batch of an epoch."""

    def on_batch_end(self, run: FitContext) -> None:
        """After every `every`-th batch: the step is done."""

    def on_epoch_end(self, run: FitContext, figures: dict[str, float]) -> None:
        """After an epoch and its validation.

        Parameters
        ----------
        run : FitContext
        figures : dict of str to float
            A copy of the epoch's row in `run.history`.
        """

    def on_fit_end(self, run: FitContext) -> None:
        """At the end of the run, whatever has ended it."""


class Hooks:
    """The callbacks of one run, called in their order.

    Parameters
    ----------
    callbacks : tuple of Callback
        As `check_callbacks` returns them.
    context : FitContext
    """

    def __init__(self, callbacks: tuple[Callback, ...], context: FitContext) -> None:
        self.context = context
        self._all = callbacks
        self._begun: list[Callback] = []
        self._batchwise = [(c, c.every) for c in callbacks if c.every is not None]

    def fit_begin(self) -> None:
        """Call `on_fit_begin`."""
        for callback in self._all:
            callback.on_fit_begin(self.context)
            self._begun.append(callback)

    def epoch_begin(self) -> None:
        """Call `on_epoch_begin`."""
        for callback in self._all:
            callback.on_epoch_begin(self.context)

    def batches(self) -> int:
        """Return after how many batches a callback wants to be called."""
        step = self.context.step
        return min((every - step % every for _, every in self._batchwise), default=_UNBOUNDED)

    def batch_end(self) -> None:
        """Call `on_batch_end` where it is time."""
        for callback, every in self._batchwise:
            if self.context.step % every == 0:
                callback.on_batch_end(self.context)

    def epoch_end(self, row: Mapping[str, float]) -> None:
        """Call `on_epoch_end`."""
        for callback in self._all:
            callback.on_epoch_end(self.context, dict(row))

    def fit_end(self, error: BaseException | None) -> BaseException | None:
        """Call `on_fit_end` of every callback that has begun, though another one fails.

        Returns
        -------
        exception or None
            The one that ended the run, else the first of these hooks; the others are its notes.
            An error comes before Ctrl-C, which would not be seen outside.
        """
        for callback in self._begun:
            try:
                callback.on_fit_end(self.context)
            except BaseException as failure:
                interrupted = isinstance(error, KeyboardInterrupt)
                if error is None or (interrupted and isinstance(failure, Exception)):
                    error = failure
                else:
                    name = type(callback).__name__
                    error.add_note(f"{name}.on_fit_end failed after that: {failure!r}")
        return error


def check_callbacks(callbacks: Any, figures: Sequence[str]) -> tuple[Callback, ...]:
    """Return what `fit` was given, checked.

    Parameters
    ----------
    figures : sequence of str
        What the epochs will have.

    Raises
    ------
    TypeError, ValueError
        For what is no callback, or monitors what there will not be.
    """
    found = check_sequence("callbacks", callbacks, "[cnet.EarlyStopping()]")
    for place, callback in enumerate(found):
        where = f"callbacks[{place}]"
        if not isinstance(callback, Callback):
            remedy = "make a function one by cnet.callbacks.LambdaCallback(on_epoch_end=...)"
            if isinstance(callback, type) and issubclass(callback, Callback):
                remedy = f"that is the class; {callback.__name__}(...) makes one"
            raise TypeError(f"{where} must be a Callback, got {callback!r}; {remedy}")
        if callback.every is not None:
            check_integer(f"{where}.every", callback.every, 1)
        name = callback.monitor
        if name is not None and name not in figures:
            error = unknown(f"figure to monitor in {where}:", name, figures)
            if str(name).startswith("val_") and not any(f.startswith("val_") for f in figures):
                error = ValueError(
                    f"{error} There is no validation: give fit validation_data or validation_split"
                )
            raise error
    return found
