"""Runs that leave the finite numbers: where, what and why is said, and what there is stays."""

import re

import numpy as np
import pytest
from networks import (
    NoStep,
    Unchanged,
    classes,
    classifier,
    linear,
    refused,
    regression,
    regressor,
    rows,
    snapshot,
)

import cnet

FIT = {"batch_size": 8, "shuffle": False, "verbose": 0}


def finite(net) -> bool:
    return all(np.isfinite(values).all() for values in net.parameters.values())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("optimizer", [cnet.SGD, cnet.AdaDelta, cnet.Adam])
def test_a_learning_rate_that_is_far_too_large(dtype, optimizer):
    rate = 1e25 if dtype == "float32" else 1e200
    net = regressor(optimizer(learning_rate=rate), dtype=dtype)
    words = (r"epoch \d+, batch \d+", "learning rate", re.escape(f"{rate:g}"), "try a tenth")
    with refused(cnet.NonFiniteError, *words):
        net.fit(*regression(), epochs=100, **FIT)


def test_the_message_says_in_which_epoch_and_batch():
    """Every step multiplies the error by -9, until its square overflows."""
    net = linear(1, 1, learning_rate=5.0)
    net.set_weights([[[0.0]], [0.0]])
    x, y = np.zeros((10, 1)), np.ones((10, 1))
    steps = next(k for k in range(1000) if 9 ** (2 * k) > int(np.finfo("float64").max))
    epoch, batch = divmod(steps, 5)
    with refused(cnet.NonFiniteError, f"epoch {epoch + 1}, batch {batch + 1}: "):
        net.fit(x, y, epochs=100, batch_size=2, verbose=0)
    assert net.rule.running[0] == steps
    assert len(net.history) == epoch


def test_what_was_trained_stays():
    net = linear(1, 1, learning_rate=5.0)
    before = net.history
    with pytest.raises(cnet.NonFiniteError):
        net.fit(np.ones((10, 1)), np.ones((10, 1)), epochs=1000, batch_size=2, verbose=0)
    history = net.history
    assert history is not before and len(history) > 1
    assert np.isfinite(history["loss"]).all() and not history.interrupted
    assert history["loss"][-1] > history["loss"][0]


def test_the_batch_that_overflows_changes_nothing():
    """The loss overflows in the second batch, whose rows are huge; it leaves no trace."""
    x, y = rows(16, 4), rows(16, 2)
    x[8:] *= 1e200
    net, other = linear(4, 2), linear(4, 2)
    with refused(cnet.NonFiniteError, "epoch 1, batch 2", "The batch changed nothing"):
        net.fit(x, y, **FIT)
    other.train_on_batch(x[:8], y[:8])
    assert snapshot(net) | {"passes": b""} == snapshot(other) | {"passes": b""}
    assert finite(net)


def test_inputs_that_make_a_layer_overflow():
    x, y = rows(20, 4), rows(20, 2)
    x[13] = 1e308
    net = cnet.Sequential([cnet.Dense(5, name="first"), cnet.Dense(2)], seed=7, dtype="float64")
    net.build(4).parameters["first.weight"][:] = 1
    net.compile("sgd", "mse")
    words = ("epoch 1, batch 2", r"first \(Dense, linear\)", "row 5 of the batch", "scale")
    with refused(cnet.NonFiniteError, *words):
        net.fit(x, y, **FIT)


def test_rows_of_a_large_batch_are_counted_from_its_first():
    x, y = rows(3000, 4), rows(3000, 2)
    x[2500] = 1e308
    net = linear(4, 2)
    net.parameters["dense_1.weight"][:] = 1
    with refused(cnet.NonFiniteError, "epoch 1, batch 1", "row 2500 of the batch"):
        net.fit(x, y, batch_size=None, shuffle=False, verbose=0)


@pytest.mark.parametrize("scale", [1.0, 100.0, -100.0, 1e-3])
@pytest.mark.parametrize("sign", [1, -1])
def test_inputs_beyond_the_range_of_float32(scale, sign):
    """Found before training: behind tanh the loss would stay finite while gradients did not."""
    x, y = rows(20, 4), rows(20, 2)
    net = regressor(dtype="float32", scale=scale).build(4)
    x[9, 3] = sign * 3.4e38 / max(abs(scale), 1)
    net.predict(x)
    x[9, 3] *= 1.01
    words = ("x holds -?3.434e", "infinite in float32", "row 9, column 3", "dtype='float64'")
    with Unchanged(net), refused(cnet.NonFiniteError, *words):
        net.fit(x, y, **FIT)


def test_whole_numbers_that_their_scale_makes_infinite():
    x, y = np.full((20, 4), 10**18), rows(20, 2)
    net = regressor(dtype="float32", scale=1e30)
    words = ("epoch 1, batch 1", "x is finite, but not in float32", "row 0 of the batch")
    with refused(cnet.NonFiniteError, *words):
        net.fit(x, y, **FIT)
    assert finite(net)


def test_targets_that_are_far_too_large():
    x, y = regression()
    with refused(cnet.NonFiniteError, "the loss is inf", "'mse'", "the size of x, y"):
        regressor().fit(x, 1e200 * y, **FIT)


def test_parameters_that_were_not_finite_before():
    net = regressor().build(4)
    net.parameters["dense_2.weight"][3, 1] = np.nan
    with refused(cnet.NonFiniteError, "epoch 1, batch 1: dense_2.weight is not finite"):
        net.fit(*regression(), **FIT)
    net.parameters["dense_2.weight"][3, 1] = 0
    net.fit(*regression(), **FIT)


def test_the_last_step_of_all_is_looked_at_too():
    """No loss follows it that would tell."""
    net = linear(1, 1, learning_rate=1e308)
    x, y = np.full((4, 1), 1e10), np.ones((4, 1))
    with NoStep(net), refused(cnet.NonFiniteError, "parameters", "infinite", "learning rate"):
        net.fit(x, y, batch_size=None, verbose=0)


def test_one_batch_by_hand():
    net = linear(4, 2)
    with refused(cnet.NonFiniteError, "batch 1"):
        net.train_on_batch(1e200 * rows(8, 4), rows(8, 2))
    assert finite(net) and net.rule.running[0] == 0


def test_a_network_that_diverged_can_be_brought_back():
    x, y = regression()
    net = regressor(cnet.SGD(learning_rate=1e100)).build(4)
    weights = net.get_weights()
    with pytest.raises(cnet.NonFiniteError):
        net.fit(x, y, epochs=10, **FIT)
    net.set_weights(weights)
    net.compile(cnet.SGD(learning_rate=0.01), "mse")
    history = net.fit(x, y, epochs=10, **FIT)
    assert history["loss"][-1] < history["loss"][0]


def test_validation_that_is_not_finite_does_not_end_training():
    x, y = regression()
    net = linear(4, 2)
    history = net.fit(x, y, epochs=2, validation_data=(1e200 * x, y), **FIT)
    assert history["val_loss"] == [np.inf, np.inf] and len(history) == 2


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_classifier_stays_finite_however_sure_it_is(dtype):
    """The merged loss takes logits: nothing overflows, and no logarithm of zero is taken."""
    x, labels = classes()
    net = classifier(dtype=dtype).build(4)
    net.fit(1e4 * x, labels, epochs=20, verbose=0)
    p = net.predict(1e4 * x)
    assert np.isfinite(p).all() and (p == 0).any()
    assert finite(net)
