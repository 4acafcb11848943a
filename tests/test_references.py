"""Layers, losses, gradients and update rules against PyTorch, where it is installed."""

import numpy as np
import pytest
from golden import TOLERANCE, assert_close, size_of, sizes_along
from golden.torch_losses import LOSSES, soft_targets

import cnet

torch = pytest.importorskip("torch")
F = torch.nn.functional

DTYPES = ["float32", "float64"]
each_dtype = pytest.mark.parametrize("dtype", DTYPES)


@pytest.fixture(autouse=True)
def torch_settings():
    """Torch keeps a few running scalars of its optimizers in the default dtype."""
    dtype, threads = torch.get_default_dtype(), torch.get_num_threads()
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)  # more of them cost far more than tensors as small as these
    yield
    torch.set_default_dtype(dtype)
    torch.set_num_threads(threads)


def tensor(array, **options):
    return torch.tensor(np.asarray(array), **options)


# ---- networks ----------------------------------------------------------------------------------

ACTIVATIONS = {
    "linear": lambda z: z,
    "relu": F.relu,
    "leaky_relu": lambda z: F.leaky_relu(z, 0.01),
    "elu": F.elu,
    "selu": F.selu,
    "gelu": F.gelu,
    "gelu_tanh": lambda z: F.gelu(z, approximate="tanh"),
    "silu": F.silu,
    "mish": F.mish,
    "softplus": F.softplus,
    "softsign": F.softsign,
    # F.hardsigmoid's gradient in float64 has only the digits of a float32 sixth.
    "hard_sigmoid": lambda z: F.relu6(z + 3) / 6,
    "hard_tanh": F.hardtanh,
    "relu6": F.relu6,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "exponential": torch.exp,
    "softmax": lambda z: F.softmax(z, dim=1),
    "log_softmax": lambda z: F.log_softmax(z, dim=1),
}


class Pair:
    """One network twice, with the same weights: in cnet and as torch tensors."""

    def __init__(self, inputs: int, layers: list, dtype: str, seed: int):
        rng = np.random.default_rng(seed)
        self.dtype, self.layers = dtype, layers
        self.net = cnet.Sequential([cnet.Dense(*layer) for layer in layers], dtype=dtype)
        self.net.build(inputs)
        self.tensors = {}
        for name, parameter in self.net.parameters.items():
            # Small, or four exponentials in a row lose digits of float32 in every program.
            limit = 0.3 if parameter.ndim == 1 else 0.7 * parameter.shape[0] ** -0.5
            parameter[:] = rng.uniform(-limit, limit, parameter.shape)
            self.tensors[name] = tensor(parameter, requires_grad=True)

    def logits(self, x):
        """The torch network before its last activation."""
        h = x
        for number, (_, activation) in enumerate(self.layers, 1):
            h = h @ self.tensors[f"dense_{number}.weight"] + self.tensors[f"dense_{number}.bias"]
            if number < len(self.layers):
                h = ACTIVATIONS[activation](h)
        return h

    def forward(self, x):
        return ACTIVATIONS[self.layers[-1][1]](self.logits(x))

    def check_gradients(self) -> None:
        assert self.net.gradients.keys() == self.tensors.keys()
        for name, parameter in self.tensors.items():
            self.close(self.net.gradients[name], parameter.grad, f"gradient of {name}")

    def check_parameters(self, what: str) -> None:
        for name, parameter in self.tensors.items():
            self.close(self.net.parameters[name], parameter.detach(), f"{name} {what}")

    def close(self, actual, expected, what: str) -> None:
        expected = expected.detach().numpy()
        assert_close(actual, expected, size_of(expected), TOLERANCE[self.dtype], what)

    def check_by_hand(self, x, loss, targets, torch_loss, torch_targets) -> None:
        """Outputs, loss, and the gradients of all parameters and of the input, unmerged."""
        torch_x = tensor(x, requires_grad=True)
        expected = self.forward(torch_x)
        expected.retain_grad()
        value = torch_loss(expected, torch_targets)
        value.backward()
        outputs = self.net.forward(x)
        self.close(outputs, expected, "outputs")
        self.close(loss(outputs, targets), value, "loss")
        dy = loss.gradient(outputs, targets)
        self.close(dy, expected.grad, "gradient of the outputs")
        self.net.zero_gradients()
        dx = self.net.backward(dy)
        assert all(np.any(gradient) for gradient in self.net.gradients.values())
        self.check_gradients()
        self.close(dx, torch_x.grad, "gradient of the input")


def random_layers(rng, activations: list[str], units: int | None = None) -> list:
    widths = [int(rng.integers(2, 20)) for _ in activations]
    if units is not None:
        widths[-1] = units
    return list(zip(widths, activations, strict=True))


@each_dtype
@pytest.mark.parametrize("depth", [1, 2, 3, 4])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_networks_of_one_activation(activation, depth, dtype):
    rng = np.random.default_rng(depth)
    pair = Pair(7, random_layers(rng, [activation] * depth), dtype, seed=depth)
    x = rng.standard_normal((9, 7)).astype(dtype)
    targets = rng.standard_normal((9, pair.layers[-1][0])).astype(dtype)
    pair.check_by_hand(x, cnet.losses.get("mse"), targets, F.mse_loss, tensor(targets))


@each_dtype
@pytest.mark.parametrize("seed", range(12))
def test_networks_of_mixed_activations(seed, dtype):
    rng = np.random.default_rng(100 + seed)
    activations = [str(name) for name in rng.choice(list(ACTIVATIONS), 1 + seed % 4)]
    inputs, rows = int(rng.integers(1, 30)), int(rng.integers(1, 40))
    pair = Pair(inputs, random_layers(rng, activations), dtype, seed)
    x = rng.standard_normal((rows, inputs)).astype(dtype)
    targets = rng.standard_normal((rows, pair.layers[-1][0])).astype(dtype)
    pair.check_by_hand(x, cnet.losses.get("huber"), targets, F.huber_loss, tensor(targets))


# ---- losses --------------------------------------------------------------------------------------

UNITS = 6
BY_HAND = [name for name, case in LOSSES.items() if case.of_outputs]
MERGED = [name for name, case in LOSSES.items() if case.of_logits]


def loss_case(name: str, dtype: str, seed: int, rows: int = 11):
    """A network that ends as the loss wants, cnet's loss, an input and targets."""
    case = LOSSES[name]
    rng = np.random.default_rng(seed)
    pair = Pair(5, [(8, "tanh"), (UNITS, case.activation)], dtype, seed)
    x = rng.standard_normal((rows, 5)).astype(dtype)
    return pair, cnet.losses.get(case.loss), x, make_targets(case, rng, rows, dtype)


def make_targets(case, rng, rows: int, dtype: str) -> np.ndarray:
    targets = case.targets(rng, rows, UNITS)
    return targets.astype(dtype) if targets.ndim == 2 else targets


def torch_training_loss(name: str, pair: Pair, x, targets):
    """The loss as cnet trains it, from the logits where it is merged with the activation."""
    case = LOSSES[name]
    if case.of_logits:
        return case.of_logits(pair.logits(tensor(x)), tensor(targets))
    return case.of_outputs(pair.forward(tensor(x)), tensor(targets))


def test_every_activation_and_loss_is_compared():
    assert set(ACTIVATIONS) == set(cnet.activations.names())
    assert {cnet.losses.get(case.loss).name for case in LOSSES.values()} == set(
        cnet.losses.names())


@each_dtype
@pytest.mark.parametrize("name", BY_HAND)
def test_losses_by_hand(name, dtype):
    pair, loss, x, targets = loss_case(name, dtype, seed=21)
    pair.check_by_hand(x, loss, targets, LOSSES[name].of_outputs, tensor(targets))


@each_dtype
@pytest.mark.parametrize("name", LOSSES)
def test_losses_in_training(name, dtype):
    pair, loss, x, targets = loss_case(name, dtype, seed=22)
    pair.net.compile(optimizer=cnet.SGD(learning_rate=1.0), loss=loss)
    value = torch_training_loss(name, pair, x, targets)
    value.backward()
    pair.close(pair.net.train_on_batch(x, targets)["loss"], value, "loss")
    pair.check_gradients()
    with torch.no_grad():
        for parameter in pair.tensors.values():
            parameter -= parameter.grad
    pair.check_parameters("after a step of size 1")


@each_dtype
@pytest.mark.parametrize("name", LOSSES)
def test_losses_evaluated(name, dtype):
    """`evaluate` reports the same loss that training reduces."""
    pair, loss, x, targets = loss_case(name, dtype, seed=23, rows=50)
    pair.net.compile(optimizer="sgd", loss=loss)
    value = torch_training_loss(name, pair, x, targets)
    pair.close(pair.net.evaluate(x, targets)["loss"], value, "loss")


@each_dtype
@pytest.mark.parametrize("name", MERGED)
@pytest.mark.parametrize("size", [30.0, 80.0])
def test_merged_losses_at_extreme_logits(name, dtype, size):
    """Saturated outputs, right and wrong ones: computed from the logits, nothing is lost.

    Torch computes in float64 for both dtypes: its float32 form loses the digits of small losses.
    """
    case = LOSSES[name]
    rng = np.random.default_rng(31)
    logits = (size * rng.choice([-1.0, -0.5, 0.5, 1.0], (20, UNITS))).astype(dtype)
    targets = make_targets(case, rng, 20, dtype)
    # softmax - t is a difference for soft targets, rounded like numbers near 1; nothing else is.
    floor = 0.1 if case.targets is soft_targets else 1e-5
    net = cnet.Sequential([cnet.Dense(UNITS, case.activation)], dtype=dtype)
    net.build(UNITS)
    net.compile(optimizer=cnet.SGD(learning_rate=0.1), loss=case.loss)
    for z, t in zip(logits[:, None, :], targets[:, None], strict=True):
        net.parameters["dense_1.weight"][:] = np.eye(UNITS)
        net.parameters["dense_1.bias"][:] = 0.0
        torch_z = tensor(z, dtype=torch.float64, requires_grad=True)
        value = case.of_logits(torch_z, tensor(t, dtype=None if t.ndim == 1 else torch.float64))
        value.backward()
        value, gradient = value.item(), torch_z.grad.numpy()[0]
        found = net.train_on_batch(z, t)["loss"]
        assert_close(found, value, max(abs(value), 1e-5), TOLERANCE[dtype], "loss")
        assert_close(net.gradients["dense_1.bias"], gradient, np.maximum(np.abs(gradient), floor),
                     TOLERANCE[dtype], "gradient of the logits")


# ---- update rules --------------------------------------------------------------------------------

# cnet's class: torch's class, fixed arguments of torch's, {cnet's field: torch's argument}
COMMON = {"learning_rate": "lr", "weight_decay": "weight_decay", "epsilon": "eps"}
ADAM = COMMON | {"beta_1": "betas", "beta_2": "betas"}
OPTIMIZERS = {
    "SGD": ("SGD", {}, {"learning_rate": "lr", "weight_decay": "weight_decay",
                        "momentum": "momentum"}),
    "AdaGrad": ("Adagrad", {}, COMMON | {"learning_rate_decay": "lr_decay",
                                         "initial_accumulator": "initial_accumulator_value"}),
    "AdaDelta": ("Adadelta", {}, COMMON | {"rho": "rho"}),
    "RMSprop": ("RMSprop", {}, COMMON | {"rho": "alpha", "momentum": "momentum",
                                         "centered": "centered"}),
    "Adam": ("Adam", {}, ADAM),
    "AdamW": ("AdamW", {}, ADAM),
    "AMSGrad": ("Adam", {"amsgrad": True}, ADAM),
    "Adamax": ("Adamax", {}, ADAM),
    "Nadam": ("NAdam", {}, ADAM | {"momentum_decay": "momentum_decay"}),
    "Rprop": ("Rprop", {}, {"learning_rate": "lr", "eta_minus": "etas", "eta_plus": "etas",
                            "min_step": "step_sizes", "max_step": "step_sizes"}),
}
SETTINGS = {
    "learning_rate": lambda rng: 10 ** rng.uniform(-3, -1),
    "weight_decay": lambda rng: float(rng.choice([0.0, 0.01, 0.1])),
    "epsilon": lambda rng: 10 ** rng.uniform(-8, -3),
    "momentum": lambda rng: float(rng.choice([0.0, 0.5, 0.9])),
    "learning_rate_decay": lambda rng: rng.uniform(0, 0.5),
    "initial_accumulator": lambda rng: rng.uniform(0, 1),
    "rho": lambda rng: rng.uniform(0.7, 0.99),
    "centered": lambda rng: bool(rng.random() < 0.5),
    "beta_1": lambda rng: rng.uniform(0.5, 0.95),
    "beta_2": lambda rng: rng.uniform(0.8, 0.999),
    "momentum_decay": lambda rng: rng.uniform(0, 0.1),
    "eta_minus": lambda rng: rng.uniform(0.3, 0.8),
    "eta_plus": lambda rng: rng.uniform(1.1, 1.5),
    "min_step": lambda rng: rng.choice([1e-6, 1e-3]),
    "max_step": lambda rng: rng.uniform(0.1, 0.5),
}


def optimizer_pair(name: str, seed: int, tensors) -> tuple:
    """The same rule with the same random settings in both libraries."""
    rng = np.random.default_rng(seed)
    torch_name, torch_kwargs, fields = OPTIMIZERS[name]
    kwargs, torch_kwargs = {}, dict(torch_kwargs)
    for field, argument in fields.items():
        value = kwargs[field] = SETTINGS[field](rng)
        if argument in ("betas", "etas", "step_sizes"):
            torch_kwargs[argument] = (*torch_kwargs.get(argument, ()), value)
        else:
            torch_kwargs[argument] = value
    return getattr(cnet, name)(**kwargs), getattr(torch.optim, torch_name)(tensors, **torch_kwargs)


@each_dtype
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers(name, seed, dtype):
    rng = np.random.default_rng(seed)
    start = rng.standard_normal(50).astype(dtype)
    gradients = rng.standard_normal((10, 50)).astype(dtype)
    parameter = tensor(start, requires_grad=True)
    optimizer, torch_optimizer = optimizer_pair(name, seed, [parameter])
    net = cnet.Sequential([cnet.Dense(1, use_bias=False)], dtype=dtype)
    net.build(50)
    net.compile(optimizer=optimizer, loss="mse")
    net.parameters["dense_1.weight"][:, 0] = start
    path, expected = [], []
    for gradient in gradients:
        parameter.grad = tensor(gradient)
        torch_optimizer.step()
        expected.append(parameter.detach().numpy().copy())
        net.gradients["dense_1.weight"][:, 0] = gradient
        net.apply_gradients()
        path.append(net.parameters["dense_1.weight"][:, 0].copy())
    assert_close(path, expected, sizes_along(expected, start), TOLERANCE[dtype], repr(optimizer))


@each_dtype
@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("loss_name", ["huber", "sparse_categorical_crossentropy"])
def test_ten_training_steps(loss_name, name, dtype):
    pair, loss, x, targets = loss_case(loss_name, dtype, seed=41)
    optimizer, torch_optimizer = optimizer_pair(name, 3, list(pair.tensors.values()))
    pair.net.compile(optimizer=optimizer, loss=loss)
    for step in range(10):
        torch_optimizer.zero_grad()
        value = torch_training_loss(loss_name, pair, x, targets)
        value.backward()
        torch_optimizer.step()
        pair.close(pair.net.train_on_batch(x, targets)["loss"], value, f"loss of step {step}")
    pair.check_parameters("after ten steps")


# ---- learning rates ----------------------------------------------------------------------------

SCHEDULES = {
    "StepLR": ({"step_size": 7, "gamma": 0.3}, cnet.schedules.Step(0.2, 7, 0.3)),
    "MultiStepLR": ({"milestones": [3, 20]}, cnet.schedules.MultiStep(0.2, [3, 20])),
    "ExponentialLR": ({"gamma": 0.93}, cnet.schedules.Exponential(0.2, 0.93)),
    "PolynomialLR": ({"total_iters": 40, "power": 2}, cnet.schedules.Polynomial(0.2, 40, power=2)),
    "CosineAnnealingLR": ({"T_max": 60, "eta_min": 0.01}, cnet.schedules.Cosine(0.2, 60, 0.01)),
    "CosineAnnealingWarmRestarts": (
        {"T_0": 5, "T_mult": 2, "eta_min": 0.01},
        cnet.schedules.CosineRestarts(0.2, 5, 0.01, t_mult=2),
    ),
    "OneCycleLR": ({"max_lr": 0.2, "total_steps": 61}, cnet.schedules.OneCycle(0.2, 61)),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules(name):
    settings, schedule = SCHEDULES[name]
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.2)
    theirs = getattr(torch.optim.lr_scheduler, name)(optimizer, **settings)
    rates = []
    for _ in range(60):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        theirs.step()
    np.testing.assert_allclose(schedule(np.arange(60)), rates, rtol=1e-12)


# ---- data ----------------------------------------------------------------------------------------


def test_a_loader_gives_the_batches_that_arrays_give():
    rng = np.random.default_rng(1)
    x, labels = rng.normal(size=(60, 4)), rng.integers(0, 3, 60)
    data = torch.utils.data.TensorDataset(tensor(x), tensor(labels))
    nets = []
    for _ in range(2):
        net = cnet.Sequential([cnet.Dense(8, "relu"), cnet.Dense(3, "softmax")], seed=1)
        nets.append(net.compile("adam", "sparse_categorical_crossentropy", ["accuracy", "f1"]))
    nets[0].fit(x, labels, batch_size=16, shuffle=False, epochs=2, verbose=0)
    loader = torch.utils.data.DataLoader(data, batch_size=16)
    nets[1].fit(loader, epochs=2, validation_data=loader, verbose=0)
    for key in ("loss", "accuracy", "f1"):
        assert nets[0].history[key] == nets[1].history[key]
    assert all(map(np.array_equal, nets[0].get_weights(), nets[1].get_weights()))
    expected = nets[0].evaluate(x, labels)
    assert nets[1].history["val_f1"][-1] == expected["f1"]
    assert nets[1].history["val_loss"][-1] == pytest.approx(expected["loss"], rel=1e-6)
