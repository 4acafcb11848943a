"""What went wrong, in words, when a loss or a parameter is not finite."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cnet._core.training import Batches
from cnet.errors import CnetError, NonFiniteError

if TYPE_CHECKING:
    from cnet.model import Sequential


def diagnose(net: Sequential, work: Batches, epoch: int) -> CnetError:
    """Return the error for a batch whose loss was not finite: where, and the likely cause."""
    where = f"epoch {epoch}, batch {work.steps + 1}"
    return diagnose_parameters(net, where) or _diagnose_batch(net, work, where)


def diagnose_parameters(net: Sequential, where: str) -> CnetError | None:
    """Return the error for the first parameter that is not finite, if there is one."""
    for name, values in net.parameters.items():
        if not np.isfinite(values).all():
            return NonFiniteError(
                f"{where}: {name} is not finite: the last steps were too large. The likely cause "
                f"is the learning rate ({net.rule.settings[0]:g}: try a tenth). The network keeps "
                "these parameters; set_weights or a saved file brings good ones back"
            )
    return None


def _diagnose_batch(net: Sequential, work: Batches, where: str) -> CnetError:
    found = work.first_nonfinite_slot()
    rate = f"{net.rule.settings[0]:g}"
    if found is None:
        return NonFiniteError(
            f"{where}: the loss is {work.last_loss}, though all outputs are finite: loss "
            f"{net.compiled.loss.name!r} overflows. The likely cause is the size of x, y or the "
            "sample weights (scale columns to about -1..1), outputs outside the range that "
            f"the loss takes, or the learning rate ({rate}: try a tenth). The batch changed nothing"
        )
    if found[0] == 0:
        return NonFiniteError(
            f"{where}: x is finite, but not in {net.dtype}, first at row {found[1]} of the batch; "
            "scale its columns to about -1..1. The batch changed nothing"
        )
    layer = net.built.layer_of_slot(found[0])
    return NonFiniteError(
        f"{where}: the output of {layer} is not finite, first at row {found[1]} of the batch. The "
        "likely cause is the size of the inputs (scale their columns to about -1..1) or the "
        f"learning rate ({rate}: try a tenth). The batch changed nothing"
    )
