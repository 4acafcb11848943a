"""What `compile` was given: checked, made into an update rule, and asked for the coming rates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cnet import metrics as _metrics
from cnet._core.rules import Rule
from cnet.arrays import Floats
from cnet.averaging import Averaging
from cnet.description import Description
from cnet.groups import Groups, check_names, settings_of
from cnet.losses import Loss
from cnet.optimizer import Optimizer

if TYPE_CHECKING:
    from cnet.assembly import Built
    from cnet.model import Sequential
    from cnet.program import Parameter


class Compiled(Description):
    """What `compile` was given, checked against the network."""

    optimizer: Optimizer
    loss: Loss
    metrics: tuple[str | _metrics.Score, ...]
    groups: Groups = ()
    averaging: Averaging | None = None


def check_rule(compiled: Compiled, parameters: Sequence[Parameter]) -> None:
    """Refuse an optimizer with what it cannot do, and groups of what is not there.

    Raises
    ------
    ValueError
    """
    check_names(compiled.groups, parameters)
    if compiled.groups and compiled.optimizer.call(parameters) is not None:
        raise ValueError(
            f"groups are for cnet's own optimizers; {type(compiled.optimizer).__name__} knows of "
            "none: leave groups out, and have it treat parameters by itself"
        )
    optimizer = compiled.optimizer
    if optimizer.history and (compiled.groups or optimizer.weight_decay_on != "all"):
        raise ValueError(
            "LBFGS minimises one function of all parameters: groups and weight_decay_on='kernels' "
            "are for optimizers that step; use a kernel_regularizer, or net.freeze"
        )
    if optimizer.rule != "schedule_free_adamw" and not optimizer.history:
        return
    held = [p.name for p in parameters if p.constraint is not None]
    if compiled.averaging is not None or held:
        what = f"a constraint ({held[0]} has one)" if held else "averaging"
        raise ValueError(
            f"{type(optimizer).__name__} does not go with {what}: its steps are not made where "
            "the weights are; use an optimizer such as cnet.AdamW"
        )


def make_rule(built: Built, compiled: Compiled) -> Rule:
    """Return the update rule of a network with all that `compile` and the layers say of it."""
    optimizer, parameters = compiled.optimizer, built.program.parameters
    rule = Rule(
        built.core,
        optimizer.rule,
        optimizer.settings(),
        optimizer.fill,
        [(p.offset, p.size) for p in parameters],
        optimizer.clip,
        optimizer.call(parameters),
        built.program.hidden_matrices() if optimizer.takes_matrices else None,
        optimizer.history,
    )
    rule.set_groups([settings_of(p, compiled.groups, optimizer) for p in parameters])
    rule.constrain(
        [
            (place, p.constraint.kind, p.constraint.limit, p.columns)
            for place, p in enumerate(parameters)
            if p.constraint is not None
        ]
    )
    if compiled.averaging is not None:
        rule.average_by(*compiled.averaging.arguments())
    return rule


def check_schedule(net: Sequential, *, epochs: bool) -> None:
    """Refuse a schedule or averages that cannot be followed, before anything changes."""
    compiled = net.compiled
    if compiled.optimizer.schedule is not None:
        compiled.optimizer.schedule.check(epochs=epochs)
    check_averaging(compiled, epochs=epochs)


def check_averaging(compiled: Compiled, *, epochs: bool) -> None:
    """Refuse averages that cannot be followed, before anything changes."""
    if compiled.averaging is not None:
        compiled.averaging.check(epochs=epochs)


def coming_rates(net: Sequential, count: int, steps_per_epoch: int | None) -> Floats | None:
    """Return the learning rates of the next steps, or None if no schedule says them."""
    schedule = net.compiled.optimizer.schedule
    if schedule is None:
        return None
    return schedule.rates(int(net.rule.running[0]), count, steps_per_epoch)
