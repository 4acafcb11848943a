"""What `fit` calls while it runs: the moments, and who is called when.

The compiled loop comes back for a callback only as often as that asks (`Callback.every`). Hooks run
between two batches: parameters, optimizer and history are whole whenever one is called, and stay
so if it raises.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from cnet.context import FitContext
from cnet.errors import check_integer, check_number, check_sequence, unknown

_UNBOUNDED = 1 << 30


class Callback:
    """Base of all callbacks; write the hooks that are wanted, the others do nothing.

    An exception in a hook ends `fit` and passes through it. Whatever ends a run, `on_fit_end` is
    called for every callback whose `on_fit_begin` has returned. KeyboardInterrupt in a hook counts
    as Ctrl-C.

    Attributes
    ----------
    every : int or None
        `on_batch_end` is called after each so many batches of the run; None is never.
    seconds : float or None
        `on_batch_end` is called too when so much time has passed since it last was (in steps of
        about 0.05 s, since that is how often the compiled loop comes back); None is never.
    monitor : str or None
        A figure that the callback reads, if it does: `fit` makes sure before training that epochs
        will have it.
    keeps_states : bool
        It writes down the states of the others: its hooks are called after theirs, but
        `on_fit_end` before.
    """

    every: int | None = None
    seconds: float | None = None
    monitor: str | None = None
    keeps_states: bool = False

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

    def state(self) -> dict[str, Any] | None:
        """Return what a checkpoint is to keep of the callback, such as a count of epochs.

        Write it together with `restore`, or neither. Called between two batches.

        Returns
        -------
        dict of str to number, str, None, NumPy array, or lists and dicts of these
            Tuples come back as lists.
        """
        return None

    def restore(self, run: FitContext, state: Any) -> None:
        """Take a state back, after `on_fit_begin` of a run that is continued (`run.resumed`).

        Parameters
        ----------
        run : FitContext
        state : dict
            What `state` returned.
        """


def keeps_a_state(callback: Callback) -> bool:
    """Return whether a callback has something for a checkpoint."""
    return type(callback).state is not Callback.state


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
        self._all = tuple(c for c in callbacks if not c.keeps_states)
        self._keepers = tuple(c for c in callbacks if c.keeps_states)
        self._begun: list[Callback] = []
        # By identity: a class of the user's own need not be hashable.
        self._every = {id(c): c.every for c in callbacks if c.every is not None}
        self._called = {id(c): time.monotonic() for c in callbacks if c.seconds is not None}

    def fit_begin(self, states: Sequence[Any] = ()) -> None:
        """Call `on_fit_begin`, and then `restore` with states of a run that is continued."""
        for callback in self._all + self._keepers:
            callback.on_fit_begin(self.context)
            self._begun.append(callback)
        keeping = (c for c in self.context.callbacks if keeps_a_state(c))
        for callback, state in zip(keeping, states, strict=False):
            callback.restore(self.context, state)
        self.context.whole = True

    def epoch_begin(self) -> None:
        """Call `on_epoch_begin`."""
        for callback in self._all:
            callback.on_epoch_begin(self.context)
        self.context.whole = True
        for callback in self._keepers:
            callback.on_epoch_begin(self.context)

    def batches(self) -> int:
        """Return after how many batches a callback wants to be called."""
        step = self.context.step
        return min((every - step % every for every in self._every.values()), default=_UNBOUNDED)

    def batch_end(self) -> None:
        """Call `on_batch_end` where it is time, once per step."""
        context, step = self.context, self.context.step
        if step == context.told:
            return
        context.whole = False
        for callback in self._all:
            if self._is_due(callback, step):
                callback.on_batch_end(context)
        context.told, context.whole = step, True
        for callback in self._keepers:
            if self._is_due(callback, step):
                callback.on_batch_end(context)

    def _is_due(self, callback: Callback, step: int) -> bool:
        every, last = self._every.get(id(callback)), self._called.get(id(callback))
        due = every is not None and step % every == 0
        if last is not None and callback.seconds is not None:
            now = time.monotonic()
            due = due or now - last >= callback.seconds
            self._called[id(callback)] = now if due else last
        return due

    def epoch_end(self, row: Mapping[str, float]) -> None:
        """Call `on_epoch_end`."""
        context = self.context
        for callback in self._all:
            callback.on_epoch_end(context, dict(row))
        context.whole = True
        for callback in self._keepers:
            callback.on_epoch_end(context, dict(row))

    def fit_end(self, error: BaseException | None) -> BaseException | None:
        """Call `on_fit_end` of every callback that has begun, though another one fails.

        Returns
        -------
        exception or None
            The one that ended the run, else the first of these hooks; the others are its notes.
            An error comes before Ctrl-C, which would not be seen outside.
        """
        self.context.interrupted = isinstance(error, KeyboardInterrupt)
        self.context.failed = error is not None and not self.context.interrupted
        for callback in sorted(self._begun, key=lambda c: not c.keeps_states):
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
        if callback.seconds is not None:
            check_number(f"{where}.seconds", callback.seconds, 0, above=True)
        name = callback.monitor
        if name is not None and name not in figures:
            error = unknown(f"figure to monitor in {where}:", name, figures)
            if str(name).startswith("val_") and not any(f.startswith("val_") for f in figures):
                error = ValueError(
                    f"{error} There is no validation: give fit validation_data or validation_split"
                )
            raise error
    return found
