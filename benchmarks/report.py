"""The results as Markdown, and the arithmetic of medians and ratios."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import median

from .harness import Plan, Results, Timing
from .workloads import Kind

BASELINE = "cnet"  # the peer that all others are compared with

HEADINGS: dict[Kind, str] = {
    "training": "Time of one training step",
    "prediction": "Time of one prediction",
}


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
    """Choose, for every peer, its way with the lowest median; `timings` are of one workload."""
    best: dict[str, Timing] = {}
    for timing in timings:
        known = best.get(timing.peer)
        if known is None or median(timing.seconds) < median(known.seconds):
            best[timing.peer] = timing
    return best


def by_workload(timings: Iterable[Timing], kind: Kind) -> dict[str, list[Timing]]:
    """Group the timings of a kind by workload, in the order in which they were held."""
    groups: dict[str, list[Timing]] = {}
    for timing in timings:
        if timing.kind == kind:
            groups.setdefault(timing.workload, []).append(timing)
    return groups


def microseconds(seconds: float) -> str:
    """Write a time in microseconds, to about three digits."""
    value = seconds * 1e6
    digits = 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:,.{digits}f}"


def factor(ratio: float) -> str:
    """Write a ratio, to about three digits."""
    return f"{ratio:.{2 if ratio < 10 else 1 if ratio < 100 else 0}f}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], words: int = 1) -> list[str]:
    """Write a Markdown table: its first columns are words, to the left, all others numbers."""
    lines = [head, ["---"] * words + ["---:"] * (len(head) - words), *rows]
    return ["| " + " | ".join(cells) + " |" for cells in lines]


def summary(results: Results, kind: Kind) -> list[str]:
    """Write the table of a kind: a row per workload, a column per peer, its best way in each."""
    groups = by_workload(results.timings, kind)
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


def details(results: Results, kind: Kind) -> list[str]:
    """Write the table of every contestant of a kind, with the spread over the rounds."""
    rows = []
    for workload, timings in by_workload(results.timings, kind).items():
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
        "each turn is not timed.",
        "A time is the median over the rounds, in microseconds; a spread goes from the lowest to "
        "the highest. A ratio is taken within each round, and its median over the rounds is given.",
        "Of a peer with several ways to do the same, the fastest one in each workload is compared. "
        "The last column of a first table is the lowest of the row's ratios.",
        "The bare loops on one batch that stays in the cache do less than a `fit` that shuffles, "
        "gathers its batches and tracks the loss: this flatters the peers that are timed so.",
    ]
    specific = [f"{info.name}: {info.measured}" for info in results.peers.values()]
    return [f"- {line}" for line in general + specific]


def render(results: Results, plan: Plan, machine: Mapping[str, str], command: str) -> str:
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
    for kind, heading in HEADINGS.items():
        if not by_workload(results.timings, kind):
            continue
        lines += [
            f"## {heading}",
            "",
            "Microseconds, and in brackets how many times as long as cnet takes.",
            "",
            *summary(results, kind),
            "",
        ]
    for kind, heading in HEADINGS.items():
        if by_workload(results.timings, kind):
            lines += [f"## {heading}: every way, with its spread", "", *details(results, kind), ""]
    if results.failures:
        lines += ["## What failed", "", *[f"- {line}" for line in results.failures], ""]
    lines += ["## How it is measured", "", *how_measured(results, plan), ""]
    return "\n".join(lines)


def versions(results: Results) -> list[list[str]]:
    """List every peer with its version, or with why it was skipped."""
    present = [[info.name, info.version] for info in results.peers.values()]
    return present + [[peer, f"skipped: {reason}"] for peer, reason in results.skipped.items()]
