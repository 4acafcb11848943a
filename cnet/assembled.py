"""`Assembled`: the half of a network that is there before anything is trained or asked."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, Self

from cnet import averaging as _averaging
from cnet import groups as _groups
from cnet import losses, optimizers, training
from cnet import metrics as _metrics
from cnet._core.rules import Rule
from cnet._core.training import Batches
from cnet.arrays import Array, Floats
from cnet.assembly import Built, check_dtype, plan, row_shape
from cnet.averaging import Averaging
from cnet.data import as_array, as_rows
from cnet.errors import (
    NotBuiltError,
    ShapeError,
    check_integer,
    check_number,
    check_sequence,
)
from cnet.groups import Grouped, GroupsLike
from cnet.history import History
from cnet.layers import Layer, check_network, innermost_names, layer_names
from cnet.losses import Loss
from cnet.metrics import MetricLike
from cnet.optimizer import Optimizer
from cnet.program import Program
from cnet.rates import RateLike, Schedule
from cnet.summary import summary_table


class Assembled(Grouped):
    """Layers, settings and memory of a network: all that `Sequential` has, and how it is built.

    All fields are here; what is done with them (training, prediction, backpropagation by hand) is
    in `Sequential`, which says what the parameters are.
    """

    # A misspelt attribute is an error, not a setting that nobody reads.
    __slots__ = (
        "__weakref__",
        "_built",
        "_dtype",
        "_layers",
        "_rates",
        "_seed",
        "_step",
        "_training",
        "history",
        "passes",
        "scale",
    )

    def __init__(
        self,
        layers: Sequence[Layer],
        *,
        seed: int | None = None,
        dtype: str = "float32",
        scale: float | None = None,
    ) -> None:
        self._layers = check_network(layers)
        self._dtype = check_dtype(dtype)
        drawn = int.from_bytes(os.urandom(6), "little")
        self._seed = drawn if seed is None else check_integer("seed", seed, 0)
        if self._seed >= 1 << 64:
            raise ValueError(f"seed must be below 2**64, got {seed}")
        self.scale = 1.0 if scale is None else check_number("scale", scale)
        self.history = History()
        self.passes = 0
        self._names = layer_names(self._layers)
        self._innermost = innermost_names(self._layers, self._names)
        self._built: Built | None = None
        self._compiled: training.Compiled | None = None
        self._rule: Rule | None = None
        self._frozen: frozenset[str] = frozenset()
        # A schedule, and its rates from some step on, for Sequential._next_rate.
        self._rates: tuple[Schedule, int, Floats] | None = None
        # What train_on_batch has bound, kept for the next call.
        self._step: Batches | None = None
        self._training = threading.Lock()
        given = self.layers[0].inputs_given
        if given is not None:
            self.build(given)

    def build(self, inputs: int | Sequence[int]) -> Self:
        """Fix the shape of a row, lay out the memory and draw the first weights.

        `fit` does it from the data; call it to have the weights before.

        Parameters
        ----------
        inputs : int or tuple of int
            Columns, or the shape of one row such as (28, 28).

        Returns
        -------
        Sequential
            The network itself.

        Raises
        ------
        ShapeError
            If a layer cannot read what comes before it, or the network is built for another shape.
        """
        if self._built is None:
            built = Built(self.layers, self._names, inputs, self.dtype, self.seed)
            if self._compiled is not None:
                built.check_loss(self._compiled.loss, self._compiled.metrics)
                training.check_rule(self._compiled, built.program.parameters)
            self._built = built
        elif row_shape(inputs) != self._built.shape:
            raise ShapeError(
                f"the network is built for rows of shape {self._built.shape}, not "
                f"{row_shape(inputs)}; make a new one"
            )
        return self

    def plan(self, inputs: int | Sequence[int]) -> Program:
        """Translate the layers for rows of a shape, without laying out memory."""
        return plan(self.layers, self._names, row_shape(inputs))

    @contextmanager
    def building_for(self, x: Any) -> Iterator[None]:
        """Build for the rows of x, unless that is done; undone if what is checked then fails."""
        before = self._built
        if before is None:
            shape = as_array(x, "x").shape[1:]
            self.build(shape or as_rows(x, "x", None, self._names[0]).shape[1:])
        try:
            yield
        except BaseException:
            self._built = before
            raise

    def compile(
        self,
        optimizer: str | Optimizer = "adam",
        loss: str | Loss = "mse",
        metrics: MetricLike | Sequence[MetricLike] = (),
        *,
        groups: GroupsLike | None = None,
        averaging: Averaging | None = None,
    ) -> Self:
        """Say how to train. Calling it again starts the optimizer afresh and keeps the weights.

        The weights are then those that predictions were made with, also where they were averaged.

        Parameters
        ----------
        optimizer : str or Optimizer
        loss : str or Loss
        metrics : str, Score, callable, or a sequence of them
            Counted in the compiled loop: "accuracy", "binary_accuracy", "categorical_accuracy",
            "sparse_accuracy", "mse", "rmse", "mae". Computed at the end of an epoch from the
            outputs of all its rows, which takes memory for them: the other names of
            `cnet.metrics.names()`, objects such as `cnet.metrics.F1("micro")`, and functions
            f(y_true, y_pred) -> float (see `cnet.metrics.CustomMetric`).
        groups : {name: Group or dict}, optional
            Settings of single layers ("dense_1") or parameters ("dense_1.bias"), such as
            `{"dense_1": {"learning_rate_factor": 0.1, "weight_decay": 0.0}}`; see `cnet.Group`.
            What is said of a parameter comes before what is said of its layer.
        averaging : Averaging, optional
            `cnet.EMA(0.999)`, `cnet.SWA(start=10)` or `cnet.Lookahead()`: have predictions made
            with averages of the weights; see `cnet.averaging`.

        Returns
        -------
        Sequential
            The network itself.

        Raises
        ------
        ValueError, TypeError
            For unknown names, a loss that does not fit the last layer, a metric that does not fit
            the loss, or two figures of one name. Names in `groups` are looked up when the network
            is built.
        """
        if isinstance(metrics, str) or callable(metrics):
            metrics = [metrics]
        checked = _metrics.check(check_sequence("metrics", metrics, "['accuracy']"))
        compiled = training.Compiled(
            optimizers.get(optimizer),
            losses.get(loss),
            checked,
            _groups.check(groups),
            _averaging.check(averaging),
        )
        if self._built is not None:
            self._built.check_loss(compiled.loss, compiled.metrics)
            training.check_rule(compiled, self._built.program.parameters)
            self._built.core.adopt_average()
        self._compiled, self._rule, self._step = compiled, None, None
        return self

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The descriptions that the network is made of."""
        return self._layers

    @property
    def dtype(self) -> str:
        """Name of the dtype of parameters, activations and results."""
        return self._dtype

    @property
    def seed(self) -> int:
        """What decides the first weights and the order of the rows."""
        return self._seed

    @property
    def learning_rate(self) -> float:
        """The optimizer's learning rate. Writing it changes the next step and nothing else.

        Where a schedule says it, it reads as the rate of the last step (of the first, before
        that). A number that is written then takes the schedule's place until `compile`; a schedule
        or a function may be written too, and goes on from the number of steps done so far.

        Raises
        ------
        NotBuiltError
            Before `build` and `compile`.
        ValueError, TypeError
            For what is no finite number of at least 0, schedule or function.
        """
        rule, schedule = self.rule, self.compiled.optimizer.schedule
        if schedule is not None and rule.running[0] == 0:
            return float(schedule(0))
        return float(rule.settings[0])

    @learning_rate.setter
    def learning_rate(self, value: RateLike) -> None:
        rule, optimizer = self.rule, self.compiled.optimizer
        if optimizer.schedule is not None or callable(value):
            optimizer = optimizer.replace(learning_rate=value)
            self._compiled = self.compiled.replace(optimizer=optimizer)
        if not callable(value):
            rule.settings[0] = check_number("learning_rate", value, 0)

    @contextmanager
    def training_alone(self) -> Iterator[None]:
        """Refuse a second training while one runs: the two would share the gradients."""
        if not self._training.acquire(blocking=False):
            raise RuntimeError(
                "the network is being trained already, by another thread; wait for it, or train a "
                "copy (copy.deepcopy(net))"
            )
        try:
            yield
        finally:
            self._training.release()

    # ---- what others of the package ask ----------------------------------------------------------

    @property
    def built(self) -> Built:
        """The network in memory.

        Raises
        ------
        NotBuiltError
            Before `build`.
        """
        if self._built is None:
            raise NotBuiltError(
                "the network is not built: its input width is not known yet. Call "
                "net.build(inputs), give the first layer inputs=..., or call fit"
            )
        return self._built

    @property
    def compiled(self) -> training.Compiled:
        """What `compile` was given.

        Raises
        ------
        NotBuiltError
            Before `compile`.
        """
        if self._compiled is None:
            raise NotBuiltError(
                "the network is not compiled: call net.compile(optimizer, loss) first"
            )
        return self._compiled

    @property
    def is_built(self) -> bool:
        """Whether the input width is known."""
        return self._built is not None

    @property
    def is_compiled(self) -> bool:
        """Whether `compile` was called."""
        return self._compiled is not None

    @property
    def rule(self) -> Rule:
        """The update rule with its state."""
        if self._rule is None:
            self._rule = training.make_rule(self.built, self.compiled)
            self._apply_freezing(self._rule)
        return self._rule

    @property
    def first_layer(self) -> str:
        """Name of the first layer, for errors."""
        return self._names[0]

    # ---- parameters ------------------------------------------------------------------------------

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

    def summary(self) -> None:
        """Print a table: layer, output shape, parameters, memory."""
        print(summary_table(self))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(self._names)}; {self.dtype}, seed={self.seed})"
