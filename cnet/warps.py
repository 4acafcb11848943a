"""Augmentations that move and bend images; neighbours in a list are done as one warp."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from cnet.augmentation import Augmentation, Shape
from cnet.errors import check_flag, check_integer, check_number

# Beyond so many standard deviations an elastic Gaussian is cut off, as in SciPy.
_TRUNCATE = 4.0
FILLS = ("constant", "edge", "reflect")  # in the order of csrc/augment.h


class _Filled(Augmentation):
    """A movement that shows what is beyond the image's border."""

    def _check_fill(self) -> None:
        fill = getattr(self, "fill")  # noqa: B009 - a field of the subclasses
        if isinstance(fill, str):
            if fill not in FILLS[1:]:
                raise ValueError(f"fill must be a number, 'edge' or 'reflect', got {fill!r}")
        else:
            self._set("fill", check_number("fill", fill))


class RandomAffine(_Filled):
    """Zooms, shears, turns and shifts images, each about its middle; bilinear.

    Parameters
    ----------
    rotation : float
        The angle is uniform in [-rotation, rotation], in degrees, positive against the clock.
    translation : int, float or a pair of them
        Largest shift up or down and to either side: an integer counts pixels, a float below 1 is a
        fraction of the height and the width; a pair is (vertical, horizontal). Uniform, and not in
        whole pixels: `RandomCrop` shifts by whole ones.
    zoom : float
        The factor is uniform in [1 - zoom, 1 + zoom], the same for both directions; below 1.
    shear : float
        Lines of the image are shifted along themselves by the tangent of an angle that is uniform
        in [-shear, shear], in degrees, below 90.
    fill : float, "edge" or "reflect"
        What is beyond the border: a value, the nearest pixel, or the image mirrored at the middles
        of its outer pixels.

    Notes
    -----
    All of `RandomAffine`, `RandomFlip`, `RandomCrop` and `Elastic` that stand next to each other in
    a list and have the same `fill` are composed: images are interpolated once.
    """

    kind = "affine"
    rotation: float = 0.0
    translation: float | tuple[float, float] = 0
    zoom: float = 0.0
    shear: float = 0.0
    fill: float | str = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set("rotation", check_number("rotation", self.rotation, 0, 180))
        self._set("translation", _check_translation(self.translation))
        self._set("zoom", check_number("zoom", self.zoom, 0, 1, below=True))
        self._set("shear", check_number("shear", self.shear, 0, 90, below=True))
        self._check_fill()

    def settings(self, image: Shape) -> tuple[float, ...]:
        pair = self.translation if isinstance(self.translation, tuple) else (self.translation,) * 2
        shifts = [
            t if isinstance(t, int) else t * size for t, size in zip(pair, image, strict=False)
        ]
        return (math.radians(self.rotation), *shifts, self.zoom, math.radians(self.shear))


def _check_translation(value: Any) -> Any:
    if isinstance(value, (tuple, list)):
        if len(value) != 2 or any(isinstance(v, (tuple, list)) for v in value):
            raise ValueError(
                f"translation must be one number or (vertical, horizontal), got {value!r}"
            )
        return tuple(_check_translation(v) for v in value)
    number = check_number("translation", value, 0)
    if isinstance(value, (int, np.integer)):
        if number > 1e6:
            raise ValueError(f"translation must be at most a million pixels, got {value!r}")
        return int(value)
    if number >= 1:
        raise ValueError(
            f"translation={value!r} is a fraction of the image and must be below 1; write pixels "
            f"as an integer: translation={round(number)}"
        )
    return number


class RandomFlip(Augmentation):
    """Mirrors images: left and right, top and bottom, each decided on its own.

    Parameters
    ----------
    horizontal, vertical : bool
        Exchange left and right; top and bottom.
    probability : float
        Of each of them.
    """

    kind = "flip"
    horizontal: bool = True
    vertical: bool = False
    probability = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        check_flag("horizontal", self.horizontal)
        check_flag("vertical", self.vertical)
        if not (self.horizontal or self.vertical):
            raise ValueError("RandomFlip flips nothing: set horizontal or vertical to True")

    def settings(self, image: Shape) -> tuple[float, ...]:
        return float(self.horizontal), float(self.vertical)


class RandomCrop(_Filled):
    """Pads images on all sides and cuts a part of their own size out: a shift by whole pixels.

    Parameters
    ----------
    padding : int
        Pixels; shifts are uniform in -padding, ..., padding, for rows and columns each.
    fill : float, "edge" or "reflect"
        What images are padded with, as for `RandomAffine`.
    """

    kind = "crop"
    padding: int
    fill: float | str = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set("padding", check_integer("padding", self.padding, 0))
        if self.padding > 1_000_000:
            raise ValueError(f"padding must be at most a million pixels, got {self.padding}")
        self._check_fill()

    def settings(self, image: Shape) -> tuple[float, ...]:
        return (float(self.padding),)


class Elastic(_Filled):
    """Bends images: every pixel is looked up at a place displaced by a smooth random field.

    Two fields of noise, uniform in (-1, 1), are blurred by a Gaussian and multiplied by alpha.

    Parameters
    ----------
    alpha : float
        Factor of the blurred fields, in pixels. Displacements have a standard deviation of about
        0.16 alpha / sigma pixels, less within 2 sigma of the border, beyond which the fields are 0.
    sigma : float
        Standard deviation of the Gaussian, in pixels. It is cut off at 4 sigma.
    fill : float, "edge" or "reflect"
        As for `RandomAffine`.

    Notes
    -----
    P. Simard, D. Steinkraus, J. Platt, "Best practices for convolutional neural networks applied to
    visual document analysis", ICDAR 2003; for digits of 28 x 28, alpha 34 and sigma 4 are common.
    Next to other movements with the same `fill` it is part of one warp, in which the field is that
    of the result's pixels, wherever in the list it stands.
    """

    kind = "elastic"
    alpha: float
    sigma: float
    fill: float | str = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set("alpha", check_number("alpha", self.alpha, 0, 1e6))
        self._set("sigma", check_number("sigma", self.sigma, 0, 1e4, above=True))
        self._check_fill()

    def settings(self, image: Shape) -> tuple[float, ...]:
        return (self.alpha,)

    def taps(self, image: Shape) -> list[float]:
        """Return the weights of its Gaussian, from the middle on, as far as the image reaches."""
        radius = max(1, int(_TRUNCATE * self.sigma + 0.5))
        weights = [math.exp(-0.5 * (i / self.sigma) ** 2) for i in range(radius + 1)]
        total = 2 * math.fsum(weights) - weights[0]
        return [w / total for w in weights[: max(2, *image[:2])]]
