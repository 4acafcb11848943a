"""Check every kernel against the naive reference, then time it: ``python -m benchmarks.workbench``.

One process per instruction set that the machine runs, one after the other. Products are compared
with OpenBLAS, which is what CNET_BLAS_FROM in `csrc/isa_*.c` is chosen by; elementwise kernels with
NumPy's copy. ``--help`` lists the options, `kernels_bench` what is measured.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from statistics import median

from cnet._core import kernels

from . import system
from .harness import ROOT
from .kernels_bench import PARTS
from .kernels_worker import Effort, Timing
from .report import factor, microseconds, table

HEADINGS = {
    "products": "Products",
    "math": "Vector functions",
    "activations": "Activations, forward and backward",
    "losses": "Losses, value and gradient together",
    "updates": "Update rules",
    "sources": "Rows of the user's arrays, by element type",
}
CLASSES = (0.0, 1e5, 1e6, 1e7, 5e7, 1e8, 2e8, float("inf"))  # multiplications of a product
NEEDED = ("mpmath", "pytest")  # by the formulas of the tests
RESOLVED = 0.2  # of the cost of a call: what is shorter is lost in that cost's own noise


@dataclass
class Results:
    """The timings by instruction set, and what was wrong."""

    timings: dict[str, list[Timing]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)


# ---- measuring -----------------------------------------------------------------------------------


def measure(isa: str, effort: Effort, results: Results, say: Callable[[str], None]) -> None:
    """Let a process of its own check and time the kernels of one instruction set."""
    found = results.timings.setdefault(isa, [])
    command = [sys.executable, "-m", "benchmarks.kernels_worker", json.dumps(asdict(effort))]
    environment = system.worker_environment(os.environ, 1) | {"CNET_ISA": isa}
    began = time.monotonic()
    last = "the start"
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, encoding="utf-8"
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            told = json.loads(line)
            if "wrong" in told:
                results.failures.append(f"{isa}: {told['wrong']}")
                say(results.failures[-1])
                continue
            lists = {key: tuple(value) for key, value in told.items() if isinstance(value, list)}
            found.append(Timing(**told | lists))
            last = f"{found[-1].part}: {found[-1].name}"
    if process.returncode:
        results.failures.append(
            f"{isa}: the process ended with exit status {process.returncode} after {last}"
        )
        say(results.failures[-1])
    say(f"{isa}: {len(found)} kernels, {time.monotonic() - began:.1f} s")


# ---- the report ----------------------------------------------------------------------------------


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


def product_speedup(product: Timing) -> float | None:
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


def product_rows(timings: Sequence[Timing]) -> list[list[str]]:
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
        ratio = product_speedup(timing)
        rows.append([*cells, "" if ratio is None else factor(ratio)])
    return rows


def class_rows(timings: Sequence[Timing]) -> list[list[str]]:
    """Write a row per class of sizes: in how many products cnet is faster, and by how much."""
    rows = []
    for low, high in pairwise(CLASSES):
        fitting = [timing for timing in timings if low <= timing.amount / 2 < high]
        ratios = sorted(r for r in map(product_speedup, fitting) if r is not None)
        if ratios:
            rows.append([
                f"{low:,.0f} to {high:,.0f}" if high < CLASSES[-1] else f"from {low:,.0f}",
                str(len(ratios)),
                str(sum(ratio > 1 for ratio in ratios)),
                *map(factor, (ratios[0], median(ratios), ratios[-1])),
            ])  # fmt: skip
    return rows


def products(timings: Sequence[Timing]) -> list[str]:
    """Write the tables of the products."""
    head = ["product", "rows x inputs x units", "cnet us", "GF/s", "best", "of peak"]
    head += ["OpenBLAS us", "GF/s", "best", "of peak", "cnet / OpenBLAS"]
    empty = {
        "cnet": [seconds for timing in timings for seconds in timing.empty],
        "OpenBLAS, through ctypes": [s for timing in timings for s in timing.yardstick_empty],
    }
    costs = [f"{microseconds(median(s))} us ({name})" for name, s in empty.items() if s]
    lines = [
        f"Peak: {peak(timings):.1f} GF/s, the fastest burst of any product in this process, "
        f"cnet's or OpenBLAS's. A call from Python, which is taken off: {', '.join(costs)}.",
        "",
        *table(head, product_rows(timings), 2),
    ]
    if by_size := class_rows(timings):
        head = ["multiplications", "products", "cnet faster in", "lowest", "median", "highest"]
        lines += ["", "How many times as fast as OpenBLAS, by size:", "", *table(head, by_size)]
    return lines


def elementwise(timings: Sequence[Timing]) -> list[str]:
    """Write the table of a part other than the products."""
    rows = []
    for timing in timings:
        share = timing.moved / timing.yardstick_moved * speedup(timing.call, timing.yardstick)
        rows.append([
            timing.name,
            f"{median(timing.call) / timing.amount * 1e9:.3f}",
            f"{min(timing.call) / timing.amount * 1e9:.3f}",
            f"{rate(timing.moved, median(timing.call)):.1f}",
            f"{share:.0%}",
        ])  # fmt: skip
    return table(["kernel", "ns per element", "best", "GB/s", "of the copy's GB/s"], rows)


def how_measured(effort: Effort) -> list[str]:
    """Write what the figures mean."""
    lines = [
        "Each kernel is first called once, and its whole result compared with the naive float64 "
        "reference of the tests, within the tests' bounds. What is wrong is named and not timed.",
        f"Then the kernel and its yardstick take turns, {effort.rounds} rounds of one burst of "
        f"about {effort.burst * 1e3:.0f} ms each, on one thread. A figure is the median over the "
        "rounds, and best the fastest burst. Ratios are taken within a round; their median is "
        "given.",
        "From the time of a product the cost of a call from Python is taken off, round by round: "
        "that of a product of 1 x 1 x 1 for cnet, of one without rows for OpenBLAS. Where less "
        f"than {RESOLVED:.0%} of that cost is left, the product is too short to be told from it, "
        "and its columns are blank. All other times include the call.",
        "cnet's products are its own kernels whatever the size: none is passed on to OpenBLAS. "
        "OpenBLAS is called directly and does not add the bias. It takes the best kernels of the "
        "machine, whatever instruction set cnet is held to.",
        "ns per element: per parameter of an update rule, per output of a loss or an activation. "
        "GB/s counts each array that must be read or written once. The yardstick is NumPy's copy "
        "of as many elements, at the same moment: a kernel near 100% is bound by memory.",
        "Vector functions include making the array of results; rows of the user's arrays include "
        "a copy of the result.",
    ]
    return [f"- {line}" for line in lines]


def render(results: Results, effort: Effort, machine: Mapping[str, str], command: str) -> str:
    """Write the whole report as Markdown."""
    lines = ["# cnet's kernels one by one", "", f"Written by `{command}`.", ""]
    lines += [*table(["machine", ""], [[name, value] for name, value in machine.items()], 2), ""]
    for isa, timings in results.timings.items():
        lines += [f"## {isa}, {effort.dtype}", ""]
        for part, heading in HEADINGS.items():
            if fitting := [timing for timing in timings if timing.part == part]:
                write = products if part == "products" else elementwise
                lines += [f"### {heading}", "", *write(fitting), ""]
    if results.failures:
        lines += ["## What failed", "", *[f"- {line}" for line in results.failures], ""]
    return "\n".join([*lines, "## How it is measured", "", *how_measured(effort), ""])


# ---- the command line ----------------------------------------------------------------------------


def parse(arguments: Sequence[str] | None) -> tuple[Effort, list[str], Path | None]:
    """Turn the command line into what is measured, the instruction sets, and the file to write."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.workbench",
        description="Check every kernel against the naive reference, then time it.",
    )
    parser.add_argument(
        "--quick", action="store_true", help="few sizes and tiny bursts, not to be quoted"
    )
    parser.add_argument(
        "--only", action="append", choices=PARTS, help="a part; may be given several times"
    )
    parser.add_argument("--dtype", default="float32", choices=("float32", "float64"))
    parser.add_argument(
        "--isa",
        action="append",
        choices=kernels.supported_isas(),
        help="an instruction set; may be given several times (CNET_ISA if that is set, else all)",
    )
    parser.add_argument("--output", type=Path, help="file to write the report to, in Markdown")
    given = parser.parse_args(arguments)
    if given.isa:
        isas = list(dict.fromkeys(given.isa))
    else:
        isas = [kernels.isa()] if "CNET_ISA" in os.environ else kernels.supported_isas()
    parts = tuple(part for part in PARTS if part in (given.only or PARTS))
    if given.quick:
        return Effort(parts, given.dtype, True, 3, 0.001), isas, given.output
    return Effort(parts, given.dtype), isas, given.output


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for, print the report, and write it."""
    effort, isas, output = parse(arguments)
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        print(
            f"the checks need {' and '.join(missing)}: run pip install -e '.[test]'",
            file=sys.stderr,
        )
        return 1
    words = sys.argv[1:] if arguments is None else arguments
    machine = {
        "Date": str(datetime.date.today()),
        **system.describe_machine(1),
        "OpenBLAS": kernels.blas_version() or "not installed",
    }
    results = Results()
    try:
        for isa in isas:
            measure(isa, effort, results, lambda line: print(line, file=sys.stderr, flush=True))
    except KeyboardInterrupt:
        print("broken off; nothing was written", file=sys.stderr)
        return 130
    command = " ".join(["python -m benchmarks.workbench", *words])
    text = render(results, effort, machine, command)
    print(text)
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(text, encoding="utf-8")
        print(f"written to {output}", file=sys.stderr)
    return 1 if results.failures else 0


if __name__ == "__main__":
    sys.exit(main())
