"""Gradients against central differences, in float64.

What `cnet.gradcheck` is made of serves here too. Its formula is good to some 1e-13 of the
function's size, so that 1e-7 is no close shave.
"""

from collections.abc import Callable

import numpy as np

from cnet.differences import STEP, differences, relative_error

__all__ = [
    "LIMIT",
    "MARGIN",
    "STEP",
    "assert_gradient",
    "differences",
    "elementwise_differences",
    "kink_distance",
    "off_kinks",
    "relative_error",
]

MARGIN = 10 * STEP  # how far from a kink a point must be
LIMIT = 1e-7


def elementwise_differences(function: Callable[[np.ndarray], np.ndarray], x: np.ndarray):
    """Return the derivative of an elementwise function, at all elements of x together."""
    h = STEP * np.maximum(1.0, np.abs(x))
    left, right = function(x - h), function(x + h)
    far_left, far_right = function(x - 2 * h), function(x + 2 * h)
    return (8 * (right - left) - (far_right - far_left)) / (12 * h)


def assert_gradient(analytic, numeric, what: str, limit: float = LIMIT) -> float:
    """Assert that two gradients agree, and are not zero everywhere; return the largest error."""
    analytic, numeric = np.asarray(analytic), np.asarray(numeric)
    assert analytic.shape == numeric.shape, f"{what}: {analytic.shape} and {numeric.shape}"
    assert np.isfinite(analytic).all() and np.isfinite(numeric).all(), f"{what}: not finite"
    assert analytic.any() and numeric.any(), f"{what}: all zero, which shows nothing"
    error = relative_error(analytic, numeric)
    at = np.unravel_index(np.argmax(error), error.shape)
    assert error[at] < limit, (
        f"{what}: relative error {error[at]:.2g} at {tuple(map(int, at))}: {analytic[at]!r}, "
        f"by differences {numeric[at]!r}"
    )
    return float(error[at])


def off_kinks(x: np.ndarray, kinks) -> np.ndarray:
    """Return x with the points that are close to a kink moved away from it."""
    x = x.copy()
    for kink in kinks:
        near = np.abs(x - kink) < MARGIN * np.maximum(1.0, np.abs(x))
        x[near] = kink + np.where(x[near] < kink, -2, 2) * MARGIN * max(1.0, abs(kink))
    return x


def kink_distance(x: np.ndarray, kinks) -> np.ndarray:
    """Return how far each row of x is from the nearest kink, (rows,)."""
    if not kinks:
        return np.full(len(x), np.inf)
    return np.abs(x[:, :, None] - np.array(kinks, float)).min(axis=(1, 2))
