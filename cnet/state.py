"""All that a network is, as plain data: a JSON-able description and arrays by name.

Files, pickles and copies are made from it. Descriptions (layers, losses, optimizers, ...) become
{"kind": class, field: value}; reading goes through the classes' own constructors, which check.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from cnet import (
    averaging,
    blocks,
    classes,
    columns,
    constraints,
    groups,
    initializers,
    layers,
    losses,
    measures,
    noise,
    normalizers,
    norms,
    optimizers,
    regularizers,
    schedules,
    whole,
)
from cnet.activations import ActivationFunction
from cnet.arrays import Array
from cnet.assembly import undrawn
from cnet.classes import Classes
from cnet.description import Description
from cnet.errors import FileFormatError, check_integer
from cnet.history import History
from cnet.initializers import Given
from cnet.normalizers import Normalizer, Scaling
from cnet.rates import Function, Lost, Schedule
from cnet.regularizers import Regularizer

if TYPE_CHECKING:
    from cnet.model import Sequential

FORMAT = 1

_DESCRIPTIONS: dict[str, Any] = {
    cls.__name__: cls
    for module in (
        *(layers, columns, noise, norms, blocks),
        *(initializers, losses, normalizers, measures, optimizers, regularizers, whole),
        *(groups, constraints, averaging),
    )
    for cls in vars(module).values()
    if isinstance(cls, type) and issubclass(cls, Description) and cls.__module__ == module.__name__
} | {"ActivationFunction": ActivationFunction}
# Schedules share some names with others (Constant, Cosine).
_SCHEDULES: dict[type, str] = {
    cls: f"schedules.{cls.__name__}"
    for cls in (Lost, *(getattr(schedules, name) for name in schedules.names()))
}
_DESCRIPTIONS |= {kind: cls for cls, kind in _SCHEDULES.items()}


def describe(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()  # a NumPy number is as good as Python's, but JSON knows none
    if isinstance(value, Given):
        return None  # the user's own first values are history once the weights are there
    if isinstance(value, Function) or (
        isinstance(value, Schedule) and type(value) not in _SCHEDULES
    ):
        value = Lost(per=value.per)  # the user's own code is never read from a file
    if isinstance(value, Description):
        fields = {name: describe(getattr(value, name)) for name in value.fields}
        own = classes.kind_of(value)
        if own is not None:
            for name, field in fields.items():
                classes.check_plain(value, name, field)
            return {"kind": own} | fields
        return {"kind": _SCHEDULES.get(type(value), type(value).__name__)} | fields
    if isinstance(value, (tuple, list)):
        return [describe(item) for item in value]
    return value


def is_readable(metric: str | measures.Score) -> bool:
    """Return whether a file can hold a metric: the user's own code is never read from one."""
    kind = type(metric)
    own = kind is measures.CustomMetric or _DESCRIPTIONS.get(kind.__name__) is not kind
    return isinstance(metric, str) or not own


def rebuild(value: Any, own: Classes) -> Any:
    if isinstance(value, list):
        return [rebuild(item, own) for item in value]
    if not isinstance(value, dict):
        return value
    fields = dict(value)
    kind = fields.pop("kind")
    cls = own.get(kind.removeprefix(classes.PREFIX)) if kind.startswith(classes.PREFIX) else None
    cls = cls or _DESCRIPTIONS.get(kind)
    if cls is None:
        raise FileFormatError(f"{kind!r} is not known to this version of cnet")
    made = {name: rebuild(field, own) for name, field in fields.items()}
    if kind == "Dense" and made.get("bias_initializer") is None:
        made["bias_initializer"] = "zeros"
    return cls(**made)


def state_of(net: Sequential) -> tuple[dict[str, Any], dict[str, Array]]:
    """Return a network's description and its arrays (views, not copies).

    Raises
    ------
    NotBuiltError
        Before `build`.
    TypeError, ValueError
        For parts of the user's own that cannot be described.
    """
    built = net.built
    classes.classes_of(net)
    config: dict[str, Any] = {
        "version": FORMAT,
        "dtype": net.dtype,
        "seed": net.seed,
        "scale": net.scale,
        "passes": net.passes,
        "frozen": list(net.frozen),
        "input_shape": list(built.shape),
        "layers": [describe(layer) for layer in net.layers],
        "normalize_inputs": describe(net.normalization.of_inputs),
        "normalize_targets": describe(net.normalization.of_targets),
        "kernel_regularizer": describe(net.kernel_regularizer),
    }
    arrays = built.parameters | built.buffers
    for side, scaling in _scalings(net).items():
        if scaling is not None:
            arrays |= {f"{side}/shift": scaling.shift, f"{side}/factor": scaling.factor}
    if net.is_compiled:
        compiled, rule = net.compiled, net.rule
        config["compiled"] = {
            "optimizer": describe(compiled.optimizer),
            "loss": describe(compiled.loss),
            "metrics": [describe(m) for m in compiled.metrics if is_readable(m)],
            "groups": {name: describe(group) for name, group in compiled.groups},
            "averaging": describe(compiled.averaging),
            "averaged": rule.averaging.tolist(),
            "settings": rule.settings.tolist(),
            "running": rule.running.tolist(),
        }
        for number, flat in enumerate(rule.states):
            for name, view in built.views(flat).items():
                arrays[f"optimizer.{number}/{name}"] = view
        for name, view in built.average_views().items():
            arrays[f"average/{name}"] = view
    return config, arrays


def restore(
    config: dict[str, Any], arrays: dict[str, Array], make: type[Sequential], own: Classes
) -> Sequential:
    """Make the network that `state_of` described, by its class and those of the user's own parts.

    Raises
    ------
    FileFormatError
        If it is of a later format, or arrays are missing or too many.
    """
    check_format(config)
    with undrawn():
        net = make(
            [rebuild(layer, own) for layer in config["layers"]],
            seed=config["seed"],
            dtype=config["dtype"],
            scale=config["scale"],
            normalize_inputs=rebuild(config.get("normalize_inputs"), own),
            normalize_targets=rebuild(config.get("normalize_targets"), own),
            kernel_regularizer=rebuild(config.get("kernel_regularizer"), own),
        )
        # Before memory is laid out: a damaged size must not ask for more than the file has.
        program = net.plan(config["input_shape"])
        for p in program.parameters + program.buffers:
            if p.name not in arrays or arrays[p.name].shape != p.shape:
                raise FileFormatError(f"{p.name} should be there in shape {p.shape}")
        net.build(config["input_shape"])
    compiled = config.get("compiled")
    if compiled is not None:
        net.compile(
            rebuild(compiled["optimizer"], own),
            rebuild(compiled["loss"], own),
            [rebuild(metric, own) for metric in compiled["metrics"]],
            groups={
                name: rebuild(group, own) for name, group in compiled.get("groups", {}).items()
            },
            averaging=rebuild(compiled.get("averaging"), own),
        )
    fill(net, config, arrays)
    return net


def check_format(config: dict[str, Any]) -> None:
    """Refuse a description of a later format.

    Raises
    ------
    FileFormatError
    """
    if config["version"] != FORMAT:
        raise FileFormatError(
            f"it has format {config['version']!r}, this version of cnet reads {FORMAT}; update cnet"
        )


def fill(net: Sequential, config: dict[str, Any], arrays: Mapping[str, Array]) -> None:
    """Bring all that training changes to what it was, in a network of the same description.

    Raises
    ------
    FileFormatError
        If arrays are missing, too many or of another shape or dtype; nothing changes then.
    """
    expected = net.built.parameters | net.built.buffers
    compiled = config.get("compiled")
    if compiled is not None:
        for number, flat in enumerate(net.rule.states):
            views = net.built.views(flat)
            expected |= {f"optimizer.{number}/{name}": view for name, view in views.items()}
        views = net.built.average_views()
        expected |= {f"average/{name}": view for name, view in views.items()}
    scaled = {side for side in _scalings(net) if f"{side}/shift" in arrays}
    for side in scaled:
        columns = net.built.core.inputs
        if side == "targets":
            columns = net.compiled.loss.target_columns(net.built.outputs)
        expected |= {f"{side}/{name}": np.empty(columns) for name in ("shift", "factor")}
    if set(arrays) != set(expected):
        odd = ", ".join(sorted(set(arrays) ^ set(expected))[:3])
        raise FileFormatError(f"its arrays are not those of its layers: {odd}")
    for name, view in expected.items():
        if arrays[name].shape != view.shape or arrays[name].dtype != view.dtype:
            raise FileFormatError(f"{name} should be {view.dtype} of shape {view.shape}")
    scalings = {
        side: Scaling(arrays[f"{side}/shift"], arrays[f"{side}/factor"]) if side in scaled else None
        for side in _scalings(net)
    }
    passes = check_integer("passes", config["passes"], 0)
    frozen = config.get("frozen") or ()
    if compiled is not None:
        rule = net.rule
        # Files from before there were averages have none.
        found = {"averaged": [0, 0]} | compiled
        settings, running, averaged = (
            np.asarray(found[name], np.float64) for name in ("settings", "running", "averaged")
        )
        places = rule.settings, rule.running, rule.averaging
        if tuple(p.shape for p in places) != (settings.shape, running.shape, averaged.shape):
            raise FileFormatError("the optimizer's settings are not as many as they should be")
        rule.settings[:], rule.running[:], rule.averaging[:] = settings, running, averaged
        rule.show_average()
    if frozen != net.frozen:
        net.unfreeze()
    if frozen:
        net.freeze(*frozen)
    net.passes = passes
    if net.seed != config["seed"]:
        net._seed = net.built.core.seed = config["seed"]
        net._step = None  # its batches draw by the seed before
    net.set_normalization(net.normalization.replace(**scalings))
    for name, view in expected.items():
        view[...] = arrays[name]


def _scalings(net: Sequential) -> dict[str, Scaling | None]:
    """Return what has been found of each side that is normalised."""
    normalization = net.normalization
    wanted = {"inputs": normalization.of_inputs, "targets": normalization.of_targets}
    return {side: getattr(normalization, side) for side, of in wanted.items() if of is not None}


def reduce(net: Sequential) -> tuple[Any, tuple[Any, ...]]:
    """Say to pickle and copy how a network is made again."""
    if not net.is_built:
        return _unbuilt, (
            type(net),
            net.layers,
            net.seed,
            net.dtype,
            net.scale,
            net.is_compiled and net.compiled,
            net.frozen,
            net.normalization.of_inputs,
            net.normalization.of_targets,
            net.kernel_regularizer,
        )
    config, arrays = state_of(net)
    if net.is_compiled:
        config["compiled"]["metrics"] = list(net.compiled.metrics)  # functions too
    copies = {name: array.copy() for name, array in arrays.items()}
    own = classes.classes_of(net)
    return _unpickle, (type(net), config, copies, copy.deepcopy(net.history), own)


def _unpickle(
    make: type[Sequential],
    config: dict[str, Any],
    arrays: dict[str, Array],
    history: History,
    own: Classes,
) -> Sequential:
    net = restore(config, arrays, make, own)
    net.history = history
    return net


def _unbuilt(
    make: type[Sequential],
    layers: Any,
    seed: int,
    dtype: str,
    scale: float,
    compiled: Any,
    frozen: tuple[str, ...],
    of_inputs: Normalizer | None,
    of_targets: Normalizer | None,
    kernel_regularizer: Regularizer | None,
) -> Sequential:
    net = make(
        layers,
        seed=seed,
        dtype=dtype,
        scale=scale,
        normalize_inputs=of_inputs,
        normalize_targets=of_targets,
        kernel_regularizer=kernel_regularizer,
    )
    if frozen:
        net.freeze(*frozen)
    if compiled:
        net.compile(
            compiled.optimizer,
            compiled.loss,
            compiled.metrics,
            groups=dict(compiled.groups),
            averaging=compiled.averaging,
        )
    return net
