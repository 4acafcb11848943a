"""What each technique adds to a training step, set against the plain network in turns.

``python -m benchmarks.techniques`` trains 784-512-512-10 on batches of 128 images with Adam, by
`fit`, with and without: two minutes, one thread.
"""

from __future__ import annotations

import argparse
import datetime
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import cnet

from . import report, system

ROWS, BATCH, UNITS = 2048, 128, 512
OUTPUT = Path(__file__).parent / "results" / "techniques.md"


def network(
    after: Callable[[], list[Any]] | None = None,
    *,
    rate: Any = 1e-3,
    optimizer: Callable[..., Any] = cnet.Adam,
    averaging: Any = None,
    groups: Any = None,
    normalize_inputs: Any = None,
    residual: bool = False,
    dense: Mapping[str, Any] | None = None,
    **settings: Any,
) -> cnet.Sequential:
    """Build and compile the network; `after` makes what stands behind each hidden activation."""
    layers: list[Any] = [cnet.Flatten()]
    for number in range(2):
        hidden = [cnet.Dense(UNITS, "relu", **(dense or {})), *(after() if after else ())]
        layers += [cnet.Residual(hidden)] if residual and number else hidden
    net = cnet.Sequential(
        [*layers, cnet.Dense(10, "softmax")], seed=1, normalize_inputs=normalize_inputs
    )
    net.build((28, 28))
    return net.compile(
        optimizer(learning_rate=rate, **settings),
        "sparse_categorical_crossentropy",
        groups=groups,
        averaging=averaging,
    )


def techniques() -> dict[str, tuple[cnet.Sequential, dict[str, Any]]]:
    """Return a network and what `fit` is told besides, by the name of the technique."""
    augment = cnet.augment
    crop = augment.RandomCrop(padding=2)
    made: dict[str, tuple[cnet.Sequential, dict[str, Any]]] = {
        "dropout": (network(lambda: [cnet.Dropout(0.3)]), {}),
        "Gaussian dropout": (network(lambda: [cnet.GaussianDropout(0.3)]), {}),
        "batch normalisation": (network(lambda: [cnet.BatchNormalization()]), {}),
        "layer normalisation": (network(lambda: [cnet.LayerNormalization()]), {}),
        "a residual block": (network(residual=True), {}),
        "clipping by the global norm": (network(global_clipnorm=1.0), {}),
        "clipping by each norm": (network(clipnorm=1.0), {}),
        "L2 of the weights": (network(dense={"kernel_regularizer": "l2"}), {}),
        "max-norm": (network(dense={"kernel_constraint": "max_norm"}), {}),
        "a cosine schedule": (network(rate=cnet.schedules.Cosine(1e-3, 1000)), {}),
        "a learning rate per layer": (
            network(groups={"dense_1": cnet.Group(learning_rate_factor=0.1)}),
            {},
        ),
        "exponential average of weights": (network(averaging=cnet.EMA(0.999)), {}),
        "look-ahead": (network(averaging=cnet.Lookahead()), {}),
        "normalised inputs": (network(normalize_inputs="standardize"), {}),
        "mirrored and shifted images": (network(), {"augment": [augment.RandomFlip(), crop]}),
        "rotated and zoomed images": (
            network(),
            {"augment": [augment.RandomAffine(rotation=10, zoom=0.1)]},
        ),
        "mixup": (network(), {"augment": [augment.Mixup(0.2)]}),
        "accuracy as a metric": (_measured(["accuracy"]), {}),
        "F1, of the whole epoch": (_measured(["f1"]), {}),
        "Muon in place of Adam": (network(optimizer=cnet.Muon), {}),
        "schedule-free AdamW in its place": (network(optimizer=cnet.ScheduleFreeAdamW), {}),
    }
    return made


def _measured(metrics: list[str]) -> cnet.Sequential:
    net = network()
    return net.compile(cnet.Adam(), "sparse_categorical_crossentropy", metrics)


def measure(rounds: int) -> dict[str, list[float]]:
    """Return the ratios of times, technique to plain, of every round."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((ROWS, 28, 28)).astype(np.float32)
    y = rng.integers(0, 10, ROWS)
    plain = network()
    found: dict[str, list[float]] = {}

    def seconds(net: cnet.Sequential, settings: Mapping[str, Any]) -> float:
        began = time.perf_counter()
        net.fit(x, y, batch_size=BATCH, verbose=0, threads=1, **settings)
        return time.perf_counter() - began

    made = techniques()
    for net, settings in ((plain, {}), *made.values()):
        seconds(net, settings)  # memory and caches
    for _ in range(rounds):
        for name, (net, settings) in made.items():
            # The plain one before and after, so that a machine that gets slower hits both alike.
            before = seconds(plain, {})
            own = seconds(net, settings)
            found.setdefault(name, []).append(2 * own / (before + seconds(plain, {})))
    return found


def render(found: Mapping[str, list[float]], command: str) -> str:
    """Write the report: machine and table."""
    machine = system.describe_machine(1)
    facts = {"Date": str(datetime.date.today())} | machine | {"cnet": cnet.__version__}
    rounds = len(next(iter(found.values())))
    lines = ["# What a technique adds to a step", "", f"Written by `{command}`.", ""]
    lines += report.table(["machine", ""], [[name, value] for name, value in facts.items()], 2)
    lines += [
        "",
        f"784-{UNITS}-{UNITS}-10, batches of {BATCH} rows, Adam, float32, one thread, `fit` on "
        f"{ROWS:,} images. Each technique takes turns with the plain network; {rounds} rounds.",
        "",
    ]
    rows = [
        [name, f"{100 * (statistics.median(ratios) - 1):+.1f} %", _quartiles(ratios)]
        for name, ratios in found.items()
    ]
    lines += report.table(["technique", "median", "middle half of the rounds"], rows, 1)
    return "\n".join([*lines, ""])


def _quartiles(ratios: list[float]) -> str:
    low, _, high = (100 * (value - 1) for value in statistics.quantiles(ratios, n=4))
    return f"{low:+.1f} to {high:+.1f} %"


def main(arguments: list[str] | None = None) -> int:
    """Measure, print the report and write it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.techniques", description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="turns of each, at least 2")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="file to write (%(default)s)")
    options = parser.parse_args(arguments)
    text = render(measure(options.rounds), parser.prog)
    print(text)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
