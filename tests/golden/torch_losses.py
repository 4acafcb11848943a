"""Every loss of cnet as PyTorch has it, of the outputs and of the logits, with fitting targets."""

from typing import Any, NamedTuple

import numpy as np
import pytest

import cnet

torch = pytest.importorskip("torch")
F = torch.nn.functional


def real_targets(rng, rows, units):
    return rng.standard_normal((rows, units))


def binary_targets(rng, rows, units):
    return rng.integers(0, 2, (rows, units)).astype(np.float64)


def sign_targets(rng, rows, units):
    return 2 * binary_targets(rng, rows, units) - 1


def count_targets(rng, rows, units):
    return rng.poisson(2.0, (rows, units)).astype(np.float64)


def soft_targets(rng, rows, units):
    """Rows that sum to 1; the first is one-hot."""
    targets = rng.dirichlet(np.ones(units), rows)
    targets[0] = np.eye(units)[1]
    return targets


def label_targets(rng, rows, units):
    return rng.integers(0, units, rows)


def half_targets(rng, rows, units):
    """For outputs that hold a mean and a log-variance per target."""
    return rng.standard_normal((rows, units // 2))


def quadratic(y, t):
    return 0.5 * F.mse_loss(y, t, reduction="sum") / len(y)


def rmse(y, t):
    return F.mse_loss(y, t).sqrt()


def smoothed_binary(y, t):
    return F.binary_cross_entropy(y, 0.9 * t + 0.05)


def smoothed_binary_logits(z, t):
    return F.binary_cross_entropy_with_logits(z, 0.9 * t + 0.05)


def cross_entropy(y, t, smoothing=0.0):
    """Of probabilities. F.cross_entropy would normalize them, which changes the gradient."""
    if t.ndim == 1:
        t = F.one_hot(t, y.shape[1])
    return -(((1 - smoothing) * t + smoothing / y.shape[1]) * y.log()).sum(dim=1).mean()


def smoothed_cross_entropy(y, t):
    return cross_entropy(y, t, 0.1)


def smoothed_cross_entropy_logits(z, t):
    return F.cross_entropy(z, t, label_smoothing=0.1)


def poisson(y, t):
    return F.poisson_nll_loss(y, t, log_input=False)


def kl_divergence(y, t):
    return F.kl_div(y.log(), t, reduction="batchmean")


def kl_divergence_logits(z, t):
    return F.kl_div(F.log_softmax(z, dim=1), t, reduction="batchmean")


def hinge(y, t):
    return F.relu(1 - t * y).mean()


def squared_hinge(y, t):
    return F.relu(1 - t * y).square().mean()


def cosine(y, t):
    return 1 - F.cosine_similarity(y, t).mean()


def quantile(y, t):
    return torch.maximum(0.8 * (t - y), -0.2 * (t - y)).mean()


def gaussian_nll(y, t):
    mean, log_variance = y.chunk(2, dim=1)
    return F.gaussian_nll_loss(mean, t, log_variance.exp())


class Case(NamedTuple):
    """One loss in both libraries."""

    loss: Any  # cnet's name of it, or its object
    activation: str  # of the output layer
    targets: Any  # makes them of (rng, rows, units)
    of_outputs: Any  # torch's loss of the outputs; None where that makes no sense
    of_logits: Any = None  # torch's loss before the activation, where cnet merges the two


BCE = cnet.losses.BinaryCrossentropy
CCE = cnet.losses.CategoricalCrossentropy
SCE = cnet.losses.SparseCategoricalCrossentropy
LOGITS = F.binary_cross_entropy_with_logits

LOSSES = {
    "mse": Case("mse", "linear", real_targets, F.mse_loss),
    "quadratic": Case("quadratic", "linear", real_targets, quadratic),
    "rmse": Case("rmse", "tanh", real_targets, rmse),
    "mae": Case("mae", "linear", real_targets, F.l1_loss),
    "huber": Case("huber", "linear", real_targets, F.huber_loss),
    "huber_delta": Case(cnet.losses.Huber(delta=0.4), "linear", real_targets,
                        lambda y, t: F.huber_loss(y, t, delta=0.4)),
    "binary_crossentropy": Case("binary_crossentropy", "sigmoid", binary_targets,
                                F.binary_cross_entropy, LOGITS),
    "binary_crossentropy_smoothed": Case(BCE(label_smoothing=0.1), "sigmoid", binary_targets,
                                         smoothed_binary, smoothed_binary_logits),
    "binary_crossentropy_from_logits": Case(BCE(from_logits=True), "linear", binary_targets,
                                            LOGITS),
    "categorical_crossentropy": Case("categorical_crossentropy", "softmax", soft_targets,
                                     cross_entropy, F.cross_entropy),
    "categorical_crossentropy_smoothed": Case(CCE(label_smoothing=0.1), "softmax", soft_targets,
                                              smoothed_cross_entropy,
                                              smoothed_cross_entropy_logits),
    "categorical_crossentropy_from_logits": Case(CCE(from_logits=True), "linear", soft_targets,
                                                 F.cross_entropy),
    "sparse_categorical_crossentropy": Case("sparse_categorical_crossentropy", "softmax",
                                            label_targets, lambda y, t: F.nll_loss(y.log(), t),
                                            F.cross_entropy),
    "sparse_categorical_crossentropy_log_softmax": Case("sparse_categorical_crossentropy",
                                                        "log_softmax", label_targets, None,
                                                        F.cross_entropy),
    "sparse_categorical_crossentropy_smoothed": Case(SCE(label_smoothing=0.1), "softmax",
                                                     label_targets, smoothed_cross_entropy,
                                                     smoothed_cross_entropy_logits),
    "sparse_categorical_crossentropy_from_logits": Case(SCE(from_logits=True), "linear",
                                                        label_targets, F.cross_entropy),
    "poisson": Case("poisson", "exponential", count_targets, poisson, F.poisson_nll_loss),
    "poisson_softplus": Case("poisson", "softplus", count_targets, poisson),
    "poisson_from_logits": Case(cnet.losses.Poisson(from_logits=True), "linear", count_targets,
                                F.poisson_nll_loss),
    "kl_divergence": Case("kl_divergence", "softmax", soft_targets, kl_divergence,
                          kl_divergence_logits),
    "hinge": Case("hinge", "linear", sign_targets, hinge),
    "squared_hinge": Case("squared_hinge", "tanh", sign_targets, squared_hinge),
    "cosine": Case("cosine", "linear", real_targets, cosine),
    "quantile": Case(cnet.losses.Quantile(q=0.8), "linear", real_targets, quantile),
    "gaussian_nll": Case("gaussian_nll", "linear", half_targets, gaussian_nll),
}
