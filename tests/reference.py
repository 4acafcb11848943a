"""One independent float64 formula per row of every list in csrc/: what the kernels are tested with.

Textbook forms over NumPy arrays and Python floats: slow, without fast paths, and written apart from
the kernels. A new row needs an entry in the table of its kind and nothing else in the tests. Update
rules are in reference_updates.py, the functions of csrc/vmath.h in test_vmath.py.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import mpmath
import numpy as np
import reference_noise

# ---- elementary functions ----------------------------------------------------------------------


def elementwise(function: Callable[[float], float]) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function of Python floats as one of float64 arrays."""

    def of_array(x: np.ndarray) -> np.ndarray:
        values = [function(v) for v in np.ravel(x).tolist()]
        return np.array(values, np.float64).reshape(np.shape(x))

    return of_array


def logistic(x: np.ndarray) -> np.ndarray:
    return np.exp(-np.logaddexp(0.0, -x))


def sech2(x: np.ndarray) -> np.ndarray:
    """The square of the hyperbolic secant, which is the slope of tanh."""
    with np.errstate(over="ignore"):
        return np.cosh(x) ** -2.0


def exponential(x: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        return np.exp(x)


erfc = elementwise(math.erfc)


def normal_distribution(x: np.ndarray) -> np.ndarray:
    return erfc(-x / math.sqrt(2)) / 2


# ---- activations -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Activation:
    """value(x, alpha) and slope(x, alpha), elementwise; `kinks` are where no derivative exists, or
    where it is not smooth."""

    value: Callable
    slope: Callable
    kinks: tuple[float, ...] = ()


@dataclass(frozen=True)
class RowActivation:
    """value(x) of whole rows, and jacobian(x) (B, K, K): [i, k, j] is dy_k / dx_j in row i."""

    value: Callable
    jacobian: Callable
    kinks: tuple[float, ...] = ()


def log_sum_exp(x: np.ndarray) -> np.ndarray:
    return np.logaddexp.reduce(x, axis=1, keepdims=True)


def log_softmax(x: np.ndarray) -> np.ndarray:
    """-log(1 + the other classes' odds): keeps its digits where one class has nearly all."""
    odds = x[:, None, :] - x[:, :, None]  # [i, k, j] of class j against k, in logarithms
    odds[:, np.eye(x.shape[1], dtype=bool)] = -np.inf
    return -np.logaddexp(0.0, np.logaddexp.reduce(odds, axis=2))


def softmax(x: np.ndarray) -> np.ndarray:
    return np.exp(log_softmax(x))


def softmax_jacobian(x: np.ndarray) -> np.ndarray:
    y = softmax(x)
    return y[:, :, None] * (np.eye(x.shape[1]) - y[:, None, :])


def selu_constants() -> tuple[float, float]:
    """alpha and scale of Klambauer et al. (2017), appendix A, from their closed form."""
    with mpmath.workdps(30):
        e, pi = mpmath.e, mpmath.pi
        one, two = mpmath.erfc(1 / mpmath.sqrt(2)), mpmath.erfc(mpmath.sqrt(2))
        alpha = -mpmath.sqrt(2 / pi) / (one * mpmath.sqrt(e) - 1)
        denominator = 2 * two * e**2 + pi * one**2 * e - 2 * (2 + pi) * one * mpmath.sqrt(e)
        scale = (1 - one * mpmath.sqrt(e)) * mpmath.sqrt(2 * pi / (denominator + pi + 2))
        return float(alpha), float(scale)


SELU_ALPHA, SELU_SCALE = selu_constants()


def _gelu_tanh_inner(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """u = sqrt(2/pi) (x + 0.044715 x^3) and du/dx."""
    k = math.sqrt(2 / math.pi)
    return k * (x + 0.044715 * x**3), k * (1 + 3 * 0.044715 * x**2)


def gelu_tanh(x: np.ndarray, a: float) -> np.ndarray:
    return x * logistic(2 * _gelu_tanh_inner(x)[0])  # (1 + tanh u) / 2, also for large -u


def gelu_tanh_slope(x: np.ndarray, a: float) -> np.ndarray:
    u, du = _gelu_tanh_inner(x)
    return logistic(2 * u) + x / 2 * sech2(u) * du


def mish_slope(x: np.ndarray, a: float) -> np.ndarray:
    softplus = np.logaddexp(0.0, x)
    return np.tanh(softplus) + x * sech2(softplus) * logistic(x)


def inside(x: np.ndarray, low: float, high: float) -> np.ndarray:
    return ((x > low) & (x < high)).astype(float)


ACTIVATIONS: dict[str, Activation | RowActivation] = {
    "linear": Activation(lambda x, a: x, lambda x, a: np.ones_like(x)),
    "sigmoid": Activation(lambda x, a: logistic(x), lambda x, a: sech2(x / 2) / 4),
    "tanh": Activation(lambda x, a: np.tanh(x), lambda x, a: sech2(x)),
    "relu": Activation(lambda x, a: np.maximum(x, 0), lambda x, a: np.heaviside(x, 0), (0,)),
    "leaky_relu": Activation(
        lambda x, a: np.where(x > 0, x, a * x), lambda x, a: np.where(x > 0, 1, a), (0,)
    ),
    "elu": Activation(
        lambda x, a: np.where(x > 0, x, a * np.expm1(np.minimum(x, 0))),
        lambda x, a: np.where(x > 0, 1, a * np.exp(np.minimum(x, 0))),
        (0,),
    ),
    "selu": Activation(
        lambda x, a: SELU_SCALE * np.where(x > 0, x, SELU_ALPHA * np.expm1(np.minimum(x, 0))),
        lambda x, a: SELU_SCALE * np.where(x > 0, 1, SELU_ALPHA * np.exp(np.minimum(x, 0))),
        (0,),
    ),
    "gelu": Activation(
        lambda x, a: x * normal_distribution(x),
        lambda x, a: normal_distribution(x) + x * np.exp(-x * x / 2) / math.sqrt(2 * math.pi),
    ),
    "gelu_tanh": Activation(gelu_tanh, gelu_tanh_slope),
    "silu": Activation(
        lambda x, a: x * logistic(x), lambda x, a: logistic(x) + x * sech2(x / 2) / 4
    ),
    "mish": Activation(lambda x, a: x * np.tanh(np.logaddexp(0.0, x)), mish_slope),
    "softplus": Activation(lambda x, a: np.logaddexp(0.0, x), lambda x, a: logistic(x)),
    "softsign": Activation(
        lambda x, a: x / (1 + np.abs(x)), lambda x, a: (1 + np.abs(x)) ** -2.0, (0,)
    ),
    "hard_sigmoid": Activation(
        lambda x, a: np.clip(x + 3, 0, 6) / 6, lambda x, a: inside(x, -3, 3) / 6, (-3, 3)
    ),
    "hard_tanh": Activation(
        lambda x, a: np.clip(x, -1, 1), lambda x, a: inside(x, -1, 1), (-1, 1)
    ),
    "relu6": Activation(lambda x, a: np.clip(x, 0, 6), lambda x, a: inside(x, 0, 6), (0, 6)),
    "exponential": Activation(lambda x, a: exponential(x), lambda x, a: exponential(x)),
    "softmax": RowActivation(softmax, softmax_jacobian),
    "log_softmax": RowActivation(
        log_softmax, lambda x: np.eye(x.shape[1]) - softmax(x)[:, None, :]
    ),
}


def activate(name: str, x: np.ndarray, alpha: float) -> np.ndarray:
    """y = f(x)."""
    row, x = ACTIVATIONS[name], np.asarray(x, np.float64)
    return row.value(x) if isinstance(row, RowActivation) else row.value(x, alpha)


def activate_backward(name: str, x: np.ndarray, dy: np.ndarray, alpha: float) -> np.ndarray:
    """dx by the chain rule."""
    row = ACTIVATIONS[name]
    x, dy = np.asarray(x, np.float64), np.asarray(dy, np.float64)
    if isinstance(row, RowActivation):
        return np.einsum("ik,ikj->ij", dy, row.jacobian(x))
    return dy * row.slope(x, alpha)


# ---- layers ------------------------------------------------------------------------------------

LAYERS: dict[str, Callable] = {
    "dense": lambda x, name, alpha, w, b: activate(name, x @ w + (0 if b is None else b), alpha),
    "activation": lambda x, name, alpha, w, b: activate(name, x, alpha),
    # Random layers when they are asked; reference_noise.py has what they do while training.
    **dict.fromkeys(reference_noise.NAMES, lambda x, name, alpha, w, b: x),
    "layer_normalization": lambda x, name, alpha, w, b: normalize(x, 1) * w + b,
    "batch_normalization": lambda x, name, alpha, w, b: normalize(x, 0) * w + b,
    # One column of categories, whose table is w.
    "columns": lambda x, name, alpha, w, b: w[x[:, 0].astype(int)],
    # Merges: x is the list of what all branches give.
    "add": lambda x, name, alpha, w, b: np.sum(x, axis=0),
    "mul": lambda x, name, alpha, w, b: np.prod(x, axis=0),
    "concat": lambda x, name, alpha, w, b: np.concatenate(x, axis=1),
}


def normalize(x, axis: int, epsilon: float = 1e-5):
    """Return (x - mean) / sqrt(variance + epsilon), both taken along an axis."""
    apart = x - x.mean(axis, keepdims=True)
    return apart / np.sqrt(np.mean(apart**2, axis, keepdims=True) + epsilon)

# ---- losses ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Loss:
    """terms(y, t, p) returns values (B, any), which are summed, and the gradient (B, K); p has
    `parameter` and `smoothing`. Labels come as one-hot rows.

    `outputs` and `targets` say what the numbers may be, `kink(y, t, p)` how far each is from where
    the loss is not smooth, `parameter` is what the tests set; `root` takes the root of the sum.
    """

    terms: Callable
    outputs: str = "real"
    targets: str = "real"
    kink: Callable | None = None
    parameter: float = 0.0
    root: bool = False


@dataclass(frozen=True)
class LossSettings:
    parameter: float = 0.0
    smoothing: float = 0.0


def clamped_log(y: np.ndarray) -> np.ndarray:
    """PyTorch's lower bound of -100 for the logarithm of a probability."""
    with np.errstate(divide="ignore"):
        return np.maximum(np.log(y), -100.0)


def binary(t: np.ndarray, p: LossSettings) -> np.ndarray:
    return (1 - p.smoothing) * t + p.smoothing / 2


def categorical(t: np.ndarray, p: LossSettings) -> np.ndarray:
    return (1 - p.smoothing) * t + p.smoothing / t.shape[1]


def probability_crossentropy(y, t, p):
    t = categorical(t, p)
    return -t * clamped_log(y), -t / np.maximum(y, 1e-12)


def logits_crossentropy(z, t, p):
    t, log_y = categorical(t, p), z - log_sum_exp(z)
    return -t * log_y, np.exp(log_y) * t.sum(axis=1, keepdims=True) - t


def binary_crossentropy(y, t, p):
    t = binary(t, p)
    value = -t * clamped_log(y) - (1 - t) * clamped_log(1 - y)
    return value, (y - t) / np.maximum(y * (1 - y), 1e-12)


def binary_crossentropy_logits(z, t, p):
    t = binary(t, p)
    value = t * np.logaddexp(0.0, -z) + (1 - t) * np.logaddexp(0.0, z)
    return value, (1 - t) * logistic(z) - t * logistic(-z)


def entropy_terms(t: np.ndarray) -> np.ndarray:
    return np.where(t > 0, t * np.log(np.where(t > 0, t, 1)), 0.0)


def kl_divergence(y, t, p):
    return entropy_terms(t) - t * clamped_log(y), -t / np.maximum(y, 1e-12)


def kl_divergence_logits(z, t, p):
    value, gradient = logits_crossentropy(z, t, LossSettings())
    return np.hstack([entropy_terms(t), value]), gradient


def hinge(y, t, p):
    return np.maximum(1 - t * y, 0), np.where(t * y < 1, -t, 0.0)


def squared_hinge(y, t, p):
    return np.maximum(1 - t * y, 0) ** 2, -2 * t * np.maximum(1 - t * y, 0)


def huber(y, t, p):
    e, d = y - t, p.parameter
    value = np.where(np.abs(e) <= d, e**2 / 2, d * (np.abs(e) - d / 2))
    return value, np.clip(e, -d, d)


def quantile(y, t, p):
    e, q = t - y, p.parameter
    return np.maximum(q * e, (q - 1) * e), np.where(e > 0, -q, np.where(e < 0, 1 - q, 0.0))


def cosine(y, t, p):
    length_y, length_t = (np.linalg.norm(v, axis=1, keepdims=True) for v in (y, t))
    unit_y, unit_t = y / np.maximum(length_y, 1e-8), t / np.maximum(length_t, 1e-8)
    c = np.sum(unit_y * unit_t, axis=1, keepdims=True)
    return 1 - c, (c * unit_y - unit_t) / np.maximum(length_y, 1e-8)


def gaussian_nll(y, t, p):
    mean, log_variance = np.split(y, 2, axis=1)
    variance = np.maximum(np.exp(log_variance), 1e-6)
    value = (np.log(variance) + (mean - t) ** 2 / variance) / 2
    by_variance = (1 / variance - (mean - t) ** 2 / variance**2) / 2
    return value, np.hstack([(mean - t) / variance, by_variance * np.exp(log_variance)])


LOSSES: dict[str, Loss] = {
    "mse": Loss(lambda y, t, p: ((y - t) ** 2, 2 * (y - t))),
    "quadratic": Loss(lambda y, t, p: ((y - t) ** 2 / 2, y - t)),
    "rmse": Loss(lambda y, t, p: ((y - t) ** 2, 2 * (y - t)), root=True),
    "mae": Loss(
        lambda y, t, p: (np.abs(y - t), np.sign(y - t)), kink=lambda y, t, p: np.abs(y - t)
    ),
    "huber": Loss(
        huber, kink=lambda y, t, p: np.abs(np.abs(y - t) - p.parameter), parameter=0.7
    ),
    "binary_crossentropy": Loss(binary_crossentropy, "probability", "probability"),
    "binary_crossentropy_logits": Loss(binary_crossentropy_logits, "real", "probability"),
    "categorical_crossentropy": Loss(probability_crossentropy, "probability", "distribution"),
    "categorical_crossentropy_logits": Loss(logits_crossentropy, "real", "distribution"),
    "sparse_categorical_crossentropy": Loss(probability_crossentropy, "probability", "labels"),
    "sparse_categorical_crossentropy_logits": Loss(logits_crossentropy, "real", "labels"),
    "poisson": Loss(
        lambda y, t, p: (y - t * np.log(y + 1e-8), 1 - t / (y + 1e-8)), "positive", "count"
    ),
    "poisson_logits": Loss(lambda z, t, p: (np.exp(z) - t * z, np.exp(z) - t), "real", "count"),
    "kl_divergence": Loss(kl_divergence, "probability", "distribution"),
    "kl_divergence_logits": Loss(kl_divergence_logits, "real", "distribution"),
    "hinge": Loss(hinge, "real", "sign", kink=lambda y, t, p: np.abs(1 - t * y)),
    "squared_hinge": Loss(squared_hinge, "real", "sign", kink=lambda y, t, p: np.abs(1 - t * y)),
    "cosine": Loss(cosine),
    "quantile": Loss(quantile, kink=lambda y, t, p: np.abs(y - t), parameter=0.3),
    "gaussian_nll": Loss(gaussian_nll, "real", "half"),
}


def loss_terms(name, y, target, parameter=0.0, smoothing=0.0):
    """Return what each row's loss is the sum of, and each row's gradient: (B, any), (B, K)."""
    y = np.asarray(y, np.float64)
    labels = LOSSES[name].targets == "labels"
    t = np.eye(y.shape[1])[target] if labels else np.asarray(target, np.float64)
    return LOSSES[name].terms(y, t, LossSettings(parameter, smoothing))


def loss(name, y, target, weight=None, scale=1.0, parameter=0.0, smoothing=0.0):
    """Return scale times the weighted sum over a batch, and its gradient (B, K)."""
    terms, gradient = loss_terms(name, y, target, parameter, smoothing)
    w = np.ones(len(terms)) if weight is None else np.asarray(weight, np.float64)
    value = scale * math.fsum((w[:, None] * terms).ravel())
    gradient = scale * w[:, None] * gradient
    if LOSSES[name].root:
        return math.sqrt(value), gradient / (2 * math.sqrt(value))
    return value, gradient


# ---- metrics: one row's figure -----------------------------------------------------------------

METRICS: dict[str, Callable] = {
    "binary_accuracy": lambda y, t: np.mean((y > 0.5) == (t > 0.5)),
    "categorical_accuracy": lambda y, t: float(np.argmax(y) == np.argmax(t)),
    "sparse_accuracy": lambda y, label: float(np.argmax(y) == label),
    "mse": lambda y, t: np.mean((y - t) ** 2),
    "mae": lambda y, t: np.mean(np.abs(y - t)),
}

# ---- element types of the user's arrays --------------------------------------------------------

SOURCES: dict[str, type] = {
    "f32": np.float32, "f64": np.float64, "f16": np.float16,
    "u8": np.uint8, "i8": np.int8, "u16": np.uint16, "i16": np.int16,
    "u32": np.uint32, "i32": np.int32, "u64": np.uint64, "i64": np.int64,
}  # fmt: skip
