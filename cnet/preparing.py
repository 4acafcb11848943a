"""What a call of `fit` was given: all of it checked, and its data, before anything changes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from cnet import lbfgs, resuming, streams, training
from cnet.data import as_array
from cnet.errors import ShapeError, check_flag, check_integer, check_number
from cnet.fingerprints import fixed_settings
from cnet.hooks import Callback, check_callbacks
from cnet.shards import Shards
from cnet.threads import resolve

if TYPE_CHECKING:
    from cnet.model import Sequential


class Settings(NamedTuple):
    """The arguments of `fit` that say how to go through the data."""

    epochs: int
    # None: all rows that there are, or a batch of an iterable as it comes.
    batch_size: int | None
    accumulate: int
    shuffle: bool
    steps_per_epoch: int | None
    threads: int

    @property
    def piece_rows(self) -> int:
        """Rows of which a step has several, whose gradients are added up; 0 for one at a time."""
        return self.batch_size or 0 if self.accumulate > 1 else 0

    def step_rows(self, rows: int) -> int:
        """Return how many of the rows that there are make a step."""
        return min(self.accumulate * (self.batch_size or rows), rows)


class Prepared(NamedTuple):
    """All that a run needs besides the network, which is built and fits it."""

    settings: Settings
    # The rows; of a stream, its first part.
    data: training.Dataset
    stream: streams.Stream | None
    # What is evaluated after every epoch.
    check: training.Dataset | streams.Stream | None
    callbacks: tuple[Callback, ...]
    # What a run that goes on with this one must have in common with it; empty if none can.
    fixed: Mapping[str, Any]
    # The run to go on with.
    saved: resuming.Saved | None


def check_settings(
    net: Sequential,
    x: Any,
    y: Any,
    *,
    epochs: int,
    batch_size: int | str | None,
    accumulate: int,
    shuffle: bool,
    steps_per_epoch: int | None,
    threads: int | str | None,
) -> Settings:
    """Check what needs no look at the data, but for whether they are a stream.

    Raises
    ------
    as `Sequential.fit`
    """
    epochs = check_integer("epochs", epochs, 0)
    size = None
    if batch_size == "auto":
        # Batches that somebody else has made are left whole.
        made = streams.is_stream(x, y) and not isinstance(x, Shards)
        made = made or net.compiled.optimizer.takes_whole_set
        size = None if made else training.BATCH_SIZE
    elif batch_size is not None:
        size = check_integer("batch_size", batch_size, 1)
    accumulate = check_integer("accumulate", accumulate, 1)
    if accumulate > 1 and size is None:
        raise ValueError(
            f"accumulate={accumulate} adds up the gradients of batches, and these are made of all "
            "the rows that there are; give batch_size a number"
        )
    if steps_per_epoch is not None:
        steps_per_epoch = check_integer("steps_per_epoch", steps_per_epoch, 1)
    shuffle = check_flag("shuffle", shuffle)
    return Settings(epochs, size, accumulate, shuffle, steps_per_epoch, resolve(threads))


def prepare(
    net: Sequential,
    x: Any,
    y: Any,
    sample_weight: Any,
    settings: Settings,
    *,
    validation_data: Any,
    validation_split: float,
    class_weight: str | Mapping[int, float] | None,
    augment: Any,
    callbacks: Any,
    resume: str | os.PathLike[str] | None,
) -> Prepared:
    """Check data and callbacks against the network, which is built if it was not.

    Whatever is refused, the network is as it was. A run to go on with is in it when this returns.

    Raises
    ------
    as `Sequential.fit`
    """
    if validation_data is not None and validation_split:
        raise ValueError("give validation_data or validation_split, not both")
    stream = streams.for_training(
        net,
        x,
        y,
        sample_weight,
        batch_size=settings.batch_size,
        accumulate=settings.accumulate,
        shuffle=settings.shuffle,
        epochs=settings.epochs,
        steps_per_epoch=settings.steps_per_epoch,
        validation_split=validation_split,
        class_weight=class_weight,
    )
    if validation_split:
        (x, y, sample_weight), validation_data = split(x, y, sample_weight, validation_split)
    check_stream = _validation_stream(net, validation_data, settings.epochs)
    saved = None if resume is None else resuming.find(resume)
    with net.building_for(x if stream is None else stream.first_x()):
        if stream is not None:
            data = stream.first()
        else:
            data = training.prepare(net, x, y, sample_weight, class_weight=class_weight, adapt=True)
        data = data._replace(augment=training.check_augment(net, augment))
        _check_batches(net, data, settings, stream)
        check = _check_validation(net, validation_data, check_stream, data.class_weights)
        hooks = check_callbacks(callbacks, training.figure_names(net, check is not None))
        fixed: dict[str, Any] = {}
        if resume is not None or any(callback.keeps_states for callback in hooks):
            if stream is not None and stream.once:
                raise ValueError(
                    f"x is a {type(x).__name__}, which can be gone through once: Checkpoint and "
                    "resume need batches that come again; pass the function that makes it, or a "
                    "list, cnet.Shards, arrays"
                )
            fixed = _in_common(net, data, settings, stream, check)
        if saved is not None:
            saved.check(net, fixed, settings.epochs, hooks)
            saved.fill(net)
            for part in (data, check.first() if isinstance(check, streams.Stream) else check):
                if part is not None:  # it was scaled before as the network had it then
                    training.normalize(net, part.x, part.targets)
    return Prepared(settings, data, stream, check, hooks, fixed, saved)


def split(x: Any, y: Any, sample_weight: Any, share: float) -> tuple[Any, Any]:
    """Cut the last `share` of the rows off as validation data, before any shuffling.

    Returns
    -------
    (x, y, sample_weight), (x, y, sample_weight)
    """
    check_number("validation_split", share, 0, 1, below=True)
    x = x if hasattr(x, "shape") else as_array(x, "x")
    y = y if hasattr(y, "shape") else as_array(y, "y")
    rows, targets = (a.shape[0] if a.shape else 0 for a in (x, y))
    if targets != rows:
        raise ShapeError(f"x has {rows} rows but y has {targets} rows; every row needs its target")
    keep = rows - int(rows * share)
    if keep in (0, rows):
        raise ShapeError(f"validation_split={share} of {rows} rows leaves a part without rows")
    weights = None if sample_weight is None else as_array(sample_weight, "sample_weight")
    if weights is not None and weights.shape != (rows,):
        shape = weights.shape
        raise ShapeError(f"sample_weight has shape {shape}, expected {(rows,)}: one per row")
    halves = [
        (_take(x, part), _take(y, part), None if weights is None else weights[part])
        for part in (slice(keep), slice(keep, None))
    ]
    return halves[0], halves[1]


def _take(values: Any, part: slice) -> Any:
    """Take rows of an array, or of a data frame, whose own brackets mean columns."""
    return values.iloc[part] if hasattr(values, "iloc") else values[part]


def _validation_stream(net: Sequential, given: Any, epochs: int) -> streams.Stream | None:
    """Return `validation_data` as a stream; None if it is rows, or nothing."""
    stream = streams.for_evaluation(net, given, "validation ", epochs)
    if given is None or stream is not None:
        return stream
    if not isinstance(given, (tuple, list)) or len(given) not in (2, 3):
        many = isinstance(given, (tuple, list))
        got = f"{len(given)} items" if many else type(given).__name__
        raise ValueError(
            "validation_data must be (x, y) or (x, y, sample_weight), cnet.Shards or an iterable "
            f"of batches, got {got}"
        )
    return None


def _check_validation(
    net: Sequential,
    given: Any,
    stream: streams.Stream | None,
    class_weights: dict[int, float] | None,
) -> training.Dataset | streams.Stream | None:
    """Check `validation_data`, with the class weights of the training rows."""
    if stream is not None:
        stream.class_weight = class_weights
        stream.first()
        return stream
    if given is None:
        return None
    x, y, *rest = given
    return training.prepare(net, x, y, rest[0] if rest else None, "validation ", class_weights)


def _check_batches(
    net: Sequential, data: training.Dataset, settings: Settings, stream: streams.Stream | None
) -> None:
    """Refuse batches that a layer or the optimizer cannot take; a stream checks its parts."""
    size = min(settings.batch_size or data.rows, data.rows)
    if stream is None:
        net.built.check_batches(data.rows, size)
    lbfgs.check(net, data, size, settings.steps_per_epoch, stream is not None)


def _in_common(
    net: Sequential,
    data: training.Dataset,
    settings: Settings,
    stream: streams.Stream | None,
    check: training.Dataset | streams.Stream | None,
) -> dict[str, Any]:
    """Return by name what a run and the one that goes on with it must have in common."""
    fixed: dict[str, Any] = {
        "batch_size": min(settings.batch_size or data.rows, data.rows),
        "shuffle": settings.shuffle,
        "steps_per_epoch": settings.steps_per_epoch,
        "accumulate": settings.accumulate,
    }
    sample = data
    if stream is not None:  # what a part has depends on the part
        fixed |= {"batch_size": settings.batch_size, "parts": stream.batches()}
        sample = stream.sample()._replace(augment=data.augment)
    fixed["figures"] = training.figure_names(net, check is not None)
    rows = None if isinstance(check, streams.Stream) else check
    return fixed | fixed_settings(net, sample, rows)
