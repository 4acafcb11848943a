"""Gradients against central differences, in float64.

The five-point formula has an error of h^4 / 30 times the fifth derivative. With h = 2^-10 that is
about as large as the rounding errors of the differences, some 1e-13 of the function's size: 1e-7 is
no close shave.
"""

from collections.abc import Callable

import numpy as np

STEP = 2.0**-10
MARGIN = 10 * STEP  # how far from a kink a point must be
LIMIT = 1e-7
# Coordinates whose gradient is smaller than this share of the largest one are measured by it.
FLOOR = 1e-2


def differences(function: Callable[[], float], x: np.ndarray) -> np.ndarray:
    """Return the gradient of a function of no arguments with respect to an array that it reads.

    Parameters
    ----------
    function : callable
        Returns a number that depends on `x`.
    x : float64 array
        Changed in place, one coordinate at a time, and restored.
    """
    gradient = np.empty(x.shape)
    for at in np.ndindex(x.shape):
        before = x[at]
        h = STEP * max(1.0, abs(before))
        values = []
        for place in (-2, -1, 1, 2):
            x[at] = before + place * h
            values.append(function())
        x[at] = before
        far_left, left, right, far_right = values
        gradient[at] = (8 * (right - left) - (far_right - far_left)) / (12 * h)
    return gradient


def elementwise_differences(function: Callable[[np.ndarray], np.ndarray], x: np.ndarray):
    """Return the derivative of an elementwise function, at all elements of x together."""
    h = STEP * np.maximum(1.0, np.abs(x))
    left, right = function(x - h), function(x + h)
    far_left, far_right = function(x - 2 * h), function(x + 2 * h)
    return (8 * (right - left) - (far_right - far_left)) / (12 * h)


def relative_error(analytic: np.ndarray, numeric: np.ndarray) -> np.ndarray:
    """Return |a - n| / max(|a|, |n|), small coordinates relative to a share of the largest."""
    size = np.maximum(np.abs(analytic), np.abs(numeric))
    floor = FLOOR * size.max(initial=0.0)
    return np.abs(analytic - numeric) / np.maximum(np.maximum(size, floor), 1e-300)


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
