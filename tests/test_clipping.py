"""Gradients cut by value, by each parameter's norm, by the norm of all."""

import numpy as np
import pytest

import cnet
from cnet._core.rules import Rule

DTYPES = ["float32", "float64"]
WAYS = ["clipvalue", "clipnorm", "global_clipnorm"]
each_dtype = pytest.mark.parametrize("dtype", DTYPES)


def network(dtype="float64", optimizer=None, sizes=(5, 3), **settings):
    net = cnet.Sequential([cnet.Dense(n, "tanh") for n in sizes], seed=2, dtype=dtype).build(4)
    net.compile(optimizer or cnet.SGD(1.0, **settings), "mse")
    return net


def stepped(net, gradients):
    """What plain gradient descent with rate 1 took off each parameter: the gradient that it saw."""
    before = net.get_weights()
    for own, given in zip(net.gradients.values(), gradients, strict=True):
        own[...] = given
    net.apply_gradients()
    return [b - a for b, a in zip(before, net.get_weights(), strict=True)]


def some_gradients(net, size=1.0):
    rng = np.random.default_rng(3)
    return [size * rng.standard_normal(w.shape).astype(net.dtype) for w in net.get_weights()]


def assert_close(found, expected, dtype):
    for one, other in zip(found, expected, strict=True):
        tolerance = 1e-5 if dtype == "float32" else 1e-12
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)


@each_dtype
def test_by_value(dtype):
    net = network(dtype, clipvalue=0.3)
    gradients = some_gradients(net)
    assert_close(stepped(net, gradients), [np.clip(g, -0.3, 0.3) for g in gradients], dtype)
    assert max(np.abs(g).max() for g in gradients) > 0.3
    assert net.rule.norm == 0


@each_dtype
def test_by_the_norm_of_each_parameter(dtype):
    net = network(dtype, clipnorm=1.2)
    gradients = some_gradients(net)
    gradients[1][:] = 0.01  # short already
    norms = [np.linalg.norm(g.astype(float)) for g in gradients]
    expected = [g * min(1, 1.2 / (n + 1e-6)) for g, n in zip(gradients, norms, strict=True)]
    assert_close(stepped(net, gradients), expected, dtype)
    assert min(norms) < 1.2 < max(norms)
    assert net.rule.norm == pytest.approx(np.linalg.norm(norms), rel=1e-6)


@each_dtype
@pytest.mark.parametrize("limit", [0.5, 1e3])
def test_by_the_norm_of_all(dtype, limit):
    net = network(dtype, global_clipnorm=limit)
    gradients = some_gradients(net)
    norm = np.sqrt(sum((g.astype(float) ** 2).sum() for g in gradients))
    factor = min(1, limit / (norm + 1e-6))
    assert_close(stepped(net, gradients), [g * factor for g in gradients], dtype)
    assert net.rule.norm == pytest.approx(norm, rel=1e-6)
    assert (factor < 1) == (limit == 0.5)


def test_gradients_whose_squares_overflow_are_cut_all_the_same():
    net = network("float32", global_clipnorm=2.0)
    gradients = some_gradients(net, 1e25)
    norm = np.sqrt(sum((g.astype(float) ** 2).sum() for g in gradients))
    assert_close(stepped(net, gradients), [g * (2 / norm) for g in gradients], "float32")
    assert net.rule.norm == pytest.approx(norm, rel=1e-6)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("optimizer", [cnet.Adam, cnet.Lion, cnet.RMSprop])
def test_other_rules_see_the_cut_gradient_too(way, optimizer):
    """The state after one step is that of a rule that was given the cut gradient."""
    cut, given = network(optimizer=optimizer(**{way: 0.7})), network(optimizer=optimizer())
    gradients = some_gradients(cut)
    stepped(cut, gradients)
    reference = network(**{way: 0.7})
    stepped(given, stepped(reference, gradients))
    assert_close([cut.rule.states], [given.rule.states], "float64")
    assert_close(cut.get_weights(), given.get_weights(), "float64")


@pytest.mark.parametrize("way", WAYS)
def test_a_limit_that_nothing_reaches_changes_no_bit(way):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((200, 4)), rng.standard_normal((200, 3))
    found = []
    for settings in ({}, {way: 1e9}):
        net = network("float32", optimizer=cnet.Adam(**settings))
        net.fit(x, y, epochs=3, verbose=0)
        found.append([w.tobytes() for w in net.get_weights()])
    assert found[0] == found[1]


def test_fit_cuts_every_step_and_records_the_norm():
    """Against the same steps by hand."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((40, 4)), 30 * rng.standard_normal((40, 3))
    net, hand = network(global_clipnorm=0.1), network()
    history = net.fit(x, y, batch_size=16, shuffle=False, epochs=2, verbose=0)
    for epoch in range(2):
        norms = []
        for rows in (slice(0, 16), slice(16, 32), slice(32, 40)):
            loss = cnet.losses.MeanSquaredError()
            hand.zero_gradients()
            hand.backward(loss.gradient(hand.forward(x[rows]), y[rows]))
            norms.append(np.sqrt(sum((g**2).sum() for g in hand.gradients.values())))
            for gradient in hand.gradients.values():
                gradient *= min(1, 0.1 / (norms[-1] + 1e-6))
            hand.apply_gradients()
        assert history["gradient_norm"][epoch] == pytest.approx(np.mean(norms), rel=1e-9)
    assert_close(net.get_weights(), hand.get_weights(), "float64")


def test_the_norm_is_recorded_only_where_it_is_taken():
    net = network(clipvalue=1.0)
    assert "gradient_norm" not in net.fit(np.ones((8, 4)), np.ones((8, 3)), verbose=0).to_dict()


@pytest.mark.parametrize("way", WAYS)
def test_any_number_of_threads_gives_the_same_bits(way):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((64, 4)), rng.standard_normal((64, 500))
    found = []
    for threads in (1, 2, 3, 8):
        net = network("float32", cnet.Adam(**{way: 0.01}), sizes=(900, 500))
        net.fit(x, y, epochs=2, verbose=0, threads=threads)
        found.append(([w.tobytes() for w in net.get_weights()], net.history["loss"]))
    assert all(one == found[0] for one in found)


@pytest.mark.parametrize("way", WAYS)
def test_it_is_saved(way, tmp_path):
    net = network(optimizer=cnet.Adam(**{way: 0.25}))
    cnet.save(net, tmp_path / "net")
    assert getattr(cnet.load(tmp_path / "net").compiled.optimizer, way) == 0.25


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"clipvalue": 0}, "clipvalue must be"),
        ({"clipnorm": -1}, "clipnorm"),
        ({"global_clipnorm": "1"}, "global_clipnorm"),
        ({"global_clipnorm": np.nan}, "global_clipnorm"),
        ({"clipnorm": 1, "clipvalue": 1}, "give one of clipvalue and clipnorm"),
    ],
)
def test_wrong_settings(settings, message):
    with pytest.raises((ValueError, TypeError), match=message):
        cnet.Adam(**settings)


@pytest.mark.parametrize(
    ("places", "clip", "message"),
    [
        ([(0, 10**6)], ("norm", 1.0), "lies outside"),
        ([(8, 4), (0, 4)], ("norm", 1.0), "lies outside"),
        (None, ("length", 1.0), "unknown way to clip 'length'"),
    ],
)
def test_a_rule_refuses_what_does_not_fit(places, clip, message):
    net = network()
    with pytest.raises(ValueError, match=message):
        Rule(net.built.core, "sgd", [0.1, 0, 0, 0, 0, 0, 0], 0.0, places, clip)
