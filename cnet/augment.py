"""Augmentation: rows of every training batch changed at random, while they are gathered.

`net.fit(x, y, augment=[...])` takes a list and does it in its order, in training batches only. All
have a `probability`, the share of the rows that they happen to.

What happens to a row is a function of the network's seed, the number of the optimizer's step, the
augmentation's place in the list and the row's place in its batch, computed from a counter (Philox
4x32-10, `csrc/augment.h`). There is no state: neither threads nor an interruption nor pieces of a
batch make a difference. The data set is neither copied nor written to.

Units: angles are in degrees; lengths in pixels where they are integers, and fractions of the
image's height or width where they are floats; values are those that the network sees, after its
`scale`. Images are (height, width) or (height, width, channels).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from cnet._core.augment import Augmenter
from cnet._core.kernels import AUGMENTATIONS
from cnet._core.sources import Source
from cnet.arrays import Array
from cnet.augmentation import (
    Augmentation,
    Brightness,
    Contrast,
    CutMix,
    Mixup,
    Noise,
    RandomErasing,
    Shape,
    SwapFeatures,
)
from cnet.data import as_array, as_rows, check_finite
from cnet.errors import ShapeError, check_integer, check_scale, check_sequence
from cnet.warps import FILLS, Elastic, RandomAffine, RandomCrop, RandomFlip

__all__ = [
    "Augmentation",
    "Brightness",
    "Contrast",
    "CutMix",
    "Elastic",
    "Mixup",
    "Noise",
    "RandomAffine",
    "RandomCrop",
    "RandomErasing",
    "RandomFlip",
    "SwapFeatures",
    "preview",
]


def check(augment: Any, shape: Shape, reader: str) -> tuple[Augmentation, ...]:
    """Return the augmentations of a list, checked for rows of a shape.

    Parameters
    ----------
    augment : sequence of Augmentation, or one alone
    shape : tuple of int
        Of one row.
    reader : str
        What reads the rows, for errors.

    Raises
    ------
    TypeError, ShapeError, ValueError
    """
    if isinstance(augment, Augmentation):
        augment = (augment,)
    given = check_sequence("augment", augment, "[cnet.augment.RandomFlip()]")
    for place, item in enumerate(given):
        if not isinstance(item, Augmentation):
            raise TypeError(
                f"augment[{place}] must be an object of cnet.augment such as RandomFlip(), got "
                f"{item!r}"
            )
        if item.needs_images and len(shape) not in (2, 3):
            raise ShapeError(
                f"augment[{place}] is {type(item).__name__}, which needs images (height, width) or "
                f"(height, width, channels), but {reader} has rows of shape {shape}; begin the "
                "network with cnet.Flatten() and give x as images, such as x.reshape(-1, 28, 28)"
            )
    mixing = [place for place, item in enumerate(given) if item.mixes]
    if len(mixing) > 1:
        raise ValueError(
            f"augment[{mixing[0]}] and augment[{mixing[1]}] both mix rows; a list may have one "
            "Mixup or CutMix"
        )
    return given


def augmenter(
    augmentations: tuple[Augmentation, ...], shape: Shape, dtype: str, threads: int
) -> Augmenter:
    """Return the compiled form of augmentations that `check` has returned for rows of a shape."""
    image = None
    if len(shape) in (2, 3):
        image = (shape[0], shape[1], shape[2] if len(shape) == 3 else 1)
    stages, number, fill = [], 0, None
    for before, item in zip((None, *augmentations), augmentations, strict=False):
        moves = AUGMENTATIONS[item.kind] == "GEOMETRY"
        own = getattr(item, "fill", None) if moves else None
        # A new warp begins where there was none, or where the border is another.
        if moves and (
            before is None
            or AUGMENTATIONS[before.kind] != "GEOMETRY"
            or (own is not None and fill is not None and own != fill)
        ):
            number, fill = number + 1, None
        fill = own if own is not None else fill
        taps = item.taps(image) if isinstance(item, Elastic) and image else ()
        stage: dict[str, Any] = {"kind": item.kind, "probability": item.probability}
        stage |= {"settings": item.settings(image or ()), "warp": number if moves else 0}
        stages.append(stage | {"own": own, "taps": taps})
    fills = {stage["warp"]: stage["own"] for stage in stages if stage["own"] is not None}
    for stage in stages:
        filled = fills.get(stage["warp"], 0.0)
        name = filled if isinstance(filled, str) else "constant"
        stage["fill"] = FILLS.index(name)
        stage["value"] = filled if name == "constant" else 0.0
    return Augmenter(dtype, math.prod(shape), image, stages, threads)


def preview(
    x: Any,
    augment: Sequence[Augmentation] | Augmentation,
    y: Any = None,
    *,
    seed: int = 0,
    step: int = 0,
    scale: float | None = None,
    dtype: str = "float32",
) -> Any:
    """Return what a network sees of some rows: what `fit` makes of them as one batch.

    With a network's own seed, scale and dtype these are the bits that it trains on when they are
    the batch of that step, in this order; before the first step of a new optimizer `step` is 0.

    Parameters
    ----------
    x : (N, ...) array
        Rows; (N, height, width) or (N, height, width, channels) are images.
    augment : sequence of Augmentation
    y : (N, K) array, optional
        Targets, such as one-hot rows, to be mixed along.
    seed, step : int
        As the network's seed and the number of the optimizer's step.
    scale : float, optional
        As the network's.
    dtype : {"float32", "float64"}
        As the network's.

    Returns
    -------
    (N, ...) array, or a pair of it and (N, K) targets if y is given

    Raises
    ------
    ShapeError, TypeError, ValueError, NonFiniteError
        For rows, targets or settings that do not fit.
    """
    array = as_array(x, "x")
    rows = as_rows(array, "x", None, "preview")
    checked = check(augment, array.shape[1:], "x")
    if dtype not in ("float32", "float64"):
        raise ValueError(f"dtype must be 'float32' or 'float64', got {dtype!r}")
    source = Source(rows, check_scale(scale))
    seed, step = check_integer("seed", seed, 0), check_integer("step", step, 0)
    check_finite(source, "x", "drop or impute these rows")
    targets = None if y is None else as_array(y, "y")
    if targets is not None and (targets.ndim != 2 or len(targets) != len(rows)):
        raise ShapeError(
            f"y has shape {targets.shape}, expected ({len(rows)}, K): a row of targets per row of "
            "x, one-hot for classes"
        )
    plan = augmenter(checked, array.shape[1:], dtype, 1)
    out, mixed = plan.rows(source, None if targets is None else Source(targets), seed, step)
    seen: Array = out.reshape(array.shape)
    return seen if targets is None else (seen, mixed)
