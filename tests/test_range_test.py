"""find_learning_rate: what it tries, what it suggests, and that the network stays as it is."""

import builtins
import copy

import numpy as np
import pytest
from networks import (
    Unchanged,
    classes,
    classifier,
    linear,
    refused,
    regression,
    regressor,
    snapshot,
)

import cnet
from cnet import find_learning_rate
from cnet.range_test import RangeTest


def test_the_steps_are_those_of_training_with_these_rates():
    x, y = regression()
    net = regressor(cnet.SGD(momentum=0.5)).build(4)
    found = find_learning_rate(net, x, y, lowest=1e-4, highest=1e-1, steps=12, batch_size=8)
    np.testing.assert_allclose(found.rates, np.geomspace(1e-4, 1e-1, 12), rtol=1e-12)
    assert not found.diverged and len(found.smoothed) == 12
    for rate, loss in zip(found.rates, found.losses, strict=True):
        net.learning_rate = float(rate)
        # The loss of one step is that of its batch, before the step.
        if net.rule.running[0] % 5 == 0:
            order = cnet._core.kernels.random_order(net.seed, "order", net.passes, len(x))
            net.passes += 1
        part = order[int(net.rule.running[0]) % 5 * 8 :][:8]
        assert net.train_on_batch(x[part], y[part])["loss"] == loss


@pytest.mark.parametrize("trained", [False, True])
def test_the_network_stays_as_it_is(trained):
    x, y = regression()
    net = regressor(cnet.Adam(cnet.schedules.Cosine(0.1, 50))).build(4)
    twin = copy.deepcopy(net)
    for each in (net, twin) if trained else ():
        each.fit(x, y, epochs=2, verbose=0)
    history, rate, compiled = net.history, net.learning_rate, net.compiled
    with Unchanged(net):
        found = find_learning_rate(net, x, y)
    assert (net.history, net.learning_rate, net.compiled) == (history, rate, compiled)
    again = find_learning_rate(net, x, y, threads=2)
    assert found.losses.tobytes() == again.losses.tobytes()
    for each in (net, twin):
        each.fit(x, y, epochs=2, verbose=0)
    assert snapshot(net) == snapshot(twin)


def test_a_network_that_is_not_built_stays_so():
    net = regressor("adam")
    found = find_learning_rate(net, *regression())
    assert not net.is_built and found.suggestion > 0
    assert (
        found.losses.tobytes() == find_learning_rate(net.build(4), *regression()).losses.tobytes()
    )


def test_a_function_as_learning_rate_is_never_asked():
    net = regressor(cnet.SGD(lambda step: pytest.fail("asked"))).build(4)
    assert len(find_learning_rate(net, *regression(), steps=5).rates) == 5


@pytest.mark.parametrize("loss", ["mse", "cosine"])
def test_it_ends_where_the_loss_goes_up_and_away(loss):
    x, y = regression()
    found = find_learning_rate(regressor("sgd", loss), x, y, highest=1e30, steps=200)
    if loss == "mse":
        assert found.diverged and len(found.rates) < 120
        assert found.losses[-1] > 4 * found.losses.min()
    else:  # stays between 0 and 2, whatever the weights
        assert np.isfinite(found.losses).all()
    assert len(found.rates) == len(found.losses) == len(found.smoothed)


def test_a_loss_that_is_not_finite_ends_it_and_is_not_listed():
    x, y = regression()
    found = find_learning_rate(linear(4, 2), 1e150 * x, y, lowest=1.0, highest=1e9, steps=50)
    assert found.diverged and np.isfinite(found.losses).all() and len(found.losses) < 50
    assert "diverged" in repr(found)


def test_it_suggests_a_rate_that_trains_well():
    """For gradient descent on a quadratic, where all rates from 2 / curvature on diverge."""
    x, _ = regression(400)
    y = x @ np.arange(8.0).reshape(4, 2)
    net = linear(4, 2)
    found = find_learning_rate(net, x, y, batch_size=None, highest=100.0)
    curvature = np.linalg.eigvalsh(x.T @ x / len(x))[-1]  # of the mean over two outputs
    assert found.diverged and 0.02 / curvature < found.suggestion < 2 / curvature
    net.learning_rate = found.suggestion
    history = net.fit(x, y, epochs=30, batch_size=None, verbose=0)
    assert history["loss"][-1] < 0.05 * history["loss"][0]


@pytest.mark.parametrize("batch_size", [8, 32])
def test_noise_at_small_rates_is_no_descent(batch_size):
    x, labels = classes(600)
    for seed in range(5):
        net = classifier(seed=seed)
        assert 1e-3 < find_learning_rate(net, x, labels, batch_size=batch_size).suggestion < 1


def curve(losses) -> RangeTest:
    losses = np.asarray(losses, float)
    return RangeTest(np.geomspace(1e-6, 10, len(losses)), losses, len(losses), False)


def test_the_steepest_place():
    at = np.arange(100)
    found = curve(1 / (1 + np.exp((at - 60) / 4)) + np.exp((at - 95) / 2))
    assert found.suggestion == found.rates[60]
    assert curve(at).suggestion is None and curve(np.ones(100)).suggestion is None
    assert curve([1.0]).suggestion is None and curve([]).suggestion is None
    assert "suggestion none" in repr(curve([]))


def test_smoothing_neither_shifts_nor_bends_a_line():
    line = np.arange(100.0)
    smoothed = curve(line).smoothed
    np.testing.assert_allclose(smoothed[12:-12], line[12:-12], rtol=1e-12)
    noise = np.random.default_rng(0).normal(size=100)
    assert curve(noise).smoothed.std() < 0.45 * noise.std()
    np.testing.assert_allclose(curve(np.full(100, 3.0)).smoothed, 3, rtol=1e-14)


def test_plot(monkeypatch):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    from matplotlib import pyplot

    found = find_learning_rate(regressor(), *regression())
    axes = found.plot()
    assert axes.get_xscale() == "log" and len(axes.lines) == 3
    assert found.plot(axes) is axes
    pyplot.close("all")
    real = builtins.__import__
    monkeypatch.setattr(
        builtins,
        "__import__",
        lambda name, *a: (
            (_ for _ in ()).throw(ImportError()) if "matplotlib" in name else real(name, *a)
        ),
    )
    with refused(ImportError, "pip install matplotlib"):
        found.plot()


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"lowest": 0}, ValueError, "lowest must be finite and above 0"),
        ({"lowest": 2, "highest": 1}, ValueError, "highest must be finite and above 2"),
        ({"highest": "1"}, TypeError, "highest must be a number"),
        ({"steps": 1}, ValueError, "steps must be at least 2, got 1"),
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1"),
        ({"threads": 0}, ValueError, "threads"),
    ],
)
def test_settings_that_are_refused(settings, error, words):
    net = linear(4, 2)
    with Unchanged(net), refused(error, words):
        find_learning_rate(net, *regression(), **settings)


def test_networks_and_data_that_are_refused():
    x, y = regression()
    with refused(TypeError, "net must be a cnet.Sequential"):
        find_learning_rate(x, x, y)
    with pytest.raises(cnet.NotBuiltError):
        find_learning_rate(cnet.Sequential([cnet.Dense(2)]), x, y)
    with refused(cnet.ShapeError, "x"):
        find_learning_rate(linear(5, 2), x, y)
