"""Callbacks: what a user wants done while `fit` runs, at a small fixed set of moments."""

from __future__ import annotations

import math
from abc import ABC
from collections.abc import Callable
from typing import Any

from cnet.arrays import Array
from cnet.checkpoints import Checkpoint
from cnet.context import FitContext
from cnet.errors import check_choice, check_flag, check_integer, check_number
from cnet.hooks import Callback
from cnet.logs import CSVLog, TensorBoard

__all__ = [
    "CSVLog",
    "Callback",
    "Checkpoint",
    "EarlyStopping",
    "FitContext",
    "LambdaCallback",
    "ReduceOnPlateau",
    "TensorBoard",
]

# Words in the names of figures, for mode="auto": these are better when smaller, those when larger.
_SMALLER = {"loss", "error", "mse", "rmse", "mae", "mape"}
_LARGER = {"accuracy", "precision", "recall", "f1", "auc", "r2", "explained"}


class LambdaCallback(Callback):
    """Calls functions at the hooks of their names.

    Parameters
    ----------
    on_fit_begin, on_epoch_begin, on_fit_end : function of a FitContext, optional
    on_batch_end : function of a FitContext, optional
        Needs `every`.
    on_epoch_end : function of a FitContext and the epoch's figures, optional
    every : int, optional
        See `Callback`.

    Raises
    ------
    TypeError, ValueError
        For what cannot be called, or only one of `on_batch_end` and `every`.
    """

    def __init__(
        self,
        *,
        on_fit_begin: Callable[[FitContext], object] | None = None,
        on_epoch_begin: Callable[[FitContext], object] | None = None,
        on_batch_end: Callable[[FitContext], object] | None = None,
        on_epoch_end: Callable[[FitContext, dict[str, float]], object] | None = None,
        on_fit_end: Callable[[FitContext], object] | None = None,
        every: int | None = None,
    ) -> None:
        given: dict[str, Any] = {
            "on_fit_begin": on_fit_begin,
            "on_epoch_begin": on_epoch_begin,
            "on_batch_end": on_batch_end,
            "on_epoch_end": on_epoch_end,
            "on_fit_end": on_fit_end,
        }
        if (on_batch_end is None) != (every is None):
            raise ValueError(
                "on_batch_end and every go together: every=100 calls it after each 100 batches"
            )
        self.every = None if every is None else check_integer("every", every, 1)
        for name, function in given.items():
            if function is None:
                continue
            if not callable(function):
                raise TypeError(f"{name} must be a function, got {function!r}")
            setattr(self, name, function)


class _Monitoring(Callback, ABC):
    """What compares a figure from epoch to epoch. NaN is never better than anything."""

    monitor: str
    _remembered: tuple[str, ...] = ("best", "_mark", "_waited")

    def __init__(self, monitor: str, patience: int, min_delta: float, mode: str) -> None:
        if not isinstance(monitor, str):
            raise TypeError(f"monitor must be a name such as 'val_loss', got {monitor!r}")
        self.monitor = monitor
        self.patience = check_integer("patience", patience, 1)
        self.min_delta = check_number("min_delta", min_delta, 0)
        self.mode = _resolve_mode(mode, monitor)
        self.forget()

    def forget(self) -> None:
        """Start afresh."""
        self.best = math.nan
        self._mark = math.nan
        self._waited = 0

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps."""
        return {name: getattr(self, name) for name in self._remembered}

    def restore(self, run: FitContext, state: dict[str, Any]) -> None:
        """Go on with what `state` returned.

        Raises
        ------
        KeyError
            If something is missing.
        """
        for name in self._remembered:
            setattr(self, name, state[name])

    def improves(self, value: float) -> tuple[bool, bool]:
        """Return whether a value is the best so far, and whether it is so by `min_delta`.

        The second is against the last value of which that could be said: many small improvements
        add up to a large one.
        """
        sign = 1.0 if self.mode == "min" else -1.0
        best = math.isnan(self.best) or sign * value < sign * self.best
        marked = math.isnan(self._mark) or sign * value < sign * self._mark - self.min_delta
        if math.isnan(value):
            return False, False
        if best:
            self.best = value
        if marked:
            self._mark = value
        return best, marked


def _resolve_mode(mode: str, monitor: str) -> str:
    if check_choice("mode", mode, ("auto", "min", "max")) != "auto":
        return mode
    words = set(monitor.split("_"))
    if bool(words & _LARGER) != bool(words & _SMALLER):
        return "max" if words & _LARGER else "min"
    raise ValueError(
        f"mode='auto' does not know whether a small or a large {monitor!r} is good: say mode='min' "
        "or mode='max', if the name is spelt as in the history"
    )


class EarlyStopping(_Monitoring):
    """Ends training when a figure has stopped improving, and brings the best weights back.

    The weights come back however the run ends, also when patience never ran out, on Ctrl-C and
    after an error, and moving statistics with them. Only these do: the optimizer's state stays
    that of the last step. `history.restored_epoch` says whose they are. A figure of the training
    rows (without "val_") belongs to the weights that changed during the epoch; "val_" figures
    belong to those at its end.

    Parameters
    ----------
    monitor : str
        A figure of the history.
    patience : int
        Epochs in a row without an improvement after which training ends.
    min_delta : float
        What is not better by more than this is no improvement; the weights that come back are
        the best ones nevertheless.
    mode : {"auto", "min", "max"}
        What better means; "auto" goes by the name.
    restore_best : bool

    Attributes
    ----------
    best : float
        The best value so far, NaN if there is none.
    best_epoch : int or None

    Raises
    ------
    ValueError, TypeError
    """

    _remembered = (*_Monitoring._remembered, "best_epoch", "_weights")

    def __init__(
        self,
        monitor: str = "val_loss",
        patience: int = 10,
        min_delta: float = 0.0,
        mode: str = "auto",
        restore_best: bool = True,
    ) -> None:
        super().__init__(monitor, patience, min_delta, mode)
        self.restore_best = check_flag("restore_best", restore_best)

    def forget(self) -> None:
        """Start afresh."""
        super().forget()
        self.best_epoch: int | None = None
        self._weights: list[Array] = []

    def on_fit_begin(self, run: FitContext) -> None:
        self.forget()

    def on_epoch_end(self, run: FitContext, figures: dict[str, float]) -> None:
        best, improved = self.improves(figures[self.monitor])
        if best:
            if self.restore_best:
                self._weights = run.network.get_weights()
            self.best_epoch = run.epoch
        self._waited = 0 if improved else self._waited + 1
        if self._waited >= self.patience:
            found = f"best {self.best:.6g} in epoch {self.best_epoch}"
            run.stop(
                f"{self.monitor} has not improved for {self.patience} epochs, "
                + (found if self.best_epoch else "it was never a number")
            )

    def on_fit_end(self, run: FitContext) -> None:
        if self._weights:
            run.network.set_weights(self._weights)
            run.history.restored_epoch = self.best_epoch
            self._weights = []


class ReduceOnPlateau(_Monitoring):
    """Reduces the learning rate when a figure has stopped improving.

    Parameters
    ----------
    monitor : str
        A figure of the history.
    factor : float
        Between 0 and 1, multiplies `learning_rate`.
    patience : int
        Epochs in a row without an improvement after which the rate is reduced.
    min_delta : float
        What is not better by more than this is no improvement.
    cooldown : int
        So many epochs after a reduction are not counted.
    min_learning_rate : float
        The rate is not reduced below it.
    mode : {"auto", "min", "max"}
        What better means; "auto" goes by the name.

    Attributes
    ----------
    reductions : list of (int, float)
        Epochs after which the rate was reduced, and the rates since.

    Raises
    ------
    ValueError, TypeError
    """

    _remembered = (*_Monitoring._remembered, "reductions", "_resting")

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_learning_rate: float = 0.0,
        mode: str = "auto",
    ) -> None:
        super().__init__(monitor, patience, min_delta, mode)
        self.factor = check_number("factor", factor, 0, 1, above=True, below=True)
        self.cooldown = check_integer("cooldown", cooldown, 0)
        self.min_learning_rate = check_number("min_learning_rate", min_learning_rate, 0)

    def forget(self) -> None:
        """Start afresh."""
        super().forget()
        self.reductions: list[tuple[int, float]] = []
        self._resting = 0

    def on_fit_begin(self, run: FitContext) -> None:
        """Start afresh.

        Raises
        ------
        ValueError
            If a schedule says the learning rates.
        """
        if run.network.compiled.optimizer.schedule is not None:
            raise ValueError(
                "ReduceOnPlateau writes learning_rate, which the optimizer's schedule says; give "
                "the optimizer a number instead"
            )
        self.forget()

    def restore(self, run: FitContext, state: dict[str, Any]) -> None:
        """Go on with what `state` returned."""
        super().restore(run, state)
        self.reductions = [(epoch, rate) for epoch, rate in state["reductions"]]

    def on_epoch_end(self, run: FitContext, figures: dict[str, float]) -> None:
        improved = self.improves(figures[self.monitor])[1]
        if improved or self._resting:
            self._waited = 0
            self._resting = max(self._resting - 1, 0)
            return
        self._waited += 1
        if self._waited < self.patience:
            return
        self._waited, self._resting = 0, self.cooldown
        before = run.network.learning_rate
        rate = max(before * self.factor, self.min_learning_rate)
        if rate < before:
            run.network.learning_rate = rate
            self.reductions.append((run.epoch, rate))
