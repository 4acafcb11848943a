"""Normalising layers of one instruction set, against reference.py and complex steps."""

import numpy as np
import reference

import cnet

SIZES = [(2, 1), (3, 8), (5, 17), (129, 3), (4, 65), (2, 130)]
KINDS = {"layer": cnet.LayerNormalization, "batch": cnet.BatchNormalization}


def complex_step(function, x: np.ndarray) -> np.ndarray:
    """Return the gradient of a sum of `function`, to the last digits: no difference is taken."""
    gradient = np.empty(x.shape)
    for at in np.ndindex(x.shape):
        moved = x.astype(complex)
        moved[at] += 1e-30j
        gradient[at] = function(moved).imag / 1e-30
    return gradient


def check_norm(kind: str, dtype: str, count: int, columns: int) -> None:
    """Outputs, all gradients, and moving statistics, of training and of inference."""
    what = f"{kind}_normalization {dtype} {count} x {columns}"
    rng = np.random.default_rng([count, columns])
    net = cnet.Sequential([KINDS[kind](momentum=0.75) if kind == "batch" else KINDS[kind]()],
                          seed=1, dtype=dtype).build(columns)  # fmt: skip
    x, c = rng.normal(1, 2, (count, columns)).astype(dtype), rng.uniform(-1, 2, (count, columns))
    c = c.astype(dtype)
    for values in net.parameters.values():
        values[:] = rng.uniform(0.5, 1.5, columns)
    gamma, beta = (v.astype(np.float64) for v in net.parameters.values())
    exact = x.astype(np.float64)
    row = reference.LAYERS[f"{kind}_normalization"]
    # What is rounded is divided by sigma, which two rows may make small.
    sigma = np.sqrt(exact.var(1 if kind == "layer" else 0) + 1e-5)
    unit = 100 * np.finfo(dtype).eps * max(1, 1 / sigma.min())

    def within(found, wanted, name):
        error = np.abs(found - wanted).max() / max(1, np.abs(wanted).max())
        assert error < unit, f"{what}: {name} is off by {error:.2g}"

    for training in (True, False):
        if training or kind == "layer":

            def output(x):
                return row(x, "linear", 0.0, gamma, beta)
        else:
            mean, variance = (v.astype(np.float64) for v in net.buffers.values())
            within(mean, 0.25 * exact.mean(0), "moving mean")
            within(variance, 0.75 + 0.25 * exact.var(0, ddof=1), "moving variance")

            def output(x, mean=mean, sigma=np.sqrt(variance + 1e-5)):  # noqa: B008
                return (x - mean) / sigma * gamma + beta

        within(net.forward(x, training=training), output(exact), "the output")
        net.zero_gradients()
        for times in (1, 2):  # the second time adds
            dx = net.backward(c)
            dgamma, dbeta = net.gradients.values()
            within(dx, complex_step(lambda x: np.sum(c * output(x)), exact), "dx")
            within(dgamma, times * np.sum(c * (output(exact) - beta) / gamma, axis=0), "dgamma")
            within(dbeta, times * c.astype(np.float64).sum(0), "dbeta")


def check_norms(dtype: str) -> None:
    for kind in KINDS:
        for count, columns in SIZES:
            check_norm(kind, dtype, count, columns)
