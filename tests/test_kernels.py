"""Products, dense layers, activations and update rules at odd sizes, against reference.py."""

import math
import pathlib

import checks
import numpy as np
import pytest
import reference
from buffers import Guarded, guarded
from checks import DTYPES, SIZES, assert_within, eps

from cnet._core import activations, dense, kernels

SOURCES = pathlib.Path(__file__).parent.parent / "csrc"
each_dtype = pytest.mark.parametrize("dtype", DTYPES)
each_activation = pytest.mark.parametrize("name", kernels.ACTIVATIONS)

# ---- products ----------------------------------------------------------------------------------


@each_dtype
@pytest.mark.parametrize("layout", checks.LAYOUTS, ids=lambda t: f"A{'T' * t[0]} B{'T' * t[1]}")
def test_products_at_odd_sizes(dtype, layout, own_products):
    """Every combination of sizes, each with and without bias, adding and not: 8788 products."""
    operands = checks.Operands(dtype)
    for M in SIZES:
        for N in SIZES:
            for K in SIZES:
                checks.check_gemm(operands, M, N, K, [layout])


@each_dtype
@pytest.mark.parametrize("layout", checks.LAYOUTS, ids=lambda t: f"A{'T' * t[0]} B{'T' * t[1]}")
def test_products_across_blocks(dtype, layout, own_products):
    """Around the edges of the blocks of 256 (k) and 240 or 264 (rows) and of every tile's width."""
    operands = checks.Operands(dtype)
    widths = (1, 4, 5, 8, 15, 16, 17, 31, 32, 33, 65, 130)
    for number, (M, K) in enumerate([
        (1, 255), (3, 256), (13, 257), (25, 513), (239, 100), (240, 256), (241, 257), (263, 9),
        (264, 300), (265, 33), (481, 9), (529, 256), (500, 513),
    ]):  # fmt: skip
        for N in (*widths[number % 4 :: 4], 64):
            checks.check_gemm(operands, M, N, K, [layout])


@each_dtype
@pytest.mark.parametrize("shape", [(48, 48, 441), (64, 130, 121), (1300, 65, 120)])
def test_large_products_come_out_the_same_from_openblas(shape, dtype):
    """What counts as large is set low here; several parts are tried where a side is above 512."""
    kernels.use_blas(True, 1e5)
    try:
        checks.check_gemm(checks.Operands(dtype), *shape)
    finally:
        kernels.use_blas(True)


@each_dtype
def test_products_of_nothing_are_the_bias_or_zero(dtype, own_products):
    """A sum over no terms: out is zero or the bias, or stays when adding."""
    for M, N in [(1, 1), (3, 17), (40, 33), (300, 100)]:
        a, b, bias = np.empty((M, 0), dtype), np.empty((0, N), dtype), np.arange(N, dtype=dtype)
        for given in (None, bias):
            expected = np.zeros((M, N)) if given is None else np.tile(bias, (M, 1))
            out = Guarded((M, N), dtype)
            kernels.gemm(a, b, out.array, given)
            assert np.array_equal(out.array, expected)
            kernels.gemm(a, b, out.array, None, True)
            assert np.array_equal(out.array, expected)


@each_dtype
@pytest.mark.parametrize("shape", [(1, 33, 700), (5, 100, 31), (31, 17, 257), (250, 40, 500)])
def test_rounding_errors_of_products(dtype, shape, own_products):
    """Within the bound that every order of summation keeps: K + 2 units of |A| |B| + |bias|."""
    M, N, K = shape
    rng = np.random.default_rng(shape)
    for a_transposed, b_transposed in checks.LAYOUTS:
        a = rng.standard_normal((K, M) if a_transposed else (M, K)).astype(dtype)
        b = rng.standard_normal((N, K) if b_transposed else (K, N)).astype(dtype)
        a, b = a.T if a_transposed else a, b.T if b_transposed else b
        bias, out = rng.standard_normal(N).astype(dtype), Guarded((M, N), dtype)
        kernels.gemm(a, b, out.array, bias)
        wide = [v.astype(np.float64) for v in (a, b, bias)]
        size = np.abs(wide[0]) @ np.abs(wide[1]) + np.abs(wide[2])
        # The reference itself is a sum of doubles.
        bound = (K + 2) * (eps(dtype) + eps("float64")) / 2 * size
        assert_within(out.array, wide[0] @ wide[1] + wide[2], bound, f"{shape} {dtype}")


@each_dtype
def test_products_with_any_strides(dtype, own_products):
    """Views with gaps between rows and between columns, and a row that is repeated."""
    rng = np.random.default_rng(1)
    big = rng.integers(-4, 5, (60, 70)).astype(dtype)
    views = [big[::2, 1:31], big[:30, ::2][:, :30], big[:30, 4:64:2].T, big[10:40, 10:40]]
    row = np.broadcast_to(big[:1, :30], (30, 30))
    for a in [*views, row]:
        for b in [*views, row, row.T]:
            out = Guarded((a.shape[0], b.shape[1]), dtype)
            kernels.gemm(a, b, out.array)
            assert np.array_equal(out.array, a @ b)


@each_dtype
def test_products_pass_non_finite_values_on(dtype, own_products):
    """A NaN or infinity reaches its own row of the result, and no other."""
    rng = np.random.default_rng(2)
    for M, N, K in [(1, 5, 9), (14, 33, 40), (250, 17, 300)]:
        a, b = rng.random((M, K)).astype(dtype), (1 + rng.random((K, N))).astype(dtype)
        a[M // 2, K // 3], expected = np.inf, np.zeros((M, N), bool)
        expected[M // 2] = True
        out = np.zeros((M, N), dtype)
        kernels.gemm(a, b, out)
        assert np.array_equal(np.isposinf(out), expected)
        a[M // 2, K // 3] = np.nan
        kernels.gemm(a, b, out)
        assert np.array_equal(np.isnan(out), expected)


def test_products_refuse_what_does_not_fit():
    a, b, out = np.zeros((2, 3)), np.zeros((3, 4)), np.zeros((2, 4))
    with pytest.raises(ValueError, match=r"b has shape \(2, 3\), expected \(3, 3\)"):
        kernels.gemm(a, a, out)
    with pytest.raises(ValueError, match=r"out has shape \(2, 3\), expected \(2, 4\)"):
        kernels.gemm(a, b, a)
    with pytest.raises(ValueError, match=r"bias has shape \(2,\), expected \(4,\)"):
        kernels.gemm(a, b, out, np.zeros(2))
    with pytest.raises(ValueError, match="negative strides"):
        kernels.gemm(a[::-1], b, out)
    assert not out.any()


# ---- activations -------------------------------------------------------------------------------


@each_dtype
@each_activation
def test_activation_at_odd_sizes(name, dtype):
    shapes = [(1, n) for n in SIZES] + [(n, 3) for n in SIZES] + [(5, n) for n in SIZES]
    checks.check_activation(name, dtype, shapes)


@each_dtype
@each_activation
def test_activation_passes_nan_on(name, dtype):
    """In whichever place it stands, and to its own row only."""
    a = checks.alpha_of(name)
    whole_rows = kernels.ACTIVATIONS[name][0] == "ROWS"
    for n in (1, 3, 9, 33):
        for place in {0, n // 2, n - 1}:
            x = np.ones((3, n), dtype)
            x[1, place] = np.nan
            y, expected = np.empty_like(x), np.isnan(x)
            if whole_rows:
                expected[1] = True
            activations.forward(name, x, y, a)
            assert np.array_equal(np.isnan(y), expected)


@each_dtype
@pytest.mark.parametrize(
    "name", [name for name, (kind, _) in kernels.ACTIVATIONS.items() if kind != "ROWS"]
)
def test_activation_of_infinity_is_its_limit(name, dtype):
    """The value at infinity is that of very large arguments; neither it nor the slope is NaN."""
    a, far = checks.alpha_of(name), float(np.sqrt(np.finfo(dtype).max))
    x = np.array([[-np.inf, np.inf, -far, far]], dtype)
    y, dx = np.empty_like(x), np.empty_like(x)
    activations.forward(name, x, y, a)
    activations.backward(name, x, y, np.ones_like(x), dx, a)
    assert not np.isnan(y).any() and not np.isnan(dx).any()
    grows = np.abs(y[0, 2:]) > far / 100
    assert np.array_equal(y[0, :2][grows], np.copysign(np.inf, y[0, 2:])[grows])
    assert np.allclose(y[0, :2][~grows], y[0, 2:][~grows], rtol=0, atol=2 / far)
    finite = np.isfinite(dx[0, 2:])
    assert np.allclose(dx[0, :2][finite], dx[0, 2:][finite], rtol=0, atol=1e-6)


@each_dtype
def test_softmax_of_huge_logits_is_exact(dtype):
    """Differences of 1e4 and more: nothing overflows, what is 0 or 1 is so exactly."""
    for n in (2, 3, 8, 17, 100):
        for size in (1e4, 1e30):
            x = np.full((2, n), -size, dtype)
            x[0, n // 2], x[1] = size, size
            y, log_y = Guarded(x.shape, dtype), Guarded(x.shape, dtype)
            activations.forward("softmax", x, y.array)
            activations.forward("log_softmax", x, log_y.array)
            winner = np.arange(n) == n // 2
            assert np.array_equal(y.array[0], winner)
            assert np.array_equal(log_y.array[0], np.where(winner, 0.0, x[0] - x[0, n // 2]))
            assert_within(y.array[1], np.full(n, 1 / n), eps(dtype) / n, "even")
            assert_within(log_y.array[1], np.full(n, -math.log(n)), 4 * eps(dtype), "even")


@each_dtype
def test_softmax_sums_to_one(dtype):
    x = np.random.default_rng(4).normal(0, 5, (50, 37)).astype(dtype)
    y = np.empty_like(x)
    activations.forward("softmax", x, y)
    assert np.abs(y.sum(axis=1, dtype=np.float64) - 1).max() < 8 * eps(dtype)


@each_dtype
def test_slopes_at_kinks_are_those_of_the_reference(dtype):
    """At a kink the derivative is that of one side: the reference says which, as PyTorch does."""
    kinked = {name: row for name, row in reference.ACTIVATIONS.items() if row.kinks}
    assert len(kinked) > 7
    for name, row in kinked.items():
        x, a = np.array([row.kinks], dtype), checks.alpha_of(name)
        y, dx = np.empty_like(x), np.empty_like(x)
        activations.forward(name, x, y, a)
        activations.backward(name, x, y, np.ones_like(x), dx, a)
        assert_within(dx, row.slope(x.astype(np.float64), a), 2 * eps(dtype), name)


# ---- dense layers ------------------------------------------------------------------------------


@each_dtype
@each_activation
def test_dense_at_odd_sizes(name, dtype, own_products):
    """Every size as rows, inputs and units, in thirteen combinations."""
    for i in range(len(SIZES)):
        B, inputs, units = (SIZES[(i + shift) % len(SIZES)] for shift in (0, 5, 9))
        checks.check_dense(name, dtype, B, inputs, units)


@each_dtype
@pytest.mark.parametrize("name", ["linear", "tanh", "gelu"])
@pytest.mark.parametrize("with_bias", [False, True])
def test_dense_of_every_size(name, with_bias, dtype, own_products):
    """One row, one input, one unit; more than a block of each."""
    for B, inputs, units in [(1, 100, 33), (33, 1, 17), (64, 31, 1), (270, 9, 40), (3, 300, 7),
                             (270, 260, 265)]:  # fmt: skip
        checks.check_dense(name, dtype, B, inputs, units, with_bias)


@each_dtype
def test_dense_backward_of_parameters_alone(dtype):
    """Without db and dx, dW is what it is with them."""
    rng = np.random.default_rng(6)
    x, w, dy = (rng.standard_normal(s).astype(dtype) for s in ((9, 4), (4, 5), (9, 5)))
    y, dw, db, dx, alone = (np.zeros(s, dtype) for s in ((9, 5), (4, 5), 5, (9, 4), (4, 5)))
    dense.dense_forward(x, w, None, y, "tanh")
    dense.dense_backward(x, w, y, y, dy.copy(), dw, db, dx, "tanh", fresh=True)
    dense.dense_backward(x, w, y, y, dy.copy(), alone, activation="tanh", fresh=True)
    assert dw.any() and np.array_equal(alone, dw)


# ---- update rules ------------------------------------------------------------------------------


@each_dtype
@pytest.mark.parametrize("name", kernels.OPTIMIZERS)
def test_update_rule_at_odd_sizes(name, dtype):
    for n in SIZES:
        checks.check_update(name, dtype, n, checks.RULE_SETTINGS)


@each_dtype
@pytest.mark.parametrize("name", kernels.OPTIMIZERS)
def test_update_rule_without_decay(name, dtype):
    """With the settings most used: no weight decay, no extra setting."""
    settings = checks.RuleSettings(0.01, 0.0, 0.0, 0.9, 0.999, 1e-8, 0.0)
    checks.check_update(name, dtype, 33, settings, steps=10)


@each_dtype
def test_in_place_means_the_same_memory(dtype):
    """The checks above would pass if `y` were a copy of `x`: here it is looked at."""
    x = guarded(np.array([[-1.0, 2.0]]), dtype)
    activations.forward("relu", x.array, x.array)
    assert np.array_equal(x.array, [[0.0, 2.0]])
