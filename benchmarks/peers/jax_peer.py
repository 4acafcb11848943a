"""JAX with Optax: a compiled step, or a compiled loop over a stack of batches."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ..workloads import (
    LEARNING_RATE,
    Prediction,
    Training,
    initial_parameters,
    prediction_data,
    training_data,
)
from . import Run, repeat, repeat_block

NAME = "JAX"
VERSION = f"{jax.__version__} (Optax {optax.__version__})"
MEASURED = (
    "Training: a jitted step with donated buffers on one batch that stays the same, or `scan` "
    "over a stack of up to 20 such batches in one call; no shuffling, the loss is computed but "
    "not read. Prediction: jitted, NumPy arrays in and out. Compilation is not timed."
)
TRAINING = ("step", "scan")
PREDICTION = ("jit",)
NEEDS_COMPILER: tuple[str, ...] = ()
SWEEPS = ("scan", "jit")

LONGEST_SCAN = 20


def _parameters(sizes: tuple[int, ...]) -> Any:
    return jax.tree.map(jnp.asarray, initial_parameters(sizes))


def _forward(parameters: Any, x: Any) -> Any:
    for i, (weight, bias) in enumerate(parameters):
        x = x @ weight + bias
        if i < len(parameters) - 1:
            x = jax.nn.relu(x)
    return x


def train(workload: Training, mode: str, threads: int) -> Run:
    """Prepare a training step; see `Peer`."""
    family = optax.sgd if workload.optimizer == "sgd" else optax.adam
    optimizer = family(LEARNING_RATE)
    parameters = _parameters(workload.sizes)
    carry = (parameters, optimizer.init(parameters))
    x, y = map(jnp.asarray, training_data(workload))

    def loss(parameters: Any, x: Any, y: Any) -> Any:
        z = _forward(parameters, x)
        if workload.loss == "mse":
            return ((z - y) ** 2).mean()
        return optax.softmax_cross_entropy_with_integer_labels(z, y).mean()

    def one(carry: Any, batch: Any) -> Any:
        parameters, state = carry
        value, gradients = jax.value_and_grad(loss)(parameters, *batch)
        updates, state = optimizer.update(gradients, state, parameters)
        return (optax.apply_updates(parameters, updates), state), value

    if mode == "step":
        compiled = jax.jit(one, donate_argnums=0)

        def step() -> None:
            nonlocal carry
            carry, value = compiled(carry, (x, y))
            value.block_until_ready()

        return repeat(step)

    length = min(LONGEST_SCAN, workload.batches)
    stack = (jnp.stack([x] * length), jnp.stack([y] * length))
    scan = jax.jit(lambda carry, stack: jax.lax.scan(one, carry, stack), donate_argnums=0)

    def scans(count: int) -> None:
        nonlocal carry
        for _ in range(count):
            carry, values = scan(carry, stack)
            values.block_until_ready()

    return repeat_block(scans, length)


def infer(workload: Prediction, mode: str, threads: int) -> Run:
    """Prepare a prediction; see `Peer`."""
    parameters, x = _parameters(workload.sizes), prediction_data(workload)
    forward = jax.jit(_forward)
    return repeat(lambda: np.asarray(forward(parameters, x)))
