"""The kernels one by one, each with its check and a yardstick, ready to be timed.

The yardstick of a product is OpenBLAS, called directly; that of an elementwise kernel is NumPy's
copy of as many elements. What a result should be, and how far a kernel may be off, is what the
tests say: the formulas of `tests/reference.py`, `tests/reference_updates.py` and
`tests/test_vmath.py`, the bounds of `tests/checks.py`.
"""

from __future__ import annotations

import ctypes
import importlib
import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnet._core import activations, kernels, optimizers
from cnet._core.network import Network
from cnet._core.sources import Source

from . import workloads

Array = NDArray[Any]
Call = Callable[[], object]

TESTS = Path(__file__).resolve().parents[1] / "tests"
POOL = 101  # different rows or values; they are repeated, so that slow references check all results

# Rows, inputs and units: both sides of what gemm.h calls thin, of its blocks, and of CNET_BLAS_FROM
# in isa_*.c.
PATHS = (
    *((8, 64, 64), (16, 256, 256), (32, 256, 256), (64, 256, 256), (256, 257, 256)),
    *((64, 1024, 1024), (96, 1024, 1024), (256, 512, 512), (384, 512, 512), (512, 512, 512)),
)
SQUARE, QUICK_SQUARE = (1024, 1024, 1024), (256, 256, 256)  # where a peak should show


@dataclass(frozen=True)
class Kernel:
    """A call of a kernel, ready to be checked and timed.

    Attributes
    ----------
    part, name : str
        One of `PARTS`, and what the tables call it.
    amount : int
        Floating-point operations of a product's call, elements of any other.
    moved : int
        Bytes that a call must read and write, each array once; 0 for a product.
    call : callable
        The kernel.
    check : callable
        Asserts that what `call` (and a product's `yardstick`) computes is right.
    yardstick : callable, optional
        What it is compared with.
    yardstick_moved : int
        Bytes that the yardstick reads and writes.
    empty, yardstick_empty : callable, optional
        The same two calls with hardly anything to compute: what a call from Python costs.
    """

    part: str
    name: str
    amount: int
    moved: int
    call: Call
    check: Call
    yardstick: Call | None = None
    yardstick_moved: int = 0
    empty: Call | None = None
    yardstick_empty: Call | None = None


def of_tests(name: str) -> ModuleType:
    """Import a module of the tests' folder, which is no package."""
    if str(TESTS) not in sys.path:
        sys.path.insert(0, str(TESTS))
    return importlib.import_module(name)


def aligned(values: Array, dtype: str) -> Array:
    """Copy an array to an address as a network's arena has them, a multiple of 64 bytes."""
    size = values.size * np.dtype(dtype).itemsize
    raw = np.empty(size + 64, np.uint8)
    skip = -raw.ctypes.data % 64
    copy = raw[skip : skip + size].view(dtype).reshape(values.shape)
    copy[...] = values
    return copy


# ---- products ------------------------------------------------------------------------------------


def layers(quick: bool) -> set[tuple[int, int, int]]:
    """Return rows, inputs and units of the suite's layers, but not of its sweeps."""
    suite: tuple[workloads.Workload, ...] = (*workloads.TRAINING, *workloads.PREDICTION)
    return {
        (workload.batch, inputs, units)
        for workload in suite
        if workload.quick or not quick
        for inputs, units in pairwise(workload.sizes)
    }


def sizes(quick: bool) -> list[tuple[int, int, int]]:
    """List rows, inputs and units of the suite's layers and of `PATHS`."""
    chosen = {*layers(quick), *([QUICK_SQUARE] if quick else [*PATHS, SQUARE])}
    return sorted(chosen, key=lambda size: (math.prod(size), size))


class OpenBLAS:
    """OpenBLAS's products of row-major matrices, on one thread and past cnet.

    Parameters
    ----------
    path : str
        Where the library is, from `cnet._core.kernels.find_blas`.
    dtype : str
        "float32" or "float64".
    """

    def __init__(self, path: str, dtype: str) -> None:
        library = ctypes.CDLL(path)
        library.scipy_openblas_set_num_threads(1)
        self.number = ctypes.c_float if dtype == "float32" else ctypes.c_double
        self.function: Any = getattr(
            library, "scipy_cblas_sgemm" if dtype == "float32" else "scipy_cblas_dgemm"
        )
        self.function.restype = None

    def product(
        self, a: Array, a_turned: bool, b: Array, b_turned: bool, out: Array, rows: int
    ) -> Call:
        """Prepare the first rows of out = A B; a turned operand is the transpose of its array."""
        row_major, plain, turned = 101, 111, 112  # CBLAS's own numbers
        depth = a.shape[0 if a_turned else 1]
        # Converted once: a call by ctypes then costs hardly more than one of a compiled module.
        given = (
            *map(ctypes.c_int, (row_major, turned if a_turned else plain)),
            *map(ctypes.c_int, (turned if b_turned else plain, rows, out.shape[1], depth)),
            *(self.number(1), a.ctypes.data_as(ctypes.c_void_p), ctypes.c_int(a.shape[1])),
            *(b.ctypes.data_as(ctypes.c_void_p), ctypes.c_int(b.shape[1])),
            *(self.number(0), out.ctypes.data_as(ctypes.c_void_p), ctypes.c_int(out.shape[1])),
        )
        return lambda: self.function(*given)


def check_product(a: Array, b: Array, bias: Array | None, out: Array, what: str) -> None:
    """Assert that out is A B + bias, but for what any order of summation may be off."""
    wide = np.float64
    left, right = a.astype(wide), b.astype(wide)
    expected, size = left @ right, np.abs(left) @ np.abs(right)
    if bias is not None:
        expected, size = expected + bias.astype(wide), size + np.abs(bias.astype(wide))
    unit = (np.finfo(out.dtype).eps + np.finfo(wide).eps) / 2  # the reference is a sum as well
    of_tests("checks").assert_within(out, expected, (a.shape[1] + 2) * unit * size, what)


def products(dtype: str, quick: bool) -> Iterator[Kernel]:
    """Prepare y = x W + b, dW = x^T dy and dx = dy W^T of every size."""
    kernels.use_blas(False)
    path = kernels.find_blas()
    blas = OpenBLAS(path, dtype) if path else None
    rng = np.random.default_rng(0)
    for rows, inputs, units in sizes(quick):
        shapes = ((rows, inputs), (inputs, units), (rows, units))
        x, w, dy = (aligned(rng.standard_normal(shape), dtype) for shape in shapes)
        bias = aligned(rng.standard_normal(units), dtype)
        for name, a, a_turned, b, b_turned, start in (
            ("y = x W + b", x, False, w, False, bias),
            ("dW = x^T dy", x, True, dy, False, None),
            ("dx = dy W^T", dy, False, w, True, None),
        ):
            yield product(
                f"{name} | {rows} x {inputs} x {units}",
                *(a, a_turned, b, b_turned, start, blas),
            )


def product(
    name: str,
    a: Array,
    a_turned: bool,
    b: Array,
    b_turned: bool,
    bias: Array | None,
    blas: OpenBLAS | None,
) -> Kernel:
    """Prepare one product by cnet's own kernel and by OpenBLAS, which leaves the bias out."""
    left, right = a.T if a_turned else a, b.T if b_turned else b
    shape = (left.shape[0], right.shape[1])
    out, theirs = (aligned(np.zeros(shape), str(a.dtype)) for _ in range(2))
    rival = blas.product(a, a_turned, b, b_turned, theirs, shape[0]) if blas else None
    # OpenBLAS returns at once if there are no rows; cnet's twin needs its scratch memory before.
    one, corner = left[:1, :1], np.zeros((1, 1), out.dtype)
    first = None if bias is None else bias[:1]

    def call() -> None:
        kernels.gemm(left, right, out, bias)

    def empty() -> None:
        kernels.gemm(one, one, corner, first)

    def check() -> None:
        call()
        check_product(left, right, bias, out, name)
        if rival:
            rival()
            check_product(left, right, None, theirs, f"OpenBLAS: {name}")

    return Kernel(
        *("products", name, 2 * out.size * left.shape[1], 0, call, check, rival),
        empty=empty,
        yardstick_empty=blas.product(a, a_turned, b, b_turned, theirs, 0) if blas else None,
    )


# ---- elementwise kernels -------------------------------------------------------------------------


def shape_of(quick: bool) -> tuple[int, int]:
    """Return the rows and columns that the elementwise kernels are given."""
    return (100, 100) if quick else (1000, 100)


def elementwise(
    part: str, name: str, moved: int, like: Array, call: Call, check: Call
) -> Kernel:
    """Describe a kernel over an array like `like`, beside NumPy's copy of such an array."""
    source, out = (aligned(np.ones(like.shape), str(like.dtype)) for _ in range(2))
    copy = partial(np.copyto, out, source)
    return Kernel(part, name, like.size, moved, call, check, copy, 2 * like.nbytes)


def functions(dtype: str, quick: bool) -> Iterator[Kernel]:
    """Prepare the vector functions; a call makes the array of its results."""
    for name in kernels.MATH:
        pool = (2 * np.random.default_rng(1).standard_normal(POOL)).astype(dtype)
        pool = np.abs(pool) if name.startswith("log") else pool
        x = aligned(np.resize(pool, math.prod(shape_of(quick))), dtype)
        call = partial(kernels.vmath, name, x)
        check = partial(check_function, name, pool, call)
        yield elementwise("math", name, 2 * x.nbytes, x, call, check)


def check_function(name: str, pool: Array, call: Callable[[], Array]) -> None:
    """Assert that a vector function keeps the bound of its errors, in ulp."""
    tests = of_tests("test_vmath")
    if pool.dtype == np.float32:
        exact, rest = tests.reference_float32(name, pool), np.zeros(len(pool))
    else:
        exact, rest = tests.reference_float64(name, pool)
    results = call()
    exact, rest = (np.resize(v, results.size) for v in (exact, rest))
    worst = np.max(tests.error_in_ulp(results, exact, rest))
    bound = tests.BOUNDS[name][tests.DTYPES.index(pool.dtype.type)]
    if not worst <= bound:  # NaN is wrong as well
        raise AssertionError(f"{name}: off by {worst:.3g} ulp, expected {bound} or less")


def slopes_and_values(dtype: str, quick: bool) -> Iterator[Kernel]:
    """Prepare every activation, forward and backward."""
    checks, shape, rng = of_tests("checks"), shape_of(quick), np.random.default_rng(2)
    pools = [rng.standard_normal((POOL, shape[1])).astype(dtype) for _ in range(2)]
    x, dy = (aligned(np.resize(pool, shape), dtype) for pool in pools)
    for name in kernels.ACTIVATIONS:
        alpha = checks.alpha_of(name)
        y, dx = (aligned(np.zeros(shape), dtype) for _ in range(2))
        activations.forward(name, x, y, alpha)
        for which, (what, out, call) in enumerate((
            (name, y, partial(activations.forward, name, x, y, alpha)),
            (f"{name} backward", dx, partial(activations.backward, name, x, y, dy, dx, alpha)),
        )):  # fmt: skip
            bounds = partial(checks.activation_bounds, name, *pools, alpha)
            check = partial(check_activation, call, out, bounds, which, what)
            yield elementwise("activations", what, (2 + which) * x.nbytes, x, call, check)


def check_activation(
    call: Call, out: Array, bounds: Callable[[], Any], which: int, what: str
) -> None:
    """Assert that an activation's values (`which` 0) or slopes (1) are within their bounds."""
    call()
    expected = (np.resize(values, out.shape) for values in bounds()[which])
    of_tests("checks").assert_within(out, *expected, what)


def values_and_gradients(dtype: str, quick: bool) -> Iterator[Kernel]:
    """Prepare every loss: value and gradient in one call."""
    checks, rng = of_tests("checks"), np.random.default_rng(3)
    for name, kind in kernels.LOSSES.items():
        y, target = checks.loss_data(name, *shape_of(quick), rng)
        y, target = aligned(y, dtype), aligned(target, "int64" if kind == "LABELS" else dtype)
        dy = aligned(np.zeros(y.shape), dtype)
        settings = {"parameter": of_tests("reference").LOSSES[name].parameter}
        call = partial(checks.call_loss, name, y, target, dy, None, 1 / y.size, **settings)
        check = partial(check_loss, name, y, target, dy, settings, call)
        yield elementwise("losses", name, 2 * y.nbytes + target.nbytes, y, call, check)


def check_loss(
    name: str,
    y: Array,
    target: Array,
    dy: Array,
    settings: dict[str, float],
    call: Callable[[], float],
) -> None:
    """Assert that a loss's value and its gradient are within their bounds."""
    checks = of_tests("checks")
    value, gradient = checks.loss_bounds(name, y, target, None, 1 / y.size, settings)
    checks.assert_within(np.array([call()]), *map(np.atleast_1d, value), name)
    checks.assert_within(dy, *gradient, f"{name} gradient")


def updates(dtype: str, quick: bool) -> Iterator[Kernel]:
    """Prepare a step of every update rule, with both kinds of weight decay."""
    settings, n = of_tests("checks").RULE_SETTINGS, math.prod(shape_of(quick))
    pools = np.random.default_rng(4).standard_normal((2, POOL)).astype(dtype)
    numbers = np.array([*vars(settings).values()])
    for name, count in kernels.OPTIMIZERS.items():
        p, g = (aligned(np.resize(pool, n), dtype) for pool in pools)
        states = aligned(np.zeros((count, n)), dtype) if count else None
        running = np.array([0.0, 1.0, 1.0])
        call = partial(optimizers.update, name, numbers, running, g, p, states)
        check = partial(check_update, name, p, pools, settings, call)
        yield elementwise("updates", name, (3 + 2 * count) * p.nbytes, p, call, check)


def check_update(name: str, p: Array, pools: Array, settings: Any, call: Call) -> None:
    """Assert that the first steps of a rule are those of plain Python floats."""
    checks, walk = of_tests("checks"), of_tests("reference_updates").walk
    steps = 3
    paths = np.array([walk(name, start, [g] * steps, settings) for start, g in pools.T.tolist()])
    way = np.abs(np.diff(paths, axis=1, prepend=pools[0][:, None]))
    size = np.abs(pools[0]) + way.sum(axis=1) + settings.rate
    for _ in range(steps):
        call()
    bound = 4 * checks.UNITS * checks.eps(p.dtype) * size
    checks.assert_within(p, *(np.resize(v, p.size) for v in (paths[:, -1], bound)), name)


def sources(dtype: str, quick: bool) -> Iterator[Kernel]:
    """Prepare reading rows of every element type, by a network without operations.

    Its `forward` gathers the rows and copies them into the array of its outputs.
    """
    shape, rng, scale = shape_of(quick), np.random.default_rng(5), 1 / 255
    network = Network(dtype, [shape[1]], [], 0)
    like = np.zeros(shape, dtype)
    for name in kernels.SOURCES:
        values = rng.integers(0, 128, shape).astype(of_tests("reference").SOURCES[name])
        call = partial(network.forward, Source(values, scale))
        check = partial(check_source, name, values, scale, call)
        yield elementwise("sources", name, values.nbytes + 3 * like.nbytes, like, call, check)


def check_source(name: str, values: Array, scale: float, call: Callable[[], Array]) -> None:
    """Assert that rows are read as the numbers they are, scaled."""
    checks, out = of_tests("checks"), call()
    expected = values.astype(np.float64) * scale
    bound = 2 * checks.eps(out.dtype) * expected
    checks.assert_within(out, expected, bound, f"rows of {name}")


PARTS: dict[str, Callable[[str, bool], Iterator[Kernel]]] = {
    "products": products,
    "math": functions,
    "activations": slopes_and_values,
    "losses": values_and_gradients,
    "updates": updates,
    "sources": sources,
}
