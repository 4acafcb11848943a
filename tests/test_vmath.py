"""csrc/vmath.h through its compiled twin: error bounds, special values, denormals, ends.

The bounds are in ulp of the exact result: the largest errors ever measured (see the comments in
csrc/vmath_schemes.inc), rounded up. Every instruction set has to keep them.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import mpmath
import numpy as np
import pytest

from cnet._core import kernels

NAMES = (
    "exp", "expm1", "log", "log1p", "tanh", "sigmoid", "softplus", "erf", "normal_cdf",
)  # fmt: skip
DTYPES = (np.float32, np.float64)

# name: (float32, float64)
BOUNDS = {
    "exp": (1.0, 1.0),
    "expm1": (1.25, 1.25),
    "log": (0.9, 0.9),
    "log1p": (1.45, 1.45),
    "tanh": (2.0, 2.1),
    "sigmoid": (1.9, 1.9),
    "softplus": (1.8, 1.8),
    "erf": (1.9, 2.2),
    "normal_cdf": (3.9, 5.2),
}

# Where a function is neither constant nor trivial, (float32, float64).
RANGES = {
    "exp": ((-104, 89), (-746, 710)),
    "expm1": ((-20, 89), (-40, 710)),
    "log": ((0, 100), (0, 100)),
    "log1p": ((-1, 100), (-1, 100)),
    "tanh": ((-10, 10), (-20, 20)),
    "sigmoid": ((-104, 20), (-746, 40)),
    "softplus": ((-104, 20), (-746, 40)),
    "erf": ((-4.2, 4.2), (-6.2, 6.2)),
    "normal_cdf": ((-14.2, 6), (-38.5, 9)),
}

ODD = ("expm1", "log1p", "tanh", "erf")  # zero with its sign at zero


def bits_to_floats(dtype: type, count: int, seed: int) -> np.ndarray:
    """Return random bit patterns: every exponent, both signs, denormals, infinities, NaN."""
    unsigned = np.uint32 if dtype is np.float32 else np.uint64
    generator = np.random.default_rng(seed)
    return generator.integers(0, np.iinfo(unsigned).max, count, unsigned, True).view(dtype)


def arguments(name: str, dtype: type, count: int) -> np.ndarray:
    """Return ``4 * count`` arguments: all exponents, the range of interest, around 0, around 1."""
    low, high = RANGES[name][DTYPES.index(dtype)]
    generator = np.random.default_rng(len(name))
    small = generator.uniform(-1, 1, count) * 2.0 ** generator.integers(-30, 2, count)
    x = np.concatenate(
        [
            bits_to_floats(dtype, count, 7),
            generator.uniform(low, high, count).astype(dtype),
            small.astype(dtype),
            generator.uniform(-1.5, 1.5, count).astype(dtype),
        ]
    )
    return np.abs(x) if name == "log" else x


def reference_float32(name: str, x: np.ndarray) -> np.ndarray:
    """Evaluate in double precision, which is exact enough for float32 results."""
    with np.errstate(all="ignore"):
        z = x.astype(np.float64)
        e = np.exp(-np.abs(z))
        if name == "sigmoid":
            return np.where(z < 0, e, 1) / (1 + e)
        if name == "softplus":
            return np.maximum(z, 0) + np.log1p(e)
        if name == "erf":
            return np.array([math.erf(v) for v in z])
        if name == "normal_cdf":
            return np.array([math.erfc(v) / 2 for v in -z * math.sqrt(0.5)])
        return getattr(np, name)(z)


EXACT: dict[str, Callable[[mpmath.mpf], mpmath.mpf]] = {
    "exp": mpmath.exp,
    "expm1": mpmath.expm1,
    "log": mpmath.log,
    "log1p": mpmath.log1p,
    "tanh": mpmath.tanh,
    "sigmoid": lambda v: 1 / (1 + mpmath.exp(-v)),
    "softplus": lambda v: mpmath.log1p(mpmath.exp(v)),
    "erf": mpmath.erf,
    "normal_cdf": mpmath.ncdf,
}


def reference_float64(name: str, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return head and tail of the exact results, an unevaluated sum of doubles.

    Where |x| is so large that the function has reached its limit, and where the result is NaN or
    infinite, NumPy's values stand for mpmath's: those need no digits.
    """
    head = reference_float32(name, x)
    tail = np.zeros_like(head)
    with mpmath.workprec(90):
        for i in np.flatnonzero(np.isfinite(head) & (np.abs(x) < 1e3) & (np.abs(x) > 1e-300)):
            exact = EXACT[name](mpmath.mpf(float(x[i])))
            head[i] = float(exact)
            tail[i] = float(exact - mpmath.mpf(float(head[i])))
    return head, tail


def error_in_ulp(y: np.ndarray, head: np.ndarray, tail: np.ndarray) -> np.ndarray:
    """Return the distance from y to head + tail, in ulp of y's dtype there; all must be finite."""
    info = np.finfo(y.dtype)
    exponent = np.maximum(np.frexp(head)[1], info.minexp + 1) - info.nmant - 1
    return np.abs(np.ldexp((y.astype(np.float64) - head) - tail, -exponent))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NAMES)
def test_error_bound(name: str, dtype: type) -> None:
    x = arguments(name, dtype, 6000 if dtype is np.float32 else 600)
    y = kernels.vmath(name, x)
    assert y.dtype == dtype and y.shape == x.shape
    if dtype is np.float32:
        head, tail = reference_float32(name, x), np.zeros(len(x))
    else:
        head, tail = reference_float64(name, x)
    with np.errstate(over="ignore"):
        rounded = head.astype(dtype)
    np.testing.assert_array_equal(np.isnan(y), np.isnan(head))
    np.testing.assert_array_equal(y[np.isinf(rounded)], rounded[np.isinf(rounded)])
    finite = np.isfinite(rounded)
    assert finite.sum() > len(x) / 3
    error = error_in_ulp(y[finite], head[finite], tail[finite])
    worst = int(np.argmax(error))
    assert error[worst] <= BOUNDS[name][DTYPES.index(dtype)], f"at {float(x[finite][worst]).hex()}"


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("exp", {-math.inf: 0.0, math.inf: math.inf, 0.0: 1.0}),
        ("expm1", {-math.inf: -1.0, math.inf: math.inf}),
        ("log", {0.0: -math.inf, 1.0: 0.0, math.inf: math.inf, -1.0: math.nan,
                 -1e-40: math.nan, -math.inf: math.nan}),
        ("log1p", {-1.0: -math.inf, math.inf: math.inf, -1.5: math.nan, -math.inf: math.nan}),
        ("tanh", {-math.inf: -1.0, math.inf: 1.0}),
        ("sigmoid", {-math.inf: 0.0, math.inf: 1.0, 0.0: 0.5}),
        ("softplus", {-math.inf: 0.0, math.inf: math.inf}),
        ("erf", {-math.inf: -1.0, math.inf: 1.0}),
        ("normal_cdf", {-math.inf: 0.0, math.inf: 1.0, 0.0: 0.5}),
    ],
)  # fmt: skip
def test_special_values(name: str, table: dict[float, float], dtype: type) -> None:
    y = kernels.vmath(name, np.array([*table, math.nan, -math.nan], dtype))
    expected = np.array([*table.values(), math.nan, math.nan], dtype)
    np.testing.assert_array_equal(y, expected)
    number = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(y[number]), np.signbit(expected[number]))


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_nan(dtype: type) -> None:
    """A NaN stays one even if it differs from an infinity in its last bit only."""
    unsigned = np.uint32 if dtype is np.float32 else np.uint64
    infinities = np.array([math.inf, -math.inf], dtype).view(unsigned)
    payloads = 1 << np.arange(np.finfo(dtype).nmant, dtype=unsigned)
    x = (infinities[:, None] | payloads).ravel().view(dtype)
    for name in NAMES:
        assert np.all(np.isnan(kernels.vmath(name, x))), name


@pytest.mark.parametrize("dtype", DTYPES)
def test_zero(dtype: type) -> None:
    zeros = np.array([0.0, -0.0], dtype)
    for name in ODD:
        y = kernels.vmath(name, zeros)
        np.testing.assert_array_equal(y, zeros)
        np.testing.assert_array_equal(np.signbit(y), [False, True], err_msg=name)
    for name, value in (("exp", 1.0), ("sigmoid", 0.5), ("normal_cdf", 0.5), ("log", -math.inf)):
        np.testing.assert_array_equal(kernels.vmath(name, zeros), dtype(value), err_msg=name)


@pytest.mark.parametrize("dtype", DTYPES)
def test_denormal_arguments(dtype: type) -> None:
    info = np.finfo(dtype)
    unit = info.smallest_subnormal
    multiples = np.array([1, 2, 3, 5, 1000, 2**info.nmant - 1], np.float64)
    x = (multiples * float(unit)).astype(dtype)
    x = np.concatenate([x, -x])
    assert np.all(np.abs(x) < info.smallest_normal) and np.all(x != 0)
    for name in ("expm1", "log1p", "tanh"):  # x + O(x^2)
        np.testing.assert_array_equal(kernels.vmath(name, x), x, err_msg=name)
    error = (kernels.vmath("erf", x) - x.astype(np.float64) * (2 / math.sqrt(math.pi))) / unit
    assert np.max(np.abs(error)) <= 1
    # log(k unit) = log(k) + log(unit); the tolerance allows for this reference's own rounding.
    expected = np.log(multiples) + (info.minexp - info.nmant) * math.log(2)
    error = kernels.vmath("log", x[: len(multiples)]) - expected
    assert np.max(np.abs(error)) <= 2 * np.spacing(dtype(-expected[0]))
    for name, value in (("exp", 1.0), ("sigmoid", 0.5), ("normal_cdf", 0.5)):
        np.testing.assert_array_equal(kernels.vmath(name, x), dtype(value), err_msg=name)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["exp", "sigmoid", "softplus", "normal_cdf"])
def test_denormal_results(name: str, dtype: type) -> None:
    """The last results before 0 are denormal numbers, not 0, with the error of the others."""
    if name == "normal_cdf":
        low, high = (-14.1, -13.0) if dtype is np.float32 else (-38.4, -37.6)
    else:
        low, high = (-103.2, -87.4) if dtype is np.float32 else (-744.4, -708.5)
    x = np.linspace(low, high, 500).astype(dtype)
    y = kernels.vmath(name, x)
    assert np.all(y > 0) and np.all(y < np.finfo(dtype).smallest_normal)
    assert np.all(np.diff(y) >= 0)
    if dtype is np.float32:
        error = error_in_ulp(y, reference_float32(name, x), np.zeros(len(x)))
    else:
        error = error_in_ulp(y, *reference_float64(name, x))
    assert np.max(error) <= (2.5 if name == "normal_cdf" else 1)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("name", "below", "above"),
    [
        ("exp", 0.0, math.inf),
        ("expm1", -1.0, math.inf),
        ("tanh", -1.0, 1.0),
        ("sigmoid", 0.0, 1.0),
        ("softplus", 0.0, None),  # x itself
        ("erf", -1.0, 1.0),
        ("normal_cdf", 0.0, 1.0),
    ],
)
def test_ends(name: str, below: float, above: float | None, dtype: type) -> None:
    """Beyond the range of interest a function has its limit, however large the argument."""
    low, high = RANGES[name][DTYPES.index(dtype)]
    info = np.finfo(dtype)
    for end, limit in ((low - 1.0, below), (high + 1.0, above)):
        steps = np.exp2(np.linspace(math.log2(abs(end)), info.maxexp - 1, 300))
        x = np.copysign(np.append(steps, [info.max, np.inf]), end).astype(dtype)
        expected = x if limit is None else np.full_like(x, limit)
        np.testing.assert_array_equal(kernels.vmath(name, x), expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["tanh", "erf", "sigmoid", "normal_cdf"])
def test_never_leaves_the_range(name: str, dtype: type) -> None:
    """On the way to the limit no rounding error goes beyond it, and the values do not fall."""
    low, high = RANGES[name][DTYPES.index(dtype)]
    y = kernels.vmath(name, np.linspace(low - 1, high + 1, 20_001).astype(dtype))
    assert y.min() == (-1 if name in ODD else 0) and y.max() == 1
    assert np.diff(y).min() >= -2 * np.finfo(dtype).eps


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NAMES)
def test_value_does_not_depend_on_position(name: str, dtype: type) -> None:
    """A vector body and the remainder of a loop give the same bits, for every length."""
    x = arguments(name, dtype, 20)
    whole = kernels.vmath(name, x)
    for n in (0, 1, 2, 3, 5, 7, 15, 17, 33, 63):
        np.testing.assert_array_equal(kernels.vmath(name, x[:n].copy()), whole[:n])
    shifted = kernels.vmath(name, x[1:].copy())
    np.testing.assert_array_equal(shifted, whole[1:])


def test_unknown_name() -> None:
    with pytest.raises(ValueError, match=r"unknown function 'sine'.*exp"):
        kernels.vmath("sine", np.zeros(3))
