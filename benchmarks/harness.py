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
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from .peers import ONE_THREAD
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
        Seconds after which a contest (a workload, or a sweep) gets no further round, if it has
        had three.
    threads : int
        Threads of every contestant.
    compile : bool
        Whether the ways that need a C++ compiler take part.
    sweep_rounds : int
        What `rounds` is, for the points of a sweep: they are many.
    sweep_burst : float
        What `burst` is, for the points of a sweep.
    memory : tuple of str
        Labels of the workloads whose memory is measured too.
    products : {"all", "quick", ""}
        Which products of single layers are timed as well.
    """

    contests: tuple[tuple[Workload, tuple[str, ...]], ...]
    rounds: int = 11
    burst: float = 0.08
    limit: float = 45.0
    threads: int = 1
    compile: bool = False
    sweep_rounds: int = 9
    sweep_burst: float = 0.03
    memory: tuple[str, ...] = ()
    products: Literal["all", "quick", ""] = ""

    def pace(self, workload: Workload) -> tuple[int, float]:
        """Return the rounds of a workload, and the seconds of a burst."""
        if workload.sweep:
            return self.sweep_rounds, self.sweep_burst
        return self.rounds, self.burst


@dataclass(frozen=True)
class PeerInfo:
    """What a worker says of its peer; the fields are those of `peers.Peer`."""

    name: str
    version: str
    measured: str
    training: tuple[str, ...]
    prediction: tuple[str, ...]
    needs_compiler: tuple[str, ...]
    sweeps: tuple[str, ...]

    def modes(self, workload: Workload, plan: Plan) -> list[str]:
        """List the ways that take part in a workload."""
        offered = self.training if kind_of(workload) == "training" else self.prediction
        return [
            mode
            for mode in offered
            if (plan.compile or mode not in self.needs_compiler)
            and (plan.threads > 1 or not mode.endswith(ONE_THREAD))
            and (not workload.sweep or mode in self.sweeps)
        ]


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
        Seconds per step, by round. All contestants of a contest have the same rounds.
    """

    workload: str
    kind: Kind
    peer: str
    mode: str
    steps: int
    seconds: tuple[float, ...]


@dataclass(frozen=True)
class Memory:
    """The resident size of a process of its own that does some steps of a workload.

    Attributes
    ----------
    workload, peer, mode : str
        As in `Timing`.
    imported, peak : int
        The largest size until the library was imported, and in all, in bytes.
    """

    workload: str
    peer: str
    mode: str
    imported: int
    peak: int


@dataclass
class Results:
    """What came out: who took part, who did not and why, the times and the sizes."""

    peers: dict[str, PeerInfo] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    timings: list[Timing] = field(default_factory=list)
    memories: list[Memory] = field(default_factory=list)


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

    workload: Workload
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


def hold(contestants: list[Contestant], plan: Plan, results: Results) -> list[Contestant]:
    """Prepare the contestants of a contest one by one, then take their bursts in turns.

    Returns
    -------
    list of Contestant
        Those that came through, with their rounds. The others are named in ``results.failures``.
    """
    still = list(contestants)
    rounds, burst = plan.pace(contestants[0].workload)

    def tell(contestant: Contestant, do: str, **more: Any) -> dict[str, Any]:
        label, mode = contestant.workload.label, contestant.mode
        try:
            return contestant.worker.ask(do=do, workload=label, mode=mode, **more)
        except WorkerError as error:
            still.remove(contestant)
            results.failures.append(f"{label}: {contestant.peer} ({mode}): {error}")
            return {}

    for contestant in contestants:
        tell(contestant, "prepare", seconds=burst)
    begin = time.monotonic()
    for number in range(rounds):
        if number >= LEAST_ROUNDS and time.monotonic() - begin > plan.limit:
            break
        # Back and forth, so that nobody always comes after the same one.
        for contestant in still[::-1] if number % 2 else list(still):
            if plan.threads > 1:
                time.sleep(SETTLING)
            if answer := tell(contestant, "burst"):
                contestant.steps = answer["steps"]
                contestant.seconds.append(answer["seconds_per_step"])
    return still


def together(plan: Plan) -> Iterator[tuple[str, list[tuple[Workload, tuple[str, ...]]]]]:
    """Yield the contests with their names: a workload each, or all points of a sweep.

    The points of a sweep take turns too: a noisy moment would look like a cliff between them.
    """
    for workload, peers in plan.contests:
        if not workload.sweep:
            yield workload.label, [(workload, peers)]
    for sweep, kind in dict.fromkeys((w.sweep, kind_of(w)) for w, _ in plan.contests if w.sweep):
        points = [
            pair for pair in plan.contests if (pair[0].sweep, kind_of(pair[0])) == (sweep, kind)
        ]
        yield f"sweep of {sweep}, {kind}", points


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
        for name, points in together(plan):
            begin = time.monotonic()
            contestants = [
                Contestant(workload, peer, mode, workers[peer])
                for workload, peers in points
                for peer in peers
                if peer in workers
                for mode in results.peers[peer].modes(workload, plan)
            ]
            if not contestants:
                continue
            for peer in dict.fromkeys(contestant.peer for contestant in contestants):
                with suppress(WorkerError):  # that it has ended is told by its contestants
                    workers[peer].ask(do="clear")
            finishers = hold(contestants, plan, results)
            results.timings += [
                Timing(
                    c.workload.label,
                    kind_of(c.workload),
                    c.peer,
                    c.mode,
                    c.steps,
                    tuple(c.seconds),
                )
                for c in finishers
            ]
            spent = time.monotonic() - begin
            say(f"{name}: {len(finishers)} contestants, {spent:.1f} s")
    return results
