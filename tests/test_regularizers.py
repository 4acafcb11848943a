"""Penalties on weights: value, gradient, the loss that is reported, files."""

import numpy as np
import pytest
from gradcheck import LIMIT, differences

import cnet
from cnet import regularizers
from cnet._core.network import Network

KINDS = {
    "l1": (regularizers.L1(0.3), 0.3, 0.0),
    "l2": (regularizers.L2(0.2), 0.0, 0.2),
    "both": (regularizers.L1L2(0.3, 0.2), 0.3, 0.2),
}
each_kind = pytest.mark.parametrize(("penalty", "l1", "l2"), KINDS.values(), ids=KINDS.keys())


def network(penalty=None, on="kernel_regularizer", dtype="float64", loss="mse", outputs=2):
    settings = {} if penalty is None else {on: penalty}
    net = cnet.Sequential(
        [cnet.Dense(7, "tanh", **settings), cnet.Dense(outputs)], seed=1, dtype=dtype
    )
    net.build(5)
    for values in net.parameters.values():
        values += 0.05  # biases away from zero, where the first penalty has a kink
    return net.compile(cnet.SGD(1.0), loss)


def cost(values, l1, l2):
    values = values.astype(float)
    return l1 * np.abs(values).sum() + l2 * (values**2).sum()


def data(rows=30):
    rng = np.random.default_rng(0)
    return rng.standard_normal((rows, 5)), rng.standard_normal((rows, 2))


@each_kind
@pytest.mark.parametrize("on", ["kernel_regularizer", "bias_regularizer"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_loss_has_the_penalty(penalty, l1, l2, on, dtype):
    net, plain, (x, y) = network(penalty, on, dtype), network(dtype=dtype), data()
    name = "dense_1.weight" if on.startswith("kernel") else "dense_1.bias"
    expected = plain.evaluate(x, y)["loss"] + cost(net.parameters[name], l1, l2)
    assert net.evaluate(x, y)["loss"] == pytest.approx(expected, rel=1e-6)
    before = net.train_on_batch(x, y)["loss"]  # reported as it was before the step
    assert before == pytest.approx(expected, rel=1e-6)


@each_kind
@pytest.mark.parametrize("on", ["kernel_regularizer", "bias_regularizer"])
def test_a_step_goes_down_the_gradient_of_that_loss(penalty, l1, l2, on):
    """Plain gradient descent with rate 1 takes the gradient off, as differences have it."""
    net, (x, y) = network(penalty, on), data()
    for name, values in net.parameters.items():
        expected = differences(lambda: net.evaluate(x, y)["loss"], values)
        before = net.get_weights()
        rule = net.rule.running.copy()
        net.train_on_batch(x, y)
        step = before[list(net.parameters).index(name)] - values
        net.set_weights(before)
        net.rule.running[:] = rule
        np.testing.assert_allclose(step, expected, rtol=LIMIT, atol=LIMIT * np.abs(expected).max())


@each_kind
def test_fit_adds_it_once_per_batch(penalty, l1, l2):
    """Against steps by hand, through batches that pass in pieces of 1,024 rows as well."""
    (x, y), net, hand = data(2500), network(penalty), network()
    history = net.fit(x, y, batch_size=1500, shuffle=False, verbose=0)
    losses, loss = [], cnet.losses.MeanSquaredError()
    for rows in (slice(0, 1500), slice(1500, 2500)):
        weight = hand.parameters["dense_1.weight"]
        outputs = hand.forward(x[rows])
        losses.append(loss(outputs, y[rows]) + cost(weight, l1, l2))
        hand.zero_gradients()
        hand.backward(loss.gradient(outputs, y[rows]))
        hand.gradients["dense_1.weight"][:] += l1 * np.sign(weight) + 2 * l2 * weight
        hand.apply_gradients()
    assert history["loss"][0] == pytest.approx((1500 * losses[0] + 1000 * losses[1]) / 2500)
    for found, expected in zip(net.get_weights(), hand.get_weights(), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_the_root_is_taken_of_the_error_alone():
    net, plain, (x, y) = network("l2", loss="rmse"), network(loss="rmse"), data()
    expected = plain.evaluate(x, y)["loss"] + cost(net.parameters["dense_1.weight"], 0, 0.01)
    assert net.evaluate(x, y)["loss"] == pytest.approx(expected, rel=1e-12)
    assert net.train_on_batch(x, y)["loss"] == pytest.approx(expected, rel=1e-12)


def test_factors_of_zero_change_no_bit():
    x, y = data()
    found = []
    for penalty in (None, regularizers.L1L2(0, 0)):
        net = network(penalty)
        net.fit(x, y, epochs=3, verbose=0)
        found.append([w.tobytes() for w in net.get_weights()])
    assert found[0] == found[1]


def test_weights_whose_squares_overflow():
    net = network(regularizers.L2(1e-30), dtype="float32")
    net.parameters["dense_1.weight"][:] = 1e25
    assert net.built.core.penalty() == pytest.approx(35 * 1e20, rel=1e-5)


def test_a_penalty_that_is_not_finite_stops_before_the_step():
    net, (x, y) = network(regularizers.L2(1e300)), data()
    net.parameters["dense_1.weight"][:] = 1e10
    before = net.get_weights()
    with pytest.raises(cnet.NonFiniteError):
        net.fit(x, y, verbose=0)
    assert all(np.array_equal(a, b) for a, b in zip(before, net.get_weights(), strict=True))


@each_kind
def test_it_is_saved(penalty, l1, l2, tmp_path):
    net, (x, y) = network(penalty), data()
    cnet.save(net, tmp_path / "net")
    loaded = cnet.load(tmp_path / "net")
    assert loaded.layers[0].kernel_regularizer == penalty
    assert loaded.evaluate(x, y) == net.evaluate(x, y)


def test_names_and_defaults():
    assert regularizers.names() == ("l1", "l2", "l1_l2")
    assert cnet.Dense(1, kernel_regularizer="l1").kernel_regularizer == regularizers.L1(0.01)
    assert cnet.Dense(1).kernel_regularizer is None
    assert regularizers.L2(0.5).factors == (0.0, 0.5) and regularizers.L1(0.5).factors == (0.5, 0.0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: cnet.Dense(1, kernel_regularizer="l3"), "'l3'.*l1, l1_l2, l2"),
        (lambda: cnet.Dense(1, bias_regularizer=0.1), "a regularizer is one of"),
        (lambda: regularizers.L1(-1), "l1"),
        (lambda: regularizers.L2(np.inf), "l2"),
        (lambda: regularizers.L1L2("1"), "l1"),
    ],
)
def test_wrong_settings(make, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make()


def test_a_place_outside_the_parameters_is_refused():
    operation = {
        "kind": "activation", "x": 0, "y": 1, "z": 1, "activation": "relu", "alpha": 0.0,
        "weight": None, "bias": None, "needs_dx": False, "linked": False, "stream": 0,
    }  # fmt: skip
    with pytest.raises(ValueError, match="lies outside"):
        Network("float32", [3, 3], [operation], 16, [(8, 9, 0.1, 0.1)])
