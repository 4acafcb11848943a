"""The process of one instruction set: checks kernels and times them, each beside its yardstick.

`benchmarks.workbench` starts it with CNET_ISA set. Every line of its output is a JSON object: what
was measured of a kernel, or what is wrong with it.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass

from .kernels_bench import PARTS, Kernel
from .peers import repeat
from .system import choose_cpus
from .worker import calibrate, hold_to, timed


@dataclass(frozen=True)
class Effort:
    """What is measured, and how long.

    Attributes
    ----------
    parts : tuple of str
        Keys of `kernels_bench.PARTS`.
    dtype : str
        "float32" or "float64".
    quick : bool
        Few and small sizes.
    rounds : int
        Bursts of a kernel, and as many of its yardstick.
    burst : float
        Seconds of a burst, about; longer where a single call is longer.
    """

    parts: tuple[str, ...]
    dtype: str = "float32"
    quick: bool = False
    rounds: int = 11
    burst: float = 0.015


@dataclass(frozen=True)
class Timing:
    """Seconds of a kernel's call and of those that it is compared with, by round.

    The attributes have the names, and the meaning, of those of `kernels_bench.Kernel`; what was not
    to be measured has no rounds.
    """

    part: str
    name: str
    amount: int
    moved: int
    yardstick_moved: int
    call: tuple[float, ...]
    yardstick: tuple[float, ...] = ()
    empty: tuple[float, ...] = ()
    yardstick_empty: tuple[float, ...] = ()


def measure(kernel: Kernel, effort: Effort) -> Timing:
    """Time a kernel and what it is compared with, burst by burst in turns."""
    contestants = []
    measured: dict[str, list[float]] = {}
    for name in ("call", "yardstick", "empty", "yardstick_empty"):
        if call := getattr(kernel, name):
            run = repeat(call)
            steps, _ = calibrate(run, effort.burst)
            measured[name] = [0.0] * effort.rounds
            contestants.append((run, steps, measured[name]))
    for number in range(effort.rounds):
        # Back and forth, so that nobody always comes after the same one.
        for run, steps, seconds in contestants[::-1] if number % 2 else contestants:
            if steps >= 10:  # fewer calls are so long that cold caches do not show
                run(steps // 10)
            done, spent = timed(run, steps)
            seconds[number] = spent / done
    return Timing(
        kernel.part,
        kernel.name,
        kernel.amount,
        kernel.moved,
        kernel.yardstick_moved,
        **{name: tuple(seconds) for name, seconds in measured.items()},
    )


def check_and_measure(kernels: Iterable[Kernel], effort: Effort) -> Iterator[Timing | str]:
    """Check and time one kernel after the other; of one that is wrong, give what is wrong."""
    for kernel in kernels:
        try:
            kernel.check()
        except AssertionError as error:
            yield f"{kernel.part}: {error}"
            continue
        yield measure(kernel, effort)


def main() -> None:
    """Run with the fields of an `Effort` as a JSON object for its argument."""
    given = json.loads(sys.argv[1])
    effort = Effort(**given | {"parts": tuple(given["parts"])})
    if cpus := choose_cpus(1):
        hold_to(set(cpus))
    gc.freeze()
    # Whatever a library prints goes to the terminal; the pipe is for the results alone.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    for part in effort.parts:
        for found in check_and_measure(PARTS[part](effort.dtype, effort.quick), effort):
            line = {"wrong": found} if isinstance(found, str) else asdict(found)
            answers.write(json.dumps(line) + "\n")
            answers.flush()


if __name__ == "__main__":
    main()
