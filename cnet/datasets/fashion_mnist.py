"""Fashion-MNIST, read from files that lie on the machine: nothing is downloaded."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from cnet.datasets.idx import load_idx
from cnet.errors import FileFormatError

if TYPE_CHECKING:
    from cnet.datasets.idx import ImagesAndLabels

FASHION_MNIST_CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
"""The names of Fashion-MNIST's ten classes, in the order of the labels."""

_DEBIAN_FOLDER = "/usr/share/datasets/fashion-mnist"


def load_fashion_mnist(
    folder: str | os.PathLike[str] | None = None,
) -> tuple[ImagesAndLabels, ImagesAndLabels]:
    """Load Fashion-MNIST: 70,000 grey images of clothes, 28 x 28 pixels, in ten classes.

    Parameters
    ----------
    folder : str or os.PathLike, optional
        Where the four files lie that are distributed under the names
        ``{train,t10k}-images-idx3-ubyte.gz`` and ``{train,t10k}-labels-idx1-ubyte.gz``; without
        ``.gz`` will do as well. MNIST's files have the same names and form, so that its folder
        can be given too. Default: where Debian's and Ubuntu's package ``dataset-fashion-mnist``
        puts them, ``/usr/share/datasets/fashion-mnist``.

    Returns
    -------
    (x, y), (x_test, y_test)
        Images, (60000, 28, 28) and (10000, 28, 28) uint8, from 0 (background) to 255: use
        ``scale=1/255`` for a network's input. Labels, (60000,) and (10000,) int64, are indices
        into `FASHION_MNIST_CLASSES`; the files' uint8 is widened because class indices are int64
        everywhere in cnet.

    Raises
    ------
    FileNotFoundError
        If a file is missing; the message says how to get it.
    cnet.errors.FileFormatError
        If a file is damaged, or images and labels do not fit together.

    References
    ----------
    H. Xiao, K. Rasul, R. Vollgraf, *Fashion-MNIST: a Novel Image Dataset for Benchmarking
    Machine Learning Algorithms* (2017), arXiv:1708.07747.
    """
    place = _DEBIAN_FOLDER if folder is None else os.fspath(folder)
    # All four are found before the first is read: a missing one is told at once.
    paths = {
        part: (
            _find(place, f"{part}-images-idx3-ubyte"),
            _find(place, f"{part}-labels-idx1-ubyte"),
        )
        for part in ("train", "t10k")
    }
    return _load_part(*paths["train"]), _load_part(*paths["t10k"])


def _find(folder: str, name: str) -> str:
    for candidate in (f"{name}.gz", name):
        path = os.path.join(folder, candidate)
        if os.path.isfile(path):
            return path
    raise FileNotFoundError(
        f"no {name}.gz or {name} in {folder}: install Fashion-MNIST with "
        "`apt-get install dataset-fashion-mnist` (Debian, Ubuntu), or fetch the four files from "
        "https://github.com/zalandoresearch/fashion-mnist and pass folder="
    )


def _load_part(image_path: str, label_path: str) -> ImagesAndLabels:
    x = load_idx(image_path)
    if x.dtype != np.uint8 or x.shape[1:] != (28, 28):
        raise FileFormatError(
            f"{image_path}: expected uint8 images of shape (N, 28, 28), "
            f"found {x.dtype} {x.shape}; check that it is the file meant"
        )
    y = load_idx(label_path)
    if y.dtype != np.uint8 or y.shape != x.shape[:1]:
        raise FileFormatError(
            f"{label_path}: expected uint8 labels of shape {x.shape[:1]}, one for each image in "
            f"{image_path}, found {y.dtype} {y.shape}; take both from one distribution"
        )
    foreign = np.flatnonzero(y > 9)
    if foreign.size:
        raise FileFormatError(
            f"{label_path}: expected labels from 0 to 9, found {y[foreign[0]]} in row "
            f"{foreign[0]}; check that it is the file meant"
        )
    return x, y.astype(np.int64)
