"""What weights are held to after every step: max-norm, non-negative."""

import numpy as np
import pytest
from networks import refused, regression, snapshot
from test_continuation import COPIES

import cnet
from cnet import constraints
from cnet._core.rules import Rule

each_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])
FIT = {"batch_size": 8, "verbose": 0}


def network(constraint, on="kernel_constraint", dtype="float64", units=70, optimizer=None):
    settings = {} if constraint is None else {on: constraint}
    layers = [cnet.Dense(units, "tanh", **settings), cnet.Dense(2)]
    net = cnet.Sequential(layers, seed=7, dtype=dtype).build(4)
    return net.compile(optimizer or cnet.SGD(0.5), "mse")


def held(w, limit):
    """Srivastava et al.'s constraint on the columns of w, by its formula."""
    norms = np.sqrt((w.astype(np.float64) ** 2).sum(axis=0))
    return w * np.minimum(1, limit / np.maximum(norms, 1e-300))


@each_dtype
@pytest.mark.parametrize("units", [1, 5, 64, 70, 130])
def test_columns_above_the_limit_are_scaled_down_to_it(units, dtype):
    net = network(constraints.MaxNorm(0.9), dtype=dtype, units=units)
    plain = network(None, dtype=dtype, units=units)
    rng = np.random.default_rng(1)
    for one in (net, plain):
        one.parameters["dense_1.weight"][...] = rng.normal(size=(4, units))
        rng = np.random.default_rng(1)
        one.zero_gradients()
        one.gradients["dense_1.weight"][...] = 0.1
        one.apply_gradients()
    before = plain.parameters["dense_1.weight"]
    after = net.parameters["dense_1.weight"]
    tolerance = 1e-6 if dtype == "float32" else 1e-14
    np.testing.assert_allclose(after, held(before, 0.9), rtol=tolerance, atol=0)
    below = np.linalg.norm(before.astype(float), axis=0) <= 0.9
    assert np.array_equal(after[:, below], before[:, below])  # to the bit
    if units > 60:
        assert 0 < below.sum() < units
    for name in ("dense_1.bias", "dense_2.weight"):
        assert np.array_equal(net.parameters[name], plain.parameters[name])


def test_fit_holds_them_after_every_step():
    x, y = regression()
    net, hand = network(constraints.MaxNorm(0.5)), network(None)
    net.fit(x, y, shuffle=False, epochs=2, **FIT)
    for _ in range(2):
        for part in range(0, 40, 8):
            hand.train_on_batch(x[part : part + 8], y[part : part + 8])
            w = hand.parameters["dense_1.weight"]
            w[...] = held(w, 0.5)
    for name, values in hand.parameters.items():
        np.testing.assert_allclose(net.parameters[name], values, rtol=1e-12, atol=1e-14)


def test_a_bias_is_one_vector():
    net = network("max_norm", "bias_constraint")
    net.zero_gradients()
    net.parameters["dense_1.bias"][...] = np.linspace(-2, 2, 70)
    net.apply_gradients()
    assert np.linalg.norm(net.parameters["dense_1.bias"]) == pytest.approx(3.0, rel=1e-14)


@each_dtype
def test_non_negative(dtype):
    net, plain = network("non_negative", dtype=dtype), network(None, dtype=dtype)
    for one in (net, plain):
        one.zero_gradients()
        one.apply_gradients()
    expected = np.maximum(plain.parameters["dense_1.weight"], 0)
    assert np.array_equal(net.parameters["dense_1.weight"], expected)
    assert (plain.parameters["dense_1.weight"] < 0).any()
    assert (net.parameters["dense_2.weight"] < 0).any()


@pytest.mark.parametrize("name", constraints.names())
def test_frozen_layers_are_left_alone(name):
    net = network(name)
    net.parameters["dense_1.weight"][...] = -9.0
    net.freeze("dense_1")
    net.apply_gradients()
    assert (net.parameters["dense_1.weight"] == -9).all()
    net.unfreeze()
    net.apply_gradients()
    assert not (net.parameters["dense_1.weight"] == -9).any()


@pytest.mark.parametrize("name", constraints.names())
def test_any_number_of_threads_gives_the_same_bits(name):
    x, y = regression(16, 300, 2, "float32")
    found = []
    for threads in (1, 2, 5):
        layers = [cnet.Dense(1100, "tanh", kernel_constraint=name), cnet.Dense(2)]
        net = cnet.Sequential(layers, seed=7).build(300).compile(cnet.SGD(0.5), "mse")
        net.parameters["dense_1.weight"][...] *= 5
        net.fit(x, y, epochs=2, threads=threads, **FIT)
        found.append(snapshot(net))
    assert found[0] == found[1] == found[2]


def test_averages_keep_to_it():
    """They are means of what does: a ball is convex."""
    x, y = regression()
    net = network(constraints.MaxNorm(0.5)).compile(cnet.SGD(0.5), "mse", averaging=cnet.EMA(0.9))
    net.fit(x, y, epochs=2, **FIT)
    assert np.linalg.norm(net.averages["dense_1.weight"], axis=0).max() <= 0.5 + 1e-12


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
def test_it_is_kept(copied, tmp_path):
    x, y = regression()
    whole, net = (network(constraints.MaxNorm(0.5)) for _ in range(2))
    whole.fit(x, y, epochs=2, **FIT)
    net.fit(x, y, **FIT)
    other = copied(net, tmp_path)
    assert other.layers[0].kernel_constraint == constraints.MaxNorm(0.5)
    other.fit(x, y, **FIT)
    assert snapshot(other) == snapshot(whole)


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: constraints.MaxNorm(0), ValueError, ["max_value", "above 0"]),
        (lambda: constraints.MaxNorm("3"), TypeError, ["max_value"]),
        (lambda: cnet.Dense(1, kernel_constraint="maxnorm"), ValueError, ["max_norm"]),
        (lambda: cnet.Dense(1, bias_constraint=3.0), TypeError, ["cnet.constraints.MaxNorm"]),
    ],
)
def test_wrong_settings(make, error, words):
    with refused(error, *words):
        make()


def test_places_that_do_not_fit():
    rule = Rule(network(None).built.core, "sgd", [0.1] + [0.0] * 7)
    with pytest.raises(ValueError, match="does not fit"):
        rule.constrain([(1, "max_norm", 1.0, 1)])


@pytest.mark.parametrize("what", ["averaging", "constraint"])
def test_not_with_schedule_free_steps(what):
    """These train at another point than the one that would be held or averaged."""
    layers = [cnet.Dense(2, kernel_constraint="max_norm" if what == "constraint" else None)]
    net = cnet.Sequential(layers, seed=1).build(3)
    averaging = cnet.EMA() if what == "averaging" else None
    with refused(ValueError, what, "ScheduleFreeAdamW", "Adam"):
        net.compile(cnet.ScheduleFreeAdamW(), "mse", averaging=averaging)
    assert not net.is_compiled
