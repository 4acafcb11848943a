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


# ---- of the whole network ------------------------------------------------------------------------


def of_all(penalty=None, dtype="float64", **own):
    """Dense layers alone and in a block, between others that have parameters of their own."""
    layers = [
        cnet.Dense(6, "tanh", **own),
        cnet.BatchNormalization(),
        cnet.Residual([cnet.Dense(6, "tanh"), cnet.LayerNormalization()]),
        cnet.Dense(2),
    ]
    net = cnet.Sequential(layers, seed=1, dtype=dtype, kernel_regularizer=penalty)
    return net.build(5).compile(cnet.SGD(1.0), "mse")


def weights_of(net, *without):
    return [p for name, p in net.parameters.items() if name.endswith("weight") and
            not name.startswith(without)]  # fmt: skip


@each_kind
def test_that_of_a_network_is_for_all_dense_kernels(penalty, l1, l2):
    net, plain, (x, y) = of_all(penalty), of_all(), data()
    for name, values in net.parameters.items():
        if not name.endswith("weight"):
            values += 0.5  # biases, gamma and beta cost nothing
            plain.parameters[name][:] = values
    assert len(weights_of(net)) == 3
    expected = plain.evaluate(x, y)["loss"] + sum(cost(w, l1, l2) for w in weights_of(net))
    assert net.evaluate(x, y)["loss"] == pytest.approx(expected, rel=1e-12)


def test_it_is_the_same_as_one_in_every_layer():
    x, y = data()
    both = [
        cnet.Sequential(
            [cnet.Dense(7, "relu", **each), cnet.Dense(2, **each)], seed=3, **of_network
        )
        for each, of_network in (
            ({"kernel_regularizer": "l2"}, {}), ({}, {"kernel_regularizer": "l2"}),
        )
    ]  # fmt: skip
    histories = [net.compile("adam").fit(x, y, epochs=3, verbose=0) for net in both]
    assert histories[0]["loss"] == histories[1]["loss"]
    for a, b in zip(*(net.get_weights() for net in both), strict=True):
        assert np.array_equal(a, b)


def test_a_layers_own_comes_before_that_of_the_network():
    (x, y), plain = data(), of_all()
    for own, expected in ((regularizers.L1(0.3), (0.3, 0.0)), (regularizers.L2(0), (0.0, 0.0))):
        net = of_all("l2", kernel_regularizer=own)
        first = cost(net.parameters["dense_1.weight"], *expected)
        rest = sum(cost(w, 0, 0.01) for w in weights_of(net, "dense_1"))
        loss = plain.evaluate(x, y)["loss"] + first + rest
        assert net.evaluate(x, y)["loss"] == pytest.approx(loss, rel=1e-12)


def test_embeddings_have_their_own():
    table = cnet.Columns({0: cnet.Embedding(3, 2)})
    net = cnet.Sequential([table, cnet.Dense(1)], seed=1, kernel_regularizer="l2").build(3)
    found = {p.name: p.regularizer for p in net.built.program.parameters}
    assert found["columns_1.embedding_0"] is None
    assert found["dense_1.weight"] == regularizers.L2(0.01)


def test_that_of_a_network_is_kept(tmp_path):
    import copy
    import pickle

    (x, y), net = data(), of_all(regularizers.L1L2(0.1, 0.2))
    assert net.kernel_regularizer == regularizers.L1L2(0.1, 0.2)
    cnet.save(net, tmp_path / "net")
    for other in (cnet.load(tmp_path / "net"), copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert other.kernel_regularizer == net.kernel_regularizer
        assert other.evaluate(x, y) == net.evaluate(x, y)
    unbuilt = cnet.Sequential([cnet.Dense(2)], kernel_regularizer="l1")
    assert copy.copy(unbuilt).kernel_regularizer == regularizers.L1(0.01)
    assert cnet.Sequential([cnet.Dense(2)]).kernel_regularizer is None


def test_a_run_goes_on_with_the_same_only(tmp_path):
    x, y = data()

    def made(penalty):
        net = cnet.Sequential([cnet.Dense(2)], seed=1, kernel_regularizer=penalty)
        return net.compile("sgd", "mse")

    keep = [cnet.callbacks.Checkpoint(tmp_path, every=1)]
    made("l2").fit(x, y, verbose=0, callbacks=keep)
    with pytest.raises(ValueError, match="kernel_regularizer"):
        made("l1").fit(x, y, epochs=2, verbose=0, resume=tmp_path, callbacks=keep)


def test_wrong_ones_of_a_network():
    with pytest.raises(ValueError, match=r"'l3'.*l1, l1_l2, l2"):
        cnet.Sequential([cnet.Dense(1)], kernel_regularizer="l3")
