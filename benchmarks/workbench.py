"""Check every kernel against the naive reference, then time it: ``python -m benchmarks.workbench``.

One process per instruction set that the machine runs, one after the other. Products are compared
with OpenBLAS, which is what CNET_BLAS_FROM in `csrc/isa_*.c` is chosen by; elementwise kernels with
NumPy's copy. ``--help`` lists the options, `kernels_bench` what is measured.
"""

from __future__ import annotations

import argparse
import datetime
import os
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from statistics import median

from cnet._core import kernels

from . import products, system
from .kernels_bench import PARTS
from .kernels_process import NEEDED, Results, measure
from .kernels_worker import Effort, Timing
from .products import RESOLVED, rate, speedup
from .report import table

HEADINGS = {
    "products": "Products",
    "math": "Vector functions",
    "activations": "Activations, forward and backward",
    "losses": "Losses, value and gradient together",
    "updates": "Update rules",
    "sources": "Rows of the user's arrays, by element type",
}


# ---- the report ----------------------------------------------------------------------------------


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
                write = products.tables if part == "products" else elementwise
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
