"""Schedule-free AdamW: gradients at y, everything else at x, and nobody has to switch."""

import copy

import numpy as np
import pytest
from networks import classes, regression, regressor, snapshot

import cnet

each_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])
OPTIMIZER = cnet.ScheduleFreeAdamW(
    learning_rate=0.05, beta_1=0.8, beta_2=0.95, warmup_steps=3, weight_decay=0.02
)


def made(dtype="float64", optimizer=OPTIMIZER, **settings):
    return regressor(optimizer, dtype=dtype, **settings).build(4)


def by_the_paper(x, y, steps: int) -> list[tuple[float, np.ndarray]]:
    """(loss at y, parameters x) of each step on the whole set; gradients by another network."""
    o, net = OPTIMIZER, made(optimizer=cnet.SGD(learning_rate=0.0))
    core = net.built.core
    mean, last = core.parameters.copy(), core.parameters.copy()
    squares, total, found = np.zeros_like(mean), 0.0, []
    for t in range(1, steps + 1):
        point = core.parameters[:] = (1 - o.beta_1) * last + o.beta_1 * mean
        loss = net.train_on_batch(x, y)["loss"]
        squares = o.beta_2 * squares + (1 - o.beta_2) * core.gradients**2
        rate = o.learning_rate * min(1, t / o.warmup_steps)
        move = core.gradients / (np.sqrt(squares / (1 - o.beta_2**t)) + o.epsilon)
        last = last - rate * (move + o.weight_decay * point)
        total += rate**2
        mean = mean + rate**2 / total * (last - mean)
        found.append((loss, mean.copy()))
    return found


def test_training_is_at_y_and_everything_else_at_x():
    x, y = regression()
    net = made()
    for loss, parameters in by_the_paper(x, y, 8):
        assert net.train_on_batch(x, y)["loss"] == pytest.approx(loss, rel=1e-12)
        np.testing.assert_allclose(net.built.core.parameters, parameters, rtol=1e-11, atol=1e-13)
    other = made(optimizer="sgd")
    other.set_weights(net.get_weights())
    assert net.evaluate(x, y) == other.evaluate(x, y)
    assert net.predict(x).tobytes() == other.predict(x).tobytes()
    assert loss != net.evaluate(x, y)["loss"]


@each_dtype
@pytest.mark.parametrize("threads", [1, 2])
def test_the_way_there_and_back_costs_no_bit(dtype, threads):
    """However many steps the loop does at a time: each change of place is without rounding."""
    x, y = regression(n=75, dtype=dtype)
    fitted, stepped = made(dtype), made(dtype)
    fitted.fit(x, y, epochs=8, batch_size=25, shuffle=False, verbose=0, threads=threads)
    for part in 8 * [slice(25), slice(25, 50), slice(50, 75)]:
        stepped.train_on_batch(x[part], y[part])
    assert snapshot(fitted) | {"passes": b"0"} == snapshot(stepped)


@each_dtype
def test_large_parameters_keep_their_bits_with_threads(dtype):
    """Shared among threads, in parts, with vector bodies and tails of all kinds."""
    x = np.random.default_rng(0).normal(size=(3, 601)).astype(dtype)
    nets = []
    for threads, steps in ((1, 1), (2, 1), (1, 4)):
        net = cnet.Sequential([cnet.Dense(499, inputs=601)], seed=1, dtype=dtype)
        net.compile(OPTIMIZER, "mse")
        for _ in range(4 // steps):
            net.fit(x, x[:, :499], epochs=steps, verbose=0, shuffle=False, threads=threads)
        nets.append(snapshot(net) | {"passes": b""})
    assert nets[0] == nets[1] == nets[2]


def test_callbacks_and_validation_have_x():
    x, y = regression()
    net, seen, stepped = made(), [], made()

    class Watch(cnet.callbacks.Callback):
        every = 1

        def on_batch_end(self, run):
            seen.append(run.network.built.core.parameters.copy())

    history = net.fit(
        x, y, epochs=5, batch_size=None, shuffle=False, verbose=0, callbacks=[Watch()],
        validation_data=(x, y),
    )  # fmt: skip
    for parameters, loss in zip(seen, history["val_loss"], strict=True):
        stepped.train_on_batch(x, y)
        np.testing.assert_array_equal(parameters, stepped.built.core.parameters)
        assert stepped.evaluate(x, y)["loss"] == loss


@each_dtype
def test_by_hand_is_what_train_on_batch_does(dtype):
    x, y = regression(dtype=dtype)
    trained, net = made(dtype), made(dtype)
    loss = cnet.losses.get("mse")
    for _ in range(4):
        before = net.get_weights()
        outputs = net.forward(x, training=True)
        net.zero_gradients()
        net.backward(loss.gradient(outputs, y))
        assert all(map(np.array_equal, before, net.get_weights()))
        net.apply_gradients()
        trained.train_on_batch(x, y)
    tolerance = {"float32": 1e-4, "float64": 1e-11}[dtype]
    for name, values in trained.parameters.items():
        np.testing.assert_allclose(net.parameters[name], values, tolerance, tolerance)


def test_frozen_layers_stay_while_training_too():
    x, y = regression()
    net = made()
    net.fit(x, y, epochs=2, verbose=0)
    net.freeze("dense_1")
    before = snapshot(net)
    mixed = made(optimizer=cnet.SGD(learning_rate=0.0))
    mixed.set_weights(net.get_weights())
    with net.rule:
        mixed.parameters["dense_2.weight"][:] = net.parameters["dense_2.weight"]
        mixed.parameters["dense_2.bias"][:] = net.parameters["dense_2.bias"]
    assert snapshot(net) | {"x": b""} == before | {"x": b""}
    assert net.train_on_batch(x, y)["loss"] == mixed.train_on_batch(x, y)["loss"]
    after = snapshot(net)
    changed = {name for name in after if after[name] != before[name]}
    assert changed and not any("dense_1" in name for name in changed)
    net.unfreeze()
    net.train_on_batch(x, y)
    assert snapshot(net)["dense_1.weight"] != before["dense_1.weight"]


def test_a_layer_frozen_from_the_start_begins_where_it_is():
    x, y = regression()
    net = made()
    net.freeze("dense_1")
    net.fit(x, y, epochs=3, verbose=0)
    net.unfreeze()
    before = net.parameters["dense_1.weight"].copy()
    net.train_on_batch(x, y)
    moved = np.abs(net.parameters["dense_1.weight"] - before)
    assert 0 < moved.max() < 0.5 * np.abs(before).max()


def test_a_batch_whose_loss_is_not_finite_changes_nothing():
    x, y = regression()
    net = made()
    net.fit(x, y, epochs=2, verbose=0)
    huge = copy.deepcopy(net)
    huge.parameters["dense_2.bias"][:] = 1e200
    before = snapshot(huge)
    with pytest.raises(cnet.NonFiniteError):
        huge.train_on_batch(x, y)
    after = snapshot(huge)
    assert all(after[n] == before[n] for n in before if n in huge.parameters)
    assert after["steps"] == before["steps"]


def test_it_learns_without_a_schedule():
    x, labels = classes(n=300)
    layers = [cnet.Dense(16, "relu"), cnet.Dense(3, "softmax")]
    net = cnet.Sequential(layers, seed=1, dtype="float32")
    optimizer = cnet.ScheduleFreeAdamW(learning_rate=0.02)
    net.compile(optimizer, "sparse_categorical_crossentropy", ["accuracy"])
    net.fit(x, labels, epochs=60, verbose=0)
    assert net.evaluate(x, labels)["accuracy"] > 0.97
