"""`Shards`: a data set in parts that need not be in memory together."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, TypeAlias

import numpy as np

from cnet.data import as_array
from cnet.errors import ShapeError, check_integer, check_sequence

Part: TypeAlias = "tuple[Any, ...] | list[Any]"


class Shards:
    """A data set in parts, for `fit` and `evaluate`: each is loaded when its turn comes.

    Batches do not reach over the end of a shard: its last one may be smaller. `shuffle=True` takes
    the shards in a new order every epoch, and the rows of each in a new order; the network's seed
    decides both. Rows of different shards are not mixed: put them into shards at random, or at
    least not sorted by what is to be learnt. Of what must be loaded, one shard is in memory, and
    two while the next one is read.

    Parameters
    ----------
    shards : sequence
        Each one of these:

        - (x, y) or (x, y, sample_weight): arrays as `fit` takes them, memory-mapped ones too, or
          paths of .npy files, which are memory-mapped;
        - the path of an .npz file with arrays named x, y and, if wanted, sample_weight;
        - a function without arguments that returns (x, y) or (x, y, sample_weight).

    Raises
    ------
    TypeError, ValueError
        For anything else, or if there is none.
    FileNotFoundError
        If a file is missing.

    Examples
    --------
    >>> shards = cnet.Shards([("x0.npy", "y0.npy"), ("x1.npy", "y1.npy")])
    >>> net.fit(shards, epochs=5)
    """

    def __init__(self, shards: Sequence[Part | str | os.PathLike[str] | Callable[[], Part]]):
        self._shards = check_sequence("shards", shards, '[("x0.npy", "y0.npy"), "part1.npz"]')
        if not self._shards:
            raise ValueError("shards is empty; there is nothing to learn from")
        for number, shard in enumerate(self._shards):
            _check(shard, f"shards[{number}]")

    @classmethod
    def split(cls, x: Any, y: Any, sample_weight: Any = None, *, rows: int = 65536) -> Shards:
        """Return an array's rows as shards of neighbours, which are views of it.

        For memory-mapped arrays larger than memory: every part of the file is read at one time,
        where rows in random order would come from all over the disk.

        Parameters
        ----------
        x, y, sample_weight : array
            As `fit` takes them.
        rows : int
            Of a shard; the last one may be smaller.

        Raises
        ------
        ShapeError
            If there are not as many targets (or weights) as rows.
        """
        rows = check_integer("rows", rows, 1)
        given = {"x": as_array(x, "x"), "y": as_array(y, "y")}
        if sample_weight is not None:
            given["sample_weight"] = as_array(sample_weight, "sample_weight")
        total = len(given["x"]) if given["x"].ndim else 0
        for name, values in given.items():
            if not values.ndim or len(values) != total:
                raise ShapeError(
                    f"{name} has shape {values.shape}, but x has {total} rows; every row needs its "
                    "own"
                )
        return cls(
            [
                tuple(values[first : first + rows] for values in given.values())
                for first in range(0, total, rows)
            ]
        )

    def __len__(self) -> int:
        """Return the number of shards."""
        return len(self._shards)

    def load(self, number: int) -> Part:
        """Return (x, y) or (x, y, sample_weight) of a shard.

        Raises
        ------
        OSError, ValueError
            If a file cannot be read, or has no x or y.
        """
        shard = self._shards[number]
        if callable(shard):
            found: Part = shard()
            return found
        if isinstance(shard, (tuple, list)):
            return tuple(
                np.load(part, mmap_mode="r") if isinstance(part, (str, os.PathLike)) else part
                for part in shard
            )
        with np.load(shard) as file:
            if not {"x", "y"} <= set(file):
                raise ValueError(
                    f"shards[{number}]: {os.fspath(shard)!r} has arrays {', '.join(file)}; "
                    "expected x, y and, if wanted, sample_weight"
                )
            return tuple(file[name] for name in ("x", "y", "sample_weight") if name in file)

    def batches(self, batch_size: int | None) -> int | None:
        """Return how many batches all shards have, or None where that takes loading them."""
        total = 0
        for shard in self._shards:
            shape = getattr(shard[0], "shape", None) if isinstance(shard, (tuple, list)) else None
            if not shape:
                return None
            total += 1 if batch_size is None else -(-shape[0] // batch_size)
        return total

    def __array__(self, *_: Any, **__: Any) -> NoReturn:
        """Say what to do where only an array will do.

        Raises
        ------
        TypeError
        """
        raise TypeError(
            "Shards are for fit and evaluate; everything else takes arrays, such as those of one "
            "shard: x, y = shards.load(0)"
        )

    def __repr__(self) -> str:
        return f"Shards({len(self)})"


def _check(shard: Any, where: str) -> None:
    """Make sure that a shard is of a known kind and that its files are there."""
    if callable(shard):
        return
    paths = [shard]
    if isinstance(shard, (tuple, list)):
        if len(shard) not in (2, 3):
            raise ValueError(
                f"{where} has {len(shard)} items, expected (x, y) or (x, y, sample_weight)"
            )
        paths = [part for part in shard if isinstance(part, (str, os.PathLike))]
    elif not isinstance(shard, (str, os.PathLike)):
        raise TypeError(
            f"{where} is a {type(shard).__name__}, expected (x, y), (x, y, sample_weight), the "
            "path of an .npz file, or a function that returns (x, y)"
        )
    ending = ".npz" if paths and paths[0] is shard else ".npy"
    for path in map(os.fspath, paths):
        if not path.endswith(ending):
            raise ValueError(
                f"{where} names {path!r}, expected a file ending in {ending}: (x.npy, y.npy), or "
                "one .npz with arrays x and y"
            )
        if not os.path.exists(path):
            raise FileNotFoundError(f"{where}: there is no file {path!r}")
