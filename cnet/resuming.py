"""A run of `fit` as plain data: taken down between two batches, found again, gone on with.

A checkpoint is the file of a network (`cnet.state`) with an entry more, "run": the place in the
epoch and in the pass, the epoch's sums so far, the history, the states of the callbacks, and what
must be the same when the run goes on. The order of the rows is not there: the seed and the number
of the pass give it again.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from cnet.arrays import Array
from cnet.classes import classes_of
from cnet.context import FitContext
from cnet.diagnosis import diagnose_parameters
from cnet.errors import FileFormatError, check_integer, check_path
from cnet.files import decode
from cnet.fingerprints import difference
from cnet.hooks import Callback, keeps_a_state
from cnet.measured import Measured
from cnet.state import check_format, fill, rebuild, state_of

if TYPE_CHECKING:
    from cnet._core.training import Batches
    from cnet.model import Sequential

SUFFIX = ".cnet"
# Of the arrays that are not the network's; a layer cannot have such a name.
_PREFIX = "run//"
# What comes of a description that is whole, but of nothing that could be.
_FAULTS = (
    AttributeError, FileFormatError, IndexError, KeyError, OverflowError, TypeError, ValueError,
)  # fmt: skip


# ---- taking down ---------------------------------------------------------------------------------


def capture(run: FitContext) -> tuple[dict[str, Any], dict[str, Array]]:
    """Return a description and arrays of a run that stands between two batches.

    Raises
    ------
    NonFiniteError
        If a parameter is NaN or infinite, which the next batch would have found out.
    TypeError
        If a callback's state cannot be kept.
    """
    error = diagnose_parameters(run.network, f"epoch {run.epoch}, batch {run.batch}")
    if error is not None:
        raise error
    config, arrays = state_of(run.network)
    work = run.work
    kept: dict[str, Array] = {}
    record = run.state() | {
        "fixed": run.fixed,
        "position": work.position,
        "sums": sums_of(work),
        "stream": None if run.stream is None else run.stream.state(),
        "outputs": work.state() if isinstance(work, Measured) else None,
        "history": run.history.rows,
        "callbacks": [[type(c).__name__, c.state()] for c in run.callbacks if keeps_a_state(c)],
    }
    config["run"] = {key: _pack(value, key, kept) for key, value in record.items()}
    return config, arrays | {_PREFIX + name: array for name, array in kept.items()}


def sums_of(work: Batches) -> dict[str, Any]:
    """Return what an epoch has added up so far, by the names of `Batches.go_on`."""
    return {
        "steps": work.steps,
        "rows_done": work.rows_done,
        "loss_sum": work.loss_sum,
        "norm_sum": work.norm_sum,
        "last_loss": work.last_loss,
        "metric_sums": work.metric_sums.tolist(),
    }


def _pack(value: Any, name: str, arrays: dict[str, Array]) -> Any:
    """Return a value as JSON holds it, its arrays put among `arrays`."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf" and value.itemsize <= 8:
        arrays[name] = value
        return {"array": name}
    if isinstance(value, (list, tuple)):
        return [_pack(item, f"{name}/{i}", arrays) for i, item in enumerate(value)]
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {"dict": {k: _pack(item, f"{name}/{k}", arrays) for k, item in value.items()}}
    raise TypeError(
        f"{name} cannot be kept in a checkpoint: {value!r}; a callback's state is made of numbers, "
        "strings, None, NumPy arrays, and lists and dicts (by strings) of them"
    )


def _unpack(value: Any, arrays: Mapping[str, Array]) -> Any:
    if isinstance(value, list):
        return [_unpack(item, arrays) for item in value]
    if isinstance(value, dict) and "array" in value:
        return arrays[value["array"]].copy()  # writable, and without the rest of the file
    if isinstance(value, dict):
        return {key: _unpack(item, arrays) for key, item in value["dict"].items()}
    return value


# ---- finding again -------------------------------------------------------------------------------


class Saved(NamedTuple):
    """A checkpoint that was read."""

    path: Path
    config: dict[str, Any]
    arrays: dict[str, Array]
    run: dict[str, Any]

    def check(
        self, net: Sequential, fixed: Mapping[str, Any], epochs: int, callbacks: Sequence[Callback]
    ) -> None:
        """Make sure that a call of `fit` means the run that is saved.

        Raises
        ------
        ValueError
            That names everything that differs.
        """
        then = self.run["fixed"]
        faults = [
            difference(name, fixed.get(name), then.get(name))
            for name in dict.fromkeys([*fixed, *then])
            if fixed.get(name) != then.get(name)
        ]
        if epochs < self.run["epoch"]:
            faults.append(f"epochs is {epochs}, the run is in epoch {self.run['epoch']} already")
        names = [name for name, _ in self.run["callbacks"]]
        given = [type(c).__name__ for c in callbacks if keeps_a_state(c)]
        if names != given:
            faults.append(
                f"callbacks that keep a state are {', '.join(given) or 'none'}, they were "
                f"{', '.join(names) or 'none'}"
            )
        if faults:
            raise ValueError(
                f"resume: this is not the run of {self.path}: {'; '.join(faults)}. Give what that "
                "run was given, or begin a new one without resume and with another folder"
            )

    def fill(self, net: Sequential) -> None:
        """Make the network what it was.

        Raises
        ------
        FileFormatError
        """
        try:
            fill(net, self.config, self.arrays)
            described = self.config["compiled"]["optimizer"]
            if described != self.run["fixed"]["optimizer"]:  # `net.learning_rate` was written
                net.learning_rate = rebuild(described, classes_of(net)).learning_rate
                fill(net, self.config, self.arrays)
        except _FAULTS as error:
            raise FileFormatError(f"{self.path} does not describe a run: {error}") from error

    def go_on(self, run: FitContext, begin: Callable[[int], None]) -> None:
        """Bring a run to its place; `begin` starts the pass of a number, unless there is a stream.

        Raises
        ------
        FileFormatError
        ValueError
            If a stream has other parts than it had.
        """
        record = self.run
        try:
            sums, work, position = record["sums"], run.work, record["position"]
            run.restore(record)
            # Between two passes nobody asks for the order of the last, unless outputs are kept.
            if run.stream is not None:
                inside = run.stream.restore(record["stream"], work, run.underway)
            else:
                inside = bool(sums["steps"]) or position < work.rows
                if inside:
                    begin(run.network.passes - 1)
            work.go_on(position if inside else work.rows, **sums)
            if isinstance(work, Measured):
                work.restore(record["outputs"])
            for row in record["history"]:
                run.history.add({str(name): float(value) for name, value in row.items()})
        except _FAULTS as error:
            if run.stream is not None and isinstance(error, ValueError):
                raise  # what came in its parts
            raise FileFormatError(f"{self.path} does not describe a run: {error}") from error
        run.resumed = os.fspath(self.path)

    @property
    def states(self) -> list[Any]:
        """Of the callbacks that keep one, in their order."""
        return [state for _, state in self.run["callbacks"]]


def numbered(folder: Path) -> list[tuple[int, Path]]:
    """Return the checkpoints of a folder, the oldest first."""
    found = []
    for entry in folder.iterdir():
        match = re.fullmatch(rf"checkpoint-(\d+){re.escape(SUFFIX)}", entry.name)
        if match:
            found.append((int(match[1]), entry))
    return sorted(found)


def read(path: Path) -> Saved:
    """Read a checkpoint.

    Raises
    ------
    FileFormatError
        If it is damaged, or no checkpoint.
    OSError
        If it cannot be read.
    """
    raw = path.read_bytes()
    try:
        config, arrays = decode(raw, checksum=True)
        if "run" not in config:
            raise FileFormatError("it holds a network, but no run that could go on")
        check_format(config)
        own, others = split_arrays(arrays)
        packed = config.pop("run")
        record = {name: _unpack(value, others) for name, value in packed.items()}
        record["epoch"] = check_integer("epoch", record["epoch"], 0)
        _ = record["fixed"]["optimizer"], [str(name) for name, _ in record["callbacks"]]
        return Saved(path, config, own, record)
    except FileFormatError as error:
        raise FileFormatError(f"{path}: {error}") from None
    except _FAULTS as error:
        raise FileFormatError(f"{path} does not describe a run: {error}") from error


def split_arrays(arrays: Mapping[str, Array]) -> tuple[dict[str, Array], dict[str, Array]]:
    """Return the network's arrays and those of the run, by the names that they have there."""
    own = {name: a for name, a in arrays.items() if not name.startswith(_PREFIX)}
    others = {
        name.removeprefix(_PREFIX): a for name, a in arrays.items() if name.startswith(_PREFIX)
    }
    return own, others


def find(resume: str | os.PathLike[str]) -> Saved | None:
    """Return the checkpoint that `resume` names, or None if there is none yet.

    Parameters
    ----------
    resume : path
        A file; or the folder of a `Checkpoint`, whose newest readable one is taken.

    Raises
    ------
    FileNotFoundError
        If a file is named and is not there.
    FileFormatError
        If what is there is damaged, or no checkpoint.
    TypeError
    """
    path = check_path("resume", resume, "a folder or a file")
    if path.is_dir():
        return newest(path)
    if not path.exists() and path.suffix != SUFFIX:
        return None
    if not path.exists():
        raise FileNotFoundError(
            f"resume: there is no file {path}; name the folder to begin afresh where it is empty"
        )
    return read(path)


def newest(folder: Path) -> Saved | None:
    """Return the newest readable checkpoint of a folder, or None if it has none at all.

    Warns
    -----
    RuntimeWarning
        Of a damaged one that is passed over.

    Raises
    ------
    FileFormatError
        If there are some, and all are damaged.
    """
    failure = None
    for _, path in reversed(numbered(folder)):
        try:
            return read(path)
        except FileFormatError as error:
            failure = error
            warnings.warn(f"passed over: {error}", RuntimeWarning, stacklevel=2)
    if failure is not None:
        raise FileFormatError(f"no checkpoint in {folder} is readable; the last fault: {failure}")
    return None
