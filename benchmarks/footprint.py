"""Install size and import time beside the peers': ``python -m benchmarks.footprint``.

What has to be on the disk, and what an ``import`` costs, before anything is computed. Every import
is made by a fresh process; the processes of all packages take turns.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from statistics import median

from . import system
from .harness import ROOT
from .report import table

try:
    from packaging.requirements import Requirement
except ImportError:  # pip brings its own, so this one need not be there
    Requirement = None  # type: ignore[assignment, misc]

# Of a package that is imported from a folder which no installer wrote; what a wheel would not
# hold (sources of the compiled modules, caches) is left out.
PACKAGED = {".py", ".pyi", ".pxd", ".so", ".pyd", ".gz", ".typed"}

# What a fresh process runs. The peak is that of /proc and not getrusage's ru_maxrss, which starts
# at the size of the process that started this one.
PROBE = """
import sys, time
sys.path.append(sys.argv[1])
clocks = lambda: (time.process_time(), time.perf_counter())
begin = clocks()
import numpy
numpy_there = clocks()
for name in sys.argv[2:]:
    __import__(name)
end = clocks()
status = {}
try:
    with open("/proc/self/status") as lines:
        status = dict(line.split(":", 1) for line in lines)
except OSError:
    pass
import json, os
cached = [vars(module).get("__cached__") for module in list(sys.modules.values())]
print()
print(json.dumps({
    "whole": [b - a for a, b in zip(begin, end)],
    "beyond": [b - a for a, b in zip(numpy_there, end)],
    "threads": int(status["Threads"]) if "Threads" in status else None,
    "peak": int(status["VmHWM"].split()[0]) * 1024 if "VmHWM" in status else None,
    "uncompiled": sum(bool(path) and not os.path.exists(path) for path in cached),
    "file": sys.modules[(sys.argv[2:] or ["numpy"])[0].partition(".")[0]].__file__,
}))
"""


@dataclass(frozen=True)
class Package:
    """A contestant."""

    name: str  # what the tables call it
    modules: tuple[str, ...]  # imported after NumPy: what a network needs
    distributions: tuple[str, ...]  # installed for it; the first one has the first module


PACKAGES = (
    Package("NumPy", (), ("numpy",)),
    Package("cnet", ("cnet",), ("cnet",)),
    Package("PyTorch", ("torch",), ("torch",)),
    Package("JAX and Optax", ("jax", "optax"), ("jax", "optax")),
    Package("scikit-learn", ("sklearn.neural_network",), ("scikit-learn",)),
    Package("ONNX Runtime", ("onnxruntime",), ("onnxruntime",)),
)


@dataclass(frozen=True)
class Probe:
    """What one process said."""

    whole: tuple[float, float]  # seconds of the processor, and of the clock, of all imports
    beyond: tuple[float, float]  # likewise, of those after NumPy's
    threads: int | None  # of the process after the imports; None where there is no /proc
    peak: int | None  # its largest resident size until then, in bytes; likewise
    uncompiled: int  # modules whose bytecode could not be kept: each import compiles them again
    file: str  # where the first module came from


@dataclass
class Results:
    """The processes of each package, by name, and why the others were skipped."""

    probes: dict[str, list[Probe]] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Size:
    """Bytes on the disk."""

    version: str  # of the distributions
    alone: int  # the package's own distributions
    needs: dict[str, int]  # every distribution that these need, directly or not, by name
    folder: bool  # whether the package's folder was counted, there being no list of its files
    known: bool  # whether there is metadata that says what the package needs


def environment(given: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a process: as given, but with defaults for threads and bytecode."""
    removed = (*system.REMOVED, "PYTHONDONTWRITEBYTECODE")
    return {name: value for name, value in given.items() if not name.startswith(removed)}


def probe(package: Package) -> Probe:
    """Import a package in a fresh process.

    Raises
    ------
    ImportError
        The process failed; the message is the last line that it wrote.
    """
    process = subprocess.run(
        # -P: the source tree, this folder, comes last and not first.
        [sys.executable, "-P", "-c", PROBE, str(ROOT), *package.modules],
        cwd=ROOT,
        env=environment(os.environ),
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    if process.returncode:
        lines = process.stderr.strip().splitlines()
        raise ImportError(lines[-1] if lines else f"exit status {process.returncode}")
    found = json.loads(process.stdout.splitlines()[-1])
    return Probe(**found | {key: tuple(found[key]) for key in ("whole", "beyond")})


def measure(packages: Iterable[Package], rounds: int, say: Callable[[str], None]) -> Results:
    """Import every package `rounds` times in turns, after one time that is not counted.

    That first time compiles the bytecode and brings the files into the system's cache.

    Parameters
    ----------
    packages : iterable of Package
        The contestants; those that cannot be imported are skipped.
    rounds : int
        Processes of each.
    say : callable
        Called with one line of progress after the other.
    """
    results = Results()
    present = []
    for package in packages:
        try:
            probe(package)
        except ImportError as error:
            results.skipped[package.name] = str(error)
            say(f"{package.name}: {error}, skipped")
        else:
            present.append(package)
            results.probes[package.name] = []
    for number in range(rounds):
        for package in present[::-1] if number % 2 else present:
            results.probes[package.name].append(probe(package))
        say(f"round {number + 1} of {rounds}")
    return results


def canonical(name: str) -> str:
    """Write a distribution's name in its one normal form (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def required(found: Distribution, extras: frozenset[str]) -> Iterable[tuple[str, frozenset[str]]]:
    """List what a distribution with these extras needs here: names, and the extras of each."""
    for line in found.requires or ():
        if Requirement is None:
            name = re.match(r"[\w.-]+", line)
            if name and "extra" not in line.partition(";")[2]:
                yield canonical(name[0]), frozenset()
            continue
        wanted = Requirement(line)
        marker = wanted.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            yield canonical(wanted.name), frozenset(wanted.extras)


def closure(names: Iterable[str]) -> dict[str, Distribution]:
    """Return these distributions and all that they need, as far as it is installed, by name."""
    reached: dict[str, Distribution] = {}
    seen = set()
    waiting = [(canonical(name), frozenset[str]()) for name in names]
    while waiting:
        name, extras = waiting.pop()
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        try:
            found = reached.get(name) or distribution(name)
        except PackageNotFoundError:
            continue
        reached[name] = found
        waiting += required(found, extras)
    return reached


def files(found: Distribution) -> set[Path]:
    """List the files that a distribution's installer wrote, but for compiled bytecode.

    Whether there is bytecode depends on the installer, and which on the versions of Python that
    ran since.
    """
    paths = {Path(str(found.locate_file(path))).resolve() for path in found.files or ()}
    return {path for path in paths if path.suffix != ".pyc" and path.is_file()}


def total(paths: Iterable[Path]) -> int:
    """Sum the sizes of files, in bytes."""
    return sum(path.stat().st_size for path in paths)


def size(package: Package, file: str) -> Size:
    """Find the sizes of a package and of what it needs.

    Parameters
    ----------
    package : Package
        The package.
    file : str
        Where its first module was imported from. If the distribution does not list this file (it
        is installed editable, or the path comes first), the folder is counted instead.
    """
    own = tuple(map(canonical, package.distributions))
    reached = closure(own)
    listed = {name: files(found) for name, found in reached.items()}
    module = Path(file).resolve()
    folder = module not in listed.get(own[0], ())
    if folder:
        listed[own[0]] = {path for path in module.parent.rglob("*") if path.suffix in PACKAGED}
    versions = [reached[name].version for name in own if name in reached]
    return Size(
        version=", ".join(versions) or "source tree",
        alone=sum(total(listed[name]) for name in own if name in listed),
        needs={name: total(listed[name]) for name in sorted(reached) if name not in own},
        folder=folder,
        known=own[0] in reached,
    )


def megabytes(count: float) -> str:
    """Write bytes as millions, to about three digits."""
    value = count / 1e6
    return f"{value:,.{2 if value < 10 else 1 if value < 100 else 0}f}"


def least_and_median(seconds: Iterable[float]) -> list[str]:
    """Write the least and the median of some times, in milliseconds."""
    values = [1e3 * value for value in seconds]
    return [f"{value:,.1f}" for value in (min(values), median(values))]


def imports(results: Results, packages: Iterable[Package]) -> list[str]:
    """Write the table of the imports."""
    rows = []
    for package in packages:
        if not (probes := results.probes.get(package.name)):
            continue
        beyond = [probe.beyond if package.modules else probe.whole for probe in probes]
        threads = [probe.threads for probe in probes if probe.threads is not None]
        peaks = [probe.peak for probe in probes if probe.peak is not None]
        rows.append(
            [
                f"`import {', '.join(package.modules or ('numpy',))}`",
                *least_and_median(cpu for cpu, _ in beyond),
                *least_and_median(wall for _, wall in beyond),
                *least_and_median(probe.whole[0] for probe in probes),
                f"{median(threads):g}" if threads else "",
                megabytes(median(peaks)) if peaks else "",
            ]
        )
    head = ["", "CPU, least", "median", "wall, least", "median", "CPU with NumPy, least", "median"]
    return table([*head, "threads", "resident MB"], rows)


def sizes(found: Mapping[str, Size]) -> list[str]:
    """Write the table of the sizes, and what each package needs."""
    rows, lists = [], []
    for name, each in found.items():
        others = {need: count for need, count in each.needs.items() if need != "numpy"}
        cells = [f"{name}{' (its folder)' if each.folder else ''}", each.version]
        cells.append(megabytes(each.alone))
        if each.known:
            numpy = each.needs.get("numpy")
            cells += [megabytes(sum(others.values())), megabytes(numpy) if numpy else "none"]
            cells.append(megabytes(each.alone + sum(each.needs.values())))
        else:
            cells += ["not known"] * 3
        rows.append(cells)
        if others:
            needs = ", ".join(f"{need} {megabytes(count)}" for need, count in others.items())
            lists.append(f"- {name}: {needs}")
    head = ["", "version", "package alone", "other packages it needs", "NumPy", "in all"]
    return [*table(head, rows, 2), "", "The other packages, in MB:", "", *lists]


def render(
    results: Results,
    found: Mapping[str, Size],
    packages: Sequence[Package],
    machine: Mapping[str, str],
    command: str,
) -> str:
    """Write the whole report, as Markdown."""
    lines = ["# Install size and import time", "", f"Written by `{command}`.", ""]
    lines += table(["machine", ""], [[name, value] for name, value in machine.items()], 2)
    lines += ["", "## Import", "", "Milliseconds.", "", *imports(results, packages)]
    lines += ["", "## Size on the disk", "", "Megabytes (millions of bytes).", "", *sizes(found)]
    lines += ["", "## How it is measured", ""]
    rounds = max(map(len, results.probes.values()), default=0)
    lines += [
        f"- Every import is made {rounds} times, each time by a fresh process; the processes of "
        "all packages take turns. A first one of each, which compiles the bytecode and reads the "
        "files from the disk, is not counted.",
        "- Each process imports NumPy, then the rest. The first four columns are what comes after "
        "NumPy (but for NumPy's own row); the start of the interpreter is in none.",
        "- Nothing sets the number of threads. Threads and the largest resident size are those of "
        "the process after the import, NumPy's and the interpreter's share included; a median.",
        "- Sizes are those of the files that the installer lists, without compiled bytecode. Of a "
        "package marked *its folder*, imported from a source tree (an editable installation, for "
        "instance), the kinds of files that are packaged are counted; its wheel may differ.",
        "- What a package needs are the required distributions of its metadata, and theirs, "
        "without extras. `+cpu` in a version is a build without CUDA.",
    ]
    if uncompiled := {
        name: probes[-1].uncompiled
        for name, probes in results.probes.items()
        if probes and probes[-1].uncompiled
    }:
        named = ", ".join(f"{name} {count}" for name, count in uncompiled.items())
        lines.append(f"- Modules without bytecode, compiled at each import: {named}.")
    lines += [f"- {name} was skipped: {reason}" for name, reason in results.skipped.items()]
    return "\n".join([*lines, ""])


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure every package that is installed, print the report, and write it if asked."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.footprint",
        description="Install size and import time of cnet beside the peers'.",
    )
    parser.add_argument("--rounds", type=int, help="processes of each package (15; 2 if --quick)")
    parser.add_argument("--quick", action="store_true", help="few rounds, not to be quoted")
    parser.add_argument("--output", type=Path, help="file to write (only printed if not given)")
    given = parser.parse_args(arguments)
    rounds: int = given.rounds if given.rounds is not None else (2 if given.quick else 15)
    if rounds < 1:
        parser.error(f"--rounds is {rounds}; it must be at least 1")
    described = system.describe_machine(1)
    wanted = ("CPU", "Cores", "Operating system", "Python", "Load before", "Variables removed")
    machine = {"Date": str(datetime.date.today())}
    machine |= {caption: described[caption] for caption in wanted if caption in described}
    try:
        results = measure(PACKAGES, rounds, lambda line: print(line, file=sys.stderr, flush=True))
    except KeyboardInterrupt:
        print("broken off; nothing was written", file=sys.stderr)
        return 130
    found = {
        package.name: size(package, results.probes[package.name][0].file)
        for package in PACKAGES
        if package.name in results.probes
    }
    words = sys.argv[1:] if arguments is None else arguments
    text = render(results, found, PACKAGES, machine, " ".join([parser.prog, *words]))
    print(text)
    if given.output is not None:
        given.output.parent.mkdir(parents=True, exist_ok=True)
        given.output.write_text(text, encoding="utf-8")
    return 0 if "cnet" in results.probes else 1


if __name__ == "__main__":
    sys.exit(main())
