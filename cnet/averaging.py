"""Averages of the weights, which predictions are made with while training goes on with the weights.

Where `compile` is told to average, training keeps a second copy of the weights. `predict`,
`predict_classes`, `evaluate` and the validation of `fit` take the average from the first time on
that there is one; training takes the weights always, so that asking changes no bit of what follows.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from cnet.description import Description
from cnet.errors import check_choice, check_flag, check_integer, check_number
from cnet.rates import UNITS


class Averaging(Description, ABC):
    """What every way to average has."""

    def __post_init__(self) -> None:
        settings: Any = self
        for name, low in (("start", 0), ("every", 1), ("k", 1)):
            if name in self.fields:
                self._set(name, check_integer(name, getattr(self, name), low))
        if "per" in self.fields:
            check_choice("per", settings.per, UNITS)

    @abstractmethod
    def arguments(self) -> tuple[str, float, int, int, bool]:
        """Return the arguments of `Rule.average_by`."""

    @property
    def counts_epochs(self) -> bool:
        """Whether it counts epochs and not steps."""
        return getattr(self, "per", "step") == "epoch"

    def unit(self, steps_per_epoch: int | None) -> int:
        """Return the steps in what is counted.

        Raises
        ------
        ValueError
            If that is an epoch, and nobody knows how many it has.
        """
        if not self.counts_epochs:
            return 1
        if steps_per_epoch is None:
            raise ValueError(
                f"{type(self).__name__} counts epochs, whose steps are not known; give fit "
                "steps_per_epoch, or use per='step'"
            )
        return steps_per_epoch

    def check(self, *, epochs: bool) -> None:
        """Make sure that it can be followed, with or without epochs.

        Raises
        ------
        ValueError
            If it counts epochs and there are none.
        """
        if self.counts_epochs and not epochs:
            raise ValueError(
                f"{type(self).__name__} counts epochs, which only fit has; use per='step' to train "
                "batch by batch"
            )


class EMA(Averaging):
    """Exponential moving average: average += (1 - decay) (weights - average), as steps go by.

    Parameters
    ----------
    decay : float
        Between 0 and 1; 0.999 is an average over about the last thousand steps.
    start : int
        Steps of the optimizer that are left out.
    every : int
        Average after each so many steps.
    bias_correction : bool
        At the n-th time the newest weights count by (1 - decay) / (1 - decay^n), as in Adam's
        moments: old weights are forgotten as fast in the beginning as later. Without it, the first
        weights stand for all that were before them, as in
        `torch.optim.swa_utils.get_ema_multi_avg_fn`.

    Raises
    ------
    TypeError, ValueError
        For settings out of range.
    """

    decay: float = 0.999
    start: int = 0
    every: int = 1
    bias_correction: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        decay = check_number("decay", self.decay, 0, 1, above=True, below=True)
        self._set("decay", decay)
        check_flag("bias_correction", self.bias_correction)

    def arguments(self) -> tuple[str, float, int, int, bool]:
        return "exponential", 1 - self.decay, self.start, self.every, self.bias_correction


class SWA(Averaging):
    """Stochastic weight averaging (Izmailov et al., 2018): the mean of weights along the way.

    It wants a learning rate that stays large enough, or comes back in cycles.

    Parameters
    ----------
    start : int
        Epochs (or steps) that are left out.
    every : int
        After these, the weights at the end of each so many epochs (or steps) count.
    per : {"epoch", "step"}
        What is counted. The epoch is the number of steps done, divided by the steps per epoch of
        the running `fit`.

    Raises
    ------
    TypeError, ValueError
        For settings out of range.
    """

    start: int
    every: int = 1
    per: str = "epoch"

    def arguments(self) -> tuple[str, float, int, int, bool]:
        return "equal", 0.0, self.start, self.every, False


class Lookahead(Averaging):
    """Look-ahead (Zhang et al., 2019) around any optimizer: k steps forward, part of them back.

    After each k steps: slow += alpha (weights - slow); weights = slow. Predictions are made with
    the slow weights. The optimizer's state goes on.

    Parameters
    ----------
    k : int
        Steps in between.
    alpha : float
        Above 0, at most 1.

    Raises
    ------
    TypeError, ValueError
        For settings out of range.
    """

    k: int = 5
    alpha: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set("alpha", check_number("alpha", self.alpha, 0, 1, above=True))

    def arguments(self) -> tuple[str, float, int, int, bool]:
        return "lookahead", self.alpha, 0, self.k, False


def check(averaging: Averaging | None) -> Averaging | None:
    """Return what `compile` was given.

    Raises
    ------
    TypeError
        For what is no way to average.
    """
    if averaging is None or isinstance(averaging, Averaging):
        return averaging
    raise TypeError(
        "averaging must be an object such as cnet.EMA(0.999), cnet.SWA(start=10) or "
        f"cnet.Lookahead(), got {averaging!r}"
    )
