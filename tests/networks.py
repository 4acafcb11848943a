"""Small networks and data that several test files share."""

from __future__ import annotations

import numpy as np
import pytest

import cnet


def rows(n: int, columns: int, dtype="float64", seed: int = 0) -> np.ndarray:
    """Return standard normal numbers, the same ones every time."""
    return np.random.default_rng(seed).normal(size=(n, columns)).astype(dtype)


def regression(n: int = 40, inputs: int = 4, outputs: int = 2, dtype="float64"):
    """Return (x, y) with y a smooth function of x."""
    x = rows(n, inputs, seed=1)
    y = np.tanh(x @ rows(inputs, outputs, seed=2)) + 0.1 * rows(n, outputs, seed=3)
    return x.astype(dtype), y.astype(dtype)


def classes(n: int = 60, inputs: int = 4, count: int = 3):
    """Return (x, labels) with every class among the labels."""
    x = rows(n, inputs, seed=4)
    labels = (x @ rows(inputs, count, seed=5)).argmax(axis=1)
    labels[:count] = np.arange(count)
    return x, labels


def regressor(optimizer="sgd", loss="mse", *, outputs=2, metrics=(), **settings) -> cnet.Sequential:
    """Return a compiled network with one hidden layer, not built yet."""
    layers = [cnet.Dense(5, "tanh"), cnet.Dense(outputs)]
    net = cnet.Sequential(layers, **{"seed": 7, "dtype": "float64"} | settings)
    return net.compile(optimizer, loss, metrics)


def linear(inputs: int, outputs: int, learning_rate: float = 0.1, **settings) -> cnet.Sequential:
    """Return a built and compiled y = x W + b, whose steps are easy to work out by hand."""
    net = cnet.Sequential(
        [cnet.Dense(outputs, inputs=inputs)], **{"seed": 7, "dtype": "float64"} | settings
    )
    return net.compile(cnet.SGD(learning_rate=learning_rate), "mse")


def classifier(**settings) -> cnet.Sequential:
    """Return a compiled classifier of three classes with one hidden layer, not built yet."""
    layers = [cnet.Dense(8, "relu"), cnet.Dense(3, "softmax")]
    net = cnet.Sequential(layers, **{"seed": 7, "dtype": "float64"} | settings)
    optimizer = cnet.Adam(learning_rate=0.02)
    return net.compile(optimizer, "sparse_categorical_crossentropy", ["accuracy"])


def snapshot(net: cnet.Sequential) -> dict[str, bytes]:
    """Return everything that training changes, as bytes: parameters, optimizer state, counters."""
    state = {name: values.tobytes() for name, values in net.parameters.items()}
    state |= {name: values.tobytes() for name, values in net.buffers.items()}
    state["passes"] = str(net.passes).encode()
    if net.is_compiled:
        state["steps"] = net.rule.running.tobytes()
        for number, flat in enumerate(net.rule.states):  # the gaps between parameters do not count
            for name, values in net.built.views(flat).items():
                state[f"{name}, state {number}"] = values.tobytes()
    return state


def losses_of(history: cnet.History) -> list[float]:
    """Return the losses of all epochs, and the validation losses if there are some."""
    return [loss for key in ("loss", "val_loss") if key in history for loss in history[key]]


def refused(error, *words):
    """Return a context that wants an error whose message has all the regular expressions."""
    return pytest.raises(error, match="(?s)" + "".join(f"(?=.*{word})" for word in words))


class Unchanged:
    """A context after which the network is bit for bit what it was."""

    def __init__(self, net):
        self.net, self.before = net, snapshot(net)

    def __enter__(self):
        return self.net

    def __exit__(self, *_):
        assert snapshot(self.net) == self.before


class NoStep(Unchanged):
    """The same for what steps change: an order of the rows may have been drawn."""

    def __exit__(self, *_):
        assert snapshot(self.net) | {"passes": self.before["passes"]} == self.before


def drawn(layers, inputs, *, loss="mse", optimizer=None, dtype="float64", seed=3):
    """Return a compiled network whose parameters and buffers are nobody's first values."""
    net = cnet.Sequential(layers, seed=seed, dtype=dtype).build(inputs)
    net.compile(optimizer or cnet.SGD(learning_rate=0.0), loss)
    rng = np.random.default_rng(seed)
    for name, values in net.parameters.items():
        low, high = (0.5, 1.5) if name.endswith("gamma") else (-0.8, 0.8)
        values[...] = rng.uniform(low, high, values.shape)
    for name, values in net.buffers.items():
        low, high = (0.5, 2.0) if name.endswith("variance") else (-0.5, 0.5)
        values[...] = rng.uniform(low, high, values.shape)
    return net


def only_buffers(net: cnet.Sequential) -> dict[str, np.ndarray]:
    """Return copies of the buffers."""
    return {name: values.copy() for name, values in net.buffers.items()}
