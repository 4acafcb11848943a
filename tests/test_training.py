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
    expected = {name: net.parameters[name] - 0.01 * slope for name, slope in net.gradients.items()}
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


# ---- order ---------------------------------------------------------------------------------------


def order_of_rows(n: int, steps: int, seed: int = 3, **settings) -> list[int]:
    """Return which of n rows each step of a run of single rows took, first to last.

    With inputs of 0 only the bias b moves: b becomes b/16 + 15/16 t at a rate of 15/32. Row i has
    target i, so that 16^steps/15 b is a number whose digits to base 16, the lowest first, are rows.
    """
    net = cnet.Sequential([cnet.Dense(1, inputs=1)], seed=seed, dtype="float64")
    net.compile(cnet.SGD(learning_rate=15 / 32), "mse")
    net.fit(np.zeros((n, 1)), np.arange(n), batch_size=1, verbose=0, **settings)
    assert net.rule.running[0] == steps <= 12 and n <= 16
    number = round(float(net.parameters["dense_1.bias"][0]) * 16**steps / 15)
    return [number >> 4 * k & 15 for k in range(steps)]


def test_rows_come_as_they_lie_without_shuffling():
    assert order_of_rows(5, 10, epochs=2, shuffle=False) == [0, 1, 2, 3, 4] * 2


def test_shuffling_takes_every_row_once_an_epoch_in_new_orders():
    order = order_of_rows(6, 12, epochs=2)
    assert sorted(order[:6]) == sorted(order[6:]) == list(range(6))
    assert order[:6] != order[6:]
    assert order_of_rows(6, 12, epochs=2) == order
    assert len({tuple(order_of_rows(6, 6, seed=seed)) for seed in range(20)}) > 15


def test_every_place_of_an_order_is_as_likely_for_every_row():
    orders = np.array([order_of_rows(4, 4, seed=seed) for seed in range(300)])
    counts = np.array([[(orders[:, k] == i).sum() for i in range(4)] for k in range(4)])
    assert np.abs(counts - 75).max() < 33  # 4.4 standard deviations


@pytest.mark.parametrize("epochs", [1, 2, 3, 4])
def test_steps_per_epoch_goes_on_through_the_data(epochs):
    settings = {"epochs": epochs, "steps_per_epoch": 3}
    steps = 3 * epochs
    expected = ([0, 1, 2, 3, 4] * 3)[:steps]
    assert order_of_rows(5, steps, shuffle=False, **settings) == expected
    order = order_of_rows(5, steps, **settings)
    assert order == order_of_rows(5, 10, epochs=2)[:steps] + order[10:]


def test_an_epoch_may_have_more_steps_than_the_data_has_batches():
    order = order_of_rows(5, 12, steps_per_epoch=12, shuffle=False)
    assert order == ([0, 1, 2, 3, 4] * 3)[:12]


def test_epochs_of_a_number_of_steps_report_the_rows_that_they_took(net, data):
    x, y = data
    parts = [slice(0, 4), slice(4, 8), slice(8, 10)] * 2
    hand = ByHand(net)
    sums = [(hand.step(x[part], y[part]) * len(x[part]), len(x[part])) for part in parts]
    expected = [(a + b) / (m + n) for (a, m), (b, n) in zip(sums[::2], sums[1::2], strict=True)]
    history = net.fit(x, y, epochs=3, batch_size=4, steps_per_epoch=2, shuffle=False, verbose=0)
    np.testing.assert_allclose(history["loss"], expected, **CLOSE)
    hand.assert_like(net)


def test_the_shuffled_rows_keep_their_targets_and_weights(data):
    x, y = data
    weights = np.arange(10.0)
    net = linear(3, 2, learning_rate=0)
    history = net.fit(x, y, epochs=3, batch_size=3, sample_weight=weights, verbose=0)
    np.testing.assert_allclose(history["loss"], ByHand(net).loss(x, y, weights), **CLOSE)


@pytest.mark.parametrize("seconds", [0.0, 1e-5, 1e9])
def test_how_often_the_run_looks_up_changes_nothing(monkeypatch, seconds):
    x, y = regression()
    nets = [regressor("adam", metrics=["mae"]) for _ in range(2)]
    settings = {"epochs": 3, "batch_size": 7, "validation_split": 0.3, "verbose": 0}
    expected = nets[0].fit(x, y, **settings)
    monkeypatch.setattr(cnet.training, "SLICE", seconds)
    history = nets[1].fit(x, y, **settings)
    for key in ("loss", "mae", "val_loss", "val_mae"):
        assert history[key] == expected[key]
    assert snapshot(nets[0]) == snapshot(nets[1])


# ---- weights of rows -----------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [None, 4])
def test_a_weight_multiplies_the_loss_of_its_row(net, data, batch_size):
    x, y = data
    weights = np.array([0, 1, 2, 0.5, 3, 1, 1, 0, 0.25, 10])
    hand, expected = ByHand(net), 0.0
    size = batch_size or 10
    for first in range(0, 10, size):
        part = slice(first, first + size)
        expected += hand.step(x[part], y[part], weights[part]) * len(x[part])
    history = net.fit(x, y, batch_size=batch_size, sample_weight=weights, shuffle=False, verbose=0)
    assert history["loss"] == [pytest.approx(expected / 10, rel=1e-12)]
    hand.assert_like(net)
    evaluated = net.evaluate(x, y, sample_weight=weights)
    assert evaluated["loss"] == pytest.approx(hand.loss(x, y, weights), rel=1e-12)


@pytest.mark.parametrize("loss", ["mse", "mae", "huber", "cosine", "quantile"])
def test_a_weight_of_two_is_the_row_twice(loss):
    """Up to the division, which is by the rows that are there."""
    x, y = regression(n=8)
    twice = [*range(8), 2]
    weighted = regressor(cnet.SGD(learning_rate=0.08), loss)
    repeated = regressor(cnet.SGD(learning_rate=0.09), loss)
    settings = {"epochs": 4, "batch_size": None, "verbose": 0}
    first = weighted.fit(x, y, sample_weight=[1, 1, 2, 1, 1, 1, 1, 1], **settings)
    second = repeated.fit(x[twice], y[twice], **settings)
    np.testing.assert_allclose(first["loss"], np.array(second["loss"]) * 9 / 8, **CLOSE)
    for a, b in zip(weighted.get_weights(), repeated.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, **CLOSE)


def test_weights_of_one_are_no_weights():
    x, y = regression()
    nets = [regressor() for _ in range(2)]
    nets[0].fit(x, y, epochs=2, sample_weight=np.ones(40), verbose=0)
    nets[1].fit(x, y, epochs=2, verbose=0)
    for a, b in zip(nets[0].get_weights(), nets[1].get_weights(), strict=True):
        np.testing.assert_allclose(a, b, **CLOSE)


def test_weights_of_class_indices():
    x, labels = classes()
    net = classifier().build(4)
    weights = np.linspace(0, 2, 60)
    chosen = net.predict(x)[np.arange(60), labels]
    expected = -(weights * np.log(chosen)).mean()
    assert net.evaluate(x, labels, weights)["loss"] == pytest.approx(expected, rel=1e-12)


# ---- validation and evaluation -------------------------------------------------------------------


def test_validation_split_takes_the_last_rows_before_shuffling():
    x, y = regression(n=40)
    weights = np.linspace(0.5, 1.5, 40)
    split, given = regressor(), regressor()
    settings = {"epochs": 3, "batch_size": 8, "verbose": 0}
    first = split.fit(x, y, sample_weight=weights, validation_split=0.25, **settings)
    validation = (x[30:], y[30:], weights[30:])
    second = given.fit(
        x[:30], y[:30], sample_weight=weights[:30], validation_data=validation, **settings
    )
    assert first["loss"] == second["loss"] and first["val_loss"] == second["val_loss"]
    assert snapshot(split) == snapshot(given)


@pytest.mark.parametrize(("n", "share", "kept"), [(10, 0.25, 8), (10, 0.3, 7), (3, 0.5, 2)])
def test_validation_split_rounds_down(n, share, kept):
    net = regressor()
    net.fit(*regression(n=n), batch_size=1, validation_split=share, verbose=0)
    assert net.rule.running[0] == kept  # steps


def test_validation_is_evaluation_after_every_epoch_and_changes_nothing():
    x, y = regression()
    x_check, y_check = rows(9, 4), rows(9, 2)
    checked, unchecked = regressor("adam", metrics=["mae"]), regressor("adam", metrics=["mae"])
    expected = []
    for _ in range(3):
        unchecked.fit(x, y, verbose=0)
        expected.append(unchecked.evaluate(x_check, y_check))
    history = checked.fit(x, y, epochs=3, validation_data=(x_check, y_check), verbose=0)
    assert history["val_loss"] == [figures["loss"] for figures in expected]
    assert history["val_mae"] == [figures["mae"] for figures in expected]
    assert snapshot(checked) == snapshot(unchecked)


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("n", [7, 2500])
def test_evaluate_is_the_loss_over_the_whole_set(n):
    x, y = regression(n=n)
    net = regressor().build(4)
    errors = net.predict(x) - y
    by_hand = {
        "mse": (errors**2).mean(),
        "quadratic": (errors**2).sum(axis=1).mean() / 2,
        "rmse": np.sqrt((errors**2).mean()),
        "mae": np.abs(errors).mean(),
    }
    before = snapshot(net)
    for loss, expected in by_hand.items():
        figures = net.compile("sgd", loss).evaluate(x, y)
        assert figures == {"loss": pytest.approx(expected, rel=1e-12)}
    assert snapshot(net) == before


def test_evaluate_of_probabilities():
    x, labels = classes()
    one_hot = np.eye(3)[labels]
    net = cnet.Sequential([cnet.Dense(3, "softmax", inputs=4)], seed=0, dtype="float64")
    p = softmax(x @ net.parameters["dense_1.weight"])
    expected = -np.log(p[np.arange(60), labels]).mean()
    for loss, y in (
        ("sparse_categorical_crossentropy", labels),
        ("categorical_crossentropy", one_hot),
        ("kl_divergence", one_hot),
    ):
        net.compile("sgd", loss)
        assert net.evaluate(x, y)["loss"] == pytest.approx(expected, rel=1e-12)


def test_evaluate_reports_a_network_that_is_not_finite():
    net = regressor(metrics=["mae"]).build(4)
    net.parameters["dense_2.bias"][:] = np.nan
    assert all(np.isnan(value) for value in net.evaluate(*regression()).values())


def test_a_row_of_zeros_for_targets_is_a_row_without_a_loss():
    """As PyTorch and Keras have it: targets of a row need not sum to 1, and B counts the row."""
    x, y = rows(6, 4), np.eye(3)[[0, 1, 2, 0, 1, 2]]
    y[[1, 4]] = 0
    nets = [
        cnet.Sequential([cnet.Dense(3, "softmax", inputs=4)], seed=0, dtype="float64")
        for _ in range(2)
    ]
    for net, weights in zip(nets, (None, [1, 0, 1, 1, 0, 1]), strict=True):
        net.compile(cnet.SGD(learning_rate=0.5), "categorical_crossentropy")
        net.train_on_batch(x, y, weights)
    p = softmax(x @ nets[0].parameters["dense_1.weight"] + nets[0].parameters["dense_1.bias"])
    expected = -(y * np.log(p)).sum() / 6
    assert nets[0].evaluate(x, y)["loss"] == pytest.approx(expected, rel=1e-12)
    for a, b in zip(nets[0].get_weights(), nets[1].get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-15)
