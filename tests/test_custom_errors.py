"""What goes wrong in parts of the user's own harms nothing, and is said."""

import traceback

import numpy as np
import pytest
from networks import Unchanged, classes, refused, regression
from parts import OwnDense, OwnMomentum, OwnMSE, OwnSparse, OwnTanh

import cnet
from cnet import custom


class Failure(Exception):
    pass


class FailsForward(OwnTanh):
    def forward(self, x):
        raise Failure("forward")


class FailsBackward(OwnTanh):
    def backward(self, x, y, dy):
        raise Failure("backward")


class FailsLoss(OwnMSE):
    def forward(self, y, target):
        raise Failure("loss")


class FailsSlope(OwnMSE):
    def backward(self, y, target):
        raise Failure("slope")


class FailsUpdate(OwnMomentum):
    """In the second step, when the first parameter is changed already."""

    def update(self, parameter, gradient, states, step, learning_rate):
        parameter += 1
        states[0][...] = 7
        if parameter.ndim == 1:
            raise Failure("update")


FAILING = {
    "forward": (FailsForward(), "mse", "sgd"),
    "backward": (FailsBackward(), "mse", "sgd"),
    "loss": ("tanh", FailsLoss(), "sgd"),
    "slope": ("tanh", FailsSlope(), "sgd"),
    "update": ("tanh", "mse", FailsUpdate()),
}


@pytest.mark.parametrize("where", FAILING)
def test_an_exception_stops_before_the_batch_changes_anything(where):
    activation, loss, optimizer = FAILING[where]
    layers = [cnet.Dense(3), cnet.BatchNormalization(), cnet.Activation(activation), cnet.Dense(2)]
    net = cnet.Sequential(layers, seed=1, dtype="float64").build(4).compile(optimizer, loss)
    x, y = regression()
    with Unchanged(net):
        with pytest.raises(Failure, match=where) as caught:
            net.fit(x, y, shuffle=False, verbose=0)
        assert "def " not in str(caught.value)
        names = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
        assert names[-1] in ("forward", "backward", "update")  # where it was raised
        assert any("which cnet has called" in note for note in caught.value.__notes__)
        net.passes = 0
        with pytest.raises(Failure):
            net.train_on_batch(x, y)
    net.compile("sgd", "mse")
    if where in ("loss", "slope", "update"):
        assert np.isfinite(net.fit(x, y, verbose=0)["loss"]).all()


def test_predict_and_forward_pass_exceptions_on():
    net = cnet.Sequential([cnet.Dense(3, FailsForward(), inputs=4)], seed=1)
    x = np.ones((700, 4))
    for threads in (1, 2):
        with pytest.raises(Failure):
            net.predict(x, threads=threads)
    with pytest.raises(Failure):
        net.forward(x)


def test_a_failing_backward_adds_nothing_to_gradients():
    net = cnet.Sequential([cnet.Dense(3, FailsBackward(), inputs=4), cnet.Dense(2)], seed=1)
    out = net.forward(np.ones((5, 4)))
    with pytest.raises(Failure):
        net.backward(np.ones_like(out))
    assert not any(gradient.any() for gradient in net.gradients.values())


def test_ctrl_c_in_a_part_ends_fit_as_ever():
    class Interrupts(OwnTanh):
        def backward(self, x, y, dy):
            if len(x) < 32:
                raise KeyboardInterrupt
            return super().backward(x, y, dy)

    net = cnet.Sequential([cnet.Dense(3), cnet.Activation(Interrupts()), cnet.Dense(2)], seed=1)
    net.compile("sgd", "mse")
    x, y = regression(40)
    history = net.fit(x, y, verbose=0)
    assert history.interrupted and net.rule.running[0] == 1


WRONG = {
    "shape": (lambda x: x[:, :1], cnet.ShapeError, r"shape \(5, 1\), expected \(5, 3\)"),
    "nothing": (lambda x: None, TypeError, "returned nothing"),
    "list": (lambda x: x.tolist(), TypeError, "object of type list"),
    "complex": (lambda x: x + 1j, TypeError, "complex64, expected real numbers"),
}


@pytest.mark.parametrize("which", WRONG)
def test_what_comes_back_is_checked(which):
    function, error, words = WRONG[which]

    class Odd(OwnTanh):
        def forward(self, x):
            return function(x)

    net = cnet.Sequential([cnet.Dense(3, Odd(), inputs=4)], seed=1)
    with refused(error, r"dense_1: Odd\.forward", words):
        net.predict(np.ones((5, 4)))


@pytest.mark.parametrize(
    ("result", "error", "words"),
    [
        (lambda dx, g: dx, TypeError, "expected a pair"),
        (lambda dx, g: (dx, {"weight": g["weight"]}), ValueError, r"\['bias', 'weight'\]"),
        (lambda dx, g: (dx, g | {"bias": dx}), cnet.ShapeError, "that of 'bias'"),
        (lambda dx, g: (dx[:1], g), cnet.ShapeError, "that of x"),
    ],
)
def test_gradients_of_a_layer_are_checked(result, error, words):
    class Odd(OwnDense):
        def backward(self, x, y, dy, parameters, training):
            return result(*super().backward(x, y, dy, parameters, training))

    net = cnet.Sequential([Odd(units=2)], seed=1).build(4).compile("sgd", "mse")
    with Unchanged(net), refused(error, r"odd_1: Odd\.backward", words):
        net.train_on_batch(*regression())


def test_losses_and_updates_are_checked():
    class Total(OwnMSE):
        def forward(self, y, target):
            return super().forward(y, target).sum()

    class Returns(custom.Optimizer):
        def update(self, parameter, gradient, states, step, learning_rate):
            return parameter - learning_rate * gradient

    x, y = regression()
    net = cnet.Sequential([cnet.Dense(2)], seed=1).build(4)
    net.compile("sgd", Total())
    with Unchanged(net), refused(TypeError, r"loss Total\.forward", "float32", r"\(40,\)"):
        net.train_on_batch(x, y)
    net.compile(Returns(), "mse")
    with Unchanged(net), refused(TypeError, r"Returns\.update of dense_1\.weight", "in place"):
        net.train_on_batch(x, y)


def test_what_is_handed_over_may_only_be_read():
    class Writes(OwnTanh):
        def backward(self, x, y, dy):
            dy *= 2
            return dy

    net = cnet.Sequential([cnet.Dense(3, Writes()), cnet.Dense(2)], seed=1).compile("sgd", "mse")
    with pytest.raises(ValueError, match="read-only"):
        net.fit(*regression(), verbose=0)


def test_a_loss_that_is_not_finite_is_reported_as_ever():
    class Overflows(OwnTanh):
        def forward(self, x):
            return np.full_like(x, np.inf)

    net = cnet.Sequential([cnet.Dense(2, Overflows())], seed=1).compile("sgd", "mse")
    with refused(cnet.NonFiniteError, r"dense_1 \(Dense, Overflows\(\)\)"):
        net.fit(*regression(), verbose=0)


@pytest.mark.parametrize(
    ("parameters", "error", "words"),
    [
        ({"a.b": ((3,), "zeros")}, ValueError, "a.b"),
        ({"a": (3,)}, TypeError, "a pair such as"),
        ({"a": ((0,), "zeros")}, ValueError, "at least 1"),
        ({"a": ((3,), "zeroes")}, ValueError, "Did you mean 'zeros'"),
    ],
)
def test_parameters_of_a_layer_are_checked(parameters, error, words):
    class Odd(OwnDense):
        def parameters(self, shape):
            return parameters

    with refused(error, words):
        cnet.Sequential([Odd(units=2)], seed=1).build(4)


def test_class_indices_of_an_own_loss_are_not_mixed():
    net = cnet.Sequential([cnet.Dense(3)], seed=1).build(4).compile("sgd", OwnSparse())
    x, y = classes()
    with Unchanged(net), refused(ValueError, "Mixup", "OwnSparse", "one-hot"):
        net.fit(x, y, augment=[cnet.augment.Mixup()], verbose=0)
