"""`cnet.gradcheck` accepts gradients that are right, and says what is wrong with the others."""

import numpy as np
import pytest
from networks import Unchanged, classes, refused, regression, rows
from parts import OwnDense, OwnLeaky, OwnMSE, OwnSparse, OwnTanh, own_network

import cnet
from cnet import custom


@pytest.mark.parametrize("part", [OwnTanh(), OwnLeaky(), OwnDense(units=3), cnet.Dense(2, "gelu")])
def test_parts_that_are_right(part):
    report = cnet.gradcheck(part, rows(6, 4))
    assert max(report.errors.values()) < 1e-8 and "x" in report.errors


@pytest.mark.parametrize("name", sorted(set(cnet.activations.names()) - {"linear"}))
def test_all_activations(name):
    cnet.gradcheck(cnet.activations.get(name), rows(6, 4))


def test_losses():
    y, t = rows(6, 3), rows(6, 3, seed=1)
    cnet.gradcheck(OwnMSE(), y, t)
    cnet.gradcheck(OwnSparse(), y, np.array([0, 1, 2, 0, 1, 2]))
    cnet.gradcheck(cnet.losses.Huber(delta=0.5), y, t)
    with refused(TypeError, "give y"):
        cnet.gradcheck(OwnMSE(), y)


def test_networks():
    x, y = regression(7)
    net = own_network(dtype="float32").build(4)
    with Unchanged(net):
        report = cnet.gradcheck(net, x, y)
    assert list(report.errors) == ["x", *net.parameters] and max(report.errors.values()) < 1e-7
    assert "dense_1.weight" in str(report) and f"worst at {report.worst}[" in str(report)
    x, labels = classes(9)
    layers = [
        cnet.Dropout(0.2),
        cnet.Dense(9, "relu"),
        cnet.BatchNormalization(),  # in front of which a bias has no gradient
        cnet.Dense(3, "softmax"),
    ]
    net = cnet.Sequential(layers, seed=1, scale=0.5)
    net.compile("adam", "sparse_categorical_crossentropy")
    net.fit(x, labels, verbose=0)
    with Unchanged(net):
        cnet.gradcheck(net, x, labels)
        cnet.gradcheck(net, x, labels, training=False)
        cnet.gradcheck(net, x, most=5)


class Doubled(OwnTanh):
    def backward(self, x, y, dy):
        return 2 * super().backward(x, y, dy)


class Flipped(OwnTanh):
    def backward(self, x, y, dy):
        return -super().backward(x, y, dy)


class Forgetful(OwnTanh):
    def backward(self, x, y, dy):
        return np.where(np.arange(x.shape[1]) == 2, 0, super().backward(x, y, dy))


class Invented(OwnTanh):
    def forward(self, x):
        return np.tanh(x) * [1, 0, 1, 1]

    def backward(self, x, y, dy):
        return dy * (1 - np.tanh(x) ** 2)


@pytest.mark.parametrize(
    ("part", "words"),
    [
        (Doubled(), "2 times what it should be"),
        (Flipped(), "the sign is wrong"),
        (Forgetful(), "backward says that it does not matter"),
        (Invented(), "forward does not depend on it"),
    ],
)
def test_what_is_wrong_is_said_in_words(part, words):
    with refused(cnet.GradientError, words, r"the gradient of x\[\d, \d\] is") as caught:
        cnet.gradcheck(part, rows(6, 4))
    report = caught.value.report
    assert report.errors["x"] > 0.4 and report.worst == "x" and len(report.place) == 2


def test_the_worst_element_is_found_in_the_right_array():
    class Slip(OwnDense):
        def backward(self, x, y, dy, parameters, training):
            dx, gradients = super().backward(x, y, dy, parameters, training)
            gradients["weight"][2, 1] *= 1.001
            return dx, gradients

    with refused(cnet.GradientError, r"slip_1\.weight\[2, 1\]") as caught:
        cnet.gradcheck(Slip(units=3), rows(6, 4))
    report = caught.value.report
    assert report.place == (2, 1)
    assert report.errors["x"] < 1e-8 < 5e-4 < report.errors["slip_1.weight"]


def test_nothing_is_no_proof():
    class Zero(custom.Activation):
        def forward(self, x):
            return 0 * x

        def backward(self, x, y, dy):
            return 0 * dy

    with refused(cnet.GradientError, "shows nothing"):
        cnet.gradcheck(Zero(), rows(3, 2))


def test_not_a_number():
    class Breaks(OwnTanh):
        def backward(self, x, y, dy):
            return dy * np.nan

    with refused(cnet.GradientError, "not finite"):
        cnet.gradcheck(Breaks(), rows(3, 2))


def test_what_has_no_gradient():
    with refused(TypeError, "part must be a network, a layer, an activation or a loss"):
        cnet.gradcheck(cnet.Adam(), rows(3, 2))


def test_categories_are_left_out_of_the_inputs():
    """Nothing lies between two categories: differences are taken of the other columns only."""
    x = np.column_stack([np.arange(8) % 3, rows(8, 2)])
    net = cnet.Sequential(
        [cnet.Columns({0: cnet.Embedding(3, 2)}), cnet.Dense(5, "tanh"), cnet.Dense(1)], seed=1
    )
    net.build(3).compile(loss="mse")
    report = cnet.gradcheck(net, x, rows(8, 1, seed=1))
    assert max(report.errors.values()) < 1e-6
    assert set(report.errors) == {"x", *net.parameters}
    only = cnet.Sequential([cnet.Embedding(3, 2), cnet.Flatten(), cnet.Dense(1)], seed=1)
    assert "x" not in cnet.gradcheck(only, np.arange(6).reshape(3, 2) % 3).errors


def test_normalised_networks_are_tried_where_they_train():
    """Timestamps as they come would saturate every tanh: all gradients would be zero."""
    x, y = 1.7e9 + 1e4 * rows(8, 3), 1e6 + 1e3 * rows(8, 2, seed=1)
    net = cnet.Sequential(
        [cnet.Dense(5, "tanh"), cnet.Dense(2)],
        seed=1,
        normalize_inputs="standardize",
        normalize_targets="standardize",
    )
    net.compile(loss="mse")
    net.adapt(x, y)
    report = cnet.gradcheck(net, x, y)
    twin = cnet.Sequential(net.layers, seed=1).build(3)
    twin.compile(loss="mse")
    scaled = net.input_scaling.transform(x), net.target_scaling.transform(y)
    assert report == cnet.gradcheck(twin, *scaled)


def test_no_rows():
    with refused(cnet.ShapeError, r"x has shape \(0, 4\).*give rows"):
        cnet.gradcheck(cnet.Dense(2), rows(0, 4))
