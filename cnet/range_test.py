"""`find_learning_rate`: Smith's range test, which tries one learning rate after another."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np

from cnet import lbfgs, training
from cnet._core.kernels import random_order
from cnet.arrays import Floats
from cnet.errors import check_integer, check_number
from cnet.history import pyplot_for
from cnet.model import Sequential
from cnet.schedules import Exponential
from cnet.threads import resolve

# The running mean of the losses that says when to stop keeps so much of what it was.
KEEP = 0.9
# And before so many steps it is the mean of too few to say anything.
SETTLE = 10
# The curve is smoothed over so many of its points: a standard deviation, in steps out of a hundred.
WIDTH = 3.0


class RangeTest:
    """What `find_learning_rate` found.

    Attributes
    ----------
    rates : (n,) float64 array
        Learning rates in increasing order, one per step done.
    losses : (n,) float64 array
        Of each step's batch, before the step. All finite: the test ends before one that is not.
    smoothed : (n,) float64 array
        The losses without most of their noise: means weighted by a normal curve over the
        neighbouring steps on both sides, so that the curve is not shifted.
    suggestion : float or None
        The rate at which `smoothed` falls most steeply over the logarithm of the rate, between the
        last time that it is at its median and its minimum. None if it does not fall.
    diverged : bool
        Whether the test ended early because the loss went up and away.
    """

    def __init__(self, rates: Floats, losses: Floats, steps: int, diverged: bool) -> None:
        self.rates, self.losses, self.diverged = rates, losses, diverged
        self.smoothed = _smooth(losses, WIDTH * steps / 100)
        self.suggestion = _steepest(rates, self.smoothed)

    def __repr__(self) -> str:
        found = "none" if self.suggestion is None else f"{self.suggestion:.3g}"
        tried = f"{self.rates[0]:.3g} to {self.rates[-1]:.3g}" if len(self.rates) else "none"
        end = ", where the loss diverged" if self.diverged else ""
        return f"RangeTest: suggestion {found}; tried {tried} in {len(self.rates)} steps{end}"

    def plot(self, axes: Any = None) -> Any:
        """Draw the losses over the learning rate, with the suggestion. Needs matplotlib.

        Parameters
        ----------
        axes : matplotlib Axes, optional

        Returns
        -------
        the axes

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        pyplot = pyplot_for("plot()")
        if axes is None:
            axes = pyplot.subplots(layout="constrained")[1]
        axes.plot(self.rates, self.losses, alpha=0.4, label="loss")
        axes.plot(self.rates, self.smoothed, label="smoothed")
        if self.suggestion is not None:
            axes.axvline(self.suggestion, linestyle="--", label=f"{self.suggestion:.3g}")
        axes.set_xscale("log")
        axes.set_xlabel("learning rate")
        axes.set_ylabel("loss")
        axes.legend()
        return axes


def find_learning_rate(
    net: Sequential,
    x: Any,
    y: Any,
    *,
    lowest: float = 1e-6,
    highest: float = 10.0,
    steps: int = 100,
    batch_size: int | None = 32,
    sample_weight: Any = None,
    threads: int | str | None = None,
) -> RangeTest:
    """Train a copy with a rate that rises from step to step, and see where the loss falls fastest.

    The range test of Smith (2017), with exponential steps. The network stays as it is: a copy with
    its parameters and a fresh optimizer is trained. The test ends early once the loss is not
    finite, or its running mean is more than 4 times as large as it was at its best (best +
    3 abs(best), for losses below 0). The same network and data give the same bits.

    Parameters
    ----------
    net : Sequential
        Compiled; its optimizer's own learning rate does not matter.
    x, y, sample_weight, batch_size, threads
        As for `Sequential.fit`; the rows are shuffled.
    lowest, highest : float
        The first learning rate and the last.
    steps : int
        How many, at least 2. Every step is one batch; the data is gone through again if need be.

    Returns
    -------
    RangeTest
        With `rates`, `losses`, `smoothed`, `suggestion` and `plot()`.

    Raises
    ------
    NotBuiltError
        Before `compile`.
    ShapeError, TypeError, ValueError, NonFiniteError
        As `fit`.

    Examples
    --------
    >>> found = cnet.find_learning_rate(net, x, y)
    >>> net.compile(cnet.Adam(found.suggestion), "mse")
    """
    if not isinstance(net, Sequential):
        raise TypeError(f"net must be a cnet.Sequential, got {net!r}")
    lowest = check_number("lowest", lowest, 0, above=True)
    highest = check_number("highest", highest, lowest, above=True)
    steps = check_integer("steps", steps, 2)
    if batch_size is not None:
        batch_size = check_integer("batch_size", batch_size, 1)
    count, compiled = resolve(threads), net.compiled
    lbfgs.refuse(compiled.optimizer, "find_learning_rate")
    with net.training_alone():
        trial = copy.deepcopy(net)
    growth = (highest / lowest) ** (1 / (steps - 1))
    optimizer = compiled.optimizer.replace(learning_rate=lowest)
    trial.compile(optimizer, compiled.loss, groups=dict(compiled.groups))
    with trial.building_for(x):
        data = training.prepare(trial, x, y, sample_weight, adapt=True)
        trial.built.check_batches(data.rows, batch_size or data.rows)
    work = training.batches(trial, data, min(batch_size or data.rows, data.rows), trial.rule, count)
    rates = Exponential(lowest, growth)(np.arange(steps))
    losses: list[float] = []
    mean, best = 0.0, math.inf
    for step in range(steps):
        if work.position >= work.rows:
            work.begin(random_order(trial.seed, "order", trial.passes, work.rows))
            trial.passes += 1
        if not work.run(1, rates[step : step + 1]):
            return _result(rates, losses, steps, True)
        losses.append(work.last_loss)
        mean = KEEP * mean + (1 - KEEP) * work.last_loss
        unbiased = mean / (1 - KEEP ** (step + 1))
        if step < SETTLE:
            continue
        best = min(best, unbiased)
        if unbiased > best + 3 * abs(best):
            return _result(rates, losses, steps, True)
    return _result(rates, losses, steps, False)


def _result(rates: Floats, losses: list[float], steps: int, diverged: bool) -> RangeTest:
    return RangeTest(rates[: len(losses)].copy(), np.array(losses), steps, diverged)


def _smooth(values: Floats, deviation: float) -> Floats:
    """Return means of the neighbours, weighted by a normal curve of so many places."""
    n, half = len(values), math.ceil(4 * deviation)
    if n == 0:
        return values
    curve = np.exp(-0.5 * (np.arange(-half, half + 1) / deviation) ** 2)
    total, weight = (np.convolve(v, curve)[half : half + n] for v in (values, np.ones(n)))
    smoothed: Floats = total / weight
    return smoothed


def _steepest(rates: Floats, smoothed: Floats) -> float | None:
    if len(rates) < 2:
        return None
    end = int(smoothed.argmin()) + 1
    # Rates that are too small to matter leave nothing but noise, which may be steep: the descent
    # begins where the curve is for the last time at the height that it mostly has.
    begin = int(np.flatnonzero(smoothed[:end] >= np.median(smoothed[:end]))[-1])
    slope = np.gradient(smoothed, np.log(rates))[begin:end]
    at = int(slope.argmin())
    return float(rates[begin + at]) if slope[at] < 0 else None
