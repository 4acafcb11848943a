"""Kernels against reference.py, as functions of a row's name, a dtype and sizes.

The tests call them with all sizes. Run as a program this module does every check at a few sizes,
with the instruction set that CNET_ISA names and with arrays that end at a forbidden page:
test_isas.py starts it once per instruction set.

Bounds are in units of the dtype's rounding error. They allow each function what an error of a few
units in its argument does to it, |x f'(x)|, and each sum of n terms n units of the terms' sizes.
"""

import math

import numpy as np
import reference
from buffers import Guarded, embedded, fence, guarded, placed
from checks_norms import check_norms
from reference_updates import RuleSettings, walk

from cnet._core import activations, dense, kernels, losses, optimizers

DTYPES = ("float32", "float64")
SIZES = (1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 64, 100)
UNITS = 16  # rounding errors that a formula may make
SLOPE_UNITS = 64  # 1 - sigmoid has an absolute error, which silu, mish and gelu_tanh multiply

_TAILS = np.array([1e-30, 1e-8, 1e-3, 0.1, 0.5, 1.5, 5.0, 10.0, 20.0, 35.0, 60.0, 87.0, 100.0, 1e4])
POINTS = np.concatenate([[0.0, 1.0, 2.0, 3.0, 6.0, -1.0, -2.0, -3.0, -6.0], _TAILS, -_TAILS])


def eps(dtype) -> float:
    return float(np.finfo(dtype).eps)


def tiny(dtype) -> float:
    """The spacing of denormal numbers, below which every result is rounded."""
    return float(np.finfo(dtype).smallest_subnormal)


def assert_within(actual, expected, bound, what: str) -> None:
    """Assert |actual - expected| <= bound elementwise; infinities must be the same."""
    actual = np.atleast_1d(actual)
    with np.errstate(over="ignore"):
        expected = np.atleast_1d(expected).astype(actual.dtype).astype(np.float64)
    actual = actual.astype(np.float64)
    assert actual.shape == expected.shape, f"{what}: {actual.shape}, expected {expected.shape}"
    with np.errstate(invalid="ignore"):
        good = (actual == expected) | (np.abs(actual - expected) <= bound)
    if not good.all():
        at = tuple(int(i[0]) for i in np.nonzero(~good))
        allowed = np.broadcast_to(bound, good.shape)[at]
        raise AssertionError(
            f"{what}: {(~good).sum()} of {good.size} are wrong, first at {at}: {actual[at]!r}, "
            f"expected {expected[at]!r} within {allowed:.3g}"
        )


def points(shape: tuple[int, ...], dtype, seed: int, limit: float = math.inf) -> np.ndarray:
    """Return arguments of all sizes up to a limit, kinks among them, in a random order."""
    rng = np.random.default_rng([seed, *shape])
    pool = POINTS[np.abs(POINTS) <= limit]
    values = np.concatenate([rng.permutation(pool), 2 * rng.standard_normal(math.prod(shape))])
    return rng.permutation(values)[: math.prod(shape)].reshape(shape).astype(dtype)


# ---- activations ---------------------------------------------------------------------------------


def alpha_of(name: str) -> float:
    """A parameter that is nobody's default, where the activation has one."""
    return 0.3 if kernels.ACTIVATIONS[name][1] is not None else 0.0


def check_activation(name: str, dtype, shapes) -> None:
    """Values and slopes, into new arrays and in place."""
    for shape in shapes:
        check_activation_shape(name, dtype, shape)


def check_activation_shape(name: str, dtype, shape: tuple[int, int]) -> None:
    a, what, kind = alpha_of(name), f"{name} {dtype} {shape}", kernels.ACTIVATIONS[name][0]
    x = points(shape, dtype, 2)
    dy = np.sign(np.random.default_rng(3).standard_normal(shape)) * (1 + np.abs(np.cos(x)))
    dy = dy.astype(dtype)
    expected, slope = activation_bounds(name, x, dy, a)

    y = Guarded(shape, dtype)
    activations.forward(name, placed(x), y.array, a)
    y.assert_untouched()
    assert_within(y.array, *expected, what)
    in_place = guarded(x)
    activations.forward(name, in_place.array, in_place.array, a)
    in_place.assert_untouched()
    assert_within(in_place.array, *expected, f"{what} in place")

    # A backward pass may read no more than its row says: NaN stands for the rest.
    with np.errstate(over="ignore"):
        rounded = expected[0].astype(dtype)
    unread = np.full(shape, np.nan, dtype)
    x_read = placed(x if kind == "INPUT" else unread)
    dx = Guarded(shape, dtype)
    activations.backward(name, x_read, placed(rounded), placed(dy), dx.array, a)
    dx.assert_untouched()
    assert_within(dx.array, *slope, f"{what} backward")
    in_place = guarded(dy)
    activations.backward(name, x_read, placed(rounded), in_place.array, in_place.array, a)
    in_place.assert_untouched()
    assert_within(in_place.array, *slope, f"{what} backward in place")


def activation_bounds(name: str, x: np.ndarray, dy: np.ndarray, alpha: float):
    """((y, its bound), (dx, its bound)) by the reference."""
    dtype, x, dy = x.dtype, x.astype(np.float64), dy.astype(np.float64)
    row, y = reference.ACTIVATIONS[name], reference.activate(name, x, alpha)
    if isinstance(row, reference.RowActivation):
        units, jacobian = (UNITS + x.shape[1]) * eps(dtype), row.jacobian(x)
        spread = np.einsum("ikj,ij->ik", np.abs(jacobian), np.abs(x))
        dx = np.einsum("ik,ikj->ij", dy, jacobian)
        size = np.abs(dy).max(axis=1, keepdims=True) + np.abs(dx)
        return (y, units * (np.abs(y) + spread) + UNITS * tiny(dtype)), (dx, units * size)
    units, slope = UNITS * eps(dtype), row.slope(x, alpha)
    dx, slope = dy * slope, np.abs(slope)
    with np.errstate(invalid="ignore"):  # 0 * inf, where the expected value is inf itself
        bound = units * (np.abs(y) + np.abs(x) * slope) + UNITS * (1 + np.abs(x)) * tiny(dtype)
    return (y, bound), (dx, SLOPE_UNITS * eps(dtype) * np.abs(dy) * np.maximum(slope, 1))


# ---- products ----------------------------------------------------------------------------------


class Operands:
    """Windows of two matrices of small integers, whose products are exact in either dtype."""

    def __init__(self, dtype, seed: int = 5):
        self.dtype, self.rng = dtype, np.random.default_rng(seed)
        self.made: dict[tuple, np.ndarray] = {}

    def integers(self, *shape: int) -> np.ndarray:
        return self.rng.integers(-4, 5, shape).astype(np.float64)

    def take(self, which: str, rows: int, columns: int, transposed: bool, tight: bool):
        """Return (float64 values, the same for the kernel), transposed in memory or not."""
        key = (which, rows, columns, transposed, tight)
        if key not in self.made:
            values = self.integers(rows, columns)
            stored = values.T if transposed else values
            stored = placed(stored, self.dtype) if tight else embedded(stored, self.dtype)
            self.made[key] = values, stored.T if transposed else stored
        return self.made[key]


LAYOUTS = [(a, b) for a in (False, True) for b in (False, True)]


def check_gemm(operands: Operands, M: int, N: int, K: int, layouts=LAYOUTS) -> None:
    """Products of integers in the layouts, with and without bias, adding and not: exactly."""
    bias, before = operands.integers(N), operands.integers(M, N)
    bias_placed = placed(bias, operands.dtype)
    for number, (a_transposed, b_transposed) in enumerate(layouts):
        # Either tightly packed, or a window with NaN around it, in turn.
        tight = (M + N + K + number) % 2 == 0
        a_values, a = operands.take("a", M, K, a_transposed, tight)
        b_values, b = operands.take("b", K, N, b_transposed, tight)
        product = a_values @ b_values
        for with_bias in (False, True):
            for add in (False, True):
                expected = product + bias * with_bias + before * add
                out = guarded(before, operands.dtype) if add else Guarded((M, N), operands.dtype)
                kernels.gemm(a, b, out.array, bias_placed if with_bias else None, add)
                out.assert_untouched()
                if not np.array_equal(out.array, expected):
                    at = tuple(int(i[0]) for i in np.nonzero(out.array != expected))
                    raise AssertionError(
                        f"gemm {operands.dtype} {M} x {K} x {N}, A transposed {a_transposed}, B "
                        f"transposed {b_transposed}, tight {tight}, bias {with_bias}, add {add}: "
                        f"{out.array[at]} at {at}, expected {expected[at]}"
                    )


# ---- dense layers ------------------------------------------------------------------------------


def check_dense(name: str, dtype, B: int, I: int, O: int, with_bias: bool = True) -> None:  # noqa: E741
    """Forward, and backward with gradients that are added to and that are overwritten.

    The sums x W + b are exact (multiples of 1/8) and, having an odd eighth, on no kink.
    """
    rng, a = np.random.default_rng([B, I, O]), alpha_of(name)
    what = f"dense {name} {dtype} B={B} I={I} O={O}"
    x, w = (rng.integers(-2, 3, s) / d for s, d in (((B, I), 1), ((I, O), 4)))
    b = rng.integers(-4, 5, O) / 4 + 0.125
    z = x @ w + b if with_bias else x @ w
    dy = rng.choice([-2.0, -1.0, 0.5, 1.0], (B, O))
    (y, y_bound), (dz, dz_bound) = activation_bounds(
        name, z.astype(dtype), dy.astype(dtype), a
    )
    keeps_z = kernels.ACTIVATIONS[name][0] == "INPUT"
    out, saved = Guarded((B, O), dtype), Guarded((B, O), dtype) if keeps_z else None
    dense.dense_forward(placed(x, dtype), placed(w, dtype),
                        placed(b, dtype) if with_bias else None, out.array, name, a,
                        saved.array if saved else None)
    out.assert_untouched()
    assert_within(out.array, y, y_bound, what)
    if saved:
        saved.assert_untouched()
        assert np.array_equal(saved.array, z), f"{what}: x W + b is not exact"

    kept_y = placed(y, dtype)
    kept_z = placed(z, dtype) if keeps_z else kept_y
    bounds = {
        "dw": (x.T @ dz, np.abs(x.T) @ (dz_bound + (B + 2) * eps(dtype) * np.abs(dz))),
        "db": (dz.sum(axis=0), (dz_bound + (B + 2) * eps(dtype) * np.abs(dz)).sum(axis=0)),
        "dx": (dz @ w.T, (dz_bound + (O + 2) * eps(dtype) * np.abs(dz)) @ np.abs(w.T)),
    }
    for fresh in (True, False):
        before = math.nan if fresh else 3.0
        start = 0.0 if fresh else 3.0
        gradient = guarded(dy, dtype)
        dw, dx = Guarded((I, O), dtype, before), Guarded((B, I), dtype)
        db = Guarded((O,), dtype, before) if with_bias else None
        dense.dense_backward(placed(x, dtype), placed(w, dtype), kept_z, kept_y, gradient.array,
                             dw.array, db.array if db else None, dx.array, name, a, fresh)
        for array in (gradient, dw, dx, *([db] if db else [])):
            array.assert_untouched()
        assert_within(gradient.array, dz, dz_bound, f"{what} dz")
        add = 4 * eps(dtype) * start
        assert_within(dw.array, bounds["dw"][0] + start, bounds["dw"][1] + add, f"{what} dW")
        assert_within(dx.array, *bounds["dx"], f"{what} dx")
        if db:
            assert_within(db.array, bounds["db"][0] + start, bounds["db"][1] + add, f"{what} db")


# ---- losses ------------------------------------------------------------------------------------


def loss_data(name: str, B: int, K: int, rng) -> tuple[np.ndarray, np.ndarray]:
    """Return outputs (B, K) and targets that a loss can take; K is even where it must be."""
    row = reference.LOSSES[name]
    K += K % 2 if row.targets == "half" else 0

    def real(*shape: int) -> np.ndarray:
        return rng.choice([-1.0, 1.0], shape) * (0.5 + np.abs(rng.standard_normal(shape)))

    outputs = {
        "real": lambda: real(B, K),
        "probability": lambda: rng.uniform(0.1, 0.9, (B, K)),
        "positive": lambda: rng.uniform(0.1, 3.0, (B, K)),
    }
    weights = rng.uniform(0.1, 1.0, (B, K))
    targets = {
        "real": lambda: real(B, K),
        "probability": lambda: rng.choice([0.0, 0.3, 1.0], (B, K)),
        "distribution": lambda: weights / weights.sum(axis=1, keepdims=True),
        "sign": lambda: rng.choice([-1.0, 1.0], (B, K)),
        "count": lambda: rng.poisson(2.0, (B, K)).astype(float),
        "labels": lambda: rng.integers(0, K, B),
        "half": lambda: real(B, K // 2),
    }
    return outputs[row.outputs](), targets[row.targets]()


def call_loss(name: str, y, target, dy=None, weight=None, scale=1.0, parameter=0.0, smoothing=0.0):
    """Call the kernel of a loss, whichever targets it takes."""
    if kernels.LOSSES[name] == "LABELS":
        return losses.labels_value_and_gradient(name, y, target, dy, weight, scale, smoothing)
    return losses.value_and_gradient(
        name, y, target, dy, weight, scale, parameter, smoothing
    )


def smoothings(name: str) -> tuple[float, ...]:
    return (0.0, 0.2) if "crossentropy" in name else (0.0,)


def check_loss(name: str, dtype, B: int, K: int) -> None:
    """Value and gradient, with and without weights and smoothing, in place and value alone."""
    rng, row = np.random.default_rng([B, K]), reference.LOSSES[name]
    y, target = loss_data(name, B, K, rng)
    y = y.astype(dtype)
    labels = row.targets == "labels"
    target = placed(target) if labels else placed(target, dtype)
    scale = 1 / y.size
    for weight in (None, rng.choice([0.0, 0.5, 1.0, 3.0], B).astype(dtype)):
        for smoothing in smoothings(name):
            settings = {"parameter": row.parameter, "smoothing": smoothing}
            what = f"{name} {dtype} B={B} K={K} weight {weight is not None}, smoothing {smoothing}"
            if row.root and weight is not None:
                weight[0] = 2.0  # the gradient of a root that is zero would be 0 / 0
            expected = loss_bounds(name, y, target, weight, scale, settings)
            given = None if weight is None else placed(weight)
            dy = Guarded(y.shape, dtype)
            value = call_loss(name, placed(y), target, dy.array, given, scale, **settings)
            dy.assert_untouched()
            assert_within(np.float64(value), *expected[0], what)
            assert_within(dy.array, *expected[1], f"{what} gradient")
            in_place = guarded(y)
            same = in_place.array
            again = call_loss(name, same, target, same, given, scale, **settings)
            in_place.assert_untouched()
            assert_within(np.float64(again), *expected[0], f"{what} in place")
            assert_within(same, *expected[1], f"{what} gradient in place")
            alone = call_loss(name, placed(y), target, None, given, scale, **settings)
            assert_within(np.float64(alone), *expected[0], f"{what} without a gradient")


def loss_bounds(name: str, y, target, weight, scale: float, settings: dict):
    """((value, its bound), (gradient, its bound)) by the reference."""
    units = (UNITS + y.shape[1]) * eps(y.dtype)
    terms, slope = reference.loss_terms(name, y, target, **settings)
    value, gradient = reference.loss(name, y, target, weight, scale, **settings)
    w = np.ones(len(y)) if weight is None else weight.astype(np.float64)
    sizes = np.abs(terms).sum(axis=1) + np.abs(y * slope).sum(axis=1) + 1
    value_bound = units * scale * float(w @ sizes)
    gradient_bound = units * scale * w[:, None] * (np.abs(slope) + 1)
    if reference.LOSSES[name].root:
        value_bound = value_bound / (2 * value) + units * value
        gradient_bound = gradient_bound / (2 * value) + units * np.abs(gradient) * (
            1 + value_bound / value
        )
    return (value, value_bound), (gradient, gradient_bound)


# ---- update rules ------------------------------------------------------------------------------


def check_update(name: str, dtype, n: int, settings: RuleSettings, steps: int = 4) -> None:
    """Every parameter after every step."""
    rng = np.random.default_rng(n)
    p = rng.standard_normal(n).astype(dtype)
    gradients = rng.standard_normal((steps, n)).astype(dtype)
    paths = np.array([walk(name, float(p[i]), gradients[:, i].tolist(), settings)
                      for i in range(n)])
    numbers = np.array([*vars(settings).values()])
    running = np.array([0.0, 1.0, 1.0])
    count = kernels.OPTIMIZERS[name]
    parameter, states = guarded(p), Guarded((count, n), dtype, 0.0)
    before = p.astype(np.float64)
    size = np.abs(before)
    for step in range(steps):
        optimizers.update(name, numbers, running, placed(gradients[step]), parameter.array,
                          states.array if count else None)
        parameter.assert_untouched()
        states.assert_untouched()
        size = size + np.abs(paths[:, step] - before)
        before = paths[:, step]
        bound = 4 * UNITS * eps(dtype) * (size + settings.rate)
        assert_within(parameter.array, before, bound, f"{name} {dtype} n={n}, step {step + 1}")
    assert running[0] == steps


# Coupled and decoupled weight decay, and no setting that is anybody's default.
RULE_SETTINGS = RuleSettings(0.05, 0.02, 0.1, 0.8, 0.95, 1e-3, 0.3)

# ---- all of it, small ----------------------------------------------------------------------------


def main() -> None:
    fence()
    kernels.use_blas(False)
    few = (1, 3, 8, 17, 33)
    for dtype in DTYPES:
        operands = Operands(dtype)
        for name in kernels.ACTIVATIONS:
            check_activation(name, dtype, [(1, n) for n in few] + [(3, n) for n in few])
            check_dense(name, dtype, 3, 9, 17)
        for name in kernels.LOSSES:
            for n in few:
                check_loss(name, dtype, 3, n)
        for name in kernels.OPTIMIZERS:
            for n in few:
                check_update(name, dtype, n, RULE_SETTINGS)
        for M in few:
            for N in few:
                for K in few:
                    check_gemm(operands, M, N, K)
        check_gemm(operands, 265, 65, 513)
        check_norms(dtype)
    print(kernels.isa(), "passed")


if __name__ == "__main__":
    main()
