"""Gradients of whole networks: merged losses, weights, smoothing, depth, batches, float32."""

import zlib

import checks
import numpy as np
import pytest
import reference
from gradcheck import MARGIN, assert_gradient, differences, kink_distance

import cnet
from cnet import losses, training
from cnet._core import kernels

FREEZE = cnet.SGD(learning_rate=0.0)  # a step leaves the gradients behind and changes nothing


def seed_of(*what) -> int:
    return zlib.crc32(repr(what).encode())


def reference_forward(net: cnet.Sequential, x: np.ndarray, last: bool = True):
    """Outputs by reference.py, and each row's distance from the kinks on the way.

    Without `last`, the outputs before the last activation.
    """
    h, distance = x.reshape(len(x), -1).astype(np.float64), np.full(len(x), np.inf)
    layers = [layer for layer in net.layers if not isinstance(layer, cnet.Flatten)]
    dense_number = 0
    for number, layer in enumerate(layers, 1):
        w = b = None
        f, kind = layer.activation, layer.kind
        if kind == "dense":
            dense_number += 1
            w = net.parameters[f"dense_{dense_number}.weight"].astype(np.float64)
            b = net.parameters.get(f"dense_{dense_number}.bias")
        if number == len(layers) and not last:
            f = cnet.activations.get("linear")
        z = reference.LAYERS[kind](h, "linear", 0.0, w, b)
        distance = np.minimum(distance, kink_distance(z, reference.ACTIVATIONS[f.name].kinks))
        h = reference.LAYERS["activation"](z, f.name, f.alpha or 0.0, None, None)
    return h, distance


class Case:
    """A network with parameters, rows that stay off all kinks, targets and a loss."""

    def __init__(self, layers, inputs, loss, rows=5, weighted=False, seed=0):
        self.net = cnet.Sequential(layers, seed=seed, dtype="float64").build(inputs)
        self.net.compile(FREEZE, loss)
        self.loss, self.shape = self.net.compiled.loss, self.net.built.shape
        self.rng = np.random.default_rng(seed)
        for parameter in self.net.parameters.values():
            limit = 0.3 if parameter.ndim == 1 else 1.2 / np.sqrt(parameter.shape[0])
            parameter[:] = self.rng.uniform(-limit, limit, parameter.shape)
        self.weight = self.rng.uniform(0.2, 2, rows) if weighted else None
        _, self.target = checks.loss_data(self.loss.name, rows, self.net.built.outputs, self.rng)
        self.x = self.rng.standard_normal((rows, *self.shape))
        for _ in range(1000):
            near = self.distance() < 2 * MARGIN
            if not near.any():
                return
            self.x[near] = self.rng.standard_normal((near.sum(), *self.shape))
        raise AssertionError("no rows are off the kinks")

    def distance(self) -> np.ndarray:
        y, distance = reference_forward(self.net, self.x)
        row = self.row
        if row.kink is not None:
            settings = reference.LossSettings(self.loss.parameter)
            distance = np.minimum(distance, row.kink(y, self.target, settings).min(axis=1))
        return distance

    @property
    def row(self) -> reference.Loss:
        return reference.LOSSES[self.loss.name]

    def batches(self, batch_size=None):
        data = training.prepare(self.net, self.x, self.target, self.weight)
        return training.batches(self.net, data, batch_size or len(self.x), self.net.rule)

    def step(self) -> float:
        """Do one training step, which leaves gradients, and return its loss."""
        self.net.built.core.gradients[:] = np.nan  # a step starts from nothing
        return self.net.train_on_batch(self.x, self.target, self.weight)["loss"]

    def check(self, what: str) -> None:
        """Loss against the reference, gradients against differences of the loss reported."""
        value = self.step()
        gradients = {key: g.copy() for key, g in self.net.gradients.items()}
        assert value == pytest.approx(self.reference_loss(), rel=1e-12, abs=1e-14), what
        work = self.batches()

        def loss():
            work.begin()
            assert work.run(1)
            return work.last_loss

        for key, parameter in self.net.parameters.items():
            assert_gradient(gradients[key], differences(loss, parameter), f"{what}, {key}")

    def reference_loss(self) -> float:
        """The loss of reference.py: of the logits where it merges the last activation."""
        loss, last = self.loss, self.net.built.last_activation
        merged = loss.links.get(last)
        y, _ = reference_forward(self.net, self.x, merged is None)
        if getattr(loss, "from_logits", False):
            merged = next(iter(loss.links.values()))
        scale = 1 / len(y)
        if loss.mean_over_columns:
            scale /= loss.target_columns(y.shape[1])
        return reference.loss(merged or loss.name, y, self.target, self.weight, scale,
                              loss.parameter, loss.smoothing)[0]  # fmt: skip


# ---- every loss at the end of a network --------------------------------------------------------


def last_activations(name: str) -> list[str]:
    """Those that a loss merges, and one that it does not, whose outputs it can take."""
    links = list(losses.get(name).links)
    others = {"real": ["linear"], "probability": ["sigmoid", "softmax"], "positive": ["softplus"]}
    return links + [a for a in others[reference.LOSSES[name].outputs] if a not in links][:1]


ENDS = [(name, last) for name in losses.names() for last in last_activations(name)]


@pytest.mark.parametrize("weighted", [False, True], ids=["", "weighted"])
@pytest.mark.parametrize(("name", "last"), ENDS)
def test_loss_after_a_network(name, last, weighted):
    layers = [cnet.Dense(6, "tanh"), cnet.Dense(4, last)]
    Case(layers, 3, name, weighted=weighted, seed=seed_of(name, last)).check(f"{name}, {last}")


@pytest.mark.parametrize(("name", "last"), [(n, a) for n, a in ENDS if losses.get(n).links])
def test_loss_after_an_activation_layer(name, last):
    """A loss merges an activation that is a layer of its own just as well."""
    layers = [cnet.Dense(4), cnet.Activation(last)]
    Case(layers, 3, name, seed=seed_of(last, name)).check(f"{name}, {last}")


def with_setting(field: str) -> list[str]:
    return [name for name in losses.names() if hasattr(losses.get(name), field)]


@pytest.mark.parametrize("weighted", [False, True], ids=["", "weighted"])
@pytest.mark.parametrize(
    ("name", "last"), [end for end in ENDS if end[0] in with_setting("label_smoothing")]
)
def test_label_smoothing(name, last, weighted):
    loss = type(losses.get(name))(label_smoothing=0.15)
    case = Case([cnet.Dense(4, last)], 3, loss, weighted=weighted, seed=seed_of(name))
    smooth = case.step()
    case.check(f"{name}, {last}")
    case.net.compile(FREEZE, name)
    assert case.step() != pytest.approx(smooth, rel=1e-3), "smoothing changes nothing"


@pytest.mark.parametrize("name", with_setting("from_logits"))
def test_loss_from_logits(name):
    loss = type(losses.get(name))(from_logits=True)
    layers = [cnet.Dense(6, "silu"), cnet.Dense(4, "linear")]
    Case(layers, 3, loss, seed=seed_of(name)).check(f"{name} from logits")


@pytest.mark.parametrize(("name", "last"), [(n, a) for n, a in ENDS if a in losses.get(n).links])
def test_merging_changes_no_value(name, last):
    """The merged loss is that of the network's own outputs, and so is its gradient."""
    case = Case([cnet.Dense(5, "tanh"), cnet.Dense(4, last)], 3, name, seed=seed_of(last, name))
    value, net = case.step(), case.net
    merged = {key: g.copy() for key, g in net.gradients.items()}
    y = net.forward(case.x)
    if last == "log_softmax":
        y = np.exp(y)
    # Given outputs instead of logits, Poisson's logarithm is of y + 1e-8.
    unit = 1e-7 if name == "poisson" else 1e-12
    assert value == pytest.approx(case.loss(y, case.target), rel=unit)
    dy = case.loss.gradient(y, case.target)
    net.zero_gradients()
    net.backward(dy * y if last == "log_softmax" else dy)
    for key, gradient in net.gradients.items():
        assert np.abs(gradient - merged[key]).max() < unit * max(1, np.abs(dy).max()), key


# ---- random networks ---------------------------------------------------------------------------

NETWORKS = range(2 * len(kernels.ACTIVATIONS))
WIDTHS = (1, 2, 3, 5, 8, 17, 33)
ANY_END = [e for e in ENDS if e[0] != "gaussian_nll" or e[1] == "linear"]


def random_case(number: int) -> Case:
    """Depth 1 to 4, any widths, activations, kinds of layer, loss and batch.

    If no row reaches one of the layers (all its units are in their flat part) parameters and rows
    are drawn again.
    """
    rng = np.random.default_rng(number)
    names = [*kernels.ACTIVATIONS]
    loss, last = ANY_END[rng.integers(len(ANY_END))]
    layers = []
    inputs = (2, 3) if rng.random() < 0.3 else int(rng.choice(WIDTHS))
    if inputs == (2, 3):
        layers.append(cnet.Flatten())
    for place in range(int(rng.integers(number < len(names), 4))):
        # Each activation has its turn; exponentials of exponentials would leave every range.
        name = names[(number + 7 * place) % len(names)]
        name = "tanh" if name in ("exponential", "log_softmax") and place else name
        units = max(int(rng.choice(WIDTHS)), 2 if name.endswith("softmax") else 1)
        if rng.random() < 0.3:
            layers += [cnet.Dense(units, use_bias=False), cnet.Activation(name)]
        else:
            layers.append(cnet.Dense(units, name, use_bias=bool(rng.random() < 0.8)))
    layers.append(cnet.Dense(int(rng.choice([2, 4, 10])), last, use_bias=bool(rng.random() < 0.8)))
    rows, weighted = int(rng.choice([1, 2, 7])), bool(rng.random() < 0.3)
    for seed in range(number, number + 1000, 100):
        case = Case(layers, inputs, loss, rows, weighted, seed=seed)
        case.step()
        if all(gradient.any() for gradient in case.net.gradients.values()):
            return case
    raise AssertionError(f"network {number} has zero gradients, whatever its parameters are")


@pytest.mark.parametrize("number", NETWORKS)
def test_random_network(number):
    """Outputs and loss against the reference, every parameter's gradient, and the data's."""
    case = random_case(number)
    case.check(f"network {number}")
    net, x = case.net, case.x
    expected, _ = reference_forward(net, x)
    assert np.abs(net.predict(x) - expected).max() <= 1e-13 * max(1, np.abs(expected).max())
    y = net.forward(x)
    assert np.array_equal(y, net.predict(x))
    c = np.random.default_rng(number).uniform(0.5, 2, y.shape)
    dx = net.backward(c)
    rows = [x[i : i + 1] for i in range(len(x))]  # a row's outputs depend on no other row
    numeric = [differences(lambda: float(np.sum(c[i] * net.predict(rows[i]))), rows[i])  # noqa: B023
               for i in range(len(x))]  # fmt: skip
    assert_gradient(dx, np.concatenate(numeric), "dx")


def test_random_networks_are_varied():
    cases = [random_case(number) for number in NETWORKS]
    used = {layer.activation.name for case in cases for layer in case.net.layers
            if hasattr(layer, "activation")}  # fmt: skip
    assert used == set(kernels.ACTIVATIONS)
    assert {len(case.net.layers) for case in cases} >= {1, 2, 3, 4}
    widths = {layer.units for case in cases for layer in case.net.layers
              if isinstance(layer, cnet.Dense)}  # fmt: skip
    assert widths >= {1, 33}


@pytest.mark.parametrize("number", NETWORKS)
def test_float32_gradients_are_those_of_float64(number):
    """The same network in both dtypes: rounding errors apart, the same loss and gradients."""
    case = random_case(number)
    net = cnet.Sequential(case.net.layers, seed=1, dtype="float32").build(case.shape)
    net.compile(FREEZE, case.loss)
    for key, parameter in net.parameters.items():
        parameter[...] = case.net.parameters[key]
        case.net.parameters[key][...] = parameter  # what float32 has left of it
    case.x = case.x.astype(np.float32)
    if not case.loss.takes_labels:
        case.target = case.target.astype(np.float32)
    if case.weight is not None:
        case.weight = case.weight.astype(np.float32)
    value = net.train_on_batch(case.x, case.target, case.weight)["loss"]
    unit = 100 * checks.eps("float32")
    assert value == pytest.approx(case.step(), rel=unit, abs=unit)
    size = max(np.abs(gradient).max() for gradient in case.net.gradients.values())
    for key, exact in case.net.gradients.items():
        got = net.gradients[key]
        assert got.dtype == np.float32 and exact.dtype == np.float64
        assert np.abs(got - exact).max() <= unit * size, f"network {number}, {key}"


# ---- sums over batches -------------------------------------------------------------------------


def test_backward_adds_to_parameter_gradients():
    """Twice backward is twice the gradient; the data's gradient is not added to."""
    case = random_case(4)
    net, y = case.net, case.net.forward(case.x)
    c = np.ones_like(y) + y**2
    net.zero_gradients()
    dx = net.backward(c)
    once = {key: g.copy() for key, g in net.gradients.items()}
    net.forward(case.x)
    again = net.backward(c)
    assert np.array_equal(again, dx)
    for key, gradient in net.gradients.items():
        assert once[key].any()
        assert np.abs(gradient - 2 * once[key]).max() <= 1e-14 * np.abs(once[key]).max(), key
    net.zero_gradients()
    assert not any(g.any() for g in net.gradients.values())


@pytest.mark.parametrize("weighted", [False, True], ids=["", "weighted"])
@pytest.mark.parametrize("name", ["mse", "rmse", "sparse_categorical_crossentropy"])
def test_a_batch_larger_than_a_piece_is_one_batch(name, weighted):
    """More than 1024 rows pass in pieces, whose sum is the whole: by backward of all at once."""
    last = "softmax" if "sparse" in name else "linear"
    layers = [cnet.Dense(7, "gelu"), cnet.Dense(3, last)]
    case = Case(layers, 4, name, rows=2500, weighted=weighted, seed=6)
    value, net = case.step(), case.net
    stepped = {key: g.copy() for key, g in net.gradients.items()}
    y = net.forward(case.x)
    assert value == pytest.approx(case.loss(y, case.target, case.weight), rel=1e-12)
    net.zero_gradients()
    net.backward(case.loss.gradient(y, case.target, case.weight))
    for key, gradient in net.gradients.items():
        assert np.abs(gradient - stepped[key]).max() <= 1e-12 * np.abs(gradient).max(), key


def test_the_gradient_is_the_mean_over_the_rows():
    """That of a batch is the mean of the gradients of its rows."""
    case = Case([cnet.Dense(5, "mish"), cnet.Dense(3, "softmax")], 4, "categorical_crossentropy",
                rows=9, seed=2)  # fmt: skip
    case.step()
    whole = {key: g.copy() for key, g in case.net.gradients.items()}
    total = dict.fromkeys(whole, 0.0)
    for i in range(9):
        case.net.train_on_batch(case.x[i : i + 1], case.target[i : i + 1])
        total = {key: total[key] + g for key, g in case.net.gradients.items()}
    for key, gradient in whole.items():
        assert np.abs(gradient - total[key] / 9).max() <= 1e-14, key


def test_a_weight_of_two_is_a_row_that_is_there_twice():
    """Up to the division, which is by the number of rows (as in Keras), not by the weights."""
    case = Case([cnet.Dense(3, "tanh"), cnet.Dense(2)], 4, "huber", rows=6, seed=3)
    case.weight = np.array([1.0, 2, 0, 1, 1, 1])
    value = case.step() * 6
    weighted = {key: g * 6 for key, g in case.net.gradients.items()}
    rows = [0, 1, 1, 3, 4, 5]
    case.x, case.target, case.weight = case.x[rows], case.target[rows], None
    assert case.step() * 6 == pytest.approx(value, rel=1e-13)
    for key, gradient in case.net.gradients.items():
        assert np.abs(gradient * 6 - weighted[key]).max() < 1e-14, key
