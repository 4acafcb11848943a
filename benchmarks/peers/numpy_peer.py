"""NumPy: backpropagation written out by hand, as a careful user would."""

from __future__ import annotations

import numpy as np

from ..workloads import (
    LEARNING_RATE,
    Floats,
    Prediction,
    Training,
    initial_parameters,
    prediction_data,
    training_data,
)
from . import Run, repeat


def _version() -> str:
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    return f"{np.__version__} ({blas['name']} {blas['version']})"


NAME = "NumPy"
VERSION = _version()
MEASURED = (
    "Training: a hand-written step on one batch that stays the same, no shuffling, the loss is "
    "not computed. Prediction: arrays in, arrays out."
)
TRAINING = ("by hand",)
PREDICTION = ("by hand",)
NEEDS_COMPILER: tuple[str, ...] = ()
SWEEPS = ("by hand",)

BETA_1, BETA_2, EPSILON = np.float32(0.9), np.float32(0.999), np.float32(1e-8)


def _forward(layers: list[tuple[Floats, Floats]], x: Floats) -> list[Floats]:
    """Return the input and the output of every layer: (B, units) each."""
    outputs = [x]
    for i, (weight, bias) in enumerate(layers):
        z = outputs[-1] @ weight
        z += bias
        if i < len(layers) - 1:
            np.maximum(z, 0, out=z)
        outputs.append(z)
    return outputs


def train(workload: Training, mode: str, threads: int) -> Run:
    """Prepare a training step; see `Peer`."""
    x, y = training_data(workload)
    layers = initial_parameters(workload.sizes)
    parameters = [array for layer in layers for array in layer]
    first = [np.zeros_like(p) for p in parameters]
    second = [np.zeros_like(p) for p in parameters]
    rows, rate = np.arange(workload.batch), np.float32(LEARNING_RATE)
    steps = 0

    def loss_gradient(z: Floats) -> Floats:
        if workload.loss == "mse":
            return np.asarray((z - y) * np.float32(2 / y.size))
        d = np.exp(z - z.max(1, keepdims=True))
        d /= d.sum(1, keepdims=True)
        d[rows, y] -= 1
        d /= workload.batch
        return np.asarray(d)

    def step() -> None:
        nonlocal steps
        steps += 1
        outputs = _forward(layers, x)
        d = loss_gradient(outputs[-1])
        gradients: list[Floats] = []
        for i in reversed(range(len(layers))):
            gradients[:0] = [outputs[i].T @ d, d.sum(0)]
            if i:
                d = d @ layers[i][0].T
                d *= outputs[i] > 0
        if workload.optimizer == "sgd":
            for p, g in zip(parameters, gradients, strict=True):
                p -= rate * g
            return
        # The corrections of both moments as one factor: Kingma and Ba 2015, end of section 2.
        corrected = rate * np.float32((1 - 0.999**steps) ** 0.5 / (1 - 0.9**steps))
        for p, g, m, v in zip(parameters, gradients, first, second, strict=True):
            m *= BETA_1
            m += (1 - BETA_1) * g
            v *= BETA_2
            v += (1 - BETA_2) * g * g
            p -= corrected * m / (np.sqrt(v) + EPSILON)

    return repeat(step)


def infer(workload: Prediction, mode: str, threads: int) -> Run:
    """Prepare a prediction; see `Peer`."""
    layers, x = initial_parameters(workload.sizes), prediction_data(workload)
    return repeat(lambda: _forward(layers, x)[-1])
