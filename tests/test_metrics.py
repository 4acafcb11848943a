"""Metrics of the compiled loop: exact over the epoch, against one line of NumPy each."""

import numpy as np
import pytest
from networks import classes, refused, regression, rows

import cnet
from cnet._core import kernels

# A network's outputs y and targets t -> one figure per row.
BY_HAND = {
    "binary_accuracy": lambda y, t: ((y > 0.5) == (t > 0.5)).mean(axis=1),
    "categorical_accuracy": lambda y, t: y.argmax(axis=1) == t.argmax(axis=1),
    "sparse_accuracy": lambda y, t: y.argmax(axis=1) == t,
    "mse": lambda y, t: ((y - t) ** 2).mean(axis=1),
    "rmse": lambda y, t: ((y - t) ** 2).mean(axis=1),
    "mae": lambda y, t: np.abs(y - t).mean(axis=1),
}
# What compile("accuracy") stands for, by loss.
ACCURACY = {
    "binary_crossentropy": ("sigmoid", "binary_accuracy"),
    "categorical_crossentropy": ("softmax", "categorical_accuracy"),
    "kl_divergence": ("softmax", "categorical_accuracy"),
    "sparse_categorical_crossentropy": ("softmax", "sparse_accuracy"),
}
each_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


def expected_of(name, net, x, target, weights=None):
    """Work a metric out from the network's predictions."""
    outputs = net.predict(x).astype(np.float64)
    figure = np.average(BY_HAND[name](outputs, np.asarray(target)), weights=weights)
    return np.sqrt(figure) if name == "rmse" else figure


def case(name, n, dtype):
    """Return a network that stands still, and data on which a metric means something."""
    activation, loss = {
        "binary_accuracy": ("sigmoid", "binary_crossentropy"),
        "categorical_accuracy": ("softmax", "categorical_crossentropy"),
        "sparse_accuracy": ("softmax", "sparse_categorical_crossentropy"),
    }.get(name, ("tanh", "mse"))
    x, labels = classes(n)
    target = {"sparse_accuracy": labels, "categorical_accuracy": np.eye(3)[labels]}.get(name)
    if target is None:
        target = np.tanh(rows(n, 3, seed=9))
    if name == "binary_accuracy":
        target = (target > 0).astype(float)
    layers = [cnet.Dense(6, "tanh"), cnet.Dense(3, activation)]
    net = cnet.Sequential(layers, seed=2, dtype=dtype).build(4)
    return net.compile(cnet.SGD(learning_rate=0), loss, [name]), x, target


def test_every_metric_of_the_compiled_loop_is_here():
    assert set(BY_HAND) == {*kernels.METRICS, "rmse"} < set(cnet.metrics.names())


@pytest.mark.parametrize("batch_size", [1, 7, 60, None])
@pytest.mark.parametrize("name", BY_HAND)
@each_dtype
def test_metrics_of_an_epoch(dtype, name, batch_size):
    net, x, target = case(name, 60, dtype)
    expected = expected_of(name, net, x, target)
    tolerance = 1e-5 if dtype == "float32" else 1e-12
    history = net.fit(
        x, target, epochs=2, batch_size=batch_size, validation_data=(x, target), verbose=0
    )
    assert 0.05 < expected < 0.95 or "accuracy" not in name
    for figures in (history[name], history[f"val_{name}"], [net.evaluate(x, target)[name]]):
        np.testing.assert_allclose(figures, expected, rtol=tolerance)


@pytest.mark.parametrize("name", BY_HAND)
def test_metrics_of_more_rows_than_are_done_at_a_time(name):
    net, x, target = case(name, 2500, "float64")
    expected = expected_of(name, net, x, target)
    history = net.fit(x, target, batch_size=None, verbose=0)
    for figure in (history[name][0], net.evaluate(x, target)[name]):
        assert figure == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", BY_HAND)
def test_metrics_weigh_rows_and_divide_by_the_weights(name):
    net, x, target = case(name, 60, "float64")
    weights = np.linspace(0, 3, 60)
    expected = expected_of(name, net, x, target, weights)
    assert abs(expected - expected_of(name, net, x, target)) > 1e-3
    history = net.fit(x, target, batch_size=7, sample_weight=weights, verbose=0)
    evaluated = net.evaluate(x, target, weights)
    for figure in (history[name][0], evaluated[name], net.train_on_batch(x, target, weights)[name]):
        assert figure == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("loss", ACCURACY)
def test_accuracy_goes_by_the_loss(loss):
    activation, meant = ACCURACY[loss]
    x, labels = classes()
    target = labels if loss.startswith("sparse") else np.eye(3)[labels]
    net = cnet.Sequential([cnet.Dense(3, activation)], seed=2, dtype="float64").build(4)
    net.compile(cnet.SGD(learning_rate=0), loss, "accuracy")
    expected = expected_of(meant, net, x, target)
    history = net.fit(x, target, batch_size=8, verbose=0)
    assert history["accuracy"] == [pytest.approx(expected)]
    assert 0 < expected < 1


def test_metrics_are_taken_before_the_step_of_their_batch():
    x, y = regression()
    net = cnet.Sequential([cnet.Dense(2)], seed=2, dtype="float64").build(4)
    net.compile(cnet.SGD(learning_rate=0.1), "mae", ["mse"])
    before = ((net.predict(x) - y) ** 2).mean()
    history = net.fit(x, y, batch_size=None, verbose=0)
    assert history["mse"] == [pytest.approx(before, rel=1e-12)]
    assert ((net.predict(x) - y) ** 2).mean() < before


def test_metrics_do_not_change_the_training():
    x, labels = classes()
    weights = []
    for metrics in ([], ["accuracy"], ["sparse_accuracy", "accuracy"]):
        net = cnet.Sequential([cnet.Dense(3, "softmax")], seed=2)
        net.compile("adam", "sparse_categorical_crossentropy", metrics)
        history = net.fit(x, labels, epochs=3, verbose=0)
        assert [key for key in history if "accuracy" in key] == metrics
        weights.append(net.parameters["dense_1.weight"].tobytes())
    assert len(set(weights)) == 1


def test_a_tie_goes_to_the_first_class_as_in_numpy():
    net = cnet.Sequential([cnet.Dense(3, "softmax", inputs=1)], seed=0)
    net.set_weights([np.zeros((1, 3)), np.zeros(3)])
    net.compile("sgd", "sparse_categorical_crossentropy", ["accuracy"])
    x = np.ones((3, 1))
    assert net.evaluate(x, np.array([0, 1, 2]))["accuracy"] == pytest.approx(1 / 3)
    assert net.predict_classes(x).tolist() == [0, 0, 0]


def test_no_weight_at_all_is_no_accuracy():
    net, x, target = case("sparse_accuracy", 60, "float64")
    assert np.isnan(net.evaluate(x, target, np.zeros(60))["sparse_accuracy"])


def test_means_and_variances_have_no_metric():
    net = cnet.Sequential([cnet.Dense(2, inputs=4)])
    with refused(ValueError, "no metric", "gaussian_nll"):
        net.compile("sgd", "gaussian_nll", ["mse"])
