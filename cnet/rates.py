"""What a learning rate may be: a number, a schedule, or a function of the number of steps done.

A schedule keeps no state: it computes the rates of any steps from their numbers. The number of
steps belongs to the network and is saved with it, so training that is interrupted and continued
follows the schedule as if it never had been.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, NoReturn, TypeAlias

import numpy as np

from cnet.arrays import ArrayLike, Floats
from cnet.description import Description
from cnet.errors import check_choice, check_integer, check_number

UNITS = ("step", "epoch")


class Schedule(Description, ABC, kw_only=True):
    """What every schedule has. Calling it gives the rates of steps (or epochs) by their numbers.

    Parameters
    ----------
    per : {"step", "epoch"}
        What is counted: the steps of the optimizer that are done, or the epochs. The epoch is the
        number of steps done, divided by the steps per epoch of the running `fit` and rounded down.
    """

    per: str = "step"

    def __post_init__(self) -> None:
        check_choice("per", self.per, UNITS)
        for name in ("learning_rate", "initial", "final", "peak", "start", "factor", "power"):
            if name in self.fields:
                self._set(name, check_number(name, getattr(self, name), 0))
        for name in ("decay", "div_factor", "final_div_factor"):
            if name in self.fields:
                self._set(name, check_number(name, getattr(self, name), 0, above=True))
        for name in ("steps", "every", "t_mult"):
            if name in self.fields:
                self._set(name, check_integer(name, getattr(self, name), 1))

    @abstractmethod
    def _rates(self, t: Floats) -> Floats:
        """Return the rates of whole numbers t (n,) of at least 0."""

    def __call__(self, steps: ArrayLike) -> Floats:
        """Return the learning rates of steps or epochs.

        Parameters
        ----------
        steps : int or array of int
            How many are done before: 0 for the first.

        Returns
        -------
        float64 array
            Of the shape of `steps`.

        Raises
        ------
        TypeError, ValueError
            For numbers that are not whole or below 0, and if a rate is not finite or below 0.
        """
        numbers = np.asarray(steps)
        if numbers.dtype.kind not in "iu":
            raise TypeError(f"steps must be integers, got {numbers.dtype}")
        t = numbers.reshape(-1).astype(np.float64)
        if t.size and t.min() < 0:
            raise ValueError(f"steps must be at least 0, got {int(t.min())}")
        # What overflows is reported below, as a rate that is not finite.
        with np.errstate(over="ignore", invalid="ignore"):
            rates = np.asarray(self._rates(t), np.float64)
        wrong = ~(np.isfinite(rates) & (rates >= 0))
        if wrong.any():
            at = int(wrong.argmax())
            raise ValueError(
                f"the learning rate of {self.per} {int(t[at])} is {rates[at]}, expected a finite "
                f"number of at least 0; change {type(self).__name__}'s settings"
            )
        return rates.reshape(numbers.shape)

    def rates(self, done: int, count: int, steps_per_epoch: int | None) -> Floats:
        """Return the rates (count,) of the next steps after `done` steps of the optimizer.

        Errors are those of `check` (where steps_per_epoch is None, there are no epochs) and of a
        call.
        """
        self.check(epochs=steps_per_epoch is not None)
        steps = np.arange(done, done + count, dtype=np.int64)
        if self.per == "step" or steps_per_epoch is None:
            return self(steps)
        epochs = steps // steps_per_epoch
        rates: Floats = self(np.arange(epochs[0], epochs[-1] + 1))[epochs - epochs[0]]
        return rates

    @property
    def asks(self) -> bool:
        """Whether a function of the user's own is called for every step."""
        fields = [getattr(self, name) for name in self.fields]
        return any(field.asks for field in fields if isinstance(field, Schedule))

    def check(self, *, epochs: bool) -> None:
        """Make sure that the schedule can be followed, with or without epochs.

        Raises
        ------
        ValueError
            If it counts epochs and there are none.
        RuntimeError
            If it contained a function, and comes from a file, a pickle or a copy.
        """
        if self.per == "epoch" and not epochs:
            raise ValueError(
                f"{type(self).__name__} counts epochs, which only fit has; use per='step' to train "
                "batch by batch"
            )
        for name in self.fields:
            field = getattr(self, name)
            if isinstance(field, Schedule):
                field.check(epochs=epochs)


class Constant(Schedule):
    """The same `learning_rate` always, as a plain number is."""

    learning_rate: float

    def _rates(self, t: Floats) -> Floats:
        return np.full(t.shape, self.learning_rate)


class Function(Schedule):
    """The user's own: function(t) -> float. The only schedule for which Python runs per step.

    A file cannot hold it, nor can a pickle or a copy of the network: what is loaded says so when
    it should train, until `net.learning_rate` is given the function again (or anything else).

    Parameters
    ----------
    function : callable
        Called with an int, the number of steps or epochs done; of nothing else may it depend if
        training that is interrupted is to be continued.
    """

    function: Callable[[int], float]

    def __post_init__(self) -> None:
        super().__post_init__()
        if not callable(self.function) or isinstance(self.function, type):
            raise TypeError(f"function must be a function of the step, got {self.function!r}")

    @property
    def asks(self) -> bool:
        return True

    def _rates(self, t: Floats) -> Floats:
        rates = np.empty(t.shape)
        for i, step in enumerate(t.tolist()):
            rates[i] = check_number(f"learning_rate({int(step)})", self.function(int(step)), 0)
        return rates


class Lost(Schedule):
    """What stands in a loaded network where a function was: it cannot be followed."""

    def check(self, *, epochs: bool) -> NoReturn:
        raise RuntimeError(
            "the learning rate was a function of the user's own, which files, pickles and copies "
            "cannot hold; set net.learning_rate to it again, or to a number or a schedule, to go on"
        )

    def _rates(self, t: Floats) -> Floats:
        self.check(epochs=True)


RateLike: TypeAlias = "float | Schedule | Callable[[int], float]"


def get(rate: Any, name: str = "learning_rate") -> Schedule:
    """Return a schedule for a number or a function; a schedule is itself.

    Raises
    ------
    TypeError, ValueError
        For anything else, such as a class instead of an object.
    """
    if isinstance(rate, Schedule):
        return rate
    if isinstance(rate, type) and issubclass(rate, Schedule):
        raise TypeError(f"{name} must be an object such as Cosine(0.1, 1000), got the class itself")
    if callable(rate):
        return Function(rate)
    return Constant(check_number(name, rate, 0))
