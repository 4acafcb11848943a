"""`python -m cnet demo`: train a network, show what it gets wrong, save it and load it again."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cnet.datasets import FASHION_MNIST_CLASSES, load_digits, load_fashion_mnist
from cnet.info import info
from cnet.io import load, save
from cnet.layers import Dense, Flatten
from cnet.model import Sequential
from cnet.summary import memory_text

Array = npt.NDArray[Any]

# Characters of a line of pictures: what fits everywhere, whatever the stream is connected to.
LINE = 78
GAP = "   "
# From paper to ink; the second set for streams that cannot carry the first.
BLOCKS, LETTERS = " ░▒▓█", " .:+#"


@dataclass(frozen=True)
class Task:
    """Images to tell apart, and a network that does it.

    Attributes
    ----------
    things : str
        What is on the images, in the plural.
    classes : tuple of str
        Names, in the order of the labels.
    load : callable
        Returns (x, y), (x_test, y_test): (N, height, width) uint8 images and (N,) int64 labels.
    white : int
        The largest value of a pixel.
    units, batch_size, epochs : int
        Of the one hidden layer, and of its training.
    pictures, mistakes : int
        How many images to draw, and how many of these the network should have got wrong.
    """

    things: str
    classes: tuple[str, ...]
    load: Callable[[], tuple[tuple[Array, Array], tuple[Array, Array]]]
    white: int
    units: int
    batch_size: int
    epochs: int
    pictures: int
    mistakes: int


DIGITS = Task(
    things="handwritten digits",
    classes=tuple("0123456789"),
    load=lambda: load_digits(split=True),
    white=16,
    units=128,
    batch_size=32,
    epochs=60,
    pictures=8,
    mistakes=2,
)
FASHION = Task(
    things="pieces of clothing",
    classes=FASHION_MNIST_CLASSES,
    load=load_fashion_mnist,
    white=255,
    units=128,
    batch_size=128,
    epochs=6,
    pictures=4,
    mistakes=2,
)


def run(task: Task, seed: int, epochs: int | None = None, path: Path | None = None) -> bool:
    """Do the whole demonstration on standard output; progress goes to standard error.

    Parameters
    ----------
    task : Task
    seed : int
        Of the network.
    epochs : int, optional
        Other than the task's own.
    path : Path, optional
        Where to leave the trained network; by default it goes to a temporary folder.

    Returns
    -------
    bool
        Whether the saved and reloaded network predicts what the trained one does.

    Raises
    ------
    OSError
        If the data are not there, or the network cannot be saved.
    """
    (x, y), (x_test, y_test) = task.load()
    found = info()
    print(f"cnet {found['cnet']}, instruction set {found['isa']}")
    size = " x ".join(map(str, x.shape[1:]))
    print(
        f"{len(x):,} {task.things} of {size} pixels to learn from, {len(x_test):,} held out, "
        f"seed {seed}\n"
    )
    net = Sequential(
        [Flatten(), Dense(task.units, "relu"), Dense(len(task.classes), "softmax")],
        seed=seed,
        scale=1 / task.white,
    )
    net.build(x.shape[1:])
    net.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
    net.summary()
    print(flush=True)
    began = time.perf_counter()
    history = net.fit(
        x,
        y,
        epochs=task.epochs if epochs is None else epochs,
        batch_size=task.batch_size,
        validation_data=(x_test, y_test),
    )
    seconds = time.perf_counter() - began
    outputs = net.predict(x_test)
    guesses = outputs.argmax(axis=1)
    right = float(np.mean(guesses == y_test))
    print(f"Trained for {len(history)} epochs in {seconds:.2f} s.")
    print(
        f"{right:.1%} of the {task.things} held out are recognised, "
        f"{np.count_nonzero(guesses != y_test):,} of {len(y_test):,} are not.\n"
    )
    print(confusion_matrix(task.classes, y_test, guesses), end="\n\n")
    chosen = choose(y_test, outputs, task.pictures, task.mistakes)
    print(gallery(task, x_test[chosen], y_test[chosen], outputs[chosen]))
    return keep(net, x_test, outputs, path)


def keep(net: Sequential, x: Array, outputs: Array, path: Path | None) -> bool:
    """Save and load a network, and say whether it still gives the same outputs for x."""
    with tempfile.TemporaryDirectory() as folder:
        place = path if path is not None else Path(folder, "demo.safetensors")
        save(net, place)
        size = place.stat().st_size
        same = np.array_equal(load(place).predict(x), outputs)
    where = f" to {path}" if path is not None else ""
    verdict = "predicts the same, bit for bit" if same else "predicts something else"
    print(f"Saved{where} ({memory_text(size)}), loaded again: the loaded network {verdict}.")
    return same


def confusion_matrix(classes: Sequence[str], labels: Array, guesses: Array) -> str:
    """Return how often which class was taken for which, as a table.

    Parameters
    ----------
    classes : sequence of str
    labels, guesses : (N,) arrays of class indices
    """
    n = len(classes)
    counts = np.bincount(n * labels + guesses, minlength=n * n).reshape(n, n)
    cell = max(4, len(f"{counts.max():,}") + 2)
    titles = [name if name == str(k) else f"{k} {name}" for k, name in enumerate(classes)]
    left = max(map(len, [*titles, "is"]))
    lines = ["is".ljust(left) + "   taken for"]
    lines.append(" " * left + "".join(f"{k:>{cell}}" for k in range(n)))
    for title, row in zip(titles, counts, strict=True):
        numbers = "".join(f"{f'{count:,}' if count else '.':>{cell}}" for count in row)
        lines.append(title.ljust(left) + numbers)
    return "\n".join(lines)


def choose(labels: Array, outputs: Array, pictures: int, mistakes: int) -> list[int]:
    """Return rows to show: one of each class that is right, then the mistakes that look surest.

    Parameters
    ----------
    labels : (N,) array of class indices
    outputs : (N, classes) array of probabilities
    pictures, mistakes : int
        How many rows in all, and how many wrong ones at most.
    """
    guesses = outputs.argmax(axis=1)
    wrong = np.flatnonzero(guesses != labels)
    surest = wrong[np.argsort(-outputs[wrong].max(axis=1), kind="stable")][:mistakes]
    good = np.flatnonzero(guesses == labels)
    first = good[np.unique(labels[good], return_index=True)[1]]
    return [*map(int, first[: pictures - len(surest)]), *map(int, surest)]


def gallery(task: Task, images: Array, labels: Array, outputs: Array) -> str:
    """Return images side by side, with what the network says under each."""
    shades = BLOCKS if carries(sys.stdout, BLOCKS) else LETTERS
    pictures = []
    for image, label, row in zip(images, labels, outputs, strict=True):
        guess = int(row.argmax())
        verdict = "right" if guess == label else f"wrong, it is {task.classes[label]}"
        lines = draw(image / task.white, shades)
        captions = (f"{task.classes[guess]}, {row[guess]:.0%}", verdict)
        pictures.append([*lines, *(caption.ljust(len(lines[0])) for caption in captions)])
    per_line = max(1, (LINE + len(GAP)) // (len(pictures[0][0]) + len(GAP))) if pictures else 1
    blocks = []
    for i in range(0, len(pictures), per_line):
        rows = zip(*pictures[i : i + per_line], strict=True)
        blocks.append("".join(GAP.join(row).rstrip() + "\n" for row in rows))
    return "\n".join(blocks)


def draw(image: Array, shades: str) -> list[str]:
    """Return an image as lines of text.

    A character is about twice as high as it is wide: of a small image, each pixel becomes two
    characters; of a large one, each pair of rows becomes one line.

    Parameters
    ----------
    image : (height, width) array
        From 0 (paper) to 1 (ink); the height of a large one is even.
    shades : str
        Characters from paper to ink.
    """
    height, width = image.shape
    if 2 * width <= LINE // 2:
        image = np.repeat(image, 2, axis=1)
    else:
        image = image.reshape(height // 2, 2, width).mean(axis=1)
    steps = np.rint(image * (len(shades) - 1)).astype(int)
    return ["".join(shades[step] for step in row) for row in steps]


def carries(stream: Any, text: str) -> bool:
    """Return whether a stream's encoding has these characters; an unknown encoding has not."""
    try:
        text.encode(getattr(stream, "encoding", None) or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
