"""PyTorch: an eager loop with each of its implementations of the optimizer, or compiled."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from torch import nn

from ..system import cpp_compiler
from ..workloads import LEARNING_RATE, Prediction, Training, prediction_data, training_data
from . import Run, repeat

NAME = "PyTorch"
VERSION = str(torch.__version__)
MEASURED = (
    "Training: `zero_grad`, forward, loss, `backward` and `step` on one batch of tensors that "
    "stays the same; no data loader, no shuffling, the loss is not read. Prediction: its own "
    "tensors in and out, under `inference_mode`. Compiled: the network through `torch.compile`, "
    "with the fused optimizer; the compilation is not timed."
)
TRAINING = ("plain", "foreach", "fused", "compiled")
PREDICTION = ("eager", "compiled")
NEEDS_COMPILER = ("compiled",)
SWEEPS = ("fused", "eager")

# The first optimizer of a process imports another large part of PyTorch: have it done here,
# where the workers start side by side, and not in the calibration of the first workload.
torch.optim.SGD([torch.zeros(1)])


def _network(sizes: tuple[int, ...]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inputs, units in pairwise(sizes):
        layers += [nn.Linear(inputs, units), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def _compiled(network: nn.Module) -> Callable[..., Any]:
    if cpp_compiler() is None:
        raise RuntimeError("torch.compile needs a C++ compiler and none was found; install one")
    compiled: Callable[..., Any] = torch.compile(network)
    return compiled


def train(workload: Training, mode: str, threads: int) -> Run:
    """Prepare a training step; see `Peer`."""
    torch.set_num_threads(threads)
    x, y = map(torch.from_numpy, training_data(workload))
    network = _network(workload.sizes)
    loss: nn.Module = nn.MSELoss() if workload.loss == "mse" else nn.CrossEntropyLoss()
    family = torch.optim.SGD if workload.optimizer == "sgd" else torch.optim.Adam
    # On a CPU "plain", a loop over the parameters, is what PyTorch chooses if it is not asked.
    options = {} if mode == "plain" else {"foreach" if mode == "foreach" else "fused": True}
    optimizer = family(network.parameters(), lr=LEARNING_RATE, **options)
    forward = _compiled(network) if mode == "compiled" else network

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        loss(forward(x), y).backward()
        optimizer.step()

    return repeat(step)


def infer(workload: Prediction, mode: str, threads: int) -> Run:
    """Prepare a prediction; see `Peer`."""
    torch.set_num_threads(threads)
    network = _network(workload.sizes).eval()
    forward = _compiled(network) if mode == "compiled" else network
    x = torch.from_numpy(prediction_data(workload))
    calls = repeat(lambda: forward(x))

    def run(steps: int) -> int:
        with torch.inference_mode():
            return calls(steps)

    return run
