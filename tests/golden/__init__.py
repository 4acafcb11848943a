"""Reference values made by other libraries, and how closely they must be met."""

import json
import pathlib

import numpy as np

# Relative to the scale that each comparison names. The references themselves are rounded: two
# correct float32 programs differ by up to 1e-6 after ten steps, so this leaves one digit.
TOLERANCE = {"float32": 1e-5, "float64": 1e-10}


def load(name: str) -> dict:
    """Return the content of one golden file, by its name without ``.json``."""
    path = pathlib.Path(__file__).with_name(f"{name}.json")
    return json.loads(path.read_text(encoding="utf-8"))


def assert_close(actual, expected, scale, tolerance: float, what: str = "") -> None:
    """Assert ``abs(actual - expected) <= tolerance * scale``, element by element.

    `scale` is the size that the error is measured against, a number or an array; where it is 0
    the values must be equal. NaN is never close to anything.
    """
    actual, expected = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
    assert actual.shape == expected.shape, f"{what}: {actual.shape} is not {expected.shape}"
    scale = np.broadcast_to(np.asarray(scale, np.float64), expected.shape)
    error = np.abs(actual - expected)
    wrong = ~(error <= tolerance * scale)
    if wrong.any():
        worst = np.unravel_index(np.argmax(np.where(wrong, error / (scale + 1e-300), -1)),
                                 error.shape)
        raise AssertionError(
            f"{what}: {wrong.sum()} of {wrong.size} values differ by more than {tolerance:g} of "
            f"their scale; worst at {tuple(map(int, worst))}: {actual[worst]!r}, expected "
            f"{expected[worst]!r}, scale {scale[worst]:.3g}"
        )


def size_of(array, floor: float = 0.1) -> np.ndarray:
    """Return each element's size, and for the small ones `floor` of the largest one's."""
    array = np.abs(np.asarray(array, np.float64))
    return np.maximum(array, floor * array.max(initial=0.0))


def sizes_along(path, start) -> np.ndarray:
    """Each element's largest size so far, which rounding errors along a path go with.

    `start` has shape (n,), `path` (steps, n), and the result is of the latter's shape.
    """
    return np.maximum.accumulate(np.abs(np.vstack([start, path])), axis=0)[1:]
