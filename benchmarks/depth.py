"""What depth does to signals and to training; writes docs/depth.md and docs/depth.svg.

``python -m benchmarks.depth`` takes about a minute. It measures the variance of pre-activations and
of their gradients, layer by layer, in networks that have not been trained, and then trains networks
of 50 and 200 layers on the digits. Everything follows from seeds; the figures are the same on every
machine, but for the last digits of what is trained on another instruction set.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import cnet

from . import curves
from .report import table

OUTPUT = Path(__file__).parents[1] / "docs" / "depth.md"
ROWS, WIDTH, SEED = 128, 256, 1  # of the measurement of variances
SMALL = cnet.initializers.Normal(0.0, 0.01)

Floats = npt.NDArray[np.float64]


# ---- at the start --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Start:
    """A network at its start: so many layers of one activation and one initialiser."""

    depth: int
    activation: str
    initializer: str | cnet.initializers.Initializer
    initializer_name: str

    @property
    def name(self) -> str:
        """What tables and plots call it."""
        return f"{self.depth} x {self.activation}, {self.initializer_name}"


STARTS = (
    Start(30, "tanh", "glorot_normal", "Glorot"),
    Start(50, "relu", "he_normal", "He"),
    Start(30, "tanh", SMALL, "N(0, 0.01²)"),
    Start(50, "relu", SMALL, "N(0, 0.01²)"),
)


def digits() -> tuple[tuple[Any, Any], tuple[Any, Any]]:
    """Return the digits' training and test rows, (rows, 64) from 0 to 16, with their labels."""
    parts = cnet.datasets.load_digits(split=True)
    (x, y), (x_test, y_test) = ((x.reshape(len(x), -1), y) for x, y in parts)
    return (x, y), (x_test, y_test)


def variances(start: Start, seed: int = SEED) -> tuple[Floats, Floats]:
    """Measure a network's signals layer by layer, on the first digits, in float64.

    The network is taken apart into networks of one layer each, through which values are passed by
    `forward` and the gradient of the cross-entropy by `backward`.

    Parameters
    ----------
    start : Start
    seed : int
        Of the weights.

    Returns
    -------
    forward, backward : (depth,) arrays
        Variance over rows and units of a hidden layer's pre-activations, and of the gradient of the
        loss with respect to them. The output layer is left out.
    """
    hidden: list[cnet.layers.Layer] = []
    for _ in range(start.depth):
        hidden.append(cnet.Dense(WIDTH, kernel_initializer=start.initializer))
        hidden.append(cnet.Activation(start.activation))
    layers = [*hidden, cnet.Dense(10), cnet.Activation("softmax")]
    whole = cnet.Sequential(layers, seed=seed, dtype="float64").build(64)
    weights = iter(whole.get_weights())
    (x, labels), _ = digits()
    values, parts, forward, backward = x[:ROWS] / 16, [], [], []
    for layer in layers:
        if isinstance(layer, cnet.Dense):
            layer = layer.replace(kernel_initializer="zeros")  # it is given the weights of `whole`
        part = cnet.Sequential([layer], dtype="float64").build(values.shape[1])
        part.set_weights([next(weights) for _ in part.parameters])
        values = part.forward(values)
        parts.append(part)
        forward.append(float(np.var(values)))
    gradient: Any = cnet.losses.SparseCategoricalCrossentropy().gradient(values, labels[:ROWS])
    for part in reversed(parts):
        backward.append(float(np.var(gradient)))  # with respect to what the part gives
        gradient = part.backward(gradient)
    end = 2 * start.depth
    return np.array(forward[:end:2]), np.array(backward[::-1][:end:2])


def steps(variance: Floats) -> tuple[float, float]:
    """Return the smallest and the largest ratio of a layer's variance to that of the one before."""
    ratios = variance[1:] / variance[:-1]
    return float(ratios.min()), float(ratios.max())


def start_table(measured: Sequence[tuple[Start, tuple[Floats, Floats]]]) -> list[str]:
    """Write the variances of all starts as a table."""
    rows = []
    for start, directions in measured:
        cells = [start.name]
        for variance in directions:
            low, high = steps(variance)
            cells += [f"{variance[0]:.1e}", f"{variance[-1]:.1e}", f"{low:.2g} to {high:.2g}"]
        rows.append(cells)
    head = ["layers, first weights"]
    for word in ("forward", "backward"):
        head += [f"{word}: first layer", "last layer", "ratio to the layer before"]
    return table(head, rows)


# ---- training ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Recipe:
    """A network of 64 columns all through, and for how many epochs it is trained."""

    name: str
    hidden: Callable[[], list[Any]]
    epochs: int


def plain(depth: int, initializer: Any) -> list[Any]:
    """Return relu layers."""
    return [cnet.Dense(64, "relu", kernel_initializer=initializer) for _ in range(depth)]


def blocks(count: int, *, residual: bool) -> list[Any]:
    """Return blocks of two dense layers behind a normalisation, with the way past them or not."""
    found: list[Any] = []
    for _ in range(count):
        inside = [
            cnet.LayerNormalization(),
            cnet.Dense(64, "relu", kernel_initializer="he_normal"),
            cnet.Dense(64, kernel_initializer="he_normal"),
        ]
        found += [cnet.Residual(inside)] if residual else inside
    return found


RECIPES = (
    Recipe("50 layers, He", lambda: plain(50, "he_normal"), 60),
    Recipe("50 layers, N(0, 0.01²)", lambda: plain(50, SMALL), 60),
    Recipe("200 layers, He", lambda: plain(200, "he_normal"), 15),
    Recipe("200 layers, He, normalised", lambda: blocks(100, residual=False), 15),
    Recipe("the same in 100 residual blocks", lambda: blocks(100, residual=True), 15),
)
SEEDS = (1, 2, 3)
BATCH, RATE = 32, 3e-4


def train(recipe: Recipe, seed: int) -> tuple[float, float, float]:
    """Train on the digits with Adam, its learning rate falling along a cosine.

    Returns
    -------
    first, last : float
        The mean loss of the first and of the last epoch.
    accuracy : float
        On the test rows, after the last epoch.
    """
    (x, y), (x_test, y_test) = digits()
    net = cnet.Sequential([*recipe.hidden(), cnet.Dense(10, "softmax")], seed=seed, scale=1 / 16)
    count = recipe.epochs * -(-len(x) // BATCH)
    rate = cnet.schedules.Cosine(RATE, count)
    net.compile(cnet.Adam(rate), "sparse_categorical_crossentropy", ["accuracy"])
    history = net.fit(x, y, epochs=recipe.epochs, batch_size=BATCH, verbose=0)
    accuracy = net.evaluate(x_test, y_test)["accuracy"]
    return history["loss"][0], history["loss"][-1], accuracy


def training_table(
    outcomes: Sequence[tuple[Recipe, list[tuple[float, float, float]]]],
) -> list[str]:
    """Write what became of all recipes as a table, each figure for every seed."""
    rows = []
    for recipe, found in outcomes:
        first, last, accuracy = zip(*found, strict=True)
        rows.append([
            recipe.name,
            str(recipe.epochs),
            ", ".join(f"{loss:.3f}" for loss in first),
            ", ".join(f"{loss:.3f}" for loss in last),
            ", ".join(f"{100 * share:.1f}" for share in accuracy),
        ])  # fmt: skip
    head = ["network", "epochs", "loss, first epoch", "loss, last epoch", "test accuracy, %"]
    return table(head, rows)


# ---- the page ------------------------------------------------------------------------------------

PAGE = """\
# Depth

What first weights and residual blocks are for, measured. `python -m benchmarks.depth` writes this
page again. All follows from seeds; on another instruction set, what has been trained differs in the
last digits of the losses, and the accuracies may change by a few test images.

## Signals at the start

Dense layers of {width} units, the first {rows} digits as inputs, seed {seed}, float64, nothing
trained. Forward is the variance of a layer's pre-activations over rows and units, backward that of
the gradient of the cross-entropy with respect to them.

{starts}

Glorot's weights keep both within a factor of two from layer to layer, and so do He's in front of
relu: what is left after 30 or 50 layers is of the size of what came in, or a tenth of it. With a
deviation of 0.01 every layer takes off a factor of dozens, in both directions: no gradient arrives
at the first layer.

![Variance layer by layer, forward and backward](depth.svg)

## Training

The digits that come with the package, 64 units in every layer, Adam with a learning rate that falls
from {rate:g} along half a cosine, batches of {batch}, float32. Three figures are those of seeds
{seeds}. A loss of 2.303 is log 10: all classes alike.

{training}

He's weights carry 50 layers; hardly anything comes of 200, and a normalisation in front of every
second layer does not change that (Balduzzi et al., "The shattered gradients problem", ICML 2017,
say why). With a way past them, y = x + f(x), the very same layers train.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, train, write the page and the plot."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.depth", description=__doc__)
    parser.add_argument("--output", type=Path, default=OUTPUT, help="the page; the plot is beside")
    output: Path = parser.parse_args(arguments).output
    measured = [(start, variances(start)) for start in STARTS]
    print(*start_table(measured), sep="\n")
    outcomes = []
    for recipe in RECIPES:
        outcomes.append((recipe, [train(recipe, seed) for seed in SEEDS]))
        print(*training_table(outcomes[-1:])[-1:], flush=True)
    page = PAGE.format(
        width=WIDTH, rows=ROWS, seed=SEED, starts="\n".join(start_table(measured)), rate=RATE,
        batch=BATCH, seeds=", ".join(map(str, SEEDS)), training="\n".join(training_table(outcomes)),
    )  # fmt: skip
    output.write_text(page, encoding="utf-8")
    panels = [
        curves.Panel(title, [(start.name, found[place]) for start, found in measured])
        for place, title in enumerate(("forward: pre-activations", "backward: their gradients"))
    ]
    output.with_suffix(".svg").write_text(curves.svg(panels, "layer", "variance"), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
