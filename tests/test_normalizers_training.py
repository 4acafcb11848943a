"""Normalisation kept with the network: every way uses it, files and copies have it."""

import copy
import pickle

import numpy as np
import pytest
from gradcheck import assert_gradient, differences
from networks import refused, snapshot
from normalized import formula, pair, units

import cnet

each_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


# ---- every way uses it -------------------------------------------------------------------------


def by_hand(x, y, **settings):
    """Return a network like `pair`, and data that were normalised before it sees them."""
    net = pair(normalize_inputs=None, normalize_targets=None, **settings)
    return net, formula("standardize", x), formula("standardize", y)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("loss", ["mse", "quadratic", "rmse", "mae", "huber", "quantile"])
def test_training_is_that_on_normalised_data(loss, threads):
    x, y = units(1500)
    w = np.random.default_rng(0).uniform(0.5, 2, 1500)
    net = pair(loss, ["mae", "rmse", "r2"])
    plain, a, b = by_hand(x, y, loss=loss, metrics=["mae"])
    settings = {"batch_size": 1200, "epochs": 2, "verbose": 0, "threads": threads}
    history = net.fit(x, y, sample_weight=w, **settings)
    expected = plain.fit(a, b, sample_weight=w, **settings)
    assert np.allclose(history["loss"], expected["loss"], rtol=1e-9)
    own = net.predict(x)
    assert np.allclose(own, plain.predict(a) * y.std(0) + y.mean(0), rtol=1e-9)
    found = net.evaluate(x, y)
    assert found["loss"] == pytest.approx(plain.evaluate(a, b)["loss"], rel=1e-9)
    assert found["mae"] == pytest.approx(np.abs(own - y).mean(), rel=1e-9)
    assert found["rmse"] == pytest.approx(np.sqrt(np.mean((own - y) ** 2)), rel=1e-9)
    assert found["r2"] == pytest.approx(cnet.metrics.r2(y, own), rel=1e-9)
    assert net.train_on_batch(x, y)["mae"] == pytest.approx(found["mae"], rel=1e-9)


def test_means_and_log_variances():
    x, y = units(200)
    net = pair("gaussian_nll")
    plain, a, b = by_hand(x, y, loss="gaussian_nll")
    net.fit(x, y, epochs=3, verbose=0)
    plain.fit(a, b, epochs=3, verbose=0)
    own, normal = net.predict(x), plain.predict(a)
    assert np.allclose(own[:, :2], normal[:, :2] * y.std(0) + y.mean(0), rtol=1e-9)
    deviations = np.exp(normal[:, 2:] / 2) * y.std(0)
    assert np.allclose(np.exp(own[:, 2:] / 2), deviations, rtol=1e-9)


def test_quantiles_are_in_the_targets_units():
    x, y = units(400)
    net = pair(cnet.losses.Quantile(0.9), ["quantile_coverage"], normalize_targets="robust")
    history = net.fit(x, y, epochs=80, verbose=0)
    assert history["quantile_coverage"][-1] == pytest.approx(0.9, abs=0.06)
    assert np.mean(y <= net.predict(x)) == pytest.approx(0.9, abs=0.05)


@pytest.mark.parametrize("kind", ["standardize", "minmax", "robust"])
def test_forward_and_backward_by_hand(kind):
    """forward gives what predict does, and backward takes the gradient of that."""
    x, y = units(9)
    net = pair(normalize_inputs=kind, normalize_targets=kind).adapt(x, y)
    outputs = net.forward(x)
    assert np.array_equal(outputs, net.predict(x))
    loss = cnet.losses.MeanSquaredError()
    net.zero_gradients()
    dx = net.backward(loss.gradient(outputs, y))
    for name, parameter in net.parameters.items():
        numeric = differences(lambda: loss(net.forward(x), y), parameter)
        assert_gradient(net.gradients[name], numeric, name)
    # Of the inputs as the layers see them.
    step = 1e-5 / net.input_scaling.factor
    for column in range(4):
        apart = np.zeros(4)
        apart[column] = step[column]
        ends = [loss(net.forward(x + sign * apart), y) for sign in (1, -1)]
        assert dx[:, column].sum() == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-4, abs=1e-4)


def test_scalings_work_on_arrays():
    x, y = units()
    net = pair().adapt(x, y)
    scaling = net.target_scaling
    assert np.allclose(scaling.transform(y), formula("standardize", y), atol=1e-12)
    assert np.allclose(scaling.inverse_transform(scaling.transform(y)), y, rtol=1e-13)
    with pytest.raises(ValueError, match="read-only"):
        scaling.shift[0] = 1
    assert "shift=" in repr(scaling) and net.normalize_targets == cnet.Standardize()


@each_dtype
def test_rows_in_any_number_and_place_come_out_alike(dtype):
    x, y = units(700)
    net = pair(dtype=dtype).adapt(x, y)
    whole = net.predict(x)
    assert np.array_equal(net.predict(x, threads=2), whole)
    out = np.empty((700, 2), dtype)
    assert net.predict(x.astype(dtype), out) is out
    close = np.finfo(dtype).eps * 1e4
    assert np.allclose(out, net.predict(x), rtol=close)
    for i in (0, 350, 699):
        assert np.allclose(net.predict(x[i : i + 1]), whole[i : i + 1], rtol=close)


def test_figures_of_targets_far_from_zero_keep_their_digits():
    """mae compares differences: in float32 the outputs themselves have steps of 128 there."""
    x, y = units(300)
    y = y[:, :1] + 1.7e9
    layers = [cnet.Dense(8, "tanh"), cnet.Dense(1)]
    sides = {"normalize_inputs": "standardize", "normalize_targets": "standardize"}
    net = cnet.Sequential(layers, seed=1, **sides).compile(cnet.Adam(0.02), "mse", ["mae"])
    net.fit(x, y, epochs=60, verbose=0)
    assert net.evaluate(x, y)["mae"] < 10


def test_range_test_and_class_weight_free_use():
    x, y = units(200)
    net = pair()
    found = cnet.find_learning_rate(net, x, y, steps=20)
    assert np.isfinite(found.losses).all() and found.losses[0] < 10
    assert not net.is_built and net.input_scaling is None


# ---- kept --------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["mse", "gaussian_nll"])
def test_files_and_copies_go_on_to_the_same_bits(loss, tmp_path):
    x, y = units()
    net = pair(loss, normalize_inputs=cnet.MinMax(-1, 1), normalize_targets=cnet.Robust())
    net.fit(x, y, epochs=2, verbose=0)
    cnet.save(net, tmp_path / "net")
    others = [cnet.load(tmp_path / "net"), copy.deepcopy(net), pickle.loads(pickle.dumps(net))]
    assert all(np.array_equal(other.predict(x), net.predict(x)) for other in others)
    net.fit(x, y, epochs=2, verbose=0)
    for other in others:
        assert other.normalize_inputs == cnet.MinMax(-1, 1)
        other.fit(x, y, epochs=2, verbose=0)
        assert snapshot(other) == snapshot(net)
        assert other.target_scaling.shift.tolist() == net.target_scaling.shift.tolist()


def test_a_network_that_waits_is_kept_waiting(tmp_path):
    x, y = units()
    for net in (pair(), pair().build(4)):
        others = [copy.deepcopy(net), pickle.loads(pickle.dumps(net))]
        if net.is_built:
            cnet.save(net, tmp_path / "net")
            others.append(cnet.load(tmp_path / "net"))
        for other in others:
            assert other.normalize_targets == cnet.Standardize() and other.target_scaling is None
            other.fit(x, y, verbose=0)
        net.fit(x, y, verbose=0)
        assert all(snapshot(other) == snapshot(net) for other in others)


def test_a_network_without_it_has_nothing_of_it(tmp_path):
    net = cnet.Sequential([cnet.Dense(2, inputs=3)], seed=1)
    cnet.save(net, tmp_path / "net")
    raw = (tmp_path / "net").read_bytes()
    assert b"inputs/shift" not in raw
    loaded = cnet.load(tmp_path / "net")
    assert loaded.normalize_inputs is None and loaded.input_scaling is None


def test_a_run_that_is_resumed_has_the_scaling_that_it_had(tmp_path):
    """Also where it was found in other rows than those of the run."""
    x, y = units()
    whole, begun, resumed = pair(), pair(), pair()
    for net in (whole, begun):
        net.adapt(2 * x + 1, y - 5)
    settings = {"batch_size": 7, "verbose": 0, "validation_split": 0.2}
    whole.fit(x, y, epochs=3, **settings)
    begun.fit(x, y, epochs=2, callbacks=[cnet.Checkpoint(tmp_path)], **settings)
    resumed.fit(x, y, epochs=3, resume=tmp_path, **settings)
    assert snapshot(resumed) == snapshot(whole)
    assert resumed.history["val_loss"] == whole.history["val_loss"]
    assert np.array_equal(resumed.predict(x), whole.predict(x))
    with refused(ValueError, "normalize_inputs", "not the run"):
        pair(normalize_inputs="minmax").fit(x, y, epochs=3, resume=tmp_path, **settings)


@pytest.mark.parametrize(
    "augment", [cnet.augment.SwapFeatures(0.4), cnet.augment.Mixup(0.5)], ids=["swap", "mixup"]
)
def test_rows_that_are_augmented_are_normalised_before(augment):
    x, y = units(90)
    net = pair()
    plain, a, b = by_hand(x, y)
    settings = {"augment": [augment], "epochs": 2, "verbose": 0}
    history = net.fit(x, y, **settings)
    assert np.allclose(history["loss"], plain.fit(a, b, **settings)["loss"], rtol=1e-9)
