"""What `fit` adds to a bare step, and what two networks lose when they train side by side."""

from __future__ import annotations

import argparse
import statistics
import sys
import threading
import time
from collections.abc import Callable

from cnet import Sequential
from cnet._core.sources import Source
from cnet._core.training import Batches

from . import report, system, workloads
from .peers import cnet_peer

NETWORK = "small 784-128-10 b32 adam"
EPOCHS = 5  # of a call


def trained() -> tuple[Sequential, workloads.Training]:
    """Return the network of the workload after an epoch, and the workload."""
    workload = workloads.find(NETWORK)
    assert isinstance(workload, workloads.Training)
    network = cnet_peer.network_for(workload)
    x, y = workloads.training_data(workload, workload.batches)
    network.fit(x, y, batch_size=workload.batch, verbose=0)
    return network, workload


def bare(network: Sequential, workload: workloads.Training) -> Callable[[], None]:
    """Return epochs of the compiled loop alone: rows in their order, nothing gathered."""
    x, y = workloads.training_data(workload, workload.batches)
    work = Batches(
        network.built.core,
        Source(x),
        y,
        None,
        workload.batch,
        "sparse_categorical_crossentropy_logits",
        0.0,
        0.0,
        False,
        True,
        (),
        network.rule,
    )

    def epochs() -> None:
        for _ in range(EPOCHS):
            work.begin()
            work.run(workload.batches)

    return epochs


def by_fit(network: Sequential, workload: workloads.Training) -> Callable[[], None]:
    """Return epochs of `fit`: shuffled, gathered, the loss tracked."""
    x, y = workloads.training_data(workload, workload.batches)

    def epochs() -> None:
        network.fit(x, y, epochs=EPOCHS, batch_size=workload.batch, verbose=0)

    return epochs


def side_by_side(calls: list[Callable[[], None]]) -> None:
    """Run calls in threads of their own and wait for all."""
    threads = [threading.Thread(target=call) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def ratios(rounds: int, first: Callable[[], None], second: Callable[[], None]) -> list[float]:
    """Return how many times as long as the second the first takes, taking turns."""
    found = []
    for _ in range(rounds):
        times = []
        for call in (first, second):
            began = time.perf_counter()
            call()
            times.append(time.perf_counter() - began)
        found.append(times[0] / times[1])
    return sorted(found)


def main(arguments: list[str] | None = None) -> int:
    """Measure, and print tables in Markdown."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overheads", description=__doc__)
    parser.add_argument("--rounds", type=int, default=31)
    rounds = parser.parse_args(arguments).rounds
    network, workload = trained()
    cost = ratios(rounds, by_fit(network, workload), bare(network, workload))
    pair = [by_fit(*trained()), by_fit(*trained())]

    def one_after_the_other() -> None:
        for call in pair:
            call()

    gain = ratios(rounds, one_after_the_other, lambda: side_by_side(pair))
    rows = [
        [name, f"{statistics.median(found):.2f}", f"{found[0]:.2f} to {found[-1]:.2f}"]
        for name, found in (
            ("a step of `fit` / of the compiled loop alone", cost),
            ("two networks one after the other / in two threads", gain),
        )
    ]
    machine = system.describe_machine(1)
    print("\n".join(report.table(["machine", ""], [[k, v] for k, v in machine.items()], 2)))
    print()
    print(f"{NETWORK}, {rounds} rounds.\n")
    print("\n".join(report.table(["ratio of times", "median", "spread"], rows, 1)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
