"""The arithmetic of the results: ratios, the best ways, costs per unit of a sweep."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from statistics import median

from .harness import Results, Timing
from .peers import ONE_THREAD
from .workloads import KINDS, Kind, Sweep, Workload, find, weights

BASELINE = "cnet"  # the peer that all others are compared with


def ratios(timing: Timing, baseline: Timing) -> list[float]:
    """Divide the time of each round by the baseline's time of the same round.

    Raises
    ------
    ValueError
        The two do not have the same number of rounds.
    """
    if len(timing.seconds) != len(baseline.seconds):
        raise ValueError(
            f"timing has {len(timing.seconds)} rounds and baseline {len(baseline.seconds)}; "
            "a ratio is taken round by round, so both must come from one contest"
        )
    return [ours / theirs for ours, theirs in zip(timing.seconds, baseline.seconds, strict=True)]


def best_modes(timings: Iterable[Timing]) -> dict[str, Timing]:
    """Choose, for every peer, its way with the lowest median; `timings` are of one workload.

    The ways that use one thread where several are asked for are not compared.
    """
    best: dict[str, Timing] = {}
    for timing in timings:
        known = best.get(timing.peer)
        if timing.mode.endswith(ONE_THREAD):
            continue
        if known is None or median(timing.seconds) < median(known.seconds):
            best[timing.peer] = timing
    return best


def by_workload(
    timings: Iterable[Timing], kind: Kind, sweep: Sweep | None = ""
) -> dict[str, list[Timing]]:
    """Group the timings of a kind and a sweep (None: all) by workload, in the order held."""
    groups: dict[str, list[Timing]] = {}
    for timing in timings:
        if timing.kind == kind and (sweep is None or find(timing.workload).sweep == sweep):
            groups.setdefault(timing.workload, []).append(timing)
    return groups


Point = tuple[int, tuple[float, ...]]  # of a sweep: what varies, and the costs by round


def unit_costs(results: Results, kind: Kind, sweep: Sweep) -> dict[str, list[Point]]:
    """Return, for every peer, the points of a sweep with their costs per unit, in seconds.

    The unit is a multiplication in the sweep of widths (the time of a step divided by the batch
    and the number of weights), a row in the sweep of rows.
    """
    points: dict[str, list[Point]] = {}
    for label, timings in by_workload(results.timings, kind, sweep).items():
        workload = find(label)
        units = workload.batch * (weights(workload.sizes) if sweep == "width" else 1)
        for peer, timing in best_modes(timings).items():
            costs = tuple(seconds / units for seconds in timing.seconds)
            points.setdefault(peer, []).append((varied(workload), costs))
    return {peer: points[peer] for peer in results.peers if peer in points}


def varied(workload: Workload) -> int:
    """Return what varies in the sweep of a workload: the hidden units, or the rows."""
    return workload.sizes[1] if workload.sweep == "width" else workload.batch


def steepest_rise(points: Sequence[Point]) -> tuple[float, int, int] | None:
    """Find the neighbours in a sweep between which the cost per unit rises most.

    Returns
    -------
    (float, int, int) or None
        The factor, taken within each round and its median over the rounds (below 1 if the cost
        only falls), and the two points. None if there is one point.
    """
    rises = [
        (median(b / a for a, b in zip(before, after, strict=True)), low, high)
        for (low, before), (high, after) in pairwise(points)
    ]
    return max(rises, default=None)


def speedups(timings: Iterable[Timing]) -> dict[str, tuple[Timing, Timing]]:
    """Pair, by workload, the baseline's way with one thread and the same way with several."""
    held = {(t.workload, t.mode): t for t in timings if t.peer == BASELINE}
    return {
        workload: (held[workload, mode + ONE_THREAD], timing)
        for (workload, mode), timing in held.items()
        if (workload, mode + ONE_THREAD) in held
    }


def comparisons(results: Results) -> dict[str, dict[str, Timing]]:
    """Return the fastest way of every peer, by workload that is no sweep and has the baseline."""
    chosen = {
        label: best_modes(group)
        for kind in KINDS
        for label, group in by_workload(results.timings, kind).items()
    }
    return {label: best for label, best in chosen.items() if BASELINE in best}
