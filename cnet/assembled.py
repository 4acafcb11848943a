"""`Assembled`: the half of a network that is there before anything is trained or asked."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Self

from cnet import averaging as _averaging
from cnet import groups as _groups
from cnet import losses, normalizers, optimizers, regularizers
from cnet import metrics as _metrics
from cnet._core.rules import Rule
from cnet._core.training import Batches
from cnet.arrays import Floats
from cnet.assembly import Built, check_dtype, check_seed, plan, row_shape
from cnet.averaging import Averaging
from cnet.compiled import Compiled, check_rule, make_rule
from cnet.data import as_array, as_rows
from cnet.errors import (
    NotBuiltError,
    ShapeError,
    check_number,
    check_scale,
    check_sequence,
)
from cnet.groups import Grouped, GroupsLike
from cnet.history import History
from cnet.layers import Layer, check_network, innermost_names, layer_names
from cnet.losses import Loss
from cnet.metrics import MetricLike
from cnet.normalizers import Normalization, NormalizerLike
from cnet.optimizer import Optimizer
from cnet.program import Program
from cnet.rates import RateLike, Schedule
from cnet.regularizers import Regularizer, RegularizerLike
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
        "_kernel_regularizer",
        "_layers",
        "_normalization",
        "_rates",
        "_scale",
        "_seed",
        "_step",
        "_training",
        "history",
        "passes",
    )

    def __init__(
        self,
        layers: Sequence[Layer],
        *,
        seed: int | None = None,
        dtype: str = "float32",
        scale: float | None = None,
        normalize_inputs: NormalizerLike | None = None,
        normalize_targets: NormalizerLike | None = None,
        kernel_regularizer: RegularizerLike | None = None,
    ) -> None:
        self._layers = check_network(layers)
        self._dtype = check_dtype(dtype)
        self._seed = check_seed(seed)
        self._kernel_regularizer = regularizers.get(kernel_regularizer, "kernel_regularizer")
        self._normalization = Normalization(
            normalizers.get("normalize_inputs", normalize_inputs),
            normalizers.get("normalize_targets", normalize_targets),
        )
        self.scale = scale
        self.history = History()
        self.passes = 0
        self._names = layer_names(self._layers)
        self._innermost = innermost_names(self._layers, self._names)
        self._built: Built | None = None
        self._compiled: Compiled | None = None
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
            penalty = self._kernel_regularizer
            built = Built(self.layers, self._names, inputs, self.dtype, self.seed, penalty)
            if self._compiled is not None:
                built.check_loss(self._compiled.loss, self._compiled.metrics)
                check_rule(self._compiled, built.program.parameters)
            self._built = built
            self.set_normalization(self._normalization)
        elif row_shape(inputs) != self._built.shape:
            raise ShapeError(
                f"the network is built for rows of shape {self._built.shape}, not "
                f"{row_shape(inputs)}; make a new one"
            )
        return self

    def plan(self, inputs: int | Sequence[int]) -> Program:
        """Translate the layers for rows of a shape, without laying out memory."""
        return plan(self.layers, self._names, row_shape(inputs), self._kernel_regularizer)

    @contextmanager
    def building_for(self, x: Any) -> Iterator[None]:
        """Build for the rows of x, unless that is done; undone if what is checked then fails."""
        before, normalization = self._built, self._normalization
        if before is None:
            given = as_array(x, "x")
            shape = given.shape[1:]
            if 0 in shape:
                raise ShapeError(f"x has shape {given.shape}: its rows are empty; give columns")
            self.build(shape or as_rows(x, "x", None, self._names[0]).shape[1:])
        try:
            yield
        except BaseException:
            self._built = before
            if before is None:
                self._rule = self._step = None
            self.set_normalization(normalization)
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
        RuntimeError
            While the network is trained, as by a callback.
        """
        if isinstance(metrics, str) or callable(metrics):
            metrics = [metrics]
        checked = _metrics.check(check_sequence("metrics", metrics, "['accuracy']"))
        compiled = Compiled(
            optimizers.get(optimizer),
            losses.get(loss),
            checked,
            _groups.check(groups),
            _averaging.check(averaging),
        )
        self._normalization.check(compiled.loss, compiled.metrics)
        with self.training_alone():  # a run holds on to the optimizer's memory
            if self._built is not None:
                self._built.check_loss(compiled.loss, compiled.metrics)
                check_rule(compiled, self._built.program.parameters)
                self._built.normalize(self._normalization, compiled.loss)
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
    def scale(self) -> float:
        """What inputs are multiplied by as they are read; 1 unless it is given.

        Raises
        ------
        TypeError, ValueError
            When it is written: for 0, what is no finite number, and where the network normalises
            its inputs.
        """
        return self._scale

    @scale.setter
    def scale(self, value: float | None) -> None:
        scale = check_scale(value, self._dtype)
        if scale != 1 and self._normalization.of_inputs is not None:
            raise ValueError(
                f"scale={value} and normalize_inputs both say what inputs are scaled by; leave "
                "scale out"
            )
        self._scale = scale

    @property
    def seed(self) -> int:
        """What decides the first weights and the order of the rows."""
        return self._seed

    @property
    def kernel_regularizer(self) -> Regularizer | None:
        """The penalty on kernels of dense layers that name none themselves."""
        return self._kernel_regularizer

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
        """Refuse what cannot be done while a training runs, such as a second one."""
        if not self._training.acquire(blocking=False):
            raise RuntimeError(
                "the network is being trained already, by another thread or by the fit that calls "
                "this; wait for it, or train a copy (copy.deepcopy(net))"
            )
        try:
            yield
        finally:
            self._training.release()

    def set_normalization(self, normalization: Normalization) -> None:
        """Scale inputs and outputs in another way from now on."""
        if self._built is not None:
            loss = None if self._compiled is None else self._compiled.loss
            self._built.normalize(normalization, loss)
        self._normalization = normalization

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
    def compiled(self) -> Compiled:
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
            self._rule = make_rule(self.built, self.compiled)
            self._apply_freezing(self._rule)
        return self._rule

    @property
    def normalization(self) -> Normalization:
        """What is normalised, and by what."""
        return self._normalization

    @property
    def first_layer(self) -> str:
        """Name of the first layer, for errors."""
        return self._names[0]

    def summary(self) -> None:
        """Print a table: layer, output shape, parameters, memory."""
        print(summary_table(self))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(self._names)}; {self.dtype}, seed={self.seed})"
