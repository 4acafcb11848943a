"""`Weights`: parameters, gradients and buffers of a network as NumPy arrays."""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType
from typing import Any

from cnet.arrays import Array
from cnet.assembled import Assembled
from cnet.errors import ShapeError, check_sequence


class Weights(Assembled):
    """A network's memory under names."""

    __slots__ = ()

    @property
    def parameters(self) -> MappingProxyType[str, Array]:
        """{name: array}, such as "dense_1.weight" (inputs, units): the network's own memory.

        What training moves; predictions may be made with `averages` of them.
        """
        return MappingProxyType(self.built.parameters)

    @property
    def averages(self) -> MappingProxyType[str, Array]:
        """{name: array} of the averaged parameters, where predictions are made with them; or empty.

        The network's own memory.
        """
        shown = self.built.core.shows_average
        return MappingProxyType(self.built.average_views() if shown else {})

    @property
    def gradients(self) -> MappingProxyType[str, Array]:
        """{name: array} of the gradients, as `parameters`."""
        return MappingProxyType(self.built.gradients)

    @property
    def buffers(self) -> MappingProxyType[str, Array]:
        """{name: array} of moving means and variances, such as "batch_normalization_1.moving_mean".

        The network's own memory. Training moves them; they have no gradients.
        """
        return MappingProxyType(self.built.buffers)

    def get_weights(self) -> list[Array]:
        """Return copies of all parameters, then of all buffers, in their order.

        Where predictions are made with averages of the parameters, it is these.
        """
        shown = self.averages or self.built.parameters
        return [values.copy() for values in (*shown.values(), *self.built.buffers.values())]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Replace all parameters, then all buffers; nothing changes if one does not fit.

        Averages of the parameters begin afresh, as far as there are any.

        Raises
        ------
        ShapeError
            For another number of arrays, or another shape of one.
        NonFiniteError
            For NaN and infinity, also what only the network's dtype cannot hold.
        TypeError, ValueError
            For what is no array of numbers.
        """
        names = [*self.built.parameters, *self.built.buffers]
        weights = check_sequence("weights", weights, "net.get_weights()")
        if len(weights) != len(names):
            raise ShapeError(
                f"got {len(weights)} arrays, expected {len(names)}: {', '.join(names)}"
            )
        self.built.set_arrays(dict(zip(names, weights, strict=True)))
        if self._rule is not None:
            self._rule.averaging[:] = 0
            self._rule.show_average()
