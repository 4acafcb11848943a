"""Gradients of every activation, loss and layer alone, against central differences in float64."""

import checks
import numpy as np
import pytest
import reference
from gradcheck import (
    LIMIT,
    MARGIN,
    STEP,
    assert_gradient,
    differences,
    elementwise_differences,
    kink_distance,
    off_kinks,
)

import cnet
from cnet import activations, losses
from cnet._core import dense, kernels

ELEMENTWISE = [name for name, (kind, _) in kernels.ACTIVATIONS.items() if kind != "ROWS"]
ROWS = [name for name in kernels.ACTIVATIONS if name not in ELEMENTWISE]

# ---- the checks themselves ---------------------------------------------------------------------


def test_differences_of_a_known_function():
    x = np.array([[0.3, -2.0], [5.0, 0.0]])
    before = x.copy()
    numeric = differences(lambda: float(np.sum(np.sin(x) * x)), x)
    assert np.array_equal(x, before)
    assert assert_gradient(np.cos(x) * x + np.sin(x), numeric, "x sin x") < LIMIT / 100
    numeric = elementwise_differences(np.sin, x)
    assert assert_gradient(np.cos(x), numeric, "sin") < LIMIT / 100


def test_a_check_can_fail():
    good = np.array([1.0, -2.0, 1e-4])
    assert_gradient(good, good * (1 + 1e-8), "close")
    with pytest.raises(AssertionError, match=r"relative error 1e-06 at \(1,\)"):
        assert_gradient(good, good * [1, 1 + 1e-6, 1], "off by 1e-6")
    with pytest.raises(AssertionError, match="relative error"):
        assert_gradient(good, good * [1, 1, 1.1], "off in a small coordinate")
    with pytest.raises(AssertionError, match="all zero"):
        assert_gradient(np.zeros(3), np.zeros(3), "zero")
    with pytest.raises(AssertionError, match="not finite"):
        assert_gradient(np.array([np.nan]), np.ones(1), "NaN")
    with pytest.raises(AssertionError, match=r"\(3,\) and \(2,\)"):
        assert_gradient(good, good[:2], "shapes")


def test_points_are_moved_off_kinks():
    x = np.array([-1.0, -1e-6, 0.0, 1e-6, 6.0, 5.999, 3.0])
    moved = off_kinks(x, (0, 6))
    for kink in (0, 6):
        assert np.abs(moved - kink).min() >= MARGIN * max(1, kink) > 2 * STEP * max(1, kink)
    assert np.array_equal(moved[[0, 6]], x[[0, 6]])


# ---- activations -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "f",
    [activations.get(name) for name in ELEMENTWISE]
    + [activations.get(name, 0.37) for name in ELEMENTWISE if kernels.ACTIVATIONS[name][1]],
    ids=str,
)
def test_activation(f):
    x = np.concatenate([np.linspace(-8, 8, 81), np.random.default_rng(1).normal(0, 3, 200)])
    x = off_kinks(x, reference.ACTIVATIONS[f.name].kinks)
    dy = np.random.default_rng(2).uniform(0.5, 2, x.shape)
    assert_gradient(f.gradient(x, dy), dy * elementwise_differences(f, x), str(f))


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_activation_slope_in_the_tails(name):
    """One point at a time, so that a slope is small compared with nothing but itself."""
    f = activations.get(name)
    for x in off_kinks(np.array([-4.0, -1.5, -0.1, 0.0, 0.2, 1.1, 4.5]),
                       reference.ACTIVATIONS[name].kinks):  # fmt: skip
        analytic = f.gradient(np.array([x]), np.ones(1))
        numeric = elementwise_differences(f, np.array([x]))
        if numeric.any() or analytic.any():
            assert_gradient(analytic, numeric, f"{name} at {x}")
        else:
            assert reference.activate_backward(name, x, np.float64(1), f.alpha or 0) == 0


@pytest.mark.parametrize("rows", [1, 4])
@pytest.mark.parametrize("columns", [2, 3, 8, 17])
@pytest.mark.parametrize("name", ROWS)
def test_row_activation(name, rows, columns):
    rng, f = np.random.default_rng([rows, columns]), activations.get(name)
    x, dy = rng.normal(0, 2, (rows, columns)), rng.standard_normal((rows, columns))
    assert_gradient(f.gradient(x, dy), differences(lambda: float(np.sum(dy * f(x))), x), name)


@pytest.mark.parametrize("columns", [2, 9])
def test_softmax_of_one_column_and_of_saturated_rows_is_flat(columns):
    softmax = activations.get("softmax")
    assert not softmax.gradient(np.ones((3, 1)), np.ones((3, 1))).any()
    x = np.full((1, columns), -500.0)
    x[0, 1] = 500
    assert not softmax.gradient(x, np.arange(float(columns))[None]).any()


# ---- losses ------------------------------------------------------------------------------------


def smooth_loss_data(name: str, rows: int, columns: int, seed: int, parameter: float):
    """Outputs and targets whose elements are all off the loss's kinks."""
    rng, row = np.random.default_rng([seed, rows, columns]), reference.LOSSES[name]
    y, target = checks.loss_data(name, rows, columns, rng)
    settings = reference.LossSettings(parameter)
    while row.kink is not None and (near := row.kink(y, target, settings) < 2 * MARGIN).any():
        fresh, _ = checks.loss_data(name, rows, columns, rng)
        y[near] = fresh[near]
    return y, target


@pytest.mark.parametrize("weighted", [False, True], ids=["", "weighted"])
@pytest.mark.parametrize("name", kernels.LOSSES)
def test_loss(name, weighted):
    """The value that the kernel returns, differentiated by each output."""
    parameter = reference.LOSSES[name].parameter
    for rows, columns in [(1, 2), (4, 3), (3, 8), (2, 17)]:
        y, target = smooth_loss_data(name, rows, columns, 1, parameter)
        weight = np.random.default_rng(3).uniform(0.2, 2, rows) if weighted else None
        for smoothing in checks.smoothings(name):
            dy = np.empty_like(y)
            tail = (weight, 1 / y.size, parameter, smoothing)
            checks.call_loss(name, y, target, dy, *tail)
            numeric = differences(lambda: checks.call_loss(name, y, target, None, *tail), y)  # noqa: B023
            assert_gradient(dy, numeric, f"{name} {rows} x {columns}, smoothing {smoothing}")


@pytest.mark.parametrize("name", kernels.LOSSES)
def test_loss_of_single_values(name):
    """One row, one output, where a loss means anything there."""
    rows, columns = 1, 2 if reference.LOSSES[name].targets == "half" else 1
    p = reference.LOSSES[name].parameter
    y, target = smooth_loss_data(name, rows, columns, 5, p)
    dy = np.empty_like(y)
    checks.call_loss(name, y, target, dy, parameter=p)
    if np.abs(reference.loss(name, y, target, parameter=p)[1]).max() < 1e-12:
        assert np.abs(dy).max() < 1e-12  # the softmax and the cosine of one number are constant
        return
    numeric = differences(lambda: checks.call_loss(name, y, target, parameter=p), y)
    assert_gradient(dy, numeric, name)


@pytest.mark.parametrize("name", losses.names())
def test_loss_object(name):
    """The public object: its mean, and the gradient of that."""
    loss = losses.get(name)
    y, target = smooth_loss_data(name, 5, 4, 9, loss.parameter)
    weight = np.random.default_rng(6).uniform(0.2, 2, 5)
    for given in (None, weight):
        numeric = differences(lambda: loss(y, target, given), y)  # noqa: B023
        assert_gradient(loss.gradient(y, target, given), numeric, name)
        rows = loss.target_columns(4) if loss.mean_over_columns else 1
        expected, _ = reference.loss(name, y, target, given, 1 / (5 * rows), loss.parameter)
        assert loss(y, target, given) == pytest.approx(expected, rel=1e-13)


# ---- layers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("with_bias", [False, True], ids=["no bias", "bias"])
@pytest.mark.parametrize("name", kernels.ACTIVATIONS)
def test_dense(name, with_bias):
    """dW, db and dx of one layer; the sum over outputs has random weights."""
    rng = np.random.default_rng(len(name))
    alpha, kinks = checks.alpha_of(name), reference.ACTIVATIONS[name].kinks
    for B, inputs, units in [(1, 1, 2), (5, 3, 4), (2, 9, 7)]:
        while True:
            x, w = rng.standard_normal((B, inputs)), rng.standard_normal((inputs, units))
            b = rng.standard_normal(units) if with_bias else None
            z = x @ w + (b if with_bias else 0)
            far = kink_distance(z, kinks) > 4 * MARGIN
            if far.all() and reference.activate_backward(name, z, np.ones_like(z) + z, alpha).any():
                break
        dy, y, kept = rng.uniform(0.5, 2, (B, units)), np.empty((B, units)), np.empty((B, units))

        def total(b=b, x=x, w=w, y=y, dy=dy, kept=kept):
            dense.dense_forward(x, w, b, y, name, alpha, kept)
            return float(np.sum(dy * y))

        dw, db, dx = np.full_like(w, np.nan), np.full(units, np.nan), np.empty_like(x)
        total()
        dense.dense_backward(x, w, kept, y, dy.copy(), dw, db if with_bias else None, dx, name,
                             alpha, True)  # fmt: skip
        what = f"{name} {B} x {inputs} x {units}"
        assert_gradient(dw, differences(total, w), f"{what}, dW")
        assert_gradient(dx, differences(total, x), f"{what}, dx")
        if with_bias:
            assert_gradient(db, differences(total, b), f"{what}, db")


@pytest.mark.parametrize("name", kernels.ACTIVATIONS)
def test_activation_layer(name):
    """As a layer of its own, between two dense ones and as the last."""
    alpha = checks.alpha_of(name)
    for place, layers in enumerate([
        [cnet.Dense(4), cnet.Activation(name, alpha or None), cnet.Dense(2)],
        [cnet.Dense(4), cnet.Activation(name, alpha or None)],
        [cnet.Activation(name, alpha or None), cnet.Dense(3)],
    ]):  # fmt: skip
        net = cnet.Sequential(layers, seed=3, dtype="float64").build(3)
        rng = np.random.default_rng([place, len(name)])
        while True:
            x = rng.standard_normal((4, 3))
            z = x @ net.parameters["dense_1.weight"] if place < 2 else x
            if (kink_distance(z, reference.ACTIVATIONS[name].kinks) > 4 * MARGIN).all():
                break
        y = net.forward(x)
        c = rng.standard_normal(y.shape)
        net.zero_gradients()
        dx = net.backward(c)

        def total(net=net, x=x, c=c):
            return float(np.sum(c * net.predict(x)))

        assert_gradient(dx, differences(total, x), f"{name}, place {place}, dx")
        for key, parameter in net.parameters.items():
            numeric = differences(total, parameter)
            assert_gradient(net.gradients[key], numeric, f"{name}, place {place}, {key}")


def test_flatten_passes_gradients_through():
    net = cnet.Sequential([cnet.Flatten(), cnet.Dense(3, "tanh")], seed=1, dtype="float64")
    net.build((2, 4))
    rng = np.random.default_rng(8)
    x, c = rng.standard_normal((5, 2, 4)), rng.standard_normal((5, 3))
    net.forward(x)
    dx = net.backward(c)
    assert dx.shape == x.shape
    assert_gradient(dx, differences(lambda: float(np.sum(c * net.predict(x))), x), "flatten")
