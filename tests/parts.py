"""Parts of a user's own that compute what cnet's own compute."""

from __future__ import annotations

import numpy as np

import cnet
from cnet import custom


class OwnTanh(custom.Activation):
    """As "tanh"."""

    def forward(self, x):
        return np.tanh(x)

    def backward(self, x, y, dy):
        return dy * (1 - y * y)


class OwnLeaky(custom.Activation):
    """As "leaky_relu", with its setting."""

    alpha: float = 0.01

    def forward(self, x):
        return np.where(x > 0, x, self.alpha * x)

    def backward(self, x, y, dy):
        return np.where(x > 0, dy, self.alpha * dy)


class OwnDense(custom.Layer):
    """As `Dense` without an activation."""

    units: int
    start: str = "glorot_uniform"

    def output_shape(self, shape):
        return (self.units,)

    def parameters(self, shape):
        return {"weight": ((shape[0], self.units), self.start), "bias": ((self.units,), "zeros")}

    def forward(self, x, parameters, training):
        return x @ parameters["weight"] + parameters["bias"]

    def backward(self, x, y, dy, parameters, training):
        dx = dy @ parameters["weight"].T
        return dx, {"weight": x.T @ dy, "bias": dy.sum(axis=0)}


class OwnMSE(custom.Loss):
    """As "mse"."""

    def forward(self, y, target):
        return ((y - target) ** 2).mean(axis=1)

    def backward(self, y, target):
        return 2 * (y - target) / y.shape[1]


class OwnSparse(custom.Loss):
    """As "sparse_categorical_crossentropy" with from_logits=True."""

    labels = True

    def forward(self, y, target):
        top = y.max(axis=1)
        total = np.log(np.exp(y - top[:, None]).sum(axis=1)) + top
        return total - y[np.arange(len(y)), target]

    def backward(self, y, target):
        p = np.exp(y - y.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        p[np.arange(len(y)), target] -= 1
        return p


class OwnMomentum(custom.Optimizer):
    """As `SGD` with momentum."""

    states = 1
    momentum: float = 0.9

    def update(self, parameter, gradient, states, step, learning_rate):
        (velocity,) = states
        velocity *= self.momentum
        velocity += gradient
        parameter -= learning_rate * velocity


class OwnAdam(custom.Optimizer):
    """As `Adam`."""

    states = 2

    def update(self, parameter, gradient, states, step, learning_rate):
        m, v = states
        m += 0.1 * (gradient - m)
        v += 0.001 * (gradient**2 - v)
        size = np.sqrt(v / (1 - 0.999**step)) + 1e-8
        parameter -= learning_rate / (1 - 0.9**step) * m / size


CLASSES = {
    cls.__name__: cls
    for cls in (OwnTanh, OwnLeaky, OwnDense, OwnMSE, OwnSparse, OwnMomentum, OwnAdam)
}


def own_network(**settings) -> cnet.Sequential:
    """Return a compiled network all of whose parts are the user's own."""
    layers = [OwnDense(units=5), cnet.Activation(OwnTanh()), cnet.Dense(2, OwnLeaky(alpha=0.2))]
    net = cnet.Sequential(layers, **{"seed": 7, "dtype": "float64"} | settings)
    return net.compile(OwnMomentum(learning_rate=0.05), OwnMSE(), ["mae"])


def same_network(**settings) -> cnet.Sequential:
    """Return the same network of cnet's parts."""
    leaky = cnet.activations.ActivationFunction("leaky_relu", 0.2)
    start = "glorot_uniform"
    layers = [
        cnet.Dense(5, kernel_initializer=start),
        cnet.Activation("tanh"),
        cnet.Dense(2, leaky, kernel_initializer=start),
    ]
    net = cnet.Sequential(layers, **{"seed": 7, "dtype": "float64"} | settings)
    return net.compile(cnet.SGD(learning_rate=0.05, momentum=0.9), "mse", ["mae"])
