"""Layers that normalise: values, gradients, settings."""

import numpy as np
import pytest
import reference
from gradcheck import assert_gradient, differences
from networks import drawn, only_buffers, refused, rows

import cnet

KINDS = {"layer": cnet.LayerNormalization, "batch": cnet.BatchNormalization}
each_kind = pytest.mark.parametrize("kind", KINDS)
each_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


# ---- values ------------------------------------------------------------------------------------


@each_dtype
@pytest.mark.parametrize("columns", [1, 3, 16, 64, 65, 129, 300])
@pytest.mark.parametrize("count", [2, 7, 128, 300])
@each_kind
def test_values(kind, count, columns, dtype):
    net = drawn([KINDS[kind]()], columns, dtype=dtype)
    x = (3 + 2 * rows(count, columns)).astype(dtype)
    gamma, beta = (v.astype(np.float64) for v in net.parameters.values())
    row = reference.LAYERS[f"{kind}_normalization"]
    expected = row(x.astype(np.float64), "linear", 0.0, gamma, beta)
    # One column by layer is all zero; of few rows, differences of close values are divided.
    assert np.abs(net.forward(x, training=True) - expected).max() < 300 * np.finfo(dtype).eps
    if kind == "batch":
        mean, variance = (v.astype(np.float64) for v in net.buffers.values())
        expected = (x - mean) / np.sqrt(variance + 1e-5) * gamma + beta
    found = net.predict(x)
    assert np.abs(found - expected).max() < 300 * np.finfo(dtype).eps
    assert np.array_equal(net.forward(x), found)


@each_kind
def test_center_scale_and_epsilon(kind):
    x = rows(6, 5)
    axis = 1 if kind == "layer" else 0
    plain = reference.normalize(x, axis, 0.5)
    for center in (True, False):
        for scale in (True, False):
            net = drawn([KINDS[kind](epsilon=0.5, center=center, scale=scale)], 5)
            names = [name.split(".")[1] for name in net.parameters]
            assert names == ["gamma"] * scale + ["beta"] * center
            values = {name.split(".")[1]: v for name, v in net.parameters.items()}
            expected = plain * values.get("gamma", 1) + values.get("beta", 0)
            assert np.allclose(net.forward(x, training=True), expected, rtol=0, atol=1e-14)


@each_kind
def test_first_values(kind):
    net = cnet.Sequential([KINDS[kind]()], seed=1).build(4)
    name = f"{kind}_normalization_1"
    first = {f"{name}.gamma": 1, f"{name}.beta": 0}
    moving = {f"{name}.moving_mean": 0, f"{name}.moving_variance": 1} if kind == "batch" else {}
    assert {key: set(v) for key, v in net.parameters.items()} == {k: {v} for k, v in first.items()}
    assert {key: set(v) for key, v in net.buffers.items()} == {k: {v} for k, v in moving.items()}


@each_dtype
@each_kind
def test_a_large_mean_costs_only_its_own_digits(kind, dtype):
    """Sums of squares would have no digit left of a variance of 1 beside a mean of 4096."""
    x = np.random.default_rng(0).integers(-8, 9, (1000, 65)) / 4
    net = cnet.Sequential([KINDS[kind]()], seed=1, dtype=dtype).build(65)
    expected = reference.normalize(x, 1 if kind == "layer" else 0)
    found = net.forward(x + 4096, training=True)
    # x + 4096 is exact; what is rounded is the mean, to half an eps of 4096.
    assert np.abs(found - expected).max() < 4096 * np.finfo(dtype).eps


@each_kind
def test_a_constant_column_or_row_is_beta(kind):
    net = drawn([KINDS[kind]()], 3, dtype="float32")
    x = np.full((50, 3), 0.1)
    beta = net.parameters[f"{kind}_normalization_1.beta"]
    assert np.allclose(net.forward(x, training=True), beta)


@each_kind
def test_training_and_inference_agree_on_constant_statistics(kind):
    """Moving statistics that are the batch's own give its outputs, in both modes."""
    x = rows(8, 6)
    net = drawn([KINDS[kind]()], 6)
    if kind == "batch":
        net.buffers["batch_normalization_1.moving_mean"][:] = x.mean(0)
        net.buffers["batch_normalization_1.moving_variance"][:] = x.var(0)
    assert np.allclose(net.forward(x), net.forward(x, training=True), rtol=0, atol=1e-14)


# ---- gradients ---------------------------------------------------------------------------------


def placed(kind, place):
    """Return layers with the normalisation somewhere, and the shape of a row."""
    one = KINDS[kind]
    return {
        "first": ([one(), cnet.Dense(3, "tanh")], 4),
        "hidden": ([cnet.Dense(5, "silu"), one(), cnet.Dense(3)], 4),
        "before an activation": (
            [cnet.Dense(6, use_bias=False), one(), cnet.Activation("gelu"), cnet.Dense(2)], 4,
        ),
        "last": ([cnet.Dense(4, "tanh"), one()], 3),
        "after Flatten, no gamma": ([cnet.Flatten(), one(scale=False), cnet.Dense(3)], (2, 3)),
        "no beta": ([cnet.Dense(5), one(center=False), cnet.Dense(3, "sigmoid")], 4),
        "twice": ([cnet.Dense(5), one(), cnet.Dense(4, "mish"), one(), cnet.Dense(2)], 4),
        "both": ([one(), cnet.Dense(5), cnet.LayerNormalization(), cnet.Dense(2)], 4),
        "alone": ([one(center=False, scale=False), cnet.Dense(1)], 5),
        "wide": ([cnet.Dense(67), one(), cnet.Dense(1, "tanh")], 2),
    }[place]  # fmt: skip


PLACES = [
    "first", "hidden", "before an activation", "last", "after Flatten, no gamma", "no beta",
    "twice", "both", "alone", "wide",
]  # fmt: skip
# A batch's mean takes off what a bias adds: its gradient is 0.
TAKEN_OFF = {place: ["dense_1.bias"] for place in ("no beta", "wide", "twice")}


@pytest.mark.parametrize("training", [True, False], ids=["training", "inference"])
@pytest.mark.parametrize("place", PLACES)
@each_kind
def test_gradients_by_hand(kind, place, training):
    """All parameters and the inputs, through whichever mode the forward pass was in."""
    layers, inputs = placed(kind, place)
    net = drawn(layers, inputs)
    x = rows(7, int(np.prod(inputs))).reshape(7, *np.atleast_1d(inputs))
    y = net.forward(x, training=training)
    c = np.random.default_rng(5).uniform(-1, 2, y.shape)
    net.zero_gradients()
    dx = net.backward(c)

    def value():
        return float(np.sum(c * net.forward(x, training=training)))

    for key, parameter in net.parameters.items():
        numeric = differences(value, parameter)
        if training and kind == "batch" and key in TAKEN_OFF.get(place, ()):
            assert np.abs(net.gradients[key]).max() < 1e-12 and np.abs(numeric).max() < 1e-10
        else:
            assert_gradient(net.gradients[key], numeric, f"{place}, {key}")
    frozen = only_buffers(net)
    before = dx.copy()
    assert_gradient(before, differences(value, x), f"{place}, dx")
    assert training or all(np.array_equal(net.buffers[k], v) for k, v in frozen.items())


@pytest.mark.parametrize("weighted", [False, True], ids=["", "weighted"])
@pytest.mark.parametrize("place", ["first", "before an activation", "last", "twice"])
@each_kind
def test_gradients_of_a_step(kind, place, weighted):
    """What train_on_batch leaves behind, against the loss that it reports."""
    layers, inputs = placed(kind, place)
    net = drawn(layers, inputs, loss=cnet.losses.Huber(delta=10.0))
    x = rows(9, inputs)
    t = rows(9, net.built.outputs, seed=6)
    w = np.random.default_rng(7).uniform(0.2, 2, 9) if weighted else None
    net.built.core.gradients[:] = np.nan  # a step starts from nothing
    net.train_on_batch(x, t, w)
    gradients = {key: g.copy() for key, g in net.gradients.items()}
    for key, parameter in net.parameters.items():
        numeric = differences(lambda: net.train_on_batch(x, t, w)["loss"], parameter)
        if kind == "batch" and key in TAKEN_OFF.get(place, ()):
            assert np.abs(gradients[key]).max() < 1e-12 and np.abs(numeric).max() < 1e-10
        else:
            assert_gradient(gradients[key], numeric, f"{place}, {key}")


@each_kind
def test_backward_adds(kind):
    net = drawn([cnet.Dense(4, "tanh"), KINDS[kind](), cnet.Dense(2)], 3)
    x = rows(6, 3)
    y = net.forward(x, training=True)
    net.zero_gradients()
    net.backward(y)
    once = {key: g.copy() for key, g in net.gradients.items()}
    net.forward(x, training=True)
    net.backward(y)
    for key, gradient in net.gradients.items():
        assert np.allclose(gradient, 2 * once[key], rtol=1e-12, atol=1e-15), key
    assert once[f"{kind}_normalization_1.gamma"].all()


@each_kind
def test_a_batch_larger_than_a_piece_is_one_batch(kind):
    """Batch statistics of more than 1,024 rows are those of all of them."""
    net = drawn([cnet.Dense(5, "tanh"), KINDS[kind](), cnet.Dense(2)], 3)
    x, t = rows(2500, 3), rows(2500, 2, seed=8)
    loss = net.train_on_batch(x, t)["loss"]
    stepped = {key: g.copy() for key, g in net.gradients.items()}
    y = net.forward(x, training=True)
    assert loss == pytest.approx(net.compiled.loss(y, t), rel=1e-12)
    net.zero_gradients()
    net.backward(net.compiled.loss.gradient(y, t))
    for key, gradient in net.gradients.items():
        size = np.abs(gradient).max() + 1e-12  # the bias before a batch normalisation: 0
        assert np.abs(gradient - stepped[key]).max() <= 1e-11 * size + 1e-15, key


# ---- settings ----------------------------------------------------------------------------------


def test_settings():
    layer = cnet.BatchNormalization(0.5, 1e-3, False, True)
    assert (layer.momentum, layer.epsilon, layer.center, layer.scale) == (0.5, 1e-3, False, True)
    layer = cnet.LayerNormalization(1e-3, False, True)
    assert (layer.epsilon, layer.center, layer.scale) == (1e-3, False, True)
    assert cnet.BatchNormalization().momentum == 0.9
    for kind in KINDS.values():
        assert kind().epsilon == 1e-5
        with refused(ValueError, "epsilon"):
            kind(epsilon=0.0)
        with refused(TypeError, "center"):
            kind(center=1)
        with refused(TypeError, "scale"):
            kind(scale="yes")
        with refused(cnet.ShapeError, "normalization_1", "Flatten"):
            cnet.Sequential([kind(), cnet.Flatten(), cnet.Dense(1)]).build((2, 3))
    for wrong in (1.0, -0.1, float("nan")):
        with refused(ValueError, "momentum"):
            cnet.BatchNormalization(momentum=wrong)
    with refused(TypeError, "training"):
        drawn([cnet.Dense(1)], 2).forward(rows(2, 2), training=1)


def test_summary(capsys):
    net = cnet.Sequential([cnet.BatchNormalization(), cnet.LayerNormalization(scale=False)])
    net.build(5).summary()
    out = capsys.readouterr().out.splitlines()
    assert out[3].split() == ["batch_normalization_1", "(BatchNormalization)", "5", "10", "40", "B"]
    assert out[4].split() == ["layer_normalization_1", "(LayerNormalization)", "5", "5", "20", "B"]
    assert out[-1] == "10 moving means and variances: 40 B"
    # Input and two outputs of 5 columns, mean and 1 / sigma of a row.
    assert out[-2].endswith(f"{(5 + 5 + 5 + 2) * 4} B of activations per row of a batch")
