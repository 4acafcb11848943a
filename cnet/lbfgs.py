"""L-BFGS on the whole set: the only optimizer whose steps Python makes.

The compiled loop gives loss and gradient at a point; what is done with them, a few products of long
vectors, is NumPy's, in float64. A step is written once it is accepted: whatever ends an iteration
in the middle, the parameters are those before it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from cnet._core.training import Batches
from cnet.arrays import Floats
from cnet.diagnosis import diagnose
from cnet.optimizer import Optimizer
from cnet.training import Dataset

if TYPE_CHECKING:
    from cnet.model import Sequential

# Sufficient decrease and curvature (Nocedal and Wright, 2006, equations 3.7), and how often a
# search may ask for the loss.
DECREASE, CURVATURE = 1e-4, 0.9
EVALUATIONS = 25


def refuse(optimizer: Optimizer, what: str) -> None:
    """Refuse single steps where the optimizer makes none.

    Raises
    ------
    ValueError
    """
    if optimizer.takes_whole_set:
        raise ValueError(
            f"{type(optimizer).__name__} computes the loss of the whole set several times for a "
            f"step, which {what} cannot; use fit(..., batch_size=None), or another optimizer"
        )


def check(
    net: Sequential, data: Dataset, batch_size: int, steps_per_epoch: int | None, stream: bool
) -> None:
    """Make sure that what is minimised is one function of the parameters.

    Raises
    ------
    ValueError
    """
    optimizer = net.compiled.optimizer
    if not optimizer.takes_whole_set:
        return
    name = type(optimizer).__name__
    if stream:
        raise ValueError(f"{name} needs all rows at once, got a stream of batches or shards")
    if batch_size < data.rows:
        raise ValueError(
            f"{name} needs the whole set in every step, got batch_size={batch_size} for "
            f"{data.rows} rows; use batch_size=None"
        )
    if steps_per_epoch not in (None, 1):
        raise ValueError(
            f"an epoch is one iteration of {name}, got steps_per_epoch={steps_per_epoch}; leave it "
            "out, and say epochs="
        )
    if data.augment:
        raise ValueError(
            f"{name} needs the same rows for every loss, and augment= changes them; leave it out, "
            "or use another optimizer"
        )
    if net.built.program.random:
        raise ValueError(
            f"{name} needs the same loss for the same parameters, and the network draws random "
            "numbers (Dropout, GaussianDropout, GaussianNoise); leave these layers out, or use "
            "another optimizer"
        )


class Trial(NamedTuple):
    """A point of a line search: how far along, the value there and its slope along the line."""

    at: float
    value: float
    slope: float


def _interpolate(a: Trial, b: Trial) -> float:
    """Return where the cubic through both values and slopes is least; the middle without one."""
    middle = 0.5 * (a.at + b.at)
    if not math.isfinite(a.value + b.value + a.slope + b.slope) or a.at == b.at:
        return middle
    d1 = a.slope + b.slope - 3 * (a.value - b.value) / (a.at - b.at)
    square = d1 * d1 - a.slope * b.slope
    if square < 0:
        return middle
    d2 = math.copysign(math.sqrt(square), b.at - a.at)
    bottom = b.slope - a.slope + 2 * d2
    return b.at - (b.at - a.at) * (b.slope + d2 - d1) / bottom if bottom else middle


def search(phi: Callable[[float], Trial], start: Trial, first: float) -> Trial | None:
    """Find a point where the strong Wolfe conditions hold.

    Nocedal and Wright (2006), algorithms 3.5 and 3.6, with cubic interpolation.

    Parameters
    ----------
    phi : callable
        The trial at a distance; its value may be infinite.
    start : Trial
        At 0; its slope is negative.
    first : float
        The distance to try first.

    Returns
    -------
    Trial or None
        If the conditions hold nowhere, as far as could be seen, the lowest trial below `start`;
        None if there is none.
    """

    def is_high(trial: Trial, than: Trial) -> bool:
        enough = start.value + DECREASE * trial.at * start.slope
        return not trial.value <= enough or (than.at > 0 and trial.value >= than.value)

    low, high, left = start, None, EVALUATIONS
    distance = first
    while high is None and left:
        trial, left = phi(distance), left - 1
        if is_high(trial, low):
            high = trial
        elif abs(trial.slope) <= -CURVATURE * start.slope:
            return trial
        elif trial.slope >= 0:
            low, high = trial, low
        else:
            # As far as the cubic says, if it has its minimum ahead, and at most ten times as far.
            ahead, most = _interpolate(low, trial), 10 * trial.at
            least = trial.at + 1.1 * (trial.at - low.at)
            low, distance = trial, min(max(ahead, least), most) if ahead > trial.at else most
    while high is not None and left:
        width = high.at - low.at
        # Not too near to what is known: at least a tenth of the bracket away from either end.
        share = min(max((_interpolate(low, high) - low.at) / width, 0.1), 0.9)
        trial, left = phi(low.at + share * width), left - 1
        if not trial.value <= start.value + DECREASE * trial.at * start.slope or (
            trial.value >= low.value
        ):
            high = trial
        elif abs(trial.slope) <= -CURVATURE * start.slope:
            return trial
        else:
            if trial.slope * width >= 0:
                high = low
            low = trial
        if high.at == low.at:
            break
    return low if low.value < start.value else None


def direction(gradient: Floats, pairs: list[tuple[Floats, Floats]]) -> Floats:
    """Return minus the inverse Hessian, as far as the pairs know it, times the gradient.

    The two-loop recursion: Nocedal and Wright (2006), algorithm 7.4.

    Parameters
    ----------
    gradient : (n,) float64 array
    pairs : list of ((n,), (n,)) float64 arrays
        Steps and the changes of the gradient that they made, the oldest first.
    """
    q, shares = gradient.copy(), []
    for step, change in reversed(pairs):
        share = _dot(step, q) / _dot(step, change)
        shares.append(share)
        q -= share * change
    if pairs:
        step, change = pairs[-1]
        q *= _dot(step, change) / _dot(change, change)
    for (step, change), share in zip(pairs, reversed(shares), strict=True):
        q += (share - _dot(change, q) / _dot(step, change)) * step
    return -q


def _dot(a: Floats, b: Floats) -> float:
    """Return the inner product, whose bits do not depend on how many threads NumPy's BLAS has."""
    return float(np.sum(a * b))


class WholeSet:
    """L-BFGS at work: a network, its data, and where it is.

    Parameters
    ----------
    net : Sequential
    work : Batches
        Of all rows at once, with the network's rule, which makes no steps of its own.
    """

    def __init__(self, net: Sequential, work: Batches) -> None:
        self._net, self._work, self._core = net, work, net.built.core
        self._places: list[slice] = []
        # Parameters, loss and gradient where the last iteration has ended.
        self._last: tuple[Floats, float, Floats] | None = None
        self._buffers = self._core.buffers.copy()

    def _read(self, flat: Floats) -> Floats:
        """Return the free ones of all parameters, or of what is laid out as they are."""
        parts = [flat[place] for place in self._places]
        return np.concatenate([np.empty(0), *parts]).astype(np.float64)

    def _write(self, flat: Floats, values: Floats) -> None:
        at = 0
        for place in self._places:
            size = place.stop - place.start
            flat[place] = values[at : at + size]
            at += size

    def _evaluate(self, parameters: Floats) -> tuple[float, Floats]:
        """Return loss and gradient at a point; the buffers move once from where they were."""
        self._write(self._core.parameters, parameters)
        self._core.buffers[:] = self._buffers
        self._work.reset_sums()
        self._work.begin()
        good = self._work.run(1)
        value, gradient = float(self._work.last_loss), self._read(self._core.gradients)
        decay = float(self._net.rule.settings[1])
        if decay:
            at = self._read(self._core.parameters)
            value += 0.5 * decay * _dot(at, at)
            gradient += decay * at
        if not good or not math.isfinite(value) or not np.isfinite(gradient).all():
            value = math.inf
        return value, gradient

    def _pairs(self) -> list[tuple[Floats, Floats]]:
        """Return what is remembered, as far as it says that the loss is curved upwards."""
        states, found = self._net.rule.states, []
        for i in range(0, len(states), 2):
            step, change = self._read(states[i]), self._read(states[i + 1])
            size = math.sqrt(_dot(step, step) * _dot(change, change))
            if _dot(step, change) > 1e-10 * size:
                found.append((step, change))
        return found

    def iterate(self, epoch: int) -> str:
        """Do one iteration.

        Parameters
        ----------
        epoch : int
            For errors.

        Returns
        -------
        str
            Why there is nothing more to be done, or "".

        Raises
        ------
        NonFiniteError
            If the loss is not finite where the iteration begins.
        """
        net, core = self._net, self._core
        self._places = [
            slice(p.offset, p.offset + p.size)
            for p, frozen in zip(net.built.program.parameters, net.rule.frozen, strict=True)
            if not frozen
        ]
        before = self._read(core.parameters)
        self._buffers = core.buffers.copy()
        try:
            return self._from(before, epoch)
        except BaseException:
            self._write(core.parameters, before)
            core.buffers[:] = self._buffers
            raise

    def _from(self, before: Floats, epoch: int) -> str:
        net = self._net
        optimizer: object = net.compiled.optimizer
        tolerance = float(getattr(optimizer, "gradient_tolerance", 0.0))
        if self._last is None or not np.array_equal(self._last[0], before):
            value, gradient = self._evaluate(before)
            if not math.isfinite(value):
                raise diagnose(net, self._work, epoch)
        else:
            _, value, gradient = self._last
        if np.abs(gradient).max(initial=0.0) <= tolerance:
            return self._stay(before, f"no gradient is above {tolerance:g}")
        pairs = self._pairs()
        found = self._search(before, value, gradient, pairs)
        if found is None and pairs:  # what is remembered has led astray: down the slope, then
            net.rule.states[:] = 0
            found = self._search(before, value, gradient, [])
        if found is None:
            return self._stay(before, "no lower loss is to be found in this precision")
        after, value, slope = found
        states = net.rule.states
        states[:-2] = states[2:].copy()
        states[-2:] = 0
        self._write(states[-2], after - before)
        self._write(states[-1], slope - gradient)
        net.rule.running[0] += 1
        self._last = after, value, slope
        if np.abs(slope).max(initial=0.0) <= tolerance:
            return f"no gradient is above {tolerance:g}"
        return ""

    def _stay(self, before: Floats, why: str) -> str:
        """Leave the network as it was, with the figures of that point."""
        self._evaluate(before)
        self._core.buffers[:] = self._buffers
        return why

    def _search(
        self, before: Floats, value: float, gradient: Floats, pairs: list[tuple[Floats, Floats]]
    ) -> tuple[Floats, float, Floats] | None:
        """Return parameters, loss and gradient at the end of a line search, evaluated last."""
        way = direction(gradient, pairs)
        slope = _dot(gradient, way)
        if not slope < 0:
            return None
        first = float(self._net.rule.settings[0])
        if not pairs:  # the slope alone says nothing about how far
            first *= min(1.0, 1.0 / float(np.abs(gradient).sum()))
        found: tuple[float, Floats, float, Floats] | None = None

        def phi(at: float) -> Trial:
            nonlocal found
            # What is really there, after it is rounded to the network's dtype.
            point = (before + at * way).astype(self._core.parameters.dtype).astype(np.float64)
            there, slopes = self._evaluate(point)
            found = at, point, there, slopes
            return Trial(at, there, _dot(slopes, way))

        best = search(phi, Trial(0.0, value, slope), first) if first > 0 else None
        if best is None:
            return None
        if found is None or found[0] != best.at:
            phi(best.at)
        assert found is not None
        return found[1:]
