"""What every technique buys: each is added to the last, with several seeds and their spread.

``python -m benchmarks.ladder fashion`` trains on Fashion-MNIST (its files are needed,
`cnet.datasets.load_fashion_mnist` says where they come from; about 20 minutes);
``python -m benchmarks.ladder digits`` trains on 200 of the digits that come with the package, a
minute. Each writes a table to results/. The figures are those after the last epoch: no epoch is
chosen by the images that are counted. Settings were tried on them: Fashion-MNIST's with seed 1, the
digits' with seeds that are not counted here.
"""

from __future__ import annotations

import argparse
import datetime
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np

import cnet

from . import system
from .report import table

RESULTS = Path(__file__).parent / "results"
FLIP = cnet.augment.RandomFlip(horizontal=True)


@dataclass(frozen=True)
class Setup:
    """How a network is made and trained.

    Attributes
    ----------
    hidden : tuple of int
        Units of the hidden layers, all relu.
    rate : float
        Adam's, or the schedule's highest.
    """

    hidden: tuple[int, ...]
    epochs: int
    batch_size: int
    rate: float = 1e-3
    cosine: bool = False
    weight_decay: float = 0.0
    normalise: bool = False
    dropout: float = 0.0
    smoothing: float = 0.0
    augment: tuple[Any, ...] = ()
    averaging: Any = None

    def network(
        self, shape: tuple[int, ...], rows: int, seed: int, scale: float
    ) -> cnet.Sequential:
        """Build and compile the network for images of a shape, to be trained on so many."""
        layers: list[Any] = [cnet.Flatten()]
        for units in self.hidden:
            if self.normalise:
                layers += [
                    cnet.Dense(units, use_bias=False),
                    cnet.BatchNormalization(),
                    cnet.Activation("relu"),
                ]
            else:
                layers.append(cnet.Dense(units, "relu"))
            if self.dropout:
                layers.append(cnet.Dropout(self.dropout))
        net = cnet.Sequential([*layers, cnet.Dense(10, "softmax")], seed=seed, scale=scale)
        net.build(shape)
        steps = -(-rows // self.batch_size) * self.epochs
        rate: Any = self.rate
        if self.cosine:
            after = cnet.schedules.Cosine(self.rate, steps - steps // 20)
            rate = cnet.schedules.WarmUp(steps // 20, after)
        loss = cnet.losses.SparseCategoricalCrossentropy(label_smoothing=self.smoothing)
        optimizer = cnet.AdamW(learning_rate=rate, weight_decay=self.weight_decay)
        return net.compile(optimizer, loss, ["accuracy"], averaging=self.averaging)


@dataclass(frozen=True)
class Rung:
    """A technique: its name, and what it changes in a setup."""

    name: str
    change: Mapping[str, Any]


@dataclass(frozen=True)
class Ladder:
    """A data set and the techniques in their order.

    Attributes
    ----------
    title, about : str
    data : function of a seed
        Gives (x, y), (x, y) for training and for counting, and what pixels are multiplied by.
    first : Setup
    rungs : tuple of Rung
    seeds : int
    """

    title: str
    about: str
    data: Callable[[int], tuple[Any, Any, float]]
    first: Setup
    rungs: tuple[Rung, ...]
    seeds: int

    def setups(self) -> list[tuple[str, Setup]]:
        """Return the name and the setup of every rung, from the first one on."""
        setups = [("plain: Adam at a constant rate", self.first)]
        for rung in self.rungs:
            setups.append((f"+ {rung.name}", replace(setups[-1][1], **rung.change)))
        return setups


@dataclass(frozen=True)
class Score:
    """What came of one seed: shares of the images recognised, in training as they were seen."""

    accuracy: float
    training: float


def fashion(_: int) -> tuple[Any, Any, float]:
    """Return Fashion-MNIST."""
    train, test = cnet.datasets.load_fashion_mnist()
    return train, test, 1 / 255


def few_digits(seed: int) -> tuple[Any, Any, float]:
    """Return 200 digits drawn by the seed, as many of each class, and all others."""
    x, y = cnet.datasets.load_digits()
    order = np.random.default_rng(seed).permutation(len(y))
    chosen = np.concatenate([order[y[order] == label][:20] for label in range(10)])
    rest = np.setdiff1d(order, chosen)
    return (x[chosen], y[chosen]), (x[rest], y[rest]), 1 / 16


LADDERS = {
    "fashion": Ladder(
        "Fashion-MNIST",
        "60,000 images for training, 10,000 for counting. In so few epochs images that are "
        "mirrored and shifted are not learnt to the end, and cost accuracy; "
        "examples/fashion_mnist_recipe.py trains five times as long.",
        fashion,
        Setup((512, 512), epochs=10, batch_size=128),
        (
            Rung("cosine schedule with warm-up", {"cosine": True}),
            Rung("batch normalisation, rate 3e-3", {"normalise": True, "rate": 3e-3}),
            Rung("decoupled weight decay 0.05", {"weight_decay": 0.05}),
            Rung("dropout 0.1", {"dropout": 0.1}),
            Rung("label smoothing 0.1", {"smoothing": 0.1}),
            Rung("mirrored images", {"augment": (FLIP,)}),
            Rung("shifts by a pixel", {"augment": (FLIP, cnet.augment.RandomCrop(padding=1))}),
            Rung("exponential average of weights", {"averaging": cnet.EMA(0.999)}),
        ),
        3,
    ),
    "digits": Ladder(
        "The digits, 200 for training",
        "20 images of each class for training, drawn anew with every seed; the other 1,597 for "
        "counting.",
        few_digits,
        Setup((128, 128), epochs=200, batch_size=20),
        (
            Rung("cosine schedule with warm-up", {"cosine": True}),
            Rung("batch normalisation", {"normalise": True}),
            Rung("dropout 0.3", {"dropout": 0.3}),
            Rung(
                "shifts of up to half a pixel",
                {"augment": (cnet.augment.RandomAffine(translation=0.06),)},
            ),
            Rung(
                "rotation, zoom and shear (10 degrees, a tenth)",
                {
                    "augment": (
                        cnet.augment.RandomAffine(
                            translation=0.06, rotation=10, zoom=0.1, shear=10
                        ),
                    )
                },
            ),
            Rung("512 units a layer", {"hidden": (512, 512)}),
            Rung("label smoothing 0.1", {"smoothing": 0.1}),
            Rung("decoupled weight decay 0.1", {"weight_decay": 0.1}),
            Rung("exponential average of weights", {"averaging": cnet.EMA(0.99)}),
        ),
        20,
    ),
}


def climb(ladder: Ladder, setup: Setup, seed: int) -> Score:
    """Train with a setup and a seed, and count."""
    (x, y), (x_test, y_test), scale = ladder.data(seed)
    net = setup.network(x.shape[1:], len(x), seed, scale)
    history = net.fit(
        x, y, epochs=setup.epochs, batch_size=setup.batch_size, verbose=0, augment=setup.augment
    )
    if history.interrupted:
        raise KeyboardInterrupt
    found = net.evaluate(x_test, y_test)
    return Score(found["accuracy"], history["accuracy"][-1])


def render(ladder: Ladder, scores: Mapping[str, list[Score]], command: str) -> str:
    """Write the report: machine, settings, and the table."""
    machine = system.describe_machine(cnet.get_threads())
    wanted = ("CPU", "Cores", "Instruction sets", "Operating system", "Python")
    facts = {"Date": str(datetime.date.today())}
    facts |= {caption: machine[caption] for caption in wanted if caption in machine}
    facts["cnet"] = f"{cnet.__version__}, {cnet.get_threads()} threads"
    first = ladder.first
    lines = [f"# What every technique buys: {ladder.title}", "", f"Written by `{command}`.", ""]
    lines += table(["machine", ""], [[name, value] for name, value in facts.items()], 2)
    lines += [
        "",
        f"{ladder.about} Hidden layers of {' and '.join(map(str, first.hidden))} relu units, "
        f"{first.epochs} epochs, batches of {first.batch_size}, Adam at {first.rate:g} unless a "
        f"line says otherwise. Each line adds to the one above it. Mean and standard deviation "
        f"over {ladder.seeds} seeds, after the last epoch; the gain is that of the means, with its "
        "standard error.",
        "",
    ]
    rows, before = [], None
    for name, found in scores.items():
        accuracy = [score.accuracy for score in found]
        gain = ""
        if before is not None:
            differences = [a - b for a, b in zip(accuracy, before, strict=True)]
            error = _spread(differences) / len(differences) ** 0.5
            gain = f"{100 * mean(differences):+.2f} +- {100 * error:.2f}"
        rows.append(
            [
                name,
                f"{mean(accuracy):.2%}",
                f"{100 * _spread(accuracy):.2f}",
                gain,
                f"{mean(score.training for score in found):.2%}",
            ]
        )
        before = accuracy
    captions = ["training", "accuracy", "spread", "gain", "on training rows as they are seen"]
    return "\n".join([*lines, *table(captions, rows, 1), ""])


def _spread(values: Sequence[float]) -> float:
    return stdev(values) if len(values) > 1 else 0.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Climb a ladder, print the report and write it."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.ladder", description="Add one technique after another."
    )
    parser.add_argument("ladder", choices=LADDERS)
    parser.add_argument("--seeds", type=int, help="runs of each line")
    parser.add_argument("--epochs", type=int, help="of each run")
    parser.add_argument("--output", type=Path, help="file to write (in benchmarks/results)")
    options = parser.parse_args(arguments)
    ladder = LADDERS[options.ladder]
    ladder = replace(ladder, seeds=options.seeds or ladder.seeds)
    if options.epochs:
        ladder = replace(ladder, first=replace(ladder.first, epochs=options.epochs))
    scores: dict[str, list[Score]] = {}
    try:
        for name, setup in ladder.setups():
            scores[name] = [climb(ladder, setup, seed) for seed in range(1, ladder.seeds + 1)]
            print(f"{name}: {mean(score.accuracy for score in scores[name]):.2%}", flush=True)
    except FileNotFoundError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("broken off; nothing was written", file=sys.stderr)
        return 130
    text = render(ladder, scores, f"{parser.prog} {options.ladder}")
    output: Path = options.output or RESULTS / f"ladder_{options.ladder}.md"
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(text, encoding="utf-8")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
