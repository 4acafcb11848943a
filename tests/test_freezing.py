"""Layers that training leaves as they are."""

import copy

import numpy as np
import pytest

import cnet


def network(optimizer="adam"):
    layers = [cnet.Dense(6, "tanh"), cnet.Dense(5, "tanh", name="middle"), cnet.Dense(2)]
    net = cnet.Sequential(layers, seed=1, dtype="float64").build(4)
    return net.compile(optimizer, "mse")


def data():
    rng = np.random.default_rng(0)
    return rng.standard_normal((64, 4)), rng.standard_normal((64, 2))


def moved(net, before):
    """Names of the layers whose parameters are not what they were."""
    pairs = zip(net.parameters.items(), before, strict=True)
    return {name.split(".")[0] for (name, now), was in pairs if not np.array_equal(now, was)}


@pytest.mark.parametrize("by_hand", [False, True])
@pytest.mark.parametrize(
    ("frozen", "left"),
    [
        (["middle"], {"dense_1", "dense_3"}),
        (["dense_1", "dense_3"], {"middle"}),
        ([], set()),
    ],
)
def test_frozen_layers_stay(frozen, left, by_hand):
    net, (x, y) = network(), data()
    net.freeze(*frozen)
    before = net.get_weights()
    if by_hand:
        loss = cnet.losses.MeanSquaredError()
        net.backward(loss.gradient(net.forward(x), y))
        assert all(np.any(g) for g in net.gradients.values())
        net.apply_gradients()
    else:
        net.fit(x, y, epochs=2, verbose=0)
    assert moved(net, before) == left
    assert set(net.frozen) == set(net._names) - left


def test_the_others_move_as_they_would():
    """With plain gradient descent a step of a layer does not depend on the steps of another."""
    (x, y), free, net = data(), network("sgd"), network("sgd")
    net.freeze("middle")
    for one in (free, net):
        one.train_on_batch(x, y)
    for name in ("dense_1.weight", "dense_1.bias", "dense_3.weight", "dense_3.bias"):
        assert np.array_equal(net.parameters[name], free.parameters[name])


def test_unfreezing_goes_on_where_the_state_was():
    net, (x, y) = network(), data()
    net.fit(x, y, verbose=0)
    states = net.rule.states.copy()
    net.freeze()
    net.fit(x, y, verbose=0)
    assert np.array_equal(net.rule.states, states)
    net.unfreeze("dense_1", "middle")
    assert net.frozen == ("dense_3",)
    before = net.get_weights()
    net.fit(x, y, verbose=0)
    assert moved(net, before) == {"dense_1", "middle"}
    net.unfreeze()
    assert net.frozen == ()


@pytest.mark.parametrize("way", ["clipnorm", "global_clipnorm"])
def test_frozen_gradients_do_not_count_in_the_norm(way):
    net = network(cnet.SGD(1.0, **{way: 1.0}))
    net.freeze("middle")
    for name, gradient in net.gradients.items():
        gradient[...] = 1e6 if name.startswith("middle") else 0.1
    before = net.get_weights()
    net.apply_gradients()
    own = {n: g.size * 0.01 for n, g in net.gradients.items() if not n.startswith("middle")}
    assert net.rule.norm == pytest.approx(sum(own.values()) ** 0.5)
    for (name, now), was in zip(net.parameters.items(), before, strict=True):
        if name in own:
            norm = sum(own.values()) ** 0.5 if way == "global_clipnorm" else own[name] ** 0.5
            np.testing.assert_allclose(was - now, 0.1 * min(1, 1 / norm), rtol=1e-5)


def test_compiling_again_keeps_what_is_frozen():
    net, (x, y) = network(), data()
    net.freeze("middle")
    net.compile("sgd", "mse")
    before = net.get_weights()
    net.fit(x, y, verbose=0)
    assert moved(net, before) == {"dense_1", "dense_3"}


def test_it_is_saved_and_copied(tmp_path):
    net, (x, y) = network(), data()
    net.freeze("middle")
    cnet.save(net, tmp_path / "net")
    for other in (cnet.load(tmp_path / "net"), copy.deepcopy(net)):
        assert other.frozen == ("middle",)
        before = other.get_weights()
        other.fit(x, y, verbose=0)
        assert moved(other, before) == {"dense_1", "dense_3"}


def test_before_building():
    net = cnet.Sequential([cnet.Dense(3), cnet.Dense(2)], seed=1)
    net.freeze("dense_1")
    net.compile("sgd", "mse")
    assert copy.deepcopy(net).frozen == ("dense_1",)
    x, y = data()
    net.build(4)
    before = net.get_weights()
    net.fit(x, y, verbose=0)
    assert moved(net, before) == {"dense_2"}


def test_unknown_layers_are_named_and_nothing_changes():
    net = network()
    with pytest.raises(ValueError, match=r"'dense_9'.*dense_1"):
        net.freeze("middle", "dense_9")
    assert net.frozen == ()
