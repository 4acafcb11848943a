"""The contestants: one module ``<name>_peer.py`` each, found by the look of the folder.

To add a peer, add its module with what `Peer` lists. It may import its library at the top: only
the worker process of that peer imports the module, after the number of threads has been set, and
an import that fails makes a peer that is skipped, with its reason named.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, cast

from ..workloads import Prediction, Training

Run = Callable[[int], int]
"""Do about so many steps (or predictions), at least one, and return how many were done."""

ONE_THREAD = ", 1 thread"
"""How the name of a way ends that uses one thread, whatever is asked for.

Such a way takes part only where several threads are asked for: to show what they bring, in a
table of its own. It is left out of the comparison between the peers.
"""


class Peer(Protocol):
    """What the module of a peer has."""

    NAME: str  # what the tables call it
    VERSION: str  # of the library, and of what computes for it where that can differ
    MEASURED: str  # a sentence or two for the report: what is timed, and what that leaves out
    TRAINING: tuple[str, ...]  # ways to train, timed side by side; the fastest one is compared
    PREDICTION: tuple[str, ...]  # ways to predict, likewise
    NEEDS_COMPILER: tuple[str, ...]  # those of the ways that need a C++ compiler
    SWEEPS: tuple[str, ...]  # those that take part in the sweeps: the fast ones, of both kinds

    def train(self, workload: Training, mode: str, threads: int) -> Run:
        """Prepare the training of a network and return what does the steps."""

    def infer(self, workload: Prediction, mode: str, threads: int) -> Run:
        """Prepare the predictions of a network and return what does them."""


def names() -> list[str]:
    """List the peers there are modules for, cnet first, whether or not they are installed."""
    found = sorted(path.stem[:-5] for path in Path(__file__).parent.glob("*_peer.py"))
    return sorted(found, key=lambda name: name != "cnet")


def load(name: str) -> Peer:
    """Import the module of a peer, and with it the library.

    Raises
    ------
    ImportError
        The library is not installed.
    """
    return cast(Peer, importlib.import_module(f"{__name__}.{name}_peer"))


def repeat(step: Callable[[], object]) -> Run:
    """Make a `Run` that calls `step` once for every step."""

    def run(steps: int) -> int:
        for _ in range(steps):
            step()
        return steps

    return run


def repeat_block(block: Callable[[int], object], steps_per_block: int) -> Run:
    """Make a `Run` out of a call that does a number of whole blocks of steps, such as epochs."""

    def run(steps: int) -> int:
        blocks = max(1, round(steps / steps_per_block))
        block(blocks)
        return blocks * steps_per_block

    return run
