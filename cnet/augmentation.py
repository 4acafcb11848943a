"""Augmentations that change the values of rows, or mix rows; their common base.

Frozen settings over the rows of csrc/augment.h. `cnet.augment` is the public list.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

from cnet._core.kernels import AUGMENTATIONS
from cnet.description import Description
from cnet.errors import check_number

Shape = tuple[int, ...]


class Augmentation(Description, kw_only=True):
    """What every augmentation has, besides its own settings.

    Parameters
    ----------
    probability : float
        Share of the rows that it happens to, decided for each on its own; by name only.

    Raises
    ------
    TypeError, ValueError
        For a setting, this one or its own, that is no such number or out of range.
    """

    kind: ClassVar[str] = ""
    probability: float = 1.0

    def __post_init__(self) -> None:
        self._set("probability", check_number("probability", self.probability, 0, 1))

    @property
    def needs_images(self) -> bool:
        """Whether it is for images only, not for rows of any numbers."""
        return AUGMENTATIONS[self.kind] not in ("VALUES", "MIXTURE")

    @property
    def mixes(self) -> bool:
        """Whether it mixes rows, and their targets, with others of the batch."""
        return AUGMENTATIONS[self.kind] in ("MIXTURE", "MIXED_IMAGES")

    def settings(self, image: Shape) -> tuple[float, ...]:
        """Return the numbers that csrc/augment.h lists, for images (height, width, channels)."""
        return ()


class _OneNumber(Augmentation):
    """An augmentation with one setting of its own, a number within `bounds`."""

    bounds: ClassVar[tuple[float, float]] = (0.0, math.inf)

    def __post_init__(self) -> None:
        super().__post_init__()
        name = self.fields[-1]
        self._set(name, check_number(name, getattr(self, name), *self.bounds))

    def settings(self, image: Shape) -> tuple[float, ...]:
        return (getattr(self, self.fields[-1]),)


# ---- values -------------------------------------------------------------------------------------


class RandomErasing(Augmentation):
    """Sets a rectangle of an image to one value. `aspect=(1, 1)` and one area make it cutout.

    Parameters
    ----------
    area : (low, high)
        Of the rectangle, as fractions of the image's, uniform.
    aspect : (low, high)
        Height by width, uniform in its logarithm.
    fill : float
        The value.

    Notes
    -----
    Z. Zhong et al., "Random erasing data augmentation", AAAI 2020. A rectangle that is higher or
    wider than the image is cut to its size, where the paper draws another one. Cutout (T. DeVries,
    G. Taylor, 2017) is the square; here it lies within the image.
    """

    kind = "erasing"
    area: tuple[float, float] = (0.02, 0.33)
    aspect: tuple[float, float] = (0.3, 1 / 0.3)
    fill: float = 0.0
    probability = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set("area", _check_range("area", self.area, 1.0))
        self._set("aspect", _check_range("aspect", self.aspect, 1e6))
        self._set("fill", check_number("fill", self.fill))

    def settings(self, image: Shape) -> tuple[float, ...]:
        return (*self.area, math.log(self.aspect[0]), math.log(self.aspect[1]), self.fill)


def _check_range(name: str, value: Any, high: float) -> tuple[float, float]:
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise TypeError(f"{name} must be a pair (low, high), got {value!r}")
    first = check_number(f"{name}[0]", value[0], 0, high, above=True)
    last = check_number(f"{name}[1]", value[1], 0, high, above=True)
    if first > last:
        raise ValueError(f"{name} must be (low, high) with low <= high, got {value!r}")
    return first, last


class Brightness(_OneNumber):
    """Adds one number to all values of a row, uniform in [-delta, delta].

    Parameters
    ----------
    delta : float
        At least 0. Nothing is clipped.
    """

    kind = "brightness"
    delta: float


class Contrast(_OneNumber):
    """Multiplies the distance of a row's values from their mean by one factor.

    Parameters
    ----------
    delta : float
        The factor is uniform in [1 - delta, 1 + delta]; at least 0. Nothing is clipped.
    """

    kind = "contrast"
    delta: float


class Noise(_OneNumber):
    """Adds a normal number of mean 0 to every value.

    Parameters
    ----------
    deviation : float
        Standard deviation, at least 0.
    """

    kind = "noise"
    deviation: float


class SwapFeatures(_OneNumber):
    """Replaces values by those that other rows of the batch have in the same column.

    The row is drawn for each value on its own, so that every column keeps its distribution ("swap
    noise"). What is put in is the other row's number in the data (times `scale`), whatever else is
    in the list. A batch of one row stays as it is.

    Parameters
    ----------
    rate : float
        Share of the values that are replaced, decided for each on its own.
    """

    kind = "swap"
    bounds = 0.0, 1.0
    rate: float


# ---- two rows mixed ------------------------------------------------------------------------------


class Mixup(_OneNumber):
    """Mixes a row with another of its batch: share x + (1 - share) x', and the targets likewise.

    The share has a beta distribution, (alpha, alpha), drawn for every row. The other row is what
    the augmentations before this one in the list make of it. Class indices become mixed one-hot
    rows, and accuracy counts the class with the larger share. Weights stay those of the row. A
    batch of one row stays as it is.

    Parameters
    ----------
    alpha : float
        From 0.001 to a million: small ones leave most rows nearly as they are, 1 is uniform.

    Notes
    -----
    H. Zhang et al., "mixup: beyond empirical risk minimization", ICLR 2018.
    """

    kind = "mixup"
    bounds = 1e-3, 1e6
    alpha: float = 0.2


class CutMix(_OneNumber):
    """Replaces a rectangle of an image by that of another one, and mixes the targets by area.

    Before it is cut at the border, the rectangle has the share 1 - lambda of the image's area, with
    lambda of a beta distribution, (alpha, alpha); its middle is anywhere. Else as `Mixup`.

    Parameters
    ----------
    alpha : float
        From 0.001 to a million.

    Notes
    -----
    S. Yun et al., "CutMix: regularization strategy to train strong classifiers with localizable
    features", ICCV 2019.
    """

    kind = "cutmix"
    bounds = 1e-3, 1e6
    alpha: float = 1.0
