"""What fit computes: batches, their order, weights of rows and validation, worked out by hand.

The network is y = x W + b with the mean squared error, whose gradient takes one line of NumPy, and
its optimizer is plain gradient descent. Metrics are in test_metrics.py.
"""

import numpy as np
import pytest
from networks import classes, classifier, linear, regression, regressor, rows, snapshot

import cnet

RATE = 0.1
CLOSE = {"rtol": 1e-11, "atol": 1e-13}


class ByHand:
    """The same training in NumPy: mean over rows and columns, one division by the batch's size."""

    def __init__(self, net):
        self.weight, self.bias = net.get_weights()

    def loss(self, x, y, row_weights=None) -> float:
        errors = ((x @ self.weight + self.bias - y) ** 2).mean(axis=1)
        return float((errors if row_weights is None else row_weights * errors).mean())

    def step(self, x, y, row_weights=None) -> float:
        """Do one step and return the loss before it."""
        loss = self.loss(x, y, row_weights)
        slope = 2 * (x @ self.weight + self.bias - y) / y.size
        if row_weights is not None:
            slope = slope * row_weights[:, None]
        self.weight = self.weight - RATE * (x.T @ slope)
        self.bias = self.bias - RATE * slope.sum(axis=0)
        return loss

    def assert_like(self, net):
        np.testing.assert_allclose(net.parameters["dense_1.weight"], self.weight, **CLOSE)
        np.testing.assert_allclose(net.parameters["dense_1.bias"], self.bias, **CLOSE)


@pytest.fixture
def data():
    return regression(n=10, inputs=3, outputs=2)


@pytest.fixture
def net():
    return linear(3, 2, learning_rate=RATE)


# ---- batches -------------------------------------------------------------------------------------


def test_without_a_batch_size_an_epoch_is_one_step_of_gradient_descent(net, data):
    x, y = data
    hand = ByHand(net)
    expected = [hand.step(x, y) for _ in range(3)]
    history = net.fit(x, y, epochs=3, batch_size=None, verbose=0)
    np.testing.assert_allclose(history["loss"], expected, **CLOSE)
    hand.assert_like(net)
    assert net.rule.running[0] == 3


def test_a_batch_of_one_is_a_step_for_every_example(net, data):
    x, y = data
    hand = ByHand(net)
    expected = [hand.step(x[i : i + 1], y[i : i + 1]) for i in range(10)]
    history = net.fit(x, y, batch_size=1, shuffle=False, verbose=0)
    assert history["loss"] == [pytest.approx(np.mean(expected), rel=1e-12)]
    hand.assert_like(net)


@pytest.mark.parametrize("batch_size", [3, 4, 6, 7, 9])
def test_the_last_batch_is_averaged_over_its_own_rows(net, data, batch_size):
    x, y = data
    hand, expected = ByHand(net), 0.0
    for first in range(0, 10, batch_size):
        part = slice(first, first + batch_size)
        expected += hand.step(x[part], y[part]) * len(x[part])
    history = net.fit(x, y, batch_size=batch_size, shuffle=False, verbose=0)
    assert history["loss"] == [pytest.approx(expected / 10, rel=1e-12)]  # every row counts once
    hand.assert_like(net)
    assert net.rule.running[0] == -(-10 // batch_size)


@pytest.mark.parametrize("batch_size", [10, 11, 1000, 10**30])
def test_a_batch_larger_than_the_set_is_the_set(data, batch_size):
    whole, given = linear(3, 2), linear(3, 2)
    whole.fit(*data, epochs=2, batch_size=None, verbose=0)
    given.fit(*data, epochs=2, batch_size=batch_size, verbose=0)
    assert snapshot(given) == snapshot(whole)


@pytest.mark.parametrize("loss", ["mse", "rmse", "mae", "quadratic", "cosine"])
def test_a_batch_of_thousands_is_one_step(loss):
    """Memory does not follow the size of a batch, and neither does its gradient."""
    x, y = regression(n=2500)
    net = regressor(loss=loss).build(4)
    value = cnet.losses.get(loss)
    net.zero_gradients()
    outputs = net.forward(x)
    net.backward(value.gradient(outputs, y))
    expected = {
        name: net.parameters[name] - 0.01 * slope for name, slope in net.gradients.items()
    }
    history = net.fit(x, y, batch_size=None, verbose=0)
    assert history["loss"] == [pytest.approx(value(outputs, y), rel=1e-12)]
    for name, values in net.parameters.items():
        np.testing.assert_allclose(values, expected[name], **CLOSE)


def test_the_loss_of_an_epoch_is_that_of_its_batches_before_their_steps(net, data):
    x, y = data
    before = net.evaluate(x, y)["loss"]
    history = net.fit(x, y, epochs=2, batch_size=None, verbose=0)
    assert history["loss"][0] == pytest.approx(before, rel=1e-12)
    assert net.evaluate(x, y)["loss"] < history["loss"][1] < before


def test_no_epochs_change_nothing(data):
    net = linear(3, 2)
    before = snapshot(net)
    history = net.fit(*data, epochs=0, verbose=0)
    assert len(history) == 0 and net.history is history
    assert snapshot(net) == before


# ---- order -----------------------------------------------------------------------------------------


def order_of(net, x, epochs, **settings):
    """Find out in which order the rows came: each is seen from the change that it alone makes."""
    seen = []
    for _ in range(epochs * len(x)):
        before = net.parameters["dense_1.bias"].copy()
        net.fit(x, np.eye(len(x)), verbose=0, **settings)
        seen.append(int((net.parameters["dense_1.bias"] - before).argmax()))
    return seen


def epoch_orders(n: int, epochs: int, **settings) -> list[list[int]]:
    """Return the order of n rows in every epoch, from the weights that a network ends with.

    Row i has its own input and target i, and every step adds its number to a bias in base n.
    """
    net = cnet.Sequential([cnet.Dense(1, inputs=1)], seed=3, dtype="float64")
    orders = []
    for _ in range(epochs):
        # The outputs stay 0 to first order; with such steps each row shifts the digits before it.
        net.compile(cnet.SGD(learning_rate=1e-12), "mse")
        orders.append(net)
    return orders
