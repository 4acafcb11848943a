"""How fast the products of dense layers are: their rates, and their share of the machine's peak."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from importlib.util import find_spec
from itertools import pairwise
from statistics import median

from cnet._core import kernels

from .harness import Plan
from .kernels_bench import layers
from .kernels_process import NEEDED, measure
from .kernels_process import Results as Measured
from .kernels_worker import Effort, Timing
from .report import Section, factor, microseconds, table

CLASSES = (0.0, 1e5, 1e6, 1e7, 5e7, 1e8, 2e8, float("inf"))  # multiplications of a product
RESOLVED = 0.2  # of the cost of a call: what is shorter is lost in that cost's own noise


def rate(amount: float, seconds: float) -> float:
    """Return thousand millions per second: GF/s of operations, GB/s of bytes."""
    return amount / seconds * 1e-9


def net_of_call(seconds: Sequence[float], empty: Sequence[float]) -> list[float]:
    """Return times by round without the call from Python, or nothing if too little is left."""
    net = [whole - call for whole, call in zip(seconds, empty, strict=True)]
    return net if net and median(net) > RESOLVED * median(empty) else []


def contestants(product: Timing) -> list[tuple[Sequence[float], Sequence[float]]]:
    """Return the times of cnet and of OpenBLAS, each with those of a call as such."""
    return [(product.call, product.empty), (product.yardstick, product.yardstick_empty)]


def speedup_over_blas(product: Timing) -> float | None:
    """Return how many times as fast as OpenBLAS cnet is, or None if either was not measured."""
    ours, theirs = (net_of_call(whole, empty) for whole, empty in contestants(product))
    return speedup(ours, theirs) if ours and theirs else None


def speedup(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Return how many times as fast as its yardstick a kernel is: the median over the rounds.

    A round in which either was lost in the noise of the call does not count.
    """
    rounds = zip(ours, theirs, strict=True)
    return median(their / our for our, their in rounds if our > 0 and their > 0)


def peak(timings: Sequence[Timing]) -> float:
    """Return the highest rate of any burst of a product, cnet's or OpenBLAS's, in GF/s."""
    return max(rate(t.amount, min(t.call + t.yardstick)) for t in timings)


def rows_of(timings: Sequence[Timing]) -> list[list[str]]:
    """Write a row per product, blank where there is no OpenBLAS or too little to be timed."""
    top, rows = peak(timings), []
    for timing in timings:
        cells = timing.name.split(" | ")
        for whole, empty in contestants(timing):
            if seconds := net_of_call(whole, empty):
                typical = rate(timing.amount, median(seconds))
                best = max(typical, rate(timing.amount, min(whole) - min(empty)))
                cells += [microseconds(median(seconds)), f"{typical:.1f}", f"{best:.1f}"]
                cells.append(f"{typical / top:.0%}")
            else:
                cells += [""] * 4
        ratio = speedup_over_blas(timing)
        rows.append([*cells, "" if ratio is None else factor(ratio)])
    return rows


def class_rows(timings: Sequence[Timing]) -> list[list[str]]:
    """Write a row per class of sizes: in how many products cnet is faster, and by how much."""
    rows = []
    for low, high in pairwise(CLASSES):
        fitting = [timing for timing in timings if low <= timing.amount / 2 < high]
        ratios = sorted(r for r in map(speedup_over_blas, fitting) if r is not None)
        if ratios:
            rows.append([
                f"{low:,.0f} to {high:,.0f}" if high < CLASSES[-1] else f"from {low:,.0f}",
                str(len(ratios)),
                str(sum(ratio > 1 for ratio in ratios)),
                *map(factor, (ratios[0], median(ratios), ratios[-1])),
            ])  # fmt: skip
    return rows


def note(timings: Sequence[Timing]) -> str:
    """Say what a share is of, and what was taken off."""
    empty = {
        "cnet": [seconds for timing in timings for seconds in timing.empty],
        "OpenBLAS, through ctypes": [s for timing in timings for s in timing.yardstick_empty],
    }
    costs = [f"{microseconds(median(s))} us ({name})" for name, s in empty.items() if s]
    return (
        f"Peak: {peak(timings):.1f} GF/s, the fastest burst of any product in this process, "
        f"cnet's or OpenBLAS's. A call from Python, which is taken off: {', '.join(costs)}."
    )


def rates(timings: Sequence[Timing], of: Collection[str] = ()) -> list[str]:
    """Write the table of all products, or of some sizes only; a share is of the peak of all."""
    head = ["product", "rows x inputs x units", "cnet us", "GF/s", "best", "of peak"]
    head += ["OpenBLAS us", "GF/s", "best", "of peak", "cnet / OpenBLAS"]
    return table(head, [row for row in rows_of(timings) if not of or row[1] in of], 2)


def tables(timings: Sequence[Timing]) -> list[str]:
    """Write the tables of the products, with a summary by size."""
    lines = [note(timings), "", *rates(timings)]
    if by_size := class_rows(timings):
        head = ["multiplications", "products", "cnet faster in", "lowest", "median", "highest"]
        lines += ["", "How many times as fast as OpenBLAS, by size:", "", *table(head, by_size)]
    return lines


def section(plan: Plan, failures: list[str], say: Callable[[str], None]) -> list[Section]:
    """Measure the products of the suite's layers, for its report.

    Parameters
    ----------
    plan : Plan
        Of the suite.
    failures : list of str
        Gets what went wrong.
    say : callable
        Called with lines of progress.

    Returns
    -------
    list of Section
        The table, or nothing where the plan wants none or what checks the products is missing.
    """
    if not plan.products or any(find_spec(name) is None for name in NEEDED):
        return []
    results = Measured()
    quick = plan.products == "quick"
    effort = Effort(("products",), quick=quick, rounds=min(plan.rounds, 7))
    measure(kernels.isa(), replace(effort, burst=0.001) if quick else effort, results, say)
    failures += results.failures
    timings = results.timings[kernels.isa()]
    if not timings:
        return []
    of = {" x ".join(map(str, size)) for size in layers(quick)}
    return [("Products of these networks' layers, and their share of the peak", note(timings),
             rates(timings, of))]  # fmt: skip
