"""Starts `kernels_worker`, a process for each instruction set, and collects what it tells."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

from . import system
from .harness import ROOT
from .kernels_worker import Effort, Timing

NEEDED = ("mpmath", "pytest")  # by the formulas of the tests


@dataclass
class Results:
    """The timings by instruction set, and what was wrong."""

    timings: dict[str, list[Timing]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)


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
