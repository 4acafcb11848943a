"""Residual blocks and branches: outputs by the references, gradients over all paths."""

import numpy as np
import pytest
from gradcheck import assert_gradient, differences
from networks import drawn
from networks_blocks import DRAWS, NETWORKS, NORMALISES, D, P, R, network, outputs, rows_for

import cnet
from cnet._core import kernels

UNIT = {"float32": 3e-6, "float64": 1e-14}
each_network = pytest.mark.parametrize("name", NETWORKS)
each_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


def gradients(net, x, dy, training=True):
    """Return outputs and {name: gradient}, with "x" for that of the data, by hand."""
    net.built.core.gradients[:] = 0
    y = net.forward(x, training=training, step=7)
    dx = net.backward(dy)
    return y, {name: g.copy() for name, g in net.gradients.items()} | {"x": dx}


def assert_alike(found, expected, unit, what=""):
    """Equal up to a share of the largest of all."""
    size = max(1.0, max(np.abs(e).max() for e in expected.values()))
    assert found.keys() == expected.keys()
    for key, wanted in expected.items():
        assert np.abs(found[key] - wanted).max() <= unit * size, f"{what} {key}"


@each_dtype
@each_network
def test_outputs(name, dtype):
    """`predict`, `forward` and the references; one row and as many as several chunks have."""
    net = network(name, dtype)
    x, _ = rows_for(net, 600)
    before, expected = x.copy(), outputs(net, x)
    unit = 20 * UNIT[dtype] * max(1, np.abs(expected).max())
    found = net.predict(x)
    assert found.shape == expected.shape and found.dtype == dtype
    assert np.abs(found - expected).max() <= unit
    assert np.abs(net.forward(x) - expected).max() <= unit
    assert np.abs(net.predict(x[:1]) - expected[:1]).max() <= unit
    assert np.array_equal(x, before)


@pytest.mark.parametrize("training", [False, True])
@each_network
def test_gradients(name, training):
    """Of all parameters and of the data, by differences; the random numbers stay the same ones."""
    net = network(name)
    x, dy = rows_for(net, 8)
    _, found = gradients(net, x, dy, training)

    def value():
        return float(np.sum(dy * net.forward(x, training=training, step=7)))

    limit = 3e-6 if name in NORMALISES else 1e-7
    size = max(np.abs(gradient).max() for gradient in found.values())
    for key, values in {**net.parameters, "x": x}.items():
        numeric = differences(value, values)
        # A bias in front of a batch normalisation has no effect on its outputs.
        if np.abs(numeric).max() < 1e-9 * size:
            assert np.abs(found[key]).max() < 1e-12 * size, key
        else:
            assert_gradient(found[key], numeric, f"{name}, {key}", limit)


@each_network
def test_float32_gradients_are_those_of_float64(name):
    single, double = network(name, "float32"), network(name)
    for key, values in double.parameters.items():
        values[...] = single.parameters[key]
    x, dy = rows_for(single, 40)
    y, found = gradients(single, x, dy)
    exact, expected = gradients(double, x.astype("float64"), dy.astype("float64"))
    # The noises of the two dtypes differ in the last digits.
    assert np.abs(y - exact).max() <= 1e-5 * max(1, np.abs(exact).max())
    assert_alike(found, expected, 2e-5, name)


@each_dtype
@each_network
def test_a_training_step_has_the_same_gradients(name, dtype):
    """The compiled loop does not ask for the gradient of the data, which changes no other."""
    net = network(name, dtype)
    if not net.parameters:
        pytest.skip("nothing to train")
    x, t = rows_for(net, 30)
    y = net.forward(x, training=True, step=0)
    loss = net.compiled.loss
    net.built.core.gradients[:] = 0
    net.backward(loss.gradient(y, t))
    expected = {key: g.copy() for key, g in net.gradients.items()}
    net.built.core.gradients[:] = np.nan
    value = net.train_on_batch(x, t)["loss"]
    assert value == pytest.approx(loss(y, t), rel=1e-5 if dtype == "float32" else 1e-13)
    assert any(g.any() for g in expected.values())
    assert_alike(net.gradients, expected, 10 * UNIT[dtype], name)


@each_network
def test_a_batch_that_passes_in_pieces(name):
    """2,500 rows, 1,024 at a time unless they are normalised together, are one batch."""
    net = network(name)
    if not net.parameters:
        pytest.skip("nothing to train")
    x, t = rows_for(net, 2500)
    y = net.forward(x, training=True, step=0)
    net.built.core.gradients[:] = 0
    net.backward(net.compiled.loss.gradient(y, t))
    expected = {key: g.copy() for key, g in net.gradients.items()}
    net.train_on_batch(x, t)
    assert_alike(net.gradients, expected, 1e-13, name)


def test_the_networks_here_say_what_they_do():
    for name in NETWORKS:
        program = network(name).built.program
        kinds = {operation["kind"] for operation in program.operations}
        assert program.random == (name in DRAWS), name
        assert bool(kinds & {"layer_normalization", "batch_normalization"}) == (
            name in NORMALISES
        ), name
    assert {"add", "mul", "concat"} < set(kernels.LAYERS)


# ---- who writes a gradient and who adds to it ----------------------------------------------------


@pytest.mark.parametrize("number", range(12))
def test_random_nesting(number):
    """Blocks in blocks, at random; gradients by differences along random directions."""
    rng = np.random.default_rng(number)

    def some(width, depth):
        """Layers from `width` columns to `width` columns."""
        choice = rng.integers(6) if depth else 0
        if choice == 0:
            return [D(int(rng.integers(1, 9)), "gelu"), D(width, ["linear", "tanh"][depth % 2])]
        if choice == 1:
            return [R(some(width, depth - 1)), cnet.Activation("tanh")]
        if choice == 2:
            return [R(some(width, depth - 1), shortcut=some(width, depth - 1))]
        inner = [lambda: some(width, depth - 1), list, lambda: [D(width, "tanh")]]
        branches = [inner[rng.integers(3)]() for _ in range(rng.integers(2, 4))]
        merge = ("add", "mul", "concat")[choice - 3]
        return [P(branches, merge), D(width, "tanh")]

    net = drawn([*some(4, 3), *some(4, 3), D(2)], 4, seed=number)
    x, dy = rows_for(net, 6)
    _, found = gradients(net, x, dy)
    values = {**net.parameters, "x": x}
    way = {key: rng.standard_normal(array.shape) for key, array in values.items()}
    at = {key: array.copy() for key, array in values.items()}
    step = np.zeros(1)

    def value():
        for key, array in values.items():
            array[...] = at[key] + step[0] * way[key]
        return float(np.sum(dy * net.forward(x)))

    slope = differences(value, step)
    analytic = [sum(float(np.sum(found[key] * way[key])) for key in values)]
    assert_gradient(analytic, slope, f"network {number}", 1e-6)


def test_gradients_are_overwritten_once_and_then_added_to():
    """What a second backward pass finds in the memory of the first changes nothing."""
    net = network("nested")
    x, dy = rows_for(net, 9)
    _, first = gradients(net, x, dy)
    gradients(net, 100 * x, 1e6 * dy)
    _, again = gradients(net, x, dy)
    assert all(np.array_equal(again[key], first[key]) for key in first)


def test_parameter_gradients_are_added_to():
    net = network("before and after")
    x, dy = rows_for(net, 9)
    _, once = gradients(net, x, dy)
    net.forward(x, training=True, step=7)
    net.backward(dy)
    del once["x"]
    assert_alike(net.gradients, {key: 2 * g for key, g in once.items()}, 1e-14)


def test_plain_networks_add_to_nothing():
    """Neither flags nor memory: their steps are what they were before there were branches."""
    net = cnet.Sequential([D(4, "gelu"), cnet.Dropout(0.1), cnet.LayerNormalization(), D(2)])
    program = net.build(3).built.program
    assert not any(operation["adds_dx"] for operation in program.operations)
    assert not program.shared_slopes


def test_the_gradient_of_a_sum_is_not_copied_to_its_last_term():
    program = network("residual").built.program
    (add,) = (o for o in program.operations if o["kind"] == "add")
    assert program.shared_slopes == {add["branches"][0][0]: add["y"]}


# ---- threads -------------------------------------------------------------------------------------

WIDE = {
    "add": lambda: [P([D(70, "tanh"), cnet.Activation("tanh"), [], D(70)])],
    "mul": lambda: [P([D(70, "tanh"), [], D(70)], "mul")],
    "concat": lambda: [P([D(30, "tanh"), [], [cnet.LayerNormalization()]], "concat")],
}


@each_dtype
@pytest.mark.parametrize("merge", WIDE)
def test_threads_change_no_bit(merge, dtype):
    nets = [drawn([*WIDE[merge](), D(3)], 70, dtype=dtype) for _ in range(3)]
    x, t = rows_for(nets[0], 2048)
    for net, threads in zip(nets, (1, 2, 3), strict=True):
        net.compile("adam", "mse").fit(
            x, t, batch_size=1200, epochs=2, threads=threads, shuffle=False, verbose=0
        )
    assert all(np.array_equal(net.predict(x, threads=2), nets[0].predict(x)) for net in nets)
    for key, values in nets[0].parameters.items():
        assert all(np.array_equal(net.parameters[key], values) for net in nets), key
