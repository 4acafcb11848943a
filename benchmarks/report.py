"""The results as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import median

from .figures import (
    BASELINE,
    best_modes,
    by_workload,
    ratios,
    speedups,
    steepest_rise,
    unit_costs,
)
from .harness import Memory, Plan, Results
from .workloads import Kind, Sweep, find, weights

HEADINGS: dict[Kind, str] = {
    "training": "Time of one training step",
    "prediction": "Time of one prediction",
}
SWEEPS: tuple[tuple[Sweep, Kind, str, str], ...] = (
    (
        *("width", "training", "Cost over the width"),
        "Nanoseconds for each multiplication of a forward pass: the time of a training step "
        "divided by the batch and the number of weights. Where it rises, there is a cliff.",
    ),
    (
        *("rows", "training", "Cost of training over the rows of a batch"),
        "Microseconds for each row of the batch.",
    ),
    (
        *("rows", "prediction", "Cost of prediction over the rows of a call"),
        "Microseconds for each row.",
    ),
)


def microseconds(seconds: float) -> str:
    """Write a time in microseconds, to about three digits."""
    value = seconds * 1e6
    digits = 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:,.{digits}f}"


def nanoseconds(seconds: float) -> str:
    """Write a time in nanoseconds, to three digits."""
    return f"{seconds * 1e9:#.3g}"


def megabytes(size: int) -> str:
    """Write a size in megabytes of 1,000,000 bytes, to about three digits."""
    return f"{size / 1e6:,.{2 if size < 1e6 else 1 if size < 1e7 else 0}f}"


def factor(ratio: float) -> str:
    """Write a ratio, to about three digits."""
    return f"{ratio:.{2 if ratio < 10 else 1 if ratio < 100 else 0}f}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], words: int = 1) -> list[str]:
    """Write a Markdown table: its first columns are words, to the left, all others numbers."""
    lines = [head, ["---"] * words + ["---:"] * (len(head) - words), *rows]
    return ["| " + " | ".join(cells) + " |" for cells in lines]


def summary(results: Results, kind: Kind, sweep: Sweep = "") -> list[str]:
    """Write the table of a kind: a row per workload, a column per peer, its best way in each."""
    groups = by_workload(results.timings, kind, sweep)
    chosen = {workload: best_modes(timings) for workload, timings in groups.items()}
    present = [peer for peer in results.peers if any(peer in best for best in chosen.values())]
    rows = []
    for workload, best in chosen.items():
        baseline = best.get(BASELINE)
        cells, rivals = [workload], []
        for peer in present:
            timing = best.get(peer)
            if timing is None:
                cells.append("")
                continue
            cell = microseconds(median(timing.seconds))
            if baseline is not None and peer != BASELINE:
                ratio = median(ratios(timing, baseline))
                rivals.append((ratio, results.peers[peer].name))
                cell += f" ({factor(ratio)})"
            cells.append(cell)
        if rivals:
            ratio, name = min(rivals)
            cells.append(f"{factor(ratio)} ({name})")
        else:
            cells.append("")
        rows.append(cells)
    names = [results.peers[peer].name for peer in present]
    return table(["workload", *names, "fastest peer / cnet"], rows)


def unit_table(results: Results, kind: Kind, sweep: Sweep) -> list[str]:
    """Write the costs per unit of a sweep, and where they rise most from one point to the next."""
    costs = unit_costs(results, kind, sweep)
    written = nanoseconds if sweep == "width" else microseconds
    by_point = {peer: dict(points) for peer, points in costs.items()}
    rows = [
        [
            f"{point:,}",
            *(written(median(by[point])) if point in by else "" for by in by_point.values()),
        ]
        for point in sorted({point for by in by_point.values() for point in by})
    ]
    rises = [steepest_rise(points) for points in costs.values()]
    if any(rises):
        cells = [f"{factor(r[0])} ({r[1]:,} to {r[2]:,})" if r else "" for r in rises]
        rows.append(["steepest rise", *cells])
    names = [results.peers[peer].name for peer in costs]
    return table(["hidden units" if sweep == "width" else "rows", *names], rows)


def threads_table(results: Results, threads: int) -> list[str]:
    """Write what several threads bring over one thread, by workload."""
    rows = []
    for workload, (one, several) in speedups(results.timings).items():
        by_round = ratios(one, several)
        rows.append(
            [
                workload,
                microseconds(median(one.seconds)),
                microseconds(median(several.seconds)),
                factor(median(by_round)),
                f"{factor(min(by_round))} to {factor(max(by_round))}",
            ]
        )
    head = ["workload", "1 thread", f"{threads} threads", "times as fast", "spread"]
    return table(head, rows)


def memory_table(results: Results) -> list[str]:
    """Write the peak sizes: a row per workload, a column per peer."""
    groups: dict[str, dict[str, Memory]] = {}
    for memory in results.memories:
        groups.setdefault(memory.workload, {})[memory.peer] = memory
    present = [peer for peer in results.peers if any(peer in group for group in groups.values())]
    rows = []
    for label, group in groups.items():
        found = [group.get(peer) for peer in present]
        cells = [f"{megabytes(m.imported)} / {megabytes(m.peak)}" if m else "" for m in found]
        rows.append([label, megabytes(4 * weights(find(label).sizes)), *cells])
    names = [results.peers[peer].name for peer in present]
    return table(["workload", "weights", *names], rows)


def details(results: Results, kind: Kind) -> list[str]:
    """Write the table of every contestant of a kind, with the spread over the rounds."""
    rows = []
    for workload, timings in by_workload(results.timings, kind, None).items():
        baseline = best_modes(timings).get(BASELINE)
        for timing in timings:
            times = timing.seconds
            cells = [
                workload,
                f"{results.peers[timing.peer].name}, {timing.mode}",
                f"{len(times)} x {timing.steps:,}",
                microseconds(median(times)),
                f"{microseconds(min(times))} to {microseconds(max(times))}",
            ]
            if baseline is None:
                cells += ["", ""]
            else:
                by_round = ratios(timing, baseline)
                cells += [
                    factor(median(by_round)),
                    f"{factor(min(by_round))} to {factor(max(by_round))}",
                ]
            rows.append(cells)
    head = ["workload", "contestant", "rounds x steps", "median", "spread", "/ cnet", "spread"]
    return table(head, rows, 2)


def how_measured(results: Results, plan: Plan) -> list[str]:
    """Write what a figure means, and what each contestant's figure leaves out."""
    general = [
        f"Every library has a process of its own. For each workload all of them take turns, up to "
        f"{plan.rounds} rounds of one burst of about {plan.burst * 1e3:.0f} ms each (longer "
        f"where a single call is longer, fewer rounds after {plan.limit:.0f} s); a first part of "
        f"each turn is not timed. All points of a sweep take turns: {plan.sweep_rounds} rounds of "
        f"{plan.sweep_burst * 1e3:.0f} ms. A rise between two of them is taken within each round.",
        "A time is the median over the rounds, in microseconds; a spread goes from the lowest to "
        "the highest. A ratio is taken within each round, and its median over the rounds is given.",
        "Of a peer with several ways to do the same, the fastest one in each workload is compared. "
        "The last column of a first table is the lowest of the row's ratios.",
        "The bare loops on one batch that stays in the cache do less than a `fit` that shuffles, "
        "gathers its batches and tracks the loss: this flatters the peers that are timed so.",
    ]
    if results.memories:
        general.append(
            "The memory is that of a fresh process for each pair, which imports the library, "
            "prepares the workload and does a few steps in the fastest way. All processes hold "
            "Python and NumPy. cnet and scikit-learn hold the data set that `fit` is given, JAX "
            "up to 20 batches in `scan`, the others one batch."
        )
    specific = [f"{info.name}: {info.measured}" for info in results.peers.values()]
    return [f"- {line}" for line in general + specific]


Section = tuple[str, str, list[str]]  # a heading, a note, and a table


def comparisons(results: Results) -> list[Section]:
    """Write the tables of the networks that stand for themselves."""
    note = "Microseconds, and in brackets how many times as long as cnet takes."
    return [
        (heading, note, summary(results, kind))
        for kind, heading in HEADINGS.items()
        if by_workload(results.timings, kind)
    ]


def sweeps(results: Results) -> list[Section]:
    """Write the tables of the sweeps: times, then costs per unit."""
    sections: list[Section] = []
    for sweep, kind, heading, note in SWEEPS:
        if by_workload(results.timings, kind, sweep):
            times = "Microseconds, and in brackets how many times as long as cnet takes."
            sections.append((heading, times, summary(results, kind, sweep)))
            sections.append((f"{heading}, by unit", note, unit_table(results, kind, sweep)))
    return sections


def render(
    results: Results,
    plan: Plan,
    machine: Mapping[str, str],
    command: str,
    more: Sequence[Section] = (),
) -> str:
    """Write the whole report.

    Parameters
    ----------
    results : Results
        The times.
    plan : Plan
        What was asked for.
    machine : mapping of str to str
        What is known of the machine, by caption.
    command : str
        The command line, to be repeated by readers.
    more : sequence of Section
        What others have measured.

    Returns
    -------
    str
        Markdown.
    """
    lines = ["# cnet side by side with other libraries", "", f"Written by `{command}`.", ""]
    lines += table(["machine", ""], [[name, value] for name, value in machine.items()], 2)
    lines += ["", *table(["contestant", "version"], versions(results), 2), ""]
    if BASELINE not in results.peers:
        lines += ["cnet did not take part, so there are no ratios.", ""]
    sections = comparisons(results) + sweeps(results)
    if speedups(results.timings):
        heading = f"What {plan.threads} threads bring"
        note = "Microseconds of cnet, with one thread and with all, taking turns with the others."
        sections.append((heading, note, threads_table(results, plan.threads)))
    if results.memories:
        note = "Megabytes of resident size: once the library is imported / the peak in all."
        sections.append(("Memory", note, memory_table(results)))
    sections += more
    for kind, heading in HEADINGS.items():
        if by_workload(results.timings, kind, None):
            note = "Microseconds."
            sections.append(
                (f"{heading}: every way, with its spread", note, details(results, kind))
            )
    for heading, note, written in sections:
        lines += [f"## {heading}", "", note, "", *written, ""]
    if results.failures:
        lines += ["## What failed", "", *[f"- {line}" for line in results.failures], ""]
    lines += ["## How it is measured", "", *how_measured(results, plan), ""]
    return "\n".join(lines)


def versions(results: Results) -> list[list[str]]:
    """List every peer with its version, or with why it was skipped."""
    present = [[info.name, info.version] for info in results.peers.values()]
    return present + [[peer, f"skipped: {reason}"] for peer, reason in results.skipped.items()]
