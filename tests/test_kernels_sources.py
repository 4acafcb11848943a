"""Gathering rows from arrays of every element type and layout, and looking through them."""

import checks
import numpy as np
import pytest
import reference
from checks import DTYPES, SIZES, assert_within, eps

import cnet
from cnet._core import kernels, sources, training

each_dtype = pytest.mark.parametrize("dtype", DTYPES)
each_source = pytest.mark.parametrize("name", kernels.SOURCES)
FLOATS = ("float16", "float32", "float64")


def identity(columns: int, dtype: str, scale: float | None = None) -> cnet.Sequential:
    """A network that returns its inputs as it gathers them."""
    net = cnet.Sequential([cnet.Activation("linear")], dtype=dtype, scale=scale)
    return net.build(columns)


def values_of(name: str, shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Numbers of an element type: its extremes, then any."""
    rng, source = np.random.default_rng([seed, *shape]), reference.SOURCES[name]
    if np.issubdtype(source, np.floating):
        x = rng.standard_normal(shape) * 10.0 ** rng.integers(-4, 4, shape)
        return x.astype(source)
    info = np.iinfo(source)
    x = rng.integers(info.min, info.max, shape, source, True)
    x.flat[0], x.flat[-1] = info.min, info.max
    return x


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


# ---- conversion --------------------------------------------------------------------------------


@each_dtype
@each_source
def test_conversion_is_exact_or_rounded_once(name, dtype):
    for n in SIZES:
        for rows in (1, 3, n):
            x = values_of(name, (rows, n))
            assert same_bits(identity(n, dtype).predict(x), x.astype(dtype))


@each_dtype
def test_bools_are_zero_and_one(dtype):
    x = np.random.default_rng(0).random((5, 9)) < 0.5
    assert np.array_equal(identity(9, dtype).predict(x), x.astype(float))


@each_dtype
def test_every_float16(dtype):
    """All 65536 of them: denormals, zeros with their signs, infinities, NaN."""
    x = np.arange(1 << 16, dtype=np.uint16).view(np.float16).reshape(-1, 64)
    y, expected = identity(64, dtype).predict(x), x.astype(dtype)
    number = ~np.isnan(expected)
    assert np.array_equal(np.isnan(y), ~number)
    assert same_bits(y[number], expected[number])


@each_dtype
@pytest.mark.parametrize("source", FLOATS)
def test_special_values_pass(source, dtype):
    info = np.finfo(source)
    smallest, largest = float(info.smallest_subnormal), float(info.max)
    x = np.array([[0.0, -0.0, np.inf, -np.inf, smallest, -largest, float(info.tiny)]], source)
    with np.errstate(over="ignore", under="ignore"):
        assert same_bits(identity(7, dtype).predict(x), x.astype(dtype))
    assert np.isnan(identity(1, dtype).predict(np.array([[np.nan]], source)))


# ---- layouts -----------------------------------------------------------------------------------

LAYOUTS = {
    "C": lambda x: x,
    "Fortran": np.asfortranarray,
    "rows backwards": lambda x: x[::-1].copy()[::-1],
    "columns backwards": lambda x: x[:, ::-1].copy()[:, ::-1],
    "both backwards": lambda x: x[::-1, ::-1].copy()[::-1, ::-1],
    "every third row": lambda x: np.repeat(x, 3, axis=0)[::3],
    "every second column": lambda x: np.repeat(x, 2, axis=1)[:, ::2],
    "window": lambda x: np.pad(x, 3)[3:-3, 3:-3],
    "one row repeated": lambda x: np.broadcast_to(x[:1], x.shape),
    "one column repeated": lambda x: np.broadcast_to(x[:, :1], x.shape),
}


@each_dtype
@each_source
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layout(layout, name, dtype):
    """Read-only, too: nothing is ever written to the user's array."""
    for shape in [(1, 1), (3, 7), (17, 8), (300, 9)]:
        x = LAYOUTS[layout](values_of(name, shape))
        x.setflags(write=False)
        assert same_bits(identity(shape[1], dtype).predict(x), x.astype(dtype))


@each_dtype
@each_source
@pytest.mark.parametrize("layout", ["C", "Fortran", "every second column"])
def test_scale_multiplies_what_is_gathered(layout, name, dtype):
    for n in (1, 7, 33):
        x = values_of(name, (5, n))
        y = identity(n, dtype, 1 / 255).predict(LAYOUTS[layout](x))
        expected = x.astype(np.float64) / 255
        assert_within(y, expected, 2 * eps(dtype) * np.abs(expected), f"{name}, {n}")


@each_dtype
@each_source
def test_rows_in_any_order(name, dtype):
    """A training pass gathers inputs, targets and weights by the same index, some of them twice."""
    n, columns = 23, 5
    x = values_of(name, (n, columns)) % 8 if name[0] != "f" else values_of(name, (n, columns))
    t = np.random.default_rng(1).standard_normal((n, columns))
    w = np.random.default_rng(2).random(n)
    order = np.random.default_rng(3).integers(0, n, n)
    net = identity(columns, dtype)
    rows = [sources.Source(values) for values in (x, t, w)]
    work = training.Batches(net.built.core, *rows, 1, "quadratic", 0.0, 0.0, False, False)
    work.begin(order)
    for place in order:
        assert work.run(1)
        y, target = x[place].astype(dtype), t[place].astype(dtype)
        expected, _ = reference.loss("quadratic", y[None], target[None], w[place : place + 1])
        assert work.last_loss == pytest.approx(expected, rel=16 * eps(dtype))
    assert work.position == n


# ---- looking for NaN and infinity --------------------------------------------------------------


@pytest.mark.parametrize("layout", ["C", "Fortran", "both backwards", "every second column"])
@pytest.mark.parametrize("source", FLOATS)
def test_first_value_that_is_not_finite(source, layout):
    """In any place, around the chunks of 64 in which rows are looked through."""
    for columns in (1, 3, 63, 64, 65, 130):
        x = np.full((3, columns), np.finfo(source).max, source)
        assert sources.Source(LAYOUTS[layout](x)).first_nonfinite() is None
        for column in {0, columns // 2, columns - 1}:
            for bad in (np.nan, np.inf, -np.inf):
                wrong = x.copy()
                wrong[1, column] = wrong[2, 0] = bad
                assert sources.Source(LAYOUTS[layout](wrong)).first_nonfinite() == (1, column)


@each_source
def test_integers_are_finite(name):
    x = values_of(name, (4, 5))
    assert sources.Source(x).first_nonfinite() is None
    assert sources.Source(np.empty((0, 5), x.dtype)).first_nonfinite() is None


def test_a_source_describes_its_array():
    assert sources.Source(np.zeros((4, 3), np.uint8)).shape == (4, 3)
    assert sources.Source(np.zeros(4)).shape == (4, 1)
    with pytest.raises(TypeError, match="float16, float32"):
        sources.Source(np.zeros(3, complex))
    with pytest.raises(ValueError, match="3 dimensions"):
        sources.Source(np.zeros((1, 2, 3)))


def test_units_of_the_checks():
    """The tolerances above are rounding errors of the dtype, not absolute numbers."""
    assert eps("float32") == 2.0**-23 and eps("float64") == 2.0**-52
    with pytest.raises(AssertionError, match="1 of 2 are wrong"):
        checks.assert_within(np.array([1.0, 2.0]), [1.0, 2.0 + 1e-9], 1e-10, "numbers")
    with pytest.raises(AssertionError, match="1 of 1 are wrong"):
        checks.assert_within(np.array([np.nan]), [np.nan], 1.0, "numbers")
