"""Learning rates that change as training goes on, each a curve over the number of steps done."""

from __future__ import annotations

import math

import numpy as np

from cnet.arrays import Floats
from cnet.errors import check_integer, check_number, check_sequence
from cnet.rates import Constant, Function, RateLike, Schedule, get


class Step(Schedule):
    """initial factor^floor(t / every): `torch.optim.lr_scheduler.StepLR`."""

    initial: float
    every: int
    factor: float = 0.1

    def _rates(self, t: Floats) -> Floats:
        return self.initial * np.power(self.factor, t // self.every)


class MultiStep(Schedule):
    """initial factor^(milestones reached): `torch.optim.lr_scheduler.MultiStepLR`.

    `milestones` are the numbers, increasing, of the first steps with a new rate.
    """

    initial: float
    milestones: tuple[int, ...]
    factor: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        given = check_sequence("milestones", self.milestones, "(1000, 2000)")
        milestones = tuple(check_integer("milestones", m, 1) for m in given)
        if not milestones or list(milestones) != sorted(set(milestones)):
            raise ValueError(f"milestones must be increasing step numbers, got {milestones}")
        self._set("milestones", milestones)

    def _rates(self, t: Floats) -> Floats:
        reached = np.searchsorted(np.array(self.milestones), t, side="right")
        return self.initial * np.power(self.factor, reached.astype(np.float64))


class Exponential(Schedule):
    """initial decay^(t / every), continuously: `keras.optimizers.schedules.ExponentialDecay`.

    With every=1 it is `torch.optim.lr_scheduler.ExponentialLR`, whose gamma is `decay`.
    """

    initial: float
    decay: float
    every: int = 1

    def _rates(self, t: Floats) -> Floats:
        return self.initial * np.power(self.decay, t / self.every)


class InverseScaling(Schedule):
    """initial / (t + 1)^power: scikit-learn's "invscaling".

    `sklearn.linear_model.SGDRegressor` defines it as eta0 / pow(t, power_t) with t counted from 1.
    """

    initial: float
    power: float = 0.5

    def _rates(self, t: Floats) -> Floats:
        return self.initial / np.power(t + 1, self.power)


class Polynomial(Schedule):
    """From `initial` to `final` within `steps`: `keras.optimizers.schedules.PolynomialDecay`.

    (initial - final) (1 - t / steps)^power + final, and `final` from then on.
    """

    initial: float
    steps: int
    final: float = 0.0
    power: float = 1.0

    def _rates(self, t: Floats) -> Floats:
        left = 1 - np.minimum(t, self.steps) / self.steps
        return (self.initial - self.final) * np.power(left, self.power) + self.final


class Cosine(Schedule):
    """Half a cosine from `initial` to `final` within `steps`, and `final` from then on.

    final + (initial - final) (1 + cos(pi t / steps)) / 2: Loshchilov and Hutter (2017), equation 5,
    `torch.optim.lr_scheduler.CosineAnnealingLR`.
    """

    initial: float
    steps: int
    final: float = 0.0

    def _rates(self, t: Floats) -> Floats:
        return _cosine(self.initial, self.final, np.minimum(t, self.steps) / self.steps)


class CosineRestarts(Schedule):
    """`Cosine`, again and again: Loshchilov and Hutter (2017), SGDR.

    `torch.optim.lr_scheduler.CosineAnnealingWarmRestarts`. `steps` is the length of the first
    period (T_0), every other one is `t_mult` times as long as the one before it (T_mult).
    """

    initial: float
    steps: int
    final: float = 0.0
    t_mult: int = 1

    def _rates(self, t: Floats) -> Floats:
        if self.t_mult == 1:
            return _cosine(self.initial, self.final, (t % self.steps) / self.steps)
        # Whole numbers, since a logarithm may be off by one where a period begins.
        begins, length = [0], self.steps
        while t.size and begins[-1] + length <= t.max():
            begins.append(begins[-1] + length)
            length *= self.t_mult
        period = np.searchsorted(begins, t, side="right") - 1
        lengths = self.steps * np.power(float(self.t_mult), period)
        return _cosine(self.initial, self.final, (t - np.array(begins)[period]) / lengths)


class OneCycle(Schedule):
    """Smith and Topin (2018): up to `peak` and down to almost nothing, along two half cosines.

    `torch.optim.lr_scheduler.OneCycleLR` with its default settings, but for the momentum, which
    stays; and the last rate holds for good, where PyTorch's ends.

    Parameters
    ----------
    peak : float
        The highest rate (max_lr).
    steps : int
        Of the whole cycle (total_steps).
    pct_start : float
        The share of them that goes up.
    div_factor : float
        The first rate is peak / div_factor.
    final_div_factor : float
        The last rate is the first / final_div_factor.
    """

    peak: float
    steps: int
    pct_start: float = 0.3
    div_factor: float = 25.0
    final_div_factor: float = 1e4

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set("pct_start", check_number("pct_start", self.pct_start, 0, 1, below=True))

    def _rates(self, t: Floats) -> Floats:
        first = self.peak / self.div_factor
        top, last = self.pct_start * self.steps - 1, self.steps - 1
        # Where the way up has no length, step 0 is the peak or already beyond it.
        up = np.minimum(t / top, 1) if top > 0 else np.ones(t.shape)
        down = (np.minimum(t, last) - top) / (last - top)
        return np.where(
            t <= top,
            _cosine(first, self.peak, up),
            _cosine(self.peak, first / self.final_div_factor, down),
        )


class WarmUp(Schedule):
    """From `start` in a straight line to where another schedule begins, which then takes over.

    Goyal et al. (2017), section 2.2. After `steps` steps it is the turn of `then` (a number, a
    callable, or a schedule with the same `per`), which counts from 0.
    """

    steps: int
    then: RateLike
    start: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.then, Schedule):
            # A number or a function has no unit of its own.
            self._set("then", get(self.then, "then").replace(per=self.per))
        elif self.then.per != self.per:
            raise ValueError(
                f"the warm-up counts per {self.per} and {type(self.then).__name__} per "
                f"{self.then.per}; give both the same per="
            )

    def _rates(self, t: Floats) -> Floats:
        assert isinstance(self.then, Schedule)
        rates, late = np.empty(t.shape), t >= self.steps
        if late.any():
            rates[late] = self.then((t[late] - self.steps).astype(np.int64))
        if not late.all():
            goal = float(self.then(0))
            rates[~late] = self.start + (goal - self.start) * (t[~late] / self.steps)
        return rates


def _cosine(first: float, last: float, share: Floats) -> Floats:
    """Half a cosine from one number to another, as its share goes from 0 to 1."""
    return last + (first - last) * ((1 + np.cos(math.pi * share)) / 2)


__all__ = [
    "Constant",
    "Cosine",
    "CosineRestarts",
    "Exponential",
    "Function",
    "InverseScaling",
    "MultiStep",
    "OneCycle",
    "Polynomial",
    "Schedule",
    "Step",
    "WarmUp",
    "get",
    "names",
]
_CLASSES: tuple[type[Schedule], ...] = (
    Constant, Step, MultiStep, Exponential, InverseScaling, Polynomial, Cosine, CosineRestarts,
    OneCycle, WarmUp, Function,
)  # fmt: skip


def names() -> tuple[str, ...]:
    """Return the names of all schedules."""
    return tuple(cls.__name__ for cls in _CLASSES)
