"""What went wrong, in words, when a loss, a gradient or a parameter is not finite."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from cnet._core.guard import FAULTS
from cnet._core.training import Batches
from cnet.arrays import Array, Integers
from cnet.errors import CnetError, NonFiniteError

if TYPE_CHECKING:
    from cnet.model import Sequential

_UNCHANGED = "The batch changed nothing"
# A column so many times as large as the others, and larger than this, is what one looks at first.
_OUTSTANDING = 1e3
# So many rows are named in a message.
_NAMED = 5


def diagnose(net: Sequential, work: Batches, epoch: int) -> CnetError:
    """Return the error for a batch that was not done: where, what, whose, and the likely cause."""
    batch = work.steps + 1
    where = f"epoch {epoch}, batch {batch}"
    place: dict[str, Any] = {"epoch": epoch, "batch": batch}
    fault = FAULTS[work.guard.fault] if work.guard else ""
    if fault == "gradient":
        return _diagnose_gradient(net, work, where, place)
    if fault == "update":
        return NonFiniteError(
            f"{where}: the step would have made parameters, or what the optimizer keeps of them, "
            f"NaN or infinite. The likely cause is {_step_cause(net, work)}. {_UNCHANGED}",
            quantity="update",
            **place,
        )
    return diagnose_parameters(net, where, place) or _diagnose_batch(net, work, where, place)


def diagnose_parameters(
    net: Sequential, where: str, place: dict[str, Any] | None = None
) -> CnetError | None:
    """Return the error for the first parameter that is not finite, if there is one."""
    for name, values in net.parameters.items():
        if not np.isfinite(values).all():
            return NonFiniteError(
                f"{where}: {name} is not finite. A step that would make it so is not done, so that "
                f"it must have been set, or stepped by hand; {_rate(net)} may have been the cause. "
                "set_weights or a saved file brings good ones back",
                quantity="parameter",
                layer=name.rpartition(".")[0],
                **(place or {}),
            )
    return None


def _diagnose_batch(
    net: Sequential, work: Batches, where: str, place: dict[str, Any]
) -> CnetError:
    slot, rows = _first_nonfinite(net, work, range(len(net.built.core.widths)))
    if rows is None:
        return NonFiniteError(
            f"{where}: the loss is {work.last_loss}, though all outputs are finite: loss "
            f"{net.compiled.loss.name!r} overflows. {_loss_cause(net, work)} {_UNCHANGED}",
            quantity="loss",
            **place,
        )
    first, named = _blame(work, rows, place)
    if slot == 0:
        return NonFiniteError(
            f"{where}: x is finite, but not in {net.dtype}{first}; "
            f"scale its columns to about -1..1.{named} {_UNCHANGED}",
            quantity="input",
            **place,
        )
    layer = net.built.layer_of_slot(slot)
    return NonFiniteError(
        f"{where}: the output of {layer} is not finite{first}. The likely cause is "
        f"{_sizes(net, work, rows)}, or {_rate(net)}.{named} {_UNCHANGED}",
        quantity="output",
        layer=layer.partition(" ")[0],
        **place,
    )


def _diagnose_gradient(
    net: Sequential, work: Batches, where: str, place: dict[str, Any]
) -> CnetError:
    program = net.built.program
    # Of those that are trained: the others' gradients are computed, and nobody uses them.
    trained = (p for p, still in zip(program.parameters, net.rule.frozen, strict=True) if not still)
    culprit = next(p for p in trained if not np.isfinite(net.gradients[p.name]).all())
    # Back from the outputs to its layer, and no further.
    begin = next((op["y"] for op in program.operations if op["layer"] == culprit.layer), 1)
    _, rows = _first_nonfinite(
        net, work, range(len(program.widths) - 1, begin - 1, -1), slopes=True
    )
    first, named = ("", "") if rows is None else _blame(work, rows, place)
    return NonFiniteError(
        f"{where}: the loss is {work.last_loss:g}, but the gradient of {culprit.name} is not finite"
        f"{first}. The likely cause is {_sizes(net, work, rows)}, or {_rate(net)}.{named} "
        f"{_UNCHANGED}",
        quantity="gradient",
        layer=culprit.layer,
        **place,
    )


def _first_nonfinite(
    net: Sequential, work: Batches, slots: Iterable[int], *, slopes: bool = False
) -> tuple[int, Integers | None]:
    """Return the first of some slots that is not finite, and which rows of the batch it is in.

    (0, None) if all are finite. With `slopes` it is their gradients that are looked at.
    """
    for slot in slots:
        if slot in net.built.core.single_slots:
            continue  # statistics of columns, which are not finite where a row's value is not
        bad = ~np.isfinite(work.work.copy(slot, net.dtype, slopes)).all(axis=1)
        if bad.any():
            return slot, np.flatnonzero(bad) + work.work.first_row
    return 0, None


def _blame(work: Batches, rows: Integers, place: dict[str, Any]) -> tuple[str, str]:
    """Note in an error's place which rows of x those of the batch are.

    Returns
    -------
    str
        ", first at row ..."
    str
        A sentence with the rows of x, if there are several.
    """
    places = rows + work.position
    if work.order is not None:
        places = work.order[places]
    place["rows"] = tuple(places.tolist())
    first = f", first at row {rows[0]} of the batch (row {places[0]} of x)"
    if len(rows) == 1:
        return first, ""
    some = ", ".join(map(str, places[:_NAMED].tolist()))
    more = f" and {len(rows) - _NAMED} more" if len(rows) > _NAMED else ""
    return first, f" Rows of x: {some}{more}."


def _rate(net: Sequential) -> str:
    return f"the learning rate ({net.rule.settings[0]:g}: try a tenth)"


def _step_cause(net: Sequential, work: Batches) -> str:
    epsilon = getattr(net.compiled.optimizer, "epsilon", 1.0)
    if epsilon < 1e-30:
        return f"epsilon={epsilon:g}: where a gradient has always been 0, 0 is divided by it"
    return f"{_rate(net)}, {_sizes(net, work)}"


def _sizes(net: Sequential, work: Batches, rows: Integers | None = None) -> str:
    """Return words on the size of the inputs: a column that stands out, or all of them."""
    x = np.abs(work.work.copy(0, net.dtype).astype(np.float64))
    if rows is not None:
        x = x[rows - work.work.first_row]
    remedy = "scale its columns to about -1..1"
    columns: Array = x.max(axis=0)
    largest = int(columns.argmax())
    others = np.delete(columns, largest)
    usual = float(np.median(others)) if others.size else 0.0
    if columns[largest] < _OUTSTANDING:
        return "the size of the weights and of the activations"
    size = f"column {largest} of x reaches {columns[largest]:g}"
    if columns[largest] > _OUTSTANDING * usual and others.size:
        return f"the size of the inputs ({size}, the others about {usual:g}: {remedy})"
    return f"the size of the inputs ({size}: {remedy})"


def _loss_cause(net: Sequential, work: Batches) -> str:
    """Return words on a loss that is not finite though the outputs are."""
    outputs = work.work.copy(int(net.built.program.operations[-1]["y"]), net.dtype)
    if net.compiled.loss.name == "poisson" and outputs.min() <= 0:
        name = net.built.program.rows[-1].name
        return (
            f"It is a logarithm of outputs, of which some are not above 0 (down to "
            f"{outputs.min():g}): give {name} activation='exp' or 'softplus'."
        )
    return (
        "The likely cause is the size of x, y or the sample weights (scale columns to about -1..1),"
        f" outputs outside the range that the loss takes (they reach {np.abs(outputs).max():g}), "
        f"or {_rate(net)}."
    )
