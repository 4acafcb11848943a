"""The process of one peer: prepares workloads and runs timed bursts of steps on request.

Requests and answers are JSON objects, one a line, over the standard input and output. The first
line is an answer without a request: what the peer is, or why it is not there.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from . import peers, system, workloads
from .peers import Peer, Run

MEMORY_STEPS = 2  # from the second on, every buffer of a training is there
COLD_START_MATTERS = 0.25  # seconds; in a burst longer than this, cold caches do not show


def timed(run: Run, steps: int) -> tuple[int, float]:
    """Do about so many steps; return how many were done, and the seconds they took."""
    start = time.perf_counter()
    done = run(steps)
    return done, time.perf_counter() - start


def calibrate(run: Run, seconds: float) -> tuple[int, float]:
    """Find the steps that take about so many seconds; return them and the seconds expected.

    The expectation is longer than what was asked for where a single call is.
    """
    run(1)  # compiles, allocates
    steps = 1
    while True:
        done, spent = timed(run, steps)
        if spent >= seconds / 4:
            steps = max(1, round(done * seconds / spent))
            return steps, max(seconds, spent * steps / done)
        steps = 2 * done


@dataclass
class Prepared:
    """One way of the peer to do a workload, ready to run.

    Attributes
    ----------
    run : Run
        What does the steps.
    steps : int
        Steps of a burst.
    expected : float
        Seconds that a burst takes.
    """

    run: Run
    steps: int
    expected: float


class Bench:
    """One peer, and its ways that are prepared for the contest of the moment.

    It is made right after the import of the peer, and notes the memory in use by then.

    Parameters
    ----------
    peer : Peer
        The module of the peer.
    threads : int
        How many threads it is to use.
    """

    def __init__(self, peer: Peer, threads: int) -> None:
        self.peer, self.threads = peer, threads
        self.prepared: dict[tuple[str, str], Prepared] = {}  # by workload and mode
        self.imported = system.peak_memory()

    def clear(self) -> dict[str, Any]:
        """Let the networks of the last contest go."""
        self.prepared.clear()
        gc.collect()
        return {}

    def prepare(self, workload: str, mode: str, seconds: float) -> dict[str, Any]:
        """Build the network of a workload, and find the steps of a burst of so many seconds."""
        run = self.build(workload, mode)
        self.prepared[workload, mode] = Prepared(run, *calibrate(run, seconds))
        return {}

    def build(self, workload: str, mode: str) -> Run:
        """Build the network of a workload."""
        found = workloads.find(workload)
        if isinstance(found, workloads.Training):
            return self.peer.train(found, mode, self.threads)
        return self.peer.infer(found, mode, self.threads)

    def burst(self, workload: str, mode: str) -> dict[str, Any]:
        """Do one burst, after a tenth of one for the caches; return its steps and their time."""
        way = self.prepared[workload, mode]
        if way.expected < COLD_START_MATTERS:
            way.run(max(1, way.steps // 10))
        done, way.expected = timed(way.run, way.steps)
        return {"steps": done, "seconds_per_step": way.expected / done}

    def memory(self, workload: str, mode: str) -> dict[str, Any]:
        """Build a network, do some steps; return the peaks of the import and of it all, in bytes.

        A process can say this of one way and one workload only: a peak does not go down.
        """
        run = self.build(workload, mode)
        for _ in range(MEMORY_STEPS):
            run(1)
        return {"imported": self.imported, "peak": system.peak_memory()}


def introduce(name: str) -> tuple[Peer | None, dict[str, Any]]:
    """Import a peer; return it (None if it is not there) and the first line to say."""
    try:
        peer = peers.load(name)
    except ImportError as error:
        reason = str(error).removesuffix(f" ({error.path or 'unknown location'})")
        return None, {"missing": f"not installed ({reason})"}
    except Exception as error:  # a broken library must not end the other contests
        return None, {"missing": f"its import failed ({type(error).__name__}: {error})"}
    return peer, {
        "name": peer.NAME,
        "version": peer.VERSION,
        "measured": peer.MEASURED,
        "training": peer.TRAINING,
        "prediction": peer.PREDICTION,
        "needs_compiler": peer.NEEDS_COMPILER,
        "sweeps": peer.SWEEPS,
    }


def hold_to(cpus: set[int]) -> None:
    """Hold all threads of this process to these processors, and so those that come later."""
    threads = Path("/proc/self/task")
    for thread in map(int, os.listdir(threads)) if threads.exists() else [0]:
        os.sched_setaffinity(thread, cpus)


def serve(name: str, threads: int, cpus: set[int], requests: TextIO, answers: TextIO) -> None:
    """Introduce the peer, then answer one request after the other until the pipe is closed.

    The process is held to `cpus` (if there are any) only once the library is imported: all
    workers start together, and importing on one processor would take them long.
    """

    def answer(message: dict[str, Any]) -> None:
        answers.write(json.dumps(message) + "\n")
        answers.flush()

    peer, introduction = introduce(name)
    if cpus:
        hold_to(cpus)
    gc.collect()
    gc.freeze()  # the modules of a library, however many, do not slow its steps down
    answer(introduction)
    if peer is None:
        return
    bench = Bench(peer, threads)
    actions: dict[str, Callable[..., dict[str, Any]]] = {
        "clear": bench.clear,
        "prepare": bench.prepare,
        "burst": bench.burst,
        "memory": bench.memory,
    }
    for line in requests:
        request = json.loads(line)
        try:
            answer(actions[request.pop("do")](**request))
        except Exception as error:  # told to the harness, which names it
            answer({"error": f"{type(error).__name__}: {error}"})


def main() -> None:
    """Run as ``python -m benchmarks.worker PEER THREADS CPUS``, CPUS as ``0,1`` or ``any``."""
    name, threads, listed = sys.argv[1:]
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the harness, which ends this
    cpus = set() if listed == "any" else {int(cpu) for cpu in listed.split(",")}
    # An installed cnet comes before the source tree, which lies in the folder this runs from,
    # unless PYTHONPATH names that tree.
    sys.path.append(sys.path.pop(0))
    # Whatever a library prints goes to the terminal; the pipe is for the answers alone.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    serve(name, int(threads), cpus, sys.stdin, answers)


if __name__ == "__main__":
    main()
