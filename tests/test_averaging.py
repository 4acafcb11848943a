"""Averages of the weights: what they are, who sees them, and that training does not."""

import threading

import numpy as np
import pytest
from networks import NoStep, Unchanged, losses_of, refused, regression, rows, snapshot
from test_continuation import COPIES

import cnet

WAYS = {
    "ema": cnet.EMA(0.8),
    "ema_uncorrected": cnet.EMA(0.8, start=2, every=3, bias_correction=False),
    "swa": cnet.SWA(start=3, every=2, per="step"),
    "lookahead": cnet.Lookahead(k=3, alpha=0.4),
}
each_way = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
each_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])
FIT = {"batch_size": 8, "verbose": 0}  # 40 rows: 5 steps per epoch


def network(averaging=None, optimizer="adam", dtype="float64", layers=None):
    layers = layers or [cnet.Dense(5, "tanh"), cnet.Dense(2)]
    net = cnet.Sequential(layers, seed=7, dtype=dtype).build(4)
    return net.compile(optimizer, "mse", averaging=averaging)


def values(views):
    return np.concatenate([v.ravel() for v in views.values()]).astype(np.float64)


def reference(way, path):
    """Weights and average after every step, from the weights of a run without averages.

    Only for rules without a state, where look-ahead is the same run from elsewhere.
    """
    average, count, found = None, 0, []
    for step, weights in enumerate(path, 1):
        if step > way.start and (step - way.start) % way.every == 0:
            count += 1
            if isinstance(way, cnet.SWA):
                average = weights if count == 1 else average + (weights - average) / count
            elif way.bias_correction:
                # The definition: weights decay^(n - i), which add up to 1.
                taken = path[way.start + way.every - 1 : step : way.every]
                shares = way.decay ** np.arange(len(taken) - 1, -1, -1.0)
                average = (shares[:, None] * np.array(taken)).sum(0) / shares.sum()
            else:
                d = way.decay
                average = weights if count == 1 else d * average + (1 - d) * weights
        found.append(average)
    return found


@each_dtype
@pytest.mark.parametrize("name", ["ema", "ema_uncorrected", "swa"])
def test_averages_are_what_their_formulas_say(name, dtype):
    way = WAYS[name]
    net, plain = network(way, dtype=dtype), network(dtype=dtype)
    x, y = regression()
    path, averages = [], []
    for step in range(12):
        part = slice(step % 5 * 8, step % 5 * 8 + 8)
        net.train_on_batch(x[part], y[part])
        plain.train_on_batch(x[part], y[part])
        path.append(values(plain.parameters))
        averages.append(values(net.averages) if net.averages else None)
        assert np.array_equal(values(net.parameters), path[-1])  # training does not see them
    tolerance = 1e-6 if dtype == "float32" else 1e-14
    for found, expected in zip(averages, reference(way, path), strict=True):
        assert (found is None) == (expected is None)
        if found is not None:
            np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


@each_dtype
def test_lookahead_by_hand(dtype):
    """Slow weights by NumPy around plain steps; the optimizer's state goes on."""
    way, optimizer = cnet.Lookahead(k=3, alpha=0.4), cnet.SGD(0.1, momentum=0.9)
    net, plain = network(way, optimizer, dtype), network(None, optimizer, dtype)
    x, y = regression()
    slow = {name: v.copy() for name, v in plain.parameters.items()}
    for step in range(1, 11):
        net.train_on_batch(x, y)
        plain.train_on_batch(x, y)
        if step % 3 == 0:
            for name, fast in plain.parameters.items():
                slow[name] += np.asarray(0.4, dtype) * (fast - slow[name])
                fast[...] = slow[name]
        for name, fast in plain.parameters.items():
            tolerance = 1e-5 if dtype == "float32" else 1e-13
            np.testing.assert_allclose(net.parameters[name], fast, rtol=tolerance, atol=tolerance)
            if step >= 3:
                np.testing.assert_allclose(net.averages[name], slow[name], rtol=tolerance,
                                           atol=tolerance)  # fmt: skip


@each_way
def test_predictions_and_validation_are_made_with_the_average(way):
    x, y = regression()
    net = network(way)
    history = net.fit(x, y, epochs=3, validation_data=(x[:20], y[:20]), **FIT)
    other = network()
    for name, average in net.averages.items():
        other.parameters[name][...] = average
    expected = other.predict(x)
    assert np.array_equal(net.predict(x), expected)
    assert np.array_equal(net.predict(x[:1]), other.predict(x[:1]))
    assert net.evaluate(x[:20], y[:20]) == other.evaluate(x[:20], y[:20])
    assert history["val_loss"][-1] == net.evaluate(x[:20], y[:20])["loss"]
    assert all(np.array_equal(a, b) for a, b in
               zip(net.get_weights(), other.get_weights(), strict=True))  # fmt: skip
    for name, values_ in net.parameters.items():
        other.parameters[name][...] = values_
    assert np.array_equal(net.forward(x), other.predict(x))  # by hand, it is what is trained
    if not isinstance(way, cnet.Lookahead):
        assert not np.array_equal(net.forward(x), expected)


@each_way
def test_asking_changes_no_bit_of_what_follows(way):
    x, y = regression()
    quiet, asked = network(way), network(way)
    quiet.fit(x, y, epochs=4, **FIT)
    for _ in range(4):
        asked.fit(x, y, validation_data=(x, y), **FIT)
        asked.predict(x)
        asked.evaluate(x, y)
    assert snapshot(quiet) == snapshot(asked)
    assert np.array_equal(quiet.predict(x), asked.predict(x))


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
@each_way
def test_a_copy_goes_on_to_the_same_bits(way, copied, tmp_path):
    x, y = regression()
    whole, net = network(way), network(way)
    history = whole.fit(x, y, epochs=4, validation_data=(x, y), **FIT)
    net.fit(x[:16], y[:16], epochs=0, **FIT)
    net.fit(x, y, epochs=2, **FIT)
    other = copied(net, tmp_path)
    assert np.array_equal(net.predict(x), other.predict(x))
    later = other.fit(x, y, epochs=2, validation_data=(x, y), **FIT)
    assert later["val_loss"] == history["val_loss"][2:]
    assert snapshot(other) == snapshot(whole)
    assert np.array_equal(other.predict(x), whole.predict(x))


def test_swa_counts_epochs():
    x, y = regression()
    net, plain = network(cnet.SWA(start=1, every=2)), network()
    ends = []
    for epoch in range(1, 6):
        net.fit(x, y, **FIT)
        plain.fit(x, y, **FIT)
        ends.append(values(plain.parameters))
        expected = {1: None, 2: None, 3: ends[2:3], 4: ends[2:3], 5: ends[2:5:2]}[epoch]
        assert bool(net.averages) == (expected is not None)
        if expected is not None:
            np.testing.assert_allclose(values(net.averages), np.mean(expected, 0), rtol=1e-14)
    with Unchanged(net), refused(ValueError, "SWA counts epochs", "per='step'"):
        net.train_on_batch(x, y)
    with Unchanged(net), refused(ValueError, "SWA counts epochs"):
        net.apply_gradients()


@each_way
def test_any_number_of_threads_gives_the_same_bits(way):
    x, y = regression(48, 4, 400, "float32")
    layers = [cnet.Dense(800, "tanh"), cnet.Dense(400)]
    found = []
    for threads in (1, 2, 3):
        net = network(way, "sgd", "float32", layers)
        net.fit(x, y, epochs=2, threads=threads, **FIT)
        found.append((snapshot(net), values(net.averages).tobytes()))
    assert found[0] == found[1] == found[2]


def test_set_weights_and_compile():
    x, y = regression()
    net = network(cnet.EMA(0.9))
    net.fit(x, y, epochs=2, **FIT)
    kept = net.get_weights()
    before = net.predict(x)
    net.fit(x, y, epochs=2, **FIT)
    net.set_weights(kept)
    assert np.array_equal(net.predict(x), before) and not net.averages
    net.train_on_batch(x, y)
    assert np.array_equal(values(net.averages), values(net.parameters))  # begun afresh
    net.fit(x, y, **FIT)
    shown = net.predict(x)
    net.compile("sgd", "mse")
    assert np.array_equal(net.predict(x), shown) and not net.averages


def test_early_stopping_brings_the_best_averages_back():
    x, y = regression()
    net = network(cnet.EMA(0.9), cnet.Adam(0.05))
    stop = cnet.EarlyStopping(patience=2)
    history = net.fit(x, y, epochs=40, validation_data=(x[:10], -y[:10]), callbacks=[stop], **FIT)
    assert history.stopped
    assert net.evaluate(x[:10], -y[:10])["loss"] == min(losses_of(history)[len(history):])


def test_penalties_are_of_the_weights_that_predict():
    x, y = regression()
    net = network(cnet.EMA(0.9), layers=[cnet.Dense(2, kernel_regularizer="l2")])
    net.fit(x, y, epochs=3, **FIT)
    error = float(np.mean((net.predict(x) - y) ** 2))
    cost = 0.01 * float(np.sum(net.averages["dense_1.weight"] ** 2))
    assert net.evaluate(x, y)["loss"] == pytest.approx(error + cost, rel=1e-12)


def test_frozen_layers_and_groups_are_averaged_too():
    x, y = regression()
    net = network(cnet.SWA(start=0, per="step"))
    net.freeze("dense_1")
    net.fit(x, y, **FIT)
    assert np.array_equal(net.averages["dense_1.weight"], net.parameters["dense_1.weight"])
    assert not np.array_equal(net.averages["dense_2.weight"], net.parameters["dense_2.weight"])


def test_a_batch_that_is_not_finite_changes_no_average():
    x, y = regression()
    net = network(cnet.EMA(0.9))
    net.fit(x, y, **FIT)
    before = net.get_weights()
    with pytest.raises(cnet.NonFiniteError):
        net.fit(x, np.full_like(y, 1e300), **FIT)
    assert all(np.array_equal(a, b) for a, b in zip(before, net.get_weights(), strict=True))


def test_predicting_while_another_thread_trains():
    """Finite numbers of the right shape, from averages that move."""
    net, (x, y) = network(cnet.EMA(0.9)), regression()
    net.fit(x, y, **FIT)
    worker = threading.Thread(target=lambda: net.fit(x, y, epochs=200, **FIT))
    worker.start()
    while worker.is_alive():
        assert np.isfinite(net.predict(x)).all()
    worker.join()


def test_batch_normalisation_keeps_its_statistics():
    x, y = regression()
    layers = [cnet.Dense(5), cnet.BatchNormalization(), cnet.Dense(2)]
    net, plain = network(cnet.EMA(0.9), layers=layers), network(layers=layers)
    for one in (net, plain):
        one.fit(x, y, epochs=2, **FIT)
    assert snapshot(net) == snapshot(plain)
    assert not np.array_equal(net.predict(x), plain.predict(x))


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: cnet.EMA(1.0), ValueError, ["decay", "below 1"]),
        (lambda: cnet.EMA(0.0), ValueError, ["decay", "above 0"]),
        (lambda: cnet.EMA(every=0), ValueError, ["every"]),
        (lambda: cnet.EMA(start=-1), ValueError, ["start"]),
        (lambda: cnet.EMA(bias_correction=1), TypeError, ["bias_correction"]),
        (lambda: cnet.SWA(), TypeError, ["start"]),
        (lambda: cnet.SWA(2.5), TypeError, ["start", "integer"]),
        (lambda: cnet.SWA(1, per="batch"), ValueError, ["'batch'", "epoch, step"]),
        (lambda: cnet.Lookahead(k=0), ValueError, ["k must"]),
        (lambda: cnet.Lookahead(alpha=1.5), ValueError, ["alpha"]),
        (lambda: network("ema"), TypeError, ["averaging", "cnet.EMA", "'ema'"]),
        (lambda: network(cnet.EMA), TypeError, ["averaging"]),
    ],
)
def test_wrong_settings(make, error, words):
    with refused(error, *words):
        make()


def test_an_average_must_fit():
    core = network().built.core
    for wrong in (rows(3, 1)[:, 0], np.zeros(core.parameters.shape, "float32")):
        with pytest.raises(ValueError, match="average must be float64"):
            core.hold_average(wrong)


@each_way
def test_a_step_that_is_taken_back_was_never_averaged(way):
    """The very first step overflows: there is no average yet to predict with."""
    net, (x, y) = network(way, cnet.SGD(learning_rate=1.0), "float32"), regression()
    expected = net.predict(x)
    net.learning_rate = 3e38
    with NoStep(net), refused(cnet.NonFiniteError, "learning rate"):
        net.fit(1e3 * x, 1e3 * y, batch_size=None, verbose=0)
    assert not net.averages
    assert np.array_equal(net.predict(x), expected)


@each_way
@pytest.mark.parametrize("other", [None, cnet.EMA(0.5)])
def test_a_rule_that_is_replaced_keeps_its_memory(way, other):
    """Whoever still steps by it moves no average that predictions are made with."""
    net, (x, y) = network(way), regression()
    rule = net.rule
    net.compile("sgd", "mse", averaging=other)
    assert net.rule is not rule
    for _ in range(6):
        rule.apply()
    assert not net.averages and np.array_equal(net.predict(x), net.forward(x))
    net.train_on_batch(x, y)
