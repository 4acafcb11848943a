"""Learning rates and weight decay of single layers and parameters."""

import copy
import pickle

import numpy as np
import pytest
from networks import Unchanged, refused, snapshot
from test_continuation import COPIES, OPTIMIZERS

import cnet
from cnet._core.rules import Rule

NAMES = ["dense_1.weight", "dense_1.bias", "middle.weight", "middle.bias", "dense_3.weight"]
each_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])
each_optimizer = pytest.mark.parametrize(
    "optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS.keys()
)


def network(optimizer="sgd", groups=None, dtype="float64", sizes=(6, 5, 2)):
    layers = [cnet.Dense(sizes[0], "tanh"), cnet.Dense(sizes[1], "tanh", name="middle"),
              cnet.Dense(sizes[2], use_bias=False)]  # fmt: skip
    net = cnet.Sequential(layers, seed=1, dtype=dtype).build(4)
    return net.compile(optimizer, "mse", groups=groups)


def data(rows=48, outputs=2):
    rng = np.random.default_rng(0)
    return rng.standard_normal((rows, 4)), rng.standard_normal((rows, outputs))


def given(net, steps=3, seed=3):
    """Steps with the same gradients for every network: what one layer does, no other feels."""
    rng = np.random.default_rng(seed)
    for _ in range(steps):
        for gradient in net.gradients.values():
            gradient[...] = rng.standard_normal(gradient.shape)
        net.apply_gradients()
    return net


def moved(net):
    start = network(dtype=net.dtype).parameters
    return {name: values - start[name] for name, values in net.parameters.items()}


@each_dtype
@each_optimizer
def test_a_group_steps_as_an_optimizer_with_its_settings(optimizer, dtype):
    """To the bit, for every rule: its products go on once per step, whatever groups there are."""
    factor, decay = 0.5, 0.03  # a half, so that the product is the same number
    sizes = (16, 32, 16)  # whole vectors: the last few elements of a loop may be rounded otherwise
    net = given(network(optimizer, {
        "middle": cnet.Group(factor, decay),
        "dense_1.bias": {"weight_decay": 0.07},
    }, dtype, sizes))  # fmt: skip
    own = {
        "middle": optimizer.replace(
            learning_rate=optimizer.learning_rate * factor, weight_decay=decay
        ),
        "dense_1.bias": optimizer.replace(weight_decay=0.07),
    }
    plain = given(network(optimizer, dtype=dtype, sizes=sizes))
    for name in NAMES:
        other = own.get(name, own.get(name.split(".")[0]))
        expected = plain if other is None else given(network(other, None, dtype, sizes))
        assert np.array_equal(net.parameters[name], expected.parameters[name]), name
    assert np.array_equal(net.rule.running, plain.rule.running)
    assert not np.array_equal(net.parameters["middle.weight"], plain.parameters["middle.weight"])


def test_the_factor_multiplies_what_a_schedule_says():
    rates = cnet.schedules.Exponential(0.1, 0.5)
    net, plain = network(cnet.SGD(rates), {"middle": {"learning_rate_factor": 0.25}}), network(
        cnet.SGD(rates)
    )
    net.fit(*data(), batch_size=48, verbose=0)
    plain.fit(*data(), batch_size=48, verbose=0)
    for name, step in moved(plain).items():
        expected = step * (0.25 if name.startswith("middle") else 1.0)
        np.testing.assert_allclose(moved(net)[name], expected, rtol=1e-9)
    assert net.learning_rate == plain.learning_rate == 0.1
    given(net, 1), given(plain, 1)
    net.learning_rate = 0.2
    before = net.get_weights()
    for gradient in net.gradients.values():
        gradient[...] = 1.0
    net.apply_gradients()
    steps = dict(zip(NAMES, (b - a for b, a in zip(before, net.get_weights(), strict=True)),
                     strict=True))
    np.testing.assert_allclose(steps["middle.weight"], 0.05)
    np.testing.assert_allclose(steps["dense_3.weight"], 0.2)


@pytest.mark.parametrize("optimizer", [cnet.SGD(0.1, weight_decay=0.2), cnet.AdamW(0.1)])
def test_decay_may_be_for_kernels_only(optimizer):
    layers = [cnet.Dense(6), cnet.BatchNormalization(), cnet.LayerNormalization(), cnet.Dense(2)]
    decayed = {}
    for on in ("all", "kernels"):
        net = cnet.Sequential(layers, seed=1, dtype="float64").build(4)
        net.compile(optimizer.replace(weight_decay_on=on), "mse")
        for values in net.parameters.values():
            values[...] = 1.0
        net.zero_gradients()
        net.apply_gradients()
        decayed[on] = {name for name, values in net.parameters.items() if np.any(values != 1)}
    assert decayed["all"] == set(net.parameters)
    assert decayed["kernels"] == {"dense_1.weight", "dense_2.weight"}


def test_a_parameter_comes_before_its_layer_and_both_before_weight_decay_on():
    groups = {
        "dense_1": {"learning_rate_factor": 0.5, "weight_decay": 0.3},
        "dense_1.bias": {"learning_rate_factor": 1},
        "middle.bias": {"weight_decay": 0.0},
    }
    sgd = cnet.SGD(0.1, weight_decay=0.2, weight_decay_on="kernels")
    net = network(sgd, groups)
    for values in net.parameters.values():
        values[...] = 1.0
    net.zero_gradients()
    net.apply_gradients()
    found = {name: float(1 - values.flat[0]) for name, values in net.parameters.items()}
    expected = [0.1 * 0.5 * 0.3, 0.1 * 0.3, 0.1 * 0.2, 0.0, 0.1 * 0.2]
    assert found == pytest.approx(dict(zip(NAMES, expected, strict=True)), abs=1e-15)
    assert net.groups["dense_1"] == cnet.Group(0.5, 0.3)


@pytest.mark.parametrize("way", ["clipvalue", "clipnorm", "global_clipnorm"])
def test_gradients_are_cut_as_without_groups(way):
    optimizer = cnet.SGD(1.0, **{way: 0.5})
    plain, net = (given(network(optimizer, g), 1) for g in (None, {"middle": cnet.Group(0.5)}))
    assert net.rule.norm == plain.rule.norm
    for name, step in moved(plain).items():
        half = name.startswith("middle")
        np.testing.assert_allclose(moved(net)[name], step * (0.5 if half else 1), rtol=1e-12)


def test_frozen_layers_stay_whatever_their_group_says():
    net = network("adam", {"middle": {"learning_rate_factor": 10}})
    net.freeze("middle")
    given(net)
    assert {name for name, step in moved(net).items() if np.any(step)} == {
        "dense_1.weight", "dense_1.bias", "dense_3.weight"
    }  # fmt: skip
    net.unfreeze()
    given(net)
    assert all(np.any(step) for step in moved(net).values())


def test_any_number_of_threads_gives_the_same_bits():
    x, y = data(64, 500)
    found = []
    for threads in (1, 2, 5):
        net = network(cnet.AdamW(global_clipnorm=0.1), {"middle.weight": cnet.Group(0.3, 0.0)},
                      "float32", (900, 600, 500))  # fmt: skip
        net.fit(x, y, epochs=2, verbose=0, threads=threads)
        found.append(snapshot(net))
    assert found[0] == found[1] == found[2]


def test_a_block_stands_for_what_is_in_it():
    block = cnet.Residual([cnet.Dense(4, name="a"), cnet.Dense(4, name="b")], name="block")
    net = cnet.Sequential([block, cnet.Dense(2)], seed=1, dtype="float64").build(4)
    net.compile(cnet.SGD(1.0), "mse", groups={
        "block": cnet.Group(0.5), "block.b": cnet.Group(0.25), "block.b.bias": cnet.Group(2)
    })  # fmt: skip
    before = net.get_weights()
    for gradient in net.gradients.values():
        gradient[...] = 1.0
    net.apply_gradients()
    steps = [float((b - a).flat[0]) for b, a in zip(before, net.get_weights(), strict=True)]
    expected = {"block.a.weight": 0.5, "block.a.bias": 0.5, "block.b.weight": 0.25,
                "block.b.bias": 2.0, "dense_1.weight": 1.0, "dense_1.bias": 1.0}  # fmt: skip
    assert dict(zip(net.parameters, steps, strict=True)) == pytest.approx(expected)


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES.keys())
def test_groups_are_kept(copied, tmp_path):
    x, y = data()
    groups = {"middle": cnet.Group(0.5), "dense_1.weight": cnet.Group(weight_decay=0.5)}
    whole, net = network("adamw", groups), network("adamw", groups)
    whole.fit(x, y, epochs=3, verbose=0)
    net.fit(x, y, verbose=0)
    other = copied(net, tmp_path)
    assert dict(other.groups) == groups
    other.fit(x, y, epochs=2, verbose=0)
    assert snapshot(other) == snapshot(whole)


def test_before_building():
    net = cnet.Sequential([cnet.Dense(3), cnet.Dense(2)], seed=1)
    net.compile("sgd", "mse", groups={"dense_1": {"learning_rate_factor": 0.0}})
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net)), net):
        other.build(4)
        before = other.get_weights()
        given(other)
        same = [np.array_equal(a, b) for a, b in zip(before, other.get_weights(), strict=True)]
        assert same == [True, True, False, False]


def test_the_range_test_tries_rates_with_the_same_groups():
    frozen = {name: cnet.Group(0.0) for name in NAMES}
    found = cnet.find_learning_rate(network(groups=frozen), *data(), steps=10, batch_size=None)
    np.testing.assert_allclose(found.losses, found.losses[0])


@pytest.mark.parametrize(
    ("groups", "error", "words"),
    [
        ({"dense_2": {}}, ValueError, ["'dense_2'", "dense_1", "middle.bias"]),
        ({"dense_3.bias": {}}, ValueError, ["'dense_3.bias'", "dense_3.weight"]),
        ({"middle": {"learning_rate": 0.1}}, ValueError, ["'middle'", "learning_rate_factor"]),
        ({"middle": {"frozen": True}}, ValueError, ["net.freeze"]),
        ({"middle": 0.1}, TypeError, ["'middle'", "cnet.Group", "0.1"]),
        ([("middle", {})], TypeError, ["groups must be a dict"]),
        ({"middle": {"weight_decay": -1}}, ValueError, ["weight_decay", "at least 0"]),
        ({"middle": {"learning_rate_factor": np.nan}}, ValueError, ["learning_rate_factor"]),
    ],
)
def test_wrong_groups_change_nothing(groups, error, words):
    net = network("adam")
    compiled = net.compiled
    with Unchanged(net), refused(error, *words):
        net.compile("sgd", "mse", groups=groups)
    assert net.compiled is compiled


def test_an_unknown_name_is_found_when_the_network_is_built():
    net = cnet.Sequential([cnet.Dense(2)], seed=1).compile("sgd", groups={"dense_9": {}})
    with refused(ValueError, "'dense_9'", "dense_1.bias"):
        net.build(3)
    assert not net.is_built


def test_wrong_places_for_decay():
    with refused(ValueError, "'biases'", "kernels"):
        cnet.Adam(weight_decay_on="biases")


def test_a_rule_wants_settings_for_every_place():
    rule = Rule(network().built.core, "sgd", [0.1] + [0.0] * 7)
    with pytest.raises(ValueError, match="got 2 for 1 places"):
        rule.set_groups([(1.0, None), (0.5, None)])
