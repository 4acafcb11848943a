"""The networks that every contestant trains or evaluates, and the made-up data they are given.

Letters in the shapes: B rows of a batch, I inputs, K outputs.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Kind = Literal["training", "prediction"]
Sweep = Literal["", "width", "rows"]
KINDS: tuple[Kind, ...] = ("training", "prediction")

LEARNING_RATE = 1e-4  # small enough that no network diverges or stops learning within a run


@dataclass(frozen=True)
class Training:
    """One training step of a network with ReLU hidden layers, in float32.

    Attributes
    ----------
    name : str
        A word for the size of the network.
    sizes : tuple of int
        Units of every layer, the inputs first and the outputs last.
    batch : int
        Rows of one step.
    loss : {"mse", "cross-entropy"}
        ``"cross-entropy"`` is a softmax over the outputs against class indices.
    optimizer : {"sgd", "adam"}
        Plain stochastic gradient descent without momentum, or Adam.
    batches : int
        Batches of the data set of a contestant that trains through its own ``fit``: its rows
        are ``batch * batches``.
    quick : bool
        Whether a quick run includes it.
    sweep : {"", "width", "rows"}
        The sweep that it is a point of, and what varies there: the units of the hidden layers or
        the rows of a step. Empty for a network that stands for itself.
    """

    name: str
    sizes: tuple[int, ...]
    batch: int
    loss: Literal["mse", "cross-entropy"]
    optimizer: Literal["sgd", "adam"]
    batches: int
    quick: bool = False
    sweep: Sweep = ""

    @property
    def label(self) -> str:
        """What the tables call it, for example ``"small 784-128-10 b32 sgd"``."""
        sizes = "-".join(map(str, self.sizes))
        return f"{self.name} {sizes} b{self.batch} {self.optimizer}"


@dataclass(frozen=True)
class Prediction:
    """One call that maps a batch of inputs to linear outputs, in float32.

    The attributes mean what they mean in `Training`.
    """

    sizes: tuple[int, ...]
    batch: int
    quick: bool = False
    sweep: Sweep = ""

    @property
    def label(self) -> str:
        """What the tables call it, for example ``"predict 16-64-64-4 b1"``."""
        words = f"{self.sweep} predict" if self.sweep else "predict"
        return f"{words} {'-'.join(map(str, self.sizes))} b{self.batch}"


Workload = Training | Prediction

# fmt: off
TRAINING: tuple[Training, ...] = (
    Training("tiny",   (8, 32, 32, 1),           32,  "mse",           "adam", 256,  True),
    Training("small",  (784, 128, 10),           32,  "cross-entropy", "sgd",  128),
    Training("small",  (784, 128, 10),           32,  "cross-entropy", "adam", 128,  True),
    Training("medium", (784, 512, 512, 10),      128, "cross-entropy", "adam", 16),
    Training("large",  (1024, 2048, 2048, 1000), 256, "cross-entropy", "adam", 4),
    Training("online", (8, 32, 32, 1),           1,   "mse",           "sgd",  512,  True),
)
PREDICTION: tuple[Prediction, ...] = (
    Prediction((16, 64, 64, 4),     1,    True),
    Prediction((784, 128, 10),      1,    True),
    Prediction((784, 512, 512, 10), 1024),
)
# fmt: on
NETWORKS: tuple[Workload, ...] = (*TRAINING, *PREDICTION)

# One library leaves its kernels for small matrices there: between 45 and 46 shows a cliff.
WIDTHS = (16, 32, 45, 46, 64, 128, 256, 512, 1024)
ROWS = (1, 8, 32, 128, 512)

SWEEPS: tuple[Workload, ...] = (
    *(
        Training(
            *("width", (10, w, w, 10), 128, "mse", "adam"),
            batches=max(4, min(64, 4096 // w)),
            quick=w in (16, 45, 46),
            sweep="width",
        )
        for w in WIDTHS
    ),
    *(
        Training(
            *("rows", (784, 128, 10), rows, "cross-entropy", "adam"),
            batches=max(16, 512 // rows),
            quick=rows in (1, 32),
            sweep="rows",
        )
        for rows in ROWS
    ),
    *(Prediction((784, 128, 10), rows, quick=rows in (1, 32), sweep="rows") for rows in ROWS),
)
WORKLOADS: tuple[Workload, ...] = (*NETWORKS, *SWEEPS)


def kind_of(workload: Workload) -> Kind:
    """Say which of the two kinds a workload is."""
    return "training" if isinstance(workload, Training) else "prediction"


def find(label: str) -> Workload:
    """Return the workload with this label.

    Raises
    ------
    ValueError
        No workload has this label.
    """
    for workload in WORKLOADS:
        if workload.label == label:
            return workload
    known = ", ".join(repr(workload.label) for workload in WORKLOADS)
    raise ValueError(f"no workload is called {label!r}; the known ones are {known}")


def weights(sizes: tuple[int, ...]) -> int:
    """Count the weights of a network, biases left out: its multiplications for one row."""
    return sum(inputs * units for inputs, units in pairwise(sizes))


def training_data(workload: Training, batches: int = 1) -> tuple[Floats, NDArray[Any]]:
    """Draw inputs (B, I) and targets for `batches` batches, the same ones at every call.

    The targets are (B, K) float32 for ``"mse"`` and (B,) int64 class indices for
    ``"cross-entropy"``, where every class occurs if there are rows enough.
    """
    generator = np.random.default_rng(0)
    rows, outputs = workload.batch * batches, workload.sizes[-1]
    x = generator.standard_normal((rows, workload.sizes[0]), dtype=np.float32)
    if workload.loss == "mse":
        return x, generator.standard_normal((rows, outputs), dtype=np.float32)
    y = generator.integers(0, outputs, rows)
    y[:outputs] = np.arange(min(rows, outputs))
    return x, y


def prediction_data(workload: Prediction) -> Floats:
    """Draw inputs (B, I), the same ones at every call."""
    generator = np.random.default_rng(0)
    return generator.standard_normal((workload.batch, workload.sizes[0]), dtype=np.float32)


def initial_parameters(sizes: tuple[int, ...]) -> list[tuple[Floats, Floats]]:
    """Draw weights (inputs, units) of variance 1 / inputs, with zero biases (units,), by layer."""
    generator = np.random.default_rng(1)
    return [
        (
            generator.standard_normal((inputs, units), dtype=np.float32) / np.float32(inputs**0.5),
            np.zeros(units, np.float32),
        )
        for inputs, units in pairwise(sizes)
    ]
