"""The results as one picture: ratios to cnet by workload, and the lines of the sweeps."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

from .figures import BASELINE, comparisons, ratios, unit_costs
from .harness import Results
from .report import microseconds
from .workloads import Kind, Sweep

BAR_ROOM = 0.84  # of the room of a workload; the rest sets it apart from the next one
LINES: tuple[tuple[Sweep, Kind, str, str, str, float], ...] = (
    (
        *("width", "training", "Training 10-w-w-10, batch 128, Adam", "hidden units w"),
        *("ns per weight and row", 1e9),
    ),
    (
        *("rows", "training", "Training 784-128-10, Adam", "rows of a batch"),
        *("µs per row", 1e6),
    ),
    ("rows", "prediction", "Prediction 784-128-10", "rows of a call", "µs per row", 1e6),
)


def available() -> bool:
    """Say whether matplotlib is installed."""
    return importlib.util.find_spec("matplotlib") is not None


def draw(results: Results, cpu: str, threads: int, file: Path) -> None:
    """Draw the picture and write it.

    Parameters
    ----------
    results : Results
        The times.
    cpu : str
        The name of the processor, for the title.
    threads : int
        The threads of every contestant, for the title.
    file : Path
        Where to write it; the suffix, such as ``".png"``, says in which format.

    Raises
    ------
    ImportError
        matplotlib is not installed.
    """
    from matplotlib.figure import Figure  # drawn without a display

    figure = Figure(figsize=(15, 11), layout="constrained")
    counted = "1 thread" if threads == 1 else f"{threads} threads"
    figure.suptitle(f"cnet side by side with other libraries: {cpu}, {counted}, float32")
    grid = figure.add_gridspec(2, 1)
    top, bottom = figure.add_subfigure(grid[0]), figure.add_subfigure(grid[1])
    colours = {peer: f"C{i}" for i, peer in enumerate(results.peers)}
    _bars(top.subplots(), results, colours)
    for axes, line in zip(bottom.subplots(1, len(LINES)), LINES, strict=True):
        _lines(axes, results, colours, *line)
    figure.savefig(file, dpi=110)


def _bars(axes: Any, results: Results, colours: Mapping[str, str]) -> None:
    captions, shown = [], {BASELINE: True}
    for place, (label, best) in enumerate(comparisons(results).items()):
        baseline = best.pop(BASELINE)
        time = microseconds(median(baseline.seconds))
        captions.append("\n".join([*label.split(), f"cnet: {time} µs"]))
        width = BAR_ROOM / max(len(best), 1)
        for i, (peer, timing) in enumerate(best.items()):
            by_round = ratios(timing, baseline)
            x, middle = place + width * (i + 0.5) - BAR_ROOM / 2, median(by_round)
            # A bar starts at 1, where cnet is, and goes down where the peer is faster.
            axes.bar(x, middle - 1, width, bottom=1, color=colours[peer])
            axes.vlines(x, min(by_round), max(by_round), color="black", linewidth=0.8)
            axes.annotate(
                f"{middle:.{0 if middle >= 10 else 1 if middle >= 1.95 else 2}f}",
                (x, max(*by_round, 1)),
                xytext=(0, 2),
                textcoords="offset points",
                ha="center",
                va="bottom",
                fontsize=7,
            )
            shown[peer] = True
    axes.set_title("How many times as long as cnet: median over the rounds, and spread", pad=30)
    axes.set_ylabel("time, cnet = 1 (below: faster than cnet)")
    if not captions:
        return
    axes.axhline(1, color=colours[BASELINE], linewidth=1.5)
    axes.margins(y=0.08)
    _log_scale(axes)
    axes.set_xticks(range(len(captions)), captions)
    axes.tick_params(axis="x", labelsize=8)
    for peer in shown:
        axes.bar(0, 0, bottom=1, color=colours[peer], label=results.peers[peer].name)
    axes.legend(ncols=len(shown), loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False)


def _lines(
    axes: Any,
    results: Results,
    colours: Mapping[str, str],
    sweep: Sweep,
    kind: Kind,
    title: str,
    x_label: str,
    y_label: str,
    scale: float,
) -> None:
    found = unit_costs(results, kind, sweep)
    for peer, points in found.items():
        x, y = zip(*points, strict=True)
        name = results.peers[peer].name
        axes.plot(x, [median(costs) * scale for costs in y], "o-", color=colours[peer], label=name)
    axes.set_title(title)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    if not found:
        return
    axes.set_xscale("log", base=2)
    _log_scale(axes)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.grid(axis="x", alpha=0.3)
    axes.legend()


def _log_scale(axes: Any) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter

    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.grid(axis="y", alpha=0.3)
