"""Contests: every peer in a process of its own, their bursts of steps taken in turns.

A noisy moment of the machine then falls on all contestants alike, and a ratio is taken between
bursts that lie a second apart, not between one minute and another.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from .system import choose_cpus, worker_environment
from .workloads import Kind, Workload, kind_of

ROOT = Path(__file__).resolve().parents[1]
LEAST_ROUNDS = 3  # whatever the time limit says: a median needs them
SETTLING = 0.01  # seconds for the threads of the last contestant to stop spinning


class WorkerError(RuntimeError):
    """A worker said that it could not do what it was asked, or ended."""


@dataclass(frozen=True)
class Plan:
    """What is to be timed, and how long.

    Attributes
    ----------
    contests : tuple of (Workload, tuple of str)
        The workloads with the peers that take part in each.
    rounds : int
        Bursts of every contestant per workload.
    burst : float
        Seconds of one burst, about. A peer that can only train whole epochs may take longer.
    limit : float
        Seconds after which a workload gets no further round, if it has had three.
    threads : int
        Threads of every contestant.
    compile : bool
        Whether the ways that a peer offers on request take part.
    """

    contests: tuple[tuple[Workload, tuple[str, ...]], ...]
    rounds: int = 11
    burst: float = 0.08
    limit: float = 90.0
    threads: int = 1
    compile: bool = False


@dataclass(frozen=True)
class PeerInfo:
    """What a worker says of its peer; the fields are those of `peers.Peer`."""

    name: str
    version: str
    measured: str
    training: tuple[str, ...]
    prediction: tuple[str, ...]
    on_request: tuple[str, ...]

    def modes(self, kind: Kind, requested: bool) -> list[str]:
        """List the ways of this kind that take part."""
        modes = self.training if kind == "training" else self.prediction
        return [mode for mode in modes if requested or mode not in self.on_request]


@dataclass(frozen=True)
class Timing:
    """The rounds of one contestant in one workload.

    Attributes
    ----------
    workload : str
        The label of the workload.
    kind : {"training", "prediction"}
        Whether a step is a training step or a prediction.
    peer, mode : str
        The key of the peer, and its way to do it.
    steps : int
        Steps of a burst.
    seconds : tuple of float
        Seconds per step, by round. All contestants of a workload have the same rounds.
    """

    workload: str
    kind: Kind
    peer: str
    mode: str
    steps: int
    seconds: tuple[float, ...]


@dataclass
class Results:
    """What came out: who took part, who did not and why, and the times."""

    peers: dict[str, PeerInfo] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    timings: list[Timing] = field(default_factory=list)


class Worker:
    """The process of one peer, and the pipes to it.

    Parameters
    ----------
    peer : str
        The key of the peer.
    threads : int
        How many threads it is to use.
    """

    def __init__(self, peer: str, threads: int) -> None:
        self.peer = peer
        cpus = ",".join(map(str, choose_cpus(threads))) or "any"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", peer, str(threads), cpus],
            cwd=ROOT,
            env=worker_environment(os.environ, threads),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )

    def __enter__(self) -> Worker:
        """Return the worker itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the process: by closing its pipe, or at once if the run is broken off."""
        if error is not None:
            self.process.kill()
        try:
            self.process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()

    def receive(self) -> dict[str, Any]:
        """Wait for the next line of the worker.

        Raises
        ------
        WorkerError
            The worker reports an error, or has ended.
        """
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise WorkerError(f"the worker ended with exit status {self.process.wait()}")
        message: dict[str, Any] = json.loads(line)
        if "error" in message:
            raise WorkerError(message["error"])
        return message

    def ask(self, **request: Any) -> dict[str, Any]:
        """Send a request and wait for the answer; raises `WorkerError` as `receive` does."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise WorkerError(f"the worker ended with exit status {self.process.wait()}") from None
        return self.receive()


@dataclass(eq=False)
class Contestant:
    """One way of one peer in one workload."""

    peer: str
    mode: str
    worker: Worker
    steps: int = 0
    seconds: list[float] = field(default_factory=list)


def start(plan: Plan, stack: ExitStack, results: Results) -> dict[str, Worker]:
    """Start a worker for every peer of the plan; return those that are there, by peer.

    The others are named in ``results.skipped``. `stack` ends all of them.
    """
    peers = dict.fromkeys(peer for _, peers in plan.contests for peer in peers)
    # All are started before the first is waited for: imports take seconds.
    workers = {peer: stack.enter_context(Worker(peer, plan.threads)) for peer in peers}
    present = {}
    for peer, worker in workers.items():
        try:
            hello = worker.receive()
        except WorkerError as error:
            hello = {"missing": str(error)}
        if "missing" in hello:
            results.skipped[peer] = hello["missing"]
            continue
        tuples = {key: tuple(value) for key, value in hello.items() if isinstance(value, list)}
        results.peers[peer] = PeerInfo(**hello | tuples)
        present[peer] = worker
    return present


def hold(
    workload: Workload, contestants: list[Contestant], plan: Plan, results: Results
) -> list[Contestant]:
    """Prepare the contestants one by one, then take their bursts in turns.

    Returns
    -------
    list of Contestant
        Those that came through, with their rounds. The others are named in ``results.failures``.
    """
    still = list(contestants)

    def tell(contestant: Contestant, **request: Any) -> dict[str, Any]:
        try:
            return contestant.worker.ask(**request)
        except WorkerError as error:
            still.remove(contestant)
            who = f"{contestant.peer} ({contestant.mode})"
            results.failures.append(f"{workload.label}: {who}: {error}")
            return {}

    for contestant in contestants:
        tell(
            contestant,
            do="prepare",
            workload=workload.label,
            mode=contestant.mode,
            seconds=plan.burst,
        )
    begin = time.monotonic()
    for number in range(plan.rounds):
        if number >= LEAST_ROUNDS and time.monotonic() - begin > plan.limit:
            break
        # Back and forth, so that nobody always comes after the same one.
        for contestant in still[::-1] if number % 2 else list(still):
            if plan.threads > 1:
                time.sleep(SETTLING)
            if answer := tell(contestant, do="burst", mode=contestant.mode):
                contestant.steps = answer["steps"]
                contestant.seconds.append(answer["seconds_per_step"])
    return still


def run(plan: Plan, say: Callable[[str], None]) -> Results:
    """Hold all contests of a plan.

    Parameters
    ----------
    plan : Plan
        What is to be timed.
    say : callable
        Called with one line of progress after the other.

    Returns
    -------
    Results
        The times, by workload and contestant.
    """
    results = Results()
    with ExitStack() as stack:
        workers = start(plan, stack, results)
        for peer, reason in results.skipped.items():
            say(f"{peer}: {reason}, skipped")
        for workload, peers in plan.contests:
            begin = time.monotonic()
            contestants = [
                Contestant(peer, mode, workers[peer])
                for peer in peers
                if peer in workers
                for mode in results.peers[peer].modes(kind_of(workload), plan.compile)
            ]
            if not contestants:
                continue
            finishers = hold(workload, contestants, plan, results)
            results.timings += [
                Timing(workload.label, kind_of(workload), c.peer, c.mode, c.steps, tuple(c.seconds))
                for c in finishers
            ]
            spent = time.monotonic() - begin
            say(f"{workload.label}: {len(finishers)} contestants, {spent:.1f} s")
    return results
