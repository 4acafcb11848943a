"""Where a run of `fit` is: what callbacks are told, and what a checkpoint holds of it."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cnet._core.training import Batches
from cnet.errors import check_flag, check_integer, check_number
from cnet.history import History

if TYPE_CHECKING:
    from cnet.hooks import Callback
    from cnet.model import Sequential
    from cnet.streams import Stream


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
    resumed : str
        The checkpoint that the run was continued from; "" if it began afresh.
    interrupted, failed : bool
        Whether Ctrl-C or an error has ended the run.
    """

    # The second half is for `fit` and what writes checkpoints:
    # before, began      steps of the epochs before this one; when this one began
    # underway           whether an epoch has begun and is not recorded
    # told               the step after which callbacks were last called
    # whole              whether all of them have heard of all that was done
    # work, stream       the batches of the run; where their rows come from, if not from arrays
    # callbacks          all of them, as they were given
    # fixed, identity    what a run that continues this one must share; the name of the run
    __slots__ = (
        "before",
        "began",
        "callbacks",
        "epoch",
        "epochs",
        "failed",
        "figures",
        "fixed",
        "history",
        "identity",
        "interrupted",
        "network",
        "resumed",
        "steps",
        "stopped",
        "stream",
        "told",
        "underway",
        "whole",
        "work",
    )

    def __init__(
        self,
        network: Sequential,
        work: Batches,
        epochs: int,
        steps: int | None,
        figures: Sequence[str],
        history: History,
        callbacks: Sequence[Callback] = (),
        fixed: Mapping[str, Any] | None = None,
        stream: Stream | None = None,
    ) -> None:
        self.network = network
        self.epochs = epochs
        self.steps = steps
        self.figures = tuple(figures)
        self.history = history
        self.epoch = 0
        self.stopped = self.resumed = ""
        self.interrupted = self.failed = False
        self.work = work
        self.stream = stream
        self.callbacks = tuple(callbacks)
        self.fixed = dict(fixed or {})
        self.identity = os.urandom(8).hex()
        self.before = self.told = 0
        self.began = time.perf_counter()
        self.underway = self.whole = False

    @property
    def batch(self) -> int:
        """Batches of this epoch that are done."""
        return self.work.steps

    @property
    def step(self) -> int:
        """Batches of this run that are done."""
        return self.before + self.work.steps

    @property
    def loss(self) -> float:
        """Mean over the rows of this epoch so far; NaN before its first batch."""
        rows = self.work.rows_done
        return self.work.loss_sum / rows if rows else math.nan

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
        self.whole = False
        self.before += self.work.steps
        self.work.reset_sums()
        self.epoch += 1
        self.underway = True
        self.began = time.perf_counter()

    def end_epoch(self, row: dict[str, float]) -> None:
        """Record the epoch, for `fit`."""
        self.whole = False
        self.history.add(row)
        self.underway = False

    @property
    def moment(self) -> tuple[int, int, bool]:
        """Where the run stands, to be compared."""
        return self.epoch, self.batch, self.underway

    def state(self) -> dict[str, Any]:
        """Return what `restore` takes: the place of the run, without the batches' own."""
        return {
            "identity": self.identity,
            "epoch": self.epoch,
            "underway": self.underway,
            "before": self.before,
            "told": self.told,
            "steps": self.steps,
            "stopped": self.stopped,
            "seconds": time.perf_counter() - self.began if self.underway else 0.0,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go to the place of another run.

        Raises
        ------
        KeyError, TypeError, ValueError
            For what is no such state; nothing changes then.
        """
        numbers = [check_integer(name, state[name], 0) for name in ("epoch", "before", "told")]
        underway = check_flag("underway", state["underway"])
        steps = None if state["steps"] is None else check_integer("steps", state["steps"], 1)
        began = time.perf_counter() - check_number("seconds", state["seconds"], 0)
        self.identity, self.stopped = str(state["identity"]), str(state["stopped"])
        self.epoch, self.before, self.told = numbers
        self.underway, self.began, self.steps = underway, began, steps
