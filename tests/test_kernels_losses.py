"""Losses and metrics at odd sizes, against reference.py."""

import math

import checks
import numpy as np
import pytest
import reference
from checks import DTYPES, SIZES, assert_within, eps

import cnet
from cnet._core import kernels, sources, training

each_dtype = pytest.mark.parametrize("dtype", DTYPES)
each_loss = pytest.mark.parametrize("name", kernels.LOSSES)


@each_dtype
@each_loss
def test_loss_at_odd_sizes(name, dtype):
    """Every width, at two heights; then every height."""
    for n in SIZES:
        checks.check_loss(name, dtype, 1, n)
        checks.check_loss(name, dtype, 5, n)
        checks.check_loss(name, dtype, n, 3)
    checks.check_loss(name, dtype, 100, 100)


@each_dtype
@each_loss
def test_loss_passes_nan_on(name, dtype):
    """A NaN among the outputs is a loss of NaN: training must be able to stop there."""
    row = reference.LOSSES[name]
    for K in (2, 4, 34):
        y, target = checks.loss_data(name, 5, K, np.random.default_rng(K))
        target = target if row.targets == "labels" else target.astype(dtype)
        for place in {0, K // 2, K - 1}:
            wrong = y.astype(dtype)
            wrong[3, place] = np.nan
            if row.targets == "labels":
                target[3] = place  # a probability that is not the label's does not count
            assert math.isnan(checks.call_loss(name, wrong, target, None, parameter=row.parameter))


@each_dtype
@pytest.mark.parametrize("name", ["sparse_categorical_crossentropy_logits",
                                  "categorical_crossentropy_logits", "kl_divergence_logits"])
def test_merged_softmax_of_huge_logits(name, dtype):
    """Logits of +-1e4: value and gradient are finite, and exact."""
    for K in (2, 3, 17):
        z = np.full((2, K), -1e4, dtype)
        z[:, 1] = 1e4
        label = np.array([1, 0])
        target = label if kernels.LOSSES[name] == "LABELS" else np.eye(K, dtype=dtype)[label]
        dy = np.empty_like(z)
        value = checks.call_loss(name, z, target, dy)
        assert value == 2e4  # 0 for the row that is right, 2e4 for the one that is wrong
        expected = np.zeros((2, K))
        expected[1, :2] = -1, 1
        assert np.array_equal(dy, expected)


@each_dtype
def test_merged_sigmoid_of_huge_logits(dtype):
    z = np.array([[1e4, -1e4, 1e4, -1e4]], dtype)
    t = np.array([[1.0, 0.0, 0.0, 1.0]], dtype)
    dy = np.empty_like(z)
    value = checks.call_loss("binary_crossentropy_logits", z, t, dy)
    assert value == 2e4
    assert np.array_equal(dy, [[0.0, 0.0, 1.0, -1.0]])


@each_dtype
@pytest.mark.parametrize("K", [2, 3, 8, 33])
def test_merged_softmax_keeps_the_digits_of_a_small_loss(dtype, K):
    """Where one class has all but e^-20 the loss is that small rest, to full relative accuracy."""
    z = np.zeros((1, K), dtype)
    z[0, K - 1] = 20
    others = (K - 1) * math.exp(-20)
    dy = np.empty_like(z)
    value = checks.call_loss("sparse_categorical_crossentropy_logits", z, np.array([K - 1]), dy)
    assert value == pytest.approx(math.log1p(others), rel=8 * eps(dtype))
    assert dy[0, K - 1] == pytest.approx(-others / (1 + others), rel=8 * eps(dtype))
    assert dy[0, 0] == pytest.approx(others / (K - 1) / (1 + others), rel=8 * eps(dtype))


@each_dtype
def test_merged_sigmoid_keeps_the_digits_of_a_small_loss(dtype):
    z, t = np.array([[20.0, -20.0]], dtype), np.array([[1.0, 0.0]], dtype)
    dy, rest = np.empty_like(z), 1 / (1 + math.exp(20))
    value = checks.call_loss("binary_crossentropy_logits", z, t, dy)
    assert value == pytest.approx(-2 * math.log1p(-rest), rel=8 * eps(dtype))
    assert_within(dy, [[-rest, rest]], 8 * eps(dtype) * rest, "gradient")


@each_dtype
def test_probabilities_of_zero_and_one(dtype):
    """PyTorch's bounds: logarithms stop at -100, denominators at 1e-12."""
    y, t = np.array([[0.0, 1.0, 0.0, 1.0]], dtype), np.array([[0.0, 1.0, 1.0, 0.0]], dtype)
    dy = np.empty_like(y)
    assert checks.call_loss("binary_crossentropy", y, t, dy) == 200
    assert_within(dy, [[0.0, 0.0, -1e12, 1e12]], 1e12 * eps(dtype), "binary")
    for name, value, gradient in [
        ("categorical_crossentropy", 100.0, [[0.0, -1.0, -1e12, 0.0]]),
        ("kl_divergence", 100.0, [[0.0, -1.0, -1e12, 0.0]]),
    ]:
        assert checks.call_loss(name, y, t, dy) == value
        assert_within(dy, gradient, 1e12 * eps(dtype), name)
    assert checks.call_loss("sparse_categorical_crossentropy", y, np.array([2]), dy) == 100
    assert_within(dy, [[0.0, 0.0, -1e12, 0.0]], 1e12 * eps(dtype), "sparse")


@each_dtype
def test_losses_at_their_kinks(dtype):
    """No error, no gradient: the subgradient that makes a perfect fit a fixed point."""
    y = np.array([[0.5, -2.0, 3.0]], dtype)
    for name in ("mse", "quadratic", "rmse", "mae", "huber", "quantile"):
        dy = np.full_like(y, np.nan)
        value = checks.call_loss(name, y, y.copy(), dy, None, 1 / 3, 0.5)
        assert value == 0 and not dy.any(), name
    for name in ("hinge", "squared_hinge"):
        dy = np.full((1, 2), np.nan, dtype)
        value = checks.call_loss(name, np.array([[1.0, -1.0]], dtype),
                                 np.array([[1.0, -1.0]], dtype), dy)
        assert value == 0 and not dy.any(), name


@each_dtype
def test_gaussian_nll_bounds_the_variance_from_below(dtype):
    """exp(v) is kept above 1e-6; the gradient passes the bound, as in PyTorch."""
    y, t = np.array([[0.0, -20.0]], dtype), np.array([[1e-3]], dtype)
    expected = reference.loss("gaussian_nll", y, t)
    dy = np.empty_like(y)
    value = checks.call_loss("gaussian_nll", y, t, dy)
    assert value == pytest.approx(0.5 * (math.log(1e-6) + 1), rel=1e-6)
    assert value == pytest.approx(expected[0], rel=8 * eps(dtype))
    # Here (y - t)^2 / variance is 1 and its difference from 1 is a rounding error.
    assert_within(dy, [[-1e3, 0.0]], 1e3 * 8 * eps(dtype), "gradient")


# ---- metrics -----------------------------------------------------------------------------------


def metric_data(name: str, B: int, K: int, dtype):
    """Outputs with ties and values of exactly 1/2, and targets of the metric's kind."""
    rng = np.random.default_rng([B, K])
    y = rng.choice([0.0, 0.25, 0.5, 0.75, 1.0], (B, K)).astype(dtype)
    if kernels.METRICS[name] == "LABELS":
        return y, rng.integers(0, K, B)
    return y, rng.choice([0.0, 0.25, 1.0], (B, K)).astype(dtype)


@each_dtype
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", kernels.METRICS)
def test_metric_at_odd_sizes(name, weighted, dtype):
    labels = kernels.METRICS[name] == "LABELS"
    loss = next(n for n, kind in kernels.LOSSES.items() if (kind == "LABELS") == labels)
    for B, K in [(n, 5) for n in SIZES] + [(7, n) for n in SIZES]:
        net = cnet.Sequential([cnet.Activation("linear")], dtype=dtype).build(K)
        y, target = metric_data(name, B, K, dtype)
        w = np.random.default_rng(B).choice([0.0, 0.5, 2.0], B).astype(dtype)
        targets = target if labels else sources.Source(target)
        weights = sources.Source(w) if weighted else None
        work = training.Batches(net.built.core, sources.Source(y), targets, weights, 7, loss, 0.0,
                                0.0, False, False, [name])  # fmt: skip
        work.begin()
        work.reset_sums()
        assert work.run(1000)
        wide_w = w.astype(np.float64) if weighted else np.ones(B)
        wide = target if labels else target.astype(np.float64)
        figures = [reference.METRICS[name](y[i].astype(np.float64), wide[i]) for i in range(B)]
        assert work.metric_sums[0, 1] == wide_w.sum()
        assert work.metric_sums[0, 0] == pytest.approx(float(wide_w @ figures), rel=1e-13)
        assert work.rows_done == B and work.steps == -(-B // 7)
