"""Layers that normalise, in training: moving statistics, batches of one row, files, threads."""

import copy
import pickle

import numpy as np
import pytest
from networks import (
    Unchanged,
    classes,
    drawn,
    only_buffers,
    refused,
    regression,
    rows,
    snapshot,
)

import cnet
from cnet._core.sources import Source
from cnet._core.training import Batches

KINDS = {"layer": cnet.LayerNormalization, "batch": cnet.BatchNormalization}
each_kind = pytest.mark.parametrize("kind", KINDS)
each_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


# ---- moving statistics -------------------------------------------------------------------------


@each_dtype
def test_moving_statistics(dtype):
    """Once per batch, from the unbiased variance, against a loop in NumPy."""
    net = drawn([cnet.BatchNormalization(momentum=0.7)], 4, dtype=dtype)
    mean, variance = (v.astype(np.float64) for v in only_buffers(net).values())
    x, y = rows(50, 4, seed=1) * [1, 2, 3, 4] + 1, rows(50, 4)
    net.fit(x, y, batch_size=16, epochs=3, shuffle=False, verbose=0)
    for _ in range(3):
        for part in (x[:16], x[16:32], x[32:48], x[48:]):
            mean = 0.7 * mean + 0.3 * part.mean(0)
            variance = 0.7 * variance + 0.3 * part.var(0, ddof=1)
    unit = 100 * float(np.finfo(dtype).eps)
    name = "batch_normalization_1"
    assert np.allclose(net.buffers[f"{name}.moving_mean"], mean, rtol=unit, atol=unit)
    assert np.allclose(net.buffers[f"{name}.moving_variance"], variance, rtol=unit)
    expected = (x - mean) / np.sqrt(variance + 1e-5) * net.parameters[f"{name}.gamma"]
    expected += net.parameters[f"{name}.beta"]
    assert np.allclose(net.predict(x), expected, rtol=10 * unit, atol=10 * unit)
    loss = float(net.compiled.loss(expected, y))
    with Unchanged(net):
        assert net.evaluate(x, y)["loss"] == pytest.approx(loss, rel=10 * unit)


def test_train_on_batch_forward_and_fit_move_alike():
    x, y = rows(12, 4), rows(12, 2)
    found = []
    for how in ("fit", "train_on_batch", "forward"):
        net = drawn([cnet.Dense(5), cnet.BatchNormalization(), cnet.Dense(2)], 4)
        before = only_buffers(net)
        if how == "fit":
            net.fit(x, y, batch_size=None, shuffle=False, verbose=0)
        elif how == "train_on_batch":
            net.train_on_batch(x, y)
        else:
            net.forward(x, training=True)
        assert not any(np.array_equal(net.buffers[k], v) for k, v in before.items())
        found.append([v.tobytes() for v in net.buffers.values()])
    assert found[0] == found[1] == found[2]


def test_what_does_not_train_does_not_move():
    net = drawn([cnet.Dense(5), cnet.BatchNormalization(), cnet.Dense(2)], 4)
    x, y = rows(12, 4), rows(12, 2)
    with Unchanged(net):
        net.predict(x)
        net.evaluate(x, y)
        net.backward(net.forward(x))
        net.zero_gradients()
        net.fit(x, y, epochs=0, verbose=0)
    before = only_buffers(net)
    net.compile(cnet.AdamW(learning_rate=0.1, weight_decay=0.5))
    net.apply_gradients()  # decays every parameter, and no buffer
    assert all(np.array_equal(net.buffers[k], v) for k, v in before.items())


def test_validation_data_are_normalised_by_the_moving_statistics():
    net = drawn([cnet.BatchNormalization(), cnet.Dense(2)], 4, optimizer="sgd")
    x, y = rows(20, 4), rows(20, 2)
    history = net.fit(x, y, batch_size=5, epochs=2, verbose=0, validation_data=(x, y))
    assert history["val_loss"][-1] == net.evaluate(x, y)["loss"]


def test_a_batch_that_fails_moves_nothing():
    net = drawn([cnet.Dense(3), cnet.BatchNormalization(), cnet.Dense(1)], 2, dtype="float32")
    x, y = rows(6, 2), rows(6, 1)
    net.train_on_batch(x, y)
    with Unchanged(net), refused(cnet.NonFiniteError, "batch_normalization_1"):
        net.train_on_batch(1e30 * x, y)  # the variance overflows


@each_kind
def test_an_overflowing_variance_is_not_a_silent_zero(kind):
    net = drawn([KINDS[kind]()], 3, dtype="float32")
    assert np.isnan(net.forward(1e30 * rows(4, 3), training=True)).all()


# ---- one row -----------------------------------------------------------------------------------


def test_a_batch_of_one_row_is_refused():
    net = drawn([cnet.Dense(3), cnet.BatchNormalization(), cnet.Dense(1)], 2)
    x, y = rows(9, 2), rows(9, 1)
    with Unchanged(net):
        with refused(cnet.ShapeError, "batch_normalization_1", "at least 2 rows"):
            net.train_on_batch(x[:1], y[:1])
        with refused(cnet.ShapeError, "batch_normalization_1", "at least 2 rows"):
            net.fit(x, y, batch_size=1, verbose=0)
        with refused(cnet.ShapeError, "batch_normalization_1", "at least 2 rows"):
            net.forward(x[:1], training=True)
        with refused(cnet.ShapeError, "batch_size=4", "one of 9 rows", "batch_size=5"):
            net.fit(x, y, batch_size=4, verbose=0)
        with refused(cnet.ShapeError, "one of 9 rows"):
            cnet.find_learning_rate(net, x, y, batch_size=4, steps=3)
        with refused(ValueError, "one row"):
            Batches(net.built.core, Source(x), Source(y), None, 4, "mse", 0.0, 0.0, True, False,
                    (), net.rule)  # fmt: skip
        with refused(ValueError, "one row"):
            net.built.core.forward(Source(x[:1]), 1, True)
    net.fit(x, y, batch_size=5, verbose=0)
    net.train_on_batch(x, y)
    with refused(cnet.ShapeError, "at least 2 rows"):
        net.train_on_batch(x[:1], y[:1])
    assert net.predict(x[:1]).shape == net.forward(x[:1]).shape == (1, 1)
    assert net.evaluate(x[:1], y[:1])["loss"] > 0
    net.forward(x[:0], training=True)


def test_a_refused_batch_size_leaves_the_network_unbuilt():
    net = cnet.Sequential([cnet.BatchNormalization(), cnet.Dense(1)], seed=1).compile()
    with refused(cnet.ShapeError, "batch_normalization_1"):
        net.fit(rows(9, 2), rows(9, 1), batch_size=4, verbose=0)
    assert not net.is_built


def test_the_proposed_batch_size_works():
    for count in range(2, 20):
        for size in range(1, count + 1):
            net = drawn([cnet.BatchNormalization()], 1)
            try:
                net.built.check_batches(count, size)
            except cnet.ShapeError as error:
                assert size == 1 or count % size == 1
                if size > 1:
                    better = int(str(error).split("use batch_size=")[1].split(",")[0])
                    net.built.check_batches(count, better)
            else:
                assert size > 1 and count % size != 1


def test_layer_normalization_takes_one_row():
    net = drawn([cnet.LayerNormalization(), cnet.Dense(1)], 3)
    net.fit(rows(5, 3), rows(5, 1), batch_size=2, verbose=0)
    net.train_on_batch(rows(1, 3), rows(1, 1))


# ---- weights, files, copies --------------------------------------------------------------------


def trained():
    layers = [
        cnet.Dense(6, use_bias=False), cnet.BatchNormalization(momentum=0.8, epsilon=1e-4),
        cnet.Activation("relu"), cnet.LayerNormalization(), cnet.Dense(3, "softmax"),
    ]  # fmt: skip
    net = cnet.Sequential(layers, seed=2).compile("adam", "sparse_categorical_crossentropy")
    x, y = classes()
    net.fit(x, y, epochs=2, batch_size=7, verbose=0)
    return net, x, y


def test_copies_and_files_go_on_to_the_same_bits(tmp_path):
    net, x, y = trained()
    cnet.save(net, tmp_path / "net")
    others = [cnet.load(tmp_path / "net"), pickle.loads(pickle.dumps(net)), copy.deepcopy(net)]
    net.fit(x, y, epochs=2, batch_size=7, verbose=0)
    for other in others:
        assert [v.tobytes() for v in other.buffers.values()] != [
            v.tobytes() for v in net.buffers.values()
        ]
        other.fit(x, y, epochs=2, batch_size=7, verbose=0)
        assert snapshot(other) == snapshot(net)
        assert other.predict(x).tobytes() == net.predict(x).tobytes()
        assert [v.tobytes() for v in other.buffers.values()] == [
            v.tobytes() for v in net.buffers.values()
        ]
    assert (others[0].layers[1].momentum, others[0].layers[1].epsilon) == (0.8, 1e-4)


def test_a_file_without_buffers_is_refused(tmp_path):
    safetensors = pytest.importorskip("safetensors.numpy")
    net, _, _ = trained()
    cnet.save(net, tmp_path / "net")
    arrays = safetensors.load_file(tmp_path / "net")
    name = "batch_normalization_1.moving_variance"
    assert np.array_equal(arrays[name], net.buffers[name])
    config, arrays = cnet.state.state_of(net)
    del arrays[name]
    with refused(cnet.FileFormatError, name):
        cnet.state.restore(config, arrays, cnet.Sequential, {})


def test_weights_have_the_buffers_at_their_end():
    net, x, y = trained()
    weights = net.get_weights()
    names = [*net.parameters, *net.buffers]
    assert len(weights) == len(names) and names[-1].endswith("moving_variance")
    expected = net.predict(x)
    net.fit(x, y, batch_size=7, verbose=0)
    assert not np.array_equal(net.predict(x), expected)
    with Unchanged(net), refused(cnet.ShapeError, names[-1]):
        net.set_weights(weights[:-1])
    with Unchanged(net), refused(cnet.ShapeError, names[-1], r"\(6,\)"):
        net.set_weights([*weights[:-1], np.ones(5)])
    net.set_weights(weights)
    assert np.array_equal(net.predict(x), expected)


# ---- threads -----------------------------------------------------------------------------------


def wide(kind, threads, columns, batch):
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((2 * batch, 20)), rng.standard_normal((2 * batch, 2))
    net = cnet.Sequential([cnet.Dense(columns, "tanh"), KINDS[kind](), cnet.Dense(2)], seed=5)
    net.compile("adam").fit(x, y, epochs=2, batch_size=batch, verbose=0, threads=threads)
    return net.predict(x, threads=threads).tobytes(), [w.tobytes() for w in net.get_weights()]


@pytest.mark.parametrize(("columns", "batch"), [(1100, 150), (130, 1200)])
@each_kind
def test_threads_change_no_bit(kind, columns, batch):
    alone = wide(kind, 1, columns, batch)
    for threads in (2, 3, 8):
        assert wide(kind, threads, columns, batch) == alone


def test_learning():
    """A deep narrow network with small weights learns what it does not learn without."""
    x, y = regression(60)
    losses = {}
    for kind in (None, *KINDS):
        layers = []
        for _ in range(6):
            norm = [KINDS[kind]()] if kind else []
            layers += [cnet.Dense(8, kernel_initializer=cnet.initializers.get("normal")), *norm,
                       cnet.Activation("tanh")]  # fmt: skip
        net = cnet.Sequential([*layers, cnet.Dense(2)], seed=1, dtype="float64")
        net.compile(cnet.Adam(learning_rate=0.01), "mse")
        losses[kind] = net.fit(x, y, epochs=60, batch_size=20, verbose=0)["loss"][-1]
    assert losses["batch"] < 0.5 * losses[None] and losses["layer"] < 0.5 * losses[None], losses
