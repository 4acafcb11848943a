"""The update rules of csrc/optimizers.h in plain Python floats, one parameter at a time.

Each is written down from its paper, with the definitions of PyTorch where these differ, and apart
from the kernels. A new row needs an entry in `UPDATES` and nothing else in the tests.
"""

import math
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class RuleSettings:
    """The eight numbers of csrc/optimizers.h, in their order."""

    rate: float = 0.1
    l2: float = 0.0
    decay: float = 0.0
    beta_1: float = 0.9
    beta_2: float = 0.99
    epsilon: float = 1e-3
    extra: float = 0.0
    share: float = 0.5


def adam_moments(g, t, s, h):
    """The bias-corrected moments of Kingma and Ba (2015), algorithm 1."""
    s["m"] = h.beta_1 * s["m"] + (1 - h.beta_1) * g
    s["v"] = h.beta_2 * s["v"] + (1 - h.beta_2) * g**2
    return s["m"] / (1 - h.beta_1**t), s["v"] / (1 - h.beta_2**t)


def momentum(g, t, s, h):
    s["v"] = h.beta_1 * s["v"] + g
    return h.rate * s["v"]


def nesterov(g, t, s, h):
    s["v"] = h.beta_1 * s["v"] + g
    return h.rate * (g + h.beta_1 * s["v"])


def adagrad(g, t, s, h):
    s["sum"] += g**2
    return h.rate / (1 + (t - 1) * h.extra) * g / (math.sqrt(s["sum"]) + h.epsilon)


def adadelta(g, t, s, h):
    s["g2"] = h.beta_1 * s["g2"] + (1 - h.beta_1) * g**2
    step = math.sqrt(s["step2"] + h.epsilon) / math.sqrt(s["g2"] + h.epsilon) * g
    s["step2"] = h.beta_1 * s["step2"] + (1 - h.beta_1) * step**2
    return h.rate * step


def rmsprop(g, t, s, h, centered=False, accumulate=False):
    s["g2"] = h.beta_1 * s["g2"] + (1 - h.beta_1) * g**2
    s["g"] = h.beta_1 * s["g"] + (1 - h.beta_1) * g
    variance = s["g2"] - s["g"] ** 2 if centered else s["g2"]
    step = g / (math.sqrt(max(variance, 0.0)) + h.epsilon)
    s["step"] = (h.extra * s["step"] if accumulate else 0.0) + step
    return h.rate * s["step"]


def adam(g, t, s, h):
    m, v = adam_moments(g, t, s, h)
    return h.rate * m / (math.sqrt(v) + h.epsilon)


def amsgrad(g, t, s, h):
    m, _ = adam_moments(g, t, s, h)
    s["largest"] = max(s["largest"], s["v"])
    return h.rate * m / (math.sqrt(s["largest"] / (1 - h.beta_2**t)) + h.epsilon)


def adamax(g, t, s, h):
    m, _ = adam_moments(g, t, s, h)
    s["u"] = max(h.beta_2 * s["u"], abs(g) + h.epsilon)
    return h.rate * m / s["u"]


def nadam(g, t, s, h):
    """Dozat (2016) with the schedule of momenta that its section 3 and PyTorch use."""
    mu = [h.beta_1 * (1 - 0.96 ** (i * h.extra) / 2) for i in range(1, t + 2)]
    _, v = adam_moments(g, t, s, h)
    m = mu[t] * s["m"] / (1 - math.prod(mu)) + (1 - mu[t - 1]) * g / (1 - math.prod(mu[:t]))
    return h.rate * m / (math.sqrt(v) + h.epsilon)


def lion(g, t, s, h):
    c = h.beta_1 * s["m"] + (1 - h.beta_1) * g
    s["m"] = h.beta_2 * s["m"] + (1 - h.beta_2) * g
    return h.rate * float(np.sign(c))


def rprop(g, t, s, h):
    """Igel and Huesken (2003), iRprop-; the step is kept in learning rates and starts with 0."""
    sign = float(np.sign(g))
    turn = sign * s["sign"]
    change = h.beta_2 if turn > 0 else h.beta_1 if turn < 0 else 1.0
    s["size"] = min(max(h.rate * s["size"] * change, h.epsilon), h.extra) / h.rate
    s["sign"] = 0.0 if turn < 0 else sign
    return h.rate * s["size"] * s["sign"]


# step(g, t, s, h): what step t takes off a parameter whose gradient is g; s is its state.
UPDATES: dict[str, Callable] = {
    "sgd": lambda g, t, s, h: h.rate * g,
    "sgd_momentum": momentum,
    "sgd_nesterov": nesterov,
    "adagrad": adagrad,
    "adadelta": adadelta,
    "rmsprop": rmsprop,
    "rmsprop_centered": lambda *a: rmsprop(*a, centered=True),
    "rmsprop_momentum": lambda *a: rmsprop(*a, accumulate=True),
    "rmsprop_centered_momentum": lambda *a: rmsprop(*a, centered=True, accumulate=True),
    "adam": adam,
    "amsgrad": amsgrad,
    "adamax": adamax,
    "nadam": nadam,
    "lion": lion,
    "rprop": rprop,
}


def schedule_free_adamw(p: float, gradients: list[float], h: RuleSettings) -> list[float]:
    """Defazio et al. (2024), algorithm 1, with the warm-up and the weights of their code."""
    x = z = p
    v = largest = total = 0.0
    path = []
    for t, gradient in enumerate(gradients, 1):
        y = (1 - h.beta_1) * z + h.beta_1 * x
        g = gradient + h.l2 * y
        v = h.beta_2 * v + (1 - h.beta_2) * g**2
        rate = h.rate * min(1.0, t / h.extra if h.extra else 1.0)
        z -= rate * (g / (math.sqrt(v / (1 - h.beta_2**t)) + h.epsilon) + h.decay * y)
        largest = max(largest, rate)
        total += largest**2
        x += largest**2 / total * (z - x)
        path.append(x)
    return path


def muon(p: float, gradients: list[float], h: RuleSettings) -> list[float]:
    """What is no hidden matrix is AdamW's, at its share of the rate."""
    return walk("adam", p, gradients, replace(h, rate=h.rate * h.share))


# Rules that are more than something that is taken off: walk(p, gradients, h).
WALKS: dict[str, Callable] = {"schedule_free_adamw": schedule_free_adamw, "muon": muon}


def walk(name: str, p: float, gradients: list[float], h: RuleSettings) -> list[float]:
    """Return one parameter after each step."""
    if name in WALKS:
        return WALKS[name](p, gradients, h)
    state: dict[str, float] = defaultdict(float)
    path = []
    for t, gradient in enumerate(gradients, 1):
        g = gradient + h.l2 * p
        p = p - h.rate * h.decay * p - UPDATES[name](g, t, state, h)
        path.append(p)
    return path
