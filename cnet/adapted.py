"""`Adapted`: what a network knows of the columns of its data."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Self

import numpy as np

from cnet import streams, training
from cnet._core.kernels import random_order
from cnet._core.sources import Source
from cnet._core.statistics import mean_of_batches
from cnet.data import as_rows, check_finite
from cnet.errors import NonFiniteError, ShapeError, check_flag, check_integer
from cnet.normalizers import Normalizer, Scaling
from cnet.threads import resolve
from cnet.weights import Weights


class Adapted(Weights):
    """The normalisation of inputs and targets, and of batches, which is kept with the network."""

    __slots__ = ()

    @property
    def normalize_inputs(self) -> Normalizer | None:
        """How inputs are normalised."""
        return self._normalization.of_inputs

    @property
    def normalize_targets(self) -> Normalizer | None:
        """How targets are normalised."""
        return self._normalization.of_targets

    @property
    def input_scaling(self) -> Scaling | None:
        """Shift and factor of every column of the inputs; None before rows were seen."""
        return self._normalization.inputs

    @property
    def target_scaling(self) -> Scaling | None:
        """Shift and factor of every column of the targets; None before rows were seen."""
        return self._normalization.targets

    def adapt(self, x: Any, y: Any = None) -> Self:
        """Normalise by these rows from now on, instead of those seen before.

        The first `fit` does it with its training rows, unless it was done; no later one does it
        again. Weights and optimizer stay as they are. Sample weights play no part.

        Parameters
        ----------
        x : (N, inputs) array, or what gives batches
            Shards, an iterable of batches (x, y), or a function that makes one, as for `fit`: gone
            through once. `Robust` needs an array.
        y : (N, K) array
            Only looked at if targets are normalised; left out for batches.

        Returns
        -------
        Sequential
            The network itself.

        Raises
        ------
        ValueError
            If the network normalises nothing.
        NotBuiltError
            If targets are normalised, before `compile`: the loss says how many there are.
        RuntimeError
            While another thread trains the network.
        ShapeError, TypeError, NonFiniteError
            For data that does not fit, before anything changes.
        """
        normalization = self._normalization
        if normalization.of_inputs is None and normalization.of_targets is None:
            raise ValueError(
                "the network normalises nothing; make it with normalize_inputs=cnet.Standardize() "
                "or normalize_targets="
            )
        if normalization.of_targets is not None:
            _ = self.compiled
            if y is None and not streams.is_stream(x, y):
                raise TypeError("y is None, but targets are normalised too: net.adapt(x, y)")
        parts: Iterable[tuple[str, Any, Any]] = [("", x, y)]
        net: Any = self
        if streams.is_stream(x, y):
            stream = streams.Stream(net, x, None)
            parts, x = stream.parts(), stream.first_x()
        with self.training_alone(), self.building_for(x):
            training.adapt(net, parts)
        return self

    def refresh_statistics(
        self,
        x: Any,
        *,
        batch_size: int = training.BATCH_SIZE,
        shuffle: bool = True,
        threads: int | str | None = None,
    ) -> Self:
        """Set what batch normalisation predicts with to what these rows give now.

        Moving means and variances follow the weights that are trained. Where predictions are made
        with others (averages such as `SWA`, weights that were set), they belong to neither: this
        takes one pass over the rows in batches, as in training but without a step, and every moving
        mean and variance becomes the mean over the batches (`torch.optim.swa_utils.update_bn`).
        Every batch counts the same. Training that goes on moves them from there.

        Parameters
        ----------
        x : (N, inputs) array
            The training rows.
        batch_size : int
            As in training. The last batch may be smaller, but not a single row.
        shuffle : bool
            Take the rows in the order that the next pass of `fit` would take them in. Rows that lie
            in an order of their own, such as by class, have smaller variances in their batches.
        threads : int or "auto", optional
            As for `fit`.

        Returns
        -------
        Sequential
            The network itself.

        Raises
        ------
        ValueError
            If the network has no batch normalisation.
        NotBuiltError
            Before `build`, or before a network that normalises its columns has looked at any.
        RuntimeError
            While another thread trains the network.
        ShapeError, TypeError, NonFiniteError
            For data that does not fit, or a batch of one row; nothing changes then.
        """
        built = self.built
        places = built.program.statistics()
        if not places:
            raise ValueError(
                "the network has no cnet.BatchNormalization, and nothing else keeps statistics of "
                "its rows"
            )
        size = check_integer("batch_size", batch_size, 1)
        check_flag("shuffle", shuffle)
        count = resolve(threads)
        if self.normalization.is_waiting:
            raise self.normalization.refusal()
        rows = as_rows(x, "x", built.shape, self.first_layer)
        if len(rows) == 0:
            raise ShapeError("x has no rows; there is nothing to take statistics of")
        size = min(size, len(rows))
        built.check_batches(len(rows), size)
        source = Source(rows, self.scale)
        check_finite(source, "x", training.IMPUTE)
        built.core.check_categories(source, "x")
        with self.training_alone():
            step = 0 if self._rule is None else int(self._rule.running[0])
            order = random_order(self.seed, "order", self.passes, len(rows)) if shuffle else None
            found = mean_of_batches(built.core, source, order, size, places, step, count)
            with np.errstate(over="ignore"):
                values = found.astype(self.dtype)
            if not np.isfinite(values).all():
                raise NonFiniteError(
                    "a mean or a variance of these rows is not finite, and the moving ones stay as "
                    "they were; scale the columns of x to about -1..1",
                    quantity="output",
                )
            built.core.buffers[:] = values
        return self
