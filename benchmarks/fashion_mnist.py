"""Train two networks on Fashion-MNIST and write the whole course of it to results/fashion_mnist.md.

``python -m benchmarks.fashion_mnist`` takes about a minute and needs the data set's files
(`cnet.datasets.load_fashion_mnist` says where they come from). What is reported is the accuracy
after the last epoch: no epoch is chosen by its test accuracy.
"""

from __future__ import annotations

import argparse
import datetime
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import cnet

from . import system
from .report import table

OUTPUT = Path(__file__).parent / "results" / "fashion_mnist.md"


@dataclass(frozen=True)
class Recipe:
    """A network and how it is trained.

    Attributes
    ----------
    hidden : tuple of int
        Units of the hidden layers, all relu.
    stages : tuple of (learning rate, epochs)
        Adam's, one after the other. Each stage starts the optimizer afresh.
    goal : float
        Share of the test images that must be recognised in the end.
    """

    hidden: tuple[int, ...]
    stages: tuple[tuple[float, int], ...]
    goal: float
    batch_size: int = 128
    seed: int = 1

    @property
    def name(self) -> str:
        """The widths of all layers."""
        return "-".join(map(str, (784, *self.hidden, 10)))


STAGES = ((1e-3, 15), (1e-4, 5))
RECIPES = (Recipe((100,), STAGES, 0.871), Recipe((256, 128), STAGES, 0.89))


@dataclass(frozen=True)
class Outcome:
    """What came of a recipe.

    Attributes
    ----------
    rows : list of dict
        A row per epoch: learning_rate, loss, accuracy, val_loss, val_accuracy, seconds.
    seconds : float
        Of the whole training, evaluations included.
    parameters : int
        Of the network.
    """

    rows: list[dict[str, float]]
    seconds: float
    parameters: int

    @property
    def accuracy(self) -> float:
        """Share of the test images that are recognised after the last epoch."""
        return self.rows[-1]["val_accuracy"]


def train(recipe: Recipe, verbose: str | int = "auto") -> Outcome:
    """Train a recipe's network on the 60,000 images and follow it on the 10,000 test images.

    Raises
    ------
    FileNotFoundError
        If the data set is not on the machine.
    """
    (x, y), test = cnet.datasets.load_fashion_mnist()
    hidden = [cnet.Dense(units, "relu") for units in recipe.hidden]
    net = cnet.Sequential(
        [cnet.Flatten(), *hidden, cnet.Dense(10, "softmax")], seed=recipe.seed, scale=1 / 255
    )
    rows: list[dict[str, float]] = []
    began = time.perf_counter()
    for rate, epochs in recipe.stages:
        net.compile(cnet.Adam(learning_rate=rate), "sparse_categorical_crossentropy", ["accuracy"])
        history = net.fit(
            x,
            y,
            epochs=epochs,
            batch_size=recipe.batch_size,
            validation_data=test,
            verbose=verbose,
        )
        rows += [{"learning_rate": rate} | row for row in history.rows]
        if history.interrupted:
            raise KeyboardInterrupt
    seconds = time.perf_counter() - began
    return Outcome(rows, seconds, sum(p.size for p in net.parameters.values()))


def describe() -> dict[str, str]:
    """Return what the figures depend on besides the recipes, by caption."""
    machine = system.describe_machine(1)
    wanted = ("CPU", "Cores", "Instruction sets", "Operating system", "Python", "Load before")
    found = cnet.info()
    return {
        "Date": str(datetime.date.today()),
        **{caption: machine[caption] for caption in wanted if caption in machine},
        "cnet": f"{found['cnet']}, instruction set {found['isa']}, {found['threads']} thread",
        "BLAS": found["blas"] or "none",
        "NumPy": found["numpy"],
    }


def render(outcomes: Mapping[Recipe, Outcome], machine: Mapping[str, str], command: str) -> str:
    """Write the report: machine, settings, figures, and the curve of each network."""
    lines = ["# Fashion-MNIST with cnet", "", f"Written by `{command}`.", ""]
    lines += table(["machine", ""], [[name, value] for name, value in machine.items()], 2)
    lines += [
        "",
        "Hidden layers are relu, the last one is softmax with the sparse cross-entropy; weights "
        "are cnet's defaults, float32. Pixels are divided by 255 while batches are gathered, "
        "nothing else is done to the images. The figures are those after the last epoch. Seconds "
        "include the evaluation of the 10,000 test images after every epoch.",
        "",
    ]
    lines += table(
        [
            "network",
            "training",
            "parameters",
            "test accuracy",
            "wanted",
            "seconds in all",
            "per epoch (median)",
        ],
        [
            [
                recipe.name,
                _settings(recipe),
                f"{outcome.parameters:,}",
                f"{outcome.accuracy:.2%}",
                f"{recipe.goal:.1%}",
                f"{outcome.seconds:.1f}",
                f"{median(row['seconds'] for row in outcome.rows):.2f}",
            ]
            for recipe, outcome in outcomes.items()
        ],
        2,
    )
    lines += [
        "",
        "87.1 % is what is published for scikit-learn's `MLPClassifier` with one hidden layer of "
        "100 relu units (Xiao, Rasul, Vollgraf: Fashion-MNIST, arXiv:1708.07747).",
        "",
    ]
    for recipe, outcome in outcomes.items():
        lines += [f"## {recipe.name}", "", *_curve(outcome), ""]
    return "\n".join(lines)


def _settings(recipe: Recipe) -> str:
    stages = ", then ".join(f"{epochs} epochs at {rate:g}" for rate, epochs in recipe.stages)
    return f"Adam, {stages}; batches of {recipe.batch_size}; seed {recipe.seed}"


def _curve(outcome: Outcome) -> list[str]:
    return table(
        ["epoch", "learning rate", "loss", "accuracy", "test loss", "test accuracy", "seconds"],
        [
            [
                str(number),
                f"{row['learning_rate']:g}",
                f"{row['loss']:.4f}",
                f"{row['accuracy']:.2%}",
                f"{row['val_loss']:.4f}",
                f"{row['val_accuracy']:.2%}",
                f"{row['seconds']:.2f}",
            ]
            for number, row in enumerate(outcome.rows, 1)
        ],
        0,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Train every recipe, print the report and write it; 1 if a goal was missed."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.fashion_mnist",
        description="Train two networks on Fashion-MNIST and write down how it went.",
    )
    parser.add_argument("--output", type=Path, default=OUTPUT, help="file to write (%(default)s)")
    output: Path = parser.parse_args(arguments).output
    machine = describe()
    try:
        outcomes = {recipe: train(recipe) for recipe in RECIPES}
    except FileNotFoundError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("broken off; nothing was written", file=sys.stderr)
        return 130
    text = render(outcomes, machine, parser.prog)
    print(text)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(text, encoding="utf-8")
    missed = [recipe.name for recipe, outcome in outcomes.items() if outcome.accuracy < recipe.goal]
    for name in missed:
        print(f"{name} missed its goal", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
