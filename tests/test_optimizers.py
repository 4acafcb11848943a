"""Update rules: against stored steps of PyTorch and Keras, and properties that all must have.

``golden/optimizers.json`` is made by ``golden/make_goldens.py``.
"""

import math

import numpy as np
import pytest
from golden import TOLERANCE, assert_close, load, sizes_along

import cnet

GOLDEN = load("optimizers")
ENTRIES = GOLDEN["entries"]
DTYPES = ["float32", "float64"]

# Tighter than for networks: one step is a dozen roundings. 1 - beta_2 computed in float32, say,
# is off by 1e-5 and its root by half of that.
STEP_TOLERANCE = {"float32": 3e-6, "float64": 1e-12}

# Every rule with a state for each of its options, and settings that are nobody's defaults.
RULES = {
    "sgd": (cnet.SGD, {"learning_rate": 0.1}),
    "momentum": (cnet.SGD, {"learning_rate": 0.05, "momentum": 0.8}),
    "nesterov": (cnet.SGD, {"learning_rate": 0.05, "momentum": 0.8, "nesterov": True}),
    "adagrad": (cnet.AdaGrad, {"learning_rate": 0.1, "initial_accumulator": 0.1}),
    "adadelta": (cnet.AdaDelta, {"learning_rate": 0.5, "rho": 0.8, "epsilon": 1e-3}),
    "rmsprop": (cnet.RMSprop, {"learning_rate": 0.02, "rho": 0.9}),
    "rmsprop_full": (
        cnet.RMSprop,
        {"learning_rate": 0.02, "rho": 0.9, "centered": True, "momentum": 0.7},
    ),
    "adam": (cnet.Adam, {"learning_rate": 0.05, "beta_1": 0.8, "beta_2": 0.95}),
    "adamw": (cnet.AdamW, {"learning_rate": 0.05, "beta_2": 0.95, "weight_decay": 0.0}),
    "amsgrad": (cnet.AMSGrad, {"learning_rate": 0.05, "beta_2": 0.9}),
    "adamax": (cnet.Adamax, {"learning_rate": 0.05, "beta_2": 0.9}),
    "nadam": (cnet.Nadam, {"learning_rate": 0.05, "beta_2": 0.95, "momentum_decay": 0.02}),
    "lion": (cnet.Lion, {"learning_rate": 0.01, "beta_1": 0.8, "beta_2": 0.9}),
    "rprop": (cnet.Rprop, {"learning_rate": 0.02, "eta_minus": 0.6, "max_step": 0.5}),
    "muon": (cnet.Muon, {"learning_rate": 0.05, "adamw_factor": 1.0, "weight_decay": 0.0}),
    "schedule_free": (
        cnet.ScheduleFreeAdamW,
        {"learning_rate": 0.05, "beta_1": 0.8, "beta_2": 0.95, "warmup_steps": 3},
    ),
}
CLASSES = sorted({cls for cls, _ in RULES.values()}, key=lambda cls: cls.__name__)

each_rule = pytest.mark.parametrize(("cls", "kwargs"), RULES.values(), ids=RULES.keys())
# What gradients at another point than the parameters decay is there too: see the goldens.
DECAYED = {name: rule for name, rule in RULES.items() if name != "schedule_free"}
each_decayed_rule = pytest.mark.parametrize(("cls", "kwargs"), DECAYED.values(), ids=DECAYED)
each_dtype = pytest.mark.parametrize("dtype", DTYPES)


class Stepper:
    """One vector of parameters under one optimizer, stepped by given gradients."""

    def __init__(self, optimizer, start, dtype: str):
        self.net = cnet.Sequential([cnet.Dense(1, use_bias=False)], dtype=dtype)
        self.net.build(len(start))
        self.net.compile(optimizer=optimizer, loss="mse")
        self.parameters = self.net.parameters["dense_1.weight"][:, 0]
        self.gradients = self.net.gradients["dense_1.weight"][:, 0]
        self.parameters[:] = start

    def step(self, gradient) -> np.ndarray:
        """Return a copy of the parameters after one update."""
        self.gradients[:] = gradient
        self.net.apply_gradients()
        return self.parameters.copy()


def walk(optimizer, start, gradients, dtype: str) -> np.ndarray:
    """Parameters after each step, (steps, n)."""
    stepper = Stepper(optimizer, start, dtype)
    return np.array([stepper.step(gradient) for gradient in gradients])


def random_case(n: int, steps: int, seed: int = 5) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.standard_normal(n), rng.standard_normal((steps, n))


# ---- against PyTorch and Keras -----------------------------------------------------------------


@each_dtype
@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry["name"])
def test_golden_steps(entry, dtype):
    optimizer = getattr(cnet, entry["optimizer"])(**entry["kwargs"])
    stepper = Stepper(optimizer, GOLDEN["start"], dtype)
    expected = np.array(entry[dtype])
    scales = sizes_along(expected, GOLDEN["start"])
    for step, gradient in enumerate(GOLDEN["gradients"]):
        assert_close(stepper.step(gradient), expected[step], scales[step], STEP_TOLERANCE[dtype],
                     f"{entry['reference']}, step {step + 1}")


def test_every_optimizer_has_goldens_and_a_rule():
    known = {type(cnet.optimizers.get(name)) for name in cnet.optimizers.names()}
    known = {cls for cls in known if not cls().takes_whole_set}  # see test_lbfgs.py
    assert known == set(CLASSES)
    assert {cls.__name__ for cls in known} == {entry["optimizer"] for entry in ENTRIES}


# ---- properties of every rule --------------------------------------------------------------------

LENGTHS = [1, 2, 3, 7, 8, 9, *range(15, 34), 64, 100]


@each_dtype
@each_rule
def test_an_element_does_not_see_the_length(cls, kwargs, dtype):
    """Vector bodies and scalar tails agree: n together equal one by one, up to rounding."""
    start, gradients = random_case(max(LENGTHS), steps=3)
    one_by_one = np.hstack([
        walk(cls(**kwargs), start[i:i + 1], gradients[:, i:i + 1], dtype)
        for i in range(max(LENGTHS))
    ])
    # A fused multiply-add in one of two loops costs an ulp or so per operation.
    tolerance = 8 * np.finfo(dtype).eps
    for n in LENGTHS:
        path = walk(cls(**kwargs), start[:n], gradients[:, :n], dtype)
        expected = one_by_one[:, :n]
        assert_close(path, expected, sizes_along(expected, start[:n]), tolerance, f"n = {n}")


@each_dtype
@each_decayed_rule
def test_weight_decay_coupled_is_added_to_the_gradient(cls, kwargs, dtype):
    decay = 0.05
    start, gradients = random_case(20, steps=5)
    kwargs = kwargs | {"weight_decay": 0.0, "decoupled_weight_decay": False}
    decayed = Stepper(cls(**kwargs | {"weight_decay": decay}), start, dtype)
    plain = Stepper(cls(**kwargs), start, dtype)
    for step, gradient in enumerate(gradients):
        expected = plain.step(gradient.astype(dtype) + decay * plain.parameters)
        assert_close(decayed.step(gradient), expected, np.abs(start) + 0.1, TOLERANCE[dtype],
                     f"step {step + 1}")


@each_dtype
@each_decayed_rule
def test_weight_decay_decoupled_shrinks_the_parameters(cls, kwargs, dtype):
    """Without decay the moves depend on the gradients alone: decay only shrinks in between."""
    decay = 0.05
    start, gradients = random_case(20, steps=5)
    kwargs = kwargs | {"weight_decay": 0.0, "decoupled_weight_decay": True}
    plain = walk(cls(**kwargs), start, gradients, dtype).astype(np.float64)
    path = walk(cls(**kwargs | {"weight_decay": decay}), start, gradients, dtype)
    moves = np.diff(np.vstack([start, plain]), axis=0)
    p = start
    for step, move in enumerate(moves):
        p = (1 - kwargs["learning_rate"] * decay) * p + move
        assert_close(path[step], p, np.abs(start) + 0.1, TOLERANCE[dtype], f"step {step + 1}")
    assert np.abs(path[-1] - plain[-1]).max() > 100 * TOLERANCE[dtype]


@each_rule
def test_a_zero_gradient_moves_nothing(cls, kwargs):
    start, _ = random_case(9, steps=1)
    path = walk(cls(**kwargs), start, np.zeros((3, 9)), "float64")
    np.testing.assert_array_equal(path, np.tile(start, (3, 1)))


@each_rule
def test_compiling_again_forgets_the_state(cls, kwargs):
    start, gradients = random_case(9, steps=4)
    stepper = Stepper(cls(**kwargs), start, "float64")
    first = [stepper.step(gradient) for gradient in gradients]
    stepper.net.compile(optimizer=cls(**kwargs), loss="mse")
    stepper.net.parameters["dense_1.weight"][:, 0] = start
    for gradient, expected in zip(gradients, first, strict=True):
        stepper.net.gradients["dense_1.weight"][:, 0] = gradient
        stepper.net.apply_gradients()
        np.testing.assert_array_equal(stepper.net.parameters["dense_1.weight"][:, 0], expected)


@each_dtype
@each_rule
def test_a_convex_quadratic_is_reduced(cls, kwargs, dtype):
    """Least squares without noise, full batch: its minimum is 0."""
    rng = np.random.default_rng(8)
    x = rng.standard_normal((40, 6)).astype(dtype)
    y = x @ rng.standard_normal((6, 1)).astype(dtype)
    net = cnet.Sequential([cnet.Dense(1, use_bias=False)], dtype=dtype)
    net.build(6)
    net.compile(optimizer=cls(**kwargs), loss="mse")
    net.parameters["dense_1.weight"][:] = 0.0
    losses = net.fit(x, y, epochs=400, batch_size=None, shuffle=False, verbose=0)["loss"]
    assert losses[0] == pytest.approx(np.mean(np.square(y)), rel=1e-5)
    assert losses[-1] < 1e-3 * losses[0]


# ---- bad settings ------------------------------------------------------------------------------

BAD_VALUES = {
    "learning_rate": [-1.0, math.nan, math.inf],
    "momentum": [-0.1, math.nan],
    "weight_decay": [-0.1, math.nan, math.inf],
    "epsilon": [-1e-8, math.nan],
    "rho": [-0.1, 1.5, math.nan],
    "beta_1": [-0.1, 1.0, math.nan],
    "beta_2": [-0.1, 1.0, math.nan],
    "learning_rate_decay": [-0.1, math.nan],
    "initial_accumulator": [-0.1, math.nan],
    "momentum_decay": [-0.1, math.nan],
    "eta_minus": [0.0, 1.0, math.nan],
    "eta_plus": [1.0, -1.2, math.nan, math.inf],
    "warmup_steps": [-1],
    "adamw_factor": [-0.1, math.nan, math.inf],
    "min_step": [-1e-6, math.nan],
    "max_step": [0.0, -1.0, math.nan, math.inf],
    "centered": [],
    "nesterov": [],
    "decoupled_weight_decay": [],
    "weight_decay_on": ["biases", "no", 1, None],
    "clipvalue": [0.0, -0.1, math.nan, math.inf],
    "clipnorm": [0.0, -0.1, math.nan, math.inf],
    "global_clipnorm": [0.0, -0.1, math.nan, math.inf],
}
# None means that nothing is clipped.
OPTIONAL = ("clipvalue", "clipnorm", "global_clipnorm")


@pytest.mark.parametrize("cls", CLASSES)
def test_bad_settings_are_refused_by_name(cls):
    """A number out of range is a ValueError, something else than a number a TypeError."""
    names = set(cls.fields)
    assert {"learning_rate", "weight_decay", "decoupled_weight_decay"} <= names
    for name in sorted(names):
        bad = [(value, ValueError) for value in BAD_VALUES[name]]
        wrong = ("0.1", "no") if name in OPTIONAL else ("0.1", "no", None)
        if name != "weight_decay_on":  # a word out of a list
            bad += [(value, TypeError) for value in wrong]
        for value, error in bad:
            with pytest.raises(error, match=rf"\b{name}\b") as caught:
                cls(**{name: value})
            assert str(value) in str(caught.value), f"{name}={value!r}: the value is not named"


def test_nesterov_needs_momentum():
    with pytest.raises(ValueError, match=r"nesterov.*momentum"):
        cnet.SGD(nesterov=True)


def test_rprops_smallest_step_is_not_above_its_largest():
    with pytest.raises(ValueError, match=r"min_step is 2\.0.*max_step, 1\.0"):
        cnet.Rprop(min_step=2.0, max_step=1.0)


@pytest.mark.parametrize("cls", CLASSES)
def test_an_unknown_setting_is_refused(cls):
    with pytest.raises(TypeError, match="lr"):
        cls(lr=0.1)


@pytest.mark.parametrize("cls", CLASSES)
def test_a_description_is_frozen(cls):
    optimizer = cls()
    with pytest.raises(AttributeError, match="cannot be changed"):
        optimizer.learning_rate = 0.5
