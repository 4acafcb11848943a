"""Layers that normalise: each row by itself, or each column by its batch."""

from __future__ import annotations

from typing import Any

from cnet import initializers
from cnet.errors import ShapeError, check_flag, check_number
from cnet.layers import Layer
from cnet.program import Parameter, Program, Row


class Normalization(Layer, eq=False):
    """What the layers that normalise have in common."""

    def __post_init__(self) -> None:
        settings: Any = self
        self._set("epsilon", check_number("epsilon", settings.epsilon, 0, above=True))
        check_flag("center", settings.center)
        check_flag("scale", settings.scale)

    def _factors(
        self, program: Program, shape: tuple[int, ...], name: str, scale: bool, center: bool
    ) -> tuple[Parameter | None, Parameter | None]:
        """Make gamma and beta, as far as they are wanted, and the line of `summary`."""
        if len(shape) != 1:
            raise ShapeError(
                f"{name} takes rows of one dimension, got rows of shape {shape}; "
                "put a cnet.Flatten() before it"
            )
        gamma = beta = None
        if scale:
            gamma = program.parameter(f"{name}.gamma", shape, initializers.get("ones"))
        if center:
            beta = program.parameter(f"{name}.beta", shape, initializers.get("zeros"))
        parameters = tuple(p for p in (gamma, beta) if p is not None)
        program.rows.append(Row(name, type(self).__name__, shape, parameters, None))
        return gamma, beta


class LayerNormalization(Normalization, eq=False):
    """Layer normalisation (Ba, Kiros and Hinton, 2016): every row by its own mean and variance.

    y = gamma (x - mean) / sqrt(variance + epsilon) + beta, mean and variance (biased, divided by
    the number of columns) over the columns of a row. It is the same in training and prediction, and
    no row depends on another one. `torch.nn.LayerNorm`, and `keras.layers.LayerNormalization` with
    another epsilon.

    Parameters
    ----------
    epsilon : float
        Above 0.
    center : bool
        Have beta (columns,), which starts with 0.
    scale : bool
        Have gamma (columns,), which starts with 1.
    name : str, optional
        "layer_normalization_1", ... unless given.

    Raises
    ------
    TypeError, ValueError
        For settings out of range, with the setting named.
    """

    epsilon: float = 1e-5
    center: bool = True
    scale: bool = True

    @property
    def kind(self) -> str:
        return "layer_normalization"

    def add_to(
        self, program: Program, x: int, shape: tuple[int, ...], name: str
    ) -> tuple[int, tuple[int, ...]]:
        gamma, beta = self._factors(program, shape, name, self.scale, self.center)
        y = program.normalisation(self.kind, x, self.epsilon, gamma, beta)
        return y, shape


class BatchNormalization(Normalization, eq=False):
    """Batch normalisation (Ioffe and Szegedy, 2015): every column by mean and variance of a batch.

    y = gamma (x - mean) / sqrt(variance + epsilon) + beta. A training step takes mean and variance
    (biased, divided by the rows) of its batch, sample weights left aside. Prediction and evaluation
    take moving ones, which every training step moves once:
    moving = momentum * moving + (1 - momentum) * batch's. The moving variance takes the unbiased
    variance of the batch (divided by rows - 1), as in `torch.nn.BatchNorm1d`, whose momentum is
    1 - this one; `keras.layers.BatchNormalization` means the same by momentum, with 0.99 and an
    epsilon of 1e-3 unless told, and takes the biased variance.

    The moving statistics are no parameters: no gradient and no optimizer touches them, and in a
    layer that is frozen they go on moving. They are in `net.buffers`, in files and copies, and
    behind the parameters in `net.get_weights()`; `net.refresh_statistics` takes them anew.

    A batch of one row has no variance, so training refuses it, also as the rest of an epoch. A
    batch passes whole: memory for its activations grows with batch_size. `fit(accumulate=k)` makes
    a step of k batches, each with its own mean and variance.

    Parameters
    ----------
    momentum : float
        In 0..1, below 1.
    epsilon : float
        Above 0.
    center : bool
        Have beta (columns,), which starts with 0. A Dense layer before this one needs no bias then.
    scale : bool
        Have gamma (columns,), which starts with 1.
    name : str, optional
        "batch_normalization_1", ... unless given.

    Raises
    ------
    TypeError, ValueError
        For settings out of range, with the setting named.
    """

    momentum: float = 0.9
    epsilon: float = 1e-5
    center: bool = True
    scale: bool = True

    def __post_init__(self) -> None:
        self._set("momentum", check_number("momentum", self.momentum, 0, 1, below=True))
        super().__post_init__()

    @property
    def kind(self) -> str:
        return "batch_normalization"

    def add_to(
        self, program: Program, x: int, shape: tuple[int, ...], name: str
    ) -> tuple[int, tuple[int, ...]]:
        gamma, beta = self._factors(program, shape, name, self.scale, self.center)
        moving = (
            program.buffer(f"{name}.moving_mean", shape, initializers.get("zeros")),
            program.buffer(f"{name}.moving_variance", shape, initializers.get("ones")),
        )
        y = program.normalisation(
            self.kind, x, self.epsilon, gamma, beta, momentum=self.momentum, moving=moving
        )
        return y, shape


KINDS: dict[str, type[Any]] = {
    cls.__name__.lower(): cls for cls in (LayerNormalization, BatchNormalization)
}
