"""Write optimizers.json and networks.json, the reference values of the tests.

Run by hand, never by the tests, where PyTorch (CPU), Keras and schedulefree are installed::

    KERAS_BACKEND=torch python tests/golden/make_goldens.py

Nothing here imports cnet: the values come from ``torch.optim``, ``torch.autograd`` and
``keras.optimizers`` alone, so that cnet is never compared with itself. Each entry says which
reference made it, and how it was called. Two runs with the same versions write the same bytes.
"""

import json
import os
import pathlib
from importlib.metadata import version

os.environ.setdefault("KERAS_BACKEND", "torch")

import keras
import numpy as np
import torch
from schedulefree import AdamWScheduleFreeReference

HERE = pathlib.Path(__file__).parent
DTYPES = {"float32": torch.float32, "float64": torch.float64}
STEPS = 10
TORCH = f"torch {torch.__version__}"
KERAS = f"keras {keras.__version__} on {TORCH}"

# One element per case that tells wrong update rules apart: an ordinary one that starts at 0, an
# ordinary one, one whose gradient is always 0 (only weight decay may move it), a large one, a
# small one, one whose gradient is as small as epsilon (inside or outside of the root?), and one
# whose gradient is 0 except now and then (what does the state do meanwhile?).
START = [0.0, 1.25, -2.5, 300.0, -1e-4, 0.0, 0.75]
GRADIENT_SCALES = [1.0, 0.3, 0.0, 50.0, 1e-3, 1e-8, 1.0]
SPARSE_STEPS = (2, 3, 7)


def make_gradients() -> list[list[float]]:
    """Ten gradient vectors of seven elements, of four significant digits."""
    rng = np.random.default_rng(20240607)
    gradients = rng.standard_normal((STEPS, len(START))) * GRADIENT_SCALES
    idle = [step for step in range(STEPS) if step not in SPARSE_STEPS]
    gradients[idle, 6] = 0.0
    gradients[4, :2] = 0.0
    return [[float(f"{value:.4g}") + 0.0 for value in row] for row in gradients]


# (entry name, cnet class, cnet keyword arguments, torch class, torch keyword arguments).
# The rows named ..._defaults leave every argument out: they hold cnet to PyTorch's defaults,
# except for SGD's learning rate, which is Keras's 0.01.
TORCH_OPTIMIZERS = [
    ("sgd_defaults", "SGD", {}, "SGD", {"lr": 0.01}),
    ("sgd_plain", "SGD", {"learning_rate": 0.1}, "SGD", {"lr": 0.1}),
    ("sgd_momentum", "SGD", {"learning_rate": 0.1, "momentum": 0.9},
     "SGD", {"lr": 0.1, "momentum": 0.9}),
    ("sgd_nesterov", "SGD", {"learning_rate": 0.05, "momentum": 0.8, "nesterov": True},
     "SGD", {"lr": 0.05, "momentum": 0.8, "nesterov": True}),
    ("sgd_weight_decay", "SGD", {"learning_rate": 0.1, "weight_decay": 0.05},
     "SGD", {"lr": 0.1, "weight_decay": 0.05}),
    ("sgd_momentum_weight_decay", "SGD",
     {"learning_rate": 0.1, "momentum": 0.9, "weight_decay": 0.05},
     "SGD", {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.05}),
    ("sgd_nesterov_weight_decay", "SGD",
     {"learning_rate": 0.05, "momentum": 0.8, "nesterov": True, "weight_decay": 0.05},
     "SGD", {"lr": 0.05, "momentum": 0.8, "nesterov": True, "weight_decay": 0.05}),
    ("adagrad_defaults", "AdaGrad", {}, "Adagrad", {}),
    ("adagrad_learning_rate_decay", "AdaGrad",
     {"learning_rate": 0.1, "learning_rate_decay": 0.2}, "Adagrad", {"lr": 0.1, "lr_decay": 0.2}),
    ("adagrad_initial_accumulator", "AdaGrad",
     {"learning_rate": 0.1, "initial_accumulator": 0.5},
     "Adagrad", {"lr": 0.1, "initial_accumulator_value": 0.5}),
    ("adagrad_weight_decay", "AdaGrad", {"learning_rate": 0.1, "weight_decay": 0.05},
     "Adagrad", {"lr": 0.1, "weight_decay": 0.05}),
    ("adagrad_epsilon", "AdaGrad", {"learning_rate": 0.1, "epsilon": 1e-3},
     "Adagrad", {"lr": 0.1, "eps": 1e-3}),
    ("adadelta_defaults", "AdaDelta", {}, "Adadelta", {}),
    ("adadelta_settings", "AdaDelta", {"learning_rate": 0.5, "rho": 0.7, "epsilon": 1e-4},
     "Adadelta", {"lr": 0.5, "rho": 0.7, "eps": 1e-4}),
    ("adadelta_weight_decay", "AdaDelta", {"weight_decay": 0.05},
     "Adadelta", {"weight_decay": 0.05}),
    ("rmsprop_defaults", "RMSprop", {}, "RMSprop", {}),
    ("rmsprop_centered", "RMSprop", {"learning_rate": 0.02, "rho": 0.9, "centered": True},
     "RMSprop", {"lr": 0.02, "alpha": 0.9, "centered": True}),
    ("rmsprop_momentum", "RMSprop", {"learning_rate": 0.02, "momentum": 0.9},
     "RMSprop", {"lr": 0.02, "momentum": 0.9}),
    ("rmsprop_centered_momentum", "RMSprop",
     {"learning_rate": 0.02, "rho": 0.9, "centered": True, "momentum": 0.8, "epsilon": 1e-6},
     "RMSprop", {"lr": 0.02, "alpha": 0.9, "centered": True, "momentum": 0.8, "eps": 1e-6}),
    ("rmsprop_weight_decay", "RMSprop", {"learning_rate": 0.02, "weight_decay": 0.05},
     "RMSprop", {"lr": 0.02, "weight_decay": 0.05}),
    ("adam_defaults", "Adam", {}, "Adam", {}),
    ("adam_settings", "Adam",
     {"learning_rate": 0.05, "beta_1": 0.8, "beta_2": 0.95, "epsilon": 1e-4},
     "Adam", {"lr": 0.05, "betas": (0.8, 0.95), "eps": 1e-4}),
    ("adam_weight_decay", "Adam", {"learning_rate": 0.01, "weight_decay": 0.05},
     "Adam", {"lr": 0.01, "weight_decay": 0.05}),
    ("adam_decoupled_weight_decay", "Adam",
     {"learning_rate": 0.01, "weight_decay": 0.05, "decoupled_weight_decay": True},
     "Adam", {"lr": 0.01, "weight_decay": 0.05, "decoupled_weight_decay": True}),
    ("adamw_defaults", "AdamW", {}, "AdamW", {}),
    ("adamw_settings", "AdamW",
     {"learning_rate": 0.01, "beta_1": 0.8, "beta_2": 0.95, "weight_decay": 0.1},
     "AdamW", {"lr": 0.01, "betas": (0.8, 0.95), "weight_decay": 0.1}),
    ("amsgrad_defaults", "AMSGrad", {}, "Adam", {"amsgrad": True}),
    ("amsgrad_weight_decay", "AMSGrad",
     {"learning_rate": 0.01, "beta_2": 0.9, "weight_decay": 0.05},
     "Adam", {"lr": 0.01, "betas": (0.9, 0.9), "weight_decay": 0.05, "amsgrad": True}),
    ("amsgrad_decoupled_weight_decay", "AMSGrad",
     {"learning_rate": 0.01, "beta_2": 0.9, "weight_decay": 0.05, "decoupled_weight_decay": True},
     "AdamW", {"lr": 0.01, "betas": (0.9, 0.9), "weight_decay": 0.05, "amsgrad": True}),
    ("adamax_defaults", "Adamax", {}, "Adamax", {}),
    ("adamax_settings", "Adamax",
     {"learning_rate": 0.05, "beta_1": 0.8, "beta_2": 0.9, "epsilon": 1e-3,
      "weight_decay": 0.05},
     "Adamax", {"lr": 0.05, "betas": (0.8, 0.9), "eps": 1e-3, "weight_decay": 0.05}),
    ("nadam_defaults", "Nadam", {}, "NAdam", {}),
    ("nadam_settings", "Nadam",
     {"learning_rate": 0.02, "beta_1": 0.8, "beta_2": 0.95, "momentum_decay": 0.05,
      "weight_decay": 0.05},
     "NAdam", {"lr": 0.02, "betas": (0.8, 0.95), "momentum_decay": 0.05, "weight_decay": 0.05}),
    ("nadam_decoupled_weight_decay", "Nadam",
     {"learning_rate": 0.02, "weight_decay": 0.05, "decoupled_weight_decay": True},
     "NAdam", {"lr": 0.02, "weight_decay": 0.05, "decoupled_weight_decay": True}),
    # Whatever is no hidden matrix; those are in test_muon.py.
    ("muon_others_defaults", "Muon", {},
     "AdamW", {"lr": 0.02 * 0.015, "betas": (0.9, 0.95), "eps": 1e-10, "weight_decay": 0.0}),
    ("muon_others_weight_decay", "Muon",
     {"learning_rate": 0.1, "adamw_factor": 0.5, "weight_decay": 0.05},
     "AdamW", {"lr": 0.05, "betas": (0.9, 0.95), "eps": 1e-10, "weight_decay": 0.05}),
    ("rprop_defaults", "Rprop", {}, "Rprop", {}),
    ("rprop_settings", "Rprop",
     {"learning_rate": 0.05, "eta_minus": 0.6, "eta_plus": 1.5, "min_step": 0.03,
      "max_step": 0.1},
     "Rprop", {"lr": 0.05, "etas": (0.6, 1.5), "step_sizes": (0.03, 0.1)}),
]

# Of the package schedulefree; the parameters are looked at as for an evaluation.
SCHEDULE_FREE = [
    ("schedule_free_adamw_defaults", {}, {}),
    ("schedule_free_adamw_warmup", {"learning_rate": 0.05, "beta_2": 0.95, "warmup_steps": 4},
     {"lr": 0.05, "betas": (0.9, 0.95), "warmup_steps": 4}),
    ("schedule_free_adamw_weight_decay",
     {"learning_rate": 0.02, "beta_1": 0.7, "epsilon": 1e-3, "weight_decay": 0.05},
     {"lr": 0.02, "betas": (0.7, 0.999), "eps": 1e-3, "weight_decay": 0.05}),
]

# Keras's weight_decay is always decoupled. Its SGD and Adadelta are the same rules as PyTorch's
# while the learning rate is constant, so they vouch for the decoupled forms PyTorch lacks.
KERAS_OPTIMIZERS = [
    ("lion_defaults", "Lion", {}, "Lion", {"learning_rate": 1e-4}),
    ("lion_settings", "Lion", {"learning_rate": 0.01, "beta_1": 0.8, "beta_2": 0.95},
     "Lion", {"learning_rate": 0.01, "beta_1": 0.8, "beta_2": 0.95}),
    ("lion_weight_decay", "Lion", {"learning_rate": 0.01, "weight_decay": 0.1},
     "Lion", {"learning_rate": 0.01, "weight_decay": 0.1}),
    ("sgd_momentum_decoupled_weight_decay", "SGD",
     {"learning_rate": 0.1, "momentum": 0.9, "weight_decay": 0.05,
      "decoupled_weight_decay": True},
     "SGD", {"learning_rate": 0.1, "momentum": 0.9, "weight_decay": 0.05}),
    ("adadelta_decoupled_weight_decay", "AdaDelta",
     {"weight_decay": 0.05, "decoupled_weight_decay": True},
     "Adadelta", {"learning_rate": 1.0, "rho": 0.9, "epsilon": 1e-6, "weight_decay": 0.05}),
]


def numbers(array) -> list:
    """Nested lists whose JSON text gives the same float32 or float64 back, bit for bit."""
    array = np.asarray(array)
    shortest = np.array([float(str(value)) for value in array.ravel()])
    if not np.array_equal(shortest.astype(array.dtype), array.ravel()):
        raise AssertionError("the shortest decimal form does not round-trip")
    return shortest.reshape(array.shape).tolist()


def call_text(prefix: str, name: str, kwargs: dict) -> str:
    return f"{prefix}{name}({', '.join(f'{key}={value!r}' for key, value in kwargs.items())})"


def run_torch_optimizer(name: str, kwargs: dict, gradients, dtype: torch.dtype) -> list:
    parameter = torch.tensor(START, dtype=dtype, requires_grad=True)
    optimizer = getattr(torch.optim, name)([parameter], **kwargs)
    path = []
    for gradient in gradients:
        parameter.grad = torch.tensor(gradient, dtype=dtype)
        optimizer.step()
        path.append(parameter.detach().numpy().copy())
    return path


def run_schedule_free(kwargs: dict, gradients, dtype: torch.dtype) -> list:
    parameter = torch.tensor(START, dtype=dtype, requires_grad=True)
    optimizer = AdamWScheduleFreeReference([parameter], **kwargs)
    path = []
    for gradient in gradients:
        optimizer.train()
        parameter.grad = torch.tensor(gradient, dtype=dtype)
        optimizer.step()
        optimizer.eval()
        path.append(parameter.detach().numpy().copy())
    return path


def run_keras_optimizer(name: str, kwargs: dict, gradients, dtype_name: str) -> list:
    keras.config.set_floatx(dtype_name)
    variable = keras.Variable(np.array(START, dtype_name), dtype=dtype_name)
    optimizer = getattr(keras.optimizers, name)(**kwargs)
    optimizer.build([variable])
    path = []
    for gradient in gradients:
        gradient = keras.ops.convert_to_tensor(np.array(gradient, dtype_name))
        optimizer.apply([gradient], [variable])
        path.append(keras.ops.convert_to_numpy(variable).copy())
    return path


def check_lion_against_paper(path, kwargs: dict, gradients) -> None:
    """Keras's Lion must be algorithm 2 of arXiv:2302.06675, weight decay included:
    p -= lr (sign(beta_1 m + (1 - beta_1) g) + weight_decay p), then m."""
    beta_1, beta_2 = kwargs.get("beta_1", 0.9), kwargs.get("beta_2", 0.99)
    p, m = np.array(START), np.zeros(len(START))
    for row, g in zip(path, np.array(gradients), strict=True):
        direction = np.sign(beta_1 * m + (1 - beta_1) * g)
        p = p - kwargs["learning_rate"] * (direction + kwargs.get("weight_decay", 0.0) * p)
        m = beta_2 * m + (1 - beta_2) * g
        np.testing.assert_allclose(row, p, rtol=1e-12, atol=1e-12)


def make_optimizers() -> dict:
    gradients = make_gradients()
    entries = []
    for name, optimizer, kwargs, torch_name, torch_kwargs in TORCH_OPTIMIZERS:
        entry = {"name": name, "optimizer": optimizer, "kwargs": kwargs,
                 "reference": call_text("torch.optim.", torch_name, torch_kwargs),
                 "version": TORCH}
        for dtype_name, dtype in DTYPES.items():
            path = run_torch_optimizer(torch_name, torch_kwargs, gradients, dtype)
            entry[dtype_name] = numbers(path)
        entries.append(entry)
    for name, kwargs, torch_kwargs in SCHEDULE_FREE:
        entry = {"name": name, "optimizer": "ScheduleFreeAdamW", "kwargs": kwargs,
                 "reference": call_text("schedulefree.", "AdamWScheduleFree", torch_kwargs),
                 "version": f"schedulefree {version('schedulefree')}, {TORCH}"}
        for dtype_name, dtype in DTYPES.items():
            entry[dtype_name] = numbers(run_schedule_free(torch_kwargs, gradients, dtype))
        entries.append(entry)
    for name, optimizer, kwargs, keras_name, keras_kwargs in KERAS_OPTIMIZERS:
        entry = {"name": name, "optimizer": optimizer, "kwargs": kwargs,
                 "reference": call_text("keras.optimizers.", keras_name, keras_kwargs),
                 "version": KERAS}
        for dtype_name in DTYPES:
            path = run_keras_optimizer(keras_name, keras_kwargs, gradients, dtype_name)
            entry[dtype_name] = numbers(path)
        if keras_name == "Lion":
            entry["reference"] += ", which equals the paper's p -= lr (sign(..) + weight_decay p)"
            check_lion_against_paper(entry["float64"], keras_kwargs, gradients)
        entries.append(entry)
    return {
        "about": "Parameters after each of ten steps from `start` with `gradients`: made by "
                 "make_goldens.py from the reference that each entry names.",
        "start": START, "gradients": gradients, "entries": entries,
    }


ACTIVATIONS = {"tanh": torch.tanh, "relu": torch.relu, "gelu": torch.nn.functional.gelu,
               "silu": torch.nn.functional.silu, "linear": lambda z: z}

# The output activation that the loss merges (softmax, sigmoid) is left to the torch loss.
NETWORKS = [
    {"name": "regression", "inputs": 5, "batch": 6, "seed": 11,
     "layers": [(8, "tanh"), (8, "tanh"), (2, "linear")], "loss": "mse",
     "torch_loss": "mse_loss",
     "optimizer": ("SGD", {"learning_rate": 0.1, "momentum": 0.9}),
     "torch_optimizer": ("SGD", {"lr": 0.1, "momentum": 0.9})},
    {"name": "classification", "inputs": 6, "batch": 8, "seed": 12,
     "layers": [(16, "relu"), (12, "relu"), (4, "softmax")],
     "loss": "sparse_categorical_crossentropy", "torch_loss": "cross_entropy",
     "optimizer": ("Adam", {"learning_rate": 0.01}), "torch_optimizer": ("Adam", {"lr": 0.01})},
    {"name": "multi_label", "inputs": 4, "batch": 6, "seed": 13,
     "layers": [(9, "gelu"), (7, "silu"), (3, "sigmoid")],
     "loss": "binary_crossentropy", "torch_loss": "binary_cross_entropy_with_logits",
     "optimizer": ("RMSprop", {"learning_rate": 0.005, "rho": 0.9, "centered": True}),
     "torch_optimizer": ("RMSprop", {"lr": 0.005, "alpha": 0.9, "centered": True})},
]


def make_network_start(network: dict) -> tuple[dict, dict]:
    """Initial weights in cnet's layout, (inputs, units), and ten batches; short decimals."""
    rng = np.random.default_rng(network["seed"])
    weights, inputs = {}, network["inputs"]
    for number, (units, _) in enumerate(network["layers"], 1):
        limit = np.sqrt(6 / (inputs + units))
        weights[f"dense_{number}.weight"] = rng.uniform(-limit, limit, (inputs, units)).round(4)
        weights[f"dense_{number}.bias"] = rng.uniform(-0.3, 0.3, units).round(4)
        inputs = units
    x = rng.standard_normal((STEPS, network["batch"], network["inputs"])).round(3)
    shape = (STEPS, network["batch"], inputs)
    if network["loss"] == "mse":
        y = rng.standard_normal(shape).round(3)
    elif network["loss"] == "binary_crossentropy":
        y = rng.integers(0, 2, shape)
    else:
        y = rng.integers(0, inputs, shape[:2])
    return weights, {"x": x.tolist(), "y": y.tolist()}


def train_torch(network: dict, weights: dict, batches: dict, dtype: torch.dtype) -> dict:
    parameters = {
        name: torch.tensor(value, dtype=dtype, requires_grad=True)
        for name, value in weights.items()
    }
    optimizer_name, kwargs = network["torch_optimizer"]
    optimizer = getattr(torch.optim, optimizer_name)(parameters.values(), **kwargs)
    loss_of = getattr(torch.nn.functional, network["torch_loss"])
    classes = network["loss"] == "sparse_categorical_crossentropy"
    result = {"losses": []}
    for step, (x, y) in enumerate(zip(batches["x"], batches["y"], strict=True), 1):
        h = torch.tensor(x, dtype=dtype)
        for number, (_, activation) in enumerate(network["layers"], 1):
            h = h @ parameters[f"dense_{number}.weight"] + parameters[f"dense_{number}.bias"]
            h = ACTIVATIONS.get(activation, ACTIVATIONS["linear"])(h)
        loss = loss_of(h, torch.tensor(y, dtype=torch.int64 if classes else dtype))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        result["losses"].append(loss.detach().numpy())
        if step in (1, STEPS):
            result[f"after_{step}"] = {
                name: numbers(value.detach().numpy()) for name, value in parameters.items()
            }
    result["losses"] = numbers(result["losses"])
    return result


def make_networks() -> dict:
    entries = []
    for network in NETWORKS:
        weights, batches = make_network_start(network)
        optimizer, kwargs = network["optimizer"]
        entry = {
            "name": network["name"], "inputs": network["inputs"],
            "layers": [{"units": u, "activation": a} for u, a in network["layers"]],
            "loss": network["loss"], "optimizer": optimizer, "kwargs": kwargs,
            "reference": f"torch.nn.functional.{network['torch_loss']} by torch.autograd; "
                         + call_text("torch.optim.", *network["torch_optimizer"]),
            "version": TORCH,
            "weights": {name: value.tolist() for name, value in weights.items()},
            "batches": batches,
        }
        for dtype_name, dtype in DTYPES.items():
            entry[dtype_name] = train_torch(network, weights, batches, dtype)
        entries.append(entry)
    return {
        "about": "Ten training steps, a new batch each: losses before each step, weights after "
                 "the first and the last. Made by make_goldens.py.",
        "networks": entries,
    }


def write(name: str, content: dict) -> None:
    text = json.dumps(content, separators=(",", ":"), allow_nan=False)
    # One entry a line keeps the files small and their differences readable.
    text = text.replace('{"name":', '\n{"name":')
    (HERE / name).write_text(text + "\n", encoding="utf-8")
    print(f"{name}: {len(text) / 1024:.0f} KiB")


def main() -> None:
    # NAdam keeps its running product in the default dtype, whatever the parameters' dtype is.
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    write("optimizers.json", make_optimizers())
    write("networks.json", make_networks())


if __name__ == "__main__":
    main()
