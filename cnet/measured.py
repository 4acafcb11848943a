"""Batches whose outputs are kept, for figures that need all rows of an epoch at once."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from cnet._core.sources import Source
from cnet._core.training import Batches
from cnet.arrays import Array, Integers
from cnet.measures import Metric, Score


class Measured(Batches):
    """Batches that know what every row's outputs were, before the step of its batch.

    An epoch is one stretch of a pass or several: it may end in the middle of a pass, and go on over
    the end of one. The stretch that runs is in `outputs`, every row at its own place; those before
    it are copied away, with their targets, when the next pass begins, which writes to the same
    places, or when other rows come.

    Parameters
    ----------
    arguments : tuple
        What `Batches` is made of, without the outputs.
    outputs : (N, outputs) array
        To be written to.
    truth : (N, K) or (N,) array
        Targets as the loss takes them.
    weights : (N,) array, optional
    """

    _made = False

    def __new__(
        cls, arguments: tuple[Any, ...], outputs: Array, truth: Array, weights: Array | None
    ) -> Measured:
        """Make the batches; their own constructor wants its arguments and no others."""
        made: Any = super().__new__
        batches: Measured = made(cls, *arguments, outputs=outputs)
        return batches

    def __init__(
        self, arguments: tuple[Any, ...], outputs: Array, truth: Array, weights: Array | None
    ) -> None:
        self._outputs, self._truth, self._weights = outputs, truth, weights
        self._order: Integers | None = None
        self._first = self.position
        self._stretches: list[tuple[Array, Array, Array | None]] = []
        self._made = True

    def begin(self, order: Integers | None = None) -> None:
        """Start a pass, as `Batches.begin` does."""
        self.close()
        super().begin(order)
        self._order, self._first = order, 0

    def reset_sums(self) -> None:
        """Start an epoch, as `Batches.reset_sums` does, in the middle of a pass if need be."""
        super().reset_sums()
        self._first = self.position
        self._stretches = []

    def bind(
        self,
        x: Source,
        targets: Source | Integers,
        weights: Source | None,
        batch_size: int = 0,
        outputs: Array | None = None,
    ) -> None:
        """Refuse other rows without a place for their outputs; `change` is the way."""
        if outputs is None:
            raise RuntimeError("batches whose outputs are kept need a place for them; use change")
        if self._made:
            self.close()
        super().bind(x, targets, weights, batch_size, outputs)

    def change(
        self,
        arguments: tuple[Source, Source | Integers, Source | None, int],
        outputs: Array,
        truth: Array,
        weights: Array | None,
    ) -> None:
        """Go on with other rows, as `bind` does with these arguments; the rest is as at first."""
        self.bind(*arguments, outputs)
        self._outputs, self._truth, self._weights = outputs, truth, weights
        self._order, self._first = None, self.position

    def _running(self) -> Integers:
        """Return the rows of the running stretch."""
        rows = np.arange(self._first, self.position)
        return rows if self._order is None else self._order[rows]

    def close(self) -> None:
        """Copy the running stretch, before anything that it is read from may change."""
        if self.position > self._first:
            rows = self._running()
            weights = None if self._weights is None else self._weights[rows]
            self._stretches.append((self._truth[rows], self._outputs[rows], weights))
            self._first = self.position

    def state(self) -> dict[str, Any]:
        """Return what `restore` takes: the outputs since `reset_sums`."""
        return {
            "running": self._outputs[self._running()],
            "before": list(self._joined()) if self._stretches else None,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take the outputs of other batches, after `go_on`.

        Raises
        ------
        ValueError
            For outputs that do not fit.
        """
        running, before = state["running"], state["before"]
        count, width = len(running), self._outputs.shape[1]
        if count > self.position or running.shape != (count, width):
            raise ValueError(f"outputs up to row {self.position} have shape {running.shape}")
        if before is not None:
            truth, outputs, weights = before
            rows = len(truth)
            fits = truth.shape[1:] == self._truth.shape[1:] and outputs.shape == (rows, width)
            if not fits or (weights is not None and weights.shape != (rows,)):
                raise ValueError(f"earlier outputs of {rows} rows have shape {outputs.shape}")
        self._first = self.position - count
        self._outputs[self._running()] = running
        self._stretches = [] if before is None else [(truth, outputs, weights)]

    def epoch(self) -> tuple[Array, Array, Array | None]:
        """Return targets, outputs and weights of the rows since `reset_sums`; do not write to them.

        A row that was done twice is there twice. After one whole pass the rows lie as they were
        given, whatever the order was.
        """
        if not self._stretches and self._first == 0 and self.position == self.rows:
            truth, outputs, weights = self._truth, self._outputs, self._weights
        else:
            self.close()
            truth, outputs, weights = self._joined()
        return _read_only(truth), _read_only(outputs), weights

    def _joined(self) -> tuple[Array, Array, Array | None]:
        """Return targets, outputs and weights of the stretches that were copied."""
        truths, kept, given = zip(*self._stretches, strict=True)
        weights = None
        if any(part is not None for part in given):  # a row without a weight counts as one
            parts = zip(given, truths, strict=True)
            weights = np.concatenate([np.ones(len(t)) if w is None else w for w, t in parts])
        return np.concatenate(truths), np.concatenate(kept), weights

    def figures(self, metrics: Iterable[Metric]) -> dict[str, float]:
        """Return those of the metrics that need all rows; NaN where an output is not finite."""
        truth, outputs, weights = self.epoch()
        finite = bool(np.isfinite(outputs).all())
        return {
            metric.name: metric(truth, outputs, weights) if finite else math.nan
            for metric in metrics
            if isinstance(metric, Score)
        }


def _read_only(array: Array) -> Array:
    view = array.view()
    view.flags.writeable = False
    return view
