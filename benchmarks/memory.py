"""The memory of every peer in every workload: a fresh process for each pair, with its own peak."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack

from .figures import best_modes
from .harness import Memory, Plan, Results, Timing, Worker, WorkerError
from .system import peak_memory


def contestants(timings: Iterable[Timing], results: Results) -> list[Timing]:
    """Choose the fastest way of each peer, out of the timings of one workload.

    Ways that need a compiler are left out: compiling takes memory that running does not.
    """
    running = (t for t in timings if t.mode not in results.peers[t.peer].needs_compiler)
    return list(best_modes(running).values())


def measure(plan: Plan, results: Results, say: Callable[[str], None]) -> None:
    """Measure the workloads that the plan names, where they were timed; add to `results`.

    Parameters
    ----------
    plan : Plan
        What is to be measured.
    results : Results
        The times, which tell who took part and how; gets the sizes and the failures.
    say : callable
        Called with one line of progress after the other.
    """
    if peak_memory() is None:
        return
    for label in plan.memory:
        begin = time.monotonic()
        chosen = contestants((t for t in results.timings if t.workload == label), results)
        with ExitStack() as stack:
            # All are started before the first is waited for: imports take seconds.
            workers = [stack.enter_context(Worker(t.peer, plan.threads)) for t in chosen]
            for timing, worker in zip(chosen, workers, strict=True):
                try:
                    worker.receive()
                    sizes = worker.ask(do="memory", workload=label, mode=timing.mode)
                except WorkerError as error:
                    who = f"{timing.peer} ({timing.mode})"
                    results.failures.append(f"memory, {label}: {who}: {error}")
                    continue
                results.memories.append(Memory(label, timing.peer, timing.mode, **sizes))
        if chosen:
            say(f"memory, {label}: {len(chosen)} contestants, {time.monotonic() - begin:.1f} s")
