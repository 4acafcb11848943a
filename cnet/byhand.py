"""`ByHand`: backpropagation step by step, for those who write their own loop."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

from cnet import lbfgs
from cnet._core.sources import Source
from cnet.adapted import Adapted
from cnet.arrays import Array, Floats
from cnet.compiled import check_averaging
from cnet.data import as_array, as_rows
from cnet.errors import NotBuiltError, ShapeError, check_flag, check_integer
from cnet.threads import get_threads

# So many learning rates are computed ahead where Python does step after step.
RATES_AT_ONCE = 256


class ByHand(Adapted):
    """The part of `Sequential` that goes forward, backward and down one step at a time."""

    __slots__ = ()

    def forward(self, x: Any, *, training: bool = False, step: int | None = None) -> Array:
        """Return the outputs for rows and keep what `backward` needs.

        Parameters
        ----------
        x : (N, inputs) array
        training : bool
            Do what `fit` does: layers such as `Dropout` draw, batch normalisation takes the
            statistics of these rows and moves its moving ones. Otherwise the outputs are those of
            `predict`, but always with `parameters`, never with `averages` of them.
        step : int, optional
            Whose random numbers are drawn then, in `forward` and in the `backward` after it: the
            same step, the same numbers. By default the optimizer's next, as in `fit`.

        Returns
        -------
        (N, outputs) array

        Raises
        ------
        NotBuiltError
            Before `build`; or if numbers are to be drawn, and there is no optimizer and no `step`.
        ShapeError
            For rows of another shape, or a single one to train batch normalisation on.
        """
        built = self.built
        training = check_flag("training", training)
        if step is not None:
            step = check_integer("step", step, 0)
        elif training and built.program.random and self._compiled is None:
            raise NotBuiltError(
                "training=True draws random numbers for the optimizer's next step, but the network "
                "is not compiled: call net.compile(optimizer, loss) first, or number the steps "
                "yourself: net.forward(x, training=True, step=0)"
            )
        else:
            step = 0 if self._rule is None else int(self._rule.running[0])
        rows = as_rows(x, "x", built.shape, self._names[0])
        if training:
            built.check_batches(len(rows), max(len(rows), 2))
        with self.rule if training and self.is_compiled else nullcontext():
            return built.core.forward(Source(rows, self._scale), get_threads(), training, step)

    def backward(self, dy: Any) -> Array:
        """Backpropagate through the last `forward`.

        Adds to `gradients` (call `zero_gradients` first unless you mean to accumulate).

        Parameters
        ----------
        dy : (N, outputs) array
            Gradient of the loss with respect to the outputs, such as `loss.gradient(outputs, y)`.

        Returns
        -------
        (N, *input_shape) array
            Gradient with respect to the inputs as the layers saw them: after `scale`, or
            normalised. Times `scale` or `input_scaling.factor` it is that of x.

        Raises
        ------
        ShapeError
            If dy's shape is not that of the last outputs.
        NotBuiltError
            Before `forward`.
        """
        built, dy = self.built, as_array(dy, "dy")
        rows = built.core.tape_rows
        if rows == 0:
            raise NotBuiltError("backward needs a forward pass first: call net.forward(x)")
        if dy.shape != (rows, built.outputs):
            raise ShapeError(
                f"dy has shape {dy.shape}, expected {(rows, built.outputs)}: that of the last "
                "outputs"
            )
        with self.rule if built.core.tape_training and self.is_compiled else nullcontext():
            return built.core.backward(Source(dy), get_threads()).reshape(rows, *built.shape)

    def zero_gradients(self) -> None:
        """Set all gradients to zero."""
        self.built.core.gradients[:] = 0

    def apply_gradients(self) -> None:
        """Do one step of the optimizer with what is in `gradients`."""
        rates = self._next_rate()
        if rates is not None:
            self.rule.settings[0] = rates[0]
        self.rule.apply(get_threads())

    def _next_rate(self) -> Floats | None:
        """Return the learning rate (1,) of the next step outside `fit`, if a schedule says it.

        Raises
        ------
        ValueError, RuntimeError
            If the schedule cannot be followed here, see `Schedule.check`.
        """
        lbfgs.refuse(self.compiled.optimizer, "a single batch")
        check_averaging(self.compiled, epochs=False)
        schedule = self.compiled.optimizer.schedule
        if schedule is None:
            return None
        done, kept = int(self.rule.running[0]), self._rates
        if kept is None or kept[0] is not schedule or not 0 <= done - kept[1] < len(kept[2]):
            count = 1 if schedule.asks else RATES_AT_ONCE
            kept = self._rates = (schedule, done, schedule.rates(done, count, None))
        at = done - kept[1]
        return kept[2][at : at + 1]
