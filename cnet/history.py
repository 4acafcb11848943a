"""What a training run has gone through: a list per quantity, one entry per epoch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from cnet.arrays import Floats


def pyplot_for(what: str) -> Any:
    """Return matplotlib's pyplot, which only drawing needs, or say how to get it.

    Raises
    ------
    ImportError
    """
    try:
        from matplotlib import pyplot
    except ImportError:
        raise ImportError(f"{what} draws with matplotlib: pip install matplotlib") from None
    return pyplot


class History:
    """Quantities per epoch: `history["loss"]` is a list, so are "val_loss" and every metric.

    Attributes
    ----------
    interrupted : bool
        Whether Ctrl-C ended the run; the epoch that it cut short is not listed.
    stopped : str
        Why a callback ended the run; "" if none did.
    restored_epoch : int or None
        The epoch whose weights `EarlyStopping` has brought back.
    """

    def __init__(self, rows: list[dict[str, float]] | None = None) -> None:
        self._rows = list(rows or [])
        self.interrupted = False
        self.stopped = ""
        self.restored_epoch: int | None = None

    def add(self, row: dict[str, float]) -> None:
        """Append one epoch, in one step: no interruption leaves lists of unequal length."""
        self._rows.append(row)

    @property
    def rows(self) -> list[dict[str, float]]:
        """One dict per epoch."""
        return [dict(row) for row in self._rows]

    def keys(self) -> list[str]:
        """Return the names of the quantities, in the order of their first appearance."""
        return list(dict.fromkeys(key for row in self._rows for key in row))

    def __getitem__(self, key: str) -> list[float]:
        if key not in self.keys():
            raise KeyError(
                f"no {key!r} in this history; it has {', '.join(self.keys()) or 'no epoch'}"
            )
        return [row.get(key, float("nan")) for row in self._rows]

    def __contains__(self, key: object) -> bool:
        return key in self.keys()

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __len__(self) -> int:
        """Return the number of epochs."""
        return len(self._rows)

    def to_dict(self) -> dict[str, Floats]:
        """Return {quantity: float64 array (epochs,)}; NaN where an epoch has no such value."""
        return {key: np.array(self[key]) for key in self.keys()}

    def __repr__(self) -> str:
        """Return a table: all epochs of a short run; the first, some and the last of a long one."""
        if not self._rows:
            return "History: no epoch"
        keys = self.keys()
        head = ["epoch", *keys]
        chosen = _spread(len(self._rows), 12)
        table = [
            [str(i + 1), *(_short(self._rows[i].get(key, float("nan"))) for key in keys)]
            for i in chosen
        ]
        widths = [max(len(row[c]) for row in [head, *table]) for c in range(len(head))]
        lines = [
            "  ".join(cell.rjust(w) for cell, w in zip(row, widths, strict=True))
            for row in [head, *table]
        ]
        if self.interrupted:
            lines.append("interrupted")
        if self.stopped:
            lines.append(f"stopped: {self.stopped}")
        if self.restored_epoch is not None:
            lines.append(f"the weights are those of epoch {self.restored_epoch}")
        return "\n".join(lines)

    def plot(self, axes: Any = None) -> Any:
        """Draw the losses and, in a second panel, the other quantities. Needs matplotlib.

        Parameters
        ----------
        axes : array of two matplotlib Axes, optional

        Returns
        -------
        the axes

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        pyplot = pyplot_for("history.plot()")
        if axes is None:
            axes = pyplot.subplots(1, 2, figsize=(10, 4), layout="constrained")[1]
        epochs = range(1, len(self) + 1)
        for key in self.keys():
            if key == "seconds":
                continue
            panel = axes[0] if key.endswith("loss") else axes[1]
            panel.plot(epochs, self[key], label=key)
        for panel in axes:
            panel.set_xlabel("epoch")
            if panel.lines:
                panel.legend()
        return axes


def _short(value: float) -> str:
    return f"{value:.4g}"


def _spread(n: int, most: int) -> list[int]:
    """Return at most so many indices of 0..n-1, evenly spread, first and last among them."""
    if n <= most:
        return list(range(n))
    return sorted({round(i * (n - 1) / (most - 1)) for i in range(most)})
