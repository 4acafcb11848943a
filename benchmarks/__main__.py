"""Compare cnet with every peer that is installed: ``python -m benchmarks --help``."""

from __future__ import annotations

import argparse
import datetime
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from . import harness, memory, peers, plot, products, report, system, workloads
from .figures import BASELINE
from .harness import Plan

RESULTS = Path(__file__).parent / "results"


def choose(
    only: Sequence[str], quick: bool
) -> tuple[tuple[workloads.Workload, tuple[str, ...]], ...]:
    """Choose workloads, and the peers of each.

    Parameters
    ----------
    only : sequence of str
        ``"WORKLOAD"``, ``"WORKLOAD/PEER"`` or ``"/PEER"``, each part a piece of a name. All are
        chosen if there is none. cnet takes part wherever something is chosen.
    quick : bool
        Whether to leave out the big workloads.

    Returns
    -------
    tuple of (Workload, tuple of str)
        Those with at least one peer chosen.

    Raises
    ------
    ValueError
        A choice fits nothing.
    """
    every = [w for w in workloads.WORKLOADS if w.quick or not quick]
    known = peers.names()
    chosen: dict[str, set[str]] = {workload.label: set() for workload in every}
    for choice in only or [""]:
        part, _, peer_part = choice.partition("/")
        labels = [label for label in chosen if part in label]
        fitting = {peer for peer in known if peer_part in peer}
        if not labels or not fitting:
            raise ValueError(
                f"--only {choice!r} fits nothing; the workloads are {', '.join(chosen)}; "
                f"the peers are {', '.join(known)}; write WORKLOAD, WORKLOAD/PEER or /PEER"
            )
        for label in labels:
            chosen[label] |= fitting | {BASELINE}
    return tuple(
        (workload, tuple(peer for peer in known if peer in chosen[workload.label]))
        for workload in every
        if chosen[workload.label]
    )


def parse(arguments: Sequence[str] | None) -> tuple[Plan, Path | None, Path | None]:
    """Turn the command line into a plan, and the files to write: the report and the plot.

    Either is None if there is to be none; the report is then only printed.
    """
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Time cnet side by side with other libraries."
    )
    parser.add_argument(
        "--quick", action="store_true", help="small workloads and tiny bursts, not to be quoted"
    )
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="WORKLOAD/PEER",
        help="pieces of names: WORKLOAD, WORKLOAD/PEER or /PEER; may be given several times",
    )
    parser.add_argument("--threads", type=int, default=1, help="of every contestant (1)")
    parser.add_argument("--rounds", type=int, help="turns per workload (11; 3 with --quick)")
    parser.add_argument(
        "--compile",
        action=argparse.BooleanOptionalAction,
        help="the ways that need a C++ compiler, torch.compile (if one is found; not with --quick)",
    )
    parser.add_argument(
        "--output", type=Path, help="file to write; a whole run is written to benchmarks/results"
    )
    parser.add_argument(
        "--plot",
        type=Path,
        metavar="PNG",
        help="file for the plot; it is written beside the report if matplotlib is installed",
    )
    given = parser.parse_args(arguments)
    for name in ("threads", "rounds"):
        value = getattr(given, name)
        if value is not None and value < 1:
            parser.error(f"--{name} is {value}; it must be at least 1")
    try:
        contests = choose(given.only, given.quick)
    except ValueError as error:
        parser.error(str(error))
    if given.plot is not None and not plot.available():
        parser.error("--plot needs matplotlib, which is not installed: pip install matplotlib")
    rounds = given.rounds or (3 if given.quick else 11)
    compiling = system.cpp_compiler() is not None and not given.quick
    networks = [workload.label for workload, _ in contests if not workload.sweep]
    plan = Plan(
        contests,
        rounds=rounds,
        burst=0.005 if given.quick else 0.08,
        threads=given.threads,
        compile=compiling if given.compile is None else given.compile,
        sweep_rounds=min(rounds, 9),
        sweep_burst=0.002 if given.quick else 0.03,
        memory=tuple(networks[:1] if given.quick else networks),
        products="" if given.only else "quick" if given.quick else "all",
    )
    whole = not given.quick and not given.only
    output = given.output or (default_output(given.threads) if whole else None)
    beside = output.with_suffix(".png") if output and plot.available() else None
    return plan, output, given.plot or beside


def default_output(threads: int) -> Path:
    """Name the file of a whole run after the day, the processor and the threads."""
    cpu = re.sub(r"[^a-z0-9]+", "-", system.cpu_name().lower()).strip("-")
    return RESULTS / f"{datetime.date.today()}-{cpu}-{threads}t.md"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for, print the report, and write it."""
    plan, output, picture = parse(arguments)
    words = sys.argv[1:] if arguments is None else arguments
    machine = {"Date": str(datetime.date.today()), **system.describe_machine(plan.threads)}
    begin = time.monotonic()

    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    try:
        results = harness.run(plan, say)
        memory.measure(plan, results, say)
        sections = products.section(plan, results.failures, say)
    except KeyboardInterrupt:
        say("broken off; nothing was written")
        return 130
    machine["Measured in"] = f"{time.monotonic() - begin:.0f} s"
    say(f"{machine['Measured in']} in all")
    command = " ".join(["python -m benchmarks", *words])
    text = report.render(results, plan, machine, command, sections)
    print(text)
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(text, encoding="utf-8")
        say(f"written to {output}")
    if picture is not None:
        picture.parent.mkdir(parents=True, exist_ok=True)
        plot.draw(results, machine["CPU"], plan.threads, picture)
        say(f"plot written to {picture}")
    return 0 if results.timings and not results.failures else 1


if __name__ == "__main__":
    sys.exit(main())
