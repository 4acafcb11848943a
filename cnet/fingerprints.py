"""What two runs of `fit` must have in common if the second is to continue the first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cnet.arrays import Array
from cnet.data import as_array
from cnet.description import Description
from cnet.state import describe

if TYPE_CHECKING:
    from cnet.model import Sequential
    from cnet.training import Dataset

# Bytes of an array that its fingerprint looks at.
_SAMPLE = 1 << 20


def fixed_settings(
    net: Sequential, data: Dataset, check: Dataset | None
) -> dict[str, Any]:
    """Return by name what network and data must have in common with those of a run before."""
    fixed: dict[str, Any] = {"dtype": net.dtype, "scale": net.scale, "row": net.built.shape}
    fixed |= {f"augment[{place}]": _plain(item) for place, item in enumerate(data.augment)}
    for place, layer in enumerate(net.layers, 1):
        fixed[f"layer {place}"] = _without_first_values(describe(layer))
    normalization = net.normalization
    fixed["normalize_inputs"] = describe(normalization.of_inputs)
    fixed["normalize_targets"] = describe(normalization.of_targets)
    fixed["kernel_regularizer"] = describe(net.kernel_regularizer)
    fixed |= {name: _plain(getattr(net.compiled, name)) for name in net.compiled.fields}
    fixed["groups"] = _plain(sorted(net.compiled.groups))  # whose order says nothing
    fixed["augment"] = _plain(data.augment)
    # As it stands in the file, where its learning rate may have been replaced.
    fixed["optimizer"] = describe(net.compiled.optimizer)
    for what, part in (("", data), ("validation ", check)):
        if part is not None:
            fixed[f"{what}x"] = _fingerprint(part.inputs)
            fixed[f"{what}y"] = _fingerprint(as_array(part.y, "y"))
        if part is not None and part.sample_weight is not None:
            weights = as_array(part.sample_weight, "sample_weight")
            fixed[f"{what}sample_weight"] = _fingerprint(weights)
    normalised: dict[str, Any] = _normalised(fixed)
    return normalised


def _without_first_values(described: Any) -> Any:
    """Leave initializers out, which are history once there are other values."""
    if isinstance(described, (list, tuple)):
        return [_without_first_values(item) for item in described]
    if isinstance(described, dict):
        return {
            key: _without_first_values(value)
            for key, value in described.items()
            if not key.endswith("_initializer")
        }
    return described


def _plain(value: Any) -> Any:
    """Return a setting as lists, dicts, numbers and texts; of the user's own code only its kind."""
    if isinstance(value, Description):
        fields = {name: _plain(getattr(value, name)) for name in value.fields}
        return {"kind": type(value).__name__} | fields
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return _fingerprint(np.atleast_1d(value))
    if isinstance(value, np.generic):
        return value.item()
    return value if isinstance(value, (type(None), bool, int, float, str)) else type(value).__name__


def _normalised(value: Any) -> Any:
    """Return what JSON makes of a value: lists of tuples."""
    import json  # see cnet.files

    return json.loads(json.dumps(value))


def _fingerprint(array: Array) -> dict[str, Any]:
    """Return shape, dtype and a hash: of all values, or of rows evenly spread if they are many."""
    import hashlib

    rows = len(array)
    most = max(16, _SAMPLE * rows // max(array.nbytes, 1))
    part = array[np.linspace(0, rows - 1, most).astype(np.int64)] if rows > most else array
    values = hashlib.blake2b(np.ascontiguousarray(part).tobytes(), digest_size=16).hexdigest()
    return {"shape": list(array.shape), "dtype": array.dtype.name, "values": values}


def difference(name: str, now: Any, then: Any) -> str:
    """Say in what a setting differs."""
    if isinstance(now, dict) and isinstance(then, dict) and "values" in now:
        for part in ("shape", "dtype"):
            if now[part] != then.get(part):
                return f"{name} has {part} {_shown(now[part])}, it had {_shown(then.get(part))}"
        return f"{name} has other values"
    if now is None or then is None:
        return f"{name} is {'missing' if now is None else 'new'}"
    return f"{name} is {_shown(now)}, it was {_shown(then)}"


def _shown(value: Any) -> str:
    if isinstance(value, dict) and "kind" in value:
        fields = (f"{k}={_shown(v)}" for k, v in value.items() if k != "kind")
        return f"{value['kind']}({', '.join(fields)})"
    if isinstance(value, list):
        return f"({', '.join(map(_shown, value))})"
    return repr(value)
