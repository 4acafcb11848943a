"""The same seed gives the same bits, and nothing that interrupts a run changes what follows."""

import copy
import pickle

import numpy as np
import pytest
from networks import classes, classifier, losses_of, regression, regressor, rows, snapshot

import cnet
from cnet._core import kernels

OPTIMIZERS = {
    "sgd": cnet.SGD(learning_rate=0.05),
    "momentum": cnet.SGD(learning_rate=0.02, momentum=0.9),
    "nesterov": cnet.SGD(learning_rate=0.02, momentum=0.9, nesterov=True, weight_decay=0.01),
    "adagrad": cnet.AdaGrad(learning_rate=0.05, learning_rate_decay=0.01, initial_accumulator=0.1),
    "adadelta": cnet.AdaDelta(epsilon=1e-3),
    "rmsprop": cnet.RMSprop(),
    "rmsprop_centered": cnet.RMSprop(centered=True),
    "rmsprop_momentum": cnet.RMSprop(momentum=0.5),
    "rmsprop_full": cnet.RMSprop(centered=True, momentum=0.5),
    "adam": cnet.Adam(),
    "adamw": cnet.AdamW(),
    "amsgrad": cnet.AMSGrad(),
    "adamax": cnet.Adamax(),
    "nadam": cnet.Nadam(),
    "lion": cnet.Lion(weight_decay=0.01),
    "rprop": cnet.Rprop(),
    "muon": cnet.Muon(),
    "schedule_free_adamw": cnet.ScheduleFreeAdamW(warmup_steps=4, weight_decay=0.01),
}
each_optimizer = pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
each_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])
FIT = {"batch_size": 16, "verbose": 0}


def saved_and_loaded(net, folder):
    cnet.save(net, folder / "network.cnet")
    return cnet.load(folder / "network.cnet")


COPIES = {
    "file": saved_and_loaded,
    "pickle": lambda net, _: pickle.loads(pickle.dumps(net)),
    "deepcopy": lambda net, _: copy.deepcopy(net),
    "copy": lambda net, _: copy.copy(net),
}
each_copy = pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)


def test_the_list_above_has_every_rule():
    assert {optimizer.rule for optimizer in OPTIMIZERS.values()} == set(kernels.OPTIMIZERS)


@each_dtype
@pytest.mark.parametrize("shuffle", [True, False])
def test_same_seed_same_bits(dtype, shuffle):
    x, y = regression()
    first, second = (regressor("adam", dtype=dtype) for _ in range(2))
    histories = [net.fit(x, y, epochs=4, shuffle=shuffle, **FIT) for net in (first, second)]
    assert losses_of(histories[0]) == losses_of(histories[1])
    assert snapshot(first) == snapshot(second)
    assert first.predict(x).tobytes() == second.predict(x).tobytes()


def test_another_seed_gives_other_weights_and_another_order():
    x, y = regression()
    one, two = regressor(seed=1).build(4), regressor(seed=2).build(4)
    assert not np.array_equal(one.parameters["dense_1.weight"], two.parameters["dense_1.weight"])
    two.set_weights(one.get_weights())
    one.fit(x, y, **FIT)
    two.fit(x, y, **FIT)
    assert snapshot(one) != snapshot(two)  # the same start; only the order of the rows differs


def test_an_unnamed_seed_is_drawn_and_kept():
    one, two = (cnet.Sequential([cnet.Dense(3, inputs=2)]) for _ in range(2))
    assert one.seed != two.seed
    again = cnet.Sequential([cnet.Dense(3, inputs=2)], seed=one.seed)
    assert snapshot(again) == snapshot(one)


def test_the_largest_seed_is_one_of_its_own():
    nets = [cnet.Sequential([cnet.Dense(3, inputs=2)], seed=s) for s in (2**64 - 1, 2**32 - 1, 0)]
    assert len({net.parameters["dense_1.weight"].tobytes() for net in nets}) == 3


def test_what_numpys_global_generator_does_is_no_matter():
    x, y = regression()
    first, second = regressor(), regressor()
    np.random.seed(1)
    first.fit(x, y, **FIT)
    state = np.random.get_state()[1].copy()
    second.fit(x, y, **FIT)
    assert snapshot(first) == snapshot(second)
    assert np.array_equal(state, np.random.get_state()[1])


@each_optimizer
def test_two_runs_are_one(optimizer):
    x, y = regression()
    whole, parts = regressor(optimizer), regressor(optimizer)
    history = whole.fit(x, y, epochs=5, **FIT)
    first = parts.fit(x, y, epochs=2, **FIT)
    second = parts.fit(x, y, epochs=3, **FIT)
    assert losses_of(first) + losses_of(second) == losses_of(history)
    assert snapshot(parts) == snapshot(whole)


@each_copy
@each_optimizer
def test_a_copy_goes_on_to_the_same_bits(optimizer, copied, tmp_path):
    x, y = regression()
    whole, net = regressor(optimizer), regressor(optimizer)
    history = whole.fit(x, y, epochs=5, **FIT)
    net.fit(x, y, epochs=2, **FIT)
    other = copied(net, tmp_path)
    before = snapshot(net)
    assert snapshot(other) == before
    assert losses_of(other.fit(x, y, epochs=3, **FIT)) == losses_of(history)[2:]
    assert snapshot(other) == snapshot(whole)
    assert snapshot(net) == before  # the copy shares no memory with it


@each_copy
def test_a_copy_of_a_classifier_in_float32_goes_on_to_the_same_bits(copied, tmp_path):
    x, labels = classes()
    images = np.round(40 * x + 128).clip(0, 255).astype(np.uint8)
    net = classifier(dtype="float32", scale=1 / 255)
    net.fit(images, labels, **FIT)
    other = copied(net, tmp_path)
    assert (other.scale, other.seed, other.dtype) == (net.scale, net.seed, net.dtype)
    settings = {"epochs": 2, "validation_split": 0.25} | FIT
    histories = [each.fit(images, labels, **settings) for each in (net, other)]
    for key in ("loss", "accuracy", "val_loss", "val_accuracy"):
        assert histories[0][key] == histories[1][key]
    assert snapshot(net) == snapshot(other)


@each_copy
def test_a_copy_of_an_uncompiled_network_predicts_the_same(copied, tmp_path):
    net = cnet.Sequential([cnet.Dense(3, "gelu"), cnet.Dense(2, use_bias=False)], seed=1).build(4)
    other = copied(net, tmp_path)
    assert not other.is_compiled
    assert other.predict(rows(9, 4)).tobytes() == net.predict(rows(9, 4)).tobytes()


@pytest.mark.parametrize("name", ["pickle", "deepcopy", "copy"])
def test_a_copy_of_an_unbuilt_network_trains_the_same(name, tmp_path):
    x, y = regression()
    net = regressor("adam")
    other = COPIES[name](net, tmp_path)
    assert not other.is_built and other.is_compiled
    net.fit(x, y, **FIT)
    other.fit(x, y, **FIT)
    assert snapshot(net) == snapshot(other)


@pytest.mark.parametrize("name", ["pickle", "deepcopy", "copy"])
def test_a_copy_keeps_its_own_history(name, tmp_path):
    x, y = regression()
    net = regressor()
    history = net.fit(x, y, epochs=3, **FIT)
    history.interrupted = True
    other = COPIES[name](net, tmp_path)
    assert other.history.rows == history.rows
    assert other.history.interrupted
    other.history.add({"loss": 0.0})
    assert len(net.history) == 3
    other.fit(x, y, **FIT)
    assert net.history is history


def test_histories_can_be_copied_alone():
    x, y = regression()
    history = regressor().fit(x, y, epochs=3, **FIT)
    for other in (copy.deepcopy(history), pickle.loads(pickle.dumps(history))):
        assert other.rows == history.rows and other is not history


def test_layers_and_optimizers_may_serve_several_networks():
    x, y = regression()
    layers, optimizer = [cnet.Dense(5, "tanh"), cnet.Dense(2)], cnet.Adam()
    nets = [cnet.Sequential(layers, seed=7, dtype="float64").compile(optimizer) for _ in range(2)]
    nets[0].fit(x, y, epochs=3, **FIT)
    nets[1].fit(x, y, epochs=3, **FIT)
    assert snapshot(nets[0]) == snapshot(nets[1])


def test_compiling_again_starts_the_optimizer_afresh_and_keeps_the_weights():
    x, y = regression()
    net, fresh = regressor("adam"), regressor("adam").build(4)
    net.fit(x, y, epochs=2, **FIT)
    weights = net.get_weights()
    net.compile("adam", "mse")
    assert all(np.array_equal(a, b) for a, b in zip(weights, net.get_weights(), strict=True))
    fresh.set_weights(weights)
    net.train_on_batch(x, y)
    fresh.train_on_batch(x, y)
    assert net.rule.running[0] == 1
    assert snapshot(net) == snapshot(fresh) | {"passes": b"2"}


@each_dtype
def test_predictions_do_not_depend_on_how_rows_are_grouped(dtype):
    net = regressor(dtype=dtype).build(4)
    x = rows(600, 4, dtype)
    whole = net.predict(x)
    pieces = np.concatenate([net.predict(x[:1]), net.predict(x[1:258]), net.predict(x[258:])])
    tolerance = 1e-6 if dtype == "float32" else 1e-14
    np.testing.assert_allclose(pieces, whole, rtol=tolerance, atol=tolerance)


def test_train_on_batch_is_what_fit_does():
    x, y = regression(n=32)
    fitted, stepped = regressor("adam"), regressor("adam")
    fitted.fit(x, y, epochs=2, batch_size=16, shuffle=False, verbose=0)
    for _ in range(2):
        for part in (slice(16), slice(16, None)):
            stepped.train_on_batch(x[part], y[part])
    expected = snapshot(fitted)
    got = snapshot(stepped)
    del expected["passes"], got["passes"]  # these count fit's rounds
    assert got == expected
