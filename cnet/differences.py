"""Gradients against central differences: `gradcheck`, and what it is made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from cnet.activations import ActivationFunction, CustomActivation
from cnet.arrays import Array, ArrayLike, Floats
from cnet.data import as_array
from cnet.errors import GradientError, ShapeError, check_flag, check_integer, check_number
from cnet.layers import Activation, Layer
from cnet.losses import Loss
from cnet.model import Sequential

# The five-point formula has an error of h^4 / 30 times the fifth derivative. With h = 2^-10 that is
# about as large as the rounding errors of the differences, some 1e-13 of the function's size.
STEP = 2.0**-10
# Differences of values of size 1 are exact to about this, divided by the step.
ROUNDING = 4e-15
# What disagrees is tried again with these: a kink that lay between the points does not any more.
SMALLER_STEPS = (2.0**-15, 2.0**-20)
# Coordinates whose gradient is smaller than this share of the largest one are measured by it.
FLOOR = 1e-2


class GradientReport(NamedTuple):
    """What `gradcheck` has found.

    Attributes
    ----------
    errors : dict of str to float
        The largest relative error among the elements tried of each array: "x", and every parameter.
        Columns of x that are categories have no gradient; where all are, there is no "x".
    worst : str
        The name of the array with the largest error.
    place : tuple of int
        Where in it that is.
    computed, expected : float
        The backward pass's value there, and that of the differences.
    """

    errors: dict[str, float]
    worst: str
    place: tuple[int, ...]
    computed: float
    expected: float

    def __str__(self) -> str:
        width = max(map(len, self.errors))
        lines = [f"{name:{width}}  {error:.2g}" for name, error in self.errors.items()]
        place = f"{self.worst}[{', '.join(map(str, self.place))}]"
        return "\n".join(
            [
                "largest relative error of a gradient:",
                *lines,
                f"worst at {place}: {self.computed!r}, by differences {self.expected!r}",
            ]
        )


def differences(
    function: Callable[[], float],
    x: Floats,
    places: Iterable[tuple[int, ...]] | None = None,
    step: float = STEP,
) -> Floats:
    """Return the gradient of a function of no arguments with respect to an array that it reads.

    Parameters
    ----------
    function : callable
        Returns a number that depends on `x`.
    x : float64 array
        Changed in place, one coordinate at a time, and restored.
    places : indices, optional
        Only there; elsewhere the result is NaN.
    step : float
        Times max(1, abs(coordinate)).

    Returns
    -------
    float64 array of x's shape
    """
    gradient = np.full(x.shape, np.nan)
    for at in np.ndindex(x.shape) if places is None else places:
        before = x[at]
        h = step * max(1.0, abs(before))
        values = []
        try:
            for place in (-2, -1, 1, 2):
                x[at] = before + place * h
                values.append(function())
        finally:
            x[at] = before
        far_left, left, right, far_right = values
        gradient[at] = (8 * (right - left) - (far_right - far_left)) / (12 * h)
    return gradient


def relative_error(analytic: Floats, numeric: Floats) -> Floats:
    """Return |a - n| / max(|a|, |n|), small coordinates relative to a share of the largest."""
    size = np.maximum(np.abs(analytic), np.abs(numeric))
    floor = FLOOR * size.max(initial=0.0)
    error: Floats = np.abs(analytic - numeric) / np.maximum(np.maximum(size, floor), 1e-300)
    return error


def gradcheck(
    part: Any,
    x: ArrayLike,
    y: ArrayLike | None = None,
    *,
    limit: float = 1e-6,
    most: int = 50,
    training: bool = True,
    seed: int = 0,
) -> GradientReport:
    """Compare what a backward pass computes with central differences of the forward pass.

    In float64, on a copy: nothing changes, whatever the network's dtype is.

    Parameters
    ----------
    part : Sequential, Layer, activation or Loss
        A network, cnet's own or with parts of the user's; or one part alone, which is then the only
        one of a network.
    x : (N, columns) array
        Inputs; for a loss the outputs that it compares with y. A few rows are enough. The gradient
        is that of what the layers see, after the network's `scale` or normalisation.
    y : array, optional
        Targets: needed for a loss. A network that is compiled uses its loss if they are given;
        otherwise the gradient is that of a weighted sum of the outputs with random weights.
        Regularisers are left out. Targets that the network normalises are normalised here too.
    limit : float
        The largest relative error that is no error.
    most : int
        Elements to try of every array, drawn at random where it has more.
    training : bool
        Do what `fit` does: layers such as `Dropout` draw (the same numbers every time), batch
        normalisation takes the statistics of these rows.
    seed : int
        Of what is drawn.

    Returns
    -------
    GradientReport
        Of errors that are all below the limit.

    Raises
    ------
    GradientError
        If one is not; it says where, and has the `report`. Also if a gradient is not finite, or all
        are zero, which shows nothing.
    TypeError, ValueError, ShapeError
        For what has no gradient, and for arguments that do not fit.
    """
    limit, most = check_number("limit", limit, 0, above=True), check_integer("most", most, 1)
    training, seed = check_flag("training", training), check_integer("seed", seed, 0)
    rng = np.random.default_rng(seed)
    rows = np.array(as_array(x, "x"), np.float64)
    if not rows.size:
        raise ShapeError(
            f"x has shape {rows.shape}: there is nothing to differentiate by; give rows"
        )
    if isinstance(part, Loss):
        return _check_loss(part, rows, y, limit, most, rng)
    twin, loss = _twin(part, rows)
    targets = None if y is None else _targets(y)
    if isinstance(part, Sequential):
        rows, targets = _as_seen(part, rows, targets)
    if targets is None or loss is None:
        loss = None
        shape = twin.forward(rows).shape
        weights = rng.normal(size=shape)

    def outputs() -> Floats:
        result: Floats = twin.forward(rows, training=training, step=0)
        return result

    def value() -> float:
        if loss is None or targets is None:
            return float(np.sum(outputs() * weights))
        return loss(outputs(), targets)

    got = outputs()
    twin.zero_gradients()
    given = weights if loss is None or targets is None else loss.gradient(got, targets)
    dx = twin.backward(given)
    arrays = {"x": rows} | dict(twin.parameters)
    computed = {"x": dx} | dict(twin.gradients)
    categories = twin.built.program.category_columns
    return _compare(value, arrays, computed, limit, most, rng, categories)


def _as_seen(net: Sequential, rows: Floats, targets: Array | None) -> tuple[Floats, Array | None]:
    """Return inputs and targets as layers and loss get them: scaled, or normalised."""
    inputs, outputs = net.input_scaling, net.target_scaling
    if inputs is None:
        rows = rows * net.scale
    else:
        rows = inputs.transform(rows.reshape(len(rows), -1)).reshape(rows.shape)
    if targets is not None and outputs is not None:
        targets = outputs.transform(targets.reshape(len(targets), -1)).reshape(targets.shape)
    return rows, targets


def _targets(y: Any) -> Array:
    targets = as_array(y, "y")
    return targets if targets.dtype.kind in "iub" else np.asarray(targets, np.float64)


def _twin(part: Any, rows: Floats) -> tuple[Sequential, Loss | None]:
    """Return a network like the one that is meant, in float64, and its loss."""
    if isinstance(part, (ActivationFunction, CustomActivation)):
        part = Activation(part)
    if isinstance(part, Layer):
        part = Sequential([part], seed=0)
    if not isinstance(part, Sequential):
        raise TypeError(
            "part must be a network, a layer, an activation or a loss, which have a gradient; got "
            f"{part!r}"
        )
    twin = Sequential(part.layers, seed=part.seed, dtype="float64").build(rows.shape[1:])
    if part.is_built:
        twin.set_weights(part.get_weights())
    return twin, part.compiled.loss if part.is_compiled else None


def _check_loss(
    loss: Loss, outputs: Floats, y: Any, limit: float, most: int, rng: np.random.Generator
) -> GradientReport:
    if y is None:
        raise TypeError("a loss compares outputs with targets: give y")
    targets = _targets(y)
    gradient = loss.gradient(outputs, targets)
    return _compare(
        lambda: loss(outputs, targets), {"x": outputs}, {"x": gradient}, limit, most, rng
    )


def _compare(
    value: Callable[[], float],
    arrays: dict[str, Array],
    computed: dict[str, Array],
    limit: float,
    most: int,
    rng: np.random.Generator,
    categories: Sequence[int] = (),
) -> GradientReport:
    reports = []
    for name, array in arrays.items():
        analytic = np.array(computed[name], np.float64)
        order = rng.permutation(array.size)
        if name == "x" and categories:  # nothing lies between two of them
            order = order[~np.isin(order % array[0].size, categories)]
            if not order.size:
                continue
        chosen = order[:most]
        places = [tuple(int(i) for i in np.unravel_index(at, array.shape)) for at in chosen]
        picked = tuple(np.array(places).T)
        error, numeric = _error(value, array, analytic, places, picked, STEP)
        for step in SMALLER_STEPS:
            again = [n for n, e in enumerate(error) if not e < limit]
            if not again:
                break
            fewer = [places[n] for n in again]
            part = tuple(np.array(fewer).T)
            retried, values = _error(value, array, analytic, fewer, part, step)
            better = retried < error[again]
            error[again] = np.where(better, retried, error[again])
            numeric[again] = np.where(better, values, numeric[again])
        at = int(np.argmax(np.where(np.isnan(error), np.inf, error)))
        entry = float(error[at]), places[at], float(analytic[places[at]]), float(numeric[at])
        reports.append((name, entry))
    worst, (largest, index, got, expected) = max(
        reports, key=lambda report: np.inf if np.isnan(report[1][0]) else report[1][0]
    )
    errors = {name: entry[0] for name, entry in reports}
    report = GradientReport(errors, worst, index, got, expected)
    if not largest < limit:
        raise GradientError(f"{_in_words(report, limit)}\n{report}", report)
    if not any(gradient.any() for gradient in computed.values()):
        raise GradientError(
            "all gradients are zero, which shows nothing: give other rows or parameters", report
        )
    return report


def _error(
    value: Callable[[], float],
    array: Floats,
    analytic: Floats,
    places: Sequence[tuple[int, ...]],
    picked: tuple[Any, ...],
    step: float,
) -> tuple[Floats, Floats]:
    """Return relative errors and differences at some places."""
    numeric = differences(value, array, places, step)[picked]
    # Small ones are measured by the largest of all elements, tried or not.
    largest = float(np.abs(analytic).max(initial=0.0))
    error = relative_error(np.append(analytic[picked], largest), np.append(numeric, largest))[:-1]
    # Where the gradient is zero, such as a bias's in front of a normalisation, both are rounding.
    noise = ROUNDING * max(1.0, abs(value())) / step
    error[np.maximum(np.abs(analytic[picked]), np.abs(numeric)) < noise] = 0.0
    return error, numeric


def _in_words(report: GradientReport, limit: float) -> str:
    place = f"{report.worst}[{', '.join(map(str, report.place))}]"
    got, expected = report.computed, report.expected
    if not (np.isfinite(got) and np.isfinite(expected)):
        guess = "one of the two is not finite"
    elif expected and abs(got + expected) < 1e-3 * abs(expected):
        guess = "the sign is wrong"
    elif expected and got == 0:
        guess = "backward says that it does not matter"
    elif expected == 0:
        guess = "forward does not depend on it"
    else:
        guess = f"it is {got / expected:.4g} times what it should be"
    return (
        f"the gradient of {place} is {got:.6g}, but differences of the forward pass give "
        f"{expected:.6g} (relative error {report.errors[report.worst]:.2g}, the limit is "
        f"{limit:g}): {guess}"
    )
