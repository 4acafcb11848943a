"""The guard of updates: what is not finite never reaches parameters, and the error says whose fault
it is, on both of its ways: all gradients of a small network, a bound for a large one."""

import pickle

import numpy as np
import pytest
from networks import NoStep, refused, rows, snapshot

import cnet

FIT = {"verbose": 0, "shuffle": False}
# Neurons of a hidden layer, and rows of a batch: more gradients than values, and fewer.
WAYS = pytest.mark.parametrize(("units", "batch"), [(64, 8), (3, 256)], ids=["bound", "direct"])


def network(units, *, dtype="float32", loss="mae", optimizer=None, hidden="linear"):
    """A network of three layers, the middle one a tanh that hides what comes before it."""
    layers = [cnet.Dense(units, hidden), cnet.Dense(units, "tanh"), cnet.Dense(1)]
    net = cnet.Sequential(layers, seed=3, dtype=dtype).build(4)
    return net.compile(optimizer or cnet.SGD(learning_rate=0.01), loss)


def refusal(net, x, y, **settings) -> cnet.NonFiniteError:
    with pytest.raises(cnet.NonFiniteError) as caught:
        net.fit(x, y, **FIT | settings)
    return caught.value


@WAYS
def test_an_infinite_activation_behind_a_layer_that_hides_it(units, batch):
    """The loss is finite, since tanh(inf) is 1; the gradient is 0 times infinity."""
    net = network(units)
    x, y = rows(2 * batch, 4, "float32"), rows(2 * batch, 1)
    x[batch + 5, 2] = 3e38
    net.parameters["dense_1.weight"][:] = 10
    net.parameters["dense_2.weight"][:] = np.abs(net.parameters["dense_2.weight"])
    other = network(units)
    other.set_weights(net.get_weights())
    error = refusal(net, x, y, batch_size=batch)
    assert (error.quantity, error.epoch, error.batch) == ("gradient", 1, 2)
    assert error.layer == "dense_2"
    assert "column 2 of x reaches 3e+38, the others about" in str(error)
    other.train_on_batch(x[:batch], y[:batch])
    assert snapshot(net) | {"passes": b""} == snapshot(other) | {"passes": b""}


@WAYS
@pytest.mark.parametrize("shuffle", [False, True])
def test_the_rows_are_those_of_x(units, batch, shuffle):
    net = network(units)
    x, y = rows(6 * batch, 4, "float32"), rows(6 * batch, 1)
    x[3 * batch + 1] = 3e38
    net.parameters["dense_1.weight"][:] = 10
    error = refusal(net, x, y, batch_size=batch, shuffle=shuffle)
    assert error.rows == (3 * batch + 1,)
    assert f"(row {3 * batch + 1} of x)" in str(error)
    assert (error.batch == 4) or shuffle


def test_many_rows_are_named_up_to_five():
    net = network(5)
    net.parameters["dense_1.weight"][:] = 10
    x = rows(40, 4, "float32")
    x[7:15] = 3e38
    error = refusal(net, x, rows(40, 1), batch_size=None)
    assert error.rows == tuple(range(7, 15))
    assert "Rows of x: 7, 8, 9, 10, 11 and 3 more. The batch changed nothing" in str(error)


@WAYS
@pytest.mark.parametrize("first", [0, 1])
def test_a_sum_that_overflows_though_all_it_is_made_of_is_finite(units, batch, first):
    net = cnet.Sequential([cnet.Dense(units), cnet.Dense(1)], seed=3, dtype="float32").build(4)
    net.compile("sgd", "mae")
    net.set_weights([np.full((4, units), 1e-30), np.zeros(units), np.full((units, 1), 1e30), [0]])
    x = rows(batch + 2000 * first, 4)
    x[first * 1500 :] *= 1e30
    with NoStep(net):
        error = refusal(net, x, np.zeros((len(x), 1)), batch_size=None)
    assert (error.quantity, error.layer, error.rows) == ("gradient", "dense_1", ())


@WAYS
@pytest.mark.parametrize(
    ("optimizer", "scale"),
    [
        (cnet.SGD(learning_rate=1e38), 1e5),
        (cnet.SGD(learning_rate=1e38, momentum=0.9), 1e5),
        (cnet.Adam(), 1e25),  # its square is infinite
        (cnet.AdaGrad(), 1e25),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_step_that_would_be_infinite_is_taken_back(units, batch, optimizer, scale):
    net = network(units, optimizer=optimizer, loss="mae")
    x, y = rows(batch, 4), rows(batch, 1)
    net.train_on_batch(1e-9 * x, y, 1e-9 * np.ones(batch))
    with NoStep(net):
        error = refusal(net, x, y, sample_weight=np.full(batch, scale), batch_size=None)
    assert error.quantity == "update" and "learning rate" in str(error)
    states = net.rule.states
    assert np.isfinite(states).all()


@WAYS
def test_steps_that_are_looked_at_closely_are_the_same_steps(units, batch):
    """A learning rate beyond 1e6 is reason enough to look, and here it is right."""
    x, y = rows(batch, 4), rows(batch, 1)
    nets = [
        network(units, dtype="float64", optimizer=cnet.SGD(learning_rate=rate))
        for rate in (2.0**-7, 2.0**33)
    ]
    for net, weight in zip(nets, (1.0, 2.0**-40), strict=True):
        weights = np.full(batch, weight)
        net.fit(x, y, epochs=3, batch_size=batch // 2, sample_weight=weights, **FIT)
    for a, b in zip(*(net.get_weights() for net in nets), strict=True):
        np.testing.assert_array_equal(a, b)


def test_frozen_layers_do_not_count():
    """Their gradients are computed, and not used."""
    net = cnet.Sequential([cnet.Dense(3), cnet.Dense(1)], seed=3, dtype="float32").build(4)
    net.compile("sgd", "mae").freeze("dense_1")
    weights = [np.full((4, 3), 1e-30), np.zeros(3), np.full((3, 1), 1e30), [0.0]]
    net.set_weights(weights)
    net.fit(np.full((8, 4), 1e30), np.zeros((8, 1)), **FIT)
    assert net.get_weights()[3] != 0
    net.unfreeze()
    with refused(cnet.NonFiniteError, "gradient of dense_1.weight"):
        net.fit(np.full((8, 4), 1e30), np.zeros((8, 1)), **FIT)


def test_the_layer_that_is_named_is_one_that_is_trained():
    """Gradients of both overflow: the second's in its sum, the first's because its slopes do."""
    net = cnet.Sequential([cnet.Dense(2), cnet.Dense(1)], seed=3, dtype="float32").build(2)
    net.compile("sgd", "mae").set_weights([[[1, 0], [0, 0]], [0, 0], [[0], [1e38]], [0]])
    data = {"x": np.full((4, 2), 1e30), "y": np.ones((4, 1)), "sample_weight": np.full(4, 1e10)}
    both = refusal(net, **data)
    assert (both.layer, both.rows) == ("dense_1", (0, 1, 2, 3))
    net.freeze("dense_1")
    error = refusal(net, **data)
    assert (error.quantity, error.layer, error.rows) == ("gradient", "dense_2", ())
    assert "the gradient of dense_2.weight is not finite. The likely cause" in str(error)
    net.freeze()
    net.fit(**data, **FIT)


@pytest.mark.parametrize("threads", [1, 3])
def test_batches_that_pass_in_pieces(threads):
    net = network(64)
    x, y = rows(3000, 4, "float32"), rows(3000, 1)
    x[1100] = 3e38
    net.parameters["dense_1.weight"][:] = 10
    net.parameters["dense_2.weight"][:] = np.abs(net.parameters["dense_2.weight"])
    with NoStep(net):
        error = refusal(net, x, y, batch_size=None, threads=threads)
    assert error.quantity == "gradient" and error.batch == 1


def test_a_logarithm_of_what_is_negative():
    net = cnet.Sequential([cnet.Dense(1, inputs=2, name="rate")], seed=1).compile("sgd", "poisson")
    net.set_weights([[[-1.0], [-1.0]], [0.0]])
    with NoStep(net), refused(
        cnet.NonFiniteError, "logarithm of outputs", "down to -2", "give rate activation='exp'"
    ):
        net.fit(np.ones((4, 2)), np.ones((4, 1)), **FIT)


def test_an_error_goes_through_a_pickle():
    error = cnet.NonFiniteError("words", quantity="loss", epoch=2, rows=(1, 2))
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == "words" and vars(again) == vars(error)


@pytest.mark.parametrize("way", ["fit", "train_on_batch"])
def test_training_goes_on_after_it(way):
    net = network(64)
    x, y = rows(16, 4, "float32"), rows(16, 1)
    bad = x.copy()
    bad[3] = 3e38
    first = net.get_weights()
    net.parameters["dense_1.weight"][:] = 10
    train = getattr(net, way)
    with pytest.raises(cnet.NonFiniteError):
        train(bad, y)
    net.set_weights(first)
    train(x[:8], y[:8])
    assert all(np.isfinite(values).all() for values in net.parameters.values())


@pytest.mark.parametrize(
    "optimizer",
    [
        cnet.Adam(epsilon=0), cnet.Nadam(epsilon=0), cnet.AMSGrad(epsilon=0),
        cnet.Adamax(epsilon=0), cnet.AdaGrad(epsilon=0), cnet.AdaDelta(epsilon=0),
        cnet.RMSprop(epsilon=0), cnet.RMSprop(epsilon=0, centered=True), cnet.Muon(epsilon=0),
        cnet.ScheduleFreeAdamW(epsilon=0), cnet.Adam(epsilon=1e-46),
    ],
    ids=repr,
)  # fmt: skip
@WAYS
def test_nothing_over_nothing(units, batch, optimizer):
    """The gradients of a neuron that is never active are 0, and so is what they are divided by."""
    net = network(units, optimizer=optimizer, hidden="relu")
    net.parameters["dense_1.bias"][0] = -100
    before = net.get_weights()
    error = refusal(net, rows(batch, 4), rows(batch, 1), batch_size=batch)
    for values, value in zip(net.get_weights(), before, strict=True):
        np.testing.assert_array_equal(values, value)
    assert error.quantity == "update" and f"epsilon={optimizer.epsilon:g}" in str(error)


@WAYS
def test_a_factor_of_a_group_counts_in_the_learning_rate(units, batch):
    """The loss does not tell: tanh hides that the weights before it are infinite."""
    net = network(units)
    groups = {"dense_1": {"learning_rate_factor": 1e39}}
    net.compile(cnet.SGD(learning_rate=1e3), "mae", groups=groups)
    with NoStep(net):
        error = refusal(net, rows(batch, 4), rows(batch, 1), batch_size=batch)
    assert error.quantity == "update"


@pytest.mark.parametrize(
    ("optimizer", "group"),
    [
        (cnet.SGD(1.0, weight_decay=1e30), {}),
        (cnet.AdamW(1e-3, weight_decay=1e30), {}),
        (cnet.SGD(1.0), {"weight_decay": 1e30}),
        (cnet.SGD(0.1), {"learning_rate_factor": 100.0, "weight_decay": 100.0}),
    ],
)
@WAYS
def test_weights_that_decay_beyond_zero(units, batch, optimizer, group):
    """Column 0 of x is 0, so that neither values nor gradients say how its weights grow."""
    net = network(units)
    net.compile(optimizer, "mae", groups={"dense_1.weight": group}).freeze("dense_2", "dense_3")
    x = rows(batch, 4)
    x[:, 0] = 0
    net.parameters["dense_1.weight"][0] = 1e4
    error = refusal(net, x, rows(batch, 1), batch_size=batch, epochs=100)
    assert all(np.isfinite(values).all() for values in net.parameters.values())
    assert error.quantity in ("update", "output", "gradient")


@WAYS
def test_a_penalty_counts_in_the_bound(units, batch):
    layers = [
        cnet.Dense(units, kernel_regularizer=cnet.regularizers.L2(1e38)),
        cnet.Dense(units, "tanh"),
        cnet.Dense(1),
    ]
    net = cnet.Sequential(layers, seed=3).build(4).compile("sgd", "mae")
    net.parameters["dense_1.weight"][:] = 0
    net.parameters["dense_1.weight"][0, 0] = 100
    x = rows(batch, 4)
    x[:, 0] = 0
    with NoStep(net):
        refusal(net, x, rows(batch, 1), batch_size=batch)
