"""`Adapted`: what a network knows of the columns of its data."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Self

from cnet import streams, training
from cnet.normalizers import Normalizer, Scaling
from cnet.weights import Weights


class Adapted(Weights):
    """The normalisation of inputs and targets, which is kept with the network."""

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
