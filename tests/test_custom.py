"""Parts of the user's own do what cnet's own do, and are saved with the network."""

import copy
import pickle
import threading

import numpy as np
import pytest
from networks import classes, refused, regression
from parts import (
    CLASSES,
    OwnAdam,
    OwnDense,
    OwnLeaky,
    OwnMomentum,
    OwnMSE,
    OwnSparse,
    OwnTanh,
    own_network,
    same_network,
)

import cnet
from cnet import custom

ROUNDING = {"float64": 1e-12, "float32": 2e-6}


def assert_alike(own, same, tolerance):
    """Two networks have the same parameters, in their order, but for rounding."""
    for ours, theirs in zip(own.get_weights(), same.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance)


# ---- the same as cnet's own ----------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_training_is_that_of_the_same_parts_in_c(dtype):
    x, y = regression(90, dtype=dtype)
    own, same = own_network(dtype=dtype), same_network(dtype=dtype)
    weights = np.linspace(0.5, 2, 72)
    settings = {"epochs": 4, "batch_size": 16, "verbose": 0, "validation_data": (x[72:], y[72:])}
    got = own.fit(x[:72], y[:72], sample_weight=weights, **settings)
    expected = same.fit(x[:72], y[:72], sample_weight=weights, **settings)
    for key in ("loss", "mae", "val_loss", "val_mae"):
        np.testing.assert_allclose(got[key], expected[key], rtol=ROUNDING[dtype] * 10)
    assert_alike(own, same, ROUNDING[dtype])
    np.testing.assert_allclose(own.predict(x), same.predict(x), atol=ROUNDING[dtype])
    assert own.predict(x).dtype == dtype and got["loss"][-1] < 0.7 * got["loss"][0]
    assert own.evaluate(x, y) == pytest.approx(same.evaluate(x, y), rel=ROUNDING[dtype] * 10)


def test_batches_above_a_piece_add_up():
    x, y = regression(2100)
    own, same = own_network(), same_network()
    for net in (own, same):
        net.fit(x, y, epochs=2, batch_size=None, verbose=0)
    assert_alike(own, same, 1e-12)


def test_labels():
    x, y = classes()
    nets = []
    for loss in (OwnSparse(), cnet.losses.SparseCategoricalCrossentropy(from_logits=True)):
        net = cnet.Sequential([cnet.Dense(3)], seed=2, dtype="float64")
        net.compile("sgd", loss, ["accuracy"])
        net.fit(x, y, epochs=2, verbose=0)
        nets.append(net)
    assert_alike(*nets, 1e-13)
    assert nets[0].history["accuracy"] == nets[1].history["accuracy"]


def test_a_loss_on_its_own():
    y, t = regression(6)[1], regression(12)[1][6:]
    weight = np.arange(6.0)
    own, same = OwnMSE(), cnet.losses.MeanSquaredError()
    for weights in (None, weight):
        assert own(y, t, weights) == pytest.approx(same(y, t, weights), rel=1e-14)
        np.testing.assert_allclose(own.gradient(y, t, weights), same.gradient(y, t, weights))
    with refused(cnet.ShapeError, r"targets has shape \(5, 2\)"):
        own(y, t[:5])


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"weight_decay": 0.1},
        {"weight_decay": 0.1, "decoupled_weight_decay": True},
        {"clipvalue": 0.01},
        {"clipnorm": 0.05},
        {"global_clipnorm": 0.05},
        {"learning_rate": cnet.schedules.Step(0.1, 3)},
    ],
    ids=str,
)
def test_what_every_optimizer_has(settings):
    x, y = regression()
    nets = []
    settings = {"learning_rate": 0.02} | settings
    for optimizer in (OwnAdam(**settings), cnet.Adam(**settings)):
        net = cnet.Sequential([cnet.Dense(4, "tanh"), cnet.Dense(2)], seed=1, dtype="float64")
        net.compile(optimizer, "mse")
        net.fit(x, y, epochs=2, verbose=0)
        net.freeze("dense_1")
        net.fit(x, y, epochs=1, verbose=0)
        nets.append(net)
    own, same = nets
    assert_alike(own, same, 1e-12)
    np.testing.assert_array_equal(own.rule.running[0], same.rule.running[0])
    if own.compiled.optimizer.takes_norm:
        np.testing.assert_allclose(own.history["gradient_norm"], same.history["gradient_norm"])


def test_by_hand():
    x, y = regression(8)
    own, same = own_network().build(4), same_network().build(4)
    assert_alike(own, same, 0)
    for net in (own, same):
        out = net.forward(x)
        net.zero_gradients()
        for _ in range(2):  # gradients add up
            dx = net.backward(net.compiled.loss.gradient(out, y))
        net.apply_gradients()
    np.testing.assert_allclose(own.forward(x), same.forward(x), rtol=1e-12)
    assert np.abs(dx).max() > 1e-3
    assert_alike(own, same, 1e-14)


def test_shapes_of_several_dimensions():
    class Mean(custom.Layer):
        def output_shape(self, shape):
            return shape[:1]

        def forward(self, x, parameters, training):
            assert x.shape[1:] == (3, 4)
            return x.mean(axis=2)

        def backward(self, x, y, dy, parameters, training):
            return np.repeat(dy[:, :, None] / 4, 4, axis=2), {}

    x = np.arange(24.0).reshape(2, 3, 4)
    net = cnet.Sequential([Mean(), cnet.Dense(2)], seed=1).build((3, 4))
    assert net.predict(x).shape == (2, 2) and list(net.parameters) == [
        "dense_1.weight", "dense_1.bias",
    ]  # fmt: skip
    cnet.gradcheck(net, x)


def test_inside_of_blocks():
    x, y = regression(12)
    own = [OwnDense(units=4), cnet.Activation(OwnTanh())]
    start = "glorot_uniform"
    same = [cnet.Dense(4, kernel_initializer=start), cnet.Activation("tanh")]
    nets = []
    for inner in (own, same):
        branches = [[cnet.Residual(inner)], [cnet.Dense(4)]]
        net = cnet.Sequential([cnet.Parallel(branches), cnet.Dense(2)], seed=1, dtype="float64")
        net.compile(OwnMomentum() if inner is own else cnet.SGD(momentum=0.9), "mse")
        net.fit(x, y, epochs=3, verbose=0)
        nets.append(net)
    assert_alike(*nets, 1e-13)
    assert max(cnet.gradcheck(nets[0], x, y).errors.values()) < 1e-7
    again = pickle.loads(pickle.dumps(nets[0]))
    np.testing.assert_array_equal(again.predict(x), nets[0].predict(x))


def test_training_flag():
    seen = []

    class Look(custom.Layer):
        def forward(self, x, parameters, training):
            seen.append(training)
            return x

        def backward(self, x, y, dy, parameters, training):
            seen.append(training)
            return dy, {}

    x, y = regression(4)
    net = cnet.Sequential([cnet.Dense(2), Look()], seed=1).compile("sgd", "mse")
    net.fit(x, y, verbose=0)
    net.predict(x)
    net.forward(x)
    assert seen == [True, True, False, False]


def test_threads_change_no_bit():
    x, y = regression(1500)
    one, two = own_network(), own_network()
    one.fit(x, y, epochs=1, batch_size=700, verbose=0, threads=1)
    two.fit(x, y, epochs=1, batch_size=700, verbose=0, threads=2)
    np.testing.assert_array_equal(one.predict(x, threads=1), two.predict(x, threads=2))


def test_several_threads_of_python_predict_at_once():
    x = regression(900)[0]
    net = own_network().build(4)
    expected, results = net.predict(x), []
    work = [threading.Thread(target=lambda: results.append(net.predict(x))) for _ in range(4)]
    for thread in work:
        thread.start()
    for thread in work:
        thread.join()
    assert len(results) == 4 and all(np.array_equal(got, expected) for got in results)


# ---- saving --------------------------------------------------------------------------------------


def test_files_name_the_classes_and_bring_no_code(tmp_path):
    x, y = regression()
    net = own_network()
    net.fit(x, y, verbose=0)
    cnet.save(net, tmp_path / "net")
    with refused(ValueError, "OwnDense, OwnLeaky, OwnMSE, OwnMomentum, OwnTanh", "custom="):
        cnet.load(tmp_path / "net")
    with refused(TypeError, r"custom\['OwnMSE'\] must be a subclass"):
        cnet.load(tmp_path / "net", custom=CLASSES | {"OwnMSE": print})
    loaded = cnet.load(tmp_path / "net", custom=CLASSES)
    assert loaded.layers[2].activation == OwnLeaky(alpha=0.2)
    for again in (net, loaded):
        again.fit(x, y, epochs=2, verbose=0)
    assert loaded.history["loss"] == net.history["loss"]
    np.testing.assert_array_equal(loaded.predict(x), net.predict(x))


def test_copies_and_pickles_go_on_to_the_same_bits():
    x, y = regression()
    net = own_network()
    net.fit(x, y, verbose=0)
    others = [copy.deepcopy(net), pickle.loads(pickle.dumps(net))]
    for again in (net, *others):
        again.fit(x, y, verbose=0)
    assert all(np.array_equal(again.predict(x), net.predict(x)) for again in others)


def test_settings_that_a_file_cannot_hold(tmp_path):
    class Table(OwnTanh):
        values: object = None

    net = cnet.Sequential([cnet.Dense(2, Table(values=np.ones(3)), inputs=4)], seed=1)
    with refused(TypeError, r"Table\.values", "a file cannot hold"):
        cnet.save(net, tmp_path / "net")


def test_two_classes_of_one_name(tmp_path):
    first = type("Twin", (OwnTanh,), {})
    second = type("Twin", (OwnTanh,), {})
    layers = [cnet.Dense(2, first(), inputs=4), cnet.Dense(2, second())]
    with refused(ValueError, "two classes of custom parts are called Twin"):
        cnet.save(cnet.Sequential(layers, seed=1), tmp_path / "net")


def test_a_run_goes_on_from_a_checkpoint_to_the_same_bits(tmp_path):
    x, y = regression()
    whole, begun, again = own_network(), own_network(), own_network()
    settings = {"batch_size": 8, "verbose": 0}
    whole.fit(x, y, epochs=3, **settings)
    begun.fit(x, y, epochs=2, callbacks=[cnet.Checkpoint(tmp_path)], **settings)
    again.fit(x, y, epochs=3, resume=tmp_path, callbacks=[cnet.Checkpoint(tmp_path)], **settings)
    np.testing.assert_array_equal(again.predict(x), whole.predict(x))
